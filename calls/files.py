"""Sends an open file, or the range of it that was asked for, so that a player can seek (RFC 9110 §13, §14)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response

_CHUNK = 1 << 16
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)\Z")
_LONGEST_NUMBER = 18  # digits; no file has more bytes


@dataclass(frozen=True, slots=True)
class _Slice:
    """The bytes of a file from `start` to `end` (exclusive)."""

    file: BinaryIO
    start: int
    end: int

    def __iter__(self) -> Iterator[bytes]:
        self.file.seek(self.start)
        left = self.end - self.start
        while left > 0 and (block := self.file.read(min(_CHUNK, left))):
            left -= len(block)
            yield block

    def close(self) -> None:
        """Close the file; Django does so at the end of the response, whether or not it was sent."""
        self.file.close()


def send(request: HttpRequest, file: BinaryIO, *, etag: str, content_type: str, name: str) -> HttpResponseBase:
    """Answer a GET or HEAD with the file: 200, 206, 304, 412 or 416. `?download` makes browsers save it.

    `etag` is quoted. The file is closed with the response.
    """
    conditional = get_conditional_response(request, etag=etag)
    if conditional is not None:
        file.close()
        conditional["ETag"] = etag
        return conditional
    size = os.fstat(file.fileno()).st_size
    wanted = request.headers.get("Range", "") if request.headers.get("If-Range", etag) == etag else ""
    try:
        start, end = _span(wanted, size)
    except ValueError:
        file.close()
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=3600",
        "Content-Disposition": f'{"attachment" if "download" in request.GET else "inline"}; filename="{name}"',
        "Content-Length": str(end - start),
        "ETag": etag,
    }
    if (start, end) != (0, size):
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    body = _Slice(file, start, start if request.method == "HEAD" else end)
    status = 206 if "Content-Range" in headers else 200
    return StreamingHttpResponse(body, status=status, content_type=content_type, headers=headers)


def _span(wanted: str, size: int) -> tuple[int, int]:
    """Return start and end (exclusive) of a Range header; the whole file for one that may be ignored.

    Raise `ValueError` for a range that begins behind the end. Several ranges at once are answered with the whole file,
    as RFC 9110 §14.2 allows.
    """
    match = _RANGE.match(wanted.replace(" ", ""))
    if match is None or match.groups() == ("", "") or max(map(len, match.groups())) > _LONGEST_NUMBER:
        return 0, size
    first, last = match.groups()
    start, end = (int(first), min(int(last) + 1, size) if last else size) if first else (max(0, size - int(last)), size)
    if first and last and int(last) < int(first):
        return 0, size
    if start >= end:
        raise ValueError(wanted)
    return start, end

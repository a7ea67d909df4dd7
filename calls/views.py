"""Serves the finished WAV files to operators, in ranges so that a player can seek (RFC 9110 §14)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.contrib.auth.decorators import permission_required, user_passes_test
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_safe

from calls.models import Recording

_CHUNK = 1 << 16
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
_NOT_YET = {
    Recording.Status.IN_PROGRESS: "is still being recorded",
    Recording.Status.PROCESSING: "is not finished yet; the worker is making the file",
    Recording.Status.ABSENT: "is absent",
    Recording.Status.FAILED: "could not be finished",
}


@require_safe
@user_passes_test(lambda user: user.is_active and user.is_staff, login_url="admin:login")
@permission_required("calls.view_recording", raise_exception=True)
def recording(request: HttpRequest, sid: str) -> HttpResponseBase:
    """Answer with the recording, or the part that the Range header asks for; 404 with the reason if there is none."""
    found = Recording.objects.filter(pk=sid).first()
    if found is None:
        return _missing(f"There is no recording {sid}.")
    if found.status != Recording.Status.COMPLETED:
        return _missing(f"Recording {sid} {_NOT_YET[Recording.Status(found.status)]}. {found.error}")
    root = Path(settings.RECORDINGS_DIR).resolve()
    path = (root / found.file).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        return _missing(f"The file of recording {sid} is not on this disk: {found.file} in {root}.")
    return _file(request, path, etag=f'"{found.sha256}"', name=f"{sid}.wav")


def _missing(why: str) -> HttpResponse:
    return HttpResponse(why.strip() + "\n", status=404, content_type="text/plain; charset=utf-8")


def _file(request: HttpRequest, path: Path, etag: str, name: str) -> HttpResponseBase:
    size = path.stat().st_size
    wanted = request.headers.get("Range", "")
    if request.headers.get("If-Range", etag) != etag:
        wanted = ""
    try:
        start, end = _span(wanted, size)
    except ValueError:
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
    status = 206 if "Content-Range" in headers else 200
    body = () if request.method == "HEAD" else _read(path, start, end)
    return StreamingHttpResponse(body, status=status, content_type="audio/x-wav", headers=headers)


def _span(wanted: str, size: int) -> tuple[int, int]:
    """Return start and end (exclusive) of a Range header; the whole file for one that may be ignored.

    Raise `ValueError` for a range that begins behind the end. Several ranges at once are answered with the whole file,
    as RFC 9110 §14.2 allows.
    """
    match = _RANGE.match(wanted.replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return 0, size
    first, last = match.groups()
    start, end = (int(first), min(int(last) + 1, size) if last else size) if first else (max(0, size - int(last)), size)
    if first and last and int(last) < int(first):
        return 0, size
    if start >= end:
        raise ValueError(wanted)
    return start, end


def _read(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < end:
            block = file.read(min(_CHUNK, end - start))
            if not block:
                return
            start += len(block)
            yield block

"""The SIP messages that the library appends to files (requirements/pjsua2.patch), read by the journal's writer.

A file is named by the microsecond in which it was opened and grows for a minute at most; a record is the line
`CBSIP1 <µs> <S|R> <transport> <our host> <port> <far host> <port> <bytes stored> <bytes on the wire>`, those bytes, and
a newline. Whatever cannot be read is skipped: a trace may have gaps, and must not hold up anything.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("sipengine.trace")

SUFFIX = ".siptrace"
MAGIC = b"CBSIP1"
CLOSED_AFTER = 120.0  # seconds after which a file is surely closed; the library closes it after 60
READ_BYTES = 500_000
LONGEST_HEAD = 400


class Damaged(Exception):
    """There is no record where one should begin."""


@dataclass(frozen=True, slots=True)
class Record:
    """One message as it was on the wire; `microseconds` since the epoch, `size` in bytes before `data` was cut."""

    microseconds: int
    sent: bool
    transport: str
    local: str
    peer: str
    size: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records in order, and the place to go on at once they are dealt with."""

    records: list[Record]
    number: int
    offset: int


def numbers(folder: Path) -> list[int]:
    """Return the numbers of the files in a folder, oldest first."""
    return sorted(int(path.stem) for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


def path_of(folder: Path, number: int) -> Path:
    """Return the path of a file."""
    return folder / f"{number:016d}{SUFFIX}"


def trim(folder: Path, most: int) -> int:
    """Remove the oldest files until the rest is at most so many bytes, but never the newest; return how many went."""
    sizes = []
    for number in numbers(folder):
        with contextlib.suppress(OSError):
            sizes.append((number, path_of(folder, number).stat().st_size))
    total, gone = sum(size for _, size in sizes), 0
    for number, size in sizes[:-1]:
        if total <= most:
            break
        with contextlib.suppress(OSError):
            path_of(folder, number).unlink()
            gone += 1
        total -= size
    return gone


class TraceReader:
    """Reads on from the last place that was dealt with, and removes the files that are done."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place = folder / "position"
        self._number, self._offset = self._load()

    def _load(self) -> tuple[int, int]:
        try:
            number, offset = self._place.read_text().split()
            return int(number), int(offset)
        except (OSError, ValueError):
            return 0, 0

    def read(self, before: float, *, closed: bool = False) -> Chunk | None:
        """Return the next records that are older than `before` (seconds since the epoch), None if there are none now.

        `closed` says that nobody writes any more, so that what is incomplete stays so.
        """
        found = numbers(self._folder)
        for number in found:
            over = closed or number < found[-1] or number / 1e6 + CLOSED_AFTER < time.time()
            records, offset, rest = self._read_file(number, round(before * 1e6))
            if records:
                return Chunk(records, number, offset)
            if rest == "later" or not over:
                return None
            if rest == "cut":
                log.warning("the last SIP message of %s was cut short and is lost", path_of(self._folder, number))
            with contextlib.suppress(OSError):
                path_of(self._folder, number).unlink()
        return None

    def _read_file(self, number: int, before: int) -> tuple[list[Record], int, str]:
        """Return records of a file, where they end, and what is there: "" nothing, "cut" a part, "later" for later."""
        start = offset = self._offset if number == self._number else 0
        path = path_of(self._folder, number)
        records: list[Record] = []
        try:
            with path.open("rb") as file:
                file.seek(start)
                data = file.read(READ_BYTES)
            while (found := record(data, offset - start)) is not None:
                if found[0].microseconds > before:
                    return records, offset, "later"
                records.append(found[0])
                offset = start + found[1]
        except OSError:
            return [], start, ""
        except Damaged:
            if not records:
                log.warning("%s is damaged: %d bytes of SIP messages are lost", path, len(data))
                self.done(Chunk([], number, start + len(data)))
                return self._read_file(number, before)
        return records, offset, "cut" if offset - start < len(data) else ""

    def done(self, chunk: Chunk) -> None:
        """Remember that a chunk has been dealt with; on a full disk it is dealt with again after a restart."""
        self._number, self._offset = chunk.number, chunk.offset
        with contextlib.suppress(OSError):
            temporary = self._place.with_suffix(".new")
            temporary.write_text(f"{chunk.number} {chunk.offset}")
            temporary.replace(self._place)


def record(data: bytes, at: int) -> tuple[Record, int] | None:
    """Return the record that begins here and where the next one does, None if it is incomplete; raise `Damaged`."""
    line_end = data.find(b"\n", at, at + LONGEST_HEAD)
    if not MAGIC.startswith(data[at : at + len(MAGIC)]) or (line_end < 0 and len(data) - at >= LONGEST_HEAD):
        raise Damaged
    if line_end < 0:
        return None
    try:
        _, time_, direction, transport, *addresses, stored, size = data[at:line_end].decode("ascii").split(" ")
        local_host, local_port, host, port = addresses
        start, end = line_end + 1, line_end + 1 + int(stored)
        found = Record(
            microseconds=int(time_),
            sent=direction == "S",
            transport=transport.lower().rstrip("6"),
            local=_address(local_host, local_port),
            peer=_address(host, port),
            size=int(size),
            data=data[start:end],
        )
    except ValueError:
        raise Damaged from None
    if not 0 <= end - start < READ_BYTES // 2 or data[end : end + 1] not in (b"", b"\n"):
        raise Damaged
    return (found, end + 1) if len(data) > end else None


def _address(host: str, port: str) -> str:
    return f"[{host}]:{int(port)}" if ":" in host and not host.startswith("[") else f"{host}:{int(port)}"

"""The write-behind: what happened goes to a file on disk first, and from there, by another process, into the database.

The engine appends (`Journal`), the writer reads (`Reader`), so a call never waits for the database and a killed process
loses nothing that was written. One folder per engine; one segment (a file of JSON lines) per run and per 8 MB.
Entries may be applied twice after a crash; applying is idempotent (calls/ledger.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from calls.entries import CallRecord, Entry, from_json, to_line

log = logging.getLogger("sipengine.journal")

SEGMENT_BYTES = 8_000_000
RETRY_SECONDS = 0.5
SUFFIX = ".jsonl"


class JournalBusy(Exception):
    """Another process holds this journal."""


def lock(folder: Path, name: str) -> int:
    """Take the lock file `name` of a journal folder and return its descriptor; raise `JournalBusy` if it is held."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / name, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise JournalBusy(f"{folder / name} is held by another process") from None
    return descriptor


def segments(folder: Path) -> list[int]:
    """Return the numbers of the segments in a folder, oldest first."""
    return sorted(int(path.stem) for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


def segment_path(folder: Path, number: int) -> Path:
    """Return the path of a segment."""
    return folder / f"{number:010d}{SUFFIX}"


def mark_closed(folder: Path, first_segment: int) -> None:
    """Note that the calls that the run before this one left open have been ended; once, or this run's would be too."""
    (folder / "closed").write_text(str(first_segment))


def is_closed(folder: Path, first_segment: int) -> bool:
    """Say whether `mark_closed` was called for the run that began with this segment."""
    try:
        return (folder / "closed").read_text() == str(first_segment)
    except FileNotFoundError:
        return False


class Journal:
    """The engine's side: appends entries. All methods are called in the event loop's thread.

    Entries of one turn of the loop are written together. When the disk refuses, they wait in memory and are tried
    again, in order; `stuck` then says since when (seconds since the epoch), for the operator.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # A number is never used again, also when somebody has cleared the folder: the reader's place names one.
        self._number = max([*segments(folder), Reader(folder).segment])
        self._buffer = bytearray()
        self._pending: dict[object, Entry | bytes] = {}
        self._descriptor = -1
        self._size = 0
        self._scheduled = False
        self.stuck: float | None = None
        self._next_segment()
        self.first_segment = self._number

    def _next_segment(self) -> None:
        path = segment_path(self._folder, self._number + 1)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._number, self._size = descriptor, self._number + 1, 0

    def put(self, entry: Entry | bytes) -> None:
        """Append an entry, or the line of one; it is in the kernel's hands before the loop's next turn.

        A record that changes twice in one turn is written once, as it is at its end.
        """
        self._pending[entry.sid if isinstance(entry, CallRecord) else id(entry)] = entry
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _encode(self) -> None:
        pending, self._pending = self._pending, {}
        for entry in pending.values():
            try:
                self._buffer += entry if isinstance(entry, bytes) else to_line(entry)
            except (TypeError, ValueError, RecursionError) as error:  # a fault of ours, which must not stop the others
                log.error("an entry cannot be written as JSON and is lost (%s): %r", error, entry)

    def _flush(self) -> None:
        self._scheduled = False
        self._encode()
        if self._descriptor < 0:
            self._tell_lost()
            return
        try:
            if self._size > SEGMENT_BYTES and self._buffer[-1:] == b"\n" and self.stuck is None:
                self._next_segment()
            while self._buffer:
                written = os.write(self._descriptor, self._buffer)
                self._size += written
                del self._buffer[:written]
        except OSError as error:
            if self.stuck is None:
                self.stuck = time.time()
                log.error(
                    "the journal cannot be written (%s): events wait in memory; free space on %s", error, self._folder
                )
            self._scheduled = True
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._flush)
            return
        if self.stuck is not None:
            log.warning("the journal is written again")
            self.stuck = None

    def sync(self) -> None:
        """Put what was written on the platter; call it off the loop's thread."""
        with contextlib.suppress(OSError):
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Write what is left and close the segment."""
        self._encode()
        with contextlib.suppress(OSError):
            while self._buffer:
                del self._buffer[: os.write(self._descriptor, self._buffer)]
        os.close(self._descriptor)
        self._descriptor = -1  # its number may soon be another file's
        self._tell_lost()

    def _tell_lost(self) -> None:
        if self._buffer:
            log.error("%d entries are lost: the journal is closed and could not take them", self._buffer.count(b"\n"))
            self._buffer.clear()


@dataclass(slots=True)
class Batch:
    """Entries that were read, and the place to go on at when they have been applied."""

    entries: list[Entry]
    segment: int
    offset: int


class Reader:
    """The writer process's side: reads on from the last applied place, across segments."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._position = folder / "position"
        self.segment, self.offset = self._load()

    def _load(self) -> tuple[int, int]:
        try:
            segment, offset = self._position.read_text().split()
            return int(segment), int(offset)
        except (FileNotFoundError, ValueError):
            return min(segments(self._folder), default=0), 0

    def read(self, limit: int = 200) -> Batch | None:
        """Return up to `limit` entries that have not been applied, or None when there are none now.

        A last line without its newline is still being written (or was cut by a crash, when a later segment exists).
        """
        while True:
            path = segment_path(self._folder, self.segment)
            lines, end = _complete_lines(path, self.offset, limit)
            if lines:
                return Batch(list(_decode(lines, path)), self.segment, end)
            later = [number for number in segments(self._folder) if number > self.segment]
            if not later:
                return None
            # The segment was closed before the next one was made: look once more, then leave it.
            if not _complete_lines(path, self.offset, 1)[0]:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
                self.segment, self.offset = later[0], 0
                self._save()

    def done(self, batch: Batch) -> None:
        """Remember that a batch has been applied."""
        self.segment, self.offset = batch.segment, batch.offset
        self._save()

    def _save(self) -> None:
        # On a full disk the place is not kept: going on removes segments and so makes room, and entries that are
        # applied again after a restart change nothing.
        with contextlib.suppress(OSError):
            temporary = self._position.with_suffix(".new")
            temporary.write_text(f"{self.segment} {self.offset}")
            temporary.replace(self._position)


def _complete_lines(path: Path, offset: int, limit: int) -> tuple[list[bytes], int]:
    lines: list[bytes] = []
    try:
        with path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n") or len(lines) == limit:
                    break
                lines.append(line)
                offset += len(line)
    except FileNotFoundError:
        pass
    return lines, offset


def _decode(lines: list[bytes], path: Path) -> Iterator[Entry]:
    for line in lines:
        try:
            yield from_json(orjson.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            log.error("a journal line cannot be read and is kept aside: %s", error)
            with contextlib.suppress(OSError), path.with_name("unreadable.jsonl.kept").open("ab") as kept:
                kept.write(line)

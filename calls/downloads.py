"""Recordings as they are downloaded: the WAV file that is kept, or an MP3, a mix or a shape of it, made on request.

What is made goes to a cache of bounded size. It appears there whole, and is made once however many ask for it at once,
in whatever process: they wait at a lock of the file system.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from calls import audio, waveform
from calls.models import Recording

log = logging.getLogger(__name__)

CONTENT_TYPES = {"wav": "audio/x-wav", "mp3": "audio/mpeg", "json": "application/json"}
_LOCKS = 64  # lock files, which are never deleted; two recordings may share one, which costs a wait and nothing else
_STALE_SECONDS = 3600
_NOT_YET = {
    Recording.Status.IN_PROGRESS: "is still being recorded",
    Recording.Status.PAUSED: "is still being recorded",
    Recording.Status.PROCESSING: "is not finished yet; the worker is making the file",
    Recording.Status.ABSENT: "is absent",
    Recording.Status.FAILED: "could not be finished",
}


class Unavailable(Exception):
    """There is no such audio; the message says why. `soon` says that there may be in a moment, `ours` that it is our
    fault and in the log.
    """

    def __init__(self, message: str, *, soon: bool = False, ours: bool = False) -> None:
        super().__init__(message)
        self.soon, self.ours = soon, ours


class WrongChannels(Exception):
    """More channels were asked for than were recorded."""


@dataclass(frozen=True, slots=True)
class Audio:
    """An open file to send; `etag` is strong and quoted, as in the header."""

    file: BinaryIO
    content_type: str
    etag: str
    name: str


def open_audio(recording: Recording, extension: str, channels: int | None = None) -> Audio:
    """Open the recording as `wav` or `mp3`, with all its channels or, if `channels` is 1, mixed into one.

    As `json` it is the shape that `waveform.write` makes of it.

    Raise `Unavailable` or `WrongChannels`.
    """
    if recording.status != Recording.Status.COMPLETED:
        soon = recording.status not in (Recording.Status.ABSENT, Recording.Status.FAILED)
        state = _NOT_YET[Recording.Status(recording.status)]
        raise Unavailable(f"Recording {recording.sid} {state}. {recording.error}".strip(), soon=soon)
    wanted = channels or recording.channels
    if wanted > recording.channels:
        raise WrongChannels(f"Recording {recording.sid} has {recording.channels} channel, not {wanted}.")
    source = _kept_file(recording)
    name = f"{recording.sid}.{extension}"
    if (extension, wanted) == ("wav", recording.channels):
        return Audio(_opened(recording, source), CONTENT_TYPES["wav"], f'"{recording.sha256}"', name)
    etag = f'"{recording.sha256}-{wanted}.{extension}"'
    return Audio(_made(recording, source, extension, wanted), CONTENT_TYPES[extension], etag, name)


def _kept_file(recording: Recording) -> Path:
    root = Path(settings.RECORDINGS_DIR).resolve()
    path = (root / recording.file).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise _lost(recording, "is not there")
    return path


def _opened(recording: Recording, path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise _lost(recording, error.strerror or str(error)) from None


def _lost(recording: Recording, why: str) -> Unavailable:
    log.error("recording=%s file %s in %s: %s", recording.sid, recording.file, settings.RECORDINGS_DIR, why)
    return Unavailable(f"The file of recording {recording.sid} is not on this disk: {recording.file}.")


def _made(recording: Recording, source: Path, extension: str, channels: int) -> BinaryIO:
    """Open the converted file, which is made first if it is not in the cache."""
    folder = Path(settings.DOWNLOAD_CACHE_DIR)
    path = folder / f"{recording.sid}-{recording.sha256[:16]}-{channels}.{extension}"
    try:
        found = _used(path)
        if found is None:
            folder.mkdir(parents=True, exist_ok=True)
            with _lock(folder, path.name):
                found = _used(path) or _convert(source, path, extension, channels)
            _prune(folder, keep=path)
    except audio.AudioError as error:
        log.error("recording=%s %s", recording.sid, error)
        raise Unavailable(f"Recording {recording.sid} cannot be converted: its file is damaged.", ours=True) from None
    except OSError as error:
        log.error("recording=%s cannot be converted in %s: %s", recording.sid, folder, error)
        why = f"Recording {recording.sid} cannot be converted now ({error.strerror}); as .wav it can be had."
        raise Unavailable(why, soon=True, ours=True) from None
    return found


def _used(path: Path) -> BinaryIO | None:
    """Open a file of the cache and note that it is used, for the pruning; None if it is not there."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return file


def _convert(source: Path, path: Path, extension: str, channels: int) -> BinaryIO:
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        if extension == "json":
            waveform.write(source, part)
        else:
            audio.convert(source, part, extension, channels)
        os.replace(part, path)
        return path.open("rb")
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of a file of the cache; the kernel lets go of it when the process dies."""
    with (folder / f".lock-{zlib.crc32(name.encode()) % _LOCKS}").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prune(folder: Path, keep: Path) -> None:
    """Delete what was unused for longest until the cache has its size, and what a crash left half-made.

    Who is being sent a file that goes still gets all of it: it is open.
    """
    held, entries = 0, []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            entries.append((path.stat().st_mtime, path.stat().st_size, path))
    for used, size, path in sorted(entries, reverse=True):
        held += size
        stale = path.suffix == ".part" and used < time.time() - _STALE_SECONDS
        surplus = path.suffix[1:] in CONTENT_TYPES and held > settings.DOWNLOAD_CACHE_BYTES and path != keep
        if stale or surplus:
            path.unlink(missing_ok=True)

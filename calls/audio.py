"""ADAPTER: libsndfile (and its LAME) for recordings that are downloaded in another form than they are kept in.

Blocking, block by block, so that an hour costs no more memory than a second. Source files are 16-bit WAV of ours.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import soundfile

_FRAMES = 65_536
_SYSTEM_ERROR = 2  # SF_ERR_SYSTEM
_LITTLE = 1_000_000  # bytes


class AudioError(ValueError):
    """The source is no audio file, or the result cannot be written for another reason than the disk's."""


def convert(source: Path, out: Path, extension: str, channels: int) -> None:
    """Write the recording `source` to `out` as `mp3` or `wav` with one channel (all mixed) or as many as it has.

    Raise `AudioError`, or `OSError` if the disk is full or `source` cannot be read.
    """
    form, subtype = {"mp3": ("MP3", "MPEG_LAYER_III"), "wav": ("WAV", "PCM_16")}[extension]
    # Paths, not files of Python's: an error of a file object is lost on its way through libsndfile.
    try:
        with (
            soundfile.SoundFile(str(source)) as reader,
            soundfile.SoundFile(str(out), "w", reader.samplerate, channels, subtype, format=form) as writer,
        ):
            while len(block := reader.read(_FRAMES, dtype="float32", always_2d=True)):
                writer.write(block if channels == reader.channels else np.mean(block, axis=1))
    except soundfile.LibsndfileError as error:
        if error.code == _SYSTEM_ERROR:
            raise _system_error(out) from error
        raise AudioError(f"{source} cannot be converted: {error.error_string}") from None


def _system_error(out: Path) -> OSError:
    """Return what libsndfile only calls a system error: nearly always the disk is full."""
    room = os.statvfs(out.parent)
    number = errno.ENOSPC if room.f_bavail * room.f_frsize < _LITTLE else errno.EIO
    return OSError(number, os.strerror(number), str(out))

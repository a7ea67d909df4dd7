"""The shape of a recording for the eye: the loudest sample of each short stretch, a row of numbers for each channel.

Reads block by block, so that an hour costs no more memory than a second.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import soundfile

from calls.audio import AudioError

STRETCHES = 800  # at most; what a wide screen can show
_LOUDEST = 100


def write(source: Path, out: Path) -> None:
    """Write the shape of a WAV file as JSON: `seconds`, and `peaks` of 0 to 100 for each channel.

    Raise `AudioError`, or `OSError` if the disk is full or the source cannot be read.
    """
    try:
        with soundfile.SoundFile(str(source)) as reader:
            found = _shape(reader)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{source} cannot be read: {error.error_string}") from None
    out.write_bytes(orjson.dumps(found))


def _shape(reader: soundfile.SoundFile) -> dict[str, Any]:
    frames = max(1, math.ceil(reader.frames / STRETCHES))
    whole = frames * max(1, 65_536 // frames)
    peaks: list[np.ndarray[Any, Any]] = []
    while len(block := reader.read(whole, dtype="float32", always_2d=True)):
        if rest := -len(block) % frames:
            block = np.pad(block, ((0, rest), (0, 0)))
        peaks.append(np.abs(block).reshape(-1, frames, reader.channels).max(axis=1))
    rows = np.concatenate(peaks) if peaks else np.zeros((0, reader.channels), dtype="float32")
    levels = np.minimum(np.rint(rows * _LOUDEST), _LOUDEST).astype(int)
    return {"seconds": round(reader.frames / reader.samplerate, 3), "peaks": [row.tolist() for row in levels.T]}

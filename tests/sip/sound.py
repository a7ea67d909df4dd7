"""Sound in tests: files with a tone, and how strong a tone is in a file."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import soundfile


def tone(hertz: int, seconds: float, rate: int = 8000) -> bytes:
    """Return a WAV file with a sine at -12 dB of full scale."""
    times = np.arange(int(seconds * rate)) / rate
    file = io.BytesIO()
    soundfile.write(file, 0.25 * np.sin(2 * math.pi * hertz * times), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def tone_dbfs(path: Path, hertz: float, channel: int = 0, *, last: float | None = None) -> float:
    """Return the level of one frequency in a channel in dB, where a sine of full scale throughout has 0.

    With `last`, only so many seconds at the end are looked at. A file that is still being written is read as it is.
    """
    samples, rate = _read(path)
    track = samples[:, channel]
    return _level(track if last is None else track[-int(last * rate) :], hertz, rate)


def loudest(path: Path, hertz: float, channel: int = 0) -> float:
    """Return the level of one frequency, as `tone_dbfs`, in the second in which it is strongest, whatever is around."""
    samples, rate = _read(path)
    track = samples[:, channel]
    starts = range(0, max(1, len(track) - rate + 1), rate // 4)
    return max(_level(track[start : start + rate], hertz, rate) for start in starts)


def _level(track: Any, hertz: float, rate: int) -> float:
    if not track.any():
        return -math.inf
    turn = np.exp(-2j * math.pi * hertz * np.arange(track.size) / rate)
    window = np.hanning(track.size)
    strength = 2 * abs(np.sum(track * window * turn)) / window.sum()
    return float(20 * math.log10(strength)) if strength else -math.inf


def seconds_of_sound(path: Path) -> float:
    """Return how much of a file is not silence, in steps of 20 ms."""
    samples, rate = _read(path)
    steps = samples[: len(samples) // (rate // 50) * (rate // 50), 0].reshape(-1, rate // 50)
    return float(np.count_nonzero(abs(steps).max(axis=1) > 0.01)) / 50


def _read(path: Path) -> tuple[Any, int]:
    data = path.read_bytes()
    if data[4:8] == b"\0\0\0\0" or data[40:44] == b"\0\0\0\0":  # the recorder writes the lengths when it ends
        return np.frombuffer(data[44 : len(data) // 2 * 2], "<i2").reshape(-1, 1) / 32768, 8000
    samples, rate = soundfile.read(path, always_2d=True)
    return samples, rate

"""Sound in tests: files with a tone, and how strong a tone is in a file."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import soundfile


def tone(hertz: int, seconds: float, rate: int = 8000) -> bytes:
    """Return a WAV file with a sine at -12 dB of full scale."""
    times = np.arange(int(seconds * rate)) / rate
    file = io.BytesIO()
    soundfile.write(file, 0.25 * np.sin(2 * math.pi * hertz * times), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def tone_dbfs(path: Path, hertz: float, channel: int = 0) -> float:
    """Return the level of one frequency in a channel in dB, where a sine of full scale throughout has 0."""
    samples, rate = soundfile.read(path, always_2d=True)
    track = samples[:, channel]
    if not track.any():
        return -math.inf
    turn = np.exp(-2j * math.pi * hertz * np.arange(track.size) / rate)
    window = np.hanning(track.size)
    strength = 2 * abs(np.sum(track * window * turn)) / window.sum()
    return float(20 * math.log10(strength)) if strength else -math.inf

"""What a WAV file sounds like, in figures: the proof of the demo call and of the tests that audio arrived, and on which
side. Nothing but numpy and soundfile; no state.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import soundfile


def dominant_frequency(path: Path, channel: int = 0) -> float:
    """Return the strongest frequency of a channel in Hz, 0.0 when it is digital silence or empty.

    Raises `OSError` if the file cannot be read as audio, `ValueError` if it has no such channel.
    """
    samples, rate = _channel(path, channel)
    if not samples.any():
        return 0.0
    # Without the mean a constant offset would win; without the window a tone leaks into its neighbours.
    spectrum = np.abs(np.fft.rfft((samples - samples.mean()) * np.hanning(samples.size)))
    return float(np.fft.rfftfreq(samples.size, 1 / rate)[int(spectrum.argmax())])


def level_dbfs(path: Path, channel: int = 0) -> float:
    """Return the RMS level of a channel in dB of full scale, minus infinity when it is digital silence or empty.

    Raises as `dominant_frequency` does.
    """
    samples, _ = _channel(path, channel)
    power = float(np.mean(np.square(samples))) if samples.size else 0.0
    return 10 * math.log10(power) if power else -math.inf


def _channel(path: Path, channel: int) -> tuple[Any, int]:
    try:
        samples, rate = soundfile.read(path, always_2d=True)
    except soundfile.SoundFileError as error:
        raise OSError(f"{path} cannot be read as audio: {error}") from None
    channels = samples.shape[1]
    if not 0 <= channel < channels:
        raise ValueError(f"{path} has {channels} channel(s), so none has the number {channel}")
    return samples[:, channel], rate

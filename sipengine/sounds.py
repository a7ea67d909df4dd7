"""Sounds of our own making: the beep before a recording, the chimes of a conference, the hold music.

Computed, so no third party has rights in them. Samples of `audio.RATE` as fractions of full scale.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from sipengine.audio import RATE, Samples

VERSION = 1
"""Goes up with every change to a sound, so that caches make it anew."""

Beep = Literal["record", "enter", "exit"]
_BEEPS: dict[Beep, tuple[tuple[float, float], ...]] = {  # frequency in Hz, seconds
    "record": ((1000, 0.5),),
    "enter": ((660, 0.12), (880, 0.2)),
    "exit": ((880, 0.12), (660, 0.2)),
}
_BEEP_LEVEL = 0.25
_RAMP = 0.01  # seconds; without it a tone begins and ends with a click

_BEAT = 0.75  # seconds
_BARS = 16
_BEATS_PER_BAR = 4
HOLD_SECONDS = _BARS * _BEATS_PER_BAR * _BEAT
# A chord a bar, as semitones from A3 (220 Hz): bass, then the notes that are picked one after the other.
_CHORDS = {
    "D": (-7, 5, 9, 12, 17),
    "Bm": (2, 2, 5, 9, 14),
    "G": (-2, 2, 5, 10, 14),
    "A": (0, 4, 7, 12, 16),
    "F#m": (-3, 4, 9, 12, 16),
}
_SONG = ("D", "Bm", "G", "A", "D", "F#m", "G", "A", "Bm", "F#m", "G", "D", "G", "Bm", "A", "A")
_PATTERN = (1, 2, 3, 4, 3, 2, 3, 2)  # half beats
_HOLD_LEVEL = 0.08  # RMS; a little below speech, so that it does not tire


def beep(kind: Beep) -> Samples:
    """Return the beep before a recording, or what a conference hears when somebody enters or leaves."""
    return np.concatenate([_tone(frequency, seconds) for frequency, seconds in _BEEPS[kind]])


def hold_music() -> Samples:
    """Return quiet broken chords of 48 seconds whose end runs into their beginning."""
    sound = np.zeros(round(HOLD_SECONDS * RATE), dtype=np.float32)
    for bar, name in enumerate(_SONG):
        bass, *notes = (220 * 2 ** (step / 12) for step in _CHORDS[name])
        start = bar * _BEATS_PER_BAR * _BEAT
        _add(sound, start, _plucked(bass, 2.4, 0.4))
        for at, note in enumerate(_PATTERN):
            _add(sound, start + at * _BEAT / 2, _plucked(notes[note - 1], 1.8, 0.5))
    loud = float(np.sqrt(np.mean(np.square(sound))))
    return sound * np.float32(_HOLD_LEVEL / loud)


def _tone(frequency: float, seconds: float) -> Samples:
    at = np.arange(round(seconds * RATE), dtype=np.float32) / RATE
    edge = np.clip(np.minimum(at, seconds - at) / _RAMP, 0, 1)
    tone: Samples = (_BEEP_LEVEL * edge * np.sin(2 * np.pi * frequency * at)).astype(np.float32)
    return tone


def _plucked(frequency: float, seconds: float, level: float) -> Samples:
    """Return a note that dies away, its overtones sooner, like that of an electric piano."""
    at = np.arange(round(seconds * RATE), dtype=np.float32) / RATE
    sound = np.zeros_like(at)
    for overtone, strength in ((1, 1.0), (2, 0.35), (3, 0.12), (4, 0.05)):
        decay = np.exp(-at * (1.6 + 0.9 * overtone))
        sound += strength * decay * np.sin(2 * np.pi * frequency * overtone * at)
    note: Samples = (level * sound * np.clip(at / _RAMP, 0, 1) * np.clip((seconds - at) / 0.2, 0, 1)).astype(np.float32)
    return note


def _add(sound: Samples, start: float, note: Samples) -> None:
    """Mix a note in; what rings on behind the end is heard at the beginning, so that the loop has no seam."""
    where = (round(start * RATE) + np.arange(len(note))) % len(sound)
    sound[where] += note

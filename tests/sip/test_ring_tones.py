"""The tones of `<Dial ringTone>` as the SIP library plays them: frequencies and cadence measured (conformance §1.2)."""

from __future__ import annotations

import subprocess
import sys
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from sipengine.tones import RING_TONES, Cadence

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = 2 + max(cadence.period_ms for cadence in RING_TONES.values()) / 1000
RATE, STEP = 8000, 80  # Hz, samples: 10 ms
BEAT_MS = 30


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a recording of every tone."""
    folder = tmp_path_factory.mktemp("tones")
    command = [sys.executable, "-m", "tests.sip.play_ring_tones", str(folder), str(SECONDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return folder


def spans(sound: NDArray[np.float64]) -> list[tuple[bool, int]]:
    """Return (sounding, milliseconds) one after the other; the gap within a beat of two frequencies is no silence."""
    levels = np.sqrt(np.mean(sound[: len(sound) // STEP * STEP].reshape(-1, STEP) ** 2, axis=1)) > 0.01
    runs = [(sounding, 10 * len(list(run))) for sounding, run in groupby(levels.tolist())]
    solid = [(sounding or milliseconds <= BEAT_MS, milliseconds) for sounding, milliseconds in runs]
    return [(sounding, sum(ms for _, ms in run)) for sounding, run in groupby(solid, key=itemgetter(0))]


def frequencies(sound: NDArray[np.float64], count: int) -> list[float]:
    """Return the strongest frequencies in Hz, lowest first."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 16))
    found = []
    for _ in range(count):
        peak = int(spectrum.argmax())
        found.append(peak * RATE / (1 << 16))
        width = round(8 * (1 << 16) / RATE)  # Hz to bins
        spectrum[max(0, peak - width) : peak + width] = 0
    return sorted(found)


@pytest.mark.parametrize("country", RING_TONES)
class TestRingTones:
    """A country code plays that country's ring-back tone (Twilio: <Dial ringTone>)."""

    def test_it_has_the_frequencies_of_its_network(self, played: Path, country: str) -> None:
        cadence = RING_TONES[country]
        sound = self.first_ring(played, country, cadence)
        assert frequencies(sound, len(cadence.frequencies)) == pytest.approx(cadence.frequencies, abs=3)

    def test_it_rings_and_pauses_as_long_as_its_network(self, played: Path, country: str) -> None:
        cadence = RING_TONES[country]
        sound, _ = soundfile.read(played / f"{country}.wav")
        expected = [(on, ms) for step in cadence.steps for on, ms in zip((True, False), step, strict=True)]
        found = spans(sound)
        if not found[0][0]:
            del found[0]  # before the mixer began
        assert [on for on, _ in found[: len(expected)]] == [on for on, _ in expected]
        assert [ms for _, ms in found[: len(expected)]] == pytest.approx([ms for _, ms in expected], abs=40)

    def first_ring(self, played: Path, country: str, cadence: Cadence) -> NDArray[np.float64]:
        sound, _ = soundfile.read(played / f"{country}.wav")
        start = int(np.argmax(np.abs(sound) > 0.01))
        ring: NDArray[np.float64] = sound[start : start + cadence.steps[0][0] * RATE // 1000]
        return ring

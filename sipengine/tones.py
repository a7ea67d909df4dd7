"""PURE: the ring-back tones of `<Dial ringTone>`, one cadence per country.

Figures: ITU-T Operational Bulletin annex "Various tones used in national networks" (E.180 Supplement 2, 2003), as
carried by the common indications tables (Asterisk's `indications.conf`). Where a network modulates one frequency by
another (E.180 writes 400×25), the pair here is carrier ∓ modulator: two sines give the same beat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cadence:
    """A tone that repeats: one or two frequencies in Hz, and steps of (on, off) in milliseconds."""

    frequencies: tuple[int, ...]
    steps: tuple[tuple[int, int], ...]

    @property
    def period_ms(self) -> int:
        """Return the length of one repetition in milliseconds."""
        return sum(on + off for on, off in self.steps)


# The double ring of Britain and of the networks that were built after it.
_DOUBLE = ((400, 200), (400, 2000))

RING_TONES: Mapping[str, Cadence] = {
    "at": Cadence((420,), ((1000, 5000),)),
    "au": Cadence((413, 438), _DOUBLE),
    "bg": Cadence((425,), ((1000, 4000),)),
    "br": Cadence((425,), ((1000, 4000),)),
    "be": Cadence((425,), ((1000, 3000),)),
    "ch": Cadence((425,), ((1000, 4000),)),
    "cl": Cadence((400,), ((1000, 3000),)),
    "cn": Cadence((450,), ((1000, 4000),)),
    "cz": Cadence((425,), ((1000, 4000),)),
    "de": Cadence((425,), ((1000, 4000),)),
    "dk": Cadence((425,), ((1000, 4000),)),
    "ee": Cadence((425,), ((1000, 4000),)),
    "es": Cadence((425,), ((1500, 3000),)),
    "fi": Cadence((425,), ((1000, 4000),)),
    "fr": Cadence((440,), ((1500, 3500),)),
    "gr": Cadence((425,), ((1000, 4000),)),
    "hu": Cadence((425,), ((1250, 3750),)),
    "il": Cadence((414,), ((1000, 3000),)),
    "in": Cadence((375, 425), _DOUBLE),  # 400×25
    "it": Cadence((425,), ((1000, 4000),)),
    "lt": Cadence((425,), ((1000, 4000),)),
    "jp": Cadence((384, 416), ((1000, 2000),)),  # 400×16
    "mx": Cadence((425,), ((1000, 4000),)),
    "my": Cadence((425,), _DOUBLE),
    "nl": Cadence((425,), ((1000, 4000),)),
    "no": Cadence((425,), ((1000, 4000),)),
    "nz": Cadence((400, 450), _DOUBLE),
    "ph": Cadence((425, 480), ((1000, 4000),)),
    "pl": Cadence((425,), ((1000, 4000),)),
    "pt": Cadence((425,), ((1000, 5000),)),
    "ru": Cadence((425,), ((1000, 4000),)),
    "se": Cadence((425,), ((1000, 5000),)),
    "sg": Cadence((401, 449), _DOUBLE),  # 425×24
    "th": Cadence((420,), ((1000, 5000),)),
    "uk": Cadence((400, 450), _DOUBLE),
    "us": Cadence((440, 480), ((2000, 4000),)),
    "us-old": Cadence((380, 460), ((2000, 4000),)),  # 420×40
    "tw": Cadence((440, 480), ((1000, 2000),)),
    "ve": Cadence((425,), ((1000, 4000),)),
    "za": Cadence((367, 433), _DOUBLE),  # 400×33
}
"""Country code of `ringTone` → its ring-back cadence; the parser accepts exactly these keys."""

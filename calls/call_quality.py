"""How the sound of each leg was, from its RTP and RTCP, in words that say whether to worry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calls.harmless import harmless
from calls.models import Call, LegQuality

GOOD, FAIR = 4.0, 3.1  # MOS, ITU-T G.107 Annex B: satisfied from 4.03 on, many dissatisfied below 3.1


@dataclass(frozen=True, slots=True)
class Way:
    """One way of a leg's sound: `mos` with its word and tone, the rest as text."""

    name: str
    mos: str
    word: str
    tone: str
    loss: str
    jitter: str


@dataclass(frozen=True, slots=True)
class Quality:
    """The sound of a leg."""

    leg: str
    codec: str
    round_trip: str
    live: bool
    ways: tuple[Way, Way]


def qualities(legs: Sequence[Call], names: Mapping[str, str]) -> list[Quality]:
    """Return the sound of those legs of which something is known."""
    rows = {row.call_id: row for row in LegQuality.objects.filter(call__in=[leg.sid for leg in legs])}
    return [_quality(rows[leg.sid], names[leg.sid]) for leg in legs if leg.sid in rows]


def word(mos: float | None) -> tuple[str, str]:
    """Return a word for an estimated MOS, and its tone."""
    if mos is None:
        return "unknown", "quiet"
    if mos >= GOOD:
        return "good", "good"
    return ("fair", "busy") if mos >= FAIR else ("poor", "bad")


def _quality(row: LegQuality, name: str) -> Quality:
    heard = _way(f"from {name}", row.mos_in, _loss(row.lost_in, row.packets_in, True), row.jitter_in_ms)
    sent = _way(f"to {name}", row.mos_out, _loss(row.lost_out, row.packets_out, False), row.jitter_out_ms)
    return Quality(name, harmless(row.codec) or "–", _ms(row.round_trip_ms), not row.final, (heard, sent))


def _way(name: str, mos: float | None, loss: str, jitter: float | None) -> Way:
    text, tone = word(mos)
    return Way(name, "–" if mos is None else f"{mos:.1f}", text, tone, loss, _ms(jitter))


def _loss(lost: int | None, packets: int | None, apart: bool) -> str:
    """Return the share that was lost; `apart`: the packets are those that arrived, without the lost ones."""
    whole = (packets or 0) + ((lost or 0) if apart else 0)
    return "–" if lost is None or not whole else f"{min(100.0, 100 * lost / whole):.1f} % ({lost})"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} ms"

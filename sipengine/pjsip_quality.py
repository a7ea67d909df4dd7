"""ADAPTER: what the library counts of a leg's RTP and RTCP, as `MediaStats`.

A stream's figures go with it, when the leg ends and when a re-INVITE makes a new one: `MediaCounts` adds them up.
"""

from __future__ import annotations

from typing import Any

import pjsua2 as pj

from sipengine.ports import MediaStats


class MediaCounts:
    """The figures of one leg over all its streams."""

    def __init__(self) -> None:
        self._past: MediaStats | None = None
        self._codec = ""

    def stream_ends(self, call: pj.Call) -> None:
        """Keep the figures of a stream that is about to be destroyed."""
        self._past = self.now(call)

    def now(self, call: pj.Call) -> MediaStats | None:
        """Return the figures so far; None for a leg that never had audio."""
        try:
            stat = call.getStreamStat(0)  # what it holds lives as long as it does
            self._codec = self._codec or str(call.getStreamInfo(0).codecName)
        except pj.Error:
            return self._past
        present = _figures(stat, self._codec)
        return present if self._past is None else _sum(self._past, present)

    @property
    def past(self) -> MediaStats | None:
        """The figures of the streams that have ended."""
        return self._past


def _figures(stat: Any, codec: str) -> MediaStats:
    rtcp = stat.rtcp
    received, sent, trip = rtcp.rxStat, rtcp.txStat, rtcp.rttUsec
    jitter, far_jitter = received.jitterUsec, sent.jitterUsec
    told = sent.updateCount > 0  # by reports of the far end
    return MediaStats(
        codec=codec,
        packets_in=received.pkt,
        packets_out=sent.pkt,
        lost_in=received.loss,
        jitter_in=jitter.mean / 1000 if jitter.n else None,
        jitter_in_max=jitter.max / 1000 if jitter.n else None,
        lost_out=sent.loss if told else None,
        jitter_out=far_jitter.mean / 1000 if told else None,
        round_trip=trip.mean / 1000 if trip.n else None,
    )


def _sum(one: MediaStats, other: MediaStats) -> MediaStats:
    share = one.packets_in, other.packets_in
    sent = one.packets_out, other.packets_out
    return MediaStats(
        codec=other.codec,
        packets_in=one.packets_in + other.packets_in,
        packets_out=one.packets_out + other.packets_out,
        lost_in=one.lost_in + other.lost_in,
        jitter_in=_mean(one.jitter_in, other.jitter_in, share),
        jitter_in_max=max(
            (value for value in (one.jitter_in_max, other.jitter_in_max) if value is not None), default=None
        ),
        lost_out=_total(one.lost_out, other.lost_out),
        jitter_out=_mean(one.jitter_out, other.jitter_out, sent),
        round_trip=_mean(one.round_trip, other.round_trip, share),
    )


def _total(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else (one or 0) + (other or 0)


def _mean(one: float | None, other: float | None, packets: tuple[int, int]) -> float | None:
    """Return the mean, each weighted by its packets."""
    if one is None or other is None or not any(packets):
        return one if other is None else other
    return (one * packets[0] + other * packets[1]) / sum(packets)

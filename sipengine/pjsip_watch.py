"""ADAPTER: what is looked at from time to time in the PJSIP thread: levels, packets, and commands put off.

The thread's poll returns at least ten times a second, so nothing here needs a thread or a wake-up of its own.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sipengine.pjsip_audio import Mixer
from sipengine.pjsip_call import Leg
from sipengine.ports import Event, LegId, NoMedia, Quiet

log = logging.getLogger("sipengine.pjsip")

LEVEL_SECONDS = 0.1  # the poll's own period: one frame of five is looked at, and the shortest word has ten
RTP_SECONDS = 3.0

# The bridge's level is the mean of a frame's samples in 8-bit mu-law, in percent of 255. 6 is a mean of 132 of 32768: a
# sine at -47 dBov. Telephone speech is at -26 dBov (ITU-T P.56), a low voice 15 dB lower; an idle line is below -60.
SILENT = 6


class Clock:
    """Commands put off, carried out by `run` when they are due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()

    def after(self, seconds: float, command: Callable[..., None], *args: Any) -> None:
        """Carry out a command at the first poll after so many seconds."""
        heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._order), command, args))

    def run(self) -> None:
        """Carry out what is due."""
        if not self._heap or self._heap[0][0] > (now := time.monotonic()):
            return
        while self._heap and self._heap[0][0] <= now:
            _, _, command, args = heapq.heappop(self._heap)
            try:
                command(*args)
            except Exception:
                log.exception("what was put off failed: %s", command.__name__)


@dataclass(slots=True)
class _Silence:
    leg: LegId
    seconds: float
    since: float


class SilenceWatches:
    """Posts `Quiet` for a leg that has been silent as long as was asked; a leg without audio is silent."""

    def __init__(
        self, clock: Clock, audio: Mixer, post: Callable[[Event], None], alive: Callable[[LegId], bool]
    ) -> None:
        self._clock = clock
        self._audio = audio
        self._post = post
        self._alive = alive
        self._watches: dict[int, _Silence] = {}

    def add(self, number: int, leg: LegId, seconds: float) -> None:
        """Start a watch; its silence begins now."""
        if not self._alive(leg):
            return
        self._audio.measure(leg, True)
        self._watches[number] = _Silence(leg, seconds, time.monotonic())
        self._clock.after(LEVEL_SECONDS, self._look, number)

    def remove(self, number: int) -> None:
        """End a watch, if there is one of this number."""
        watch = self._watches.pop(number, None)
        if watch is not None:
            self._audio.measure(watch.leg, False)

    def _look(self, number: int) -> None:
        watch = self._watches.get(number)
        if watch is None:
            return
        if not self._alive(watch.leg):
            del self._watches[number]
            return
        now = time.monotonic()
        if self._audio.level(watch.leg) >= SILENT:
            watch.since = now
        elif now - watch.since >= watch.seconds:
            self.remove(number)
            self._post(Quiet(watch.leg, time.time(), number))
            return
        self._clock.after(LEVEL_SECONDS, self._look, number)


@dataclass(slots=True)
class _Flow:
    """What is known of the packets of a leg."""

    packets: int
    since: float
    told: bool = False


class RtpWatches:
    """Posts `NoMedia` for an answered leg from which no RTP comes, once a silence; never while it holds us.

    A leg that we hold is let off too: it has been asked to send nothing.
    """

    def __init__(
        self, clock: Clock, post: Callable[[Event], None], find: Callable[[LegId], Leg | None], limit: float
    ) -> None:
        self._clock = clock
        self._post = post
        self._find = find
        self._limit = limit
        self._period = min(RTP_SECONDS, limit / 2)

    def add(self, call: Leg) -> None:
        """Look after a leg that has been answered, as long as it lives."""
        if self._limit > 0:
            self._clock.after(self._period, self._look, call.leg, _Flow(0, time.monotonic()))

    def _look(self, leg: LegId, flow: _Flow) -> None:
        call = self._find(leg)
        if call is None or call.over:
            return
        packets, now = call.packets(), time.monotonic()
        if packets != flow.packets or call.on_hold:
            flow.packets, flow.since, flow.told = packets, now, False
        elif not flow.told and now - flow.since >= self._limit:
            flow.told = True
            self._post(NoMedia(leg, time.time(), round(now - flow.since, 1)))
        self._clock.after(self._period, self._look, leg, flow)

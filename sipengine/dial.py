"""PURE: the dial machine. Events go in, actions come out; no clock, no socket, no media.

One stage of N legs is a fork (parallel), N stages of one leg are a hunt (sequential). Whatever the order of events,
each placed leg gets exactly one `Close`, and the dial exactly one `Finish`. Sources: Twilio's `<Dial>` and `<Sip>`
pages; RFC 3261 §9 (CANCEL), §13.3.1.4 and §15 (a 200 that crosses a CANCEL is answered with ACK and BYE).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from calls.status import STRICT_TWILIO, Status, aggregate, status_from_sip

CANCELLED_CODE = 487


@dataclass(frozen=True, slots=True)
class Place:
    """Send the INVITE of leg `leg` (its index among the nouns)."""

    leg: int


@dataclass(frozen=True, slots=True)
class Arm:
    """Call `timed_out()` after this many seconds, in place of any timer armed before."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Disarm:
    """Forget the timer."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give up a leg that has not answered; `elsewhere` when another leg won (RFC 3326 Reason)."""

    leg: int
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Hangup:
    """End a leg that has answered."""

    leg: int


@dataclass(frozen=True, slots=True)
class Screen:
    """Run the screening document on the answered leg; `screened()` tells the result."""

    leg: int


@dataclass(frozen=True, slots=True)
class Bridge:
    """Join the leg with the caller, for at most the dial's time limit; `limit_reached()` tells its end."""

    leg: int


@dataclass(frozen=True, slots=True)
class Close:
    """The one terminal event of a leg; `code` is the final response of its INVITE, 0 when there was none."""

    leg: int
    status: Status
    code: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The result of the dial. `leg` is the one that decided it, None when no leg was ever placed."""

    status: Status
    leg: int | None
    code: int
    bridged: bool


Action = Place | Arm | Disarm | Cancel | Hangup | Screen | Bridge | Close | Finish


class Phase(Enum):
    """Where a leg is. `LEAVING` has been given up and waits for its final response; `CLOSED` is over."""

    WAITING = auto()
    INVITED = auto()
    SCREENED = auto()
    BRIDGED = auto()
    LEAVING = auto()
    CLOSED = auto()


@dataclass(slots=True)
class _Leg:
    phase: Phase = Phase.WAITING
    verdict: Status | None = None  # fixed when we give the leg up: why it will have ended, whatever arrives then
    code: int = 0


class Dial:
    """One `<Dial>`: `legs` nouns, rung together or one after the other.

    `ring_seconds` is how long a stage may ring; `guard_seconds` how long to wait for the answer to a CANCEL before
    going on without it; `screening` holds the legs that need a screening document; `table` says what SIP codes mean.
    """

    def __init__(
        self,
        legs: int,
        *,
        sequential: bool,
        ring_seconds: float,
        guard_seconds: float = 1.0,
        screening: frozenset[int] = frozenset(),
        table: Mapping[int, Status] = STRICT_TWILIO,
    ) -> None:
        self._legs = [_Leg() for _ in range(legs)]
        self._stages = [[index] for index in range(legs)] if sequential else [list(range(legs))] if legs else []
        self._ring_seconds = ring_seconds
        self._guard_seconds = guard_seconds
        self._screening = screening
        self._table = table
        self._stage: list[int] = []
        self._sequential = sequential
        self._guarded = False  # only legs that we gave up are left, and the wait for them is timed
        self._winner: int | None = None
        self._finished = False

    @property
    def finished(self) -> bool:
        """Say whether `Finish` has been returned."""
        return self._finished

    @property
    def over(self) -> bool:
        """Say whether nothing is left: finished, and every placed leg closed."""
        return self._finished and all(leg.phase in (Phase.WAITING, Phase.CLOSED) for leg in self._legs)

    def start(self) -> list[Action]:
        """Ring the first stage."""
        return self._next_stage()

    def answered(self, index: int) -> list[Action]:
        """The far end answered with a 2xx."""
        leg = self._legs[index]
        if leg.phase is Phase.LEAVING:
            return [Hangup(index)]
        if leg.phase is not Phase.INVITED:
            return []
        leg.code = 200
        if index in self._screening:
            leg.phase = Phase.SCREENED
            return [Screen(index)]
        return self._won(index)

    def screened(self, index: int, accepted: bool) -> list[Action]:
        """The screening document of an answered leg came to its end, or declined."""
        leg = self._legs[index]
        if leg.phase is not Phase.SCREENED:
            return []
        if accepted:
            return self._won(index)
        return [self._give_up(index, Status.COMPLETED), *self._settle()]

    def ended(self, index: int, code: int) -> list[Action]:
        """The leg is over: a final response to its INVITE, no response at all (`code` 0), or a BYE."""
        leg = self._legs[index]
        if leg.phase in (Phase.WAITING, Phase.CLOSED):
            return []
        was, leg.phase = leg.phase, Phase.CLOSED
        if leg.code != 200:
            leg.code = code
        if leg.verdict is None:
            answered = was in (Phase.BRIDGED, Phase.SCREENED)
            leg.verdict = Status.COMPLETED if answered else self._verdict(code)
        close = Close(index, leg.verdict, leg.code)
        if was is Phase.BRIDGED:
            return [close, *self._finish(Status.COMPLETED, index, bridged=True)]
        return [close, *self._settle()]

    def timed_out(self) -> list[Action]:
        """The timer fired: the stage rang long enough, or a cancelled leg did not answer its CANCEL in time."""
        if self._finished or self._winner is not None:
            return []
        if self._guarded:
            return self._stage_lost()
        ringing = [index for index in self._stage if self._legs[index].phase is Phase.INVITED]
        return [*(self._give_up(index, Status.NO_ANSWER) for index in ringing), *self._settle()]

    def limit_reached(self) -> list[Action]:
        """The bridge lasted as long as it may."""
        return self._part()

    def starred(self) -> list[Action]:
        """The caller pressed `*` and the dial allows it: hang up the callee, or give up ringing."""
        return self._part() if self._winner is not None else self.abandoned()

    def dismissed(self, index: int) -> list[Action]:
        """An operator ended this leg: the dial goes on without it, or ends if it was the one who talked."""
        leg = self._legs[index]
        if leg.phase is Phase.BRIDGED:
            return self._part()
        if leg.phase not in (Phase.INVITED, Phase.SCREENED):
            return []
        return [self._give_up(index, Status.CANCELED), *self._settle()]

    def detached(self, index: int) -> list[Action]:
        """The leg went on with a document of its own: it lives, but is no leg of this dial any more."""
        leg = self._legs[index]
        was = leg.phase
        if not self.is_wanted(index):
            return []
        leg.phase, leg.verdict = Phase.CLOSED, Status.CANCELED
        if was is Phase.BRIDGED:
            return self._finish(Status.COMPLETED, index, bridged=True)
        return self._settle()

    def is_ringing(self, index: int) -> bool:
        """Say whether the leg was called, has not answered and is still wanted."""
        return self._legs[index].phase is Phase.INVITED

    def is_wanted(self, index: int) -> bool:
        """Say whether the leg was called and has neither ended nor been given up."""
        return self._legs[index].phase in (Phase.INVITED, Phase.SCREENED, Phase.BRIDGED)

    def abandoned(self) -> list[Action]:
        """The caller is gone, or the call was redirected: give everything up."""
        if self._finished:
            return []
        if self._winner is not None:
            return self._part()
        leg = self._deciding_leg()
        return [*self._give_up_all(Status.CANCELED), *self._finish(Status.CANCELED, leg)]

    def _verdict(self, code: int) -> Status:
        status = status_from_sip(code, self._table)
        return Status.FAILED if status is Status.COMPLETED else status

    def _next_stage(self) -> list[Action]:
        if not self._stages:
            return self._finish(*self._loss())
        self._stage, self._guarded = self._stages.pop(0), False
        for index in self._stage:
            self._legs[index].phase = Phase.INVITED
        return [*(Place(index) for index in self._stage), Arm(self._ring_seconds)]

    def _won(self, index: int) -> list[Action]:
        self._winner = index
        self._legs[index].phase = Phase.BRIDGED
        losers = self._give_up_all(Status.CANCELED, elsewhere=True)
        return [Disarm(), *losers, Bridge(index)]

    def _give_up_all(self, verdict: Status, *, elsewhere: bool = False) -> list[Action]:
        live = (Phase.INVITED, Phase.SCREENED)
        return [
            self._give_up(index, verdict, elsewhere=elsewhere)
            for index, leg in enumerate(self._legs)
            if leg.phase in live
        ]

    def _give_up(self, index: int, verdict: Status, *, elsewhere: bool = False) -> Action:
        leg = self._legs[index]
        answered = leg.phase is not Phase.INVITED
        leg.phase = Phase.LEAVING
        leg.verdict = Status.COMPLETED if answered else verdict
        return Hangup(index) if answered else Cancel(index, elsewhere)

    def _settle(self) -> list[Action]:
        """Go on when nothing of the stage can win any more; wait a little for the answers to our CANCELs."""
        if self._finished or self._winner is not None:
            return []
        phases = {self._legs[index].phase for index in self._stage}
        if phases & {Phase.INVITED, Phase.SCREENED}:
            return []
        if Phase.LEAVING not in phases:
            return self._stage_lost()
        if self._guarded:
            return []
        self._guarded = True
        return [Arm(self._guard_seconds)]

    def _stage_lost(self) -> list[Action]:
        return [Disarm(), *self._next_stage()] if self._stages else self._finish(*self._loss())

    def _loss(self) -> tuple[Status, int | None]:
        """Say how a dial that nobody won ended: a hunt as its last leg, a fork by `aggregate`."""
        results = {index: leg.verdict for index in self._stage if (leg := self._legs[index]).verdict is not None}
        verdicts = {index: verdict for index, verdict in results.items() if verdict is not None}
        if not verdicts:
            return Status.FAILED, None
        # A callee who declined in screening did answer; the dial as a whole did not reach anybody.
        seen = {index: Status.NO_ANSWER if v is Status.COMPLETED else v for index, v in verdicts.items()}
        status = aggregate(seen.values())
        return status, next(index for index, verdict in seen.items() if verdict is status)

    def _deciding_leg(self) -> int | None:
        return self._stage[0] if self._stage else None

    def _part(self) -> list[Action]:
        if self._finished or self._winner is None:
            return []
        index = self._winner
        leg = self._legs[index]
        leg.phase, leg.verdict = Phase.LEAVING, Status.COMPLETED
        return [Hangup(index), *self._finish(Status.COMPLETED, index, bridged=True)]

    def _finish(self, status: Status, leg: int | None, *, bridged: bool = False) -> list[Action]:
        self._finished = True
        code = self._legs[leg].code if leg is not None else 0
        if leg is not None and code == 0 and self._legs[leg].phase is Phase.LEAVING:
            code = CANCELLED_CODE
        return [Disarm(), Finish(status, leg, code, bridged)]

"""PURE: one simulated `<Dial>`: the engine's dial machine, told by scripted phones instead of SIP."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Protocol, assert_never

from calls.status import Status
from sipengine import dial, twiml
from sipengine.simulation.scene import Leg, Manner, Phone, Scene, key_of

REPLY_SECONDS = 0.2  # until a phone's refusal, or its answer to a CANCEL, is here
UNREACHABLE_SECONDS = 0.8
REFUSALS = {
    Manner.BUSY: (486, REPLY_SECONDS, "is busy (SIP 486)"),
    Manner.UNREGISTERED: (480, REPLY_SECONDS, "is not there, switched off or logged out (SIP 480)"),
    Manner.UNREACHABLE: (503, UNREACHABLE_SECONDS, "cannot be reached: no phone or no network there (SIP 503)"),
}

Actions = Iterable[dial.Action]


class Caller(Protocol):
    """The call that dials; `now` is its clock."""

    scene: Scene
    now: float
    reached: bool
    legs: list[Leg]

    @property
    def leaves(self) -> float | None: ...

    def tell(self, text: str, tone: str = "plain") -> None: ...

    def answer(self) -> None: ...

    def screening(self, url: str, leg: Leg, phone: Phone) -> tuple[float, bool]: ...


class SimulatedDial:
    """Runs one `<Dial>` to its `finish`; `caller_left` says whether the caller gave up meanwhile."""

    finish: dial.Finish

    def __init__(self, call: Caller, verb: twiml.Dial) -> None:
        self._call, self._verb, self._scene = call, verb, call.scene
        self._events: list[tuple[float, int, Callable[[], Actions]]] = []
        self._order = count()
        self._timer = -1  # the event that the dial waits for, of those that were armed
        self._legs: dict[int, Leg] = {}
        self._finished_at = call.now
        self.caller_left = False
        self._machine = dial.Dial(
            len(verb.nouns),
            sequential=verb.sequential,
            ring_seconds=verb.timeout + self._scene.buffer,
            guard_seconds=self._scene.guard,
            screening=frozenset(i for i, noun in enumerate(verb.nouns) if isinstance(noun, twiml.Party) and noun.url),
            table=self._scene.table,
        )

    def run(self) -> None:
        """Ring until the dial is decided and each leg has ended; the call's clock then shows when it was decided."""
        if self._call.leaves is not None:
            self._later(self._call.leaves - self._call.now, self._left)
        self._perform(self._machine.start())
        while self._events and not self._machine.over:
            self._call.now, _, event = heapq.heappop(self._events)
            self._perform(event())
        self._call.now = self._finished_at

    def _later(self, seconds: float, event: Callable[[], Actions]) -> int:
        number = next(self._order)
        heapq.heappush(self._events, (self._call.now + max(0.0, seconds), number, event))
        return number

    def _perform(self, actions: Actions) -> None:
        for action in actions:
            match action:
                case dial.Place(leg=index):
                    self._place(index)
                case dial.Arm(seconds=seconds):
                    self._timer = next(self._order)
                    self._later(seconds, partial(self._timed_out, self._timer))
                case dial.Disarm():
                    self._timer = -1
                case dial.Cancel(leg=index):
                    self._later(REPLY_SECONDS, partial(self._machine.ended, index, dial.CANCELLED_CODE))
                case dial.Hangup(leg=index):
                    self._later(REPLY_SECONDS, partial(self._machine.ended, index, 200))
                case dial.Screen(leg=index):
                    self._screen(index)
                case dial.Bridge(leg=index):
                    self._bridge(index)
                case dial.Close(leg=index, status=status, code=code):
                    self._close(index, status, code)
                case dial.Finish():
                    self.finish, self._finished_at = action, self._call.now
                case _:
                    assert_never(action)

    def _timed_out(self, timer: int) -> Actions:
        return self._machine.timed_out() if timer == self._timer else ()

    def _left(self) -> Actions:
        if self._machine.finished or self._call.reached:
            return ()
        self.caller_left = True
        return self._machine.abandoned()

    def _phone(self, index: int) -> Phone:
        return self._scene.phones.get(key_of(self._verb.nouns[index]), self._scene.other)

    def _place(self, index: int) -> None:
        noun = self._verb.nouns[index]
        key = key_of(noun)
        leg = self._legs[index] = Leg(key, self._scene.names.get(key, key), self._call.now)
        self._call.legs.append(leg)
        if isinstance(noun, twiml.BadNoun):
            self._call.tell(f"{leg.name} cannot be called: {noun.message} (error {noun.code}).", "bad")
            self._later(0.0, partial(self._machine.ended, index, 0))
            return
        phone = self._phone(index)
        match phone.manner:
            case Manner.ANSWERS:
                self._call.tell(f"{leg.name} rings.")
                self._later(phone.seconds, partial(self._answered, index))
            case Manner.NO_ANSWER:
                self._call.tell(f"{leg.name} rings.")
            case Manner.DECLINES:
                self._call.tell(f"{leg.name} rings.")
                self._later(phone.seconds, partial(self._refused, index, 603, "declines (SIP 603)"))
            case manner:
                code, seconds, text = REFUSALS[manner]
                self._call.tell(f"{leg.name} is called.")
                self._later(seconds, partial(self._refused, index, code, text))

    def _refused(self, index: int, code: int, text: str) -> Actions:
        if not self._machine.is_ringing(index):
            return ()
        self._call.tell(f"{self._legs[index].name} {text}.", "busy" if code in (486, 603) else "bad")
        return self._machine.ended(index, code)

    def _answered(self, index: int) -> Actions:
        if not self._machine.is_ringing(index):
            return ()
        leg = self._legs[index]
        leg.answered = self._call.now
        self._call.tell(f"{leg.name} answers.", "good")
        return self._machine.answered(index)

    def _screen(self, index: int) -> None:
        noun, leg = self._verb.nouns[index], self._legs[index]
        url = noun.url if isinstance(noun, twiml.Party) else None
        assert url  # or else the machine would not screen it
        began = self._call.now
        seconds, accepted = self._call.screening(url, leg, self._phone(index))
        self._call.now = began
        self._later(seconds, partial(self._machine.screened, index, accepted))

    def _bridge(self, index: int) -> None:
        leg = self._legs[index]
        leg.bridged = self._call.now
        self._call.reached = True
        self._call.answer()
        self._call.tell(f"The caller talks with {leg.name}.", "good")
        limit = float(self._verb.time_limit)
        if self._scene.talk < limit:
            self._later(self._scene.talk, partial(self._hung_up, index))
        else:
            self._later(limit, partial(self._limit, index))

    def _hung_up(self, index: int) -> Actions:
        self._call.tell(f"{self._legs[index].name} hangs up after {self._scene.talk:.0f} s.")
        return self._machine.ended(index, 200)

    def _limit(self, index: int) -> Actions:
        self._call.tell(f"The time limit of {self._verb.time_limit} s ends the conversation.", "busy")
        return self._machine.limit_reached()

    def _close(self, index: int, status: Status, code: int) -> None:
        leg = self._legs[index]
        leg.ended, leg.status, leg.code = self._call.now, status, code
        match status:
            case Status.NO_ANSWER:
                self._call.tell(f"{leg.name} has not answered in time.", "busy")
            case Status.CANCELED:
                self._call.tell(f"{leg.name} stops ringing.", "quiet")
            case Status.COMPLETED if leg.bridged is None:
                self._call.tell(f"{leg.name} did not take the call.", "busy")
            case _:
                pass

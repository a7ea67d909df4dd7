"""asyncio: `<Dial><Queue>`: takes the caller who has waited longest, or waits for one, and talks with that call.

Source: Twilio's `<Queue>` and `<Dial>` pages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from calls.status import Status
from calls.webhooks import DialResult, dial_parameters
from sipengine import twiml
from sipengine.callbacks import spec_of
from sipengine.documents import Goto, Next
from sipengine.ports import Digit, Event, Held, LegId
from sipengine.queues import Queue, Waiting
from sipengine.recorder import Recorder
from sipengine.records import Leg
from sipengine.ringback import Ringback
from sipengine.script import Script
from sipengine.waiting import go_on, place_of

LIMIT_REACHED = 32015
UNPLACED: LegId = 0


class DequeueRun:
    """One `<Dial><Queue>` while it runs. `find` returns the queue."""

    def __init__(self, script: Script, verb: twiml.Dial, noun: twiml.Queue, find: Callable[[], Queue]) -> None:
        self._script = script
        self._verb = verb
        self._noun = noun
        self._find = find
        self._phone = script.services.phone
        self._loop = asyncio.get_running_loop()
        self._queue: Queue | None = None
        self._greeting: Goto | None = None
        self._caller: Waiting | None = None
        self._partner: Leg | None = None
        self._bridged_at: float | None = None
        self._duration: int | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ringing = Ringback(self._phone, script.leg, verb.ring_tone)
        self._recorder: Recorder | None = None
        self._on_hold: set[LegId] = set()
        self._over: asyncio.Future[Status] = self._loop.create_future()
        self._gone = False

    async def run(self) -> Next:
        """Talk with the next caller; then go on at the action, or with the next verb."""
        script, verb, noun = self._script, self._verb, self._noun
        action = place_of(script, verb.action, verb.method)
        self._greeting = place_of(script, noun.url, noun.method)
        script.log.event("dial", queue=noun.name, timeout=verb.timeout, record=verb.record.value)
        if verb.record.value.startswith("record-from-ringing"):
            self._start_recording()
        self._deadline = self._loop.time() + verb.timeout + script.services.dial.timeout_buffer
        self._seek(again=False)
        status = await asyncio.shield(self._over)
        result = DialResult(
            status=status.value,
            call_sid=self._partner.record.sid if self._partner is not None else "",
            duration=self._duration,
            bridged=self._partner is not None,
            recording_url=self._recorder.url if self._recorder is not None else "",
        )
        return await go_on(script, action, dial_parameters(result), gone=self._gone)

    def abandon(self, *, parent_gone: bool) -> None:
        """Give up: the dialling call hung up, or goes on elsewhere."""
        self._gone = self._gone or parent_gone
        self._finish(Status.CANCELED)

    def on_event(self, event: Event) -> None:
        """Take an event of the dialling leg."""
        match event:
            case Digit(digit="*") if self._verb.hangup_on_star:
                self._script.log.event("digit", event.time, digit="*")
                self._finish(Status.CANCELED)
            case Digit(digit=digit) if self._bridged_at is not None and self._caller is not None:
                assert self._caller.leg.id is not None
                self._phone.send_digits(self._caller.leg.id, digit)
            case Held(held=held) if self._bridged_at is not None and self._caller is not None:
                self._hold(self._caller.leg, held)

    def take(self, caller: Waiting) -> None:
        """Connect this caller, who first hears the noun's document if it has one."""
        self._disarm()
        self._caller = caller
        if self._greeting is None:
            self._connect()
        else:
            caller.greet(self._greeting, self._script.leg.record.sid, self._connect)

    def lost(self) -> None:
        """Take in that the caller is no longer there: the talk is over, or the next one is taken."""
        if self._bridged_at is not None:
            self._finish(Status.COMPLETED)
            return
        self._caller = None
        self._seek(again=True)

    def press(self, digit: str) -> None:
        """Send a key on that the caller pressed."""
        self._phone.send_digits(self._script.line.id, digit)

    def put_on_hold(self, held: bool) -> None:
        """Take in that the caller's phone holds us, or takes us back."""
        self._hold(self._script.leg, held)

    def _seek(self, *, again: bool) -> None:
        self._arm(self._deadline - self._loop.time(), self._timed_out)
        self._queue = self._find()
        self._queue.seek(self, again=again)
        if self._bridged_at is None:
            self._ringing.heard(UNPLACED, media=False)

    def _timed_out(self) -> None:
        self._finish(Status.NO_ANSWER)

    def _connect(self) -> None:
        caller, now = self._caller, time.time()
        assert caller is not None
        partner = self._partner = caller.leg
        assert partner.id is not None
        self._ringing.stop()
        self._bridged_at = now
        self._phone.bridge(self._script.line.id, partner.id)
        caller.connected()
        self._script.log.event("bridged", now, leg=partner.record.sid, to=partner.record.from_address)
        if self._recorder is not None:
            if self._verb.recording_track != "inbound":
                self._recorder.also(1 if self._dual else 0, partner.id)
        elif self._verb.record.value.startswith("record-from-answer"):
            self._start_recording(partner.id)
        self._arm(self._verb.time_limit, self._limit_reached)

    def _limit_reached(self) -> None:
        seconds = self._verb.time_limit
        self._script.log.note(LIMIT_REACHED, f"the time limit of {seconds} s ended the conversation")
        self._finish(Status.COMPLETED)

    def _finish(self, status: Status) -> None:
        if self._over.done() or self._queue is None:
            return
        self._disarm()
        self._ringing.stop()
        self._queue.stop_seeking(self)
        caller, self._caller = self._caller, None
        if self._bridged_at is not None:
            status = Status.COMPLETED
            self._duration = max(0, round(time.time() - self._bridged_at))
            self._part()
        if self._recorder is not None:
            self._recorder.stop()
        sid = self._partner.record.sid if self._partner is not None else ""
        self._script.log.event("dial.finished", status=status.value, leg=sid)
        self._over.set_result(status)
        if caller is not None and self._bridged_at is not None:
            caller.released()
        elif caller is not None:
            caller.returned()

    def _part(self) -> None:
        assert self._partner is not None and self._partner.id is not None
        self._phone.unbridge(self._script.line.id, self._partner.id)
        for leg in self._on_hold:
            self._phone.hold(leg, False)

    def _hold(self, leg: Leg, held: bool) -> None:
        assert leg.id is not None
        self._phone.hold(leg.id, held)
        if held:
            self._on_hold.add(leg.id)
        else:
            self._on_hold.discard(leg.id)

    def _arm(self, seconds: float, then: Callable[[], None]) -> None:
        self._disarm()
        self._timer = self._loop.call_later(max(0.0, seconds), then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _dual(self) -> bool:
        return self._verb.record.value.endswith("-dual") and self._verb.recording_track == "both"

    def _start_recording(self, partner: LegId | None = None) -> None:
        mine, theirs = [self._script.line.id], [] if partner is None else [partner]
        track = self._verb.recording_track
        both = [mine, theirs] if self._dual else [[*mine, *theirs]]
        services = self._script.services
        self._recorder = Recorder(
            self._script.leg.record,
            {"both": both, "inbound": [mine], "outbound": [theirs]}[track],
            source="DialVerb",
            phone=self._phone,
            log=self._script.log,
            callbacks=services.callbacks,
            own=services.own,
            folder=services.recordings,
            public_url=services.public_url,
            track=track,
            trim=self._verb.trim,
            callback=spec_of(self._verb.recording_callback, self._script.documents.absolute, self._script.log),
        )

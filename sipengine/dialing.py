"""asyncio: one `<Dial>` while it runs. The machine of `dial.py` decides; this file carries its actions out on the phone
and tells it what the phone reports. No decision about who wins, loses or goes next is made here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import assert_never

from calls.status import Status
from calls.verb_parameters import transfer_parameters
from calls.webhooks import Completion, WebhookError
from routing.answers import Application
from sipengine import dial, twiml
from sipengine.callbacks import spec_of
from sipengine.child import Child
from sipengine.documents import Goto, Inline
from sipengine.outcome import DialOutcome, Referral, note_declined_refer, note_silence
from sipengine.ports import (
    Answered,
    Digit,
    Ended,
    Event,
    Headers,
    Held,
    LegId,
    Measured,
    NoMedia,
    Placed,
    ReferDeclined,
    Referred,
    Ringing,
)
from sipengine.recorder import Recorder
from sipengine.records import CallLog, Leg
from sipengine.ringback import Ringback
from sipengine.script import Script
from sipengine.services import Adoption

ELSEWHERE: Headers = (("Reason", 'SIP;cause=200;text="Call completed elsewhere"'),)
FORGOTTEN = "the SIP library never reported its end"


class DialRun:
    """Runs one `<Dial>` for the parent leg. Events of all its legs come in through `on_event`.

    `answer_parent` answers the caller if needed; `changed` is called whenever `over` may have changed. The run lives
    until the last of its legs has ended, which may be after `outcome` is known.
    """

    def __init__(
        self,
        verb: twiml.Dial,
        script: Script,
        application: Application,
        *,
        answer_parent: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        services = script.services
        self.verb = verb
        self.parent = script.leg
        self._script = script
        self._application = application
        self._services = services
        self._phone = services.phone
        self._log: CallLog = script.log
        self._settings = services.dial
        self._answer_parent = answer_parent
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._children: dict[int, Child] = {}
        self._machine = dial.Dial(
            len(verb.nouns),
            sequential=verb.sequential,
            ring_seconds=verb.timeout + self._settings.timeout_buffer,
            guard_seconds=self._settings.cancel_guard,
            screening=frozenset(
                index for index, noun in enumerate(verb.nouns) if isinstance(noun, twiml.Party) and noun.url
            ),
            table=self._settings.table,
        )
        self._timer: asyncio.TimerHandle | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._ringback = Ringback(services.phone, script.leg, verb.ring_tone)
        self._recorder: Recorder | None = None
        self._bridged: Child | None = None
        self._talking = False
        self._held: set[LegId] = set()  # by the other one, who holds us
        self._refer_url: str | None = None  # once the two who talk may refer
        self._bridged_at: float | None = None
        self._referral: Referral | None = None
        self.outcome: asyncio.Future[DialOutcome] = self._loop.create_future()
        self.parent_gone = False

    @property
    def over(self) -> bool:
        """Say whether the dial is finished, each of its legs has ended and its recording is closed."""
        return self._machine.over and (self._recorder is None or self._recorder.over)

    def start(self) -> None:
        """Ring the first stage."""
        self._log.event(
            "dial",
            legs=len(self.verb.nouns),
            sequential=self.verb.sequential,
            timeout=self.verb.timeout,
            record=self.verb.record.value,
        )
        if self.verb.record.value.startswith("record-from-ringing"):
            self._start_recording()
        self._perform(self._machine.start())

    def abandon(self, *, parent_gone: bool) -> None:
        """Give up: the caller hung up, or the call was redirected."""
        self.parent_gone = self.parent_gone or parent_gone
        self._perform(self._machine.abandoned())

    def close_forgotten(self) -> None:
        """Give every leg whose end the phone never told its terminal event all the same, and the recording its end."""
        for child in self._children.values():
            if child.leg.id is not None:
                self.on_event(Ended(child.leg.id, time.time(), 0, by_peer=False, error=FORGOTTEN))
        if self._recorder is not None:
            self._recorder.finish()

    def index_of(self, sid: str) -> int | None:
        """Return the place of the leg of this SID, if it is placed and has not been given up."""
        for index, child in self._children.items():
            if child.leg.record.sid == sid and child.leg.id is not None and self._machine.is_wanted(index):
                return index
        return None

    def leg(self, index: int) -> Leg:
        """Return the leg of a noun that was started."""
        return self._children[index].leg

    def note_command(self, index: int, what: str, by: str) -> None:
        """Tell the timeline that an operator changes this leg."""
        self._log.event("command", leg=self._children[index].leg.record.sid, what=what, by=by)

    def end_leg(self, index: int) -> None:
        """End one leg because an operator asked; the dial goes on without it."""
        self._children[index].cause = "operator"
        self._perform(self._machine.dismissed(index))

    def detach(self, index: int, step: Goto | Inline, fallback: Goto | None = None) -> None:
        """Let a leg go on with a document of its own, in whatever state it is; `fallback` as in `session.redirect`."""
        application = self._application
        if fallback is not None:
            application = replace(application, fallback_url=fallback.url, fallback_method=fallback.method)
        child = self._children[index]
        assert child.leg.id is not None
        child.stop()
        self._log.stop_recording(child.leg.record.sid)
        if self._bridged is child:
            self._part()
        self._ringback.forget(child.leg.id)
        self._services.adopt(Adoption(child.leg, application, step, float(self.verb.timeout)))
        self._perform(self._machine.detached(index))
        self._changed()

    def on_event(self, event: Event) -> None:
        """Take an event of one of the dialled legs, or of the caller's."""
        if event.leg == self.parent.id:
            self._parent_event(event)
            return
        for index, child in self._children.items():
            if child.leg.id == event.leg:
                self._child_event(index, child, event)
                return

    def _child_event(self, index: int, child: Child, event: Event) -> None:
        match event:
            case Placed():
                child.placed(event)
            case Ringing():
                child.ringing(event)
                self._hear(index, child, event)
            case Answered():
                child.headers = child.leg.sip.headers = event.headers
                if self._machine.is_ringing(index):
                    child.answered(event.time)
                self._perform(self._machine.answered(index))
            case Ended():
                self._ended(index, child, event)
            case Referred():
                self._refer(event, by_parent=False)
            case ReferDeclined():
                note_declined_refer(self._log, child.leg, event)
            case Held():
                self._pass_hold(event, child.leg, self.parent)
            case NoMedia():
                note_silence(self._log, child.leg, event)
                if self._settings.end_without_media:
                    self._phone.hangup(event.leg)
            case Measured():
                self._log.measured(child.leg, event)
            case Digit(digit=digit) if self._talking and child is self._bridged and self.parent.id is not None:
                self._phone.send_digits(self.parent.id, digit)
            case _:
                child.line.on_event(event)

    def _hear(self, index: int, child: Child, event: Ringing) -> None:
        """Let the caller hear that a far end rings."""
        leg = child.leg
        if leg.id is None or not self._machine.is_ringing(index):
            return
        if self._ringback.heard(leg.id, media=event.media):
            self._log.event("leg.early-media", event.time, leg=leg.record.sid, to=leg.record.to_address)

    def _ended(self, index: int, child: Child, event: Ended) -> None:
        self._ringback.forget(event.leg)
        if self._machine.is_ringing(index) and child.next_address(event):
            return
        child.ended(event)
        self._perform(self._machine.ended(index, event.code))
        if not self._machine.finished and self._bridged is None:
            self._ringback.again()
        self._changed()

    def _cannot_be_called(self, child: Child) -> None:
        index = next((index for index, one in self._children.items() if one is child), None)
        if index is not None:
            self._perform(self._machine.ended(index, 0))
            self._changed()

    def _parent_event(self, event: Event) -> None:
        match event:
            case Digit(digit="*") if self.verb.hangup_on_star:
                self._log.event("digit", event.time, digit="*")
                self._perform(self._machine.starred())
            case Digit(digit=digit) if self._talking and self._bridged is not None:
                # The bridge carries sound; keys come as events (RFC 4733) and must be sent on as such.
                self._phone.send_digits(self._bridged.line.id, digit)
            case Referred():
                self._refer(event, by_parent=True)
            case Held() if self._bridged is not None:
                self._pass_hold(event, self.parent, self._bridged.leg)

    def _perform(self, actions: Sequence[dial.Action]) -> None:
        for action in actions:
            match action:
                case dial.Place(leg=index):
                    self._place(index)
                case dial.Arm(seconds=seconds):
                    self._arm(seconds)
                case dial.Disarm():
                    self._disarm()
                case dial.Cancel(leg=index, elsewhere=elsewhere):
                    self._give_up(index, ELSEWHERE if elsewhere else ())
                case dial.Hangup(leg=index):
                    self._give_up(index, ())
                case dial.Screen(leg=index):
                    self._screen(index)
                case dial.Bridge(leg=index):
                    self._bridge(index)
                case dial.Close(leg=index, status=status, code=code):
                    self._close(index, status, code)
                case dial.Finish():
                    self._finish(action)
                case _:
                    assert_never(action)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self._loop.call_later(seconds, lambda: self._perform(self._machine.timed_out()))

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self, index: int, headers: Headers) -> None:
        child = self._children[index]
        if child.leg.id is not None:
            self._ringback.forget(child.leg.id)
        child.give_up("caller" if self.parent_gone else "engine", headers)

    def _place(self, index: int) -> None:
        child = self._children[index] = Child(
            self.verb.nouns[index],
            self.verb,
            self._script,
            self._application,
            on_event=self.on_event,
            failed=self._cannot_be_called,
        )
        child.start()

    def _screen(self, index: int) -> None:
        """Ask the callee; the caller goes on hearing that it rings."""
        child = self._children[index]
        assert child.leg.id is not None
        self._ringback.screened(child.leg.id)

        def done(accepted: bool) -> None:
            self._perform(self._machine.screened(index, accepted))
            self._changed()

        child.screen(done)

    def _bridge(self, index: int) -> None:
        child = self._children[index]
        leg, now = child.leg, time.time()
        assert leg.id is not None and self.parent.id is not None  # only a placed leg answers
        self._answer_parent()
        self._ringback.stop()
        self._bridged, self._bridged_at, self._talking = child, now, True
        self._phone.bridge(self.parent.id, leg.id)
        self._log.event("bridged", now, leg=leg.record.sid, to=leg.record.to_address)
        if self._recorder is not None:
            if self.verb.recording_track != "inbound":
                self._recorder.also(1 if self._dual else 0, leg.id)
        elif self.verb.record.value.startswith("record-from-answer"):
            self._start_recording(leg.id)
        self._allow_refer(self.parent.id, leg.id)
        child.send_digits()
        self._limit = self._loop.call_later(self.verb.time_limit, self._time_limit)

    def _allow_refer(self, *legs: LegId) -> None:
        if self.verb.refer_url is None:
            return
        try:
            self._refer_url = self._script.documents.absolute(self.verb.refer_url)
        except WebhookError as error:
            self._log.note(error.code, f"referUrl: {error.message}")
            return
        for leg in legs:
            self._phone.allow_refer(leg, True)

    def _time_limit(self) -> None:
        self._log.note(32015, f"the time limit of {self.verb.time_limit} s ended the conversation")
        self._perform(self._machine.limit_reached())

    def _refer(self, event: Referred, *, by_parent: bool) -> None:
        """One of the two who talk asks us to connect the other with somebody else."""
        child = self._bridged
        if child is None or not self._talking or self._refer_url is None:
            return
        who = self.parent if by_parent else child.leg
        self._log.event("refer", event.time, leg=who.record.sid, target=event.target)
        self._referral = Referral(by_parent, event.target)
        if not by_parent:
            child.cause = "callee"
            self._perform(self._machine.limit_reached())
            return
        step = Goto(self._refer_url, self.verb.refer_method, transfer_parameters(event.target))
        self.detach(next(index for index, one in self._children.items() if one is child), step)

    def _pass_hold(self, event: Held, who: Leg, other: Leg) -> None:
        if not self._talking or other.id is None:
            return
        name = "leg.held" if event.held else "leg.resumed"
        self._log.event(name, event.time, leg=who.record.sid, to=who.record.to_address)
        self._phone.hold(other.id, event.held)
        (self._held.add if event.held else self._held.discard)(other.id)

    def _close(self, index: int, status: Status, code: int) -> None:
        child, recorder = self._children[index], self._recorder

        def recorded(duration: int) -> Completion:
            assert recorder is not None
            return Completion(duration, code, recorder.sid, recorder.url, recorder.seconds)

        was_recorded = recorder is not None and child is self._bridged
        child.close(status, code, bridged=self._bridged is not None, recorded=recorded if was_recorded else None)

    def _part(self) -> None:
        """Take the caller and the callee apart; whoever lives on is neither held nor may refer any more."""
        child = self._bridged
        if not self._talking or child is None:
            return
        self._talking = False
        assert self.parent.id is not None and child.leg.id is not None
        gone = {self.parent.id: self.parent_gone, child.leg.id: child.leg.ended}
        if not any(gone.values()):
            self._phone.unbridge(self.parent.id, child.leg.id)
        for leg in (leg for leg, is_gone in gone.items() if not is_gone):
            if self._refer_url is not None:
                self._phone.allow_refer(leg, False)
            if leg in self._held:
                self._phone.hold(leg, False)

    def _finish(self, result: dial.Finish) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._ringback.stop()
        now = time.time()
        self._part()
        if self._recorder is not None:
            self._recorder.stop()
        child = self._children.get(result.leg) if result.leg is not None else None
        self._log.event(
            "dial.finished",
            now,
            status=result.status.value,
            code=result.code,
            leg=child.leg.record.sid if child else "",
        )
        self.outcome.set_result(
            DialOutcome(
                status=result.status,
                leg=child.leg if child else None,
                code=result.code,
                bridged=result.bridged,
                duration=max(0, round(now - self._bridged_at)) if self._bridged_at is not None else None,
                headers=child.headers if child else (),
                recording_sid=self._recorder.sid if self._recorder else "",
                referral=self._referral,
            )
        )

    @property
    def _dual(self) -> bool:
        return self.verb.record.value.endswith("-dual") and self.verb.recording_track == "both"

    def _start_recording(self, child: LegId | None = None) -> None:
        assert self.parent.id is not None
        track = self.verb.recording_track
        sides = [] if child is None else [child]
        groups = {
            "both": [[self.parent.id], sides] if self._dual else [[self.parent.id, *sides]],
            "inbound": [[self.parent.id]],
            "outbound": [sides],
        }[track]
        services = self._services
        self._recorder = Recorder(
            self.parent.record,
            groups,
            source="DialVerb",
            phone=self._phone,
            log=self._log,
            callbacks=services.callbacks,
            own=self._own_recorder,
            folder=services.recordings,
            public_url=services.public_url,
            track=track,
            trim=self.verb.trim,
            callback=spec_of(self.verb.recording_callback, self._script.documents.absolute, self._log),
        )

    def _own_recorder(self, number: LegId, handler: Callable[[Event], None]) -> None:
        def handle(event: Event) -> None:
            handler(event)
            self._changed()

        self._services.own(number, handle)

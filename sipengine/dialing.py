"""asyncio: one `<Dial>` while it runs. The machine of `dial.py` decides; this file carries its actions out on the phone
and tells it what the phone reports. No decision about who wins, loses or goes next is made here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from calls.entries import CallbackSpec, CallRecord
from calls.status import Direction, Status
from calls.verb_parameters import amd_parameters, transfer_parameters
from calls.webhooks import Completion, WebhookError
from routing.answers import Application
from routing.outbound import NoWay, Way
from routing.sid import new_sid
from sipengine import dial, targets, twiml
from sipengine.callbacks import spec_of
from sipengine.documents import Documents, Goto, How, Inline
from sipengine.line import Line
from sipengine.ports import (
    Answered,
    Digit,
    Ended,
    Event,
    Headers,
    Held,
    LegId,
    NoMedia,
    Placed,
    Referred,
    Ringing,
    Target,
)
from sipengine.recorder import Recorder
from sipengine.records import CallLog, Leg
from sipengine.resolving import NOT_RESOLVABLE, is_address, lookup_problem
from sipengine.ringback import Ringback
from sipengine.script import Script
from sipengine.services import Adoption

ELSEWHERE: Headers = (("Reason", 'SIP;cause=200;text="Call completed elsewhere"'),)
FORGOTTEN = "the SIP library never reported its end"
NO_AUDIO = 32014
UNKNOWN_REGION = 32215


@dataclass(frozen=True, slots=True)
class Referral:
    """A REFER that one of the two who talk sent: whom the other one is to talk to."""

    by_parent: bool
    target: str


@dataclass(frozen=True, slots=True)
class DialOutcome:
    """What a `<Dial>` came to, for the action request and the call log."""

    status: Status
    leg: Leg | None = None
    code: int = 0
    bridged: bool = False
    duration: int | None = None
    headers: Headers = ()
    recording_sid: str = ""
    referral: Referral | None = None


@dataclass(slots=True)
class _Child:
    """A noun's leg: placed, or about to be while its host name is looked up. `ways` are the addresses still to try."""

    noun: twiml.Noun
    leg: Leg
    line: Line
    ways: list[Way] = field(default_factory=list)
    lookup: asyncio.Task[None] | None = None
    screening: asyncio.Task[None] | None = None
    headers: Headers = ()
    error: str = ""
    error_code: int = 0
    cause: str = ""


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
        self._children: dict[int, _Child] = {}
        self._index: dict[LegId, int] = {}
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
        self._bridged: _Child | None = None
        self._bridged_at: float | None = None
        self._referral: Referral | None = None
        self._digits: asyncio.Task[None] | None = None
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
        for leg in list(self._index):
            self.on_event(Ended(leg, time.time(), 0, by_peer=False, error=FORGOTTEN))
        if self._recorder is not None:
            self._recorder.finish()

    def index_of(self, sid: str) -> int | None:
        """Return the place of the leg of this SID, if it lives and is placed."""
        for index, child in self._children.items():
            if child.leg.record.sid == sid and not child.leg.ended and child.leg.id in self._index:
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

    def detach(self, index: int, step: Goto | Inline) -> None:
        """Let a leg go on with a document of its own, in whatever state it is."""
        child = self._children[index]
        leg_id = child.leg.id
        assert leg_id is not None
        if child.screening is not None:
            child.screening.cancel()
        if self._bridged is child:
            self._part(child)
        self._ringback.forget(leg_id)
        del self._index[leg_id]
        self._services.adopt(Adoption(child.leg, self._application, step, float(self.verb.timeout)))
        self._perform(self._machine.detached(index))
        self._changed()

    def on_event(self, event: Event) -> None:
        """Take an event of one of the dialled legs, or of the caller's."""
        if event.leg == self.parent.id:
            self._parent_event(event)
            return
        index = self._index.get(event.leg)
        if index is None:  # a leg that was tried before, or goes on by itself
            return
        child = self._children[index]
        match event:
            case Placed():
                child.leg.record.sip_call_id = child.leg.sip.call_id = event.call_id
            case Ringing():
                self._ringing(child, event)
            case Answered():
                self._answered(index, child, event)
            case Ended():
                self._ended(index, child, event)
                self._changed()
            case Referred():
                self._refer(event, by_parent=False)
            case Held():
                self._pass_hold(event, child.leg, self.parent)
            case NoMedia():
                note_silence(self._log, child.leg, event)
                if self._settings.end_without_media:
                    self._phone.hangup(event.leg)
            case _:
                child.line.on_event(event)

    def _parent_event(self, event: Event) -> None:
        match event:
            case Digit(digit="*") if self.verb.hangup_on_star:
                self._log.event("digit", event.time, digit="*")
                self._perform(self._machine.starred())
            case Referred():
                self._refer(event, by_parent=True)
            case Held() if self._bridged is not None:
                self._pass_hold(event, self.parent, self._bridged.leg)

    def _ringing(self, child: _Child, event: Ringing) -> None:
        leg = child.leg
        if leg.status is Status.INITIATED:
            leg.move(Status.RINGING, event.time)
            self._services.callbacks.progress(leg, "ringing", event.time)
            self._log.save(leg)
            self._log.event("leg.ringing", event.time, leg=leg.record.sid, to=leg.record.to_address, code=event.code)
        if self._machine.finished or self._bridged is not None or leg.id is None:
            return
        if self._ringback.heard(leg.id, media=event.media):
            self._log.event("leg.early-media", event.time, leg=leg.record.sid, to=leg.record.to_address)

    def _answered(self, index: int, child: _Child, event: Answered) -> None:
        child.headers = child.leg.sip.headers = event.headers
        if self._machine.is_ringing(index):
            self._mark_answered(child, event.time)
        self._perform(self._machine.answered(index))

    def _mark_answered(self, child: _Child, when: float) -> None:
        leg = child.leg
        leg.record.sip_code = 200
        if isinstance(child.noun, twiml.Party) and child.noun.machine_detection:
            leg.answered_by = "unknown"
        leg.move(Status.IN_PROGRESS, when)
        self._services.callbacks.progress(leg, "answered", when)
        self._log.save(leg)
        self._log.event("leg.answered", when, leg=leg.record.sid, to=leg.record.to_address)
        noun = child.noun
        if isinstance(noun, twiml.Party) and noun.amd_callback is not None and leg.answered_by:
            spec = self._spec(noun.amd_callback)
            if spec is not None:
                self._services.callbacks.fire(
                    spec,
                    leg.record.account_sid,
                    leg.record.sid,
                    "amd",
                    "unknown",
                    amd_parameters(leg.record.sid, leg.record.account_sid, leg.answered_by, 0),
                )

    def _ended(self, index: int, child: _Child, event: Ended) -> None:
        if child.screening is not None:
            child.screening.cancel()
        if self._machine.is_ringing(index) and child.ways and targets.unreached(event.code):
            self._log.event("leg.next-address", event.time, leg=child.leg.record.sid, code=event.code)
            self._forget_number(child)
            self._try_next(index)
            return
        child.error = event.error
        if event.headers:
            child.headers = event.headers
        if child.leg.answered and not child.cause:
            child.cause = "callee" if event.by_peer else "engine"
        self._perform(self._machine.ended(index, event.code))

    def _forget_number(self, child: _Child) -> None:
        if child.leg.id is not None:
            self._ringback.forget(child.leg.id)
            self._index.pop(child.leg.id, None)
            child.leg.id = None

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
                    child = self._children[index]
                    child.screening = asyncio.create_task(self._screen(index, child))
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

    def _place(self, index: int) -> None:
        noun = self.verb.nouns[index]
        parent = self.parent.record
        record = CallRecord(
            sid=new_sid("CA"),
            account_sid=parent.account_sid,
            parent_sid=parent.sid,
            direction=Direction.OUTBOUND_DIAL.value,
            status=Status.INITIATED.value,
            from_address=self.verb.caller_id or parent.from_address,
            to_address=targets.shown(noun),
            start_time=time.time(),
            engine=parent.engine,
            region=noun.addresses[0].uri.region if isinstance(noun, twiml.Sip) else "",
            callback=self._spec(noun.callback) if isinstance(noun, twiml.Party) else None,
        )
        leg = Leg(record)
        leg.sip.domain, record.domain_sid = self._script.leg.sip.domain, parent.domain_sid
        child = self._children[index] = _Child(noun, leg, Line(self._phone, leg))
        self._services.callbacks.progress(leg, "initiated", record.start_time)
        self._log.save(leg)
        self._log.event("leg.placed", record.start_time, leg=record.sid, to=record.to_address)
        try:
            child.ways = list(targets.ways(noun, self._services.dialplan(), parent.account_sid, random.random))
        except NoWay as error:
            self._fail_soon(index, error.code, error.message)
            return
        self._try_next(index)

    def _spec(self, callback: twiml.Callback | None) -> CallbackSpec | None:
        try:
            return spec_of(callback, self._script.documents.absolute)
        except WebhookError as error:
            self._log.note(error.code, f"callback: {error.message}")
            return None

    def _try_next(self, index: int) -> None:
        """Call the next address of a noun."""
        child = self._children[index]
        way = child.ways.pop(0)
        if is_address(way.uri):
            self._invite(index, way)
        else:
            child.lookup = asyncio.create_task(self._resolve_then_invite(index, way))

    def _fail_soon(self, index: int, code: int, message: str) -> None:
        """End a leg that cannot be placed, after the machine has taken in that it started."""
        child = self._children[index]
        child.error, child.error_code = message, code
        self._log.note(code, message, call_sid=child.leg.record.sid)
        self._loop.call_soon(lambda: self._end_unplaced(index))

    def _end_unplaced(self, index: int) -> None:
        self._perform(self._machine.ended(index, 0))
        self._changed()

    async def _resolve_then_invite(self, index: int, way: Way) -> None:
        child = self._children[index]
        problem = await lookup_problem(way.uri, self._settings.resolve_seconds)
        child.lookup = None
        if problem is None:
            self._invite(index, way)
        elif child.ways:
            self._log.note(NOT_RESOLVABLE, problem, call_sid=child.leg.record.sid)
            self._try_next(index)
        else:
            self._fail_soon(index, NOT_RESOLVABLE, problem)

    def _invite(self, index: int, way: Way) -> None:
        child = self._children[index]
        record, uri = child.leg.record, way.uri
        regions = self._services.regions()
        if uri.region and regions and uri.region not in regions:
            self._log.note(UNKNOWN_REGION, f"there is no region {uri.region}: the default one is used")
        reason = (("Subject", self.verb.call_reason),) if self.verb.call_reason else ()
        leg = self._phone.place(
            Target(
                uri=uri,
                from_user=_user_of(self.verb.caller_id or way.caller_id or record.from_address),
                username=way.username,
                password=way.password,
                headers=(
                    ("X-Twilio-CallSid", record.sid),
                    ("X-Twilio-AccountSid", record.account_sid),
                    ("X-Twilio-ApiVersion", "2010-04-01"),
                    *reason,
                    *uri.headers,
                ),
                region=uri.region,
            )
        )
        child.leg.id = leg
        self._index[leg] = index
        self._services.own(leg, self.on_event)

    def _give_up(self, index: int, headers: Headers) -> None:
        child = self._children[index]
        child.cause = child.cause or ("caller" if self.parent_gone else "engine")
        child.leg.record.ended_by = child.cause
        child.ways.clear()
        if child.screening is not None:
            child.screening.cancel()
        if child.leg.id is not None:
            self._phone.hangup(child.leg.id, headers)
        elif child.lookup is not None:
            child.lookup.cancel()
            child.lookup = None
            self._loop.call_soon(lambda: self._end_unplaced(index))

    async def _screen(self, index: int, child: _Child) -> None:
        """Run the noun's document on the callee; the caller goes on hearing that it rings."""
        noun, leg = child.noun, child.leg
        assert isinstance(noun, twiml.Party) and noun.url and leg.id is not None
        self._ringback.screened(leg.id)
        self._log.event("screening", leg=leg.record.sid, to=leg.record.to_address)
        documents = Documents(self._services.web, self._log, self._application, leg.voice_parameters)
        script = Script(self._services, leg, child.line, documents, self._log)
        try:
            done = await script.run(Goto(self._script.documents.absolute(noun.url), noun.method))
            accepted = done.how is How.DOCUMENT
        except WebhookError as error:
            self._log.note(error.code, error.message)
            accepted = False
        name = "screening.accepted" if accepted else "screening.declined"
        self._log.event(name, leg=leg.record.sid, to=leg.record.to_address)
        child.screening = None
        self._perform(self._machine.screened(index, accepted))
        self._changed()

    def _bridge(self, index: int) -> None:
        child = self._children[index]
        leg, now = child.leg, time.time()
        assert leg.id is not None and self.parent.id is not None  # only a placed leg answers
        self._answer_parent()
        self._ringback.stop()
        self._bridged, self._bridged_at = child, now
        self._phone.bridge(self.parent.id, leg.id)
        self._log.event("bridged", now, leg=leg.record.sid, to=leg.record.to_address)
        if self._recorder is not None:
            if self.verb.recording_track != "inbound":
                self._recorder.also(1 if self._dual else 0, leg.id)
        elif self.verb.record.value.startswith("record-from-answer"):
            self._start_recording(leg.id)
        if self.verb.refer_url is not None:
            self._phone.allow_refer(self.parent.id, True)
            self._phone.allow_refer(leg.id, True)
        if isinstance(child.noun, twiml.Number) and child.noun.send_digits:
            self._log.event("digits.sent", count=sum(char not in "wW" for char in child.noun.send_digits))
            self._digits = asyncio.create_task(child.line.send_digits(child.noun.send_digits))
        self._limit = self._loop.call_later(self.verb.time_limit, self._time_limit)

    def _time_limit(self) -> None:
        self._log.note(32015, f"the time limit of {self.verb.time_limit} s ended the conversation")
        self._perform(self._machine.limit_reached())

    def _refer(self, event: Referred, *, by_parent: bool) -> None:
        """One of the two who talk asks us to connect the other with somebody else."""
        child = self._bridged
        if child is None or self._referral is not None or self._machine.finished:
            return
        who = self.parent if by_parent else child.leg
        self._log.event("refer", event.time, leg=who.record.sid, target=event.target)
        self._referral = Referral(by_parent, event.target)
        if not by_parent:
            child.cause = "callee"
            self._perform(self._machine.limit_reached())
            return
        assert self.verb.refer_url is not None
        url = self._script.documents.absolute(self.verb.refer_url)
        step = Goto(url, self.verb.refer_method, transfer_parameters(event.target))
        self.detach(next(index for index, one in self._children.items() if one is child), step)

    def _pass_hold(self, event: Held, who: Leg, other: Leg) -> None:
        if self._bridged is None or other.id is None or who not in (self.parent, self._bridged.leg):
            return
        name = "leg.held" if event.held else "leg.resumed"
        self._log.event(name, event.time, leg=who.record.sid, to=who.record.to_address)
        self._phone.hold(other.id, event.held)

    def _close(self, index: int, status: Status, code: int) -> None:
        child = self._children[index]
        leg, now = child.leg, time.time()
        leg.record.sip_code = code
        leg.record.error_code = child.error_code or _error_code(status, code, child.error)
        leg.record.ended_by = child.cause or "callee"
        leg.move(status, now)
        leg.record.reason = leg_reason(leg, child.error, self._bridged is not None)
        if leg.record.callback is not None:
            self._services.callbacks.progress(leg, "completed", now, self._completion(child))
        self._log.save(leg)
        self._log.event(
            "leg.ended",
            now,
            leg=leg.record.sid,
            to=leg.record.to_address,
            status=status.value,
            code=code,
            reason=leg.record.reason,
        )
        if leg.id is not None:
            self._index.pop(leg.id, None)

    def _completion(self, child: _Child) -> Completion:
        record, recorder = child.leg.record, self._recorder
        if recorder is None or child is not self._bridged:
            return Completion(record.duration or 0, record.sip_code)
        return Completion(record.duration or 0, record.sip_code, recorder.sid, recorder.url, recorder.seconds)

    def _part(self, child: _Child) -> None:
        """Take the caller and the callee apart."""
        assert self.parent.id is not None and child.leg.id is not None
        self._phone.unbridge(self.parent.id, child.leg.id)
        if self.verb.refer_url is not None:
            self._phone.allow_refer(self.parent.id, False)
            self._phone.allow_refer(child.leg.id, False)

    def _finish(self, result: dial.Finish) -> None:
        self._disarm()
        if self._limit is not None:
            self._limit.cancel()
        if self._digits is not None:
            self._digits.cancel()
        self._ringback.stop()
        now = time.time()
        if self._bridged is not None and self._bridged.leg.id in self._index:
            self._part(self._bridged)
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
            callback=self._spec(self.verb.recording_callback),
        )

    def _own_recorder(self, number: LegId, handler: Callable[[Event], None]) -> None:
        def handle(event: Event) -> None:
            handler(event)
            self._changed()

        self._services.own(number, handle)


def note_silence(log: CallLog, leg: Leg, event: NoMedia) -> None:
    """Tell the operator that no audio comes from a leg."""
    address = leg.record.from_address if leg.inbound else leg.record.to_address
    log.event("no-media", event.time, leg=leg.record.sid, seconds=event.seconds)
    log.note(NO_AUDIO, f"no audio (RTP) came from {address} for {event.seconds:.0f} s", call_sid=leg.record.sid)


def leg_reason(leg: Leg, error: str, bridged: bool) -> str:
    """Return one plain sentence on why a dialled leg ended as it did."""
    record = leg.record
    match leg.status:
        case Status.COMPLETED:
            who = {"callee": "the callee hung up", "caller": "the caller hung up"}.get(
                record.ended_by, "the call ended"
            )
            return f"Answered; {who} after {record.duration} s."
        case Status.BUSY:
            return f"Busy (SIP {record.sip_code})."
        case Status.NO_ANSWER:
            return f"Rang without an answer (SIP {record.sip_code})." if record.ring_time else "No answer in time."
        case Status.CANCELED if bridged:
            return "Another phone answered first."
        case Status.CANCELED:
            return "The caller hung up before it answered."
        case _ if error:
            return f"Could not be called: {error}."
        case _ if record.sip_code == 0:
            return "No response at all: is the phone switched on and its address right?"
        case _:
            return f"Refused with SIP {record.sip_code}."


def _error_code(status: Status, code: int, error: str) -> int:
    if status is not Status.FAILED:
        return 0
    if code in (401, 403, 407):
        return 32106
    return 32011 if code >= 500 or error or code == 0 else 0


def _user_of(address: str) -> str:
    """Return the user part of a SIP address, or the plain number itself."""
    text = address.removeprefix("sips:").removeprefix("sip:")
    return text.partition("@")[0] or "anonymous"

"""asyncio: one `<Dial>` while it runs. The machine of `dial.py` decides; this file carries its actions out on the phone
and tells it what the phone reports. No decision about who wins, loses or goes next is made here.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import assert_never

from calls.entries import CallRecord, RecordingEntry
from calls.status import STRICT_TWILIO, Direction, Status
from routing.sid import new_sid
from sipengine import dial, twiml
from sipengine.ports import (
    Answered,
    Digit,
    Ended,
    Event,
    Headers,
    LegId,
    Phone,
    Placed,
    RecordClosed,
    RecordFailed,
    Ringing,
    Target,
)
from sipengine.records import CallLog, Leg
from sipengine.resolving import NOT_RESOLVABLE, is_address, lookup_problem
from sipengine.tones import RING_TONES, Cadence

ELSEWHERE: Headers = (("Reason", 'SIP;cause=200;text="Call completed elsewhere"'),)
DEFAULT_RING_TONE = "us"
FORGOTTEN = "the SIP library never reported its end"
RECORDED_BYTES = 16_000  # a second of one channel: 16-bit samples at 8 kHz


@dataclass(frozen=True, slots=True)
class DialSettings:
    """What a deployment decides about dialling. Seconds, except the table of SIP codes."""

    timeout_buffer: float = 5.0
    cancel_guard: float = 1.0
    resolve_seconds: float = 0.8
    table: Mapping[int, Status] = field(default_factory=lambda: STRICT_TWILIO)


@dataclass(frozen=True, slots=True)
class DialOutcome:
    """What a `<Dial>` came to, for the action request and the call log."""

    status: Status
    leg: Leg | None
    code: int
    bridged: bool
    duration: int | None
    headers: Headers
    recording_sid: str


@dataclass(slots=True)
class _Child:
    """A noun's leg: placed, or about to be while its host name is looked up."""

    leg: Leg
    lookup: asyncio.Task[None] | None = None
    headers: Headers = ()
    error: str = ""
    error_code: int = 0
    cause: str = ""


class DialRun:
    """Runs one `<Dial>` for the parent leg. Events of all its legs come in through `on_event`.

    `own(leg, run)` asks the session to hand events of that leg here; `answer_parent` answers the caller if needed.
    The run lives until the last of its legs has ended, which may be after `outcome` is known.
    """

    def __init__(
        self,
        verb: twiml.Dial,
        parent: Leg,
        *,
        phone: Phone,
        log: CallLog,
        settings: DialSettings,
        recordings: Path,
        own: Callable[[LegId, DialRun], None],
        answer_parent: Callable[[], None],
    ) -> None:
        self.verb = verb
        self.parent = parent
        self._phone = phone
        self._log = log
        self._settings = settings
        self._recordings = recordings
        self._own = own
        self._answer_parent = answer_parent
        self._loop = asyncio.get_running_loop()
        self._children: dict[int, _Child] = {}
        self._index: dict[LegId, int] = {}
        self._machine = dial.Dial(
            len(verb.nouns),
            sequential=verb.sequential,
            ring_seconds=verb.timeout + settings.timeout_buffer,
            guard_seconds=settings.cancel_guard,
            table=settings.table,
        )
        self._timer: asyncio.TimerHandle | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._tone: int | None = None
        self._early: LegId | None = None
        self._recorder: int | None = None
        self._recording: RecordingEntry | None = None
        self._bridged_leg: LegId | None = None
        self._bridged_at: float | None = None
        self.outcome: asyncio.Future[DialOutcome] = self._loop.create_future()
        self.parent_gone = False

    @property
    def over(self) -> bool:
        """Say whether the dial is finished, each of its legs has ended and its recording is closed."""
        return self._machine.over and self._recorder is None

    @property
    def legs(self) -> list[Leg]:
        """The legs that were started, in document order."""
        return [self._children[index].leg for index in sorted(self._children)]

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
        self._recording_closed()

    def on_event(self, event: Event) -> None:
        """Take an event of one of the dialled legs, or a digit of the caller."""
        match event:
            case Digit(leg=leg, digit=digit) if leg == self.parent.id:
                if digit == "*" and self.verb.hangup_on_star:
                    self._log.event("digit", event.time, digit=digit)
                    self._perform(self._machine.starred())
            case RecordFailed(error=error):
                self._recording_failed(error)
            case RecordClosed():
                self._recording_closed()
            case Placed() | Ringing() | Answered() | Ended():
                index = self._index[event.leg]
                self._leg_event(index, self._children[index], event)

    def _leg_event(self, index: int, child: _Child, event: Placed | Ringing | Answered | Ended) -> None:
        leg = child.leg
        match event:
            case Placed():
                leg.record.sip_call_id = event.call_id
            case Ringing():
                self._ringing(leg, event)
            case Answered():
                child.headers = event.headers
                self._perform(self._machine.answered(index))
            case Ended():
                child.error = event.error
                if event.headers:
                    child.headers = event.headers
                if leg.answered and not child.cause:
                    child.cause = "callee" if event.by_peer else "engine"
                self._perform(self._machine.ended(index, event.code))

    def _ringing(self, leg: Leg, event: Ringing) -> None:
        if leg.status is Status.INITIATED:
            leg.move(Status.RINGING, event.time)
            self._log.save(leg)
            self._log.event("leg.ringing", event.time, leg=leg.record.sid, to=leg.record.to_address, code=event.code)
        if self._machine.finished or self._bridged_leg is not None:
            return
        if event.media and self._early is None and not self.verb.ring_tone:
            self._pass_early_media(leg, event)
        elif self._tone is None and self._early is None and (self.verb.ring_tone or self.parent.answered):
            self._start_tone()

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
                    self._perform(self._machine.screened(index, accepted=True))
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
            to_address=noun.text if isinstance(noun, twiml.BadNoun) else noun.uri.address,
            start_time=time.time(),
            engine=parent.engine,
            region="" if isinstance(noun, twiml.BadNoun) else noun.uri.region,
        )
        child = _Child(Leg(record))
        self._children[index] = child
        self._log.save(child.leg)
        self._log.event("leg.placed", record.start_time, leg=record.sid, to=record.to_address)
        if isinstance(noun, twiml.BadNoun):
            self._fail_soon(index, noun.code, noun.message)
        elif is_address(noun.uri):
            self._invite(index, noun)
        else:
            child.lookup = asyncio.create_task(self._resolve_then_invite(index, noun))

    def _fail_soon(self, index: int, code: int, message: str) -> None:
        """End a leg that cannot be placed, after the machine has taken in that it started."""
        child = self._children[index]
        child.error, child.error_code = message, code
        self._log.note(code, message, call_sid=child.leg.record.sid)
        self._loop.call_soon(lambda: self._perform(self._machine.ended(index, 0)))

    async def _resolve_then_invite(self, index: int, noun: twiml.Sip) -> None:
        child = self._children[index]
        problem = await lookup_problem(noun.uri, self._settings.resolve_seconds)
        child.lookup = None
        if problem is None:
            self._invite(index, noun)
        else:
            self._fail_soon(index, NOT_RESOLVABLE, problem)

    def _invite(self, index: int, noun: twiml.Sip) -> None:
        child = self._children[index]
        record = child.leg.record
        headers = (
            ("X-Twilio-CallSid", record.sid),
            ("X-Twilio-AccountSid", record.account_sid),
            ("X-Twilio-ApiVersion", "2010-04-01"),
            *noun.uri.headers,
        )
        leg = self._phone.place(
            Target(
                uri=noun.uri,
                from_user=_user_of(record.from_address),
                username=noun.username,
                password=noun.password,
                headers=headers,
                region=noun.uri.region,
            )
        )
        child.leg.id = leg
        self._index[leg] = index
        self._own(leg, self)

    def _give_up(self, index: int, headers: Headers) -> None:
        child = self._children[index]
        child.cause = child.cause or ("caller" if self.parent_gone else "engine")
        child.leg.record.ended_by = child.cause
        if child.leg.id is not None:
            self._phone.hangup(child.leg.id, headers)
        elif child.lookup is not None:
            child.lookup.cancel()
            child.lookup = None
            self._loop.call_soon(lambda: self._perform(self._machine.ended(index, 0)))

    def _bridge(self, index: int) -> None:
        child = self._children[index]
        leg, now = child.leg, time.time()
        assert leg.id is not None and self.parent.id is not None  # only a placed leg answers
        leg.record.sip_code = 200
        leg.move(Status.IN_PROGRESS, now)
        self._log.save(leg)
        self._log.event("leg.answered", now, leg=leg.record.sid, to=leg.record.to_address)
        self._answer_parent()
        self._stop_tone()
        self._stop_early_media()
        self._bridged_leg, self._bridged_at = leg.id, now
        self._phone.bridge(self.parent.id, leg.id)
        self._log.event("bridged", now, leg=leg.record.sid, to=leg.record.to_address)
        if self._recorder is not None:
            self._phone.record_also(self._recorder, self._child_channel, leg.id)
        elif self.verb.record.value.startswith("record-from-answer"):
            self._start_recording(leg.id)
        self._limit = self._loop.call_later(self.verb.time_limit, self._time_limit)

    def _time_limit(self) -> None:
        self._log.note(32015, f"the time limit of {self.verb.time_limit} s ended the conversation")
        self._perform(self._machine.limit_reached())

    def _close(self, index: int, status: Status, code: int) -> None:
        child = self._children[index]
        leg, now = child.leg, time.time()
        leg.record.sip_code = code
        leg.record.error_code = child.error_code or _error_code(status, code, child.error)
        leg.record.ended_by = child.cause or "callee"
        leg.move(status, now)
        leg.record.reason = leg_reason(leg, child.error, self._bridged_leg)
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

    def _finish(self, result: dial.Finish) -> None:
        self._disarm()
        if self._limit is not None:
            self._limit.cancel()
        self._stop_tone()
        self._stop_early_media()
        now = time.time()
        if self._bridged_leg is not None and self.parent.id is not None:
            self._phone.unbridge(self.parent.id, self._bridged_leg)
        self._stop_recording()
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
                recording_sid=self._recording.sid if self._recording else "",
            )
        )

    def _start_tone(self) -> None:
        assert self.parent.id is not None
        if not self.parent.answered:
            self._phone.ring(self.parent.id, early_media=True)
        self._tone = self._phone.tone(self.parent.id, ring_tone(self.verb.ring_tone))

    def _stop_tone(self) -> None:
        if self._tone is not None and self.parent.id is not None:
            self._phone.stop_playing(self.parent.id, self._tone)
            self._tone = None

    def _pass_early_media(self, leg: Leg, event: Ringing) -> None:
        """Let the caller hear what the first far end sends before it answers."""
        assert leg.id is not None and self.parent.id is not None
        self._stop_tone()
        self._early = leg.id
        if not self.parent.answered:
            self._phone.ring(self.parent.id, early_media=True)
        self._phone.hear(self.parent.id, leg.id)
        self._log.event("leg.early-media", event.time, leg=leg.record.sid, to=leg.record.to_address)

    def _stop_early_media(self) -> None:
        if self._early is not None and self.parent.id is not None:
            self._phone.unbridge(self.parent.id, self._early)
            self._early = None

    @property
    def _dual(self) -> bool:
        return self.verb.record.value.endswith("-dual")

    @property
    def _child_channel(self) -> int:
        return 1 if self._dual else 0

    def _start_recording(self, child: LegId | None = None) -> None:
        assert self.parent.id is not None
        sid = new_sid("RE")
        parts = 2 if self._dual else 1
        files = [self._recordings / f"{sid}-{channel + 1}.part.wav" for channel in range(parts)]
        heard: list[list[LegId]] = [[self.parent.id], []] if self._dual else [[self.parent.id]]
        if child is not None:
            heard[self._child_channel].append(child)
        self._recorder = self._phone.record(heard, files)
        self._own(self._recorder, self)
        self._recording = RecordingEntry(
            sid=sid,
            account_sid=self.parent.record.account_sid,
            call_sid=self.parent.record.sid,
            source="DialVerb",
            channels=parts,
            track="both",
            start_time=time.time(),
            status="in-progress",
            files=tuple(str(path) for path in files),
        )
        self._log.entry(self._recording)
        self._log.event("recording.started", self._recording.start_time, recording=sid, channels=parts)

    def _stop_recording(self) -> None:
        if self._recorder is not None:
            self._phone.stop_recording(self._recorder)

    def _recording_closed(self) -> None:
        """Hand the files to the worker, which must not look at them before their last buffer is written."""
        if self._recording is not None and self._recorder is not None:
            self._recorder = None
            self._log.event("recording.ended", recording=self._recording.sid)
            self._check_length(self._recording, time.time())
            self._log.entry(replace(self._recording, status="processing"))

    def _check_length(self, recording: RecordingEntry, closed: float) -> None:
        """Tell the operator of a recording that stopped growing: the library does not say when a disk is full."""
        expected = (closed - recording.start_time) * RECORDED_BYTES
        written = min(_size(file) for file in recording.files)
        if written < 0.9 * expected - RECORDED_BYTES:
            missing = (expected - written) / RECORDED_BYTES
            self._log.note(12400, f"the recording lacks its last {missing:.0f} s: is the recordings disk full?")

    def _recording_failed(self, error: str) -> None:
        """Go on without the recording: the call is worth more than its record."""
        if self._recording is None:
            return
        self._recorder = None
        self._log.note(12400, f"the recording cannot be written: {error}; free space on the recordings disk")
        self._log.entry(replace(self._recording, status="failed", error=error))


def ring_tone(country: str | None) -> Cadence:
    """Return the ring-back tone of a country code, ours when none is named."""
    return RING_TONES[country or DEFAULT_RING_TONE]


def leg_reason(leg: Leg, error: str, bridged: LegId | None) -> str:
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
        case Status.CANCELED if bridged is not None:
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


def _size(file: str) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0


def _user_of(address: str) -> str:
    """Return the user part of a SIP address, or the plain number itself."""
    text = address.removeprefix("sips:").removeprefix("sip:")
    return text.partition("@")[0] or "anonymous"

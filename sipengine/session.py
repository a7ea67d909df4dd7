"""asyncio: one call from its first INVITE to its last leg's end. Fetch a document, parse all of it, run its verbs: one
async function a verb, which returns `None` (next verb), `Goto` (another document) or `Done`.

When the parent leg ends, the running verb's task is cancelled; only `<Dial>` is told instead, since it has legs to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, assert_never

from calls.entries import CallRecord, Entry
from calls.status import Direction, Status, status_from_sip
from calls.webclient import Fetched
from calls.webhooks import (
    DialResult,
    VoiceCall,
    WebhookError,
    dial_parameters,
    voice_parameters,
    without_secrets,
)
from routing.answers import Application
from sipengine import twiml
from sipengine.dialing import FORGOTTEN, DialOutcome, DialRun, DialSettings
from sipengine.documents import Documents, Goto, Inline, Web
from sipengine.media import MediaError
from sipengine.ports import Answered, Digit, Ended, Event, Headers, LegId, Phone, Placed, PlayDone, Ringing, Target
from sipengine.records import CallLog, Leg
from sipengine.resolving import NOT_RESOLVABLE, is_address, lookup_problem

log = logging.getLogger("sipengine.session")

APOLOGY = "An application error has occurred. Goodbye."
MAX_DOCUMENTS = 200  # of one call: a `<Redirect>` to itself must come to an end
UNPLACED: LegId = 0  # no leg of a phone: the call ended before it was placed
PEER_UNREACHABLE = 32011
LEGS_END_SECONDS = 40.0  # longer than a SIP transaction lives (RFC 3261 §17.1.1.2, timer B: 32 s)


class Media(Protocol):
    """What a session needs of `media.MediaLibrary`: text or an address becomes a local WAV file."""

    async def say(self, text: str, voice: str | None = None, language: str | None = None) -> Path: ...

    async def play(self, url: str) -> Path: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What every session of an engine shares. `own(leg, session)` routes that leg's events to the session."""

    phone: Phone
    web: Web
    media: Media
    put: Callable[[Entry], None]
    own: Callable[[LegId, CallSession], None]
    dial: DialSettings
    recordings: Path
    public_url: str
    engine: str


@dataclass(frozen=True, slots=True)
class Done:
    """The call is over for the TwiML: end the parent leg, with `code` if it was never answered."""

    code: int = 480
    status: Status = Status.NO_ANSWER
    reason: str = ""
    headers: Headers = ()


Step = Goto | Inline | Done
Next = Step | None


@dataclass(slots=True)
class SipFacts:
    """What the INVITE said, for the parameters of every request."""

    domain: str = ""
    call_id: str = ""
    source_ip: str = ""
    username: str = ""
    forwarded_from: str = ""
    headers: Headers = field(default_factory=tuple)


class CallSession:
    """One call: the parent leg, its TwiML, and every leg that its verbs dial."""

    def __init__(self, services: Services, application: Application, record: CallRecord, sip: SipFacts) -> None:
        self._services = services
        self._phone = services.phone
        self._application = application
        self._sip = sip
        self.parent = Leg(record)
        self.log = CallLog(services.put, record)
        self._documents = Documents(services.web, self.log, application, self._voice_parameters)
        self._runs: dict[LegId, DialRun] = {}
        self._dial: DialRun | None = None
        self._play_done: dict[int, asyncio.Future[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._verbs: asyncio.Future[None] | None = None
        self._parent_over = asyncio.Event()
        self._legs_over = asyncio.Event()
        self._answered = asyncio.Event()
        self._ending = Done()
        self._last_dial: DialOutcome | None = None
        self.in_setup = True

    def start_inbound(self, leg: LegId, on_over: Callable[[CallSession], None]) -> None:
        """Run the domain's TwiML for a call that came in."""
        self._adopt_parent(leg)
        self.log.save(self.parent)
        self.log.event("invite", self.parent.record.start_time, to=self.parent.record.to_address)
        self._phone.ring(leg)
        first = Goto(self._application.voice_url, self._application.voice_method)
        self._start(self._run(first), on_over)

    def start_outbound(
        self, target: Target, timeout: float, first: Goto | Inline, on_over: Callable[[CallSession], None]
    ) -> None:
        """Place a call that was asked for through the API or the admin, and run its TwiML once it is answered."""
        self.parent.move(Status.INITIATED, time.time())
        self.log.save(self.parent)
        self.log.event("leg.placed", leg=self.parent.record.sid, to=self.parent.record.to_address)
        self._start(self._run_outbound(target, timeout, first), on_over)

    def _adopt_parent(self, leg: LegId) -> None:
        self.parent.id = leg
        self._services.own(leg, self)

    def _start(self, work: Awaitable[None], on_over: Callable[[CallSession], None]) -> None:
        # A task from the first moment on: the caller may be gone, or the engine stop, before it runs.
        self._verbs = asyncio.ensure_future(work)
        self._task = asyncio.ensure_future(self._live(self._verbs))
        self._task.add_done_callback(lambda task: self._report(task, on_over))

    def _report(self, task: asyncio.Task[None], on_over: Callable[[CallSession], None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call=%s the session failed", self.parent.record.sid, exc_info=error)
        on_over(self)

    async def _live(self, verbs: asyncio.Future[None]) -> None:
        """Run the verbs, then see every leg to its end, whatever happened."""
        try:
            await verbs
        except asyncio.CancelledError:
            if self._task is not None and self._task.cancelling():  # the whole session, not only its verbs
                raise
        except Exception as error:
            self.log.note(12400, f"the engine failed: {error!r}")
            log.exception("call=%s", self.parent.record.sid)
            self._ending = Done(500, Status.FAILED, "The engine failed; see the notification.")
        self.in_setup = False
        self._end_parent()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEGS_END_SECONDS):
                await self._parent_over.wait()
                await self._all_legs_over()
        self._close_forgotten_legs()

    async def _all_legs_over(self) -> None:
        while any(not run.over for run in self._runs.values()):
            self._legs_over.clear()
            await self._legs_over.wait()

    def _close_forgotten_legs(self) -> None:
        """Give a leg whose end the phone never told its terminal event all the same."""
        for run in set(self._runs.values()):
            run.close_forgotten()
        if not self.parent.ended:
            self._parent_ended(Ended(self.parent.id or UNPLACED, time.time(), 0, by_peer=False, error=FORGOTTEN))

    def hang_up(self, reason: str) -> None:
        """End the call from outside: the operator asked, or the engine stops."""
        self._ending = Done(480, Status.CANCELED, reason)
        if self._dial is not None:
            self._dial.abandon(parent_gone=False)
        if self._verbs is not None:
            self._verbs.cancel()

    def _end_parent(self) -> None:
        leg = self.parent
        if leg.ended:
            return
        if leg.id is None:
            self._parent_ended(Ended(UNPLACED, time.time(), 0, by_peer=False))
        elif leg.answered or leg.record.direction != Direction.INBOUND:
            self._phone.hangup(leg.id)
        else:
            self._phone.refuse(leg.id, self._ending.code, self._ending.headers)

    def on_event(self, event: Event) -> None:
        """Take an event of any leg of this call."""
        if event.leg != self.parent.id:
            run = self._runs.get(event.leg)
            if run is not None:
                run.on_event(event)
                self._legs_over.set()
            return
        match event:
            case Ended():
                self._parent_ended(event)
            case Digit():
                if self._dial is not None:
                    self._dial.on_event(event)
            case PlayDone(player=player):
                waiting = self._play_done.pop(player, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)
            case Placed():
                self.parent.record.sip_call_id = event.call_id
                self._sip.call_id = event.call_id
            case Ringing():
                if self.parent.status is Status.INITIATED:
                    self._move_parent(Status.RINGING, event.time)
                    self.log.event("leg.ringing", event.time, leg=self.parent.record.sid, code=event.code)
            case Answered():
                self._mark_answered(event.time)
                self._answered.set()
            case _:
                if self._dial is not None:
                    self._dial.on_event(event)

    def _move_parent(self, status: Status, when: float) -> None:
        if self.parent.move(status, when):
            self.log.save(self.parent)

    def _mark_answered(self, when: float) -> None:
        if not self.parent.answered and not self.parent.ended:
            self.parent.record.sip_code = 200
            self._move_parent(Status.IN_PROGRESS, when)
            self.log.event("answered", when)

    def _parent_ended(self, event: Ended) -> None:
        record = self.parent.record
        if self.parent.ended:
            return
        status = self._parent_verdict(event)
        if not self.parent.answered:
            record.sip_code = event.code
        peer = "caller" if record.direction == Direction.INBOUND else "callee"
        record.ended_by = peer if event.by_peer and not event.error else "engine"
        if event.error:
            record.error_code = record.error_code or PEER_UNREACHABLE
        self._parent_over.set()
        if self._dial is not None:
            self._dial.abandon(parent_gone=True)
            self._last_dial = self._dial.outcome.result()
        self.parent.move(status, event.time)
        record.reason = self._reason(event)
        self.log.save(self.parent)
        self.log.event("ended", event.time, status=status.value, code=record.sip_code, reason=record.reason)
        if self._dial is None and self._verbs is not None:
            self._verbs.cancel()

    def _parent_verdict(self, event: Ended) -> Status:
        if self.parent.answered:
            return Status.COMPLETED
        if self.parent.record.direction == Direction.INBOUND:
            return Status.CANCELED if event.by_peer else self._ending.status
        if not event.by_peer and not event.error:
            return self._ending.status
        status = status_from_sip(event.code, self._services.dial.table)
        return Status.FAILED if status is Status.COMPLETED else status

    def _reason(self, event: Ended) -> str:
        record, last = self.parent.record, self._last_dial
        if event.error:
            return f"Failed: {event.error}."
        if not self.parent.answered:
            if event.by_peer:
                gone = "The caller hung up before anybody answered."
                return gone if record.direction == Direction.INBOUND else f"Not answered (SIP {event.code})."
            return self._ending.reason or f"Ended before it was answered (SIP {event.code})."
        who = "The caller hung up" if event.by_peer else "Cordboard ended the call"
        if record.direction != Direction.INBOUND and event.by_peer:
            who = "The called phone hung up"
        if last is not None and last.bridged and last.leg is not None:
            if not event.by_peer:
                who = {"callee": "The callee hung up", "engine": "The time limit ended the call"}.get(
                    last.leg.record.ended_by, "The callee hung up"
                )
            return f"{last.leg.record.to_address} answered and talked for {last.duration} s. {who}."
        if self._ending.reason and not event.by_peer:
            return self._ending.reason
        return f"{who}."

    async def _run(self, first: Step) -> None:
        step: Step = first
        for _ in range(MAX_DOCUMENTS):
            if isinstance(step, Done):
                self._ending = step
                return
            found = await self._documents.get(step)
            if found is None:
                self._ending = await self._apologise()
                return
            document, answer = found
            if answer is not None:
                self._heard_from(answer)
            step = await self._execute(document)
        self.log.note(11215, f"the call asked for more than {MAX_DOCUMENTS} documents: it was ended")
        self._ending = Done(480, Status.FAILED, "The TwiML redirected without end.")

    async def _run_outbound(self, target: Target, ring_seconds: float, first: Goto | Inline) -> None:
        seconds = self._services.dial.resolve_seconds
        problem = None if is_address(target.uri) else await lookup_problem(target.uri, seconds)
        if problem is not None:
            self.log.note(NOT_RESOLVABLE, problem)
            self.parent.record.error_code = NOT_RESOLVABLE
            self._parent_ended(Ended(UNPLACED, time.time(), 0, by_peer=False, error=problem))
            return
        self._adopt_parent(self._phone.place(target))
        try:
            async with asyncio.timeout(ring_seconds + self._services.dial.timeout_buffer):
                await self._answered.wait()
        except TimeoutError:
            self._ending = Done(487, Status.NO_ANSWER, "Rang without an answer.")
            return
        await self._run(first)

    def _heard_from(self, answer: Fetched) -> None:
        """Keep what our own TwiML app says about the route and group it chose."""
        if not answer.url.startswith(self._services.public_url):
            return
        route = answer.headers.get("x-cordboard-route", "")
        group = answer.headers.get("x-cordboard-group", "")
        record = self.parent.record
        if route.isdigit():
            record.route_id = int(route)
        if group.isdigit():
            record.group_id = int(group)
        if route or group:
            self.log.save(self.parent)

    def _voice_parameters(self) -> list[tuple[str, str]]:
        record = self.parent.record
        return voice_parameters(
            VoiceCall(
                call_sid=record.sid,
                account_sid=record.account_sid,
                from_address=record.from_address,
                to_address=record.to_address,
                status=record.status,
                direction=record.direction,
                parent_call_sid=record.parent_sid,
                forwarded_from=self._sip.forwarded_from,
                sip_domain=self._sip.domain,
                sip_domain_sid=self._application.domain_sid,
                sip_username=self._sip.username,
                sip_call_id=self._sip.call_id,
                sip_source_ip=self._sip.source_ip,
                headers=self._sip.headers,
            )
        )

    async def _apologise(self) -> Done:
        """Say that the application failed, and end the call (Twilio's last resort)."""
        with contextlib.suppress(MediaError):
            await self._say(twiml.Say(text=APOLOGY, voice=None, language=None, loop=1))
        return Done(500, Status.FAILED, "The TwiML could not be had, and no fallback helped; see the notifications.")

    async def _execute(self, document: twiml.Document) -> Step:
        for verb in document.verbs:
            if isinstance(verb, twiml.Pause | twiml.Hangup | twiml.Reject):  # the others have events of their own
                self.log.event("verb", verb=twiml.verb_name(verb))
            step = await self._verb(verb)
            if step is not None:
                return step
        return self._after_last_verb()

    async def _verb(self, verb: twiml.Verb) -> Next:
        try:
            match verb:
                case twiml.Say():
                    await self._say(verb)
                case twiml.Play():
                    await self._play(verb)
                case twiml.Pause():
                    await asyncio.sleep(verb.length)
                case twiml.Redirect():
                    return self._redirect(verb)
                case twiml.Reject():
                    return self._reject(verb)
                case twiml.Hangup():
                    return self._after_last_verb("The TwiML hung up.")
                case twiml.Dial():
                    return await self._run_dial(verb)
                case _:
                    assert_never(verb)
        except (MediaError, WebhookError) as error:
            self.log.note(error.code, error.message)
        return None

    def _after_last_verb(self, reason: str = "The TwiML came to its end.") -> Done:
        """End a call whose caller nobody answered as the last `<Dial>` ended."""
        last = self._last_dial
        if self.parent.answered or last is None or last.bridged:
            return Done(603, Status.NO_ANSWER, reason)
        code = {Status.BUSY: 486, Status.NO_ANSWER: 480, Status.CANCELED: 487}.get(last.status)
        # A 401 or 407 asks for credentials of the callee's realm, without its challenge: nothing for this caller.
        refusal = code or (last.code if last.code >= 400 and last.code not in (401, 407) else 480)
        why = f"Nobody answered: {last.leg.record.reason}" if last.leg is not None else reason
        return Done(refusal, last.status, why)

    def answer(self) -> None:
        """Answer the caller, unless that has been done."""
        if self.parent.answered or self.parent.ended or self.parent.id is None:
            return
        self._phone.answer(self.parent.id)
        self._mark_answered(time.time())
        self.in_setup = False

    async def _say(self, verb: twiml.Say) -> None:
        self.answer()
        path = await self._services.media.say(verb.text, verb.voice, verb.language)
        self.log.event("say", text=verb.text[:200])
        await self._play_file(path, verb.loop)

    async def _play(self, verb: twiml.Play) -> None:
        self.answer()
        url = verb.url if verb.url.startswith("file:") else self._documents.absolute(verb.url)
        path = await self._services.media.play(url)
        self.log.event("play", url=without_secrets(verb.url))
        await self._play_file(path, verb.loop)

    async def _play_file(self, path: Path, loop: int) -> None:
        assert self.parent.id is not None
        for _ in range(loop):
            player = self._phone.play(self.parent.id, path)
            done = self._play_done[player] = asyncio.get_running_loop().create_future()
            try:
                await done
            finally:
                self._play_done.pop(player, None)
                self._phone.stop_playing(self.parent.id, player)

    def _redirect(self, verb: twiml.Redirect) -> Step:
        self.log.event("redirect", url=without_secrets(verb.url))
        return Goto(self._documents.absolute(verb.url), verb.method)

    def _reject(self, verb: twiml.Reject) -> Next:
        if self.parent.answered:
            return self._after_last_verb("The TwiML rejected the call after it was answered.")
        if verb.reason == "busy":
            return Done(486, Status.BUSY, "The TwiML rejected the call as busy.")
        return Done(404, Status.NO_ANSWER, "The TwiML rejected the call: nobody is reached under this number.")

    async def _run_dial(self, verb: twiml.Dial) -> Next:
        if verb.problem is not None:
            self.log.note(verb.problem.code, verb.problem.message)
            outcome = DialOutcome(Status.FAILED, None, 0, False, None, (), "")
            return await self._after_dial(verb, outcome)
        if not verb.answer_on_bridge:
            self.answer()
        run = DialRun(
            verb,
            self.parent,
            phone=self._phone,
            log=self.log,
            settings=self._services.dial,
            recordings=self._services.recordings,
            own=self._own,
            answer_parent=self.answer,
        )
        self._dial = run
        self.in_setup = False
        run.start()
        try:
            outcome = await asyncio.shield(run.outcome)  # a redirect cancels the verb, not the dial's own end
        finally:
            run.abandon(parent_gone=False)
            self._dial = None
        return await self._after_dial(verb, outcome)

    def _own(self, leg: LegId, run: DialRun) -> None:
        self._runs[leg] = run
        self._services.own(leg, self)

    async def _after_dial(self, verb: twiml.Dial, outcome: DialOutcome) -> Next:
        self._last_dial = outcome
        if verb.action is None:
            return Done() if self.parent.ended else None
        step = Goto(self._documents.absolute(verb.action), verb.method, self._dial_parameters(verb, outcome))
        if self.parent.ended:
            # The caller is gone: the application is still told, but its answer has nobody left to run for.
            await self._documents.tell(step)
            return Done()
        return step

    def _dial_parameters(self, verb: twiml.Dial, outcome: DialOutcome) -> list[tuple[str, str]]:
        record = outcome.leg.record if outcome.leg is not None else None
        base = f"{self._services.public_url}/2010-04-01/Accounts/{self.parent.record.account_sid}/Recordings"
        return dial_parameters(
            DialResult(
                status=outcome.status.value,
                call_sid=record.sid if record else "",
                duration=outcome.duration,
                bridged=outcome.bridged,
                recording_url=f"{base}/{outcome.recording_sid}" if outcome.recording_sid else "",
                sip_call_id=record.sip_call_id if record else "",
                sip_code=outcome.code,
                headers=outcome.headers,
            )
        )

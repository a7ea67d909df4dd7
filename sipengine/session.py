"""asyncio: one call from its first INVITE to its last leg's end: the parent leg, its TwiML, and what it is joined with.

When the parent leg ends, the running verb's task is cancelled; only a verb with a `Joint` (a dial, a room, a recording)
is told instead, since it has something to end in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from calls.entries import CallRecord, QueuedCall
from calls.status import Status, status_from_sip
from calls.verb_parameters import transfer_parameters
from calls.webclient import Fetched
from calls.webhooks import Completion
from routing.answers import Application
from sipengine import twiml
from sipengine.dialing import FORGOTTEN, DialRun
from sipengine.documents import Documents, Done, Goto, How, Inline, Next
from sipengine.line import Line
from sipengine.outcome import (
    PEER_FAILED,
    DialOutcome,
    action_parameters,
    after_last_verb,
    call_reason,
    error_code,
    note_declined_refer,
    note_silence,
)
from sipengine.placing import Placement, Wishes
from sipengine.ports import Answered, Ended, Event, LegId, Measured, NoMedia, Placed, ReferDeclined, Ringing
from sipengine.records import CallLog, Leg, SipFacts
from sipengine.referring import refer
from sipengine.resolving import NOT_RESOLVABLE, is_address, lookup_problem
from sipengine.script import Script
from sipengine.services import Adoption, Services
from sipengine.targets import unreached

log = logging.getLogger("sipengine.session")

UNPLACED: LegId = 0  # no leg of a phone: the call ended before it was placed
NO_ACK = 32022
LEGS_END_SECONDS = 40.0  # longer than a SIP transaction lives (RFC 3261 §17.1.1.2, timer B: 32 s)


class CallSession:
    """One call: the parent leg, its TwiML, and every leg that its verbs dial."""

    def __init__(self, services: Services, application: Application, record: CallRecord, sip: SipFacts) -> None:
        self._begin(services, application, Leg(record, sip=sip))

    @classmethod
    def adopted(cls, services: Services, adoption: Adoption) -> CallSession:
        """Make the session of a dialled leg that goes on by itself, with a document of its own."""
        made = cls.__new__(cls)
        made._begin(services, adoption.application, adoption.leg)
        made.in_setup = False
        if adoption.leg.answered:
            made._answered.set()
        return made

    def _begin(self, services: Services, application: Application, leg: Leg) -> None:
        self._services = services
        self._phone = services.phone
        self._application = application
        self.parent = leg
        self.log = CallLog(services.put, leg.record)
        self.line = Line(services.phone, leg)
        self.script = Script(
            services,
            leg,
            self.line,
            Documents(services.web, self.log, application, leg.voice_parameters),
            self.log,
            answer=self.answer,
            special={
                twiml.Dial: self._dial,
                twiml.Reject: self._reject,
                twiml.Enqueue: self._enqueue,
                twiml.Refer: self._refer,
            },
            heard=self._heard_from,
        )
        self._runs: set[DialRun] = set()
        self._task: asyncio.Task[None] | None = None
        self._verbs: asyncio.Future[None] | None = None
        self._next: Goto | Inline | None = None
        self._connect: Callable[[], Awaitable[bool]] | None = None  # while the parent leg has still to be reached
        self._parent_over = asyncio.Event()
        self._legs_over = asyncio.Event()
        self._answered = asyncio.Event()
        self._ending = Done()
        self._ended_by = "engine"
        self._leaving = False  # the parent leg was told to end
        self._last_dial: DialOutcome | None = None
        self._queued: QueuedCall | None = None  # what was asked for, if this is a call that we placed
        self._more_targets = self._unreached = False
        self.wishes = Wishes(services, self.log, leg, self.hang_up)
        self._srtp = False  # whether the parent leg was offered encrypted media only
        self.in_setup = True

    def start_inbound(self, leg: LegId, on_over: Callable[[CallSession], None]) -> None:
        """Run the domain's TwiML for a call that came in."""
        self._adopt_parent(leg)
        self.log.save(self.parent)
        self.log.event("invite", self.parent.record.start_time, to=self.parent.record.to_address)
        self._phone.ring(leg)
        first = Goto(self._application.voice_url, self._application.voice_method)
        self._start(first, on_over)

    def start_outbound(self, goal: Placement, first: Goto | Inline, on_over: Callable[[CallSession], None]) -> None:
        """Place a call that was asked for through the API or the admin, and run its TwiML once it is answered."""
        now = time.time()
        self.parent.move(Status.INITIATED, now)
        self._progress("initiated", now)
        self.log.save(self.parent)
        self.in_setup = False  # it waits for a phone, not for a document
        self.log.event("leg.placed", leg=self.parent.record.sid, to=self.parent.record.to_address)
        self._queued = goal.queued
        self._connect = lambda: self._place(goal)
        self._start(first, on_over)

    def start_adopted(self, first: Goto | Inline, timeout: float, on_over: Callable[[CallSession], None]) -> None:
        """Go on with a leg that was dialled by another call; one that still rings has `timeout` seconds to answer."""
        assert self.parent.id is not None
        self._adopt_parent(self.parent.id)
        self.log.event("redirected", to=self.parent.record.to_address)
        if not self.parent.answered:
            self._connect = lambda: self._await_answer(timeout)
        self._start(first, on_over)

    def _adopt_parent(self, leg: LegId) -> None:
        self.parent.id = leg
        self._services.own(leg, self.on_event)

    def _start(self, first: Goto | Inline, on_over: Callable[[CallSession], None]) -> None:
        # A task from the first moment on: the caller may be gone, or the engine stop, before it runs.
        self._next = first
        self._verbs = asyncio.ensure_future(self._run())
        self._task = asyncio.ensure_future(self._live(self._verbs))
        self._task.add_done_callback(lambda task: self._report(task, on_over))

    def _report(self, task: asyncio.Task[None], on_over: Callable[[CallSession], None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call=%s the session failed", self.parent.record.sid, exc_info=error)
        on_over(self)

    async def _live(self, verbs: asyncio.Future[None]) -> None:
        """Run the verbs, and again what the call is redirected to; then see every leg to its end, whatever happened."""
        await self._to_its_end(verbs)
        while self._next is not None and not self.parent.ended:
            verbs = self._verbs = asyncio.ensure_future(self._run())
            await self._to_its_end(verbs)
        self.in_setup = False
        self._end_parent()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEGS_END_SECONDS):
                await self._parent_over.wait()
                await self._all_legs_over()
        self._close_forgotten_legs()

    async def _to_its_end(self, verbs: asyncio.Future[None]) -> None:
        try:
            await verbs
        except asyncio.CancelledError:
            if self._task is not None and self._task.cancelling():  # the whole session, not only its verbs
                raise
        except Exception as error:
            self.log.note(12400, f"the engine failed: {error!r}")
            log.exception("call=%s", self.parent.record.sid)
            self._ending = Done(500, Status.FAILED, "The engine failed; see the notification.")
            self._next = None

    async def _run(self) -> None:
        if self._connect is not None:
            if not await self._connect():
                self._next = None
                return
            self._connect = None
        first, self._next = self._next, None
        assert first is not None
        done = await self.script.run(first)
        if done.how is How.FAILED:
            await self.script.apologise()
        self._ending = (
            after_last_verb(self.parent, done.reason, self._last_dial)
            if done.how in (How.DOCUMENT, How.HANGUP)
            else done
        )

    async def _all_legs_over(self) -> None:
        while any(not run.over for run in self._runs):
            self._legs_over.clear()
            await self._legs_over.wait()

    def _close_forgotten_legs(self) -> None:
        """Give a leg whose end the phone never told its terminal event all the same."""
        for run in self._runs:
            run.close_forgotten()
        if not self.parent.ended:
            self._parent_ended(Ended(self.parent.id or UNPLACED, time.time(), 0, by_peer=False, error=FORGOTTEN))

    @property
    def ending(self) -> bool:
        """Say whether the parent leg has ended or is about to, whatever comes."""
        return self._leaving or self.script.ending or self.parent.ended

    def hang_up(self, reason: str, ended_by: str = "engine") -> None:
        """End the call from outside: the operator asked, or the engine stops."""
        if self.ending:
            return
        self._ending = Done(480, Status.CANCELED, reason, How.GONE)
        self._ended_by = ended_by
        self._next = None
        self.script.ending = True
        self._interrupt()

    def redirect(self, step: Goto | Inline, fallback: Goto | None = None) -> None:
        """Go on with another document, whatever runs now; a leg that still rings does so once it is answered.

        `fallback` is asked in place of the application's own fallback URL from now on.
        """
        if self.ending:
            return
        self._next = step
        if fallback is not None:
            self.script.documents.fall_back_to(fallback)
        if self._connect is None:
            self._interrupt()

    def _interrupt(self) -> None:
        if self.script.joint is not None:
            self.script.joint.abandon(parent_gone=False)
        if self._verbs is not None:
            self._verbs.cancel()

    def find(self, sid: str) -> tuple[DialRun, int] | None:
        """Return the dial, and the leg's place in it, of a dialled leg of this call that has not ended."""
        for run in self._runs:
            index = run.index_of(sid)
            if index is not None:
                return run, index
        return None

    def _end_parent(self) -> None:
        leg = self.parent
        if leg.ended:
            return
        self._leaving = True
        if leg.id is None:
            self._parent_ended(Ended(UNPLACED, time.time(), 0, by_peer=False))
        elif leg.answered or not leg.inbound:
            self._phone.hangup(leg.id)
        else:
            self._phone.refuse(leg.id, self._ending.code)

    def on_event(self, event: Event) -> None:
        """Take an event of the parent leg."""
        match event:
            case Ended():
                if not self._goes_elsewhere(event):
                    self._parent_ended(event)
                return
            case Placed():
                self.parent.record.sip_call_id = self.parent.sip.call_id = event.call_id
            case Ringing():
                if self.parent.status is Status.INITIATED:
                    self._move_parent(Status.RINGING, event.time, "ringing")
                    self.log.event("leg.ringing", event.time, leg=self.parent.record.sid, code=event.code)
            case Answered():
                if not self.parent.inbound:
                    self.parent.sip.headers = event.headers
                self._mark_answered(event.time)
                self._answered.set()
            case ReferDeclined():
                note_declined_refer(self.log, self.parent, event)
            case NoMedia():
                note_silence(self.log, self.parent, event)
                if self._services.dial.end_without_media:
                    self.hang_up(f"No audio came for {event.seconds:.0f} s.")
            case Measured():
                self.log.measured(self.parent, event)
                return
            case _:
                self.line.on_event(event)
        if self.script.joint is not None:
            self.script.joint.on_event(event)

    def _move_parent(self, status: Status, when: float, event: str) -> None:
        if self.parent.move(status, when):
            self._progress(event, when)
            self.log.save(self.parent)

    def _progress(self, event: str, when: float, done: Completion | None = None) -> None:
        self._services.callbacks.progress(self.parent, event, when, done)

    def _mark_answered(self, when: float) -> None:
        # A 200 that crosses our CANCEL changes nothing (RFC 3261 §15).
        if not self.parent.answered and not self.ending:
            self.in_setup = False
            self.parent.record.sip_code = 200
            self._move_parent(Status.IN_PROGRESS, when, "answered")
            self.log.event("answered", when)
            if self._queued is not None:
                self.wishes.answered(self._queued)

    def _parent_ended(self, event: Ended) -> None:
        record, joint = self.parent.record, self.script.joint
        if self.parent.ended:
            return
        status = self._parent_verdict(event)
        if not self.parent.answered:
            record.sip_code = event.code
        peer = "caller" if self.parent.inbound else "callee"
        record.ended_by = peer if event.by_peer and not event.error else self._ended_by
        self._parent_over.set()
        if joint is not None:
            joint.abandon(parent_gone=True)
            if isinstance(joint, DialRun):
                self._last_dial = joint.outcome.result()
        self.parent.move(status, event.time)
        record.reason = call_reason(self.parent, event, self._ending, self._last_dial)
        self._note_failure(event, status)
        self.wishes.over()
        self.log.stop_recording(record.sid)
        self._progress("completed", event.time, self._completion())
        self.log.save(self.parent)
        self.log.event("ended", event.time, status=status.value, code=record.sip_code, reason=record.reason)
        if joint is None and self._verbs is not None:
            self._verbs.cancel()

    def _note_failure(self, event: Ended, status: Status) -> None:
        """Tell the operator with Twilio's code why the leg failed, unless that has been told."""
        record = self.parent.record
        if record.error_code:
            return
        if self.parent.inbound and event.code == 408 and event.error:
            record.error_code = NO_ACK
        else:
            failed = status if not self.parent.inbound else Status.COMPLETED
            record.error_code = error_code(failed, event.code, event.error, srtp=self._srtp) or (
                PEER_FAILED if event.error else 0
            )
        if record.error_code:
            self.log.note(record.error_code, record.reason)

    def _parent_verdict(self, event: Ended) -> Status:
        if self.parent.answered:
            return Status.COMPLETED
        if self.parent.inbound:
            return Status.CANCELED if event.by_peer else self._ending.status
        if self._leaving or not (event.by_peer or event.error):
            return self._ending.status
        status = status_from_sip(event.code, self._services.dial.table)
        return Status.FAILED if status is Status.COMPLETED else status

    def _completion(self) -> Completion:
        record, recorder = self.parent.record, self.wishes.recorder
        end = Completion(record.duration or 0, record.sip_code)
        if recorder is None:
            return end
        return Completion(end.duration, end.sip_code, recorder.sid, recorder.url, recorder.seconds)

    async def _place(self, goal: Placement) -> bool:
        """Ring the phone that the call was asked for, at one address after the other; say whether it answered."""
        seconds, targets = self._services.dial.resolve_seconds, list(goal.targets)
        while targets:
            target = targets.pop(0)
            self._more_targets, self._unreached = bool(targets), False
            known = is_address(target.uri) and not self._services.dial.deny
            problem = None if known else await lookup_problem(target.uri, seconds, self._services.dial.deny)
            if problem is not None:
                self.log.note(NOT_RESOLVABLE, problem)
                if not targets:
                    self.parent.record.error_code = NOT_RESOLVABLE
                    self._parent_ended(Ended(UNPLACED, time.time(), 0, by_peer=False, error=problem))
                continue
            self._srtp = target.uri.srtp == "mandatory"
            self._adopt_parent(self._phone.place(target))
            answered = await self._await_answer(goal.queued.timeout)
            if not self._unreached:
                if answered:
                    await self.line.send_digits(goal.queued.send_digits)
                return answered
            self._answered.clear()
        return False

    def _goes_elsewhere(self, event: Ended) -> bool:
        """Take in that an address could not be reached; say whether there is another one."""
        if not (self._more_targets and unreached(event.code)) or self.parent.answered or self.ending:
            return False
        self.log.next_address(self.parent, event)
        self.parent.id, self._unreached = None, True
        self._answered.set()
        return True

    async def _await_answer(self, ring_seconds: float) -> bool:
        try:
            async with asyncio.timeout(ring_seconds + self._services.dial.timeout_buffer):
                await self._answered.wait()
        except TimeoutError:
            self._ending = Done(487, Status.NO_ANSWER, "Rang without an answer.")
            return False
        return True

    def _heard_from(self, answer: Fetched) -> None:
        """Keep what our own TwiML app says about the route and group it chose."""
        if not answer.url.startswith(f"{self._services.public_url}/"):
            return
        route = answer.headers.get("x-cordboard-route", "")
        group = answer.headers.get("x-cordboard-group", "")
        record = self.parent.record
        if route.isdecimal():
            record.route_id = int(route)
        if group.isdecimal():
            record.group_id = int(group)
        if route or group:
            self.log.save(self.parent)

    def answer(self) -> None:
        """Answer the caller, unless that has been done."""
        if self.parent.answered or self.parent.ended or self.parent.id is None:
            return
        self._phone.answer(self.parent.id)
        self._mark_answered(time.time())

    async def _reject(self, verb: twiml.Reject) -> Next:
        if self.parent.answered:
            return Done(reason="The TwiML rejected the call after it was answered.", how=How.HANGUP)
        if verb.reason == "busy":
            return Done(486, Status.BUSY, "The TwiML rejected the call as busy.", How.REJECT)
        why = "The TwiML rejected the call: nobody is reached under this number."
        return Done(404, Status.NO_ANSWER, why, How.REJECT)

    async def _refer(self, verb: twiml.Refer) -> Next:
        self.answer()
        return await refer(self.script, verb)

    async def _enqueue(self, verb: twiml.Enqueue) -> Next:
        self.answer()
        return await self.script.join(self._services.rooms.waiting(self.script, verb))

    async def _dial(self, verb: twiml.Dial) -> Next:
        problem = verb.problem or self._not_allowed(verb)
        if problem is not None:
            self.log.note(problem.code, problem.message)
            return await self._after_dial(verb, DialOutcome(Status.FAILED))
        self.in_setup = False
        if verb.room is not None:
            self.answer()
            return await self.script.join(self._services.rooms.joining(self.script, verb))
        if not verb.answer_on_bridge:
            self.answer()
        run = DialRun(verb, self.script, self._application, answer_parent=self.answer, changed=self._legs_over.set)
        self._runs.add(run)
        self.script.joint = run
        run.start()
        try:
            outcome = await asyncio.shield(run.outcome)  # a redirect cancels the verb, not the dial's own end
        finally:
            run.abandon(parent_gone=False)
            self.script.joint = None
        return await self._after_dial(verb, outcome)

    def _not_allowed(self, verb: twiml.Dial) -> twiml.Remark | None:
        if self._application.enhanced_sip or len(verb.nouns) <= 1:
            return None
        text = f"<Dial> names {len(verb.nouns)} endpoints; this account may dial one (enhanced SIP features are off)"
        return twiml.Remark(13250, text, 0)

    async def _after_dial(self, verb: twiml.Dial, outcome: DialOutcome) -> Next:
        self._last_dial = outcome
        documents = self.script.documents
        if outcome.referral is not None and verb.refer_url is not None:
            if outcome.referral.by_parent:
                return Done(reason="The caller transferred the call.", how=How.GONE)
            target = transfer_parameters(outcome.referral.target)
            return Goto(documents.absolute(verb.refer_url), verb.refer_method, target)
        if verb.action is None:
            return Done(how=How.GONE) if self.parent.ended else None
        step = Goto(
            documents.absolute(verb.action),
            verb.method,
            action_parameters(outcome, self.parent.record.account_sid, self._services.public_url),
        )
        if self.parent.ended:
            # The caller is gone: the application is still told, but its answer has nobody left to run for.
            await documents.tell(step)
            return Done(how=How.GONE)
        return step

"""asyncio: takes INVITEs, starts sessions, places queued calls, refuses what it cannot carry, drains when told to stop.

Knows no TwiML and no SIP message: admission is `routing.admission` on a snapshot in memory, calls are `session`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from calls.entries import CallbackSpec, CallRecord, CommandDone, Entry, NoteEntry, QueuedCall, QueuedCommand
from calls.status import Direction, Status
from calls.webhooks import Completion
from routing.admission import Directory, authenticate
from routing.answers import Application, Challenge, Deny, InviteFacts, Peer
from routing.errors import lookup
from routing.outbound import NoWay
from routing.sid import new_sid
from sipengine import call_recording, room_commands
from sipengine.addresses import bare_address, dialled, printable, user_and_host
from sipengine.dialing import DialRun
from sipengine.documents import Goto, Inline
from sipengine.placing import placement
from sipengine.ports import Checked, Ended, Event, Invite, LegId, Phone, RecordClosed, RecordFailed
from sipengine.records import CallLog, Leg, SipFacts
from sipengine.services import Adoption, Handler, Services
from sipengine.session import CallSession

log = logging.getLogger("sipengine.engine")

LAG_SECONDS = 0.3  # how late the event loop, which ticks ten times a second, may be before new calls are refused
BACKLOG_SECONDS = 0.15  # how long a command for the SIP thread may wait before new calls are refused
LEGS_PER_CALL = 11  # a caller and ten phones: what a new call may need
NOTE_SECONDS = 10.0  # one note per source and code in this time: strangers must not fill the log
ATTEMPT_SECONDS = 60.0
CONFERENCE_OVER = "The conference that it was placed into ended before it was answered."
REFUSAL_LENGTH = 200  # characters of X-Twilio-Error


@dataclass(frozen=True, slots=True)
class Limits:
    """What the engine carries at most; `attempts` is how many wrong passwords a call may send.

    Of a `lag` of the event loop or a `backlog` of the SIP thread, in seconds, new calls are refused.
    """

    legs: int = 1000
    setups: int = 100
    attempts: int = 3
    lag: float = LAG_SECONDS
    backlog: float = BACKLOG_SECONDS


class Engine:
    """All calls of one engine. Methods run in the event loop's thread; `post` and `admits` in any."""

    def __init__(self, services: Services, limits: Limits, secret: str, put: Callable[[Entry], None]) -> None:
        self._services = services
        self._phone: Phone = services.phone
        self._limits = limits
        self._secret = secret
        self._put = put
        self._directory = Directory({}, None)
        self._sessions: set[CallSession] = set()
        self._owners: dict[LegId, Handler] = {}
        self._attempts: dict[str, tuple[int, float]] = {}
        self._noted: dict[tuple[str, int], float] = {}
        self._inbox: deque[Event] = deque()
        self._woken = False
        self._loop = asyncio.get_running_loop()
        self._ticked = time.monotonic()
        self._draining = False
        self._idle = asyncio.Event()

    def set_directory(self, directory: Directory) -> None:
        """Replace the snapshot that admission decides on."""
        self._directory = directory

    def tick(self) -> None:
        """Tell that the loop is alive; called ten times a second."""
        now = time.monotonic()
        self._ticked = now
        if len(self._attempts) > 1000:
            self._attempts = {key: item for key, item in self._attempts.items() if now - item[1] < ATTEMPT_SECONDS}
        if len(self._noted) > 1000:
            self._noted = {key: then for key, then in self._noted.items() if now - then < NOTE_SECONDS}

    def admits(self, legs: int, backlog: float) -> bool:
        """Say whether one more call may come in: `legs` are in the tables, `backlog` seconds is the SIP thread behind.

        Called in the phone's thread. Refusing early keeps the calls in progress whole (docs/architecture.md, overload).
        """
        sessions = tuple(self._sessions)
        setups = sum(1 for session in sessions if session.in_setup)
        # Calls in set-up have still to place their phones: as many, we expect, as the others have.
        promised = setups * max(1, legs // max(1, len(sessions)))
        return (
            not self._draining
            and legs + promised + LEGS_PER_CALL <= self._limits.legs
            and setups < self._limits.setups
            and backlog < self._limits.backlog
            and time.monotonic() - self._ticked < self._limits.lag
        )

    @property
    def calls(self) -> int:
        """The number of calls in progress."""
        return len(self._sessions)

    def post(self, event: Event) -> None:
        """Take an event from the phone's thread; many are handed over with one wake-up."""
        self._inbox.append(event)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._woken = False
        while self._inbox:
            event = self._inbox.popleft()
            try:
                self._dispatch(event)
            except Exception:
                log.exception("an event was not handled: %r", event)
                if isinstance(event, Invite) and event.leg not in self._owners:
                    self._phone.refuse(event.leg, 500)

    def _dispatch(self, event: Event) -> None:
        if isinstance(event, Invite):
            self._invited(event)
            return
        handler = self._owners.get(event.leg)
        if handler is not None:
            handler(event)
        if isinstance(event, Ended | RecordClosed | RecordFailed | Checked):
            self._owners.pop(event.leg, None)

    def own(self, leg: LegId, handler: Handler) -> None:
        """Route the events of a leg or a recorder."""
        self._owners[leg] = handler

    def adopt(self, adoption: Adoption) -> None:
        """Let a dialled leg go on as a call of its own."""
        session = CallSession.adopted(self._services, adoption)
        self._sessions.add(session)
        session.start_adopted(adoption.step, adoption.timeout, self._forget)

    def obey(self, command: QueuedCommand) -> CommandDone:
        """Change a call in progress, and say what came of it."""
        ok, outcome = self._obey(command)
        log.info("call=%s command=%d by %s: %s", command.call_sid, command.id, command.by or "somebody", outcome)
        return CommandDone(command.id, time.time(), ok, outcome)

    def _obey(self, command: QueuedCommand) -> tuple[bool, str]:
        if command.room is not None:
            mine = (one for one in self._sessions if one.parent.record.sid == command.call_sid)
            return room_commands.obey(self._services.rooms, next(mine, None), command)
        for session in tuple(self._sessions):
            if session.parent.record.sid == command.call_sid:
                if command.action:
                    return call_recording.obey(self._services, session.log, session.parent, command)
                return _obey_parent(session, command)
            found = session.find(command.call_sid)
            if found is not None:
                run, index = found
                if command.action:
                    return call_recording.obey(self._services, session.log, run.leg(index), command)
                return _obey_child(run, index, command)
        return False, "The call has ended already (error 21220)."

    def _forget(self, session: CallSession) -> None:
        self._sessions.discard(session)
        self._services.rooms.expect_no_more(self._services, session.parent.record.sid)
        if not self._sessions:
            self._idle.set()

    def _invited(self, invite: Invite) -> None:
        user, host = user_and_host(invite.request_uri)
        facts = InviteFacts(
            "INVITE",
            host,
            invite.source_ip,
            invite.call_id,
            invite.authorization,
            transport=invite.transport,
            srtp=invite.srtp,
            user=user,
        )
        match authenticate(self._directory, facts, self._secret, time.time()):
            case Peer(application, username):
                self._accept(invite, application, username or "", user, host)
            case Challenge(header, failed):
                if failed and self._attempts_used(invite.call_id) >= self._limits.attempts:
                    self._deny(invite, Deny(403, 32202, f"wrong credentials {self._limits.attempts} times"))
                    return
                if failed:
                    self._note(invite, 32202, f"wrong credentials for {host} from {invite.source_ip}")
                self._phone.refuse(invite.leg, 407, (("Proxy-Authenticate", header),))
            case Deny() as deny:
                self._deny(invite, deny)

    def _attempts_used(self, call_id: str) -> int:
        count = self._attempts.get(call_id, (0, 0.0))[0] + 1
        self._attempts[call_id] = (count, time.monotonic())
        return count

    def _deny(self, invite: Invite, deny: Deny) -> None:
        self._note(invite, deny.code, deny.text)
        self._phone.refuse(invite.leg, deny.status, (("X-Twilio-Error", _header_text(f"{deny.code} {deny.text}")),))

    def _note(self, invite: Invite, code: int, text: str) -> None:
        """Let the operator read why a stranger was refused, without letting strangers fill the log."""
        key, now = (invite.source_ip, code), time.monotonic()
        if now - self._noted.get(key, -NOTE_SECONDS) < NOTE_SECONDS:
            return
        self._noted[key] = now
        message = printable(f"INVITE {invite.request_uri} from {invite.source_ip}: {text}")
        log.warning("code=%d %s", code, message)
        self._put(NoteEntry(new_sid("NO"), "", "", time.time(), code, lookup(code).level, message))

    def _accept(self, invite: Invite, application: Application, username: str, user: str, host: str) -> None:
        record = CallRecord(
            sid=new_sid("CA"),
            account_sid=application.account_sid,
            direction=Direction.INBOUND.value,
            status=Status.RINGING.value,
            from_address=bare_address(invite.from_uri),
            to_address=dialled(user, host),
            start_time=invite.time,
            ring_time=invite.time,
            engine=self._services.engine,
            sip_call_id=invite.call_id,
            domain_sid=application.domain_sid,
            sip_username=username,
            source_ip=invite.source_ip,
            callback=_domain_callback(application),
        )
        sip = SipFacts(
            domain=host,
            call_id=invite.call_id,
            source_ip=invite.source_ip,
            username=username,
            forwarded_from=bare_address(_header(invite, "Diversion")),
            headers=invite.headers,
        )
        session = CallSession(self._services, application, record, sip)
        session.start_inbound(invite.leg, self._forget)
        self._sessions.add(session)

    def report_full(self, count: int) -> None:
        """Tell the operator how many calls were refused since the last report because the engine was full."""
        self._report(32001, f"{count} call(s) refused with 503: the engine is at its limit; see docs/operating.md")

    def report_unusable(self, count: int) -> None:
        """Tell the operator how many INVITEs were refused since the last report because of their SDP."""
        self._report(32102, f"{count} INVITE(s) refused with 488: their SDP offers no codec of SIP_CODECS")

    def _report(self, code: int, message: str) -> None:
        log.warning("%s", message)
        self._put(NoteEntry(new_sid("NO"), "", "", time.time(), code, lookup(code).level, message))

    def place(self, queued: QueuedCall) -> None:
        """Place a call that was asked for through the API or the admin, when it is its turn."""
        if queued.wait > 0:
            self._loop.call_later(queued.wait, self.place, replace(queued, wait=0.0))
            return
        if self._draining:
            log.warning("call=%s is left in the queue: the engine stops", queued.sid)
            return
        record = CallRecord(
            sid=queued.sid,
            account_sid=queued.account_sid,
            direction=Direction.OUTBOUND_API.value,
            status=Status.QUEUED.value,
            from_address=queued.from_address,
            to_address=queued.to,
            start_time=queued.queued,
            engine=self._services.engine,
            region=queued.region,
            callback=queued.callback,
        )
        application = Application(
            account_sid=queued.account_sid,
            auth_token=queued.auth_token,
            domain_sid="",
            domain_name="",
            voice_url=queued.url,
            voice_method=queued.method,
            fallback_url=queued.fallback_url,
            fallback_method=queued.fallback_method,
        )
        try:
            goal = placement(queued, self._services.dialplan())
        except NoWay as error:
            self._cannot_place(record, f"Its address cannot be called: {error.message}", error.code)
            self._expect(queued, lambda: None)
            self._services.rooms.expect_no_more(self._services, queued.sid)
            return
        record.to_address = goal.address
        first = Inline(queued.twiml.encode()) if queued.twiml else Goto(queued.url, queued.method)
        session = CallSession(self._services, application, record, SipFacts())
        self._sessions.add(session)
        session.start_outbound(goal, first, self._forget)
        self._expect(queued, lambda: session.hang_up(CONFERENCE_OVER))

    def _expect(self, queued: QueuedCall, give_up: Callable[[], None]) -> None:
        if queued.conference is not None:
            rooms = self._services.rooms
            rooms.expect(self._services, queued.sid, queued.account_sid, queued.conference, give_up)

    def _cannot_place(self, record: CallRecord, reason: str, code: int) -> None:
        record.status, record.end_time = Status.FAILED.value, time.time()
        record.reason, record.error_code, record.ended_by = reason, code, "engine"
        leg = Leg(record)
        call_log = CallLog(self._put, record)
        call_log.note(code, reason)
        self._services.callbacks.progress(leg, "completed", record.end_time, Completion(0))
        call_log.save(leg)

    async def drain(self, seconds: float) -> None:
        """Take no new calls; give those in progress `seconds` to end, then hang them up and wait for their legs."""
        self._draining = True
        if self._sessions and seconds > 0:
            log.info("draining: %d calls in progress get %g s", len(self._sessions), seconds)
            await self._wait_idle(seconds)
        for session in tuple(self._sessions):
            session.hang_up("The engine was stopped.")
        await self._wait_idle(5.0)

    async def _wait_idle(self, seconds: float) -> None:
        self._idle.clear()
        if not self._sessions:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            log.info("%d calls are still in progress", len(self._sessions))


def _obey_parent(session: CallSession, command: QueuedCommand) -> tuple[bool, str]:
    if session.ending:
        return False, "The call has ended already (error 21220)."
    if command.status == Status.CANCELED and session.parent.answered:
        return False, "The call is in progress: it can be completed, not canceled (error 21220)."
    by = command.by or "an operator"
    if command.callback is not None:
        session.parent.record.callback = command.callback
    if command.time_limit is not None:
        session.wishes.limit(command.time_limit)
    if not (command.status or command.url or command.twiml):
        return True, "The call was changed."
    session.log.event("command", what=command.status or "redirect", by=by)
    if command.status:
        session.hang_up(f"Ended by {by}.", "operator")
        return True, "The call was ended."
    session.redirect(_step(command), _fallback(command))
    return True, "The call goes on with another document."


def _obey_child(run: DialRun, index: int, command: QueuedCommand) -> tuple[bool, str]:
    if command.status == Status.CANCELED and run.leg(index).answered:
        return False, "The leg is in progress: it can be completed, not canceled (error 21220)."
    run.note_command(index, command.status or "redirect", command.by or "an operator")
    if command.status:
        run.end_leg(index)
        return True, "The leg was ended."
    run.detach(index, _step(command), _fallback(command))
    return True, "The leg goes on with another document."


def _step(command: QueuedCommand) -> Goto | Inline:
    return Inline(command.twiml.encode()) if command.twiml else Goto(command.url, command.method)


def _fallback(command: QueuedCommand) -> Goto | None:
    return Goto(command.fallback_url, command.fallback_method) if command.fallback_url else None


def _domain_callback(application: Application) -> CallbackSpec | None:
    """Return who is told of the end of a domain's calls; a SIP domain tells nothing else (Twilio's page on it)."""
    url = application.status_callback_url
    return CallbackSpec(url, application.status_callback_method, ("completed",)) if url else None


def _header_text(text: str) -> str:
    return "".join(char if " " <= char <= "~" else "?" for char in text[:REFUSAL_LENGTH])


def _header(invite: Invite, name: str) -> str:
    low = name.lower()
    return next((value for found, value in invite.headers if found.lower() == low), "")

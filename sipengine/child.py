"""asyncio: one noun of a `<Dial>` as a leg: its record and callbacks, the addresses to try, its screening, its end.

Whether the leg wins, loses or is given up is not decided here: `dialing.py` asks the dial machine and says it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace

from calls.entries import CallRecord
from calls.status import Direction, Status
from calls.verb_parameters import amd_parameters
from calls.webhooks import Completion, WebhookError
from routing.answers import Application
from routing.outbound import NoWay, Way
from routing.sid import new_sid
from sipengine import targets, twiml
from sipengine.callbacks import spec_of
from sipengine.documents import Documents, Goto, How
from sipengine.line import Line
from sipengine.outcome import error_code, leg_reason
from sipengine.ports import Ended, Event, Headers, Placed, Ringing, Target
from sipengine.records import Leg
from sipengine.resolving import NOT_RESOLVABLE, is_address, lookup_problem
from sipengine.script import Script

log = logging.getLogger("sipengine.child")

UNKNOWN_REGION = 32215


class Child:
    """The leg of one noun. `script` is the caller's; `on_event` takes the events of the leg that `start` places.

    `failed(child)` is called, in a later turn of the loop, when there is no address that could be called.
    """

    def __init__(
        self,
        noun: twiml.Noun,
        verb: twiml.Dial,
        script: Script,
        application: Application,
        *,
        on_event: Callable[[Event], None],
        failed: Callable[[Child], None],
    ) -> None:
        self.noun = noun
        self._verb = verb
        self._script = script
        self._application = application
        self._services = script.services
        self._log = script.log
        self._on_event = on_event
        self._failed = failed
        parent = script.leg.record
        record = CallRecord(
            sid=new_sid("CA"),
            account_sid=parent.account_sid,
            parent_sid=parent.sid,
            direction=Direction.OUTBOUND_DIAL.value,
            status=Status.INITIATED.value,
            from_address=verb.caller_id or parent.from_address,
            to_address=targets.shown(noun),
            start_time=time.time(),
            engine=parent.engine,
            region=noun.addresses[0].uri.region if isinstance(noun, twiml.Sip) else "",
            domain_sid=parent.domain_sid,
            callback=spec_of(noun.callback, script.documents.absolute, script.log)
            if isinstance(noun, twiml.Party)
            else None,
        )
        self.leg = Leg(record)
        self.leg.sip.domain = script.leg.sip.domain
        self.line = Line(self._services.phone, self.leg)
        self._ways: list[Way] = []
        self._lookup: asyncio.Task[None] | None = None
        self._screening: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._error = ""
        self._error_code = 0
        self._srtp = False  # whether it was offered encrypted media only
        self.headers: Headers = ()
        self.cause = ""  # who ended it, once somebody has

    def start(self) -> None:
        """Call the first address."""
        record = self.leg.record
        self._services.callbacks.progress(self.leg, "initiated", record.start_time)
        self._log.save(self.leg)
        self._log.event("leg.placed", record.start_time, leg=record.sid, to=record.to_address)
        try:
            plan = self._services.dialplan()
            self._ways = list(targets.ways(self.noun, plan, record.account_sid, random.random))
        except NoWay as error:
            self._fail_soon(error.code, error.message)
            return
        self._try_next()

    def _try_next(self) -> None:
        way = self._ways.pop(0)
        if is_address(way.uri) and not self._services.dial.deny:
            self._invite(way)
        else:
            self._lookup = asyncio.create_task(self._resolve_then_invite(way))

    def _fail_soon(self, code: int, message: str) -> None:
        """End a leg that cannot be placed, after the machine has taken in that it started."""
        self._error, self._error_code = message, code
        self._log.note(code, message, call_sid=self.leg.record.sid)
        asyncio.get_running_loop().call_soon(self._failed, self)

    async def _resolve_then_invite(self, way: Way) -> None:
        settings = self._services.dial
        problem = await lookup_problem(way.uri, settings.resolve_seconds, settings.deny)
        self._lookup = None
        if problem is None:
            self._invite(way)
        elif self._ways:
            self._log.note(NOT_RESOLVABLE, problem, call_sid=self.leg.record.sid)
            self._try_next()
        else:
            self._fail_soon(NOT_RESOLVABLE, problem)

    def _invite(self, way: Way) -> None:
        record, uri, regions = self.leg.record, way.uri, self._services.regions()
        if uri.region and regions and uri.region not in regions:
            self._log.note(UNKNOWN_REGION, f"there is no region {uri.region}: the default one is used")
        self._srtp = uri.srtp == "mandatory"
        reason = (("Subject", self._verb.call_reason),) if self._verb.call_reason else ()
        self.leg.id = self._services.phone.place(
            Target(
                uri=uri,
                from_user=_user_of(way.caller_id or record.from_address),
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
        self._services.own(self.leg.id, self._on_event)

    def next_address(self, event: Ended) -> bool:
        """Call the next address if this one could not be reached; say whether there was one."""
        if not (self._ways and targets.unreached(event.code)):
            return False
        self._log.next_address(self.leg, event)
        self.leg.id = None
        self._try_next()
        return True

    def placed(self, event: Placed) -> None:
        """Take in that the INVITE left."""
        self.leg.record.sip_call_id = self.leg.sip.call_id = event.call_id

    def ringing(self, event: Ringing) -> None:
        """Take in that the far end rings; it is told once."""
        leg = self.leg
        if leg.status is not Status.INITIATED:
            return
        leg.move(Status.RINGING, event.time)
        self._services.callbacks.progress(leg, "ringing", event.time)
        self._log.save(leg)
        self._log.event("leg.ringing", event.time, leg=leg.record.sid, to=leg.record.to_address, code=event.code)

    def answered(self, when: float) -> None:
        """Take in that the far end answered, and is wanted."""
        leg, noun = self.leg, self.noun
        party = noun if isinstance(noun, twiml.Party) else None
        leg.record.sip_code = 200
        if party is not None and party.machine_detection:
            leg.answered_by = "unknown"
        leg.move(Status.IN_PROGRESS, when)
        self._services.callbacks.progress(leg, "answered", when)
        self._log.save(leg)
        self._log.event("leg.answered", when, leg=leg.record.sid, to=leg.record.to_address)
        callback = party.amd_callback if party is not None and leg.answered_by else None
        spec = spec_of(callback, self._script.documents.absolute, self._log)
        if spec is not None:
            account, sid = leg.record.account_sid, leg.record.sid
            parameters = amd_parameters(sid, account, leg.answered_by, 0)
            self._services.callbacks.fire(spec, account, sid, "amd", leg.answered_by, parameters)

    def send_digits(self) -> None:
        """Send a `<Number>`'s digits, now that it has answered."""
        digits = self.noun.send_digits if isinstance(self.noun, twiml.Number) else ""
        if digits:
            self._log.event("digits.sent", count=sum(char not in "wW" for char in digits))
            self._sending = asyncio.create_task(self.line.send_digits(digits))

    def screen(self, done: Callable[[bool], None]) -> None:
        """Run the noun's document on the callee; `done` is told whether it accepted the call."""
        self._log.event("screening", leg=self.leg.record.sid, to=self.leg.record.to_address)
        self._screening = asyncio.create_task(self._screen(done))

    async def _screen(self, done: Callable[[bool], None]) -> None:
        noun, leg = self.noun, self.leg
        assert isinstance(noun, twiml.Party) and noun.url
        # No fallback: an apology that comes to its end would count as consent.
        application = replace(self._application, fallback_url="")
        documents = Documents(self._services.web, self._log, application, leg.voice_parameters)
        script = Script(self._services, leg, self.line, documents, self._log)
        try:
            async with asyncio.timeout(self._verb.time_limit):
                end = await script.run(Goto(self._script.documents.absolute(noun.url), noun.method))
            accepted = end.how is How.DOCUMENT
        except TimeoutError:
            self._log.note(32015, f"the screening lasted longer than the time limit of {self._verb.time_limit} s")
            accepted = False
        except WebhookError as error:
            self._log.note(error.code, error.message)
            accepted = False
        except Exception as error:
            self._log.note(12400, f"the engine failed: {error!r}")
            log.exception("call=%s", leg.record.sid)
            accepted = False
        name = "screening.accepted" if accepted else "screening.declined"
        self._log.event(name, leg=leg.record.sid, to=leg.record.to_address)
        self._screening = None
        done(accepted)

    def stop(self) -> None:
        """Stop whatever is done with the leg besides talking."""
        for task in (self._screening, self._sending):
            if task is not None:
                task.cancel()
        self._screening = self._sending = None

    def give_up(self, cause: str, headers: Headers) -> None:
        """End the leg; `cause` says who did, unless that is known."""
        self.cause = self.cause or cause
        self.leg.record.ended_by = self.cause
        self._ways.clear()
        self.stop()
        if self.leg.id is not None:
            self._services.phone.hangup(self.leg.id, headers)
        elif self._lookup is not None:
            self._lookup.cancel()
            self._lookup = None
            asyncio.get_running_loop().call_soon(self._failed, self)

    def ended(self, event: Ended) -> None:
        """Take in how the leg ended."""
        self.stop()
        self._log.stop_recording(self.leg.record.sid)
        self._error = event.error
        last = {name.lower() for name, _ in event.headers}
        self.headers = (*event.headers, *(one for one in self.headers if one[0].lower() not in last))
        if self.leg.answered and not self.cause:
            self.cause = "callee" if event.by_peer else "engine"

    def close(self, status: Status, code: int, *, bridged: bool, recorded: Callable[[int], Completion] | None) -> None:
        """Give the leg its terminal status, the one that is told and kept.

        `bridged` says whether any leg of the dial was; `recorded` makes the completion of one that was recorded.
        """
        leg, now = self.leg, time.time()
        record = leg.record
        record.sip_code = code
        record.error_code = self._error_code or error_code(status, code, self._error, srtp=self._srtp)
        record.ended_by = self.cause or "callee"
        leg.move(status, now)
        record.reason = leg_reason(leg, self._error, bridged)
        if record.error_code and not self._error_code:
            self._log.note(record.error_code, f"{record.to_address}: {record.reason}", call_sid=record.sid)
        if record.callback is not None:
            duration = record.duration or 0
            done = recorded(duration) if recorded is not None else Completion(duration, code)
            self._services.callbacks.progress(leg, "completed", now, done)
        self._log.save(leg)
        told = {"status": status.value, "code": code, "reason": record.reason}
        self._log.event("leg.ended", now, leg=record.sid, to=record.to_address, **told)


def _user_of(address: str) -> str:
    """Return the user part of a SIP address, or the plain number itself."""
    text = address.removeprefix("sips:").removeprefix("sip:")
    return text.partition("@")[0] or "anonymous"

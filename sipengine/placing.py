"""asyncio: a queued call as INVITEs to try one after the other, and what is done once one of them is answered.

Source: Twilio's Call resource, "Create a Call".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from calls.entries import QueuedCall
from calls.verb_parameters import amd_parameters
from routing.outbound import Dialplan, NoWay, Way, plain_number
from routing.sipuri import SipUriError, parse
from sipengine.addresses import caller_id
from sipengine.call_recording import begin
from sipengine.ports import Target
from sipengine.recorder import Recorder
from sipengine.records import CallLog, Leg
from sipengine.services import Services

LIMIT_REACHED = 32015
_CLIENT = "client:"


@dataclass(frozen=True, slots=True)
class Placement:
    """Whom a queued call rings: `address` is what the log shows; the targets are tried in order."""

    queued: QueuedCall
    address: str
    targets: tuple[Target, ...]


def placement(queued: QueuedCall, dialplan: Dialplan) -> Placement:
    """Return where to send the INVITEs of a queued call; raise `NoWay` if it cannot be called."""
    address, ways = _ways(queued, dialplan)
    return Placement(queued, address, tuple(_target(queued, way) for way in ways))


def _ways(queued: QueuedCall, dialplan: Dialplan) -> tuple[str, tuple[Way, ...]]:
    to = queued.to
    if to.startswith(_CLIENT):
        return to, (dialplan.client(queued.account_sid, to.removeprefix(_CLIENT)),)
    if plain_number(to) is not None:
        return to, dialplan.trunk_ways(queued.account_sid, to)
    try:
        uri = parse(to)
    except SipUriError as error:
        raise NoWay(error.code, error.message) from None
    return uri.address, (Way(uri),)


def _target(queued: QueuedCall, way: Way) -> Target:
    """Return the INVITE; credentials that came with the call are better than those of the way."""
    reason = (("Subject", queued.call_reason),) if queued.call_reason else ()
    return Target(
        uri=way.uri,
        from_user=caller_id(way.caller_id or queued.from_address),
        username=queued.username or way.username,
        password=queued.password or way.password,
        headers=(
            ("X-Twilio-CallSid", queued.sid),
            ("X-Twilio-AccountSid", queued.account_sid),
            ("X-Twilio-ApiVersion", "2010-04-01"),
            *reason,
            *way.uri.headers,
        ),
        region=way.uri.region,
    )


class Wishes:
    """What a call was asked to do besides its TwiML: to be recorded, detected, and ended in time."""

    def __init__(self, services: Services, log: CallLog, leg: Leg, end: Callable[[str], None]) -> None:
        self._services = services
        self._log = log
        self._leg = leg
        self._end = end
        self._timer: asyncio.TimerHandle | None = None
        self.recorder: Recorder | None = None

    def answered(self, queued: QueuedCall) -> None:
        """Begin with what begins at the answer."""
        if queued.time_limit is not None:
            self.limit(queued.time_limit)
        if queued.recording is not None:
            self.recorder = begin(self._services, self._log, self._leg, queued.recording)
        if queued.machine_detection:
            self._tell_detection(queued)

    def limit(self, seconds: float) -> None:
        """End the call so many seconds from now."""
        self.over()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._limit_reached, seconds)

    def over(self) -> None:
        """Forget the time limit: the call has ended, or gets another one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _limit_reached(self, seconds: float) -> None:
        self._log.note(LIMIT_REACHED, f"the time limit of {seconds:.0f} s ended the call")
        self._end(f"The time limit of {seconds:.0f} s ended the call.")

    def _tell_detection(self, queued: QueuedCall) -> None:
        record = self._leg.record
        self._leg.answered_by = "unknown"
        if queued.amd_callback is not None:
            parameters = amd_parameters(record.sid, record.account_sid, "unknown", 0)
            fire = self._services.callbacks.fire
            fire(queued.amd_callback, record.account_sid, record.sid, "amd", "unknown", parameters, time.time())

"""asyncio: carries out SIP checks: looks the host up off the SIP thread, sends an OPTIONS, says what came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from calls.entries import CheckDone, QueuedCheck
from calls.urlguard import Network
from routing.sipuri import SipUri, SipUriError, parse
from sipengine.ports import Checked, Event, LegId
from sipengine.resolving import is_address, lookup_problem
from sipengine.services import Handler

RESOLVE_SECONDS = 2.0
ANSWER_SECONDS = 4.0


class CheckPhone(Protocol):
    """What is needed of the phone."""

    def check(self, uri: SipUri, region: str, seconds: float) -> LegId: ...


class Checker:
    """Checks far ends, several at once. `own` routes the event of a check, `put` takes what came of it."""

    def __init__(
        self,
        phone: CheckPhone,
        own: Callable[[LegId, Handler], None],
        put: Callable[[CheckDone], None],
        deny: tuple[Network, ...] = (),
    ) -> None:
        self._phone = phone
        self._own = own
        self._put = put
        self._deny = deny
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, check: QueuedCheck) -> None:
        """Begin a check; its one `CheckDone` follows within some six seconds."""
        task = asyncio.create_task(self._run(check))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, check: QueuedCheck) -> None:
        try:
            uri = parse(check.uri)
        except SipUriError as error:
            self._put(CheckDone(check.id, time.time(), 0, error=f"the SIP URI cannot be used: {error}"))
            return
        if self._deny or not is_address(uri):
            problem = await lookup_problem(uri, RESOLVE_SECONDS, self._deny)
            if problem is not None:
                self._put(CheckDone(check.id, time.time(), 0, error=problem))
                return
        self._own(self._phone.check(uri, check.region or uri.region, ANSWER_SECONDS), self._done(check.id))

    def _done(self, number: int) -> Handler:
        def handle(event: Event) -> None:
            if isinstance(event, Checked):
                self._put(
                    CheckDone(number, event.time, event.code, event.reason, event.server, event.seconds, event.error)
                )

        return handle

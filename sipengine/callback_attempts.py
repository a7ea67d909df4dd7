"""asyncio: sends the callbacks that the engine hands over, in the sender's process; it knows no Django and no SIP.

The callbacks of one leg to one host go in order, each after the attempt before it; those of different legs at the same
time, up to a bound for each host, so that a slow or dead host keeps nobody else's waiting. What a host has too many of
is left to the worker. Outcomes are written in batches, however long the database is away.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from calls.callback_request import Outcome, attempt, concluded
from calls.entries import DeliveryEntry, Entry
from calls.webclient import WebClient

log = logging.getLogger("sipengine.sender")

BATCH_SECONDS = 0.25
DATABASE_RETRY_SECONDS = 1.0
TOKEN_SECONDS = 30.0
COMPLAIN_SECONDS = 10.0
INTERNAL = 12400


@dataclass(frozen=True, slots=True)
class Token:
    """What an account signs with, or the error code and the reason why it cannot."""

    value: str = field(repr=False)
    refusal: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    """What the sender needs of the database, to be called in a thread; `away` is what both raise when it is away."""

    token_of: Callable[[str], Token]
    apply: Callable[[Sequence[Entry]], object]
    away: type[Exception]


@dataclass(frozen=True, slots=True)
class Limits:
    """How many callbacks of one host are sent at once, how many more may wait, and how many outcomes may."""

    at_once: int = 50
    waiting: int = 5000
    outcomes: int = 20_000


class Host:
    """The callbacks to one host: its legs in turn, and how many wait."""

    def __init__(self, at_once: int) -> None:
        self.room = asyncio.Semaphore(at_once)
        self.lines: dict[str, deque[DeliveryEntry]] = {}
        self.waiting = 0


class Sender:
    """Takes entries with `accept` and sends them; `write_outcomes` must run beside."""

    def __init__(self, web: WebClient, storage: Storage, limits: Limits | None = None) -> None:
        self._web = web
        self._storage = storage
        self._limits = limits or Limits()
        self._hosts: dict[str, Host] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tokens = Tokens(storage)
        self._outcomes: list[Entry] = []
        self._complained = float("-inf")
        self.left = 0  # entries that were left to the worker

    def accept(self, entry: DeliveryEntry) -> None:
        """Send this callback as soon as those before it of its leg have been tried."""
        name = _host_of(entry.url)
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = Host(self._limits.at_once)
        if host.waiting >= self._limits.waiting or len(self._outcomes) >= self._limits.outcomes:
            self._leave(name)
            return
        host.waiting += 1
        key = _line_of(entry)
        if key in host.lines:
            host.lines[key].append(entry)
            return
        host.lines[key] = deque([entry])
        task = asyncio.create_task(self._work(name, host, key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, seconds: float) -> None:
        """Wait until everything has been tried, and stop what takes longer; outcomes are then to be written."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        if waiting := sum(host.waiting for host in self._hosts.values()):
            log.warning("%d callbacks are left to the worker", waiting)

    async def write_outcomes(self) -> None:
        """Write outcomes four times a second, until cancelled."""
        while True:
            await asyncio.sleep(BATCH_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Write the outcomes that wait; with the database away keep them and try again, for ever."""
        told = False
        while batch := self._outcomes[:1000]:
            try:
                await asyncio.to_thread(self._storage.apply, batch)
            except self._storage.away as error:
                if not told:
                    log.error("the database is away (%s): outcomes of callbacks wait", error)
                told = True
                await asyncio.sleep(DATABASE_RETRY_SECONDS)
            else:
                del self._outcomes[: len(batch)]
        if told:
            log.warning("the database is back")

    async def _work(self, name: str, host: Host, key: str) -> None:
        line = host.lines[key]
        while line:
            async with host.room:
                await self._send(line[0])
            line.popleft()
            host.waiting -= 1
        del host.lines[key]
        if not host.lines:
            self._hosts.pop(name, None)

    async def _send(self, entry: DeliveryEntry) -> None:
        token = await self._tokens.of(entry.account_sid)
        sent_at = time.time()
        try:
            outcome = await self._attempt(entry, token)
        except Exception as error:  # a fault of ours, which must not stop the leg's next callbacks
            log.exception("call=%s callback %s", entry.call_sid, entry.sid)
            outcome = Outcome(False, 0, error_code=INTERNAL, error=f"{type(error).__name__}: {error}")
        self._outcomes.append(concluded(entry, outcome, sent_at))
        log.debug("%s %s of %s: %s %s", entry.topic, entry.event, entry.call_sid, outcome.status, outcome.error)

    async def _attempt(self, entry: DeliveryEntry, token: Token) -> Outcome:
        if token.refusal:
            code, why = token.refusal
            return Outcome(False, 0, error_code=code, error=why)
        # The message's own SID as the token: whoever sends it again sends the same.
        return await attempt(self._web, entry.url, entry.method, entry.parameters, token.value, entry.message)

    def _leave(self, name: str) -> None:
        self.left += 1
        now = time.monotonic()
        if now - self._complained > COMPLAIN_SECONDS:
            self._complained = now
            log.error("too many callbacks wait for %s: %d are left to the worker so far", name, self.left)


class Tokens:
    """The auth tokens of accounts, each looked up at most every half minute, and by one at a time."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known: dict[str, tuple[float, Token]] = {}
        self._asking: dict[str, asyncio.Task[Token]] = {}

    async def of(self, account_sid: str) -> Token:
        """Return the token; with the database away the one that was known, or else wait."""
        known = self._known.get(account_sid)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        asking = self._asking.get(account_sid)
        if asking is None:
            asking = self._asking[account_sid] = asyncio.create_task(self._look_up(account_sid))
            asking.add_done_callback(lambda _: self._asking.pop(account_sid, None))
        return await asyncio.shield(asking)

    async def _look_up(self, account_sid: str) -> Token:
        told = False
        while True:
            try:
                token = await asyncio.to_thread(self._storage.token_of, account_sid)
            except self._storage.away as error:
                if account_sid in self._known:  # it seldom changes
                    return self._known[account_sid][1]
                if not told:
                    log.error("the auth token of %s cannot be read (%s): its callbacks wait", account_sid, error)
                told = True
                await asyncio.sleep(DATABASE_RETRY_SECONDS)
            else:
                self._known[account_sid] = (time.monotonic() + TOKEN_SECONDS, token)
                return token


def _host_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{(parts.hostname or '')}:{parts.port or ''}"
    except ValueError:
        return ""


def _line_of(entry: DeliveryEntry) -> str:
    """Return what the entry must keep its order with: a conference's callbacks are one line whoever they are about."""
    if entry.topic == "conference":
        return dict(entry.parameters).get("ConferenceSid", entry.call_sid)
    return entry.call_sid

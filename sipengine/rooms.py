"""asyncio: conferences and queues: where calls of different sessions of one engine meet.

Rooms live in their engine and begin with the first call that names them; what becomes of them is told to the journal.
Conferences may be promised: a call that the API placed into one is expected there, and opens it under a known SID.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from calls.entries import ConferenceEntry, ConferenceSpec, QueueEntry
from calls.room_sids import queue_sid
from routing.sid import new_sid
from sipengine import twiml
from sipengine.conference import COMPLETED, LAST_LEFT, Conference, ConferenceView
from sipengine.conferencing import ConferenceRun
from sipengine.dequeueing import DequeueRun
from sipengine.enqueueing import EnqueueRun
from sipengine.queues import MAX_SIZE, Queue, QueueView
from sipengine.script import JointVerb, Script
from sipengine.services import Services

REMEMBERED = 1000  # queues; idle ones beyond are forgotten, with their average waiting time
OVER = 1000  # conferences whose end is remembered, for calls into them that are still to be placed


@dataclass(frozen=True, slots=True)
class RoomsView:
    """All rooms of an engine at one moment."""

    conferences: tuple[ConferenceView, ...]
    queues: tuple[QueueView, ...]


@dataclass(frozen=True, slots=True)
class _Expected:
    """A call on its way into a conference; `give_up` ends it."""

    account_sid: str
    name: str
    sid: str
    give_up: Callable[[], None]


class Rooms:
    """All conferences and queues of an engine, by account and name."""

    def __init__(self, queue_size: int = MAX_SIZE) -> None:
        self._queue_size = queue_size
        self._conferences: dict[tuple[str, str], Conference] = {}
        self._queues: dict[tuple[str, str], Queue] = {}
        self._rows: dict[tuple[str, str], QueueEntry] = {}
        self._row_sids: set[str] = set()
        self._promised: dict[tuple[str, str], str] = {}
        self._expected: dict[str, _Expected] = {}
        self._over: deque[str] = deque(maxlen=OVER)
        self._errands: set[asyncio.Task[None]] = set()

    def joining(self, script: Script, verb: twiml.Dial) -> JointVerb:
        """Return the run of a `<Dial>` whose noun is a room."""
        account = script.leg.record.account_sid
        match verb.room:
            case twiml.Conference(name=name) as noun:
                return ConferenceRun(script, verb, noun, lambda: self._conference(script, account, name))
            case twiml.Queue(name=name) as noun:
                return DequeueRun(script, verb, noun, lambda: self._queue(script.services, account, name))
            case None:
                raise ValueError("this <Dial> names no room")

    def waiting(self, script: Script, verb: twiml.Enqueue) -> JointVerb:
        """Return the run of an `<Enqueue>`."""
        account = script.leg.record.account_sid
        return EnqueueRun(script, verb, lambda: self._queue(script.services, account, verb.name), self._errand)

    def configure(self, rows: Iterable[QueueEntry]) -> None:
        """Take in the queues that the database knows: their SIDs, names and sizes.

        Those that are idle here and not known there any more have been deleted.
        """
        known = {row.sid: row for row in rows}
        self._rows = {(row.account_sid, row.name): row for row in known.values()}
        self._row_sids = set(known)
        for key, queue in tuple(self._queues.items()):
            row = known.get(queue.sid) or self._rows.get(key)
            if row is None and queue.idle:
                del self._queues[key]
                continue
            queue.is_known_as(row)
            there = (queue.account_sid, queue.name)
            if there not in self._queues:  # it was renamed
                self._queues[there] = self._queues.pop(key)

    def expect(
        self, services: Services, call_sid: str, account_sid: str, spec: ConferenceSpec, give_up: Callable[[], None]
    ) -> None:
        """Keep a conference ready for a call that is on its way into it; `give_up` is called if it ends before."""
        if spec.sid in self._over:
            give_up()
            return
        key = (account_sid, spec.name)
        room = self._conferences.get(key)
        sid = room.sid if room is not None else self._promised.setdefault(key, spec.sid)
        if sid != spec.sid:  # somebody was quicker to open one of this name
            self._end_promised(services, account_sid, spec.name, spec.sid)
        self._expected[call_sid] = _Expected(account_sid, spec.name, sid, give_up)

    def expect_no_more(self, services: Services, call_sid: str) -> None:
        """Take in that a call is over: a conference that waited for nobody else is over with it."""
        gone = self._expected.pop(call_sid, None)
        if gone is None or any(one.sid == gone.sid for one in self._expected.values()):
            return
        key = (gone.account_sid, gone.name)
        if self._promised.get(key) == gone.sid:
            del self._promised[key]
            self._end_promised(services, gone.account_sid, gone.name, gone.sid)

    def conference(self, account_sid: str, sid: str) -> Conference | None:
        """Return the conference of this SID, if it is in progress."""
        mine = (room for room in self._conferences.values() if room.account_sid == account_sid)
        return next((room for room in mine if room.sid == sid), None)

    def queue(self, account_sid: str, sid: str) -> Queue | None:
        """Return the queue of this SID, if a call has named it."""
        mine = (queue for queue in self._queues.values() if queue.account_sid == account_sid)
        return next((queue for queue in mine if queue.sid == sid), None)

    def snapshot(self) -> RoomsView:
        """Return what is in progress now."""
        return RoomsView(
            tuple(room.snapshot() for room in self._conferences.values()),
            tuple(queue.snapshot() for queue in self._queues.values()),
        )

    def _conference(self, script: Script, account: str, name: str) -> Conference:
        self._expected.pop(script.leg.record.sid, None)
        found = self._conferences.get((account, name))
        if found is None:
            found = self._conferences[account, name] = Conference(
                name,
                account,
                script.services,
                self._closed,
                sid=self._promised.pop((account, name), ""),
                region=script.leg.record.region,
            )
        return found

    def _closed(self, conference: Conference) -> None:
        del self._conferences[conference.account_sid, conference.name]
        self._over.append(conference.sid)
        for call_sid, one in tuple(self._expected.items()):
            if one.sid == conference.sid:
                del self._expected[call_sid]
                one.give_up()

    def _end_promised(self, services: Services, account: str, name: str, sid: str) -> None:
        now = time.time()
        self._over.append(sid)
        services.put(ConferenceEntry(sid, account, name, COMPLETED, services.engine, "", now, now, LAST_LEFT))

    def _queue(self, services: Services, account: str, name: str) -> Queue:
        found = self._queues.get((account, name))
        if found is None:
            self._forget_idle()
            row = self._rows.get((account, name))
            sid = row.sid if row is not None else queue_sid(account, name)
            if row is None and sid in self._row_sids:  # the queue that had this name first has another one now
                sid = new_sid("QU")
            found = self._queues[account, name] = Queue(
                name,
                account,
                self._queue_size if row is None else row.max_size,
                sid=sid,
                stored=row is not None,
                engine=services.engine,
                put=services.put,
            )
        return found

    def _forget_idle(self) -> None:
        if len(self._queues) >= REMEMBERED:
            oldest = next((key for key, queue in self._queues.items() if queue.idle), None)
            if oldest is not None:
                del self._queues[oldest]

    def _errand(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

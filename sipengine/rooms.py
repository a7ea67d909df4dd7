"""asyncio: conferences and queues: where calls of different sessions of one engine meet.

Rooms live in their engine: they begin with the first call that names them, and nothing of them is stored but the events
of their calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from sipengine import twiml
from sipengine.conference import Conference, ConferenceView
from sipengine.conferencing import ConferenceRun
from sipengine.dequeueing import DequeueRun
from sipengine.enqueueing import EnqueueRun
from sipengine.queues import MAX_SIZE, Queue, QueueView
from sipengine.script import JointVerb, Script

REMEMBERED = 1000  # queues; idle ones beyond are forgotten, with their average waiting time


@dataclass(frozen=True, slots=True)
class RoomsView:
    """All rooms of an engine at one moment."""

    conferences: tuple[ConferenceView, ...]
    queues: tuple[QueueView, ...]


class Rooms:
    """All conferences and queues of an engine, by account and name."""

    def __init__(self, queue_size: int = MAX_SIZE) -> None:
        self._queue_size = queue_size
        self._conferences: dict[tuple[str, str], Conference] = {}
        self._queues: dict[tuple[str, str], Queue] = {}
        self._errands: set[asyncio.Task[None]] = set()

    def joining(self, script: Script, verb: twiml.Dial) -> JointVerb:
        """Return the run of a `<Dial>` whose noun is a room."""
        account = script.leg.record.account_sid
        match verb.room:
            case twiml.Conference(name=name) as noun:
                return ConferenceRun(script, verb, noun, lambda: self._conference(script, account, name))
            case twiml.Queue(name=name) as noun:
                return DequeueRun(script, verb, noun, lambda: self._queue(account, name))
            case None:
                raise ValueError("this <Dial> names no room")

    def waiting(self, script: Script, verb: twiml.Enqueue) -> JointVerb:
        """Return the run of an `<Enqueue>`."""
        account = script.leg.record.account_sid
        return EnqueueRun(script, verb, lambda: self._queue(account, verb.name), self._errand)

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
        found = self._conferences.get((account, name))
        if found is None:
            found = self._conferences[account, name] = Conference(name, account, script.services, self._closed)
        return found

    def _closed(self, conference: Conference) -> None:
        del self._conferences[conference.account_sid, conference.name]

    def _queue(self, account: str, name: str) -> Queue:
        found = self._queues.get((account, name))
        if found is None:
            self._forget_idle()
            found = self._queues[account, name] = Queue(name, account, self._queue_size)
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

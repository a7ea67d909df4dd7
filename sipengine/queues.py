"""asyncio: queues: who waits, who wants the next one, and who gets whom. `enqueueing.py` is the verb of those who wait,
`dequeueing.py` the verb of those who take them.

Sources: Twilio's `<Enqueue>` and `<Queue>` pages and its Queue resource; what they leave open is in docs/twiml.md.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from calls.entries import Entry, MemberEntry, QueueEntry
from calls.room_sids import queue_sid
from calls.verb_parameters import QueueState
from sipengine.documents import Goto
from sipengine.records import Leg

MAX_SIZE = 1000  # Twilio's default for a queue that nobody set up
AVERAGED = 100  # the last ones who were taken, for the average waiting time


class Waiting(Protocol):
    """A queued call, as its queue and who takes it see it."""

    entered: float  # when it began to wait, in seconds of `time.monotonic`

    @property
    def leg(self) -> Leg:
        """Return its leg."""

    def chosen(self, by: Taking) -> None:
        """Stop the music: `by` will connect this call, or return it."""

    def returned(self) -> None:
        """Wait on: nobody talked with it after all."""

    def greet(self, step: Goto, dequeuing_sid: str, then: Callable[[], None]) -> None:
        """Run a document on this call before it is connected."""

    def connected(self) -> None:
        """Take in that it is connected."""

    def released(self) -> None:
        """Go on with its own document: the talk is over."""


class Taking(Protocol):
    """Whoever takes the next caller."""

    def take(self, caller: Waiting) -> None:
        """Connect this caller."""

    def lost(self) -> None:
        """Take in that the caller is no longer there."""

    def press(self, digit: str) -> None:
        """Send a key on that the caller pressed."""

    def put_on_hold(self, held: bool) -> None:
        """Take in that the caller's phone holds us, or takes us back."""


@dataclass(frozen=True, slots=True)
class QueueMember:
    """A queued call as others may look at it: `position` counts from 1, `waited` is seconds."""

    call_sid: str
    position: int
    waited: float


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue as others may look at it; the longest waiting member first, times in seconds."""

    sid: str
    account_sid: str
    name: str
    max_size: int
    created: float
    average_wait: float
    members: tuple[QueueMember, ...]


class Queue:
    """One queue of an account. Whoever comes is matched at once, in one turn of the event loop: first come, first
    served on both sides, and nobody is given to two.

    What happens is told to `put`; `stored` says whether the database knows the queue.
    """

    def __init__(
        self,
        name: str,
        account_sid: str,
        max_size: int = MAX_SIZE,
        *,
        sid: str = "",
        stored: bool = False,
        engine: str = "",
        put: Callable[[Entry], None] = lambda entry: None,
    ) -> None:
        self.sid = sid or queue_sid(account_sid, name)
        self.name = name
        self.account_sid = account_sid
        self.max_size = max_size
        self.stored = stored
        self.created = time.time()
        self._engine = engine
        self._put = put
        self._callers: list[Waiting] = []
        self._takers: deque[Taking] = deque()
        self._waits: deque[float] = deque(maxlen=AVERAGED)

    @property
    def idle(self) -> bool:
        """Say whether nobody is here, on either side."""
        return not self._callers and not self._takers

    @property
    def full(self) -> bool:
        """Say whether nobody more may wait."""
        return len(self._callers) >= self.max_size

    def enter(self, caller: Waiting) -> None:
        """Let a caller wait; one who is given back has its old place."""
        place = next((i for i, other in enumerate(self._callers) if other.entered > caller.entered), len(self._callers))
        self._callers.insert(place, caller)
        if not self.stored:
            self._tell_itself()
        self._tell(caller)
        self._match()

    def leave(self, caller: Waiting) -> None:
        """Let a caller wait no longer."""
        if caller in self._callers:
            self._callers.remove(caller)
            self._tell(caller, waiting=False)

    def holds(self, call_sid: str) -> bool:
        """Say whether this call waits here."""
        return any(caller.leg.record.sid == call_sid for caller in self._callers)

    def is_known_as(self, row: QueueEntry | None) -> None:
        """Take in what the database knows of the queue, None if it has been deleted there while a call came in."""
        self.stored = row is not None
        if row is not None:
            moved = row.sid != self.sid
            self.sid, self.name, self.max_size = row.sid, row.name, row.max_size
            for caller in self._callers if moved else ():
                self._tell(caller)
        elif self._callers:
            self._tell_itself()

    def seek(self, taker: Taking, *, again: bool = False) -> None:
        """Let somebody take the next caller; one who lost his (`again`) comes before those who wait for theirs."""
        if again:
            self._takers.appendleft(taker)
        else:
            self._takers.append(taker)
        self._match()

    def stop_seeking(self, taker: Taking) -> None:
        """Give this one no caller."""
        if taker in self._takers:
            self._takers.remove(taker)

    def connected(self, waited: float) -> None:
        """Take in how long one waited who is connected now."""
        self._waits.append(waited)

    def state(self, caller: Waiting) -> QueueState:
        """Return the queue as this caller sees it; its position is 0 if it does not wait any more."""
        place = self._callers.index(caller) + 1 if caller in self._callers else 0
        waited = time.monotonic() - caller.entered
        return QueueState(self.sid, place, waited, self.average_wait, len(self._callers), self.max_size)

    @property
    def average_wait(self) -> float:
        """The mean wait, in seconds, of the last who were connected; of those who wait if none has been yet."""
        now = time.monotonic()
        waits = self._waits or [now - caller.entered for caller in self._callers]
        return sum(waits) / len(waits) if waits else 0.0

    def snapshot(self) -> QueueView:
        """Return what the queue is like now."""
        now = time.monotonic()
        members = tuple(
            QueueMember(caller.leg.record.sid, place, now - caller.entered)
            for place, caller in enumerate(self._callers, 1)
        )
        return QueueView(self.sid, self.account_sid, self.name, self.max_size, self.created, self.average_wait, members)

    def _match(self) -> None:
        while self._callers and self._takers:
            caller, taker = self._callers.pop(0), self._takers.popleft()
            self._tell(caller, waiting=False)
            caller.chosen(taker)
            taker.take(caller)

    def _tell_itself(self) -> None:
        self.stored = True
        self._put(QueueEntry(self.sid, self.account_sid, self.name, self.max_size, self.created))

    def _tell(self, caller: Waiting, *, waiting: bool = True) -> None:
        since = time.time() - (time.monotonic() - caller.entered)
        sid = caller.leg.record.sid
        self._put(MemberEntry(self.sid, sid, self.account_sid, self._engine, since, waiting))

"""ADAPTER: the only file of the engine that imports Django models. Hands out frozen answers, never model instances.

Every function is synchronous and may block on the database: the engine calls them in a worker thread, the journal's
writer in its own process. A call never waits for one of them.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from django.db import close_old_connections
from django.db.models import Q
from django.db.utils import Error as DatabaseError

from calls import checks, command, crash, engines, ladder, ledger, outbox, room_ledger
from calls.claims import claim
from calls.entries import (
    CallRecord,
    EngineEntry,
    Entry,
    EventEntry,
    QueuedCall,
    QueuedCheck,
    QueuedCommand,
    QueueEntry,
)
from calls.leaving import DatabaseLeft, writing
from calls.sipmessage import TracedMessage
from calls.status import Status
from routing.admission import Directory
from routing.outbound import Dialplan
from routing.resolve import RegionInfo, directory_version, load_dialplan, load_directory, regions

__all__ = [
    "DatabaseError", "DatabaseLeft", "RegionInfo", "apply", "claim_calls", "close_dead_calls", "known_call_ids",
    "queues", "routing", "take_checks", "take_commands", "tell_engine", "write_trace",
]  # fmt: skip

P = ParamSpec("P")
T = TypeVar("T")


def _writing(function: Callable[P, T]) -> Callable[P, T]:
    """Let it do nothing to a database that is being left for another one: `DatabaseLeft`."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        with writing():
            return function(*args, **kwargs)

    return wrapper


def _connected(function: Callable[P, T]) -> Callable[P, T]:
    """Drop a connection that has died before and after use, as Django does around a request."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return wrapper


@_connected
def routing(known: int | None) -> tuple[int, Directory, tuple[RegionInfo, ...], Dialplan] | None:
    """Return what admission and dialling need, with its version, or None when it is still the version `known`."""
    version = directory_version()
    if version == known:
        return None
    return version, load_directory(), regions(), load_dialplan()


@_connected
def queues(known: tuple[object, ...] | None) -> tuple[tuple[object, ...], tuple[QueueEntry, ...]] | None:
    """Return all queues that are kept, with a version of the lot, or None when it is still the version `known`."""
    version = room_ledger.queues_version()
    return None if version == known else (version, room_ledger.queues())


@_connected
@_writing
def claim_calls(engine: str, codes: tuple[str, ...], limit: int) -> list[QueuedCall]:
    """Take queued calls of these regions for this engine: of each account in turn, oldest first, at its pace."""
    return claim(engine, codes, limit)


@_connected
@_writing
def take_commands(engine: str) -> list[QueuedCommand]:
    """Take what was asked for of calls that this engine owns, oldest first; each is handed out once."""
    return command.take(engine)


@_connected
@_writing
def take_checks(engine: str, codes: tuple[str, ...]) -> list[QueuedCheck]:
    """Take the SIP checks that wait for an engine of these regions; each is handed out once."""
    return checks.take(engine, codes)


@_connected
@_writing
def tell_engine(entry: EngineEntry) -> None:
    """Write down what an engine tells of itself."""
    engines.tell(entry)


@_connected
def known_call_ids(call_ids: Collection[str]) -> set[str]:
    """Return those SIP Call-IDs that are of calls in the log."""
    return ladder.known(call_ids)


@_connected
@_writing
def write_trace(engine: str, messages: Iterable[TracedMessage]) -> None:
    """Write SIP messages; raise `DatabaseError` when the database is away."""
    ladder.write(engine, messages)


@_connected
@_writing
def apply(entries: Iterable[Entry]) -> ledger.Applied:
    """Write a batch of journal entries; raise `DatabaseError` when the database is away."""
    return ledger.apply(entries)


@_connected
@_writing
def close_dead_calls(engine: str, died_at: float) -> int:
    """End every leg and recording that this engine left open when it died; return how many legs.

    `died_at` is the last time the engine was known to live (seconds since the epoch). Queued calls that it had claimed
    and not yet placed go back to the queue; who is to be told of an end, is told by the worker, as are the callbacks
    that it was sending.
    """
    open_legs = ledger.open_calls(engine)
    ended = [_ended_with_the_engine(record, died_at) for record in open_legs]
    entries: list[Entry] = [*crash.completions(ended), *ended, *_ends(ended)]
    # The worker looks what there is in the files: a recording of nothing becomes `absent`, and its callback is told.
    entries += [replace(recording, status="processing") for recording in ledger.open_recordings(engine)]
    ledger.apply(entries)
    room_ledger.close_dead(engine, died_at)
    ledger.release_claims(engine)
    outbox.take_over(Q(sender=engine))
    command.settle_dead(engine)
    return len(open_legs)


def _ends(records: Iterable[CallRecord]) -> list[Entry]:
    """Return what the timelines of these ended calls still lack: the end of each leg, the parent's last."""
    numbers: dict[str, int] = {}
    events: list[Entry] = []

    def add(call_sid: str, when: float | None, name: str, detail: dict[str, Any]) -> None:
        number = numbers.get(call_sid)
        numbers[call_sid] = number = ledger.next_event_number(call_sid) if number is None else number + 1
        events.append(EventEntry(call_sid, number, when or 0.0, name, detail))

    for record in sorted(records, key=lambda record: not record.parent_sid):
        detail = {"status": record.status, "code": record.sip_code, "reason": record.reason}
        if record.parent_sid:
            add(record.parent_sid, record.end_time, "leg.ended", {"leg": record.sid, "to": record.to_address, **detail})
        else:
            add(record.sid, record.end_time, "engine.restarted", {"reason": record.reason})
            add(record.sid, record.end_time, "ended", detail)
    return events


def _ended_with_the_engine(record: CallRecord, died_at: float) -> CallRecord:
    """Return the record of a leg as it ended when its engine died: completed if it had been answered, else failed."""
    answered = record.answer_time is not None
    end = max(died_at, record.answer_time or record.start_time)
    return replace(
        record,
        status=(Status.COMPLETED if answered else Status.FAILED).value,
        end_time=end,
        duration=round(end - record.answer_time) if record.answer_time is not None else 0,
        ended_by="engine",
        error_code=record.error_code or 12400,
        reason=f"The engine stopped without warning at {time.strftime('%H:%M:%S', time.gmtime(end))} UTC, "
        + ("in the middle of the conversation." if answered else "before the call was answered."),
    )

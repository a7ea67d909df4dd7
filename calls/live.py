"""The live board: calls and their legs in progress, read with a handful of queries however many there are.

What was read is kept for a moment and shared by all who look, and the versions of the last while are remembered, so
that a browser that has one is sent only what has changed since.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from calls.engines import engines
from calls.harmless import harmless
from calls.ledger import user_part
from calls.models import Call, CallEvent, Command
from calls.status import TERMINAL, Status
from calls.stays import Stay, stays
from routing.models import Account, Endpoint, RingGroup

SHOWN_AT_MOST = 3000  # calls and legs
FRESH_FOR = 0.3  # seconds
VERSIONS_KEPT = 40
COMMANDS_SHOWN_FOR = timedelta(minutes=2)
ALIVE = tuple(status for status in Status if status not in TERMINAL)

QUEUED, RINGING, TALKING = "queued", "ringing", "talking"
ON_HOLD, IN_QUEUE, IN_CONFERENCE, IN_APPLICATION = "on hold", "in queue", "in conference", "in application"
STATES = (QUEUED, RINGING, TALKING, ON_HOLD, IN_QUEUE, IN_CONFERENCE, IN_APPLICATION)
_HELD, _RESUMED = "leg.held", "leg.resumed"
_EVENTS = (_HELD, _RESUMED, "conference.join", "conference.leave", "enqueue", "queue.left")

Row = dict[str, Any]  # as it goes to the browser


@dataclass(frozen=True, slots=True)
class Where:
    """What the timeline of a call in progress tells of it: where it stays, and since when it is on hold."""

    stay: Stay | None = None
    held: datetime | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """All rows by SID, newest first, and a digest of each; `engines` are those not heard of, `running`: any is."""

    version: str
    rows: Mapping[str, Row]
    digests: Mapping[str, str]
    engines: Mapping[str, dict[str, Any]]
    running: bool
    more: bool


def state_of(call: Call, legs: Sequence[Call], where: Where) -> tuple[str, datetime]:
    """Return what a call or a leg is doing, and since when."""
    if call.status == Status.QUEUED:
        return QUEUED, call.start_time
    if call.status != Status.IN_PROGRESS:
        return RINGING, call.ring_time or call.start_time
    answered = call.answer_time or call.start_time
    if where.stay is not None:
        return (IN_QUEUE if where.stay.kind == "queue" else IN_CONFERENCE), where.stay.start
    if where.held is not None:
        return ON_HOLD, where.held
    talking = [leg.answer_time or leg.start_time for leg in legs if leg.status == Status.IN_PROGRESS]
    if call.parent_id or talking:
        return TALKING, max(answered, min(talking, default=answered))
    if legs:
        return RINGING, max(answered, min(leg.start_time for leg in legs))
    return IN_APPLICATION, answered


def read(now: datetime | None = None) -> Board:
    """Read the board in seven queries."""
    now = now or timezone.now()
    columns = (
        "sid", "account_id", "parent_id", "direction", "status", "from_address", "to_address", "from_user", "to_user",
        "start_time", "ring_time", "answer_time", "engine", "region", "group_id", "endpoint_id",
    )  # fmt: skip
    found = Call.objects.filter(status__in=ALIVE).only(*columns)
    calls = list(found.order_by("-start_time", "sid")[: SHOWN_AT_MOST + 1])
    more, calls = len(calls) > SHOWN_AT_MOST, calls[:SHOWN_AT_MOST]
    rows = _rows(calls, now)
    told = engines(now)
    away = {
        one.engine.name: {"state": one.state, "seen": _milliseconds(one.engine.seen)} for one in told if not one.alive
    }
    running = any(one.alive for one in told)
    digests = {sid: _digest(row) for sid, row in rows.items()}
    return Board(_digest([list(digests.values()), away, running, more]), rows, digests, away, running, more)


def _rows(calls: Sequence[Call], now: datetime) -> dict[str, Row]:
    legs: dict[str, list[Call]] = {}
    for call in calls:
        legs.setdefault(call.parent_id or "", []).append(call)
    where = _where([call.sid for call in calls if call.status == Status.IN_PROGRESS])
    asked = _asked([call.sid for call in calls], now)
    # Not joined: fewer objects, and the log keeps the calls of what is gone.
    accounts = _names(Account.objects.filter(pk__in={call.account_id for call in calls}), "friendly_name")
    groups = _names(RingGroup.objects.filter(pk__in={call.group_id for call in calls if call.group_id}), "name")
    endpoints = _names(Endpoint.objects.filter(pk__in={call.endpoint_id for call in calls if call.endpoint_id}), "name")
    rows = {}
    for call in calls:
        state, since = state_of(call, legs.get(call.sid, ()), _place(call, where))
        stay = where.get(call.sid, Where()).stay
        rows[call.sid] = {
            **_identity(call),
            "state": state,
            "since": _milliseconds(since),
            "in": harmless(stay.name) if stay else "",
            "account": harmless(accounts.get(call.account_id, call.account_id)),
            "group": harmless(groups.get(call.group_id, "")),
            "endpoint": harmless(endpoints.get(call.endpoint_id, "")),
            "asked": asked.get(call.sid, ""),
        }
    return rows


def _names(found: QuerySet[Any], column: str) -> dict[Any, str]:
    return dict(found.order_by().values_list("pk", column))


def _place(call: Call, where: Mapping[str, Where]) -> Where:
    """Return where a call is; a leg is on hold with its call."""
    own = where.get(call.sid, Where())
    parent = where.get(call.parent_id or "", Where())
    return own if own.stay or own.held else Where(held=parent.held)


def _where(sids: Sequence[str]) -> dict[str, Where]:
    events = CallEvent.objects.filter(call__in=sids, name__in=_EVENTS).order_by("call", "number")
    by_call: dict[str, list[CallEvent]] = {}
    for event in events:
        by_call.setdefault(event.call_id, []).append(event)
    return {sid: _place_of(told) for sid, told in by_call.items()}


def _place_of(events: Iterable[CallEvent]) -> Where:
    told = list(events)
    held: dict[str, datetime] = {}
    for event in told:
        leg = str(event.detail.get("leg") or "")
        if event.name == _HELD:
            held[leg] = event.time
        elif event.name == _RESUMED:
            held.pop(leg, None)
    open_stays = [stay for stay in stays(told) if stay.end is None]
    return Where(open_stays[-1] if open_stays else None, min(held.values(), default=None))


def _asked(sids: Sequence[str], now: datetime) -> dict[str, str]:
    """Return by SID what became of the last change that somebody asked for."""
    recent = Command.objects.filter(call__in=sids, created__gte=now - COMMANDS_SHOWN_FOR).order_by("pk")
    return {command.call_id: said(command) for command in recent}


def said(command: Command) -> str:
    """Return what became of a command, or that it is not known yet."""
    what = "hang up" if command.status else command.get_action_display() or "go on elsewhere"
    if command.done_at is None:
        return harmless(f"Asked to {what}{f' by {command.requested_by}' if command.requested_by else ''} …")
    return harmless(command.outcome or ("Done." if command.ok else "Not done."))


def _identity(call: Call) -> Row:
    return {
        "id": call.sid,
        "parent": call.parent_id or "",
        "inbound": call.direction == Call.Direction.INBOUND,
        "from": harmless(_short(call.from_user, call.from_address)),
        "to": harmless(_short(call.to_user, call.to_address)),
        "address": harmless(call.to_address),
        "start": _milliseconds(call.start_time),
        "region": call.region,
        "engine": call.engine,
    }


def _short(user: str, address: str) -> str:
    return (user or user_part(address) or address)[:120]


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, separators=(",", ":")).encode(), digest_size=9).hexdigest()


class Boards:
    """The board as it is now, and the digests of those that browsers may have."""

    def __init__(self, fresh_for: float = FRESH_FOR) -> None:
        self.fresh_for = fresh_for
        self._lock = threading.Lock()
        self._current: Board | None = None
        self._read_at = 0.0
        self._versions: OrderedDict[str, Mapping[str, str]] = OrderedDict()

    def current(self) -> Board:
        """Return the board; read it if what is known is older than `fresh_for` seconds."""
        with self._lock:
            if self._current is None or time.monotonic() - self._read_at >= self.fresh_for:
                self._current = read()
                self._read_at = time.monotonic()
                self._versions[self._current.version] = self._current.digests
                self._versions.move_to_end(self._current.version)
                while len(self._versions) > VERSIONS_KEPT:
                    self._versions.popitem(last=False)
            return self._current

    def changes(self, board: Board, since: str) -> dict[str, Any]:
        """Return what a browser that has the version `since` must be told; everything if that is not known here."""
        known = self._versions.get(since)
        changed = [row for sid, row in board.rows.items() if known is None or known.get(sid) != board.digests[sid]]
        return {
            "version": board.version,
            "now": _milliseconds(timezone.now()),
            "full": known is None,
            "rows": changed,
            "gone": [] if known is None else [sid for sid in known if sid not in board.rows],
            "engines": dict(board.engines),
            "running": board.running,
            "more": board.more,
        }


boards = Boards()

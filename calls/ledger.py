"""Writes what the engine tells into the call log: in batches, in order, as often as it is told.

Applying an entry twice changes nothing, and an older one never undoes the end of a call or of a recording, so that the
engine may replay its journal after a crash. Bad input is cut, cleaned or rejected; it never holds up the other entries.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import DataError, IntegrityError, models, transaction
from django_q.tasks import async_task

from calls.entries import CallRecord, Entry, EventEntry, NoteEntry, RecordingEntry
from calls.models import Call, CallEvent, CallRequest, Notification, Recording
from calls.status import TERMINAL, Direction, Status
from routing.models import Endpoint
from routing.sid import is_sid

log = logging.getLogger(__name__)

ENDPOINT_MAP_SECONDS = 2.0
FINISHED = frozenset({Recording.Status.COMPLETED, Recording.Status.ABSENT, Recording.Status.FAILED})
_SMALL = 32_767
_WHOLE = 2_147_483_647
_CALL_COLUMNS = [column.name for column in Call._meta.concrete_fields if not column.primary_key]
_RECORDING_COLUMNS = [
    "account", "call", "source", "channels", "track", "start_time", "status", "files", "error", "updated",
]  # fmt: skip
# What the database says to a value that it cannot hold. Anything else (away, locked, not migrated) is no fault of the
# entries: it is raised, and the caller tries the same batch again.
_POISON = (DataError, IntegrityError, ValueError, TypeError, OverflowError)

Row = Call | CallEvent | Recording | Notification


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch: how many entries are in the database, and which can never be, with the reason."""

    ok: int
    rejected: list[tuple[Entry, str]] = field(default_factory=list)


def apply(entries: Iterable[Entry]) -> Applied:
    """Write a batch in one transaction; raise `django.db.Error` if the database is away (nothing is written then)."""
    good: list[tuple[Entry, Row]] = []
    rejected: list[tuple[Entry, str]] = []
    for entry in entries:
        try:
            good.append((entry, _row(entry)))
        except Exception as error:  # whatever is wrong with one entry must not stop the others
            rejected.append((entry, _complaint(error)))
    try:
        _write([row for _, row in good])
    except _POISON:
        good, poison = _one_by_one(good)
        rejected += poison
    for entry, why in rejected:
        log.error("call log: rejected %s: %s", entry, why)
    return Applied(len(good), rejected)


def _one_by_one(pairs: list[tuple[Entry, Row]]) -> tuple[list[tuple[Entry, Row]], list[tuple[Entry, str]]]:
    good, poison = [], []
    for entry, row in pairs:
        try:
            _write([row])
            good.append((entry, row))
        except _POISON as error:
            poison.append((entry, _complaint(error)))
    return good, poison


def _complaint(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _row(entry: Entry) -> Row:
    match entry:
        case CallRecord():
            return _call(entry)
        case EventEntry():
            return CallEvent(
                call_id=_sid(entry.call_sid, "CA"),
                number=_whole(entry.number),
                time=_time(entry.time),
                name=_text(entry.name, 64),
                detail=_json(entry.detail),
            )
        case RecordingEntry():
            return _recording(entry)
        case NoteEntry():
            return _notification(entry)


def _call(record: CallRecord) -> Call:
    from_address, to_address = _text(record.from_address, 512), _text(record.to_address, 512)
    direction = Direction(record.direction)
    return Call(
        sid=_sid(record.sid, "CA"),
        account_id=_text(record.account_sid, 34),
        parent_id=_text(record.parent_sid, 34) or None,
        direction=direction,
        status=Status(record.status),
        from_address=from_address,
        to_address=to_address,
        from_user=user_part(from_address),
        to_user=user_part(to_address),
        start_time=_time(record.start_time),
        ring_time=_optional_time(record.ring_time),
        answer_time=_optional_time(record.answer_time),
        end_time=_optional_time(record.end_time),
        duration=None if record.duration is None else _whole(record.duration),
        engine=_text(record.engine, 255),
        sip_call_id=_text(record.sip_call_id, 255),
        sip_code=_whole(record.sip_code, _SMALL),
        ended_by=_text(record.ended_by, 16),
        reason=_text(record.reason, 1000),
        error_code=_whole(record.error_code),
        domain_id=_text(record.domain_sid, 34) or None,
        sip_username=_text(record.sip_username, 255),
        source_ip=_text(record.source_ip, 64),
        region=_text(record.region, 32),
        route_id=_whole(record.route_id) or None,
        group_id=_whole(record.group_id) or None,
        endpoint_id=None if direction is Direction.INBOUND else _endpoints.id_of(to_address),
    )


def _recording(entry: RecordingEntry) -> Recording:
    return Recording(
        sid=_sid(entry.sid, "RE"),
        account_id=_text(entry.account_sid, 34),
        call_id=_sid(entry.call_sid, "CA"),
        source=_text(entry.source, 32),
        channels=_whole(entry.channels, _SMALL),
        track=_text(entry.track, 16),
        start_time=_time(entry.start_time),
        status=Recording.Status(entry.status),
        files=[_text(path, 4096) for path in entry.files],
        error=_text(entry.error, 1000),
        updated=datetime.now(UTC),
    )


def _notification(entry: NoteEntry) -> Notification:
    return Notification(
        sid=_sid(entry.sid, "NO"),
        account_id=_text(entry.account_sid, 34) or None,
        call_id=_text(entry.call_sid, 34) or None,
        time=_time(entry.time),
        code=_whole(entry.code),
        level=Notification.Level(entry.level),
        message=_text(entry.message, 2000),
        url=_text(entry.url, 4096),
        method=_text(entry.method, 8),
        response_status=_whole(entry.response_status, _SMALL),
        response_body=_text(entry.response_body, 4096),
    )


def user_part(address: str) -> str:
    """Return what stands before the host: `alice` of `sip:alice@10.0.0.1`; a bare number is itself."""
    scheme, colon, rest = address.partition(":")
    is_sip = bool(colon) and scheme.lower() in ("sip", "sips")
    user, at, _ = (rest if is_sip else address.removeprefix("tel:")).partition("@")
    return "" if is_sip and not at else user[:255]


def _sid(text: str, prefix: str) -> str:
    if not is_sid(text, prefix):
        raise ValueError(f"{text!r} is not a {prefix} identifier")
    return text


def _text(value: object, longest: int) -> str:
    text = value if isinstance(value, str) else str(value)
    if not text.isascii():  # SIP headers may carry bytes that are no UTF-8; they arrive as lone surrogates
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "")[:longest]


def _whole(value: float, largest: int = _WHOLE) -> int:
    return max(0, min(int(value), largest))


def _time(value: float) -> datetime:
    return datetime.fromtimestamp(value, UTC)


def _optional_time(value: float | None) -> datetime | None:
    return None if value is None else _time(value)


def _json(value: Any) -> Any:
    """Return the value as PostgreSQL's jsonb takes it: no NUL, no lone surrogate, no NaN."""
    match value:
        case str():
            return _text(value, 65_536)
        case dict():
            return {_text(key, 255): _json(item) for key, item in value.items()}
        case list() | tuple():
            return [_json(item) for item in value]
        case None | bool() | int():
            return value
        case float() if value - value == 0:
            return value
        case _:
            return _text(value, 65_536)


class _EndpointMap:
    """Addresses of endpoints, read again when they may have changed."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._good_until = 0.0

    def id_of(self, address: str) -> int | None:
        if time.monotonic() >= self._good_until:
            self._load()
        return self._ids.get(address)

    def _load(self) -> None:
        started = time.monotonic()
        # Of several endpoints with one address, the oldest enabled one.
        rows = Endpoint.objects.order_by("enabled", "-pk").only("uri")
        ids = {endpoint.address: endpoint.pk for endpoint in rows}
        self._ids = ids
        now = time.monotonic()
        # Thousands of endpoints take a while to read: spend 2 % of the time on it at most.
        self._good_until = now + max(ENDPOINT_MAP_SECONDS, 50 * (now - started))

    def forget(self) -> None:
        self._good_until = 0.0


_endpoints = _EndpointMap()
forget_endpoints = _endpoints.forget


def _write(rows: Sequence[Row]) -> None:
    calls = {row.sid: row for row in rows if isinstance(row, Call)}
    recordings = {row.sid: row for row in rows if isinstance(row, Recording)}
    with transaction.atomic():
        _write_calls(calls)
        CallEvent.objects.bulk_create((row for row in rows if isinstance(row, CallEvent)), ignore_conflicts=True)
        Notification.objects.bulk_create((row for row in rows if isinstance(row, Notification)), ignore_conflicts=True)
        if recordings:
            _write_recordings(recordings)


def _write_calls(calls: dict[str, Call]) -> None:
    alive = [sid for sid, call in calls.items() if call.status not in TERMINAL]
    over = Call.objects.filter(pk__in=alive, status__in=TERMINAL).values_list("pk", flat=True) if alive else ()
    for sid in over:
        del calls[sid]
    Call.objects.bulk_create(calls.values(), update_conflicts=True, unique_fields=["sid"], update_fields=_CALL_COLUMNS)


def _write_recordings(recordings: dict[str, Recording]) -> None:
    known = dict(Recording.objects.select_for_update().filter(pk__in=recordings).values_list("pk", "status"))
    newer = [row for row in recordings.values() if _stage(row.status) > _stage(known.get(row.sid))]
    Recording.objects.bulk_create(newer, update_conflicts=True, unique_fields=["sid"], update_fields=_RECORDING_COLUMNS)
    for row in newer:
        if row.status == Recording.Status.PROCESSING:
            async_task("calls.tasks.finish_recording", row.sid)


def _stage(status: str | None) -> int:
    """Return how far a recording has come: unknown, growing, closed, finished."""
    order = (None, Recording.Status.IN_PROGRESS, Recording.Status.PROCESSING)
    return len(order) if status in FINISHED else order.index(status)


def open_calls(engine: str) -> list[CallRecord]:
    """Return the legs of this engine that have not ended, oldest first: what died with it if it was killed."""
    gone = {*TERMINAL, Status.QUEUED}
    return [
        _record(call) for call in Call.objects.filter(engine=engine).exclude(status__in=gone).order_by("start_time")
    ]


def _record(call: Call) -> CallRecord:
    return CallRecord(
        sid=call.sid,
        account_sid=call.account_id,
        direction=call.direction,
        status=call.status,
        from_address=call.from_address,
        to_address=call.to_address,
        start_time=call.start_time.timestamp(),
        engine=call.engine,
        parent_sid=call.parent_id or "",
        ring_time=_epoch(call.ring_time),
        answer_time=_epoch(call.answer_time),
        end_time=_epoch(call.end_time),
        duration=call.duration,
        sip_call_id=call.sip_call_id,
        sip_code=call.sip_code,
        ended_by=call.ended_by,
        reason=call.reason,
        error_code=call.error_code,
        domain_sid=call.domain_id or "",
        sip_username=call.sip_username,
        source_ip=call.source_ip,
        region=call.region,
        route_id=call.route_id or 0,
        group_id=call.group_id or 0,
    )


def _epoch(value: datetime | None) -> float | None:
    return None if value is None else value.timestamp()


def open_recordings(engine: str) -> list[RecordingEntry]:
    """Return the recordings of this engine that were still growing when it was last heard of."""
    found = Recording.objects.filter(status=Recording.Status.IN_PROGRESS, call__engine=engine)
    return [
        RecordingEntry(
            sid=row.sid,
            account_sid=row.account_id,
            call_sid=row.call_id,
            source=row.source,
            channels=row.channels,
            track=row.track,
            start_time=row.start_time.timestamp(),
            status=row.status,
            files=tuple(row.files),
            error=row.error,
        )
        for row in found.order_by("start_time")
    ]


def next_event_number(call_sid: str) -> int:
    """Return the number that the next event of this call takes."""
    last = CallEvent.objects.filter(call=call_sid).aggregate(last=models.Max("number"))["last"]
    return 0 if last is None else last + 1


def release_claims(engine: str) -> int:
    """Let any engine take the queued calls that this one had claimed and not started; return how many."""
    waiting = CallRequest.objects.filter(claimed_by=engine, call__status=Status.QUEUED)
    return waiting.update(claimed_by="", claimed_at=None)

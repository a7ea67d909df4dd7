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

from django.db import DataError, IntegrityError, models, transaction
from django_q.tasks import async_task

from calls import measures, outbox, room_ledger
from calls.entries import (
    CallRecord,
    CheckDone,
    CommandDone,
    ConferenceEntry,
    DeliveryEntry,
    Entry,
    EventEntry,
    MemberEntry,
    NoteEntry,
    ParticipantEntry,
    QualityEntry,
    QueueEntry,
    RecordingEntry,
)
from calls.models import (
    Call,
    CallEvent,
    CallRequest,
    Command,
    EndpointCheck,
    LegQuality,
    Notification,
    Recording,
    WebhookDelivery,
)
from calls.status import TERMINAL, Direction, Status
from calls.values import (
    SMALL,
    callback_json,
    callback_spec,
    checked_sid,
    epoch,
    json_value,
    moment,
    optional_moment,
    text,
    whole,
)
from routing.models import Endpoint

log = logging.getLogger(__name__)

ENDPOINT_MAP_SECONDS = 2.0
FINISHED = frozenset({Recording.Status.COMPLETED, Recording.Status.ABSENT, Recording.Status.FAILED})
GROWING = frozenset({Recording.Status.IN_PROGRESS, Recording.Status.PAUSED})
_CALL_COLUMNS = [column.name for column in Call._meta.concrete_fields if not column.primary_key]
_RECORDING_COLUMNS = [
    "account", "call", "source", "channels", "track", "start_time", "status", "files", "error", "trim",
    "callback", "conference_sid", "updated",
]  # fmt: skip
# What the database says to a value that it cannot hold. Anything else (away, locked, not migrated) is no fault of the
# entries: it is raised, and the caller tries the same batch again.
_POISON = (DataError, IntegrityError, ValueError, TypeError, OverflowError)

Row = (
    Call
    | CallEvent
    | Recording
    | Notification
    | WebhookDelivery
    | Command
    | LegQuality
    | EndpointCheck
    | room_ledger.RoomRow
)


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
                call_id=checked_sid(entry.call_sid, "CA"),
                number=whole(entry.number),
                time=moment(entry.time),
                name=text(entry.name, 64),
                detail=json_value(entry.detail),
            )
        case RecordingEntry():
            return _recording(entry)
        case NoteEntry():
            return _notification(entry)
        case DeliveryEntry():
            return outbox.row(entry)
        case CommandDone():
            return Command(pk=entry.id, done_at=moment(entry.time), ok=entry.ok, outcome=text(entry.outcome, 1000))
        case ConferenceEntry() | ParticipantEntry() | QueueEntry() | MemberEntry():
            return room_ledger.row(entry)
        case QualityEntry():
            return measures.quality(entry)
        case CheckDone():
            return measures.check(entry)


def _call(record: CallRecord) -> Call:
    from_address, to_address = text(record.from_address, 512), text(record.to_address, 512)
    direction = Direction(record.direction)
    return Call(
        sid=checked_sid(record.sid, "CA"),
        account_id=text(record.account_sid, 34),
        parent_id=text(record.parent_sid, 34) or None,
        direction=direction,
        status=Status(record.status),
        from_address=from_address,
        to_address=to_address,
        from_user=user_part(from_address),
        to_user=user_part(to_address),
        start_time=moment(record.start_time),
        ring_time=optional_moment(record.ring_time),
        answer_time=optional_moment(record.answer_time),
        end_time=optional_moment(record.end_time),
        duration=None if record.duration is None else whole(record.duration),
        engine=text(record.engine, 255),
        sip_call_id=text(record.sip_call_id, 255),
        sip_code=whole(record.sip_code, SMALL),
        ended_by=text(record.ended_by, 16),
        reason=text(record.reason, 1000),
        error_code=whole(record.error_code),
        callback=callback_json(record.callback),
        callbacks_sent=whole(record.callbacks_sent, SMALL),
        domain_id=text(record.domain_sid, 34) or None,
        sip_username=text(record.sip_username, 255),
        source_ip=text(record.source_ip, 64),
        region=text(record.region, 32),
        route_id=whole(record.route_id) or None,
        group_id=whole(record.group_id) or None,
        endpoint_id=None if direction is Direction.INBOUND else _endpoints.id_of(to_address),
    )


def _recording(entry: RecordingEntry) -> Recording:
    return Recording(
        sid=checked_sid(entry.sid, "RE"),
        account_id=text(entry.account_sid, 34),
        call_id=checked_sid(entry.call_sid, "CA"),
        source=text(entry.source, 32),
        channels=whole(entry.channels, SMALL),
        track=text(entry.track, 16),
        start_time=moment(entry.start_time),
        status=Recording.Status(entry.status),
        files=[text(path, 4096) for path in entry.files],
        error=text(entry.error, 1000),
        trim=entry.trim,
        callback=callback_json(entry.callback),
        conference_sid=text(entry.conference_sid, 34),
        updated=datetime.now(UTC),
    )


def _notification(entry: NoteEntry) -> Notification:
    return Notification(
        sid=checked_sid(entry.sid, "NO"),
        account_id=text(entry.account_sid, 34) or None,
        call_id=text(entry.call_sid, 34) or None,
        time=moment(entry.time),
        code=whole(entry.code),
        level=Notification.Level(entry.level),
        message=text(entry.message, 2000),
        url=text(entry.url, 4096),
        method=text(entry.method, 8),
        response_status=whole(entry.response_status, SMALL),
        response_body=text(entry.response_body, 4096),
    )


def user_part(address: str) -> str:
    """Return what stands before the host: `alice` of `sip:alice@10.0.0.1`; a bare number is itself."""
    scheme, colon, rest = address.partition(":")
    is_sip = bool(colon) and scheme.lower() in ("sip", "sips")
    user, at, _ = (rest if is_sip else address.removeprefix("tel:")).partition("@")
    return "" if is_sip and not at else user[:255]


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
        outbox.write([row for row in rows if isinstance(row, WebhookDelivery)])
        _write_outcomes([row for row in rows if isinstance(row, Command)])
        room_ledger.write([row for row in rows if isinstance(row, room_ledger.ROOM_ROWS)])
        measures.write_qualities([row for row in rows if isinstance(row, LegQuality)])
        measures.write_checks([row for row in rows if isinstance(row, EndpointCheck)])


def _write_outcomes(commands: Sequence[Command]) -> None:
    for row in commands:
        Command.objects.filter(pk=row.pk, done_at=None).update(done_at=row.done_at, ok=row.ok, outcome=row.outcome)
    never_recorded([row.pk for row in commands if not row.ok])


def never_recorded(commands: Sequence[int]) -> None:
    """Let the worker make those recordings `absent` that were asked for by these commands, which failed."""
    if not commands:
        return
    asked = Command.objects.filter(pk__in=commands, action=Command.Action.RECORD)
    for sid, why in asked.values_list("options__recording_sid", "outcome"):
        begun = Recording.objects.filter(pk=sid, status=Recording.Status.IN_PROGRESS, files=[])
        if begun.update(status=Recording.Status.PROCESSING, error=why, updated=datetime.now(UTC)):
            async_task("calls.tasks.finish_recording", sid)


def _write_calls(calls: dict[str, Call]) -> None:
    alive = [sid for sid, call in calls.items() if call.status not in TERMINAL]
    over = Call.objects.filter(pk__in=alive, status__in=TERMINAL).values_list("pk", flat=True) if alive else ()
    for sid in over:
        del calls[sid]
    Call.objects.bulk_create(calls.values(), update_conflicts=True, unique_fields=["sid"], update_fields=_CALL_COLUMNS)


def _write_recordings(recordings: dict[str, Recording]) -> None:
    known = dict(Recording.objects.select_for_update().filter(pk__in=recordings).values_list("pk", "status"))
    newer = [row for row in recordings.values() if _is_newer(row.status, known.get(row.sid))]
    Recording.objects.bulk_create(newer, update_conflicts=True, unique_fields=["sid"], update_fields=_RECORDING_COLUMNS)
    for row in newer:
        if row.status == Recording.Status.PROCESSING:
            async_task("calls.tasks.finish_recording", row.sid)


def _is_newer(status: str, known: str | None) -> bool:
    """Say whether a recording goes on to this status; one that grows may be paused and resumed again and again."""
    return _stage(status) > _stage(known) or (status in GROWING and known in GROWING)


def _stage(status: str | None) -> int:
    """Return how far a recording has come: unknown, growing, closed, finished."""
    if status is None or status in GROWING:
        return 0 if status is None else 1
    return 3 if status in FINISHED else 2


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
        ring_time=epoch(call.ring_time),
        answer_time=epoch(call.answer_time),
        end_time=epoch(call.end_time),
        duration=call.duration,
        sip_call_id=call.sip_call_id,
        sip_code=call.sip_code,
        ended_by=call.ended_by,
        reason=call.reason,
        error_code=call.error_code,
        callback=callback_spec(call.callback),
        callbacks_sent=call.callbacks_sent,
        domain_sid=call.domain_id or "",
        sip_username=call.sip_username,
        source_ip=call.source_ip,
        region=call.region,
        route_id=call.route_id or 0,
        group_id=call.group_id or 0,
    )


def open_recordings(engine: str) -> list[RecordingEntry]:
    """Return the recordings of this engine that were still growing when it was last heard of."""
    found = Recording.objects.filter(status__in=GROWING, call__engine=engine)
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
            trim=row.trim,
            callback=callback_spec(row.callback),
            conference_sid=row.conference_sid,
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

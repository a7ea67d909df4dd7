"""The SIP messages of calls as rows: written in bulk, read as ladders, removed when their time is over."""

from __future__ import annotations

import logging
import time as clock
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import DataError, IntegrityError
from django.utils import timezone

from calls.models import Call, CallEvent, SipMessage
from calls.sipmessage import TracedMessage
from calls.values import LONGEST_TEXT, SMALL, text, whole
from routing.models import Account

log = logging.getLogger(__name__)

BATCH = 1000  # rows of one DELETE: other writers wait no longer than that
TASK_SECONDS = 30.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ANOTHER_ADDRESS = "leg.next-address"  # the event of a leg whose first addresses could not be reached


@dataclass(frozen=True, slots=True)
class Message:
    """One SIP message of a leg, in a ladder; `repeated` if the same one went the same way before (RFC 3261 §17)."""

    time: datetime
    sent: bool
    transport: str
    local: str
    peer: str
    start_line: str
    method: str
    code: int
    cseq: int
    size: int
    text: str
    repeated: bool
    sip_call_id: str


def known(call_ids: Collection[str]) -> set[str]:
    """Return those SIP Call-IDs that are of calls in the log."""
    return set(Call.objects.filter(sip_call_id__in=call_ids).values_list("sip_call_id", flat=True).distinct())


def write(engine: str, messages: Iterable[TracedMessage]) -> None:
    """Write messages of an engine; those that are there already stay as they are.

    What the database cannot hold is dropped, so that it does not hold up the others.
    """
    rows = [_row(engine, message) for message in messages]
    try:
        SipMessage.objects.bulk_create(rows, ignore_conflicts=True)
    except (DataError, IntegrityError, ValueError, OverflowError) as error:
        log.error("%d SIP messages cannot be written and are lost: %s", len(rows), error)


def _row(engine: str, message: TracedMessage) -> SipMessage:
    found = message.sip
    return SipMessage(
        sip_call_id=text(found.call_id, 255),
        time=_EPOCH + timedelta(microseconds=message.microseconds),
        sent=message.sent,
        engine=text(engine, 255),
        transport=text(message.transport, 8),
        local=text(message.local, 64),
        peer=text(message.peer, 64),
        start_line=text(found.start_line, 512),
        method=text(found.method, 32),
        code=whole(found.code, SMALL),
        cseq=whole(found.cseq, 4_294_967_295),
        size=whole(message.size),
        text=text(found.text, LONGEST_TEXT),
    )


def ladder(legs: Sequence[Call]) -> dict[str, list[Message]]:
    """Return the SIP messages of these legs in order, by SID: of all addresses, if a leg tried several."""
    owners: dict[str, list[str]] = {}
    for leg in legs:
        if leg.sip_call_id:
            owners.setdefault(leg.sip_call_id, []).append(leg.sid)
    sids = {leg.sid for leg in legs}
    for sid, call_id in _earlier_addresses({leg.parent_id or leg.sid for leg in legs}):
        if sid in sids:
            owners.setdefault(call_id, []).append(sid)
    found: dict[str, list[Message]] = {leg.sid: [] for leg in legs}
    engines = {leg.sid: leg.engine for leg in legs}
    seen: set[tuple[str, str, bool, str]] = set()
    for row in SipMessage.objects.filter(sip_call_id__in=owners).order_by("time", "pk"):
        key = (row.sip_call_id, row.engine, row.sent, row.text)
        message = _message(row, repeated=key in seen)
        seen.add(key)
        for sid in owners[row.sip_call_id]:
            if engines[sid] in ("", row.engine):
                found[sid].append(message)
    return found


def _earlier_addresses(calls: Collection[str]) -> list[tuple[str, str]]:
    """Return leg and Call-ID of the INVITEs that led nowhere, before the one that the leg's record names."""
    events = CallEvent.objects.filter(call__in=calls, name=ANOTHER_ADDRESS).values_list("detail", flat=True)
    return [(str(detail.get("leg")), str(detail["sip_call_id"])) for detail in events if detail.get("sip_call_id")]


def _message(row: SipMessage, *, repeated: bool) -> Message:
    return Message(
        time=row.time,
        sent=row.sent,
        transport=row.transport,
        local=row.local,
        peer=row.peer,
        start_line=row.start_line,
        method=row.method,
        code=row.code,
        cseq=row.cseq,
        size=row.size,
        text=row.text,
        repeated=repeated,
        sip_call_id=row.sip_call_id,
    )


def purge(before: datetime, account: Account | None = None, dry_run: bool = False) -> int:
    """Delete the messages from before this time, of one account or of all; return how many, or how many there are.

    Of one account those of held calls (`Hold`) stay. In small batches, so that calls are written meanwhile.
    """
    if account is not None:
        return _purge_account(before, account, dry_run=dry_run)
    old = SipMessage.objects.filter(time__lt=before)
    return old.count() if dry_run else _purge_all(before, None)


def _purge_all(before: datetime, deadline: float | None) -> int:
    """Delete from the oldest row on: rows are written in the order of time, but for seconds."""
    deleted = 0
    while deadline is None or clock.monotonic() < deadline:
        first = list(SipMessage.objects.order_by("pk").values_list("pk", "time")[:BATCH])
        old = [pk for pk, time in first if time < before]
        if old:
            deleted += SipMessage.objects.filter(pk__in=old).delete()[0]
        if len(old) < BATCH:
            break
    return deleted


def _purge_account(before: datetime, account: Account, *, dry_run: bool) -> int:
    oldest = SipMessage.objects.order_by("pk").values_list("time", flat=True).first()
    if oldest is None:
        return 0
    # A call may be older than its oldest message that is left, by as long as a call lasts.
    calls = Call.objects.filter(account=account, start_time__lt=before, start_time__gte=oldest - timedelta(days=1))
    calls = calls.exclude(hold__isnull=False).exclude(parent__hold__isnull=False)
    ordered = calls.exclude(sip_call_id="").order_by("-start_time", "-sid")
    names = list(ordered.values_list("sip_call_id", flat=True))
    batches = (names[at : at + BATCH] for at in range(0, len(names), BATCH))
    return sum(_forget(batch, before, dry_run=dry_run) for batch in batches)


def _forget(call_ids: Sequence[str], before: datetime | None, *, dry_run: bool) -> int:
    found = SipMessage.objects.filter(sip_call_id__in=call_ids)
    if before is not None:
        found = found.filter(time__lt=before)
    return found.count() if dry_run else found.delete()[0]


def forget(call_ids: Sequence[str]) -> int:
    """Delete the messages of these SIP Call-IDs, as when their calls are deleted; return how many."""
    return sum(_forget(call_ids[at : at + BATCH], None, dry_run=False) for at in range(0, len(call_ids), BATCH))


def purge_old() -> int:
    """Delete what is older than SIP_TRACE_DAYS, for half a minute at most: the worker does it again and again."""
    before = timezone.now() - timedelta(days=settings.SIP_TRACE_DAYS)
    return _purge_all(before, clock.monotonic() + TASK_SECONDS)

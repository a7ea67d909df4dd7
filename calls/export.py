"""Calls as a CSV file that spreadsheets open without harm, made while it is sent: memory does not grow with rows."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet
from django.utils import timezone

from calls import keyset
from calls.harmless import harmless
from calls.models import Call, CallTag, Recording

BATCH = 2000
BOM = "\ufeff"  # without it spreadsheets take UTF-8 for the encoding of their country
_FORMULA = ("=", "+", "-", "@", "|", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # full width, as in Japan
COLUMNS = (
    "Started", "Answered", "Ended", "Direction", "From", "To", "Status", "SIP code", "Rang (s)", "Talked (s)",
    "Ended by", "Why", "Error", "Ring group", "Endpoint", "Region", "Recordings", "Tags", "Account", "Call SID",
    "Parent call SID", "SIP Call-ID", "Engine",
)  # fmt: skip


def cell(value: object) -> str:
    """Return a value as text that no spreadsheet takes for a formula; what cannot be seen is written out."""
    text = harmless(str(value)) if value is not None else ""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def stream(calls: QuerySet[Call]) -> Iterator[bytes]:
    """Yield the file in pieces: a head with the names of the columns, then batches of calls, newest first."""
    head = [f"{name} ({timezone.get_current_timezone_name()})" if name in COLUMNS[:3] else name for name in COLUMNS]
    yield (BOM + _lines([head])).encode()
    rows = calls.prefetch_related(None).select_related(None).select_related("group", "endpoint").defer("callback")
    for batch in keyset.walk(rows, "start_time", BATCH):
        yield _lines(_rows(batch)).encode()


def _lines(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def _rows(batch: Sequence[Call]) -> list[list[str]]:
    sids = [call.sid for call in batch]
    tags: dict[str, list[str]] = defaultdict(list)
    for sid, name in CallTag.objects.filter(call__in=sids).order_by("tag__name").values_list("call_id", "tag__name"):
        tags[sid].append(name)
    counted = Recording.objects.order_by().filter(call__in=sids).values_list("call").annotate(Count("pk"))
    recordings: Mapping[str, int] = dict(counted)
    return [[cell(value) for value in _values(call, recordings, tags.get(call.sid, ()))] for call in batch]


def _values(call: Call, recordings: Mapping[str, int], tags: Sequence[str]) -> list[Any]:
    return [
        _moment(call.start_time),
        _moment(call.answer_time),
        _moment(call.end_time),
        call.direction,
        call.from_address,
        call.to_address,
        call.status,
        call.sip_code or "",
        _seconds(call.ring_seconds),
        _seconds(call.talk_seconds),
        call.ended_by,
        call.reason,
        call.error_code or "",
        call.group or "",
        call.endpoint or "",
        call.region,
        recordings.get(call.sid, ""),
        ", ".join(tags),
        call.account_id,
        call.sid,
        call.parent_id or "",
        call.sip_call_id,
        call.engine,
    ]


def _moment(time: datetime | None) -> str:
    return timezone.localtime(time).strftime("%Y-%m-%d %H:%M:%S") if time else ""


def _seconds(length: float | None) -> str:
    return "" if length is None else f"{length:.1f}"

"""Deletes what the retention rules say, account by account, in small batches; `plan` only says what would go.

Held calls (`Hold`) and voicemail that nobody has heard stay. A recording's files go before its row: one that cannot be
removed is told, and tried again with the next run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet, Sum
from django.utils import timezone
from django_q.tasks import async_task

from calls import ladder, removal
from calls.ledger import FINISHED
from calls.models import Call, Recording, RetentionRun, WebhookDelivery
from calls.status import TERMINAL
from routing import user_sessions
from routing.models import RetentionRule

KINDS = ("recordings", "traces", "bodies", "calls")
BATCH = 100
SECONDS = 30.0  # of one task; the worker gives a task a minute


@dataclass(frozen=True, slots=True)
class Planned:
    """What would go of one kind of one account; `days` None: everything is kept."""

    rule: RetentionRule
    kind: str
    days: int | None
    before: datetime | None = None
    rows: int = 0
    bytes: int = 0
    oldest: datetime | None = None


@dataclass(slots=True)
class _Done:
    rows: int = 0
    bytes: int = 0
    errors: int = 0
    error: str = ""
    finished: bool = True

    def failed(self, why: str) -> None:
        self.errors += 1
        self.error = self.error or why[:1000]


def plan(now: datetime | None = None) -> list[Planned]:
    """Return what a run would delete now; nothing is deleted."""
    moment = now or timezone.now()
    rules = RetentionRule.objects.select_related("account").order_by("account__friendly_name")
    return [_planned(rule, kind, moment) for rule in rules for kind in KINDS]


def run() -> int:
    """Delete what is due, for half a minute; enqueue itself again if that was not enough. Return how many rows went."""
    user_sessions.forget_ended()
    deadline = time.monotonic() + SECONDS
    rows, finished = 0, True
    for rule in RetentionRule.objects.select_related("account"):
        for kind in KINDS:
            done = _run_one(rule, kind, deadline)
            rows, finished = rows + done.rows, finished and done.finished
    if not finished:
        async_task("calls.retention.run")
    return rows


def _run_one(rule: RetentionRule, kind: str, deadline: float) -> _Done:
    days, started = _days(rule, kind), timezone.now()
    if days is None:
        return _Done()
    before = started - timedelta(days=days)
    done = _WORKERS[kind](rule, before, deadline)
    if done.rows or done.errors:
        RetentionRun.objects.create(
            account_sid=rule.pk,
            kind=kind,
            started=started,
            ended=timezone.now(),
            before=before,
            rows=done.rows,
            bytes=done.bytes,
            errors=done.errors,
            error=done.error,
        )
    return done


def _days(rule: RetentionRule, kind: str) -> int | None:
    found: int | None = getattr(rule, f"{kind}_days")
    return found


def _planned(rule: RetentionRule, kind: str, now: datetime) -> Planned:
    days = _days(rule, kind)
    if days is None:
        return Planned(rule, kind, None)
    before = now - timedelta(days=days)
    if kind == "traces":
        rows = ladder.purge(before, rule.account, dry_run=True)
        return Planned(rule, kind, days, before, rows)
    when = "time" if kind == "bodies" else "start_time"
    wanted: dict[str, Any] = {"rows": Count("pk"), "oldest": Min(when)}
    if kind == "recordings":
        wanted["bytes"] = Sum("size")
    told = _DUE[kind](rule.pk, before).order_by().aggregate(**wanted)
    return Planned(rule, kind, days, before, told["rows"], told.get("bytes") or 0, told["oldest"])


def _recordings_due(account: str, before: datetime) -> QuerySet[Any]:
    unheard = Q(voicemail_message__isnull=False, voicemail_message__heard_at=None, voicemail_message__deleted_at=None)
    rows = Recording.objects.filter(account=account, start_time__lt=before, status__in=FINISHED)
    return rows.exclude(unheard).exclude(call__hold__isnull=False).exclude(call__parent__hold__isnull=False)


def _bodies_due(account: str, before: datetime) -> QuerySet[Any]:
    rows = WebhookDelivery.objects.filter(account=account, time__lt=before)
    rows = rows.exclude(state=WebhookDelivery.State.PENDING).exclude(parameters=[], response_body="")
    return rows.exclude(call__hold__isnull=False).exclude(call__parent__hold__isnull=False)


def _calls_due(account: str, before: datetime) -> QuerySet[Any]:
    """Return calls, without the legs that go with them; a recording that is left keeps its call."""
    rows = Call.objects.filter(account=account, parent=None, start_time__lt=before, status__in=TERMINAL)
    kept = Q(hold__isnull=False) | Q(recordings__isnull=False)
    legs = Call.objects.filter(parent__isnull=False).filter(kept | ~Q(status__in=TERMINAL))
    return rows.exclude(kept).exclude(pk__in=legs.values("parent"))


def _delete_recordings(rule: RetentionRule, before: datetime, deadline: float) -> _Done:
    done = _Done()
    for batch in _batches(_recordings_due(rule.pk, before), deadline, done):
        for recording in batch:
            try:
                for path in removal.files_of(recording):
                    path.unlink(missing_ok=True)
            except OSError as error:
                done.failed(f"{recording.pk}: {error.filename or 'its file'} cannot be removed: {error.strerror}")
                continue
            _, gone = Recording.objects.filter(pk=recording.pk).delete()
            done.rows += 1 if gone else 0
            done.bytes += recording.size or 0
    return done


def _delete_traces(rule: RetentionRule, before: datetime, deadline: float) -> _Done:
    return _Done(rows=ladder.purge(before, rule.account))


def _empty_bodies(rule: RetentionRule, before: datetime, deadline: float) -> _Done:
    done = _Done()
    for batch in _batches(_bodies_due(rule.pk, before), deadline, done):
        rows = WebhookDelivery.objects.filter(pk__in=[one.pk for one in batch])
        done.rows += rows.update(parameters=[], response_body="")
    return done


def _delete_calls(rule: RetentionRule, before: datetime, deadline: float) -> _Done:
    done = _Done()
    for batch in _batches(_calls_due(rule.pk, before), deadline, done):
        pks = [one.pk for one in batch]
        with transaction.atomic():
            legs = Call.objects.filter(Q(pk__in=pks) | Q(parent__in=pks))
            ladder.forget([one for one in legs.values_list("sip_call_id", flat=True) if one])
            Call.objects.filter(pk__in=pks).delete()
        done.rows += len(pks)
    return done


def _batches(due: QuerySet[Any], deadline: float, done: _Done) -> Iterator[list[Any]]:
    """Yield rows in order of their key, so that one that cannot go is passed over, until the time is up."""
    last = ""
    while batch := list(due.order_by("pk").filter(pk__gt=last)[:BATCH]):
        if time.monotonic() > deadline:
            done.finished = False
            return
        yield batch
        last = batch[-1].pk


_DUE: dict[str, Callable[[str, datetime], QuerySet[Any]]] = {
    "recordings": _recordings_due,
    "bodies": _bodies_due,
    "calls": _calls_due,
}
_WORKERS: dict[str, Callable[[RetentionRule, datetime, float], _Done]] = {
    "recordings": _delete_recordings,
    "traces": _delete_traces,
    "bodies": _empty_bodies,
    "calls": _delete_calls,
}

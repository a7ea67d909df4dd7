"""Queued calls on their way to an engine: in order, fair between accounts, at each account's calls per second."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from calls.entries import ConferenceSpec, QueuedCall
from calls.models import Call, CallPace, CallRequest, Conference
from calls.values import callback_spec, recording_spec
from routing.fields import SecretError
from routing.models import Account

log = logging.getLogger(__name__)

# How far ahead calls are handed out, each with its moment: a little more than engines let pass between two looks.
AHEAD = timedelta(seconds=0.6)
COMPLETED = Conference.Status.COMPLETED


class _NotYet(Exception):
    """An account has placed as many calls as it may for now."""


def claim(engine: str, regions: Collection[str], limit: int) -> list[QueuedCall]:
    """Take up to `limit` queued calls of these regions for this engine: of each account in turn, oldest first.

    Each is taken by one conditional UPDATE, so two engines never take the same call.
    """
    if not _any_waiting():
        return []
    claimed = []
    full: set[str] = set()
    for request in _in_turn(engine, regions, limit):
        if request.call.account_id in full:
            continue
        try:
            wait = _take(request, engine)
        except _NotYet:
            full.add(request.call.account_id)
            continue
        if wait is None or not Call.objects.filter(pk=request.pk, status=Call.Status.QUEUED).exists():
            continue  # another engine was quicker, or it was canceled meanwhile
        if queued := _claimed(request, wait):
            claimed.append(queued)
    return claimed


def _any_waiting() -> bool:
    """Look for unclaimed requests; in plain SQL, since engines ask twice a second and there are mostly none."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {CallRequest._meta.db_table} WHERE claimed_by = '' LIMIT 1")
        return cursor.fetchone() is not None


def _in_turn(engine: str, regions: Collection[str], limit: int) -> QuerySet[CallRequest]:
    """Return each account's first request, then each one's second, and so on; none of accounts that must wait.

    One that goes into a conference is for the engine that has the conference.
    """
    mine = Q(conference=None) | Q(conference__engine__in=("", engine))
    waiting = CallRequest.objects.filter(mine, claimed_by="", call__status=Call.Status.QUEUED, call__region__in=regions)
    busy = CallPace.objects.filter(next_at__gt=timezone.now() + AHEAD).values("account_id")
    order = [F("created").asc(), F("pk").asc()]
    turn = Window(RowNumber(), partition_by=[F("call__account_id")], order_by=order)
    ranked = waiting.exclude(call__account__in=busy).annotate(turn=turn).filter(turn__lte=limit)
    return ranked.select_related("call__account", "conference").order_by("turn", "created", "pk")[:limit]


def _take(request: CallRequest, engine: str) -> float | None:
    """Take a request; return in how many seconds it is to be placed, None if another engine was quicker.

    Raise `_NotYet` if its account has had its share for now.
    """
    now = timezone.now()
    with transaction.atomic():
        # Conditions on this table only: PostgreSQL checks those again on a row that another engine just changed, but
        # not those of a subquery, which is what a condition on the call would become.
        mine = CallRequest.objects.filter(pk=request.pk, claimed_by="")
        if not mine.update(claimed_by=engine, claimed_at=now):
            return None
        if request.conference_id and not _take_conference(request.conference_id, engine):
            transaction.set_rollback(True)
            return None
        return (_moment(request.call.account, now) - now) / timedelta(seconds=1)


def _take_conference(sid: str, engine: str) -> bool:
    """Let a conference that is in no engine yet be in this one; return False if another one was quicker."""
    return bool(Conference.objects.filter(pk=sid, engine__in=("", engine)).update(engine=engine))


def _moment(account: Account, now: datetime) -> datetime:
    """Reserve the account's next moment; it is given back if the transaction is."""
    gap = timedelta(seconds=1 / (account.calls_per_second or settings.CALLS_PER_SECOND))
    pace, _ = CallPace.objects.select_for_update().get_or_create(account=account, defaults={"next_at": now})
    moment = max(pace.next_at, now)
    if moment > now + AHEAD:
        raise _NotYet
    CallPace.objects.filter(pk=account.pk).update(next_at=moment + gap)
    return moment


def _claimed(request: CallRequest, wait: float) -> QueuedCall | None:
    """Return the call for the engine; None if it cannot be placed, which is written down."""
    call, account = request.call, request.call.account
    if not account.is_active:
        _give_up(request, f"account {account.sid} is {account.status}")
        return None
    conference = request.conference
    if conference is not None and Conference.objects.filter(pk=conference.pk, status=COMPLETED).exists():
        _give_up(request, "its conference is over")
        return None
    try:
        auth_token, password = account.auth_token, request.password
    except SecretError as error:
        _give_up(request, str(error))
        return None
    return QueuedCall(
        sid=call.sid,
        account_sid=account.sid,
        auth_token=auth_token,
        to=request.to,
        from_address=request.caller_id,
        region=call.region,
        url=request.url,
        method=request.method,
        fallback_url=request.fallback_url,
        fallback_method=request.fallback_method,
        twiml=request.twiml,
        timeout=request.timeout,
        username=request.username,
        password=password,
        queued=request.created.timestamp(),
        callback=callback_spec(request.callback),
        send_digits=request.send_digits,
        time_limit=request.time_limit,
        recording=recording_spec(request.recording),
        machine_detection=request.machine_detection,
        amd_callback=callback_spec(request.amd_callback),
        call_reason=request.call_reason,
        wait=wait,
        conference=ConferenceSpec(conference.sid, conference.friendly_name) if conference else None,
    )


def _give_up(request: CallRequest, why: str) -> None:
    log.error("call=%s cannot be placed: %s", request.pk, why)
    Call.objects.filter(pk=request.pk, status=Call.Status.QUEUED).update(
        status=Call.Status.FAILED, reason=f"The call was not placed: {why}.", ended_by="engine", end_time=timezone.now()
    )

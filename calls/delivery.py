"""The worker's half of callbacks: makes the attempts that are due, and starts those that begin in the worker.

An attempt may be asked for twice, at the same time or after a crash: a worker leases the row with one conditional
UPDATE before it does anything, counts that it did, and the first outcome is the one that stays. An attempt whose worker
was killed is made again when the lease has run out; the receiver can tell by I-Twilio-Idempotency-Token.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django_q.tasks import async_task

from calls import command, ledger, outbox, room_ledger
from calls.callback_request import concluded, deliver
from calls.client_settings import client_policy
from calls.entries import DeliveryEntry
from calls.models import WebhookDelivery
from calls.webhooks import without_secrets
from routing.fields import SecretError
from routing.models import Account

log = logging.getLogger(__name__)

AT_ONCE = 16  # in all workers together: a receiver that hangs must not keep recordings waiting
BUDGET_SECONDS = 20.0  # of starting new ones; an attempt takes 15 s at most, and a task 60 s
LEASE = timedelta(seconds=120)
MOST_TRIES = 3  # by workers that were killed on the way
ABANDONED_AFTER = timedelta(minutes=5)  # an engine's sender that lives is done long before
NO_ACCOUNT, INTERNAL = 20003, 12400


def fire(entry: DeliveryEntry) -> None:
    """Have a callback delivered that begins in the worker; firing the same entry again does nothing."""
    ledger.apply([replace(entry, state="pending", sender="")])


def send_again(delivery: WebhookDelivery) -> WebhookDelivery:
    """Have the message of an attempt delivered once more, now, whatever became of it; return the attempt that does it.

    One that waits for its time is made now; one that somebody has in hand is left to them.
    """
    attempts = WebhookDelivery.objects.filter(message=delivery.message)
    with transaction.atomic():
        last = attempts.select_for_update().order_by("-attempt")[0]
        now = timezone.now()
        if last.state != WebhookDelivery.State.PENDING:
            WebhookDelivery.objects.bulk_create([outbox.next_attempt(last, 0)], ignore_conflicts=True)
        else:
            _free(now).filter(pk=last.pk, due__gt=now).update(due=now)
        async_task(outbox.DELIVER)
    return attempts.order_by("-attempt")[0]


def sweep() -> int:
    """Look after what nobody else does, every minute; return how many attempts were made."""
    outbox.take_over(Q(time__lt=timezone.now() - ABANDONED_AFTER))
    command.settle_lost()
    room_ledger.end_unused()
    return deliver_due()


def deliver_due() -> int:
    """Make the attempts that are due, several at a time; return how many."""
    made, ends = 0, time.monotonic() + BUDGET_SECONDS
    running: set[Future[DeliveryEntry]] = set()
    with ThreadPoolExecutor(AT_ONCE, "delivery") as pool:
        while True:
            if time.monotonic() < ends:
                running |= {pool.submit(_attempt, job) for job in _lease(AT_ONCE - len(running))}
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            ledger.apply([future.result() for future in done])
            made += len(done)
    if time.monotonic() >= ends and _due().exists():
        async_task(outbox.DELIVER)
    return made


@dataclass(frozen=True, slots=True)
class _Job:
    """An attempt to make, with all that it needs, so that its thread asks no database; `refusal` if it cannot be."""

    entry: DeliveryEntry
    auth_token: str = ""
    refusal: tuple[int, str] | None = None


def _free(now: datetime) -> QuerySet[WebhookDelivery]:
    """Return the attempts that are to be made and that no worker has in hand."""
    return WebhookDelivery.objects.filter(Q(lease=None) | Q(lease__lt=now), state=WebhookDelivery.State.PENDING)


def _due() -> QuerySet[WebhookDelivery]:
    now = timezone.now()
    return _free(now).filter(due__lte=now)


def _lease(most: int) -> list[_Job]:
    """Take up to `most` attempts in hand, the longest due first; fewer while other workers have theirs."""
    in_hand = WebhookDelivery.objects.filter(state=WebhookDelivery.State.PENDING, lease__gte=timezone.now()).count()
    free = min(most, AT_ONCE - in_hand)
    jobs = []
    for row in _due().order_by("due")[: max(0, free)]:
        # Conditions on this table only: PostgreSQL checks them again on a row that another worker just changed.
        if _due().filter(pk=row.pk).update(lease=timezone.now() + LEASE, tries=F("tries") + 1):
            jobs.append(_job(row))
    return jobs


def _job(row: WebhookDelivery) -> _Job:
    entry = outbox.entry(row)
    if row.tries >= MOST_TRIES:
        return _Job(entry, refusal=(INTERNAL, f"{row.tries} times the worker was stopped while it sent this."))
    try:
        return _Job(entry, auth_token=row.account.auth_token)
    except Account.DoesNotExist:
        return _Job(entry, refusal=(NO_ACCOUNT, "Its account is gone, and with it the token to sign with."))
    except SecretError as error:
        return _Job(entry, refusal=(INTERNAL, f"It cannot be signed: {error}"))


def _attempt(job: _Job) -> DeliveryEntry:
    """Make an attempt and return it with its outcome; whatever goes wrong is one."""
    entry, sent_at = job.entry, time.time()
    if job.refusal:
        code, why = job.refusal
        return replace(entry, state="failed", error_code=code, error=why)
    try:
        outcome = deliver(entry.url, entry.method, entry.parameters, job.auth_token, entry.message, client_policy())
    except Exception as error:
        log.exception("call=%s callback %s", entry.call_sid, entry.sid)
        return replace(entry, state="failed", error_code=INTERNAL, error=f"{type(error).__name__}: {error}")
    made = concluded(entry, outcome, sent_at)
    log.info(
        "call=%s callback %s %s to %s: attempt %d %s %s",
        made.call_sid, made.topic, made.event, without_secrets(made.url), made.attempt, made.state, made.error,
    )  # fmt: skip
    return made

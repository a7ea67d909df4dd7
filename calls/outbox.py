"""Callbacks as rows: what the ledger writes of each attempt, and what follows from its outcome.

The row of an attempt that is under way and that of its outcome come from two processes (the journal's writer, the
engine's sender), in either order. So an outcome is never undone, and the first one counts. What follows from it is
written in the same transaction: the next attempt, or a notification that the operator can act on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django_q.tasks import async_task

from calls import retries
from calls.entries import DeliveryEntry
from calls.models import Notification, WebhookDelivery
from calls.values import LONGEST_TEXT, SMALL, checked_sid, epoch, moment, optional_moment, text, whole
from calls.webhooks import without_secrets
from routing.errors import lookup

DELIVER = "calls.delivery.deliver_due"
DOUBT_AGAIN_AFTER = timedelta(minutes=10)
State = WebhookDelivery.State
_DOUBT = (
    "A callback was answered with content, which is ignored: answer 204, or 200 with an empty <Response/>. Further "
    "answers of this page are not reported for ten minutes; the deliveries show them."
)
_OUTCOME_COLUMNS = [
    "state", "sender", "sent_at", "milliseconds", "response_status", "response_type", "response_body", "error_code",
    "error", "due", "lease",
]  # fmt: skip


def row(entry: DeliveryEntry) -> WebhookDelivery:
    """Return the row of an attempt; one that no engine has in hand is the worker's, at once."""
    state = State(entry.state)
    time = moment(entry.time)
    return WebhookDelivery(
        sid=checked_sid(entry.sid, "WD"),
        message=checked_sid(entry.message, "WD"),
        account_id=text(entry.account_sid, 34),
        call_id=text(entry.call_sid, 34) or None,
        topic=text(entry.topic, 16),
        event=text(entry.event, 32),
        url=text(entry.url, 4096),
        method=text(entry.method, 8),
        parameters=[[text(name, 255), text(value, LONGEST_TEXT)] for name, value in entry.parameters],
        time=time,
        state=state,
        attempt=whole(entry.attempt, SMALL),
        sender=text(entry.sender, 255),
        sent_at=optional_moment(entry.sent_at),
        milliseconds=None if entry.milliseconds is None else whole(entry.milliseconds),
        response_status=whole(entry.response_status, SMALL),
        response_type=text(entry.response_type, 255),
        response_body=text(entry.response_body, 4096),
        error_code=whole(entry.error_code),
        error=text(entry.error, 1000),
        due=time if state == State.PENDING and not entry.sender else None,
    )


def entry(row: WebhookDelivery) -> DeliveryEntry:
    """Return the attempt of a row."""
    return DeliveryEntry(
        sid=row.sid,
        message=row.message,
        account_sid=row.account_id,
        call_sid=row.call_id or "",
        topic=row.topic,
        event=row.event,
        url=row.url,
        method=row.method,
        parameters=tuple((name, value) for name, value in row.parameters),
        time=row.time.timestamp(),
        state=row.state,
        attempt=row.attempt,
        sender=row.sender,
        sent_at=epoch(row.sent_at),
        milliseconds=row.milliseconds,
        response_status=row.response_status,
        response_type=row.response_type,
        response_body=row.response_body,
        error_code=row.error_code,
        error=row.error,
    )


def write(rows: Sequence[WebhookDelivery]) -> None:
    """Write attempts; the caller holds a transaction."""
    outcomes: dict[str, WebhookDelivery] = {}
    # In one order everywhere: PostgreSQL ends one of two processes that wait for each other's rows.
    rows = sorted(rows, key=lambda made: made.sid)
    for made in rows:
        if made.state != State.PENDING:
            outcomes.setdefault(made.sid, made)
    pending = {made.sid: made for made in rows if made.sid not in outcomes}
    if pending:
        _write_pending(pending)
    if outcomes:
        _write_outcomes(outcomes)


def take_over(found: Q) -> int:
    """Hand the attempts that an engine has in hand and that `found` describes to the worker; return how many."""
    theirs = WebhookDelivery.objects.filter(found, state=State.PENDING, due=None)
    taken = theirs.update(sender="", due=datetime.now(UTC))
    if taken:
        async_task(DELIVER)
    return taken


def _write_pending(rows: dict[str, WebhookDelivery]) -> None:
    ours = {sid for sid, made in rows.items() if made.due is not None}
    known = set(WebhookDelivery.objects.filter(pk__in=ours).values_list("pk", flat=True)) if ours else set()
    WebhookDelivery.objects.bulk_create(rows.values(), ignore_conflicts=True)
    if ours - known:
        async_task(DELIVER)


def _write_outcomes(rows: dict[str, WebhookDelivery]) -> None:
    known = WebhookDelivery.objects.select_for_update().filter(pk__in=rows).order_by("pk")
    settled = {sid for sid, state in known.values_list("pk", "state") if state != State.PENDING}
    new = [made for sid, made in rows.items() if sid not in settled]
    WebhookDelivery.objects.bulk_create(
        new, update_conflicts=True, unique_fields=["sid"], update_fields=_OUTCOME_COLUMNS
    )
    followers = [next_attempt(made, wait) for made in new if (wait := _seconds_to_next(made)) is not None]
    WebhookDelivery.objects.bulk_create(followers, ignore_conflicts=True)
    Notification.objects.bulk_create(_notifications(new), ignore_conflicts=True)


def next_attempt(made: WebhookDelivery, seconds: float) -> WebhookDelivery:
    """Return the row, not yet saved, of an attempt after this one that the worker makes in so many seconds.

    Its identifier is always the same, so that there is but one.
    """
    now = datetime.now(UTC)
    return WebhookDelivery(
        sid=retries.derived_sid("WD", made.message, made.attempt + 1),
        message=made.message,
        account_id=made.account_id,
        call_id=made.call_id,
        topic=made.topic,
        event=made.event,
        url=made.url,
        method=made.method,
        parameters=made.parameters,
        time=now,
        attempt=made.attempt + 1,
        due=now + timedelta(seconds=seconds),
    )


def _seconds_to_next(made: WebhookDelivery) -> float | None:
    if made.state != State.FAILED or not retries.may_pass(made.error_code, made.response_status):
        return None
    return retries.delay_after(made.attempt, settings.WEBHOOK_RETRY_SECONDS)


def _notifications(rows: Iterable[WebhookDelivery]) -> list[Notification]:
    """Return one for each message that was given up, and at times one for a URL that answers doubtfully."""
    made: list[Notification] = []
    doubted: set[str] | None = None
    for attempt in rows:
        match attempt.state:
            case State.FAILED if _seconds_to_next(attempt) is None:
                tries = "" if attempt.attempt == 1 else f", {attempt.attempt} times"
                what = f"The {attempt.topic} callback {attempt.event} was not delivered{tries}: {attempt.error}"
                made.append(_notification(attempt, attempt.error_code or retries.HTTP_FAILURE, what))
            case State.DELIVERED if not retries.is_expected_answer(attempt.response_body):
                doubted = _doubted() if doubted is None else doubted
                if _page(attempt.url) not in doubted:
                    doubted.add(_page(attempt.url))
                    made.append(_notification(attempt, retries.DOUBTFUL_ANSWER, _DOUBT))
    return made


def _doubted() -> set[str]:
    """Return the pages whose answers the operator has been warned of lately: they say the same each time."""
    recent = Notification.objects.filter(code=retries.DOUBTFUL_ANSWER, time__gte=datetime.now(UTC) - DOUBT_AGAIN_AFTER)
    return {_page(url) for url in recent.values_list("url", flat=True)}


def _page(url: str) -> str:
    return without_secrets(url).partition("?")[0]


def _notification(attempt: WebhookDelivery, code: int, what: str) -> Notification:
    return Notification(
        sid=retries.derived_sid("NO", attempt.sid),
        account_id=attempt.account_id,
        call_id=attempt.call_id,
        time=attempt.sent_at or attempt.time,
        code=code,
        level=lookup(code).level,
        message=text(what, 2000),
        url=without_secrets(attempt.url),
        method=attempt.method,
        response_status=attempt.response_status,
        response_body=attempt.response_body,
    )

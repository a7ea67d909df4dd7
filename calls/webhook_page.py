"""What the page of one webhook delivery shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from calls.call_page import TONES, time_of_day
from calls.harmless import harmless
from calls.models import WebhookDelivery
from calls.webhooks import without_secrets
from routing.errors import lookup

State = WebhookDelivery.State


def attempts_of(delivery: WebhookDelivery) -> list[WebhookDelivery]:
    """Return every attempt of the message, first to last."""
    found = WebhookDelivery.objects.filter(message=delivery.message)
    return list(found.defer("parameters", "response_body").order_by("attempt", "time"))


def context(delivery: WebhookDelivery) -> dict[str, Any]:
    """Return the variables of templates/admin/calls/webhookdelivery/change_form.html."""
    attempts = attempts_of(delivery)
    return {
        "delivery": delivery,
        "tone": TONES[State(delivery.state)],
        "sentence": sentence(delivery, attempts),
        "known": lookup(delivery.error_code) if delivery.error_code else None,
        "url": without_secrets(delivery.url),
        "parameters": [(name, harmless(str(value))) for name, value in delivery.parameters],
        "body": harmless(delivery.response_body),
        "attempts": [(row, TONES[State(row.state)], outcome(row)) for row in attempts],
    }


def sentence(delivery: WebhookDelivery, attempts: Sequence[WebhookDelivery]) -> str:
    """Return what became of the attempt, and what comes next, in plain words."""
    match State(delivery.state):
        case State.DELIVERED:
            return f"The web application took it: {outcome(delivery)}."
        case State.PENDING if delivery.sender:
            return f"Engine {delivery.sender} has it in hand."
        case State.PENDING if delivery.due and delivery.due > timezone.now():
            return f"It is sent at {time_of_day(delivery.due)}."
        case State.PENDING:
            return "It waits for the worker; if it stays so, no worker is running."
        case _:
            return f"It failed: {outcome(delivery)}. {_next(delivery, attempts)}"


def outcome(delivery: WebhookDelivery) -> str:
    """Return the answer or the reason why there was none, and how long it took."""
    if delivery.state == State.PENDING:
        return "not sent yet"
    took = "" if delivery.milliseconds is None else f" after {delivery.milliseconds} ms"
    answer = f"HTTP {delivery.response_status}" if delivery.response_status else delivery.error or "no answer"
    return harmless(answer).rstrip(".") + took


def _next(delivery: WebhookDelivery, attempts: Sequence[WebhookDelivery]) -> str:
    later = next((row for row in attempts if row.attempt > delivery.attempt), None)
    if later is None:
        return "No further attempt is made."
    match State(later.state):
        case State.DELIVERED:
            return f"Attempt {later.attempt} got through."
        case State.FAILED:
            return f"Attempt {later.attempt} failed too."
        case _:
            return f"Attempt {later.attempt} follows{f' at {time_of_day(later.due)}' if later.due else ''}."

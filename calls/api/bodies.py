"""Calls, recordings and notifications as the API writes them: Twilio's keys, in the order of its OpenAPI (§1.14).

There are no prices here: `price` is always null.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from calls.models import Call, Notification, Recording
from calls.status import TERMINAL, Status
from routing.api.paths import PREFIX, uri
from routing.api.rendering import API_VERSION, Body, Computed, Constant, Date, Digits, Uri, Words, rfc2822

CURRENCY = "USD"
_OF_CALL = {
    "notifications": "Notifications",
    "recordings": "Recordings",
    "payments": "Payments",
    "events": "Events",
    "siprec": "Siprec",
    "streams": "Streams",
    "transcriptions": "Transcriptions",
    "user_defined_message_subscriptions": "UserDefinedMessageSubscriptions",
    "user_defined_messages": "UserDefinedMessages",
}
_OF_RECORDING = {"add_on_results": "AddOnResults", "transcriptions": "Transcriptions"}
SHOWN_STATUS = {Status.INITIATED.value: Status.RINGING.value}
"""`initiated` is a status of webhooks only: a call that has left the queue rings, or will in a moment."""


def _shown_status(call: Call) -> str:
    return SHOWN_STATUS.get(call.status, call.status)


def _updated(call: Call) -> datetime:
    """Return when the status changed last."""
    return call.end_time or call.answer_time or call.ring_time or call.start_time


def _duration(call: Call) -> str | None:
    return None if call.duration is None or call.status not in TERMINAL else str(call.duration)


def _queue_time(call: Call) -> str:
    """Return how long it waited for an engine, in milliseconds; the view has `asked_at` and `claimed_at` with it."""
    asked, claimed = getattr(call, "asked_at", None), getattr(call, "claimed_at", None)
    return str((claimed - asked) // timedelta(milliseconds=1)) if asked and claimed else "0"


def _call_uris(call: Call) -> dict[str, str]:
    return {name: uri(call.account_id, "Calls", call.sid, part) for name, part in _OF_CALL.items()}


class CallBody(Body):
    """Twilio's keys of a call; what this switch does not know is null."""

    sid = Words()
    date_created = Date(source="start_time")
    date_updated = Computed(lambda call: rfc2822(_updated(call)))
    parent_call_sid = Words(source="parent_id")
    account_sid = Words(source="account_id")
    to = Words(source="to_address")
    to_formatted = Words(source="to_address")
    vars()["from"] = Words(source="from_address")
    from_formatted = Words(source="from_address")
    phone_number_sid = Constant()
    status = Computed(_shown_status)
    start_time = Computed(lambda call: rfc2822(call.start_time) if call.engine else None)
    end_time = Date()
    duration = Computed(_duration)
    price = Constant()
    price_unit = Constant(CURRENCY)
    direction = Words()
    answered_by = Constant()
    api_version = Constant(API_VERSION)
    forwarded_from = Constant()
    group_sid = Constant()
    caller_name = Constant()
    queue_time = Computed(_queue_time)
    trunk_sid = Constant()
    uri = Uri(lambda call: uri(call.account_id, "Calls", call.sid))
    subresource_uris = Computed(_call_uris)


def _recording_status(recording: Recording) -> str:
    """Return Twilio's status: one that failed for good is `absent`, one that is tried again still `processing`."""
    if recording.status != Recording.Status.FAILED:
        return recording.status
    return Recording.Status.PROCESSING if recording.retryable else Recording.Status.ABSENT


def _recording_seconds(recording: Recording) -> str | None:
    done = recording.status == Recording.Status.COMPLETED and recording.duration is not None
    return str(round(recording.duration or 0)) if done else None


def _media_url(recording: Recording) -> str:
    return f"{settings.PUBLIC_URL}{PREFIX}/Accounts/{recording.account_id}/Recordings/{recording.sid}"


def _recording_uris(recording: Recording) -> dict[str, str]:
    return {name: uri(recording.account_id, "Recordings", recording.sid, part) for name, part in _OF_RECORDING.items()}


class RecordingBody(Body):
    """Twilio's keys of a recording."""

    account_sid = Words(source="account_id")
    api_version = Constant(API_VERSION)
    call_sid = Words(source="call_id")
    conference_sid = Words()
    date_created = Date(source="start_time")
    date_updated = Date(source="updated")
    start_time = Date()
    duration = Computed(_recording_seconds)
    sid = Words()
    price = Constant()
    price_unit = Constant(CURRENCY)
    status = Computed(_recording_status)
    channels = Computed(lambda recording: recording.channels)
    vars()["source"] = Computed(lambda recording: recording.source)
    error_code = Constant()
    uri = Uri(lambda recording: uri(recording.account_id, "Recordings", recording.sid))
    encryption_details = Constant()
    subresource_uris = Computed(_recording_uris)
    media_url = Computed(_media_url)


class CallRecordingBody(Body):
    """Twilio's keys of a recording below its call."""

    account_sid = Words(source="account_id")
    api_version = Constant(API_VERSION)
    call_sid = Words(source="call_id")
    conference_sid = Words()
    date_created = Date(source="start_time")
    date_updated = Date(source="updated")
    start_time = Date()
    duration = Computed(_recording_seconds)
    sid = Words()
    price = Constant()
    uri = Uri(lambda recording: uri(recording.account_id, "Calls", recording.call_id, "Recordings", recording.sid))
    encryption_details = Constant()
    price_unit = Constant(CURRENCY)
    status = Computed(_recording_status)
    channels = Computed(lambda recording: recording.channels)
    vars()["source"] = Computed(lambda recording: recording.source)
    error_code = Constant()
    track = Computed(lambda recording: recording.track or "both")


LOG = {Notification.Level.ERROR.value: "0", Notification.Level.WARNING.value: "1"}


class NotificationBody(Body):
    """Twilio's keys of a notification in a list."""

    account_sid = Words(source="account_id")
    api_version = Constant(API_VERSION)
    call_sid = Words(source="call_id")
    date_created = Date(source="time")
    date_updated = Date(source="time")
    error_code = Digits(source="code")
    log = Computed(lambda note: LOG[note.level])
    message_date = Date(source="time")
    message_text = Words(source="message")
    more_info = Computed(lambda note: f"https://www.twilio.com/docs/errors/{note.code}")
    request_method = Words(source="method")
    request_url = Words(source="url")
    sid = Words()
    uri = Uri(lambda note: uri(note.account_id, "Notifications", note.sid))


class OneNotificationBody(NotificationBody):
    """Twilio's keys of a notification by itself."""

    request_variables = Constant("")
    response_headers = Computed(lambda note: f"Status: {note.response_status}" if note.response_status else "")
    response_body = Computed(lambda note: note.response_body)


def rendered(body: type[Body], row: Any) -> dict[str, Any]:
    """Return the JSON of a row of any account."""
    return body.render(row, row.account_id)

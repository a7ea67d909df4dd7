"""What requests about calls and recordings may say. Source: Twilio's Call and Recording resources (§1.14)."""

from __future__ import annotations

from dataclasses import replace
from datetime import time
from typing import Any

from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact, In

from calls.api.bodies import LOG, SHOWN_STATUS
from calls.command import TWIML_LENGTH, TWIML_TOO_LONG
from calls.entries import CallbackSpec, RecordingSpec
from calls.ledger import user_part
from calls.models import Call, Notification, Recording
from calls.place import (
    BAD_DIGITS,
    BAD_TIMEOUT,
    CALLBACK_EVENTS,
    LONG_LOGIN,
    LONG_PASSWORD,
    LONGEST_CALL,
    LONGEST_TIMEOUT,
    RECORDING_EVENTS,
)
from routing.api import parameters as of
from routing.sid import new_sid

NO_TO, NO_FROM, BAD_APPLICATION = 21201, 21213, 21218
DETECTION = "no machine is detected here: AnsweredBy is always unknown"


class NewRecording(of.Parameters):
    """How a call in progress is to be recorded."""

    RecordingStatusCallbackEvent = of.Repeated(RECORDING_EVENTS, source="recording_events")
    RecordingStatusCallback = of.Url(source="recording_callback")
    RecordingStatusCallbackMethod = of.Method(source="recording_callback_method")
    Trim = of.Choice(("trim-silence", "do-not-trim"), source="trim")
    RecordingChannels = of.Choice(("mono", "dual"), source="channels")
    RecordingTrack = of.Choice(("inbound", "outbound", "both"), source="track")
    RecordingConfigurationId = of.NotHere()


class RecordingChange(of.Parameters):
    """What a recording that runs is to do."""

    Status = of.Choice(("paused", "in-progress", "stopped"), source="status", required=True)
    PauseBehavior = of.Choice(
        ("silence",),
        source="pause",
        help_text="Twilio's other one, skip, is not here: the time of a pause is in the recording, as silence.",
    )


class NewCall(NewRecording):
    """What makes a call."""

    To = of.Text(source="to", required=True, max_length=4096, code=NO_TO)
    From = of.Text(source="from_address", required=True, max_length=512, code=NO_FROM)
    CallerId = of.Text(source="caller_id", max_length=512)
    Url = of.Url(source="url")
    Twiml = of.Text(source="twiml", max_length=TWIML_LENGTH, code=TWIML_TOO_LONG)
    ApplicationSid = of.Sid("AP", source="application", code=BAD_APPLICATION)
    Method = of.Method(source="method")
    FallbackUrl = of.Url(source="fallback_url")
    FallbackMethod = of.Method(source="fallback_method")
    StatusCallback = of.Url(source="status_callback")
    StatusCallbackEvent = of.Repeated(CALLBACK_EVENTS, source="status_events")
    StatusCallbackMethod = of.Method(source="status_callback_method")
    SendDigits = of.Text(source="send_digits", max_length=32, code=BAD_DIGITS)
    Timeout = of.Number(least=1, most=LONGEST_TIMEOUT, source="timeout", code=BAD_TIMEOUT)
    TimeLimit = of.Number(least=1, most=LONGEST_CALL, source="time_limit")
    Record = of.Boolean(source="record")
    SipAuthUsername = of.Text(source="username", max_length=255, code=LONG_LOGIN)
    SipAuthPassword = of.Text(source="password", max_length=255, code=LONG_PASSWORD, trim_whitespace=False)
    CallReason = of.Text(source="call_reason", max_length=50)
    MachineDetection = of.Choice(("Enable", "DetectMessageEnd"), source="machine_detection", help_text=DETECTION)
    MachineDetectionTimeout = of.Number(least=3, most=59, source="amd_timeout")
    MachineDetectionSpeechThreshold = of.Number(least=1000, most=6000, source="amd_speech")
    MachineDetectionSpeechEndThreshold = of.Number(least=500, most=5000, source="amd_speech_end")
    MachineDetectionSilenceTimeout = of.Number(least=2000, most=10_000, source="amd_silence")
    AsyncAmd = of.Boolean(source="amd_async")
    AsyncAmdStatusCallback = of.Url(source="amd_callback")
    AsyncAmdStatusCallbackMethod = of.Method(source="amd_callback_method")
    CallToken = of.Text(source="call_token", max_length=4096, help_text="Accepted, and not needed here.")
    Byoc = of.NotHere("is not here: give the account a trunk.")
    Passports = of.NotHere()
    ClientNotificationUrl = of.NotHere()


class CallChange(of.Parameters):
    """How a call is to end, or to go on."""

    Status = of.Choice(("canceled", "completed"), source="status")
    Url = of.Url(source="url")
    Method = of.Method(source="method")
    Twiml = of.Text(source="twiml", max_length=TWIML_LENGTH, code=TWIML_TOO_LONG)
    FallbackUrl = of.Url(source="fallback_url")
    FallbackMethod = of.Method(source="fallback_method")
    StatusCallback = of.Url(source="status_callback")
    StatusCallbackMethod = of.Method(source="status_callback_method")
    TimeLimit = of.Number(least=1, most=LONGEST_CALL, source="time_limit")


class CallFilters(of.Listing):
    """What a list of calls may be narrowed by."""

    To = of.Text(source="to", max_length=512)
    From = of.Text(source="from_address", max_length=512)
    ParentCallSid = of.Sid("CA", source="parent")
    Status = of.Choice([one for one in Call.Status.values if one not in SHOWN_STATUS], source="status")
    StartTime = of.When(source="start_on")
    vars()["StartTime<"] = of.When(source="start_until")
    vars()["StartTime>"] = of.When(source="start_since")
    EndTime = of.When(source="end_on")
    vars()["EndTime<"] = of.When(source="end_until")
    vars()["EndTime>"] = of.When(source="end_since")


class CallRecordingFilters(of.Listing):
    """What a call's recordings may be narrowed by."""

    DateCreated = of.When(source="on")
    vars()["DateCreated<"] = of.When(source="until")
    vars()["DateCreated>"] = of.When(source="since")


class RecordingFilters(CallRecordingFilters):
    """What a list of recordings may be narrowed by."""

    CallSid = of.Sid("CA", source="call")
    ConferenceSid = of.Sid("CF", source="conference_sid")
    IncludeSoftDeleted = of.Boolean(source="deleted", help_text="What is deleted is gone here: it changes nothing.")


class NotificationFilters(of.Listing):
    """What a list of notifications may be narrowed by."""

    Log = of.Choice(tuple(LOG.values()), source="log", help_text="0: errors, 1: warnings.")
    MessageDate = of.When(source="on")
    vars()["MessageDate<"] = of.When(source="until")
    vars()["MessageDate>"] = of.When(source="since")


def recording_of(values: dict[str, Any], source: str) -> RecordingSpec:
    """Return how to record, by the values of `NewRecording`, with Twilio's defaults."""
    url, method = values.get("recording_callback"), values.get("recording_callback_method", "POST")
    events = values.get("recording_events") or ("completed",)
    return RecordingSpec(
        sid=new_sid("RE"),
        source=source,
        channels=2 if values.get("channels") == "dual" and values.get("track", "both") == "both" else 1,
        track=values.get("track", "both"),
        trim=values.get("trim", "trim-silence") == "trim-silence",
        callback=CallbackSpec(url, method, tuple(events)) if url else None,
    )


def callback_of(values: dict[str, Any], name: str, events: tuple[str, ...]) -> CallbackSpec | None:
    """Return the callback of these values, None if there is none."""
    url = values.get(name)
    return CallbackSpec(url, values.get(f"{name}_method", "POST"), events) if url else None


def found_otherwise(rows: QuerySet[Any], account_sid: str) -> QuerySet[Any]:
    """Return the account's rows, for lists that another condition makes short.

    No index is used for the account, the way it is written: SQLite, which keeps no statistics unless it is told to,
    would read all rows of the account by its index rather than the few of a call by theirs.
    """
    return rows.filter(Exact(Coalesce("account_id", Value("")), account_sid))


def narrowed_calls(account_sid: str, values: dict[str, Any]) -> QuerySet[Call]:
    """Return the account's calls that match the values of `CallFilters`."""
    rows = _by_index(account_sid, values)
    for name, field in (("start", "start_time"), ("end", "end_time")):
        on, until, since = (values.get(f"{name}_{part}") for part in ("on", "until", "since"))
        rows = of.in_period(rows, field, _day(on), until, since)
    # What ended by then had begun by then: lists are read in the order of the beginning, from there on.
    if until := values.get("end_until"):
        rows = rows.filter(start_time__lte=until.at)
    if on := _day(values.get("end_on")):
        rows = rows.filter(start_time__lt=on.end)
    return rows


def _by_index(account_sid: str, values: dict[str, Any]) -> QuerySet[Call]:
    """Apply the conditions that have an index, so written that the one which leaves the fewest rows is used."""
    rows, mine = Call.objects.all(), Call.objects.filter(account=account_sid)
    statuses = [old for old, shown in SHOWN_STATUS.items() if shown == values.get("status")]
    parties = [(side, value) for name, side in _PARTIES if (value := values.get(name))]
    if parties or values.get("parent"):
        rows = found_otherwise(rows, account_sid) if values.get("parent") else rows.filter(account=account_sid)
        if values.get("status"):
            rows = rows.filter(In(Coalesce("status", Value("")), [values["status"], *statuses]))
    elif statuses:
        live = mine.filter(status__in=[values["status"], *statuses]).order_by().values("pk")
        rows = found_otherwise(rows, account_sid).filter(pk__in=live)
    elif values.get("status"):
        rows = mine.filter(status=values["status"])
    else:
        rows = mine
    if parent := values.get("parent"):
        rows = rows.filter(parent=parent)
    for side, value in parties:
        rows = _with_party(rows, side, value)
    return rows


_PARTIES = (("to", "to"), ("from_address", "from"))


def _with_party(rows: QuerySet[Call], side: str, value: str) -> QuerySet[Call]:
    """Narrow to calls of a SIP address as it stands, or of a number or user at whatever host."""
    rows = rows.filter(**{f"{side}_user": user_part(value)})
    return rows.filter(**{f"{side}_address": value}) if "@" in value or value.lower().startswith("sip") else rows


def _day(on: of.Moment | None) -> of.Moment | None:
    """Return the day for midnight: Twilio's libraries write a date as a moment."""
    return replace(on, whole_day=True) if on and on.at.time() == time() else on


def narrowed_recordings(rows: QuerySet[Recording], values: dict[str, Any]) -> QuerySet[Recording]:
    """Return the recordings that match the values of `RecordingFilters`."""
    exact = {name: value for name in ("call", "conference_sid") if (value := values.get(name))}
    return of.in_period(rows.filter(**exact), "start_time", *_period(values))


def narrowed_notifications(rows: QuerySet[Notification], values: dict[str, Any]) -> QuerySet[Notification]:
    """Return the notifications that match the values of `NotificationFilters`."""
    if log := values.get("log"):
        rows = rows.filter(level=next(level for level, number in LOG.items() if number == log))
    return of.in_period(rows, "time", *_period(values))


def _period(values: dict[str, Any]) -> tuple[of.Moment | None, of.Moment | None, of.Moment | None]:
    return _day(values.get("on")), values.get("until"), values.get("since")

"""Calls: placed, listed, fetched, changed and deleted. Source: Twilio's Call resource (conformance §1.14)."""

from __future__ import annotations

from typing import Any

from django.db.models import F, QuerySet

from calls import command
from calls.api.asked import (
    BAD_APPLICATION,
    CallChange,
    CallFilters,
    NewCall,
    callback_of,
    narrowed_calls,
    recording_of,
)
from calls.api.bodies import CallBody
from calls.models import Call
from calls.place import PlaceError, queue_call
from calls.status import TERMINAL
from routing.api.authentication import Caller
from routing.api.errors import ApiError, not_found
from routing.api.views import ApiView, CreateView, DeleteView, FetchView, ListView, Rows, UpdateView
from routing.models import Application

SOURCE = "OutboundAPI"
_WRONG_STATE = 21220
_COMPLETED = ("completed",)
# What the checks of `place` and `command` call a field, and what the API does.
_NAMES = {
    "to": "To",
    "from": "From",
    "send_digits": "SendDigits",
    "username and password": "SipAuthUsername and SipAuthPassword",
}


def named(error: PlaceError | command.CommandError) -> ApiError:
    """Return a refusal under the name of the parameter that it is about."""
    field, colon, text = error.message.partition(":")
    name = _NAMES.get(field, field)
    return ApiError(error.code, f"{name}{colon}{text}")


def asker(caller: Caller) -> str:
    """Return who asks, for the timeline."""
    return f"API key {caller.key.sid}" if caller.key else "the API"


class OfCall(ApiView):
    """What is below one call of the account."""

    def call(self) -> Call:
        """Return the call that the path names; raise `ApiError` 20404."""
        found = Call.objects.filter(account=self.account, pk=self.kwargs["call_sid"]).first()
        if found is None:
            raise not_found(self.request)
        return found


class CallRows(Rows[Call]):
    """The account's calls."""

    body = CallBody

    def rows(self) -> QuerySet[Call]:
        """Return them, each with how long it waited in the queue."""
        return _with_wait(Call.objects.filter(account=self.account))


def _with_wait(rows: QuerySet[Call]) -> QuerySet[Call]:
    return rows.annotate(asked_at=F("request__created"), claimed_at=F("request__claimed_at"))


class Calls(CallRows, ListView[Call], CreateView[Call]):
    """The list, and new calls."""

    key, filters, parameters, date = "calls", CallFilters, NewCall, "start_time"

    def narrow(self, rows: QuerySet[Call], values: dict[str, Any]) -> QuerySet[Call]:
        """Apply the filters."""
        return _with_wait(narrowed_calls(self.account.pk, values))

    def create(self, values: dict[str, Any]) -> Call:
        """Queue a call."""
        detect = "machine_detection" in values
        try:
            return queue_call(
                self.account,
                values["to"],
                values.get("caller_id") or values["from_address"],
                **self._document(values),
                timeout=values.get("timeout", 60),
                username=values.get("username", ""),
                password=values.get("password", ""),
                send_digits=values.get("send_digits", ""),
                time_limit=values.get("time_limit"),
                recording=recording_of(values, SOURCE) if values.get("record") else None,
                machine_detection=detect,
                amd_callback=callback_of(values, "amd_callback", ("amd",)) if detect else None,
                call_reason=values.get("call_reason", ""),
            )
        except PlaceError as error:
            raise named(error) from error

    def _document(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return what the call runs, and who is told of it: of the application, if there is one."""
        given = [name for name in ("Url", "Twiml", "ApplicationSid") if values.get(_SOURCES[name])]
        if len(given) != 1:
            names = f"not {' and '.join(given)}" if given else "none was given"
            raise ApiError(command.BAD_URL, f"Give exactly one of Url, Twiml and ApplicationSid, {names}.")
        if sid := values.get("application"):
            return self._application(sid)
        events = tuple(values.get("status_events") or _COMPLETED)
        asked = ("url", "twiml", "method", "fallback_url", "fallback_method")
        document = {name: values[name] for name in asked if values.get(name)}
        return {**document, "callback": callback_of(values, "status_callback", events)}

    def _application(self, sid: str) -> dict[str, Any]:
        row = Application.objects.filter(account=self.account, pk=sid).first()
        if row is None:
            raise ApiError(BAD_APPLICATION, f"ApplicationSid: the account has no application {sid}.")
        if not row.voice_url:
            raise ApiError(BAD_APPLICATION, f"ApplicationSid: application {sid} has no VoiceUrl.")
        values = {"callback": row.status_callback, "callback_method": row.status_callback_method}
        return {
            "url": row.voice_url,
            "method": row.voice_method,
            "fallback_url": row.voice_fallback_url,
            "fallback_method": row.voice_fallback_method,
            "callback": callback_of(values, "callback", _COMPLETED),
        }


_SOURCES = {"Url": "url", "Twiml": "twiml", "ApplicationSid": "application"}


class OneCall(CallRows, FetchView[Call], UpdateView[Call], DeleteView[Call]):
    """One call."""

    parameters = CallChange

    def change(self, row: Call, values: dict[str, Any]) -> None:
        """Ask the call's engine to end it, or to go on with another document."""
        asked = ("status", "url", "twiml", "method", "fallback_url", "fallback_method", "time_limit")
        try:
            command.request(
                row,
                **{name: values[name] for name in asked if values.get(name)},
                callback=callback_of(values, "status_callback", _COMPLETED),
                by=asker(self.caller),
            )
        except command.CommandError as error:
            raise named(error) from error
        row.refresh_from_db()  # one that no engine had taken has ended now

    def remove(self, row: Call) -> None:
        """Delete a call that is over, with its legs and timeline; its recordings must have been deleted."""
        if row.status not in TERMINAL or row.legs.exclude(status__in=TERMINAL).exists():
            raise ApiError(_WRONG_STATE, f"Call {row.pk} is not over: it can be deleted when it and its legs are.")
        if row.recordings.exists() or Call.objects.filter(parent=row, recordings__isnull=False).exists():
            raise ApiError(_WRONG_STATE, f"Call {row.pk} has recordings: delete those first.")
        row.delete()

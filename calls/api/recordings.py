"""Recordings as JSON, of an account and of a call: listed, begun, paused, stopped and deleted.

Source: Twilio's Recording resource and its Call recordings (conformance §1.14). Their sound is `audio`'s.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from calls import recording_command
from calls.api.asked import (
    CallRecordingFilters,
    NewRecording,
    RecordingChange,
    RecordingFilters,
    found_otherwise,
    narrowed_recordings,
    recording_of,
)
from calls.api.bodies import CallRecordingBody, RecordingBody
from calls.api.calls import OfCall, asker, named
from calls.command import WRONG_STATE, CommandError
from calls.models import Command, Recording
from calls.removal import StillInUse, remove_recording
from routing.api.errors import ApiError, not_found
from routing.api.views import CreateView, DeleteView, FetchView, ListView, Rows, UpdateView

CURRENT = "Twilio.CURRENT"
_ACTIONS = {
    "paused": Command.Action.PAUSE,
    "in-progress": Command.Action.RESUME,
    "stopped": Command.Action.STOP,
}


class RecordingRows(Rows[Recording]):
    """The account's recordings."""

    def rows(self) -> QuerySet[Recording]:
        """Return them."""
        return Recording.objects.filter(account=self.account)

    def remove(self, row: Recording) -> None:
        """Delete a recording and its files."""
        try:
            remove_recording(row)
        except StillInUse as error:
            raise ApiError(WRONG_STATE, str(error)) from None


class Recordings(RecordingRows, ListView[Recording]):
    """The list."""

    body, key, filters, date = RecordingBody, "recordings", RecordingFilters, "start_time"

    def narrow(self, rows: QuerySet[Recording], values: dict[str, Any]) -> QuerySet[Recording]:
        """Apply the filters."""
        if values.get("call") or values.get("conference_sid"):
            rows = found_otherwise(Recording.objects.all(), self.account.pk)
        return narrowed_recordings(rows, values)


class OneRecording(RecordingRows, FetchView[Recording], DeleteView[Recording]):
    """One recording."""

    body = RecordingBody


class OfCallRows(RecordingRows, OfCall):
    """A call's recordings."""

    body = CallRecordingBody

    def rows(self) -> QuerySet[Recording]:
        """Return them."""
        return Recording.objects.filter(call=self.call())


class CallRecordings(OfCallRows, Recordings, CreateView[Recording]):
    """The list of a call, and new ones of a call in progress."""

    body, filters, parameters = CallRecordingBody, CallRecordingFilters, NewRecording  # type: ignore[assignment]

    def create(self, values: dict[str, Any]) -> Recording:
        """Begin one."""
        spec = recording_of(values, recording_command.SOURCE)
        try:
            return recording_command.start(self.call(), spec, by=asker(self.caller))
        except CommandError as error:
            raise named(error) from error


class OneCallRecording(OfCallRows, FetchView[Recording], UpdateView[Recording], DeleteView[Recording]):
    """One of a call; `Twilio.CURRENT` is the one that runs."""

    parameters = RecordingChange

    def row(self, *, lock: bool = False) -> Recording:
        """Return it; raise `ApiError` 20404."""
        if self.kwargs["sid"] != CURRENT:
            return super().row(lock=lock)
        found = recording_command.current(self.call())
        if found is None:
            raise not_found(self.request)
        return found

    def change(self, row: Recording, values: dict[str, Any]) -> None:
        """Ask the call's engine to pause it, to go on, or to end it; the answer has the status that it will have."""
        row.status = changed(row, values, asker(self.caller))


def changed(row: Recording, values: dict[str, Any], by: str) -> str:
    """Ask for what the values of `RecordingChange` say; return the status that the recording will have."""
    if "status" not in values:
        raise ApiError(20001, "Status: give paused, in-progress or stopped.")
    try:
        return recording_command.change(row, _ACTIONS[values["status"]], by=by)
    except CommandError as error:
        raise named(error) from error

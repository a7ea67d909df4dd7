"""Conferences: listed, fetched, announced to and ended; and their recordings. Source: Twilio's Conference resource."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from calls import room_command
from calls.api.asked import CallRecordingFilters, RecordingChange, narrowed_recordings
from calls.api.bodies import CallRecordingBody
from calls.api.calls import asker
from calls.api.recordings import CURRENT, RecordingRows, changed
from calls.api.rooms import OfConference, refused
from calls.command import CommandError
from calls.ledger import GROWING
from calls.models import Conference, Recording
from calls.room_models import NAME_LENGTH
from routing.api import parameters as of
from routing.api.errors import not_found
from routing.api.paths import uri
from routing.api.rendering import API_VERSION, Body, Computed, Constant, Date, Uri, Words
from routing.api.views import DeleteView, FetchView, ListView, Rows, UpdateView


def _parts(row: Conference) -> dict[str, str]:
    below = {"participants": "Participants", "recordings": "Recordings"}
    return {name: uri(row.account_id, "Conferences", row.sid, part) for name, part in below.items()}


class ConferenceBody(Body):
    """Twilio's keys."""

    account_sid = Words(source="account_id")
    date_created = Date(source="created")
    date_updated = Date(source="updated")
    api_version = Constant(API_VERSION)
    friendly_name = Words()
    region = Words()
    sid = Words()
    status = Words()
    uri = Uri(lambda row: uri(row.account_id, "Conferences", row.sid))
    subresource_uris = Computed(_parts)
    reason_conference_ended = Words(source="reason_ended")
    call_sid_ending_conference = Words(source="ended_by")


class ConferenceChange(of.Parameters):
    """What is to become of a conference."""

    Status = of.Choice(("completed",), source="status")
    AnnounceUrl = of.Url(source="announce_url")
    AnnounceMethod = of.Method(source="announce_method")


class ConferenceFilters(of.Listing):
    """What a list of conferences may be narrowed by."""

    DateCreated = of.When(source="created_on")
    vars()["DateCreated<"] = of.When(source="created_until")
    vars()["DateCreated>"] = of.When(source="created_since")
    DateUpdated = of.When(source="updated_on")
    vars()["DateUpdated<"] = of.When(source="updated_until")
    vars()["DateUpdated>"] = of.When(source="updated_since")
    FriendlyName = of.Text(source="friendly_name", max_length=NAME_LENGTH)
    Status = of.Choice(Conference.Status.values, source="status")


class ConferenceRows(Rows[Conference]):
    """The account's conferences."""

    body = ConferenceBody

    def rows(self) -> QuerySet[Conference]:
        """Return them."""
        return Conference.objects.filter(account=self.account)


class Conferences(ConferenceRows, ListView[Conference]):
    """The list."""

    key, filters = "conferences", ConferenceFilters

    def narrow(self, rows: QuerySet[Conference], values: dict[str, Any]) -> QuerySet[Conference]:
        """Apply the filters."""
        for field in ("created", "updated"):
            on, until, since = (values.get(f"{field}_{part}") for part in ("on", "until", "since"))
            rows = of.in_period(rows, field, on, until, since)
        return rows.filter(**{name: values[name] for name in ("friendly_name", "status") if values.get(name)})


class OneConference(ConferenceRows, FetchView[Conference], UpdateView[Conference]):
    """One conference."""

    parameters = ConferenceChange

    def change(self, row: Conference, values: dict[str, Any]) -> None:
        """Ask its engine to end it, or to let all in it hear something; the answer has the status that it will have."""
        end, announce_url = values.get("status") == "completed", values.get("announce_url", "")
        if not (end or announce_url):
            return
        method = values.get("announce_method", "POST")
        try:
            room_command.change_conference(
                row, end=end, announce_url=announce_url, method=method, by=asker(self.caller)
            )
        except CommandError as error:
            raise refused(error) from error
        row.refresh_from_db()
        if end:
            row.status = Conference.Status.COMPLETED


class ConferenceRecordingBody(CallRecordingBody):
    """Twilio's keys of a recording below its conference."""

    uri = Uri(lambda row: uri(row.account_id, "Conferences", row.conference_sid, "Recordings", row.sid))
    vars()["track"] = None


class OfConferenceRows(RecordingRows, OfConference):
    """A conference's recordings."""

    body = ConferenceRecordingBody

    def rows(self) -> QuerySet[Recording]:
        """Return them."""
        return Recording.objects.filter(account=self.account, conference_sid=self.conference().pk)


class ConferenceRecordings(OfConferenceRows, ListView[Recording]):
    """The list."""

    key, filters, date = "recordings", CallRecordingFilters, "start_time"

    def narrow(self, rows: QuerySet[Recording], values: dict[str, Any]) -> QuerySet[Recording]:
        """Apply the filters."""
        return narrowed_recordings(rows, values)


class OneConferenceRecording(OfConferenceRows, FetchView[Recording], UpdateView[Recording], DeleteView[Recording]):
    """One of them; `Twilio.CURRENT` is the one that runs."""

    parameters = RecordingChange

    def row(self, *, lock: bool = False) -> Recording:
        """Return it; raise `ApiError` 20404."""
        if self.kwargs["sid"] != CURRENT:
            return super().row(lock=lock)
        found = self.rows().filter(status__in=GROWING).order_by("-start_time", "-pk").first()
        if found is None:
            raise not_found(self.request)
        return found

    def change(self, row: Recording, values: dict[str, Any]) -> None:
        """Ask the conference's engine to pause it, to go on, or to end it."""
        row.status = changed(row, values, asker(self.caller))

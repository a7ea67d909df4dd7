"""Participants of conferences: called in, listed, fetched, changed, taken out. Source: Twilio's Participant resource.

Only who is in, or on the way in, is there: nobody is once the conference is over.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from calls import room_command
from calls.api.asked import callback_of, recording_of
from calls.api.calls import asker
from calls.api.participant_parameters import (
    NewParticipant,
    ParticipantChange,
    ParticipantFilters,
    attributes_of,
)
from calls.api.rooms import OfConference, refused
from calls.command import CommandError
from calls.conference_twiml import conference_twiml
from calls.entries import RoomChange
from calls.models import Call, CallPace, Conference, Participant
from calls.place import PlaceError, queue_call
from calls.room_models import NAME_LENGTH
from calls.room_sids import participant_sid
from calls.status import Status
from routing.api.errors import BAD_PARAMETER, ApiError, not_found
from routing.api.paths import uri
from routing.api.rendering import Body, Computed, Date, Uri, Words
from routing.api.views import CreateView, DeleteView, FetchView, ListView, Rows, UpdateView
from routing.models import Account
from routing.sid import is_sid, new_sid

SOURCE = "OutboundAPI"
_COMPLETED = ("completed",)
_STATUS = {
    Status.QUEUED: "queued",
    Status.INITIATED: "connecting",
    Status.RINGING: "ringing",
    Status.IN_PROGRESS: "connecting",  # it is answered and not in yet
    Status.COMPLETED: "complete",
}


def _status(row: Participant) -> str:
    return "connected" if row.joined else _STATUS.get(Status(row.call.status), "failed")


class ParticipantBody(Body):
    """Twilio's keys."""

    account_sid = Words(source="account_id")
    call_sid = Words(source="call_id")
    vars()["label"] = Words()
    call_sid_to_coach = Words()
    coaching = Computed(lambda row: row.coaching)
    conference_sid = Words(source="conference_id")
    date_created = Date(source="created")
    date_updated = Date(source="updated")
    end_conference_on_exit = Computed(lambda row: row.end_on_exit)
    muted = Computed(lambda row: row.muted)
    hold = Computed(lambda row: row.hold)
    start_conference_on_enter = Computed(lambda row: row.start_on_enter)
    status = Computed(_status)
    queue_time = Computed(lambda row: getattr(row, "queue_time", None))
    uri = Uri(lambda row: uri(row.account_id, "Conferences", row.conference_id, "Participants", row.call_id))


class ParticipantRows(Rows[Participant], OfConference):
    """Who is in the conference that the path names, or on the way into it."""

    body = ParticipantBody

    def rows(self) -> QuerySet[Participant]:
        """Return them."""
        return room_command.present(self.conference()).select_related("call", "conference")

    def check_coach(self, values: dict[str, Any], conference: Conference | None) -> str | None:
        """Return the SID of the call to coach, "" for none, None if nothing is said; raise `ApiError`."""
        coach, coaching = values.get("coach", ""), values.get("coaching")
        if coaching is False:
            return ""
        if coaching and not coach:
            raise ApiError(BAD_PARAMETER, "CallSidToCoach: it is required with Coaching=true.")
        if not coach:
            return None
        if conference is None or not room_command.present(conference).filter(call=coach).exists():
            raise ApiError(BAD_PARAMETER, f"CallSidToCoach: call {coach} is not in the conference.")
        return str(coach)


class Participants(ParticipantRows, ListView[Participant], CreateView[Participant]):
    """The list, and calls that are placed into the conference, which begins with the first if it is not there."""

    key, filters, parameters = "participants", ParticipantFilters, NewParticipant

    def create(self, values: dict[str, Any]) -> Participant:
        """Queue a call that goes into the conference when it is answered."""
        Account.objects.select_for_update(no_key=True).get(pk=self.account.pk)  # two must not open the same one
        known = self._conference_to_join()
        coach = self.check_coach(values, known) or ""
        conference = known or self._opened()
        call = self._placed(conference, {**values, "coach": coach or None})
        row = Participant.objects.create(
            sid=participant_sid(conference.pk, call.pk),
            conference=conference,
            call=call,
            account=self.account,
            label=values.get("label", ""),
            muted=values.get("muted", False),
            coaching=bool(coach),
            call_sid_to_coach=coach,
            start_on_enter=values.get("start_on_enter", True),
            end_on_exit=values.get("end_on_exit", False),
        )
        row.queue_time = self._queue_time()  # type: ignore[attr-defined]
        return row

    def _conference_to_join(self) -> Conference | None:
        """Return the conference that the path names, None if it is the name of one that is not there yet."""
        name = self.kwargs["conference"]
        found = self.find_conference()
        if found is not None and found.over:
            raise ApiError(room_command.CONFERENCE_OVER, f"Conference {found.pk} is over.")
        if found is None and is_sid(name, "CF"):
            raise not_found(self.request)
        return found

    def _opened(self) -> Conference:
        name = self.kwargs["conference"].strip()
        if not name or len(name) > NAME_LENGTH or not name.isprintable():
            raise ApiError(BAD_PARAMETER, f"A conference's name has 1 to {NAME_LENGTH} printable characters.")
        status = Conference.Status.INIT
        return Conference.objects.create(sid=new_sid("CF"), account=self.account, friendly_name=name, status=status)

    def _placed(self, conference: Conference, values: dict[str, Any]) -> Call:
        detect = "machine_detection" in values
        events = tuple(values.get("status_events") or _COMPLETED)
        try:
            return queue_call(
                self.account,
                values["to"],
                values.get("caller_id") or values["from_address"],
                twiml=conference_twiml(conference.friendly_name, attributes_of(_with_events(values))),
                timeout=values.get("timeout", 60),
                username=values.get("username", ""),
                password=values.get("password", ""),
                callback=callback_of(values, "status_callback", events),
                time_limit=values.get("time_limit"),
                recording=recording_of(values, SOURCE) if values.get("record") else None,
                machine_detection=detect,
                amd_callback=callback_of(values, "amd_callback", ("amd",)) if detect else None,
                call_reason=values.get("call_reason", ""),
                conference=conference,
            )
        except PlaceError as error:
            raise refused(error) from error
        except ValueError:
            raise ApiError(BAD_PARAMETER, "Label: it has a character that cannot be sent.") from None

    def _queue_time(self) -> str:
        """Return in how many milliseconds it is the call's turn, at the account's pace."""
        pace = CallPace.objects.filter(pk=self.account.pk).first()
        wait = max(timedelta(), pace.next_at - timezone.now()) if pace else timedelta()
        return str(wait // timedelta(milliseconds=1))


def _with_events(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out callbacks and events that are not given, so that the defaults of `<Conference>` count."""
    empty = ("conference_callback", "conference_recording_callback", "conference_events", "label")
    return {name: value for name, value in values.items() if value or name not in empty}


class OneParticipant(ParticipantRows, FetchView[Participant], UpdateView[Participant], DeleteView[Participant]):
    """One of them, by the SID of its call or by its label."""

    parameters = ParticipantChange

    def row(self, *, lock: bool = False) -> Participant:
        """Return the participant that the path names; raise `ApiError` 20404. `lock` it until the transaction ends."""
        name, rows = self.kwargs["participant"], self.rows()
        if lock:
            rows = rows.select_for_update(of=("self",), no_key=True)
        found = (rows.filter(call=name) if is_sid(name, "CA") else rows.filter(label=name)).first()
        if found is None:
            raise not_found(self.request)
        return found

    def change(self, row: Participant, values: dict[str, Any]) -> None:
        """Ask the conference's engine for it; the answer shows the participant as it will be."""
        change = self._change(row, values)
        if change == RoomChange(row.account_id, row.conference_id):
            return
        try:
            room_command.change_participant(row, change, by=asker(self.caller))
        except CommandError as error:
            raise refused(error) from error
        for name, value in (("muted", change.muted), ("hold", change.hold), ("end_on_exit", change.end_on_exit)):
            if value is not None:
                setattr(row, name, value)
        if change.coach is not None:
            row.coaching, row.call_sid_to_coach = bool(change.coach), change.coach

    def _change(self, row: Participant, values: dict[str, Any]) -> RoomChange:
        coach = self.check_coach(values, row.conference)
        if coach == row.call_id:
            raise ApiError(BAD_PARAMETER, "CallSidToCoach: nobody can coach itself.")
        hold = values.get("hold")
        if values.get("hold_url") and not (row.hold if hold is None else hold):
            raise ApiError(BAD_PARAMETER, "HoldUrl: it is heard on hold only: give Hold=true with it.")
        change = RoomChange(
            row.account_id,
            row.conference_id,
            muted=values.get("muted"),
            hold=row.hold if hold is None and values.get("hold_url") else hold,
            announce_url=values.get("announce_url", ""),
            wait_url=values.get("wait_url"),
            beep_on_exit=values.get("beep_on_exit"),
            end_on_exit=values.get("end_on_exit"),
            coach=coach,
        )
        if values.get("hold_url"):
            change = replace(change, hold_url=values["hold_url"], hold_method=values.get("hold_method", "GET"))
        if change.announce_url:
            change = replace(change, announce_method=values.get("announce_method", "POST"))
        return replace(change, wait_method=values["wait_method"]) if values.get("wait_method") else change

    def remove(self, row: Participant) -> None:
        """Take it out of the conference: its call goes on after the `<Dial>`, or ends if nothing follows."""
        try:
            room_command.kick(row, by=asker(self.caller))
        except CommandError as error:
            raise refused(error) from error

"""What somebody asks of conferences and queues: rows here, carried out by the engine that has the room.

Source: Twilio's Conference, Participant and Member resources. As with `command`, the engine looks ten times a second.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from calls import command
from calls.command import WRONG_STATE, CommandError
from calls.entries import RoomChange
from calls.models import Command, Conference, Participant, QueueMember
from calls.status import TERMINAL, Status
from calls.values import room_json, text

CONFERENCE_OVER = 16022
ENDED_VIA_API = "conference-ended-via-api"
_Action = Command.Action


def present(conference: Conference) -> QuerySet[Participant]:
    """Return who is in a conference, and who is on the way into it; nobody once it is over."""
    coming = Q(joined=None) & ~Q(call__status__in=TERMINAL)
    there = Participant.objects.filter(coming | Q(joined__isnull=False), conference=conference, left=None)
    return there.exclude(conference__status=Conference.Status.COMPLETED)


def change_conference(conference: Conference, *, end: bool, announce_url: str, method: str, by: str = "") -> None:
    """Ask for the end of a conference, or that all in it hear a document; raise `CommandError` if it is over."""
    with transaction.atomic():
        Conference.objects.select_for_update(no_key=True).get(pk=conference.pk)
        conference.refresh_from_db()
        if conference.over:
            raise CommandError(CONFERENCE_OVER, f"Conference {conference.pk} is over: it cannot be changed any more.")
        inside = present(conference).filter(joined__isnull=False).order_by("-joined").first()
        if inside is not None:
            change = RoomChange(conference.account_id, conference.pk, end=end)
            if announce_url:
                change = replace(change, announce_url=announce_url, announce_method=method)
            _ask(inside.call_id, _Action.CONFERENCE, change, by)
        elif end:
            _call_off(conference, by)
        else:
            raise CommandError(WRONG_STATE, "AnnounceUrl: nobody is in the conference yet who could hear it.")


def _call_off(conference: Conference, by: str) -> None:
    """End a conference that nobody is in yet, and the calls that are on their way."""
    for one in present(conference):
        command.request(one.call, status=Status.COMPLETED.value, by=by)
    # With an engine it is over when the engine says so: somebody may be coming in this very moment.
    Conference.objects.filter(pk=conference.pk, engine="").update(
        status=Conference.Status.COMPLETED, reason_ended=ENDED_VIA_API, updated=timezone.now()
    )


def change_participant(participant: Participant, change: RoomChange, *, by: str = "") -> None:
    """Ask for a change of one who is in a conference; raise `CommandError` if it has not come in yet."""
    if participant.joined is None:
        raise CommandError(
            WRONG_STATE, f"Call {participant.call_id} is not in the conference yet: wait until it is connected."
        )
    _ask(participant.call_id, _Action.PARTICIPANT, change, by)


def kick(participant: Participant, *, by: str = "") -> None:
    """Ask that one goes out of a conference; the call of one who is still on the way is ended."""
    if participant.joined is None:
        command.request(participant.call, status=Status.COMPLETED.value, by=by)
        return
    conference = participant.conference
    _ask(participant.call_id, _Action.KICK, RoomChange(conference.account_id, conference.pk), by)


def dequeue(member: QueueMember, url: str, method: str, *, by: str = "") -> None:
    """Ask that a call goes on with another document instead of waiting; it is nobody's to ask for twice.

    The row goes at once, so that of two who want the one in front each gets another call.
    """
    change = RoomChange(member.account_id, member.queue_id)
    QueueMember.objects.filter(pk=member.pk).delete()
    _ask(member.call_id, _Action.DEQUEUE, change, by, url=url, method=method)


def _ask(call_sid: str, action: Command.Action, change: RoomChange, by: str, **values: Any) -> None:
    Command.objects.create(
        call_id=call_sid,
        action=action,
        options={"room": room_json(change)},
        requested_by=text(by, 255),
        **values,
    )

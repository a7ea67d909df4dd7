"""Writes what the engine tells of conferences and queues; a part of the ledger, whose rules hold here too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import models
from django.utils import timezone

from calls.entries import ConferenceEntry, MemberEntry, ParticipantEntry, QueueEntry
from calls.models import Conference, Participant, Queue, QueueMember
from calls.room_models import MAX_QUEUE_SIZE, NAME_LENGTH, QUEUE_NAME_LENGTH
from calls.room_sids import participant_sid
from calls.status import TERMINAL
from calls.values import checked_sid, moment, optional_moment, text, whole

RoomEntry = ConferenceEntry | ParticipantEntry | QueueEntry | MemberEntry
LAST_LEFT = "last-participant-left"
_CONFERENCE_COLUMNS = ["account", "friendly_name", "status", "region", "engine", "reason_ended", "ended_by", "updated"]
_PARTICIPANT_COLUMNS = [
    "account", "label", "muted", "hold", "coaching", "call_sid_to_coach", "start_on_enter", "end_on_exit", "updated",
    "joined", "left",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gone:
    """A call that waits in no queue any more."""

    call_id: str


RoomRow = Conference | Participant | Queue | QueueMember | Gone
ROOM_ROWS = (Conference, Participant, Queue, QueueMember, Gone)


def row(entry: RoomEntry) -> RoomRow:
    """Return the row of an entry; raise ValueError if it can be none."""
    match entry:
        case ConferenceEntry():
            return Conference(
                sid=checked_sid(entry.sid, "CF"),
                account_id=text(entry.account_sid, 34),
                friendly_name=text(entry.name, NAME_LENGTH),
                status=Conference.Status(entry.status),
                region=text(entry.region, 32),
                engine=text(entry.engine, 255),
                reason_ended=text(entry.reason_ended, 64),
                ended_by=text(entry.ended_by, 34),
                created=moment(entry.created),
                updated=moment(entry.updated),
            )
        case ParticipantEntry():
            return _participant(entry)
        case QueueEntry():
            return Queue(
                sid=checked_sid(entry.sid, "QU"),
                account_id=text(entry.account_sid, 34),
                friendly_name=text(entry.name, QUEUE_NAME_LENGTH),
                max_size=whole(entry.max_size, MAX_QUEUE_SIZE),
                created=moment(entry.created),
                updated=moment(entry.created),
            )
        case MemberEntry(waiting=False):
            return Gone(checked_sid(entry.call_sid, "CA"))
        case MemberEntry():
            return QueueMember(
                call_id=checked_sid(entry.call_sid, "CA"),
                queue_id=checked_sid(entry.queue_sid, "QU"),
                account_id=text(entry.account_sid, 34),
                engine=text(entry.engine, 255),
                enqueued=moment(entry.enqueued),
            )


def _participant(entry: ParticipantEntry) -> Participant:
    return Participant(
        sid=participant_sid(checked_sid(entry.conference_sid, "CF"), checked_sid(entry.call_sid, "CA")),
        conference_id=entry.conference_sid,
        call_id=entry.call_sid,
        account_id=text(entry.account_sid, 34),
        label=text(entry.label, NAME_LENGTH),
        muted=entry.muted,
        hold=entry.hold,
        coaching=entry.coaching,
        call_sid_to_coach=text(entry.call_sid_to_coach, 34),
        start_on_enter=entry.start_on_enter,
        end_on_exit=entry.end_on_exit,
        created=moment(entry.joined),
        updated=moment(entry.updated),
        joined=moment(entry.joined),
        left=optional_moment(entry.left),
    )


def write(rows: Sequence[RoomRow]) -> None:
    """Write a batch, in a transaction of the caller's: of each room, call and participant the last row counts."""
    if not rows:
        return
    conferences = {one.sid: one for one in rows if isinstance(one, Conference)}
    participants = {one.sid: one for one in rows if isinstance(one, Participant)}
    members = {one.call_id: one for one in rows if isinstance(one, QueueMember | Gone)}
    if conferences:
        _write_conferences(conferences)
    Participant.objects.bulk_create(
        participants.values(), update_conflicts=True, unique_fields=["sid"], update_fields=_PARTICIPANT_COLUMNS
    )
    Queue.objects.bulk_create((one for one in rows if isinstance(one, Queue)), ignore_conflicts=True)
    gone = [call for call, one in members.items() if isinstance(one, Gone)]
    if gone:
        QueueMember.objects.filter(pk__in=gone).delete()
    QueueMember.objects.bulk_create(
        (one for one in members.values() if isinstance(one, QueueMember)),
        update_conflicts=True,
        unique_fields=["call"],
        update_fields=["queue", "account", "engine", "enqueued"],
    )


def _write_conferences(conferences: dict[str, Conference]) -> None:
    alive = [sid for sid, one in conferences.items() if not one.over]
    over = Conference.objects.filter(pk__in=alive, status=Conference.Status.COMPLETED)
    for sid in over.values_list("pk", flat=True) if alive else ():
        del conferences[sid]
    Conference.objects.bulk_create(
        conferences.values(), update_conflicts=True, unique_fields=["sid"], update_fields=_CONFERENCE_COLUMNS
    )


def queues_version() -> tuple[object, ...]:
    """Return what is different after any change of the queues that are kept."""
    found = Queue.objects.aggregate(rows=models.Count("pk"), changed=models.Max("updated"), last=models.Max("pk"))
    return found["rows"], found["changed"], found["last"]


def queues() -> tuple[QueueEntry, ...]:
    """Return the queues that are kept."""
    rows = Queue.objects.values_list("pk", "account_id", "friendly_name", "max_size", "created")
    return tuple(QueueEntry(sid, account, name, size, made.timestamp()) for sid, account, name, size, made in rows)


def close_dead(engine: str, died_at: float) -> None:
    """End the conferences that this engine left open when it died, and let nobody wait in its queues any more."""
    left_open = Conference.objects.filter(engine=engine).exclude(status=Conference.Status.COMPLETED)
    when = moment(died_at)
    Participant.objects.filter(conference__in=left_open, left=None).update(left=when, updated=when)
    left_open.update(status=Conference.Status.COMPLETED, reason_ended=LAST_LEFT, updated=when)
    QueueMember.objects.filter(engine=engine).delete()


def end_unused() -> int:
    """End the conferences that the API made and that no call is on its way to any more; return how many."""
    waiting = Conference.objects.filter(status=Conference.Status.INIT, engine="")
    coming = Participant.objects.exclude(call__status__in=TERMINAL).filter(conference__in=waiting)
    unused = waiting.exclude(pk__in=coming.values("conference"))
    return unused.update(status=Conference.Status.COMPLETED, reason_ended=LAST_LEFT, updated=timezone.now())

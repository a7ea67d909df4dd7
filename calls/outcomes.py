"""What became of a call, in the operator's words: one definition for the dashboard, the call log and its filter.

The words are for calls, not for the legs that a call dialled. A call that went to a ring group is answered when a
member of it has answered: what TwiML says or records after nobody did is no answer.
"""

from __future__ import annotations

from enum import StrEnum

from django.db.models import BooleanField, Case, Exists, OuterRef, Q, Value, When

from calls.models import Call
from calls.status import Direction, Status


class Outcome(StrEnum):
    """What became of a call."""

    ANSWERED = "answered"
    MISSED = "missed"  # it came in, and the caller gave up, or nobody answered, or all were busy
    FAILED = "failed"  # it could not be set up: an error, refused, nobody there to be rung
    UNREACHED = "unreached"  # an outbound call that was not answered
    OPEN = "open"  # it waits or rings


_ANSWERED = (Status.IN_PROGRESS, Status.COMPLETED)
_NOT_ANSWERED = (Status.NO_ANSWER, Status.BUSY, Status.CANCELED)
_WAITING = (Status.QUEUED, Status.INITIATED, Status.RINGING)


def outcome(direction: str, status: str, *, to_group: bool, member_answered: bool) -> Outcome:
    """Return what became of a call with this direction and status."""
    lost = Outcome.MISSED if direction == Direction.INBOUND else Outcome.UNREACHED
    if status == Status.FAILED:
        return Outcome.FAILED
    if status in _NOT_ANSWERED:
        return lost
    if status in _WAITING:
        return Outcome.OPEN
    if member_answered or not to_group:
        return Outcome.ANSWERED
    return Outcome.OPEN if status == Status.IN_PROGRESS else lost


def matching(wanted: Outcome) -> Q:
    """Return the condition that keeps the calls with this outcome: the same as `outcome`, for the database."""
    inbound = Q(direction=Direction.INBOUND)
    group_alone = Q(group__isnull=False) & ~Q(_member_answered())
    lost = Q(status__in=_NOT_ANSWERED) | (Q(status=Status.COMPLETED) & group_alone)
    match wanted:
        case Outcome.ANSWERED:
            return Q(status__in=_ANSWERED) & (Q(group=None) | Q(_member_answered()))
        case Outcome.MISSED:
            return inbound & lost
        case Outcome.FAILED:
            return Q(status=Status.FAILED)
        case Outcome.UNREACHED:
            return ~inbound & lost
        case Outcome.OPEN:
            return Q(status__in=_WAITING) | (Q(status=Status.IN_PROGRESS) & group_alone)


def taken() -> Case:
    """Return the column `member_answered` of `outcome`; it looks only where that decides."""
    return Case(
        When(Q(status__in=_ANSWERED, group__isnull=False), then=_member_answered()),
        default=Value(False),
        output_field=BooleanField(),
    )


def _member_answered() -> Exists:
    legs = Call.objects.order_by().filter(parent=OuterRef("pk"), parent__isnull=False, answer_time__isnull=False)
    return Exists(legs)

"""PURE: call statuses and directions, how one status may follow another, and what a SIP final response means.

Sources: Twilio's Call resource (statuses), design conformance §1.4–1.6. The statuses of SIP codes are data:
`MAPS` names the two tables, a deployment may override single codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Status(StrEnum):
    """Twilio's CallStatus. `initiated` appears only in webhooks and events, never in a stored call at rest."""

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"


class Direction(StrEnum):
    """Twilio's Direction of one leg."""

    INBOUND = "inbound"
    OUTBOUND_API = "outbound-api"
    OUTBOUND_DIAL = "outbound-dial"


TERMINAL = frozenset({Status.COMPLETED, Status.BUSY, Status.FAILED, Status.NO_ANSWER, Status.CANCELED})
_UNANSWERED_ENDS = TERMINAL - {Status.COMPLETED}

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.INITIATED, Status.RINGING, Status.CANCELED, Status.FAILED}),
    Status.INITIATED: frozenset({Status.RINGING, Status.IN_PROGRESS}) | _UNANSWERED_ENDS,
    Status.RINGING: frozenset({Status.IN_PROGRESS}) | TERMINAL,
    Status.IN_PROGRESS: frozenset({Status.COMPLETED}),
    **{status: frozenset() for status in sorted(TERMINAL)},
}


class IllegalTransition(ValueError):
    """A status was asked to follow one that it may not follow."""

    def __init__(self, old: Status, new: Status) -> None:
        super().__init__(f"a call that is {old} cannot become {new}")
        self.old, self.new = old, new


def advance(old: Status, new: Status) -> Status:
    """Return `new` if it may follow `old`; raise `IllegalTransition` otherwise."""
    if new not in TRANSITIONS[old]:
        raise IllegalTransition(old, new)
    return new


# What a final response to our INVITE means. 4xx, 5xx and 6xx that are not named are `failed`.
STRICT_TWILIO: Mapping[int, Status] = {486: Status.BUSY, 600: Status.BUSY, 603: Status.BUSY}
PBX: Mapping[int, Status] = {
    **STRICT_TWILIO,
    408: Status.NO_ANSWER,
    480: Status.NO_ANSWER,
}
MAPS: Mapping[str, Mapping[int, Status]] = {"strict_twilio": STRICT_TWILIO, "pbx": PBX}


def status_from_sip(code: int, table: Mapping[int, Status] = STRICT_TWILIO) -> Status:
    """Return the status of a leg whose INVITE ended with the final response `code` (0: no response at all).

    A 487 that follows our own CANCEL is not looked up here: whoever cancelled knows why (`no-answer` or `canceled`).
    """
    if 200 <= code < 300:
        return Status.COMPLETED
    return table.get(code, Status.FAILED)


def status_table(name: str, overrides: Mapping[str, str] | None = None) -> dict[int, Status]:
    """Return the table `name` of `MAPS` with single codes overridden, e.g. `{"480": "no-answer"}`."""
    return {**MAPS[name], **{int(code): Status(value) for code, value in (overrides or {}).items()}}


# From the strongest to the weakest claim on the result of a parallel dial that nobody won.
_FAILURE_ORDER = (Status.NO_ANSWER, Status.BUSY, Status.FAILED, Status.CANCELED)


def aggregate(results: Iterable[Status]) -> Status:
    """Return the DialCallStatus of legs that rang together and none of which was bridged.

    Twilio does not publish a rule; ours does not depend on who reports last: any leg rang out → no-answer,
    else any busy → busy, else any failed → failed, else canceled.
    """
    seen = set(results)
    return next((status for status in _FAILURE_ORDER if status in seen), Status.FAILED)


def refusal(status: Status, code: int) -> int:
    """Return the final response for a caller whose last `<Dial>` ended so; `code` is that of the leg that decided."""
    named = {Status.BUSY: 486, Status.NO_ANSWER: 480, Status.CANCELED: 487}.get(status)
    # A 401 or 407 asks for credentials of the callee's realm, without its challenge: nothing for this caller.
    return named or (code if code >= 400 and code not in (401, 407) else 480)

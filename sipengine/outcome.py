"""asyncio: how a dial and its legs ended, in words and codes."""

from __future__ import annotations

from dataclasses import dataclass

from calls.status import Status, refusal
from calls.webhooks import DialResult, dial_parameters, recording_url
from sipengine.documents import Done, How
from sipengine.ports import Ended, Headers, NoMedia, ReferDeclined
from sipengine.records import CallLog, Leg

NO_AUDIO = 32014
NO_REFER_URL = 13802
NO_SRTP = 32207
PEER_FAILED = 32011
PEER_REFUSED_CREDENTIALS = 32106


@dataclass(frozen=True, slots=True)
class Referral:
    """A REFER that one of the two who talk sent: whom the other one is to talk to."""

    by_parent: bool
    target: str


@dataclass(frozen=True, slots=True)
class DialOutcome:
    """What a `<Dial>` came to, for the action request and the call log."""

    status: Status
    leg: Leg | None = None
    code: int = 0
    bridged: bool = False
    duration: int | None = None
    headers: Headers = ()
    recording_sid: str = ""
    referral: Referral | None = None


def action_parameters(outcome: DialOutcome, account_sid: str, public_url: str) -> list[tuple[str, str]]:
    """Return what the action URL of a `<Dial>` is told of it."""
    record, sid = outcome.leg.record if outcome.leg is not None else None, outcome.recording_sid
    return dial_parameters(
        DialResult(
            status=outcome.status.value,
            call_sid=record.sid if record else "",
            duration=outcome.duration,
            bridged=outcome.bridged,
            recording_url=recording_url(public_url, account_sid, sid) if sid else "",
            sip_call_id=record.sip_call_id if record else "",
            sip_code=outcome.code,
            headers=outcome.headers,
        )
    )


def after_last_verb(caller: Leg, reason: str, last: DialOutcome | None) -> Done:
    """Return how a call ends whose TwiML is over: one that nobody answered as its last `<Dial>` did."""
    if caller.answered or last is None or last.bridged:
        return Done(603, Status.NO_ANSWER, reason)
    why = f"Nobody answered: {last.leg.record.reason}" if last.leg is not None else reason
    return Done(refusal(last.status, last.code), last.status, why)


def call_reason(parent: Leg, event: Ended, ending: Done, last: DialOutcome | None) -> str:
    """Return one plain sentence on why a call ended as it did; `last` is its last `<Dial>`."""
    if event.error:
        return f"Failed: {event.error}."
    if not parent.answered:
        if event.by_peer:
            gone = "The caller hung up before anybody answered."
            return gone if parent.inbound else f"Not answered (SIP {event.code})."
        return ending.reason or f"Ended before it was answered (SIP {event.code})."
    who = "The caller hung up" if event.by_peer else "Cordboard ended the call"
    if not parent.inbound and event.by_peer:
        who = "The called phone hung up"
    if last is not None and last.bridged and last.leg is not None and ending.how is not How.GONE:
        if not event.by_peer:
            who = {"callee": "The callee hung up", "engine": "The time limit ended the call"}.get(
                last.leg.record.ended_by, "The callee hung up"
            )
        return f"{last.leg.record.to_address} answered and talked for {last.duration} s. {who}."
    if ending.reason and not event.by_peer:
        return ending.reason
    return f"{who}."


def leg_reason(leg: Leg, error: str, bridged: bool) -> str:
    """Return one plain sentence on why a dialled leg ended as it did."""
    record = leg.record
    match leg.status:
        case Status.COMPLETED:
            who = {"callee": "the callee hung up", "caller": "the caller hung up"}.get(
                record.ended_by, "the call ended"
            )
            return f"Answered; {who} after {record.duration} s."
        case Status.BUSY:
            return f"Busy (SIP {record.sip_code})."
        case Status.NO_ANSWER:
            return f"Rang without an answer (SIP {record.sip_code})." if record.ring_time else "No answer in time."
        case Status.CANCELED if bridged:
            return "Another phone answered first."
        case Status.CANCELED:
            who = {"caller": "The caller hung up", "operator": "An operator ended it"}.get(
                record.ended_by, "The call went on elsewhere"
            )
            return f"{who} before it answered."
        case _ if error:
            return f"Could not be called: {error}."
        case _ if record.sip_code == 0:
            return "No response at all: is the phone switched on and its address right?"
        case _:
            return f"Refused with SIP {record.sip_code}."


def error_code(status: Status, code: int, error: str, *, srtp: bool = False) -> int:
    """Return Twilio's error code of a leg that ended like this, 0 if nothing went wrong.

    `srtp` says that the leg was offered encrypted media only, which is what a 488 then is about.
    """
    if status is not Status.FAILED:
        return 0
    if code == 488 and srtp:
        return NO_SRTP
    if code in (401, 403, 407):
        return PEER_REFUSED_CREDENTIALS
    return PEER_FAILED if error or code in (0, 408) or 500 <= code < 600 else 0


def note_silence(log: CallLog, leg: Leg, event: NoMedia) -> None:
    """Tell the operator that no audio comes from a leg."""
    address = leg.record.from_address if leg.inbound else leg.record.to_address
    log.event("no-media", event.time, leg=leg.record.sid, seconds=event.seconds)
    log.note(NO_AUDIO, f"no audio (RTP) came from {address} for {event.seconds:.0f} s", call_sid=leg.record.sid)


def note_declined_refer(log: CallLog, leg: Leg, event: ReferDeclined) -> None:
    """Tell the operator that a phone tried to transfer a call where nothing says what is to become of it."""
    address = leg.record.from_address if leg.inbound else leg.record.to_address
    message = f"{address} asked for a transfer to {event.target}, and there is no referUrl: it was declined (603)"
    log.note(NO_REFER_URL, message, call_sid=leg.record.sid)

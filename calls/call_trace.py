"""The SIP messages of a call and its legs, for the ladder on its page and to be downloaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from calls import lifelines
from calls.harmless import harmless
from calls.ladder import ANOTHER_ADDRESS
from calls.models import Call, CallEvent, SipMessage
from calls.status import TERMINAL

SHOWN = 200
DOWNLOADED = 5000
# Somebody may use the Call-ID of another call: what was long before or after it is none of it.
_BEFORE, _AFTER = timedelta(minutes=1), timedelta(minutes=5)
US = "Cordboard"


@dataclass(frozen=True, slots=True)
class Trace:
    """The ladder, or why there is none (`missing`); `more` says that only the first messages are shown."""

    ladder: lifelines.Ladder | None
    count: int
    more: bool
    missing: str


def trace(call: Call, legs: Sequence[Call], names: Mapping[str, str], events: Iterable[CallEvent]) -> Trace:
    """Return what the page of a call shows of its signalling; `events` tell of addresses that a leg tried before."""
    lines, far = lifelines_of(call, legs, names), _far_ends(call, legs, events)
    rows = list(_messages(call, legs, far)[: SHOWN + 1])
    if not rows:
        return Trace(None, 0, False, _missing(call))
    messages = _placed(rows[:SHOWN], far)
    return Trace(lifelines.ladder(lines, messages, call.start_time), len(messages), len(rows) > SHOWN, "")


def as_text(call: Call, legs: Sequence[Call], names: Mapping[str, str], events: Iterable[CallEvent]) -> str:
    """Return the messages as text; the reason if there are none."""
    far = _far_ends(call, legs, events)
    messages = _placed(_messages(call, legs, far)[:DOWNLOADED], far)
    if not messages:
        return _missing(call) + "\n"
    return lifelines.as_text(lifelines_of(call, legs, names), messages, call.start_time)


def lifelines_of(call: Call, legs: Sequence[Call], names: Mapping[str, str]) -> list[str]:
    """Return the names of the lifelines."""
    first = "Caller" if call.direction == Call.Direction.INBOUND else names.get(call.sid, "Phone")
    return [first, US, *(names[leg.sid] for leg in legs)]


def _far_ends(call: Call, legs: Sequence[Call], events: Iterable[CallEvent]) -> dict[str, int]:
    """Return the lifeline of each SIP Call-ID: of a leg's last INVITE, and of those to addresses that led nowhere."""
    lines = {call.sid: 0} | {leg.sid: number for number, leg in enumerate(legs, lifelines.US + 1)}
    far = {
        str(event.detail["sip_call_id"]): lines[str(event.detail.get("leg"))]
        for event in events
        if event.name == ANOTHER_ADDRESS and event.detail.get("sip_call_id") and event.detail.get("leg") in lines
    }
    return far | {leg.sip_call_id: lines[leg.sid] for leg in (*legs, call) if leg.sip_call_id}


def _messages(call: Call, legs: Sequence[Call], far: Mapping[str, int]) -> QuerySet[SipMessage]:
    last = max([call.end_time or timezone.now(), *(leg.end_time for leg in legs if leg.end_time)])
    rows = SipMessage.objects.filter(sip_call_id__in=list(far), time__range=(call.start_time - _BEFORE, last + _AFTER))
    return rows.order_by("time", "id")


def _placed(rows: Iterable[SipMessage], far: Mapping[str, int]) -> list[lifelines.Message]:
    return [
        lifelines.Message(
            far=far[row.sip_call_id],
            time=row.time,
            sent=row.sent,
            start_line=harmless(row.start_line),
            method=harmless(row.method),
            code=row.code,
            text=harmless(row.text),
        )
        for row in rows
    ]


def _missing(call: Call) -> str:
    days = settings.SIP_TRACE_DAYS
    if call.status not in TERMINAL:
        return "No SIP message has come in yet; they are written a moment after they were sent."
    if call.start_time < timezone.now() - timedelta(days=days):
        return f"The SIP messages of this call are deleted: they are kept for {days:g} days (SIP_TRACE_DAYS)."
    if not settings.SIP_TRACE:
        return "SIP messages are not kept: SIP_TRACE is off."
    return "No SIP messages were kept of this call: SIP_TRACE was off then, or the call never reached the network."

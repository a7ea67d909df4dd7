"""What the page of one call shows, put together with a handful of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree

from django.conf import settings
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import Truncator

from calls import call_quality, call_trace, notes, timeline
from calls.harmless import harmless
from calls.models import Call, CallEvent, Command, Notification, Recording, WebhookDelivery
from calls.status import TERMINAL
from calls.stays import stays
from calls.webhooks import without_secrets
from calls.why import why
from routing.errors import ErrorCode, lookup

TONES = {
    Call.Status.QUEUED: "quiet",
    Call.Status.INITIATED: "quiet",
    Call.Status.RINGING: "busy",
    Call.Status.IN_PROGRESS: "live",
    Call.Status.COMPLETED: "good",
    Call.Status.BUSY: "busy",
    Call.Status.FAILED: "bad",
    Call.Status.NO_ANSWER: "busy",
    Call.Status.CANCELED: "quiet",
    Recording.Status.PROCESSING: "busy",
    Recording.Status.ABSENT: "quiet",
    "error": "bad",
    "warning": "busy",
    WebhookDelivery.State.PENDING: "busy",
    WebhookDelivery.State.DELIVERED: "good",
}
ARROWS = {
    Call.Direction.INBOUND: ("call_received", "inbound"),
    Call.Direction.OUTBOUND_API: ("call_made", "outbound, asked for by an operator"),
    Call.Direction.OUTBOUND_DIAL: ("call_made", "outbound, dialled by a call"),
}

DELIVERIES_SHOWN = 200
EVENTS_SHOWN = 2000
NAME_SHOWN = 40  # characters
TWIML_SHOWN = 50
COUNTED_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Bar:
    """When a leg rang and talked, as percentages of the whole call."""

    ring_left: float
    ring_width: float
    talk_left: float
    talk_width: float


@dataclass(frozen=True, slots=True)
class LegRow:
    """A leg as the table of legs shows it; `name` is leg 1 (Alice)."""

    call: Call
    name: str
    tone: str
    ring: str
    talk: str
    bar: Bar


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A callback as the page shows it: `when` counts from the begin of the call, `of` is the address of its leg."""

    delivery: WebhookDelivery
    when: str
    of: str
    url: str
    tone: str
    hint: str


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A change that somebody asked for; `of` is the address of the leg, `url` may be shown."""

    command: Command
    of: str
    url: str


@dataclass(frozen=True, slots=True)
class Document:
    """A TwiML document with the request that got it; `of` says what that was for, as the action URL."""

    of: str
    method: str
    url: str
    parameters: tuple[tuple[str, str], ...]
    status: str
    milliseconds: str
    twiml: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A notification with what the catalogue says about its code."""

    note: Notification
    known: ErrorCode
    tone: str
    message: str
    body: str


def readable(twiml: str) -> str:
    """Return a TwiML document indented; what is no XML, was cut, or declares entities, as it is."""
    if "<!" in twiml:
        return twiml
    try:
        root = ElementTree.fromstring(twiml)
    except ElementTree.ParseError:
        return twiml
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def clock(seconds: float | None) -> str:
    """Return a length of time as people write it: 4.2 s, 1:05, 1:00:00; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def day(time: datetime) -> str:
    """Return the date of a moment, in the operator's time zone."""
    return date_format(timezone.localtime(time), "j M Y")


def time_of_day(time: datetime) -> str:
    """Return the time of day of a moment, in the operator's time zone."""
    return date_format(timezone.localtime(time), "H:i:s")


def host_of(address: str) -> str:
    """Return the host part of a SIP address, for a quiet second line; empty for a bare number."""
    return address.rpartition("@")[2] if "@" in address else ""


def file_size(size: int | None) -> str:
    """Return a number of bytes as people read it."""
    if size is None:
        return "–"
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"


def context(call: Call) -> dict[str, Any]:
    """Return the variables of templates/admin/calls/call/change_form.html."""
    now = timezone.now()
    legs = legs_of(call)
    names = names_of(call, legs)
    events = list(call.events.order_by("time", "number")[:EVENTS_SHOWN])
    sids = [call.sid, *(leg.sid for leg in legs)]
    told = _deliveries(sids, call.start_time, names)
    recordings: QuerySet[Recording] = Recording.objects.filter(call__in=[call.sid, call.parent_id or call.sid])
    found = Notification.objects.filter(call__in=sids).order_by("time")[:EVENTS_SHOWN]
    commands = list(Command.objects.filter(call__in=sids).order_by("pk")[:EVENTS_SHOWN])
    return {
        "call": call,
        "tone": TONES[Call.Status(call.status)],
        "arrow": ARROWS[Call.Direction(call.direction)],
        "live": call.status not in TERMINAL,
        "why": why(call, sentence(call, legs), legs, names, events, commands),
        "facts": facts(call),
        "legs": [_leg_row(leg, names[leg.sid], call, now) for leg in legs],
        "lines": _lines(call, events, told, names),
        "kinds": timeline.KINDS,
        "documents": _documents(events),
        "recordings": [(row, clock(row.duration)) for row in recordings.order_by("start_time")],
        "problems": [
            Problem(note, lookup(note.code), TONES[note.level], harmless(note.message), harmless(note.response_body))
            for note in found
        ],
        "deliveries": told[:DELIVERIES_SHOWN],
        "more_deliveries": len(told) > DELIVERIES_SHOWN,
        "commands": [
            CommandRow(row, names.get(row.call_id, row.call_id), harmless(without_secrets(row.url))) for row in commands
        ],
        "stays": [(stay, clock(stay.seconds)) for stay in stays(events)],
        "trace": call_trace.trace(call, legs, names, events),
        "qualities": call_quality.qualities([call, *legs], names),
        "notes": list(call.operator_notes.order_by("created", "pk")),
        "tags": list(call.tags.select_related("tag").order_by("tag__name")),
        "tag_suggestions": notes.suggestions(call.account_id),
    }


def legs_of(call: Call) -> list[Call]:
    """Return the legs that a call dialled, in the order in which they are numbered."""
    return list(call.legs.select_related("endpoint").order_by("start_time", "sid"))


def names_of(call: Call, legs: Sequence[Call]) -> dict[str, str]:
    """Return what the page calls each leg, by SID: leg 1 (Alice); the call's own leg by who is at its other end."""
    own = "the caller" if call.direction == Call.Direction.INBOUND else f"the phone ({_short(call)})"
    return {call.sid: own} | {leg.sid: f"leg {number} ({_short(leg)})" for number, leg in enumerate(legs, 1)}


def _short(leg: Call) -> str:
    return Truncator(harmless(str(leg.endpoint or leg.to_user or leg.to_address))).chars(NAME_SHOWN)


def _lines(
    call: Call, events: Sequence[CallEvent], told: Sequence[DeliveryRow], names: Mapping[str, str]
) -> list[timeline.Line]:
    """Return events and webhooks as one timeline."""
    webhooks = [
        timeline.told(row.delivery, call.start_time, names, row.url, _page("calls_webhookdelivery", row.delivery.sid))
        for row in told[:DELIVERIES_SHOWN]
    ]
    return sorted([*timeline.lines(events, call.start_time, names), *webhooks], key=lambda line: line.time)


def _documents(events: Sequence[CallEvent]) -> list[Document]:
    found, asked = [], {}
    for event, purpose in timeline.with_purposes(events):
        if event.name == "twiml.request":
            asked = event.detail
        elif event.name == "twiml.response" and event.detail.get("body"):
            detail = event.detail
            found.append(
                Document(
                    of=purpose or "the voice URL",
                    method=harmless(str(asked.get("method", ""))),
                    url=harmless(str(detail.get("url") or asked.get("url", ""))),
                    parameters=_parameters(asked.get("parameters")),
                    status=str(detail.get("status", "")),
                    milliseconds=str(detail.get("ms", "")),
                    twiml=harmless(readable(str(detail["body"]))),
                )
            )
    return found[:TWIML_SHOWN]


def _parameters(given: Any) -> tuple[tuple[str, str], ...]:
    """Return pairs of name and value as they may be shown; keys that a caller pressed may be a PIN."""
    pairs = [(str(pair[0]), str(pair[1])) for pair in given or () if len(pair) == 2]
    hidden = set() if settings.SHOW_DTMF else {"Digits"}
    return tuple((harmless(name), "•" * len(value) if name in hidden else harmless(value)) for name, value in pairs)


def sentence(call: Call, legs: Sequence[Call]) -> str:
    """Return what became of the call, in one sentence: the engine's reason, or what can be said while it goes on."""
    if call.reason:
        return call.reason
    winner = next((leg for leg in legs if leg.answer_time), None)
    who = str(winner.endpoint or winner.to_address) if winner else ""
    match Call.Status(call.status):
        case Call.Status.QUEUED:
            return (
                f"Waiting for an engine of region {call.region} to place it; if it stays so, none of them is running."
            )
        case Call.Status.INITIATED | Call.Status.RINGING:
            return f"Ringing{f' {len(legs)} phones' if len(legs) > 1 else ''}; not answered yet."
        case Call.Status.IN_PROGRESS:
            return f"Talking with {who}." if who else "Answered; the call is going on."
        case Call.Status.COMPLETED:
            talk = clock(winner.talk_seconds if winner else call.talk_seconds)
            return f"{who} answered; they talked for {talk}." if winner else f"The call took place; it lasted {talk}."
        case _:
            return f"The call ended: {call.get_status_display()}{f', SIP {call.sip_code}' if call.sip_code else ''}."


def facts(call: Call) -> list[tuple[str, str, str]]:
    """Return label, value and link of what is known of the call; unknown facts are left out."""
    rows: list[tuple[str, object, str]] = [
        ("Started", _moment(call.start_time), ""),
        ("Rang", clock(call.ring_seconds) if call.answer_time or call.end_time else "", ""),
        ("Talked", clock(call.talk_seconds) if call.talk_seconds is not None else "", ""),
        ("Ended", _moment(call.end_time), ""),
        ("Ended by", call.ended_by, ""),
        ("Error", f"{call.error_code} – {lookup(call.error_code).text}" if call.error_code else "", ""),
        ("Ring group", call.group, _page("routing_ringgroup", call.group_id)),
        ("Endpoint", call.endpoint, _page("routing_endpoint", call.endpoint_id)),
        ("Route", call.route, _page("routing_route", call.route_id)),
        ("SIP domain", call.domain, _page("routing_sipdomain", call.domain_id)),
        ("SIP username", call.sip_username, ""),
        ("Source address", call.source_ip, ""),
        ("Region", call.region, ""),
        ("Engine", call.engine, ""),
        ("SIP Call-ID", call.sip_call_id, ""),
        ("Call SID", call.sid, ""),
        ("Account", call.account_id, ""),
    ]
    return [(label, harmless(str(value)), link) for label, value, link in rows if value]


def _deliveries(sids: Sequence[str], start: datetime, addresses: Mapping[str, str]) -> list[DeliveryRow]:
    """Return the first callbacks of a call and its legs, and one more than is shown."""
    rows = WebhookDelivery.objects.filter(call__in=sids).defer("parameters", "response_body")
    return [
        DeliveryRow(
            delivery=row,
            when=_since(start, row.sent_at or row.due or row.time),
            of=addresses.get(row.call_id or "", ""),
            url=harmless(without_secrets(row.url)),
            tone=TONES[WebhookDelivery.State(row.state)],
            hint=lookup(row.error_code).hint if row.error_code else "",
        )
        for row in rows.order_by("time", "attempt")[: DELIVERIES_SHOWN + 1]
    ]


def _since(start: datetime, time: datetime) -> str:
    """Return a time as the timeline counts it; a retry long after the call, as date and time of day."""
    seconds = (time - start).total_seconds()
    return f"{seconds:+.3f} s" if abs(seconds) < COUNTED_SECONDS else _moment(time)


def _page(model: str, pk: object) -> str:
    return reverse(f"admin:{model}_change", args=[pk]) if pk else ""


def _moment(time: datetime | None) -> str:
    return f"{day(time)}, {time_of_day(time)}" if time else ""


def _leg_row(leg: Call, name: str, parent: Call, now: datetime) -> LegRow:
    return LegRow(
        call=leg,
        name=name[:1].upper() + name[1:],
        tone=TONES[Call.Status(leg.status)],
        ring=clock(leg.ring_seconds),
        talk=clock(leg.talk_seconds),
        bar=_bar(leg, parent.start_time, parent.end_time or now, now),
    )


def _bar(leg: Call, start: datetime, end: datetime, now: datetime) -> Bar:
    whole = max(end - start, timedelta(milliseconds=1))

    def at(time: datetime) -> float:
        return round(min(100.0, max(0.0, 100 * ((time - start) / whole))), 2)

    placed, over = at(leg.start_time), at(leg.end_time or now)
    answered = at(leg.answer_time) if leg.answer_time else over
    return Bar(placed, round(answered - placed, 2), answered, round(over - answered, 2))

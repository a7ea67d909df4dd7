"""The timeline of a call in plain words: one table from the engine's event names to sentences, and what was told of it.

Events and webhooks become lines of one kind, in the order of time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from calls.harmless import harmless
from calls.models import CallEvent, WebhookDelivery

_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_KEY = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Wording:
    """How an event reads: `{key}` is one of its details; a part in brackets is left out if its details are missing."""

    text: str
    icon: str
    tone: str = ""


# Icons are names of Material Symbols; tones are classes of calls.css.
WORDINGS: Mapping[str, Wording] = {
    "invite": Wording("A call came in[ from {source}][ for {to}]", "call_received"),
    "admitted": Wording("Let in[ as {username}][ by SIP domain {domain}]", "verified_user"),
    "refused": Wording("Refused[ with {status}][ with {code}][: {reason}]", "block", "bad"),
    "answered": Wording("The call was answered", "call", "good"),
    "twiml.request": Wording("Asked[ {purpose}] for TwiML[ at {url}][ by {method}]", "upload"),
    "twiml.response": Wording(
        "TwiML received[ from {purpose}][: {status}][, {bytes} bytes][ in {ms} ms][. {why}]", "download"
    ),
    "action.answered": Wording(
        "The action URL was told, and answered[ {status}][ in {ms} ms]; the call was over", "task_alt"
    ),
    "twiml.failed": Wording("No usable TwiML[ from {url}][: {reason}][ ({code})]", "error", "bad"),
    "verb": Wording("Began[ <{name}>][ <{verb}>]", "code"),
    "dial": Wording("Began to dial[, legs: {legs}]", "dialpad"),
    "dial.finished": Wording("Dialling ended[: {status}][, SIP {code}][, {leg}]", "call_end"),
    "leg.placed": Wording("INVITE sent to {leg}", "call_made"),
    "leg.next-address": Wording("{leg} is tried at its next address[ after SIP {code}]", "alt_route"),
    "leg.ringing": Wording("{leg} rings[ ({code})]", "ring_volume"),
    "leg.early-media": Wording("{leg} sends sound before answering[ ({code})]", "graphic_eq"),
    "leg.answered": Wording("{leg} answered[ ({code})]", "call", "good"),
    "leg.ended": Wording("{leg} ended[: {status}][, SIP {code}][ – {reason}]", "call_end"),
    "bridged": Wording("Connected[ to {leg}]", "link", "good"),
    "recording.started": Wording("Recording began", "radio_button_checked"),
    "recording.paused": Wording("Recording paused", "pause_circle"),
    "recording.resumed": Wording("Recording went on", "radio_button_checked"),
    "recording.ended": Wording("Recording ended[ after {seconds} s]", "stop_circle"),
    "say": Wording("Read aloud[: “{text}”]", "record_voice_over"),
    "play": Wording("Played[ {url}]", "play_arrow"),
    "pause": Wording("Waited[ {length} s]", "pause"),
    "redirect": Wording("Went on[ at {url}]", "redo"),
    "redirected": Wording("Taken out of the call that dialled it, to go on with another document[: {url}]", "redo"),
    "command": Wording("A change was asked for[ by {by}][: {what}]", "person"),
    "digit": Wording("Key [{digit} ]pressed", "dialpad"),
    "digits.sent": Wording("Keys sent[ to {leg}][: {count}]", "dialpad"),
    "gather": Wording("Waits for keys[, {digits} of them][, for {timeout} s]", "keyboard"),
    "gather.done": Wording("Keys pressed[: {count}][, ended by {finished_on}]", "dialpad"),
    "record.started": Wording("Began to record the caller[, for {max_length} s at most]", "radio_button_checked"),
    "record.done": Wording("The caller was recorded[ for {seconds} s][, ended by {finished_on}]", "stop_circle"),
    "screening": Wording("{leg} is asked whether to take the call[, with TwiML of {url}]", "contact_support"),
    "screening.accepted": Wording("{leg} takes the call", "how_to_reg", "good"),
    "screening.declined": Wording("{leg} does not take the call[ – {reason}]", "person_off"),
    "leg.held": Wording("{leg} put the other side on hold", "pause_circle"),
    "leg.resumed": Wording("{leg} took the other side off hold", "play_circle"),
    "refer": Wording("{leg} asks for a transfer[ to {target}]", "phone_forwarded"),
    "refer.refused": Wording("{leg} asked for a transfer[ to {target}]: refused[ – {reason}]", "phone_disabled", "bad"),
    "refer.sent": Wording("The phone was asked to call[ {target}] instead", "phone_forwarded"),
    "refer.done": Wording("The transfer was answered[ with {code}][, its call with {notify_code}]", "phone_forwarded"),
    "enqueue": Wording("Waits in the queue[ {queue}]", "hourglass_top"),
    "queue.left": Wording("Left the queue[ {queue}][ after {seconds} s][: {result}]", "hourglass_bottom"),
    "conference.join": Wording("Joined the conference[ {name}][ {conference}][, {participants} are in it]", "groups"),
    "conference.leave": Wording(
        "Left the conference[ {name}][ {conference}][, {participants} are still in it]", "logout"
    ),
    "no-media": Wording("Nothing has come from {leg}[ for {seconds} s]: no sound", "volume_off", "bad"),
    "ended": Wording("The call ended[: {status}][ with SIP {code}][ by the {by}][ – {reason}]", "call_end"),
    "engine.restarted": Wording("The engine was restarted; this call died with it", "restart_alt", "bad"),
}
_SHOWN_ELSEWHERE = {"body", "recording", "parameters"}
_PLACED = {"leg.placed", "leg.next-address"}  # events that say the address of the leg too
KINDS = {
    "sip": "SIP",
    "twiml": "TwiML",
    "media": "Media",
    "webhooks": "Webhooks",
}  # what can be filtered, and its label
_KIND_OF = {
    "sip": ("invite", "admitted", "refused", "answered", "leg.", "refer", "ended"),
    "twiml": ("twiml.", "action.", "verb", "redirect", "dial"),
    "media": (
        "bridged", "recording.", "record.", "say", "play", "pause", "digit", "gather", "conference.", "enqueue",
        "queue.", "no-media", "screening",
    ),
}  # fmt: skip
# What the next request for TwiML is for, after an event.
_PURPOSES = {
    "dial.finished": "the action URL",
    "gather.done": "the action URL",
    "record.done": "the action URL",
    "queue.left": "the action URL",
    "refer.done": "the action URL",
    "redirect": "the URL of the redirect",
    "redirected": "the URL of the redirect",
    "command": "the URL that was asked for",
    "screening": "the screening URL",
    "twiml.failed": "the fallback URL",
}
_ZERO_IS_NONE = {"code", "notify_code", "digits"}
_KEYS_PRESSED = {"digit", "digits"}  # as text; they may be somebody's PIN
_KEY_OF_PIN = re.compile(r"[0-9A-Da-d]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline: `offset` is seconds since the call began, `rest` the details the text does not say."""

    offset: float
    time: datetime
    text: str
    icon: str
    tone: str
    rest: tuple[tuple[str, str], ...]
    kind: str = ""  # of `KINDS`; blank: always shown
    link: str = ""


def lines(events: Iterable[CallEvent], start: datetime, addresses: Mapping[str, str]) -> list[Line]:
    """Return the timeline; `addresses` are those of the legs, or their names, by SID."""
    return [_line(event, start, addresses, purpose) for event, purpose in with_purposes(events)]


def with_purposes(events: Iterable[CallEvent]) -> Iterator[tuple[CallEvent, str]]:
    """Yield events with what a request for TwiML, or its answer, was for; "" for other events, and where unknown."""
    first, coming, asked = "the voice URL", "", ""
    for event in events:
        match event.name:
            case "twiml.request":
                asked, first, coming = coming or first, "", ""
                yield event, asked
            case "twiml.response":
                yield event, asked
            case name:
                coming = _PURPOSES.get(name, "" if name == "verb" else coming)
                yield event, ""


def kind_of(name: str) -> str:
    """Return which of `KINDS` an event is; "" for those that are always shown."""
    return next((kind for kind, names in _KIND_OF.items() if name.startswith(names)), "")


def told(delivery: WebhookDelivery, start: datetime, addresses: Mapping[str, str], url: str, link: str) -> Line:
    """Return the line of a webhook: who was told what, and what came of it."""
    of = addresses.get(delivery.call_id or "", "")
    what = harmless(f"{delivery.topic} callback “{delivery.event}”") + (f" of {of}" if of else "")
    match WebhookDelivery.State(delivery.state):
        case WebhookDelivery.State.DELIVERED:
            text, tone = f"Told {url}: {what}, answered {delivery.response_status}", ""
        case WebhookDelivery.State.FAILED:
            answer = str(delivery.response_status or "") or harmless(delivery.error) or "no answer"
            text, tone = f"Could not tell {url}: {what}, {answer}", "bad"
        case _:
            text, tone = f"To be told to {url}: {what}", ""
    if delivery.milliseconds is not None:
        text += f" in {delivery.milliseconds} ms"
    if delivery.attempt > 1:
        text += f" (attempt {delivery.attempt})"
    time = delivery.sent_at or delivery.due or delivery.time
    return Line((time - start).total_seconds(), time, text, "webhook", tone, (), "webhooks", link)


def _line(event: CallEvent, start: datetime, addresses: Mapping[str, str], purpose: str) -> Line:
    detail = {key: _said(key, value, addresses) for key, value in event.detail.items() if key not in _SHOWN_ELSEWHERE}
    if purpose:
        detail["purpose"] = purpose
        if event.name == "twiml.response":
            detail.pop("url", None)  # the line of the request says it
    named = "leg" in detail and event.name not in _PLACED
    if "to" in detail and (named or detail.get("leg") == detail["to"]):
        del detail["to"]
    if detail.get("code") and f"SIP {detail['code']}" in detail.get("reason", ""):
        del detail["reason"]
    wording = WORDINGS.get(event.name) or Wording("", "more_horiz")
    text, used = _filled(wording.text, detail) if wording.text else (harmless(event.name), set())
    if text.startswith("leg "):
        text = f"L{text[1:]}"
    rest = tuple((key, value) for key, value in detail.items() if key not in used and value != "")
    offset = (event.time - start).total_seconds()
    return Line(offset, event.time, text, wording.icon, wording.tone, rest, kind_of(event.name))


def _said(key: str, value: Any, addresses: Mapping[str, str]) -> str:
    if key in _ZERO_IS_NONE and value == 0:
        return ""
    text = harmless(_plain(value, addresses))
    hidden = key in _KEYS_PRESSED and isinstance(value, str) and not settings.SHOW_DTMF
    return _KEY_OF_PIN.sub("•", text) if hidden else text


def _plain(value: Any, addresses: Mapping[str, str]) -> str:
    match value:
        case str():
            return addresses.get(value, value)
        case bool():
            return "yes" if value else "no"
        case None:
            return ""
        case float():
            return f"{value:g}"
        case list():
            return ", ".join(_plain(item, addresses) for item in value)
        case _:
            return str(value)


def _filled(template: str, detail: Mapping[str, str]) -> tuple[str, set[str]]:
    """Return the sentence and the keys that it says; an optional part whose details are missing or empty is dropped."""
    used: set[str] = set()

    def optional(match: re.Match[str]) -> str:
        return match[1] if all(detail.get(key) for key in _KEY.findall(match[1])) else ""

    def value(match: re.Match[str]) -> str:
        used.add(match[1])
        return detail.get(match[1]) or "a leg"

    return _KEY.sub(value, _OPTIONAL.sub(optional, template)), used

"""The timeline of a call in plain words: one table from the engine's event names to sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from calls.models import CallEvent

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
    "twiml.request": Wording("Asked for TwiML[ at {url}][ by {method}]", "upload"),
    "twiml.response": Wording("TwiML received[: {status}][, {bytes} bytes][ in {ms} ms]", "download"),
    "twiml.failed": Wording("No usable TwiML[ from {url}][: {reason}][ ({code})]", "error", "bad"),
    "verb": Wording("Began[ <{name}>][ <{verb}>]", "code"),
    "dial": Wording("Began to dial[, legs: {legs}]", "dialpad"),
    "dial.finished": Wording("Dialling ended[: {status}][, SIP {code}][, {leg}]", "call_end"),
    "leg.placed": Wording("INVITE sent to {leg}", "call_made"),
    "leg.ringing": Wording("{leg} rings[ ({code})]", "ring_volume"),
    "leg.early-media": Wording("{leg} sends sound before answering[ ({code})]", "graphic_eq"),
    "leg.answered": Wording("{leg} answered[ ({code})]", "call", "good"),
    "leg.ended": Wording("{leg} ended[: {status}][, SIP {code}][ – {reason}]", "call_end"),
    "bridged": Wording("Connected[ to {leg}]", "link", "good"),
    "recording.started": Wording("Recording began", "radio_button_checked"),
    "recording.ended": Wording("Recording ended[ after {seconds} s]", "stop_circle"),
    "say": Wording("Read aloud[: “{text}”]", "record_voice_over"),
    "play": Wording("Played[ {url}]", "play_arrow"),
    "redirect": Wording("Went on[ at {url}]", "redo"),
    "digit": Wording("Key [{digit} ]pressed", "dialpad"),
    "ended": Wording("The call ended[: {status}][ with SIP {code}][ by the {by}][ – {reason}]", "call_end"),
    "engine.restarted": Wording("The engine was restarted; this call died with it", "restart_alt", "bad"),
}
_SHOWN_ELSEWHERE = {"body", "recording"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline: `offset` is seconds since the call began, `rest` the details the text does not say."""

    offset: float
    time: datetime
    text: str
    icon: str
    tone: str
    rest: tuple[tuple[str, str], ...]


def lines(events: Iterable[CallEvent], start: datetime, addresses: Mapping[str, str]) -> list[Line]:
    """Return the timeline; `addresses` are those of the legs, by SID, to name them by."""
    return [_line(event, start, addresses) for event in events]


def _line(event: CallEvent, start: datetime, addresses: Mapping[str, str]) -> Line:
    detail = {key: _plain(value, addresses) for key, value in event.detail.items() if key not in _SHOWN_ELSEWHERE}
    if "to" in detail and detail.get("leg") == detail["to"]:
        del detail["to"]
    wording = WORDINGS.get(event.name, Wording(event.name, "more_horiz"))
    text, used = _filled(wording.text, detail)
    rest = tuple((key, value) for key, value in detail.items() if key not in used and value != "")
    offset = (event.time - start).total_seconds()
    return Line(offset, event.time, text, wording.icon, wording.tone, rest)


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

"""Why a call ended as it did and who decided, in a sentence or two; for one in progress, what is decided next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calls.harmless import harmless
from calls.models import Call, CallEvent, Command
from calls.status import TERMINAL, Status

NAMED = 4  # legs that the sentence names
_ENDS = {"hangup": "<Hangup>", "reject": "<Reject>"}
_SIP_CALLED = {Status.BUSY: "was busy", Status.NO_ANSWER: "did not answer", Status.FAILED: "could not be reached"}


@dataclass(frozen=True, slots=True)
class Why:
    """`legs` says what became of those that did not answer; `decided` names who decided, "" while nobody has."""

    sentence: str
    legs: str
    decided: str


def why(
    call: Call,
    sentence: str,
    legs: Sequence[Call],
    names: Mapping[str, str],
    events: Sequence[CallEvent],
    commands: Sequence[Command],
) -> Why:
    """Return why; `sentence` is the reason that the log keeps, `names` are those of legs by SID."""
    answered = any(leg.answer_time for leg in legs)
    summary = "" if answered or not legs else _summary(call, legs, names)
    for leg in sorted(legs, key=lambda leg: -len(leg.to_address)):  # the engine knows addresses, people know names
        if leg.to_address:
            sentence = sentence.replace(leg.to_address, names[leg.sid])
    return Why(_first_up(harmless(sentence)), summary, _decided(call, legs, names, events, commands))


def _summary(call: Call, legs: Sequence[Call], names: Mapping[str, str]) -> str:
    said = [text for leg in legs if (text := _became(leg, names))]
    if not said:
        return ""
    more = f" and {len(said) - NAMED} more" if len(said) > NAMED else ""
    return ", ".join(said[:NAMED]) + more + ("." if call.status in TERMINAL else " so far.")


def _became(leg: Call, names: Mapping[str, str]) -> str:
    text = _SIP_CALLED.get(Status(leg.status))
    if text is None:
        return ""
    rang = f" in {leg.ring_seconds:.0f} s" if leg.status == Status.NO_ANSWER and leg.ring_seconds else ""
    return f"{_first_up(names[leg.sid])} {text}{rang}" + (f" (SIP {leg.sip_code})" if leg.sip_code else "")


def _decided(
    call: Call,
    legs: Sequence[Call],
    names: Mapping[str, str],
    events: Sequence[CallEvent],
    commands: Sequence[Command],
) -> str:
    if call.status not in TERMINAL:
        return ""
    ended = next((row for row in reversed(commands) if row.ok and row.status and row.call_id == call.sid), None)
    if call.ended_by == "operator" or (ended is not None and call.ended_by in ("", "engine")):
        by = harmless(ended.requested_by) if ended is not None else ""
        return f"an operator{f' ({by})' if by else ''}"
    match call.ended_by:
        case "caller":
            return "the caller"
        case "callee":
            winner = next((leg for leg in reversed(legs) if leg.answer_time), None)
            return f"the callee{f', {names[winner.sid]}' if winner else ''}"
        case _:
            return _engine_because(call, legs, events)


def _engine_because(call: Call, legs: Sequence[Call], events: Sequence[CallEvent]) -> str:
    """Return whose decision it was that the engine carried out: a rule, the TwiML, the phones, or its own."""
    last = [event.name for event in events]
    if "engine.restarted" in last:
        return "the engine: it was restarted"
    if "refused" in last:
        return "a rule: the call was not let in"
    verb = next((str(event.detail.get("verb", "")) for event in reversed(events) if event.name == "verb"), "")
    if tag := _ENDS.get(verb.strip("<>").lower()):
        return f"the TwiML: {tag}"
    if "twiml.failed" in last and not legs:
        return "the web application: no usable TwiML"
    if legs and not any(leg.answer_time for leg in legs):
        return "the phones that were rung: none answered"
    if call.error_code:
        return f"the engine: error {call.error_code}"
    if call.ended_by == "engine":
        return "the TwiML: it was over" if "verb" in last or "dial.finished" in last else "the engine"
    return ""


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]

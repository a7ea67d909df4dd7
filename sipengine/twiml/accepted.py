"""PURE: what TwiML's elements and attributes accept, as data: converters, defaults, error codes, support levels.

docs/twiml.md prints these tables and a test compares them. Sources: Twilio's voice TwiML pages and its error
dictionary; design conformance §1.2, 1.3, 1.12. An attribute whose wrong values have no code at Twilio has 12200.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from sipengine.tones import RING_TONES
from sipengine.twiml.verbs import DialRecord

MAX_LOOP = 1000
MAX_CALLER_ID = 64
MAX_CALL_REASON = 50


class Support(StrEnum):
    """How much of an element or attribute works. Only *not yet* is remarked upon."""

    SUPPORTED = "supported"
    IGNORED = "accepted and ignored"
    NOT_YET = "not yet"


class BadValue(ValueError):
    """An attribute's value is wrong; `use` is what stands in (None: the default), `code` overrides the attribute's."""

    def __init__(self, expected: str, use: object = None, code: int | None = None) -> None:
        super().__init__(expected)
        self.use, self.code = use, code


@dataclass(frozen=True, slots=True)
class Attribute:
    """How to read an attribute: converter, value when absent or wrong, the code of a wrong value, support level.

    An attribute that is not `kept` has no field in the verb: nothing will ever act on it, or nothing can yet.
    """

    convert: Callable[[str], object]
    default: object
    code: int = 12200
    support: Support = Support.SUPPORTED
    kept: bool = True


def _verbatim(value: str) -> str | None:
    return value or None


def url(value: str) -> str | None:
    """Take a relative or absolute http(s) URL; empty text counts as absent."""
    value = value.strip()
    if not value:
        return None
    try:
        parts = urlsplit(value)
    except ValueError as error:
        raise BadValue(f"must be a URL ({error})") from None
    if re.search(r"[\s\x00-\x1f]", value):
        raise BadValue("must be a URL without white space")
    if parts.scheme not in ("", "http", "https"):
        raise BadValue("must be a relative URL, or one that starts with http:// or https://")
    if (parts.scheme or parts.netloc) and not parts.hostname:
        raise BadValue("must have a host name")
    return value


def _callback_url(value: str) -> str | None:
    """Take a URL for status callbacks; the host name of an absolute one has no underscores (Twilio's `<Sip>` page)."""
    address = url(value)
    if address and "_" in urlsplit(address).netloc.rpartition("@")[2]:
        raise BadValue("must have a host name without underscores")
    return address


def media_url(value: str) -> str | None:
    """Take a URL as above, or a local file; which folders may be read is decided where it is opened."""
    return value.strip() if value.strip().startswith("file:///") else url(value)


def _choice(*values: str, **aliases: str) -> Callable[[str], str]:
    """Make a converter that takes one of `values`, in any case, or the alias of one."""
    known = {value.lower(): value for value in values} | aliases

    def convert(value: str) -> str:
        try:
            return known[value.strip().lower()]
        except KeyError:
            raise BadValue(f"must be one of: {', '.join(known)}") from None

    return convert


_method = _choice("GET", "POST")


def _flag(value: str) -> bool:
    return _choice("true", "false")(value) == "true"


def _record(value: str) -> DialRecord:
    return DialRecord(_choice(*DialRecord, true=DialRecord.FROM_ANSWER, false=DialRecord.NO)(value))


def _number(low: int, high: int) -> Callable[[str], int]:
    """Make a converter for whole numbers; one outside the range is clamped, with a remark."""

    def convert(value: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,9}", value.strip()):
            raise BadValue(f"must be a whole number from {low} to {high}")
        number = min(max(int(value), low), high)
        if number != int(value):
            raise BadValue(f"must be a whole number from {low} to {high}", use=number)
        return number

    return convert


def _loop(value: str) -> int:
    """Take a count of repetitions; 0 means until the call ends, which Twilio cuts at 1000."""
    if not re.fullmatch(r"[0-9]{1,9}", value.strip()):
        raise BadValue("must be a number of times, or 0 for as long as the call lasts")
    return min(int(value) or MAX_LOOP, MAX_LOOP)


def _matching(pattern: str, expected: str) -> Callable[[str], str | None]:
    """Make a converter for text that matches `pattern` as a whole; empty text counts as absent."""

    def convert(value: str) -> str | None:
        value = value.strip()
        if value and not re.fullmatch(pattern, value):
            raise BadValue(expected)
        return value or None

    return convert


def _caller_id(value: str) -> str | None:
    if len(value.strip()) > MAX_CALLER_ID:
        raise BadValue(f"must be at most {MAX_CALLER_ID} characters", code=13248)
    return _matching(r"[A-Za-z0-9+\-_.]+", "must be letters, digits and + - _ . without white space")(value)


def _call_reason(value: str) -> str | None:
    value = value.strip()
    if len(value) > MAX_CALL_REASON:
        raise BadValue(f"must be at most {MAX_CALL_REASON} characters", use=value[:MAX_CALL_REASON])
    return value or None


def _events(*known: str) -> Callable[[str], tuple[str, ...]]:
    """Make a converter for a list of event names; white space or commas part them, unknown names are left out."""

    def convert(value: str) -> tuple[str, ...]:
        asked = set(re.split(r"[\s,]+", value)) - {""}
        events = tuple(event for event in known if event in asked)
        if asked - set(known):
            raise BadValue(f"may name only: {', '.join(known)}", use=events or None)
        return events

    return convert


_IGNORED, _NOT_YET = Support.IGNORED, Support.NOT_YET
INVALID_URL = 11100
_VOICE = _matching(
    r"man|woman|alice|[A-Za-z]+\.[A-Za-z0-9_.-]+", "must be man, woman, alice or Provider.Name (Polly.Amy)"
)
_LANGUAGE = _matching(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", "must be a language tag such as en-GB")
_AMD = Attribute(_verbatim, None, support=_NOT_YET, kept=False)
_UNUSED = Attribute(_verbatim, None, support=_IGNORED, kept=False)

ATTRIBUTES: Mapping[str, Mapping[str, Attribute]] = {
    "Say": {
        "voice": Attribute(_VOICE, None, 13511),
        "language": Attribute(_LANGUAGE, None, 13512),
        "loop": Attribute(_loop, 1, 13510),
    },
    "Play": {
        "loop": Attribute(_loop, 1, 13410),
        "digits": Attribute(_verbatim, None, 13430, _NOT_YET),
    },
    "Pause": {"length": Attribute(_number(1, 86_400), 1, 13910)},
    "Redirect": {"method": Attribute(_method, "POST", 13710)},
    "Reject": {"reason": Attribute(_choice("rejected", "busy"), "rejected", 13810)},
    "Hangup": {},
    "Dial": {
        "action": Attribute(url, None, INVALID_URL),
        "method": Attribute(_method, "POST", 13210),
        "timeout": Attribute(_number(5, 600), 30, 13212),
        "timeLimit": Attribute(_number(1, 86_400), 14_400, 13216),
        "callerId": Attribute(_caller_id, None, 13214),
        "callReason": Attribute(_call_reason, None, support=_IGNORED),
        "answerOnBridge": Attribute(_flag, False, 13219),
        "hangupOnStar": Attribute(_flag, False, 13213),
        "record": Attribute(_record, DialRecord.NO, 13217),
        "trim": Attribute(_choice("do-not-trim", "trim-silence"), "do-not-trim", 13699, _IGNORED),
        "recordingTrack": Attribute(_choice("both", "inbound", "outbound"), "both", 13622, _IGNORED),
        "recordingStatusCallback": Attribute(_callback_url, None, 13256, _IGNORED),
        "recordingStatusCallbackMethod": Attribute(_method, "POST", support=_IGNORED),
        "recordingStatusCallbackEvent": Attribute(
            _events("in-progress", "completed", "absent"), ("completed",), 13621, _IGNORED
        ),
        "ringTone": Attribute(_choice(*RING_TONES), None, 13220),
        "sequential": Attribute(_flag, False, 13218),
        "referUrl": Attribute(url, None, INVALID_URL, _IGNORED),
        "referMethod": Attribute(_method, "POST", support=_IGNORED),
        "recordingConfigurationId": _UNUSED,
        "events": _UNUSED,
        "passports": _UNUSED,
    },
    "Sip": {
        "username": Attribute(_verbatim, None),
        "password": Attribute(_verbatim, None),
        "url": Attribute(url, None, INVALID_URL),
        "method": Attribute(_method, "POST", 13241),
        "statusCallback": Attribute(_callback_url, None, INVALID_URL),
        "statusCallbackEvent": Attribute(_events("initiated", "ringing", "answered", "completed"), ()),
        "statusCallbackMethod": Attribute(_method, "POST"),
        "machineDetection": _AMD,
        "machineDetectionTimeout": _AMD,
        "machineDetectionSpeechThreshold": _AMD,
        "machineDetectionSpeechEndThreshold": _AMD,
        "machineDetectionSilenceTimeout": _AMD,
        "amdStatusCallback": _AMD,
        "amdStatusCallbackMethod": _AMD,
    },
    "Uri": {
        "username": Attribute(_verbatim, None),
        "password": Attribute(_verbatim, None),
        "priority": Attribute(_number(0, 65_535), 0),
        "weight": _UNUSED,
    },
    "Headers": {},
    "Header": {"name": Attribute(_verbatim, None), "value": Attribute(_verbatim, None)},
}
"""Element → attribute → how it is read."""

VERBS: Mapping[str, Support] = {
    **dict.fromkeys(("Dial", "Hangup", "Pause", "Play", "Redirect", "Reject", "Say"), Support.SUPPORTED),
    **dict.fromkeys(("Connect", "Echo", "Enqueue", "Gather", "Leave", "Pay", "Prompt", "Queue", "Record"), _NOT_YET),
    **dict.fromkeys(("Refer", "Sms", "Start", "Stop"), _NOT_YET),
}
NOUNS: Mapping[str, Support] = {
    "Sip": Support.SUPPORTED,
    **dict.fromkeys(("Number", "Client", "Conference", "Queue", "Sim", "WhatsApp", "Application"), _NOT_YET),
}
"""Children of `<Dial>`. Plain text (a number) is not yet."""

SIP_CHILDREN: Mapping[str, Support] = {"Uri": Support.SUPPORTED, "Headers": Support.SUPPORTED}
SSML = frozenset(("break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub", "w"))

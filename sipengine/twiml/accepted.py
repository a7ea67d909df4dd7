"""PURE: what TwiML's elements and attributes accept, as data: converters, defaults, error codes, support levels.

docs/twiml.md prints these tables, and tests/check_matrix.py compares the two. Sources: Twilio's voice TwiML pages and
its error dictionary; design conformance §1.2, 1.3, 1.12. An attribute whose wrong values have no code there has 12200.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sipengine.tones import RING_TONES
from sipengine.twiml import values
from sipengine.twiml.verbs import DialRecord


class Support(StrEnum):
    """How much of an element or attribute works. Only *not yet* is remarked upon."""

    SUPPORTED = "supported"
    IGNORED = "accepted and ignored"
    NOT_YET = "not yet"


@dataclass(frozen=True, slots=True)
class Attribute:
    """How to read an attribute: converter, value when absent or wrong, the code of a wrong value, support level.

    An attribute that is not `kept` has no field in the verb: its value is checked and then forgotten. `words` is how
    TwiML spells false and true.
    """

    convert: Callable[[str], object]
    default: Any
    code: int = 12200
    support: Support = Support.SUPPORTED
    kept: bool = True
    words: tuple[str, str] = ("false", "true")

    def printed(self, value: object) -> str:
        """Return a value of this attribute as TwiML spells it."""
        match value:
            case None | "" | 0 if value is not False:
                return "none"
            case bool():
                return self.words[value]
            case tuple():
                return " ".join(value)
            case _:
                return str(value)


INVALID_URL = 11100

_IGNORED, _NOT_YET = Support.IGNORED, Support.NOT_YET
_UNUSED = Attribute(values.verbatim, None, support=_IGNORED, kept=False)
_TEXT = Attribute(values.verbatim, None)
_METHOD = Attribute(values.method, "POST")
_URL = Attribute(values.webhook_url, None, INVALID_URL)
_LOOP, _VOICE, _LANGUAGE = (
    Attribute(values.loop, 1, 13510),
    Attribute(
        values.matching(
            r"man|woman|alice|[A-Za-z]+\.[A-Za-z0-9_.-]+", "must be man, woman, alice or Provider.Name (Polly.Amy)"
        ),
        None,
        13511,
    ),
    Attribute(
        values.matching(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", "must be a language tag such as en-GB"), None, 13512
    ),
)


def _method(code: int) -> Attribute:
    return Attribute(values.method, "POST", code)


def _trim(default: bool) -> Attribute:
    return Attribute(values.trim, default, words=("do-not-trim", "trim-silence"))


def _checked(convert: Callable[[str], object], default: object) -> Attribute:
    """Return an attribute that only warns of wrong values."""
    return Attribute(convert, default, support=_IGNORED, kept=False)


def _unused(*names: str) -> dict[str, Attribute]:
    return dict.fromkeys(names, _UNUSED)


def _events(
    known: tuple[str, ...], default: tuple[str, ...], never: tuple[str, ...] = (), code: int = 12200
) -> Attribute:
    return Attribute(values.events(known, default, never), default, code)


_STATUS_CALLBACK = {
    "statusCallback": _URL,
    "statusCallbackEvent": _events(("initiated", "ringing", "answered", "completed"), ("completed",)),
    "statusCallbackMethod": _METHOD,
}
_RECORDING_CALLBACK = {
    "recordingStatusCallback": Attribute(values.webhook_url, None, 13256),
    "recordingStatusCallbackMethod": _METHOD,
    "recordingStatusCallbackEvent": _events(("in-progress", "completed", "absent"), ("completed",), code=13621),
}
# Nothing here tells a person from a machine: whoever asks is told `unknown`.
_MACHINE_DETECTION = {
    "machineDetection": Attribute(values.choice("Enable", "DetectMessageEnd"), None, support=_IGNORED),
    "machineDetectionTimeout": _checked(values.number(3, 60), 30),
    "machineDetectionSpeechThreshold": _checked(values.number(1000, 6000), 2400),
    "machineDetectionSpeechEndThreshold": _checked(values.number(500, 5000), 1200),
    "machineDetectionSilenceTimeout": _checked(values.number(2000, 10_000), 5000),
    "amdStatusCallback": _URL,
    "amdStatusCallbackMethod": _METHOD,
}

ATTRIBUTES: Mapping[str, Mapping[str, Attribute]] = {
    "Say": {"voice": _VOICE, "language": _LANGUAGE, "loop": _LOOP},
    "Play": {"loop": Attribute(values.loop, 1, 13410), "digits": Attribute(values.digits, None, 13430)},
    "Pause": {"length": Attribute(values.number(1, 86_400), 1, 13910)},
    "Gather": {
        "input": Attribute(values.gather_input, "dtmf", 13326, kept=False),
        "action": _URL,
        "method": _method(13312),
        "timeout": Attribute(values.count(86_400), 5, 13313),
        "finishOnKey": Attribute(values.finish_on_key, "#", 13310),
        "numDigits": Attribute(values.count(1000), 0, 13314),
        "actionOnEmptyResult": Attribute(values.flag, False),
        **_unused("speechTimeout", "maxSpeechTime", "speechModel", "enhanced", "hints", "language", "profanityFilter"),
        **_unused("partialResultCallback", "partialResultCallbackMethod", "bargeIn", "debug"),
    },
    "Record": {
        "action": _URL,
        "method": _method(13610),
        "timeout": Attribute(values.count(86_400), 5, 13611),
        "finishOnKey": Attribute(values.finish_on_keys, "1234567890*#", 13613),
        "maxLength": Attribute(values.count(86_400), 3600, 13612),
        "playBeep": Attribute(values.flag, True, 13616),
        "trim": _trim(True),
        **_RECORDING_CALLBACK,
        "recordingConfigurationId": _UNUSED,
        "transcribe": Attribute(values.transcribe, False, 13614, _NOT_YET, kept=False),
        "transcribeCallback": Attribute(values.transcribe_callback, None, support=_NOT_YET, kept=False),
    },
    "Redirect": {"method": _method(13710)},
    "Reject": {"reason": Attribute(values.choice("rejected", "busy"), "rejected", 13810)},
    "Hangup": {},
    "Enqueue": {
        "action": _URL,
        "method": _METHOD,
        "waitUrl": Attribute(values.wait_url, None, INVALID_URL),
        "waitUrlMethod": _METHOD,
        **_unused("maxQueueSize", "workflowSid"),
    },
    "Leave": {},
    "Refer": {"action": _URL, "method": _METHOD},
    "ReferSip": {},
    "Dial": {
        "action": _URL,
        "method": _method(13210),
        "timeout": Attribute(values.number(5, 600), 30, 13212),
        "timeLimit": Attribute(values.number(1, 86_400), 14_400, 13216),
        "callerId": Attribute(values.caller_id, None, 13214),
        "callReason": Attribute(values.at_most(values.MAX_CALL_REASON), None),
        "answerOnBridge": Attribute(values.flag, False, 13219),
        "hangupOnStar": Attribute(values.flag, False, 13213),
        "record": Attribute(values.dial_record, DialRecord.NO, 13217),
        "trim": _trim(False),
        "recordingTrack": Attribute(values.choice("both", "inbound", "outbound"), "both", 13622),
        **_RECORDING_CALLBACK,
        "ringTone": Attribute(values.choice(*RING_TONES), None, 13220),
        "sequential": Attribute(values.flag, False, 13218),
        "referUrl": _URL,
        "referMethod": _METHOD,
        **_unused("recordingConfigurationId", "events", "passports"),
    },
    "Sip": {
        "username": _TEXT,
        "password": _TEXT,
        "url": _URL,
        "method": _method(13241),
        **_STATUS_CALLBACK,
        **_MACHINE_DETECTION,
    },
    "Uri": {
        "username": _TEXT,
        "password": _TEXT,
        "priority": Attribute(values.number(0, 65_535), 0),
        "weight": Attribute(values.number(0, 65_535), 0),
    },
    "Headers": {},
    "Header": {"name": _TEXT, "value": _TEXT},
    "Number": {
        "sendDigits": Attribute(values.digits, None, 13222),
        "url": _URL,
        "method": _method(13221),
        **_STATUS_CALLBACK,
        **_MACHINE_DETECTION,
        "byoc": _UNUSED,
    },
    "Client": {"url": _URL, "method": _METHOD, **_STATUS_CALLBACK},
    "Identity": {},
    "Parameter": {"name": _TEXT, "value": _TEXT},
    "Conference": {
        "muted": Attribute(values.flag, False, 13230),
        "beep": Attribute(values.choice("true", "false", "onEnter", "onExit"), "true", 13235),
        "startConferenceOnEnter": Attribute(values.flag, True, 13232),
        "endConferenceOnExit": Attribute(values.flag, False, 13231),
        "waitUrl": Attribute(values.wait_url, None, 13233),
        "waitMethod": _method(13234),
        "maxParticipants": Attribute(values.number(2, 250), 250),
        "record": Attribute(values.conference_record, False, words=("do-not-record", "record-from-start")),
        "trim": _trim(True),
        "statusCallback": _URL,
        "statusCallbackEvent": _events(
            ("start", "end", "join", "leave", "mute", "hold", "modify"), ("start", "end"), ("speaker", "announcement")
        ),
        "statusCallbackMethod": _METHOD,
        **_RECORDING_CALLBACK,
        "participantLabel": Attribute(values.at_most(128), None),
        "coach": Attribute(values.at_most(34), None),
        **_unused("region", "jitterBufferSize", "eventCallbackUrl", "recordingConfigurationId"),
    },
    "Queue": {"url": _URL, "method": _METHOD, **_unused("reservationSid", "postWorkActivitySid")},
}
"""Element → attribute → how it is read. `ReferSip` is also the `<Sip>` inside `<Refer>`."""

NESTED_CODES: Mapping[tuple[str, str], int] = {("Say", "voice"): 13321, ("Say", "loop"): 13322}
"""Codes of wrong values inside `<Gather>`, where they differ from those outside."""

_DONE = ("Dial", "Enqueue", "Gather", "Hangup", "Leave", "Pause", "Play")
VERBS: Mapping[str, Support] = {
    **dict.fromkeys((*_DONE, "Record", "Redirect", "Refer", "Reject", "Say"), Support.SUPPORTED),
    **dict.fromkeys(("Connect", "Echo", "Pay", "Prompt", "Queue", "Sms", "Start", "Stop"), _NOT_YET),
}
NOUNS: Mapping[str, Support] = {
    **dict.fromkeys(("Client", "Conference", "Number", "Queue", "Sip"), Support.SUPPORTED),
    **dict.fromkeys(("Application", "Sim", "VirtualAgent", "WhatsApp"), _NOT_YET),
}
"""Children of `<Dial>`, beside plain text, which is a `<Number>`."""

WHY_NOT: Mapping[str, str] = {
    "Connect": "there are no media streams, rooms, agents or relays to connect to",
    "Echo": "nothing plays the caller's own audio back",
    "Pay": "there is no payment connector",
    "Prompt": "it belongs to <Pay>, which is not there",
    "Queue": "write it inside <Dial>",
    "Sms": "there are no text messages",
    "Start": "there are no media streams, SIPREC sessions, transcriptions or recordings that run beside the call",
    "Stop": "<Start> is not there either, so nothing runs that could be stopped",
    "Application": "calls are not handed to another application; use its URL in <Redirect>",
    "Sim": "there is no mobile network",
    "VirtualAgent": "there is no virtual agent",
    "WhatsApp": "there is no way to WhatsApp",
}
"""Element that is *not yet* → what is missing, for the remark."""

CHILDREN: Mapping[str, Mapping[str, Support]] = {
    "Gather": dict.fromkeys(("Say", "Play", "Pause"), Support.SUPPORTED),
    "Enqueue": {"Task": Support.IGNORED},
    "Refer": dict.fromkeys(("Sip", "ReferSip"), Support.SUPPORTED),
    "Sip": dict.fromkeys(("Uri", "Headers"), Support.SUPPORTED),
    "Headers": {"Header": Support.SUPPORTED},
    "Client": dict.fromkeys(("Identity", "Parameter"), Support.SUPPORTED),
}
"""Children of the elements that may have any; `<Dial>` has `NOUNS`, `<Say>` has `SSML`."""

SSML = frozenset(("break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub", "w"))

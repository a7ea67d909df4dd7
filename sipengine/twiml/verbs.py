"""PURE: what a TwiML document means: frozen verbs and nouns, and the remarks made while reading it.

Field names are the attributes' names in snake_case; defaults and limits are in `accepted.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from routing.sipuri import SipUri


class TwimlError(ValueError):
    """The document as a whole cannot be run; `code` is Twilio's error code, `line` is 0 where there is none."""

    def __init__(self, code: int, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.code, self.message, self.line = code, message, line


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that an operator should know of a document that runs all the same."""

    code: int
    message: str
    line: int


class Record(StrEnum):
    """`<Dial record>`; `-dual` puts the parent on the left channel and the child on the right one."""

    NO = "do-not-record"
    FROM_ANSWER = "record-from-answer"
    FROM_RINGING = "record-from-ringing"
    FROM_ANSWER_DUAL = "record-from-answer-dual"
    FROM_RINGING_DUAL = "record-from-ringing-dual"


@dataclass(frozen=True, slots=True)
class Say:
    """Speak `text`, `loop` times (1…1000)."""

    text: str
    voice: str | None
    language: str | None
    loop: int


@dataclass(frozen=True, slots=True)
class Play:
    """Play the audio at `url`, `loop` times (1…1000). `digits` (DTMF in its place) is not read yet."""

    url: str
    loop: int
    digits: str | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait `length` seconds."""

    length: int


@dataclass(frozen=True, slots=True)
class Redirect:
    """Go on with the document at `url`."""

    url: str
    method: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse a call that has not been answered."""

    reason: Literal["rejected", "busy"]


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call."""


@dataclass(frozen=True, slots=True)
class Sip:
    """One SIP leg of a `<Dial>`; `status_callback_events` is empty when there is no status callback."""

    uri: SipUri
    username: str | None
    password: str | None = field(repr=False)
    url: str | None
    method: str
    status_callback: str | None
    status_callback_events: tuple[str, ...]
    status_callback_method: str


@dataclass(frozen=True, slots=True)
class BadNoun:
    """A noun that cannot be dialled: its leg fails at once with `code`, and a hunt goes on."""

    text: str
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Dial:
    """Ring the nouns, in parallel or one after the other; `problem` says why the whole dial must fail unplaced."""

    nouns: tuple[Sip | BadNoun, ...]
    action: str | None
    method: str
    timeout: int
    time_limit: int
    caller_id: str | None
    call_reason: str | None
    answer_on_bridge: bool
    hangup_on_star: bool
    record: Record
    trim: str
    recording_track: str
    recording_status_callback: str | None
    recording_status_callback_method: str
    recording_status_callback_event: tuple[str, ...]
    ring_tone: str | None
    sequential: bool
    refer_url: str | None
    refer_method: str
    problem: Remark | None


Verb = Say | Play | Pause | Redirect | Reject | Hangup | Dial


@dataclass(frozen=True, slots=True)
class Document:
    """The verbs in order, and what was remarked while reading them."""

    verbs: tuple[Verb, ...]
    warnings: tuple[Remark, ...]


def verb_name(verb: Verb) -> str:
    """Return the verb's element name, e.g. `Dial`."""
    return type(verb).__name__

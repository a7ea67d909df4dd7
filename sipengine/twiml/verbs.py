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


class DialRecord(StrEnum):
    """`<Dial record>`; `-dual` puts the parent on the left channel and the child on the right one."""

    NO = "do-not-record"
    FROM_ANSWER = "record-from-answer"
    FROM_RINGING = "record-from-ringing"
    FROM_ANSWER_DUAL = "record-from-answer-dual"
    FROM_RINGING_DUAL = "record-from-ringing-dual"


@dataclass(frozen=True, slots=True)
class Callback:
    """Whom to tell of what: `events` are names of the noun's or verb's own list, never empty."""

    url: str
    method: str
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Say:
    """Speak `text`, `loop` times (1…1000)."""

    text: str
    voice: str | None
    language: str | None
    loop: int


@dataclass(frozen=True, slots=True)
class Play:
    """Play the audio at `url`, or send `digits` (DTMF, `w` half a second of silence, `W` a second), `loop` times.

    One of both is empty; `loop` is 1…1000.
    """

    url: str
    loop: int
    digits: str | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait `length` seconds."""

    length: int


@dataclass(frozen=True, slots=True)
class Gather:
    """Collect DTMF digits while `prompts` play; `action` None means the current document's URL.

    `timeout` is seconds without a digit once the prompts are over; `finish_on_key` is one of 0-9 * # or "" for none;
    `num_digits` 0 means any number.
    """

    prompts: tuple[Say | Play | Pause, ...]
    action: str | None
    method: str
    timeout: int
    finish_on_key: str
    num_digits: int
    action_on_empty_result: bool


@dataclass(frozen=True, slots=True)
class Record:
    """Record the caller; `action` None means the current document's URL. `timeout` and `max_length` are seconds.

    `finish_on_key` holds every key that ends the recording, "" for none; `trim` cuts silence off both ends.
    """

    action: str | None
    method: str
    timeout: int
    finish_on_key: str
    max_length: int
    play_beep: bool
    trim: bool
    callback: Callback | None


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
class Enqueue:
    """Wait in the queue `name`; `wait_url` None is our own hold music, "" is silence."""

    name: str
    action: str | None
    method: str
    wait_url: str | None
    wait_url_method: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave the queue that this document is the waiting music of."""


@dataclass(frozen=True, slots=True)
class Refer:
    """Ask the caller's phone to call somebody else instead (SIP REFER, RFC 3515)."""

    uri: SipUri
    action: str | None
    method: str


@dataclass(frozen=True, slots=True)
class Address:
    """One `<Uri>` of a `<Sip>`: lower `priority` first, the same one shared out by `weight` (as in RFC 2782)."""

    uri: SipUri
    username: str | None
    password: str | None = field(repr=False)
    priority: int = 0
    weight: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """What the nouns that ring somebody share: screening, status callbacks, machine detection.

    `machine_detection` is accepted and answered with `unknown`; `amd_callback` is told that.
    """

    url: str | None = None
    method: str = "POST"
    callback: Callback | None = None
    machine_detection: bool = False
    amd_callback: Callback | None = None


@dataclass(frozen=True, slots=True)
class Sip(Party):
    """One SIP leg of a `<Dial>`; `addresses` has one entry for plain text, several for `<Uri>` children."""

    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Number(Party):
    """A telephone number, reached through a trunk; `send_digits` (0-9 A-D * # w W) go out after the answer."""

    number: str
    send_digits: str = ""


@dataclass(frozen=True, slots=True)
class Client(Party):
    """An endpoint by its name; each parameter becomes a header `X-name` of the INVITE."""

    identity: str
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Conference:
    """A room of this name in the account. `wait_url` None is our own hold music, "" is silence."""

    name: str
    muted: bool
    beep: Literal["true", "false", "onEnter", "onExit"]
    start_on_enter: bool
    end_on_exit: bool
    wait_url: str | None
    wait_method: str
    max_participants: int
    record: bool
    trim: bool
    callback: Callback | None
    recording_callback: Callback | None
    label: str | None
    coach: str | None = None  # the SID of the call that alone hears this one


@dataclass(frozen=True, slots=True)
class Queue:
    """The caller who has waited longest in the queue `name`; `url` is what that caller hears before the bridge."""

    name: str
    url: str | None
    method: str


@dataclass(frozen=True, slots=True)
class BadNoun:
    """A noun that cannot be dialled: its leg fails at once with `code`, and a hunt goes on."""

    text: str
    code: int
    message: str


Noun = Sip | Number | Client | BadNoun


@dataclass(frozen=True, slots=True)
class Dial:
    """Ring the nouns, in parallel or one after the other, or join a `room`; `problem` says why all of it must fail.

    Either `nouns` (1…10) or `room` is set. `trim` cuts silence off both ends of the recording.
    """

    nouns: tuple[Noun, ...]
    room: Conference | Queue | None
    action: str | None
    method: str
    timeout: int
    time_limit: int
    caller_id: str | None
    call_reason: str | None
    answer_on_bridge: bool
    hangup_on_star: bool
    record: DialRecord
    trim: bool
    recording_track: Literal["both", "inbound", "outbound"]
    recording_callback: Callback | None
    ring_tone: str | None
    sequential: bool
    refer_url: str | None
    refer_method: str
    problem: Remark | None


Verb = Say | Play | Pause | Gather | Record | Redirect | Reject | Hangup | Enqueue | Leave | Refer | Dial


@dataclass(frozen=True, slots=True)
class Document:
    """The verbs in order, and what was remarked while reading them."""

    verbs: tuple[Verb, ...]
    warnings: tuple[Remark, ...]


def verb_name(verb: Verb) -> str:
    """Return the verb's element name, e.g. `Dial`."""
    return type(verb).__name__

"""PURE: the parts of a simulated call: how phones and the caller behave, and the story that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from calls.status import STRICT_TWILIO, Status
from sipengine import twiml


class Manner(StrEnum):
    """What a phone does when it is called."""

    ANSWERS = "answers"
    NO_ANSWER = "no-answer"
    BUSY = "busy"
    DECLINES = "declines"
    UNREGISTERED = "unregistered"
    UNREACHABLE = "unreachable"


REFUSALS: Mapping[Manner, tuple[int, str]] = {
    Manner.BUSY: (486, "is busy (SIP 486)"),
    Manner.DECLINES: (603, "declines (SIP 603)"),
    Manner.UNREGISTERED: (480, "is not there: switched off or logged out (SIP 480)"),
    Manner.UNREACHABLE: (503, "cannot be reached: no phone or no network at this address"),
}


@dataclass(frozen=True, slots=True)
class Phone:
    """How one phone behaves: it answers or declines after so many seconds; `accepts` is what it presses when asked."""

    manner: Manner = Manner.NO_ANSWER
    seconds: float = 6.0
    accepts: bool = True


@dataclass(frozen=True, slots=True)
class Scene:
    """Who does what. `phones` by the noun's address (`key_of`); times in seconds.

    The caller hangs up when nobody has answered after `patience` (None: never), presses `digits` when a menu asks, and
    speaks for `speaks` into a recording. `buffer` and `guard` are the engine's own allowances while ringing.
    """

    phones: Mapping[str, Phone] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    other: Phone = Phone()
    talk: float = 60.0
    patience: float | None = None
    digits: str = ""
    speaks: float = 8.0
    buffer: float = 5.0
    guard: float = 1.0
    table: Mapping[int, Status] = field(default_factory=lambda: STRICT_TWILIO)


@dataclass(frozen=True, slots=True)
class Page:
    """A TwiML document with the reasons for it."""

    url: str
    xml: str
    why: tuple[str, ...] = ()


Ask = Callable[[str, Mapping[str, str]], Page | None]


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the story; `tone` is one of plain, good, busy, bad, quiet."""

    seconds: float
    text: str
    tone: str = "plain"


@dataclass(slots=True)
class Leg:
    """One phone that was called; times are seconds from the begin of the call, None where it did not happen."""

    key: str
    name: str
    placed: float
    answered: float | None = None
    bridged: float | None = None
    ended: float | None = None
    status: Status | None = None
    code: int = 0


@dataclass(frozen=True, slots=True)
class Story:
    """All that would happen; `known` is false if it ends at an application that is not ours."""

    moments: tuple[Moment, ...]
    legs: tuple[Leg, ...]
    pages: tuple[tuple[float, Page], ...]
    ending: str
    tone: str
    code: int
    seconds: float
    known: bool = True


class CallerGone(Exception):
    """The caller's patience is over."""


class Over(Exception):
    """The call is over: `text` says why, `code` is the final response of one that was not answered."""

    def __init__(self, text: str, tone: str, code: int = 0, *, known: bool = True) -> None:
        super().__init__(text)
        self.text, self.tone, self.code, self.known = text, tone, code, known


def key_of(noun: twiml.Noun) -> str:
    """Return what a phone is known by in a scene: the URI of the first address, a number, or client:name."""
    match noun:
        case twiml.Sip(addresses=(first, *_)):
            return first.uri.address
        case twiml.Number(number=number):
            return number
        case twiml.Client(identity=identity):
            return f"client:{identity.lower()}"
        case twiml.BadNoun(text=text):
            return text
        case _:
            raise ValueError("a <Sip> has at least one address")

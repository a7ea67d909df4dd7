"""PURE: the SIP ladder of a call: who talks with whom, message by message, as lines and arrows that a page can draw.

Lifeline 0 is the one who called, or the phone that an operator rang; 1 is Cordboard; the legs it dialled follow.
Lengths are pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

US = 1
WIDE, NARROW = 190, 130  # of a column; narrow ones if there are many
MANY = 6
LABEL = 19  # characters of an arrow's label
_HEAD = 7


@dataclass(frozen=True, slots=True)
class Message:
    """A SIP message between Cordboard and the lifeline `far`; `code` is 0 for a request."""

    far: int
    time: datetime
    sent: bool
    start_line: str
    method: str
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """A message as it is drawn from `x1` to `x2`; `head` are the points of its tip, `labels` are the middles
    of its label: beside Cordboard, and beside a far end that is further away.
    """

    message: Message
    offset: float
    label: str
    said: str
    tone: str
    again: bool
    x1: int
    x2: int
    labels: tuple[int, ...]
    head: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """`columns` are the middles of the lifelines with their names, `lines` the path of all lifelines in one row."""

    width: int
    columns: tuple[tuple[int, str], ...]
    lines: str
    arrows: tuple[Arrow, ...]


def ladder(names: Sequence[str], messages: Sequence[Message], start: datetime, row: int = 34) -> Ladder:
    """Return the drawing; `names` are those of the lifelines, `row` is the height of a row."""
    column = WIDE if len(names) <= MANY else NARROW
    middles = [column * index + column // 2 for index in range(len(names))]
    seen: set[tuple[int, bool, str]] = set()
    arrows = []
    for message in messages:
        key = (message.far, message.sent, message.text)
        arrows.append(_arrow(message, names, middles, (message.time - start).total_seconds(), key in seen, row))
        seen.add(key)
    lines = "".join(f"M{x} 0V{row}" for x in middles)
    return Ladder(column * len(names), tuple(zip(middles, names, strict=True)), lines, tuple(arrows))


def label_of(message: Message) -> str:
    """Return what an arrow says: INVITE, or 180 Ringing."""
    text = message.start_line.partition(" ")[2] if message.code else message.method
    return text if len(text) <= LABEL else f"{text[: LABEL - 1]}…"


def _arrow(message: Message, names: Sequence[str], middles: Sequence[int], at: float, again: bool, row: int) -> Arrow:
    ends = (US, message.far) if message.sent else (message.far, US)
    x1, x2 = (middles[index] for index in ends)
    back = _HEAD if x2 < x1 else -_HEAD
    y = row - 10
    step = 1 if message.far > US else -1
    beside = {(middles[US] + middles[US + step]) // 2, (middles[message.far] + middles[message.far - step]) // 2}
    label = label_of(message)
    said = f"{names[ends[0]]} to {names[ends[1]]}: {label}{', sent again' if again else ''}"
    head = f"{x2},{y} {x2 + back},{y - 4} {x2 + back},{y + 4}"
    return Arrow(message, at, label, said, _tone(message.code), again, x1, x2, tuple(sorted(beside)), head)


def _tone(code: int) -> str:
    if code < 200:
        return "request" if code == 0 else "quiet"
    if code in (401, 407):  # a challenge is no failure
        return "quiet"
    return "good" if code < 300 else "bad"


def as_text(names: Sequence[str], messages: Sequence[Message], start: datetime) -> str:
    """Return messages as text to be kept or sent on: a line that says who, when and to whom, then the message."""
    blocks = []
    for message in messages:
        ends = (names[US], names[message.far]) if message.sent else (names[message.far], names[US])
        offset = (message.time - start).total_seconds()
        blocks.append(f"--- {message.time.isoformat()} ({offset:+.6f} s) {ends[0]} -> {ends[1]}\n{message.text}\n")
    return "\n".join(blocks)

"""PURE: makes values from outside fit for the database: cut to the column, no NUL, no lone surrogate, no NaN."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from calls.entries import CallbackSpec, RecordingSpec, RoomChange
from routing.sid import is_sid

SMALL = 32_767
WHOLE = 2_147_483_647
LONGEST_TEXT = 65_536


def checked_sid(value: str, prefix: str) -> str:
    """Return the identifier; raise ValueError if it is none of this kind."""
    if not is_sid(value, prefix):
        raise ValueError(f"{value!r} is not a {prefix} identifier")
    return value


def text(value: object, longest: int) -> str:
    """Return the value as text of at most `longest` characters that any database takes."""
    made = value if isinstance(value, str) else str(value)
    if not made.isascii():  # SIP headers may carry bytes that are no UTF-8; they arrive as lone surrogates
        made = made.encode("utf-8", "replace").decode()
    return made.replace("\0", "")[:longest]


def whole(value: float, largest: int = WHOLE) -> int:
    """Return the value as a whole number from 0 to `largest`."""
    return max(0, min(int(value), largest))


def moment(seconds: float) -> datetime:
    """Return the time of so many seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)


def optional_moment(seconds: float | None) -> datetime | None:
    """Return the time, None for None."""
    return None if seconds is None else moment(seconds)


def epoch(value: datetime | None) -> float | None:
    """Return seconds since the epoch, None for None."""
    return None if value is None else value.timestamp()


def json_value(value: Any) -> Any:
    """Return the value as PostgreSQL's jsonb takes it: no NUL, no lone surrogate, no NaN."""
    match value:
        case str():
            return text(value, LONGEST_TEXT)
        case dict():
            return {text(key, 255): json_value(item) for key, item in value.items()}
        case list() | tuple():
            return [json_value(item) for item in value]
        case None | bool() | int():
            return value
        case float() if value - value == 0:
            return value
        case _:
            return text(value, LONGEST_TEXT)


def callback_json(spec: CallbackSpec | None) -> dict[str, Any] | None:
    """Return who is told of what as its column keeps it."""
    return None if spec is None else json_value({"url": spec.url, "method": spec.method, "events": spec.events})


def callback_spec(value: dict[str, Any] | None) -> CallbackSpec | None:
    """Return who is told of what, from its column."""
    return None if value is None else CallbackSpec(value["url"], value["method"], tuple(value["events"]))


def recording_json(spec: RecordingSpec | None) -> dict[str, Any] | None:
    """Return how a leg is recorded as its column keeps it."""
    if spec is None:
        return None
    return {
        "sid": spec.sid,
        "source": spec.source,
        "channels": spec.channels,
        "track": spec.track,
        "trim": spec.trim,
        "callback": callback_json(spec.callback),
    }


def recording_spec(value: dict[str, Any] | None) -> RecordingSpec | None:
    """Return how a leg is recorded, from its column."""
    return None if value is None else RecordingSpec(**{**value, "callback": callback_spec(value["callback"])})


def room_json(change: RoomChange) -> dict[str, Any]:
    """Return what is to become of a room as its column keeps it."""
    return asdict(change)


def room_change(value: dict[str, Any] | None) -> RoomChange | None:
    """Return what is to become of a room, from its column."""
    return None if value is None else RoomChange(**value)

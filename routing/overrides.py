"""PURE: the connection overrides in the fragment of a webhook's URL, such as `#ct=2000&rc=2&rp=5xx,ct`.

Read when a URL is saved and again when it is requested. Source: Twilio's page on webhook connection overrides (design
conformance §1.11).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

_RETRY_ON = frozenset({"4xx", "5xx", "ct", "rt"})


class OverrideError(ValueError):
    """An override that is out of range (Twilio's error 11243); `message` names it and what may be written."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Overrides:
    """How a URL wants to be requested, in seconds; `retry_on` holds any of `4xx`, `5xx`, `ct`, `rt`."""

    connect_timeout: float = 5.0
    read_timeout: float = 15.0
    total_timeout: float = 15.0
    retries: int = 1
    retry_on: frozenset[str] = frozenset({"ct"})


def parse(fragment: str) -> Overrides:
    """Read a URL's fragment; unknown keys, and a fragment that is only an anchor, are ignored.

    Raise `OverrideError` for a value that is out of range.
    """
    given = dict(parse_qsl(fragment, keep_blank_values=True))
    return Overrides(
        connect_timeout=_number(given, "ct", 100, 10_000, 5_000) / 1000,
        read_timeout=_number(given, "rt", 100, 15_000, 15_000) / 1000,
        total_timeout=_number(given, "tt", 100, 15_000, 15_000) / 1000,
        retries=_number(given, "rc", 0, 5, 1),
        retry_on=_retry_on(given.get("rp", "ct")),
    )


def _number(given: Mapping[str, str], key: str, low: int, high: int, default: int) -> int:
    text = given.get(key, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and low <= int(text) <= high):
        raise OverrideError(f"connection override {key}={text[:20]}: give a number from {low} to {high}")
    return int(text)


def _retry_on(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if unknown := sorted(names - _RETRY_ON - {"all"}):
        raise OverrideError(f"connection override rp={unknown[0][:20]}: give 4xx, 5xx, ct, rt or all, with commas")
    return _RETRY_ON if "all" in names else names

"""PURE: blocked callers: how a pattern is written, and whether it covers a caller.

A pattern is a number or SIP user, an address (user@host), a beginning of either with `*`, or `anonymous`.
"""

from __future__ import annotations

import re

ANONYMOUS = "anonymous"
LONGEST = 255
_SPACING = re.compile(r"[\s()./\-\u00a0]+")
_NUMBER = re.compile(r"\+?[0-9]+\*?")
_HIDDEN = frozenset({"", ANONYMOUS, "restricted", "unavailable", "unknown", "private"})
_UNSEEN = re.compile("[\x00-\x20\x7f-\xa0]")


def normal_pattern(text: str) -> str:
    """Return a pattern in the form that callers are compared with; raise `ValueError`, which says what to write."""
    pattern = re.sub(r"^(sips?|tel):", "", text.strip().casefold())
    compact = _SPACING.sub("", pattern)
    pattern = compact if _NUMBER.fullmatch(compact) else pattern
    if not pattern.strip("*+"):
        raise ValueError("This would block everybody: write a number, or the beginning of one before the *.")
    if _UNSEEN.search(pattern) or "*" in pattern[:-1]:
        raise ValueError(
            "Write a number (+49301234567), a SIP user or address without spaces, or the beginning of one with one * "
            "at the end."
        )
    return pattern


def caller_keys(caller: str) -> tuple[str, str]:
    """Return a caller's user and address (user@host) in the form that patterns have; both cut at 255 characters.

    `caller` is the From of a request: a SIP URI, a number, or anything else that somebody sent.
    """
    text = re.sub(r"^(sips?|tel):", "", caller.strip().casefold())
    user, at, rest = text.rpartition("@") if "@" in text else (text, "", "")
    user = user.partition(";")[0].partition(":")[0]
    compact = _SPACING.sub("", user)
    user = compact if _NUMBER.fullmatch(compact) else user
    host = re.split("[:;?>]", rest, maxsplit=1)[0]
    return user[:LONGEST], f"{user}@{host}"[:LONGEST] if at else ""


def is_anonymous(caller: str) -> bool:
    """Say whether the caller withholds his number (RFC 3323 §4.1, and what gateways send instead)."""
    user, address = caller_keys(caller)
    return user in _HIDDEN or address.endswith("@anonymous.invalid")


def patterns(caller: str) -> list[str]:
    """Return every pattern that covers a caller, in the normal form: what is looked up in a table of patterns."""
    keys = [key for key in caller_keys(caller) if key]
    beginnings = [f"{key[:length]}*" for key in keys for length in range(1, len(key) + 1)]
    return list(dict.fromkeys([*keys, *beginnings, *([ANONYMOUS] if is_anonymous(caller) else ())]))


def covers(pattern: str, caller: str) -> bool:
    """Say whether a pattern, in its normal form, covers a caller."""
    return pattern in patterns(caller)

"""PURE: how a telephone number or a client's name is reached: trunks and endpoints, decided on a snapshot in memory.

The snapshot (`Dialplan`) is made by `routing.resolve` and kept by the engine, so that dialling costs no query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from routing.sipuri import SipUri, SipUriError

BAD_NUMBER = 13223
NO_TRUNK = 13224
NO_CLIENT = 32009

_NUMBER = re.compile(r"\+[0-9]{1,15}|[0-9*#]{1,32}")  # E.164: at most 15 digits after the plus
# Visual separators (RFC 3966 §5.1.1) in all the shapes that copied numbers have: dashes, spaces, direction marks.
_SEPARATORS = re.compile(r"[\s().\-/\u00ad\u200b-\u200f\u2010-\u2015\u202a-\u202e\u2060-\u2069\u2212\ufeff]")


class NoWay(ValueError):
    """A number or client that cannot be reached; `code` is Twilio's error code, `message` is for the operator."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def plain_number(text: str) -> str | None:
    """Return a telephone number without the separators people write, None if it is none.

    `(0)` in an international number is left out: it is dialled inside the country only (ITU-T E.123 §7).
    """
    international = re.sub(r"\(\s*0\s*\)", "", text) if text.lstrip().startswith("+") else text
    plain = _SEPARATORS.sub("", international)
    return plain if _NUMBER.fullmatch(plain) else None


def client_key(name: str) -> str:
    """Return the form in which names of clients are compared: without case and white space around."""
    return name.strip().lower()


@dataclass(frozen=True, slots=True)
class Rule:
    """Numbers that begin with `prefix` match; `strip` characters are cut off their front, then `prepend` goes there."""

    prefix: str
    strip: int = 0
    prepend: str = ""

    def rewrite(self, number: str) -> str:
        """Return the number as the trunk wants it, "" if it does not match or nothing is left of it."""
        return self.prepend + number[self.strip :] if number.startswith(self.prefix) else ""


@dataclass(frozen=True, slots=True)
class Way:
    """An address with the credentials for it; `caller_id` replaces the From's user, "" keeps it."""

    uri: SipUri
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    caller_id: str = ""


@dataclass(frozen=True, slots=True)
class Trunk:
    """A SIP carrier: `way.uri` has no user, the number becomes it; the first rule that matches counts."""

    name: str
    way: Way
    rules: tuple[Rule, ...]

    def way_to(self, number: str) -> Way | None:
        """Return how a number without separators is reached, None if no rule matches; raise `NoWay` if it cannot be."""
        rewritten = next(filter(None, (rule.rewrite(number) for rule in self.rules)), "")
        if not rewritten:
            return None
        try:
            return replace(self.way, uri=replace(self.way.uri, user=rewritten))
        except SipUriError as error:
            raise NoWay(error.code, f"trunk {self.name}: {error.message}") from None


@dataclass(frozen=True, slots=True)
class Dialplan:
    """Trunks in order by account SID, and clients by account SID and `client_key` of the name."""

    trunks: Mapping[str, tuple[Trunk, ...]] = field(default_factory=dict)
    clients: Mapping[tuple[str, str], Way] = field(default_factory=dict)

    def trunk_ways(self, account_sid: str, number: str) -> tuple[Way, ...]:
        """Return how a number is reached through each trunk with a rule for it, in order; at least one.

        Raise `NoWay` 13223 for what is no number, 13224 when no trunk takes it.
        """
        plain = plain_number(number)
        if plain is None:
            why = "give digits, with + and the country code for international numbers (15 digits at most)"
            raise NoWay(BAD_NUMBER, f"{number[:40]!r} is no telephone number: {why}")
        trunks = self.trunks.get(account_sid, ())
        ways = tuple(way for trunk in trunks if (way := trunk.way_to(plain)))
        if ways:
            return ways
        known = ", ".join(trunk.name for trunk in trunks)
        why = f"no rule of trunk {known} matches" if known else "the account has no trunk; add one in the admin"
        raise NoWay(NO_TRUNK, f"{plain} cannot be called: {why}")

    def client(self, account_sid: str, identity: str) -> Way:
        """Return how the endpoint of this name is reached. Raise `NoWay` 32009."""
        way = self.clients.get((account_sid, client_key(identity)))
        if way is None:
            raise NoWay(NO_CLIENT, f"there is no enabled endpoint named {identity[:80]!r} in this account")
        return way

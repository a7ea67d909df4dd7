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

_NUMBER = re.compile(r"\+?[0-9*#]{1,32}")
_SEPARATORS = re.compile(r"[\s().\-/]")


class NoWay(ValueError):
    """A number or client that cannot be reached; `code` is Twilio's error code, `message` is for the operator."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class Rule:
    """Numbers that begin with `prefix` match; `strip` characters are cut off their front, then `prepend` goes there."""

    prefix: str
    strip: int = 0
    prepend: str = ""

    def rewrite(self, number: str) -> str | None:
        """Return the number as the trunk wants it, None if it does not match."""
        return self.prepend + number[self.strip :] if number.startswith(self.prefix) else None


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


@dataclass(frozen=True, slots=True)
class Dialplan:
    """Trunks in order by account SID, and clients by account SID and lower-case name."""

    trunks: Mapping[str, tuple[Trunk, ...]] = field(default_factory=dict)
    clients: Mapping[tuple[str, str], Way] = field(default_factory=dict)

    def number(self, account_sid: str, number: str) -> Way:
        """Return how a number is reached: through the first trunk with a rule for it. Raise `NoWay` 13223 or 13224."""
        plain = _SEPARATORS.sub("", number)
        if not _NUMBER.fullmatch(plain):
            raise NoWay(BAD_NUMBER, f"{number[:40]!r} is no telephone number: give digits, with + for international")
        trunks = self.trunks.get(account_sid, ())
        for trunk in trunks:
            for rule in trunk.rules:
                rewritten = rule.rewrite(plain)
                if rewritten:
                    try:
                        return replace(trunk.way, uri=replace(trunk.way.uri, user=rewritten))
                    except SipUriError as error:
                        raise NoWay(error.code, f"trunk {trunk.name}: {error.message}") from None
        known = ", ".join(trunk.name for trunk in trunks)
        why = f"no rule of the trunks {known} matches" if known else "the account has no trunk; add one in the admin"
        raise NoWay(NO_TRUNK, f"{plain} cannot be called: {why}")

    def client(self, account_sid: str, identity: str) -> Way:
        """Return how the endpoint of this name is reached. Raise `NoWay` 32009."""
        way = self.clients.get((account_sid, identity.strip().lower()))
        if way is None:
            raise NoWay(NO_CLIENT, f"there is no enabled endpoint named {identity[:80]!r} in this account")
        return way

"""PURE: who calls, as far as ring groups must know: is it this phone, and what do others see as the caller?"""

from __future__ import annotations

import re
from dataclasses import dataclass

from routing import sipuri

_UNSEEN = re.compile(r"[^A-Za-z0-9+\-_.]")  # what a caller ID may not hold (`validators.validate_caller_id`)
MOST_CALLER_ID = 64


@dataclass(frozen=True, slots=True)
class Caller:
    """The one who calls: the From address or number, the username that was authenticated, and the domain called."""

    address: str = ""
    username: str = ""
    domain: str = ""

    @property
    def user(self) -> str:
        """Return the number or name: the user of a SIP URI, else the text as it is."""
        return split(self.address)[0]


@dataclass(frozen=True, slots=True)
class Phone:
    """An endpoint as a caller would show itself: user, host and port of its URI, and the username of its calls."""

    user: str
    host: str
    username: str = ""
    port: int | None = None


def split(address: str) -> tuple[str, str]:
    """Return user and host of an address; a number or name is a user without a host."""
    if "@" not in address and not address.lower().startswith(("sip:", "sips:")):
        return address.strip(), ""
    try:
        uri = sipuri.parse(address)
    except sipuri.SipUriError:
        user, _, host = address.partition(":")[2].partition("@")
        return user, host.lower()
    return uri.user, uri.host.lower()


def port_of(address: str) -> int | None:
    """Return the port that an address names, None if it names none."""
    try:
        return sipuri.parse(address).port if "@" in address else None
    except sipuri.SipUriError:
        return None


def is_phone(caller: Caller, phone: Phone) -> bool:
    """Say whether the caller is this phone.

    It is if it was authenticated with the phone's username or the user of its URI, or if its address is that of the
    phone or the phone's user at the domain that was called. Phones of the same user at one host differ by their ports.
    """
    if caller.username:
        return caller.username in {phone.username, phone.user} - {""}
    user, host = split(caller.address)
    if host == phone.host.lower() and len({port_of(caller.address), phone.port} - {None}) > 1:
        return False
    return bool(user) and user == phone.user and host in {phone.host.lower(), caller.domain.lower()} - {""}


def caller_id(prefix: str, number: str) -> str:
    """Return what is shown of a caller with a prefix, without the characters that a caller ID cannot hold."""
    return (prefix + _UNSEEN.sub("", number))[:MOST_CALLER_ID]

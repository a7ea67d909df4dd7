"""PURE: addresses as strangers write them: Request-URIs, From headers, caller IDs. Whatever comes in, parts come out.

Unlike `routing.sipuri`, which refuses what may not be dialled, this only tells what it can (RFC 3261 §19.1, §20.20 and
§25.1; RFC 3966 for tel:).
"""

from __future__ import annotations

import re

_SCHEME = re.compile(r"(sips?|tel):", re.IGNORECASE)
_PARAMETERS = re.compile(r"[;?].*", re.DOTALL)
_DISPLAY_NAME = re.compile(r'\s*"(?:[^"\\]|\\.)*"', re.DOTALL)


def printable(text: str) -> str:
    """Return the text with U+FFFD for what a terminal, a log file or a database would not take."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "�" for char in text)


def _split(uri: str) -> tuple[str, str, str]:
    """Return scheme (lower case), user and hostport of an address without parameters, as far as they can be told.

    Parameters begin after the host: a user may hold semicolons, but no at sign (RFC 3261 §25.1).
    """
    uri = printable(uri)
    found = _SCHEME.match(uri)
    scheme, text = (found[1].lower(), uri[found.end() :]) if found else ("", uri)
    user, at, rest = text.partition("@")
    bare = user + at + _PARAMETERS.sub("", rest) if at else _PARAMETERS.sub("", text)
    if scheme == "tel":
        return scheme, bare, ""
    user, _, host = bare.rpartition("@")
    return scheme, user, host


def user_and_host(uri: str) -> tuple[str, str]:
    """Return user and host of a Request-URI, as far as they can be told: `("100", "pbx.example.com")`."""
    _, user, host = _split(uri.strip().strip("<>"))
    bare = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return user.partition(":")[0], bare


def dialled(user: str, host: str) -> str:
    """Return what was dialled as the call log and the application see it; a number without a host is itself."""
    if not host:
        return user
    printed = f"[{host}]" if ":" in host else host
    return f"sip:{user}@{printed}" if user else f"sip:{printed}"


def bare_address(name_addr: str) -> str:
    """Return the bare address of a From or Diversion header: `sip:alice@example.com`, or the number of a tel: URI."""
    text = _DISPLAY_NAME.sub("", name_addr, count=1)
    scheme, user, host = _split((text.partition("<")[2].partition(">")[0] if "<" in text else text).strip())
    address = f"{user}@{host}" if user and host else user or host
    return f"{scheme}:{address}".strip() if scheme and scheme != "tel" else address.strip()


def caller_id(address: str) -> str:
    """Return the user of our From for a caller ID, which is an address or a number."""
    scheme, user, host = _split(address)
    return user.partition(":")[0] or ("" if scheme else host) or "cordboard"

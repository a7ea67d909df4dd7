"""Checks of single values that operators type: each error names what is wrong and what to write instead."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from routing import overrides, sipuri
from routing.errors import lookup

EVENTS = ("initiated", "ringing", "answered", "completed")
RECORDING_EVENTS = ("in-progress", "completed", "absent")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")
_CALLER_ID = re.compile(r"[A-Za-z0-9+\-_.]+\Z")
_NOT_IN_USERNAMES = re.compile(r"[\s:\"\\@<>]|[^\x21-\uffff]")
_PHONE_NUMBER = re.compile(r"\+[1-9][0-9]{1,14}\Z")
_PREFIX = re.compile(r"\+?[0-9*#]*\Z")
_PATTERN = re.compile(r"[^\s@*]*\*?\Z")


def with_code(code: int, text: str) -> ValidationError:
    """Return an error whose text ends with Twilio's code, so that it can be looked up."""
    return ValidationError(f"{text} (error {code}: {lookup(code).text})", code=str(code))


def normal_host(text: str) -> str:
    """Return a host name or IP address in the form that is compared: lower case, no brackets, no final dot."""
    name = text.strip().lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return name


def validate_host(text: str) -> None:
    """Refuse what is neither a host name nor an IP address."""
    name = normal_host(text)
    if not name.isascii():
        try:
            hint = f"write {name.encode('idna').decode()}"
        except UnicodeError:
            hint = "write its xn-- form"
        raise ValidationError(f"SIP carries host names in ASCII only: {hint} instead of {name}.")
    try:
        ipaddress.ip_address(name)
        return
    except ValueError:
        pass
    if len(name) > 253 or not all(_LABEL.match(label) for label in name.split(".")):
        raise ValidationError(
            "This is not a host name: use letters, digits, hyphens and dots only, without sip:, port or user, "
            "for example calls.example.com; or an IP address."
        )


def validate_url(text: str) -> None:
    """Refuse what cannot be requested: Twilio's rules ask for http or https and a host name without underscores.

    A user and password before the host are allowed, and so are connection overrides after # if they are in range.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise with_code(11100, f"This is not a URL ({error}): write for example https://example.com/voice.") from error
    if parts.scheme not in ("http", "https") or not host or port == 0 or re.search(r"\s", text):
        raise with_code(11100, "Write an absolute URL that begins with http:// or https:// and has no spaces.")
    if "_" in host:
        raise with_code(11100, f"The host name {host} has an underscore, which host names may not have: use a hyphen.")
    try:
        overrides.parse(parts.fragment)
    except overrides.OverrideError as error:
        raise with_code(11243, f"After the # of the URL: {error.message}.") from error


def validate_caller_id(text: str) -> None:
    """Refuse a caller ID that a SIP From cannot carry (Twilio's `<Dial callerId>` for SIP)."""
    if not _CALLER_ID.match(text):
        raise with_code(13247, "Use letters, digits and + - _ . only, without spaces.")


def validate_username(text: str) -> None:
    """Refuse a username that digest authentication cannot carry."""
    if _NOT_IN_USERNAMES.search(text):
        raise ValidationError('Leave out spaces and the characters : " \\ @ < > from the username.')


def validate_pattern(text: str) -> None:
    """Refuse a route pattern that is neither a dialled user, a prefix with `*`, nor `*`."""
    if not _PATTERN.match(text):
        raise ValidationError(
            "Write the dialled user as it is (100), a prefix followed by one * (555*), or * alone for everything else; "
            "no spaces, no @ and no * but at the end."
        )


def validate_prefix(text: str) -> None:
    """Refuse a beginning of a telephone number that none has: it goes before digits, and so does what is prepended."""
    if not _PREFIX.match(text):
        raise ValidationError("Write the digits (also * and #) as they are dialled, such as +49 or 00, without spaces.")


def validate_phone_number(text: str) -> None:
    """Refuse what is no telephone number in the form of E.164."""
    if not _PHONE_NUMBER.match(text):
        raise with_code(21421, "Write + and the country code first, digits only, at most 15, such as +493012345.")


def validate_password(text: str) -> None:
    """Refuse a password that Twilio refuses for a SIP credential."""
    rules = (
        (len(text) >= 12, "at least 12 characters"),
        (any(c.isdigit() for c in text), "a digit"),
        (any(c.isupper() for c in text) and any(c.islower() for c in text), "both upper and lower case letters"),
    )
    if missing := [name for holds, name in rules if not holds]:
        raise with_code(21243, f"The password needs {', '.join(missing)}.")


def normal_events(text: str, known: tuple[str, ...] = EVENTS) -> str:
    """Return the named events in their order in time; raise for a name that is none."""
    names = set(text.replace(",", " ").split())
    if unknown := sorted(names - set(known)):
        raise ValidationError(f"{unknown[0]} is no event: choose from {', '.join(known)}.")
    return " ".join(event for event in known if event in names)


def parse_headers(text: str) -> tuple[tuple[str, str], ...]:
    """Read custom headers, one `Name: value` on each line; raise for a line or a name that is not allowed."""
    headers = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not name or not value:
            raise ValidationError(f"Line {number}: write Name: value, for example X-Queue: support.")
        if not sipuri.header_name_allowed(name):
            raise with_code(13252, f"Line {number}: {name} may not be sent. Names begin with X-, or are User-to-User.")
        headers.append((name, value))
    return tuple(headers)

"""PURE: the URI of a `<Sip>` noun or an endpoint: parse it, print it, refuse what Twilio refuses.

A `SipUri` that exists is valid: whatever builds one, a name, a length or a character that may not be is a `SipUriError`
with Twilio's code. Sources: RFC 3261 §19.1 and §25.1, Twilio's `<Sip>` page (design conformance §1.3).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Literal
from urllib.parse import quote, unquote

Transport = Literal["udp", "tcp", "tls"]
Srtp = Literal["off", "optional", "mandatory"]

MAX_URI = 255  # exclusive: the canonical text without headers, prefix and parameters included
MAX_HEADERS_LENGTH = 1024  # exclusive: the encoded headers after the question mark
MAX_HEADERS = 10

BAD_URI = 13243
TOO_MANY_HEADERS = 13251
BAD_HEADER_NAME = 13252
HEADERS_TOO_LONG = 13253
BAD_HEADER_VALUE = 32112  # TwiML has no code of its own for a value; this is the SIP side's "invalid header value"

_ALLOWED_HEADERS = frozenset({"user-to-user", "remote-party-id", "p-preferred-identity", "p-called-party-id"})
_CONSUMED = frozenset({"transport", "region", "edge", "secure"})
_SECURE: dict[str, Srtp] = {"false": "off", "optional": "optional", "true": "mandatory"}

# RFC 3261 §25.1. `quote` never escapes letters, digits and "_.-~"; these are what else each place leaves alone.
_MARK = "!*'()"
_USER_SAFE = _MARK + "&=+$,;?/"
_PASSWORD_SAFE = _MARK + "&=+$,"
_PARAM_SAFE = _MARK + "[]/:&+$"
_HEADER_SAFE = _MARK + "[]/?:+$"

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# A number sign must be escaped by the RFC, yet people dial feature codes such as *21#; it is printed as %23.
_RAW_USERINFO = re.compile(r"[A-Za-z0-9_\-.!~*'()&=+$,;?/#%:\u0080-\U0010ffff]*")
_RAW_PARAM = re.compile(r"[A-Za-z0-9_\-.~!*'()\[\]/:&+$%]+")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_REGION = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


class SipUriError(ValueError):
    """A SIP URI that cannot be called; `code` is Twilio's error code, `message` is for the operator."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class SipUri:
    """A SIP URI in parts, all of them decoded: no percent escapes, an IPv6 `host` without its brackets.

    `region` is "" when the URI names none (the default region is meant), `port` None when it is the transport's
    default, `params` are the other URI parameters, a flag having the value "". `srtp` says whether the media are
    encrypted; like `region` it is for us (`;secure=`) and never sent.
    """

    user: str
    host: str
    port: int | None = None
    transport: Transport = "udp"
    region: str = ""
    params: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    password: str = field(default="", repr=False)
    srtp: Srtp = "off"

    def __post_init__(self) -> None:
        _check_text(self.user, "user", BAD_URI)
        _check_text(self.password, "password", BAD_URI)
        if self.password and not self.user:
            raise SipUriError(BAD_URI, "SIP URI: a password needs a user before it")
        _check_host(self.host)
        if self.port is not None and not 1 <= self.port <= 65535:
            raise SipUriError(BAD_URI, f"SIP URI: port {self.port} is not between 1 and 65535")
        if self.transport not in ("udp", "tcp", "tls"):
            raise SipUriError(BAD_URI, f"SIP URI: transport {self.transport!r} is not one of udp, tcp, tls")
        if self.region and not _REGION.fullmatch(self.region):
            raise SipUriError(BAD_URI, f"SIP URI: region {self.region[:80]!r} is not a name such as us1 or ie1")
        if self.srtp not in _SECURE.values():
            raise SipUriError(BAD_URI, f"SIP URI: srtp {self.srtp!r} is not one of off, optional, mandatory")
        _check_params(self.params)
        _check_headers(self.headers)
        if len(self._base) >= MAX_URI:
            raise SipUriError(BAD_URI, f"SIP URI: {len(self._base)} characters without headers; at most {MAX_URI - 1}")
        if self.encoded_headers_length >= MAX_HEADERS_LENGTH:
            raise SipUriError(
                HEADERS_TOO_LONG,
                f"SIP headers: {self.encoded_headers_length} characters once encoded; at most {MAX_HEADERS_LENGTH - 1}",
            )

    @property
    def effective_port(self) -> int:
        """Return the port that is called: the given one, else 5061 for TLS and 5060 otherwise."""
        return self.port or (5061 if self.transport == "tls" else 5060)

    @property
    def next_hop(self) -> str:
        """Return the host that the request is sent to: `maddr` if given (RFC 3261 §19.1.1), else the host.

        Deny lists must look at this one.
        """
        maddr = dict(self.params).get("maddr", "")
        return maddr.strip("[]") or self.host

    @property
    def address(self) -> str:
        """Return `sip:user@host[:port]`, what the call log shows."""
        return self._printed(quote(self.user, safe=_USER_SAFE))

    @property
    def request_uri(self) -> str:
        """Return what goes on the wire: without region, secure and headers."""
        return self._with_userinfo() + self._printed_params(region="", secure="")

    @property
    def text(self) -> str:
        """Return the canonical full form for a `<Sip>` noun; `parse` gives the same value back."""
        return self._base + ("?" + self._encoded_headers if self.headers else "")

    @property
    def encoded_headers_length(self) -> int:
        """Return the length of the headers as printed after the question mark."""
        return len(self._encoded_headers)

    def with_headers(self, headers: Iterable[tuple[str, str]]) -> SipUri:
        """Return this URI with these headers after its own; raise `SipUriError` if one may not be."""
        return replace(self, headers=(*self.headers, *headers))

    @property
    def _base(self) -> str:
        secure = next(value for value, srtp in _SECURE.items() if srtp == self.srtp)
        return self._with_userinfo() + self._printed_params(self.region, "" if self.srtp == "off" else secure)

    @property
    def _encoded_headers(self) -> str:
        return "&".join(
            f"{quote(name, safe=_HEADER_SAFE)}={quote(value, safe=_HEADER_SAFE)}" for name, value in self.headers
        )

    def _with_userinfo(self) -> str:
        password = ":" + quote(self.password, safe=_PASSWORD_SAFE) if self.password else ""
        return self._printed(quote(self.user, safe=_USER_SAFE) + password)

    def _printed(self, userinfo: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        at = f"{userinfo}@" if userinfo else ""
        port = f":{self.port}" if self.port is not None else ""
        return f"sip:{at}{host}{port}"

    def _printed_params(self, region: str, secure: str) -> str:
        transport = "" if self.transport == "udp" else self.transport
        params = (("transport", transport), ("region", region), ("secure", secure))
        named = "".join(f";{name}={value}" for name, value in params if value)
        others = (";" + "=".join(quote(part, safe=_PARAM_SAFE) for part in pair if part) for pair in self.params)
        return named + "".join(others)


def header_name_allowed(name: str) -> bool:
    """Say whether a custom header of this name may be sent: `x-…`, User-to-User and three identity headers."""
    lowered = name.lower()
    wanted = lowered in _ALLOWED_HEADERS or (lowered.startswith("x-") and len(lowered) > 2)
    return wanted and _TOKEN.fullmatch(name) is not None


def parse(text: str) -> SipUri:
    """Parse the text of a `<Sip>` noun; raise `SipUriError` when it cannot be called.

    Tolerated: white space around, no `sip:` prefix, any case of scheme, host and parameter names, `edge` for `region`.
    `sips:` means `sip:` over TLS. `;secure=true` demands SRTP, `;secure=optional` offers it.
    """
    text = text.strip()
    if any(char.isspace() for char in text):
        raise SipUriError(BAD_URI, "SIP URI: white space inside; write %20, and leave out any display name")
    rest, sips = _without_scheme(text)
    userinfo, at, remainder = rest.partition("@")
    if not at:
        userinfo, remainder = "", rest
    elif not userinfo:
        raise SipUriError(BAD_URI, "SIP URI: nothing before the @; write user@host or only the host")
    user, password = _split_userinfo(userinfo)
    body, question_mark, header_text = remainder.partition("?")
    hostport, *param_texts = body.split(";")
    host, port = _split_hostport(hostport)
    params = [_split_param(param) for param in param_texts]
    transport = _transport(_take(params, "transport").lower(), sips)
    srtp = _srtp(params)
    region, edge = _take(params, "region").lower(), _take(params, "edge").lower()
    if region and edge and region != edge:
        raise SipUriError(BAD_URI, f"SIP URI: region {region[:80]!r} and edge {edge[:80]!r} name two places; give one")
    headers = tuple(_split_header(header) for header in header_text.split("&")) if question_mark else ()
    return SipUri(user, host, port, transport, region or edge, tuple(params), headers, password, srtp)


def _without_scheme(text: str) -> tuple[str, bool]:
    scheme, _, rest = text.partition(":")
    match scheme.lower():
        case "sip":
            return rest, False
        case "sips":
            return rest, True
        case _:
            return text, False


def _split_userinfo(userinfo: str) -> tuple[str, str]:
    if not _RAW_USERINFO.fullmatch(userinfo):
        raise SipUriError(BAD_URI, "SIP URI: a character before the @ must be written as %XX, a space as %20")
    user, _, password = userinfo.partition(":")
    return _decode(user, "user", BAD_URI), _decode(password, "password", BAD_URI)


def _split_hostport(hostport: str) -> tuple[str, int | None]:
    if hostport.startswith("["):
        host, bracket, tail = hostport[1:].partition("]")
        host = _ipv6(host if bracket else hostport)
        colon, port = tail[:1], tail[1:]
    else:
        host, colon, port = hostport.partition(":")
        host = host.lower()
    if not colon:
        return host, None
    if colon != ":" or not (port.isascii() and port.isdigit() and len(port) <= 5):
        hint = "; put an IPv6 address in brackets" if ":" in port else ""
        raise SipUriError(BAD_URI, f"SIP URI: {hostport[:80]!r} is not host:port{hint}")
    return host, int(port)


def _ipv6(text: str) -> str:
    """Return an IPv6 address in its shortest form, so that equal addresses are equal text."""
    try:
        return str(IPv6Address(text))
    except AddressValueError:
        raise SipUriError(BAD_URI, f"SIP URI: {text[:80]!r} is not an IPv6 address") from None


def _split_param(text: str) -> tuple[str, str]:
    if not _RAW_PARAM.fullmatch(text.replace("=", "", 1)):
        raise SipUriError(BAD_URI, f"SIP URI: parameter {text[:80]!r} is not of the form name=value")
    name, _, value = text.partition("=")
    return _decode(name, "parameter name", BAD_URI).lower(), _decode(value, "parameter value", BAD_URI)


def _take(params: list[tuple[str, str]], name: str) -> str:
    """Remove the first parameter of this name and return its value, "" if there is none."""
    index = next((index for index, param in enumerate(params) if param[0] == name), None)
    return "" if index is None else params.pop(index)[1]


def _transport(name: str, sips: bool) -> Transport:
    match name, sips:
        # RFC 3261 §26.2.2: sips with transport=tcp is TLS over TCP.
        case ("tls", _) | ("" | "tcp", True):
            return "tls"
        case "" | "udp", False:
            return "udp"
        case "tcp", False:
            return "tcp"
        case _:
            raise SipUriError(
                BAD_URI, f"SIP URI: transport {name[:80]!r} is not one of udp, tcp, tls (sips: never udp)"
            )


def _srtp(params: list[tuple[str, str]]) -> Srtp:
    if not any(name == "secure" for name, _ in params):
        return "off"
    value = _take(params, "secure").lower()
    if value not in _SECURE:
        raise SipUriError(BAD_URI, f"SIP URI: secure={value[:80]} is not one of secure=true, optional, false")
    return _SECURE[value]


def _split_header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SipUriError(BAD_HEADER_NAME, f"SIP headers: {text[:80]!r} is not of the form name=value")
    return _decode(name, "header name", BAD_HEADER_NAME), _decode(
        value, f"value of header {name[:80]}", BAD_HEADER_VALUE
    )


def _decode(text: str, what: str, code: int) -> str:
    if _BAD_ESCAPE.search(text):
        raise SipUriError(code, f"SIP URI: {what} has a % without two hexadecimal digits after it; write %25")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise SipUriError(code, f"SIP URI: {what} is not UTF-8 once decoded") from None


def _check_text(text: str, what: str, code: int, invisible: frozenset[str] = frozenset({"Cc", "Cf", "Cs"})) -> None:
    """Refuse control characters: they could end a line of the SIP message and start a header of the sender's choice."""
    for char in text:
        if unicodedata.category(char) in invisible:
            raise SipUriError(code, f"SIP URI: {what} holds the invisible character U+{ord(char):04X}; remove it")


def _check_host(host: str) -> None:
    try:
        if ":" in host and "%" not in host:
            IPv6Address(host)
            return
        labels = host.removesuffix(".").split(".")
        if labels[-1].isdigit():  # RFC 3261 §25.1: the last label of a name does not start with a digit
            IPv4Address(host)
            return
    except AddressValueError as error:
        raise SipUriError(BAD_URI, f"SIP URI: host {host[:80]!r} is not an IP address ({error})") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise SipUriError(
            BAD_URI,
            f"SIP URI: host {host[:80]!r} is not a host name (international names: their xn-- form) or IP address",
        )


def _check_params(params: tuple[tuple[str, str], ...]) -> None:
    seen = set(_CONSUMED)
    for name, value in params:
        if not name or name in seen:
            raise SipUriError(BAD_URI, f"SIP URI: parameter {name[:80]!r} is empty or there twice")
        seen.add(name)
        _check_text(name + value, f"parameter {name[:80]}", BAD_URI)


def _check_headers(headers: tuple[tuple[str, str], ...]) -> None:
    if len(headers) > MAX_HEADERS:
        raise SipUriError(TOO_MANY_HEADERS, f"SIP headers: {len(headers)} of them; at most {MAX_HEADERS}")
    for name, value in headers:
        if not header_name_allowed(name):
            raise SipUriError(
                BAD_HEADER_NAME,
                f"SIP headers: {name[:80]!r} may not be sent; names start with x-, or are User-to-User, "
                "Remote-Party-ID, P-Preferred-Identity or P-Called-Party-ID",
            )
        # Format characters stay: some scripts cannot be written without them.
        _check_text(value, f"value of header {name[:80]}", BAD_HEADER_VALUE, frozenset({"Cc", "Cs"}))

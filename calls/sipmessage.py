"""PURE: a SIP message as it was on the wire made fit to be kept: what it is, and its text with every secret masked.

Masked are digests and other credentials (RFC 3261 §22, but for who wants what of which realm), keys of media (RFC 4568,
SDP's k=), passwords and tokens in URIs and in headers named after them, and keys that were pressed, which may be a PIN.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MASK = "***"
REQUEST = re.compile(r"([A-Za-z0-9.!%*_+`'~-]{1,32}) \S+ SIP/2\.0$")
RESPONSE = re.compile(r"SIP/2\.0 (\d{3})(?: |$)")
CALL_ID = re.compile(r"^(?:call-id|i)[ \t]*:[ \t]*(.+?)[ \t]*$", re.IGNORECASE | re.MULTILINE)
CSEQ = re.compile(r"^cseq[ \t]*:[ \t]*(\d{1,10})[ \t]+(\S{1,32})", re.IGNORECASE | re.MULTILINE)
_ENDING = re.compile(r"\r\n|\r|\n")
_FOLD = re.compile(r"\n[ \t]+")
_SECRET_HEADER = re.compile(
    r"^([^:\n]{0,64}(?:auth|passw|secret|token|credential|api-?key|cookie)[^:\n]{0,64}?)([ \t]*:[ \t]*)(.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_CREDENTIALS = frozenset(
    {
        "authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate",
        "authentication-info", "proxy-authentication-info",
    }
)  # fmt: skip
_PARAMETER = re.compile(r"([A-Za-z0-9_-]{1,32})[ \t]*=[ \t]*(\"(?:[^\"\\]|\\.)*\"?|[^,\s]*)")
_SHOWN = frozenset({"username", "realm", "uri", "algorithm", "qop", "nc", "stale", "domain", "userhash", "charset"})
_URI_PASSWORD = re.compile(
    r"\b((?:sips?|https?|wss?|ftp|turns?|stuns?):(?://)?[^\s:@<>\"]{0,256}):[^\s@<>\"]{1,256}@", re.IGNORECASE
)
_URI_SECRET = re.compile(
    r"([;?&][ \t]*(?:[a-z0-9_-]{0,32}(?:passw|secret|token|api-?_?key)[a-z0-9_-]{0,32}|pass|pwd|pin|auth)[ \t]*=)"
    r"[^;&>\s,\"]+",
    re.IGNORECASE,
)
_SDP_KEY = re.compile(r"^([ \t]*(?:a=crypto:|a=key-mgmt:|a=ice-pwd:|k=))(.*)$", re.IGNORECASE | re.MULTILINE)
_SUITE = re.compile(r"\d{1,9}[ \t]+[A-Z0-9_]{1,40}(?=[ \t])")
_SIGNAL = re.compile(r"^([ \t]*signal[ \t]*=).*$", re.IGNORECASE | re.MULTILINE)
_PLAIN_DIGIT = re.compile(
    r"^(?:content-type|c)[ \t]*:[ \t]*application/dtmf[ \t]*(?:;.*)?$", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class SipText:
    """What a message is. `code` is 0 for a request; `method` of a response is its CSeq's."""

    start_line: str
    method: str
    code: int
    cseq: int
    call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """A message as an engine saw it: `microseconds` since the epoch, addresses as host:port, `size` on the wire."""

    microseconds: int
    sent: bool
    transport: str
    local: str
    peer: str
    size: int
    sip: SipText


def read(data: bytes, *, show_digits: bool = False) -> SipText | None:
    """Return the message with its secrets masked, lines ended by newlines; None if it is no SIP message."""
    text = _ENDING.sub("\n", data.decode("utf-8", "replace"))
    head, gap, body = text.partition("\n\n")
    head = _FOLD.sub(" ", head)
    start = head.partition("\n")[0]
    call_id, cseq = CALL_ID.search(head), CSEQ.search(head)
    request, response = REQUEST.match(start), RESPONSE.match(start)
    if call_id is None or cseq is None or not (request or response):
        return None
    return SipText(
        start_line=masked(start),
        method=(request[1] if request else cseq[2]).upper(),
        code=int(response[1]) if response else 0,
        cseq=int(cseq[1]),
        call_id=call_id[1],
        text=masked(head) + gap + _body(head, body, show_digits=show_digits),
    )


def masked(text: str) -> str:
    """Return text of a message, lines unfolded, without what must not be kept."""
    text = _SECRET_HEADER.sub(_header, text)
    text = _URI_PASSWORD.sub(rf"\1:{MASK}@", text)
    return _URI_SECRET.sub(rf"\1{MASK}", text)


def _body(head: str, body: str, *, show_digits: bool) -> str:
    if not body:
        return body
    body = _SDP_KEY.sub(_sdp_key, masked(body))
    if show_digits:
        return body
    if _PLAIN_DIGIT.search(head):
        return MASK
    return _SIGNAL.sub(rf"\1{MASK}", body)


def _header(match: re.Match[str]) -> str:
    name, colon, value = match.groups()
    if name.lower() not in _CREDENTIALS:
        return f"{name}{colon}{MASK}"
    scheme, space, rest = value.partition(" ")
    if "=" in scheme or not space:  # Authentication-Info has no scheme
        scheme, space, rest = "", "", value
    shown = ", ".join(_parameter(found) for found in _PARAMETER.finditer(rest))
    return f"{name}{colon}{scheme}{space}{shown or MASK}"


def _parameter(match: re.Match[str]) -> str:
    name, value = match.groups()
    return f"{name}={value}" if name.lower() in _SHOWN else f'{name}="{MASK}"'


def _sdp_key(match: re.Match[str]) -> str:
    """Keep of a=crypto its tag and suite; of the others nothing."""
    name, value = match.groups()
    suite = _SUITE.match(value) if name.strip().lower() == "a=crypto:" else None
    return f"{name}{suite[0]} {MASK}" if suite else f"{name}{MASK}"

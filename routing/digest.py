"""PURE: SIP digest authentication as the server: make a challenge, verify the answer to it.

Sources: RFC 3261 §22, RFC 2617 §3 (MD5, with qop=auth and the older form without qop), RFC 8760 (SHA-256). Nothing is
stored between challenge and answer: the nonce is a time signed together with realm, Call-ID and source address, so an
overheard answer is of no use for another call, from another address, or after a minute.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Algorithm = Literal["MD5", "SHA-256"]

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_NONCE = re.compile(r"([0-9a-f]{1,16})\.([0-9a-f]{32})")
_SCHEME = re.compile(r"\s*Digest\s+", re.IGNORECASE)
_PAIR = re.compile(r'\s*([A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|\Z)', re.DOTALL)
_NONCE_COUNT = re.compile(r"[0-9A-Fa-f]{8}")
_REQUIRED = frozenset({"username", "realm", "nonce", "uri", "response"})


@dataclass(frozen=True, slots=True)
class Verified:
    """The answer proves that the peer knows this user's password."""

    username: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The answer proves nothing; `stale` alone means that the password was right and only the nonce too old."""

    why: Literal["wrong-password", "unknown-user", "stale", "malformed", "foreign-nonce"]


def ha1(username: str, realm: str, password: str, algorithm: Algorithm = "MD5") -> str:
    """Return H(username:realm:password) in hexadecimal, which is all that a server has to keep (RFC 2617 §3.2.2.2)."""
    return _hash(algorithm, f"{username}:{realm}:{password}")


def digest_response(
    ha1: str,
    method: str,
    uri: str,
    nonce: str,
    *,
    qop: str = "",
    nonce_count: str = "",
    cnonce: str = "",
    algorithm: str = "MD5",
) -> str:
    """Return the `response` that answers a nonce (RFC 2617 §3.2.2.1); without `qop` the older form of RFC 2069."""
    ha2 = _hash(algorithm, f"{method}:{uri}")
    middle = f"{nonce}:{nonce_count}:{cnonce}:{qop}" if qop else nonce
    return _hash(algorithm, f"{ha1}:{middle}:{ha2}")


def challenge(
    realm: str,
    secret: str,
    call_id: str,
    source_ip: str,
    now: float,
    stale: bool = False,
    algorithm: Algorithm = "MD5",
) -> str:
    """Return the value of Proxy-Authenticate (or WWW-Authenticate) that asks for credentials of `realm`.

    `secret` signs the nonce and must be the same wherever the answer may arrive; `now` is in seconds since the epoch.
    """
    nonce = _nonce(f"{int(now * 1000):x}", realm, secret, call_id, source_ip)
    suffix = ", stale=true" if stale else ""
    return f'Digest realm="{_escape(realm)}", nonce="{nonce}", algorithm={algorithm}, qop="auth"{suffix}'


def verify(
    authorization: str,
    method: str,
    realm: str,
    ha1_of: Callable[[str], str | None],
    secret: str,
    call_id: str,
    source_ip: str,
    now: float,
    max_age: float = 60.0,
) -> Verified | Rejected:
    """Judge the value of Proxy-Authorization (or Authorization) that answers our challenge of this call.

    `ha1_of` returns the HA1 of a username in this realm, or None. A nonce that is not ours for this call and source is
    `foreign-nonce`: phones try the nonce of an earlier call first, so it deserves a fresh challenge, not a refusal.
    """
    fields = _fields(authorization)
    if fields is None:
        return Rejected("malformed")
    issued = _issued(fields["nonce"], realm, secret, call_id, source_ip)
    if fields["realm"] != realm or issued is None:
        return Rejected("foreign-nonce")
    known = ha1_of(fields["username"])
    # An unknown user costs the same arithmetic, so that the time does not tell which users exist.
    expected = digest_response(
        known or "unknown",
        method,
        fields["uri"],
        fields["nonce"],
        qop=fields.get("qop", ""),
        nonce_count=fields.get("nc", ""),
        cnonce=fields.get("cnonce", ""),
        algorithm=fields["algorithm"],
    )
    right = hmac.compare_digest(_bytes(expected), _bytes(fields["response"].lower()))
    if known is None:
        return Rejected("unknown-user")
    if not right:
        return Rejected("wrong-password")
    return Verified(fields["username"]) if abs(now - issued) <= max_age else Rejected("stale")


def _nonce(stamp: str, realm: str, secret: str, call_id: str, source_ip: str) -> str:
    signed = "\0".join((stamp, realm, call_id, source_ip))
    return f"{stamp}.{hmac.new(_bytes(secret), _bytes(signed), hashlib.sha256).hexdigest()[:32]}"


def _issued(nonce: str, realm: str, secret: str, call_id: str, source_ip: str) -> float | None:
    """Return when we made this nonce for this call and source, in seconds since the epoch; None if we did not."""
    match = _NONCE.fullmatch(nonce)
    if match is None:
        return None
    ours = _nonce(match[1], realm, secret, call_id, source_ip)
    return int(match[1], 16) / 1000 if hmac.compare_digest(_bytes(ours), _bytes(nonce)) else None


def _fields(authorization: str) -> dict[str, str] | None:
    """Return the parameters of a Digest answer, unquoted, `algorithm` always there; None if it cannot be judged."""
    scheme = _SCHEME.match(authorization)
    fields: dict[str, str] = {}
    at = scheme.end() if scheme else 0
    while scheme and at < len(authorization):
        pair = _PAIR.match(authorization, at)
        if pair is None or pair[1].lower() in fields:
            return None
        fields[pair[1].lower()] = pair[3] if pair[2] is None else re.sub(r"\\(.)", r"\1", pair[2], flags=re.DOTALL)
        at = pair.end()
    fields["algorithm"] = fields.get("algorithm", "MD5").upper()
    return fields if _acceptable(fields) else None


def _acceptable(fields: dict[str, str]) -> bool:
    if not fields.keys() >= _REQUIRED or fields["algorithm"] not in _HASHES:
        return False
    if "qop" not in fields:
        return True
    return fields["qop"] == "auth" and "cnonce" in fields and bool(_NONCE_COUNT.fullmatch(fields.get("nc", "")))


def _hash(algorithm: str, text: str) -> str:
    return _HASHES[algorithm](_bytes(text)).hexdigest()


def _bytes(text: str) -> bytes:
    # Whatever a peer sends must be hashable, also text that was no UTF-8 on the wire.
    return text.encode("utf-8", "surrogatepass")


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

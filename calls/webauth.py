"""PURE: HTTP authentication with the user and password of a URL (`https://user:pass@…`): basic and digest, the client's
half.

Sources: RFC 7617 (basic), RFC 7616 (digest: MD5 and SHA-256, with qop=auth or without any).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from routing.digest import digest_response, ha1

Login = tuple[str, str]

_VALUE = r'(?:"(?:[^"\\]|\\.)*"|[^\s,"]+)'
_PARAMETER = rf"[a-z]+\s*=\s*{_VALUE}"
_CHALLENGE = re.compile(rf"(?:^|,)\s*digest\s+({_PARAMETER}(?:\s*,\s*{_PARAMETER})*)", re.IGNORECASE | re.DOTALL)
_PAIR = re.compile(rf"([a-z]+)\s*=\s*({_VALUE})", re.IGNORECASE | re.DOTALL)
_PREFERENCE = ("SHA-256", "MD5")


def basic(login: Login) -> str:
    """Return the Authorization header that tells user and password (RFC 7617)."""
    return "Basic " + base64.b64encode(":".join(login).encode()).decode()


def digest(challenges: Sequence[str], login: Login, method: str, target: str, cnonce: str) -> str | None:
    """Return the Authorization header that answers the best digest challenge of these WWW-Authenticate headers.

    `target` is the path and query as they are sent. None if there is no challenge that can be answered.
    """
    found = [fields for header in challenges for fields in _challenges(header)]
    usable = [fields for fields in found if _algorithm(fields) in _PREFERENCE and _answerable(fields)]
    if not usable:
        return None
    best = min(usable, key=lambda fields: _PREFERENCE.index(_algorithm(fields)))
    return _answer(best, login, method, target, cnonce)


def _answer(fields: dict[str, str], login: Login, method: str, target: str, cnonce: str) -> str:
    user, password = login
    algorithm, nonce, count = _algorithm(fields), fields["nonce"], "00000001"
    secret = ha1(user, fields["realm"], password, "SHA-256" if algorithm == "SHA-256" else "MD5")
    qop = "auth" if "qop" in fields else ""
    response = digest_response(
        secret, method, target, nonce, qop=qop, nonce_count=count, cnonce=cnonce, algorithm=algorithm
    )
    quoted = {"username": user, "realm": fields["realm"], "nonce": nonce, "uri": target, "response": response}
    if "opaque" in fields:
        quoted["opaque"] = fields["opaque"]
    parts = [f'{name}="{_escaped(value)}"' for name, value in quoted.items()]
    if "algorithm" in fields:
        parts.append(f"algorithm={fields['algorithm']}")
    if qop:
        parts += ["qop=auth", f"nc={count}", f'cnonce="{cnonce}"']
    return "Digest " + ", ".join(parts)


def _challenges(header: str) -> list[dict[str, str]]:
    return [
        {name.lower(): _unquoted(value) for name, value in _PAIR.findall(match[1])}
        for match in _CHALLENGE.finditer(header)
    ]


def _algorithm(fields: dict[str, str]) -> str:
    return fields.get("algorithm", "MD5").upper()


def _answerable(fields: dict[str, str]) -> bool:
    offered = [one.strip().lower() for one in fields.get("qop", "auth").split(",")]
    return "realm" in fields and bool(fields.get("nonce")) and "auth" in offered


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL) if value.startswith('"') else value


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

"""PURE: what an attempt to tell a web application something came to, and whether it is made again.

Source: Twilio's pages on status callbacks and on webhook errors (design conformance §1.9, §1.11, §1.12); which failures
are tried again, and when, is our own decision.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

DOUBTFUL_ANSWER = 15003
HTTP_FAILURE = 11200

# Time-outs, refused, lost, name not found, TLS: a server that is started, or set right, is asked again.
_MAY_PASS = frozenset({11201, 11202, 11203, 11205, 11206, 11210, 11220, 11235, 11236, 11237})
_BUSY = frozenset({408, 429})
_SPACE = r"(?:\s|<!--(?:(?!-->).)*+-->)*+"
_EMPTY_RESPONSE = re.compile(
    rf"\ufeff?\s*(?:<\?xml[^>]*\?>)?{_SPACE}<Response\s*(?:/>|>{_SPACE}</Response\s*>){_SPACE}", re.DOTALL
)


def may_pass(error_code: int, status: int) -> bool:
    """Say whether a failure may pass by itself; `status` is that of the HTTP answer, 0 when there was none."""
    if status:
        return status >= 500 or status in _BUSY
    return error_code in _MAY_PASS


def delay_after(attempt: int, delays: Sequence[float]) -> float | None:
    """Return the seconds from a failed attempt (counted from 1) to the next one, None when it was the last."""
    return delays[attempt - 1] if attempt <= len(delays) else None


def derived_sid(prefix: str, *parts: object) -> str:
    """Return an identifier that is always the same for these parts, so that doing a thing twice makes one row."""
    return prefix + hashlib.sha256(":".join(map(str, parts)).encode()).hexdigest()[:32]


def is_expected_answer(body: str) -> bool:
    """Say whether a callback was answered as Twilio asks for: with nothing, or an empty `<Response/>`."""
    return not body.strip() or _EMPTY_RESPONSE.fullmatch(body) is not None

"""PURE: Twilio's string identifiers: two letters that name the kind, then 32 hexadecimal digits.

The `pattern` of Twilio's OpenAPI is `^XX[0-9a-fA-F]{32}$`; we emit lower case.
"""

from __future__ import annotations

import re
import secrets

PATTERN = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}\Z")


def new_sid(prefix: str) -> str:
    """Draw a new identifier, for example `CA` + 32 hex digits for a call."""
    return prefix + secrets.token_hex(16)


def is_sid(text: str, prefix: str) -> bool:
    """Say whether `text` is a well-formed identifier of this kind."""
    return text.startswith(prefix) and PATTERN.match(text) is not None

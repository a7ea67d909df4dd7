"""PURE: foreign text made fit to be shown: escaping HTML is the template's work, this is about what it cannot see."""

from __future__ import annotations

import re

# Control characters but tab and newline, and those that turn the text around them (Unicode's Bidi_Control).
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """Return the text with every character that is not seen as itself written out as `\\uXXXX`."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text.replace("\r\n", "\n"))

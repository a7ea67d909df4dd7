"""Patterns of blocked callers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.blocked import caller_keys, covers, is_anonymous, normal_pattern


class TestPatterns:
    """How they are written."""

    @pytest.mark.parametrize(
        ("text", "pattern"),
        [
            ("+49 (30) 123-45.67", "+49301234567"),
            (" 030/123* ", "030123*"),
            ("sip:Bob@Example.COM", "bob@example.com"),
            ("tel:+4930", "+4930"),
            ("Anonymous", "anonymous"),
            ("bob*", "bob*"),
            ("Jürgen", "jürgen"),
            ("a-b.c", "a-b.c"),
        ],
    )
    def test_they_are_stored_as_callers_are_compared(self, text: str, pattern: str) -> None:
        assert normal_pattern(text) == pattern
        assert normal_pattern(pattern) == pattern

    @pytest.mark.parametrize("text", ["", "*", "+*", "  ", "a b", "4*9", "*9", "**9", "a\0b", "x\n"[:2] + "y"])
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="write|Write"):
            normal_pattern(text)


class TestCovers:
    """Which callers they cover."""

    @pytest.mark.parametrize(
        ("pattern", "caller"),
        [
            ("+49301234567", "+49301234567"),
            ("+49301234567", "sip:+49301234567@carrier.example;user=phone"),
            ("+4930*", "+49 30 1234567"),
            ("bob", "sip:BOB@example.com"),
            ("bob@example.com", "sip:bob@example.com:5070;transport=tcp"),
            ("bob@exa*", "sip:bob@example.com"),
            ("bob", "sip:bob:secret@example.com"),
            ("anonymous", "sip:anonymous@anonymous.invalid"),
            ("anonymous", "sip:x@anonymous.invalid"),
            ("anonymous", "Restricted"),
            ("anonymous", ""),
        ],
    )
    def test_these(self, pattern: str, caller: str) -> None:
        assert covers(pattern, caller)

    @pytest.mark.parametrize(
        ("pattern", "caller"),
        [
            ("+4930", "+49301234567"),
            ("bob@example.com", "sip:bob@example.org"),
            ("bob", "sip:bobby@example.com"),
            ("+49*", ""),
            ("anonymous", "+4930"),
            ("anonymous", "sip:bob@example.com"),
        ],
    )
    def test_but_not_these(self, pattern: str, caller: str) -> None:
        assert not covers(pattern, caller)

    @given(st.text(max_size=50) | st.text(max_size=20).map(lambda text: f"sip:{text}@h"))
    def test_whatever_was_sent_does_no_harm(self, caller: str) -> None:
        assert all(len(key) <= 255 for key in caller_keys(caller * 200))
        is_anonymous(caller)
        covers("+49*", caller)

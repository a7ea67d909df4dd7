"""Short ways to read a piece of TwiML in tests."""

from __future__ import annotations

from typing import Any

from sipengine.twiml import Document, parse

ONE = "<Sip>sip:a@h</Sip>"


def document(inner: str) -> Document:
    """Return what a response with this content means."""
    return parse(f"<Response>{inner}</Response>".encode())


def only(inner: str) -> Any:
    """Return the one verb of a document that gives no cause for remarks."""
    read = document(inner)
    assert read.warnings == ()
    (verb,) = read.verbs
    return verb


def only_noun(inner: str) -> Any:
    """Return the one noun of a `<Dial>` with this content, which gives no cause for remarks."""
    (noun,) = only(f"<Dial>{inner}</Dial>").nouns
    return noun


def codes(inner: str) -> list[int]:
    """Return the codes of the remarks, in order."""
    return [remark.code for remark in document(inner).warnings]


def remarked(inner: str) -> tuple[Any, list[int]]:
    """Return the one verb of a document and the codes of the remarks."""
    (verb,) = document(inner).verbs
    return verb, codes(inner)

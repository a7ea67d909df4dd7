"""PURE: what a caller hears: `<Say>`, `<Play>`, `<Pause>`, and `<Gather>` around them. Source: Twilio's pages."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from sipengine.twiml.accepted import CHILDREN, SSML
from sipengine.twiml.elements import Elements
from sipengine.twiml.markup import own_text, shown
from sipengine.twiml.values import media_url
from sipengine.twiml.verbs import Gather, Pause, Play, Say

MAX_SAY = 4096
BAD_CHILD_OF_GATHER = 13320


def read_say(elements: Elements, element: etree._Element, nested: bool = False) -> Say | None:
    """Return the verb, None if it has no text; `nested` says that it is in a `<Gather>`."""
    values = elements.attributes(element, nested=nested)
    for child in element.iterdescendants():
        if child.tag not in SSML:
            elements.remark(12200, f"<{shown(child.tag)}> does not belong in <Say>; its text is read", child)
    text = " ".join(word for piece in element.itertext() for word in str(piece).split())
    if not text:
        elements.remark(13520, "<Say> has no text and is skipped", element)
        return None
    if len(text) > MAX_SAY:
        elements.remark(13521, f"<Say> is {len(text)} characters long and is cut at {MAX_SAY}", element)
    return Say(text[:MAX_SAY], **values)


def read_play(elements: Elements, element: etree._Element) -> Play | None:
    """Return the verb, None if there is nothing to play; digits go before a URL."""
    values = elements.leaf(element)
    address = elements.address(element, media_url)
    if values["digits"]:
        if address:
            elements.remark(12200, f"<Play> has digits and a URL; {shown(address)} is not played", element)
        return Play("", **values)
    if address == "":
        elements.remark(12200, "<Play> names no URL and is skipped", element)
    return Play(address, **values) if address else None


def read_pause(elements: Elements, element: etree._Element) -> Pause:
    """Return the verb."""
    return Pause(**elements.leaf(element))


def read_gather(elements: Elements, element: etree._Element) -> Gather:
    """Return the verb with its prompts; what may not be in it is skipped with 13320."""
    values = elements.leaf(element, CHILDREN["Gather"], code=BAD_CHILD_OF_GATHER)
    if own_text(element):
        elements.remark(12200, f"text of <Gather> is skipped: {shown(own_text(element))}", element)
    return Gather(tuple(_prompts(elements, element)), **values)


def _prompts(elements: Elements, gather: etree._Element) -> Iterator[Say | Play | Pause]:
    for child in gather:
        prompt: Say | Play | Pause | None = None
        match child.tag:
            case "Say":
                prompt = read_say(elements, child, nested=True)
            case "Play":
                prompt = read_play(elements, child)
            case "Pause":
                prompt = read_pause(elements, child)
        if prompt is not None:
            yield prompt

"""PURE: TwiML bytes in, a `Document` out. The whole document is read before anything runs.

Sources: Twilio's TwiML page and those of its verbs; design conformance §1.1.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping

from lxml import etree

from routing import sipuri
from routing.sipuri import SipUriError
from sipengine.twiml import markup
from sipengine.twiml.accepted import CHILDREN, VERBS, WHY_NOT
from sipengine.twiml.elements import Elements, hint, take_callback
from sipengine.twiml.markup import own_text, shown
from sipengine.twiml.nouns import read_dial
from sipengine.twiml.prompts import read_gather, read_pause, read_play, read_say
from sipengine.twiml.values import webhook_url
from sipengine.twiml.verbs import Document, Enqueue, Hangup, Leave, Record, Redirect, Refer, Reject, Verb

MAX_QUEUE_NAME = 128


@functools.lru_cache(maxsize=256)  # the same route gives the same bytes, call after call
def parse(body: bytes) -> Document:
    """Return the verbs of a TwiML document; raise `TwimlError` if it cannot be run at all.

    Codes: 11750 over 65,536 bytes, 11770 empty, 12100 not well-formed, 12101 XML version, 12102 root. What concerns a
    single verb or attribute is skipped or replaced by its default, and remarked upon in `warnings`.
    """
    elements = Elements()
    verbs = tuple(_verbs(elements, markup.response(body)))
    return Document(verbs, tuple(sorted(elements.remarks, key=lambda remark: remark.line)))


def _verbs(elements: Elements, response: etree._Element) -> Iterator[Verb]:
    elements.attributes(response)
    if own_text(response):
        elements.remark(12200, f"text outside a verb is skipped: {shown(own_text(response))}", response)
    for element in response:
        if element.tag in _VERBS:
            verb = _VERBS[element.tag](elements, element)
            if verb is not None:
                yield verb
        elif element.tag in VERBS:
            text = f"<{element.tag}> is not supported yet and is skipped: {WHY_NOT[element.tag]}"
            elements.remark(12200, text, element)
        else:
            text = f"unknown verb <{shown(element.tag)}> is skipped{hint(element.tag, VERBS)}"
            elements.remark(12200, text, element)


def _record(elements: Elements, element: etree._Element) -> Record:
    values = elements.leaf(element)
    return Record(callback=take_callback(values, "recording_status_callback"), **values)


def _redirect(elements: Elements, element: etree._Element) -> Redirect | None:
    values = elements.leaf(element)
    address = elements.address(element, webhook_url)
    if address == "":
        elements.remark(12200, "<Redirect> names no URL and is skipped", element)
    return Redirect(address, **values) if address else None


def _reject(elements: Elements, element: etree._Element) -> Reject:
    return Reject(**elements.leaf(element))


def _hangup(elements: Elements, element: etree._Element) -> Hangup:
    return Hangup(**elements.leaf(element))


def _enqueue(elements: Elements, element: etree._Element) -> Enqueue | None:
    values = elements.leaf(element, CHILDREN["Enqueue"])
    name = own_text(element)
    if not 0 < len(name) <= MAX_QUEUE_NAME:
        text = f"<Enqueue> needs the name of a queue, at most {MAX_QUEUE_NAME} characters, and is skipped"
        elements.remark(12200, text, element)
        return None
    return Enqueue(name, **values)


def _leave(elements: Elements, element: etree._Element) -> Leave:
    return Leave(**elements.leaf(element))


def _refer(elements: Elements, element: etree._Element) -> Refer | None:
    values = elements.leaf(element, CHILDREN["Refer"])
    targets = [child for child in element if child.tag in CHILDREN["Refer"]]
    if not targets:
        elements.remark(12200, "<Refer> names nobody in a <Sip> and is skipped", element)
        return None
    for target in targets:
        elements.leaf(target, table="ReferSip")
    if len(targets) > 1:
        elements.remark(12200, f"<Refer> names {len(targets)} addresses; the first one is used", element)
    try:
        return Refer(sipuri.parse(own_text(targets[0])), **values)
    except SipUriError as error:
        elements.remark(error.code, f"<Refer> is skipped: {error.message}", element)
        return None


_VERBS: Mapping[str, Callable[[Elements, etree._Element], Verb | None]] = {
    "Say": read_say,
    "Play": read_play,
    "Pause": read_pause,
    "Gather": read_gather,
    "Record": _record,
    "Redirect": _redirect,
    "Reject": _reject,
    "Hangup": _hangup,
    "Enqueue": _enqueue,
    "Leave": _leave,
    "Refer": _refer,
    "Dial": read_dial,
}

"""PURE: `<Dial>` and what may be in it: whom to ring (`<Sip>`, `<Number>`, `<Client>`, text), or a room to join.

Sources: Twilio's pages of `<Dial>` and its nouns; design conformance §1.2, 1.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lxml import etree

from routing import sipuri
from routing.outbound import BAD_NUMBER, plain_number
from routing.sipuri import SipUri, SipUriError
from sipengine.twiml.accepted import CHILDREN, NOUNS, WHY_NOT
from sipengine.twiml.elements import Elements, hint, take_callback
from sipengine.twiml.markup import line_of, own_text, shown
from sipengine.twiml.verbs import (
    Address,
    BadNoun,
    Callback,
    Client,
    Conference,
    Dial,
    Noun,
    Number,
    Queue,
    Remark,
    Sip,
)

MAX_NOUNS = 10
MAX_URIS = 10
MAX_CREDENTIAL = 255
MAX_IDENTITY = 256
MAX_ROOM_NAME = 128

BAD_CHILD = 13215
BAD_CREDENTIALS = 13249
TOO_MANY = 13250


def read_dial(elements: Elements, element: etree._Element) -> Dial:
    """Return the verb; `problem` says why nothing of it can be dialled (13215, 13250)."""
    values = elements.attributes(element)
    values["recording_callback"] = take_callback(values, "recording_status_callback")
    room: Conference | Queue | None = None
    nouns: list[Noun] = []
    for child in _one_kind(elements, element):
        noun = child if isinstance(child, Number | BadNoun) else _NOUNS[child.tag](elements, child)
        if isinstance(noun, Conference | Queue):
            room = noun
        else:
            nouns.append(noun)
    if room is not None:
        return Dial((), room, **values, problem=_bad_room(room, element))
    return Dial(tuple(nouns), None, **values, problem=_bad_nouns(nouns, element))


def _bad_nouns(nouns: list[Noun], dial: etree._Element) -> Remark | None:
    if len(nouns) > MAX_NOUNS:
        text = f"<Dial> names {len(nouns)} endpoints; at most {MAX_NOUNS} are allowed, and none is dialled"
        return Remark(TOO_MANY, text, line_of(dial))
    return None if nouns else Remark(BAD_CHILD, "<Dial> names nobody to ring and no room to join", line_of(dial))


def _bad_room(room: Conference | Queue, dial: etree._Element) -> Remark | None:
    what = type(room).__name__
    if not room.name:
        return Remark(BAD_CHILD, f"<{what}> has no name; write it as the text of the element", line_of(dial))
    if len(room.name) > MAX_ROOM_NAME:
        text = f"the name of <{what}> has {len(room.name)} characters; at most {MAX_ROOM_NAME} are allowed"
        return Remark(BAD_CHILD, text, line_of(dial))
    return None


def _one_kind(elements: Elements, dial: etree._Element) -> Iterator[etree._Element | Number | BadNoun]:
    """Yield what is to be dialled: those to ring, or one room; what comes first decides which."""
    first = ""
    for child in _children(elements, dial):
        name = "Number" if isinstance(child, Number | BadNoun) else child.tag
        is_room = name in ("Conference", "Queue")
        if not first:
            first = name
        elif is_room or first in ("Conference", "Queue"):
            text = f"<{name}> cannot be mixed with the <{first}> before it in one <Dial>; it is skipped"
            elements.remark(BAD_CHILD, text, dial if isinstance(child, Number | BadNoun) else child)
            continue
        yield child


def _children(elements: Elements, dial: etree._Element) -> Iterator[etree._Element | Number | BadNoun]:
    """Yield the known children in order, plain text as a `Number`."""
    if dial.text and dial.text.strip():
        yield _number(dial.text.strip())
    for child in dial:
        if child.tag in _NOUNS:
            yield child
        elif child.tag in NOUNS:
            text = f"<{child.tag}> in <Dial> is not supported yet and is skipped: {WHY_NOT[child.tag]}"
            elements.remark(BAD_CHILD, text, child)
        else:
            text = f"<{shown(child.tag)}> does not belong in <Dial>; it is skipped{hint(child.tag, NOUNS)}"
            elements.remark(BAD_CHILD, text, child)
        if child.tail and child.tail.strip():
            yield _number(child.tail.strip())


def _party(elements: Elements, element: etree._Element) -> dict[str, Any]:
    """Return the attributes that the nouns which ring somebody share, as fields of `Party`, and the others."""
    values = elements.leaf(element, CHILDREN.get(element.tag))
    values["callback"] = take_callback(values, "status_callback")
    if "machine_detection" in values:  # <Client> has none
        detect, url = values.pop("machine_detection") is not None, values.pop("amd_status_callback")
        method = values.pop("amd_status_callback_method")
        values["machine_detection"] = detect
        values["amd_callback"] = Callback(url, method, ("amd",)) if url and detect else None
    return values


def _sip(elements: Elements, element: etree._Element) -> Sip | BadNoun:
    values = _party(elements, element)
    credentials = values.pop("username"), values.pop("password")
    headers = _headers(elements, element) if len(element) else ()
    read = [_address(own_text(uri), own, credentials, headers) for uri, own in _uris(elements, element)]
    addresses = tuple(address for address in read if isinstance(address, Address))
    unusable = [address for address in read if isinstance(address, BadNoun)]
    if not addresses:
        return unusable[0]
    for bad in unusable:
        elements.remark(bad.code, f"<Uri>{shown(bad.text)}</Uri> is skipped: {bad.message}", element)
    return Sip(addresses, **values)


def _uris(elements: Elements, sip: etree._Element) -> list[tuple[etree._Element, dict[str, Any]]]:
    """Return the elements whose text is an address, with its own attributes: the `<Uri>`, or the `<Sip>` itself."""
    uris = [(child, elements.leaf(child)) for child in sip if child.tag == "Uri"]
    if not uris:
        return [(sip, {})]
    if own_text(sip):
        elements.remark(12200, f"text beside <Uri> is not dialled: {shown(own_text(sip))}", sip)
    if len(uris) > MAX_URIS:
        elements.remark(TOO_MANY, f"<Sip> holds {len(uris)} <Uri>; the first {MAX_URIS} are tried", sip)
    return uris[:MAX_URIS]


def _address(
    text: str,
    own: dict[str, Any],
    credentials: tuple[str | None, str | None],
    headers: tuple[tuple[str, str], ...],
) -> Address | BadNoun:
    """Return an address with the credentials of its `<Uri>`, or those of its `<Sip>`."""
    username, password = own.get("username") or credentials[0], own.get("password") or credentials[1]
    problem = _credential_problem(username, password)
    if problem:
        return BadNoun(text, BAD_CREDENTIALS, problem)
    try:
        uri = sipuri.parse(text)
        if headers:
            uri = uri.with_headers(headers)
    except SipUriError as error:
        return BadNoun(text, error.code, error.message)
    return Address(uri, username, password, own.get("priority", 0), own.get("weight", 0))


def _credential_problem(username: str | None, password: str | None) -> str:
    """Return what is wrong with the digest credentials of a leg, without quoting them."""
    if bool(username) != bool(password):
        return f"<Sip> has only one of username and password; add the {'password' if username else 'username'}"
    if max(len(username or ""), len(password or "")) > MAX_CREDENTIAL:
        return f"username and password of <Sip> may have at most {MAX_CREDENTIAL} characters each"
    return ""


def _headers(elements: Elements, sip: etree._Element) -> tuple[tuple[str, str], ...]:
    for headers in sip.iterfind("Headers"):
        elements.leaf(headers, CHILDREN["Headers"])
    found = [elements.leaf(header) for header in sip.iterfind("Headers/Header")]
    return tuple((values["name"] or "", values["value"] or "") for values in found)


def _number_noun(elements: Elements, element: etree._Element) -> Number | BadNoun:
    values = _party(elements, element)
    send_digits = values.pop("send_digits") or ""
    number = _number(own_text(element))
    return number if isinstance(number, BadNoun) else Number(number.number, send_digits, **values)


def _number(text: str) -> Number | BadNoun:
    number = plain_number(text)
    if number:
        return Number(number)
    noun = "Sip" if "@" in text or text.startswith("sip:") else "Client" if text.startswith("client:") else ""
    fix = f"write it in a <{noun}>" if noun else "give digits, with + and the country code for international numbers"
    return BadNoun(text, BAD_NUMBER, f"{shown(text)!r} is no telephone number: {fix}")


def _client(elements: Elements, element: etree._Element) -> Client | BadNoun:
    values = _party(elements, element)
    identities = element.findall("Identity")
    for identity in identities:
        elements.leaf(identity)
    if identities and (len(identities) > 1 or own_text(element)):
        elements.remark(12200, "<Client> has several names; the first <Identity> is rung", element)
    name = own_text(identities[0] if identities else element)
    if not 0 < len(name) <= MAX_IDENTITY:
        return BadNoun(name, BAD_CHILD, f"<Client> needs the name of an endpoint, at most {MAX_IDENTITY} characters")
    found = [elements.leaf(parameter) for parameter in element.iterfind("Parameter")]
    parameters = tuple((parameter["name"] or "", parameter["value"] or "") for parameter in found)
    try:
        SipUri("", "localhost", headers=tuple((f"X-{name}", value) for name, value in parameters))
    except SipUriError as error:
        return BadNoun(name, error.code, f"<Parameter> of <Client>: {error.message}")
    return Client(name, parameters, **values)


def _conference(elements: Elements, element: etree._Element) -> Conference:
    values = elements.leaf(element)
    return Conference(
        own_text(element),
        muted=values["muted"],
        beep=values["beep"],
        start_on_enter=values["start_conference_on_enter"],
        end_on_exit=values["end_conference_on_exit"],
        wait_url=values["wait_url"],
        wait_method=values["wait_method"],
        max_participants=values["max_participants"],
        record=values["record"],
        trim=values["trim"],
        callback=take_callback(values, "status_callback"),
        recording_callback=take_callback(values, "recording_status_callback"),
        label=values["participant_label"],
        coach=values["coach"],
    )


def _queue(elements: Elements, element: etree._Element) -> Queue:
    return Queue(own_text(element), **elements.leaf(element))


_NOUNS: Mapping[str, Callable[[Elements, etree._Element], Noun | Conference | Queue]] = {
    "Sip": _sip,
    "Number": _number_noun,
    "Client": _client,
    "Conference": _conference,
    "Queue": _queue,
}

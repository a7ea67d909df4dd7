"""PURE: TwiML bytes in, a `Document` out. The whole document is read before anything runs.

Sources: Twilio's TwiML page (request/response rules) and error dictionary; design conformance §1.1.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lxml import etree

from routing import sipuri
from routing.sipuri import SipUriError
from sipengine.twiml.accepted import (
    ATTRIBUTES,
    INVALID_URL,
    NOUNS,
    SIP_CHILDREN,
    SSML,
    VERBS,
    Attribute,
    BadValue,
    Support,
    media_url,
    url,
)
from sipengine.twiml.verbs import (
    BadNoun,
    Dial,
    Document,
    Hangup,
    Pause,
    Play,
    Redirect,
    Reject,
    Remark,
    Say,
    Sip,
    TwimlError,
    Verb,
)

MAX_BODY = 65_536
MAX_NOUNS = 10
MAX_SAY = 4096
MAX_CREDENTIAL = 255

_DECLARATION = re.compile(rb'<\?xml\s[^>]*?encoding\s*=\s*["\']([^"\'>]{0,40})["\']')
# Only encodings that keep ASCII as it is: in others, markup could hide from the checks below.
_ENCODINGS = ("utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "iso-8859-15", "windows-1252")
# Atomic groups: a long run of comments must not make the search try every way to split it.
_DOCTYPE = re.compile(r"(?>\s+|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)


@functools.lru_cache(maxsize=256)  # the same route gives the same bytes, call after call
def parse(body: bytes) -> Document:
    """Return the verbs of a TwiML document; raise `TwimlError` if it cannot be run at all.

    Codes: 11750 over 65,536 bytes, 11770 empty, 12100 not well-formed, 12101 XML version, 12102 root. What concerns a
    single verb or attribute is skipped or replaced by its default, and remarked upon in `warnings`.
    """
    reader = _Reader()
    verbs = tuple(reader.verbs(_root(body)))
    return Document(verbs, tuple(sorted(reader.remarks, key=lambda remark: remark.line)))


def _root(body: bytes) -> etree._Element:
    """Return the `<Response>` of the document."""
    text = _decode(body)
    if _DOCTYPE.match(text):
        raise TwimlError(12100, "a document type declaration is not allowed in TwiML; remove <!DOCTYPE …>", 1)
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise _syntax_error(error, text) from None
    if root.tag != "Response":
        raise TwimlError(12102, f"the root element is <{_shown(root.tag)}>; it must be <Response>", _line(root))
    return root


def _decode(body: bytes) -> str:
    """Return the text of the document."""
    if len(body) > MAX_BODY:
        raise TwimlError(11750, f"the document is {len(body)} bytes long; at most {MAX_BODY} are allowed")
    body = body.removeprefix(b"\xef\xbb\xbf")
    if not body.strip():
        raise TwimlError(11770, "the document is empty; send at least <Response/>")
    if b"\0" in body:
        raise TwimlError(12100, "the document holds NUL bytes (is it UTF-16?); send UTF-8", 1)
    declared = _DECLARATION.match(body)
    encoding = declared[1].decode("ascii", "replace").lower() if declared else "utf-8"
    if encoding not in _ENCODINGS:
        raise TwimlError(12100, f"the encoding {_shown(encoding)} is not supported; send UTF-8", 1)
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        before = body[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        text = f"byte 0x{body[error.start]:02x} at line {line}, column {column} is not {encoding} text; send UTF-8"
        raise TwimlError(12100, text, line) from None


def _syntax_error(error: etree.XMLSyntaxError, text: str) -> TwimlError:
    line, column = error.position
    reason: int = getattr(error, "code", 0)
    if reason == etree.ErrorTypes.ERR_DOCUMENT_END:
        rest = "\n".join(text.split("\n")[line - 1 :])[max(column - 1, 0) :]
        if re.match(r"<[^\s!?/<>]", rest):
            return TwimlError(12102, f"a second root element starts at line {line}; there must be one <Response>", line)
    code = 12101 if reason == etree.ErrorTypes.ERR_UNKNOWN_VERSION else 12100
    return TwimlError(code, f"the document is not well-formed XML: {error.msg}", line)


class _Reader:
    """Reads elements, and collects remarks on the way."""

    def __init__(self) -> None:
        self.remarks: list[Remark] = []
        self._verbs: Mapping[str, Callable[[etree._Element], Verb | None]] = {
            "Say": self._say,
            "Play": self._play,
            "Pause": lambda element: Pause(**self._leaf(element)),
            "Redirect": self._redirect,
            "Reject": lambda element: Reject(**self._leaf(element)),
            "Hangup": lambda element: Hangup(**self._leaf(element)),
            "Dial": self._dial,
        }

    def verbs(self, root: etree._Element) -> Iterator[Verb]:
        self._attributes(root)
        if _own_text(root):
            self._remark(12200, f"text outside a verb is skipped: {_shown(_own_text(root))}", root)
        for element in root:
            if element.tag in self._verbs:
                verb = self._verbs[element.tag](element)
                if verb is not None:
                    yield verb
            elif element.tag in VERBS:
                self._remark(12200, f"<{element.tag}> is not supported yet and is skipped", element)
            else:
                hint = _hint(element.tag, VERBS)
                self._remark(12200, f"unknown verb <{_shown(element.tag)}> is skipped{hint}", element)

    def _remark(self, code: int, message: str, element: etree._Element) -> None:
        self.remarks.append(Remark(code, message, _line(element)))

    def _attributes(self, element: etree._Element) -> dict[str, Any]:
        """Return the element's attributes by field name, defaults filled in."""
        known = ATTRIBUTES.get(element.tag, {})
        values = {name: attribute.default for name, attribute in known.items() if attribute.kept}
        for name, value in ((str(name), str(value)) for name, value in element.attrib.items()):
            attribute = known.get(name)
            if attribute is None:
                text = f"<{element.tag}> has no attribute {_shown(name)}; it is ignored{_hint(name, known)}"
                self._remark(12200, text, element)
            elif attribute.support is Support.NOT_YET:
                self._remark(12200, f"<{element.tag} {name}> is not supported yet and is ignored", element)
            elif attribute.kept:
                values[name] = self._value(element, name, value, attribute)
        return {_field(name): value for name, value in values.items()}

    def _value(self, element: etree._Element, name: str, value: str, attribute: Attribute) -> object:
        try:
            return attribute.convert(value)
        except BadValue as error:
            used = attribute.default if error.use is None else error.use
            text = f'<{element.tag} {name}="{_shown(value)}"> {error}; using {_printed(used)}'
            self._remark(error.code or attribute.code, text, element)
            return used

    def _leaf(self, element: etree._Element, *children: str) -> dict[str, Any]:
        """Return the attributes of an element, remarking on children that it cannot have."""
        for child in element:
            if child.tag not in children:
                self._remark(12200, f"<{_shown(child.tag)}> does not belong in <{element.tag}>; it is skipped", child)
        return self._attributes(element)

    def _address(self, element: etree._Element, convert: Callable[[str], str | None]) -> str | None:
        """Return the URL that is the element's text; None, with a remark, if it is missing or wrong."""
        text = _own_text(element)
        try:
            address = convert(text)
        except BadValue as error:
            self._remark(INVALID_URL, f"<{element.tag}>{_shown(text)}</{element.tag}> {error}; skipped", element)
            return None
        if address is None:
            self._remark(12200, f"<{element.tag}> names no URL and is skipped", element)
        return address

    def _say(self, element: etree._Element) -> Say | None:
        values = self._attributes(element)
        for child in element.iterdescendants():
            if child.tag not in SSML:
                self._remark(12200, f"<{_shown(child.tag)}> does not belong in <Say>; its text is read", child)
        text = " ".join(word for piece in element.itertext() for word in str(piece).split())
        if not text:
            self._remark(13520, "<Say> has no text and is skipped", element)
            return None
        if len(text) > MAX_SAY:
            self._remark(13521, f"<Say> is {len(text)} characters long and is cut at {MAX_SAY}", element)
        return Say(text[:MAX_SAY], **values)

    def _play(self, element: etree._Element) -> Play | None:
        values = self._leaf(element)
        address = self._address(element, media_url)
        return None if address is None else Play(address, **values)

    def _redirect(self, element: etree._Element) -> Redirect | None:
        values = self._leaf(element)
        address = self._address(element, url)
        return None if address is None else Redirect(address, **values)

    def _dial(self, element: etree._Element) -> Dial:
        values = self._attributes(element)
        nouns = tuple(self._nouns(element))
        problem = None
        if len(nouns) > MAX_NOUNS:
            text = f"<Dial> names {len(nouns)} endpoints; at most {MAX_NOUNS} are allowed, and none is dialled"
            problem = Remark(13250, text, _line(element))
        elif not nouns:
            problem = Remark(13215, "<Dial> names no <Sip> endpoint: there is nobody to ring", _line(element))
        return Dial(nouns, **values, problem=problem)

    def _nouns(self, element: etree._Element) -> Iterator[Sip | BadNoun]:
        if _own_text(element):
            text = f"a plain number in <Dial> is not supported yet and is skipped: {_shown(_own_text(element))}"
            self._remark(13215, text, element)
        for child in element:
            if child.tag == "Sip":
                yield self._sip(child)
            elif child.tag in NOUNS:
                self._remark(13215, f"<{child.tag}> in <Dial> is not supported yet and is skipped", child)
            else:
                hint = _hint(child.tag, NOUNS)
                self._remark(13215, f"<{_shown(child.tag)}> does not belong in <Dial>; it is skipped{hint}", child)

    def _sip(self, element: etree._Element) -> Sip | BadNoun:
        values = self._leaf(element, *SIP_CHILDREN)
        events = values.pop("status_callback_event")
        text, username, password = self._uri(element, values.pop("username"), values.pop("password"))
        problem = _credential_problem(username, password)
        if problem:
            return BadNoun(text, 13249, problem)
        try:
            uri = sipuri.parse(text).with_headers(self._headers(element))
        except SipUriError as error:
            return BadNoun(text, error.code, error.message)
        if values["status_callback"] is None:
            events = ()
        elif not events:
            events = ("completed",)
        return Sip(uri, username, password, status_callback_events=events, **values)

    def _uri(
        self, sip: etree._Element, username: str | None, password: str | None
    ) -> tuple[str, str | None, str | None]:
        """Return the address and credentials of a `<Sip>`: its text, or its `<Uri>` of the lowest priority number."""
        uris = [(self._leaf(child), child) for child in sip.iterfind("Uri")]
        if not uris:
            return _own_text(sip), username, password
        values, chosen = min(uris, key=lambda pair: int(pair[0]["priority"]))
        if len(uris) > 1 or _own_text(sip):
            text = f"of several addresses in one <Sip> only one is dialled for now: {_shown(_own_text(chosen))}"
            self._remark(12200, text, sip)
        return _own_text(chosen), values["username"] or username, values["password"] or password

    def _headers(self, sip: etree._Element) -> tuple[tuple[str, str], ...]:
        for headers in sip.iterfind("Headers"):
            self._leaf(headers, "Header")
        found = [self._leaf(header) for header in sip.iterfind("Headers/Header")]
        return tuple((values["name"] or "", values["value"] or "") for values in found)


def _credential_problem(username: str | None, password: str | None) -> str:
    """Return what is wrong with the digest credentials of a leg, without quoting them."""
    if bool(username) != bool(password):
        return f"<Sip> has only one of username and password; add the {'password' if username else 'username'}"
    if max(len(username or ""), len(password or "")) > MAX_CREDENTIAL:
        return f"username and password of <Sip> may have at most {MAX_CREDENTIAL} characters each"
    return ""


def _own_text(element: etree._Element) -> str:
    """Return the text of an element without that of its children."""
    return "".join([element.text or "", *(child.tail or "" for child in element)]).strip()


def _line(element: etree._Element) -> int:
    line = element.sourceline
    return line if isinstance(line, int) else 0


def _field(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def _hint(name: str, known: Mapping[str, object]) -> str:
    """Return a question that names the known word which differs only in case."""
    return next((f"; did you mean {word}?" for word in known if word.lower() == name.lower()), "")


def _shown(value: str) -> str:
    """Return `value` for a message: shortened, and without the credentials that a URL may hold."""
    value = re.sub(r"//[^/@\s]*@", "//…@", value)
    return value if len(value) <= 60 else f"{value[:59]}…"


def _printed(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case tuple():
            return " ".join(value) or "none"
        case _:
            return str(value)

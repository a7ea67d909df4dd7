"""PURE: the bytes of a TwiML document in, its `<Response>` element out; nothing is expanded or fetched.

Sources: Twilio's TwiML page (request/response rules) and error dictionary; design conformance §1.1.
"""

from __future__ import annotations

import re

from lxml import etree

from sipengine.twiml.verbs import TwimlError

MAX_BODY = 65_536

_DECLARATION = re.compile(rb'<\?xml\s[^>]*?encoding\s*=\s*["\']([^"\'>]{0,40})["\']')
# Only encodings that keep ASCII as it is: in others, markup could hide from the checks below.
_ENCODINGS = ("utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "iso-8859-15", "windows-1252")
# Atomic groups: a long run of comments must not make the search try every way to split it.
_DOCTYPE = re.compile(r"(?>\s+|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)


def response(body: bytes) -> etree._Element:
    """Return the `<Response>` of the document; raise `TwimlError` 11750, 11770, 12100, 12101 or 12102."""
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
        raise TwimlError(12102, f"the root element is <{shown(root.tag)}>; it must be <Response>", line_of(root))
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
        raise TwimlError(12100, f"the encoding {shown(encoding)} is not supported; send UTF-8", 1)
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


def own_text(element: etree._Element) -> str:
    """Return the text of an element without that of its children."""
    return "".join([element.text or "", *(child.tail or "" for child in element)]).strip()


def line_of(element: etree._Element) -> int:
    """Return the line that an element starts in, 0 if it is not known."""
    line = element.sourceline
    return line if isinstance(line, int) else 0


def shown(value: str) -> str:
    """Return `value` for a message: shortened, and without the credentials that a URL may hold."""
    if "//" in value:
        value = re.sub(r"//[^/@\s]*@", "//…@", value)
    return value if len(value) <= 60 else f"{value[:59]}…"

"""PURE: one element: its attributes by the tables, its children, its URL; and the remarks made on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lxml import etree

from sipengine.twiml.accepted import ATTRIBUTES, INVALID_URL, NESTED_CODES, Attribute, Support
from sipengine.twiml.markup import line_of, own_text, shown
from sipengine.twiml.values import BadValue
from sipengine.twiml.verbs import Callback, Remark


def _field(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


_FIELDS = {name: _field(name) for attributes in ATTRIBUTES.values() for name in attributes}
_DEFAULTS = {
    element: {_FIELDS[name]: attribute.default for name, attribute in attributes.items() if attribute.kept}
    for element, attributes in ATTRIBUTES.items()
}


class Elements:
    """Reads elements by the tables of `accepted.py`; `remarks` is what the operator should know."""

    def __init__(self) -> None:
        self.remarks: list[Remark] = []

    def remark(self, code: int, message: str, element: etree._Element) -> None:
        """Note something that is wrong with an element."""
        self.remarks.append(Remark(code, message, line_of(element)))

    def attributes(self, element: etree._Element, table: str = "", nested: bool = False) -> dict[str, Any]:
        """Return the element's attributes by field name, defaults filled in.

        `table` is the table's name where it is not the element's, `nested` says that the element is in a `<Gather>`.
        """
        table = table or element.tag
        values = dict(_DEFAULTS.get(table, ()))
        if not element.attrib:
            return values
        known = ATTRIBUTES.get(table, {})
        for name, value in ((str(name), str(value)) for name, value in element.attrib.items()):
            attribute = known.get(name)
            if attribute is None:
                text = f"<{element.tag}> has no attribute {shown(name)}; it is ignored{hint(name, known)}"
                self.remark(12200, text, element)
                continue
            code = NESTED_CODES.get((table, name), attribute.code) if nested else attribute.code
            read = self._value(element, name, value, attribute, code)
            if attribute.kept:
                values[_FIELDS[name]] = read
        return values

    def _value(self, element: etree._Element, name: str, value: str, attribute: Attribute, code: int) -> object:
        try:
            return attribute.convert(value)
        except BadValue as error:
            used = attribute.default if error.use is None else error.use
            text = f'<{element.tag} {name}="{shown(value)}"> {error}; using {attribute.printed(used)}'
            self.remark(error.code or code, text, element)
            return used

    def leaf(
        self, element: etree._Element, children: Mapping[str, Support] | None = None, table: str = "", code: int = 12200
    ) -> dict[str, Any]:
        """Return the attributes of an element, remarking with `code` on children that it cannot have."""
        for child in element:
            if child.tag not in (children or ()):
                about = hint(child.tag, children or {})
                text = f"<{shown(child.tag)}> does not belong in <{element.tag}>; it is skipped{about}"
                self.remark(code, text, child)
        return self.attributes(element, table)

    def address(self, element: etree._Element, convert: Callable[[str], str | None]) -> str | None:
        """Return the URL that is the element's text, None, with a remark, if it is wrong; "" if there is none."""
        text = own_text(element)
        try:
            return convert(text) or ""
        except BadValue as error:
            self.remark(INVALID_URL, f"<{element.tag}>{shown(text)}</{element.tag}> {error}; skipped", element)
            return None


def take_callback(values: dict[str, Any], name: str) -> Callback | None:
    """Take the three attributes of a callback out of `values`; None if there is no URL."""
    url, method, events = values.pop(name), values.pop(f"{name}_method"), values.pop(f"{name}_event")
    return Callback(url, method, events) if url else None


def hint(name: str, known: Mapping[str, object]) -> str:
    """Return a question that names the known word which differs only in case."""
    return next((f"; did you mean {word}?" for word in known if word.lower() == name.lower()), "")

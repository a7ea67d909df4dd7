"""What a browser would send for a form of the admin as it was shown."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any


class _Fields(HTMLParser):
    """Collects the values of the change form's fields, in the order of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self._select = ""
        self._area = ""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form":
            self._inside = given.get("id", "").endswith("_form")
        elif self._inside and tag == "input" and name and "disabled" not in given:
            self._input(name, given)
        elif self._inside and tag == "select" and name:
            self._select = name
            if "multiple" in given:
                self.values[name] = []
        elif self._select and tag == "option" and "selected" in given:
            if isinstance(self.values.get(self._select), list):
                self.values[self._select].append(given.get("value", ""))
            else:
                self.values[self._select] = given.get("value", "")
        elif self._inside and tag == "textarea" and name:
            self._area = name
            self.values[name] = ""

    def _input(self, name: str, given: dict[str, str]) -> None:
        kind = given.get("type", "text")
        if kind in ("submit", "button", "file"):
            return
        if kind in ("checkbox", "radio") and "checked" not in given:
            return
        self.values[name] = given.get("value", "on" if kind == "checkbox" else "")

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""


def as_sent(response: Any, **changes: Any) -> dict[str, Any]:
    """Return the values of the page's form as they were shown, with these changes; None takes one out."""
    reading = _Fields()
    reading.feed(response.content.decode())
    values = {**reading.values, **changes}
    return {name: value for name, value in values.items() if value is not None and "__prefix__" not in name}

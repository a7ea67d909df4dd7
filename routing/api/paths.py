"""How paths of the API are written: each resource with `.json` behind it and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpResponseBase
from django.urls import URLPattern, path, register_converter

PREFIX = "/2010-04-01"


class SidConverter:
    """What may be a SID in a path, well-formed or not: a view answers 404 for what it does not find."""

    regex = r"[0-9A-Za-z]{1,64}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(SidConverter, "sid")


def resource(route: str, view: Callable[..., HttpResponseBase], name: str) -> list[URLPattern]:
    """Return the two patterns of a resource; `reverse` gives the one with `.json`."""
    return [path(route, view), path(f"{route}.json", view, name=name)]


def uri(*parts: Any) -> str:
    """Return the URI of a resource, relative to the host, such as /2010-04-01/Accounts/AC….json."""
    return "/".join((PREFIX, "Accounts", *map(str, parts))) + ".json"

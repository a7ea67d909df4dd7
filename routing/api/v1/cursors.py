"""Pages of lists: a cursor says where the next one begins, so that rows that come and go meanwhile shift nothing."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from routing.api.v1.problems import Problem, invalid

DEFAULT, MOST = 50, 1000
NAMES = ("limit", "cursor", "order")
_BAD = "This is not a cursor of this list: follow `next` or `previous` as they are given."


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two rows: the values of one of them, and on which side of it the page is."""

    backwards: bool
    order: str
    value: Any
    pk: Any

    @property
    def text(self) -> str:
        """Return it as it stands in a URL."""
        value = self.value.isoformat() if isinstance(self.value, datetime) else self.value
        plain = json.dumps([int(self.backwards), self.order, value, self.pk], separators=(",", ":"))
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


class CursorPages(BasePagination):
    """`limit`, `cursor`, `order`; views name their orders (`orders`: name → column never null) and `default_order`."""

    _following: Cursor | None = None
    _preceding: Cursor | None = None

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        """Fetch a page in one query; raise `Problem` for what cannot be."""
        orders: dict[str, str] = cast(Any, view).orders
        order = request.query_params.get("order") or cast(Any, view).default_order
        column = orders.get(order.removeprefix("-"))
        if column is None:
            raise invalid({"order": [f"Choose one of {', '.join(orders)}, with - before it for the other way round."]})
        limit = _limit(request.query_params.get("limit", ""))
        cursor = _read(request.query_params.get("cursor", ""), queryset.model, order, column)
        backwards = bool(cursor and cursor.backwards)
        down = order.startswith("-") != backwards
        rows = _beyond(queryset, column, cursor, down)
        sign = "-" if down else ""
        found = list(rows.order_by(f"{sign}{column}", *([] if column == "pk" else [f"{sign}pk"]))[: limit + 1])
        more, found = len(found) > limit, found[:limit]
        if backwards:
            found.reverse()
        self._request, self._limit = request, limit
        if found and (more or backwards):
            self._following = _at(found[-1], order, column, backwards=False)
        if found and (more if backwards else cursor is not None):
            self._preceding = _at(found[0], order, column, backwards=True)
        return found

    def get_paginated_response(self, data: Any) -> Response:
        """Return the envelope."""
        return Response({"next": self._link(self._following), "previous": self._link(self._preceding), "results": data})

    def _link(self, cursor: Cursor | None) -> str | None:
        if cursor is None:
            return None
        given = {name: values for name, values in self._request.query_params.lists() if name != "cursor"}
        return f"{self._request.path}?{urlencode({**given, 'cursor': cursor.text}, doseq=True)}"

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the envelope for OpenAPI."""
        link = {"type": "string", "nullable": True, "description": "Path and query of the neighbouring page, or null."}
        properties = {"next": link, "previous": link, "results": schema}
        return {"type": "object", "required": list(properties), "properties": properties}

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Return the parameters for OpenAPI."""
        words = [f"{sign}{name}" for name in view.orders for sign in ("", "-")]
        limit = {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT}
        return [
            _parameter("limit", limit, "How many rows at most."),
            _parameter("cursor", {"type": "string"}, "Where the page begins: follow `next` as it is given."),
            _parameter(
                "order",
                {"type": "string", "enum": words, "default": view.default_order},
                "Sorted by; - turns it round.",
            ),
        ]


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _limit(text: str) -> int:
    if not text:
        return DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MOST):
        raise invalid({"limit": [f"A whole number from 1 to {MOST}."]})
    return int(text)


def _at(row: models.Model, order: str, column: str, *, backwards: bool) -> Cursor:
    return Cursor(backwards, order, getattr(row, column), row.pk)


def _read(text: str, model: type[models.Model], order: str, column: str) -> Cursor | None:
    """Return the cursor that a URL holds; raise `Problem` for one that is none, or of a list in another order."""
    if not text:
        return None
    bad = Problem(400, _BAD, errors={"cursor": [_BAD]}, code="bad-cursor")
    try:
        plain = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)).decode()
        backwards, sorted_by, value, pk = json.loads(plain)
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise bad from None
    if sorted_by != order or backwards not in (0, 1):
        raise bad
    return Cursor(bool(backwards), order, _value(model, column, value, bad), _value(model, "pk", pk, bad))


def _value(model: type[models.Model], column: str, value: Any, bad: Problem) -> Any:
    field = model._meta.pk if column == "pk" else model._meta.get_field(column)
    if type(value) not in (str, int, bool):
        raise bad
    try:
        found = cast(Any, field).to_python(value)
        if isinstance(found, str):
            found.encode()
        if isinstance(found, datetime):
            found = found.astimezone(UTC) if found.tzinfo else None
    except (ValidationError, ValueError, OverflowError):
        raise bad from None
    if found is None or (isinstance(found, str) and "\0" in found):  # PostgreSQL takes no NUL
        raise bad
    return found


def _beyond(rows: QuerySet[Any], column: str, cursor: Cursor | None, down: bool) -> QuerySet[Any]:
    """Return the rows on the cursor's side."""
    if cursor is None:
        return rows
    side = "lt" if down else "gt"
    if column == "pk":
        return rows.filter(**{f"pk__{side}": cursor.pk})
    # The first condition follows from the second; databases find the place in an index by it.
    near = Q(**{f"{column}__{side}e": cursor.value})
    return rows.filter(
        near & (Q(**{f"{column}__{side}": cursor.value}) | Q(**{column: cursor.value, f"pk__{side}": cursor.pk}))
    )


def allowed(filters: Sequence[str]) -> frozenset[str]:
    """Return the names of everything that the query of a list may say."""
    return frozenset((*filters, *NAMES))

"""Pages of a log, newest or oldest first, that cost the same however deep they are: found by their first or last row.

A page says whether there is another one on each side; rows that are written meanwhile shift nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

NEXT, PREVIOUS = "next", "prev"  # parameters of the query string
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 80  # characters of a place
_M = TypeVar("_M", bound=Model)


@dataclass(frozen=True, slots=True)
class Place:
    """A row of a log, and whether the page looked for ends before it (`backwards`) or begins behind it."""

    time: datetime
    pk: Any
    backwards: bool = False

    def __str__(self) -> str:
        return f"{(self.time - _EPOCH) // timedelta(microseconds=1)}.{self.pk}"


@dataclass(frozen=True, slots=True)
class Page(Generic[_M]):
    """The rows of a page in their order, and the places where the pages beside it are (None: there is none)."""

    rows: Sequence[_M]
    previous: Place | None = None
    next: Place | None = None


def take_place(query: MutableMapping[str, Any], model: type[Model]) -> Place | None:
    """Take the place out of a query string; None for none, or for what is no place."""
    taken = {name: query.pop(name, None) for name in (NEXT, PREVIOUS)}
    for name, value in taken.items():
        text = value[-1] if isinstance(value, list) else value
        if text and (place := _parsed(str(text), model, name == PREVIOUS)):
            return place
    return None


def _parsed(text: str, model: type[Model], backwards: bool) -> Place | None:
    micros, _, key = text.partition(".")
    if not (micros.isascii() and micros.isdigit() and key) or len(text) > _LONGEST or "\0" in key:
        return None
    try:
        assert model._meta.pk is not None
        return Place(_EPOCH + timedelta(microseconds=int(micros)), model._meta.pk.to_python(key), backwards)
    except (OverflowError, ValidationError):
        return None


def page(queryset: QuerySet[_M], field: str, size: int, place: Place | None, *, descending: bool = True) -> Page[_M]:
    """Return the page at a place of a log that is ordered by the moment `field`."""
    backwards = place is not None and place.backwards
    found = list(_ordered(queryset, field, place, descending != backwards)[: size + 1])
    if backwards and len(found) <= size:  # it would be the first page, or less than it
        return page(queryset, field, size, None, descending=descending)
    more, rows = len(found) > size, found[:size]
    if backwards:
        rows.reverse()
    if not rows:
        return Page(rows)
    first, last = (Place(getattr(row, field), row.pk) for row in (rows[0], rows[-1]))
    return Page(rows, first if place else None, last if more or backwards else None)


def walk(queryset: QuerySet[_M], field: str, size: int) -> Iterator[list[_M]]:
    """Yield all rows, newest first, in batches; the memory does not grow with the number of rows."""
    place: Place | None = None
    while True:
        rows = list(_ordered(queryset, field, place, descending=True)[:size])
        if rows:
            yield rows
        if len(rows) < size:
            return
        place = Place(getattr(rows[-1], field), rows[-1].pk)


def _ordered(queryset: QuerySet[_M], field: str, place: Place | None, descending: bool) -> QuerySet[_M]:
    sign, than = ("-", "lt") if descending else ("", "gt")
    if place is not None:
        # The first condition is what an index can begin at; one with OR alone would be looked for from the top.
        queryset = queryset.filter(**{f"{field}__{than}e": place.time})
        queryset = queryset.filter(Q(**{f"{field}__{than}": place.time}) | Q(**{f"pk__{than}": place.pk}))
    return queryset.order_by(f"{sign}{field}", f"{sign}pk")

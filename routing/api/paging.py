"""Twilio's pages: newest first, with tokens that say where the next page begins rather than how many rows to skip.

So a list that is followed to its end names each row once, however many are added or deleted meanwhile. A token holds
the date and SID of the row that it goes on from, which may be gone by then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from django.db.models import Model, Q, QuerySet

from routing.api.errors import BAD_PARAMETER, ApiError

MAX_SIZE = 1000
DEFAULT_SIZE = 50
_MAX_SKIP = 100_000  # rows that Page without PageToken may skip: skipping costs as much as reading
_BAD_TOKEN = 21481
_TOKEN = re.compile(r"P([AB])([A-Z]{2}[0-9a-fA-F]{32})([0-9a-f]{1,16})\Z")
_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_M = TypeVar("_M", bound=Model)


@dataclass(frozen=True, slots=True)
class Place:
    """Which page is wanted; `token` is empty or well-formed."""

    number: int = 0
    size: int = DEFAULT_SIZE
    token: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[_M]):
    """Rows of a page in the order they are shown, and the tokens of its neighbours, empty where there is none."""

    place: Place
    rows: Sequence[_M]
    next_token: str
    previous_token: str


def place(query: Mapping[str, str]) -> Place:
    """Read PageSize (at most 1000 are given), Page and PageToken; raise `ApiError` 20001 or 21481."""
    size = _number(query, "PageSize", DEFAULT_SIZE)
    number, token = _number(query, "Page", 0), query.get("PageToken", "")
    if size == 0:
        raise ApiError(BAD_PARAMETER, f"PageSize must be from 1 to {MAX_SIZE}.")
    if token and not _TOKEN.match(token):
        raise ApiError(_BAD_TOKEN, "PageToken is not one of ours: follow next_page_uri as it is given.")
    found = Place(number, min(size, MAX_SIZE), token)
    if not token and found.number * found.size > _MAX_SKIP:
        raise ApiError(BAD_PARAMETER, "Page is too far on: follow next_page_uri, or narrow the list with its filters.")
    return found


def page_of(rows: QuerySet[_M], where: Place, date: str = "created", *, oldest_first: bool = False) -> Page[_M]:
    """Fetch a page in one query; `date` is the field, never null, that the list is sorted by, newest first."""
    skipped = 0 if where.token else where.number * where.size
    backwards = where.token.startswith("PB")
    ascending = backwards != oldest_first
    ordered = rows.order_by(date, "pk") if ascending else rows.order_by(f"-{date}", "-pk")
    if where.token:
        ordered = ordered.filter(_beyond(where.token, date, ascending=ascending))
    found = list(ordered[skipped : skipped + where.size + 1])
    more, found = len(found) > where.size, found[: where.size]
    if backwards:
        found.reverse()
    following = bool(found) and (more or backwards)
    preceding = bool(found) and (more if backwards else bool(where.token) or skipped > 0)
    return Page(
        where,
        found,
        _token("A", found[-1], date) if following else "",
        _token("B", found[0], date) if preceding else "",
    )


def envelope(page: Page[Any], key: str, bodies: Sequence[Any], path: str, filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a page's JSON; `filters` are the query parameters that its links repeat, each a text or a list."""

    def link(number: int, token: str = "") -> str:
        given = {**filters, "PageSize": page.place.size, "Page": number, **({"PageToken": token} if token else {})}
        return f"{path}?{urlencode(given, doseq=True)}"

    number = page.place.number
    start = number * page.place.size
    return {
        "first_page_uri": link(0),
        "next_page_uri": link(number + 1, page.next_token) if page.next_token else None,
        "previous_page_uri": link(max(0, number - 1), page.previous_token) if page.previous_token else None,
        "page": number,
        "page_size": page.place.size,
        "start": start,
        "end": start + max(0, len(bodies) - 1),
        "uri": link(number, page.place.token),
        key: list(bodies),
    }


def _token(kind: str, row: Model, date: str) -> str:
    moment: datetime = getattr(row, date)
    return f"P{kind}{row.pk}{(moment - _EPOCH) // timedelta(microseconds=1):x}"


def _beyond(token: str, date: str, *, ascending: bool) -> Q:
    """Return the condition for the rows after the token's, in this order."""
    match = _TOKEN.match(token)
    assert match  # `place` has checked it
    _, sid, microseconds = match.groups()
    try:
        moment = _EPOCH + timedelta(microseconds=int(microseconds, 16))
    except OverflowError:
        raise ApiError(_BAD_TOKEN, "PageToken is not one of ours: follow next_page_uri as it is given.") from None
    side = "gt" if ascending else "lt"
    # The first condition follows from the second; databases find the place in an index by it.
    near = Q(**{f"{date}__{side}e": moment})
    return near & (Q(**{f"{date}__{side}": moment}) | Q(**{date: moment, f"pk__{side}": sid}))


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not _NUMBER.match(text):
        raise ApiError(BAD_PARAMETER, f"{name} must be a whole number that is not negative, not {text[:20]!r}.")
    return int(text)

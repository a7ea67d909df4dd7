"""Lists with their search and filters, kept under a name: one's own, and those that others share."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import QueryDict

from calls import keyset
from calls.annotations import QUERY_LENGTH, SavedView
from calls.harmless import harmless

SHOWN = 30
_OF_THE_PAGE = {"p", "e", "all", keyset.NEXT, keyset.PREVIOUS}  # parameters that say where in the list one is
_NAME_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Chip:
    """A saved view as the list shows it; `active` says that it is what is shown, `mine` that it may be deleted."""

    id: int
    name: str
    query: str
    active: bool
    mine: bool
    shared: bool
    owner: str


def chips(user: AbstractBaseUser, page: str, shown: QueryDict, *, all_mine: bool = False) -> list[Chip]:
    """Return the views of a page that somebody sees, their own first; `all_mine`: they may delete others' too."""
    rows = SavedView.objects.filter(Q(owner=user.pk) | Q(shared=True), page=page).select_related("owner")
    here = normal(shown.urlencode())
    found = [
        Chip(
            id=row.pk,
            name=harmless(row.name),
            query=row.query,
            active=row.query == here,
            mine=all_mine or row.owner_id == user.pk,
            shared=row.shared,
            owner=harmless(row.owner.get_username()),
        )
        for row in rows.order_by("name", "pk")[:SHOWN]
    ]
    return sorted(found, key=lambda chip: chip.owner != user.get_username())


def normal(query: str) -> str:
    """Return a query string without empty values and without the place in the list, in one order."""
    kept = QueryDict(mutable=True)
    for name, values in sorted(QueryDict(query).lists()):
        if name not in _OF_THE_PAGE and (given := [value for value in values if value.strip()]):
            kept.setlist(name, given)
    return kept.urlencode()


def save(user: AbstractBaseUser, page: str, name: str, query: str, *, shared: bool) -> SavedView:
    """Keep a view, in place of the one that this user has under the name; raise `ValidationError`."""
    name, query = " ".join(harmless(name).split()), normal(query.removeprefix("?"))
    if not name:
        raise ValidationError("Name: give the view a name.")
    if len(name) > _NAME_LENGTH:
        raise ValidationError(f"Name: at most {_NAME_LENGTH} characters; this one has {len(name)}.")
    if len(query) > QUERY_LENGTH or "%00" in query:
        raise ValidationError("View: its search and filters are too long to be kept; leave some out.")
    view, _ = SavedView.objects.update_or_create(
        owner_id=user.pk, page=page, name=name, defaults={"query": query, "shared": shared}
    )
    return view

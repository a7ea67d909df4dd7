"""Filters of lists: each is a query parameter; one that the list does not have is an error that names it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from routing.api.v1.problems import invalid

if TYPE_CHECKING:

    class FilterSet:
        base_filters: ClassVar[dict[str, Any]]

        @property
        def request(self) -> Any: ...

    class DjangoFilterBackend:
        def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any: ...

    class Filter:
        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    CharFilter = NumberFilter = BooleanFilter = MultipleChoiceFilter = Filter
else:
    from django_filters import Filter
    from django_filters.rest_framework import (
        BooleanFilter,
        CharFilter,
        DjangoFilterBackend,
        FilterSet,
        MultipleChoiceFilter,
        NumberFilter,
    )

__all__ = [
    "BooleanFilter",
    "CharFilter",
    "DjangoFilterBackend",
    "Filters",
    "MomentFilter",
    "MultipleChoiceFilter",
    "NumberFilter",
]


class MomentField(forms.CharField):
    """A moment as ISO 8601: 2026-11-23T14:00:00Z; without a zone it is UTC, without a time midnight."""

    def clean(self, value: Any) -> Any:
        """Return the moment in UTC, which databases take whatever its zone was."""
        text = super().clean(value)
        if not text:
            return None
        try:
            # In a query + means a space, which is what an unescaped zone looks like.
            moment = parse_datetime(text.replace(" ", "+") if text.count(" ") == 1 and "T" in text else text)
            moment = moment or datetime.strptime(text, "%Y-%m-%d")
            aware = moment if moment.tzinfo else timezone.make_aware(moment)
            return aware.astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValidationError("Write a date or a moment as ISO 8601: 2026-11-23 or 2026-11-23T14:00:00Z.") from None


class MomentFilter(Filter):
    """Compares with a moment."""

    field_class = MomentField


class Filters(FilterSet):
    """`search` looks inside the fields that a list names."""

    searched: ClassVar[Sequence[str]] = ()

    search = CharFilter(method="find", label="Text to look for, in whatever case.")

    def find(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Keep the rows one of whose searched fields holds the text."""
        wanted = Q()
        for field in self.searched:
            wanted |= Q(**{f"{field}__icontains": value})
        return queryset.filter(wanted)


def check_names(given: Sequence[str], known: frozenset[str]) -> None:
    """Raise `Problem` for a query parameter that there is not."""
    errors = {}
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean {close[0]}?" if close else f" There are: {', '.join(sorted(known)) or 'none'}."
            errors[name] = [f"There is no query parameter of this name here.{hint}"]
    if errors:
        raise invalid(errors)

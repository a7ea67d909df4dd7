"""Filters of the call log's lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_time

from calls.models import Call
from routing.errors import CATALOGUE

if TYPE_CHECKING:
    from django.contrib.admin import FieldListFilter, SimpleListFilter

    class DropdownFilter(SimpleListFilter): ...

    class RangeDateTimeFilter(FieldListFilter):
        parameter_name: str

else:
    from unfold.contrib.filters.admin import DropdownFilter, RangeDateTimeFilter

TOPICS = ("status", "recording", "conference", "amd")


class LegsFilter(DropdownFilter):
    """Shows calls without the legs that they dialled, unless something is looked for that legs may have."""

    title = "legs"
    parameter_name = "legs"
    all_option = None

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Return the choices."""
        return [("", "Calls only"), ("all", "All legs")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        """Leave out dialled legs."""
        looked_for = [name for name, value in request.GET.items() if value]
        if self.value() == "all" or any(name.startswith(("q", "endpoint", "direction")) for name in looked_for):
            return queryset
        return queryset.filter(parent=None)


class CodeFilter(DropdownFilter):
    """By error code: all of the catalogue are on offer, and any other may be written into the address."""

    title = "code"
    parameter_name = "code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Return the choices."""
        return [(str(code), f"{code} {known.text}") for code, known in sorted(CATALOGUE.items())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows with the code; ignore what is no number."""
        value = (self.value() or "").strip()
        if not is_code(value):
            return queryset
        # Indexes of a column that is mostly 0 leave these rows out, and must be told that they are not wanted.
        return queryset.filter(**{self.parameter_name: int(value)}).exclude(**{self.parameter_name: 0})


class ErrorCodeFilter(CodeFilter):
    """The same where the column is called `error_code`."""

    parameter_name = "error_code"


class TopicFilter(DropdownFilter):
    """By what a webhook is about."""

    title = "topic"
    parameter_name = "topic"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Return the choices."""
        return [(topic, topic) for topic in TOPICS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of the topic."""
        return queryset.filter(topic=self.value()) if self.value() else queryset


def is_code(text: str) -> bool:
    """Say whether a text can be an error code: at most five digits, as Twilio's are."""
    return text.isascii() and text.isdigit() and len(text) <= 5


class MomentFilter(RangeDateTimeFilter):
    """From and to, in the operator's time zone; a date alone means the whole day (Unfold's own ignores it)."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows in the range; ignore what is no date."""
        for end, lookup, otherwise in (("from", "gte", time.min), ("to", "lte", time.max)):
            moment = self._moment(end, otherwise)
            if moment is not None:
                queryset = queryset.filter(**{f"{self.parameter_name}__{lookup}": moment})
        return queryset

    def _moment(self, end: str, otherwise: time) -> datetime | None:
        given = [self.used_parameters.get(f"{self.parameter_name}_{end}_{part}") for part in (0, 1)]
        day, clock = (str(value[0] if isinstance(value, list) else value or "").strip() for value in given)
        try:
            date, hour = parse_date(day), parse_time(clock)
        except ValueError:
            return None
        return timezone.make_aware(datetime.combine(date, hour or otherwise)) if date else None

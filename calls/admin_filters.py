"""Filters of the call log's lists.

Those without an index of their own look at the newest calls only (`Window`): what is rare would otherwise have the
database walk through millions of rows. The list says how far it looked; an export looks at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import TYPE_CHECKING, Any

from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_time

from calls import outcomes
from calls.models import Call, CallTag, Recording, Tag
from routing.errors import CATALOGUE
from routing.models import Region

if TYPE_CHECKING:
    from django.contrib.admin import FieldListFilter, SimpleListFilter

    class DropdownFilter(SimpleListFilter): ...

    class TextFilter(SimpleListFilter): ...

    class RangeDateTimeFilter(FieldListFilter):
        parameter_name: str

    class RangeNumericFilter(FieldListFilter):
        parameter_name: str

else:
    from unfold.contrib.filters.admin import DropdownFilter, RangeDateTimeFilter, RangeNumericFilter, TextFilter

TOPICS = ("status", "recording", "conference", "amd")
LOOKED_THROUGH = 50_000  # calls
EXPORT = "calls_call_export"  # the URL that looks at all of them
ENDERS = ("caller", "callee", "engine", "operator")
_TAGS_OFFERED = 200
_MOMENT, _WINDOW = "start_time", "cordboard.window"


@dataclass(frozen=True, slots=True)
class Window:
    """What a search without an index looks through: all that the other filters leave, or only what began since."""

    since: datetime | None = None


def used_window(request: HttpRequest) -> Window | None:
    """Return what the list's filters have looked through; None if none of them needed to."""
    found: Window | None = request.META.get(_WINDOW)
    return found


def in_window(request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
    """Keep the newest calls, as many as may be looked through; an export keeps all."""
    if request.resolver_match and request.resolver_match.url_name == EXPORT:
        return queryset
    if _WINDOW not in request.META:
        request.META[_WINDOW] = _window(request)
    since = request.META[_WINDOW].since
    return queryset.filter(start_time__gte=since) if since else queryset


def _window(request: HttpRequest) -> Window:
    """Return the moment of the last call to look through, found through the index of what is filtered besides."""
    calls = Call.objects.order_by("-start_time")
    until = _moment(request.GET.get(f"{_MOMENT}_to_0"), request.GET.get(f"{_MOMENT}_to_1"), time.max)
    if until is not None:
        calls = calls.filter(start_time__lte=until)
    indexed = {name: request.GET.get(f"{name}__id__exact", "") for name in ("group", "endpoint")}
    chosen = {name: value for name, value in indexed.items() if value.isascii() and value.isdigit() and len(value) < 19}
    if chosen:
        calls = calls.filter(**chosen)
    elif only_calls(request):
        calls = calls.filter(parent=None)
    return Window(next(iter(calls.values_list("start_time", flat=True)[LOOKED_THROUGH - 1 : LOOKED_THROUGH]), None))


def only_calls(request: HttpRequest) -> bool:
    """Say whether dialled legs are left out: they are, unless something is looked for that legs may have."""
    looked_for = [name for name, value in request.GET.items() if value]
    may = any(name.startswith(("q", "endpoint", "direction", "sip_code", "ended_by")) for name in looked_for)
    return request.GET.get("legs") != "all" and not may


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
        return queryset.filter(parent=None) if only_calls(request) else queryset


class OutcomeFilter(DropdownFilter):
    """By what became of the call, in the words of the dashboard."""

    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Return the choices."""
        return [(word.value, word.value) for word in outcomes.Outcome]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        """Keep the calls with the outcome; ignore a word that is none."""
        try:
            wanted = outcomes.Outcome(self.value() or "")
        except ValueError:
            return queryset
        return in_window(request, queryset.filter(outcomes.matching(wanted)))


class RegionFilter(DropdownFilter):
    """By the region that the call came in or went out through."""

    title = "region"
    parameter_name = "region"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Return the choices."""
        return [(code, code) for code in Region.objects.order_by("code").values_list("code", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        """Keep the calls of the region."""
        return in_window(request, queryset.filter(region=self.value())) if self.value() else queryset


class EndedByFilter(DropdownFilter):
    """By who ended the call."""

    title = "who ended it"
    parameter_name = "ended_by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Return the choices."""
        return [(who, who) for who in ENDERS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        """Keep the calls that they ended."""
        return in_window(request, queryset.filter(ended_by=self.value())) if self.value() else queryset


class SipCodeFilter(TextFilter):
    """By the final response to the INVITE."""

    title = "SIP code"
    parameter_name = "sip_code"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        """Keep the calls that ended with the code; ignore what is no number."""
        value = (self.value() or "").strip()
        return in_window(request, queryset.filter(sip_code=int(value))) if is_code(value) else queryset


class RecordedFilter(DropdownFilter):
    """By whether something was recorded."""

    title = "recording"
    parameter_name = "recording"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Return the choices."""
        return [("yes", "with a recording"), ("no", "without a recording")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        """Keep the calls with, or without, one."""
        if self.value() not in ("yes", "no"):
            return queryset
        recorded = Exists(Recording.objects.order_by().filter(call=OuterRef("pk")))
        return in_window(request, queryset.filter(recorded if self.value() == "yes" else ~recorded))


class DirectionFilter(DropdownFilter):
    """By the way the call went."""

    title = "direction"
    parameter_name = "direction__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Return the choices."""
        return [(str(value), str(text)) for value, text in Call.Direction.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        """Keep the calls that went that way."""
        return in_window(request, queryset.filter(direction=self.value())) if self.value() else queryset


class DurationFilter(RangeNumericFilter):
    """From and to, in seconds."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the calls that lasted so long; ignore what is no number."""
        for end, lookup in (("from", "gte"), ("to", "lte")):
            given = self.used_parameters.get(f"{self.parameter_name}_{end}") or ""
            text = str(given[0] if isinstance(given, list) else given).strip()
            if text.isascii() and text.isdigit() and len(text) <= 9:
                queryset = in_window(request, queryset.filter(**{f"{self.parameter_name}__{lookup}": int(text)}))
        return queryset


class TagFilter(DropdownFilter):
    """By a tag that an operator gave; of all accounts that have it. `column` leads to the call."""

    title = "tag"
    parameter_name = "tag"
    column = "pk"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Return the choices."""
        names = Tag.objects.order_by("name").values_list("name", flat=True).distinct()
        return [(name, name) for name in names[:_TAGS_OFFERED]]

    def has_output(self) -> bool:
        """Show it, also while there is no tag."""
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep what has the tag."""
        if not self.value():
            return queryset
        tagged = CallTag.objects.order_by().filter(tag__name=self.value()).values("call")
        return queryset.filter(**{f"{self.column}__in": tagged})


class TagOfCallFilter(TagFilter):
    """The same for what belongs to a call."""

    column = "call"


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
        day, clock = (self.used_parameters.get(f"{self.parameter_name}_{end}_{part}") for part in (0, 1))
        return _moment(day, clock, otherwise)


def _moment(day: Any, clock: Any, otherwise: time) -> datetime | None:
    """Return a day and a time of day as a moment in the operator's time zone; None for what is no date.

    Of the hour that autumn has twice, a range begins with the first and ends with the second.
    """
    texts = [str(value[0] if isinstance(value, list) else value or "").strip() for value in (day, clock)]
    try:
        date, hour = parse_date(texts[0]), parse_time(texts[1])
    except ValueError:
        return None
    if date is None:
        return None
    return timezone.make_aware(datetime.combine(date, hour or otherwise).replace(fold=int(otherwise == time.max)))

"""Opening hours with their weekly rows and exceptions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.core.exceptions import ValidationError as ModelError
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from routing.api.v1.filtering import CharFilter, Filters, MultipleChoiceFilter
from routing.api.v1.problems import of_model
from routing.api.v1.serializing import Events, Nested, OwnedSerializer, ResourceSerializer, refuse
from routing.api.v1.viewing import Writing
from routing.hours import WEEKDAYS
from routing.models import Schedule, ScheduleException, ScheduleHours

MOST_HOURS, MOST_EXCEPTIONS = 100, 1000


class HoursSerializer(Nested, ResourceSerializer[ScheduleHours]):
    """Hours that begin on these weekdays; `closes` at `opens` or before it is on the next day."""

    weekdays = Events(WEEKDAYS, help_text="The days on which they begin.")

    class Meta:
        model = ScheduleHours
        fields = ("weekdays", "opens", "closes")


class ExceptionSerializer(Nested, ResourceSerializer[ScheduleException]):
    """Days that differ: without `opens` and `closes` closed. The shortest that covers a day counts."""

    class Meta:
        model = ScheduleException
        fields = ("name", "first_day", "last_day", "opens", "closes")
        extra_kwargs = {"last_day": {"allow_null": True, "required": False}}


class NowSerializer(serializers.Serializer[Any]):
    """How it is now."""

    open = serializers.BooleanField()
    why = serializers.CharField(help_text="In plain words.")
    until = serializers.DateTimeField(allow_null=True, help_text="When that changes.")


class ScheduleSerializer(OwnedSerializer[Schedule]):
    """Opening hours. `hours` and `exceptions` given replace all of them."""

    hours = HoursSerializer(many=True, required=False, max_length=MOST_HOURS)  # type: ignore[call-arg]
    exceptions = ExceptionSerializer(many=True, required=False, max_length=MOST_EXCEPTIONS)  # type: ignore[call-arg]
    now = serializers.SerializerMethodField()

    class Meta:
        model = Schedule
        fields = ("id", "account", "name", "time_zone", "switch", "switch_until", "hours", "exceptions", "now")

    @extend_schema_field(NowSerializer)
    def get_now(self, row: Schedule) -> dict[str, Any]:
        """Return how it is now; closed for a time zone that there is none of any more."""
        try:
            opening = row.opening(timezone.now())
        except ValueError as error:
            return {"open": False, "why": f"{error}", "until": None}
        return {"open": opening.open, "why": opening.why, "until": opening.until}

    def kept_apart(self) -> Collection[str]:
        """Store the rows after the schedule."""
        return ("hours", "exceptions")

    def check(self, row: Schedule, later: dict[str, Any]) -> None:
        """Check each row as the admin does."""
        errors: dict[str, Any] = {}
        for name, model in (("hours", ScheduleHours), ("exceptions", ScheduleException)):
            if name not in later:
                continue
            later[name] = [model(schedule=row, **given) for given in later[name]]
            for number, made in enumerate(later[name]):
                try:
                    made.full_clean(exclude={"schedule"})
                except ModelError as error:
                    errors |= {f"{name}[{number}].{key}": texts for key, texts in of_model(error).items()}
        if errors:
            raise refuse(errors)

    def after(self, row: Schedule, later: dict[str, Any]) -> None:
        """Put the rows in the place of the former."""
        for name, rows in later.items():
            getattr(row, name).all().delete()
            for made in rows:
                made.schedule = row
                made.save()


class ScheduleFilters(Filters):
    """Which schedules are listed."""

    searched = ("name",)
    name = CharFilter()
    switch = MultipleChoiceFilter(choices=Schedule.Switch.choices[1:])
    account = CharFilter("account")


class Schedules(Writing):
    """Opening hours that ring groups refer to; `switch` opens or closes by hand."""

    queryset = Schedule.objects.prefetch_related("hours", "exceptions").order_by()
    serializer_class = ScheduleSerializer
    filterset_class = ScheduleFilters
    orders = {"id": "pk", "name": "name"}
    default_order = "name"

"""Forms of opening hours: days to tick, times and dates of the browser, and moments by the schedule's own clock."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from unfold.widgets import BASE_INPUT_CLASSES, UnfoldAdminSelect2Widget, UnfoldAdminSelectWidget

from routing import hours
from routing.models import Schedule, ScheduleException, ScheduleHours
from routing.models.schedules import WEEKDAY_NAMES, normal_weekdays
from routing.theme import ModelForm

MOMENT = "%Y-%m-%dT%H:%M"
_CLASSES = " ".join(BASE_INPUT_CLASSES)


def time_input(label: str) -> forms.TimeInput:
    """Return an input for a time of day."""
    return forms.TimeInput(format="%H:%M", attrs={"type": "time", "class": f"{_CLASSES} cb-time", "aria-label": label})


def date_input(label: str) -> forms.DateInput:
    """Return an input for a day."""
    return forms.DateInput(
        format="%Y-%m-%d", attrs={"type": "date", "class": f"{_CLASSES} cb-date", "aria-label": label}
    )


class WeekdaysWidget(forms.CheckboxSelectMultiple):
    """The days of the week in one line."""

    template_name = "routing/weekdays.html"


class WeekdaysField(forms.MultipleChoiceField):
    """Days to tick for what the model keeps as words."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=WEEKDAY_NAMES, widget=WeekdaysWidget(), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Split what the model keeps."""
        return value.split() if isinstance(value, str) else value

    def clean(self, value: Any) -> Any:
        """Return the words as the model keeps them."""
        return normal_weekdays(" ".join(super().clean(value)))

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare with what the model keeps."""
        return super().has_changed(self.prepare_value(initial), data)


class WallTimeField(forms.DateTimeField):
    """A moment as a clock on the wall shows it: a naive value, which the form knows the zone of."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateTimeInput(format=MOMENT, attrs={"type": "datetime-local", "class": f"{_CLASSES} cb-moment"})
        super().__init__(widget=widget, input_formats=[MOMENT, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"], **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Show naive values as they are."""
        return value

    def to_python(self, value: Any) -> Any:
        """Return the naive value."""
        with timezone.override(UTC):
            found = super().to_python(value)
        return found.replace(tzinfo=None) if found else None


def at_wall(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return when the clock of a zone first shows this; a time that it leaves out is moved behind the gap."""
    return moment.replace(tzinfo=zone, fold=0).astimezone(UTC).astimezone(zone)


class HoursForm(ModelForm[ScheduleHours]):
    """One row of the weekly hours."""

    weekdays = WeekdaysField(label="Weekdays")

    class Meta:
        model = ScheduleHours
        fields = ("weekdays", "opens", "closes")
        widgets = {"opens": time_input("From"), "closes": time_input("To")}


class ExceptionForm(ModelForm[ScheduleException]):
    """One row of the days that differ."""

    class Meta:
        model = ScheduleException
        fields = ("name", "first_day", "last_day", "opens", "closes")
        widgets = {
            "first_day": date_input("First day"),
            "last_day": date_input("Last day"),
            "opens": time_input("Open from"),
            "closes": time_input("To"),
        }


def zone_choices() -> list[tuple[str, str]]:
    """Return the names of time zones to choose from."""
    return [(name, name.replace("_", " ")) for name in sorted(available_timezones())]


class ScheduleForm(ModelForm[Schedule]):
    """Opening hours; the end of the switch is told by their own clock."""

    switch_until = WallTimeField(
        required=False,
        label="Until",
        help_text="By the clock of the time zone above. Empty: until it is switched back.",
    )

    class Meta:
        model = Schedule
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "time_zone" in self.fields:
            self.fields["time_zone"].widget = UnfoldAdminSelect2Widget(choices=zone_choices())
        until = self.instance.switch_until
        if until:
            self.initial["switch_until"] = until.astimezone(_zone_of(self.instance.time_zone)).replace(tzinfo=None)
        if self.instance._state.adding:
            self.initial.setdefault("time_zone", timezone.get_default_timezone_name())

    def clean(self) -> dict[str, Any] | None:
        """Read the end of the switch by the clock of the zone."""
        data = super().clean() or self.cleaned_data
        if until := data.get("switch_until"):
            data["switch_until"] = at_wall(until, _zone_of(data.get("time_zone", "")))
        return data


def _zone_of(name: str) -> ZoneInfo:
    try:
        return hours.zone(name)
    except ValueError:
        return ZoneInfo("UTC")


class SwitchForm(forms.Form):
    """Open or close by hand, quickly."""

    switch = forms.ChoiceField(choices=Schedule.Switch.choices, required=False, widget=UnfoldAdminSelectWidget())
    until = WallTimeField(required=False)


def country_choices() -> list[tuple[str, str]]:
    """Return the codes and names of countries whose public holidays are known."""
    from holidays.registry import COUNTRIES  # the package takes a quarter of a second to load

    found = ((names[1], module.replace("_", " ").title()) for module, names in COUNTRIES.items())
    return sorted(found, key=lambda pair: pair[1])


def subdivision_choices(country: str) -> list[tuple[str, str]]:
    """Return the parts of a country that have holidays of their own."""
    import holidays

    # Each country is a module of its own: all of them would take a second and a half.
    known = getattr(holidays, country).subdivisions if country in dict(country_choices()) else ()
    return [("", "whole country"), *((code, code) for code in known)]


class HolidaysForm(forms.Form):
    """Whose public holidays are shown to choose from."""

    country = forms.ChoiceField(widget=UnfoldAdminSelectWidget())
    subdivision = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget())
    year = forms.IntegerField(
        min_value=1970, max_value=2100, widget=forms.NumberInput(attrs={"class": f"{_CLASSES} cb-year"})
    )
    years = forms.IntegerField(
        label="How many years",
        min_value=1,
        max_value=10,
        widget=forms.NumberInput(attrs={"class": f"{_CLASSES} cb-year"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        country = str(self.data.get("country", ""))
        subdivisions = subdivision_choices(country)
        if self.data.get("subdivision", "") not in dict(subdivisions):
            self.data = {**{name: self.data.get(name, "") for name in self.fields}, "subdivision": ""}
        for name, choices in (("country", country_choices()), ("subdivision", subdivisions)):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = choices

    def days(self) -> list[tuple[date, str]]:
        """Return the public holidays that were asked for, in English where there are names in it."""
        import holidays

        given = self.cleaned_data
        years = range(given["year"], given["year"] + given["years"])
        try:
            found = holidays.country_holidays(
                given["country"], subdiv=given["subdivision"] or None, years=years, language="en_US"
            )
        except (NotImplementedError, ValueError) as error:
            raise ValidationError(f"These holidays are not known: {error}") from None
        return [(day, name) for day, name in sorted(found.items()) if day.year in years]

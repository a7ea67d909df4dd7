"""When somebody is there: weekly opening hours in a time zone, days that differ from them, and a switch by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import models

from routing import hours
from routing.hours import WEEKDAYS, Hours, Opening, Override, Plan, SpecialDays
from routing.models.base import Account

WEEKDAY_NAMES = tuple(zip(WEEKDAYS, ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), strict=True))
_PAST = timedelta(days=3)  # exceptions that ended longer ago decide nothing any more


def validate_time_zone(name: str) -> None:
    """Refuse what is no name of the IANA time zone database."""
    try:
        hours.zone(name)
    except ValueError:
        raise ValidationError(
            "There is no such time zone: write a name of the IANA database, such as Europe/Berlin."
        ) from None


def normal_weekdays(text: str) -> str:
    """Return the named days in the order of the week; raise for none, or a name that is no day."""
    names = set(text.lower().replace(",", " ").split())
    if unknown := sorted(names - set(WEEKDAYS)):
        raise ValidationError(f"{unknown[0]} is no weekday: choose from {', '.join(WEEKDAYS)}.")
    if not names:
        raise ValidationError("Choose at least one weekday.")
    return " ".join(day for day in WEEKDAYS if day in names)


class Schedule(models.Model):
    """Opening hours that ring groups refer to."""

    class Switch(models.TextChoices):
        PLAN = "", "By the plan"
        OPEN = "open", "Open"
        CLOSED = "closed", "Closed"

    account = models.ForeignKey(Account, models.PROTECT, related_name="schedules")
    name = models.CharField(max_length=64, help_text="Whose hours, such as Support or Berlin office.")
    time_zone = models.CharField(
        "time zone",
        max_length=64,
        default="UTC",
        validators=[validate_time_zone],
        help_text="Whose clock the hours are told by, such as Europe/Berlin; summer time is taken care of.",
    )
    switch = models.CharField(
        "switched by hand",
        max_length=6,
        blank=True,
        choices=Switch.choices,
        default=Switch.PLAN,
        help_text="Open or closed whatever the hours say: for a fire drill or an afternoon off.",
    )
    switch_until = models.DateTimeField(
        "until",
        null=True,
        blank=True,
        help_text="When the plan takes over again. Empty: when somebody switches it back.",
    )

    class Meta:
        ordering = ("name", "id")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Forget the end of a switch that is off."""
        if self.switch == self.Switch.PLAN:
            self.switch_until = None

    def plan(self, moment: datetime | None = None) -> Plan:
        """Return the plan as a value; exceptions that were over long before `moment` are left out. Two queries."""
        exceptions = self.exceptions.all()
        if moment is not None and not _fetched(self, "exceptions"):
            exceptions = exceptions.filter(last_day__gte=(moment - _PAST).date())
        override = None
        if self.switch:
            override = Override(self.switch == self.Switch.OPEN, self.switch_until)
        return Plan(
            self.time_zone,
            tuple(row.value() for row in self.hours.all()),
            tuple(row.value() for row in exceptions),
            override,
        )

    def opening(self, moment: datetime) -> Opening:
        """Say whether somebody is there at this moment, and why."""
        return hours.is_open(self.plan(moment), moment)

    @property
    def in_words(self) -> str:
        """Return the weekly hours in one line."""
        rows = sorted(self.hours.all(), key=lambda row: (WEEKDAYS.index(row.weekdays.split()[0]), row.opens))
        return "; ".join(map(str, rows)) or "never"

    @property
    def zone(self) -> ZoneInfo:
        """Return the time zone."""
        return hours.zone(self.time_zone)


def _in_short(days: list[str]) -> str:
    """Return weekdays as people write them: three or more in a row as from–to."""
    runs: list[list[int]] = []
    for number in sorted(WEEKDAYS.index(day) for day in days):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    names = [name for _, name in WEEKDAY_NAMES]
    parts = [
        f"{names[run[0]]}–{names[run[-1]]}" if len(run) > 2 else ", ".join(names[number] for number in run)
        for run in runs
    ]
    return ", ".join(parts)


def _fetched(row: models.Model, relation: str) -> bool:
    return relation in getattr(row, "_prefetched_objects_cache", {})


class ScheduleHours(models.Model):
    """Hours of one or more days of the week."""

    schedule = models.ForeignKey(Schedule, models.CASCADE, related_name="hours")
    weekdays = models.CharField(max_length=27, help_text="The days on which they begin.")
    opens = models.TimeField("from")
    closes = models.TimeField("to", help_text="At the same time or earlier: on the next day. 00:00 is midnight.")

    class Meta:
        ordering = ("opens", "id")
        verbose_name = "hours"
        verbose_name_plural = "weekly hours"

    def __str__(self) -> str:
        end = f"{self.closes:%H:%M}"
        return f"{_in_short(self.weekdays.split())} {self.opens:%H:%M}–{'24:00' if end == '00:00' else end}"

    def clean(self) -> None:
        """Sort the days; refuse a day that is none."""
        try:
            self.weekdays = normal_weekdays(self.weekdays)
        except ValidationError as error:
            raise ValidationError({"weekdays": error}) from error

    def value(self) -> Hours:
        """Return the row as a value."""
        days = frozenset(WEEKDAYS.index(day) for day in self.weekdays.split())
        return Hours(days, self.opens, self.closes)


class ScheduleException(models.Model):
    """Days that differ from the weekly hours: closed, or other hours."""

    schedule = models.ForeignKey(Schedule, models.CASCADE, related_name="exceptions")
    name = models.CharField(max_length=128, help_text="Why, such as Christmas or company outing.")
    first_day = models.DateField("first day")
    last_day = models.DateField("last day", blank=True, help_text="Empty: that one day.")
    opens = models.TimeField("open from", null=True, blank=True, help_text="Empty: closed all day.")
    closes = models.TimeField("to", null=True, blank=True)

    class Meta:
        ordering = ("first_day", "opens", "id")
        verbose_name = "exception"

    def __str__(self) -> str:
        return f"{self.name} {self.first_day}"

    def clean(self) -> None:
        """Take one day for a missing last day; refuse half of the hours, and an end before the beginning."""
        if self.first_day and not self.last_day:
            self.last_day = self.first_day
        if self.first_day and self.last_day and self.last_day < self.first_day:
            raise ValidationError({"last_day": "This is before the first day."})
        if (self.opens is None) != (self.closes is None):
            missing = "closes" if self.closes is None else "opens"
            raise ValidationError({missing: "Give both times, or neither: then it is closed all day."})

    def full_clean(self, exclude: set[str] | None = None, **options: bool) -> None:  # type: ignore[override]
        """Check; the last day may be left out."""
        if self.first_day and not self.last_day:
            self.last_day = self.first_day
        super().full_clean(exclude=exclude, **options)

    def value(self) -> SpecialDays:
        """Return the row as a value."""
        return SpecialDays(self.name, self.first_day, self.last_day, self.opens, self.closes)

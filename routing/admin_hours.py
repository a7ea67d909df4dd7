"""The admin pages of opening hours: the week, the days that differ, and the switch by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from routing import hours
from routing.admin_parts import links
from routing.hours import Day, Opening
from routing.hours_forms import MOMENT, ExceptionForm, HolidaysForm, HoursForm, ScheduleForm, SwitchForm, at_wall
from routing.models import Schedule, ScheduleException, ScheduleHours
from routing.theme import ModelAdmin, TabularInline, display

DAYS_SHOWN = 7
_BROKEN = Opening(False, "the time zone is not known: choose another", None)


class HoursInline(TabularInline[ScheduleHours, Schedule]):
    model = ScheduleHours
    form = HoursForm
    fields = ("weekdays", "opens", "closes")
    verbose_name_plural = "weekly hours – to the same time or earlier means: on the next day"


class ExceptionInline(TabularInline[ScheduleException, Schedule]):
    model = ScheduleException
    form = ExceptionForm
    fields = ("name", "first_day", "last_day", "opens", "closes")
    verbose_name_plural = "exceptions – without times: closed all day; the shortest that covers a day counts"


@dataclass(frozen=True, slots=True)
class Bar:
    """When it is open on a day, in minutes."""

    start: int
    width: int


@dataclass(frozen=True, slots=True)
class ShownDay:
    """One day of the strip."""

    date: date
    bars: tuple[Bar, ...]
    text: str
    exception: str


def shown_day(day: Day) -> ShownDay:
    """Return a day as the strip shows it."""
    bars = tuple(Bar(start // 60, max(1, (end - start) // 60)) for start, end in day.spans)
    text = ", ".join(f"{_clock(start)}–{_clock(end)}" for start, end in day.spans)
    return ShownDay(day.date, bars, text or "closed", day.exception)


def _clock(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}"


def opening_of(schedule: Schedule, now: datetime) -> Opening:
    """Return how it is now; closed, with what to do, for a zone that there is none of."""
    try:
        return schedule.opening(now)
    except ValueError:
        return _BROKEN


def end_of_day(schedule: Schedule, now: datetime) -> datetime:
    """Return the next midnight by the schedule's clock, naive."""
    return datetime.combine(now.astimezone(schedule.zone).date() + timedelta(days=1), time())


@admin.register(Schedule)
class ScheduleAdmin(ModelAdmin[Schedule]):
    form = ScheduleForm
    list_display = ("name", "now", "why", "time_zone", "used", "account")
    list_filter = ("switch", "account")
    list_select_related = ("account",)
    search_fields = ("name",)
    autocomplete_fields = ("account",)
    inlines = (HoursInline, ExceptionInline)
    actions = ["close_today", "open_today", "by_the_plan"]
    change_form_outer_before_template = "routing/schedule_now.html"
    fieldsets = (
        (None, {"fields": ("name", "account", "time_zone")}),
        ("Switched by hand", {"classes": ("collapse",), "fields": ("switch", "switch_until")}),
    )

    class Media:
        css = {"all": ["calls/calls.css", "routing/hours.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        rows: QuerySet[Schedule] = super().get_queryset(request).prefetch_related("hours", "exceptions")
        return rows.annotate(number=Count("groups", distinct=True))

    @display(description="Now", label={"Open": "success", "Closed": "danger"})
    def now(self, schedule: Schedule) -> str:
        return "Open" if opening_of(schedule, timezone.now()).open else "Closed"

    @display(description="Why")
    def why(self, schedule: Schedule) -> str:
        return opening_of(schedule, timezone.now()).why

    @display(description="Ring groups", ordering="number")
    def used(self, schedule: Any) -> int:
        return int(schedule.number)

    def render_change_form(
        self, request: HttpRequest, context: Any, add: bool = False, change: bool = False, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show how it is now and in the next days, by what is saved."""
        obj = kwargs.get("obj")
        if change and obj:
            context.update(self._now(request, Schedule.objects.get(pk=obj.pk)))
        return super().render_change_form(request, context, add, change, *args, **kwargs)

    def _now(self, request: HttpRequest, schedule: Schedule) -> dict[str, Any]:
        now = timezone.now()
        opening = opening_of(schedule, now)
        found: dict[str, Any] = {"opening": opening, "zone": schedule.time_zone}
        if opening is _BROKEN:
            return found
        local = now.astimezone(schedule.zone)
        week = hours.days(schedule.plan(), local.date(), DAYS_SHOWN)
        groups = list(schedule.groups.all())
        may = self.has_change_permission(request, schedule)
        return found | {
            "clock": f"{local:%H:%M}",
            "week": [shown_day(day) for day in week],
            "end_of_day": end_of_day(schedule, now).strftime(MOMENT),
            "switched": bool(schedule.switch),
            "switch_url": reverse("admin:routing_schedule_switch", args=[schedule.pk]),
            "holidays_url": reverse("admin:routing_schedule_holidays", args=[schedule.pk]) if may else "",
            "may_switch": may,
            "used_by": links(groups) if groups else "",
        }

    def get_urls(self) -> list[URLPattern]:
        """Add the paths of the switch and of public holidays."""
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/switch/", wrap(require_POST(self.switch_view)), name="routing_schedule_switch"),
            path("<int:pk>/holidays/", wrap(self.holidays_view), name="routing_schedule_holidays"),
            *super().get_urls(),
        ]

    def _found(self, request: HttpRequest, pk: int) -> Schedule:
        found = Schedule.objects.filter(pk=pk).first()
        if found is None:
            raise Http404(f"There is no schedule {pk}.")
        if not self.has_change_permission(request, found):
            raise PermissionDenied
        return found

    def switch_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Open or close by hand, or go back to the plan."""
        schedule = self._found(request, pk)
        form = SwitchForm(request.POST)
        until = None
        if form.is_valid() and form.cleaned_data["until"]:
            until = at_wall(form.cleaned_data["until"], schedule.zone)
        if not form.is_valid():
            messages.error(request, "Nothing was switched: give the day and the time, or leave both empty.")
        elif form.cleaned_data["switch"] and until and until <= timezone.now():
            messages.error(request, "Nothing was switched: this time has passed already.")
        else:
            self._switch(request, schedule, form.cleaned_data["switch"], until)
        return redirect(reverse("admin:routing_schedule_change", args=[pk]))

    def _switch(self, request: HttpRequest, schedule: Schedule, switch: str, until: datetime | None) -> None:
        schedule.switch, schedule.switch_until = switch, until if switch else None
        schedule.save(update_fields=["switch", "switch_until"])
        why = opening_of(schedule, timezone.now()).why
        self.log_change(request, schedule, f"Switched: {why}.")
        messages.success(request, f"{schedule}: {why}.")

    def _switch_all(self, request: HttpRequest, queryset: QuerySet[Schedule], switch: str) -> None:
        for schedule in queryset:
            try:
                until = at_wall(end_of_day(schedule, timezone.now()), schedule.zone)
            except ValueError:
                messages.error(request, f"{schedule}: {_BROKEN.why}.")
            else:
                self._switch(request, schedule, switch, until)

    @admin.action(description="Close for the rest of today", permissions=["change"])
    def close_today(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        """Close until midnight by each one's own clock."""
        self._switch_all(request, queryset, Schedule.Switch.CLOSED)

    @admin.action(description="Open for the rest of today", permissions=["change"])
    def open_today(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        """Open until midnight by each one's own clock."""
        self._switch_all(request, queryset, Schedule.Switch.OPEN)

    @admin.action(description="Back to the plan", permissions=["change"])
    def by_the_plan(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        """Take what was switched by hand back."""
        self._switch_all(request, queryset, Schedule.Switch.PLAN)

    def holidays_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show a country's public holidays to choose from, and store those that are chosen."""
        schedule = self._found(request, pk)
        year = timezone.now().astimezone(UTC).year
        form = HolidaysForm(_asked(request.GET, year))
        found: list[tuple[date, str]] = []
        if "country" in request.GET and form.is_valid():
            try:
                found = form.days()
            except ValidationError as error:
                form.add_error(None, error)
        back = reverse("admin:routing_schedule_change", args=[pk])
        if request.method == "POST" and found:
            chosen = set(request.POST.getlist("day"))
            self._add_holidays(request, schedule, [(day, name) for day, name in found if day.isoformat() in chosen])
            return redirect(back)
        known = _known(schedule)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Public holidays for {schedule}",
            "schedule": schedule,
            "form": form,
            "asked": "country" in request.GET,
            "back": back,
            "days": [
                {"date": day, "value": day.isoformat(), "name": name, "known": day in known} for day, name in found
            ],
        }
        return render(request, "routing/holidays.html", context)

    def _add_holidays(self, request: HttpRequest, schedule: Schedule, chosen: list[tuple[date, str]]) -> None:
        known = _known(schedule)
        rows = [
            ScheduleException(schedule=schedule, name=name[:128], first_day=day, last_day=day)
            for day, name in chosen
            if day not in known
        ]
        ScheduleException.objects.bulk_create(rows)
        self.log_change(request, schedule, f"Added {len(rows)} public holidays.")
        messages.success(request, f"{len(rows)} public holidays added.")


def _known(schedule: Schedule) -> set[date]:
    """Return the days that have an exception of their own."""
    rows = schedule.exceptions.values_list("first_day", "last_day")
    return {first for first, last in rows if first == last}


def _asked(query: QueryDict, year: int) -> dict[str, str]:
    """Return what the form of holidays shows: what was asked for, else this year and the next."""
    given = {"country": "", "subdivision": "", "year": str(year), "years": "2"}
    return {name: query.get(name, value) for name, value in given.items()}

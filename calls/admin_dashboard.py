"""The admin's first page: the figures of `dashboard`, each with a link to the list of just those rows."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db import Error, connection, transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django_q.models import Schedule

from calls import dashboard, first_hour
from calls.call_page import clock
from calls.dashboard import Day, Figures
from calls.engines import EngineStatus, engines
from calls.outcomes import Outcome
from routing.errors import lookup

log = logging.getLogger(__name__)

HEARTBEAT = "calls.sweep"  # the worker does it every minute
WORKER_AWAY_AFTER = timedelta(minutes=3)
DISK_LOW_SHARE, DISK_LOW_BYTES, DISK_LOW_ALWAYS = 0.05, 10_000_000_000, 500_000_000
ANSWER_WITHIN = 3.0  # seconds, for the whole page
SHOWN = 8  # rows of the short lists
ALWAYS = (Outcome.ANSWERED, Outcome.MISSED, Outcome.FAILED)  # shown even if there are none

WORDS = {
    Outcome.ANSWERED: ("Answered", "#16a34a", "good"),
    Outcome.MISSED: ("Missed", "#d97706", "busy"),
    Outcome.FAILED: ("Failed", "#dc2626", "bad"),
    Outcome.UNREACHED: ("Not reached", "#8b5cf6", "quiet"),
    Outcome.OPEN: ("Open", "#2563eb", "live"),
}
MEANINGS = {
    Outcome.ANSWERED: "Somebody took the call; of a call to a ring group, a member did",
    Outcome.MISSED: "Came in, and the caller gave up, or nobody answered, or all were busy",
    Outcome.FAILED: "Could not be set up: refused, an error, or nobody there to be rung",
    Outcome.UNREACHED: "Went out, and was not answered",
    Outcome.OPEN: "Waits or rings now",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and the list behind it."""

    number: int
    url: str


def callback(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what templates/admin/index.html shows (Unfold's DASHBOARD_CALLBACK)."""
    figures, late = latest()
    told = engines()
    context["title"] = "Dashboard"
    context["first_hour"] = first_hour.checklist(request.user)
    context["desk"] = {
        "late": late,
        "figures": figures,
        "warnings": list(_warnings(told)),
        "engines": [_engine(one) for one in told],
        "live_url": reverse("admin:calls_call_live"),
        **(_page(figures) if figures else {}),
    }
    return context


_last: Figures | None = None


def latest() -> tuple[Figures | None, bool]:
    """Return the figures, or those of the last time and True if the database does not answer soon."""
    global _last
    try:
        with within(ANSWER_WITHIN):
            _last = dashboard.figures()
    except Error as error:
        log.warning("dashboard: %s", error)
        return _last, True
    return _last, False


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Have the database give up what takes longer; it raises `django.db.OperationalError` then."""
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        deadline = time.monotonic() + seconds
        sqlite = connection.connection
        sqlite.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)  # instructions: about a millisecond
        try:
            yield
        finally:
            sqlite.set_progress_handler(None, 0)
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(int(1000 * seconds))])
        yield


def _page(figures: Figures) -> dict[str, Any]:
    first, today = figures.days[0].date, figures.days[-1].date
    shown = [outcome for outcome in Outcome if outcome in ALWAYS or figures.sum(outcome)]
    return {
        "empty": not figures.any_call,
        "today": _split(figures.today.counts, shown, today, today),
        "week": _split({outcome: figures.sum(outcome) for outcome in Outcome}, shown, first, today),
        "days": [_day(day, shown, today) for day in reversed(figures.days)],
        "chart": json.dumps(_chart(figures.days, shown)),
        "chart_options": json.dumps(_CHART_OPTIONS),
        "hours": _hours(figures.days),
        "groups": [
            {
                "group": group,
                "all": Figure(group.total, calls_url(first, today, group__id__exact=group.pk)),
                "answered": Figure(
                    group.counts.get(Outcome.ANSWERED, 0),
                    calls_url(first, today, group__id__exact=group.pk, outcome=Outcome.ANSWERED),
                ),
                "ring": clock(group.ring) if group.ring is not None else "–",
            }
            for group in figures.groups
        ],
        "problems": [
            {
                "code": code,
                "text": lookup(code).text,
                "figure": Figure(number, _since_url("notification", figures.day, code=code)),
            }
            for code, number in figures.problems[:SHOWN]
        ],
        "all_problems": Figure(sum(number for _, number in figures.problems), _since_url("notification", figures.day)),
        "webhooks": [
            {
                "host": host or "(no host)",
                "figure": Figure(number, _since_url("webhookdelivery", figures.day, state__exact="failed", host=host)),
            }
            for host, number in figures.webhooks[:SHOWN]
        ],
        "all_webhooks": Figure(
            sum(number for _, number in figures.webhooks),
            _since_url("webhookdelivery", figures.day, state__exact="failed"),
        ),
        "endpoints": figures.endpoints[:SHOWN],
        "all_endpoints": Figure(
            len(figures.endpoints), f"{reverse('admin:routing_endpoint_changelist')}?failed_last=yes"
        ),
        "queued": Figure(figures.queued, f"{reverse('admin:calls_call_changelist')}?status__exact=queued"),
        "live": Figure(figures.live, reverse("admin:calls_call_live")),
    }


def calls_url(first: date, last: date, hour: int | None = None, **filters: Any) -> str:
    """Return the path of the call log with the calls that began on these days, or in one hour of them."""
    clocks = ("", "") if hour is None else (f"{hour:02}:00", f"{hour:02}:59:59.999999")
    given = {
        "start_time_from_0": first,
        "start_time_from_1": clocks[0],
        "start_time_to_0": last,
        "start_time_to_1": clocks[1],
        **filters,
    }
    return f"{reverse('admin:calls_call_changelist')}?{urlencode({k: str(v) for k, v in given.items() if v != ''})}"


def _since_url(model: str, since: datetime, **filters: Any) -> str:
    given = {"time_from_0": f"{since:%Y-%m-%d}", "time_from_1": f"{since:%H:%M}", **filters}
    return f"{reverse(f'admin:calls_{model}_changelist')}?{urlencode(given)}"


def _split(counts: Mapping[Outcome, int], shown: Sequence[Outcome], first: date, last: date) -> dict[str, Any]:
    return {
        "all": Figure(sum(counts.values()), calls_url(first, last)),
        "parts": [
            {
                "word": WORDS[outcome][0],
                "tone": WORDS[outcome][2],
                "meaning": MEANINGS[outcome],
                "figure": Figure(counts.get(outcome, 0), calls_url(first, last, outcome=outcome)),
            }
            for outcome in shown
        ],
    }


def _day(day: Day, shown: Sequence[Outcome], today: date) -> dict[str, Any]:
    name = "Today" if day.date == today else f"{day.date:%a} {day.date.day} {day.date:%b}"
    return {"name": name, **_split(day.counts, shown, day.date, day.date)}


def _hours(days: tuple[Day, ...]) -> dict[str, Any]:
    most = max((number for day in days for number in day.hours), default=0)
    rows = [
        {
            "name": f"{day.date:%a} {day.date.day}",
            "cells": [
                {
                    "number": number,
                    "url": calls_url(day.date, day.date, hour),
                    "level": -(-6 * number // most) if most else 0,
                    "title": f"{day.date:%A} {hour}:00 to {hour + 1}:00: {number} call{'' if number == 1 else 's'}",
                }
                for hour, number in enumerate(day.hours)
            ],
        }
        for day in reversed(days)
    ]
    totals = [sum(day.hours[hour] for day in days) for hour in range(24)]
    busiest = max(range(24), key=lambda hour: totals[hour]) if most else None
    return {"rows": rows, "names": list(range(24)), "busiest": busiest, "zone": timezone.get_current_timezone_name()}


def _chart(days: tuple[Day, ...], shown: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "labels": [f"{day.date:%a} {day.date.day}" for day in days],
        "datasets": [
            {
                "label": WORDS[outcome][0],
                "data": [day.counts.get(outcome, 0) for day in days],
                "backgroundColor": WORDS[outcome][1],
                "displayYAxis": True,
            }
            for outcome in shown
        ],
    }


# These replace Unfold's own options, they are not merged with them.
_CHART_OPTIONS = {
    "animation": False,
    "responsive": True,
    "maintainAspectRatio": False,
    "maxBarThickness": 44,
    "interaction": {"mode": "index", "intersect": False},
    "datasets": {"bar": {"borderRadius": 3}},
    "plugins": {
        "legend": {
            "display": True,
            "position": "bottom",
            "labels": {"boxWidth": 10, "boxHeight": 10, "color": "#8b95a5"},
        }
    },
    "scales": {
        "x": {"stacked": True, "grid": {"display": False}, "ticks": {"color": "#8b95a5"}},
        "y": {
            "stacked": True,
            "beginAtZero": True,
            "grid": {"color": "rgba(139, 149, 165, .2)"},
            "border": {"display": False},
            "ticks": {"color": "#8b95a5", "precision": 0, "maxTicksLimit": 6},
        },
    },
}


def _engine(status: EngineStatus) -> dict[str, Any]:
    row = status.engine
    tones = {"running": "good", "starting": "live", "draining": "busy", "stopped": "quiet", "away": "bad"}
    return {
        "row": row,
        "state": status.state,
        "tone": tones[status.state],
        "alive": status.alive,
        "percent": min(100, round(100 * row.legs / row.max_legs)) if row.max_legs else 0,
        "url": f"{reverse('admin:calls_call_live')}#engine={row.name}",
    }


def _warnings(told: list[EngineStatus]) -> Iterator[tuple[str, str]]:
    """Yield what keeps calls, callbacks or recordings from working: tone and sentence."""
    if not any(one.alive for one in told):
        yield "bad", "No engine is running: calls are not answered. Start ./cordboard up."
    worker = _worker_away_since()
    if worker is not None:
        yield (
            "bad",
            f"The worker has done nothing since {timezone.localtime(worker):%d %b %H:%M}: recordings are not finished "
            "and failed callbacks are not tried again. Start ./cordboard up, or the worker's service.",
        )
    free = _disk_low()
    if free is not None:
        yield (
            "bad",
            f"Only {free / 1e9:.1f} GB are left on the disk of the recordings ({settings.RECORDINGS_DIR}): make room, "
            "or new calls will not be recorded.",
        )


def _worker_away_since() -> datetime | None:
    """Return when the worker should have done its minute's work, if that is long ago; None while it does."""
    due: datetime | None = Schedule.objects.filter(name=HEARTBEAT).values_list("next_run", flat=True).first()
    return due if due is not None and due < timezone.now() - WORKER_AWAY_AFTER else None


def _disk_low() -> int | None:
    """Return the bytes that are left for recordings if they are few."""
    folder = Path(settings.RECORDINGS_DIR)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    low = max(DISK_LOW_ALWAYS, min(DISK_LOW_BYTES, int(DISK_LOW_SHARE * usage.total)))
    return usage.free if usage.free < low else None

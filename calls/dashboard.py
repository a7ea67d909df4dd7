"""The figures of the dashboard: what happened in the last seven days, and what needs somebody now.

Everything is read through indexes, and nothing older than seven days. Days and hours are those of the operator's time
zone. Where each figure leads is in `admin_dashboard`; the lists there are filtered by the same conditions.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from statistics import median
from typing import Any

from django.db.models import Count, Exists, Func, IntegerField, Min, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from calls import outcomes
from calls.models import Call, Notification, WebhookDelivery
from calls.outcomes import Outcome
from calls.status import TERMINAL, Status
from routing.models import Endpoint, RingGroup

DAYS = 7
QUARTER = 900  # seconds: whatever the time zone, hours and days begin with one
GROUPS_SHOWN = 10
RINGS_LOOKED_AT = 2000  # the newest calls to ring groups, of which the medians are
ALIVE = tuple(status for status in Status if status not in TERMINAL)
KEPT = timedelta(minutes=10)
LONG_DAY = 500  # calls; a shorter day is counted each time
FAILED_AT_MOST = 10_000  # as far as the lists of the admin count
_AUTHORITY = r"^https?://([^/?#]*@)?"
_HOST = re.compile(_AUTHORITY + r"([^/?#]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Day:
    """The calls of one day, by outcome and by hour."""

    date: date
    counts: Mapping[Outcome, int]
    hours: tuple[int, ...]

    @property
    def total(self) -> int:
        """Return how many calls there were."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class GroupRate:
    """How a ring group did; `ring` is the median of seconds from a call to its answer, None if none was answered."""

    pk: int
    name: str
    counts: Mapping[Outcome, int]
    ring: float | None

    @property
    def total(self) -> int:
        """Return how many calls there were."""
        return sum(self.counts.values())

    @property
    def rate(self) -> int | None:
        """Return how many in a hundred were answered, of the calls that are no longer open; None for none."""
        decided = self.total - self.counts.get(Outcome.OPEN, 0)
        return round(100 * self.counts.get(Outcome.ANSWERED, 0) / decided) if decided else None


@dataclass(frozen=True, slots=True)
class Tally:
    """A day's calls, and by ring group what became of them."""

    day: Day
    groups: Mapping[int, Counter[Outcome]]


@dataclass(frozen=True, slots=True)
class FailedEndpoint:
    """An endpoint whose newest sign is a failure, and when that was."""

    pk: int
    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Figures:
    """What the dashboard shows; `first` is when the seven days began, `day` when the last 24 hours did."""

    made: datetime
    first: datetime
    day: datetime
    days: tuple[Day, ...]
    groups: tuple[GroupRate, ...]
    problems: tuple[tuple[int, int], ...]
    webhooks: tuple[tuple[str, int], ...]
    endpoints: tuple[FailedEndpoint, ...]
    queued: int
    queued_since: datetime | None
    live: int
    any_call: bool

    @property
    def today(self) -> Day:
        """Return the last of the days."""
        return self.days[-1]

    def sum(self, outcome: Outcome) -> int:
        """Return how many calls of all days had this outcome."""
        return sum(day.counts.get(outcome, 0) for day in self.days)


class _Quarter(Func):
    """The number of a moment's quarter of an hour since 1970, counted by the database without any time zone."""

    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = f"CAST(strftime('%%%%s', %(expressions)s) AS INTEGER) / {QUARTER}"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = f"FLOOR(EXTRACT(EPOCH FROM %(expressions)s) / {QUARTER})::bigint"
        return self.as_sql(compiler, connection, template=template, **context)


class Tallies:
    """Counts days, and remembers those that are over: a long one is counted again after `KEPT` only, one at a time."""

    def __init__(self) -> None:
        self._known: dict[datetime, tuple[datetime, Tally]] = {}

    def of(self, days: Sequence[datetime], now: datetime) -> list[Tally]:
        """Return the tallies of the days that begin at these moments, the last of which is today."""
        self._known = {begin: known for begin, known in self._known.items() if begin in days}
        oldest = min(self._known, key=lambda begin: self._known[begin][0], default=None)
        if oldest is not None and self._known[oldest][0] < now - KEPT:
            del self._known[oldest]
        return [self._tally(begin, days[-1], now) for begin in days]

    def _tally(self, begin: datetime, today: datetime, now: datetime) -> Tally:
        if begin in self._known:
            return self._known[begin][1]
        found = _tally(begin, midnight(begin.date() + timedelta(days=1)))
        if begin != today and found.day.total >= LONG_DAY and not found.day.counts.get(Outcome.OPEN):
            self._known[begin] = (now, found)
        return found


_tallies = Tallies()


def figures(now: datetime | None = None) -> Figures:
    """Read everything, in a number of queries that does not depend on how much there is."""
    now = now or timezone.now()
    today = timezone.localdate(now)
    begins = [midnight(today - timedelta(days=back)) for back in reversed(range(DAYS))]
    tallies = _tallies.of(begins, now)
    day = last_day(now)
    # The parent is no condition of the WHERE, or else SQLite walks through all calls instead of the few of a status.
    alive = Call.objects.order_by().filter(status__in=ALIVE)
    calls = Q(parent=None)
    waiting = calls & Q(status=Status.QUEUED)
    now_in = alive.aggregate(
        queued=Count("pk", filter=waiting),
        since=Min("start_time", filter=waiting),
        live=Count("pk", filter=calls & ~Q(status=Status.QUEUED)),
    )
    return Figures(
        made=now,
        first=begins[0],
        day=day,
        days=tuple(tally.day for tally in tallies),
        groups=_groups(tallies, begins[0]),
        problems=_problems(day),
        webhooks=_webhooks(day),
        endpoints=_endpoints(begins[0]),
        queued=now_in["queued"],
        queued_since=now_in["since"],
        live=now_in["live"],
        any_call=any(tally.day.total for tally in tallies) or Call.objects.exists(),
    )


def midnight(day: date) -> datetime:
    """Return when a day begins in the operator's time zone."""
    return datetime.combine(day, time.min, timezone.get_current_timezone())


def last_day(now: datetime) -> datetime:
    """Return the moment 24 hours ago, to the minute, in the operator's time zone: what the lists' filters can say."""
    local = (now - timedelta(days=1)).astimezone(timezone.get_current_timezone())
    return local.replace(second=0, microsecond=0, fold=0)


def _tally(begin: datetime, end: datetime) -> Tally:
    """Count the calls that began in a day, in one query."""
    zone = begin.tzinfo
    rows = Call.objects.order_by().filter(parent=None, start_time__gte=begin, start_time__lt=end)
    columns = rows.annotate(quarter=_Quarter("start_time"), taken=outcomes.taken()).values_list(
        "quarter", "group", "direction", "status", "taken"
    )
    counts: Counter[Outcome] = Counter()
    groups: dict[int, Counter[Outcome]] = defaultdict(Counter)
    hours = [0] * 24
    for quarter, group, direction, status, taken, number in columns.annotate(number=Count("*")):
        outcome = outcomes.outcome(direction, status, to_group=group is not None, member_answered=taken)
        counts[outcome] += number
        hours[datetime.fromtimestamp(quarter * QUARTER, zone).hour] += number
        if group is not None:
            groups[group][outcome] += number
    return Tally(Day(begin.date(), counts, tuple(hours)), groups)


def _groups(tallies: Iterable[Tally], first: datetime) -> tuple[GroupRate, ...]:
    counts: dict[int, Counter[Outcome]] = defaultdict(Counter)
    for tally in tallies:
        for group, counted in tally.groups.items():
            counts[group] += counted
    shown = sorted(counts, key=lambda group: -counts[group].total())[:GROUPS_SHOWN]
    names = dict(RingGroup.objects.filter(pk__in=shown).values_list("pk", "name"))
    rings = _rings(first) if shown else {}
    return tuple(
        GroupRate(
            group,
            names.get(group, f"deleted ({group})"),
            counts[group],
            median(rings[group]) if group in rings else None,
        )
        for group in shown
    )


def _rings(first: datetime) -> dict[int, list[float]]:
    """Return of the newest calls to groups how long each rang until a member answered, by group."""
    legs = Call.objects.filter(parent=OuterRef("pk"), parent__isnull=False, answer_time__isnull=False)
    answers = legs.order_by("answer_time").values("answer_time")[:1]
    calls = Call.objects.filter(parent=None, start_time__gte=first, group__isnull=False)
    newest = calls.order_by("-start_time", "-sid")[:RINGS_LOOKED_AT]
    found: dict[int, list[float]] = defaultdict(list)
    for group, start, answer in newest.annotate(answer=Subquery(answers)).values_list("group", "start_time", "answer"):
        if answer is not None:
            found[group].append(max(0.0, (answer - start).total_seconds()))
    return found


def _problems(since: datetime) -> tuple[tuple[int, int], ...]:
    rows = Notification.objects.order_by().filter(time__gte=since).values_list("code").annotate(number=Count("*"))
    return tuple(sorted(rows, key=lambda row: -row[1]))


def _webhooks(since: datetime) -> tuple[tuple[str, int], ...]:
    failed = WebhookDelivery.objects.filter(state=WebhookDelivery.State.FAILED, time__gte=since)
    urls: Iterable[str] = failed.order_by("-time").values_list("url", flat=True)[:FAILED_AT_MOST]
    return tuple(Counter(map(host_of, urls)).most_common())


def host_of(url: str) -> str:
    """Return host and port of a URL, without the name and password that may stand before them."""
    found = _HOST.match(url)
    return found[2].lower() if found else ""


def of_host(host: str) -> Q:
    """Return the condition that keeps the URLs with this host and port: the same as `host_of`, for the database."""
    return Q(url__iregex=f"{_AUTHORITY}{re.escape(host)}([/?#]|$)")


def _endpoints(first: datetime) -> tuple[FailedEndpoint, ...]:
    rows: QuerySet[Any] = failed_last(Endpoint.objects.all(), first)
    rows = rows.order_by("-failed_at")
    return tuple(FailedEndpoint(*row) for row in rows.values_list("pk", "name", "failed_at"))


def failed_last(endpoints: QuerySet[Endpoint], first: datetime | None = None) -> QuerySet[Endpoint]:
    """Keep the endpoints that could not be called when they were last, and have shown no sign of life since.

    Ringing, being busy and answering are such signs. Looks back as far as the dashboard, if no moment is given.
    """
    first = first or midnight(timezone.localdate() - timedelta(days=DAYS - 1))
    legs = Call.objects.order_by().filter(endpoint=OuterRef("pk"), start_time__gte=first)
    failed = legs.filter(status=Status.FAILED).order_by("-start_time").values("start_time")[:1]
    alive = Q(ring_time__isnull=False) | Q(answer_time__isnull=False) | Q(status=Status.BUSY)
    later = Call.objects.order_by().filter(alive, endpoint=OuterRef("pk"), start_time__gt=OuterRef("failed_at"))
    found = endpoints.filter(enabled=True).annotate(failed_at=Subquery(failed)).filter(failed_at__isnull=False)
    return found.exclude(Exists(later))

"""PURE: opening hours: whether somebody is there at a moment, why, and until when.

Hours are told by the clock on the wall. In the hour that summer time leaves out nothing opens or closes, and the hour
that comes twice counts twice. An exception replaces whole days of the calendar, also what began the evening before.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HORIZON = 400
"""Days that are looked ahead for the next change."""
_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = 86_400
_ONE_DAY = timedelta(days=1)

Span = tuple[int, int]
"""Seconds of a day, from (inclusive) and to (exclusive), as the clock on the wall shows them."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours that begin on these weekdays (Monday is 0); `closes` at `opens` or before it is on the next day."""

    weekdays: frozenset[int]
    opens: time
    closes: time


@dataclass(frozen=True, slots=True)
class SpecialDays:
    """Days that differ, both inclusive: other hours, or (`opens` and `closes` None) closed."""

    name: str
    first: date
    last: date
    opens: time | None = None
    closes: time | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """Open or closed by hand; `until` None: until it is switched back."""

    open: bool
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Opening hours of one place; `zone` is a name of the IANA database."""

    zone: str
    weekly: tuple[Hours, ...] = ()
    exceptions: tuple[SpecialDays, ...] = ()
    override: Override | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether it is open, why in plain words, and when that changes (None: not in the next `HORIZON` days)."""

    open: bool
    why: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the calendar: when it is open, and the name of the exception that decides it ("": none)."""

    date: date
    spans: tuple[Span, ...]
    exception: str


@functools.lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """Return the time zone of this name; raise `ValueError` if there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}") from None


def is_open(plan: Plan, moment: datetime) -> Opening:
    """Say whether it is open at an aware moment; raise `ValueError` for a time zone that there is none of."""
    return _Calendar(plan).opening(moment.astimezone(UTC))


def days(plan: Plan, first: date, count: int) -> tuple[Day, ...]:
    """Return days in a row by the plan alone, without what is switched by hand."""
    calendar = _Calendar(plan)
    return tuple(calendar.day(first + timedelta(days=number)) for number in range(count))


@dataclass(slots=True)
class _Calendar:
    """A plan with the days of it that were looked at."""

    plan: Plan
    zone: ZoneInfo = field(init=False)
    _days: dict[date, Day] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.zone = zone(self.plan.zone)

    def opening(self, moment: datetime) -> Opening:
        state = self._state(moment)
        until = next((change for change in self._changes(moment) if self._state(change) != state), None)
        override = self.plan.override
        if override and self._overridden(moment):
            end = f" until {self._when(override.until, moment, closing=state)}" if override.until else ""
            return Opening(state, f"{'Open' if state else 'Closed'} by hand{end}", until)
        return Opening(state, self._why(moment, state, until), until)

    def day(self, of: date) -> Day:
        found = self._days.get(of)
        if found is None:
            special = self._special(of)
            spans = [_own(opens, closes) for opens, closes in self._begins(of)]
            if not special or (of > date.min and self._special(of - _ONE_DAY) == special):
                spans += self._from_evening_before(of)
            name = special[0].name if special else ""
            found = self._days[of] = Day(of, _merged(spans), name)
        return found

    def _special(self, of: date) -> tuple[SpecialDays, ...]:
        """Return the exceptions that decide a day: the shortest, and among these hours before closed."""
        covering = [one for one in self.plan.exceptions if one.first <= of <= one.last]
        if not covering:
            return ()
        length = min(one.last - one.first for one in covering)
        shortest = [one for one in covering if one.last - one.first == length]
        return tuple([one for one in shortest if one.opens is not None] or shortest[:1])

    def _begins(self, of: date) -> list[tuple[time, time]]:
        """Return the hours that begin on a day."""
        if special := self._special(of):
            return [(one.opens, one.closes) for one in special if one.opens is not None and one.closes is not None]
        return [(one.opens, one.closes) for one in self.plan.weekly if of.weekday() in one.weekdays]

    def _from_evening_before(self, of: date) -> list[Span]:
        if of == date.min:
            return []
        return [(0, _seconds(closes)) for opens, closes in self._begins(of - _ONE_DAY) if closes <= opens]

    def _overridden(self, moment: datetime) -> bool:
        override = self.plan.override
        return override is not None and (override.until is None or moment < override.until)

    def _state(self, moment: datetime) -> bool:
        if self.plan.override and self._overridden(moment):
            return self.plan.override.open
        local = moment.astimezone(self.zone)
        second = _seconds(local.time()) + local.microsecond / 1e6
        return any(start <= second < end for start, end in self.day(local.date()).spans)

    def _changes(self, moment: datetime) -> Iterator[datetime]:
        """Yield the moments, in order, at which something may change."""
        override = self.plan.override
        if override and self._overridden(moment):
            if override.until is None:
                return
            moment = override.until.astimezone(UTC)
            yield moment
        for _ in range(HORIZON):
            try:
                end = moment + _ONE_DAY
            except OverflowError:
                return
            yield from sorted(one for one in self._candidates(moment, end) if moment < one <= end)
            moment = end

    def _candidates(self, start: datetime, end: datetime) -> set[datetime]:
        """Return when the clock shows the beginning or end of hours from `start` to `end`, and when it is put."""
        found = set()
        day, last = start.astimezone(self.zone).date(), end.astimezone(self.zone).date()
        while day <= last:
            for second in {second for span in self.day(day).spans for second in span}:
                found |= self._instants(day, second)
            day += _ONE_DAY
        if start.astimezone(self.zone).utcoffset() != end.astimezone(self.zone).utcoffset():
            found.add(self._jump(start, end))
        return found

    def _instants(self, day: date, second: int) -> set[datetime]:
        wall = datetime.combine(day, time()) + timedelta(seconds=second)
        return {wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1)}

    def _jump(self, start: datetime, end: datetime) -> datetime:
        """Return the second between two moments at which the clock is put forward or back."""
        before = start.astimezone(self.zone).utcoffset()
        low, high = int(start.timestamp()), int(end.timestamp())
        while high - low > 1:
            middle = (low + high) // 2
            if datetime.fromtimestamp(middle, self.zone).utcoffset() == before:
                low = middle
            else:
                high = middle
        return datetime.fromtimestamp(high, UTC)

    def _why(self, moment: datetime, state: bool, until: datetime | None) -> str:
        today = self.day(moment.astimezone(self.zone).date())
        if state:
            special = f" ({today.exception})" if today.exception else ""
            return f"Open until {self._when(until, moment, closing=True)}{special}" if until else "Open at all times"
        reason = today.exception or (_NAMES[today.date.weekday()] if not today.spans else "")
        if not self.plan.weekly and not today.exception:
            reason = "no opening hours"
        opens = f"opens {self._when(until, moment, closing=False)}" if until else ""
        return ", ".join(filter(None, (f"Closed: {reason}" if reason else "Closed", opens)))

    def _when(self, until: datetime | None, moment: datetime, *, closing: bool) -> str:
        assert until is not None
        local, now = until.astimezone(self.zone), moment.astimezone(self.zone)
        clock = f"{local:%H:%M}"
        if closing and clock == "00:00":
            local, clock = local - _ONE_DAY, "24:00"
        name = _NAMES[local.weekday()][:3]
        if local.date() - now.date() < timedelta(days=7):
            return f"{name} {clock}"
        year = f" {local.year}" if local.year != now.year else ""
        return f"{name} {local.day} {_MONTHS[local.month - 1]}{year} {clock}"


def _own(opens: time, closes: time) -> Span:
    return _seconds(opens), _seconds(closes) if closes > opens else _DAY


def _seconds(clock: time) -> int:
    return clock.hour * 3600 + clock.minute * 60 + clock.second


def _merged(spans: list[Span]) -> tuple[Span, ...]:
    """Return the spans in order, those that touch made one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return tuple(found)

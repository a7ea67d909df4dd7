"""Opening hours, held against a clock on the wall that is looked at minute by minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from routing import hours
from routing.hours import Hours, Override, Plan, SpecialDays, days, is_open

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = Hours(frozenset(range(5)), time(8), time(17))
MINUTE = timedelta(minutes=1)
# An hour's shift; half an hour's (Lord Howe); 45 minutes off the hour (Chatham); a night that was left out (Apia).
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Asia/Kathmandu",
)


def berlin(*moment: int, fold: int = 0) -> datetime:
    return datetime(*moment, tzinfo=BERLIN, fold=fold)  # type: ignore[arg-type, misc]


def office(**more: object) -> Plan:
    return Plan("Europe/Berlin", (OFFICE,), **more)  # type: ignore[arg-type]


def clock(text: str) -> time:
    return time.fromisoformat(text)


class TestWords:
    """What an operator reads."""

    @pytest.mark.parametrize(
        ("moment", "opened", "why"),
        [
            (berlin(2026, 11, 20, 9), True, "Open until Fri 17:00"),
            (berlin(2026, 11, 20, 7, 59, 59), False, "Closed, opens Fri 08:00"),
            (berlin(2026, 11, 20, 17), False, "Closed, opens Mon 08:00"),
            (berlin(2026, 11, 22, 9), False, "Closed: Sunday, opens Mon 08:00"),
        ],
    )
    def test_weekly_hours(self, moment: datetime, opened: bool, why: str) -> None:
        found = is_open(office(), moment)
        assert (found.open, found.why) == (opened, why)

    def test_it_says_when_that_changes(self) -> None:
        assert is_open(office(), berlin(2026, 11, 20, 18)).until == berlin(2026, 11, 23, 8)
        assert is_open(office(), berlin(2026, 11, 20, 9)).until == berlin(2026, 11, 20, 17)

    def test_a_holiday_is_named(self) -> None:
        christmas = SpecialDays("Christmas Day", date(2026, 12, 25), date(2026, 12, 25))
        found = is_open(office(exceptions=(christmas,)), berlin(2026, 12, 25, 10))
        assert found == hours.Opening(False, "Closed: Christmas Day, opens Mon 08:00", berlin(2026, 12, 28, 8))

    def test_other_hours_are_named(self) -> None:
        eve = SpecialDays("Christmas Eve", date(2026, 12, 24), date(2026, 12, 24), time(8), time(12))
        plan = office(exceptions=(eve,))
        assert is_open(plan, berlin(2026, 12, 24, 10)).why == "Open until Thu 12:00 (Christmas Eve)"
        assert is_open(plan, berlin(2026, 12, 24, 13)).why == "Closed: Christmas Eve, opens Fri 08:00"

    def test_what_is_far_away_is_told_with_its_date(self) -> None:
        works = SpecialDays("Works holiday", date(2026, 12, 14), date(2027, 1, 8))
        found = is_open(office(exceptions=(works,)), berlin(2026, 12, 20, 10))
        assert found.why == "Closed: Works holiday, opens Mon 11 Jan 2027 08:00"

    def test_midnight_ends_the_day_before(self) -> None:
        late = Plan("Europe/Berlin", (Hours(frozenset({4}), time(8), time(0)),))
        assert is_open(late, berlin(2026, 11, 20, 23, 59)).why == "Open until Fri 24:00"

    def test_no_hours_at_all(self) -> None:
        found = is_open(Plan("UTC"), berlin(2026, 11, 20, 9))
        assert found == hours.Opening(False, "Closed: no opening hours", None)

    def test_around_the_clock(self) -> None:
        always = Plan("Europe/Berlin", (Hours(frozenset(range(7)), time(0), time(0)),))
        assert is_open(always, berlin(2026, 11, 20, 9)) == hours.Opening(True, "Open at all times", None)

    def test_the_last_days_of_time_itself_do_no_harm(self) -> None:
        assert not is_open(Plan("UTC"), datetime.max.replace(tzinfo=UTC)).open
        always = Plan("UTC", (Hours(frozenset(range(7)), time(0), time(0)),))
        assert is_open(always, datetime.min.replace(tzinfo=UTC)).open


class TestDays:
    """Which hours count on a day."""

    def test_hours_past_midnight_belong_to_the_day_they_begin_on(self) -> None:
        bar = Plan("Europe/Berlin", (Hours(frozenset({4}), time(20), time(2)),))
        assert is_open(bar, berlin(2026, 11, 21, 1, 59)).why == "Open until Sat 02:00"
        assert not is_open(bar, berlin(2026, 11, 21, 2)).open
        assert not is_open(bar, berlin(2026, 11, 20, 1)).open

    def test_an_exception_replaces_the_day_also_what_began_the_evening_before(self) -> None:
        night = Hours(frozenset(range(7)), time(20), time(2))
        closed = SpecialDays("Christmas Day", date(2026, 12, 25), date(2026, 12, 25))
        plan = Plan("Europe/Berlin", (night,), (closed,))
        assert is_open(plan, berlin(2026, 12, 24, 23)).why == "Open until Thu 24:00"
        assert is_open(plan, berlin(2026, 12, 25, 1)).why == "Closed: Christmas Day, opens Sat 20:00"

    def test_an_exception_of_several_days_goes_on_past_midnight(self) -> None:
        fair = SpecialDays("Fair", date(2026, 12, 21), date(2026, 12, 23), time(20), time(2))
        assert is_open(office(exceptions=(fair,)), berlin(2026, 12, 22, 1)).why == "Open until Tue 02:00 (Fair)"
        assert is_open(office(exceptions=(fair,)), berlin(2026, 12, 24, 1)).open  # it began on the 23rd

    def test_the_shortest_exception_counts(self) -> None:
        works = SpecialDays("Works holiday", date(2026, 12, 14), date(2027, 1, 8))
        stock = SpecialDays("Stocktaking", date(2026, 12, 30), date(2026, 12, 30), time(9), time(12))
        plan = office(exceptions=(works, stock))
        assert is_open(plan, berlin(2026, 12, 30, 10)).open
        assert not is_open(plan, berlin(2026, 12, 29, 10)).open

    def test_of_exceptions_of_one_day_hours_add_up_and_count_before_closed(self) -> None:
        day = date(2026, 12, 24)
        plan = office(
            exceptions=(
                SpecialDays("Christmas Eve", day, day),
                SpecialDays("Morning", day, day, time(8), time(10)),
                SpecialDays("Afternoon", day, day, time(14), time(15)),
            )
        )
        assert [is_open(plan, berlin(2026, 12, 24, hour)).open for hour in (9, 11, 14, 16)] == [True, False] * 2

    def test_the_week_is_shown_as_spans(self) -> None:
        day = date(2026, 12, 25)
        plan = Plan(
            "Europe/Berlin",
            (OFFICE, Hours(frozenset({3}), time(16), time(2)), Hours(frozenset({5}), time(9), time(9))),
            (SpecialDays("Christmas Day", day, day),),
        )
        week = days(plan, date(2026, 12, 23), 5)
        assert [one.spans for one in week] == [
            ((28_800, 61_200),),
            ((28_800, 86_400),),
            (),
            ((32_400, 86_400),),
            ((0, 32_400),),
        ]
        assert [one.exception for one in week] == ["", "", "Christmas Day", "", ""]


class TestByHand:
    """The switch that goes before the plan."""

    def test_it_goes_before_the_plan_until_it_ends(self) -> None:
        plan = office(override=Override(False, berlin(2026, 11, 20, 12)))
        during, after = is_open(plan, berlin(2026, 11, 20, 9)), is_open(plan, berlin(2026, 11, 20, 12))
        assert during == hours.Opening(False, "Closed by hand until Fri 12:00", berlin(2026, 11, 20, 12))
        assert after.why == "Open until Fri 17:00"

    def test_it_changes_nothing_when_it_ends_as_the_plan_is(self) -> None:
        plan = office(override=Override(False, berlin(2026, 11, 20, 18)))
        found = is_open(plan, berlin(2026, 11, 20, 9))
        assert (found.why, found.until) == ("Closed by hand until Fri 18:00", berlin(2026, 11, 23, 8))

    def test_without_an_end_it_stays(self) -> None:
        found = is_open(office(override=Override(True)), berlin(2026, 11, 22, 9))
        assert found == hours.Opening(True, "Open by hand", None)


class TestSummerTime:
    """Clocks that are put forward and back."""

    def test_hours_that_begin_in_the_left_out_hour_begin_after_it(self) -> None:
        early = Plan("Europe/Berlin", (Hours(frozenset({6}), clock("02:30"), time(10)),))
        found = is_open(early, berlin(2026, 3, 29, 1, 59))
        assert (found.open, found.until) == (False, datetime(2026, 3, 29, 1, tzinfo=UTC))
        assert found.why == "Closed, opens Sun 03:00"

    def test_the_doubled_hour_counts_twice(self) -> None:
        early = Plan("Europe/Berlin", (Hours(frozenset({6}), time(2), clock("02:30")),))
        assert is_open(early, berlin(2026, 10, 25, 2, 15, fold=0)).open
        assert not is_open(early, berlin(2026, 10, 25, 2, 45, fold=0)).open
        assert is_open(early, berlin(2026, 10, 25, 2, 15, fold=1)).open
        assert is_open(early, berlin(2026, 10, 25, 2, 45)).until == datetime(2026, 10, 25, 1, tzinfo=UTC)

    def test_a_day_of_23_hours_closes_by_the_clock(self) -> None:
        always = Plan("Europe/Berlin", (Hours(frozenset({6}), time(0), time(0)),))
        found = is_open(always, berlin(2026, 3, 29, 0))
        assert found.until == datetime(2026, 3, 29, 22, tzinfo=UTC)


class TestTimeZones:
    """Names of zones."""

    @pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "Europe", "a\0b", "ü" * 9000])
    def test_what_is_none_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="time zone"):
            is_open(Plan(name), berlin(2026, 1, 1))


times = st.builds(time, st.integers(0, 23), st.sampled_from((0, 1, 15, 30, 45, 59)))
rows = st.builds(Hours, st.frozensets(st.integers(0, 6), max_size=7), times, times)


def shown(plan: Plan, moment: datetime) -> bool:
    """The oracle: what the clock on the wall shows, row by row of the plan, with no other arithmetic."""
    if plan.override and (plan.override.until is None or moment < plan.override.until):
        return plan.override.open
    local = moment.astimezone(ZoneInfo(plan.zone))
    today, wall = local.date(), local.time()

    def deciding(day: date) -> list[SpecialDays]:
        found = [one for one in plan.exceptions if one.first <= day <= one.last]
        least = min(((one.last - one.first).days for one in found), default=0)
        found = [one for one in found if (one.last - one.first).days == least]
        return [one for one in found if one.opens] or found[:1]

    def of(day: date) -> list[tuple[time, time]]:
        if special := deciding(day):
            return [(one.opens, one.closes) for one in special if one.opens and one.closes]
        return [(row.opens, row.closes) for row in plan.weekly if day.weekday() in row.weekdays]

    yesterday = today - timedelta(days=1)
    for opens, closes in of(today):
        if opens <= wall and (wall < closes or closes <= opens):
            return True
    if deciding(today) and deciding(today) != deciding(yesterday):
        return False
    return any(closes <= opens and wall < closes for opens, closes in of(yesterday))


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone, and a minute; mostly in the days around a shift of its clock."""
    name = draw(st.sampled_from(ZONES))
    shifts = {
        "Europe/Berlin": [(2026, 3, 29), (2026, 10, 25)],
        "America/New_York": [(2026, 3, 8), (2026, 11, 1)],
        "Australia/Lord_Howe": [(2026, 4, 4), (2026, 10, 3)],
        "Pacific/Chatham": [(2026, 4, 4), (2026, 9, 26)],
        "Pacific/Apia": [(2011, 12, 30), (2012, 3, 31)],
        "Asia/Kathmandu": [(1985, 12, 31), (2026, 1, 1)],
    }
    day = datetime(*draw(st.sampled_from(shifts[name])), tzinfo=UTC)
    return name, day + timedelta(minutes=draw(st.integers(-2 * 1440, 3 * 1440)))


@st.composite
def plans(draw: st.DrawFn) -> tuple[Plan, datetime]:
    name, moment = draw(moments())
    near = moment.date()
    exceptions = []
    for number in range(draw(st.integers(0, 3))):
        first = near + timedelta(days=draw(st.integers(-2, 2)))
        hours_ = draw(st.none() | st.tuples(times, times)) or (None, None)
        exceptions.append(SpecialDays(f"x{number}", first, first + timedelta(days=draw(st.integers(0, 2))), *hours_))
    until = draw(st.none() | st.integers(-60, 1500).map(lambda minutes: moment + minutes * MINUTE))
    override = draw(st.none() | st.just(Override(draw(st.booleans()), until)))
    return Plan(name, tuple(draw(st.lists(rows, max_size=4))), tuple(exceptions), override), moment


class TestAgainstTheClockOnTheWall:
    """Whatever the plan, the zone and the moment."""

    @given(plans())
    @settings(deadline=None, max_examples=150)
    @example(
        (Plan("Pacific/Apia", (Hours(frozenset(range(7)), time(8), time(20)),)), datetime(2011, 12, 30, tzinfo=UTC))
    )
    def test_state_and_next_change_are_those_of_the_oracle(self, given_: tuple[Plan, datetime]) -> None:
        plan, moment = given_
        found = is_open(plan, moment)
        assert found.open == shown(plan, moment)
        end = moment + timedelta(days=2)
        while moment < end:
            moment += MINUTE
            if shown(plan, moment) != found.open:
                assert found.until == moment
                return
        assert found.until is None or found.until > end

    @given(plans())
    @settings(deadline=None, max_examples=150)
    def test_the_next_change_is_one(self, given_: tuple[Plan, datetime]) -> None:
        plan, moment = given_
        found = is_open(plan, moment)
        if found.until is not None:
            assert found.until > moment
            assert is_open(plan, found.until).open != found.open
            assert is_open(plan, found.until - timedelta(seconds=1)).open == found.open

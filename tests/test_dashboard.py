"""The dashboard: what is counted, that each number leads to a list of just those rows, and what it says in trouble."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html import unescape
from itertools import product
from typing import Any, NamedTuple

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import resolve
from django.utils import timezone
from django_q.models import Schedule
from pytest_django.fixtures import Settings

from calls import admin_dashboard, dashboard, ledger, outcomes
from calls.entries import CallRecord
from calls.models import Call, Engine
from calls.outcomes import Outcome
from calls.status import Direction, Status
from routing.models import Account
from tests import samples

pytestmark = pytest.mark.django_db

NUMBER = re.compile(r'<a[^>]*href="([^"]*\?[^"]*)"[^>]*>(?:<span[^>]*>[^<]*</span><span[^>]*>)?(\d+)<')

URLS = ("https://app.example.com/cb", "https://u:p@APP.example.com/x", "http://other.example:8443?a=b")
KINDS = (
    "outcome=answered", "outcome=missed", "outcome=failed", "outcome=open", "group__id__exact", "code=11200",
    "host=app.example.com", "host=other.example%3A8443", "failed_last=yes", "status__exact=queued", "from_1=",
)  # fmt: skip


@pytest.fixture
def account() -> Account:
    return samples.account()


def ago(**length: float) -> float:
    return (timezone.now() - timedelta(**length)).timestamp()


def placed(account: Account, at: float, **values: Any) -> CallRecord:
    defaults = {"start_time": at, "answer_time": at + 4, "end_time": at + 50}
    return samples.call(account, **{**defaults, **values})


def run_engine(**values: Any) -> None:
    now = timezone.now()
    defaults = {
        "version": "1.2.3", "host": "h", "pid": 1, "started": now, "seen": now,
        "state": "running", "legs": 10, "max_legs": 40,
    }  # fmt: skip
    Engine.objects.create(**{"name": "e1", **defaults, **values})


class TestOutcomes:
    @pytest.mark.parametrize(
        ("direction", "status", "group", "answered", "expected"),
        [
            ("inbound", "completed", False, False, "answered"),
            ("inbound", "completed", True, True, "answered"),
            ("inbound", "completed", True, False, "missed"),  # voicemail, or a spoken message
            ("inbound", "no-answer", True, False, "missed"),
            ("inbound", "busy", False, False, "missed"),
            ("inbound", "canceled", False, False, "missed"),
            ("inbound", "failed", False, False, "failed"),
            ("inbound", "ringing", True, False, "open"),
            ("inbound", "in-progress", True, False, "open"),
            ("inbound", "in-progress", False, False, "answered"),
            ("outbound-api", "no-answer", False, False, "unreached"),
            ("outbound-api", "completed", True, False, "unreached"),
            ("outbound-api", "queued", False, False, "open"),
        ],
    )
    def test_what_becomes_of_a_call(
        self, direction: str, status: str, group: bool, answered: bool, expected: str
    ) -> None:
        assert outcomes.outcome(direction, status, to_group=group, member_answered=answered) == expected

    def test_the_database_says_the_same_of_every_call(self, account: Account) -> None:
        group = samples.group(account).pk
        expected: dict[str, Outcome] = {}
        rows: list[Any] = []
        for direction, status, to_group, answered in product(
            (Direction.INBOUND, Direction.OUTBOUND_API), Status, (False, True), (False, True)
        ):
            record = samples.call(account, direction=direction, status=status, group_id=group if to_group else 0)
            leg = samples.leg(record, answer_time=samples.START + 3 if answered else None)
            rows += [record, leg]
            expected[record.sid] = outcomes.outcome(direction, status, to_group=to_group, member_answered=answered)
        ledger.apply(rows)
        calls = Call.objects.filter(parent=None)
        found = {word: set(calls.filter(outcomes.matching(word)).values_list("pk", flat=True)) for word in Outcome}
        assert found == {word: {sid for sid, what in expected.items() if what == word} for word in Outcome}
        for row in calls.annotate(taken=outcomes.taken()):
            said = outcomes.outcome(row.direction, row.status, to_group=bool(row.group_id), member_answered=row.taken)
            assert said == expected[row.sid]


class Desk(NamedTuple):
    """What the rows of the fixture `desk` are about."""

    account: Account
    group: int
    alive: int
    dead: int


@pytest.fixture
def desk(account: Account) -> Desk:
    """Fill the log with something for every figure, spread over nine days."""
    ledger.forget_endpoints()
    group, other = samples.group(account), samples.group(account, "Sales")
    alive = samples.endpoint(account)
    dead = samples.endpoint(account, "Bob", uri="sip:bob@127.0.0.1:5072")
    rows: list[Any] = []
    for number, status in enumerate((*Status, *Status, "completed", "completed", "no-answer")):
        at = ago(hours=11.3 * number)
        over = status in ("completed", "busy", "failed", "no-answer", "canceled")
        direction = "outbound-api" if number % 5 == 4 or status == "queued" else "inbound"
        values = {"status": status, "direction": direction, "end_time": at + 50 if over else None}
        call = placed(account, at, group_id=(0, group.pk, other.pk)[number % 3], **values)
        taken = at + number if status in ("completed", "in-progress") and number % 2 else None
        rows += [call, samples.leg(call, start_time=at, end_time=at + 50, answer_time=taken)]
    last = rows[0]
    rows += [
        samples.leg(last, to_address=dead.address, status="failed", start_time=ago(hours=1)),
        samples.leg(last, to_address=alive.address, status="failed", start_time=ago(hours=2)),
        samples.leg(last, to_address=alive.address, status="busy", start_time=ago(hours=1)),
    ]
    for number in range(6):
        rows.append(samples.note(last, code=(11200, 13224)[number % 2], time=ago(hours=7 * number + 0.5)))
        url = ("https://app.example.com/cb", "https://u:p@APP.example.com/x", "http://other.example:8443?a=b")[
            number % 3
        ]
        rows.append(samples.delivery(last, url=url, state="failed", error_code=11200, time=ago(hours=6 * number + 0.5)))
    rows.append(samples.delivery(last, time=ago(hours=1)))
    ledger.apply(rows)
    return Desk(account, group.pk, alive.pk, dead.pk)


def numbers(html: str) -> Iterator[tuple[str, int]]:
    for url, number in NUMBER.findall(html):
        yield unescape(url), int(number)


def rows_of(url: str, user: User) -> int:
    """Return the number of rows of an admin's list, without the work of showing them."""
    request = RequestFactory().get(url)
    request.user, request.resolver_match = user, resolve(request.path)
    shown = next(
        one for one in admin.site._registry.values()
        if request.resolver_match.url_name == f"{one.opts.app_label}_{one.opts.model_name}_changelist"
    )  # fmt: skip
    changes: Any = shown.get_changelist_instance(request)
    return int(changes.result_count)


class TestEveryNumberLeadsToItsRows:
    def test_the_list_shows_exactly_as_many(self, admin_client: Client, admin_user: User, desk: Desk) -> None:
        run_engine()
        html = admin_client.get("/admin/").content.decode()
        found = dict(numbers(html))
        assert [kind for kind in KINDS if not any(kind in url for url in found)] == []
        for url, number in found.items():
            assert (url, rows_of(url, admin_user)) == (url, number)

    def test_what_is_in_progress_leads_to_the_live_board(self, admin_client: Client, desk: Desk) -> None:
        html = admin_client.get("/admin/").content.decode()
        live = Call.objects.filter(parent=None, status__in=("initiated", "ringing", "in-progress")).count()
        assert re.search(rf'href="/admin/calls/call/live/".*?>{live}<', html)

    def test_the_doubled_hour_of_autumn_is_whole(
        self, admin_client: Client, account: Account, settings: Settings
    ) -> None:
        settings.TIME_ZONE = "Europe/Berlin"
        doubled = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC).timestamp() for hour in (0, 1)]  # both are 2:30
        ledger.apply([placed(account, at) for at in doubled])
        figures = dashboard.figures(datetime(2026, 10, 26, 12, tzinfo=UTC))
        day = next(day for day in figures.days if day.date == date(2026, 10, 25))
        assert (day.hours[2], day.total) == (2, 2)
        url = admin_dashboard.calls_url(day.date, day.date, 2)
        assert admin_client.get(url).context["cl"].result_count == 2


class TestFigures:
    def test_days_begin_at_midnight_where_the_operator_is(self, account: Account, settings: Settings) -> None:
        settings.TIME_ZONE = "Asia/Kathmandu"  # 5:45 ahead
        now = datetime(2026, 11, 20, 12, tzinfo=UTC)
        ledger.apply(
            [placed(account, datetime(2026, 11, 19, 18, minute, tzinfo=UTC).timestamp()) for minute in (14, 15)]
        )
        figures = dashboard.figures(now)
        assert [day.total for day in figures.days[-2:]] == [1, 1]
        assert (figures.days[-2].hours[23], figures.today.hours[0]) == (1, 1)

    def test_a_groups_rate_and_how_long_it_rings(self, account: Account) -> None:
        group = samples.group(account).pk
        rows: list[Any] = []
        for wait in (3, 7, 20, None):
            call = placed(account, ago(minutes=5), group_id=group, status="completed" if wait else "no-answer")
            answer = call.start_time + wait if wait else None
            rows += [call, samples.leg(call, answer_time=answer), samples.leg(call)]
        ledger.apply(rows)
        [rate] = dashboard.figures().groups
        assert (rate.total, rate.rate) == (4, 75)
        assert rate.ring == pytest.approx(7)

    def test_an_endpoint_that_rings_again_is_off_the_list(self, desk: Desk) -> None:
        assert [one.pk for one in dashboard.figures().endpoints] == [desk.dead]
        Call.objects.filter(endpoint=desk.dead).update(ring_time=None)
        leg = Call.objects.filter(endpoint=desk.dead).latest("start_time")
        leg.pk, leg.status, leg.start_time, leg.ring_time = "CA" + "1" * 32, "canceled", timezone.now(), timezone.now()
        leg.save(force_insert=True)
        assert dashboard.figures().endpoints == ()

    def test_a_long_day_that_is_over_is_not_counted_each_time(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dashboard, "LONG_DAY", 1)
        now = timezone.now()
        begins = [dashboard.midnight(timezone.localdate(now) - timedelta(days=back)) for back in (1, 0)]
        ledger.apply([placed(account, begin.timestamp()) for begin in begins])
        tallies = dashboard.Tallies()

        def totals(at: datetime) -> list[int]:
            return [tally.day.total for tally in tallies.of(begins, at)]

        assert totals(now) == [1, 1]
        ledger.apply([placed(account, begin.timestamp() + 1) for begin in begins])
        assert totals(now) == [1, 2]
        assert totals(now + 2 * dashboard.KEPT) == [2, 2]

    def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(
        self, admin_client: Client, account: Account
    ) -> None:
        run_engine()
        group = samples.group(account).pk

        def queries() -> int:
            with CaptureQueriesContext(connection) as asked:
                admin_client.get("/admin/")
            return len(asked)

        admin_client.get("/admin/")  # which looks up content types
        ledger.apply([placed(account, ago(minutes=1), group_id=group)])
        few = queries()
        more = samples.group(account, "Sales").pk
        ledger.apply([placed(account, ago(hours=hour), group_id=(group, more)[hour % 2]) for hour in range(60)])
        assert queries() == few < 35


class TestTrouble:
    def page(self, client: Client) -> str:
        return client.get("/admin/").content.decode()

    def test_no_engine_runs(self, admin_client: Client) -> None:
        assert "No engine is running" in self.page(admin_client)
        run_engine(seen=timezone.now() - timedelta(minutes=5))
        assert "No engine is running" in self.page(admin_client)
        run_engine(name="e2")
        html = self.page(admin_client)
        assert "No engine is running" not in html
        assert "10 of 40" in html and "1.2.3" in html and "away" in html

    def test_the_worker_is_away(self, admin_client: Client) -> None:
        heartbeat = Schedule.objects.filter(name="calls.sweep")
        heartbeat.update(next_run=timezone.now() + timedelta(seconds=30))
        assert "The worker has done nothing" not in self.page(admin_client)
        heartbeat.update(next_run=timezone.now() - timedelta(minutes=9))
        assert "The worker has done nothing" in self.page(admin_client)

    def test_the_disk_of_the_recordings_is_almost_full(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "are left on the disk" not in self.page(admin_client)
        usage = type(shutil.disk_usage("/"))(100_000_000_000, 99_000_000_000, 1_000_000_000)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        assert "Only 1.0 GB are left on the disk of the recordings" in self.page(admin_client)

    def test_a_database_that_is_slow_leaves_the_last_figures_with_their_time(
        self, admin_client: Client, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def slow() -> dashboard.Figures:
            raise OperationalError("canceling statement due to statement timeout")

        monkeypatch.setattr(admin_dashboard, "_last", None)
        with monkeypatch.context() as patch:
            patch.setattr(dashboard, "figures", slow)
            assert "there are no figures yet" in self.page(admin_client)
        ledger.apply([placed(account, ago(minutes=1))])
        self.page(admin_client)
        with monkeypatch.context() as patch:
            patch.setattr(dashboard, "figures", slow)
            html = self.page(admin_client)
        assert "these are the figures of" in html and "Calls today" in html

    def test_what_takes_too_long_is_given_up(self) -> None:
        endless = (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
            if connection.vendor == "sqlite"
            else "SELECT pg_sleep(3600)"
        )
        with pytest.raises(OperationalError), admin_dashboard.within(0.05), connection.cursor() as cursor:
            cursor.execute(endless)
        assert Call.objects.count() == 0


class TestWhoSeesWhat:
    def test_an_empty_system_shows_how_to_begin_instead_of_zeros(self, admin_client: Client) -> None:
        html = admin_client.get("/admin/").content.decode()
        assert "Calls today" not in html

    def test_figures_are_for_those_who_may_see_the_lists(self, client: Client, desk: Desk) -> None:
        user = User.objects.create(username="guest", is_staff=True)
        client.force_login(user)
        html = client.get("/admin/").content.decode()
        for heading in ("Calls today", "Failing webhooks", "Problems", "Endpoints that failed"):
            assert heading not in html
        user.user_permissions.add(Permission.objects.get(codename="view_call"))
        html = client.get("/admin/").content.decode()
        assert "Calls today" in html and "Failing webhooks" not in html

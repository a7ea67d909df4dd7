"""How the database finds calls: by number and account, not by going through all of an account or a status."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone
from django_q.models import Schedule

from calls import ledger, statistics
from calls.models import Call
from tests import samples

pytestmark = pytest.mark.django_db


@pytest.fixture
def calls() -> QuerySet[Call]:
    """The calls of an account, as lists sort them; there are a hundred, each from a number of its own."""
    account = samples.account()
    ledger.apply([samples.call(account, from_address=f"sip:{number}@203.0.113.7") for number in range(100)])
    return Call.objects.filter(account=account).order_by("-start_time", "-sid")


def plan(rows: QuerySet[Call]) -> str:
    """Return how the database would find the rows; PostgreSQL reads tables this small as a whole unless it may not."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
    return rows.explain()


def now() -> datetime:
    return timezone.now() + timedelta(days=1)


@pytest.mark.parametrize("known", [False, True], ids=["without statistics", "with statistics"])
def test_a_number_is_found_through_its_index(calls: QuerySet[Call], known: bool) -> None:
    if known:
        statistics.refresh()
    assert "call_from_user" in plan(calls.filter(from_user="7"))
    assert "call_to_user" in plan(calls.filter(to_user="100"))


@pytest.mark.parametrize("known", [False, True], ids=["without statistics", "with statistics"])
def test_a_status_is_found_through_its_index(calls: QuerySet[Call], known: bool) -> None:
    if known:
        statistics.refresh()
    assert "_status" in plan(calls.filter(status="queued"))  # of the two, PostgreSQL takes either


def test_with_statistics_a_number_comes_before_a_status(calls: QuerySet[Call]) -> None:
    statistics.refresh()
    rows = calls.filter(from_user="7", status="completed", start_time__lt=now())
    assert connection.vendor == "postgresql" or "call_from_user" in plan(rows)


def test_the_worker_refreshes_them_every_hour(db: None) -> None:
    schedule = Schedule.objects.get(name="calls.statistics")
    assert (schedule.func, schedule.minutes) == ("calls.statistics.refresh", 60)

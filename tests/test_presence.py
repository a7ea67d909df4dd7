"""Who is in a conversation and who has been idle for how long, by the call log, for ring groups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from calls import ledger
from calls.entries import CallRecord
from calls.models import Engine
from calls.presence import LoggedPresence
from routing import presence
from routing.models import Account, Endpoint
from tests import samples

pytestmark = pytest.mark.django_db
LOG = LoggedPresence()


@pytest.fixture
def account() -> Account:
    return samples.account()


@pytest.fixture
def alice(account: Account) -> Endpoint:
    return samples.endpoint(account, "Alice")


def leg(account: Account, **values: object) -> CallRecord:
    parent = samples.call(account)
    return samples.leg(parent, **values)


class TestBusy:
    def test_one_who_was_called_and_talks_is(self, account: Account, alice: Endpoint) -> None:
        ledger.apply([leg(account, status="in-progress", answer_time=samples.START, end_time=None)])
        assert LOG.busy([alice]) == {alice.pk}

    @pytest.mark.parametrize("status", ["ringing", "initiated", "completed", "no-answer"])
    def test_one_who_rings_or_has_hung_up_is_not(self, account: Account, alice: Endpoint, status: str) -> None:
        ledger.apply([leg(account, status=status)])
        assert LOG.busy([alice]) == set()

    def test_one_who_has_called_somebody_is(self, account: Account, alice: Endpoint) -> None:
        talking = {"status": "in-progress", "end_time": None, "sip_username": "alice"}
        ledger.apply([samples.call(account, from_address="sip:alice@sip.example.com", **talking)])
        assert LOG.busy([alice]) == {alice.pk}

    def test_a_caller_of_another_account_is_somebody_else(self, account: Account, alice: Endpoint) -> None:
        other = Account.objects.create(friendly_name="Other")
        talking = {"status": "in-progress", "end_time": None, "sip_username": "alice"}
        ledger.apply([samples.call(other, from_address="sip:alice@sip.example.com", **talking)])
        assert LOG.busy([alice]) == set()

    @pytest.mark.parametrize(("minutes", "busy"), [(0, True), (2, False)])
    def test_what_an_engine_that_is_gone_left_open_is_no_conversation(
        self, account: Account, alice: Endpoint, minutes: int, busy: bool
    ) -> None:
        record = leg(account, status="in-progress", answer_time=samples.START, end_time=None)
        ledger.apply([record])
        seen = timezone.now() - timedelta(minutes=minutes)
        Engine.objects.create(
            name=record.engine, version="1", host="h", pid=1, started=seen, seen=seen, state="running", max_legs=10
        )
        assert LOG.busy([alice]) == ({alice.pk} if busy else set())

    def test_it_asks_once_for_all(
        self, account: Account, alice: Endpoint, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        phones = [alice, *(samples.endpoint(account, f"P{number}") for number in range(20))]
        with django_assert_num_queries(1):
            LOG.busy(phones)
        with django_assert_num_queries(1):
            LOG.idle_since(phones)


class TestIdle:
    def test_it_is_the_end_of_the_last_conversation(self, account: Account, alice: Endpoint) -> None:
        start = samples.START
        for moment in (start, start + 500):
            ledger.apply(
                [leg(account, status="completed", start_time=moment, answer_time=moment + 2, end_time=moment + 60)]
            )
        ledger.apply([leg(account, status="no-answer", start_time=start + 900)])
        assert LOG.idle_since([alice]) == {alice.pk: datetime.fromtimestamp(start + 560, UTC)}

    def test_one_who_never_talked_is_missing(self, alice: Endpoint) -> None:
        assert LOG.idle_since([alice]) == {}


def test_the_call_log_is_asked_in_a_running_application() -> None:
    assert isinstance(presence.current(), LoggedPresence)

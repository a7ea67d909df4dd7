"""Queues and those who wait in them through the official helper library. Source: Twilio's Queue and Member."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from twilio.rest import Client

from calls import command, ledger, room_ledger
from calls.entries import MemberEntry, QueueEntry, RoomChange
from calls.models import Call, Command, Queue, QueueMember
from calls.room_sids import queue_sid
from routing.models import Account
from tests import samples
from tests.api.inside import inside_client
from tests.api.wire import Wire, error_of, refused
from tests.rows import account as make_account

pytestmark = pytest.mark.django_db

URL = "https://example.com/twiml"
KEYS = "date_updated current_size friendly_name uri account_sid average_wait_time sid date_created max_size"
MEMBER_KEYS = "call_sid date_enqueued position uri wait_time queue_sid"


@pytest.fixture
def client(account: Account) -> Client:
    return inside_client(account)


def named(account: Account, name: str = "support", **values: Any) -> Queue:
    """Return a queue that a call has named."""
    sid = queue_sid(account.sid, name)
    ledger.apply([QueueEntry(sid, account.sid, name, values.pop("max_size", 1000), samples.START)])
    return Queue.objects.get(pk=sid)


def waiting(queue: Queue, seconds: float) -> Call:
    """Return a call that has waited for so long."""
    record = samples.call(queue.account, status="in-progress", end_time=None, duration=None)
    ledger.apply([record, MemberEntry(queue.pk, record.sid, queue.account_id, "e1", time.time() - seconds)])
    return Call.objects.get(pk=record.sid)


def gone(queue: Queue, call: Call) -> None:
    ledger.apply([MemberEntry(queue.pk, call.pk, queue.account_id, "e1", time.time(), waiting=False)])


class TestQueues:
    """Twilio: Queue resource."""

    def test_its_keys_are_twilios(self, wire: Wire, account: Account) -> None:
        body = wire.post("Queues.json", FriendlyName="support").json()
        assert list(body) == KEYS.split()
        assert (body["current_size"], body["average_wait_time"], body["max_size"]) == (0, 0, 1000)
        assert body["uri"] == f"/2010-04-01/Accounts/{account.sid}/Queues/{body['sid']}.json"
        assert wire.get(body["uri"]).json() == body == wire.get("Queues.json").json()["queues"][0]

    def test_a_new_one_is_the_one_that_a_call_would_name(self, client: Client, account: Account) -> None:
        made = client.queues.create(friendly_name="support", max_size=5)
        assert (made.sid, made.max_size) == (queue_sid(account.sid, "support"), 5)
        (row,) = room_ledger.queues()
        assert (row.sid, row.name, row.max_size) == (made.sid, "support", 5)

    def test_what_a_call_names_is_there_and_changes_nothing_of_one_that_was(
        self, client: Client, account: Account
    ) -> None:
        named(account, "sales")
        made = client.queues.create(friendly_name="support", max_size=5)
        named(account, "support")
        found = {queue.friendly_name: queue for queue in client.queues.list()}
        assert (found["support"].sid, found["support"].max_size) == (made.sid, 5)
        assert found["sales"].date_created == datetime.fromtimestamp(int(samples.START), UTC)

    def test_its_size_and_mean_wait_are_those_of_who_waits_now(self, client: Client, account: Account) -> None:
        queue = named(account)
        first, _ = waiting(queue, 90.5), waiting(queue, 30.5)
        found = client.queues(queue.sid).fetch()
        assert found.current_size == 2 and 60 <= int(found.average_wait_time or 0) <= 70
        gone(queue, first)
        assert [(one.current_size, int(one.average_wait_time or 0) < 60) for one in client.queues.list()] == [(1, True)]

    def test_it_is_renamed_and_resized_with_who_waits(self, client: Client, account: Account) -> None:
        queue = named(account)
        waiting(queue, 1)
        before = room_ledger.queues_version()
        found = client.queues(queue.sid).update(friendly_name="sales", max_size=7)
        assert (found.friendly_name, found.max_size, found.current_size) == ("sales", 7, 1)
        assert room_ledger.queues_version() != before
        assert client.queues(queue.sid).update(max_size=8).friendly_name == "sales"

    def test_the_name_of_a_renamed_one_is_free(self, client: Client, account: Account) -> None:
        queue = named(account)
        client.queues(queue.sid).update(friendly_name="sales")
        made = client.queues.create(friendly_name="support")
        assert made.sid != queue.sid
        ledger.apply([QueueEntry(queue_sid(account.sid, "support"), account.sid, "support", 9, 1.0)])
        assert sorted(one.friendly_name or "" for one in client.queues.list()) == ["sales", "support"]

    def test_a_name_is_an_accounts_once(self, client: Client, account: Account) -> None:
        queue, other = named(account), named(account, "sales")
        with refused(400, 20001, "FriendlyName", "another"):
            client.queues.create(friendly_name="support")
        with refused(400, 20001, "FriendlyName", "another"):
            client.queues(other.sid).update(friendly_name="support")
        assert client.queues(queue.sid).update(friendly_name="support").sid == queue.sid
        named(make_account("Other"))

    def test_only_an_empty_one_is_deleted(self, client: Client, account: Account) -> None:
        queue = named(account)
        call = waiting(queue, 1)
        with refused(400, 20001, "not empty"):
            client.queues(queue.sid).delete()
        gone(queue, call)
        assert client.queues(queue.sid).delete()
        with refused(404, 20404):
            client.queues(queue.sid).fetch()

    @pytest.mark.parametrize(
        ("form", "word"),
        [
            ({}, "FriendlyName"),
            ({"FriendlyName": ""}, "FriendlyName"),
            ({"FriendlyName": "x" * 65}, "FriendlyName"),
            ({"FriendlyName": "a\0b"}, "FriendlyName"),
            ({"FriendlyName": "a", "MaxSize": "0"}, "MaxSize"),
            ({"FriendlyName": "a", "MaxSize": "5001"}, "MaxSize"),
            ({"FriendlyName": "a", "MaxSize": "many"}, "MaxSize"),
            ({"FriendlyName": "a", "Size": "3"}, "MaxSize"),
        ],
    )
    def test_a_wrong_parameter_is_named(self, wire: Wire, form: dict[str, str], word: str) -> None:
        response = wire.post("Queues.json", **form)
        assert error_of(response) == (400, 20001)
        assert word in response.json()["message"] and not Queue.objects.exists()

    def test_another_accounts_do_not_exist(self, client: Client, wire: Wire) -> None:
        queue = named(make_account("Other"))
        call = waiting(queue, 1)
        assert client.queues.list() == []
        of = client.queues(queue.sid)
        for ask in (
            of.fetch,
            of.delete,
            lambda: of.update(max_size=1),
            of.members(call.pk).fetch,
            lambda: of.members("Front").update(url=URL),
        ):
            with refused(404, 20404):
                ask()
        assert error_of(wire.get(f"Queues/{queue.sid}/Members.json")) == (404, 20404)
        assert error_of(wire.get("Queues.json", FriendlyName="support")) == (400, 20001)

    def test_a_list_costs_the_same_however_many_there_are(
        self, wire: Wire, account: Account, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(8):
            waiting(named(account, str(number)), number)
        with django_assert_max_num_queries(3):
            assert len(wire.get("Queues.json").json()["queues"]) == 8


class TestMembers:
    """Twilio: Member resource."""

    def test_its_keys_are_twilios(self, wire: Wire, account: Account) -> None:
        queue = named(account)
        call = waiting(queue, 30.5)
        path = f"Queues/{queue.sid}/Members/{call.pk}.json"
        body = wire.get(path).json()
        assert list(body) == MEMBER_KEYS.split()
        assert (body["position"], body["queue_sid"], body["call_sid"]) == (1, queue.sid, call.pk)
        assert 30 <= body["wait_time"] <= 40 and body["uri"] == wire.path(path)
        assert list(wire.get(f"Queues/{queue.sid}/Members.json").json())[-1] == "queue_members"

    def test_they_are_listed_as_they_stand_across_pages(self, client: Client, account: Account) -> None:
        queue = named(account)
        waits = {seconds: waiting(queue, seconds).pk for seconds in (10, 50, 30, 40, 20)}
        found = client.queues(queue.sid).members.list(page_size=2)
        assert [(one.call_sid, one.position) for one in found] == [
            (waits[seconds], place) for place, seconds in enumerate((50, 40, 30, 20, 10), 1)
        ]
        assert client.queues(queue.sid).members(waits[30]).fetch().position == 3

    def test_a_page_back_is_the_page_that_was_before(self, wire: Wire, account: Account) -> None:
        queue = named(account)
        for seconds in range(4):
            waiting(queue, seconds)
        first = wire.get(f"Queues/{queue.sid}/Members.json", PageSize="2").json()
        second = wire.get(first["next_page_uri"]).json()
        assert [one["position"] for one in second["queue_members"]] == [3, 4] and second["next_page_uri"] is None
        back = wire.get(second["previous_page_uri"]).json()
        assert back["queue_members"] == first["queue_members"]

    def test_the_front_is_who_has_waited_longest(self, client: Client, account: Account) -> None:
        queue = named(account)
        waiting(queue, 5)
        first = waiting(queue, 9)
        assert client.queues(queue.sid).members("Front").fetch().call_sid == first.pk
        gone(queue, first)
        assert client.queues(queue.sid).members("Front").fetch().call_sid != first.pk

    def test_who_does_not_wait_is_not_there(self, client: Client, account: Account) -> None:
        queue = named(account)
        call = waiting(queue, 5)
        gone(queue, call)
        for name in (call.pk, "Front", "CA" + "9" * 32, "nobody"):
            with refused(404, 20404):
                client.queues(queue.sid).members(name).fetch()

    def test_the_engine_is_asked_to_let_it_go_on_elsewhere(self, client: Client, account: Account) -> None:
        queue = named(account)
        call = waiting(queue, 5)
        found = client.queues(queue.sid).members(call.pk).update(url=URL, method="GET")
        assert (found.call_sid, found.position) == (call.pk, 1)
        (asked,) = command.take("e1")
        assert (asked.action, asked.call_sid, asked.url, asked.method) == ("dequeue", call.pk, URL, "GET")
        assert asked.room == RoomChange(account.sid, queue.sid)

    def test_of_two_who_want_the_front_each_gets_another(self, client: Client, account: Account) -> None:
        queue = named(account)
        waits = [waiting(queue, seconds).pk for seconds in (9, 8)]
        front = client.queues(queue.sid).members("Front")
        assert [front.update(url=URL).call_sid for _ in waits] == waits
        with refused(404, 20404):
            front.update(url=URL)
        assert [one.call_sid for one in command.take("e1")] == waits

    @pytest.mark.parametrize(
        ("form", "code", "word"),
        [
            ({}, 21205, "Url"),
            ({"Url": ""}, 21205, "Url"),
            ({"Url": "nonsense"}, 21205, "Url"),
            ({"Url": URL, "Method": "PUT"}, 21209, "Method"),
            ({"Uri": URL}, 20001, "Url"),
        ],
    )
    def test_a_wrong_parameter_is_named_and_it_waits_on(
        self, wire: Wire, account: Account, form: dict[str, str], code: int, word: str
    ) -> None:
        queue = named(account)
        waiting(queue, 5)
        response = wire.post(f"Queues/{queue.sid}/Members/Front.json", **form)
        assert error_of(response) == (400, code)
        assert word in response.json()["message"]
        assert not Command.objects.exists() and QueueMember.objects.count() == 1

    def test_nobody_waits_in_an_engine_that_has_died(self, client: Client, account: Account) -> None:
        queue = named(account)
        waiting(queue, 5)
        room_ledger.close_dead("e2", time.time())
        assert client.queues(queue.sid).fetch().current_size == 1
        room_ledger.close_dead("e1", time.time())
        assert client.queues(queue.sid).fetch().current_size == 0

    def test_a_list_costs_the_same_however_many_there_are(
        self, wire: Wire, account: Account, django_assert_max_num_queries: Any
    ) -> None:
        queue = named(account)
        for seconds in range(8):
            waiting(queue, seconds)
        with django_assert_max_num_queries(4):
            wire.get(f"Queues/{queue.sid}/Members.json")

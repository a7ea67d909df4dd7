"""Conferences and queues in the admin: who is in them, who was, and who waits."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from calls import ledger
from calls.entries import CallRecord, ConferenceEntry, MemberEntry, ParticipantEntry, QueueEntry
from calls.room_sids import queue_sid
from routing.models import Account
from routing.sid import new_sid
from tests import samples

pytestmark = pytest.mark.django_db

CONFERENCES, QUEUES = "/admin/calls/conference/", "/admin/calls/queue/"


@pytest.fixture
def account() -> Account:
    return samples.account()


def live(account: Account) -> CallRecord:
    record = samples.call(account, status="in-progress", end_time=None, duration=None)
    ledger.apply([record])
    return record


def conference(account: Account, people: int = 1, name: str = "Team", **values: Any) -> str:
    """Return the SID of a conference with so many in it."""
    sid, now = new_sid("CF"), time.time()
    known: dict[str, Any] = {"status": "in-progress", "engine": "e1", "region": "us1", "created": now, "updated": now}
    ledger.apply([ConferenceEntry(sid, account.sid, name, **{**known, **values})])
    for number in range(people):
        call = live(account).sid
        one = ParticipantEntry(sid, call, account.sid, f"p{number}", True, False, False, "", True, False, now, now)
        ledger.apply([one])
    return sid


def queue(account: Account, waiting: int, name: str = "support") -> str:
    """Return the SID of a queue in which so many wait."""
    sid = queue_sid(account.sid, name)
    ledger.apply([QueueEntry(sid, account.sid, name, 5, time.time())])
    for number in range(waiting):
        ledger.apply([MemberEntry(sid, live(account).sid, account.sid, "e1", time.time() - 60 - number)])
    return sid


def get(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def test_a_conference_shows_who_is_in_it(admin_client: Client, account: Account) -> None:
    sid = conference(account, 2)
    assert "Team" in get(admin_client, CONFERENCES)
    page = get(admin_client, f"{CONFERENCES}{sid}/change/")
    assert page.count("muted") == 2 and "p0" in page and "p1" in page


def test_one_that_is_over_says_why(admin_client: Client, account: Account) -> None:
    call = live(account)
    sid = conference(account, status="completed", reason_ended="last-participant-left", ended_by=call.sid)
    page = get(admin_client, f"{CONFERENCES}{sid}/change/")
    assert "The last participant left." in page and call.sid in page
    assert sid in get(admin_client, f"{CONFERENCES}?q={sid}")
    assert "Team" not in get(admin_client, f"{CONFERENCES}?status__exact=init")


def test_a_queue_shows_who_waits_in_their_order(admin_client: Client, account: Account) -> None:
    sid = queue(account, 2)
    assert "1:01" in get(admin_client, QUEUES)
    page = get(admin_client, f"{QUEUES}{sid}/change/")
    assert "2 waiting" in page and page.index("1:01") < page.index("1:00")


def test_names_of_strangers_are_harmless(admin_client: Client, account: Account) -> None:
    name = "<script>alert(1)</script>\u202e"
    conference(account, name=name)
    queue(account, 0, name)
    for path in (CONFERENCES, QUEUES):
        page = get(admin_client, path)
        assert "&lt;script&gt;alert(1)" in page and "\u202e" not in page


def test_nothing_is_changed_here(admin_client: Client, account: Account) -> None:
    for path, sid in ((CONFERENCES, conference(account)), (QUEUES, queue(account, 0))):
        assert admin_client.get(f"{path}add/").status_code == 403
        assert admin_client.post(f"{path}{sid}/delete/", {"post": "yes"}).status_code == 403
        assert admin_client.post(f"{path}{sid}/change/", {"friendly_name": "x"}).status_code == 403


def test_who_may_see_nothing_sees_nothing(client: Client, account: Account) -> None:
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    for path in (CONFERENCES, QUEUES):
        assert client.get(path).status_code == 403


@pytest.mark.parametrize("path", [CONFERENCES, QUEUES])
def test_a_list_costs_the_same_however_long_it_is(admin_client: Client, account: Account, path: str) -> None:
    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            get(admin_client, path)
        return len(queries)

    conference(account, 1, "one")
    queue(account, 1, "one")
    get(admin_client, path)
    few = cost()
    for number in range(6):
        conference(account, 2, str(number))
        queue(account, 2, str(number))
    assert cost() == few

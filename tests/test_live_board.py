"""The live board: what it shows of calls in progress, what a browser is sent, and its two buttons."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from calls import ledger, live
from calls.entries import CallRecord, CommandDone
from calls.models import Call, Command, Engine
from calls.place import queue_call
from routing.models import Account
from tests import samples

pytestmark = pytest.mark.django_db

BOARD, ROWS = "/admin/calls/call/live/", "/admin/calls/call/live/rows/"
LIVE: dict[str, Any] = {"status": "in-progress", "end_time": None, "duration": None}
HOSTILE = '</script><img src=x onerror=alert(1)>"\u202e'


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the board each time, and know nothing of the boards of other tests."""
    monkeypatch.setattr(live, "boards", live.Boards(fresh_for=0))


@pytest.fixture
def account() -> Account:
    return samples.account()


@pytest.fixture
def call(account: Account) -> CallRecord:
    record = samples.call(account, **LIVE)
    ledger.apply([record])
    return record


def rows(client: Client) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in client.get(ROWS).json()["rows"]}


def operator(client: Client, *permissions: str) -> Client:
    user = User.objects.create(username="operator", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


class TestWhatARowSays:
    def test_a_call_and_its_legs(self, admin_client: Client, account: Account) -> None:
        alice = samples.endpoint(account)
        group = samples.group(account)
        call = samples.call(account, **LIVE, answer_time=None, group_id=group.pk, region="de1")
        call.status = "ringing"
        leg = samples.leg(call, status="ringing", ring_time=samples.START + 2, end_time=None, to_address=alice.address)
        over = samples.leg(call, status="busy")
        ledger.apply([call, leg, over])
        found = rows(admin_client)
        assert set(found) == {call.sid, leg.sid}
        shown = found[call.sid]
        assert (shown["from"], shown["to"], shown["state"], shown["group"]) == ("200", "100", "ringing", "Support")
        assert (shown["account"], shown["region"], shown["engine"]) == ("Main", "de1", "e1")
        dialled = found[leg.sid]
        assert (dialled["parent"], dialled["endpoint"], dialled["state"]) == (call.sid, "Alice", "ringing")
        assert dialled["since"] == 1000 * (samples.START + 2)

    @pytest.mark.parametrize(
        ("events", "state", "where"),
        [
            ([], "in application", ""),
            ([("enqueue", {"queue": "support"})], "in queue", "support"),
            ([("enqueue", {"queue": "support"}), ("queue.left", {"queue": "support"})], "in application", ""),
            ([("conference.join", {"conference": "daily"})], "in conference", "daily"),
            ([("leg.held", {"leg": "CA1"})], "on hold", ""),
            ([("leg.held", {"leg": "CA1"}), ("leg.resumed", {"leg": "CA1"})], "in application", ""),
        ],
    )
    def test_where_an_answered_call_is(
        self, admin_client: Client, call: CallRecord, events: list[tuple[str, dict[str, Any]]], state: str, where: str
    ) -> None:
        ledger.apply([samples.event(call, number, name, **detail) for number, (name, detail) in enumerate(events)])
        shown = rows(admin_client)[call.sid]
        assert (shown["state"], shown["in"]) == (state, where)

    def test_a_call_that_is_connected_talks_since_then(self, admin_client: Client, call: CallRecord) -> None:
        leg = samples.leg(call, status="in-progress", answer_time=samples.START + 9, end_time=None)
        ledger.apply([leg])
        found = rows(admin_client)
        assert [found[sid]["state"] for sid in (call.sid, leg.sid)] == ["talking", "talking"]
        assert found[call.sid]["since"] == 1000 * (samples.START + 9)

    def test_an_answered_call_whose_legs_ring_rings(self, admin_client: Client, call: CallRecord) -> None:
        ledger.apply([samples.leg(call, status="ringing", start_time=samples.START + 6, end_time=None)])
        assert rows(admin_client)[call.sid]["state"] == "ringing"
        assert rows(admin_client)[call.sid]["since"] == 1000 * (samples.START + 6)

    def test_a_leg_is_on_hold_with_its_call(self, admin_client: Client, call: CallRecord) -> None:
        leg = samples.leg(call, status="in-progress", answer_time=samples.START + 9, end_time=None)
        ledger.apply([leg, samples.event(call, 0, "leg.held", leg=leg.sid)])
        assert rows(admin_client)[leg.sid]["state"] == "on hold"

    def test_a_queued_call_waits(self, admin_client: Client, account: Account) -> None:
        queued = queue_call(account, "sip:alice@127.0.0.1", "100", url="http://example.com/")
        assert rows(admin_client)[queued.sid]["state"] == "queued"

    def test_an_engine_that_is_away_is_named_with_its_last_sign(self, admin_client: Client, call: CallRecord) -> None:
        seen = timezone.now() - timedelta(seconds=20)
        values = {"version": "1", "host": "h", "pid": 1, "started": seen, "seen": seen, "state": "running"}
        Engine.objects.create(name="e1", max_legs=10, **values)
        assert admin_client.get(ROWS).json()["engines"] == {
            "e1": {"state": "away", "seen": int(seen.timestamp() * 1000)}
        }
        Engine.objects.update(seen=timezone.now())
        assert admin_client.get(ROWS).json()["engines"] == {}

    def test_what_became_of_a_change(self, admin_client: Client, call: CallRecord) -> None:
        command = Command.objects.create(call_id=call.sid, status="completed", requested_by="ann")
        assert rows(admin_client)[call.sid]["asked"] == "Asked to hang up by ann …"
        ledger.apply([CommandDone(command.pk, samples.START, False, "The far end does not answer.")])
        assert rows(admin_client)[call.sid]["asked"] == "The far end does not answer."

    def test_what_a_caller_sends_is_shown_harmlessly(self, admin_client: Client, account: Account) -> None:
        call = samples.call(account, **LIVE, from_address=f"sip:{HOSTILE}@203.0.113.7")
        ledger.apply([call, samples.event(call, 0, "conference.join", conference=HOSTILE)])
        html = admin_client.get(BOARD).content.decode()
        assert "<img src=x" not in html
        assert "\u202e" not in html
        assert "\\u202e" in rows(admin_client)[call.sid]["in"]

    def test_a_call_of_an_account_that_is_gone(self, admin_client: Client, call: CallRecord) -> None:
        Call.objects.update(account_id="AC" + "0" * 32, group_id=999, endpoint_id=999)
        assert rows(admin_client)[call.sid]["account"] == "AC" + "0" * 32


class TestWhatABrowserIsSent:
    def ask(self, client: Client, version: str) -> Any:
        return client.get(ROWS, headers={"If-None-Match": version})

    def test_nothing_if_nothing_has_changed(self, admin_client: Client, call: CallRecord) -> None:
        version = admin_client.get(ROWS)["ETag"]
        response = self.ask(admin_client, version)
        assert (response.status_code, response.content) == (304, b"")

    def test_only_what_has_changed(self, admin_client: Client, account: Account, call: CallRecord) -> None:
        other, ended = samples.call(account, **LIVE), samples.call(account, **LIVE)
        ledger.apply([other, ended])
        first = admin_client.get(ROWS)
        assert first.json()["full"] is True and len(first.json()["rows"]) == 3
        new = samples.call(account, **LIVE)
        ledger.apply([new, samples.event(other, 0, "enqueue", queue="support")])
        Call.objects.filter(pk=ended.sid).update(status="completed")
        told = json.loads(self.ask(admin_client, first["ETag"]).content)
        assert told["full"] is False
        assert {row["id"] for row in told["rows"]} == {new.sid, other.sid}
        assert told["gone"] == [ended.sid]

    def test_everything_if_its_version_is_not_known(self, admin_client: Client, call: CallRecord) -> None:
        for version in ('"gone"', "W/x", "", '"' + "x" * 5000 + '"'):
            assert json.loads(self.ask(admin_client, version).content)["full"] is True

    def test_many_who_look_share_what_was_read(self, account: Account, call: CallRecord) -> None:
        shared = live.Boards(fresh_for=60)
        board = shared.current()
        with CaptureQueriesContext(connection) as asked:
            assert shared.current() is board
        assert len(asked) == 0

    def test_the_number_of_queries_does_not_depend_on_the_number_of_calls(
        self, admin_client: Client, account: Account
    ) -> None:
        def queries() -> int:
            with CaptureQueriesContext(connection) as asked:
                assert admin_client.get(ROWS).status_code == 200
            return len(asked)

        group, phone = samples.group(account).pk, samples.endpoint(account).address

        def begin(number: int) -> None:
            for index in range(number):
                call = samples.call(account, **LIVE, group_id=group)
                leg = samples.leg(call, status="ringing", end_time=None, to_address=phone)
                ledger.apply([call, leg, samples.event(call, 0, "enqueue", queue=f"q{index}")])

        begin(1)
        few = queries()
        begin(20)
        assert queries() == few < 10


class TestWhoMay:
    def test_only_those_who_may_see_calls(self, client: Client, call: CallRecord) -> None:
        operator(client, "view_recording")
        assert client.get(BOARD).status_code == client.get(ROWS).status_code == 403

    def test_a_viewer_sees_no_buttons_and_can_press_none(self, client: Client, call: CallRecord) -> None:
        operator(client, "view_call")
        html = client.get(BOARD).content.decode()
        assert "live-hangup" not in html and "<dialog" not in html
        assert client.post(f"{BOARD}{call.sid}/hangup/").status_code == 403
        assert (
            client.post(f"{BOARD}{call.sid}/redirect/", {"kind": "url", "value": "http://x.example"}).status_code == 403
        )
        assert client.get(f"{BOARD}targets/?call={call.sid}").status_code == 403
        assert not Command.objects.exists()

    def test_a_stranger_is_asked_to_log_in(self, client: Client) -> None:
        assert client.get(BOARD)["Location"].startswith("/admin/login/")

    def test_a_button_wants_the_token_of_the_page(self, call: CallRecord, admin_user: User) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(admin_user)
        assert strict.post(f"{BOARD}{call.sid}/hangup/").status_code == 403
        assert strict.get(f"{BOARD}{call.sid}/hangup/").status_code == 405
        assert not Command.objects.exists()


class TestHangingUp:
    def test_the_engine_is_asked_and_the_history_says_who_did(self, client: Client, call: CallRecord) -> None:
        operator(client, "view_call", "add_command")
        told = client.post(f"{BOARD}{call.sid}/hangup/").json()
        assert told["ok"] and told["text"] == "Asked to hang up by operator …"
        command = Command.objects.get()
        assert (command.call_id, command.status, command.requested_by) == (call.sid, "completed", "operator")
        entry = LogEntry.objects.get()
        assert (entry.object_id, entry.user.get_username()) == (call.sid, "operator")
        assert entry.change_message == "Asked the engine to hang up, on the live board."

    def test_a_call_that_ended_meanwhile(self, admin_client: Client, call: CallRecord) -> None:
        Call.objects.update(status="completed")
        response = admin_client.post(f"{BOARD}{call.sid}/hangup/")
        assert (response.status_code, response.json()["text"]) == (409, "It had ended already.")
        assert not Command.objects.exists() and not LogEntry.objects.exists()

    def test_a_call_that_waits_for_an_engine_is_ended_at_once(self, admin_client: Client, account: Account) -> None:
        queued = queue_call(account, "sip:alice@127.0.0.1", "100", url="http://example.com/")
        told = admin_client.post(f"{BOARD}{queued.sid}/hangup/").json()
        assert told["over"] and Call.objects.get(pk=queued.sid).status == "canceled"

    def test_a_call_that_is_not_there(self, admin_client: Client) -> None:
        assert admin_client.post(f"{BOARD}CA{'0' * 32}/hangup/").status_code == 404


class TestSendingItElsewhere:
    def send(self, client: Client, call: CallRecord, kind: str, value: object) -> Any:
        return client.post(f"{BOARD}{call.sid}/redirect/", {"kind": kind, "value": str(value)})

    def test_to_a_ring_group_an_endpoint_or_a_url(
        self, admin_client: Client, account: Account, call: CallRecord
    ) -> None:
        group, phone = samples.group(account), samples.endpoint(account)
        for kind, value in (("group", group.pk), ("endpoint", phone.pk), ("url", "https://app.example.com/next")):
            assert json.loads(self.send(admin_client, call, kind, value).content)["ok"]
        urls = list(Command.objects.order_by("pk").values_list("url", flat=True))
        assert urls == [
            f"http://testserver/voice/group/{group.pk}/",
            f"http://testserver/voice/endpoint/{phone.pk}/",
            "https://app.example.com/next",
        ]
        first = LogEntry.objects.earliest("pk")
        assert first.change_message == "Asked the engine to go on at ring group Support, on the live board."

    @pytest.mark.parametrize(
        ("kind", "value", "why"),
        [
            ("", "", "Choose where to"),
            ("trunk", "1", "Choose where to"),
            ("group", "", "no such ring group"),
            ("group", "999999", "no such ring group"),
            ("endpoint", "9" * 40, "no such endpoint"),
            ("endpoint", "²", "no such endpoint"),
            ("endpoint", "1\x00", "no such endpoint"),
            ("url", "", "URL: give the address"),
            ("url", "javascript:alert(1)", "url:"),
            ("url", "http://" + "x" * 5000, "url:"),
        ],
    )
    def test_what_cannot_be_is_refused_with_the_reason(
        self, admin_client: Client, call: CallRecord, kind: str, value: str, why: str
    ) -> None:
        response = self.send(admin_client, call, kind, value)
        assert response.status_code == 400 and why in json.loads(response.content)["text"]
        assert not Command.objects.exists()

    def test_nothing_of_another_account_is_offered_or_taken(
        self, admin_client: Client, account: Account, call: CallRecord
    ) -> None:
        other = samples.group(Account.objects.create(friendly_name="Other"), "Support abroad")
        mine, phone = samples.group(account), samples.endpoint(account, "Supply")
        samples.endpoint(account, "Superb", uri="sip:off@127.0.0.1", enabled=False)
        told = admin_client.get(f"{BOARD}targets/", {"call": call.sid, "q": "sup"}).json()
        assert [one["value"] for one in told["group"]] == [mine.pk]
        assert [one["value"] for one in told["endpoint"]] == [phone.pk]
        assert self.send(admin_client, call, "group", other.pk).status_code == 400

    def test_there_is_nothing_to_choose_for_a_call_that_is_not_there(self, admin_client: Client) -> None:
        assert admin_client.get(f"{BOARD}targets/", {"call": "CA0", "q": "\x00"}).status_code == 404

"""“Hang up” and “Redirect” on the page of a live call, as Twilio's "Update a Call resource" has them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from calls import ledger
from calls.entries import CallRecord
from calls.models import Call, Command
from calls.place import queue_call
from routing.models import Account
from tests import samples

pytestmark = pytest.mark.django_db

CALL = "/admin/calls/call/"
TWIML = "<Response><Say>Hello</Say></Response>"


@pytest.fixture
def account() -> Account:
    return samples.account()


@pytest.fixture
def live(account: Account) -> CallRecord:
    record = samples.call(account, status="in-progress", end_time=None, duration=None)
    ledger.apply([record])
    return record


def path(of: CallRecord | Call, name: str = "change") -> str:
    return f"{CALL}{of.sid}/{name}/"


def get(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, (path, response.status_code)
    return response.content.decode()


def post(client: Client, path: str, **data: str) -> str:
    return client.post(path, data, follow=True).content.decode()


def operator(client: Client, *permissions: str) -> Client:
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


class TestHangingUp:
    def test_it_asks_first(self, admin_client: Client, live: CallRecord) -> None:
        assert path(live, "hangup") in get(admin_client, path(live))
        assert "Hang up this call?" in get(admin_client, path(live, "hangup"))
        assert not Command.objects.exists()

    def test_once_confirmed_the_engine_is_asked_to_end_the_call(self, admin_client: Client, live: CallRecord) -> None:
        html = post(admin_client, path(live, "hangup"))
        command = Command.objects.get()
        assert (command.call_id, command.status, command.requested_by) == (live.sid, "completed", "admin")
        assert "No engine has taken it yet." in html

    def test_a_call_that_no_engine_has_taken_is_ended_at_once(self, admin_client: Client, account: Account) -> None:
        queued = queue_call(account, "sip:alice@127.0.0.1", "100", url="http://example.com/")
        html = post(admin_client, path(queued, "hangup"))
        assert Call.objects.get(pk=queued.pk).status == "canceled"
        assert "ended before any engine took it" in html


class TestRedirecting:
    def test_it_asks_for_a_url_or_twiml(self, admin_client: Client, live: CallRecord) -> None:
        assert path(live, "redirect") in get(admin_client, path(live))
        html = get(admin_client, path(live, "redirect"))
        assert 'name="url"' in html
        assert 'name="twiml"' in html
        assert not Command.objects.exists()

    def test_a_url_is_sent_to_the_engine_with_its_method(self, admin_client: Client, live: CallRecord) -> None:
        html = post(admin_client, path(live, "redirect"), url="https://example.com/next", method="GET")
        command = Command.objects.get()
        assert (command.url, command.method, command.twiml) == ("https://example.com/next", "GET", "")
        assert "https://example.com/next" in html

    def test_twiml_is_sent_to_the_engine(self, admin_client: Client, live: CallRecord) -> None:
        post(admin_client, path(live, "redirect"), twiml=TWIML, method="POST")
        assert Command.objects.get().twiml == TWIML

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            ({}, "Give either a URL or TwiML."),
            ({"url": "https://a/", "twiml": TWIML}, "Give either a URL or TwiML."),
            ({"url": "ftp://a/"}, "http:// or https://"),
            ({"url": "https://my_host/"}, "underscore"),
            ({"url": "https://a/" + "x" * 5000}, "at most 4096 characters"),
            ({"twiml": "<" * 4001}, "at most 4000"),
            ({"url": "https://a/", "method": "PUT"}, "not one of the available choices"),
        ],
    )
    def test_what_is_wrong_is_said_on_the_form_and_nothing_is_sent(
        self, admin_client: Client, live: CallRecord, data: dict[str, str], said: str
    ) -> None:
        assert said in post(admin_client, path(live, "redirect"), **{"method": "POST", **data})
        assert not Command.objects.exists()


class TestBoth:
    @pytest.mark.parametrize("name", ["hangup", "redirect"])
    def test_who_asked_is_written_down(
        self, admin_client: Client, admin_user: User, live: CallRecord, name: str
    ) -> None:
        admin_client.post(path(live, name), {"url": "https://me:s3cret@example.com/", "method": "POST"})
        entry = LogEntry.objects.get()
        assert (entry.user, entry.object_id) == (admin_user, live.sid)
        assert entry.get_change_message().startswith("Asked the engine to ")
        assert "s3cret" not in entry.get_change_message()

    @pytest.mark.parametrize("name", ["hangup", "redirect"])
    def test_it_needs_the_permission(self, client: Client, live: CallRecord, name: str) -> None:
        operator(client, "view_call")
        assert path(live, name) not in get(client, path(live))
        assert client.get(path(live, name)).status_code == 403
        assert client.post(path(live, name), {"twiml": TWIML, "method": "POST"}).status_code == 403
        assert not Command.objects.exists()

    @pytest.mark.parametrize("name", ["hangup", "redirect"])
    def test_the_permission_is_enough(self, client: Client, live: CallRecord, name: str) -> None:
        operator(client, "view_call", "add_command")
        assert path(live, name) in get(client, path(live))
        assert client.post(path(live, name), {"twiml": TWIML, "method": "POST"}).status_code == 302
        assert Command.objects.get().requested_by == "operator"

    @pytest.mark.parametrize("name", ["hangup", "redirect"])
    def test_a_call_that_is_over_cannot_be_changed(self, admin_client: Client, account: Account, name: str) -> None:
        over = samples.call(account)
        ledger.apply([over])
        assert path(over, name) not in get(admin_client, path(over))
        assert "This call is over" in get(admin_client, path(over, name))
        assert "This call is over" in post(admin_client, path(over, name), twiml=TWIML, method="POST")
        assert not Command.objects.exists()

    @pytest.mark.parametrize("name", ["hangup", "redirect"])
    def test_an_unknown_call_is_not_found(self, admin_client: Client, name: str) -> None:
        assert admin_client.get(f"{CALL}CA1/{name}/").status_code == 404

    @pytest.mark.parametrize("name", ["hangup", "redirect"])
    def test_a_request_that_another_site_makes_the_browser_send_is_refused(
        self, admin_user: User, live: CallRecord, name: str
    ) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(admin_user)
        assert client.post(path(live, name), {"twiml": TWIML, "method": "POST"}).status_code == 403
        assert not Command.objects.exists()


class TestWhatCameOfIt:
    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"status": "completed"}, "End it (completed)"),
            ({"url": "https://me:s3cret@a/b"}, "Go on at POST https://a/b"),
            ({"twiml": TWIML}, "&lt;Say&gt;Hello&lt;/Say&gt;"),
            ({"status": "completed", "claimed_by": "e1"}, "Engine e1 has it in hand."),
            ({"status": "completed", "ok": True, "outcome": "The call was ended."}, "The call was ended."),
            ({"status": "completed", "ok": False, "outcome": "<b>No</b>"}, "&lt;b&gt;No&lt;/b&gt;"),
        ],
    )
    def test_the_page_of_the_call_says_it(
        self, admin_client: Client, live: CallRecord, values: dict[str, Any], said: str
    ) -> None:
        Command.objects.create(call_id=live.sid, requested_by="ann", created=timezone.now(), **values)
        html = get(admin_client, path(live))
        assert said in html
        assert "ann" in html
        assert "s3cret" not in html

    def test_commands_to_legs_are_shown_on_their_call(self, admin_client: Client, live: CallRecord) -> None:
        leg = samples.leg(live, to_address="sip:bob@127.0.0.1")
        ledger.apply([leg])
        Command.objects.create(call_id=leg.sid, status="completed")
        assert "(bob)</span>" in get(admin_client, path(live))


def test_conferences_and_queues_that_the_call_was_in_are_shown(admin_client: Client, live: CallRecord) -> None:
    ledger.apply(
        [
            samples.event(live, 0, "enqueue", queue="<i>support</i>"),
            samples.event(live, 50, "queue.left", queue="<i>support</i>", result="bridged"),
            samples.event(live, 60, "conference.join", conference="daily", participants=2),
        ]
    )
    html = get(admin_client, path(live))
    assert "queue <strong>&lt;i&gt;support&lt;/i&gt;</strong>" in html
    assert "5.0 s" in html
    assert "still there" in html

"""“Webhooks” in the admin: every attempt to tell a web application something, and sending it again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import escape

from calls import admin_log, ledger
from calls.entries import CallRecord
from calls.models import Call, WebhookDelivery
from routing.errors import lookup
from routing.models import Account
from routing.sid import new_sid
from tests import samples

pytestmark = pytest.mark.django_db

LIST = "/admin/calls/webhookdelivery/"
CALL = "/admin/calls/call/"


@pytest.fixture
def account() -> Account:
    return samples.account()


@pytest.fixture
def call(account: Account) -> CallRecord:
    record = samples.call(account)
    ledger.apply([record])
    return record


def deliver(of: CallRecord, **values: Any) -> WebhookDelivery:
    entry = samples.delivery(of, **values)
    ledger.apply([entry])
    return WebhookDelivery.objects.get(pk=entry.sid)


def failed(of: CallRecord, **values: Any) -> WebhookDelivery:
    """Return an attempt that failed for a reason which does not pass, so that no other follows by itself."""
    given = {"state": "failed", "response_status": 404, "error_code": 11200, "error": "HTTP 404", **values}
    return deliver(of, **given)


def page(of: WebhookDelivery) -> str:
    return f"{LIST}{of.pk}/change/"


def get(client: Client, path: str, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == 200, (path, response.status_code)
    return response.content.decode()


def found(client: Client, **query: str) -> set[str]:
    return {row.pk for row in client.get(LIST, query).context["cl"].result_list}


def operator(client: Client, *permissions: str) -> Client:
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


class TestTheList:
    def test_it_shows_call_event_url_attempt_response_and_time(self, admin_client: Client, call: CallRecord) -> None:
        deliver(call, response_status=204, milliseconds=1234, attempt=3)
        html = get(admin_client, LIST)
        for text in (f"{CALL}{call.sid}/change/", "completed", "https://app.example.com/status", "204", "1234"):
            assert text in html

    def test_an_error_is_shown_with_its_code(self, admin_client: Client, call: CallRecord) -> None:
        failed(call)
        assert "11200" in get(admin_client, LIST)

    @pytest.mark.parametrize("number", [1, 30])
    def test_it_takes_the_same_queries_for_any_number_of_rows(
        self, admin_client: Client, account: Account, number: int
    ) -> None:
        for _ in range(number):
            record = samples.call(account)
            ledger.apply([record, samples.delivery(record)])
        with CaptureQueriesContext(connection) as queries:
            get(admin_client, LIST)
        assert len(queries) <= 7

    def test_it_does_not_count_the_whole_table(self, admin_client: Client, call: CallRecord) -> None:
        ledger.apply([samples.delivery(call) for _ in range(51)])
        with CaptureQueriesContext(connection) as queries:
            get(admin_client, LIST, topic="status")
        counts = [query["sql"] for query in queries if "COUNT(" in query["sql"] and "webhookdelivery" in query["sql"]]
        assert counts
        assert all("LIMIT 10000" in sql for sql in counts)

    def test_a_row_whose_call_is_not_there_is_listed(self, admin_client: Client, account: Account) -> None:
        one = deliver(samples.call(account))
        two = deliver(samples.call(account), call_sid="")
        assert found(admin_client) == {one.pk, two.pk}
        for row in (one, two):
            get(admin_client, page(row))

    @pytest.mark.parametrize(
        ("query", "hit"),
        [
            ({"state__exact": "failed"}, {"failed"}),
            ({"state__exact": "delivered"}, {"delivered"}),
            ({"topic": "recording"}, {"delivered"}),
            ({"error_code": "11200"}, {"failed"}),
            ({"error_code": "11201"}, set()),
            ({"error_code": "rubbish"}, {"failed", "delivered"}),
            ({"time_from_0": "2026-09-22"}, set()),
            ({"time_from_0": "2026-09-21"}, {"failed", "delivered"}),
        ],
    )
    def test_filters_narrow_it(
        self, admin_client: Client, call: CallRecord, query: dict[str, str], hit: set[str]
    ) -> None:
        rows = {failed(call).pk: "failed", deliver(call, topic="recording").pk: "delivered"}
        assert {rows[sid] for sid in found(admin_client, **query)} == hit

    def test_attempts_are_found_by_call_message_and_url(self, admin_client: Client, call: CallRecord) -> None:
        one = deliver(call)
        second = deliver(call, message=one.pk, attempt=2)
        other = deliver(samples.call(samples.account()), url="http://other.example.com/x")
        assert found(admin_client, q=call.sid) == {one.pk, second.pk}
        assert found(admin_client, q=one.pk) == {one.pk, second.pk}
        assert found(admin_client, q=second.pk) == {second.pk}
        assert found(admin_client, q="OTHER.example") == {other.pk}
        assert found(admin_client, q="nothing like it") == set()
        assert found(admin_client, q="  ") == {one.pk, second.pk, other.pk}

    def test_a_search_inside_urls_looks_at_the_newest_rows_only(
        self, admin_client: Client, call: CallRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = [deliver(call, time=samples.START + number) for number in range(3)]
        monkeypatch.setattr(admin_log.newest, "__defaults__", (2,))
        assert found(admin_client, q="app.example") == {rows[1].pk, rows[2].pk}


class TestThePage:
    def test_it_shows_the_parameters_as_they_were_sent(self, admin_client: Client, call: CallRecord) -> None:
        row = deliver(call, parameters=(("To", "sip:a@b"), ("To", "sip:c@d"), ("Duration", "")))
        html = get(admin_client, page(row))
        assert "sip:a@b" in html
        assert "sip:c@d" in html

    def test_it_shows_head_and_body_of_the_answer(self, admin_client: Client, call: CallRecord) -> None:
        row = deliver(call, response_status=200, response_type="text/html", response_body="Thank you")
        html = get(admin_client, page(row))
        assert "HTTP 200 · text/html · 35 ms" in html
        assert "Thank you" in html

    def test_an_error_is_explained_and_says_what_to_do(self, admin_client: Client, call: CallRecord) -> None:
        html = get(admin_client, page(failed(call, error_code=11202, response_status=0, error="refused")))
        assert escape(lookup(11202).text) in html
        assert escape(lookup(11202).hint) in html

    def test_it_shows_every_attempt_of_the_message(self, admin_client: Client, call: CallRecord) -> None:
        one = failed(call)
        second = deliver(call, message=one.pk, attempt=2, time=samples.START + 90, sent_at=samples.START + 90)
        stranger = deliver(call)
        html = get(admin_client, page(one))
        assert page(second) in html
        assert page(stranger) not in html
        assert "Attempt 2 got through." in html

    def test_it_takes_the_same_queries_for_any_number_of_attempts(self, admin_client: Client, call: CallRecord) -> None:
        one = failed(call)
        for attempt in range(2, 9):
            failed(call, message=one.pk, attempt=attempt)
        with CaptureQueriesContext(connection) as queries:
            get(admin_client, page(one))
        assert len(queries) <= 8

    def test_an_unknown_attempt_leads_back_to_the_index(self, admin_client: Client) -> None:
        assert admin_client.get(f"{LIST}WD1/change/").status_code == 302

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"state": "delivered", "response_status": 204, "milliseconds": 35}, "took it: HTTP 204 after 35 ms."),
            ({"state": "pending", "sender": "e1"}, "Engine e1 has it in hand."),
            ({"state": "pending", "sender": ""}, "no worker is running"),
            ({"state": "failed", "response_status": 404}, "It failed: HTTP 404 after 35 ms. No further attempt"),
            ({"state": "failed", "response_status": 0, "error": "Refused."}, "It failed: Refused after 35 ms."),
            ({"state": "failed", "response_status": 503}, "Attempt 2 follows at "),
        ],
    )
    def test_it_says_what_became_of_it_and_what_comes_next(
        self, admin_client: Client, call: CallRecord, values: dict[str, Any], said: str
    ) -> None:
        assert said in get(admin_client, page(deliver(call, **values)))

    def test_an_attempt_that_is_due_later_says_when(self, admin_client: Client, call: CallRecord) -> None:
        row = deliver(call, state="pending")
        WebhookDelivery.objects.update(due=timezone.now() + timedelta(hours=1))
        assert "It is sent at " in get(admin_client, page(row))

    def test_secrets_in_the_url_are_not_shown(self, admin_client: Client, call: CallRecord) -> None:
        row = deliver(call, url="https://me:s3cret@app.example.com/#rc=2")
        for path in (LIST, page(row), f"{CALL}{call.sid}/change/"):
            assert "s3cret" not in get(admin_client, path)

    def test_hostile_text_is_shown_harmlessly(self, admin_client: Client, call: CallRecord) -> None:
        attack = "<script>alert(1)</script>\u202e"
        row = failed(
            call,
            url=f"https://app.example.com/{attack}",
            event=attack,
            parameters=((attack, attack),),
            response_type=attack,
            response_body=attack + "\x1b[31m",
            error=attack,
        )
        for path in (LIST, page(row), f"{CALL}{call.sid}/change/"):
            html = get(admin_client, path)
            assert "<script>alert(1)" not in html
            assert "&lt;script&gt;alert(1)" in html
        assert "\\u202e\\u001b[31m" in get(admin_client, page(row))


class TestOnTheCall:
    def test_callbacks_of_the_call_and_its_legs_are_shown(
        self, admin_client: Client, account: Account, call: CallRecord
    ) -> None:
        leg = samples.leg(call, to_address="sip:bob@127.0.0.1")
        ledger.apply([leg])
        one, two = deliver(call), deliver(leg, event="ringing", milliseconds=77)
        html = get(admin_client, f"{CALL}{call.sid}/change/")
        assert page(one) in html
        assert page(two) in html
        assert "77" in html

    def test_a_retry_long_after_the_call_is_shown_with_its_date(self, admin_client: Client, call: CallRecord) -> None:
        deliver(call, time=samples.START + 30, sent_at=samples.START + 30.25)
        deliver(call, attempt=5, time=samples.START + 90_000, sent_at=samples.START + 90_000)
        html = get(admin_client, f"{CALL}{call.sid}/change/")
        assert "+30.250 s" in html
        assert "22 Sep 2026" in html

    def test_a_page_shows_the_first_two_hundred(
        self, admin_client: Client, call: CallRecord, django_assert_max_num_queries: Any
    ) -> None:
        ledger.apply([samples.delivery(call, time=samples.START + number) for number in range(205)])
        with django_assert_max_num_queries(16):
            html = get(admin_client, f"{CALL}{call.sid}/change/")
        assert html.count('/send/"') == 200
        assert f"{LIST}?q={call.sid}" in html


class TestSendingAgain:
    def test_the_button_makes_a_further_attempt_and_leads_to_it(self, admin_client: Client, call: CallRecord) -> None:
        row = failed(call)
        assert f"{LIST}{row.pk}/send/" in get(admin_client, page(row))
        response = admin_client.post(f"{LIST}{row.pk}/send/")
        again = WebhookDelivery.objects.get(attempt=2)
        assert response["Location"] == page(again)
        assert (again.message, again.state, again.parameters) == (row.pk, "pending", row.parameters)

    def test_who_did_it_is_written_down(self, admin_client: Client, admin_user: User, call: CallRecord) -> None:
        admin_client.post(f"{LIST}{failed(call).pk}/send/")
        entry = LogEntry.objects.get()
        assert (entry.user, entry.object_id) == (admin_user, WebhookDelivery.objects.get(attempt=2).pk)
        assert "Sent again now as attempt 2" in entry.get_change_message()

    def test_a_get_sends_nothing(self, admin_client: Client, call: CallRecord) -> None:
        row = failed(call)
        assert admin_client.get(f"{LIST}{row.pk}/send/").status_code == 405
        assert WebhookDelivery.objects.count() == 1

    def test_it_needs_the_permission(self, client: Client, call: CallRecord) -> None:
        row = failed(call)
        operator(client, "view_webhookdelivery")
        assert f"{LIST}{row.pk}/send/" not in get(client, page(row))
        assert client.post(f"{LIST}{row.pk}/send/").status_code == 403
        client.post(LIST, {"action": "send_again", "_selected_action": [row.pk]})
        assert WebhookDelivery.objects.count() == 1

    def test_the_permission_is_enough(self, client: Client, call: CallRecord) -> None:
        row = failed(call)
        operator(client, "view_webhookdelivery", "add_webhookdelivery")
        assert client.post(f"{LIST}{row.pk}/send/").status_code == 302

    def test_what_does_not_exist_is_not_found(self, admin_client: Client) -> None:
        assert admin_client.post(f"{LIST}{new_sid('WD')}/send/").status_code == 404

    def test_selected_messages_are_sent_once_each(self, admin_client: Client, call: CallRecord) -> None:
        one, other = failed(call), failed(call)
        second = failed(call, message=one.pk, attempt=2)
        action = {"action": "send_again", "_selected_action": [one.pk, second.pk, other.pk]}
        html = admin_client.post(LIST, action, follow=True).content.decode()
        assert "2 messages are sent again now." in html
        assert WebhookDelivery.objects.filter(state="pending").count() == 2

    def test_too_many_at_once_are_refused(
        self, admin_client: Client, call: CallRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("calls.admin_webhooks.AT_ONCE", 1)
        rows = [failed(call).pk, failed(call).pk]
        html = admin_client.post(LIST, {"action": "send_again", "_selected_action": rows}, follow=True).content.decode()
        assert "Select at most 1 attempts: nothing was sent." in html
        assert not WebhookDelivery.objects.filter(state="pending").exists()


def test_attempts_cannot_be_edited(admin_client: Client, call: CallRecord) -> None:
    row = deliver(call)
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(f"{LIST}{row.pk}/delete/").status_code == 403
    assert admin_client.post(page(row), {"sid": "WD1"}).status_code == 403


def test_staff_without_the_permission_see_nothing(client: Client, call: CallRecord) -> None:
    row = deliver(call)
    assert operator(client).get(page(row)).status_code == 403
    assert client.get(LIST).status_code == 403


def test_the_sidebar_names_webhooks_and_debugger(admin_client: Client) -> None:
    html = get(admin_client, "/admin/")
    for path, name in ((LIST, "Webhooks"), ("/admin/calls/notification/", "Debugger")):
        assert f'href="{path}"' in html
        assert name in html


def test_a_call_that_is_deleted_takes_its_page_along_but_not_the_list(admin_client: Client, call: CallRecord) -> None:
    deliver(call)
    Call.objects.filter(pk=call.sid).delete()
    assert found(admin_client) == set()

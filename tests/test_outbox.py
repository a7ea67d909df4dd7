"""Callbacks in the call log: one row an attempt, whatever is told twice, too late, or in the wrong order."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Q
from django_q.models import OrmQ

from calls import ledger, outbox
from calls.entries import CallRecord, DeliveryEntry
from calls.models import Notification, WebhookDelivery
from routing.models import Account
from routing.sid import new_sid
from tests import samples

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return samples.account()


@pytest.fixture
def call(account: Account) -> CallRecord:
    return samples.call(account)


def sending(call: CallRecord, **values: Any) -> DeliveryEntry:
    """Return an attempt that engine e1 has in hand."""
    return samples.attempt(call, sender="e1", **values)


def delivered(entry: DeliveryEntry, **values: Any) -> DeliveryEntry:
    outcome = {"state": "delivered", "sent_at": samples.START + 1, "milliseconds": 12, "response_status": 204}
    return replace(entry, **{**outcome, **values})


def failed(entry: DeliveryEntry, status: int = 503, code: int = 11200, **values: Any) -> DeliveryEntry:
    outcome = {"state": "failed", "response_status": status, "error_code": code, "error": f"HTTP {status}"}
    return replace(entry, **{**outcome, **values})


def rows() -> list[Any]:
    return list(WebhookDelivery.objects.order_by("pk").values())


def only() -> WebhookDelivery:
    return WebhookDelivery.objects.get()


class TestAttempts:
    def test_one_is_kept_with_all_that_it_told_and_heard(self, call: CallRecord) -> None:
        entry = delivered(sending(call), response_type="text/xml", response_body="<Response/>")
        assert ledger.apply([entry]).ok == 1
        assert outbox.entry(only()) == entry
        assert only().call_id == call.sid
        assert only().parameters == [["CallSid", call.sid], ["CallStatus", "completed"]]

    def test_the_outcome_follows_what_is_pending(self, call: CallRecord) -> None:
        entry = sending(call)
        ledger.apply([entry])
        assert (only().state, only().due) == ("pending", None)
        ledger.apply([delivered(entry)])
        assert (only().state, only().milliseconds, only().response_status) == ("delivered", 12, 204)

    @pytest.mark.parametrize("outcome", [delivered, failed])
    def test_an_outcome_is_not_undone_by_the_pending_row_that_comes_later(self, call: CallRecord, outcome: Any) -> None:
        entry = sending(call)
        ledger.apply([outcome(entry)])
        before = rows()
        ledger.apply([entry])
        assert rows() == before

    @pytest.mark.parametrize("backwards", [False, True])
    def test_both_may_come_in_one_batch(self, call: CallRecord, backwards: bool) -> None:
        entry = sending(call)
        batch = [entry, delivered(entry)]
        ledger.apply(batch[::-1] if backwards else batch)
        assert only().state == "delivered"

    def test_the_first_outcome_counts(self, call: CallRecord) -> None:
        entry = sending(call)
        ledger.apply([delivered(entry), failed(entry)])
        ledger.apply([failed(entry)])
        assert only().state == "delivered"
        assert not Notification.objects.exists()

    def test_applying_twice_changes_nothing(self, call: CallRecord) -> None:
        entries = [sending(call), samples.attempt(call), failed(sending(call)), failed(sending(call), 404)]
        ledger.apply(entries)
        before, notes, tasks = rows(), Notification.objects.count(), OrmQ.objects.count()
        ledger.apply(entries)
        assert (rows(), Notification.objects.count(), OrmQ.objects.count()) == (before, notes, tasks)
        assert (len(before), notes, tasks) == (5, 1, 1)  # one of the failed ones is tried again

    def test_all_processes_write_rows_in_the_same_order(self, call: CallRecord) -> None:
        """Else the journal's writer and the sender, which tell of the same ones, end up in a deadlock on PostgreSQL."""
        entries = sorted((sending(call) for _ in range(5)), key=lambda entry: entry.sid, reverse=True)
        written: list[list[str]] = []

        def watch(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
            if sql.startswith("INSERT"):
                # PostgreSQL is given columns, SQLite single values.
                values = itertools.chain.from_iterable(one if isinstance(one, list) else [one] for one in params)
                written.append([value for value in values if value in sids])
            return execute(sql, params, *rest)

        sids = {entry.sid for entry in entries}
        with connection.execute_wrapper(watch):
            ledger.apply([delivered(entry) for entry in entries])
        assert [list(dict.fromkeys(one)) for one in written if one] == [sorted(sids)]

    def test_one_without_a_call_is_kept(self, call: CallRecord) -> None:
        ledger.apply([replace(sending(call), call_sid="")])
        assert only().call_id is None

    def test_what_is_too_long_or_broken_is_cut_and_cleaned(self, call: CallRecord) -> None:
        nasty = sending(call, url="http://a/" + "x" * 5000, parameters=(("SipHeader_X-A", "a\0\udcff"),))
        ledger.apply([failed(nasty, error="e" * 2000, response_body="b\0" * 9000, response_type="t" * 300)])
        row = WebhookDelivery.objects.get(pk=nasty.sid)
        assert [len(text) for text in (row.url, row.error, row.response_body, row.response_type)] == [
            4096,
            1000,
            4096,
            255,
        ]
        assert row.parameters == [["SipHeader_X-A", "a?"]]

    def test_one_with_a_broken_identifier_is_refused_and_holds_nothing_up(self, call: CallRecord) -> None:
        applied = ledger.apply([sending(call, sid="WD1"), sending(call)])
        assert (applied.ok, len(applied.rejected)) == (1, 1)


class TestWhoMakesIt:
    def test_what_an_engine_has_in_hand_is_not_the_workers(self, call: CallRecord) -> None:
        ledger.apply([sending(call)])
        assert only().due is None
        assert not OrmQ.objects.exists()

    def test_what_nobody_has_in_hand_is_the_workers_at_once(self, call: CallRecord) -> None:
        ledger.apply([samples.attempt(call)])
        assert only().due == only().time
        assert OrmQ.objects.get().task["func"] == "calls.delivery.deliver_due"

    def test_a_batch_asks_the_worker_once(self, call: CallRecord) -> None:
        ledger.apply([samples.attempt(call) for _ in range(3)])
        assert OrmQ.objects.count() == 1

    def test_the_worker_takes_over_what_an_engine_left(self, call: CallRecord) -> None:
        mine, other, told = sending(call), replace(sending(call), sender="e2"), sending(call)
        ledger.apply([mine, other, delivered(told)])
        assert outbox.take_over(Q(sender="e1")) == 1
        states = {row.pk: (row.sender, row.due is not None) for row in WebhookDelivery.objects.all()}
        assert states == {mine.sid: ("", True), other.sid: ("e2", False), told.sid: ("e1", False)}
        assert OrmQ.objects.count() == 1
        assert outbox.take_over(Q(sender="e1")) == 0
        assert OrmQ.objects.count() == 1


class TestWhatFollowsAFailure:
    """A next attempt, or a notification: never neither, never both."""

    def test_one_that_may_pass_is_tried_again_later(self, call: CallRecord) -> None:
        entry = failed(sending(call))
        ledger.apply([entry])
        again = WebhookDelivery.objects.get(attempt=2)
        assert (again.message, again.state, again.sender) == (entry.sid, "pending", "")
        assert outbox.entry(again).parameters == entry.parameters
        assert again.due is not None and again.due - again.time == timedelta(seconds=30)
        assert not Notification.objects.exists()

    def test_one_that_will_not_pass_is_told_to_the_operator_at_once(self, call: CallRecord) -> None:
        entry = failed(
            sending(call, url="http://user:secret@app.example.com/cb#rc=2"), 404, response_body="no such page"
        )
        ledger.apply([entry])
        assert WebhookDelivery.objects.count() == 1
        note = Notification.objects.get()
        assert (note.code, note.level, note.call_id) == (11200, "error", call.sid)
        assert note.message == "The status callback completed was not delivered: HTTP 404"
        assert (note.url, note.method) == ("http://app.example.com/cb", "POST")
        assert (note.response_status, note.response_body) == (404, "no such page")

    def test_the_last_attempt_gives_up(self, call: CallRecord, settings: Any) -> None:
        settings.WEBHOOK_RETRY_SECONDS = [30.0]
        ledger.apply([failed(sending(call, attempt=2), 0, 11202)])
        assert Notification.objects.get().code == 11202
        assert ", 2 times: " in Notification.objects.get().message
        assert WebhookDelivery.objects.count() == 1

    def test_without_delays_the_first_one_does(self, call: CallRecord, settings: Any) -> None:
        settings.WEBHOOK_RETRY_SECONDS = []
        ledger.apply([failed(sending(call))])
        assert Notification.objects.count() == WebhookDelivery.objects.count() == 1

    def test_one_that_failed_without_a_code_is_11200(self, call: CallRecord) -> None:
        ledger.apply([failed(sending(call), 0, 0)])
        assert Notification.objects.get().code == 11200


class TestDoubtfulAnswers:
    """Twilio: a callback is answered with 204, or 200 and an empty <Response/>; otherwise warning 15003 (§1.9)."""

    def test_content_is_warned_of(self, call: CallRecord) -> None:
        ledger.apply([delivered(sending(call), response_status=200, response_body="OK")])
        note = Notification.objects.get()
        assert (note.code, note.level, note.response_body) == (15003, "warning", "OK")
        assert "answer 204" in note.message

    @pytest.mark.parametrize("body", ["", "<Response/>"])
    def test_no_content_is_not(self, call: CallRecord, body: str) -> None:
        ledger.apply([delivered(sending(call), response_status=200, response_body=body)])
        assert not Notification.objects.exists()

    def test_a_page_is_warned_of_once_in_a_while(self, call: CallRecord) -> None:
        now = time.time()
        pages = ("http://a/cb?id=1", "http://a/cb?id=2", "http://b/cb")
        told = [delivered(sending(call, url=url), response_body="OK", sent_at=now) for url in pages]
        ledger.apply(told)
        ledger.apply([delivered(sending(call, url="http://a/cb?id=3"), response_body="OK", sent_at=now)])
        urls = Notification.objects.values_list("url", flat=True)
        assert sorted(url.partition("?")[0] for url in urls) == ["http://a/cb", "http://b/cb"]

    def test_and_again_after_ten_minutes(self, call: CallRecord) -> None:
        for _ in range(2):  # the samples are sent long ago
            ledger.apply([delivered(sending(call), response_body="OK")])
        assert Notification.objects.count() == 2


def test_a_delivery_of_an_account_that_is_gone_is_kept(call: CallRecord) -> None:
    ledger.apply([replace(sending(call), account_sid=new_sid("AC"))])
    assert only().state == "pending"


def test_its_name_keeps_the_password_of_its_url_to_itself(call: CallRecord) -> None:
    ledger.apply([sending(call, url="http://user:secret@app.example.com/cb#rc=2")])
    assert str(only()) == "status completed to http://app.example.com/cb"

"""What is told to web applications, and when it is told again (docs/operating.md)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import OrmQ, Schedule

from calls import command, delivery, ledger, outbox
from calls.callback_request import deliver
from calls.entries import CallRecord, DeliveryEntry
from calls.models import Call, Notification, WebhookDelivery
from routing.models import Account
from tests import samples
from tests.receiver import Receiver
from tests.waiting import SECONDS

pytestmark = pytest.mark.django_db

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def call() -> CallRecord:
    return samples.call(samples.account())


@pytest.fixture
def app() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def put(call: CallRecord, url: str, **values: Any) -> DeliveryEntry:
    """Have the worker tell this URL of the call's end."""
    entry = samples.attempt(call, url=url, **values)
    delivery.fire(entry)
    return entry


def row(entry: DeliveryEntry) -> WebhookDelivery:
    return WebhookDelivery.objects.get(pk=entry.sid)


def states() -> list[tuple[int, str]]:
    return list(WebhookDelivery.objects.order_by("attempt").values_list("attempt", "state"))


def pass_time() -> None:
    """Let the time come at which the next attempt is made."""
    WebhookDelivery.objects.filter(state="pending").update(due=timezone.now())


class TestRequest:
    """Twilio signs every request and sends the parameters as a form, or in the query of a GET (§1.9, §1.11)."""

    def test_the_parameters_arrive_and_twilios_validator_accepts_the_signature(
        self, call: CallRecord, app: Receiver
    ) -> None:
        put(call, app.url("/cb?id=7#rc=0"), parameters=(("CallSid", call.sid), ("From", "sip:jürgen@a b&c")))
        assert delivery.deliver_due() == 1
        (told,) = app.told
        assert told.form == {"CallSid": call.sid, "From": "sip:jürgen@a b&c"}
        assert (told.method, told.url) == ("POST", app.url("/cb?id=7"))
        assert told.is_signed_with(TOKEN)

    def test_a_get_has_them_in_its_query(self, call: CallRecord, app: Receiver) -> None:
        put(call, app.url(), method="GET", parameters=(("CallSid", call.sid),))
        delivery.deliver_due()
        (told,) = app.told
        assert (told.method, told.url, told.form) == ("GET", app.url(f"/cb?CallSid={call.sid}"), {})
        assert told.is_signed_with(TOKEN)

    def test_the_row_tells_what_came_of_it(self, call: CallRecord, app: Receiver) -> None:
        app.status, app.body = 200, "<Response/>"
        entry = put(call, app.url())
        delivery.deliver_due()
        made = row(entry)
        assert (made.state, made.response_status, made.response_type) == ("delivered", 200, "text/xml")
        assert (made.response_body, made.error_code, made.error) == ("<Response/>", 0, "")
        assert made.sent_at is not None and made.milliseconds is not None
        assert (made.due, made.lease) == (None, None)
        assert not Notification.objects.exists()

    def test_four_kilobytes_of_the_answer_are_kept(self, call: CallRecord, app: Receiver) -> None:
        app.status, app.body = 500, "x" * 9000
        entry = put(call, app.url())
        delivery.deliver_due()
        assert row(entry).response_body == "x" * 4096

    def test_an_answer_with_content_is_warned_of(self, call: CallRecord, app: Receiver) -> None:
        """Twilio: warning 15003, and the message counts as delivered."""
        app.status, app.body = 200, "<Response><Hangup/></Response>"
        entry = put(call, app.url())
        delivery.deliver_due()
        assert row(entry).state == "delivered"
        assert Notification.objects.get().code == 15003

    def test_firing_the_same_message_twice_sends_it_once(self, call: CallRecord, app: Receiver) -> None:
        entry = put(call, app.url())
        delivery.fire(entry)
        delivery.deliver_due()
        delivery.fire(entry)
        assert delivery.deliver_due() == 0
        assert len(app.told) == 1


class TestRetries:
    """Our own decision: what may pass is tried again with growing delay; a 4xx is not (§1.12, 11200)."""

    @pytest.mark.parametrize("status", [500, 503, 429, 408])
    def test_a_server_in_trouble_is_asked_again(self, call: CallRecord, app: Receiver, status: int) -> None:
        app.statuses = [status]
        put(call, app.url())
        delivery.deliver_due()
        assert states() == [(1, "failed"), (2, "pending")]
        pass_time()
        delivery.deliver_due()
        assert states() == [(1, "failed"), (2, "delivered")]
        assert not Notification.objects.exists()

    def test_so_is_one_that_does_not_answer_in_time(self, call: CallRecord, app: Receiver) -> None:
        released = threading.Event()
        app.on_request = lambda: released.wait(SECONDS)
        entry = put(call, app.url("/cb#tt=100"))
        delivery.deliver_due()
        released.set()
        assert (row(entry).state, row(entry).error_code) == ("failed", 11203)
        assert states()[1:] == [(2, "pending")]

    def test_so_is_one_that_is_not_there(self, call: CallRecord) -> None:
        with Receiver() as gone:
            url = gone.url()
        entry = put(call, url)
        delivery.deliver_due()
        assert (row(entry).state, row(entry).error_code) == ("failed", 11202)
        assert states()[1:] == [(2, "pending")]

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
    def test_one_that_says_no_is_not_and_the_operator_is_told_at_once(
        self, call: CallRecord, app: Receiver, status: int
    ) -> None:
        app.status = status
        put(call, app.url())
        delivery.deliver_due()
        assert states() == [(1, "failed")]
        note = Notification.objects.get()
        assert (note.code, note.response_status, note.call_id) == (11200, status, call.sid)

    def test_a_url_that_cannot_be_asked_is_not(self, call: CallRecord) -> None:
        put(call, "ftp://example.com/")
        delivery.deliver_due()
        assert states() == [(1, "failed")]
        assert Notification.objects.get().code == 11100

    def test_the_delay_grows_until_it_is_given_up(self, call: CallRecord, app: Receiver) -> None:
        app.status = 500
        put(call, app.url())
        while delivery.deliver_due():
            pass_time()
        attempts = WebhookDelivery.objects.order_by("attempt")
        assert [made.attempt for made in attempts] == list(range(1, 8))
        assert {made.state for made in attempts} == {"failed"}
        assert len(app.told) == 7
        assert ", 7 times: HTTP 500" in Notification.objects.get().message

    @pytest.mark.parametrize("attempt", range(1, 7))
    def test_each_delay_is_that_of_the_setting(self, call: CallRecord, settings: Any, attempt: int) -> None:
        ledger.apply([samples.attempt(call, state="failed", response_status=500, attempt=attempt)])
        following = WebhookDelivery.objects.get(attempt=attempt + 1)
        assert following.due is not None
        assert (following.due - following.time).total_seconds() == settings.WEBHOOK_RETRY_SECONDS[attempt - 1]
        assert settings.WEBHOOK_RETRY_SECONDS == [30, 120, 600, 1800, 3600, 10800]

    def test_one_is_not_made_before_its_time(self, call: CallRecord, app: Receiver) -> None:
        app.status = 500
        put(call, app.url())
        delivery.deliver_due()
        assert delivery.deliver_due() == 0
        assert len(app.told) == 1

    def test_all_attempts_of_a_message_have_the_same_token_and_are_signed(
        self, call: CallRecord, app: Receiver
    ) -> None:
        """Twilio: I-Twilio-Idempotency-Token is the same on retries (§1.11)."""
        app.statuses = [500, 500]
        first = put(call, app.url())
        other = put(call, app.url("/other"))
        while delivery.deliver_due():
            pass_time()
        tokens = {(told.url, told.token) for told in app.told}
        assert len(app.told) == 4
        assert tokens == {(app.url(), first.sid), (app.url("/other"), other.sid)}
        assert all(told.is_signed_with(TOKEN) for told in app.told)

    def test_what_the_engines_sender_could_not_deliver_is_taken_on(self, call: CallRecord, app: Receiver) -> None:
        entry = samples.attempt(call, url=app.url(), sender="e1")
        ledger.apply([entry])
        ledger.apply([replace(entry, state="failed", error_code=11202, error="connection refused")])
        pass_time()
        assert delivery.deliver_due() == 1
        assert states() == [(1, "failed"), (2, "delivered")]
        assert app.told[0].token == entry.sid


class TestWhatCannotBeSent:
    def test_without_the_account_there_is_nothing_to_sign_with(self, call: CallRecord, app: Receiver) -> None:
        entry = put(call, app.url())
        Account.objects.all().delete()
        delivery.deliver_due()
        assert row(entry).error == "Its account is gone, and with it the token to sign with."
        assert (states(), app.told) == ([(1, "failed")], [])

    def test_an_account_whose_token_cannot_be_read_is_told(self, call: CallRecord, app: Receiver) -> None:
        entry = put(call, app.url())
        with connection.cursor() as cursor:
            cursor.execute("UPDATE routing_account SET auth_token = 'nonsense'")
        delivery.deliver_due()
        assert row(entry).error.startswith("It cannot be signed: ")
        assert (states(), app.told) == ([(1, "failed")], [])
        assert Notification.objects.get().code == 12400

    def test_a_fault_of_our_own_ends_one_attempt_and_no_other(
        self, call: CallRecord, app: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def faulty(url: str, *rest: Any) -> Any:
            return deliver(url, *rest) if "good" in url else 1 / 0

        monkeypatch.setattr(delivery, "deliver", faulty)
        bad, good = put(call, app.url("/bad")), put(call, app.url("/good"))
        assert delivery.deliver_due() == 2
        assert (row(bad).error, row(good).state) == ("ZeroDivisionError: division by zero", "delivered")


class TestSeveralWorkers:
    """One worker has an attempt in hand, and what a killed one had is made again."""

    @pytest.mark.django_db(transaction=True)
    def test_two_workers_make_one_request(self, call: CallRecord, app: Receiver) -> None:
        made: list[int] = []

        def other_worker() -> None:
            made.append(delivery.deliver_due())
            connection.close()

        app.on_request = other_worker  # while the first one waits for the answer
        put(call, app.url())
        assert (delivery.deliver_due(), made) == (1, [0])
        assert len(app.told) == 1

    def test_the_slower_of_two_that_saw_it_leaves_it(self, call: CallRecord, app: Receiver) -> None:
        entry, taken = put(call, app.url()), list[int]()

        def first(execute: Any, sql: str, *rest: Any) -> Any:
            if sql.startswith("UPDATE") and "lease" in sql and not taken:
                taken.append(0)
                taken[0] = WebhookDelivery.objects.filter(pk=entry.sid).update(lease=timezone.now() + delivery.LEASE)
            return execute(sql, *rest)

        with connection.execute_wrapper(first):
            assert delivery.deliver_due() == 0
        assert (taken, app.told) == ([1], [])

    def test_the_take_is_one_update_without_a_subquery(self, call: CallRecord, app: Receiver) -> None:
        put(call, app.url())
        seen: list[str] = []

        def watch(execute: Any, sql: str, *rest: Any) -> Any:
            seen.append(sql)
            return execute(sql, *rest)

        with connection.execute_wrapper(watch):
            delivery.deliver_due()
        (take,) = [sql for sql in seen if sql.startswith("UPDATE") and '"tries"' in sql]
        assert "SELECT" not in take

    def test_an_attempt_counts_before_it_is_made(self, call: CallRecord, app: Receiver) -> None:
        entry = put(call, app.url())
        (job,) = delivery._lease(5)
        assert (row(entry).tries, row(entry).state) == (1, "pending")
        assert job.entry.sid == entry.sid

    def test_what_a_killed_worker_had_in_hand_is_made_when_its_lease_is_over(
        self, call: CallRecord, app: Receiver
    ) -> None:
        entry = put(call, app.url())
        delivery._lease(5)  # and the worker is killed
        assert delivery.deliver_due() == 0
        WebhookDelivery.objects.update(lease=timezone.now() - timedelta(seconds=1))
        assert delivery.deliver_due() == 1
        assert (row(entry).state, row(entry).tries) == ("delivered", 2)

    def test_one_that_kills_every_worker_is_given_up(self, call: CallRecord, app: Receiver) -> None:
        entry = put(call, app.url())
        WebhookDelivery.objects.update(tries=delivery.MOST_TRIES)
        delivery.deliver_due()
        assert (row(entry).state, app.told) == ("failed", [])
        assert "3 times the worker was stopped" in Notification.objects.get().message

    def test_a_late_outcome_of_another_worker_changes_nothing(self, call: CallRecord, app: Receiver) -> None:
        entry = put(call, app.url())
        delivery.deliver_due()
        ledger.apply([replace(entry, state="failed", response_status=500)])
        assert states() == [(1, "delivered")]

    def test_all_together_make_no_more_than_so_many_at_once(self, call: CallRecord, app: Receiver) -> None:
        for _ in range(delivery.AT_ONCE + 3):
            put(call, app.url())
        assert len(delivery._lease(delivery.AT_ONCE)) == delivery.AT_ONCE
        assert delivery._lease(delivery.AT_ONCE) == []

    def test_more_than_fit_at_once_follow_in_the_same_run(self, call: CallRecord, app: Receiver) -> None:
        entries = [put(call, app.url(f"/{number}")) for number in range(delivery.AT_ONCE + 9)]
        assert delivery.deliver_due() == len(entries)
        assert sorted(told.url for told in app.told) == sorted(entry.url for entry in entries)

    def test_the_longest_due_come_first(self, call: CallRecord, app: Receiver) -> None:
        late, early = put(call, app.url(), time=samples.START + 9), put(call, app.url(), time=samples.START)
        assert [job.entry.sid for job in delivery._lease(1)] == [early.sid]
        assert [job.entry.sid for job in delivery._lease(1)] == [late.sid]

    def test_a_receiver_that_hangs_does_not_hold_up_the_others(self, call: CallRecord, app: Receiver) -> None:
        released = threading.Event()
        with Receiver() as hung:
            hung.on_request = lambda: released.wait(SECONDS)
            app.on_request = released.set
            entries = [put(call, hung.url(), time=samples.START), put(call, app.url())]
            delivery.deliver_due()
        assert [row(entry).state for entry in entries] == ["delivered", "delivered"]

    def test_what_is_left_when_the_time_is_over_is_the_next_tasks(
        self, call: CallRecord, app: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(call, app.url())
        OrmQ.objects.all().delete()
        monkeypatch.setattr(delivery, "BUDGET_SECONDS", 0.0)
        assert delivery.deliver_due() == 0
        assert OrmQ.objects.get().task["func"] == "calls.delivery.deliver_due"


class TestSweep:
    """Every minute: what is due, what a sender left behind, commands that nobody answered."""

    def test_what_is_due_is_sent(self, call: CallRecord, app: Receiver) -> None:
        put(call, app.url())
        assert delivery.sweep() == 1

    def test_what_a_sender_left_behind_is_taken_over(self, call: CallRecord, app: Receiver) -> None:
        entry = samples.attempt(call, url=app.url(), sender="e1")
        ledger.apply([entry])
        assert delivery.sweep() == 1
        assert (row(entry).state, row(entry).sender) == ("delivered", "")

    def test_what_it_may_still_be_sending_is_not(self, call: CallRecord, app: Receiver) -> None:
        ledger.apply([samples.attempt(call, url=app.url(), sender="e1", time=timezone.now().timestamp() - 200)])
        assert delivery.sweep() == 0

    def test_commands_to_calls_that_are_over_get_their_outcome(self, call: CallRecord) -> None:
        alive = replace(call, status="in-progress", end_time=None)
        ledger.apply([alive])
        asked = command.request(Call.objects.get(), status="completed")
        ledger.apply([call])
        delivery.sweep()
        asked.refresh_from_db()
        assert asked.ok is False

    @pytest.mark.parametrize("task", ["calls.delivery.sweep", outbox.DELIVER])
    def test_the_tasks_are_where_the_queue_looks_for_them(self, task: str) -> None:
        assert callable(import_string(task))

    def test_it_is_scheduled_every_minute_by_migrate(self) -> None:
        Schedule.objects.all().delete()
        for _ in range(2):
            emit_post_migrate_signal(verbosity=0, interactive=False, db="default")
        schedule = Schedule.objects.get(name="calls.sweep")
        assert (schedule.func, schedule.minutes, schedule.repeats) == ("calls.delivery.sweep", 1, -1)


class TestSendingAgain:
    """An operator's button: the same message once more, now, with the same token."""

    def test_what_was_given_up_is_sent_again(self, call: CallRecord, app: Receiver) -> None:
        app.statuses = [404]
        entry = put(call, app.url())
        delivery.deliver_due()
        again = delivery.send_again(row(entry))
        assert (again.attempt, again.state, again.message) == (2, "pending", entry.sid)
        delivery.deliver_due()
        assert states() == [(1, "failed"), (2, "delivered")]
        assert {told.token for told in app.told} == {entry.sid}

    def test_so_is_what_was_delivered(self, call: CallRecord, app: Receiver) -> None:
        entry = put(call, app.url())
        delivery.deliver_due()
        delivery.send_again(row(entry))
        delivery.deliver_due()
        assert states() == [(1, "delivered"), (2, "delivered")]

    def test_one_that_waits_is_made_now(self, call: CallRecord, app: Receiver) -> None:
        app.statuses = [500]
        entry = put(call, app.url())
        delivery.deliver_due()
        assert delivery.send_again(row(entry)).attempt == 2
        assert delivery.deliver_due() == 1
        assert states() == [(1, "failed"), (2, "delivered")]

    def test_one_that_an_engine_has_in_hand_is_left_to_it(self, call: CallRecord) -> None:
        entry = samples.attempt(call, sender="e1")
        ledger.apply([entry])
        assert delivery.send_again(row(entry)).pk == entry.sid
        assert row(entry).due is None

    def test_asking_twice_sends_it_once(self, call: CallRecord, app: Receiver) -> None:
        app.status = 404
        entry = put(call, app.url())
        delivery.deliver_due()
        assert delivery.send_again(row(entry)).pk == delivery.send_again(row(entry)).pk
        assert WebhookDelivery.objects.count() == 2

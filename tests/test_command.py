"""Changes to calls in progress: Twilio's `POST Calls/CA…` with Status, Url or Twiml.

Source: Twilio's Call resource, "Update a Call resource", and its error codes (conformance §1.12).
"""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError as ManagementError
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from calls import claims, command, ledger, place
from calls.command import CommandError
from calls.entries import CommandDone, QueuedCommand
from calls.models import Call, CallEvent, CallRequest, Command, WebhookDelivery
from calls.status import TERMINAL
from calls.values import moment
from routing.models import Account
from tests import samples

pytestmark = pytest.mark.django_db

URL = "http://app.example.com/other"
TWIML = "<Response><Hangup/></Response>"


@pytest.fixture
def account() -> Account:
    return samples.account()


def call(account: Account, status: str = "in-progress", **values: Any) -> Call:
    """Return a call of engine e1."""
    over = status in TERMINAL
    record = samples.call(account, status=status, **{"end_time": samples.START + 53 if over else None, **values})
    ledger.apply([record])
    return Call.objects.get(pk=record.sid)


def queued(account: Account) -> Call:
    return place.queue_call(account, "sip:alice@127.0.0.1", "100", url=URL)


def refusal(of: Call, **what: Any) -> CommandError:
    with pytest.raises(CommandError) as caught:
        command.request(of, **what)
    assert not Command.objects.exists()
    return caught.value


class TestAsking:
    def test_a_redirect_is_kept_for_the_engine(self, account: Account) -> None:
        asked = command.request(
            call(account), url=URL, method="GET", fallback_url=URL + "/2", fallback_method="GET", by="anna"
        )
        asked.refresh_from_db()
        assert (asked.url, asked.method, asked.fallback_url, asked.fallback_method) == (URL, "GET", URL + "/2", "GET")
        assert (asked.requested_by, asked.claimed_by, asked.done_at, asked.ok) == ("anna", "", None, None)

    def test_its_name_keeps_the_password_of_its_url_to_itself(self, account: Account) -> None:
        asked = command.request(call(account), url="http://user:secret@app.example.com/other")
        assert str(asked) == f"{asked.call_id} {URL}"

    def test_so_is_a_document(self, account: Account) -> None:
        assert command.request(call(account), twiml=TWIML).twiml == TWIML

    @pytest.mark.parametrize("status", ["queued", "initiated", "ringing", "in-progress"])
    @pytest.mark.parametrize("what", [{"url": URL}, {"twiml": TWIML}, {"status": "completed"}])
    def test_a_call_can_be_changed_until_it_is_over(self, account: Account, status: str, what: Any) -> None:
        command.request(call(account, status), **what)
        assert Command.objects.get().done_at is None

    @pytest.mark.parametrize("status", sorted(TERMINAL))
    @pytest.mark.parametrize("what", [{"url": URL}, {"twiml": TWIML}, {"status": "completed"}, {"status": "canceled"}])
    def test_and_not_afterwards(self, account: Account, status: str, what: Any) -> None:
        error = refusal(call(account, status), **what)
        assert (error.code, error.message) == (21220, f"The call is over ({status}): it cannot be changed any more.")

    @pytest.mark.parametrize("status", ["queued", "initiated", "ringing"])
    def test_canceled_ends_what_is_not_answered(self, account: Account, status: str) -> None:
        assert command.request(call(account, status), status="canceled").status == "canceled"

    def test_canceled_does_not_end_what_is(self, account: Account) -> None:
        error = refusal(call(account), status="canceled")
        assert (error.code, error.message) == (
            21220,
            "The call has been answered: only completed ends it, canceled does not.",
        )

    def test_what_counts_is_the_state_in_the_database(self, account: Account) -> None:
        stale = call(account)
        Call.objects.update(status="completed")
        assert refusal(stale, url=URL).code == 21220

    @pytest.mark.parametrize(
        ("what", "code", "complaint"),
        [
            ({}, 21205, "exactly one of status, url and twiml"),
            ({"url": URL, "twiml": TWIML}, 21205, "exactly one of"),
            ({"status": "completed", "url": URL}, 21205, "exactly one of"),
            ({"status": "ringing"}, 20001, "status: 'ringing' is neither completed nor canceled"),
            ({"status": "completed", "fallback_url": URL}, 21205, "fallback_url: a call that is ended"),
            ({"url": "/relative"}, 21205, "url: Write an absolute URL"),
            ({"url": "http://a_b.example.com/"}, 21205, "url: The host name a_b.example.com has an underscore"),
            ({"url": URL + "x" * 5000}, 21205, "url: 5028 characters"),
            ({"url": URL, "fallback_url": "nowhere"}, 21205, "fallback_url: Write an absolute"),
            ({"url": URL, "method": "PUT"}, 21209, "method: 'PUT' is neither GET nor POST"),
            ({"url": URL, "fallback_method": ""}, 21209, "fallback_method: '' is neither"),
            ({"twiml": "x" * 4001}, 32018, "twiml: 4001 characters; at most 4000"),
        ],
    )
    def test_what_is_wrong_is_named_with_twilios_code(
        self, account: Account, what: Any, code: int, complaint: str
    ) -> None:
        error = refusal(call(account), **what)
        assert error.code == code
        assert complaint in error.message

    def test_four_thousand_characters_are_allowed(self, account: Account) -> None:
        assert len(command.request(call(account), twiml="ü" * 4000).twiml) == 4000


class TestCallsThatNoEngineHasTaken:
    """They end here and now, and nobody is told: no callback, no INVITE."""

    @pytest.mark.parametrize("status", ["canceled", "completed"])
    def test_they_are_canceled_at_once(self, account: Account, status: str) -> None:
        waiting = queued(account)
        asked = command.request(waiting, status=status, by="anna")
        assert (asked.ok, asked.outcome) == (True, "The call was ended before any engine took it.")
        waiting.refresh_from_db()
        assert (waiting.status, waiting.ended_by, waiting.duration) == ("canceled", "operator", 0)
        assert waiting.end_time is not None
        assert [event.name for event in CallEvent.objects.all()] == ["ended"]
        assert not WebhookDelivery.objects.exists()
        assert claims.claim("e1", ["us1"], 5) == []
        assert command.take("e1") == []

    def test_a_redirect_waits_for_the_engine_that_takes_the_call(self, account: Account) -> None:
        waiting = queued(account)
        asked = command.request(waiting, url=URL)
        assert asked.done_at is None
        claims.claim("e1", ["us1"], 5)
        assert command.take("e1") == []  # the call's record is not there yet, and so perhaps not its session
        ledger.apply([samples.call(account, sid=waiting.pk, direction="outbound-api", status="initiated")])
        assert [change.id for change in command.take("e1")] == [asked.pk]

    def test_one_that_an_engine_takes_meanwhile_is_the_engines_to_end(self, account: Account) -> None:
        waiting = queued(account)
        claims.claim("e1", ["us1"], 5)
        asked = command.request(waiting, status="canceled")
        assert asked.done_at is None
        waiting.refresh_from_db()
        assert waiting.status == "queued"

    def test_only_one_of_the_engine_and_the_operator_has_it(self, account: Account) -> None:
        """Both take the request with the same conditional UPDATE."""
        waiting = queued(account)
        taken: list[int] = []

        def engine_first(execute: Any, sql: str, *rest: Any) -> Any:
            if sql.startswith("UPDATE") and "claimed_by" in sql and not taken:
                taken.append(0)
                taken[0] = CallRequest.objects.filter(claimed_by="").update(claimed_by="e1")
            return execute(sql, *rest)

        with connection.execute_wrapper(engine_first):
            assert command.request(waiting, status="canceled").done_at is None
        assert CallRequest.objects.get().claimed_by == "e1"


class TestTaking:
    def test_an_engine_gets_what_was_asked_for_oldest_first(self, account: Account) -> None:
        mine = call(account)
        asked = [
            command.request(mine, url=URL, method="GET", fallback_url=URL, fallback_method="GET", by="anna"),
            command.request(mine, twiml=TWIML),
            command.request(mine, status="completed"),
        ]
        taken = command.take("e1")
        assert [change.id for change in taken] == [one.pk for one in asked]
        assert taken[0] == QueuedCommand(
            id=asked[0].pk,
            call_sid=mine.pk,
            url=URL,
            method="GET",
            fallback_url=URL,
            fallback_method="GET",
            by="anna",
        )
        assert (taken[1].twiml, taken[2].status) == (TWIML, "completed")

    def test_each_is_handed_out_once(self, account: Account) -> None:
        asked = command.request(call(account), url=URL)
        assert len(command.take("e1")) == 1
        assert command.take("e1") == []
        asked.refresh_from_db()
        assert asked.claimed_by == "e1" and asked.claimed_at is not None

    def test_only_to_the_engine_of_the_call(self, account: Account) -> None:
        command.request(call(account), url=URL)
        assert command.take("e2") == []
        assert len(command.take("e1")) == 1

    def test_one_that_is_taken_meanwhile_is_left(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        command.request(call(account), url=URL)
        taken: list[int] = []

        def other(execute: Any, sql: str, *rest: Any) -> Any:
            if sql.startswith("UPDATE") and not taken:
                taken.append(0)
                taken[0] = Command.objects.update(claimed_by="e2")
            return execute(sql, *rest)

        with connection.execute_wrapper(other):
            assert command.take("e1") == []

    def test_asking_costs_one_short_query_when_there_are_none(self, account: Account) -> None:
        for _ in range(3):
            done = command.request(call(account), url=URL)
            ledger.apply([CommandDone(done.pk, samples.START, True, "Done.")])
        with CaptureQueriesContext(connection) as asked:
            assert command.take("e1") == []
        assert len(asked) == 1

    def test_that_query_reads_an_index_of_open_commands_only(self) -> None:
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute(
                    "EXPLAIN QUERY PLAN SELECT 1 FROM calls_command WHERE done_at IS NULL AND claimed_by = '' LIMIT 1"
                )
                assert "command_open" in str(cursor.fetchall())


class TestOutcomes:
    """What the engine says is kept; where no engine will say anything, that is said (21220)."""

    def asked(self, account: Account, status: str = "in-progress", **values: Any) -> Command:
        return command.request(call(account, status, **values), url=URL)

    def outcome(self, of: Command) -> tuple[bool | None, str]:
        of.refresh_from_db()
        return of.ok, of.outcome

    def test_the_engines_word_is_kept(self, account: Account) -> None:
        asked = self.asked(account)
        ledger.apply([CommandDone(asked.pk, samples.START, True, "Redirected.")])
        assert self.outcome(asked) == (True, "Redirected.")
        assert asked.done_at == moment(samples.START)

    def test_it_is_kept_once(self, account: Account) -> None:
        asked = self.asked(account)
        ledger.apply([CommandDone(asked.pk, samples.START, True, "Redirected.")])
        ledger.apply([CommandDone(asked.pk, samples.START + 9, False, "Again?")])
        assert self.outcome(asked) == (True, "Redirected.")

    def test_that_of_an_unknown_command_holds_nothing_up(self, account: Account) -> None:
        assert ledger.apply([CommandDone(4711, samples.START, True, "Done.")]).ok == 1
        assert not Command.objects.exists()

    def test_a_call_that_ended_meanwhile_could_not_be_changed(self, account: Account) -> None:
        asked = self.asked(account)
        Call.objects.update(status="completed")
        assert command.settle_lost() == 1
        assert self.outcome(asked) == (
            False,
            "The call was over (completed) before it could be changed. (error 21220)",
        )

    def test_one_that_the_engine_is_carrying_out_is_not_touched(self, account: Account) -> None:
        asked = self.asked(account)
        command.take("e1")
        Call.objects.update(status="completed")  # as the command had it
        assert command.settle_lost() == 0
        assert self.outcome(asked) == (None, "")

    def test_an_engine_that_does_not_run_takes_none(self, account: Account) -> None:
        asked = self.asked(account)
        assert command.settle_lost() == 0
        Command.objects.update(created=timezone.now() - timedelta(seconds=61))
        assert command.settle_lost() == 1
        assert self.outcome(asked) == (False, "Engine e1 did not take it: is it running? (error 21220)")

    def test_an_engine_that_took_one_and_fell_silent_is_named(self, account: Account) -> None:
        asked = self.asked(account)
        command.take("e1")
        Command.objects.update(claimed_at=timezone.now() - timedelta(seconds=61))
        assert command.settle_lost() == 1
        assert self.outcome(asked) == (False, "Engine e1 took it and did not say what came of it. (error 21220)")

    def test_a_queued_call_may_wait_for_its_engine(self, account: Account) -> None:
        asked = command.request(queued(account), url=URL)
        Command.objects.update(created=timezone.now() - timedelta(hours=1))
        assert command.settle_lost() == 0
        assert self.outcome(asked) == (None, "")

    def test_those_of_a_dead_engine_were_not_carried_out(self, account: Account) -> None:
        taken = self.asked(account)
        command.take("e1")
        waiting, other = self.asked(account), self.asked(account, engine="e2")
        assert command.settle_dead("e1") == 2
        for asked in (taken, waiting):
            assert self.outcome(asked) == (False, "Engine e1 stopped before it could carry this out. (error 21220)")
        assert self.outcome(other) == (None, "")


class TestCommandLine:
    """`./cordboard manage change_call CA… --url/--twiml/--end/--cancel`."""

    def run(self, *args: str) -> str:
        out = StringIO()
        call_command("change_call", *args, stdout=out)
        return out.getvalue()

    def test_it_ends_a_queued_call(self, account: Account) -> None:
        assert self.run(queued(account).pk, "--cancel") == "The call was ended before any engine took it.\n"

    def test_it_says_what_the_engine_says(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        class Engine:
            """The passing of time, in which the engine answers."""

            monotonic = staticmethod(lambda: 0.0)

            @staticmethod
            def sleep(_: float) -> None:
                (change,) = command.take("e1")
                ledger.apply([CommandDone(change.id, samples.START, change.url == URL, "It goes on elsewhere.")])

        monkeypatch.setattr("calls.management.commands.change_call.time", Engine)
        assert self.run(call(account).pk, "--url", URL) == "It goes on elsewhere.\n"
        with pytest.raises(ManagementError, match="It goes on elsewhere"):
            self.run(call(account).pk, "--twiml", TWIML)

    def test_it_does_not_wait_for_ever(self, account: Account) -> None:
        with pytest.raises(ManagementError, match="no engine has answered within 0 s"):
            self.run(call(account).pk, "--end", "--wait", "0")
        assert Command.objects.get().requested_by.endswith(" (command line)")

    @pytest.mark.parametrize(
        ("args", "complaint"),
        [
            (["--end"], "The call is over .completed.*error 21220"),
            (["--url", "x"], "url: Write an absolute URL.*error 21205"),
            ([], "one of the arguments"),
        ],
    )
    def test_it_says_what_is_wrong(self, account: Account, args: list[str], complaint: str) -> None:
        with pytest.raises(ManagementError, match=complaint):
            self.run(call(account, "completed").pk, *args)

    def test_it_says_that_there_is_no_such_call(self) -> None:
        with pytest.raises(ManagementError, match="There is no call CA1"):
            self.run("CA1", "--end")

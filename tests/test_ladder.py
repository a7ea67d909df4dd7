"""SIP messages as rows: written once, read as ladders, removed in time; what engines tell of themselves; SIP checks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from calls import checks, engines, ladder, ledger
from calls.entries import CheckDone, EngineEntry, QualityEntry
from calls.models import Call, CallEvent, EndpointCheck, Engine, Hold, LegQuality, SipMessage
from calls.sipmessage import TracedMessage, read
from routing.models import Account, Endpoint, Region, Trunk
from sipengine.tracefile import path_of
from sipengine.tracing import MESSAGES_PER_DIALOG, STRANGERS, Tracer
from sipengine.vitals import Vitals, VitalsReader

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SID = "CA" + "1" * 32
LEG = "CA" + "2" * 32


@pytest.fixture
def account() -> Account:
    return Account.objects.create(friendly_name="tests", auth_token="0" * 32)


def call(account: Account, sid: str, call_id: str, *, start: datetime = NOW, parent: str | None = None) -> Call:
    return Call.objects.create(
        sid=sid, account=account, parent_id=parent, direction="inbound", status="completed", from_address="sip:a@h",
        to_address="sip:b@h", start_time=start, sip_call_id=call_id, engine="one",
    )  # fmt: skip


def traced(
    call_id: str, start: str = "BYE sip:b@h SIP/2.0", *, at: float = 0, sent: bool = True, more: str = ""
) -> TracedMessage:
    sip = read(f"{start}\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\n{more}\r\n".encode())
    assert sip is not None
    moment = NOW + timedelta(seconds=at)
    return TracedMessage(round(moment.timestamp() * 1e6), sent, "udp", "10.0.0.1:5060", "10.0.0.2:5060", 500, sip)


class TestLadder:
    def test_messages_written_twice_are_there_once(self) -> None:
        for _ in range(2):
            ladder.write("one", [traced("c1"), traced("c1", sent=False), traced("c1", at=0.000001)])
        assert SipMessage.objects.count() == 3

    def test_each_leg_has_its_own_in_order_with_one_query_more_for_the_addresses_tried(self, account: Account) -> None:
        legs = [call(account, SID, "c1"), call(account, LEG, "c2", parent=SID)]
        CallEvent.objects.create(
            call=legs[0], number=0, time=NOW, name="leg.next-address", detail={"leg": LEG, "sip_call_id": "c0"}
        )
        ladder.write("one", [traced("c1", at=2), traced("c1", at=1), traced("c2", at=4), traced("c0", at=3)])
        ladder.write("two", [traced("c1", at=1)])
        with CaptureQueriesContext(connection) as queries:
            found = ladder.ladder(legs)
        assert len(queries) == 2
        assert [(one.time - NOW).total_seconds() for one in found[SID]] == [1, 2]
        assert [one.sip_call_id for one in found[LEG]] == ["c0", "c2"]

    def test_a_message_that_goes_the_same_way_again_is_a_repetition(self, account: Account) -> None:
        ladder.write("one", [traced("c1"), traced("c1", at=1), traced("c1", at=2, sent=False)])
        found = ladder.ladder([call(account, SID, "c1")])[SID]
        assert [one.repeated for one in found] == [False, True, False]

    def test_whatever_callers_send_can_be_kept(self) -> None:
        ladder.write(
            "one",
            [
                traced(
                    "c" * 400,
                    "BYE sip:" + "é\0" * 2000 + "@h SIP/2.0",
                    more="X: \0\ud83d\r\n".encode("utf-8", "replace").decode(),
                )
            ],
        )
        assert "\0" not in SipMessage.objects.get().text

    def test_a_leg_without_call_id_has_no_messages(self, account: Account) -> None:
        assert ladder.ladder([call(account, SID, "")]) == {SID: []}


class TestPurge:
    def test_what_is_older_goes_and_a_dry_run_only_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ladder, "BATCH", 2)
        ladder.write("one", [traced("c1", at=number) for number in range(7)])
        before = NOW + timedelta(seconds=5)
        assert ladder.purge(before, dry_run=True) == 5
        assert SipMessage.objects.count() == 7
        assert ladder.purge(before) == 5
        assert ladder.purge(before) == 0
        assert SipMessage.objects.count() == 2

    def test_one_account_alone(self, account: Account) -> None:
        other = Account.objects.create(friendly_name="other", auth_token="1" * 32)
        call(account, SID, "c1")
        call(other, LEG, "c2")
        ladder.write("one", [traced("c1"), traced("c2"), traced("stranger")])
        later = NOW + timedelta(seconds=1)
        assert ladder.purge(later, account, dry_run=True) == 1
        assert ladder.purge(later, account) == 1
        assert set(SipMessage.objects.values_list("sip_call_id", flat=True)) == {"c2", "stranger"}
        assert ladder.forget(["c2", "c9"]) == 1

    def test_the_rule_of_an_account_leaves_held_calls_alone(self, account: Account) -> None:
        held = call(account, SID, "c1")
        Call.objects.filter(pk=call(account, LEG, "c2").pk).update(parent=held)
        Hold.objects.create(call=held, who="ana")
        ladder.write("one", [traced("c1"), traced("c2")])
        later = NOW + timedelta(seconds=1)
        assert ladder.purge(later, account, dry_run=True) == ladder.purge(later, account) == 0
        Hold.objects.all().delete()
        assert ladder.purge(later, account) == 2

    def test_an_empty_table_is_nothing_to_purge(self, account: Account) -> None:
        assert (ladder.purge(NOW), ladder.purge(NOW, account), ladder.forget([])) == (0, 0, 0)

    def test_the_worker_deletes_what_is_older_than_the_setting(self, settings: object) -> None:
        settings.SIP_TRACE_DAYS = 1  # type: ignore[attr-defined]
        ladder.write("one", [traced("old")])
        ladder.write("one", [replace(traced("new"), microseconds=round(timezone.now().timestamp() * 1e6))])
        assert ladder.purge_old() == 1
        assert SipMessage.objects.get().sip_call_id == "new"


class Kept:
    """A tracer on files of a test, and what it wrote."""

    def __init__(self, folder: Path, known: Collection[str] = ()) -> None:
        self.folder, self.calls, self.written = folder, set(known), list[TracedMessage]()
        self.tracer = Tracer(folder, lambda names: self.calls & set(names), self.written.extend)
        self.number = round(NOW.timestamp() * 1e6)

    def put(self, call_id: str, start: str = "BYE sip:b@h SIP/2.0", *, sent: bool = False, method: str = "BYE") -> None:
        data = f"{start}\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\r\n".encode()
        self.number += 1
        head = f"CBSIP1 {self.number} {'S' if sent else 'R'} UDP h 5060 p 5060 {len(data)} {len(data)}\n".encode()
        with path_of(self.folder, 1).open("ab") as file:
            file.write(head + data + b"\n")

    def names(self) -> list[str]:
        while self.tracer.turn(closed=True):
            pass
        return [one.sip.call_id for one in self.written]


class TestTracer:
    def test_messages_of_calls_are_kept_and_those_of_strangers_are_not(self, tmp_path: Path) -> None:
        kept = Kept(tmp_path, ["c1"])
        kept.put("c1")
        kept.put("c2")
        kept.put("c3", "MESSAGE sip:b@h SIP/2.0", method="MESSAGE")
        kept.put("c4", "SIP/2.0 200 OK", sent=True)
        assert kept.names() == ["c1"]

    def test_a_dialog_that_we_began_is_ours_before_the_log_knows_it(self, tmp_path: Path) -> None:
        kept = Kept(tmp_path)
        kept.put("c1", "INVITE sip:b@h SIP/2.0", sent=True, method="INVITE")
        kept.put("c1", "SIP/2.0 486 Busy", method="INVITE")
        assert kept.names() == ["c1", "c1"]

    def test_of_refused_invites_only_some_are_kept_whole(self, tmp_path: Path) -> None:
        kept = Kept(tmp_path)
        for number in range(STRANGERS + 5):
            kept.put(f"s{number}", "INVITE sip:b@h SIP/2.0", method="INVITE")
            kept.put(f"s{number}", "SIP/2.0 403 Forbidden", sent=True, method="INVITE")
        assert len(kept.names()) == 2 * STRANGERS

    def test_a_dialog_has_its_limit_but_its_end_is_kept(self, tmp_path: Path) -> None:
        kept = Kept(tmp_path, ["c1"])
        for _ in range(MESSAGES_PER_DIALOG + 50):
            kept.put("c1", "INFO sip:b@h SIP/2.0", method="INFO")
        kept.put("c1")
        names = kept.names()
        assert len(names) == MESSAGES_PER_DIALOG + 1
        assert kept.written[-1].sip.method == "BYE"

    def test_what_could_not_be_written_is_tried_again(self, tmp_path: Path) -> None:
        kept = Kept(tmp_path, ["c1"])
        kept.put("c1")

        def away(messages: Collection[TracedMessage]) -> None:
            raise OperationalError("the database is away")

        failing = Tracer(tmp_path, lambda names: set(names), away)
        with pytest.raises(OperationalError):
            failing.turn(closed=True)
        assert kept.names() == ["c1"]


def entry(**change: object) -> EngineEntry:
    made = EngineEntry(
        "one",
        "0.1.0",
        "pjproject 2.17",
        "host",
        7,
        "0.0.0.0:5060",
        ("de1",),
        1.0,
        timezone.now().timestamp(),
        "running",
        1000,
    )
    return replace(made, **change)  # type: ignore[arg-type]


class TestEngines:
    def test_an_engine_is_what_it_told_last(self) -> None:
        engines.tell(entry(legs=3))
        engines.tell(entry(legs=4, state="draining"))
        (one,) = engines.engines()
        assert (one.state, one.alive, one.engine.legs, one.engine.regions) == ("draining", True, 4, ["de1"])

    def test_one_that_is_not_heard_of_is_away_unless_it_said_that_it_stops(self) -> None:
        old = timezone.now().timestamp() - 60
        engines.tell(entry(seen=old))
        engines.tell(entry(name="two", seen=old, state="stopped"))
        assert [(one.state, one.alive) for one in engines.engines()] == [("away", False), ("stopped", False)]
        assert engines.engines()[0].age > 59

    def test_the_version_is_that_of_the_project(self, settings: object) -> None:
        assert settings.VERSION.count(".") == 2  # type: ignore[attr-defined]

    def test_the_file_of_an_engine_is_read_when_it_has_changed(self, tmp_path: Path) -> None:
        told = Vitals(tmp_path, name="one", version="1", address="a", max_legs=9)
        reader = VitalsReader(tmp_path)
        assert reader.news() is None
        told.count(5, 2, 0)
        told.count(1, 1, 3)
        told.become("running")
        news = reader.news()
        assert news is not None
        assert (news.state, news.legs, news.peak_legs, news.peak_calls, news.refused) == ("running", 1, 5, 2, 3)
        reader.done()
        assert reader.news() is None
        (tmp_path / "engine.json").write_text('{"mood": "good"}')
        assert reader.news() is None
        engines.tell(news)
        assert Engine.objects.get().peak_legs == 5


class TestQuality:
    def quality(self, **change: object) -> QualityEntry:
        made = QualityEntry(SID, NOW.timestamp(), False, "PCMU", 1000, 1000, 0, 1.234, 5.0)
        return replace(made, **change)  # type: ignore[arg-type]

    def test_a_sample_never_replaces_the_final_figures(self) -> None:
        ledger.apply([self.quality(packets_in=500)])
        assert not LegQuality.objects.get().final
        ledger.apply([self.quality(final=True), self.quality(packets_in=400)])
        ledger.apply([self.quality(packets_in=300)])
        row = LegQuality.objects.get()
        assert (row.final, row.packets_in, row.jitter_in_ms, row.mos_in) == (True, 1000, 1.23, 4.4)
        assert (row.lost_out, row.mos_out, row.round_trip_ms) == (None, None, None)

    def test_the_far_end_s_reports_give_the_other_direction(self) -> None:
        ledger.apply([self.quality(final=True, lost_in=100, lost_out=0, jitter_out=2.0, round_trip=40.0)])
        row = LegQuality.objects.get()
        assert row.mos_in is not None and row.mos_out is not None
        assert row.mos_in < 3.5 < 4.3 < row.mos_out


class TestChecks:
    @pytest.fixture
    def endpoint(self, account: Account) -> Endpoint:
        return Endpoint.objects.create(account=account, name="alice", uri="sip:alice@10.0.0.9")

    def test_it_is_taken_once_by_an_engine_of_its_region_and_told(self, endpoint: Endpoint) -> None:
        number = checks.request_check(endpoint, "anna")
        default = Region.objects.get(is_default=True).code
        waiting = checks.result(number)
        assert waiting is not None and (waiting.state, waiting.done) == ("waiting", False)
        assert checks.take("one", ["elsewhere"]) == []
        (queued,) = checks.take("one", [default])
        assert (queued.id, queued.uri, queued.region) == (number, "sip:alice@10.0.0.9", default)
        assert checks.take("two", [default]) == []
        running = checks.result(number)
        assert running is not None and running.state == "running"
        ledger.apply([CheckDone(number, NOW.timestamp(), 200, "OK", "Phone", 0.0124)] * 2)
        found = checks.latest(endpoint)
        assert found is not None and found.done
        assert found.text == "We sent OPTIONS to sip:alice@10.0.0.9: answered 200 OK in 12 ms."
        assert (found.code, found.server, found.milliseconds) == (200, "Phone", 12.4)

    def test_no_answer_is_told_in_words(self, endpoint: Endpoint) -> None:
        number = checks.request_check(endpoint, "anna")
        ledger.apply([CheckDone(number, NOW.timestamp(), 0, error="no answer within 4 s")])
        ledger.apply([CheckDone(number, NOW.timestamp(), 200, "OK")])
        found = checks.result(number)
        assert found is not None
        assert (found.state, found.text) == (
            "unanswered",
            "We sent OPTIONS to sip:alice@10.0.0.9: no answer within 4 s.",
        )

    def test_without_an_engine_the_operator_is_told_what_to_look_at(self, endpoint: Endpoint) -> None:
        number = checks.request_check(endpoint, "anna")
        EndpointCheck.objects.update(created=timezone.now() - timedelta(seconds=20))
        found = checks.result(number)
        assert found is not None and (found.state, found.done) == ("failed", True)
        assert "No running engine" in found.text
        EndpointCheck.objects.update(claimed_by="one")
        found = checks.result(number)
        assert found is not None and "told nothing" in found.text
        assert checks.take("one", [Region.objects.get(is_default=True).code]) == []

    def test_a_trunk_is_checked_in_its_region(self, account: Account) -> None:
        region = Region.objects.create(code="xx9")
        trunk = Trunk.objects.create(account=account, name="carrier", uri="sip:carrier.example", region=region)
        checks.request_check(trunk, "anna")
        assert EndpointCheck.objects.get().region == "xx9"
        assert checks.latest(trunk) is not None

    def test_unknown_numbers_have_no_result(self, endpoint: Endpoint) -> None:
        assert (checks.result(12345), checks.latest(endpoint)) == (None, None)

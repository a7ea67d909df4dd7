"""The engine's way into the database: routing that changed, queued calls, and the calls that died with an engine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django_q.models import OrmQ

from calls import command, ledger, tasks, webhooks
from calls.entries import CallbackSpec, CallRecord, RecordingEntry
from calls.models import Call, CallEvent, CallRequest, Recording, WebhookDelivery
from calls.place import queue_call
from routing.models import Account, Region
from routing.resolve import load_dialplan
from sipengine import store
from tests import rows, samples

pytestmark = pytest.mark.django_db

DIED = samples.START + 60.4


@pytest.fixture
def account() -> Account:
    ledger.forget_endpoints()
    return samples.account()


def alive(of: Account, status: str = "in-progress", **values: Any) -> CallRecord:
    """Return the record of a call of engine e1 that has not ended."""
    answered = samples.START + 4 if status == "in-progress" else None
    unfinished = {"status": status, "answer_time": answered, "end_time": None, "duration": None}
    return samples.call(of, **{**unfinished, **values})


def child(parent: CallRecord, status: str, **values: Any) -> CallRecord:
    answered = samples.START + 4 if status == "in-progress" else None
    return samples.leg(parent, **{"status": status, "answer_time": answered, "end_time": None, "sip_code": 0, **values})


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def timeline(of: CallRecord) -> list[tuple[int, str]]:
    return list(CallEvent.objects.filter(call=of.sid).order_by("number").values_list("number", "name"))


def statuses() -> dict[str, str]:
    return dict(Call.objects.values_list("sid", "status"))


def everything() -> list[list[dict[str, Any]]]:
    models: list[Any] = [Call, CallEvent, Recording, CallRequest, WebhookDelivery, OrmQ]
    return [list(model.objects.order_by("pk").values()) for model in models]


class TestRouting:
    """A snapshot for admission, read again only when it changed."""

    def test_the_first_time_everything_is_returned(self, account: Account) -> None:
        rows.domain(account, "pbx.example.com")
        found = store.routing(None)
        assert found is not None
        _, directory, regions, dialplan = found
        assert list(directory.domains) == ["pbx.example.com"]
        assert directory.domains["pbx.example.com"].application.account_sid == account.sid
        assert regions[0].code == "us1" and regions[0].is_default
        assert dialplan == load_dialplan()

    def test_what_is_known_is_not_read_again(self, account: Account) -> None:
        rows.domain(account, "pbx.example.com")
        found = store.routing(None)
        assert found is not None
        assert store.routing(found[0]) is None

    def test_a_change_is(self, account: Account) -> None:
        found = store.routing(None)
        assert found is not None
        rows.domain(account, "pbx.example.com")
        changed = store.routing(found[0])
        assert changed is not None
        assert changed[0] != found[0]
        assert "pbx.example.com" in changed[1].domains

    def test_a_change_of_a_region_is_too(self) -> None:
        found = store.routing(None)
        assert found is not None
        Region.objects.create(code="xx1", location="Elsewhere", edge="elsewhere")
        changed = store.routing(found[0])
        assert changed is not None and "elsewhere" in [region.edge for region in changed[2]]


class TestQueuedCalls:
    def test_they_are_claimed_once_oldest_first(self, account: Account) -> None:
        calls = [queue_call(account, f"sip:{user}@127.0.0.1", "200", url="http://app/") for user in "abc"]
        claimed = store.claim_calls("e1", ("us1",), 2)
        assert [queued.sid for queued in claimed] == [call.sid for call in calls[:2]]
        assert [queued.sid for queued in store.claim_calls("e2", ("us1",), 2)] == [calls[2].sid]
        assert store.claim_calls("e1", ("us1",), 2) == []

    def test_those_of_other_regions_are_left(self, account: Account) -> None:
        queue_call(account, "sip:a@127.0.0.1;region=ie1", "200", url="http://app/")
        assert store.claim_calls("e1", ("us1",), 5) == []
        assert store.claim_calls("e1", (), 5) == []


def test_entries_are_applied(account: Account) -> None:
    record = samples.call(account)
    assert store.apply([record, samples.event(record, 0)]) == ledger.Applied(ok=2)
    assert statuses() == {record.sid: "completed"}


class TestCallsThatDiedWithTheEngine:
    """Each open leg gets exactly one end, with a reason, at the engine's last sign of life."""

    def test_an_answered_call_is_completed_and_lasted_until_then(self, account: Account) -> None:
        record = alive(account)
        ledger.apply([record])
        assert store.close_dead_calls("e1", DIED) == 1
        call = Call.objects.get()
        assert (call.status, call.duration, call.ended_by, call.error_code) == ("completed", 56, "engine", 12400)
        assert call.end_time == moment(DIED)
        assert call.reason.startswith("The engine stopped without warning at ")
        assert call.reason.endswith("in the middle of the conversation.")

    @pytest.mark.parametrize("status", ["initiated", "ringing"])
    def test_an_unanswered_call_has_failed(self, account: Account, status: str) -> None:
        ledger.apply([alive(account, status)])
        store.close_dead_calls("e1", DIED)
        call = Call.objects.get()
        assert (call.status, call.duration, call.answer_time) == ("failed", 0, None)
        assert call.end_time == moment(DIED)
        assert call.reason.endswith("before the call was answered.")

    def test_the_legs_that_it_dialled_end_too(self, account: Account) -> None:
        parent = alive(account)
        legs = [child(parent, status) for status in ("in-progress", "ringing", "initiated")]
        ledger.apply([parent, *legs])
        assert store.close_dead_calls("e1", DIED) == 4
        assert [statuses()[leg.sid] for leg in legs] == ["completed", "failed", "failed"]
        assert all(call.end_time == moment(DIED) for call in Call.objects.all())

    def test_a_leg_that_outlived_its_call_ends_alone(self, account: Account) -> None:
        parent = samples.call(account)
        leg = child(parent, "ringing")
        ledger.apply([parent, leg])
        before = Call.objects.filter(pk=parent.sid).values().get()
        assert store.close_dead_calls("e1", DIED) == 1
        assert Call.objects.filter(pk=parent.sid).values().get() == before
        assert timeline(parent) == [(0, "leg.ended")]

    @pytest.mark.parametrize(("status", "begun"), [("in-progress", samples.START + 4), ("ringing", samples.START)])
    def test_no_call_ends_before_it_began(self, account: Account, status: str, begun: float) -> None:
        ledger.apply([alive(account, status)])
        store.close_dead_calls("e1", samples.START - 100)
        call = Call.objects.get()
        assert (call.end_time, call.duration) == (moment(begun), 0)
        assert {event.time for event in CallEvent.objects.all()} == {moment(begun)}

    def test_a_reason_that_was_known_already_keeps_its_code(self, account: Account) -> None:
        ledger.apply([alive(account, error_code=13254)])
        store.close_dead_calls("e1", DIED)
        assert Call.objects.get().error_code == 13254

    def test_what_is_over_queued_or_another_engines_is_not_touched(self, account: Account) -> None:
        ledger.apply([samples.call(account), alive(account, engine="e2"), alive(account, "queued")])
        before = everything()
        assert store.close_dead_calls("e1", DIED) == 0
        assert everything() == before

    def test_the_timeline_of_the_call_tells_it(self, account: Account) -> None:
        parent = alive(account)
        leg = child(parent, "ringing")
        ledger.apply([parent, leg, *(samples.event(parent, number) for number in range(2))])
        store.close_dead_calls("e1", DIED)
        assert timeline(parent)[2:] == [(2, "leg.ended"), (3, "engine.restarted"), (4, "ended")]
        assert timeline(leg) == []
        told = CallEvent.objects.get(number=2)
        assert (told.detail["leg"], told.detail["status"], told.time) == (leg.sid, "failed", moment(DIED))
        last = CallEvent.objects.get(number=4)
        assert last.detail["status"] == "completed"
        assert "in the middle of the conversation" in last.detail["reason"]

    def test_each_call_has_its_own_timeline(self, account: Account) -> None:
        calls = [alive(account), alive(account)]
        ledger.apply([*calls, samples.event(calls[1], 0)])
        store.close_dead_calls("e1", DIED)
        assert timeline(calls[0]) == [(0, "engine.restarted"), (1, "ended")]
        assert timeline(calls[1])[1:] == [(1, "engine.restarted"), (2, "ended")]

    def test_a_late_record_of_the_dead_engine_does_not_reopen_it(self, account: Account) -> None:
        record = alive(account)
        ledger.apply([record])
        store.close_dead_calls("e1", DIED)
        store.apply([record])
        assert statuses() == {record.sid: "completed"}


class TestRecordingsThatDiedWithTheEngine:
    def growing(self, account: Account, *files: Path, call: CallRecord | None = None) -> RecordingEntry:
        of = call or alive(account)
        entry = samples.recording(of, status="in-progress", files=tuple(map(str, files)), channels=len(files))
        ledger.apply([of, entry])
        return entry

    def test_what_is_on_the_disk_goes_to_the_worker(self, account: Account, tmp_path: Path) -> None:
        parts = tmp_path / "a-0.wav", tmp_path / "a-1.wav"
        parts[0].write_bytes(b"RIFF")  # the other channel had not begun
        entry = self.growing(account, *parts)
        store.close_dead_calls("e1", DIED)
        recording = Recording.objects.get()
        assert (recording.sid, recording.status, recording.error) == (entry.sid, "processing", "")
        assert recording.files == [str(part) for part in parts]
        assert OrmQ.objects.count() == 1

    def test_what_never_reached_the_disk_goes_there_too_and_becomes_absent(
        self, account: Account, tmp_path: Path
    ) -> None:
        entry = self.growing(account, tmp_path / "gone.wav")
        store.close_dead_calls("e1", DIED)
        assert OrmQ.objects.get().task["args"] == (entry.sid,)
        assert tasks.finish_recording(entry.sid) == "absent"

    def test_one_of_a_call_that_had_ended_is_closed_too(self, account: Account, tmp_path: Path) -> None:
        self.growing(account, tmp_path / "gone.wav", call=samples.call(account))
        assert store.close_dead_calls("e1", DIED) == 0
        assert Recording.objects.get().status == "processing"

    def test_another_engines_and_finished_ones_are_not_touched(self, account: Account, tmp_path: Path) -> None:
        self.growing(account, tmp_path / "x.wav", call=alive(account, engine="e2"))
        over = samples.call(account)
        ledger.apply([over, samples.recording(over)])
        before = everything()
        store.close_dead_calls("e1", DIED)
        assert everything() == before


class TestCallsThatWereClaimedAndNotPlaced:
    def test_they_go_back_to_the_queue(self, account: Account) -> None:
        call = queue_call(account, "sip:a@127.0.0.1", "200", url="http://app/")
        store.claim_calls("e1", ("us1",), 5)
        assert store.close_dead_calls("e1", DIED) == 0
        assert [queued.sid for queued in store.claim_calls("e2", ("us1",), 5)] == [call.sid]

    def test_what_another_engine_claimed_stays_there(self, account: Account) -> None:
        queue_call(account, "sip:a@127.0.0.1", "200", url="http://app/")
        store.claim_calls("e2", ("us1",), 5)
        store.close_dead_calls("e1", DIED)
        assert store.claim_calls("e1", ("us1",), 5) == []

    def test_one_that_was_placed_has_failed_and_is_not_placed_again(self, account: Account) -> None:
        call = queue_call(account, "sip:a@127.0.0.1", "200", url="http://app/")
        store.claim_calls("e1", ("us1",), 5)
        ledger.apply([alive(account, "initiated", sid=call.sid, direction="outbound-api")])
        store.close_dead_calls("e1", DIED)
        assert statuses() == {call.sid: "failed"}
        assert store.claim_calls("e1", ("us1",), 5) == []


def test_closing_twice_changes_nothing(account: Account, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    parent = alive(account)
    recordings = [
        samples.recording(parent, status="in-progress", files=(str(tmp_path / name),)) for name in ("a.wav", "b.wav")
    ]
    ledger.apply([parent, child(parent, "ringing"), samples.event(parent, 0), *recordings])
    queue_call(account, "sip:a@127.0.0.1", "200", url="http://app/")
    store.claim_calls("e1", ("us1",), 5)
    assert store.close_dead_calls("e1", DIED) == 2
    before = everything()
    assert store.close_dead_calls("e1", DIED + 100) == 0
    assert everything() == before


EVERY = CallbackSpec("http://app.example.com/cb", "POST", ("initiated", "ringing", "answered", "completed"))
LAST = CallbackSpec("http://app.example.com/cb", "GET", ("completed",))


def told(of: CallRecord) -> list[dict[str, str]]:
    """Return the parameters of the completed callbacks of a leg."""
    found = WebhookDelivery.objects.filter(call=of.sid, event="completed", attempt=1)
    return [dict(parameters) for parameters in found.values_list("parameters", flat=True)]


class TestCallbacksOfCallsThatDiedWithTheEngine:
    """Each started leg has exactly one `completed` callback, an engine that was killed included (§1.9)."""

    def sent(self, of: CallRecord, *events: str, state: str = "delivered") -> None:
        ledger.apply([samples.attempt(of, event=event, sender="e1", state=state) for event in events])

    def test_an_answered_leg_is_told_as_completed(self, account: Account) -> None:
        parent = alive(account)
        leg = child(parent, "in-progress", callback=EVERY, callbacks_sent=3, sip_code=200, sip_call_id="abc@1")
        ledger.apply([parent, leg])
        self.sent(leg, "initiated", "ringing", "answered")
        store.close_dead_calls("e1", DIED)
        assert told(leg) == [
            {
                "CallSid": leg.sid,
                "AccountSid": account.sid,
                "From": leg.from_address,
                "To": leg.to_address,
                "Caller": leg.from_address,
                "Called": leg.to_address,
                "CallStatus": "completed",
                "ApiVersion": "2010-04-01",
                "Direction": "outbound-dial",
                "ParentCallSid": parent.sid,
                "SipCallId": "abc@1",
                "CallDuration": "56",
                "Duration": "1",
                "SipResponseCode": "200",
                "Timestamp": webhooks.rfc2822(DIED),
                "CallbackSource": "call-progress-events",
                "SequenceNumber": "3",
            }
        ]
        assert told(parent) == []

    def test_one_that_rang_is_told_as_failed(self, account: Account) -> None:
        parent = alive(account)
        leg = child(parent, "ringing", callback=LAST)
        ledger.apply([parent, leg])
        store.close_dead_calls("e1", DIED)
        (parameters,) = told(leg)
        assert (parameters["CallStatus"], parameters["CallDuration"], parameters["Duration"]) == ("failed", "0", "0")
        assert parameters["SequenceNumber"] == "0"

    def test_the_worker_has_it_at_once(self, account: Account) -> None:
        leg = child(alive(account), "ringing", callback=LAST)
        ledger.apply([leg])
        store.close_dead_calls("e1", DIED)
        delivery = WebhookDelivery.objects.get()
        assert (delivery.url, delivery.method, delivery.state, delivery.sender) == (LAST.url, "GET", "pending", "")
        assert delivery.due is not None
        assert [task.task["func"] for task in OrmQ.objects.all()] == ["calls.delivery.deliver_due"]

    def test_the_domains_callback_of_an_inbound_call_is_too(self, account: Account) -> None:
        domain = rows.domain(account, "pbx.example.com")
        parent = alive(account, callback=LAST, domain_sid=domain.pk, sip_username="alice", source_ip="203.0.113.7")
        ledger.apply([parent])
        store.close_dead_calls("e1", DIED)
        (parameters,) = told(parent)
        assert (parameters["SipDomain"], parameters["SipDomainSid"]) == ("pbx.example.com", domain.pk)
        assert (parameters["SipUsername"], parameters["SipSourceIp"]) == ("alice", "203.0.113.7")
        assert (parameters["Direction"], parameters["CallStatus"]) == ("inbound", "completed")

    def test_the_recording_of_the_dial_that_connected_it_is_named(self, account: Account) -> None:
        parent = alive(account)
        leg = child(parent, "in-progress", callback=LAST)
        loser = child(parent, "ringing", callback=LAST)
        growing = samples.recording(parent, status="in-progress")
        ledger.apply([parent, leg, loser, growing])
        store.close_dead_calls("e1", DIED)
        (parameters,) = told(leg)
        url = f"http://testserver/2010-04-01/Accounts/{account.sid}/Recordings/{growing.sid}"
        assert (parameters["RecordingSid"], parameters["RecordingUrl"]) == (growing.sid, url)
        assert parameters["RecordingDuration"] == "56"
        assert "RecordingSid" not in told(loser)[0]

    def test_one_that_was_told_before_the_end_is_not_told_again(self, account: Account) -> None:
        leg = child(alive(account), "in-progress", callback=EVERY, callbacks_sent=1)
        ledger.apply([leg])
        self.sent(leg, "completed")
        store.close_dead_calls("e1", DIED)
        assert len(told(leg)) == 1

    def test_nor_one_that_was_on_its_way(self, account: Account) -> None:
        leg = child(alive(account), "in-progress", callback=EVERY)
        ledger.apply([leg])
        self.sent(leg, "completed", state="pending")
        store.close_dead_calls("e1", DIED)
        assert len(told(leg)) == 1

    def test_nor_one_that_nobody_asked_for(self, account: Account) -> None:
        answered_only = CallbackSpec("http://app.example.com/cb", "POST", ("answered",))
        ledger.apply([child(alive(account), "ringing", callback=answered_only), alive(account)])
        store.close_dead_calls("e1", DIED)
        assert not WebhookDelivery.objects.exists()

    def test_nor_a_leg_that_was_over(self, account: Account) -> None:
        ledger.apply([samples.call(account, callback=EVERY), alive(account, "queued", callback=EVERY)])
        store.close_dead_calls("e1", DIED)
        assert not WebhookDelivery.objects.exists()

    def test_the_numbers_go_on_after_what_was_sent(self, account: Account) -> None:
        """The record may be older than the last callback; a second attempt is no further callback."""
        leg = child(alive(account), "in-progress", callback=EVERY, callbacks_sent=1)
        ledger.apply([leg])
        self.sent(leg, "initiated", "ringing")
        self.sent(leg, "answered", state="failed")
        ledger.apply([samples.attempt(leg, event="answered", attempt=2, state="delivered")])
        store.close_dead_calls("e1", DIED)
        assert told(leg)[0]["SequenceNumber"] == "3"

    def test_closing_again_tells_nothing_again(self, account: Account) -> None:
        leg = child(alive(account), "ringing", callback=LAST)
        ledger.apply([leg])
        store.close_dead_calls("e1", DIED)
        Call.objects.update(status="ringing", end_time=None)
        store.close_dead_calls("e1", DIED)
        assert len(told(leg)) == 1

    def test_the_callbacks_that_it_was_sending_are_the_workers(self, account: Account) -> None:
        over = samples.call(account)
        mine, other = samples.attempt(over, sender="e1"), samples.attempt(over, sender="e2")
        ledger.apply([over, mine, other])
        store.close_dead_calls("e1", DIED)
        due = dict(WebhookDelivery.objects.values_list("pk", "due"))
        assert due[mine.sid] is not None and due[other.sid] is None


class TestCommands:
    def test_the_engine_takes_those_of_its_calls(self, account: Account) -> None:
        ledger.apply([alive(account), alive(account, engine="e2")])
        asked = [command.request(call, status="completed") for call in Call.objects.filter(engine="e1")]
        assert [change.id for change in store.take_commands("e1")] == [one.pk for one in asked]
        assert store.take_commands("e1") == []

    def test_those_that_died_with_it_were_not_carried_out(self, account: Account) -> None:
        ledger.apply([alive(account)])
        asked = command.request(Call.objects.get(), status="completed")
        store.close_dead_calls("e1", DIED)
        asked.refresh_from_db()
        assert asked.ok is False
        assert "stopped before it could" in asked.outcome

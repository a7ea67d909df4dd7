"""The ledger: what the engine tells ends up in the call log, once, whatever is repeated, late or broken."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DataError, OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from calls import ledger
from calls.claims import claim
from calls.entries import CallbackSpec, CallRecord, Entry, EventEntry
from calls.models import Call, CallEvent, CallRequest, Notification, Recording
from calls.place import queue_call
from routing.models import Account
from routing.sid import new_sid
from tests import samples

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    ledger.forget_endpoints()
    return samples.account()


def rows() -> dict[str, list[dict[str, Any]]]:
    models: list[Any] = [Call, CallEvent, Recording, Notification]
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}


def test_a_call_with_all_that_belongs_to_it_is_written(account: Account) -> None:
    parent = samples.call(account)
    entries: list[Entry] = [
        parent,
        samples.leg(parent),
        samples.event(parent, 0, source="203.0.113.7"),
        samples.recording(parent),
        samples.note(parent),
    ]
    assert ledger.apply(entries) == ledger.Applied(ok=5)
    call = Call.objects.get(pk=parent.sid)
    assert (call.from_user, call.to_user, call.talk_seconds, call.ring_seconds) == ("200", "100", 49.0, 4.0)
    assert [leg.status for leg in call.legs.all()] == ["canceled"]
    assert call.events.get().detail == {"source": "203.0.113.7"}
    assert call.notifications.get().code == 11200
    assert call.recordings.get().files == ["raw/a-0.wav", "raw/a-1.wav"]


def test_the_last_record_of_a_call_in_a_batch_wins(account: Account) -> None:
    ringing = samples.call(account, status="ringing", answer_time=None, end_time=None, duration=None)
    answered = samples.call(account, sid=ringing.sid, status="in-progress", end_time=None, duration=None)
    ledger.apply([ringing, answered])
    assert Call.objects.get().status == "in-progress"


def test_applying_a_batch_twice_changes_nothing(account: Account) -> None:
    ringing = samples.call(account, status="ringing", answer_time=None, end_time=None, duration=None)
    over = samples.call(account, sid=ringing.sid)
    growing = samples.recording(over, status="in-progress")
    closed = samples.recording(over, sid=growing.sid)
    batches: list[list[Entry]] = [
        [ringing, samples.event(over, 0), growing],
        [over, closed, samples.event(over, 1), samples.note(over)],
    ]
    for batch in batches:
        ledger.apply(batch)
    before = rows()
    for batch in batches:
        ledger.apply(batch)
    assert rows() == before
    assert OrmQ.objects.count() == 1


def test_an_older_record_does_not_reopen_a_call_that_is_over(account: Account) -> None:
    over = samples.call(account)
    ledger.apply([over])
    ledger.apply([samples.call(account, sid=over.sid, status="ringing", end_time=None)])
    assert Call.objects.get().status == "completed"


def test_a_finished_recording_is_never_set_back(account: Account) -> None:
    entry = samples.recording(samples.call(account))
    ledger.apply([entry])
    Recording.objects.update(status="completed", file="2026/a.wav")
    ledger.apply([entry])
    assert Recording.objects.get().status == "completed"
    assert Recording.objects.get().file == "2026/a.wav"


def test_a_closed_recording_is_handed_to_the_worker(account: Account) -> None:
    entry = samples.recording(samples.call(account), status="in-progress")
    ledger.apply([entry])
    assert not OrmQ.objects.exists()
    ledger.apply([samples.recording(samples.call(account), sid=entry.sid)])
    queued = OrmQ.objects.get().task
    assert (queued["func"], queued["args"]) == ("calls.tasks.finish_recording", (entry.sid,))


def test_a_leg_is_linked_to_the_endpoint_with_its_address(account: Account) -> None:
    alice = samples.endpoint(account)
    parent = samples.call(account, to_address="sip:alice@127.0.0.1:5071")
    dialled = samples.leg(parent)
    ledger.apply([parent, dialled])
    assert Call.objects.get(pk=dialled.sid).endpoint == alice
    assert Call.objects.get(pk=parent.sid).endpoint is None


def test_a_call_is_written_though_all_that_it_names_is_missing(account: Account) -> None:
    orphan = samples.call(
        account,
        account_sid=new_sid("AC"),
        parent_sid=new_sid("CA"),
        domain_sid=new_sid("SD"),
        route_id=12345,
        group_id=12345,
    )
    assert ledger.apply([orphan]).ok == 1
    assert Call.objects.select_related("group", "domain", "parent").get().group is None


def test_over_long_and_unprintable_text_is_cut_and_cleaned(account: Account) -> None:
    odd = samples.call(account, from_address="sip:" + "a" * 5000, reason="b\0c\udcff", sip_code=10**9, duration=-5)
    assert ledger.apply([odd]).ok == 1
    call = Call.objects.get()
    assert (len(call.from_address), call.reason, call.duration) == (512, "bc?", 0)


def test_details_that_are_not_json_are_cleaned(account: Account) -> None:
    of = samples.call(account)
    detail: dict[str, Any] = {"a\0": ["x\0", 1, True, None, float("nan"), {"b": 2.5}], "c": object}
    assert ledger.apply([samples.event(of, 0, **detail)]).ok == 1
    assert CallEvent.objects.get().detail == {"a": ["x", 1, True, None, "nan", {"b": 2.5}], "c": "<class 'object'>"}


@pytest.mark.parametrize(
    "broken",
    [
        {"sid": "nonsense"},
        {"status": "sleeping"},
        {"direction": "sideways"},
        {"start_time": float("nan")},
        {"start_time": 1e20},
        {"sip_code": None},
    ],
)
def test_a_broken_entry_is_rejected_and_the_others_are_written(account: Account, broken: dict[str, Any]) -> None:
    good, bad = samples.call(account), samples.call(account, **broken)
    applied = ledger.apply([bad, good])
    assert applied.ok == 1
    assert [entry for entry, _ in applied.rejected] == [bad]
    assert Call.objects.get().sid == good.sid


def test_an_entry_that_the_database_refuses_does_not_stop_the_batch(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, poison = samples.call(account), samples.call(account, reason="poison")
    write = ledger._write_calls

    def refuse(calls: dict[str, Call]) -> None:
        if any(call.reason == "poison" for call in calls.values()):
            raise DataError("value out of range")
        write(calls)

    monkeypatch.setattr(ledger, "_write_calls", refuse)
    applied = ledger.apply([poison, good])
    assert applied.ok == 1
    assert applied.rejected == [(poison, "DataError: value out of range")]
    assert Call.objects.get().sid == good.sid


def test_a_database_that_is_away_is_not_the_fault_of_the_entries(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(calls: dict[str, Call]) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(ledger, "_write_calls", away)
    with pytest.raises(OperationalError):
        ledger.apply([samples.call(account), samples.event(samples.call(account), 0)])
    assert not CallEvent.objects.exists()


def test_a_batch_takes_few_queries(account: Account) -> None:
    parents = [samples.call(account) for _ in range(30)]
    entries: list[CallRecord | EventEntry] = [*parents, *(samples.event(parent, 0) for parent in parents)]
    with CaptureQueriesContext(connection) as queries:
        ledger.apply(entries)
    assert len(queries) < 10


@pytest.mark.parametrize(
    ("address", "user"),
    [
        ("sip:alice@10.0.0.1", "alice"),
        ("sips:bob@host:5061", "bob"),
        ("sip:10.0.0.1", ""),
        ("+49301234", "+49301234"),
        ("tel:+49301234", "+49301234"),
        ("100@host", "100"),
        ("", ""),
    ],
)
def test_the_user_part_of_an_address(address: str, user: str) -> None:
    assert ledger.user_part(address) == user


def test_open_calls_are_those_that_died_with_their_engine(account: Account) -> None:
    alive = samples.call(account, status="in-progress", end_time=None, duration=None)
    elsewhere = samples.call(account, status="ringing", engine="e2", end_time=None)
    ledger.apply([alive, samples.call(account), elsewhere])
    assert ledger.open_calls("e1") == [alive]


def test_a_record_read_back_is_the_record_written(account: Account) -> None:
    full = samples.call(
        account,
        status="in-progress",
        parent_sid=new_sid("CA"),
        ring_time=samples.START + 1.5,
        sip_call_id="abc",
        ended_by="caller",
        reason="why",
        error_code=11200,
        domain_sid=new_sid("SD"),
        sip_username="trunk",
        source_ip="203.0.113.7",
        region="us1",
        route_id=1,
        group_id=2,
    )
    ledger.apply([full])
    assert ledger.open_calls("e1") == [full]


def test_a_queued_call_is_not_an_open_call_of_an_engine(account: Account) -> None:
    queue_call(account, "sip:alice@127.0.0.1", "100", url="http://example.com/")
    assert ledger.open_calls("") == []


def test_open_recordings_are_those_that_were_growing(account: Account) -> None:
    of = samples.call(account)
    growing = samples.recording(of, status="in-progress")
    ledger.apply([of, growing, samples.recording(of)])
    assert ledger.open_recordings("e1") == [growing]
    assert ledger.open_recordings("e2") == []


def test_claims_of_a_dead_engine_are_released(account: Account) -> None:
    waiting = queue_call(account, "sip:alice@127.0.0.1", "100", url="http://example.com/")
    started = queue_call(account, "sip:bob@127.0.0.1", "100", url="http://example.com/")
    assert len(claim("e1", ["us1"], 10)) == 2
    Call.objects.filter(pk=started.pk).update(status="ringing", engine="e1")
    assert ledger.release_claims("e1") == 1
    assert [call.sid for call in claim("e2", ["us1"], 10)] == [waiting.sid]
    assert CallRequest.objects.get(pk=started.pk).claimed_by == "e1"


def test_event_numbers_go_on_where_they_ended(account: Account) -> None:
    of = samples.call(account)
    assert ledger.next_event_number(of.sid) == 0
    ledger.apply([samples.event(of, 0), samples.event(of, 1)])
    assert ledger.next_event_number(of.sid) == 2


def test_a_record_of_a_call_keeps_its_callback(account: Account) -> None:
    spec = CallbackSpec("http://app/cb", "POST", ("completed",))
    record = samples.call(account, status="ringing", end_time=None, callback=spec, callbacks_sent=2)
    ledger.apply([record])
    (found,) = ledger.open_calls("e1")
    assert (found.callback, found.callbacks_sent) == (spec, 2)


def test_a_recording_keeps_whom_to_tell_and_whether_to_trim(account: Account) -> None:
    spec = CallbackSpec("http://app/cb", "GET", ("in-progress", "completed"))
    call = samples.call(account)
    growing = samples.recording(call, status="in-progress", trim=True, callback=spec, conference_sid=new_sid("CF"))
    ledger.apply([call, growing])
    assert ledger.open_recordings("e1") == [growing]

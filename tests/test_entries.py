"""What goes through the journal: every entry comes out as it went in."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from calls.entries import (
    KINDS,
    CallbackSpec,
    CallRecord,
    CheckDone,
    CommandDone,
    ConferenceEntry,
    DeliveryEntry,
    Entry,
    EventEntry,
    MemberEntry,
    NoteEntry,
    ParticipantEntry,
    QualityEntry,
    QueueEntry,
    RecordingEntry,
    from_json,
    to_json,
)

CALL = CallRecord("CA1", "AC1", "inbound", "ringing", "sip:a@h", "sip:b@h", 1_700_000_000.25)
ENTRIES: dict[str, Entry] = {
    "call": CALL,
    "event": EventEntry("CA1", 3, 1_700_000_001.5, "ringing", {"code": 180, "headers": [["X-A", "ü"]]}),
    "recording": RecordingEntry("RE1", "AC1", "CA1", "DialVerb", 2, "both", 1.0, "processing", ("/a.wav", "/b.wav")),
    "delivery": DeliveryEntry(
        "WD1", "WD1", "AC1", "CA1", "status", "completed", "http://h/", "POST", (("CallSid", "CA1"), ("To", "ü")), 3.0
    ),
    "conference": ConferenceEntry(
        "CF1", "AC1", "Straße", "completed", "e1", "us1", 1.0, 2.0, "last-participant-left", "CA1"
    ),
    "participant": ParticipantEntry("CF1", "CA1", "AC1", "anna", True, False, False, "", True, False, 1.0, 2.0, 3.0),
    "queue": QueueEntry("QU1", "AC1", "support", 5, 1.0),
    "member": MemberEntry("QU1", "CA1", "AC1", "e1", 1.5, waiting=False),
    "command": CommandDone(7, 4.0, True, "The call was ended."),
    "called back": replace(CALL, callback=CallbackSpec("http://h/", "GET", ("completed",)), callbacks_sent=2),
    "quality": QualityEntry("CA1", 5.0, True, "PCMU", 100, 101, 2, 0.5, 3.25, None, None, 12.5),
    "check": CheckDone(3, 6.0, 200, "OK", "Phone 1.0", 0.012),
    "note": NoteEntry("NO1", "AC1", "CA1", 2.0, 11200, "error", "no answer", "http://h/", "POST", 500, "oops"),
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_an_entry_comes_back_from_json_as_it_was(kind: str) -> None:
    assert from_json(json.loads(json.dumps(to_json(ENTRIES[kind])))) == ENTRIES[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_json_names_the_kind(kind: str) -> None:
    assert to_json(ENTRIES[kind])["kind"] == kind


def test_keys_of_a_newer_version_are_ignored() -> None:
    assert from_json({**to_json(CALL), "mood": "good"}) == CALL


def test_keys_that_an_older_version_did_not_write_have_their_defaults() -> None:
    data = to_json(CALL)
    del data["region"], data["answer_time"]
    assert from_json(data) == CALL


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        from_json({"kind": "poem"})


def test_a_record_is_changed_in_place_and_written_whole() -> None:
    record = from_json(to_json(CALL))
    assert isinstance(record, CallRecord)
    record.status = "completed"
    assert to_json(record) == {**to_json(CALL), "status": "completed"}

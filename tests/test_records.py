"""A leg's record and a call's log while the call lives: times follow from statuses, and all goes to the journal."""

from __future__ import annotations

import logging

import pytest

from calls.entries import CallRecord, Entry, EventEntry, NoteEntry, RecordingEntry
from calls.status import IllegalTransition, Status
from routing.sid import is_sid
from sipengine.records import BODY_KEPT, CallLog, Leg

CA, AC, T0 = "CA" + "0" * 32, "AC" + "0" * 32, 1_800_000_000.0


def record(status: str = "ringing", sid: str = CA) -> CallRecord:
    return CallRecord(sid, AC, "inbound", status, "sip:carol@phone", "sip:100@pbx", T0)


class Log(CallLog):
    """A call's log, and what it wrote."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        super().__init__(self.entries.append, record())

    @property
    def last(self) -> Entry:
        return self.entries[-1]


class TestLeg:
    def test_the_first_ringing_is_when_it_rang(self) -> None:
        leg = Leg(record("initiated"))
        assert leg.move(Status.RINGING, T0 + 1)
        assert (leg.status, leg.record.ring_time) == (Status.RINGING, T0 + 1)

    def test_a_time_that_is_known_is_kept(self) -> None:
        leg = Leg(record("initiated"))
        leg.record.ring_time = T0
        leg.move(Status.RINGING, T0 + 1)
        assert leg.record.ring_time == T0

    def test_an_answer_has_its_time(self) -> None:
        leg = Leg(record())
        assert not leg.answered
        leg.move(Status.IN_PROGRESS, T0 + 4)
        assert leg.answered
        assert leg.record.answer_time == T0 + 4

    @pytest.mark.parametrize(("talked", "duration"), [(0.0, 0), (0.4, 0), (0.6, 1), (49.2, 49), (-5.0, 0)])
    def test_an_answered_leg_lasted_whole_seconds_from_answer_to_end(self, talked: float, duration: int) -> None:
        # Less than none: the machine's clock was set back meanwhile.
        leg = Leg(record())
        leg.move(Status.IN_PROGRESS, T0 + 4)
        leg.move(Status.COMPLETED, T0 + 4 + talked)
        assert (leg.record.end_time, leg.record.duration) == (T0 + 4 + talked, duration)
        assert leg.ended

    @pytest.mark.parametrize("status", [Status.BUSY, Status.FAILED, Status.NO_ANSWER, Status.CANCELED])
    def test_an_unanswered_leg_lasted_no_time(self, status: Status) -> None:
        leg = Leg(record())
        assert not leg.ended
        leg.move(status, T0 + 30)
        assert (leg.record.end_time, leg.record.duration) == (T0 + 30, 0)
        assert leg.ended

    def test_a_status_that_it_has_already_changes_nothing(self) -> None:
        leg = Leg(record())
        leg.move(Status.IN_PROGRESS, T0 + 4)
        assert not leg.move(Status.IN_PROGRESS, T0 + 5)
        assert leg.record.answer_time == T0 + 4

    def test_an_end_is_final(self) -> None:
        leg = Leg(record())
        leg.move(Status.CANCELED, T0 + 4)
        with pytest.raises(IllegalTransition):
            leg.move(Status.IN_PROGRESS, T0 + 5)
        assert (leg.status, leg.record.answer_time) == (Status.CANCELED, None)


class TestEvents:
    def test_they_are_numbered_from_0_and_belong_to_the_call(self) -> None:
        log = Log()
        for name in ("invite", "dial", "ended"):
            log.event(name, T0)
        assert [(entry.call_sid, entry.number) for entry in log.entries if isinstance(entry, EventEntry)] == [
            (CA, 0),
            (CA, 1),
            (CA, 2),
        ]

    def test_they_carry_what_is_told(self) -> None:
        log = Log()
        log.event("leg.ended", T0 + 1.5, leg="CA1", code=486)
        assert log.last == EventEntry(CA, 0, T0 + 1.5, "leg.ended", {"leg": "CA1", "code": 486})

    def test_without_a_time_they_happened_now(self) -> None:
        log = Log()
        log.event("dial")
        assert isinstance(log.last, EventEntry) and log.last.time > 1_700_000_000


class TestNotes:
    def test_they_carry_code_and_level_of_the_catalogue(self) -> None:
        log = Log()
        log.note(11200, "HTTP 500", url="http://app/", method="POST", status=500, body="oops")
        note = log.last
        assert isinstance(note, NoteEntry)
        assert is_sid(note.sid, "NO")
        assert (note.account_sid, note.call_sid, note.code, note.level) == (AC, CA, 11200, "error")
        assert (note.message, note.url, note.method) == ("HTTP 500", "http://app/", "POST")
        assert (note.response_status, note.response_body) == (500, "oops")

    def test_a_doubtful_thing_is_a_warning(self) -> None:
        log = Log()
        log.note(12200, "unknown verb")
        assert isinstance(log.last, NoteEntry) and log.last.level == "warning"

    def test_a_code_that_nobody_knows_is_noted_too(self) -> None:
        log = Log()
        log.note(99999, "?")
        assert isinstance(log.last, NoteEntry) and log.last.code == 99999

    def test_they_may_be_about_a_leg(self) -> None:
        log = Log()
        log.note(13254, "host not found", call_sid="CA1")
        assert isinstance(log.last, NoteEntry) and log.last.call_sid == "CA1"

    def test_a_long_answer_is_cut(self) -> None:
        log = Log()
        log.note(11200, "HTTP 500", body="x" * 10_000)
        assert isinstance(log.last, NoteEntry) and len(log.last.response_body) == BODY_KEPT


class TestSaving:
    def test_the_record_goes_to_the_journal(self) -> None:
        log, leg = Log(), Leg(record())
        log.save(leg)
        assert log.entries == [leg.record]

    def test_any_other_entry_does_too(self) -> None:
        entry = RecordingEntry("RE1", AC, CA, "DialVerb", 1, "both", T0, "in-progress", ())
        log = Log()
        log.entry(entry)
        assert log.entries == [entry]

    def test_one_line_tells_call_leg_and_status(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        Log().save(Leg(record()))
        assert caplog.messages == [f"call={CA} leg={CA} status=ringing sip=0 to=sip:100@pbx "]

    def test_of_a_dialled_leg_only_answer_and_end_are_told(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        log, leg = Log(), Leg(record("initiated", "CA" + "1" * 32))
        for status in (Status.RINGING, Status.IN_PROGRESS, Status.COMPLETED):
            leg.move(status, T0)
            log.save(leg)
        assert [line.split("status=")[1].split()[0] for line in caplog.messages] == ["in-progress", "completed"]

    def test_a_status_is_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        log, leg = Log(), Leg(record())
        log.save(leg)
        leg.record.group_id = 5
        log.save(leg)
        assert len(log.entries) == 2
        assert len(caplog.messages) == 1

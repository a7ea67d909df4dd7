"""The engine dies in the middle of calls, or is told to stop: every call ends in the log, and no sound that was written
is lost (issue 2: "Journal, not waiting"; design, "Three rules that carry the rest")."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.databases import Database
from tests.sip.harness import Engine, Lab, TwimlServer, finish, statuses
from tests.sip.sipp import Peers, until
from tests.sip.steps import (
    ANSWERS,
    RINGS,
    TALKS,
    ack,
    answer_bye,
    bye,
    cue,
    invite,
    progress,
    recv,
    refused,
    refuses,
    respond,
    ringing,
)

ANSWERS_FOR_EVER = (recv("INVITE"), respond(180), respond(200, sdp=True), recv("ACK"), *answer_bye())
WAITS = (invite(), *ringing(), recv(200))
STAYS = (invite(), *progress(), recv(200), ack(), *answer_bye())


@dataclass
class Aftermath:
    """What is left when an engine was killed in the middle of three calls and started again."""

    engine: Engine
    placed: str
    sizes: dict[str, int]  # of the raw parts when the engine died, by file name

    def calls(self) -> list[dict[str, Any]]:
        return self.engine.rows("SELECT * FROM calls_call WHERE sid<>? ORDER BY start_time", self.placed)


def parts(engine: Engine) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in (engine.folder / "recordings").glob("*.part.wav")}


@pytest.fixture(scope="module")
def aftermath(server: TwimlServer, database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """One call rings, two talk and are recorded, one is queued and claimed; kill -9; start again."""
    folder = tmp_path_factory.mktemp("crash")
    peers, engine = Peers(folder), Engine(folder / "engine", server, database)
    try:
        engine.start()
        labs = [Lab(engine, server, peers, f"crash-{name}") for name in ("rings", "talks-1", "talks-2")]
        phones = [labs[0].phone(*RINGS), *(lab.phone(*ANSWERS_FOR_EVER) for lab in labs[1:])]
        labs[0].dial(phones[0], answerOnBridge="true")
        for lab, phone in zip(labs[1:], phones[1:], strict=True):
            lab.dial(phone, record="record-from-answer-dual")
        labs[0].call(*WAITS)
        for lab in labs[1:]:
            lab.call(*STAYS)
        until(lambda: phones[0].received("INVITE"))
        until(lambda: len(parts(engine)) == 4 and min(parts(engine).values()) > 16_000, what="a second of recording")
        engine.kill()
        sizes = parts(engine)
        late = peers.phone(*refuses(486))
        placed = engine.manage("place_call", late.uri, "--say", "Hello").split()[0]
        engine.sql("UPDATE calls_callrequest SET claimed_by='tests'")
        engine.start()
        yield Aftermath(engine, placed, sizes)
        engine.stop()
    finally:
        peers.end()


def ended(calls: list[dict[str, Any]]) -> bool:
    """Say whether all six calls of the killed engine are in the log, and over."""
    return len(calls) == 6 and all(call["end_time"] for call in calls)


class TestKilledEngine:
    def test_every_call_and_leg_has_ended_with_a_reason(self, aftermath: Aftermath) -> None:
        until(lambda: ended(aftermath.calls()), what="the end of all calls")
        calls = aftermath.calls()
        assert len(calls) == 6
        assert all("The engine stopped without warning" in call["reason"] for call in calls)
        assert {call["ended_by"] for call in calls} == {"engine"}

    def test_who_was_talking_completed_and_who_was_ringing_failed(self, aftermath: Aftermath) -> None:
        until(lambda: ended(aftermath.calls()), what="the end of all calls")
        found = {(call["status"], call["answer_time"] is not None) for call in aftermath.calls()}
        assert found == {("completed", True), ("failed", False)}

    def test_the_timeline_has_exactly_one_end_of_each_leg(self, aftermath: Aftermath) -> None:
        until(lambda: ended(aftermath.calls()), what="the end of all calls")
        calls = aftermath.calls()
        for parent in (call for call in calls if call["parent_id"] is None):
            legs = [call["sid"] for call in calls if parent["sid"] in (call["sid"], call["parent_id"])]
            assert aftermath.engine.ends(parent["sid"]) == sorted(legs)

    def test_its_recordings_can_be_played_up_to_the_last_buffer(self, aftermath: Aftermath) -> None:
        engine = aftermath.engine
        sql = "SELECT * FROM calls_recording"
        until(lambda: {row["status"] for row in engine.rows(sql)} == {"processing"}, what="the recordings' end")
        sids = [row["sid"] for row in engine.rows(sql)]
        engine.shell(f"from calls.tasks import finish_recording\nfor sid in {sids!r}: finish_recording(sid)")
        rows = engine.rows(sql)
        assert [row["status"] for row in rows] == ["completed"] * 2
        for row in rows:
            written = max(size for name, size in aftermath.sizes.items() if row["sid"] in name)
            file = soundfile.info(engine.folder / "recordings" / row["file"])
            assert (file.channels, file.samplerate) == (2, 8000)
            assert file.frames >= (written - 44) // 2
            assert row["duration"] == pytest.approx(file.duration, abs=0.01)

    def test_what_it_had_claimed_and_not_placed_is_placed(self, aftermath: Aftermath) -> None:
        sql = "SELECT status FROM calls_call WHERE sid=? AND end_time IS NOT NULL"
        assert until(lambda: aftermath.engine.rows(sql, aftermath.placed))[0]["status"] == "busy"

    def test_new_calls_are_taken(self, aftermath: Aftermath, server: TwimlServer, peers: Peers, number: str) -> None:
        lab = Lab(aftermath.engine, server, peers, number)
        phone = lab.phone(*ANSWERS)
        lab.dial(phone)
        finish(lab.call(*TALKS), phone)
        assert statuses(lab.log()) == [("completed", 200)]


@pytest.fixture
def own(server: TwimlServer, database: Database, tmp_path: Path) -> Iterator[Engine]:
    """An engine that a test may stop; it lets calls go on for a minute when asked politely."""
    with Engine(tmp_path / "engine", server, database, DRAIN_SECONDS="60") as made:
        yield made


class TestStoppedEngine:
    """SIGINT ends at once, SIGTERM lets the calls in progress end first."""

    def test_sigint_hangs_up_every_leg_and_writes_their_ends(
        self, own: Engine, server: TwimlServer, peers: Peers
    ) -> None:
        rings, talks = Lab(own, server, peers, "stop-rings"), Lab(own, server, peers, "stop-talks")
        phones = [rings.phone(*RINGS), talks.phone(*ANSWERS)]
        rings.dial(phones[0], answerOnBridge="true")
        talks.dial(phones[1], record="record-from-answer")
        callers = [rings.call(*refused(480)), talks.call(*STAYS)]
        until(lambda: phones[0].received("INVITE") and phones[1].received("ACK"))
        own.stop(signal.SIGINT)
        finish(*callers, *phones)
        first, second = rings.log(), talks.log()
        assert (first["status"], statuses(first)) == ("canceled", [("canceled", 487)])
        assert (second["status"], statuses(second)) == ("completed", [("completed", 200)])
        assert {first["reason"], second["reason"]} == {"The engine was stopped."}
        assert own.recordings(second["sid"])[0]["status"] == "processing"

    def test_sigterm_lets_a_call_end_by_itself_and_takes_no_new_ones(
        self, own: Engine, server: TwimlServer, peers: Peers
    ) -> None:
        lab = Lab(own, server, peers, "drained")
        phone = lab.phone(*ANSWERS)
        lab.dial(phone)
        caller = lab.call(invite(), *progress(), recv(200), ack(), cue(), *bye())
        until(lambda: phone.received("ACK"))
        own.signal(signal.SIGTERM)
        until(lambda: b"draining" in own.log.read_bytes())
        finish(peers.caller(own.address, "drained-late", *refused(503)))
        finish(caller, phone)
        own.wait()
        assert lab.log()["ended_by"] == "caller"


class TestJournalWriter:
    """The process that writes the journal into the database may die as well, and never outlives its engine."""

    def test_one_that_was_killed_is_started_again_and_nothing_is_lost(
        self, own: Engine, server: TwimlServer, peers: Peers, number: str
    ) -> None:
        lab = Lab(own, server, peers, number)
        os.kill(until(lambda: _child(own.pid, "journal_writer")), signal.SIGKILL)
        phone = lab.phone(*ANSWERS)
        lab.dial(phone)
        finish(lab.call(*TALKS), phone)
        assert statuses(lab.log()) == [("completed", 200)]

    def test_one_that_was_still_starting_when_its_engine_died_ends(self, own: Engine) -> None:
        """It would keep the next engine's writer out."""
        writer = until(lambda: _child(own.pid, "journal_writer"))
        os.kill(writer, signal.SIGSTOP)
        own.kill()
        os.kill(writer, signal.SIGCONT)
        try:
            until(lambda: not _runs(writer, "journal_writer"), what="the end of the writer")
        finally:
            if _runs(writer, "journal_writer"):
                os.kill(writer, signal.SIGKILL)


def _child(parent: int, word: str) -> int:
    """Return the number of a child process whose command line holds a word, 0 if there is none."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status, command = (entry / "status").read_text(), (entry / "cmdline").read_text()
            except OSError:
                continue
            if f"PPid:\t{parent}\n" in status and word in command:
                return int(entry.name)
    return 0


def _runs(process: int, word: str) -> bool:
    """Say whether a process is there and its command line holds a word."""
    try:
        return word in Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return False

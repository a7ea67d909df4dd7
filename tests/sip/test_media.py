"""What both sides hear and what is recorded, measured: real softphones play tones and write down what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sipengine.measure import dominant_frequency, level_dbfs
from tests.sip.harness import Engine, Lab, TwimlServer, finish
from tests.sip.softphones import Softphone, Softphones
from tests.sip.sound import loudest, seconds_of_sound, tone, tone_dbfs
from tests.sip.steps import (
    ANSWERS,
    GIVES_UP,
    LISTENS,
    TALKS,
    ack,
    answer_cancel,
    bye,
    cancel,
    cue,
    invite,
    pause,
    recv,
    respond,
    ringing,
)

CALLER, CALLEE = 400, 1000  # Hz: what the two sides of a call play
HEARD, SILENT = -30, -50  # dB: a tone that is there, and one that is not


def call(lab: Lab, softphones: Softphones, *options: str) -> Softphone:
    return softphones.caller(f"sip:{lab.number}@{lab.engine.address}", *options)


class TestEarlyMedia:
    """Conformance §1.2: what a phone sends before it answers reaches a caller who has not been answered."""

    def test_183_with_sdp_is_passed_on_as_183_with_sdp(self, lab: Lab) -> None:
        phone = lab.phone(recv("INVITE"), respond(183, sdp=True), *answer_cancel())
        lab.dial(phone, answerOnBridge="true")
        caller = lab.call(invite(), recv(100, optional=True), recv(180), recv(183), pause(200), *cancel())
        finish(caller, phone)
        assert "m=audio" in caller.received("SIP/2.0 183")[0]
        assert "leg.early-media" in lab.engine.timeline(lab.log()["sid"])

    def test_180_without_sdp_gives_no_early_media(self, lab: Lab) -> None:
        phone = lab.phone(recv("INVITE"), respond(180), *answer_cancel())
        lab.dial(phone, answerOnBridge="true")
        caller = lab.call(*GIVES_UP)
        finish(caller, phone)
        assert caller.received("SIP/2.0 183") == []

    def test_its_tone_is_heard_before_the_answer(self, lab: Lab, softphones: Softphones) -> None:
        phone = softphones.phone("--early-media", "--tone", str(CALLEE))
        lab.dial(phone.uri, answerOnBridge="true")
        caller = call(lab, softphones)
        caller.listen(1.0)
        caller.stop()
        assert caller.told("answered") == []
        assert dominant_frequency(caller.heard) == pytest.approx(CALLEE, abs=5)


class TestRingTone:
    """Conformance §1.2: `ringTone`, or our own for a caller who has been answered."""

    def test_an_answered_caller_hears_440_and_480_hertz_while_a_phone_rings(
        self, lab: Lab, softphones: Softphones
    ) -> None:
        phone = lab.phone(recv("INVITE"), respond(180), *answer_cancel())
        lab.dial(phone)
        caller = call(lab, softphones, "--hangup", "1.5")
        caller.wait("exit")
        finish(phone)
        assert loudest(caller.heard, 440) > HEARD
        assert loudest(caller.heard, 480) > HEARD

    def test_the_tone_of_a_country_is_early_media_for_a_caller_who_waits(
        self, lab: Lab, softphones: Softphones
    ) -> None:
        phone = lab.phone(recv("INVITE"), respond(180), *answer_cancel())
        lab.dial(phone, answerOnBridge="true", ringTone="uk")
        caller = call(lab, softphones)
        caller.listen(2.0)
        caller.stop()
        finish(phone)
        assert loudest(caller.heard, 400) > HEARD
        assert loudest(caller.heard, 450) > HEARD


class TestPrompts:
    """`<Say>` and `<Play>` answer the call and are heard."""

    def test_play_is_heard_at_its_own_frequency(self, lab: Lab, softphones: Softphones) -> None:
        lab.server.serve("/tone.wav", tone(750, 1.0, 16_000), kind="audio/wav")
        lab.twiml("<Play>/tone.wav</Play>")
        caller = call(lab, softphones)
        caller.wait("exit")
        assert dominant_frequency(caller.heard) == pytest.approx(750, abs=5)

    def test_play_is_repeated_as_often_as_it_says(self, lab: Lab, softphones: Softphones) -> None:
        lab.server.serve("/short.wav", tone(750, 0.5), kind="audio/wav")
        lab.twiml('<Play loop="3">/short.wav</Play>')
        caller = call(lab, softphones)
        caller.wait("exit")
        assert seconds_of_sound(caller.heard) == pytest.approx(1.5, abs=0.3)

    def test_say_is_heard(self, lab: Lab, softphones: Softphones) -> None:
        lab.twiml("<Say>Good morning. Please hold the line.</Say>")
        caller = call(lab, softphones)
        caller.wait("exit")
        assert level_dbfs(caller.heard) > -35

    def test_a_prompt_that_cannot_be_fetched_is_noted_and_the_next_verb_runs(self, lab: Lab) -> None:
        lab.twiml("<Play>/no-such.wav</Play><Redirect>/after-the-prompt</Redirect>")
        lab.server.serve("/after-the-prompt", b"<Response/>")
        finish(lab.call(*LISTENS))
        sid = lab.log()["sid"]
        assert lab.engine.notes(sid) == [11200]
        assert lab.server.requests("/after-the-prompt", CallSid=sid)


@dataclass
class Recorded:
    """A finished recording: its row and its file."""

    row: dict[str, Any]
    path: Path


def recorded(engine: Engine, *sids: str) -> list[Recorded]:
    """Let the worker finish the recordings of these calls."""
    rows = [engine.recordings(sid)[0] for sid in sids]
    return finished(engine, *(row["sid"] for row in rows))


def finished(engine: Engine, *names: str) -> list[Recorded]:
    """Let the worker finish these recordings."""
    engine.shell(f"from calls.tasks import finish_recording\nfor sid in {names!r}: finish_recording(sid)")
    found = [engine.rows("SELECT * FROM calls_recording WHERE sid=?", name)[0] for name in names]
    return [Recorded(row, engine.folder / "recordings" / row["file"]) for row in found]


RING, TALK = 1.0, 1.5  # seconds: each recorded call rings and talks so long
VALUES = ("record-from-answer", "record-from-ringing", "record-from-answer-dual", "record-from-ringing-dual")


@pytest.fixture(scope="module")
def recordings(
    engine: Engine, server: TwimlServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Recorded]]:
    """A call with two tones for each way to record, all at once; what became of each."""
    phones = Softphones(tmp_path_factory.mktemp("recorded"))
    try:
        callee = phones.phone("--answer", str(RING), "--hangup", str(TALK), "--tone", str(CALLEE))
        callers = []
        for value in VALUES:
            server.number(value, f'<Dial record="{value}" answerOnBridge="true"><Sip>{callee.uri}</Sip></Dial>')
            callers.append(phones.caller(f"sip:{value}@{engine.address}", "--tone", str(CALLER)))
        for caller in callers:
            caller.wait("exit")
    finally:
        phones.end()
    calls = [engine.call(value)["sid"] for value in VALUES]
    yield dict(zip(VALUES, recorded(engine, *calls), strict=True))


class TestRecording:
    """Conformance §1.2 `record`: the parent is always the first channel, the child the second."""

    @pytest.mark.parametrize("value", ["record-from-answer-dual", "record-from-ringing-dual"])
    def test_dual_has_the_caller_left_and_the_callee_right(self, recordings: dict[str, Recorded], value: str) -> None:
        file = recordings[value].path
        assert recordings[value].row["channels"] == 2
        assert dominant_frequency(file, 0) == pytest.approx(CALLER, abs=5)
        assert dominant_frequency(file, 1) == pytest.approx(CALLEE, abs=5)

    @pytest.mark.parametrize("value", ["record-from-answer-dual", "record-from-ringing-dual"])
    def test_dual_keeps_the_other_side_out_of_each_channel(self, recordings: dict[str, Recorded], value: str) -> None:
        file = recordings[value].path
        assert tone_dbfs(file, CALLEE, 0) < SILENT
        assert tone_dbfs(file, CALLER, 1) < SILENT

    @pytest.mark.parametrize("value", ["record-from-answer", "record-from-ringing"])
    def test_single_has_both_in_one_channel(self, recordings: dict[str, Recorded], value: str) -> None:
        file = recordings[value].path
        assert recordings[value].row["channels"] == 1
        assert loudest(file, CALLER) > HEARD
        assert loudest(file, CALLEE) > HEARD

    @pytest.mark.parametrize("value", ["record-from-answer", "record-from-answer-dual"])
    def test_from_answer_is_as_long_as_the_conversation(self, recordings: dict[str, Recorded], value: str) -> None:
        ringing_too = recordings[value.replace("answer", "ringing")].row["duration"]
        assert TALK - 0.4 < recordings[value].row["duration"] < ringing_too - RING / 2

    @pytest.mark.parametrize("value", ["record-from-ringing", "record-from-ringing-dual"])
    def test_from_ringing_holds_the_ringing_too(self, recordings: dict[str, Recorded], value: str) -> None:
        assert recordings[value].row["duration"] > RING + TALK - 0.4

    def test_its_row_says_that_it_is_complete(self, recordings: dict[str, Recorded]) -> None:
        assert {found.row["status"] for found in recordings.values()} == {"completed"}
        assert {found.row["source"] for found in recordings.values()} == {"DialVerb"}

    def test_do_not_record_records_nothing(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone, record="do-not-record")
        finish(lab.call(*TALKS), phone)
        assert lab.engine.recordings(lab.log()["sid"]) == []

    def test_a_caller_who_gives_up_leaves_what_was_recorded_of_the_ringing(self, lab: Lab) -> None:
        phone = lab.phone(recv("INVITE"), respond(180), *answer_cancel())
        lab.dial(phone, record="record-from-ringing")
        finish(lab.call(invite(), *ringing(), recv(200), ack(), cue(), pause(800), *bye()), phone)
        sid = lab.log()["sid"]
        assert recorded(lab.engine, sid)[0].row["duration"] > 0.4


class TestBridge:
    """Both sides hear each other, over one codec or two."""

    def test_each_side_hears_the_others_tone(self, lab: Lab, softphones: Softphones) -> None:
        phone = softphones.phone("--answer", "0", "--hangup", "1.5", "--tone", str(CALLEE))
        lab.dial(phone.uri)
        caller = call(lab, softphones, "--tone", str(CALLER))
        caller.wait("exit")
        phone.stop()
        assert dominant_frequency(caller.heard) == pytest.approx(CALLEE, abs=5)
        assert dominant_frequency(phone.heard) == pytest.approx(CALLER, abs=5)

    def test_sides_with_different_codecs_hear_each_other(self, lab: Lab, softphones: Softphones) -> None:
        phone = softphones.phone("--answer", "0", "--hangup", "1.5", "--tone", str(CALLEE), "--codecs", "opus")
        lab.dial(phone.uri)
        caller = call(lab, softphones, "--tone", str(CALLER), "--codecs", "PCMA")
        caller.wait("exit")
        phone.stop()
        assert dominant_frequency(caller.heard) == pytest.approx(CALLEE, abs=5)
        assert dominant_frequency(phone.heard) == pytest.approx(CALLER, abs=5)

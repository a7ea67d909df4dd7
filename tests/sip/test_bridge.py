"""The bridge of the SIP adapter: who hears whom, over which codecs, measured in tones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipengine.ports import PlayDone, RecordClosed
from tests.sip.harness import Lab
from tests.sip.sipp import until
from tests.sip.softphones import Softphone, Softphones
from tests.sip.sound import loudest, tone, tone_dbfs
from tests.sip.switch import Switch
from tests.sip.test_media import finished

TONES = (400, 700, 1000)  # Hz: one each
HEARD, SILENT = -30, -50  # dB


@pytest.fixture(scope="module")
def exchange() -> Iterator[Switch]:
    """A phone with every codec."""
    made = Switch(codecs=("PCMU", "PCMA", "G722", "opus"))
    yield made
    made.stop()


def heard(*phones: Softphone) -> list[set[int]]:
    """Return the tones that each phone has heard throughout the last second, as they are joined now."""
    until_then = [phone.seconds + 1.5 for phone in phones]
    for phone, seconds in zip(phones, until_then, strict=True):
        phone.listen(seconds)
    return [{hertz for hertz in (*TONES, 1300) if tone_dbfs(phone.heard, hertz, last=1.0) > HEARD} for phone in phones]


def three(exchange: Switch, softphones: Softphones) -> tuple[list[Softphone], list[int]]:
    """Return three phones in calls, each with its tone, and their legs."""
    phones = softphones.phones(*(("--answer", "0", "--tone", str(hertz)) for hertz in TONES))
    return phones, [exchange.call(phone.uri) for phone in phones]


class TestCodecs:
    @pytest.mark.parametrize(
        ("one", "other"),
        [*itertools.combinations(("PCMU", "PCMA", "G722", "opus"), 2), ("opus", "opus"), ("G722", "G722")],
    )
    def test_two_codecs_hear_each_other(self, exchange: Switch, softphones: Softphones, one: str, other: str) -> None:
        phones = softphones.phones(
            *(
                ("--answer", "0", "--tone", str(hertz), "--codecs", codec)
                for hertz, codec in ((400, one), (1000, other))
            )
        )
        legs = [exchange.call(phone.uri) for phone in phones]
        exchange.do("bridge", *legs)
        assert heard(*phones) == [{1000}, {400}]
        for leg in legs:
            exchange.do("hangup", leg)


class TestThree:
    """A conference is every pair bridged."""

    def test_each_hears_the_other_two_and_not_itself(self, exchange: Switch, softphones: Softphones) -> None:
        phones, legs = three(exchange, softphones)
        for pair in itertools.combinations(legs, 2):
            exchange.do("bridge", *pair)
        assert heard(*phones) == [{700, 1000}, {400, 1000}, {400, 700}]
        for phone, own in zip(phones, TONES, strict=True):
            assert tone_dbfs(phone.heard, own, last=1.0) < SILENT
        for leg in legs:
            exchange.do("hangup", leg)

    def test_who_leaves_is_no_longer_heard_and_the_others_stay(self, exchange: Switch, softphones: Softphones) -> None:
        phones, legs = three(exchange, softphones)
        for pair in itertools.combinations(legs, 2):
            exchange.do("bridge", *pair)
        exchange.do("unbridge", legs[1], legs[0])
        exchange.do("unbridge", legs[1], legs[2])
        assert heard(*phones) == [{1000}, set(), {400}]
        exchange.do("hangup", legs[0])
        assert heard(phones[2]) == [set()]
        exchange.do("bridge", legs[2], legs[1])
        assert heard(*phones[1:]) == [{1000}, {700}]
        for leg in legs[1:]:
            exchange.do("hangup", leg)

    def test_a_listener_hears_and_is_not_heard(self, exchange: Switch, softphones: Softphones) -> None:
        phones, legs = three(exchange, softphones)
        exchange.do("bridge", legs[0], legs[1])
        exchange.do("hear", legs[2], legs[0])
        assert heard(*phones) == [{700}, {400}, {400}]
        for leg in legs:
            exchange.do("hangup", leg)


class TestPrompt:
    def test_a_leg_can_be_taken_out_played_to_and_put_back(
        self, exchange: Switch, softphones: Softphones, tmp_path: Path
    ) -> None:
        prompt = tmp_path / "prompt.wav"
        prompt.write_bytes(tone(1300, 3.0))
        phones, legs = three(exchange, softphones)
        exchange.do("bridge", legs[0], legs[1])
        assert heard(phones[0]) == [{700}]
        exchange.do("unbridge", legs[0], legs[1])
        exchange.do("play", legs[0], prompt)
        assert heard(*phones[:2]) == [{1300}, set()]
        exchange.wait(PlayDone, legs[0])
        exchange.do("bridge", legs[0], legs[1])
        assert heard(*phones[:2]) == [{700}, {400}]
        for leg in legs:
            exchange.do("hangup", leg)


class TestRecorder:
    def test_who_was_taken_out_is_no_longer_in_the_file(
        self, exchange: Switch, softphones: Softphones, tmp_path: Path
    ) -> None:
        phones, legs = three(exchange, softphones)
        file = tmp_path / "room.wav"
        recorder = exchange.do("record", [legs[:2]], [file])
        phones[0].listen(phones[0].seconds + 1.2)
        exchange.do("record_without", recorder, 0, legs[0])
        exchange.do("record_also", recorder, 0, legs[2])
        phones[0].listen(phones[0].seconds + 1.5)
        exchange.do("stop_recording", recorder)
        exchange.wait(RecordClosed, recorder)
        assert tone_dbfs(file, TONES[0], last=1.0) < SILENT
        assert all(tone_dbfs(file, hertz, last=1.0) > HEARD for hertz in TONES[1:])
        assert loudest(file, TONES[0]) > HEARD
        for leg in legs:
            exchange.do("hangup", leg)

    def test_all_that_a_leg_says_and_hears_is_in_one_file(
        self, exchange: Switch, softphones: Softphones, tmp_path: Path
    ) -> None:
        """Whatever it is joined with meanwhile: another leg, a prompt, a third leg."""
        prompt, file = tmp_path / "prompt.wav", tmp_path / "call.wav"
        prompt.write_bytes(tone(1300, 2.0))
        phones, legs = three(exchange, softphones)
        recorder = exchange.do("record", [legs[:1]], [file])
        exchange.do("record_heard", recorder, 0, legs[0])
        for other in legs[1:]:
            exchange.do("bridge", legs[0], other)
            phones[0].listen(phones[0].seconds + 1.5)
            exchange.do("unbridge", legs[0], other)
        exchange.do("play", legs[0], prompt)
        exchange.wait(PlayDone, legs[0])
        exchange.do("stop_recording", recorder)
        exchange.wait(RecordClosed, recorder)
        assert all(loudest(file, hertz) > HEARD for hertz in (*TONES, 1300))
        assert tone_dbfs(file, 700, last=1.0) < SILENT
        for leg in legs:
            exchange.do("hangup", leg)


class TestThroughTheEngine:
    """`<Dial>` between codecs (the defaults offer all of them)."""

    @pytest.mark.parametrize(("one", "other"), [("opus", "PCMU"), ("G722", "PCMA"), ("opus", "G722")])
    def test_a_dial_joins_two_codecs(self, lab: Lab, softphones: Softphones, one: str, other: str) -> None:
        phone = softphones.phone("--answer", "0", "--tone", "1000", "--codecs", other)
        lab.dial(phone.uri)
        caller = softphones.caller(lab.uri, "--tone", "400", "--codecs", one)
        caller.wait("answered")
        phone.wait("answered")
        assert heard(caller, phone) == [{1000}, {400}]
        caller.stop()


class TestConference:
    """Twilio's `<Conference>`: everybody hears everybody else."""

    def join(self, lab: Lab, softphones: Softphones, hertz: int, attributes: str = "") -> Softphone:
        """Let a caller with a tone into the conference of this test, and wait until it is in."""
        lab.twiml(f'<Dial><Conference beep="false" {attributes}>room-{lab.number}</Conference></Dial>')
        caller = softphones.caller(lab.uri, "--tone", str(hertz))
        caller.wait("answered")
        return caller

    def test_each_of_three_hears_the_other_two_and_not_itself(self, lab: Lab, softphones: Softphones) -> None:
        callers = [self.join(lab, softphones, hertz) for hertz in TONES]
        assert heard(*callers) == [{700, 1000}, {400, 1000}, {400, 700}]
        for caller, own in zip(callers, TONES, strict=True):
            assert tone_dbfs(caller.heard, own, last=1.0) < SILENT
        callers[0].stop()
        assert heard(*callers[1:]) == [{1000}, {700}]

    def test_a_muted_caller_hears_and_is_not_heard(self, lab: Lab, softphones: Softphones) -> None:
        callers = [
            self.join(lab, softphones, hertz, attributes)
            for hertz, attributes in zip(TONES, ("", "", 'muted="true"'), strict=True)
        ]
        assert heard(*callers) == [{700}, {400}, {400, 700}]

    def test_a_conference_of_three_codecs(self, lab: Lab, softphones: Softphones) -> None:
        lab.twiml(f'<Dial><Conference beep="false">room-{lab.number}</Conference></Dial>')
        callers = [
            softphones.caller(lab.uri, "--tone", str(hertz), "--codecs", codec)
            for hertz, codec in zip(TONES, ("opus", "G722", "PCMA"), strict=True)
        ]
        for caller in callers:
            caller.wait("answered")
        assert heard(*callers) == [{700, 1000}, {400, 1000}, {400, 700}]

    def test_it_is_recorded_as_one(self, lab: Lab, softphones: Softphones) -> None:
        callers = [self.join(lab, softphones, hertz, 'record="record-from-start"') for hertz in TONES]
        callers[0].listen(callers[0].seconds + 2.0)
        for caller in callers:
            caller.stop()
        lab.log()
        rows = until(
            lambda: lab.engine.rows("SELECT * FROM calls_recording WHERE conference_sid<>'' AND status<>'in-progress'"),
            what="the conference's recording",
        )
        done = finished(lab.engine, rows[-1]["sid"])[0].path
        assert all(loudest(done, hertz) > HEARD for hertz in TONES)  # not all of them throughout

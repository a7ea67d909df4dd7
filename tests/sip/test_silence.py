"""What the SIP adapter notices by itself: a far end that says nothing, and one from which no packets come."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sipengine import espeak
from sipengine.ports import Answered, Held, NoMedia, PlayDone, Quiet
from tests.sip.harness import finish
from tests.sip.rtp import Ear, press
from tests.sip.sipp import Peers
from tests.sip.softphones import Softphones
from tests.sip.steps import HOLDS, ack, answer_bye, bye, cue, invite, pause, progress, recv, reinvite
from tests.sip.switch import Switch

ANSWERED = (invite(), *progress(), recv(200), ack())
RATE = 8000


@pytest.fixture(scope="module")
def speaker() -> Iterator[Switch]:
    """A second phone, which plays files to the first."""
    made = Switch()
    yield made
    made.stop()


def noise(dbfs: float, seconds: float) -> bytes:
    """Return a WAV file of white noise of this RMS level."""
    file = io.BytesIO()
    samples = np.random.default_rng(1).normal(0, 10 ** (dbfs / 20), int(seconds * RATE))
    soundfile.write(file, samples.clip(-1, 1), RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def speech(path: Path, text: str) -> float:
    """Write a WAV file of spoken text at the level of a telephone, and return its seconds."""
    samples, rate = espeak.thread.submit(espeak.speak, text, "en").result()
    signal = samples / 32768
    signal *= 10 ** (-26 / 20) / np.sqrt(np.mean(signal**2))
    soundfile.write(path, signal.clip(-1, 1), rate)
    return float(len(samples) / rate)


class TestQuiet:
    """`watch_silence`: `<Record timeout>` and the like are built on it."""

    def test_a_far_end_that_sends_nothing_is_silent(self, switch: Switch, peers: Peers, number: str) -> None:
        caller = peers.caller(switch.address, number, *ANSWERED, *answer_bye())
        leg = switch.take(number)
        start = time.time()
        watch = switch.do("watch_silence", leg, 1.0)
        quiet = switch.wait(Quiet, leg)
        assert quiet.watch == watch
        assert quiet.time - start >= 1.0
        switch.do("hangup", leg)
        finish(caller)
        assert len(switch.find(Quiet, leg)) == 1

    def test_silence_counts_from_the_end_of_the_sound(
        self, switch: Switch, softphones: Softphones, number: str
    ) -> None:
        caller = softphones.caller(f"sip:{number}@{switch.address}", "--tone", "440", "--at", "1.5:tone:0")
        leg = switch.take(number)
        answered = switch.wait(Answered, leg).time
        switch.do("watch_silence", leg, 1.0)
        # The sound alone takes a second and a half, the silence one more; a busy machine only makes it later.
        assert switch.wait(Quiet, leg).time - answered > 2.0
        caller.stop()

    @pytest.mark.parametrize(("dbfs", "silent"), [(-60, True), (-52, True), (-41, False), (-26, False)])
    def test_the_noise_of_a_line_is_silence_and_a_low_voice_is_not(
        self, switch: Switch, speaker: Switch, tmp_path: Path, number: str, dbfs: float, silent: bool
    ) -> None:
        """ITU-T P.56: speech is at -26 dBov, a low voice 15 dB lower."""
        path = tmp_path / "noise.wav"
        path.write_bytes(noise(dbfs, 3.0))
        theirs = speaker.place(f"sip:{number}@{switch.address}")
        leg = switch.take(number)
        speaker.wait(Answered, theirs)
        speaker.do("play", theirs, path)
        switch.do("watch_silence", leg, 1.5)
        speaker.wait(PlayDone, theirs)
        assert bool(switch.find(Quiet, leg)) is silent
        speaker.do("hangup", theirs)
        switch.over(leg)

    def test_a_voice_with_its_pauses_is_no_silence(
        self, switch: Switch, speaker: Switch, tmp_path: Path, number: str
    ) -> None:
        path = tmp_path / "voice.wav"
        seconds = speech(path, "Hello, this is a message for Alice. Please, call me back. It is about the house.")
        theirs = speaker.place(f"sip:{number}@{switch.address}")
        leg = switch.take(number)
        speaker.wait(Answered, theirs)
        start = time.time()
        speaker.do("play", theirs, path)
        switch.do("watch_silence", leg, 1.5)
        assert switch.wait(Quiet, leg).time - start > seconds + 0.8
        speaker.do("hangup", theirs)
        switch.over(leg)

    def test_a_watch_that_was_stopped_says_nothing(self, switch: Switch, peers: Peers, number: str) -> None:
        caller = peers.caller(switch.address, number, *ANSWERED, *answer_bye())
        leg = switch.take(number)
        first = switch.do("watch_silence", leg, 0.3)
        switch.do("stop_watching", first)
        second = switch.do("watch_silence", leg, 0.8)
        assert switch.wait(Quiet, leg).watch == second
        switch.do("hangup", leg)
        finish(caller)

    def test_a_leg_that_ends_takes_its_watch_along(self, switch: Switch, peers: Peers, number: str) -> None:
        caller = peers.caller(switch.address, number, *ANSWERED, *bye())
        leg = switch.take(number)
        watch = switch.do("watch_silence", leg, 0.5)
        finish(caller)
        switch.over(leg)
        switch.do("stop_watching", watch)
        other = peers.caller(switch.address, number + "9", *ANSWERED, *answer_bye())
        second = switch.take(number + "9")
        switch.do("watch_silence", second, 1.0)
        switch.wait(Quiet, second)
        assert switch.find(Quiet, leg) == []
        switch.do("hangup", second)
        finish(other)


@pytest.fixture(scope="module")
def watchful() -> Iterator[Switch]:
    """A phone that misses packets after a second."""
    made = Switch(rtp_timeout=1.0)
    yield made
    made.stop()


class TestNoMedia:
    """An answered leg from which no RTP comes: the far end is gone, or a firewall is in between (Twilio's 32014)."""

    def test_it_is_told_once(self, watchful: Switch, peers: Peers, number: str) -> None:
        caller = peers.caller(watchful.address, number, *ANSWERED, cue(), *bye())
        leg = watchful.take(number)
        told = watchful.wait(NoMedia, leg)
        assert told.seconds >= 1.0
        finish(caller)
        watchful.over(leg)
        assert len(watchful.find(NoMedia, leg)) == 1

    def test_packets_make_it_begin_anew(self, watchful: Switch, peers: Peers, number: str) -> None:
        caller = peers.caller(watchful.address, number, *ANSWERED, *answer_bye())
        leg = watchful.take(number)
        watchful.wait(NoMedia, leg)
        press(caller, "1")
        watchful.wait(NoMedia, leg, count=2)
        watchful.do("hangup", leg)
        finish(caller)

    def test_a_far_end_that_talks_is_not_told(self, watchful: Switch, softphones: Softphones, number: str) -> None:
        caller = softphones.caller(f"sip:{number}@{watchful.address}", "--tone", "440", "--hangup", "2.5")
        leg = watchful.take(number)
        caller.wait("exit")
        watchful.over(leg)
        assert watchful.find(NoMedia, leg) == []

    def test_a_far_end_that_holds_us_may_be_silent(self, watchful: Switch, peers: Peers, number: str) -> None:
        caller = peers.caller(watchful.address, number, *ANSWERED, *reinvite(sdp=HOLDS), pause(2500), *bye(cseq=3))
        leg = watchful.take(number)
        finish(caller)
        watchful.over(leg)
        assert len(watchful.find(Held, leg)) == 1
        assert watchful.find(NoMedia, leg) == []

    def test_a_leg_that_rings_is_not_looked_at(
        self, watchful: Switch, peers: Peers, softphones: Softphones, number: str
    ) -> None:
        phone = softphones.phone()
        rings = watchful.place(phone.uri)
        phone.wait("invite")
        caller = peers.caller(watchful.address, number, *ANSWERED, *answer_bye())
        talks = watchful.take(number)
        watchful.wait(NoMedia, talks)
        assert watchful.find(NoMedia, rings) == []
        for leg in (rings, talks):
            watchful.do("hangup", leg)
        finish(caller)


class TestSending:
    def test_a_leg_that_hears_nothing_is_sent_silence(self, switch: Switch, peers: Peers, number: str) -> None:
        """A carrier hangs up a call without packets, and a firewall forgets where they may come from."""
        with Ear() as ear:
            caller = peers.caller(
                switch.address, number, invite(sdp=ear.sdp), *progress(), recv(200), ack(), pause(2500), *bye()
            )
            switch.take(number)
            finish(caller)
            assert len(ear.packets) > 50

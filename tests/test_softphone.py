"""The scripted phone: its options, what it tells, what it plays and hears; and the measuring of that."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
import soundfile

from sipengine.measure import dominant_frequency, level_dbfs
from sipengine.phone_process import PhoneProcess, Told
from sipengine.softphone import main, script_of, told
from sipengine.softphone import parser as softphone_parser
from tests.sip.sipp import free_port, until

ROOT = Path(__file__).resolve().parent.parent
CALLER_HZ, CALLEE_HZ = 440, 750
RATE = 8000


def write_tones(path: Path, *frequencies: int, amplitude: float = 1.0, seconds: float = 1.0) -> Path:
    """Write one channel a frequency; 0 is silence."""
    times = np.arange(int(RATE * seconds)) / RATE
    soundfile.write(path, np.stack([amplitude * np.sin(2 * np.pi * hz * times) for hz in frequencies], axis=1), RATE)
    return path


class TestMeasuring:
    def test_each_channel_has_its_own_frequency(self, tmp_path: Path) -> None:
        path = write_tones(tmp_path / "two.wav", 440, 750)
        assert [round(dominant_frequency(path, channel)) for channel in (0, 1)] == [440, 750]

    def test_a_constant_offset_is_not_taken_for_a_tone(self, tmp_path: Path) -> None:
        times = np.arange(RATE) / RATE
        soundfile.write(tmp_path / "offset.wav", 0.6 + 0.2 * np.sin(2 * np.pi * 600 * times), RATE)
        assert round(dominant_frequency(tmp_path / "offset.wav")) == 600

    def test_a_full_scale_sine_is_3_db_below_full_scale(self, tmp_path: Path) -> None:
        assert level_dbfs(write_tones(tmp_path / "full.wav", 1000)) == pytest.approx(-3.01, abs=0.01)

    def test_half_the_amplitude_is_6_db_less(self, tmp_path: Path) -> None:
        assert level_dbfs(write_tones(tmp_path / "half.wav", 1000, amplitude=0.5)) == pytest.approx(-9.03, abs=0.01)

    @pytest.mark.parametrize("seconds", [1.0, 0.0])
    def test_silence_and_an_empty_file_have_neither_frequency_nor_level(self, tmp_path: Path, seconds: float) -> None:
        path = write_tones(tmp_path / "silence.wav", 0, seconds=seconds)
        assert (dominant_frequency(path), level_dbfs(path)) == (0.0, -math.inf)

    @pytest.mark.parametrize("channel", [1, -1])
    def test_a_channel_that_is_not_there_is_named(self, tmp_path: Path, channel: int) -> None:
        path = write_tones(tmp_path / "mono.wav", 440)
        with pytest.raises(ValueError, match=f"has 1 channel.*number {channel}"):
            dominant_frequency(path, channel)

    def test_what_is_no_audio_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "text.wav").write_text("no audio at all")
        with pytest.raises(OSError, match=r"text\.wav cannot be read as audio"):
            level_dbfs(tmp_path / "text.wav")

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match=r"missing\.wav"):
            level_dbfs(tmp_path / "missing.wav")


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ([], "--port"),
            (["--port", "0"], "'0' is not a number from 1 to 65535"),
            (["--port", "70000"], "'70000' is not a number from 1 to 65535"),
            (["--port", "5071", "--answer", "soon"], "'soon' is not a number of seconds"),
            (["--port", "5071", "--hangup", "-1"], "'-1' is not a number of seconds"),
            (["--port", "5071", "--hangup", "nan"], "'nan' is not a number of seconds"),
            (["--port", "5071", "--reject", "200"], "'200' is not a number from 300 to 699"),
            (["--port", "5071", "--answer", "1", "--reject", "486"], "not allowed with"),
            (["--port", "5071", "--tone", "9000"], "'9000' is not a number from 50 to 3400"),
            (["--port", "5071", "--rtp", "40000"], "'40000' is not a range of ports"),
            (["--port", "5071", "--rtp", "40100-40000"], "'40100-40000' is not a range of ports"),
            (["--port", "5071", "--call", "sip:"], "SIP URI"),
            (["--port", "5071", "--header", "X-Color"], "'X-Color' is not a header"),
            (["--port", "5071", "--srtp", "perhaps"], "invalid choice: 'perhaps'"),
            (["--port", "5071", *["--tone", "440"] * 3], "at most two"),
            (["--port", "5071", "--at", "hold"], "'hold' is not SECONDS: and one of digits:DIGITS"),
            (["--port", "5071", "--at", "1:dance"], "'1:dance' is not SECONDS: and one of"),
            (["--port", "5071", "--at", "1:digits"], "'1:digits' is not SECONDS: and one of"),
            (["--port", "5071", "--at", "1:hold:now"], "'1:hold:now' is not SECONDS: and one of"),
            (["--port", "5071", "--at", "soon:hold"], "'soon' is not a number of seconds"),
            (["--port", "5071", "--at", "1:tone:9000"], "'9000' is not a number from 0 to 3400"),
            (["--port", "5071", "--at", "1:quiet:long"], "'long' is not a number of seconds"),
            (["--port", "5071", "--at", "1:refer:sip:"], "SIP URI"),
        ],
    )
    def test_a_wrong_option_is_named(
        self, options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit, match="2"):
            main(options)
        assert complaint in capsys.readouterr().err

    def test_headers_of_the_uri_and_of_the_options_both_go_out(self) -> None:
        options = softphone_parser().parse_args(
            ["--port", "5071", "--call", "sip:bob@127.0.0.1?x-one=1", "--header", "X-Two: 2"]
        )
        target = script_of(options).target
        assert target and target.headers == (("x-one", "1"), ("X-Two", "2"))

    def test_the_srtp_of_the_call_is_that_of_the_option_or_of_the_uri(self) -> None:
        call = ["--port", "5071", "--call", "sip:bob@127.0.0.1;secure=optional"]
        found = [script_of(softphone_parser().parse_args([*call, *more])).target for more in ([], ["--srtp", "off"])]
        assert [target.uri.srtp for target in found if target] == ["optional", "off"]


class TestHeadersTold:
    def test_transport_headers_are_left_out(self) -> None:
        headers = (("Via", "SIP/2.0/UDP 192.0.2.1"), ("X-Color", "blue"), ("P-Asserted-Identity", "<sip:a@b>"))
        assert told(headers) == {"X-Color": "blue", "P-Asserted-Identity": "<sip:a@b>"}

    def test_a_repeated_header_is_joined(self) -> None:
        assert told((("Diversion", "<sip:a@b>"), ("Diversion", "<sip:c@d>"))) == {"Diversion": "<sip:a@b>, <sip:c@d>"}


@dataclass
class Phones:
    """The phones of a test, what they told, and their recordings."""

    folder: Path
    inbox: SimpleQueue[Told] = field(default_factory=SimpleQueue)
    running: list[PhoneProcess] = field(default_factory=list)
    heard: list[Told] = field(default_factory=list)

    def start(self, name: str, *options: str) -> int:
        """Start a phone, wait until it is ready and return its port."""
        port = free_port()
        self.running.append(PhoneProcess(name, ["--port", str(port), *options], self.inbox))
        self.wait(name, "ready")
        return port

    def wait(self, name: str, event: str) -> Told:
        """Return what `name` told as this event, waiting for it if it has not happened yet."""
        found = until(lambda: self._find(name, event), what=f"{event} of {name}")
        assert found
        return found

    def _find(self, name: str, event: str) -> Told | None:
        while not self.inbox.empty():
            self.heard.append(self.inbox.get())
        return next((one for one in self.heard if (one.phone, one.event) == (name, event)), None)

    def events(self, name: str) -> list[str]:
        return [one.event for one in self.heard if one.phone == name]

    def wav(self, name: str) -> Path:
        return self.folder / f"{name}.wav"

    def sound(self, name: str, hertz: int) -> list[str]:
        """Return the options of a phone that plays a tone and records what it hears."""
        return ["--tone", str(hertz), "--record", str(self.wav(name))]

    def stop(self) -> None:
        for phone in self.running:
            phone.hang_up()
        for phone in self.running:
            phone.stop()


@pytest.fixture
def phones(tmp_path: Path) -> Iterator[Phones]:
    made = Phones(tmp_path)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phones]:
    """Two phones that have talked for a second, each with its tone."""
    phones = Phones(tmp_path_factory.mktemp("conversation"))
    port = phones.start("callee", "--answer", "0.2", "--once", *phones.sound("callee", CALLEE_HZ))
    call = ["--call", f"sip:bob@127.0.0.1:{port}", "--from", "alice", "--header", "X-Color: blue"]
    phones.start("caller", *call, "--hangup", "1", "--once", *phones.sound("caller", CALLER_HZ))
    for name in ("callee", "caller"):
        phones.wait(name, "exit")
    yield phones
    phones.stop()


@pytest.mark.sip
class TestConversation:
    def test_the_caller_tells_each_stage_in_order(self, conversation: Phones) -> None:
        assert conversation.events("caller") == ["ready", "placed", "ringing", "answered", "ended", "exit"]

    def test_the_callee_tells_each_stage_in_order(self, conversation: Phones) -> None:
        assert conversation.events("callee") == ["ready", "invite", "answered", "ended", "exit"]

    def test_it_rings_as_long_as_it_was_told(self, conversation: Phones) -> None:
        rang = conversation.wait("callee", "answered").time - conversation.wait("callee", "invite").time
        assert 0.2 <= rang < 1.0

    def test_it_hangs_up_when_it_was_told(self, conversation: Phones) -> None:
        ended = conversation.wait("caller", "ended")
        assert ended.fact("by_peer") is False
        assert 1.0 <= ended.time - conversation.wait("caller", "answered").time < 2.0

    def test_the_callee_sees_the_callers_name_and_header(self, conversation: Phones) -> None:
        headers = conversation.wait("callee", "invite").fact("headers")
        assert headers["X-Color"] == "blue"
        assert "sip:alice@" in headers["From"]

    def test_each_hears_the_tone_of_the_other(self, conversation: Phones) -> None:
        heard = {name: dominant_frequency(conversation.wav(name)) for name in ("callee", "caller")}
        assert heard == {
            "callee": pytest.approx(CALLER_HZ, abs=2),
            "caller": pytest.approx(CALLEE_HZ, abs=2),
        }

    def test_both_end_without_an_error(self, conversation: Phones) -> None:
        assert [conversation.wait(name, "exit").fact("code") for name in ("callee", "caller")] == [0, 0]


@pytest.mark.sip
class TestPhone:
    def test_it_refuses_with_the_code_that_it_was_told(self, phones: Phones) -> None:
        port = phones.start("callee", "--reject", "486")
        phones.start("caller", "--call", f"sip:bob@127.0.0.1:{port}", "--once")
        assert phones.wait("caller", "ended").fact("code") == 486

    def test_a_call_that_is_not_answered_is_exit_code_1(self, phones: Phones) -> None:
        port = phones.start("callee", "--reject", "603")
        phones.start("caller", "--call", f"sip:bob@127.0.0.1:{port}", "--once")
        assert phones.wait("caller", "exit").fact("code") == 1

    def test_early_media_is_heard_before_the_answer(self, phones: Phones) -> None:
        port = phones.start("callee", "--early-media", "--tone", str(CALLEE_HZ))
        record = phones.wav("caller")
        phones.start("caller", "--call", f"sip:bob@127.0.0.1:{port}", "--record", str(record))
        until(lambda: record.exists() and record.stat().st_size > 8000, what="a second of early media")
        phones.stop()
        assert dominant_frequency(record) == pytest.approx(CALLEE_HZ, abs=5)

    def test_it_takes_and_places_calls_over_tls(self, phones: Phones) -> None:
        tls = free_port()
        phones.start("callee", "--tls-port", str(tls), "--answer", "0")
        phones.start("caller", "--call", f"sip:bob@127.0.0.1:{tls};transport=tls")
        phones.wait("caller", "answered")

    def test_it_does_each_thing_at_its_time(self, phones: Phones) -> None:
        port = phones.start("callee", "--answer", "0", "--take-refer", "--once")
        steps = ("0.1:digits:5", "0.5:info:6", "0.8:hold", "1.2:unhold", "1.6:refer:sip:carol@127.0.0.1", "2.2:hangup")
        at = [word for step in steps for word in ("--at", step)]
        phones.start("caller", "--call", f"sip:bob@127.0.0.1:{port}", "--once", *at)
        for name in ("callee", "caller"):
            phones.wait(name, "exit")
        kinds = ["digit", "digit", "held", "unheld", "referred", "ended", "exit"]
        assert phones.events("callee")[-len(kinds) :] == kinds
        assert phones.wait("callee", "referred").fact("target") == "sip:carol@127.0.0.1"
        done = phones.wait("caller", "refer-done")
        assert (done.fact("code"), done.fact("notify_code")) == (202, 200)

    @pytest.mark.parametrize(("callee", "caller"), [("mandatory", "off"), ("off", "mandatory")])
    def test_two_who_disagree_about_srtp_do_not_talk(self, phones: Phones, callee: str, caller: str) -> None:
        port = phones.start("callee", "--answer", "0", "--srtp", callee)
        phones.start("caller", "--call", f"sip:bob@127.0.0.1:{port}", "--srtp", caller, "--once")
        assert phones.wait("caller", "ended").fact("code") == 488

    def test_sigterm_hangs_up_and_ends(self, phones: Phones) -> None:
        port = phones.start("callee", "--answer", "0")
        phones.start("caller", "--call", f"sip:bob@127.0.0.1:{port}")
        phones.wait("caller", "answered")
        assert phones.running[1].stop() == 0  # and not killed
        assert phones.wait("callee", "ended").fact("by_peer") is True

    def test_a_taken_port_is_one_clear_line_and_exit_code_2(self, phones: Phones) -> None:
        port = phones.start("first")
        command = [sys.executable, "-m", "sipengine.softphone", "--port", str(port)]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        line = f"softphone: SIP port {port}/udp on 127.0.0.1 cannot be opened (Address already in use)\n"
        assert (second.returncode, second.stdout, second.stderr) == (2, "", line)

    def test_the_second_call_has_a_recording_of_its_own(self, phones: Phones) -> None:
        port = phones.start("callee", "--answer", "0", "--record", str(phones.wav("callee")))
        for name in ("one", "two"):
            phones.start(name, "--call", f"sip:bob@127.0.0.1:{port}", "--tone", "600", "--hangup", "0.3", "--once")
            phones.wait(name, "exit")
        phones.stop()
        heard = [dominant_frequency(phones.wav(name)) for name in ("callee", "callee-2")]
        assert heard == [pytest.approx(600, abs=10)] * 2

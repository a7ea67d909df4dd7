"""The verbs that listen, with real peers: `<Gather>` by every way that digits come, and `<Record>`."""

from __future__ import annotations

import pytest

from sipengine.measure import dominant_frequency, level_dbfs
from tests.sip.harness import Lab, finish
from tests.sip.rtp import press
from tests.sip.sipp import until
from tests.sip.softphones import Softphones
from tests.sip.sound import loudest, tone, tone_dbfs
from tests.sip.steps import ack, answer_bye, info, invite, pause, progress, recv
from tests.sip.test_media import recorded

ANSWERED = (invite(), *progress(), recv(200), ack())
HEARD, SILENT = -30, -50  # dB


class TestGather:
    """Twilio's `<Gather>` page."""

    def test_digits_by_rtp_events(self, lab: Lab, softphones: Softphones) -> None:
        lab.twiml('<Gather numDigits="4" action="/gathered-rtp"/>')
        lab.server.serve("/gathered-rtp", b"<Response><Hangup/></Response>")
        caller = softphones.caller(lab.uri, "--at", "0.3:digits:12*9")
        assert lab.server.request("/gathered-rtp").form["Digits"] == "12*9"
        caller.wait("exit")

    @pytest.mark.parametrize(
        ("kind", "body"), [("application/dtmf-relay", "Signal={}\r\nDuration=160"), ("application/dtmf", "{}")]
    )
    def test_digits_by_info(self, lab: Lab, kind: str, body: str) -> None:
        path = f"/gathered-info-{lab.number}"
        lab.twiml(f'<Gather finishOnKey="#" action="{path}"/>')
        lab.server.serve(path, b"<Response><Hangup/></Response>")
        keys = [
            step
            for cseq, key in enumerate("42#", start=2)
            for step in (info(body.format(key), kind=kind, cseq=cseq), recv(200))
        ]
        finish(lab.call(*ANSWERED, pause(300), *keys, *answer_bye()))
        told = lab.server.request(path).form
        assert (told["Digits"], told["FinishedOnKey"]) == ("42", "#")

    def test_a_key_ends_the_prompt(self, lab: Lab, softphones: Softphones) -> None:
        """Barge-in."""
        lab.server.serve("/menu.wav", tone(1300, 8.0), kind="audio/wav")
        lab.server.serve("/chosen.wav", tone(700, 2.0), kind="audio/wav")
        lab.twiml('<Gather numDigits="1" action="/chosen"><Play>/menu.wav</Play></Gather>')
        lab.server.serve("/chosen", b"<Response><Play>/chosen.wav</Play></Response>")
        caller = softphones.caller(lab.uri, "--at", "1:digits:5")
        answered = caller.wait("answered").time
        assert caller.wait("ended").time - answered < 6
        caller.stop()
        assert loudest(caller.heard, 1300) > HEARD
        assert tone_dbfs(caller.heard, 700, last=1.0) > HEARD
        assert tone_dbfs(caller.heard, 1300, last=1.0) < SILENT

    def test_keys_before_the_time_is_over_are_kept(self, lab: Lab) -> None:
        """The partial number goes to the action when no key comes any more."""
        lab.twiml('<Gather timeout="1" action="/gathered-late"/>')
        lab.server.serve("/gathered-late", b"<Response><Hangup/></Response>")
        caller = lab.call(*ANSWERED, *answer_bye())
        until(lambda: caller.sent("ACK"), what="the answer")
        press(caller, "7")
        press(caller, "8")
        assert lab.server.request("/gathered-late").form["Digits"] == "78"
        finish(caller)

    def test_nothing_pressed_goes_on_with_the_next_verb(self, lab: Lab) -> None:
        lab.twiml('<Gather timeout="1" action="/never"/><Redirect>/after-the-gather</Redirect>')
        lab.server.serve("/after-the-gather", b"<Response><Hangup/></Response>")
        finish(lab.call(*ANSWERED, *answer_bye()))
        sid = lab.log()["sid"]
        assert lab.server.requests("/after-the-gather", CallSid=sid)
        assert not lab.server.requests("/never", CallSid=sid)


class TestRecord:
    """Twilio's `<Record>` page."""

    def test_the_caller_hears_a_beep_and_is_recorded_until_silence(self, lab: Lab, softphones: Softphones) -> None:
        lab.twiml('<Record timeout="2" action="/recorded"/>')
        lab.server.serve("/recorded", b"<Response><Hangup/></Response>")
        caller = softphones.caller(lab.uri, "--tone", "440", "--at", "3:tone:0")
        told = lab.server.request("/recorded").form
        caller.wait("exit")
        assert 3 <= int(told["RecordingDuration"]) <= 5
        assert level_dbfs(caller.heard) > -60  # the beep
        file = recorded(lab.engine, lab.log()["sid"])[0]
        assert file.row["source"] == "RecordVerb"
        assert dominant_frequency(file.path) == pytest.approx(440, abs=5)

    def test_without_a_beep_the_caller_hears_nothing(self, lab: Lab, softphones: Softphones) -> None:
        lab.twiml('<Record timeout="1" playBeep="false" action="/quietly"/>')
        lab.server.serve("/quietly", b"<Response><Hangup/></Response>")
        caller = softphones.caller(lab.uri, "--tone", "440", "--at", "1.5:tone:0")
        lab.server.request("/quietly")
        caller.wait("exit")
        assert level_dbfs(caller.heard) < -70

    def test_a_key_ends_it_and_is_told(self, lab: Lab, softphones: Softphones) -> None:
        lab.twiml('<Record finishOnKey="#" action="/finished"/>')
        lab.server.serve("/finished", b"<Response><Hangup/></Response>")
        caller = softphones.caller(lab.uri, "--tone", "440", "--at", "2:digits:#")
        assert lab.server.request("/finished").form["Digits"] == "#"
        caller.wait("exit")

    def test_who_hangs_up_has_left_a_message(self, lab: Lab, softphones: Softphones) -> None:
        lab.twiml('<Record action="/left"/>')
        lab.server.serve("/left", b"<Response/>")
        caller = softphones.caller(lab.uri, "--tone", "440", "--hangup", "2.5")
        caller.wait("exit")
        told = lab.server.request("/left").form
        assert (told["Digits"], told["CallStatus"]) == ("hangup", "completed")
        assert int(told["RecordingDuration"]) >= 1

    def test_a_caller_who_says_nothing_leaves_no_message(self, lab: Lab, softphones: Softphones) -> None:
        lab.twiml('<Record timeout="1" action="/said"/><Redirect>/nothing-said</Redirect>')
        lab.server.serve("/nothing-said", b"<Response><Hangup/></Response>")
        caller = softphones.caller(lab.uri)
        caller.wait("exit")
        sid = lab.log()["sid"]
        assert lab.server.requests("/nothing-said", CallSid=sid)
        assert not lab.server.requests("/said", CallSid=sid)

"""`<Sip url>` (conformance §1.3): the callee hears a document of its own before it is joined with the caller."""

from __future__ import annotations

import pytest

from sipengine.measure import dominant_frequency
from tests.sip.harness import Lab, finish, statuses
from tests.sip.rtp import press
from tests.sip.sipp import until
from tests.sip.softphones import Softphones
from tests.sip.sound import loudest, tone, tone_dbfs
from tests.sip.steps import (
    TALKS,
    ack,
    answer_bye,
    bye,
    invite,
    pause,
    recv,
    respond,
    ringing,
)

PROMPT, CALLER, CALLEE = 1300, 400, 1000  # Hz
HEARD, SILENT = -30, -50  # dB
ANSWERS = (recv("INVITE"), respond(180), respond(200, sdp=True), recv("ACK"), *answer_bye())


@pytest.fixture
def prompted(lab: Lab) -> Lab:
    """A lab whose callees are asked with a tone of a second."""
    lab.server.serve("/prompt.wav", tone(PROMPT, 1.0), kind="audio/wav")
    return lab


class TestAccepts:
    """The end of the document is consent; until then the caller goes on hearing it ring."""

    def test_the_callee_hears_the_document_and_then_the_caller(self, prompted: Lab, softphones: Softphones) -> None:
        prompted.server.serve("/screen", b"<Response><Play>/prompt.wav</Play></Response>")
        phone = softphones.phone("--answer", "0", "--tone", str(CALLEE))
        prompted.dial(phone.uri, sip='url="/screen"', answerOnBridge="true")
        caller = softphones.caller(prompted.uri, "--tone", str(CALLER))
        answered, bridged = phone.wait("answered").time, caller.wait("answered").time
        assert bridged - answered > 0.9
        caller.listen(caller.seconds + 1.5)
        phone.listen(phone.seconds + 1.5)
        assert loudest(phone.heard, PROMPT) > HEARD
        assert tone_dbfs(phone.heard, CALLER, last=1.0) > HEARD
        assert tone_dbfs(phone.heard, PROMPT, last=1.0) < SILENT
        assert tone_dbfs(caller.heard, CALLEE, last=1.0) > HEARD
        assert tone_dbfs(caller.heard, PROMPT) < SILENT

    def test_the_caller_is_not_answered_while_it_runs(self, prompted: Lab) -> None:
        prompted.server.serve("/screen-slow", b"<Response><Play>/prompt.wav</Play></Response>")
        phone = prompted.phone(*ANSWERS)
        prompted.dial(phone, sip='url="/screen-slow"', answerOnBridge="true")
        caller = prompted.call(invite(), *ringing(), recv(200), ack(), pause(300), *bye())
        finish(caller, phone)
        answered = phone.received_at("ACK")
        assert caller.received_at("SIP/2.0 200") - answered > 0.9

    def test_a_caller_who_was_answered_hears_ringing_while_it_runs(self, prompted: Lab, softphones: Softphones) -> None:
        prompted.server.serve("/screen-long", b'<Response><Play loop="3">/prompt.wav</Play></Response>')
        phone = softphones.phone("--answer", "0", "--tone", str(CALLEE))
        prompted.dial(phone.uri, sip='url="/screen-long"')
        caller = softphones.caller(prompted.uri)
        phone.wait("answered")
        caller.listen(caller.seconds + 1.2)
        assert loudest(caller.heard, 440) > HEARD
        assert tone_dbfs(caller.heard, CALLEE) < SILENT
        caller.stop()

    def test_the_request_is_for_the_callees_call(self, prompted: Lab) -> None:
        prompted.server.serve("/screen-who", b"<Response/>")
        phone = prompted.phone(*ANSWERS)
        prompted.dial(phone, sip='url="/screen-who"')
        caller = prompted.call(*TALKS)
        prompted.server.request("/screen-who")
        finish(caller, phone)
        call = prompted.log()
        told = prompted.server.request("/screen-who", CallSid=call["legs"][0]["sid"]).form
        assert told["ParentCallSid"] == call["sid"]
        assert told["CallStatus"] == "in-progress"

    def test_a_key_can_be_asked_for(self, prompted: Lab) -> None:
        """The usual "press 1 to accept"."""
        ask = b'<Response><Gather numDigits="1" action="/screen-key" timeout="5"/><Hangup/></Response>'
        prompted.server.serve("/screen-ask", ask)
        prompted.server.serve("/screen-key", b"<Response/>")
        phone = prompted.phone(*ANSWERS)
        prompted.dial(phone, sip='url="/screen-ask"', answerOnBridge="true")
        caller = prompted.call(invite(), *ringing(), recv(200), ack(), pause(300), *bye())
        until(lambda: prompted.server.requests("/screen-ask"), what="the screening document")
        until(lambda: phone.received("ACK"))
        press(phone, "1")
        finish(caller, phone)
        assert prompted.server.request("/screen-key").form["Digits"] == "1"


class TestDeclines:
    """`<Hangup>` in the document: the callee is let go, the caller never hears of it."""

    def test_hangup_declines_and_the_dial_goes_on(self, prompted: Lab) -> None:
        prompted.server.serve("/screen-no", b"<Response><Hangup/></Response>")
        first = prompted.phone(*ANSWERS)
        second = prompted.phone(*ANSWERS)
        declining = f'<Sip url="/screen-no">{first.uri}</Sip>'
        prompted.twiml(f'<Dial sequential="true" answerOnBridge="true">{declining}<Sip>{second.uri}</Sip></Dial>')
        caller = prompted.call(invite(), *ringing(), recv(200), ack(), pause(300), *bye())
        finish(caller, first, second)
        call = prompted.log()
        assert [status for status, _ in statuses(call)][1] == "completed"
        assert caller.received_at("SIP/2.0 200") > first.received_at("BYE")

    def test_a_callee_who_hangs_up_in_it_has_not_answered(self, prompted: Lab, softphones: Softphones) -> None:
        prompted.server.serve("/screen-bye", b"<Response><Play>/prompt.wav</Play></Response>")
        phone = softphones.phone("--answer", "0", "--hangup", "0.3")
        prompted.dial(phone.uri, sip='url="/screen-bye"', action="/screened")
        prompted.server.serve("/screened", b"<Response/>")
        caller = softphones.caller(prompted.uri)
        caller.wait("exit")
        assert prompted.server.request("/screened", CallSid=prompted.log()["sid"]).form["DialBridged"] == "false"

    def test_a_caller_who_hangs_up_in_it_ends_the_callee_too(self, prompted: Lab) -> None:
        prompted.server.serve("/screen-gone", b'<Response><Play loop="0">/prompt.wav</Play></Response>')
        phone = prompted.phone(*ANSWERS)
        prompted.dial(phone, sip='url="/screen-gone"')
        finish(prompted.call(*TALKS), phone)
        assert len(prompted.log()["legs"]) == 1


class TestSound:
    def test_early_media_of_a_screened_phone_is_heard(self, prompted: Lab, softphones: Softphones) -> None:
        prompted.server.serve("/screen-early", b"<Response/>")
        phone = softphones.phone("--early-media", "--tone", str(CALLEE))
        prompted.dial(phone.uri, sip='url="/screen-early"', answerOnBridge="true")
        caller = softphones.caller(prompted.uri)
        caller.listen(1.0)
        caller.stop()
        assert dominant_frequency(caller.heard) == pytest.approx(CALLEE, abs=5)

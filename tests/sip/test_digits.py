"""`<Dial hangupOnStar>` (conformance §1.2): the caller's * ends the dial, nobody else's does, and the call goes on."""

from __future__ import annotations

from tests.sip.harness import Lab, finish, statuses
from tests.sip.rtp import press
from tests.sip.sipp import until
from tests.sip.steps import (
    ANSWERS,
    RINGS,
    ack,
    answer_bye,
    bye,
    cue,
    in_dialog,
    invite,
    pause,
    progress,
    recv,
    respond,
    star,
)

ANSWERED = (invite(), *progress(), recv(200), ack())


class TestHangupOnStar:
    """Twilio's `<Dial>` page; * before the answer cancels the child (conformance §1.2, SUP)."""

    def test_star_ends_the_conversation_and_the_action_is_told_completed(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone, hangupOnStar="true", action="/starred")
        lab.server.serve("/starred", b"<Response><Hangup/></Response>")
        finish(lab.call(*ANSWERED, cue(), *star(), *answer_bye()), phone)
        call = lab.log()
        assert statuses(call) == [("completed", 200)]
        told = lab.server.request("/starred", CallSid=call["sid"]).form
        assert (told["CallStatus"], told["DialCallStatus"], told["DialBridged"]) == ("in-progress", "completed", "true")

    def test_star_while_it_rings_cancels_the_phones(self, lab: Lab) -> None:
        phones = [lab.phone(*RINGS), lab.phone(*RINGS)]
        lab.dial(*phones, hangupOnStar="true", action="/starred-early")
        lab.server.serve("/starred-early", b"<Response><Hangup/></Response>")
        finish(lab.call(*ANSWERED, cue(), *star(), *answer_bye()), *phones)
        call = lab.log()
        assert statuses(call) == [("canceled", 487)] * 2
        told = lab.server.request("/starred-early", CallSid=call["sid"]).form
        assert (told["CallStatus"], told["DialCallStatus"], told["DialBridged"]) == ("in-progress", "canceled", "false")

    def test_star_may_come_as_rtp_event(self, lab: Lab) -> None:
        """RFC 4733."""
        phone = lab.phone(*ANSWERS)
        lab.dial(phone, hangupOnStar="true")
        caller = lab.call(*ANSWERED, *answer_bye())
        until(lambda: phone.received("ACK"))
        press(caller, "*")
        finish(caller, phone)
        assert "digit" in lab.engine.timeline(lab.log()["sid"])

    def test_star_does_nothing_unless_it_is_asked_for(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone)
        finish(lab.call(*ANSWERED, cue(), *star(), pause(300), *bye(cseq=3)), phone)
        assert lab.log()["ended_by"] == "caller"

    def test_another_digit_does_nothing(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone, hangupOnStar="true")
        five = in_dialog(
            "INFO", cseq=2, headers="Content-Type: application/dtmf-relay\n", body="Signal=5\nDuration=160"
        )
        finish(lab.call(*ANSWERED, cue(), five, recv(200), pause(300), *bye(cseq=3)), phone)
        assert lab.log()["ended_by"] == "caller"

    def test_a_star_of_the_callee_does_nothing(self, lab: Lab) -> None:
        phone = lab.phone(recv("INVITE"), respond(200, sdp=True), recv("ACK"), *answer_bye())
        lab.dial(phone, hangupOnStar="true")
        caller = lab.call(*ANSWERED, cue(), pause(300), *bye())
        until(lambda: phone.received("ACK"))
        press(phone, "*")
        finish(caller, phone)
        assert lab.log()["ended_by"] == "caller"

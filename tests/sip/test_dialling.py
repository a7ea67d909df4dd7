"""One caller and real phones over SIP: who rings, who wins, and how each leg ends."""

from __future__ import annotations

import pytest

from tests.sip.harness import Lab, finish, statuses
from tests.sip.sipp import until
from tests.sip.steps import (
    ANSWERS,
    GIVES_UP,
    HANGS_UP,
    LISTENS,
    RINGS,
    TALKS,
    answer_bye,
    cue,
    pause,
    recv,
    refused,
    refuses,
    respond,
    respond_to_cancel,
    respond_to_invite,
)


class TestOneEndpoint:
    """Conformance §1.4 and §1.5: what became of the one phone that rang."""

    def test_it_answers_and_both_talk(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone)
        finish(lab.call(*TALKS), phone)
        call = lab.log()
        assert (call["status"], call["sip_code"], call["ended_by"]) == ("completed", 200, "caller")
        assert statuses(call) == [("completed", 200)]

    @pytest.mark.parametrize(
        ("code", "status", "told"),
        [
            (486, "busy", 486),
            (600, "busy", 486),
            (603, "busy", 486),
            (404, "failed", 404),
            (480, "failed", 480),
            (503, "failed", 503),
        ],
    )
    def test_its_refusal_is_the_status_of_the_leg_and_reaches_the_caller(
        self, lab: Lab, code: int, status: str, told: int
    ) -> None:
        phone = lab.phone(*refuses(code))
        lab.dial(phone, answerOnBridge="true")
        finish(lab.call(*refused(told)), phone)
        call = lab.log()
        assert statuses(call) == [(status, code)]
        assert call["sip_code"] == told

    def test_it_rings_until_the_timeout_and_the_caller_hears_480(self, lab: Lab) -> None:
        phone = lab.phone(*RINGS)
        lab.dial(phone, timeout=5, answerOnBridge="true")
        finish(lab.call(*refused(480)), phone)
        call = lab.log()
        assert statuses(call) == [("no-answer", 487)]
        assert phone.received_at("CANCEL") - phone.received_at("INVITE") > 4.5

    def test_it_may_answer_without_ringing(self, lab: Lab) -> None:
        phone = lab.phone(recv("INVITE"), respond(200, sdp=True), recv("ACK"), *answer_bye())
        lab.dial(phone)
        finish(lab.call(*TALKS), phone)
        leg = lab.log()["legs"][0]
        assert (leg["status"], leg["ring_time"]) == ("completed", None)


class TestParallel:
    """Conformance §1.4: the first to answer wins, the others get a CANCEL and end as canceled."""

    def test_of_three_the_first_to_answer_wins_and_the_others_are_canceled(self, lab: Lab) -> None:
        first, second, winner = lab.phone(*RINGS), lab.phone(*RINGS), lab.phone(*ANSWERS)
        lab.dial(first, second, winner, answerOnBridge="true")
        finish(lab.call(*TALKS), first, second, winner)
        assert statuses(lab.log()) == [("canceled", 487), ("canceled", 487), ("completed", 200)]
        assert "Call completed elsewhere" in first.received("CANCEL")[0]

    def test_of_two_winners_the_later_gets_ack_and_bye_and_stays_canceled(self, lab: Lab) -> None:
        """RFC 3261 §15: its 200 crosses our CANCEL."""
        late = lab.phone(
            recv("INVITE"), respond(180), recv("CANCEL"), respond_to_cancel(), respond_to_invite(200, sdp=True),
            recv("ACK"), *answer_bye(),
        )  # fmt: skip
        winner, loser = lab.phone(*ANSWERS), lab.phone(*RINGS)
        lab.dial(late, winner, loser, answerOnBridge="true")
        finish(lab.call(*TALKS), late, winner, loser)
        call = lab.log()
        assert [leg["status"] for leg in call["legs"]] == ["canceled", "completed", "canceled"]
        assert call["legs"][0]["answer_time"] is None

    def test_two_that_answer_at_once_leave_one_conversation(self, lab: Lab) -> None:
        answers = (recv("INVITE"), respond(200, sdp=True), recv("CANCEL", optional=True), recv("ACK"), *answer_bye())
        phones = [lab.phone(*answers), lab.phone(*answers)]
        lab.dial(*phones)
        finish(lab.call(*TALKS), *phones)
        call = lab.log()
        assert sorted(leg["status"] for leg in call["legs"]) == ["canceled", "completed"]
        assert call["status"] == "completed"

    def test_when_nobody_wins_one_who_rang_out_outweighs_the_refusals(self, lab: Lab) -> None:
        """Conformance §1.4, 8: no-answer before busy before failed, whoever reports last."""
        silent, busy, gone = lab.phone(*RINGS), lab.phone(*refuses(486)), lab.phone(*refuses(404))
        lab.dial(busy, silent, gone, timeout=5, answerOnBridge="true", action="/nobody")
        lab.server.serve("/nobody", b"<Response/>")
        finish(lab.call(*refused(480)), silent, busy, gone)
        call = lab.log()
        assert statuses(call) == [("busy", 486), ("no-answer", 487), ("failed", 404)]
        told = lab.server.request("/nobody", CallSid=call["sid"]).form
        assert (told["DialCallStatus"], told["DialCallSid"]) == ("no-answer", call["legs"][1]["sid"])

    def test_when_all_refuse_it_ends_at_once(self, lab: Lab) -> None:
        gone, busy = lab.phone(*refuses(404)), lab.phone(*refuses(486))
        lab.dial(gone, busy, answerOnBridge="true")
        caller = lab.call(*refused(486))
        finish(caller, gone, busy)
        assert caller.received_at("SIP/2.0 486") - caller.sent_at("INVITE") < 20  # and not after the time-out of 30

    def test_ten_ring_together_and_one_wins(self, lab: Lab) -> None:
        losers, winner = lab.phone(*RINGS, calls=9), lab.phone(*ANSWERS)
        lab.dial(*[losers] * 9, winner, answerOnBridge="true")
        finish(lab.call(*TALKS), losers, winner)
        call = lab.log()
        assert statuses(call) == [("canceled", 487)] * 9 + [("completed", 200)]
        assert lab.engine.ends(call["sid"]) == sorted([call["sid"], *(leg["sid"] for leg in call["legs"])])

    def test_eleven_are_refused_and_the_action_is_told_failed(self, lab: Lab) -> None:
        lab.dial(*["sip:phone@127.0.0.1:9"] * 11, answerOnBridge="true", action="/eleven")
        lab.server.serve("/eleven", b'<Response><Reject reason="busy"/></Response>')
        finish(lab.call(*refused(486)))
        call = lab.log()
        assert lab.engine.notes(call["sid"]) == [13250]
        assert call["legs"] == []
        assert lab.server.request("/eleven", CallSid=call["sid"]).form["DialCallStatus"] == "failed"


class TestSequential:
    """Conformance §1.4: in document order, the next one only after the final answer of the one before."""

    def test_it_goes_on_over_a_rejection_and_a_timeout_to_the_one_who_answers(self, lab: Lab) -> None:
        busy, silent, winner = lab.phone(*refuses(486)), lab.phone(*RINGS), lab.phone(*ANSWERS)
        lab.dial(busy, silent, winner, sequential="true", timeout=5, answerOnBridge="true")
        finish(lab.call(*TALKS), busy, silent, winner)
        call = lab.log()
        assert statuses(call) == [("busy", 486), ("no-answer", 487), ("completed", 200)]
        steps = [name for name in lab.engine.timeline(call["sid"]) if name in ("leg.placed", "leg.ended", "bridged")]
        assert steps == ["leg.placed", "leg.ended"] * 2 + ["leg.placed", "bridged", "leg.ended"]

    def test_whoever_comes_after_the_one_who_answers_is_never_called(self, lab: Lab) -> None:
        winner = lab.phone(*ANSWERS)
        lab.dial(winner, "sip:phone@127.0.0.1:9", sequential="true")
        finish(lab.call(*TALKS), winner)
        assert statuses(lab.log()) == [("completed", 200)]

    def test_the_last_result_is_that_of_the_dial(self, lab: Lab) -> None:
        busy, gone = lab.phone(*refuses(486)), lab.phone(*refuses(404))
        lab.dial(busy, gone, sequential="true", answerOnBridge="true")
        finish(lab.call(*refused(404)), busy, gone)
        assert statuses(lab.log()) == [("busy", 486), ("failed", 404)]


class TestHowItEnds:
    """Conformance §1.4 and §1.6: whoever ends the call, every leg ends once and the log says who it was."""

    def test_a_caller_who_gives_up_cancels_every_phone(self, lab: Lab) -> None:
        phones = [lab.phone(*RINGS), lab.phone(*RINGS)]
        lab.dial(*phones, answerOnBridge="true")
        finish(lab.call(*GIVES_UP), *phones)
        call = lab.log()
        assert (call["status"], call["sip_code"], call["ended_by"]) == ("canceled", 487, "caller")
        assert statuses(call) == [("canceled", 487)] * 2

    def test_a_caller_who_gives_up_in_a_hunt_stops_it(self, lab: Lab) -> None:
        phone = lab.phone(*RINGS)
        lab.dial(phone, "sip:phone@127.0.0.1:9", sequential="true", answerOnBridge="true")
        finish(lab.call(*GIVES_UP), phone)
        assert statuses(lab.log()) == [("canceled", 487)]

    def test_a_caller_who_was_answered_and_leaves_cancels_the_phone_that_rings(self, lab: Lab) -> None:
        phone = lab.phone(*RINGS)
        lab.dial(phone)
        finish(lab.call(*TALKS), phone)
        call = lab.log()
        assert (call["status"], call["ended_by"]) == ("completed", "caller")
        assert statuses(call) == [("canceled", 487)]

    def test_a_callee_who_hangs_up_ends_the_caller_too(self, lab: Lab) -> None:
        phone = lab.phone(*HANGS_UP)
        lab.dial(phone)
        finish(lab.call(*LISTENS), phone)
        call = lab.log()
        assert (call["status"], call["ended_by"]) == ("completed", "engine")
        assert [(leg["status"], leg["ended_by"]) for leg in call["legs"]] == [("completed", "callee")]

    def test_a_caller_who_hangs_up_ends_the_callee_too(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone)
        finish(lab.call(*TALKS), phone)
        assert lab.log()["legs"][0]["ended_by"] == "caller"

    def test_the_time_limit_ends_the_conversation_and_the_document_goes_on(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone, timeLimit=1, after="<Redirect>/after-the-limit</Redirect>")
        lab.server.serve("/after-the-limit", b"<Response><Hangup/></Response>")
        finish(lab.call(*LISTENS), phone)
        call = lab.log()
        assert phone.received_at("BYE") - phone.received_at("ACK") > 0.6
        assert lab.engine.notes(call["sid"]) == [32015]
        assert lab.server.requests("/after-the-limit", CallSid=call["sid"])


class TestAnswerOnBridge:
    """Conformance §1.2: with answerOnBridge the caller is answered by the callee, without by the `<Dial>`."""

    def test_true_leaves_the_caller_ringing_until_a_phone_answers(self, lab: Lab) -> None:
        phone = lab.phone(recv("INVITE"), respond(180), pause(300), respond(200, sdp=True), recv("ACK"), *answer_bye())
        lab.dial(phone, answerOnBridge="true")
        caller = lab.call(*TALKS)
        finish(caller, phone)
        assert phone.sent_at("SIP/2.0 200") <= caller.received_at("SIP/2.0 200")

    def test_false_answers_the_caller_before_any_phone_does(self, lab: Lab) -> None:
        phone = lab.phone(recv("INVITE"), respond(180), cue(), respond(200, sdp=True), recv("ACK"), *answer_bye())
        lab.dial(phone)
        caller = lab.call(*TALKS)
        until(lambda: caller.sent("ACK"), what="the caller's answer")
        phone.cue()
        finish(caller, phone)

    def test_a_caller_whom_nobody_answered_may_be_rejected_by_the_next_verb(self, lab: Lab) -> None:
        phone = lab.phone(*refuses(404))
        lab.dial(phone, answerOnBridge="true", after='<Reject reason="busy"/>')
        finish(lab.call(*refused(486)), phone)
        assert lab.log()["status"] == "busy"

    def test_a_caller_whom_nobody_answered_may_be_connected_by_the_next_dial(self, lab: Lab) -> None:
        busy, second = lab.phone(*refuses(486)), lab.phone(*ANSWERS)
        lab.dial(busy, answerOnBridge="true", after=f"<Dial><Sip>{second.uri}</Sip></Dial>")
        finish(lab.call(*TALKS), busy, second)
        assert statuses(lab.log()) == [("busy", 486), ("completed", 200)]

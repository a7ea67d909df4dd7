"""The Reason header (RFC 3326) on the CANCEL of phones whose call somebody else has taken."""

from __future__ import annotations

from tests.sip.harness import Lab, finish
from tests.sip.sipp import Peers, header, until
from tests.sip.steps import (
    ANSWERS,
    GIVES_UP,
    RINGS,
    TALKS,
    answer_bye,
    answer_cancel,
    pause,
    recv,
    respond,
    respond_to_cancel,
    respond_to_invite,
)
from tests.sip.switch import Switch

TAKES = (respond(200, sdp=True), recv("ACK"), *answer_bye())
LATE = (respond_to_invite(200, sdp=True), recv("ACK"), *answer_bye())
ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'


class TestAdapter:
    def test_a_cancel_carries_it(self, switch: Switch, peers: Peers) -> None:
        phone = peers.phone(recv("INVITE"), respond(180), *answer_cancel())
        leg = switch.place(phone.uri)
        until(lambda: phone.log("sent"), what="180")
        switch.do("hangup", leg, (("Reason", ELSEWHERE),))
        finish(phone)
        assert header(phone.received("CANCEL")[0], "Reason") == ELSEWHERE
        assert switch.over(leg).code == 487

    def test_the_bye_after_a_late_answer_carries_it(self, switch: Switch, peers: Peers) -> None:
        phone = peers.phone(recv("INVITE"), respond(200, sdp=True), recv("ACK"), *answer_bye())
        leg = switch.call(phone.uri)
        switch.do("hangup", leg, (("Reason", ELSEWHERE),))
        finish(phone)
        assert header(phone.received("BYE")[0], "Reason") == ELSEWHERE


class TestDial:
    """RFC 3326 §2: a phone that stops ringing because another took the call shows no missed call."""

    def test_the_losers_of_a_parallel_dial_are_told(self, lab: Lab) -> None:
        loser, winner = lab.phone(*RINGS), lab.phone(recv("INVITE"), respond(180), pause(500), *TAKES)
        lab.dial(loser, winner, answerOnBridge="true")
        finish(lab.call(*TALKS), loser, winner)
        assert header(loser.received("CANCEL")[0], "Reason") == ELSEWHERE

    def test_a_loser_who_answered_too_is_told_with_the_bye(self, lab: Lab) -> None:
        winner = lab.phone(recv("INVITE"), respond(180), pause(300), *TAKES)
        late = lab.phone(recv("INVITE"), respond(180), recv("CANCEL"), respond_to_cancel(), *LATE)
        lab.dial(winner, late, answerOnBridge="true")
        finish(lab.call(*TALKS), winner, late)
        assert header(late.received("CANCEL")[0], "Reason") == ELSEWHERE

    def test_a_caller_who_gives_up_is_another_matter(self, lab: Lab) -> None:
        phone = lab.phone(*RINGS)
        lab.dial(phone, answerOnBridge="true")
        finish(lab.call(*GIVES_UP), phone)
        assert "Reason" not in phone.received("CANCEL")[0]

    def test_one_of_a_hunt_who_rang_out_is_not_told_either(self, lab: Lab) -> None:
        first, second = lab.phone(*RINGS), lab.phone(*ANSWERS)
        lab.dial(first, second, sequential="true", timeout=5, answerOnBridge="true")
        finish(lab.call(*TALKS), first, second)
        assert "Reason" not in first.received("CANCEL")[0]

"""DTMF both ways at the SIP adapter: RFC 4733 events, SIP INFO, and tones for those who know neither."""

from __future__ import annotations

import pytest

from sipengine.ports import Digit
from tests.sip.harness import Lab, finish
from tests.sip.rtp import Ear, press
from tests.sip.sipp import Peers, until
from tests.sip.softphones import Softphone, Softphones
from tests.sip.steps import ack, answer_bye, bye, cue, info, invite, progress, recv
from tests.sip.switch import Switch

ANSWERED = (invite(), *progress(), recv(200), ack())


def digits(switch: Switch, leg: int) -> str:
    return "".join(event.digit for event in switch.find(Digit, leg))


def pressed(phone: Softphone) -> str:
    """Return the keys that a phone has heard."""
    return "".join(told.fact("digit") for told in phone.told("digit"))


class TestReceived:
    def test_an_rtp_event_is_one_digit(self, switch: Switch, peers: Peers, number: str) -> None:
        """RFC 4733: ten packets, of which the last three say the same."""
        caller = peers.caller(switch.address, number, *ANSWERED, *answer_bye())
        leg = switch.take(number)
        press(caller, "5")
        switch.wait(Digit, leg)
        switch.do("hangup", leg)
        finish(caller)
        assert digits(switch, leg) == "5"

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("application/dtmf-relay", "Signal=7\r\nDuration=160"),
            ("application/dtmf-relay", "Signal= 7\nDuration= 250"),
            ("application/dtmf", "7"),
            ("application/dtmf", "7\r\n"),
        ],
    )
    def test_info_is_one_digit(self, switch: Switch, peers: Peers, number: str, kind: str, body: str) -> None:
        caller = peers.caller(switch.address, number, *ANSWERED, info(body, kind=kind), recv(200), *bye(cseq=3))
        leg = switch.take(number)
        finish(caller)
        switch.over(leg)
        assert digits(switch, leg) == "7"

    @pytest.mark.parametrize("body", ["77", "a digit, please"])
    def test_a_body_that_is_no_digit_is_refused(self, switch: Switch, peers: Peers, number: str, body: str) -> None:
        steps = (info(body, kind="application/dtmf"), recv(400), *bye(cseq=3))
        caller = peers.caller(switch.address, number, *ANSWERED, *steps)
        leg = switch.take(number)
        finish(caller)
        assert digits(switch, leg) == ""

    def test_what_no_key_has_is_ignored(self, switch: Switch, peers: Peers, number: str) -> None:
        """A hook flash comes as `!` or `R`."""
        steps = (info("!", kind="application/dtmf"), recv(200), *bye(cseq=3))
        caller = peers.caller(switch.address, number, *ANSWERED, *steps)
        leg = switch.take(number)
        finish(caller)
        assert digits(switch, leg) == ""


class TestSent:
    def test_digits_arrive_in_order(self, switch: Switch, softphones: Softphones) -> None:
        """More than the library takes at once."""
        phone = softphones.phone("--answer", "0")
        leg = switch.call(phone.uri)
        switch.do("send_digits", leg, "0123456789")
        switch.do("send_digits", leg, "*#aABCD21")
        until(lambda: len(phone.told("digit")) == 19, "19 digits")
        assert "".join(told.fact("digit") for told in phone.told("digit")) == "0123456789*#AABCD21"
        switch.do("hangup", leg)

    def test_digits_before_the_answer_wait_for_the_sound(self, switch: Switch, softphones: Softphones) -> None:
        phone = softphones.phone("--answer", "0.3")
        leg = switch.place(phone.uri)
        switch.do("send_digits", leg, "42")
        until(lambda: len(phone.told("digit")) == 2, what="two digits")
        assert "".join(told.fact("digit") for told in phone.told("digit")) == "42"
        switch.do("hangup", leg)

    def test_a_far_end_without_telephone_event_hears_tones(self, switch: Switch, peers: Peers, number: str) -> None:
        """Digit 5 is 770 and 1336 Hz (ITU-T Q.23)."""
        with Ear() as ear:
            caller = peers.caller(
                switch.address, number, invite(sdp=ear.sdp), *progress(), recv(200), ack(), *answer_bye()
            )
            leg = switch.take(number)
            switch.do("send_digits", leg, "555")
            until(lambda: len(ear.packets) > 45, what="0.9 s of sound")
            switch.do("hangup", leg)
            finish(caller)
        assert ear.level(770) > -30
        assert ear.level(1336) > -30
        assert ear.level(1209) < -50


class TestOverTheBridge:
    """RFC 4733 events end at our legs, so the keys of one side are pressed anew for the other."""

    def test_each_side_hears_the_keys_of_the_other(self, lab: Lab, softphones: Softphones) -> None:
        phone = softphones.phone("--answer", "0", "--at", "1:digits:34")
        lab.dial(phone.uri, answerOnBridge="true")
        caller = softphones.caller(lab.uri, "--at", "1:digits:12")
        until(lambda: (pressed(phone), pressed(caller)) == ("12", "34"), what="the keys of either side")
        caller.stop()

    def test_by_info_too(self, lab: Lab, softphones: Softphones) -> None:
        phone = softphones.phone("--answer", "0")
        lab.dial(phone.uri)
        keys = [step for cseq, key in ((2, "8"), (3, "#")) for step in (info(f"Signal={key}", cseq=cseq), recv(200))]
        caller = lab.call(*ANSWERED, cue(), *keys, cue(), *bye(cseq=4))
        phone.wait("answered")
        caller.cue()
        until(lambda: pressed(phone) == "8#", what="both keys")
        finish(caller)

    def test_the_star_that_ends_the_dial_is_not_passed_on(self, lab: Lab, softphones: Softphones) -> None:
        phone = softphones.phone("--answer", "0")
        lab.dial(phone.uri, hangupOnStar="true", answerOnBridge="true")
        caller = softphones.caller(lab.uri, "--at", "0.5:digits:1", "--at", "1.2:digits:*")
        caller.wait("exit")
        phone.wait("ended")
        assert pressed(phone) == "1"

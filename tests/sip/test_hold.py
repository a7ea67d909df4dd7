"""Hold (RFC 3264 §8.4) both ways: told once a change, no echo of our own, and sound and recordings whole afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from sipengine.ports import Held
from tests.sip.harness import Lab, finish
from tests.sip.sipp import Peers, Sipp, until
from tests.sip.softphones import Softphones
from tests.sip.sound import tone_dbfs
from tests.sip.steps import (
    HOLDS,
    SDP,
    TAKES_BACK,
    ack,
    answer_bye,
    bye,
    cue,
    invite,
    pause,
    progress,
    recv,
    reinvite,
    respond,
)
from tests.sip.switch import Switch
from tests.sip.test_media import recorded

ANSWERED = (invite(), *progress(), recv(200), ack())
RINGS_AND_ANSWERS = (recv("INVITE"), respond(180), respond(200, sdp=True), recv("ACK"))
CALLER, CALLEE = 400, 1000  # Hz
HEARD, SILENT = -30, -50  # dB


def answer_reinvite(direction: str) -> tuple[str, ...]:
    """Take an offer of the other side with this direction of our own."""
    answer = respond(200, sdp=SDP.replace("sendrecv", direction)).replace(";tag=[pid]B[call_number]", "")
    return (recv("INVITE"), answer, recv("ACK"))


def directions(peer: Sipp) -> list[str]:
    """Return the direction of each offer that came in after the first."""
    return [
        next(line[2:] for line in message.splitlines() if line in ("a=sendonly", "a=inactive", "a=sendrecv"))
        for message in peer.received("INVITE")
    ]


def acknowledged(phone: Sipp, count: int) -> None:
    """Wait until a phone's answers have been acknowledged so often."""
    until(lambda: len(phone.received("ACK")) >= count, what=f"ACK {count} of the phone")


def held(switch: Switch, leg: int) -> list[bool]:
    return [event.held for event in switch.find(Held, leg)]


class TestHeldByTheFarEnd:
    """Told once each change, however it is said."""

    def test_sendonly_is_hold_and_sendrecv_takes_back(self, switch: Switch, peers: Peers, number: str) -> None:
        steps = (*reinvite(sdp=HOLDS), pause(200), *reinvite(cseq=3, sdp=TAKES_BACK), pause(200), *bye(cseq=4))
        caller = peers.caller(switch.address, number, *ANSWERED, *steps)
        leg = switch.take(number)
        finish(caller)
        switch.over(leg)
        assert held(switch, leg) == [True, False]

    @pytest.mark.parametrize(
        "sdp",
        [
            HOLDS.replace("sendonly", "inactive"),
            HOLDS.replace("sendonly", "sendrecv").replace("[local_ip]\nt", "0.0.0.0\nt"),
        ],
    )
    def test_inactive_and_the_old_zero_address_are_hold_too(
        self, switch: Switch, peers: Peers, number: str, sdp: str
    ) -> None:
        """RFC 2543's way is still what some phones send."""
        caller = peers.caller(switch.address, number, *ANSWERED, *reinvite(sdp=sdp), pause(200), *bye(cseq=3))
        leg = switch.take(number)
        finish(caller)
        switch.over(leg)
        assert held(switch, leg) == [True]

    def test_the_same_offer_again_is_no_change(self, switch: Switch, peers: Peers, number: str) -> None:
        """A session refresh (RFC 4028) repeats the offer."""
        again = (*reinvite(sdp=HOLDS), pause(100), *reinvite(cseq=3, sdp=HOLDS), pause(100), *bye(cseq=4))
        caller = peers.caller(switch.address, number, *ANSWERED, *again)
        leg = switch.take(number)
        finish(caller)
        switch.over(leg)
        assert held(switch, leg) == [True]

    def test_a_refresh_of_a_call_that_talks_is_no_hold(self, switch: Switch, peers: Peers, number: str) -> None:
        caller = peers.caller(switch.address, number, *ANSWERED, *reinvite(), pause(200), *bye(cseq=3))
        leg = switch.take(number)
        finish(caller)
        switch.over(leg)
        assert held(switch, leg) == []


class TestWeHold:
    def test_hold_and_back_are_a_reinvite_each(self, switch: Switch, peers: Peers, number: str) -> None:
        caller = peers.caller(
            switch.address, number, *ANSWERED, *answer_reinvite("recvonly"), *answer_reinvite("sendrecv"), *answer_bye()
        )
        leg = switch.take(number)
        switch.do("hold", leg, True)
        until(lambda: len(caller.received("ACK")) == 1, what="the hold's ACK")
        switch.do("hold", leg, False)
        until(lambda: len(caller.received("ACK")) == 2, what="the ACK of taking back")
        switch.do("hangup", leg)
        finish(caller)
        assert directions(caller) == ["sendonly", "sendrecv"]

    @pytest.mark.parametrize("answer", ["recvonly", "inactive"])
    def test_our_own_hold_is_not_told_as_theirs(self, switch: Switch, peers: Peers, number: str, answer: str) -> None:
        caller = peers.caller(
            switch.address, number, *ANSWERED, *answer_reinvite(answer), *answer_reinvite("sendrecv"), *answer_bye()
        )
        leg = switch.take(number)
        switch.do("hold", leg, True)
        until(lambda: len(caller.received("ACK")) == 1)
        switch.do("hold", leg, False)
        until(lambda: len(caller.received("ACK")) == 2)
        switch.do("hangup", leg)
        finish(caller)
        switch.over(leg)
        assert held(switch, leg) == []

    def test_what_is_asked_twice_is_sent_once(self, switch: Switch, peers: Peers, number: str) -> None:
        caller = peers.caller(switch.address, number, *ANSWERED, *answer_reinvite("recvonly"), *answer_bye())
        leg = switch.take(number)
        switch.do("hold", leg, True)
        switch.do("hold", leg, True)
        until(lambda: len(caller.received("ACK")) == 1)
        switch.do("hold", leg, True)
        switch.do("hangup", leg)
        finish(caller)

    def test_a_far_end_that_holds_while_we_do_is_told(self, switch: Switch, peers: Peers, number: str) -> None:
        caller = peers.caller(
            switch.address, number, *ANSWERED, *answer_reinvite("recvonly"), pause(100), *reinvite(sdp=HOLDS),
            pause(100), *reinvite(cseq=3, sdp=TAKES_BACK), pause(200), *bye(cseq=4),
        )  # fmt: skip
        leg = switch.take(number)
        switch.do("hold", leg, True)
        finish(caller)
        switch.over(leg)
        assert held(switch, leg) == [True, False]

    def test_a_refused_hold_leaves_the_call_as_it_was(self, switch: Switch, peers: Peers, number: str) -> None:
        refused = respond(488).replace(";tag=[pid]B[call_number]", "")
        caller = peers.caller(
            switch.address,
            number,
            *ANSWERED,
            recv("INVITE"),
            refused,
            recv("ACK"),
            *answer_reinvite("recvonly"),
            *answer_bye(),
        )
        leg = switch.take(number)
        switch.do("hold", leg, True)
        until(lambda: len(caller.received("ACK")) == 1)
        until(lambda: switch.do("hold", leg, True) or len(caller.received("ACK")) == 2, what="the second try")
        switch.do("hangup", leg)
        finish(caller)

    def test_glare_is_tried_again(self, switch: Switch, peers: Peers, number: str) -> None:
        """RFC 3261 §14.1: 491 Request Pending, again after 2.1 to 4 seconds."""
        pending = respond(491).replace(";tag=[pid]B[call_number]", "")
        caller = peers.caller(
            switch.address,
            number,
            *ANSWERED,
            recv("INVITE"),
            pending,
            recv("ACK"),
            *answer_reinvite("recvonly"),
            *answer_bye(),
        )
        leg = switch.take(number)
        switch.do("hold", leg, True)
        until(lambda: len(caller.received("ACK")) == 2, what="the second try")
        switch.do("hangup", leg)
        finish(caller)
        first, second = (when for when, message in caller.log("received") if message.startswith("INVITE"))
        assert second - first >= 2.0

    def test_hold_before_the_answer_waits_for_it(self, switch: Switch, peers: Peers, number: str) -> None:
        caller = peers.caller(switch.address, number, *ANSWERED, *answer_reinvite("recvonly"), *answer_bye())
        leg = switch.invited(number).leg
        switch.do("hold", leg, True)
        switch.do("answer", leg)
        until(lambda: len(caller.received("ACK")) == 1)
        switch.do("hangup", leg)
        finish(caller)


class TestSound:
    """A re-INVITE gives a leg a new port on the bridge: what was connected is connected again."""

    def test_both_hear_each_other_again_and_the_recording_stays_in_step(
        self, switch: Switch, softphones: Softphones, number: str, tmp_path: Path
    ) -> None:
        caller = softphones.caller(
            f"sip:{number}@{switch.address}", "--tone", str(CALLER), "--at", "1:hold", "--at", "2:unhold"
        )
        phone = softphones.phone("--answer", "0", "--tone", str(CALLEE))
        one = switch.take(number)
        two = switch.call(phone.uri)
        switch.do("bridge", one, two)
        files = [tmp_path / "one.wav", tmp_path / "two.wav"]
        recorder = switch.do("record", [[one], [two]], files)
        switch.wait(Held, one, count=2)
        for listener in (caller, phone):
            listener.listen(listener.seconds + 1.0)
        switch.do("stop_recording", recorder)
        for leg in (one, two):
            switch.do("hangup", leg)
        assert held(switch, one) == [True, False]
        assert tone_dbfs(caller.heard, CALLEE, last=0.8) > HEARD
        assert tone_dbfs(phone.heard, CALLER, last=0.8) > HEARD
        one_second, other_second = (soundfile.info(file).duration for file in files)
        assert one_second == pytest.approx(other_second, abs=0.05)
        assert tone_dbfs(files[0], CALLER, last=0.8) > HEARD


class TestOverTheBridge:
    """What one side of a `<Dial>` does reaches the other: hold is passed on."""

    def test_a_caller_who_holds_puts_the_callee_on_hold(self, lab: Lab) -> None:
        phone = lab.phone(*RINGS_AND_ANSWERS, *answer_reinvite("recvonly"), *answer_reinvite("sendrecv"), *answer_bye())
        lab.dial(phone)
        caller = lab.call(
            *ANSWERED, cue(), *reinvite(sdp=HOLDS), cue(), *reinvite(cseq=3, sdp=TAKES_BACK), cue(), *bye(cseq=4),
        )  # fmt: skip
        for count in (1, 2, 3):
            acknowledged(phone, count)
            caller.cue()
        finish(caller, phone)
        assert directions(phone) == ["sendrecv", "sendonly", "sendrecv"]
        assert lab.log()["status"] == "completed"

    def test_a_callee_who_holds_puts_the_caller_on_hold(self, lab: Lab, softphones: Softphones) -> None:
        phone = softphones.phone("--answer", "0", "--at", "0.5:hold", "--at", "1:unhold")
        lab.dial(phone.uri)
        caller = lab.call(*ANSWERED, *answer_reinvite("recvonly"), *answer_reinvite("sendrecv"), pause(200), *bye())
        finish(caller)
        assert directions(caller) == ["sendonly", "sendrecv"]

    def test_who_held_is_not_put_on_hold_in_return(self, lab: Lab, softphones: Softphones) -> None:
        phone = softphones.phone("--answer", "0")
        lab.dial(phone.uri, answerOnBridge="true")
        caller = softphones.caller(lab.uri, "--at", "0.5:hold", "--at", "1.2:unhold", "--hangup", "2")
        caller.wait("exit")
        phone.wait("ended")
        assert [told.event for told in phone.told("held", "unheld")] == ["held", "unheld"]
        assert caller.told("held", "unheld") == []

    def test_both_hear_each_other_afterwards(self, lab: Lab, softphones: Softphones) -> None:
        phone = softphones.phone("--answer", "0", "--tone", str(CALLEE))
        lab.dial(phone.uri, record="record-from-answer-dual", answerOnBridge="true")
        caller = softphones.caller(lab.uri, "--tone", str(CALLER), "--at", "1:hold", "--at", "2:unhold")
        caller.wait("answered")
        phone.wait("unheld")
        for one in (caller, phone):
            one.listen(one.seconds + 1.5)
        caller.stop()
        assert tone_dbfs(caller.heard, CALLEE, last=1.0) > HEARD
        assert tone_dbfs(phone.heard, CALLER, last=1.0) > HEARD
        file = recorded(lab.engine, lab.log()["sid"])[0].path
        assert tone_dbfs(file, CALLER, 0, last=0.7) > HEARD
        assert tone_dbfs(file, CALLEE, 1, last=0.7) > HEARD

"""REFER (RFC 3515) both ways: what the SIP adapter does by itself, and `<Dial referUrl>` and `<Refer>` above it."""

from __future__ import annotations

import pytest

from routing.sipuri import parse
from sipengine.ports import Ended, Placed, ReferDone, Referred
from tests.sip.harness import Lab, finish
from tests.sip.sipp import Peers, Sipp, header, until
from tests.sip.softphones import Softphones
from tests.sip.steps import (
    ANSWERS,
    ack,
    answer_bye,
    bye,
    cue,
    in_dialog,
    invite,
    progress,
    recv,
    recv_notify,
    refer,
    respond,
    respond_ok,
)
from tests.sip.switch import Switch

ANSWERED = (invite(), *progress(), recv(200), ack())
SIPFRAG = "Event: refer\nContent-Type: message/sipfrag;version=2.0\n"
ACCEPTED = respond_ok().replace("200 OK", "202 Accepted")


def notify(line: str, state: str, *, cseq: int) -> tuple[str, ...]:
    """Tell how the transfer goes: the first line of the new call's last response."""
    return (
        in_dialog("NOTIFY", cseq=cseq, headers=f"{SIPFRAG}Subscription-State: {state}\n", body=line),
        recv(200),
    )


def call(switch: Switch, peers: Peers, number: str, *steps: str) -> tuple[Sipp, int]:
    """Let a caller talk to the switch and do this; return it and its leg."""
    caller = peers.caller(switch.address, number, *ANSWERED, *steps)
    return caller, switch.take(number)


def allowed(switch: Switch, peers: Peers, number: str, *steps: str) -> tuple[Sipp, int]:
    """Let a caller do this as soon as its REFERs are taken; an INFO says so to it."""
    caller = peers.caller(switch.address, number, *ANSWERED, recv("INFO"), respond_ok(), *steps)
    leg = switch.take(number)
    switch.do("allow_refer", leg, True)
    switch.do("send_info", leg, "1")
    return caller, leg


class TestFromTheFarEnd:
    """RFC 3515 §2.4; Twilio's `<Dial>` page: without referUrl a REFER is refused."""

    def test_without_leave_it_is_declined(self, switch: Switch, peers: Peers, number: str) -> None:
        caller, leg = call(switch, peers, number, refer("sip:bob@192.0.2.1"), recv(603), *bye(cseq=3))
        finish(caller)
        assert switch.find(Referred, leg) == []

    def test_with_leave_it_is_accepted_and_the_target_told(self, switch: Switch, peers: Peers, number: str) -> None:
        caller, leg = allowed(
            switch, peers, number, refer("sip:bob@192.0.2.1;user=phone"),
            recv(202), *recv_notify(), *recv_notify(), *bye(cseq=3),
        )  # fmt: skip
        finish(caller)
        assert [event.target for event in switch.find(Referred, leg)] == ["sip:bob@192.0.2.1;user=phone"]
        first, last = caller.received("NOTIFY")
        assert first.splitlines()[-1] == "SIP/2.0 100 Trying"
        assert last.splitlines()[-1] == "SIP/2.0 200 OK"
        assert header(last, "Subscription-State").startswith("terminated")
        assert header(last, "Event").startswith("refer")

    def test_the_adapter_dials_nobody(self, switch: Switch, peers: Peers, number: str) -> None:
        before = len(switch.find(Placed))
        phone = peers.phone(recv("INVITE"))
        caller, leg = allowed(
            switch, peers, number, refer(phone.uri), recv(202),
            *recv_notify(), *recv_notify(), *bye(cseq=3),
        )  # fmt: skip
        finish(caller)
        switch.over(leg)
        assert len(switch.find(Placed)) == before
        assert phone.received("INVITE") == []

    def test_who_wants_no_notify_gets_none(self, switch: Switch, peers: Peers, number: str) -> None:
        """RFC 4488: `Refer-Sub: false`."""
        caller, leg = allowed(
            switch, peers, number, refer("sip:bob@192.0.2.1", headers="Refer-Sub: false\n"), recv(202), *bye(cseq=3),
        )  # fmt: skip
        finish(caller)
        assert header(caller.received("SIP/2.0 202")[0], "Refer-Sub") == "false"
        assert caller.received("NOTIFY") == []

    def test_the_target_of_an_attended_transfer_keeps_its_replaces(
        self, switch: Switch, peers: Peers, number: str
    ) -> None:
        target = "sip:bob@192.0.2.1?Replaces=1%40x%3Bto-tag%3Da%3Bfrom-tag%3Db"
        caller, leg = allowed(
            switch, peers, number, refer(target), recv(202),
            *recv_notify(), *recv_notify(), *bye(cseq=3),
        )  # fmt: skip
        finish(caller)
        assert switch.find(Referred, leg)[0].target == target

    def test_leave_can_be_taken_back(self, switch: Switch, peers: Peers, number: str) -> None:
        caller = peers.caller(
            switch.address, number, *ANSWERED, recv("INFO"), respond_ok(), refer("sip:bob@192.0.2.1"), recv(603),
            *bye(cseq=3),
        )  # fmt: skip
        leg = switch.take(number)
        switch.do("allow_refer", leg, True)
        switch.do("allow_refer", leg, False)
        switch.do("send_info", leg, "1")
        finish(caller)

    def test_an_invite_with_replaces_does_not_take_over_a_leg(self, switch: Switch, peers: Peers, number: str) -> None:
        """RFC 3891: who knows the tags of a call could otherwise put himself in its place."""
        caller, leg = call(switch, peers, number, *answer_bye())
        ok = caller.received("SIP/2.0 200")[0]
        ours, theirs = (header(ok, name).rpartition(";tag=")[2] for name in ("To", "From"))
        replaces = f"Replaces: {header(ok, 'Call-ID')};to-tag={ours};from-tag={theirs}\n"
        intruder = peers.caller(switch.address, number + "9", invite(headers=replaces), *progress(), recv(603))
        finish(intruder)
        assert switch.find(Ended, leg) == []
        switch.do("hangup", leg)
        finish(caller)


class TestToTheFarEnd:
    """RFC 3515 §2.4.4: what became of it comes back once."""

    def test_the_final_notify_is_told(self, switch: Switch, peers: Peers, number: str) -> None:
        caller, leg = call(
            switch, peers, number, recv("REFER"), ACCEPTED, *notify("SIP/2.0 100 Trying", "active;expires=60", cseq=2),
            *notify("SIP/2.0 200 OK", "terminated;reason=noresource", cseq=3), *answer_bye(),
        )  # fmt: skip
        switch.do("refer", leg, parse("sip:bob@192.0.2.1"))
        done = switch.wait(ReferDone, leg)
        assert (done.code, done.notify_code) == (202, 200)
        switch.do("hangup", leg)
        finish(caller)
        switch.over(leg)
        assert len(switch.find(ReferDone, leg)) == 1

    def test_a_transfer_that_fails_has_the_code_of_the_new_call(
        self, switch: Switch, peers: Peers, number: str
    ) -> None:
        caller, leg = call(
            switch, peers, number, recv("REFER"), ACCEPTED,
            *notify("SIP/2.0 486 Busy Here", "terminated;reason=noresource", cseq=2), *answer_bye(),
        )  # fmt: skip
        switch.do("refer", leg, parse("sip:bob@192.0.2.1"))
        done = switch.wait(ReferDone, leg)
        assert (done.code, done.notify_code) == (202, 486)
        switch.do("hangup", leg)
        finish(caller)

    def test_a_refusal_has_its_own_code(self, switch: Switch, peers: Peers, number: str) -> None:
        caller, leg = call(
            switch, peers, number, recv("REFER"), respond_ok().replace("200 OK", "405 No"), *answer_bye()
        )
        switch.do("refer", leg, parse("sip:bob@192.0.2.1"))
        done = switch.wait(ReferDone, leg)
        assert (done.code, done.notify_code) == (405, 0)
        switch.do("hangup", leg)
        finish(caller)

    def test_who_hangs_up_at_once_ends_it(self, switch: Switch, peers: Peers, number: str) -> None:
        caller, leg = call(switch, peers, number, recv("REFER"), ACCEPTED, *bye())
        switch.do("refer", leg, parse("sip:bob@192.0.2.1"))
        finish(caller)
        switch.over(leg)
        assert [(done.code, done.notify_code) for done in switch.find(ReferDone, leg)] == [(202, 0)]

    def test_a_leg_that_is_gone_is_told_at_once(self, switch: Switch, peers: Peers, number: str) -> None:
        caller, leg = call(switch, peers, number, *bye())
        finish(caller)
        switch.over(leg)
        switch.do("refer", leg, parse("sip:bob@192.0.2.1"))
        assert switch.wait(ReferDone, leg).code == 0

    def test_headers_of_the_uri_go_into_refer_to(self, switch: Switch, peers: Peers, number: str) -> None:
        """Twilio's `<Refer>` page: the headers are for the one who is called next."""
        caller, leg = call(switch, peers, number, recv("REFER"), ACCEPTED, *bye())
        switch.do("refer", leg, parse("sip:bob@192.0.2.1;region=us1?x-color=blue&User-to-User=1%3Bencoding%3Dhex"))
        finish(caller)
        told = header(caller.received("REFER")[0], "Refer-To")
        assert told == "<sip:bob@192.0.2.1?x-color=blue&User-to-User=1%3Bencoding%3Dhex>"


class TestDialReferUrl:
    """Twilio's `<Dial referUrl>`: a REFER of either side becomes a request, and its answer goes on with the other."""

    @pytest.fixture
    def target(self, peers: Peers) -> Sipp:
        """The phone that somebody is transferred to."""
        return peers.phone(recv("INVITE"), respond(180), respond(200, sdp=True), recv("ACK"), *answer_bye())

    def test_a_callers_refer_is_told_and_its_document_runs_for_the_callee(
        self, lab: Lab, softphones: Softphones, target: Sipp
    ) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone, referUrl="/refer-caller", answerOnBridge="true")
        lab.server.serve("/refer-caller", f"<Response><Dial><Sip>{target.uri}</Sip></Dial></Response>".encode())
        caller = softphones.caller(lab.uri, "--at", f"0.4:refer:{target.uri}")
        told = lab.server.request("/refer-caller").form
        assert told["ReferTransferTarget"] == target.uri
        until(lambda: target.received("ACK"), what="the conversation with the target")
        caller.wait("ended")
        done = caller.wait("refer-done")
        assert (done.fact("code"), done.fact("notify_code")) == (202, 200)
        lab.engine.change_call(told["CallSid"], status="completed")
        finish(target, phone)

    def test_a_callees_refer_is_told_and_its_document_runs_for_the_caller(
        self, lab: Lab, softphones: Softphones, target: Sipp
    ) -> None:
        phone = softphones.phone("--answer", "0", "--at", f"0.5:refer:{target.uri}")
        lab.dial(phone.uri, referUrl="/refer-callee", referMethod="GET")
        lab.server.serve("/refer-callee", f"<Response><Dial><Sip>{target.uri}</Sip></Dial></Response>".encode())
        caller = lab.call(*ANSWERED, cue(), *bye())
        told = lab.server.request("/refer-callee")
        assert (told.method, told.form["ReferTransferTarget"]) == ("GET", target.uri)
        done = phone.wait("refer-done")
        assert (done.fact("code"), done.fact("notify_code")) == (202, 200)
        finish(caller, target)

    def test_without_it_either_side_is_declined(self, lab: Lab, softphones: Softphones, target: Sipp) -> None:
        phone = softphones.phone("--answer", "0", "--at", f"0.3:refer:{target.uri}")
        lab.dial(phone.uri)
        caller = lab.call(*ANSWERED, cue(), refer(target.uri), recv(603), cue(), *bye(cseq=3))
        phone.wait("answered")
        caller.cue()
        assert phone.wait("refer-done").fact("code") == 603
        finish(caller)
        call = lab.log()
        assert [lab.engine.notes(leg["sid"]) for leg in (call, *call["legs"])] == [[13802], [13802]]
        assert target.received("INVITE") == []


class TestReferVerb:
    """Twilio's `<Refer>`: the caller's phone is asked to call somebody else."""

    def test_the_action_is_told_how_it_went(self, lab: Lab) -> None:
        lab.twiml('<Refer action="/referred"><Sip>sip:bob@192.0.2.1?x-color=blue</Sip></Refer>')
        lab.server.serve("/referred", b"<Response><Hangup/></Response>")
        worked = notify("SIP/2.0 200 OK", "terminated;reason=noresource", cseq=2)
        caller = lab.call(*ANSWERED, recv("REFER"), ACCEPTED, *worked, *answer_bye())
        told = lab.server.request("/referred").form
        assert (told["ReferCallStatus"], told["ReferSipResponseCode"], told["NotifySipResponseCode"]) == (
            "completed", "202", "200",
        )  # fmt: skip
        finish(caller)
        assert header(caller.received("REFER")[0], "Refer-To") == "<sip:bob@192.0.2.1?x-color=blue>"

    def test_a_phone_that_cannot_is_told_as_failed(self, lab: Lab) -> None:
        lab.twiml('<Refer action="/not-referred"><Sip>sip:bob@192.0.2.1</Sip></Refer>')
        lab.server.serve("/not-referred", b"<Response><Hangup/></Response>")
        cannot = respond_ok().replace("200 OK", "405 Not here")
        finish(lab.call(*ANSWERED, recv("REFER"), cannot, *answer_bye()))
        told = lab.server.request("/not-referred").form
        assert (told["ReferCallStatus"], told["ReferSipResponseCode"]) == ("failed", "405")
        assert lab.engine.notes(lab.log()["sid"]) == [13801]

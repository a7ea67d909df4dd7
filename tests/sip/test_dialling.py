"""One caller and real phones over SIP: what Twilio's `<Dial>` and `<Sip>` pages promise (design conformance §1.4)."""

from __future__ import annotations

from tests.sip.harness import Engine, TwimlServer, statuses
from tests.sip.sipp import Peers, ack, answer_bye, answer_cancel, bye, invite, pause, recv, respond

ANSWERS = (recv("INVITE"), respond(180), pause(100), respond(200, sdp=True), recv("ACK"), *answer_bye())
RINGS = (recv("INVITE"), respond(180), *answer_cancel())
TALK = (invite(), recv(100, optional=True), recv(180, optional=True), recv(183, optional=True), recv(200), ack(), pause(400), *bye())


def refuses(code: int) -> tuple[str, ...]:
    return (recv("INVITE"), respond(code), recv("ACK"))


class TestOneEndpoint:
    def test_it_answers_and_both_talk(self, engine: Engine, server: TwimlServer, peers: Peers) -> None:
        phone = peers.phone(*ANSWERS)
        server.number("1001", f"<Dial><Sip>{phone.uri}</Sip></Dial>")
        caller = peers.caller(engine.address, "1001", *TALK)
        caller.wait()
        phone.wait()
        call = engine.call("1001")
        assert (call["status"], call["sip_code"], call["ended_by"]) == ("completed", 200, "caller")
        assert statuses(call) == [("completed", 200)]


class TestParallel:
    def test_of_three_the_first_to_answer_wins_and_the_others_are_canceled(
        self, engine: Engine, server: TwimlServer, peers: Peers
    ) -> None:
        first, second, winner = peers.phone(*RINGS), peers.phone(*RINGS), peers.phone(*ANSWERS)
        nouns = "".join(f"<Sip>{phone.uri}</Sip>" for phone in (first, second, winner))
        server.number("1003", f'<Dial answerOnBridge="true">{nouns}</Dial>')
        caller = peers.caller(engine.address, "1003", *TALK)
        for peer in (caller, first, second, winner):
            peer.wait()
        call = engine.call("1003")
        assert statuses(call) == [("canceled", 487), ("canceled", 487), ("completed", 200)]
        assert "Call completed elsewhere" in first.received("CANCEL")[0]


class TestSequential:
    def test_it_goes_on_over_a_rejection_and_a_timeout_to_the_one_who_answers(
        self, engine: Engine, server: TwimlServer, peers: Peers
    ) -> None:
        busy, silent, winner = peers.phone(*refuses(486)), peers.phone(*RINGS), peers.phone(*ANSWERS)
        nouns = "".join(f"<Sip>{phone.uri}</Sip>" for phone in (busy, silent, winner))
        server.number("1020", f'<Dial sequential="true" timeout="5" answerOnBridge="true">{nouns}</Dial>')
        caller = peers.caller(engine.address, "1020", *TALK)
        for peer in (caller, busy, silent, winner):
            peer.wait()
        call = engine.call("1020")
        assert statuses(call) == [("busy", 486), ("no-answer", 487), ("completed", 200)]

"""The Reason header (RFC 3326) on the CANCEL of phones whose call somebody else has taken."""

from __future__ import annotations

from tests.sip.harness import finish
from tests.sip.sipp import Peers, header, until
from tests.sip.steps import answer_bye, answer_cancel, recv, respond
from tests.sip.switch import Switch

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

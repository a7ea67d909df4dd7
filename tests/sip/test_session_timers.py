"""Session timers (RFC 4028) at the SIP adapter: honoured when the far end asks; we ask only where it is set."""

from __future__ import annotations

import pytest

from tests.sip.harness import finish
from tests.sip.sipp import Peers, header
from tests.sip.steps import SDP, ack, ack_of_refusal, answer_bye, bye, in_dialog, invite, progress, recv, respond
from tests.sip.switch import Switch


def asks(seconds: int, refresher: str = "uac", *, how: str = "Supported") -> str:
    return f"{how}: timer\nSession-Expires: {seconds};refresher={refresher}\nMin-SE: 90\n"


class TestCaller:
    @pytest.mark.parametrize("how", ["Supported", "Require"])
    @pytest.mark.parametrize("refresher", ["uac", "uas"])
    def test_what_it_asks_for_is_granted(
        self, switch: Switch, peers: Peers, number: str, how: str, refresher: str
    ) -> None:
        steps = (invite(headers=asks(1800, refresher, how=how)), *progress(), recv(200), ack(), *bye())
        caller = peers.caller(switch.address, number, *steps)
        switch.take(number)
        finish(caller)
        granted = header(caller.received("SIP/2.0 200")[0], "Session-Expires")
        assert granted.replace(" ", "") == f"1800;refresher={refresher}"

    def test_less_than_90_seconds_is_too_brief(self, switch: Switch, peers: Peers, number: str) -> None:
        """RFC 4028 §5: 422 with our Min-SE."""
        steps = (invite(headers=asks(30).replace("Min-SE: 90\n", "")), *progress(), recv(422), ack_of_refusal())
        caller = peers.caller(switch.address, number, *steps)
        finish(caller)
        assert header(caller.received("SIP/2.0 422")[0], "Min-SE") == "90"

    def test_a_refresh_by_update_or_invite_is_granted_again(self, switch: Switch, peers: Peers, number: str) -> None:
        refresh = in_dialog("UPDATE", cseq=2, headers=asks(1800))
        again = in_dialog("INVITE", cseq=3, headers=asks(1800), sdp=SDP)
        steps = (
            invite(headers=asks(1800)), *progress(), recv(200), ack(), refresh, recv(200),
            again, recv(100, optional=True), recv(200), ack(cseq=3), *bye(cseq=4),
        )  # fmt: skip
        caller = peers.caller(switch.address, number, *steps)
        switch.take(number)
        finish(caller)
        granted = [header(ok, "Session-Expires") for ok in caller.received("SIP/2.0 200")[:3]]
        assert all(value.startswith("1800") for value in granted)

    def test_who_does_not_ask_gets_none(self, switch: Switch, peers: Peers, number: str) -> None:
        caller = peers.caller(switch.address, number, invite(), *progress(), recv(200), ack(), *bye())
        switch.take(number)
        finish(caller)
        assert "Session-Expires" not in caller.received("SIP/2.0 200")[0]


class TestOurInvites:
    def test_they_do_not_ask(self, switch: Switch, peers: Peers) -> None:
        """Two headers in every INVITE, for the rare far end that needs them."""
        phone = peers.phone(recv("INVITE"), respond(486), recv("ACK"))
        switch.over(switch.place(phone.uri))
        finish(phone)
        sent = phone.received("INVITE")[0]
        assert "Session-Expires" not in sent
        assert "timer" not in header(sent, "Supported")

    def test_they_do_where_it_is_set(self, peers: Peers) -> None:
        switch = Switch(session_timers=True)
        phone = peers.phone(recv("INVITE"), respond(200, sdp=True), recv("ACK"), *answer_bye())
        leg = switch.call(phone.uri)
        switch.do("hangup", leg)
        finish(phone)
        switch.stop()
        sent = phone.received("INVITE")[0]
        assert header(sent, "Session-Expires") == "1800"
        assert "timer" in header(sent, "Supported")

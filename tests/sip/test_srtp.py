"""SRTP with SDES keys (RFC 4568): what is offered, what is taken, and that it is heard."""

from __future__ import annotations

import re

import pytest

from sipengine.measure import dominant_frequency
from sipengine.ports import Answered
from tests.sip.harness import Lab, finish, statuses
from tests.sip.sipp import Peers
from tests.sip.softphones import Softphones
from tests.sip.sound import tone
from tests.sip.steps import LISTENS, SDP, ack, answer_bye, bye, invite, progress, recv, refused, refuses, respond
from tests.sip.switch import Switch

KEY = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
CRYPTO = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY}\na=ptime:20"
SAVP = SDP.replace("RTP/AVP", "RTP/SAVP").replace("a=ptime:20", CRYPTO)
AVP_WITH_KEYS = SDP.replace("a=ptime:20", CRYPTO)
US, THEM = 400, 1000  # Hz


def profile(message: str) -> tuple[str, bool]:
    """Return the profile of the media line of a SIP message, and whether there are keys."""
    found = re.search(r"^m=audio \d+ (\S+)", message, re.MULTILINE)
    assert found
    return found[1], "a=crypto:" in message


class TestOffered:
    """The media of our own INVITEs: `;secure=` of the URI, or the endpoint's setting."""

    @pytest.mark.parametrize(
        ("secure", "offered"),
        [("", ("RTP/AVP", False)), (";secure=optional", ("RTP/AVP", True)), (";secure=true", ("RTP/SAVP", True))],
    )
    def test_only_what_was_asked_for(
        self, switch: Switch, peers: Peers, secure: str, offered: tuple[str, bool]
    ) -> None:
        phone = peers.phone(recv("INVITE"), respond(486), recv("ACK"))
        leg = switch.place(phone.uri + secure)
        switch.over(leg)
        finish(phone)
        assert profile(phone.received("INVITE")[0]) == offered

    def test_optional_is_answered_by_a_phone_that_has_none(self, switch: Switch, peers: Peers) -> None:
        phone = peers.phone(recv("INVITE"), respond(200, sdp=True), recv("ACK"), *answer_bye())
        leg = switch.call(f"{phone.uri};secure=optional")
        switch.do("hangup", leg)
        finish(phone)

    def test_an_answer_in_the_clear_is_no_answer_where_keys_are_mandatory(self, switch: Switch, peers: Peers) -> None:
        phone = peers.phone(recv("INVITE"), respond(200, sdp=True), *answer_bye(), recv("ACK"))
        ended = switch.over(switch.place(f"{phone.uri};secure=true"))
        finish(phone)
        assert (ended.code, ended.by_peer) == (488, False)
        assert "media" in ended.error
        assert switch.find(Answered, ended.leg) == []


class TestTaken:
    """What a caller offers is answered in kind; whether it is good enough is decided above."""

    @pytest.mark.parametrize(
        ("sdp", "answered"),
        [(SDP, ("RTP/AVP", False)), (AVP_WITH_KEYS, ("RTP/AVP", True)), (SAVP, ("RTP/SAVP", True))],
    )
    def test_the_answer_has_the_profile_of_the_offer(
        self, switch: Switch, peers: Peers, number: str, sdp: str, answered: tuple[str, bool]
    ) -> None:
        caller = peers.caller(switch.address, number, invite(sdp=sdp), *progress(), recv(200), ack(), *bye())
        assert switch.invited(number).srtp is answered[1]
        switch.take(number)
        finish(caller)
        assert profile(caller.received("SIP/2.0 200")[0]) == answered

    def test_a_word_in_a_header_is_no_offer(self, switch: Switch, peers: Peers, number: str) -> None:
        """Who must encrypt could otherwise pretend to."""
        headers = "X-Note: RTP/SAVP a=crypto:1\n"
        caller = peers.caller(switch.address, number, invite(headers=headers), *progress(), recv(200), ack(), *bye())
        assert not switch.invited(number).srtp
        switch.take(number)
        finish(caller)

    @pytest.mark.parametrize(("transport", "said"), [("u1", "udp"), ("t1", "tcp")])
    def test_the_transport_is_that_of_the_packet(
        self, switch: Switch, peers: Peers, number: str, transport: str, said: str
    ) -> None:
        """Not that of the Via header, which the caller writes."""
        lying = invite().replace("Via: SIP/2.0/[transport]", "Via: SIP/2.0/TLS") if said == "udp" else invite()
        caller = peers.caller(switch.address, number, lying, transport=transport)
        told = switch.invited(number)
        assert told.transport == said
        switch.do("refuse", told.leg, 486)
        switch.over(told.leg)
        caller.end()


class TestHeard:
    @pytest.mark.parametrize("srtp", ["optional", "mandatory"])
    def test_a_call_of_ours(self, switch: Switch, softphones: Softphones, srtp: str) -> None:
        phone = softphones.phone("--answer", "0", "--tone", str(THEM), "--srtp", "mandatory")
        secure = {"optional": "optional", "mandatory": "true"}[srtp]
        leg = switch.call(f"{phone.uri};secure={secure}")
        other = softphones.phone("--answer", "0", "--tone", str(US))
        plain = switch.call(other.uri)
        switch.do("bridge", leg, plain)
        for one in (phone, other):
            one.listen(one.seconds + 1.5)
        for end in (leg, plain):
            switch.do("hangup", end)
        phone.wait("ended")
        phone.stop()
        other.stop()
        assert dominant_frequency(phone.heard) == pytest.approx(US, abs=5)
        assert dominant_frequency(other.heard) == pytest.approx(THEM, abs=5)

    @pytest.mark.parametrize("srtp", ["optional", "mandatory"])
    def test_a_call_that_comes_in(self, switch: Switch, softphones: Softphones, number: str, srtp: str) -> None:
        caller = softphones.caller(f"sip:{number}@{switch.address}", "--srtp", srtp, "--tone", str(THEM))
        leg = switch.take(number)
        assert switch.invited(number).srtp
        other = softphones.phone("--answer", "0", "--tone", str(US))
        plain = switch.call(other.uri)
        switch.do("bridge", leg, plain)
        for one in (caller, other):
            one.listen(one.seconds + 1.5)
        for end in (leg, plain):
            switch.do("hangup", end)
        caller.stop()
        other.stop()
        assert dominant_frequency(caller.heard) == pytest.approx(US, abs=5)
        assert dominant_frequency(other.heard) == pytest.approx(THEM, abs=5)
        assert len(switch.find(Answered, leg)) == 1


class TestSipNoun:
    """`<Sip>…;secure=…`: off unless it is asked for."""

    @pytest.mark.parametrize(
        ("secure", "offered"),
        [("", ("RTP/AVP", False)), (";secure=optional", ("RTP/AVP", True)), (";secure=true", ("RTP/SAVP", True))],
    )
    def test_the_invite_offers_what_the_uri_says(self, lab: Lab, secure: str, offered: tuple[str, bool]) -> None:
        phone = lab.phone(*refuses(486))
        lab.dial(phone.uri + secure)
        finish(lab.call(*LISTENS), phone)
        assert profile(phone.received("INVITE")[0]) == offered
        assert "secure" not in phone.received("INVITE")[0].split("\r\n")[0]

    @pytest.mark.parametrize("secure", ["optional", "true"])
    def test_encrypted_and_plain_hear_each_other(self, lab: Lab, softphones: Softphones, secure: str) -> None:
        phone = softphones.phone("--answer", "0", "--hangup", "2", "--tone", str(THEM), "--srtp", "mandatory")
        lab.dial(f"{phone.uri};secure={secure}")
        caller = softphones.caller(lab.uri, "--tone", str(US))
        caller.wait("exit")
        phone.stop()
        assert dominant_frequency(phone.heard) == pytest.approx(US, abs=5)
        assert dominant_frequency(caller.heard) == pytest.approx(THEM, abs=5)

    def test_a_phone_that_will_not_encrypt_fails(self, lab: Lab) -> None:
        phone = lab.phone(recv("INVITE"), respond(200, sdp=True), *answer_bye(), recv("ACK"))
        lab.dial(f"{phone.uri};secure=true")
        finish(lab.call(*LISTENS), phone)
        call = lab.log()
        assert statuses(call) == [("failed", 488)]


class TestSecureDomain:
    """`secure=true` of a SIP domain: TLS and SRTP or nothing (32209, 32208)."""

    DOMAIN = "secure.example"

    def test_a_call_in_the_clear_is_refused(self, lab: Lab) -> None:
        finish(lab.call(*refused(403, host=self.DOMAIN)))
        assert 32209 in lab.engine.strangers("came over UDP")

    def test_tls_without_srtp_is_refused(self, lab: Lab, softphones: Softphones) -> None:
        caller = softphones.caller(self._uri(lab))
        assert caller.wait("ended").fact("code") == 488
        assert 32208 in lab.engine.strangers("offers no SRTP")

    def test_tls_and_srtp_is_taken(self, lab: Lab, softphones: Softphones) -> None:
        lab.server.serve("/secure.wav", tone(THEM, 2.0), kind="audio/wav")
        lab.twiml("<Play>/secure.wav</Play>")
        caller = softphones.caller(self._uri(lab), "--srtp", "mandatory")
        caller.wait("exit")
        assert dominant_frequency(caller.heard) == pytest.approx(THEM, abs=5)

    def _uri(self, lab: Lab) -> str:
        """Return an address in the domain that leads to the engine."""
        return f"sip:{lab.number}@{self.DOMAIN}:{lab.engine.tls_port};transport=tls;maddr=127.0.0.1"


class TestEndpoint:
    """An endpoint's own setting, dialled as `<Client>`."""

    @pytest.mark.parametrize(("srtp", "offered"), [("off", ("RTP/AVP", False)), ("mandatory", ("RTP/SAVP", True))])
    def test_its_setting_decides(self, lab: Lab, srtp: str, offered: tuple[str, bool]) -> None:
        phone = lab.phone(*refuses(486))
        name = f"desk-{lab.number}"
        lab.engine.change_routing(
            f"Endpoint.objects.create(account=Account.objects.get(), name={name!r}, uri={phone.uri!r}, srtp={srtp!r})"
        )
        lab.twiml(f"<Dial><Client>{name}</Client></Dial>")
        finish(lab.call(*LISTENS), phone)
        assert profile(phone.received("INVITE")[0]) == offered

"""Who may call in, and what strangers and odd INVITEs are answered (conformance §1.7; RFC 3261 §22; RFC 3264)."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.databases import Database
from tests.sip.harness import PASSWORD, Engine, Lab, TwimlServer, finish
from tests.sip.sipp import Peers, free_port, header
from tests.sip.steps import (
    ANSWERS,
    NO_COMMON_CODEC,
    ack,
    ack_of_refusal,
    ack_with_sdp,
    bye,
    cue,
    in_dialog,
    invite,
    progress,
    recv,
    refused,
)

ALICE = ("alice", PASSWORD)
ANSWERED = (invite(), *progress(), recv(200), ack())
BUSY = '<Reject reason="busy"/>'  # shows that the TwiML was reached, and costs no phone


def challenged(host: str, cseq: int = 1) -> tuple[str, ...]:
    """Call, with credentials after the first time, and be asked for credentials."""
    sent = invite(host=host, cseq=cseq, auth=cseq > 1)
    return (sent, recv(100, optional=True), recv(407, auth=True), ack_of_refusal(cseq=cseq, host=host))


def authenticated_then_busy(host: str) -> tuple[str, ...]:
    sent = invite(host=host, cseq=2, auth=True)
    return (*challenged(host), sent, *progress(), recv(486), ack_of_refusal(cseq=2, host=host))


class TestAccessControlLists:
    """Neither list mapped: nobody may call; an address outside the list: 403 with X-Twilio-Error 32201."""

    def test_a_source_in_the_list_reaches_the_twiml(self, lab: Lab) -> None:
        lab.twiml(BUSY)
        finish(lab.call(*refused(486, host="tests.example")))
        assert lab.log()["status"] == "busy"

    def test_a_source_outside_the_list_gets_403_and_no_row(self, lab: Lab) -> None:
        caller = lab.call(*refused(403, host="elsewhere.example"))
        finish(caller)
        assert header(caller.received("SIP/2.0 403")[0], "X-Twilio-Error").startswith("32201 ")
        assert lab.engine.strangers("in no IP access control list of elsewhere.example") == [32201]
        assert lab.engine.rows("SELECT sid FROM calls_call WHERE to_user=?", lab.number) == []

    def test_a_domain_without_lists_is_closed(self, lab: Lab) -> None:
        caller = lab.call(*refused(403, host="closed.example"))
        finish(caller)
        error = header(caller.received("SIP/2.0 403")[0], "X-Twilio-Error")
        assert error.startswith("32201 nobody may call closed.example until")


class TestDigest:
    """A mapped credential list: 407, then the answer; wrong answers are asked again, then refused."""

    def test_the_right_password_reaches_the_twiml_which_is_told_the_username(self, lab: Lab) -> None:
        lab.twiml(BUSY)
        finish(lab.call(*authenticated_then_busy("digest.example"), login=ALICE))
        call = lab.log()
        assert call["sip_username"] == "alice"
        assert lab.server.request("/voice", CallSid=call["sid"]).form["SipUsername"] == "alice"

    def test_the_challenge_names_the_domain_as_its_realm(self, lab: Lab) -> None:
        caller = lab.call(*challenged("digest.example"), login=ALICE)
        finish(caller)
        assert 'realm="digest.example"' in header(caller.received("SIP/2.0 407")[0], "Proxy-Authenticate")

    def test_a_wrong_password_is_asked_again_and_then_refused(self, lab: Lab) -> None:
        host = "digest.example"
        last = (
            invite(host=host, cseq=4, auth=True),
            recv(100, optional=True),
            recv(403),
            ack_of_refusal(cseq=4, host=host),
        )
        steps = (*challenged(host), *challenged(host, 2), *challenged(host, 3), *last)
        caller = lab.call(*steps, login=("alice", "Wr0ngPassword"))
        finish(caller)
        assert header(caller.received("SIP/2.0 403")[0], "X-Twilio-Error").startswith("32202 ")
        assert 32202 in lab.engine.strangers(f"{lab.number}@digest.example")

    def test_an_unknown_user_is_asked_again(self, lab: Lab) -> None:
        finish(lab.call(*challenged("digest.example"), *challenged("digest.example", 2), login=("mallory", PASSWORD)))

    def test_both_lists_mapped_and_both_pass(self, lab: Lab) -> None:
        lab.twiml(BUSY)
        finish(lab.call(*authenticated_then_busy("both.example"), login=ALICE))

    def test_both_lists_mapped_and_the_address_alone_is_not_enough(self, lab: Lab) -> None:
        finish(lab.call(*challenged("both.example")[:-2], recv(407)))

    def test_both_lists_mapped_and_the_password_alone_is_not_enough(self, lab: Lab) -> None:
        finish(lab.call(*refused(403, host="barred.example"), login=ALICE))


class TestChanges:
    """Routing is read again when the admin changes it, without a restart."""

    def test_a_new_domain_takes_calls_a_moment_later(self, lab: Lab) -> None:
        lab.twiml(BUSY)
        lab.engine.change_routing(
            f"kept = dict(account=Account.objects.get(), voice_url='{lab.server.url}/voice')\n"
            "made = SipDomain.objects.create(domain_name='new.example', **kept)\n"
            "made.credential_lists.set(CredentialList.objects.filter(friendly_name='people'))"
        )
        finish(lab.call(*authenticated_then_busy("new.example"), login=ALICE))


class TestUnknown:
    """404 for whatever cannot be found."""

    def test_a_user_whom_the_twiml_rejects_is_not_found(self, lab: Lab) -> None:
        lab.twiml("<Reject/>")
        finish(lab.call(*refused(404)))
        call = lab.log()
        assert (call["status"], call["sip_code"]) == ("no-answer", 404)

    def test_an_unknown_host_is_the_default_domains(self, lab: Lab) -> None:
        lab.twiml(BUSY)
        finish(lab.call(*refused(486, host="nowhere.example")))

    def test_an_unknown_domain_is_404_where_no_domain_is_the_default(
        self, server: TwimlServer, peers: Peers, database: Database, tmp_path: Path
    ) -> None:
        engine = Engine(tmp_path / "engine", server, database)
        engine.sql("UPDATE routing_sipdomain SET is_default=false")
        with engine:
            caller = peers.caller(engine.address, "1", *refused(404, host="nowhere.example"))
            finish(caller)
            assert engine.strangers("there is no SIP domain nowhere.example") == [32002]
        assert header(caller.received("SIP/2.0 404")[0], "X-Twilio-Error").startswith("32002 ")


class TestOffers:
    """RFC 3264, RFC 3261 §13: offers in the INVITE, in the 200, or of no use."""

    def test_an_invite_without_sdp_is_taken(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone)
        caller = lab.call(invite(sdp=False), *progress(), recv(200), ack_with_sdp(), cue(), *bye())
        finish(caller, phone)
        assert "m=audio" in caller.received("SIP/2.0 200")[0]
        assert lab.log()["legs"][0]["status"] == "completed"

    def test_an_offer_without_a_common_codec_gets_488_and_a_note(self, lab: Lab) -> None:
        lab.twiml(BUSY)
        finish(lab.call(*refused(488, sdp=NO_COMMON_CODEC)))
        assert lab.engine.strangers("refused with 488") == [32102]


class TestOddities:
    """What no phone should send, and the next caller must not notice."""

    @pytest.mark.parametrize(
        "datagram",
        [
            b"\x00" * 600,
            b"INVITE sip:x SIP/2.0\r\n\r\n",
            b"INVITE " + b"s" * 4000 + b" SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1\r\n\r\n",
            b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKnobody\r\nCSeq: 1 INVITE\r\n\r\n",
        ],
        ids=["zeros", "no headers", "an endless URI", "an answer to nothing"],
    )
    def test_garbage_is_dropped(self, lab: Lab, datagram: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(datagram, ("127.0.0.1", lab.engine.port))
        lab.twiml(BUSY)
        finish(lab.call(*refused(486)))

    def test_a_header_that_is_no_utf8_does_not_stop_the_call(self, lab: Lab) -> None:
        lab.twiml(BUSY)
        finish(lab.call(*refused(486, headers="X-Name: caf\udce9\nSubject: \udcff\udcfe\n")))
        assert "SipHeader_X-Name" in lab.server.request("/voice", CallSid=lab.log()["sid"]).form


class TestOtherMethods:
    """RFC 3261 §11 and §14, RFC 3515."""

    def test_options_is_answered_200(self, lab: Lab) -> None:
        finish(lab.call(in_dialog("OPTIONS", cseq=1).replace("[peer_tag_param]", ""), recv(200)))

    def test_a_transfer_is_declined_and_the_call_goes_on(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone)
        refer = in_dialog("REFER", cseq=2, headers="Refer-To: <sip:elsewhere@127.0.0.1:9>\n")
        finish(lab.call(*ANSWERED, cue(), refer, recv(603), *bye(cseq=3)), phone)
        call = lab.log()
        assert len(call["legs"]) == 1
        assert call["status"] == "completed"


class TestPhoneNumbers:
    """Twilio's IncomingPhoneNumber: a number with a voice URL of its own, in place of its domain's."""

    def test_a_call_to_it_asks_its_own_url(self, engine: Engine, server: TwimlServer, peers: Peers) -> None:
        number = f"+1555{free_port():07d}"
        server.serve("/number", b"<Response><Reject reason='busy'/></Response>")
        engine.change_routing(
            f"PhoneNumber.objects.create(account=Account.objects.get(), phone_number='{number}', "
            f"voice_url='{server.url}/number')"
        )
        finish(peers.caller(engine.address, number, *refused(486)))
        assert server.request("/number").form["To"].startswith(f"sip:{number}@")

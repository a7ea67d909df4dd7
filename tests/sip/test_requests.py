"""What web applications are told: the voice request and the action request of `<Dial>`, as they arrive over HTTP."""

from __future__ import annotations

import pytest
from twilio.request_validator import RequestValidator

from tests.sip.harness import TOKEN, Asked, Lab, finish
from tests.sip.sipp import header
from tests.sip.steps import (
    ANSWERS,
    GIVES_UP,
    LISTENS,
    RINGS,
    TALKS,
    answer_bye,
    invite,
    phone_bye,
    recv,
    recv_invite,
    refused,
    refuses,
    respond,
)


def voice_request(lab: Lab) -> Asked:
    return next(one for one in lab.server.requests("/voice") if one.form["To"].startswith(f"sip:{lab.number}@"))


class TestVoiceRequest:
    """Conformance §1.7."""

    def test_it_tells_the_call_its_parties_and_where_it_came_from(self, lab: Lab) -> None:
        lab.twiml("<Reject/>")
        caller = lab.call(*refused(404))
        finish(caller)
        call, told = lab.log(), voice_request(lab).form
        assert (told["CallSid"], told["AccountSid"]) == (call["sid"], call["account_id"])
        assert told["From"] == told["Caller"] == f"sip:caller@127.0.0.1:{caller.port}"
        assert told["To"] == told["Called"] == f"sip:{lab.number}@127.0.0.1"
        assert (told["CallStatus"], told["Direction"], told["ApiVersion"]) == ("ringing", "inbound", "2010-04-01")
        assert (told["SipDomain"], told["SipDomainSid"]) == ("127.0.0.1", call["domain_id"])
        assert (told["SipCallId"], told["SipSourceIp"]) == (call["sip_call_id"], "127.0.0.1")
        assert "SipUsername" not in told

    def test_it_tells_the_x_headers_and_user_to_user_and_no_others(self, lab: Lab) -> None:
        lab.twiml("<Reject/>")
        headers = "X-Color: light blue\nUser-to-User: 48656c6c6f;encoding=hex\nSubject: private\nX-Empty:\n"
        finish(lab.call(*refused(404, headers=headers)))
        told = voice_request(lab).form
        found = {name: value for name, value in told.items() if name.startswith("SipHeader_")}
        assert found == {
            "SipHeader_X-Color": "light blue",
            "SipHeader_User-to-User": "48656c6c6f;encoding=hex",
            "SipHeader_X-Empty": "",
        }

    def test_it_tells_who_forwarded_the_call(self, lab: Lab) -> None:
        lab.twiml("<Reject/>")
        finish(lab.call(*refused(404, headers="Diversion: <sip:200@pbx.example>;reason=unconditional\n")))
        assert voice_request(lab).form["ForwardedFrom"] == "sip:200@pbx.example"

    def test_it_is_signed_so_that_twilios_own_validator_accepts_it(self, lab: Lab) -> None:
        """Conformance §1.11."""
        lab.twiml("<Reject/>")
        finish(lab.call(*refused(404, headers="X-Name: Zoë & Øyvind = ½\n")))
        asked = voice_request(lab)
        signature = asked.headers["X-Twilio-Signature"]
        assert RequestValidator(TOKEN).validate(asked.url, asked.form, signature)
        assert not RequestValidator("another token").validate(asked.url, asked.form, signature)

    def test_later_requests_of_an_answered_call_say_in_progress(self, lab: Lab) -> None:
        lab.twiml("<Say>Hello</Say><Redirect>/second</Redirect>")
        lab.server.serve("/second", b"<Response><Hangup/></Response>")
        finish(lab.call(*LISTENS))
        assert lab.server.request("/second", CallSid=lab.log()["sid"]).form["CallStatus"] == "in-progress"


class TestActionRequest:
    """Conformance §1.8."""

    def test_it_tells_how_the_conversation_went(self, lab: Lab) -> None:
        phone = lab.phone(
            recv_invite(), respond(200, sdp=True), recv("ACK"), *phone_bye("X-Bye: ciao\nReason: Q.850\n")
        )
        lab.dial(phone, action="/talked", record="record-from-answer")
        lab.server.serve("/talked", b"<Response/>")
        finish(lab.call(*LISTENS), phone)
        call = lab.log()
        leg, told = call["legs"][0], lab.server.request("/talked", CallSid=call["sid"]).form
        assert (told["DialCallStatus"], told["DialCallSid"], told["DialBridged"]) == ("completed", leg["sid"], "true")
        assert told["DialSipCallId"] == leg["sip_call_id"] == header(phone.received("INVITE")[0], "Call-ID")
        assert (told["DialSipResponseCode"], told["DialCallDuration"]) == ("200", str(leg["duration"]))
        assert told["RecordingUrl"].endswith(f"/Recordings/{lab.engine.recordings(call['sid'])[0]['sid']}")
        assert {name: value for name, value in told.items() if name.startswith("DialSipHeader_")} == {
            "DialSipHeader_X-Bye": "ciao"
        }
        assert (told["CallStatus"], told["Direction"]) == ("in-progress", "inbound")

    def test_it_tells_the_headers_of_the_answer_if_the_caller_hung_up(self, lab: Lab) -> None:
        answer = respond(200, sdp=True, headers="X-Agent: 7\n")
        phone = lab.phone(recv("INVITE"), answer, recv("ACK"), *answer_bye())
        lab.dial(phone, action="/agent")
        lab.server.serve("/agent", b"<Response/>")
        finish(lab.call(*TALKS), phone)
        assert lab.server.request("/agent", CallSid=lab.log()["sid"]).form["DialSipHeader_X-Agent"] == "7"

    def test_it_tells_a_refusal_with_its_code_and_headers(self, lab: Lab) -> None:
        phone = lab.phone(*refuses(486, headers="X-Why: lunch\n"))
        lab.dial(phone, answerOnBridge="true", action="/refusal")
        lab.server.serve("/refusal", b"<Response/>")
        finish(lab.call(*refused(486)), phone)
        told = lab.server.request("/refusal", CallSid=lab.log()["sid"]).form
        assert (told["DialCallStatus"], told["DialSipResponseCode"], told["DialBridged"]) == ("busy", "486", "false")
        assert told["DialSipHeader_X-Why"] == "lunch"
        assert told["CallStatus"] == "ringing"
        assert "DialCallDuration" not in told
        assert "RecordingUrl" not in told

    def test_its_answer_replaces_the_document(self, lab: Lab) -> None:
        first, second = lab.phone(*refuses(486)), lab.phone(*ANSWERS)
        lab.dial(first, answerOnBridge="true", action="/instead", after='<Reject reason="busy"/>')
        lab.server.serve("/instead", f"<Response><Dial><Sip>{second.uri}</Sip></Dial></Response>".encode())
        finish(lab.call(*TALKS), first, second)
        assert [leg["status"] for leg in lab.log()["legs"]] == ["busy", "completed"]

    @pytest.mark.parametrize(
        ("caller", "phone", "status", "result"),
        [(TALKS, ANSWERS, "completed", "completed"), (GIVES_UP, RINGS, "canceled", "canceled")],
        ids=["after the answer", "while it rings"],
    )
    def test_it_is_sent_when_the_caller_hung_up_and_its_answer_is_ignored(
        self, lab: Lab, caller: tuple[str, ...], phone: tuple[str, ...], status: str, result: str
    ) -> None:
        called, never = lab.phone(*phone), lab.phone(*ANSWERS)
        lab.dial(called, answerOnBridge="true", action=f"/gone-{status}")
        lab.server.serve(f"/gone-{status}", f"<Response><Dial><Sip>{never.uri}</Sip></Dial></Response>".encode())
        finish(lab.call(*caller), called)
        call = lab.log()
        told = lab.server.request(f"/gone-{status}", CallSid=call["sid"]).form
        assert (told["CallStatus"], told["DialCallStatus"]) == (status, result)
        assert len(call["legs"]) == 1

    def test_it_may_be_a_get_and_is_signed_with_its_query(self, lab: Lab) -> None:
        phone = lab.phone(*refuses(404))
        lab.dial(phone, answerOnBridge="true", action="/got?room=1", method="GET")
        lab.server.serve("/got", b'<Response><Reject reason="busy"/></Response>')
        finish(lab.call(*refused(486)), phone)
        asked = lab.server.request("/got", CallSid=lab.log()["sid"])
        assert (asked.method, asked.form["room"], asked.form["DialCallStatus"]) == ("GET", "1", "failed")
        assert RequestValidator(TOKEN).validate(asked.url, {}, asked.headers["X-Twilio-Signature"])


class TestOtherRequests:
    """RFC 3261 and RFC 3264: what a SIP peer may send besides a plain call."""

    def test_an_invite_with_a_compact_form_of_headers_is_taken(self, lab: Lab) -> None:
        """RFC 3261 §7.3.3."""
        lab.twiml('<Reject reason="busy"/>')
        compact = invite().replace("From: ", "f: ").replace("To: ", "t: ").replace("Call-ID: ", "i: ")
        _, *rest = refused(486)
        finish(lab.call(compact, *rest))
        assert voice_request(lab).form["SipCallId"] == lab.log()["sip_call_id"] != ""

"""Calls that Cordboard places: queued by `manage.py place_call`, claimed by the engine, run as TwiML once answered."""

from __future__ import annotations

from typing import Any

from tests.sip.harness import Engine, Lab, finish, statuses
from tests.sip.sipp import header, until
from tests.sip.steps import (
    ANSWERS,
    HANGS_UP,
    RINGS,
    answer_bye,
    recv,
    refuses,
    respond,
    respond_to_cancel,
    respond_to_invite,
)


def place(engine: Engine, *arguments: str) -> str:
    """Queue a call and return its SID."""
    return engine.manage("place_call", *arguments).split()[0]


def ended(engine: Engine, sid: str) -> dict[str, Any]:
    """Wait for the end of a call in the log."""
    return until(
        lambda: engine.rows("SELECT * FROM calls_call WHERE sid=? AND end_time IS NOT NULL", sid), what="its end"
    )[0]


class TestPlaceCall:
    """Conformance §1.6: queued → ringing → in-progress → completed, or what the phone made of it."""

    def test_it_rings_the_phone_and_runs_the_twiml_of_the_url(self, lab: Lab) -> None:
        phone, second = lab.phone(*ANSWERS), lab.phone(*ANSWERS[:-2], *answer_bye())
        path = f"/placed-{lab.number}"
        lab.server.serve(path, f'<Response><Dial timeLimit="1"><Sip>{second.uri}</Sip></Dial></Response>'.encode())
        sid = place(lab.engine, phone.uri, "--from", "5551234", "--url", lab.server.url + path)
        finish(phone, second)
        call, asked = ended(lab.engine, sid), lab.server.request(path, CallSid=sid).form
        assert (call["status"], call["direction"], call["sip_code"]) == ("completed", "outbound-api", 200)
        assert (asked["CallStatus"], asked["Direction"], asked["From"]) == ("in-progress", "outbound-api", "5551234")
        assert header(phone.received("INVITE")[0], "X-Twilio-CallSid") == sid
        legs = lab.engine.rows("SELECT * FROM calls_call WHERE parent_id=?", sid)
        assert statuses({"legs": legs}) == [("completed", 200)]

    def test_its_times_are_in_the_order_of_its_statuses(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        call = ended(lab.engine, place(lab.engine, phone.uri, "--say", "Hello"))
        assert call["start_time"] < call["ring_time"] < call["answer_time"] < call["end_time"]

    def test_it_speaks_inline_twiml_and_hangs_up(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        call = ended(lab.engine, place(lab.engine, phone.uri, "--say", "Hello"))
        finish(phone)
        assert (call["status"], call["ended_by"]) == ("completed", "engine")
        assert "say" in lab.engine.timeline(call["sid"])

    def test_a_callee_who_hangs_up_ends_it(self, lab: Lab) -> None:
        phone = lab.phone(*HANGS_UP)
        call = ended(lab.engine, place(lab.engine, phone.uri, "--say", "A long story. " * 20))
        finish(phone)
        assert (call["status"], call["ended_by"]) == ("completed", "callee")

    def test_a_busy_phone_makes_it_busy_and_no_twiml_is_asked_for(self, lab: Lab) -> None:
        phone, path = lab.phone(*refuses(486)), f"/never-{lab.number}"
        call = ended(lab.engine, place(lab.engine, phone.uri, "--url", lab.server.url + path))
        finish(phone)
        assert (call["status"], call["sip_code"], call["ended_by"]) == ("busy", 486, "callee")
        assert lab.server.requests(path) == []

    def test_a_phone_that_only_rings_makes_it_no_answer(self, lab: Lab) -> None:
        phone = lab.phone(*RINGS)
        call = ended(lab.engine, place(lab.engine, phone.uri, "--say", "Hello", "--timeout", "1"))
        finish(phone)
        assert (call["status"], call["sip_code"]) == ("no-answer", 487)

    def test_a_phone_that_answers_too_late_gets_ack_and_bye_and_it_stays_no_answer(self, lab: Lab) -> None:
        """RFC 3261 §15: its 200 crosses our CANCEL."""
        late = (recv("CANCEL"), respond_to_cancel(), respond_to_invite(200, sdp=True), recv("ACK"), *answer_bye())
        phone = lab.phone(recv("INVITE"), respond(180), *late)
        call = ended(lab.engine, place(lab.engine, phone.uri, "--say", "Hello", "--timeout", "1"))
        finish(phone)
        assert call["status"] == "no-answer"
        assert "say" not in lab.engine.timeline(call["sid"])

    def test_an_address_that_does_not_resolve_makes_it_failed(self, lab: Lab) -> None:
        call = ended(lab.engine, place(lab.engine, "sip:phone@no-such-host.invalid", "--say", "Hello"))
        assert (call["status"], call["error_code"], call["ended_by"]) == ("failed", 13254, "engine")

    def test_a_relative_action_in_inline_twiml_is_named_15004(self, lab: Lab) -> None:
        """Conformance §1.1: there is no document URL to complete it."""
        phone, second = lab.phone(*ANSWERS), lab.phone(*refuses(486))
        sid = lab.engine.shell(
            "from calls.place import queue_call\nfrom routing.models import Account\n"
            f"twiml = '<Response><Dial action=\"/next\"><Sip>{second.uri}</Sip></Dial></Response>'\n"
            f"print(queue_call(Account.objects.get(), '{phone.uri}', '100', twiml=twiml).sid)"
        ).strip()
        finish(phone, second)
        assert ended(lab.engine, sid)["status"] == "completed"
        assert lab.engine.notes(sid) == [15004]

    def test_digest_credentials_are_sent_to_a_phone_that_asks(self, lab: Lab) -> None:
        challenge = 'WWW-Authenticate: Digest realm="phones", nonce="abc", qop="auth"\n'
        phone = lab.phone(recv("INVITE"), respond(401, headers=challenge), recv("ACK"), *refuses(486))
        place(lab.engine, phone.uri, "--say", "Hello", "--username", "desk", "--password", "secret")
        finish(phone)
        assert 'username="desk"' in header(phone.received("INVITE")[1], "Authorization")

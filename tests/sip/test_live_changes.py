"""Changes of calls in progress: `Command` rows, as the admin and `POST Calls/CA…` write them, carried out at once."""

from __future__ import annotations

import pytest

from tests.sip.harness import Lab, epoch, finish
from tests.sip.sipp import until
from tests.sip.softphones import Softphones
from tests.sip.sound import tone, tone_dbfs
from tests.sip.steps import (
    ANSWERS,
    ack,
    answer_bye,
    answer_cancel,
    invite,
    progress,
    recv,
    refused,
    respond,
)

ANSWERED = (invite(), *progress(), recv(200), ack())
LIMIT = 10.0  # seconds: whoever is late by a busy machine is not late by a verb's end; bench tells the figure


def asked_at(lab: Lab, sid: str) -> float:
    """Return when the last change of this call was asked for, in seconds since the epoch."""
    rows = lab.engine.rows("SELECT created FROM calls_command WHERE call_id=? ORDER BY created", sid)
    return epoch(rows[-1]["created"])


class TestRedirect:
    """A call goes on with another document at once, whatever it does at the moment."""

    @pytest.mark.parametrize(
        "doing",
        [
            '<Play>/short.wav</Play><Pause length="30"/>',
            "<Play>/long.wav</Play>",
            '<Gather timeout="30"/>',
            '<Record timeout="30"/>',
        ],
        ids=["Pause", "Play", "Gather", "Record"],
    )
    def test_a_call_that_runs_a_verb(self, lab: Lab, doing: str) -> None:
        lab.server.serve("/long.wav", tone(1300, 20.0), kind="audio/wav")
        lab.server.serve("/short.wav", tone(1300, 0.1), kind="audio/wav")
        path = f"/redirected-{lab.number}"
        lab.server.serve(path, b"<Response><Hangup/></Response>")
        lab.twiml(doing)
        caller = lab.call(*ANSWERED, *answer_bye())
        until(lambda: caller.sent("ACK"), what="the answer")
        sid = lab.sid()
        lab.engine.change_call(sid, url=lab.server.url + path)
        told = lab.server.request(path, CallSid=sid)
        finish(caller)
        assert told.time - asked_at(lab, sid) < LIMIT

    def test_a_caller_in_conversation(self, lab: Lab) -> None:
        """The callee is let go, the caller goes on."""
        phone = lab.phone(*ANSWERS)
        lab.dial(phone)
        path = f"/redirected-{lab.number}"
        lab.server.serve(path, b"<Response><Hangup/></Response>")
        caller = lab.call(*ANSWERED, *answer_bye())
        until(lambda: phone.received("ACK"))
        sid = lab.sid()
        lab.engine.change_call(sid, url=lab.server.url + path)
        told = lab.server.request(path, CallSid=sid)
        finish(caller, phone)
        assert told.time - asked_at(lab, sid) < LIMIT

    def test_a_callee_in_conversation_goes_on_by_itself(self, lab: Lab, softphones: Softphones) -> None:
        """The child leg hears the new document; the caller's dial is over."""
        lab.server.serve("/now-this.wav", tone(1300, 3.0), kind="audio/wav")
        phone = softphones.phone("--answer", "0")
        lab.dial(phone.uri, action=f"/dial-over-{lab.number}")
        lab.server.serve(f"/dial-over-{lab.number}", b"<Response><Hangup/></Response>")
        caller = lab.call(*ANSWERED, *answer_bye())
        phone.wait("answered")
        parent = lab.sid()
        child = until(lambda: lab.engine.rows("SELECT sid FROM calls_call WHERE parent_id=?", parent))[0]["sid"]
        lab.engine.change_call(child, twiml="<Response><Play>" + lab.server.url + "/now-this.wav</Play></Response>")
        lab.server.request(f"/dial-over-{lab.number}")
        finish(caller)
        phone.wait("ended")
        phone.stop()
        assert tone_dbfs(phone.heard, 1300, last=2.0) > -30

    def test_a_call_that_still_rings_is_taken_to_the_new_document(self, lab: Lab) -> None:
        phone = lab.phone(recv("INVITE"), respond(180), *answer_cancel())
        lab.dial(phone, answerOnBridge="true")
        path = f"/redirected-{lab.number}"
        lab.server.serve(path, b"<Response><Reject reason='busy'/></Response>")
        caller = lab.call(*refused(486))
        until(lambda: phone.sent("SIP/2.0 180"))
        sid = lab.sid()
        lab.engine.change_call(sid, url=lab.server.url + path)
        finish(caller, phone)


class TestEnd:
    def test_a_call_is_ended_with_all_its_legs(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone)
        caller = lab.call(*ANSWERED, *answer_bye())
        until(lambda: phone.received("ACK"))
        sid = lab.sid()
        lab.engine.change_call(sid, status="completed")
        finish(caller, phone)
        assert caller.received_at("BYE") - asked_at(lab, sid) < LIMIT
        assert lab.log()["status"] == "completed"

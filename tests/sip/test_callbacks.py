"""Status and recording callbacks of a real engine, received by a real web server that checks each signature with the
official `twilio` package (conformance §1.9–1.11, §1.16).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from twilio.request_validator import RequestValidator

from tests.databases import Database
from tests.sip.harness import TOKEN, Asked, Engine, Lab, TwimlServer, finish
from tests.sip.sipp import Peers, until
from tests.sip.steps import (
    ANSWERS,
    GIVES_UP,
    HANGS_UP,
    LISTENS,
    RINGS,
    TALKS,
    invite,
    recv,
    refused,
    refuses,
    ringing,
)

WAITS = (invite(), *ringing(), recv(200))
ALL = 'statusCallback="/status/{}" statusCallbackEvent="initiated ringing answered completed"'


@pytest.fixture
def told(lab: Lab) -> Told:
    return Told(lab)


class Told:
    """What the application was told about one test's call; every receipt is answered 204."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.path = f"/status/{lab.number}"
        lab.server.serve(self.path, b"", status=204)

    @property
    def attributes(self) -> str:
        return ALL.format(self._lab.number)

    def about(self, port: int) -> list[Asked]:
        """Return the callbacks about the leg to this port, by SequenceNumber."""
        found = [one for one in self._lab.server.requests(self.path) if one.form["To"].endswith(f":{port}")]
        return sorted(found, key=lambda one: int(one.form["SequenceNumber"]))

    def statuses(self, port: int, last: str) -> list[str]:
        """Wait for the last status of the leg to this port, and return all of them."""
        until(
            lambda: any(one.form["CallStatus"] == last for one in self.about(port)), what=f"{last} told of leg {port}"
        )
        return [one.form["CallStatus"] for one in self.about(port)]

    def whole_log(self) -> list[str]:
        """Wait until every delivery of the call is in the log, and return the states."""
        call = self._lab.log()
        sids = [call["sid"], *(leg["sid"] for leg in call["legs"])]
        marks = ",".join("?" * len(sids))

        def all_sent() -> list[str]:
            rows = self._lab.engine.rows(f"SELECT * FROM calls_webhookdelivery WHERE call_id IN ({marks})", *sids)
            done = [row["state"] for row in rows if row["state"] != "pending"]
            return done if len(done) == len(rows) else []

        return until(all_sent, what="the outcome of every callback in the log")


def signed(asked: Asked) -> bool:
    """Ask the official validator about a request."""
    return bool(RequestValidator(TOKEN).validate(asked.url, asked.form, asked.headers["X-Twilio-Signature"]))


class TestTheGoldenTraces:
    """Conformance §1.16."""

    def test_one_rings_one_answers(self, lab: Lab, told: Told) -> None:
        loser, winner = lab.phone(*RINGS), lab.phone(*ANSWERS)
        lab.dial(loser, winner, sip=told.attributes, answerOnBridge="true")
        finish(lab.call(*TALKS), loser, winner)
        assert told.statuses(winner.port, "completed") == ["initiated", "ringing", "in-progress", "completed"]
        assert told.statuses(loser.port, "canceled") == ["initiated", "ringing", "canceled"]
        lost = told.about(loser.port)[-1].form
        assert (lost["SipResponseCode"], lost["CallDuration"], lost["Duration"]) == ("487", "0", "0")
        assert all(signed(one) for port in (loser.port, winner.port) for one in told.about(port))

    def test_a_hunt_over_busy_to_nobody(self, lab: Lab, told: Told) -> None:
        busy, silent = lab.phone(*refuses(486)), lab.phone(*RINGS)
        lab.dial(busy, silent, sip=told.attributes, sequential="true", timeout=5)
        finish(lab.call(*LISTENS), busy, silent)
        assert told.statuses(busy.port, "busy") == ["initiated", "busy"]
        assert told.statuses(silent.port, "no-answer") == ["initiated", "ringing", "no-answer"]


class TestDelivery:
    """Twilio's status callback page: how a callback arrives, and what is kept of it."""

    def test_it_is_signed_named_and_numbered(self, lab: Lab, told: Told) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone, sip=told.attributes)
        finish(lab.call(*TALKS), phone)
        told.statuses(phone.port, "completed")
        requests = told.about(phone.port)
        assert [one.form["SequenceNumber"] for one in requests] == ["0", "1", "2", "3"]
        assert {one.headers["User-Agent"] for one in requests} == {"TwilioProxy/1.1"}
        assert len({one.headers["I-Twilio-Idempotency-Token"] for one in requests}) == 4
        assert {one.form["ParentCallSid"] for one in requests} == {lab.log()["sid"]}

    def test_get_callbacks_carry_their_parameters_in_the_query(self, lab: Lab, told: Told) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone, sip=f'{told.attributes} statusCallbackMethod="GET"')
        finish(lab.call(*TALKS), phone)
        told.statuses(phone.port, "completed")
        first = told.about(phone.port)[0]
        assert first.method == "GET"
        assert RequestValidator(TOKEN).validate(first.url, {}, first.headers["X-Twilio-Signature"])

    def test_every_attempt_is_a_row_with_its_answer(self, lab: Lab, told: Told) -> None:
        phone = lab.phone(*refuses(486))
        lab.dial(phone, sip=told.attributes)
        finish(lab.call(*LISTENS), phone)
        assert told.whole_log() == ["delivered", "delivered"]

    def test_an_application_that_answers_500_does_not_touch_the_call(self, lab: Lab, told: Told) -> None:
        lab.server.serve(told.path, b"oops", status=500)
        phone = lab.phone(*ANSWERS)
        lab.dial(phone, sip=told.attributes)
        finish(lab.call(*TALKS), phone)
        assert lab.log()["status"] == "completed"
        sid = lab.log()["legs"][0]["sid"]
        rows = until(
            lambda: [
                row
                for row in lab.engine.rows("SELECT * FROM calls_webhookdelivery WHERE call_id=?", sid)
                if row["state"] == "failed" and row["response_status"] == 500
            ],
            what="a failed attempt in the log",
        )
        assert (rows[0]["response_body"], rows[0]["error_code"]) == ("oops", 11200)


class TestRaces:
    """Conformance §1.4: exactly one end for each leg that was started."""

    def test_a_caller_who_gives_up(self, lab: Lab, told: Told) -> None:
        phone = lab.phone(*RINGS)
        lab.dial(phone, sip=told.attributes, answerOnBridge="true")
        finish(lab.call(*GIVES_UP), phone)
        assert told.statuses(phone.port, "canceled") == ["initiated", "ringing", "canceled"]

    def test_a_callee_who_hangs_up(self, lab: Lab, told: Told) -> None:
        phone = lab.phone(*HANGS_UP)
        lab.dial(phone, sip=told.attributes)
        finish(lab.call(*LISTENS), phone)
        assert told.statuses(phone.port, "completed")[-1] == "completed"
        assert len(told.about(phone.port)) == 4


class TestTheDomain:
    """A SIP domain's status callback: the end of the inbound call only (conformance §1.9)."""

    def test_it_is_told_the_end(self, lab: Lab) -> None:
        lab.server.serve("/domain", b"", status=204)
        lab.engine.change_routing(
            "domain = SipDomain.objects.get(is_default=True)\n"
            f"domain.voice_status_callback_url = '{lab.server.url}/domain'\ndomain.save()"
        )
        lab.twiml("<Hangup/>")
        finish(lab.call(*refused(603)))
        call = lab.log()
        asked = lab.server.request("/domain", CallSid=call["sid"])
        assert (asked.form["CallStatus"], asked.form["Direction"]) == (call["status"], "inbound")
        assert signed(asked)
        assert len(lab.server.requests("/domain", CallSid=call["sid"])) == 1


@pytest.fixture
def killed(server: TwimlServer, database: Database, tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path / "engine", server, database)
    yield engine
    engine.stop()


class TestAKilledEngine:
    """The legs of a killed engine tell their end too, once, by the worker (issue 3, point 3)."""

    def test_each_leg_tells_one_end(self, killed: Engine, server: TwimlServer, tmp_path: Path) -> None:
        peers = Peers(tmp_path)
        try:
            killed.start()
            lab = Lab(killed, server, peers, "killed-callbacks")
            told = Told(lab)
            phones = [lab.phone(*RINGS), lab.phone(*RINGS)]
            lab.dial(*phones, sip=told.attributes, answerOnBridge="true")
            lab.call(*WAITS)
            until(lambda: all(len(told.about(phone.port)) == 2 for phone in phones), what="both phones ringing")
            until(
                lambda: len(killed.rows("SELECT 1 FROM calls_webhookdelivery WHERE state='delivered'")) == 4,
                what="the attempts so far in the log",
            )
            killed.kill()
            killed.start()
            until(
                lambda: killed.rows("SELECT * FROM calls_webhookdelivery WHERE event='completed'"),
                what="the ends in the table of deliveries",
            )
            killed.manage("shell", "-v", "0", "-c", "from calls import delivery; delivery.deliver_due()")
            for phone in phones:
                assert told.statuses(phone.port, "failed") == ["initiated", "ringing", "failed"]
                assert [one.form["SequenceNumber"] for one in told.about(phone.port)] == ["0", "1", "2"]
                assert signed(told.about(phone.port)[-1])
        finally:
            peers.end()

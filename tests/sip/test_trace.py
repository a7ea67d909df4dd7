"""The SIP messages of every leg are kept, in order and without secrets; how the sound went is measured; far ends are
asked whether they are there (issue 5: ladder, quality, checks)."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.databases import Database
from tests.sip.harness import PASSWORD, Engine, Lab, TwimlServer, finish
from tests.sip.sipp import HOST, Peers, free_port, until
from tests.sip.softphones import Softphones
from tests.sip.steps import (
    ANSWERS,
    ack,
    ack_of_refusal,
    answer_bye,
    bye,
    cue,
    invite,
    progress,
    recv,
    refused,
    refuses,
    respond,
)

DIGEST = "digest.example"
LOGIN = ("alice", PASSWORD)
SECRETS = ("response", "nonce", "cnonce", "opaque")
CALLS_WITH_PASSWORD = (
    invite(host=DIGEST),
    recv(100, optional=True),
    recv(407, auth=True),
    ack_of_refusal(host=DIGEST),
    invite(host=DIGEST, cseq=2, auth=True),
    *progress(),
    recv(200),
    ack(cseq=2),
    cue(),
    *bye(cseq=3),
)


def messages(engine: Engine, leg: dict[str, Any], *, last: str) -> list[dict[str, Any]]:
    """Wait until the last message of a leg is in the database; return all of them in order."""

    def found() -> list[dict[str, Any]]:
        rows = engine.rows("SELECT * FROM calls_sipmessage WHERE sip_call_id=? ORDER BY time", leg["sip_call_id"])
        return rows if any(shown(row) == last for row in rows) else []

    return until(found, f"{last} in the trace")


def shown(row: dict[str, Any]) -> str:
    arrow = ">" if row["sent"] else "<"
    return f"{arrow} {row['code'] or row['method']}" + (f" {row['method']}" if row["code"] else "")


def without_repeats(rows: list[dict[str, Any]]) -> list[str]:
    """Return messages in order, each once: on a busy machine some are sent again."""
    return [name for name, _ in dict.fromkeys((shown(row), row["cseq"]) for row in rows)]


class TestLadder:
    def test_both_legs_of_a_call_have_all_their_messages_in_order(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone, answerOnBridge="true")
        finish(lab.call(*CALLS_WITH_PASSWORD, login=LOGIN), phone)
        call = lab.log()
        caller = messages(lab.engine, call, last="> 200 BYE")
        assert without_repeats(caller) == [
            "< INVITE", "> 100 INVITE", "> 407 INVITE", "< ACK",
            "< INVITE", "> 100 INVITE", "> 180 INVITE", "> 200 INVITE", "< ACK", "< BYE", "> 200 BYE",
        ]  # fmt: skip
        callee = messages(lab.engine, call["legs"][0], last="< 200 BYE")
        assert without_repeats(callee) == [
            "> INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK", "> BYE", "< 200 BYE",
        ]  # fmt: skip
        assert {row["peer"] for row in callee} == {f"{HOST}:{phone.port}"}
        assert {row["local"] for row in callee} == {lab.engine.address}
        assert {(row["transport"], row["engine"]) for row in (*caller, *callee)} == {("udp", "tests")}
        assert {row["cseq"] for row in caller} == {1, 2, 3}

    def test_what_proves_a_password_is_masked_and_who_it_was_is_not(self, lab: Lab) -> None:
        lab.twiml("<Hangup/>")
        finish(
            lab.call(*CALLS_WITH_PASSWORD[:5], *progress(), recv(603), ack_of_refusal(cseq=2, host=DIGEST), login=LOGIN)
        )
        texts = [row["text"] for row in messages(lab.engine, lab.log(), last="> 603 INVITE")]
        proof = next(line for text in texts for line in text.splitlines() if line.startswith("Proxy-Authorization:"))
        assert 'username="alice"' in proof and f'realm="{DIGEST}"' in proof
        assert 'response="***"' in proof and 'nonce="***"' in proof
        challenge = next(line for text in texts for line in text.splitlines() if line.startswith("Proxy-Authenticate:"))
        assert 'nonce="***"' in challenge

    def test_a_refused_stranger_is_kept_too(self, lab: Lab) -> None:
        finish(lab.call(*refused(403, host="elsewhere.example")))
        line = f"INVITE sip:{lab.number}@elsewhere.example SIP/2.0"

        def refusal() -> list[dict[str, Any]]:
            asked = lab.engine.rows("SELECT sip_call_id FROM calls_sipmessage WHERE start_line=?", line)
            sql = "SELECT 1 FROM calls_sipmessage WHERE sip_call_id=? AND code=403"
            return lab.engine.rows(sql, asked[0]["sip_call_id"]) if asked else []

        until(refusal, "the refusal")

    def test_options_leave_no_trace(self, lab: Lab) -> None:
        request = (
            f"OPTIONS sip:{lab.engine.address} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {HOST}:9;rport;branch=z9hG4bK{lab.number}\r\n"
            f"From: <sip:s@{HOST}>;tag=1\r\nTo: <sip:{lab.engine.address}>\r\nCall-ID: options-{lab.number}\r\n"
            "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.settimeout(5)
            stranger.sendto(request.encode(), (HOST, lab.engine.port))
            assert b" 200 " in stranger.recv(4000)
        phone = lab.phone(*refuses(486))
        lab.dial(phone, answerOnBridge="true")
        finish(lab.call(invite(), *progress(), recv(486), ack_of_refusal()), phone)
        messages(lab.engine, lab.log()["legs"][0], last="> ACK")
        assert not lab.engine.rows("SELECT 1 FROM calls_sipmessage WHERE method='OPTIONS'")


def test_the_trace_of_a_call_reaches_up_to_the_moment_at_which_the_engine_was_killed(
    server: TwimlServer, database: Database, peers: Peers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    engine = Engine(tmp_path_factory.mktemp("killed"), server, database)
    engine.start()
    try:
        lab = Lab(engine, server, peers, "killed")
        phone = lab.phone(recv("INVITE"), respond(180), respond(200, sdp=True), recv("ACK"), *answer_bye())
        lab.dial(phone, answerOnBridge="true")
        caller = lab.call(invite(), *progress(), recv(200), ack(), cue(), *answer_bye())
        until(lambda: caller.waits_for_cue() and phone.received("ACK"), "the conversation")
        legs = until(
            lambda: engine.rows("SELECT * FROM calls_call WHERE status='in-progress' AND parent_id IS NULL"), "the call"
        )
        engine.kill()
        rows = messages(engine, legs[0], last="< ACK")
        assert without_repeats(rows)[-2:] == ["> 200 INVITE", "< ACK"]
    finally:
        engine.stop()


class TestQuality:
    def test_a_conversation_of_two_softphones_is_measured_on_both_legs(self, lab: Lab, softphones: Softphones) -> None:
        callee = softphones.phone("--answer", "0", "--tone", "440")
        lab.dial(callee.uri, answerOnBridge="true")
        caller = softphones.phone("--call", lab.uri, "--tone", "600", "--hangup", "1.5")
        caller.wait("ended")
        call = lab.log()

        def measured() -> list[dict[str, Any]]:
            sql = "SELECT * FROM calls_legquality WHERE final AND call_id IN (?, ?)"
            rows = lab.engine.rows(sql, call["sid"], call["legs"][0]["sid"])
            return rows if len(rows) == 2 else []

        for row in until(measured, "the quality of both legs"):
            assert row["codec"] == "PCMU"
            assert 40 < row["packets_in"] < 200 and 40 < row["packets_out"] < 200
            assert row["lost_in"] == 0
            assert 0 <= row["jitter_in_ms"] < 30
            assert 3.0 < row["mos_in"] <= 4.5


class TestChecks:
    def result(self, lab: Lab, uri: str) -> Any:
        code = (
            "from calls import checks\n"
            f"endpoint, _ = Endpoint.objects.get_or_create(account=Account.objects.get(), name='c{lab.number}', "
            f"defaults=dict(uri={uri!r}))\n"
            "print(checks.request_check(endpoint, 'anna'))"
        )
        number = int(lab.engine.shell("from routing.models import *\n" + code).split()[-1])
        until(
            lambda: lab.engine.rows("SELECT 1 FROM calls_endpointcheck WHERE id=? AND done_at IS NOT NULL", number),
            "the outcome of the check",
        )
        told = lab.engine.shell(
            "from calls import checks\nimport json, dataclasses\n"
            f"print(json.dumps(dataclasses.asdict(checks.result({number}))))"
        )
        return json.loads(told.splitlines()[-1])

    def test_a_phone_that_is_there_answers(self, lab: Lab, softphones: Softphones) -> None:
        phone = softphones.phone()
        found = self.result(lab, phone.uri)
        assert (found["state"], found["code"], found["server"]) == ("answered", 200, "Cordboard")
        assert found["milliseconds"] < 1000
        assert found["text"].startswith(f"We sent OPTIONS to {phone.uri}: answered 200 OK in ")

    def test_a_phone_is_reached_by_tls(self, lab: Lab, softphones: Softphones) -> None:
        phone = softphones.phone(tls=True)
        assert self.result(lab, phone.uri)["code"] == 200

    def test_a_dead_port_does_not_answer(self, lab: Lab) -> None:
        found = self.result(lab, f"sip:nobody@{HOST}:{free_port()}")
        assert (found["state"], found["code"]) == ("unanswered", 0)
        assert "no answer within 4 s" in found["text"]

    def test_a_port_that_refuses_the_connection_is_told_at_once(self, lab: Lab) -> None:
        found = self.result(lab, f"sip:nobody@{HOST}:{free_port()};transport=tcp")
        assert found["state"] == "unanswered"
        assert "cannot be reached" in found["text"]

    def test_a_host_that_does_not_exist_is_named(self, lab: Lab) -> None:
        found = self.result(lab, "sip:nobody@phones.invalid")
        assert "host phones.invalid cannot be resolved" in found["text"]


def test_the_engine_tells_that_it_runs(lab: Lab) -> None:
    code = (
        "from calls.engines import engines\n"
        "for one in engines(): print((one.state, one.alive, one.engine.name, one.engine.library[:10]))"
    )

    def told() -> str:
        return lab.engine.shell(code)

    assert "('running', True, 'tests', 'pjproject ')" in until(lambda: told() if "running" in told() else "", "it")

"""The callback sender as the process that it is: a real receiver, a database of its own, Twilio's validator."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.conf import settings
from twilio.request_validator import RequestValidator

from calls.entries import DeliveryEntry, to_json
from routing.models import Account
from routing.sid import new_sid
from tests import databases, rows
from tests.databases import Database
from tests.waiting import SECONDS, until

pytestmark = pytest.mark.django_db

# An engine in as far as a sender knows it: starts one, tells its number, and lives until it is killed.
LIVING = """
import os, subprocess, sys, time
child = subprocess.Popen([*sys.argv[1:], "--parent", str(os.getpid())], stdin=0)
print(child.pid, flush=True)
child.wait()
"""


@dataclass
class Asked:
    """A request as it arrived, and when."""

    path: str
    form: dict[str, str]
    headers: dict[str, str]
    url: str
    time: float = field(default_factory=time.monotonic)


class Receiver:
    """A web application that takes callbacks: 204 at once, or what `answers` has for the path; `gate` holds them up."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answered: list[tuple[str, str]] = []
        self.answers: dict[str, tuple[int, str, str]] = {}
        self.gate: dict[str, threading.Event] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = dict(parse_qsl(body, keep_blank_values=True))
                url = f"http://{self.headers['Host']}{self.path}"
                receiver.asked.append(Asked(self.path, form, dict(self.headers), url))
                if gate := receiver.gate.get(self.path):
                    gate.wait(SECONDS)
                status, kind, text = receiver.answers.get(self.path, (204, "", ""))
                receiver.answered.append((self.path, form.get("SequenceNumber", "")))
                self.send_response(status)
                if kind:
                    self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str = "/cb") -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}{path}"

    def stop(self) -> None:
        for gate in self.gate.values():
            gate.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


class Sender:
    """The process, fed as the engine feeds it."""

    def __init__(self, folder: Path, account: Account, database: Database) -> None:
        self.base = folder
        self.account = account
        self.database = database
        self.process: subprocess.Popen[bytes] | None = None
        self._log = folder / "log"
        database.add(account)

    @property
    def command(self) -> list[str]:
        return [sys.executable, str(settings.BASE_DIR / "manage.py"), "webhook_sender", "--engine", "e1"]

    def start(self, *prefix: str, **environment: str) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, *self.command],
                env={**os.environ, "DATABASE_URL": self.database.url, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if prefix else None,
                stderr=log,
                cwd=self.base,
            )
        return self.process

    def entry(self, url: str, sequence: int = 0, call: str = "", **values: Any) -> DeliveryEntry:
        sid = new_sid("WD")
        made = DeliveryEntry(
            sid=sid,
            message=sid,
            account_sid=self.account.sid,
            call_sid=call or new_sid("CA"),
            topic="status",
            event="completed",
            url=url,
            method="POST",
            parameters=(("CallSid", call or "CA1"), ("SequenceNumber", str(sequence)), ("To", "sip:jürgen@h")),
            time=time.time(),
            sender="e1",
        )
        return replace(made, **values)

    def give(self, *entries: DeliveryEntry) -> None:
        text = "".join(json.dumps(to_json(one)) + "\n" for one in entries)
        self.give_raw(text.encode())

    def give_raw(self, text: bytes) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def end(self) -> int:
        """Close the pipe, as an engine that stops does, and wait for the process."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(SECONDS)

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the attempts that the database has, by SID."""
        return {row["sid"]: row for row in self.database.rows("SELECT * FROM calls_webhookdelivery")}

    def row(self, entry: DeliveryEntry) -> dict[str, Any]:
        """Wait for the outcome of an attempt and return its row."""
        until(lambda: entry.sid in self.rows())
        return self.rows()[entry.sid]

    def said(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()


@pytest.fixture(scope="module")
def schema(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Database:
    with django_db_blocker.unblock():
        return databases.migrated(tmp_path_factory.mktemp("sender"))


@pytest.fixture
def sender(tmp_path: Path, schema: Database, db: None) -> Iterator[Sender]:
    made = Sender(tmp_path, rows.account(), schema.copy(tmp_path))
    yield made
    made.stop()


class TestAnAttempt:
    """Design conformance §1.9, §1.11; every attempt is a row (issue 3, part 3)."""

    def test_it_arrives_signed_and_twilios_validator_accepts_it(self, sender: Sender, receiver: Receiver) -> None:
        sender.start()
        entry = sender.entry(receiver.url("/cb?x=1"))
        sender.give(entry)
        until(lambda: receiver.asked)
        asked = receiver.asked[0]
        assert asked.form == dict(entry.parameters)
        validator = RequestValidator(sender.account.auth_token)
        assert validator.validate(asked.url, asked.form, asked.headers["X-Twilio-Signature"])
        assert asked.headers["I-Twilio-Idempotency-Token"] == entry.message

    def test_its_outcome_is_kept(self, sender: Sender, receiver: Receiver) -> None:
        receiver.answers["/cb"] = (200, "text/xml; charset=utf-8", "<Response/>")
        sender.start()
        entry = sender.entry(receiver.url())
        sender.give(entry)
        row = sender.row(entry)
        assert (row["state"], row["response_status"], row["response_type"]) == ("delivered", 200, "text/xml")
        assert (row["response_body"], row["error_code"], row["attempt"]) == ("<Response/>", 0, 1)
        assert row["sent_at"] is not None
        assert 0 <= row["milliseconds"] < 1000 * SECONDS

    def test_a_failure_is_kept_with_its_code_and_what_the_server_said(self, sender: Sender, receiver: Receiver) -> None:
        receiver.answers["/cb"] = (500, "text/plain", "Traceback " + "x" * 5000)
        sender.start()
        entry = sender.entry(receiver.url())
        sender.give(entry)
        row = sender.row(entry)
        assert (row["state"], row["response_status"], row["error_code"]) == ("failed", 500, 11200)
        assert row["error"].startswith("HTTP 500")
        assert row["response_body"] == ("Traceback " + "x" * 5000)[:4096]

    def test_it_is_made_once(self, sender: Sender, receiver: Receiver) -> None:
        receiver.answers["/cb"] = (500, "", "")
        sender.start()
        entry = sender.entry(receiver.url())
        sender.give(entry)
        sender.row(entry)
        assert sender.end() == 0
        assert len(receiver.asked) == 1

    def test_of_an_account_that_is_gone_it_fails(self, sender: Sender, receiver: Receiver) -> None:
        sender.start()
        entry = sender.entry(receiver.url(), account_sid="AC" + "f" * 32)
        sender.give(entry)
        assert (sender.row(entry)["state"], sender.row(entry)["error_code"]) == ("failed", 20003)
        assert receiver.asked == []

    @pytest.mark.parametrize(
        "url", ["http://169.254.169.254/latest", "http://[::ffff:169.254.169.254]/", "http://a_b/"]
    )
    def test_where_no_url_may_lead_it_fails(self, sender: Sender, url: str) -> None:
        sender.start()
        entry = sender.entry(url)
        sender.give(entry)
        assert (sender.row(entry)["state"], sender.row(entry)["error_code"]) == ("failed", 11100)

    def test_the_operators_settings_hold(self, sender: Sender, receiver: Receiver) -> None:
        sender.start(WEBHOOK_DENY_NETWORKS="loopback", WEBHOOK_USER_AGENT="Cordboard")
        entry = sender.entry(receiver.url())
        sender.give(entry)
        assert "WEBHOOK_DENY_NETWORKS" in sender.row(entry)["error"]
        assert receiver.asked == []

    def test_a_line_that_cannot_be_read_stops_no_other(self, sender: Sender, receiver: Receiver) -> None:
        sender.start()
        entry = sender.entry(receiver.url())
        sender.give_raw(b"{no json\n[]\n" + b"x" * 5_000_000 + b'\n{"kind":"delivery"}\n')
        sender.give(entry)
        assert sender.row(entry)["state"] == "delivered"
        assert "left to the worker" in sender.said()


class TestOrder:
    """A leg's callbacks to one host go one after the other; nothing else waits for anything."""

    def test_the_next_one_of_a_leg_waits_for_the_attempt_before_it(self, sender: Sender, receiver: Receiver) -> None:
        receiver.gate["/slow"] = threading.Event()
        sender.start()
        leg = new_sid("CA")
        sender.give(
            sender.entry(receiver.url("/slow"), 0, leg),
            sender.entry(receiver.url("/b"), 1, leg),
            sender.entry(receiver.url("/c"), 2, leg),
            other := sender.entry(receiver.url("/other")),
        )
        sender.row(other)
        assert {one.path for one in receiver.asked} == {"/slow", "/other"}
        receiver.gate["/slow"].set()
        until(lambda: len(receiver.asked) == 4)
        assert receiver.answered[1:] == [("/slow", "0"), ("/b", "1"), ("/c", "2")]

    def test_it_goes_on_after_one_that_failed(self, sender: Sender, receiver: Receiver) -> None:
        receiver.answers["/a"] = (500, "", "")
        sender.start()
        leg = new_sid("CA")
        sender.give(sender.entry(receiver.url("/a"), 0, leg), sender.entry(receiver.url("/b"), 1, leg))
        until(lambda: receiver.answered == [("/a", "0"), ("/b", "1")])

    def test_the_events_of_a_conference_keep_their_order_whoever_they_are_about(
        self, sender: Sender, receiver: Receiver
    ) -> None:
        receiver.gate["/slow"] = threading.Event()
        sender.start()

        def told(path: str) -> DeliveryEntry:
            parameters = (("ConferenceSid", "CF1"),)
            return replace(sender.entry(receiver.url(path)), topic="conference", parameters=parameters)

        sender.give(told("/slow"), told("/next"), other := sender.entry(receiver.url("/other")))
        sender.row(other)
        assert "/next" not in {one.path for one in receiver.asked}
        receiver.gate["/slow"].set()
        until(lambda: "/next" in {one.path for one in receiver.asked})

    def test_a_host_that_hangs_does_not_keep_another_waiting(self, sender: Sender, receiver: Receiver) -> None:
        dead = Receiver()
        dead.gate["/cb"] = threading.Event()
        try:
            sender.start()
            sender.give(*(sender.entry(dead.url()) for _ in range(300)))
            until(lambda: len(dead.asked) == 50)  # as many as one host may have at once
            alive = [sender.entry(receiver.url()) for _ in range(100)]
            sender.give(*alive)
            until(lambda: len(receiver.asked) == 100)
            assert len(dead.asked) == 50
        finally:
            dead.stop()

    def test_what_one_host_has_too_many_of_is_left_to_the_worker(self, sender: Sender, receiver: Receiver) -> None:
        dead = Receiver()
        dead.gate["/cb"] = threading.Event()
        try:
            sender.start()
            sender.give(*(sender.entry(dead.url()) for _ in range(5500)), last := sender.entry(receiver.url()))
            assert sender.row(last)["state"] == "delivered"
            assert "too many callbacks wait for http://127.0.0.1:" in sender.said()
        finally:
            dead.stop()


class TestTheDatabase:
    """It may be away at any time; callbacks go on, and their outcomes are written later."""

    def test_outcomes_wait_for_it(self, sender: Sender, receiver: Receiver) -> None:
        sender.start()
        first, second = sender.entry(receiver.url()), sender.entry(receiver.url())
        sender.give(first)
        sender.row(first)
        with sender.database.without("calls_webhookdelivery"):
            sender.give(second)
            until(lambda: "the database is away" in sender.said())
            assert len(receiver.asked) == 2
        assert sender.row(second)["state"] == "delivered"

    def test_a_callback_waits_for_the_token_that_signs_it(self, sender: Sender, receiver: Receiver) -> None:
        with sender.database.without("routing_account"):
            sender.start()
            entry = sender.entry(receiver.url())
            sender.give(entry)
            until(lambda: "cannot be read" in sender.said())
            assert receiver.asked == []
        assert sender.row(entry)["state"] == "delivered"


class TestItsLife:
    """It lives as long as its engine, and until it has sent what that one left behind."""

    def test_it_sends_what_it_has_when_the_pipe_is_closed(self, sender: Sender, receiver: Receiver) -> None:
        sender.start()
        entries = [sender.entry(receiver.url()) for _ in range(200)]
        sender.give(*entries)
        assert sender.end() == 0
        assert {row["state"] for row in sender.rows().values()} == {"delivered"}
        assert len(sender.rows()) == len(receiver.asked) == 200

    def test_it_goes_on_when_asked_to_stop_since_only_its_engine_decides(
        self, sender: Sender, receiver: Receiver
    ) -> None:
        process = sender.start()
        sender.give(first := sender.entry(receiver.url()))
        sender.row(first)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        sender.give(second := sender.entry(receiver.url()))
        assert sender.row(second)["state"] == "delivered"

    def test_it_ends_by_itself_when_its_engine_is_killed_though_the_pipe_is_open(
        self, sender: Sender, receiver: Receiver
    ) -> None:
        engine = sender.start(sys.executable, "-c", LIVING)
        assert engine.stdout is not None
        pid = int(engine.stdout.readline())
        sender.give(entry := sender.entry(receiver.url()))
        sender.row(entry)
        engine.kill()
        engine.wait()
        until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])

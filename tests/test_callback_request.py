"""One attempt of a callback as the worker makes it, in a thread without an event loop."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from calls.callback_request import Outcome, concluded, deliver
from calls.entries import DeliveryEntry
from calls.guarded import ClientPolicy
from calls.urlguard import Guard, networks

TOKEN = "0123456789abcdef0123456789abcdef"
PARAMETERS = (("CallSid", "CA1"), ("CallStatus", "completed"))


class Site:
    """A web application that answers everything alike and remembers what it was asked."""

    def __init__(self) -> None:
        self.status, self.kind, self.body = 204, "", b""
        self.asked: list[dict[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                site.asked.append(dict(self.headers))
                self.send_response(site.status)
                if site.kind:
                    self.send_header("Content-Type", site.kind)
                self.send_header("Content-Length", str(len(site.body)))
                self.end_headers()
                self.wfile.write(site.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/cb"


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


def sent(url: str) -> Outcome:
    return deliver(url, "POST", PARAMETERS, TOKEN, "WD1")


class TestDelivering:
    """Design conformance §1.9, §1.11."""

    def test_an_answer_of_2xx_means_delivered(self, site: Site) -> None:
        outcome = sent(site.url)
        assert (outcome.delivered, outcome.status, outcome.error_code, outcome.error) == (True, 204, 0, "")
        assert 0 <= outcome.milliseconds < 5000

    def test_every_attempt_carries_the_token_of_the_message(self, site: Site) -> None:
        sent(site.url)
        sent(site.url)
        assert [one["I-Twilio-Idempotency-Token"] for one in site.asked] == ["WD1", "WD1"]

    def test_the_answer_is_kept(self, site: Site) -> None:
        site.status, site.kind, site.body = 200, "Text/HTML; charset=utf-8", b"OK"
        outcome = sent(site.url)
        assert (outcome.status, outcome.content_type, outcome.body) == (200, "text/html", "OK")

    def test_four_thousand_characters_of_it(self, site: Site) -> None:
        site.status, site.body = 200, "ü".encode() * 10_000
        assert sent(site.url).body == "ü" * 4096

    def test_bytes_that_no_database_takes_are_left_out(self, site: Site) -> None:
        site.status, site.body = 200, b"a\0b\xff"
        assert sent(site.url).body == "ab�"

    @pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
    def test_any_other_answer_is_a_failure_that_keeps_it(self, site: Site, status: int) -> None:
        site.status, site.kind, site.body = status, "text/plain", b"why"
        outcome = sent(site.url)
        assert (outcome.delivered, outcome.status, outcome.error_code) == (False, status, 11200)
        assert (outcome.content_type, outcome.body) == ("text/plain", "why")
        assert outcome.error.startswith(f"HTTP {status}")
        assert len(site.asked) == 1

    def test_the_retry_policy_of_the_url_holds_within_an_attempt(self, site: Site) -> None:
        site.status = 500
        sent(site.url + "#rc=2&rp=5xx")
        assert len(site.asked) == 3


class TestWithoutAnAnswer:
    """Nothing that the network or the URL does is raised."""

    def test_a_refused_connection(self) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            outcome = sent(f"http://127.0.0.1:{held.getsockname()[1]}/")
        assert (outcome.delivered, outcome.status, outcome.error_code) == (False, 0, 11202)

    @pytest.mark.parametrize("url", ["", "ftp://a/b", "http://[oops", "http://a:99999/", "http://a_b/"])
    def test_what_is_no_url(self, url: str) -> None:
        assert sent(url).error_code == 11100

    def test_an_override_out_of_range(self, site: Site) -> None:
        assert sent(site.url + "#rc=9").error_code == 11243

    def test_where_the_operator_denies_it(self, site: Site) -> None:
        policy = ClientPolicy(guard=Guard(deny=networks(["loopback"])))
        assert deliver(site.url, "POST", PARAMETERS, TOKEN, "WD1", policy).error_code == 11100
        assert site.asked == []


ENTRY = DeliveryEntry("WD1", "WD1", "AC1", "CA1", "status", "completed", "http://h/cb", "POST", PARAMETERS, 1.0)


class TestTheOutcomeOfAnEntry:
    def test_a_delivered_one(self) -> None:
        made = concluded(ENTRY, Outcome(True, 12, 200, "text/xml", "<Response/>"), 2.0)
        assert (made.state, made.sent_at, made.milliseconds) == ("delivered", 2.0, 12)
        assert (made.response_status, made.response_type, made.response_body) == (200, "text/xml", "<Response/>")
        assert (made.sid, made.parameters, made.error_code) == ("WD1", PARAMETERS, 0)

    def test_a_failed_one(self) -> None:
        made = concluded(ENTRY, Outcome(False, 12, error_code=11202, error="connection refused"), 2.0)
        assert (made.state, made.error_code, made.error) == ("failed", 11202, "connection refused")

"""What the API says to requests that it cannot take, whatever they are about."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import OperationalError
from pytest_django.live_server_helper import LiveServer

from routing.api import applications
from routing.models import Account, Application
from tests.api.wire import FORM, Wire, basic, error_of
from tests.waiting import SECONDS

LIST = "Applications.json"


class TestPaths:
    """Twilio answers JSON with code 20404 for a path that is not there, and 20004 for a method."""

    @pytest.mark.parametrize("path", ["Nonsense.json", "Applications/x/y.json", "/2010-04-01/", "/2010-04-01/x"])
    def test_an_unknown_path(self, wire: Wire, path: str) -> None:
        response = wire.get(path)
        assert error_of(response) == (404, 20404)
        assert response.json()["message"] == f"The requested resource {wire.path(path)} was not found"

    @pytest.mark.parametrize("sid", ["AP" + "0" * 32, "AP1", "AP" + "0" * 500, "CA" + "0" * 32, "%00", "✗"])
    def test_an_unknown_or_malformed_sid(self, wire: Wire, sid: str) -> None:
        assert error_of(wire.get(f"Applications/{sid}.json")) == (404, 20404)

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "DELETE", "TRACE"])
    def test_a_method_that_is_not_there(self, wire: Wire, method: str) -> None:
        response = wire.send(method, LIST)
        assert error_of(response) == (405, 20004)
        assert response.headers["Allow"] == "GET, HEAD, POST"

    def test_the_suffix_may_be_left_out(self, wire: Wire) -> None:
        assert wire.get("Applications").status_code == 200

    def test_head_is_answered_like_get(self, wire: Wire) -> None:
        response = wire.http.head(wire.path(LIST), headers=wire.headers)
        assert (response.status_code, response.content) == (200, b"")

    def test_json_comes_whatever_is_asked_for(self, wire: Wire) -> None:
        response = wire.http.get(wire.path(LIST), headers={**wire.headers, "Accept": "text/html"})
        assert response.headers["Content-Type"] == "application/json"


class TestParameters:
    """Exactly the documented names; anything else is an error that names it (issue 4)."""

    def test_a_misspelt_parameter_is_told_the_right_name(self, wire: Wire) -> None:
        response = wire.post(LIST, VoiceURL="https://example.com")
        assert error_of(response) == (400, 20001)
        assert response.json()["message"] == "There is no parameter 'VoiceURL' here: did you mean VoiceUrl?"
        assert not Application.objects.exists()

    def test_another_one_is_told_which_there_are(self, wire: Wire) -> None:
        message = wire.post("Keys.json", Colour="red").json()["message"]
        assert message == "There is no parameter 'Colour' here. Known: FriendlyName."

    def test_a_parameter_given_twice(self, wire: Wire) -> None:
        response = wire.post(LIST, FriendlyName=["a", "b"])
        assert error_of(response) == (400, 20001)
        assert "FriendlyName is given 2 times" in response.json()["message"]

    @pytest.mark.parametrize("path", [LIST, "Applications/{sid}.json"])
    def test_unknown_parameters_of_a_get(self, wire: Wire, path: str) -> None:
        sid = Application.objects.create(account=wire.account).sid
        assert error_of(wire.get(path.format(sid=sid), Color="red")) == (400, 20001)

    def test_parameters_of_a_post_do_not_go_into_the_url(self, wire: Wire) -> None:
        assert error_of(wire.post(LIST + "?FriendlyName=x")) == (400, 20001)

    def test_json_is_read_too(self, wire: Wire) -> None:
        response = wire.send("POST", LIST, json.dumps({"FriendlyName": "Größe ✓"}), "application/json")
        assert response.status_code == 201 and Application.objects.get().friendly_name == "Größe ✓"

    def test_unicode_comes_back_as_it_went_in(self, wire: Wire) -> None:
        assert wire.post(LIST, FriendlyName="日本語 🎉").json()["friendly_name"] == "日本語 🎉"

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"FriendlyName=%ff", "application/x-www-form-urlencoded"),
            (b"FriendlyName=\xff", "application/x-www-form-urlencoded"),
            (b"&".join(b"a%d=1" % number for number in range(600)), "application/x-www-form-urlencoded"),
            (b"FriendlyName=x", "text/plain"),
            (b"FriendlyName=x", "multipart/form-data; boundary=x"),
            (b"{", "application/json"),
            (b"[1]", "application/json"),
            (b"[" * 100_000, "application/json"),
            (b'{"FriendlyName": {"a": 1}}', "application/json"),
            (b'{"FriendlyName": null}', "application/json"),
            (b'{"FriendlyName": [["a"]]}', "application/json"),
            (b'{"FriendlyName": "\\ud800"}', "application/json"),
            (b"<xml/>", ""),
        ],
    )
    def test_a_body_that_cannot_be_read(self, wire: Wire, body: bytes, content_type: str) -> None:
        assert error_of(wire.send("POST", LIST, body, content_type)) == (400, 20001)
        assert not Application.objects.exists()


class TestSizes:
    """10 MB bodies and half ones."""

    def test_a_body_over_the_limit_is_not_read_into_memory(self, wire: Wire) -> None:
        assert error_of(wire.send("POST", LIST, b"FriendlyName=" + b"x" * 10_000_000)) == (413, 20413)

    def test_a_body_of_unknown_length_is_not_taken_for_an_empty_one(self, wire: Wire) -> None:
        headers = {**wire.headers, "Transfer-Encoding": "chunked"}
        response = wire.http.post(wire.path(LIST), b"", FORM, headers=headers, CONTENT_LENGTH="")
        assert error_of(response) == (411, 20001) and not Application.objects.exists()

    def test_the_limit_is_a_setting(self, wire: Wire, settings: Any) -> None:
        settings.API_MAX_BODY = 10
        assert error_of(wire.post(LIST, FriendlyName="Menu")) == (413, 20413)

    def test_the_sender_of_10_megabytes_gets_the_answer(self, live_server: LiveServer, account: Account) -> None:
        where = urlsplit(live_server.url)
        head = (
            f"POST /2010-04-01/Accounts/{account.sid}/{LIST} HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: {basic(account.sid, account.auth_token)}\r\nContent-Length: 10000000\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n"
        )
        with socket.create_connection((where.hostname or "", where.port or 0), timeout=SECONDS) as connection:
            connection.sendall(head.encode() + b"x" * 10_000_000)
            assert connection.makefile("rb").readline().split()[1] == b"413"


class TestFaults:
    """Faults of ours are told without a traceback, and are in the log."""

    def test_what_nobody_foresaw(self, wire: Wire, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
        def broken(*_: Any) -> None:
            raise RuntimeError("secret detail")

        monkeypatch.setattr(applications.Applications, "rows", broken)
        response = wire.get(LIST)
        assert error_of(response) == (500, 20500)
        assert b"secret" not in response.content and "secret detail" in caplog.text

    def test_a_database_that_is_away(self, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*_: Any) -> None:
            raise OperationalError("database is locked")

        monkeypatch.setattr(applications.Applications, "rows", away)
        response = wire.get(LIST)
        assert error_of(response) == (503, 20503)
        assert response.headers["Retry-After"] == "5"

"""Requests as they are on the wire, and what the helper library makes of a refusal."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from twilio.base.exceptions import TwilioRestException

from routing.models import Account

FORM = "application/x-www-form-urlencoded"


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


class Wire:
    """An account's requests, in this process; paths are relative to the account's."""

    def __init__(self, http: Client, account: Account, username: str = "", password: str = "") -> None:
        self.http, self.account = http, account
        self.headers = {"Authorization": basic(username or account.sid, password or account.auth_token)}

    def path(self, path: str) -> str:
        return path if path.startswith("/") else f"/2010-04-01/Accounts/{self.account.sid}/{path}"

    def get(self, path: str, **query: Any) -> Any:
        return self.http.get(self.path(path), query, headers=self.headers)

    def post(self, path: str, **form: Any) -> Any:
        return self.send("POST", path, urlencode(form, doseq=True))

    def delete(self, path: str) -> Any:
        return self.send("DELETE", path)

    def send(self, method: str, path: str, body: str | bytes = "", content_type: str = FORM, **headers: str) -> Any:
        return self.http.generic(method, self.path(path), body, content_type, headers={**self.headers, **headers})


def error_of(response: Any) -> tuple[int, int]:
    """Return status and code of a refusal, having checked that its body is Twilio's."""
    body = response.json()
    assert set(body) == {"code", "message", "more_info", "status"} and body["status"] == response.status_code
    assert body["more_info"] == f"https://www.twilio.com/docs/errors/{body['code']}"
    return response.status_code, body["code"]


@contextmanager
def refused(status: int, code: int, *words: str) -> Iterator[None]:
    """Expect the helper library to raise for an answer with this status, code, and words in its message."""
    with pytest.raises(TwilioRestException) as caught:
        yield
    assert (caught.value.status, caught.value.code) == (status, code), caught.value.msg
    assert [word for word in words if word not in caught.value.msg] == [], caught.value.msg

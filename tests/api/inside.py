"""The helper library in one process with the API: its own requests, as `requests` writes them, without a socket.

A live server costs a second a test, since it must see what is committed; what the wire carries is tested elsewhere.
"""

from __future__ import annotations

import logging
from typing import Any

import requests
from django.test import Client as DjangoClient
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from routing.models import Account

HOST = "http://testserver"


class InsideHttp(HttpClient):  # type: ignore[misc]  # the library has no types
    """Hands the library's requests to Django's test client."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger("twilio.inside"), False, None)
        self._django = DjangoClient()

    def request(
        self,
        method: str,
        uri: str,
        params: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """Send a request, and return the answer."""
        asked: Any = requests.Request(method, uri, params=params, data=data, headers=headers, auth=auth).prepare()
        kind = asked.headers.get("Content-Type", "")
        answer = self._django.generic(method, asked.path_url, asked.body or "", kind, headers=dict(asked.headers))
        return Response(answer.status_code, answer.content.decode())


def inside_client(of: Account) -> Client:
    """Return the library as this account uses it."""
    made: Any = Client(of.sid, of.auth_token, account_sid=of.sid, http_client=InsideHttp())
    made.api.base_url = HOST
    return made

"""The official helper library, unmodified, against this server; and plain requests for what it would never send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client as HttpClient
from pytest_django.live_server_helper import LiveServer
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from routing.models import Account, Region
from tests.api.wire import Wire
from tests.rows import account as make_account

Connect = Callable[..., Client]


@pytest.fixture(autouse=True)
def fresh_cache() -> None:
    """Let no test feel the requests that another one made."""
    cache.clear()


@pytest.fixture
def account(db: None) -> Account:
    # Tests with a live server end with empty tables, those that the migrations filled too.
    Region.objects.get_or_create(code="us1", defaults={"location": "here", "is_default": True})
    return make_account()


@pytest.fixture
def connect(live_server: LiveServer) -> Connect:
    """Return what makes a client: `connect(account)`, or with the username and password that are given."""

    def client(of: Account, username: str = "", password: str = "") -> Client:
        # Connections that are kept meet the test server's delayed acknowledgements: 40 ms a request.
        http = TwilioHttpClient(pool_connections=False)
        made: Any = Client(username or of.sid, password or of.auth_token, account_sid=of.sid, http_client=http)
        made.api.base_url = made.accounts.base_url = live_server.url
        return made

    return client


@pytest.fixture
def client(connect: Connect, account: Account) -> Client:
    return connect(account)


@pytest.fixture
def wire(account: Account) -> Wire:
    """Requests of the account as they are on the wire."""
    return Wire(HttpClient(), account)

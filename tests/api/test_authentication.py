"""Who is let in to the REST API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as HttpClient
from django.utils import timezone
from twilio.rest import Client

from routing.models import Account, ApiKey, Application
from tests import rows
from tests.api.conftest import Connect
from tests.api.wire import Wire, basic, error_of, refused

LIST = "Applications.json"


@pytest.fixture
def other(db: None) -> Account:
    return rows.account("Other")


@pytest.fixture
def child(account: Account) -> Account:
    return rows.account("Child", parent=account)


def key_of(account: Account, **fields: Any) -> tuple[ApiKey, str]:
    key = ApiKey(account=account, friendly_name="Reporting", **fields)
    secret = key.draw_secret()
    key.save()
    return key, secret


class TestTokens:
    """Account SID and auth token (Twilio: API requests; conformance §1.14)."""

    def test_the_token_opens_the_account(self, client: Client) -> None:
        assert client.applications.list() == []

    def test_a_wrong_token_is_refused(self, connect: Connect, account: Account) -> None:
        with refused(401, 20003):
            connect(account, account.sid, "0" * 32).applications.create()

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Basic",
            "Basic !!!",
            "Basic /w==",
            "Bearer abc",
            basic("", ""),
            basic("AC123", "x"),
            basic("AC" + "0" * 32, "0" * 32),
            basic("SK" + "0" * 32, "secret"),
            basic("a\0b", "c"),
        ],
    )
    def test_whoever_is_not_known_is_asked_to_say_who_they_are(self, wire: Wire, header: str) -> None:
        wire.headers = {"Authorization": header}
        response = wire.get(LIST)
        assert error_of(response) == (401, 20003)
        assert response.headers["WWW-Authenticate"].startswith("Basic realm=")

    def test_no_header_is_answered_alike(self, account: Account) -> None:
        response = HttpClient().get(f"/2010-04-01/Accounts/{account.sid}/{LIST}")
        assert error_of(response) == (401, 20003)

    def test_an_empty_token_opens_nothing(self, wire: Wire) -> None:
        wire.headers = {"Authorization": basic(wire.account.sid, "")}
        assert error_of(wire.get(LIST)) == (401, 20003)

    @pytest.mark.parametrize("status", [Account.Status.SUSPENDED, Account.Status.CLOSED])
    def test_an_account_that_is_not_active_is_told_so(self, client: Client, account: Account, status: str) -> None:
        account.status = status
        account.save()
        with refused(403, 20005, status):
            client.applications.create()

    def test_a_token_that_cannot_be_decrypted_is_our_fault(self, wire: Wire, account: Account, settings: Any) -> None:
        settings.FIELD_ENCRYPTION_KEYS = ["YTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="]
        assert error_of(wire.get(LIST)) == (500, 20500)


class TestForeignAccounts:
    """What belongs to another account does not exist: 404, never 403, so that SIDs cannot be tried out."""

    @pytest.mark.parametrize("sid", ["AC" + "0" * 32, "AC1", "nonsense"])
    def test_an_account_that_there_is_not(self, wire: Wire, sid: str) -> None:
        assert error_of(wire.get(f"/2010-04-01/Accounts/{sid}/{LIST}")) == (404, 20404)

    def test_an_account_of_somebody_else_is_answered_alike(self, wire: Wire, other: Account) -> None:
        assert error_of(wire.get(f"/2010-04-01/Accounts/{other.sid}/{LIST}")) == (404, 20404)

    def test_a_resource_of_somebody_else_is_not_found(self, client: Client, other: Account) -> None:
        foreign = Application.objects.create(account=other)
        with refused(404, 20404):
            client.applications(foreign.sid).fetch()
        with refused(404, 20404):
            client.applications(foreign.sid).update(friendly_name="Mine")
        with refused(404, 20404):
            client.applications(foreign.sid).delete()
        assert Application.objects.get().friendly_name == ""


class TestSubaccounts:
    """Twilio: a main account's credentials act on its subaccounts, and not the other way round."""

    def test_the_main_account_acts_on_its_subaccount(self, connect: Connect, account: Account, child: Account) -> None:
        client = connect(child, account.sid, account.auth_token)
        client.applications.create(friendly_name="Theirs")
        assert Application.objects.get().account == child

    def test_so_does_a_key_of_the_main_account(self, connect: Connect, account: Account, child: Account) -> None:
        key, secret = key_of(account)
        assert connect(child, key.sid, secret).applications.list() == []

    def test_a_subaccount_does_not_see_its_main_account(
        self, connect: Connect, account: Account, child: Account
    ) -> None:
        with refused(404, 20404):
            connect(account, child.sid, child.auth_token).applications.create()

    def test_the_main_account_still_sees_a_suspended_subaccount(
        self, connect: Connect, account: Account, child: Account
    ) -> None:
        Account.objects.filter(pk=child.pk).update(status=Account.Status.SUSPENDED)
        assert connect(child, account.sid, account.auth_token).applications.list() == []


class TestKeys:
    """API keys: SK… and a secret (Twilio: API keys)."""

    def test_a_key_opens_its_account(self, connect: Connect, account: Account) -> None:
        key, secret = key_of(account)
        connect(account, key.sid, secret).applications.create()
        assert Application.objects.get().account == account

    def test_a_wrong_secret_is_refused(self, connect: Connect, account: Account) -> None:
        key, secret = key_of(account)
        with refused(401, 20003):
            connect(account, key.sid, secret + "x").applications.create()

    def test_a_revoked_key_opens_nothing(self, connect: Connect, account: Account) -> None:
        key, secret = key_of(account)
        key.revoke()
        with refused(401, 20003):
            connect(account, key.sid, secret).applications.create()

    def test_a_read_only_key_reads(self, connect: Connect, account: Account) -> None:
        key, secret = key_of(account, read_only=True)
        assert connect(account, key.sid, secret).applications.list() == []

    def test_a_read_only_key_changes_nothing(self, connect: Connect, account: Account) -> None:
        key, secret = key_of(account, read_only=True)
        with refused(403, 20403, "may only read"):
            connect(account, key.sid, secret).applications.create()
        assert not Application.objects.exists()

    def test_the_secret_is_not_kept(self, account: Account) -> None:
        key, secret = key_of(account)
        assert secret not in str(ApiKey.objects.values().get()) and len(key.secret_hash) == 64

    def test_its_use_is_noted_once_a_minute(self, account: Account) -> None:
        key, secret = key_of(account)
        wire = Wire(HttpClient(), account, key.sid, secret)
        wire.get(LIST)
        first = ApiKey.objects.get().last_used
        wire.get(LIST)
        assert first and ApiKey.objects.get().last_used == first
        ApiKey.objects.update(last_used=timezone.now() - timedelta(minutes=2))
        wire.get(LIST)
        again = ApiKey.objects.get().last_used
        assert again and again > first

    @pytest.mark.parametrize("path", ["Keys.json", "/2010-04-01/Accounts.json", "/v1/AuthTokens/Secondary"])
    def test_a_key_does_not_reach_what_would_give_it_more(self, account: Account, path: str) -> None:
        key, secret = key_of(account)
        assert error_of(Wire(HttpClient(), account, key.sid, secret).post(path)) == (403, 20403)

    def test_a_key_does_not_see_the_auth_token(self, connect: Connect, account: Account) -> None:
        key, secret = key_of(account)
        with refused(403, 20403):
            connect(account, key.sid, secret).api.accounts(account.sid).fetch()


class TestRate:
    """Twilio: 429 with code 20429; a client waits as long as Retry-After says."""

    @pytest.fixture(autouse=True)
    def two_a_minute(self, settings: Any) -> None:
        settings.API_RATE = "2/m"

    def test_requests_over_the_rate_are_told_when_to_come_again(self, wire: Wire) -> None:
        wire.get(LIST)
        wire.get(LIST)
        response = wire.get(LIST)
        assert error_of(response) == (429, 20429)
        assert 1 <= int(response.headers["Retry-After"]) <= 60

    def test_each_account_has_a_rate_of_its_own(self, wire: Wire, other: Account) -> None:
        wire.get(LIST)
        wire.get(LIST)
        assert Wire(HttpClient(), other).get(LIST).status_code == 200

    def test_its_keys_share_the_account_s_rate(self, wire: Wire, account: Account) -> None:
        key, secret = key_of(account)
        wire.get(LIST)
        wire.get(LIST)
        assert Wire(HttpClient(), account, key.sid, secret).get(LIST).status_code == 429

    def test_without_a_rate_there_is_no_limit(self, wire: Wire, settings: Any) -> None:
        settings.API_RATE = ""
        assert {wire.get(LIST).status_code for _ in range(5)} == {200}

    def test_whoever_is_not_let_in_is_not_counted(self, wire: Wire, account: Account) -> None:
        stranger = Wire(HttpClient(), account, account.sid, "wrong")
        assert [stranger.get(LIST).status_code for _ in range(3)] == [401] * 3
        assert wire.get(LIST).status_code == 200

"""Accounts, subaccounts, keys and auth tokens through the official helper library."""

from __future__ import annotations

import pytest
from twilio.rest import Client

from routing.models import Account, ApiKey, RoutingVersion
from tests import rows
from tests.api.conftest import Connect
from tests.api.wire import refused


class TestAccounts:
    """Twilio's Account resource."""

    def test_the_caller_s_own_is_fetched(self, client: Client, account: Account) -> None:
        found = client.api.account.fetch()
        assert (found.sid, found.auth_token, found.status) == (account.sid, account.auth_token, "active")
        assert (found.friendly_name, found.owner_account_sid, found.type) == ("Acme", account.sid, "Full")

    def test_a_list_has_the_subaccounts_and_nobody_else(self, client: Client, account: Account) -> None:
        child = rows.account("Child", parent=account)
        rows.account("Other")
        assert [found.sid for found in client.api.accounts.list()] == [child.sid, account.sid]

    def test_a_list_is_narrowed_by_name_and_status(self, client: Client, account: Account) -> None:
        rows.account("Child", parent=account, status="suspended")
        assert [found.friendly_name for found in client.api.accounts.list(status="suspended")] == ["Child"]
        assert [found.friendly_name for found in client.api.accounts.list(friendly_name="Acme")] == ["Acme"]

    def test_a_subaccount_is_made(self, client: Client, account: Account, connect: Connect) -> None:
        made = client.api.accounts.create(friendly_name="Branch")
        row = Account.objects.get(pk=made.sid)
        assert (row.parent, row.friendly_name, made.owner_account_sid) == (account, "Branch", account.sid)
        assert connect(row, made.sid, made.auth_token).applications.list() == []

    def test_a_subaccount_without_a_name_gets_one(self, client: Client) -> None:
        assert client.api.accounts.create().friendly_name.startswith("SubAccount Created at 20")

    def test_a_subaccount_has_no_subaccounts(self, connect: Connect, account: Account) -> None:
        child = rows.account("Child", parent=account)
        with refused(403, 20403):
            connect(child).api.accounts.create()

    def test_an_account_is_renamed(self, client: Client, account: Account) -> None:
        client.api.account.update(friendly_name="Acme & Söhne")
        account.refresh_from_db()
        assert account.friendly_name == "Acme & Söhne"

    def test_a_subaccount_is_suspended_and_revived(self, client: Client, account: Account, connect: Connect) -> None:
        child = rows.account("Child", parent=account)
        client.api.accounts(child.sid).update(status="suspended")
        with refused(403, 20005):
            connect(child).applications.create()
        client.api.accounts(child.sid).update(status="active")
        connect(child).applications.create()

    def test_a_closed_subaccount_stays_closed(self, client: Client, account: Account) -> None:
        child = rows.account("Child", parent=account)
        client.api.accounts(child.sid).update(status="closed")
        with refused(400, 20001, "Status"):
            client.api.accounts(child.sid).update(status="active")

    def test_an_account_does_not_suspend_itself(self, client: Client) -> None:
        with refused(403, 20403, "Status"):
            client.api.account.update(status="suspended")

    @pytest.mark.parametrize(("name", "value"), [("status", "frozen"), ("friendly_name", "x" * 65)])
    def test_a_wrong_value_is_refused(self, client: Client, account: Account, name: str, value: str) -> None:
        with refused(400, 20001):
            client.api.account.update(**{name: value})

    def test_an_empty_name_is_refused(self, client: Client) -> None:
        with refused(400, 20001, "FriendlyName"):
            client.api.account.update(friendly_name="")

    def test_another_one_is_not_found(self, client: Client) -> None:
        with refused(404, 20404):
            client.api.accounts(rows.account("Other").sid).fetch()


class TestKeys:
    """Twilio's Key resource."""

    def test_a_key_is_made_and_its_secret_told_once(self, client: Client, account: Account, connect: Connect) -> None:
        made = client.new_keys.create(friendly_name="Reporting")
        assert connect(account, made.sid, made.secret).applications.list() == []
        assert not hasattr(client.keys(made.sid).fetch(), "secret")

    def test_keys_are_listed(self, client: Client) -> None:
        made = [client.new_keys.create().sid for _ in range(3)]
        assert [key.sid for key in client.keys.list(page_size=2)] == made[::-1]

    def test_a_key_is_renamed(self, client: Client) -> None:
        made = client.new_keys.create(friendly_name="Reporting")
        assert client.keys(made.sid).update(friendly_name="Old").friendly_name == "Old"

    def test_a_deleted_key_is_revoked_and_gone(self, client: Client, account: Account, connect: Connect) -> None:
        made = client.new_keys.create()
        assert client.keys(made.sid).delete()
        with refused(404, 20404):
            client.keys(made.sid).fetch()
        with refused(401, 20003):
            connect(account, made.sid, made.secret).applications.create()
        assert ApiKey.objects.get().revoked and client.keys.list() == []

    def test_a_name_too_long_is_refused(self, client: Client) -> None:
        with refused(400, 20001, "FriendlyName"):
            client.new_keys.create(friendly_name="x" * 65)

    def test_another_account_s_key_is_not_found(self, client: Client) -> None:
        other = ApiKey(account=rows.account("Other"))
        other.draw_secret()
        other.save()
        with refused(404, 20404):
            client.keys(other.sid).delete()


class TestAuthTokens:
    """Twilio's SecondaryAuthToken and AuthTokenPromotion, /v1/AuthTokens/… of accounts.twilio.com."""

    def test_the_secondary_token_opens_the_account_too(
        self, client: Client, account: Account, connect: Connect
    ) -> None:
        made = client.accounts.v1.secondary_auth_token().create()
        assert made.account_sid == account.sid
        assert connect(account, account.sid, made.secondary_auth_token).applications.list() == []
        assert client.applications.list() == []

    def test_once_promoted_it_takes_the_former_s_place(
        self, client: Client, account: Account, connect: Connect
    ) -> None:
        made = client.accounts.v1.secondary_auth_token().create()
        promoted = client.accounts.v1.auth_token_promotion().update()
        assert promoted.auth_token == made.secondary_auth_token and promoted.date_updated
        with refused(401, 20003):
            client.applications.create()
        account.refresh_from_db()
        assert (account.auth_token, account.secondary_auth_token) == (promoted.auth_token, "")
        assert connect(account).applications.list() == []

    def test_engines_learn_of_the_new_token(self, client: Client) -> None:
        client.accounts.v1.secondary_auth_token().create()
        before = RoutingVersion.objects.get().version
        client.accounts.v1.auth_token_promotion().update()
        assert RoutingVersion.objects.get().version > before

    def test_a_deleted_secondary_token_opens_nothing(self, client: Client, account: Account, connect: Connect) -> None:
        made = client.accounts.v1.secondary_auth_token().create()
        assert client.accounts.v1.secondary_auth_token().delete()
        with refused(401, 20003):
            connect(account, account.sid, made.secondary_auth_token).applications.create()

    def test_there_is_one_at_a_time(self, client: Client) -> None:
        client.accounts.v1.secondary_auth_token().create()
        with refused(400, 20001, "already"):
            client.accounts.v1.secondary_auth_token().create()

    def test_without_one_there_is_nothing_to_promote_or_delete(self, client: Client) -> None:
        with refused(404, 20404, "/v1/AuthTokens/Secondary"):
            client.accounts.v1.auth_token_promotion().update()
        with refused(404, 20404):
            client.accounts.v1.secondary_auth_token().delete()

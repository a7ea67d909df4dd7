"""The admin pages of API keys, applications, telephone numbers and subaccounts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client as HttpClient
from django.urls import reverse

from routing.models import Account, ApiKey, Application, PhoneNumber
from tests import rows
from tests.api.wire import Wire

URLS = {"voice_method": "POST", "voice_fallback_method": "POST", "status_callback_method": "POST"}


def changelist(model: str) -> str:
    return reverse(f"admin:routing_{model}_changelist")


def add(client: HttpClient, model: str, **form: Any) -> str:
    response = client.post(reverse(f"admin:routing_{model}_add"), form, follow=True)
    return response.content.decode()


class TestApiKeys:
    def test_the_secret_of_a_new_key_is_shown_once_and_opens_the_account(
        self, admin_client: HttpClient, account: Account
    ) -> None:
        page = add(admin_client, "apikey", friendly_name="Reports", account=account.sid, read_only="on")
        key = ApiKey.objects.get()
        shown = re.search(r"its secret is shown only now: ([\w-]+)", page)
        assert shown and key.opens_with(shown[1]) and key.read_only
        assert Wire(HttpClient(), account, key.sid, shown[1]).get("Applications.json").status_code == 200
        assert shown[1] not in admin_client.get(changelist("apikey")).content.decode()

    def test_a_renamed_key_keeps_its_secret(self, admin_client: HttpClient, account: Account) -> None:
        key = ApiKey(account=account, friendly_name="Reports")
        secret = key.draw_secret()
        key.save()
        admin_client.post(reverse("admin:routing_apikey_change", args=[key.pk]), {"friendly_name": "Bills"})
        key.refresh_from_db()
        assert key.friendly_name == "Bills" and key.opens_with(secret)

    def test_a_revoked_key_is_still_shown(self, admin_client: HttpClient, account: Account) -> None:
        key = ApiKey(account=account, friendly_name="Reports")
        secret = key.draw_secret()
        key.save()
        admin_client.post(changelist("apikey"), {"action": "revoke", "_selected_action": [key.pk]})
        key.refresh_from_db()
        assert not key.opens_with(secret)
        assert "Revoked" in admin_client.get(changelist("apikey")).content.decode()


class TestNumbersAndApplications:
    def test_a_number_is_added(self, admin_client: HttpClient, account: Account) -> None:
        app = Application.objects.create(account=account, friendly_name="Menu")
        add(admin_client, "phonenumber", phone_number="+4930123", account=account.sid, application=app.sid, **URLS)
        assert PhoneNumber.objects.get().handler == app
        assert "application Menu" in admin_client.get(changelist("phonenumber")).content.decode()

    @pytest.mark.parametrize("number", ["030123", "+49 30 123", "+0"])
    def test_what_is_no_number_is_refused(self, admin_client: HttpClient, account: Account, number: str) -> None:
        page = add(admin_client, "phonenumber", phone_number=number, account=account.sid, **URLS)
        assert "Write + and the country code first" in page and not PhoneNumber.objects.exists()

    def test_another_account_s_application_is_refused(self, admin_client: HttpClient, account: Account) -> None:
        app = Application.objects.create(account=rows.account("Other"), friendly_name="Menu")
        form = {"phone_number": "+4930123", "account": account.sid, "application": app.sid, **URLS}
        assert "Menu belongs to another account" in add(admin_client, "phonenumber", **form)

    def test_an_application_is_added(self, admin_client: HttpClient, account: Account) -> None:
        add(admin_client, "application", friendly_name="Menu", account=account.sid, **URLS)
        assert "Menu" in admin_client.get(changelist("application")).content.decode()
        assert Application.objects.count() == 1


class TestTokens:
    def test_a_new_token_takes_the_secondary_one_away(self, admin_client: HttpClient, account: Account) -> None:
        account.secondary_auth_token = "1" * 32
        account.save()
        admin_client.post(changelist("account"), {"action": "draw_auth_token", "_selected_action": [account.pk]})
        account.refresh_from_db()
        assert account.secondary_auth_token == ""


class TestSubaccounts:
    def form(self, parent: Account) -> dict[str, str]:
        return {"friendly_name": "Branch", "parent": parent.sid, "status": "active", "enhanced_sip": "on"}

    def test_a_subaccount_is_added(self, admin_client: HttpClient, account: Account) -> None:
        add(admin_client, "account", **self.form(account))
        assert Account.objects.get(friendly_name="Branch").parent == account

    def test_subaccounts_are_one_deep(self, admin_client: HttpClient, account: Account) -> None:
        child = rows.account("Child", parent=account)
        assert "Subaccounts are one deep" in add(admin_client, "account", **self.form(child))
        assert not Account.objects.filter(friendly_name="Branch").exists()

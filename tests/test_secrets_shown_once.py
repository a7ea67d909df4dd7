"""Secrets are shown when they are drawn, and never again: on no page, to no role."""

from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from routing.models import Account, ApiKey, Credential, CredentialList
from tests import rows


@pytest.fixture
def account(db: None) -> Account:
    return rows.account(auth_token="0123456789abcdef0123456789abcdef")


def test_a_new_account_shows_the_token_that_was_drawn_once(admin_client: Client) -> None:
    values = {"friendly_name": "Acme", "status": "active", "enhanced_sip": "on"}
    answer = admin_client.post(reverse("admin:routing_account_add"), values)
    assert answer.status_code == 302
    token = Account.objects.get().auth_token
    listing = admin_client.get(reverse("admin:routing_account_changelist"))
    assert token in listing.content.decode()
    assert token not in admin_client.get(reverse("admin:routing_account_changelist")).content.decode()


def test_a_token_that_was_typed_is_not_shown_at_all(admin_client: Client) -> None:
    typed = "fedcba9876543210fedcba9876543210"
    values = {"friendly_name": "Acme", "status": "active", "auth_token": typed}
    answer = admin_client.post(reverse("admin:routing_account_add"), values)
    assert Account.objects.get().auth_token == typed
    assert not [one for one in get_messages(answer.wsgi_request) if typed in str(one)]


def test_the_page_of_an_account_never_shows_its_token(admin_client: Client, account: Account) -> None:
    url = reverse("admin:routing_account_change", args=[account.pk])
    assert account.auth_token not in admin_client.get(url).content.decode()
    values = {"friendly_name": "Other", "status": "nonsense", "auth_token": account.auth_token}
    refused = admin_client.post(url, values)
    assert refused.status_code == 200
    assert account.auth_token not in refused.content.decode()


def test_a_new_api_key_shows_its_secret_once(admin_client: Client, account: Account) -> None:
    values = {"friendly_name": "CRM", "account": account.pk}
    answer = admin_client.post(reverse("admin:routing_apikey_add"), values)
    said = [str(one) for one in get_messages(answer.wsgi_request)]
    secret = next(one for one in said if "shown only now" in one).rsplit(" ", 1)[1]
    key = ApiKey.objects.get()
    assert key.opens_with(secret)
    admin_client.get(reverse("admin:routing_apikey_changelist"))
    page = admin_client.get(reverse("admin:routing_apikey_change", args=[key.pk])).content.decode()
    assert secret not in page and key.secret_hash not in page


def test_sip_passwords_can_only_be_written(admin_client: Client, account: Account) -> None:
    listed = CredentialList.objects.create(account=account, friendly_name="Phones")
    credential = Credential.objects.create(credential_list=listed, username="alice", password="Correct-Horse-9")
    phone = rows.endpoint(account, username="alice", password="Correct-Horse-9")
    for url in (
        reverse("admin:routing_credentiallist_change", args=[listed.pk]),
        reverse("admin:routing_credential_change", args=[credential.pk]),
        reverse("admin:routing_endpoint_change", args=[phone.pk]),
    ):
        assert "Correct-Horse-9" not in admin_client.get(url).content.decode()

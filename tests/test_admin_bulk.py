"""Export and import of endpoints and ring groups in the admin, as a browser without JavaScript sees it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, override_settings
from django.urls import reverse
from lxml import html

from routing.models import Account, Endpoint, RingGroup
from tests import rows

pytestmark = pytest.mark.django_db

ENDPOINTS, GROUPS = "admin:routing_endpoint_", "admin:routing_ringgroup_"


@pytest.fixture
def account() -> Account:
    return rows.account()


@pytest.fixture
def client(db: None) -> Client:
    """Somebody who may do everything."""
    client = Client()
    client.force_login(User.objects.create(username="admin", is_staff=True, is_superuser=True))
    return client


def send(client: Client, name: str, text: str | bytes, account: Account, **more: str) -> tuple[int, str]:
    data = text.encode() if isinstance(text, str) else text
    file = SimpleUploadedFile("rows.csv", data, "text/csv")
    answer = client.post(reverse(name + "import_csv"), {"file": file, "account": account.pk, **more})
    told = " ".join(str(message) for message in get_messages(answer.wsgi_request))
    page = " ".join(map(str, html.fromstring(answer.content.decode()).itertext())) if answer.content else ""
    return answer.status_code, f"{told} {' '.join(page.split())}"


def test_the_lists_offer_both(client: Client, account: Account) -> None:
    for name in (ENDPOINTS, GROUPS):
        page = client.get(reverse(name + "changelist")).content.decode()
        assert reverse(name + "export_csv") in page
        assert reverse(name + "import_csv") in page


def test_an_export_has_every_row_and_no_secret(client: Client, account: Account) -> None:
    rows.endpoint(account, "Alice", username="alice", password="top-secret")
    rows.endpoint(account, "=1+1")
    text = client.get(reverse(ENDPOINTS + "export_csv")).content.decode()
    assert "'=1+1," in text
    assert "Alice,sip:alice@198.51.100.7" in text
    assert "top-secret" not in text


def test_what_was_exported_can_be_imported(client: Client, account: Account) -> None:
    rows.group(account, rows.endpoint(account, "Alice"), rows.endpoint(account, "Bob"))
    text = client.get(reverse(GROUPS + "export_csv")).content
    RingGroup.objects.all().delete()
    assert send(client, GROUPS, text, account) == (302, "Imported: 1 new and 0 changed. ")
    assert [one.endpoint.name for one in RingGroup.objects.get().members.all()] == ["Alice", "Bob"]


def test_errors_are_shown_row_by_row_and_nothing_is_stored(client: Client, account: Account) -> None:
    text = "name,uri\nAlice,sip:a@198.51.100.7\nBob,http://x\n"
    status, page = send(client, ENDPOINTS, text, account)
    assert (status, "1 of 2 rows cannot be imported" in page, "3 uri" in page) == (200, True, True)
    assert not Endpoint.objects.exists()


def test_a_check_alone_stores_nothing(client: Client, account: Account) -> None:
    status, told = send(client, ENDPOINTS, "name,uri\nA,sip:a@198.51.100.7\n", account, dry_run="on")
    assert (status, "nothing was stored: it has 1 new and 0 changed" in told) == (302, True)
    assert not Endpoint.objects.exists()


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"\xff", b"", b"uri\nx\n"])
def test_what_is_no_table_is_refused(client: Client, account: Account, data: bytes) -> None:
    assert send(client, ENDPOINTS, data, account)[0] == 200
    assert not Endpoint.objects.exists()


@override_settings(API_MAX_BODY=100)
def test_a_file_that_is_too_large_is_refused(client: Client, account: Account) -> None:
    status, page = send(client, ENDPOINTS, "name,uri\n" + 30 * "A,sip:a@198.51.100.7\n", account)
    assert (status, "larger than 100 bytes" in page) == (200, True)


def test_who_may_only_look_cannot_import(account: Account) -> None:
    user = User.objects.create(username="looks", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_endpoint"))
    client = Client()
    client.force_login(user)
    assert client.get(reverse(ENDPOINTS + "export_csv")).status_code == 200
    assert client.get(reverse(ENDPOINTS + "import_csv")).status_code == 403

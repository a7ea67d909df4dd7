"""Every parameter, with values that nobody would send in earnest: a clear refusal or a row, never a fault."""

from __future__ import annotations

from typing import Any

import pytest

from routing.api import accounts, applications, credentials, domains, ip_access, keys, mappings, numbers
from routing.api.parameters import NotHere, Parameters
from routing.models import Account, Application, CredentialList, IpAccessControlList, PhoneNumber
from tests import rows
from tests.api.wire import Wire, error_of

VALUES = (
    *(
        "",
        "a\0b",
        "🎉" * 40,
        "x" * 5000,
        "-1",
        "9" * 400,
        "NaN",
        "null",
        "'; DROP TABLE routing_account; --",
        "%00",
        "٣",
    ),
    *("\r\nX-Evil: 1", "AP" + "0" * 32, "http://[", "http://example.com:99999999/", "0.0.0.0"),
)
MADE: dict[str, tuple[type[Parameters], dict[str, str]]] = {
    "/2010-04-01/Accounts.json": (accounts.NewAccount, {}),
    "Keys.json": (keys.KeyParameters, {}),
    "Applications.json": (applications.ApplicationParameters, {}),
    "IncomingPhoneNumbers.json": (numbers.NewNumber, {"PhoneNumber": "+4930{number}"}),
    "SIP/Domains.json": (domains.DomainParameters, {"DomainName": "d{number}.example.com"}),
    "SIP/CredentialLists.json": (credentials.CredentialListParameters, {}),
    "SIP/CredentialLists/{CL}/Credentials.json": (
        credentials.NewCredential,
        {"Username": "user{number}", "Password": rows.PASSWORD},
    ),
    "SIP/IpAccessControlLists.json": (ip_access.IpAccessControlListParameters, {}),
    "SIP/IpAccessControlLists/{AL}/IpAddresses.json": (
        ip_access.AddressParameters,
        {"FriendlyName": "x", "IpAddress": "203.0.113.7"},
    ),
    "SIP/Domains/{SD}/CredentialListMappings.json": (mappings.CredentialListMapping, {}),
    "SIP/Domains/{SD}/Auth/Calls/IpAccessControlListMappings.json": (mappings.IpAccessControlListMapping, {}),
    # Changes.
    "/2010-04-01/Accounts/{AC}.json": (accounts.AccountChange, {}),
    "Applications/{AP}.json": (applications.ApplicationParameters, {}),
    "IncomingPhoneNumbers/{PN}.json": (numbers.NumberChange, {}),
    "SIP/Domains/{SD}.json": (domains.DomainParameters, {}),
    "SIP/CredentialLists/{CL}.json": (credentials.CredentialListParameters, {}),
    "SIP/IpAccessControlLists/{AL}.json": (ip_access.IpAccessControlListParameters, {}),
}


@pytest.fixture
def sids(account: Account, settings: Any) -> dict[str, str]:
    settings.API_RATE = ""
    return {
        "AC": account.sid,
        "AP": Application.objects.create(account=account).sid,
        "PN": PhoneNumber.objects.create(account=account, phone_number="+15550199").sid,
        "SD": rows.domain(account).sid,
        "CL": CredentialList.objects.create(account=account, friendly_name="Phones").sid,
        "AL": IpAccessControlList.objects.create(account=account, friendly_name="Office").sid,
    }


@pytest.mark.parametrize("path", MADE)
def test_no_value_is_a_fault_of_ours(wire: Wire, sids: dict[str, str], path: str) -> None:
    parameters, needed = MADE[path]
    where, number = path.format(**sids), 0
    for name, field in parameters().fields.items():
        for value in VALUES if not isinstance(field, NotHere) else VALUES[:2]:
            number += 1
            form = {key: text.format(number=number) for key, text in needed.items()}
            response = wire.post(where, **{**form, name: value})
            assert response.status_code in (200, 201, 400, 404), (name, value, response.content)
            if response.status_code >= 400:
                assert error_of(response)[1] and name in response.json()["message"], (name, value, response.content)


@pytest.mark.parametrize("path", ["Applications.json", "IncomingPhoneNumbers.json", "/2010-04-01/Accounts.json"])
def test_no_filter_is_a_fault_of_ours(wire: Wire, sids: dict[str, str], path: str) -> None:
    for name in ("FriendlyName", "PhoneNumber", "Status", "PageSize", "Page", "PageToken", "Beta", "Origin"):
        for value in VALUES:
            response = wire.get(path, **{name: value})
            assert response.status_code in (200, 400), (name, value, response.content)

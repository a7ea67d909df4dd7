"""Every answer has exactly Twilio's keys, in the types that Twilio's OpenAPI says."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from routing.models import Account, Application, CredentialList, IpAccessControlList, PhoneNumber
from tests import rows
from tests.api.wire import Wire

KEYS = {  # conformance §1.14, from Twilio's OpenAPI; accounts, keys and numbers as the official library reads them
    "account": "auth_token date_created date_updated friendly_name owner_account_sid sid status subresource_uris type "
    "uri",
    "key": "sid friendly_name date_created date_updated",
    "new key": "sid friendly_name date_created date_updated secret",
    "application": "account_sid api_version date_created date_updated friendly_name message_status_callback sid "
    "sms_fallback_method sms_fallback_url sms_method sms_status_callback sms_url status_callback "
    "status_callback_method uri voice_caller_id_lookup voice_fallback_method voice_fallback_url voice_method voice_url "
    "public_application_connect_enabled",
    "number": "account_sid address_sid address_requirements api_version beta capabilities date_created date_updated "
    "friendly_name identity_sid phone_number origin sid sms_application_sid sms_fallback_method sms_fallback_url "
    "sms_method sms_url status_callback status_callback_method trunk_sid uri voice_receive_mode voice_application_sid "
    "voice_caller_id_lookup voice_fallback_method voice_fallback_url voice_method voice_url emergency_status "
    "emergency_address_sid emergency_address_status bundle_sid status type",
    "domain": "account_sid api_version auth_type date_created date_updated domain_name friendly_name sid uri "
    "voice_fallback_method voice_fallback_url voice_method voice_status_callback_method voice_status_callback_url "
    "voice_url subresource_uris sip_registration emergency_calling_enabled secure byoc_trunk_sid emergency_caller_sid",
    "credential list": "account_sid date_created date_updated friendly_name sid subresource_uris uri",
    "credential": "sid account_sid credential_list_sid username date_created date_updated uri",
    "access list": "sid account_sid friendly_name date_created date_updated subresource_uris uri",
    "address": "sid account_sid friendly_name ip_address cidr_prefix_length ip_access_control_list_sid date_created "
    "date_updated uri",
    "legacy mapping": "account_sid date_created date_updated domain_sid friendly_name sid uri",
    "mapping": "account_sid date_created date_updated friendly_name sid",
    "secondary token": "account_sid date_created date_updated secondary_auth_token url",
}
TEXT = re.compile(r"(friendly_name|.*_sid|sid|.*_url|.*_method|status|type|uri|username|voice_.*_lookup|api_version)\Z")


@pytest.fixture
def resources(wire: Wire, account: Account) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return of each kind of resource its path, and its JSON when it was made."""
    app = Application.objects.create(account=account)
    domain = rows.domain(account)
    phones = CredentialList.objects.create(account=account, friendly_name="Phones")
    office = IpAccessControlList.objects.create(account=account, friendly_name="Office")
    domains, lists = f"SIP/Domains/{domain.sid}", f"SIP/CredentialLists/{phones.sid}"
    addresses = f"SIP/IpAccessControlLists/{office.sid}/IpAddresses"
    legacy, auth = f"{domains}/CredentialListMappings", f"{domains}/Auth/Calls/IpAccessControlListMappings"
    made = {
        "account": ("/2010-04-01/Accounts", {"FriendlyName": "Branch"}),
        "new key": ("Keys", {}),
        "application": ("Applications", {}),
        "number": ("IncomingPhoneNumbers", {"PhoneNumber": "+4930123", "VoiceApplicationSid": app.sid}),
        "domain": ("SIP/Domains", {"DomainName": "other.example.com"}),
        "credential list": ("SIP/CredentialLists", {"FriendlyName": "Phones"}),
        "credential": (f"{lists}/Credentials", {"Username": "alice", "Password": rows.PASSWORD}),
        "access list": ("SIP/IpAccessControlLists", {"FriendlyName": "Office"}),
        "address": (addresses, {"FriendlyName": "Berlin", "IpAddress": "203.0.113.7"}),
        "legacy mapping": (legacy, {"CredentialListSid": phones.sid}),
        "mapping": (auth, {"IpAccessControlListSid": office.sid}),
    }
    found = {}
    for kind, (path, form) in made.items():
        response = wire.post(path + ".json", **form)
        assert response.status_code == 201, response.content
        found[kind] = (path, response.json())
    return found


KINDS = [
    "account",
    "application",
    "number",
    "domain",
    "credential list",
    "credential",
    "access list",
    "address",
    "legacy mapping",
    "mapping",
]


@pytest.mark.parametrize("kind", KINDS)
class TestShapes:
    def test_what_was_made_has_exactly_the_documented_keys_in_their_order(
        self, resources: dict[str, Any], kind: str
    ) -> None:
        assert list(resources[kind][1]) == KEYS[kind].split()

    def test_fetched_and_listed_it_is_the_same(self, wire: Wire, resources: dict[str, Any], kind: str) -> None:
        path, made = resources[kind]
        assert wire.get(f"{path}/{made['sid']}.json").json() == made
        page = wire.get(f"{path}.json").json()
        (rows_of_it,) = [value for value in page.values() if isinstance(value, list)]
        assert made in rows_of_it

    def test_its_dates_are_rfc_2822_in_utc(self, resources: dict[str, Any], kind: str) -> None:
        made = resources[kind][1]
        for name in ("date_created", "date_updated"):
            assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000", made[name])
            assert parsedate_to_datetime(made[name]).year >= 2026

    def test_its_values_are_text_or_nothing_where_twilio_has_text(self, resources: dict[str, Any], kind: str) -> None:
        made = {name: value for name, value in resources[kind][1].items() if TEXT.match(name)}
        flags = {"voice_caller_id_lookup"}
        wrong = {n: v for n, v in made.items() if n not in flags and not (v is None or (isinstance(v, str) and v))}
        assert wrong == {}

    def test_its_uris_lead_to_it_and_what_is_below(self, wire: Wire, resources: dict[str, Any], kind: str) -> None:
        made = resources[kind][1]
        if kind != "mapping":
            assert wire.get(made["uri"]).json() == made
        if kind != "account":  # whose parts are of calls too
            below = made.get("subresource_uris", {}).values()
            assert [wire.get(path).status_code for path in below] == [200] * len(below)


def test_a_new_key_has_its_secret(resources: dict[str, Any]) -> None:
    assert set(resources["new key"][1]) == set(KEYS["new key"].split())


def test_a_key_has_none(wire: Wire, resources: dict[str, Any]) -> None:
    assert list(wire.get("Keys.json").json()["keys"][0]) == KEYS["key"].split()


def test_tokens_have_twilio_s_keys(wire: Wire) -> None:
    assert set(wire.post("/v1/AuthTokens/Secondary").json()) == set(KEYS["secondary token"].split())
    promoted = wire.post("/v1/AuthTokens/Promote").json()
    assert set(promoted) == {"account_sid", "auth_token", "date_created", "date_updated", "url"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", promoted["date_updated"])


def test_what_is_no_number_of_twilio_s_is_a_number_or_a_flag(resources: dict[str, Any]) -> None:
    assert resources["address"][1]["cidr_prefix_length"] == 32
    assert resources["domain"][1]["secure"] is False
    assert resources["number"][1]["capabilities"] == {"voice": True, "sms": False, "mms": False, "fax": False}


def test_a_password_is_told_to_nobody(wire: Wire, resources: dict[str, Any]) -> None:
    path, made = resources["credential"]
    assert rows.PASSWORD not in wire.get(path + ".json").content.decode() + str(made)


LISTS = {
    "accounts": "/2010-04-01/Accounts.json",
    "keys": "Keys.json",
    "applications": "Applications.json",
    "incoming_phone_numbers": "IncomingPhoneNumbers.json",
    "domains": "SIP/Domains.json",
    "credential_lists": "SIP/CredentialLists.json",
    "ip_access_control_lists": "SIP/IpAccessControlLists.json",
}


@pytest.mark.parametrize("key", LISTS)
def test_a_list_has_twilio_s_name(wire: Wire, key: str) -> None:
    assert list(wire.get(LISTS[key]).json())[-1] == key


@pytest.mark.parametrize("key", LISTS)
def test_a_page_costs_the_same_however_many_rows_it_has(
    wire: Wire, account: Account, key: str, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        rows.account(f"{number}", parent=account)
        app = Application.objects.create(account=account)
        PhoneNumber.objects.create(account=account, phone_number=f"+49301{number}", application=app)
        CredentialList.objects.create(account=account, friendly_name="Phones")
        IpAccessControlList.objects.create(account=account, friendly_name="Office")
        rows.domain(account, f"d{number}.example.com")
    with django_assert_max_num_queries(4):
        wire.get(LISTS[key])


class TestOpenApi:
    """/api/schema/ and /api/docs/: drf-spectacular; the pages need no other host."""

    def test_it_has_every_path_once(self, wire: Wire) -> None:
        schema = wire.http.get("/api/schema/", {"format": "json"}).json()
        twilio = [path for path in schema["paths"] if path.startswith("/2010-04-01/")]
        assert "/2010-04-01/Accounts/{account_sid}/SIP/Domains/{sid}.json" in twilio
        assert [path for path in twilio if not path.endswith(".json")] == []

    def test_it_knows_parameters_and_keys(self, wire: Wire) -> None:
        parts = wire.http.get("/api/schema/", {"format": "json"}).json()["components"]["schemas"]
        assert list(parts["DomainBody"]["properties"]) == KEYS["domain"].split()
        assert parts["DomainParameters"]["required"] == ["DomainName"]

    def test_the_pages_load_from_this_host_only(self, wire: Wire) -> None:
        page = wire.http.get("/api/docs/").content.decode()
        assert "swagger-ui" in page and re.findall(r"(?:src|href)=\"(https?:)?//", page) == []

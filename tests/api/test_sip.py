"""SIP domains, lists, and what is mapped to what, through the official helper library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twilio.rest import Client

from routing.models import (
    Account,
    Credential,
    CredentialList,
    IpAccessControlList,
    IpAddress,
    RoutingVersion,
    SipDomain,
)
from routing.resolve import load_directory
from tests import rows
from tests.api.wire import Wire, refused

NAME = "calls.example.com"
URL = "https://example.com/voice"
PASSWORD = rows.PASSWORD


class TestDomains:
    """Twilio's SIP Domain resource; conformance §1.14, §1.15 (any host name)."""

    def test_one_is_made(self, client: Client) -> None:
        made = client.sip.domains.create(
            domain_name=NAME,
            friendly_name="Calls",
            voice_url=URL,
            voice_method="GET",
            voice_fallback_url=f"{URL}/again",
            voice_fallback_method="GET",
            voice_status_callback_url=f"{URL}/ended",
            voice_status_callback_method="GET",
            sip_registration=True,
            secure=True,
            emergency_calling_enabled=False,
        )
        row = SipDomain.objects.get(pk=made.sid)
        assert (row.domain_name, row.friendly_name, row.voice_url, row.voice_method) == (NAME, "Calls", URL, "GET")
        assert (row.voice_fallback_url, row.voice_fallback_method) == (f"{URL}/again", "GET")
        assert (row.voice_status_callback_url, row.voice_status_callback_method) == (f"{URL}/ended", "GET")
        assert row.secure and row.sip_registration and made.secure and made.sip_registration

    def test_its_name_is_stored_as_it_is_compared(self, client: Client) -> None:
        assert client.sip.domains.create(domain_name="Calls.Example.COM.").domain_name == NAME

    def test_it_is_fetched_listed_changed_and_deleted(self, client: Client) -> None:
        made = client.sip.domains.create(domain_name=NAME)
        assert client.sip.domains(made.sid).fetch().domain_name == NAME
        assert [found.sid for found in client.sip.domains.list()] == [made.sid]
        changed = made.update(domain_name="other.example.com", voice_url=URL)
        assert (changed.domain_name, changed.voice_url) == ("other.example.com", URL)
        assert made.delete() and not SipDomain.objects.exists()

    def test_it_may_keep_its_own_name(self, client: Client) -> None:
        made = client.sip.domains.create(domain_name=NAME)
        assert made.update(domain_name=NAME).domain_name == NAME

    @pytest.mark.parametrize(
        ("given", "code", "word"),
        [
            ({"domain_name": ""}, 21232, "DomainName"),
            ({"domain_name": "sip:x@example.com"}, 21232, "not a host name"),
            ({"domain_name": "münchen.example"}, 21232, "xn--mnchen-3ya.example"),
            ({"domain_name": "x" * 254}, 21232, "253"),
            ({"domain_name": NAME, "friendly_name": "x" * 65}, 21231, "FriendlyName"),
            ({"domain_name": NAME, "voice_url": "ftp://example.com"}, 21205, "VoiceUrl"),
            ({"domain_name": NAME, "voice_method": "PATCH"}, 21209, "VoiceMethod"),
            ({"domain_name": NAME, "byoc_trunk_sid": "BY" + "0" * 32}, 21231, "ByocTrunkSid: is not supported here"),
            ({"domain_name": NAME, "emergency_calling_enabled": True}, 21231, "EmergencyCallingEnabled"),
        ],
    )
    def test_a_wrong_value_is_refused(self, client: Client, given: dict[str, Any], code: int, word: str) -> None:
        with refused(400, code, word):
            client.sip.domains.create(**given)
        assert not SipDomain.objects.exists()

    def test_a_name_is_required(self, wire: Wire) -> None:
        body = wire.post("SIP/Domains.json").json()
        assert (body["code"], body["message"]) == (21232, "DomainName: This field is required.")

    def test_a_flag_that_is_neither_true_nor_false(self, wire: Wire) -> None:
        body = wire.post("SIP/Domains.json", DomainName=NAME, Secure="perhaps").json()
        assert (body["code"], body["message"]) == (21231, "Secure: must be true or false.")

    def test_a_name_is_taken_whoever_has_it(self, client: Client) -> None:
        rows.domain(rows.account("Other"), NAME)
        with refused(400, 21232, "taken"):
            client.sip.domains.create(domain_name=NAME.upper())

    def test_of_two_at_once_one_gets_the_name(
        self, wire: Wire, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows.domain(account, NAME)
        validate, calls = SipDomain.full_clean, []

        def blind_at_first(row: SipDomain) -> None:
            calls.append(row)
            if len(calls) > 1:
                validate(row)

        monkeypatch.setattr(SipDomain, "full_clean", blind_at_first)
        assert wire.post("SIP/Domains.json", DomainName=NAME).json()["code"] == 21232

    def test_there_may_be_so_many(self, client: Client, settings: Any) -> None:
        settings.MAX_SIP_DOMAINS = 1
        client.sip.domains.create(domain_name=NAME)
        with refused(400, 21230):
            client.sip.domains.create(domain_name="other.example.com")

    def test_another_account_s_is_not_found(self, client: Client) -> None:
        other = rows.domain(rows.account("Other"), NAME)
        with refused(404, 20404):
            client.sip.domains(other.sid).update(voice_url=URL)

    def test_its_auth_type_names_what_is_mapped_for_calls(self, client: Client, account: Account) -> None:
        domain = rows.domain(account, NAME)

        def shown() -> str:
            return str(client.sip.domains(domain.sid).fetch().auth_type)

        assert shown() == ""
        domain.ip_access_control_lists.add(IpAccessControlList.objects.create(account=account))
        assert shown() == "IP_ACL"
        domain.credential_lists.add(CredentialList.objects.create(account=account))
        assert shown() == "CREDENTIAL_LIST,IP_ACL"

    def test_a_page_costs_the_same_however_many_there_are(
        self, wire: Wire, account: Account, django_assert_num_queries: Any
    ) -> None:
        for number in range(12):
            domain = rows.domain(account, f"d{number}.example.com")
            domain.credential_lists.add(CredentialList.objects.create(account=account))
        with django_assert_num_queries(4):  # who asks, the rows, and the lists of each kind
            wire.get("SIP/Domains.json")


class TestCredentialLists:
    """Twilio's SIP CredentialList and Credential resources."""

    def test_a_list_is_made_fetched_listed_renamed_and_deleted(self, client: Client) -> None:
        made = client.sip.credential_lists.create(friendly_name="Phones")
        assert client.sip.credential_lists(made.sid).fetch().friendly_name == "Phones"
        assert [found.sid for found in client.sip.credential_lists.list()] == [made.sid]
        assert made.update(friendly_name="Desk phones").friendly_name == "Desk phones"
        assert made.delete() and not CredentialList.objects.exists()

    @pytest.mark.parametrize("name", ["", "x" * 65])
    def test_a_wrong_name_is_refused(self, client: Client, name: str) -> None:
        with refused(400, 21240, "FriendlyName"):
            client.sip.credential_lists.create(friendly_name=name)

    def test_there_may_be_so_many(self, client: Client, settings: Any) -> None:
        settings.MAX_LISTS = 1
        client.sip.credential_lists.create(friendly_name="Phones")
        with refused(400, 21239):
            client.sip.credential_lists.create(friendly_name="More")

    @pytest.mark.parametrize("relation", ["credential_lists", "registration_credential_lists"])
    def test_one_in_use_is_not_deleted(self, client: Client, account: Account, relation: str) -> None:
        made = client.sip.credential_lists.create(friendly_name="Phones")
        domain = rows.domain(account, NAME)
        getattr(domain, relation).add(made.sid)
        with refused(400, 21241, domain.sid):
            made.delete()
        assert CredentialList.objects.exists()

    def test_a_credential_is_made_and_lets_its_phone_in(self, client: Client, account: Account) -> None:
        made = client.sip.credential_lists.create(friendly_name="Phones")
        rows.domain(account, NAME).credential_lists.add(made.sid)
        credential = made.credentials.create(username="alice", password=PASSWORD)
        assert (credential.username, credential.credential_list_sid) == ("alice", made.sid)
        assert Credential.objects.get().password == PASSWORD
        assert set(load_directory().domains[NAME].ha1) == {"alice"}

    def test_credentials_are_fetched_listed_and_deleted(self, client: Client) -> None:
        made = client.sip.credential_lists.create(friendly_name="Phones")
        credential = made.credentials.create(username="alice", password=PASSWORD)
        assert made.credentials(credential.sid).fetch().username == "alice"
        assert [found.sid for found in made.credentials.list()] == [credential.sid]
        assert credential.delete() and made.credentials.list() == []

    def test_a_password_is_changed_and_engines_learn_of_it(self, client: Client) -> None:
        made = client.sip.credential_lists.create(friendly_name="Phones")
        credential = made.credentials.create(username="alice", password=PASSWORD)
        before = RoutingVersion.objects.get().version
        credential.update(password="Another-Horse-10")
        assert Credential.objects.get().password == "Another-Horse-10"
        assert RoutingVersion.objects.get().version > before

    @pytest.mark.parametrize(
        ("username", "password", "word"),
        [
            ("alice", "short", "at least 12 characters, a digit"),
            ("alice", "alllowercase123", "upper and lower case"),
            ("alice", "", "Password"),
            ("x" * 33, PASSWORD, "Username"),
            ("a@b", PASSWORD, "Username"),
            ("", PASSWORD, "Username"),
            (" alice", PASSWORD, "Username"),
            ("alice", PASSWORD + "\0", "Password"),
        ],
    )
    def test_a_wrong_credential_is_refused(self, client: Client, username: str, password: str, word: str) -> None:
        made = client.sip.credential_lists.create(friendly_name="Phones")
        with refused(400, 21243, word):
            made.credentials.create(username=username, password=password)
        assert not Credential.objects.exists()

    def test_a_weak_new_password_is_refused(self, client: Client) -> None:
        made = client.sip.credential_lists.create(friendly_name="Phones")
        credential = made.credentials.create(username="alice", password=PASSWORD)
        with refused(400, 21243, "Password"):
            credential.update(password="weak")
        assert Credential.objects.get().password == PASSWORD

    def test_a_username_is_there_once(self, client: Client) -> None:
        made = client.sip.credential_lists.create(friendly_name="Phones")
        made.credentials.create(username="alice", password=PASSWORD)
        with refused(400, 21243, "already"):
            made.credentials.create(username="alice", password=PASSWORD)

    def test_a_username_is_not_changed(self, client: Client, wire: Wire) -> None:
        made = client.sip.credential_lists.create(friendly_name="Phones")
        credential = made.credentials.create(username="alice", password=PASSWORD)
        path = f"SIP/CredentialLists/{made.sid}/Credentials/{credential.sid}.json"
        assert wire.post(path, Username="bob").json()["code"] == 20001

    def test_there_may_be_so_many_credentials(self, client: Client, settings: Any) -> None:
        settings.MAX_CREDENTIALS = 1
        made = client.sip.credential_lists.create(friendly_name="Phones")
        made.credentials.create(username="alice", password=PASSWORD)
        with refused(400, 21242):
            made.credentials.create(username="bob", password=PASSWORD)

    def test_another_account_s_list_is_not_found(self, client: Client) -> None:
        other = CredentialList.objects.create(account=rows.account("Other"), friendly_name="Theirs")
        with refused(404, 20404):
            client.sip.credential_lists(other.sid).credentials.create("eve", PASSWORD)

    def test_a_credential_is_found_in_its_own_list_only(self, client: Client) -> None:
        one = client.sip.credential_lists.create(friendly_name="One")
        two = client.sip.credential_lists.create(friendly_name="Two")
        credential = one.credentials.create(username="alice", password=PASSWORD)
        with refused(404, 20404):
            two.credentials(credential.sid).fetch()


class TestIpAccessControlLists:
    """Twilio's SIP IpAccessControlList and IpAddress resources."""

    def test_a_list_is_made_fetched_listed_renamed_and_deleted(self, client: Client) -> None:
        made = client.sip.ip_access_control_lists.create(friendly_name="Office")
        assert client.sip.ip_access_control_lists(made.sid).fetch().friendly_name == "Office"
        assert [found.sid for found in client.sip.ip_access_control_lists.list()] == [made.sid]
        assert made.update(friendly_name="Head office").friendly_name == "Head office"
        assert made.delete() and not IpAccessControlList.objects.exists()

    def test_a_name_is_required(self, client: Client) -> None:
        with refused(400, 21235, "FriendlyName"):
            client.sip.ip_access_control_lists.create(friendly_name="")

    def test_there_may_be_so_many(self, client: Client, settings: Any) -> None:
        settings.MAX_LISTS = 0
        with refused(400, 21239):
            client.sip.ip_access_control_lists.create(friendly_name="Office")

    def test_one_in_use_is_not_deleted(self, client: Client, account: Account) -> None:
        made = client.sip.ip_access_control_lists.create(friendly_name="Office")
        domain = rows.domain(account, NAME)
        domain.ip_access_control_lists.add(made.sid)
        with refused(400, 21236, domain.sid):
            made.delete()

    def test_an_address_is_made_fetched_listed_changed_and_deleted(self, client: Client) -> None:
        made = client.sip.ip_access_control_lists.create(friendly_name="Office")
        address = made.ip_addresses.create(friendly_name="Berlin", ip_address="203.0.113.0", cidr_prefix_length=24)
        assert (address.ip_address, address.cidr_prefix_length) == ("203.0.113.0", 24)
        assert made.ip_addresses(address.sid).fetch().friendly_name == "Berlin"
        assert [found.sid for found in made.ip_addresses.list()] == [address.sid]
        changed = address.update(ip_address="198.51.100.7", cidr_prefix_length=32, friendly_name="Bonn")
        assert (changed.ip_address, changed.cidr_prefix_length, changed.friendly_name) == ("198.51.100.7", 32, "Bonn")
        assert address.delete() and not IpAddress.objects.exists()

    @pytest.mark.parametrize(("address", "length"), [("203.0.113.7", 32), ("2001:db8::7", 128)])
    def test_without_a_prefix_length_it_is_the_whole_address(self, client: Client, address: str, length: int) -> None:
        made = client.sip.ip_access_control_lists.create(friendly_name="Office")
        assert made.ip_addresses.create("Berlin", address).cidr_prefix_length == length

    @pytest.mark.parametrize(
        ("address", "length", "word"),
        [
            ("203.0.113", 32, "IpAddress"),
            ("example.com", 32, "IpAddress"),
            ("", 32, "IpAddress"),
            ("203.0.113.7", 33, "CidrPrefixLength"),
            ("203.0.113.7", 0, "CidrPrefixLength"),
            ("203.0.113.7", -1, "CidrPrefixLength"),
            ("203.0.113.7", 24, "203.0.113.0"),
            ("203.0.113.7", "x", "CidrPrefixLength"),
        ],
    )
    def test_a_wrong_address_is_refused(self, client: Client, address: str, length: Any, word: str) -> None:
        made = client.sip.ip_access_control_lists.create(friendly_name="Office")
        with refused(400, 21238, word):
            made.ip_addresses.create("Berlin", address, cidr_prefix_length=length)
        assert not IpAddress.objects.exists()

    def test_there_may_be_so_many_addresses(self, client: Client, settings: Any) -> None:
        settings.MAX_IP_ADDRESSES = 1
        made = client.sip.ip_access_control_lists.create(friendly_name="Office")
        made.ip_addresses.create("Berlin", "203.0.113.7")
        with refused(400, 21237):
            made.ip_addresses.create("Bonn", "203.0.113.8")

    def test_another_account_s_list_is_not_found(self, client: Client) -> None:
        other = IpAccessControlList.objects.create(account=rows.account("Other"), friendly_name="Theirs")
        with refused(404, 20404):
            client.sip.ip_access_control_lists(other.sid).ip_addresses.create("Eve", "203.0.113.7")


FAMILIES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "legacy credentials": ("CL", lambda domain: domain.credential_list_mappings),
    "legacy addresses": ("AL", lambda domain: domain.ip_access_control_list_mappings),
    "call credentials": ("CL", lambda domain: domain.auth.calls.credential_list_mappings),
    "call addresses": ("AL", lambda domain: domain.auth.calls.ip_access_control_list_mappings),
    "registration": ("CL", lambda domain: domain.auth.registrations.credential_list_mappings),
}


@pytest.mark.parametrize("family", FAMILIES)
class TestMappings:
    """Twilio's mappings of lists to SIP domains: the older resources, and those below Auth."""

    def mappings(self, client: Client, account: Account, family: str) -> Any:
        return FAMILIES[family][1](client.sip.domains(rows.domain(account, NAME).sid))

    def make_list(self, account: Account, family: str, name: str = "Phones") -> str:
        model = CredentialList if FAMILIES[family][0] == "CL" else IpAccessControlList
        return str(model.objects.create(account=account, friendly_name=name).pk)

    def test_a_list_is_mapped_fetched_listed_and_unmapped(self, client: Client, account: Account, family: str) -> None:
        mappings, sid = self.mappings(client, account, family), self.make_list(account, family)
        made = mappings.create(sid)
        assert (made.sid, made.friendly_name, made.account_sid) == (sid, "Phones", account.sid)
        assert mappings(sid).fetch().date_created
        assert [found.sid for found in mappings.list()] == [sid]
        assert mappings(sid).delete() and mappings.list() == []

    def test_a_list_is_mapped_once(self, client: Client, account: Account, family: str) -> None:
        mappings, sid = self.mappings(client, account, family), self.make_list(account, family)
        mappings.create(sid)
        with refused(400, 21231, sid):
            mappings.create(sid)

    def test_pages_are_followed(self, client: Client, account: Account, family: str) -> None:
        mappings = self.mappings(client, account, family)
        made = [mappings.create(self.make_list(account, family, f"{number}")).sid for number in range(3)]
        assert [found.sid for found in mappings.list(page_size=2)] == made[::-1]

    def test_another_account_s_list_is_not_found(self, client: Client, account: Account, family: str) -> None:
        mappings, sid = self.mappings(client, account, family), self.make_list(rows.account("Other"), family)
        with refused(404, 20404, sid):
            mappings.create(sid)

    def test_what_is_no_sid_is_refused(self, client: Client, account: Account, family: str) -> None:
        with refused(400, 20001, "ListSid"):
            self.mappings(client, account, family).create("nonsense")

    def test_what_is_not_mapped_is_not_found(self, client: Client, account: Account, family: str) -> None:
        mappings, sid = self.mappings(client, account, family), self.make_list(account, family)
        with refused(404, 20404):
            mappings(sid).fetch()
        with refused(404, 20404):
            mappings(sid).delete()

    def test_another_account_s_domain_is_not_found(self, client: Client, account: Account, family: str) -> None:
        theirs = rows.domain(rows.account("Other"), NAME)
        with refused(404, 20404):
            FAMILIES[family][1](client.sip.domains(theirs.sid)).create(self.make_list(account, family))


class TestMappingFamilies:
    """Older paths and Auth/Calls are one; registration is another (conformance §1.14)."""

    def test_the_older_mappings_are_those_for_calls(self, client: Client, account: Account) -> None:
        domain = client.sip.domains(rows.domain(account, NAME).sid)
        made = CredentialList.objects.create(account=account, friendly_name="Phones")
        domain.credential_list_mappings.create(made.sid)
        with refused(400, 21231):
            domain.auth.calls.credential_list_mappings.create(made.sid)
        domain.auth.calls.credential_list_mappings(made.sid).delete()
        assert domain.credential_list_mappings.list() == []

    def test_mappings_for_registration_let_nobody_call(self, client: Client, account: Account) -> None:
        domain = client.sip.domains(rows.domain(account, NAME).sid)
        made = CredentialList.objects.create(account=account, friendly_name="Phones")
        domain.auth.registrations.credential_list_mappings.create(made.sid)
        assert domain.auth.calls.credential_list_mappings.list() == []
        assert domain.fetch().auth_type == "" and not load_directory().domains[NAME].credentials_mapped

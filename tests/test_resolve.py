"""What the routing tables answer: the directory that admission works on, regions, and where a dialled user leads."""

from __future__ import annotations

import logging
from ipaddress import ip_network
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from routing import resolve
from routing.admission import authenticate
from routing.answers import Challenge, Deny, InviteFacts, Peer
from routing.digest import ha1
from routing.models import (
    Account,
    Application,
    Credential,
    CredentialList,
    IpAccessControlList,
    IpAddress,
    PhoneNumber,
    Region,
    SipDomain,
    TrunkRule,
)
from routing.outbound import Dialplan, Way
from routing.resolve import External
from routing.sipuri import SipUri
from tests import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return rows.account()


def credentials(account: Account, domain: SipDomain, *usernames: str, name: str = "Phones") -> CredentialList:
    made = CredentialList.objects.create(account=account, friendly_name=name)
    for username in usernames:
        Credential.objects.create(credential_list=made, username=username, password=rows.PASSWORD)
    domain.credential_lists.add(made)
    return made


def networks(account: Account, domain: SipDomain, *addresses: tuple[str, int | None]) -> IpAccessControlList:
    made = IpAccessControlList.objects.create(account=account, friendly_name="Office")
    for address, prefix in addresses:
        IpAddress.objects.create(
            ip_access_control_list=made, friendly_name=address, ip_address=address, cidr_prefix_length=prefix
        )
    domain.ip_access_control_lists.add(made)
    return made


def invite(host: str, source_ip: str = "10.0.0.9") -> InviteFacts:
    return InviteFacts("INVITE", host, source_ip, "call-1")


class TestDirectory:
    def test_an_application_with_no_voice_url_is_ours(self, account: Account, settings: Settings) -> None:
        settings.PUBLIC_URL = "http://testserver"
        domain = rows.domain(account)
        application = resolve.load_directory().domains["calls.example.com"].application
        assert application.voice_url == "http://testserver/voice/"
        assert (application.account_sid, application.domain_sid) == (account.sid, domain.sid)
        assert application.auth_token == account.auth_token

    def test_an_application_elsewhere_keeps_its_urls(self, account: Account) -> None:
        rows.domain(
            account,
            voice_url="https://a.example/voice",
            voice_method="GET",
            voice_fallback_url="https://b.example/",
            voice_status_callback_url="https://c.example/",
        )
        application = resolve.load_directory().domains["calls.example.com"].application
        assert (application.voice_url, application.voice_method) == ("https://a.example/voice", "GET")
        assert (application.fallback_url, application.fallback_method) == ("https://b.example/", "POST")
        assert application.status_callback_url == "https://c.example/"

    def test_an_application_says_what_its_account_and_domain_ask_for(self, account: Account) -> None:
        rows.domain(account)
        rows.domain(rows.account("Plain", enhanced_sip=False), "plain.example.com", secure=True)
        found = resolve.load_directory().domains
        asked = {name: (domain.application.enhanced_sip, domain.application.secure) for name, domain in found.items()}
        assert asked == {"calls.example.com": (True, False), "plain.example.com": (False, True)}

    def test_ha1s_are_made_with_the_domain_as_realm(self, account: Account) -> None:
        credentials(account, rows.domain(account), "alice", "bob")
        found = resolve.load_directory().domains["calls.example.com"]
        assert found.credentials_mapped
        assert found.ha1 == {name: ha1(name, "calls.example.com", rows.PASSWORD) for name in ("alice", "bob")}

    def test_networks_of_all_mapped_lists_are_there(self, account: Account) -> None:
        networks(account, rows.domain(account), ("10.0.0.0", 8), ("2001:db8::1", None))
        found = resolve.load_directory().domains["calls.example.com"]
        assert found.ip_mapped
        assert set(found.networks) == {ip_network("10.0.0.0/8"), ip_network("2001:db8::1/128")}

    def test_an_empty_list_is_mapped_all_the_same(self, account: Account) -> None:
        networks(account, rows.domain(account))
        assert resolve.load_directory().domains["calls.example.com"].ip_mapped

    @pytest.mark.parametrize("status", ["suspended", "closed"])
    def test_domains_of_accounts_that_are_not_active_are_left_out(self, account: Account, status: str) -> None:
        rows.domain(account, is_default=True)
        Account.objects.filter(pk=account.pk).update(status=status)
        directory = resolve.load_directory()
        assert (dict(directory.domains), directory.default) == ({}, None)

    def test_the_default_domain_answers_for_a_bare_address(self, account: Account) -> None:
        networks(account, rows.domain(account, is_default=True), ("10.0.0.0", 8))
        decision = authenticate(resolve.load_directory(), invite("192.0.2.1"), "secret", 0.0)
        assert isinstance(decision, Peer)

    def test_both_kinds_of_list_are_asked(self, account: Account) -> None:
        domain = rows.domain(account)
        networks(account, domain, ("10.0.0.0", 8))
        credentials(account, domain, "alice")
        directory = resolve.load_directory()
        assert isinstance(authenticate(directory, invite("calls.example.com"), "s", 0.0), Challenge)
        assert isinstance(authenticate(directory, invite("calls.example.com", "192.0.2.9"), "s", 0.0), Deny)

    def test_numbers_bring_their_own_urls_or_those_of_their_application(self, account: Account) -> None:
        app = Application.objects.create(account=account, voice_url="http://app.example/v", voice_method="GET")
        PhoneNumber.objects.create(account=account, phone_number="+4930123", voice_url="http://own.example/v")
        PhoneNumber.objects.create(account=account, phone_number="+4930124", application=app)
        PhoneNumber.objects.create(account=account, phone_number="+4930125")
        found = resolve.load_directory().numbers
        assert {number: (one.voice_url, one.voice_method) for number, one in found.items()} == {
            "+4930123": ("http://own.example/v", "POST"),
            "+4930124": ("http://app.example/v", "GET"),
        }
        assert found["+4930123"].account_sid == account.sid

    @pytest.mark.parametrize("status", ["suspended", "closed"])
    def test_numbers_of_accounts_that_are_not_active_lead_nowhere(self, status: str) -> None:
        PhoneNumber.objects.create(
            account=rows.account(status=status), phone_number="+4930123", voice_url="http://own.example/v"
        )
        assert resolve.load_directory().numbers == {}

    def test_its_queries_do_not_grow_with_the_tables(
        self, account: Account, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(3):
            domain = rows.domain(account, f"d{number}.example.com")
            credentials(account, domain, "alice", "bob", name=f"list {number}")
            networks(account, domain, ("10.0.0.0", 8))
        with django_assert_num_queries(6):
            resolve.load_directory()


class TestDialplan:
    def test_a_number_goes_through_a_trunk_with_a_rule_for_it(self, account: Account) -> None:
        rows.trunk(account, "+1", name="US")
        rows.trunk(account, TrunkRule(prefix="+49", strip=3, prepend="0"), "+", name="DE", uri="sip:de.example")
        (way,) = resolve.load_dialplan().trunk_ways(account.sid, "+4930123")
        assert way == Way(SipUri("030123", "de.example"))

    def test_a_trunk_carries_its_way_login_and_caller_id(self, account: Account) -> None:
        rows.trunk(
            account,
            "",
            transport="tls",
            srtp="mandatory",
            region=Region.objects.get(code="de1"),
            username="user",
            password="secret",
            caller_id="+4930999",
        )
        (way,) = resolve.load_dialplan().trunk_ways(account.sid, "100")
        uri = SipUri("100", "carrier.example", transport="tls", region="de1", srtp="mandatory")
        assert way == Way(uri, "user", "secret", "+4930999")

    def test_trunks_and_rules_are_in_the_order_of_their_positions(self, account: Account) -> None:
        carrier = rows.trunk(account, "+49", "+", position=2)
        carrier.rules.filter(prefix="+49").update(position=9)
        rows.trunk(account, "1", name="First", position=1)
        first, second = resolve.load_dialplan().trunks[account.sid]
        assert (first.name, [rule.prefix for rule in second.rules]) == ("First", ["+", "+49"])

    def test_an_endpoint_is_a_client_by_its_name(self, account: Account) -> None:
        rows.endpoint(
            account,
            "Alice",
            transport="tcp",
            region=Region.objects.get(code="ie1"),
            srtp="optional",
            username="alice",
            password="secret",
            headers="X-A: 1",
        )
        uri = SipUri("alice", "198.51.100.7", None, "tcp", "ie1", headers=(("X-A", "1"),), srtp="optional")
        assert resolve.load_dialplan().client(account.sid, "ALICE") == Way(uri, "alice", "secret")

    def test_of_two_endpoints_of_one_name_the_older_counts(self, account: Account) -> None:
        rows.endpoint(account, "zoe", uri="sip:first@h")
        rows.endpoint(account, "Zoe", uri="sip:second@h")
        assert resolve.load_dialplan().client(account.sid, "ZOE").uri.user == "first"

    def test_what_is_disabled_or_of_an_inactive_account_is_not_there(self, account: Account) -> None:
        closed = rows.account("Closed", status="closed")
        for owner, enabled in ((account, False), (closed, True)):
            rows.endpoint(owner, enabled=enabled)
            rows.trunk(owner, "", enabled=enabled)
        assert resolve.load_dialplan() == Dialplan({}, {})

    def test_what_cannot_be_called_is_left_out_and_logged(
        self, account: Account, caplog: pytest.LogCaptureFixture
    ) -> None:
        rows.endpoint(account, uri="sip:a b@h")
        rows.endpoint(account, "Bob", headers="Via: x")
        rows.endpoint(account, "Carol")
        assert set(resolve.load_dialplan().clients) == {(account.sid, "carol")}
        assert "endpoint Alice is left out: SIP URI: white space inside" in caplog.text
        assert "endpoint Bob is left out: Line 1: Via may not be sent" in caplog.text

    def test_its_queries_do_not_grow_with_the_tables(
        self, account: Account, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        region = Region.objects.get(code="ie1")
        for number in range(3):
            rows.trunk(account, "+49", "+", name=f"Trunk {number}", region=region)
            rows.endpoint(account, f"Phone {number}", region=region)
        with django_assert_num_queries(3):
            resolve.load_dialplan()


class TestLostKeys:
    def lose_key_of(self, table: str, column: str, key: str | int) -> None:
        """Encrypt one value with a key that is then forgotten."""
        foreign = "enc1:" + Fernet(Fernet.generate_key()).encrypt(b"x").decode()
        primary = "sid" if isinstance(key, str) else "id"
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET {column} = %s WHERE {primary} = %s", [foreign, key])

    def test_a_trunk_whose_password_cannot_be_read_is_left_out(
        self, account: Account, caplog: pytest.LogCaptureFixture
    ) -> None:
        lost = rows.trunk(account, "", name="Lost", username="u", password="p")
        rows.trunk(account, "", name="Kept", username="u", password="p")
        self.lose_key_of("routing_trunk", "password", lost.pk)
        (kept,) = resolve.load_dialplan().trunks[account.sid]
        assert kept.name == "Kept"
        assert "trunk Lost is left out" in caplog.text and "FIELD_ENCRYPTION_KEYS" in caplog.text

    def test_only_the_credential_that_cannot_be_read_is_left_out(
        self, account: Account, caplog: pytest.LogCaptureFixture
    ) -> None:
        made = credentials(account, rows.domain(account), "alice", "bob")
        self.lose_key_of("routing_credential", "password", made.credentials.get(username="bob").sid)
        with caplog.at_level(logging.ERROR):
            assert set(resolve.load_directory().domains["calls.example.com"].ha1) == {"alice"}
        assert "Credential bob of calls.example.com is left out" in caplog.text
        assert "FIELD_ENCRYPTION_KEYS" in caplog.text

    def test_only_the_domains_of_an_account_whose_token_cannot_be_read_are_left_out(
        self, account: Account, caplog: pytest.LogCaptureFixture
    ) -> None:
        rows.domain(account)
        rows.domain(rows.account("Other"), "other.example.com")
        self.lose_key_of("routing_account", "auth_token", account.sid)
        with caplog.at_level(logging.ERROR):
            assert set(resolve.load_directory().domains) == {"other.example.com"}
        assert "SIP domain calls.example.com takes no calls" in caplog.text


class TestVersion:
    def test_it_moves_with_everything_that_admission_needs(self, account: Account) -> None:
        seen = [resolve.directory_version()]

        def moved(_: Any = None) -> bool:
            seen.append(resolve.directory_version())
            return seen[-1] > seen[-2]

        domain = rows.domain(account)
        assert moved()
        made = credentials(account, domain, "alice")
        assert moved()
        networks(account, domain, ("10.0.0.0", 8))
        assert moved()
        domain.credential_lists.remove(made)
        assert moved()
        made.credentials.get().delete()
        assert moved()
        Region.objects.get(code="ie1").save()
        assert moved()
        account.save()
        assert moved()
        phone = rows.endpoint(account)
        assert moved()
        phone.delete()
        assert moved()
        carrier = rows.trunk(account, "+49")
        assert moved()
        carrier.rules.get().delete()
        assert moved()
        carrier.delete()
        assert moved()

    def test_it_stays_when_a_group_or_route_changes(self, account: Account) -> None:
        domain = rows.domain(account)
        before = resolve.directory_version()
        rows.route(domain, "100", group=rows.group(account))
        assert resolve.directory_version() == before

    def test_it_counts_even_if_its_row_was_lost(self, account: Account) -> None:
        from routing.models import RoutingVersion

        RoutingVersion.objects.all().delete()
        assert resolve.directory_version() == 0
        account.save()
        assert resolve.directory_version() == 1


class TestRegions:
    def test_they_are_plain_values_with_the_default_first(self) -> None:
        Region.objects.filter(code="ie1").update(local_address="10.0.0.2")
        found = resolve.regions()
        assert found[0] == resolve.RegionInfo("us1", "ashburn", "", "", True)
        assert next(region for region in found if region.code == "ie1").local_address == "10.0.0.2"
        assert len(found) == 8


class TestDestination:
    @pytest.fixture
    def domain(self, account: Account) -> SipDomain:
        return rows.domain(account)

    def dial(self, domain: SipDomain, user: str) -> resolve.Destination:
        return resolve.destination(domain.account, domain.domain_name, user)

    def test_the_first_match_in_order_is_taken(self, account: Account, domain: SipDomain) -> None:
        one, two = rows.group(account, name="One"), rows.group(account, name="Two")
        rows.route(domain, "55*", group=one)
        rows.route(domain, "555", group=two)
        assert self.dial(domain, "555").target == one

    @pytest.mark.parametrize(
        ("pattern", "user", "matches"),
        [
            ("100", "100", True),
            ("100", "1000", False),
            ("555*", "555", True),
            ("555*", "5551234", True),
            ("555*", "55", False),
            ("*", "anything", True),
            ("*", "", True),
            ("+1555*", "+15551234", True),
            ("ALICE", "alice", False),
        ],
    )
    def test_patterns(self, account: Account, domain: SipDomain, pattern: str, user: str, matches: bool) -> None:
        rows.route(domain, pattern, group=rows.group(account))
        assert (self.dial(domain, user).target is not None) == matches

    def test_a_disabled_route_is_passed_over_and_named(self, account: Account, domain: SipDomain) -> None:
        rows.route(domain, "100", group=rows.group(account), enabled=False)
        phone = rows.endpoint(account)
        rows.route(domain, "*", endpoint=phone)
        found = self.dial(domain, "100")
        assert found.target == phone
        assert "disabled" in found.why[0]

    def test_nothing_that_matches_is_said(self, domain: SipDomain) -> None:
        found = self.dial(domain, "100")
        assert found.target is None
        assert "No enabled route of calls.example.com matches the dialled user '100'" in found.why[-1]

    def test_an_application_elsewhere_is_a_destination(self, domain: SipDomain) -> None:
        rows.route(domain, "100", url="https://a.example/", method="GET")
        assert self.dial(domain, "100").target == External("https://a.example/", "GET")

    def test_the_sid_of_the_domain_counts_more_than_its_name(self, account: Account, domain: SipDomain) -> None:
        other = rows.domain(account, "other.example.com")
        group = rows.group(account)
        rows.route(other, "100", group=group)
        assert resolve.destination(account, domain.domain_name, "100", other.sid).target == group

    def test_an_unknown_host_means_the_accounts_default_domain(self, account: Account) -> None:
        group = rows.group(account)
        rows.route(rows.domain(account, is_default=True), "100", group=group)
        assert resolve.destination(account, "192.0.2.1", "100").target == group

    def test_a_domain_of_another_account_is_none_of_ours(self, account: Account, domain: SipDomain) -> None:
        rows.route(domain, "100", group=rows.group(account))
        found = resolve.destination(rows.account("Other"), domain.domain_name, "100")
        assert found.target is None
        assert "no default domain" in found.why[0]

    def test_it_takes_two_queries(
        self, account: Account, domain: SipDomain, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        group = rows.group(account, *(rows.endpoint(account, f"e{number}") for number in range(5)))
        for number in range(20):
            rows.route(domain, f"{number}*", group=group)
        with django_assert_num_queries(2):
            self.dial(domain, "5")

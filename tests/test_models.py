"""What the routing models accept, store and refuse; each refusal names the field and the fix."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.checks import CheckMessage
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Model, ProtectedError
from pytest_django.fixtures import Settings

from routing import checks
from routing.fields import SecretError
from routing.models import (
    Account,
    Credential,
    CredentialList,
    Endpoint,
    IpAccessControlList,
    IpAddress,
    Region,
    RingGroup,
    RingGroupMember,
    Route,
    SipDomain,
    Trunk,
    TrunkRule,
)
from routing.models.trunks import unreached
from routing.sid import is_sid
from tests import rows

pytestmark = pytest.mark.django_db


def refusals(obj: Model) -> dict[str, str]:
    """Return field → text of what `full_clean` refuses; empty if it accepts."""
    try:
        obj.full_clean()
    except ValidationError as error:
        return {field: " ".join(texts) for field, texts in error.message_dict.items()}
    return {}


@pytest.fixture
def account() -> Account:
    return rows.account()


def an_endpoint(account: Account, **fields: Any) -> Endpoint:
    return Endpoint(**{"account": account, "name": "Alice", "uri": "sip:alice@198.51.100.7", **fields})


class TestSecrets:
    def stored(self, account: Account) -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT auth_token FROM routing_account WHERE sid = %s", [account.sid])
            return str(cursor.fetchone()[0])

    def test_they_are_not_in_the_database_in_clear(self, account: Account) -> None:
        assert account.auth_token not in self.stored(account)

    def test_they_are_read_back_in_clear(self, account: Account) -> None:
        assert Account.objects.get(pk=account.pk).auth_token == account.auth_token

    def test_a_new_key_in_front_still_opens_what_the_old_one_closed(self, account: Account, settings: Settings) -> None:
        settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.FIELD_ENCRYPTION_KEYS]
        assert Account.objects.get(pk=account.pk).auth_token == account.auth_token

    def test_a_lost_key_is_named_where_the_secret_is_read(self, account: Account, settings: Settings) -> None:
        settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
        loaded = Account.objects.get(pk=account.pk)
        with pytest.raises(SecretError, match="account auth token: none of FIELD_ENCRYPTION_KEYS"):
            loaded.auth_token  # noqa: B018

    def test_saving_a_row_with_an_unreadable_secret_keeps_what_is_stored(
        self, account: Account, settings: Settings
    ) -> None:
        before = self.stored(account)
        settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
        loaded = Account.objects.get(pk=account.pk)
        loaded.friendly_name = "Renamed"
        loaded.save()
        assert self.stored(account) == before

    def test_a_value_that_was_never_encrypted_is_refused(self, account: Account) -> None:
        Account.objects.filter(pk=account.pk).update(status="active")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE routing_account SET auth_token = 'plain'")
        with pytest.raises(SecretError, match="not encrypted"):
            Account.objects.get(pk=account.pk).auth_token  # noqa: B018

    @pytest.mark.parametrize("keys", [[], ["short"]])
    def test_keys_that_are_absent_or_broken_are_named_where_the_secret_is_read(
        self, account: Account, settings: Settings, keys: list[str]
    ) -> None:
        settings.FIELD_ENCRYPTION_KEYS = keys
        with pytest.raises(SecretError, match="FIELD_ENCRYPTION_KEYS"):
            Account.objects.get(pk=account.pk).auth_token  # noqa: B018

    def test_a_deferred_secret_is_loaded_when_it_is_read(self, account: Account) -> None:
        loaded = Account.objects.defer("auth_token").get(pk=account.pk)
        loaded.save()
        assert loaded.auth_token == account.auth_token

    def test_an_unusable_key_is_named(self, account: Account, settings: Settings) -> None:
        settings.FIELD_ENCRYPTION_KEYS = ["short"]
        with pytest.raises(SecretError, match="FIELD_ENCRYPTION_KEYS"):
            account.save()


class TestAccountAndRegion:
    def test_an_account_gets_a_sid_and_an_auth_token(self, account: Account) -> None:
        assert is_sid(account.sid, "AC")
        assert len(account.auth_token) == 32

    def test_an_account_in_use_cannot_be_deleted(self, account: Account) -> None:
        rows.endpoint(account)
        with pytest.raises(ProtectedError):
            account.delete()

    def test_the_eight_regions_are_there_with_us1_the_default(self) -> None:
        assert {region.code for region in Region.objects.all()} == {
            *("us1", "us2", "ie1", "de1", "sg1", "jp1", "br1", "au1")
        }
        assert [region.code for region in Region.objects.filter(is_default=True)] == ["us1"]

    def test_a_new_default_region_takes_the_mark_from_the_old(self) -> None:
        region = Region.objects.get(code="ie1")
        region.is_default = True
        assert refusals(region) == {}
        region.save()
        assert [region.code for region in Region.objects.filter(is_default=True)] == ["ie1"]

    def test_the_default_mark_cannot_just_be_taken_away(self) -> None:
        region = Region.objects.get(code="us1")
        region.is_default = False
        assert "mark another one" in refusals(region)["is_default"]

    def test_an_edge_may_not_be_the_name_of_another_region(self) -> None:
        assert "ie1" in refusals(Region(code="x1", edge="dublin", location="Nowhere"))["edge"]

    def test_local_address_and_outbound_proxy_exclude_each_other(self) -> None:
        region = Region(code="x1", location="Here", local_address="10.0.0.1", outbound_proxy="sip:edge.example.com")
        assert "outbound_proxy" in refusals(region)

    def test_an_outbound_proxy_must_be_a_sip_uri(self) -> None:
        assert "outbound_proxy" in refusals(Region(code="x1", location="Here", outbound_proxy="sip:no host"))


class TestCredential:
    def make(self, account: Account, password: str = rows.PASSWORD, username: str = "alice") -> Credential:
        made, _ = CredentialList.objects.get_or_create(account=account, friendly_name="Phones")
        return Credential(credential_list=made, username=username, password=password)

    def test_a_good_one_is_accepted(self, account: Account) -> None:
        assert refusals(self.make(account)) == {}

    @pytest.mark.parametrize(
        ("password", "missing"),
        [("Short1", "12 characters"), ("NoDigitsInHere", "a digit"), ("all-lower-case-1", "upper and lower case")],
    )
    def test_a_weak_password_is_refused_with_twilios_code(self, account: Account, password: str, missing: str) -> None:
        text = refusals(self.make(account, password))["password"]
        assert missing in text
        assert "21243" in text

    def test_an_absent_password_is_refused(self, account: Account) -> None:
        assert "Enter a password" in refusals(self.make(account, ""))["password"]

    def test_a_username_is_unique_in_its_list(self, account: Account) -> None:
        self.make(account).save()
        assert "already" in refusals(self.make(account))["__all__"]

    @pytest.mark.parametrize("username", ["a" * 33, "with space", "a:b", "a@b"])
    def test_a_username_that_digest_cannot_carry_is_refused(self, account: Account, username: str) -> None:
        assert "username" in refusals(self.make(account, username=username))


class TestIpAddress:
    def make(self, account: Account, address: str, prefix: int | None) -> IpAddress:
        acl, _ = IpAccessControlList.objects.get_or_create(account=account, friendly_name="Office")
        return IpAddress(ip_access_control_list=acl, friendly_name="x", ip_address=address, cidr_prefix_length=prefix)

    @pytest.mark.parametrize(("address", "prefix"), [("203.0.113.7", 32), ("2001:db8::1", 128)])
    def test_without_prefix_length_it_is_one_address(self, account: Account, address: str, prefix: int) -> None:
        made = self.make(account, address, None)
        assert refusals(made) == {}
        made.save()
        assert made.cidr_prefix_length == prefix

    def test_an_address_inside_its_network_is_refused_and_the_network_named(self, account: Account) -> None:
        assert "write 10.0.0.0" in refusals(self.make(account, "10.0.0.5", 24))["ip_address"]

    @pytest.mark.parametrize(("address", "prefix"), [("10.0.0.0", 33), ("::1", 129), ("0.0.0.0", 0)])
    def test_a_prefix_that_does_not_fit_is_refused(self, account: Account, address: str, prefix: int) -> None:
        assert "cidr_prefix_length" in refusals(self.make(account, address, prefix))

    def test_something_else_than_an_address_is_refused(self, account: Account) -> None:
        assert set(refusals(self.make(account, "not an address", 8))) == {"ip_address"}


class TestSipDomain:
    @pytest.mark.parametrize(
        ("typed", "stored"),
        [("Calls.Example.COM.", "calls.example.com"), ("203.0.113.7", "203.0.113.7"), ("[2001:DB8::1]", "2001:db8::1")],
    )
    def test_the_name_is_stored_as_it_is_compared(self, account: Account, typed: str, stored: str) -> None:
        made = SipDomain(account=account, domain_name=typed)
        assert refusals(made) == {}
        assert made.domain_name == stored

    @pytest.mark.parametrize("name", ["sip:a@b", "a b", "a_b.example", "-a.example", "example.com:5060", "a..b"])
    def test_what_is_no_host_name_is_refused(self, account: Account, name: str) -> None:
        assert "not a host name" in refusals(SipDomain(account=account, domain_name=name))["domain_name"]

    def test_an_international_name_is_refused_with_its_ascii_form(self, account: Account) -> None:
        assert "xn--" in refusals(SipDomain(account=account, domain_name="bücher.example"))["domain_name"]

    def test_a_name_that_is_taken_is_refused_whatever_its_case(self, account: Account) -> None:
        rows.domain(account)
        assert "taken" in refusals(SipDomain(account=account, domain_name="CALLS.example.com"))["domain_name"]

    def test_a_second_default_takes_the_mark_from_the_first(self, account: Account) -> None:
        first = rows.domain(account, is_default=True)
        rows.domain(account, "second.example.com", is_default=True)
        first.refresh_from_db()
        assert not first.is_default

    @pytest.mark.parametrize(
        "url", ["/voice", "ftp://x.example", "http://under_score.example/", "https://a b/", "http://[x"]
    )
    def test_a_url_that_cannot_be_requested_is_refused(self, account: Account, url: str) -> None:
        assert "voice_url" in refusals(SipDomain(account=account, domain_name="x.example", voice_url=url))

    def test_a_url_may_carry_a_login_a_port_and_connection_overrides(self, account: Account) -> None:
        url = "https://user:pass@web:8443/voice?a=b#rc=2&rp=all"
        assert refusals(SipDomain(account=account, domain_name="x.example", voice_url=url)) == {}


class TestEndpoint:
    def test_the_uri_is_stored_in_canonical_form(self, account: Account) -> None:
        made = an_endpoint(account, uri=" Alice@Host.Example ")
        assert refusals(made) == {}
        assert made.uri == "sip:Alice@host.example"

    def test_what_the_uri_says_moves_to_its_fields(self, account: Account) -> None:
        made = an_endpoint(account, uri="sip:a@b.example;transport=tls;region=ie1?x-queue=sales%20team")
        assert refusals(made) == {}
        assert (made.uri, made.transport, made.headers) == ("sip:a@b.example", "tls", "x-queue: sales team")
        assert made.region and made.region.code == "ie1"

    def test_an_edge_names_its_region(self, account: Account) -> None:
        made = an_endpoint(account, uri="sip:a@b.example;edge=dublin")
        assert refusals(made) == {}
        assert made.region and made.region.code == "ie1"

    def test_everything_is_in_the_uri_of_the_noun(self, account: Account) -> None:
        made = an_endpoint(
            account, transport="tcp", region=Region.objects.get(code="de1"), headers="X-A: 1, 2\nUser-to-User: 00aa"
        )
        assert made.sip_uri().text == ("sip:alice@198.51.100.7;transport=tcp;region=de1?X-A=1%2C%202&User-to-User=00aa")

    @pytest.mark.parametrize(
        ("fields", "field", "text"),
        [
            ({"uri": "sip:a@b" + "c" * 260}, "uri", "13243"),
            ({"uri": "nonsense uri"}, "uri", "13243"),
            ({"uri": ""}, "uri", "cannot be blank"),
            ({"uri": "sip:a:secret@b.example"}, "uri", "password"),
            ({"uri": "sip:a@b.example;region=mars"}, "uri", "us1"),
            ({"uri": "sip:a@b.example;transport=tls", "transport": "udp"}, "transport", "As in the SIP URI"),
            ({"uri": "sips:a@b.example", "transport": "tcp"}, "transport", "TLS"),
            ({"username": "alice"}, "password", "13249"),
            ({"password": "secret"}, "username", "13249"),
            ({"headers": "Subject: hello"}, "headers", "13252"),
            ({"headers": "X-A"}, "headers", "Line 1"),
            ({"headers": "X-A: " + "ü" * 200}, "headers", "13253"),
            ({"headers": "X-A: 1\nx-a: 2"}, "headers", "twice"),
            ({"status_callback": "http://bad_host/"}, "status_callback", "underscore"),
            ({"status_callback_events": "ringing dialed"}, "status_callback_events", "dialed"),
        ],
    )
    def test_bad_values_are_refused_by_name(
        self, account: Account, fields: dict[str, str], field: str, text: str
    ) -> None:
        assert text in refusals(an_endpoint(account, **fields))[field]

    @pytest.mark.parametrize(
        ("uri", "srtp"),
        [("sips:a@b.example;secure=true", "mandatory"), ("sip:a@b.example;secure=optional", "optional")],
    )
    def test_secure_moves_to_its_field_and_back_into_the_noun(self, account: Account, uri: str, srtp: str) -> None:
        made = an_endpoint(account, uri=uri)
        assert refusals(made) == {}
        assert (made.uri, made.srtp) == ("sip:a@b.example", srtp)
        assert made.sip_uri().text.endswith(uri.partition(";")[2])

    @pytest.mark.parametrize("secure", ["false", "optional"])
    def test_a_uri_that_contradicts_the_srtp_field_is_refused(self, account: Account, secure: str) -> None:
        made = an_endpoint(account, uri=f"sip:a@b.example;secure={secure}", srtp="mandatory")
        assert "take ;secure= out of the URI" in refusals(made)["srtp"]

    def test_a_uri_that_its_fields_make_too_long_is_refused(self, account: Account) -> None:
        long = "sip:a@" + ".".join(["b" * 60] * 4)
        assert refusals(an_endpoint(account, uri=long)) == {}
        assert "13243" in refusals(an_endpoint(account, uri=long, transport="tls", srtp="mandatory"))["uri"]

    @pytest.mark.parametrize("name", ["Zoë", "ZOË", " zoë "])
    def test_a_name_is_unique_in_its_account_in_whatever_case(self, account: Account, name: str) -> None:
        rows.endpoint(account, "Zoë", uri="sip:zoe@h")
        text = refusals(an_endpoint(account, name=name))["name"]
        assert "Endpoint Zoë at sip:zoe@h has this name already" in text and "<Client>" in text
        assert refusals(an_endpoint(rows.account("Other"), name=name)) == {}

    def test_an_endpoint_may_keep_its_name(self, account: Account) -> None:
        assert refusals(rows.endpoint(account, "Zoë", uri="sip:zoe@h")) == {}

    @pytest.mark.parametrize(
        ("srtp", "transport", "exposed"),
        [("off", "", False), ("optional", "", True), ("mandatory", "udp", True), ("mandatory", "tls", False)],
    )
    def test_srtp_keys_are_exposed_without_tls(
        self, account: Account, srtp: str, transport: str, exposed: bool
    ) -> None:
        assert an_endpoint(account, srtp=srtp, transport=transport).exposes_srtp_keys is exposed

    def test_events_are_stored_in_their_order_in_time(self, account: Account) -> None:
        made = an_endpoint(account, status_callback_events="completed, ringing")
        assert refusals(made) == {}
        assert made.status_callback_events == "ringing completed"

    def test_a_unicode_name_is_kept(self, account: Account) -> None:
        made = an_endpoint(account, name="Zoë 東京")
        made.save()
        assert str(Endpoint.objects.get(pk=made.pk)) == "Zoë 東京"


class TestUrls:
    """Twilio: absolute URLs need a valid host name, without underscores; connection overrides after #."""

    @pytest.mark.parametrize(
        "url",
        ["https://user:pa%20ss@h.example/a?b=c", "http://127.0.0.1:8000/", "https://[::1]/", "https://h/#ct=2000&rc=2"],
    )
    def test_these_can_be_requested(self, account: Account, url: str) -> None:
        assert refusals(an_endpoint(account, screening_url=url)) == {}

    @pytest.mark.parametrize(
        ("url", "text"),
        [
            ("https://bad_host.example/", "bad_host.example has an underscore"),
            ("https://bad_host.example/", "error 11100"),
            ("ftp://h.example/", "begins with http:// or https://"),
            ("/relative", "begins with http:// or https://"),
            ("https://", "begins with http:// or https://"),
            ("https://h.example/a b", "no spaces"),
            ("https://h.example:0/", "error 11100"),
            ("https://h.example:99999/", "Port out of range"),
            ("https://[::1/", "not a URL"),
            ("https://h.example/#rc=9", "rc=9: give a number from 0 to 5"),
            ("https://h.example/#rc=9", "error 11243"),
        ],
    )
    def test_these_cannot(self, account: Account, url: str, text: str) -> None:
        assert text in refusals(an_endpoint(account, screening_url=url))["screening_url"]


def a_trunk(account: Account, **fields: Any) -> Trunk:
    return Trunk(**{"account": account, "name": "Carrier", "uri": "sip:carrier.example", **fields})


class TestTrunk:
    def test_what_the_uri_says_moves_to_its_fields(self, account: Account) -> None:
        made = a_trunk(account, uri=" sips:Carrier.Example:5071;edge=dublin;secure=true ")
        assert refusals(made) == {}
        assert (made.uri, made.transport, made.srtp) == ("sip:carrier.example:5071", "tls", "mandatory")
        assert made.region and made.region.code == "ie1"

    @pytest.mark.parametrize(
        ("fields", "field", "text"),
        [
            (
                {"uri": "sip:me@carrier.example"},
                "uri",
                "Take me@ out of the URI: the number that is dialled goes there",
            ),
            ({"uri": "sip:carrier.example?x-a=1"}, "uri", "a trunk sends none"),
            ({"uri": "sip:carrier example"}, "uri", "13243"),
            ({"uri": "sip:" + ".".join(["a" * 60] * 4)}, "uri", "a number of 52 digits must fit before it"),
            ({"uri": ""}, "uri", "cannot be blank"),
            ({"uri": "sip:carrier.example;region=mars"}, "uri", "There is no region mars"),
            ({"username": "u"}, "password", "13249"),
            ({"password": "p"}, "username", "13249"),
            ({"caller_id": "+49 30"}, "caller_id", "13247"),
            ({"name": ""}, "name", "cannot be blank"),
        ],
    )
    def test_bad_values_are_refused_by_name(
        self, account: Account, fields: dict[str, str], field: str, text: str
    ) -> None:
        assert text in refusals(a_trunk(account, **fields))[field]

    def test_a_new_trunk_comes_last(self, account: Account) -> None:
        assert [rows.trunk(account, name=name).position for name in ("One", "Two")] == [1, 2]

    def test_an_account_with_trunks_cannot_be_deleted(self, account: Account) -> None:
        rows.trunk(account)
        with pytest.raises(ProtectedError):
            account.delete()


class TestTrunkRule:
    def rule(self, prefix: str, strip: int = 0, prepend: str = "") -> TrunkRule:
        return TrunkRule(prefix=prefix, strip=strip, prepend=prepend)

    def refusals(self, rule: TrunkRule) -> dict[str, str]:
        rule.trunk = rows.trunk(rows.account())
        return refusals(rule)

    @pytest.mark.parametrize(
        ("written", "stored", "matches"),
        [("+49", "+49", "+49"), ("+49*", "+49", "+49"), ("*", "*", ""), ("**", "*", ""), ("*43", "*43", "*43")],
    )
    def test_a_star_at_the_end_stands_for_the_rest(self, written: str, stored: str, matches: str) -> None:
        rule = self.rule(written)
        assert self.refusals(rule) == {}
        assert (rule.prefix, rule.rule().prefix) == (stored, matches)

    @pytest.mark.parametrize(
        ("rule", "example"),
        [
            (("+49", 3, "0"), "+49301234 → 0301234"),
            (("+", 1, "00"), "+49301234 → 0049301234"),
            (("*", 0, ""), "+49301234 → +49301234"),
            (("0", 0, "9"), "09301234 → 909301234"),
        ],
    )
    def test_an_example_shows_what_it_does(self, rule: tuple[str, int, str], example: str) -> None:
        assert self.rule(*rule).example == example

    @pytest.mark.parametrize(
        ("rule", "shown"),
        [(("+49", 3, "0"), "+49 → 0…"), (("*", 0, "9"), "every number → 9…"), (("12", 1, ""), "12 → 2…")],
    )
    def test_it_is_shown_in_short(self, rule: tuple[str, int, str], shown: str) -> None:
        assert str(self.rule(*rule)) == shown

    @pytest.mark.parametrize(
        ("rule", "field", "text"),
        [
            (("", 0, ""), "prefix", "cannot be blank"),
            (("4 9", 0, ""), "prefix", "without spaces"),
            (("49+", 0, ""), "prefix", "such as +49 or 00"),
            (("sip:", 0, ""), "prefix", "as they are dialled"),
            (("+49", 4, ""), "strip", "+49 has 3 characters"),
            (("*", 1, ""), "strip", "write 0"),
            (("+49", -1, ""), "strip", "greater than or equal to 0"),
            (("+49", 3, "0 0"), "prepend", "without spaces"),
        ],
    )
    def test_bad_values_are_refused_by_name(self, rule: tuple[str, int, str], field: str, text: str) -> None:
        assert text in self.refusals(self.rule(*rule))[field]

    def test_a_rule_below_one_that_takes_its_numbers_is_never_reached(self) -> None:
        rules = [self.rule(prefix) for prefix in ("+49", "+1", "+4930", "*", "+1")]
        assert unreached(rules) == [(rules[2], rules[0]), (rules[4], rules[1])]


class TestRingGroup:
    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"ring_timeout": 4}, "ring_timeout"),
            ({"ring_timeout": 601}, "ring_timeout"),
            ({"time_limit": 0}, "time_limit"),
            ({"time_limit": 14401}, "time_limit"),
            ({"caller_id": "two words"}, "caller_id"),
            ({"record": "sometimes"}, "record"),
            ({"fallback": "group"}, "fallback_group"),
            ({"fallback": "endpoint"}, "fallback_endpoint"),
            ({"fallback": "say"}, "fallback_text"),
            ({"recording_status_callback": "https://bad_host/"}, "recording_status_callback"),
            ({"recording_status_callback_events": "completed started"}, "recording_status_callback_events"),
        ],
    )
    def test_bad_values_are_refused_by_name(self, account: Account, fields: dict[str, Any], field: str) -> None:
        assert set(refusals(RingGroup(account=account, name="Support", **fields))) == {field}

    def test_a_fallback_that_leads_back_is_refused_and_the_way_named(self, account: Account) -> None:
        first = rows.group(account, name="First")
        second = rows.group(account, name="Second", fallback="group", fallback_group=first)
        first.fallback, first.fallback_group = "group", second
        assert "First → Second → First" in refusals(first)["fallback_group"]

    def test_a_group_cannot_fall_back_to_itself(self, account: Account) -> None:
        group = rows.group(account)
        group.fallback, group.fallback_group = "group", group
        assert "fallback_group" in refusals(group)

    def test_a_fallback_group_that_is_not_in_use_makes_no_loop(self, account: Account) -> None:
        first = rows.group(account, name="First")
        second = rows.group(account, name="Second", fallback="hangup", fallback_group=first)
        first.fallback, first.fallback_group = "group", second
        assert refusals(first) == {}

    def test_a_fallback_of_another_account_is_refused(self, account: Account) -> None:
        other = rows.endpoint(rows.account("Other"))
        group = RingGroup(account=account, name="x", fallback="endpoint", fallback_endpoint=other)
        assert "another account" in refusals(group)["fallback_endpoint"]

    def test_an_endpoint_is_in_a_group_once(self, account: Account) -> None:
        alice = rows.endpoint(account)
        group = rows.group(account, alice)
        assert "already" in refusals(RingGroupMember(group=group, endpoint=alice, position=1))["__all__"]


class TestRoute:
    @pytest.mark.parametrize("pattern", ["5*5", "a b", "100@here", "**", ""])
    def test_a_pattern_of_another_form_is_refused(self, account: Account, pattern: str) -> None:
        route = Route(domain=rows.domain(account), pattern=pattern, group=rows.group(account))
        assert "pattern" in refusals(route)

    @pytest.mark.parametrize("fields", [{}, {"url": "https://a.example/", "endpoint": True}])
    def test_it_has_exactly_one_destination(self, account: Account, fields: dict[str, Any]) -> None:
        if "endpoint" in fields:
            fields["endpoint"] = rows.endpoint(account)
        text = refusals(Route(domain=rows.domain(account), pattern="1", **fields))
        assert "exactly one destination" in " ".join(text.values())

    def test_a_destination_of_another_account_is_refused(self, account: Account) -> None:
        other = rows.group(rows.account("Other"))
        assert "another account" in refusals(Route(domain=rows.domain(account), pattern="1", group=other))["group"]

    def test_a_new_route_comes_last(self, account: Account) -> None:
        domain, group = rows.domain(account), rows.group(account)
        made = [rows.route(domain, pattern, group=group) for pattern in ("1", "2", "3")]
        assert list(Route.objects.all()) == made


class TestChecks:
    def found(self, messages: list[CheckMessage]) -> list[str]:
        return [str(message.id) for message in messages]

    def test_the_settings_of_the_tests_are_fine(self) -> None:
        run = (
            checks.check_encryption_keys,
            checks.check_public_url,
            checks.check_sip_addresses,
            checks.check_tls_files,
        )
        assert [check() for check in run] == [[], [], [], []]

    @pytest.mark.parametrize(("keys", "code"), [([], "routing.E001"), (["nonsense"], "routing.E002")])
    def test_missing_or_wrong_keys_are_errors(self, settings: Settings, keys: list[str], code: str) -> None:
        settings.FIELD_ENCRYPTION_KEYS = keys
        messages = checks.check_encryption_keys()
        assert self.found(messages) == [code]
        assert ".env" in str(messages[0].hint)

    @pytest.mark.parametrize("url", ["voice.example.com", "/voice", "ftp://x", "https://x.example?a=b"])
    def test_a_public_url_that_is_not_absolute_is_an_error(self, settings: Settings, url: str) -> None:
        settings.PUBLIC_URL = url
        assert self.found(checks.check_public_url()) == ["routing.E003"]

    @pytest.mark.parametrize(
        ("bind", "public", "code"),
        [
            ("10.0.0.5", "", ["routing.W002"]),
            ("10.0.0.5", "203.0.113.7", []),
            ("127.0.0.1", "", []),
            ("0.0.0.0", "", []),
            ("a-name", "", []),
            ("0.0.0.0", "sip:203.0.113.7:5060", ["routing.E004"]),
        ],
    )
    def test_addresses(self, settings: Settings, bind: str, public: str, code: list[str]) -> None:
        settings.SIP_BIND, settings.SIP_PUBLIC_ADDRESS = bind, public
        assert self.found(checks.check_sip_addresses()) == code

    def test_half_a_tls_set_up_is_an_error(self, settings: Settings) -> None:
        settings.SIP_TLS_CERT, settings.SIP_TLS_KEY = "/there/is/none.pem", ""
        assert self.found(checks.check_tls_files()) == ["routing.E005"]

    def test_tls_files_that_are_missing_are_named(self, settings: Settings) -> None:
        settings.SIP_TLS_CERT, settings.SIP_TLS_KEY = "/there/is/none.pem", "/nor/this.key"
        assert self.found(checks.check_tls_files()) == ["routing.E006", "routing.E006"]

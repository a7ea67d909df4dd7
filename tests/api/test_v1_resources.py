"""Endpoints, credential lists, SIP domains, routes and trunks through /api/v1/: the model's checks hold here too."""

from __future__ import annotations

from typing import Any

import pytest

from routing.models import Account, Credential, Endpoint, Route, SipDomain, Trunk
from routing.models.base import RoutingVersion
from tests import rows
from tests.api.v1 import V1, by_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def v1(account: Account) -> V1:
    return by_token(account)


class TestEndpoints:
    def test_what_the_uri_says_moves_to_its_fields(self, v1: V1) -> None:
        made = v1.post("endpoints", {"name": "Alice", "uri": "sip:alice@198.51.100.7;transport=tcp;region=ie1?X-a=b"})
        assert made.status == 201
        told = {name: made[name] for name in ("uri", "transport", "region", "headers")}
        assert told == {"uri": "sip:alice@198.51.100.7", "transport": "tcp", "region": "ie1", "headers": "X-a: b"}

    def test_a_password_is_written_and_never_read(self, v1: V1) -> None:
        given = {"name": "A", "uri": "sip:a@198.51.100.7", "username": "a", "password": " pass word "}
        made = v1.post("endpoints", given)
        assert (made["has_password"], "password" in made.body) == (True, False)
        assert Endpoint.objects.get().password == " pass word "
        assert v1.patch(f"endpoints/{made['id']}", {"name": "B"})["has_password"] is True
        assert b"pass word" not in v1.get(f"endpoints/{made['id']}").raw

    def test_an_emptied_username_drops_the_password(self, v1: V1, account: Account) -> None:
        phone = rows.endpoint(account, username="a", password="b")
        assert v1.patch(f"endpoints/{phone.pk}", {"username": ""})["has_password"] is False

    def test_an_empty_password_is_not_taken_for_one(self, v1: V1, account: Account) -> None:
        phone = rows.endpoint(account, username="a", password="b")
        assert list(v1.patch(f"endpoints/{phone.pk}", {"password": ""})["errors"]) == ["password"]
        phone.refresh_from_db()
        assert phone.password == "b"

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"uri": "mailto:a@example.com"}, "uri"),
            ({"uri": "sip:a@198.51.100.7;transport=sctp"}, "uri"),
            ({"uri": ""}, "uri"),
            ({"name": ""}, "name"),
            ({"name": "x" * 65}, "name"),
            ({"name": "bob"}, "name"),
            ({"region": "nowhere"}, "region"),
            ({"region": 5}, "region"),
            ({"srtp": "maybe"}, "srtp"),
            ({"username": "a b"}, "username"),
            ({"username": "a"}, "password"),
            ({"headers": "X-a"}, "headers"),
            ({"headers": "From: x"}, "headers"),
            ({"status_callback": "ftp://x"}, "status_callback"),
            ({"status_callback_events": ["answered", "eaten"]}, "status_callback_events[1]"),
            ({"status_callback_events": 5}, "status_callback_events"),
            ({"enabled": "perhaps"}, "enabled"),
            ({"enabld": True}, "enabld"),
        ],
    )
    def test_what_is_wrong_is_named(self, v1: V1, account: Account, given: dict[str, Any], field: str) -> None:
        rows.endpoint(account, "Bob")
        refused = v1.post("endpoints", {"name": "Alice", "uri": "sip:a@198.51.100.7", **given})
        assert (refused.status, list(refused["errors"])) == (400, [field])
        assert Endpoint.objects.count() == 1

    def test_a_misspelt_field_is_guessed(self, v1: V1) -> None:
        refused = v1.post("endpoints", {"name": "A", "uri": "sip:a@198.51.100.7", "enabld": True})
        assert refused["errors"]["enabld"] == ["There is no field of this name. Did you mean enabled?"]

    def test_events_are_a_list(self, v1: V1) -> None:
        given = {"status_callback": "https://example.com/s", "status_callback_events": ["completed", "ringing"]}
        made = v1.post("endpoints", {"name": "A", "uri": "sip:a@198.51.100.7", **given})
        assert made["status_callback_events"] == ["ringing", "completed"]

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("enabled=false", ["Bob"]),
            ("transport=tls", ["Bob"]),
            ("region=ie1", ["Alice"]),
            ("search=BOB", ["Bob"]),
            ("order=-name", ["Bob", "Alice"]),
        ],
    )
    def test_filters(self, v1: V1, account: Account, query: str, names: list[str]) -> None:
        [ireland] = v1.get("regions?code=ie1").ids
        rows.endpoint(account, "Alice", region_id=ireland)
        rows.endpoint(account, "Bob", enabled=False, transport="tls")
        assert [row["name"] for row in v1.get(f"endpoints?{query}")["results"]] == names

    def test_one_that_a_route_needs_stays(self, v1: V1, account: Account) -> None:
        phone = rows.endpoint(account)
        rows.route(rows.domain(account), "100", endpoint=phone)
        assert v1.delete(f"endpoints/{phone.pk}").status == 409


class TestCredentialLists:
    def test_a_list_and_its_credentials(self, v1: V1) -> None:
        made = v1.post("credential-lists", {"friendly_name": "Phones"})
        path = f"credential-lists/{made['sid']}/credentials"
        added = v1.post(path, {"username": "alice", "password": rows.PASSWORD})
        assert (added.status, added["credential_list"]) == (201, made["sid"])
        assert "password" not in added.body
        assert v1.get(path).ids == [added["sid"]]
        assert v1.patch(f"{path}/{added['sid']}", {"password": "Another-Horse-7"}).status == 200
        assert Credential.objects.get().password == "Another-Horse-7"
        assert v1.delete(f"{path}/{added['sid']}").status == 204
        assert v1.delete(f"credential-lists/{made['sid']}").status == 204

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"username": "alice", "password": "weak"}, "password"),
            ({"username": "alice"}, "password"),
            ({"username": "alice", "password": ""}, "password"),
            ({"username": "a:b", "password": rows.PASSWORD}, "username"),
            ({"username": "a" * 33, "password": rows.PASSWORD}, "username"),
            ({"username": "bob", "password": rows.PASSWORD}, ""),
        ],
    )
    def test_what_is_wrong_is_named(self, v1: V1, account: Account, given: dict[str, Any], field: str) -> None:
        phones = account.credential_lists.create(friendly_name="Phones")
        phones.credentials.create(username="bob", password=rows.PASSWORD)
        refused = v1.post(f"credential-lists/{phones.sid}/credentials", given)
        assert (refused.status, list(refused["errors"])) == (400, [field])

    def test_an_emptied_password_is_refused(self, v1: V1, account: Account) -> None:
        phones = account.credential_lists.create(friendly_name="Phones")
        one = phones.credentials.create(username="bob", password=rows.PASSWORD)
        refused = v1.patch(f"credential-lists/{phones.sid}/credentials/{one.sid}", {"password": ""})
        assert list(refused["errors"]) == ["password"]

    def test_a_list_that_a_domain_needs_stays(self, v1: V1, account: Account) -> None:
        phones = account.credential_lists.create(friendly_name="Phones")
        rows.domain(account).credential_lists.add(phones)
        refused = v1.delete(f"credential-lists/{phones.sid}")
        assert (refused.status, refused["code"]) == (409, "in-use")
        assert "calls.example.com" in refused["detail"]


class TestDomains:
    def test_a_domain_with_its_mappings(self, v1: V1, account: Account) -> None:
        phones = account.credential_lists.create(friendly_name="Phones")
        office = account.ip_access_control_lists.create(friendly_name="Office")
        given = {"domain_name": "Sip.Example.com.", "credential_lists": [phones.sid]}
        made = v1.post("domains", {**given, "ip_access_control_lists": [office.sid]})
        assert (made.status, made["domain_name"], made["credential_lists"]) == (201, "sip.example.com", [phones.sid])
        changed = v1.patch(f"domains/{made['sid']}", {"credential_lists": []})
        assert (changed["credential_lists"], changed["ip_access_control_lists"]) == ([], [office.sid])

    def test_a_name_that_is_taken_is_refused(self, v1: V1) -> None:
        rows.domain(rows.account("Other"), "sip.example.com")
        refused = v1.post("domains", {"domain_name": "SIP.example.com"})
        assert "taken" in refused["errors"]["domain_name"][0]
        assert SipDomain.objects.count() == 1

    def test_lists_of_another_account_do_not_exist(self, v1: V1) -> None:
        foreign = rows.account("Other").credential_lists.create(friendly_name="Phones")
        refused = v1.post("domains", {"domain_name": "sip.example.com", "credential_lists": [foreign.sid]})
        assert list(refused["errors"]) == ["credential_lists"]
        assert not SipDomain.objects.exists()

    @pytest.mark.parametrize("name", ["", "a b", "ünder.example", "x" * 300, "a..b"])
    def test_a_name_that_is_none_is_refused(self, v1: V1, name: str) -> None:
        assert list(v1.post("domains", {"domain_name": name})["errors"]) == ["domain_name"]


class TestRoutes:
    @pytest.fixture
    def domain(self, account: Account) -> SipDomain:
        return rows.domain(account)

    def test_a_new_route_comes_last(self, v1: V1, account: Account, domain: SipDomain) -> None:
        group = rows.group(account)
        for pattern in ("100", "2*", "*"):
            made = v1.post("routes", {"domain": domain.sid, "pattern": pattern, "group": group.pk})
            assert made.status == 201
        assert [row["pattern"] for row in v1.get("routes")["results"]] == ["100", "2*", "*"]

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({}, "group"),
            ({"group": 1, "url": "https://example.com/"}, "url"),
            ({"url": "https://example.com/", "pattern": "a b"}, "pattern"),
            ({"url": "https://example.com/", "domain": "SD" + "0" * 32}, "domain"),
            ({"url": "https://example.com/", "domain": None}, "domain"),
            ({"url": "nowhere"}, "url"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, v1: V1, account: Account, domain: SipDomain, given: dict[str, Any], field: str
    ) -> None:
        if "group" in given:
            given = {**given, "group": rows.group(account).pk}
        refused = v1.post("routes", {"domain": domain.sid, "pattern": "100", **given})
        assert (refused.status, list(refused["errors"])) == (400, [field])

    def test_one_request_sorts_them(self, v1: V1, account: Account, domain: SipDomain) -> None:
        made = [rows.route(domain, pattern, url="https://example.com/").pk for pattern in ("1", "2", "3", "4")]
        first, second, third, fourth = made
        assert v1.post("routes/order", {"ids": [third, first]}).status == 200
        assert v1.get("routes").ids == [third, second, first, fourth]

    def test_routes_that_share_a_place_are_parted(self, v1: V1, domain: SipDomain) -> None:
        made = [rows.route(domain, pattern, url="https://example.com/").pk for pattern in ("1", "2", "3")]
        Route.objects.update(position=7)
        assert v1.post("routes/order", {"ids": made[::-1]}).status == 200
        assert v1.get("routes").ids == made[::-1]

    @pytest.mark.parametrize("ids", [[], [1, 1], [0], [-1], ["x"], [10**30], None, "1", {"a": 1}, [None], [1.5]])
    def test_ids_that_are_none_are_refused(self, v1: V1, domain: SipDomain, ids: Any) -> None:
        rows.route(domain, "1", url="https://example.com/")
        refused = v1.post("routes/order", {"ids": ids})
        assert (refused.status, refused["code"]) == (400, "invalid")
        assert list(refused["errors"])[0].startswith("ids")


class TestTrunks:
    def test_a_trunk_with_its_rules_in_order(self, v1: V1) -> None:
        rules = [{"prefix": "+49", "strip": 3, "prepend": "0"}, {"prefix": "*"}]
        made = v1.post("trunks", {"name": "Carrier", "uri": "sip:carrier.example", "rules": rules})
        assert made["rules"] == [rules[0], {"prefix": "*", "strip": 0, "prepend": ""}]
        changed = v1.patch(f"trunks/{made['id']}", {"rules": rules[::-1]})
        assert [rule["prefix"] for rule in changed["rules"]] == ["*", "+49"]

    def test_a_wrong_rule_is_named_and_nothing_stored(self, v1: V1) -> None:
        rules = [{"prefix": "+49"}, {"prefix": "0", "strip": 5}, {"strip": 1}]
        refused = v1.post("trunks", {"name": "C", "uri": "sip:carrier.example", "rules": rules})
        assert list(refused["errors"]) == ["rules[2].prefix"]
        refused = v1.post("trunks", {"name": "C", "uri": "sip:carrier.example", "rules": rules[:2]})
        assert list(refused["errors"]) == ["rules[1].strip"]
        assert not Trunk.objects.exists()

    def test_a_new_order_reaches_the_engines(self, v1: V1, account: Account) -> None:
        first, second = rows.trunk(account, "*", name="A").pk, rows.trunk(account, "*", name="B").pk
        before = RoutingVersion.objects.get().version
        v1.post("trunks/order", {"ids": [second, first]})
        assert RoutingVersion.objects.get().version > before
        assert v1.get("trunks").ids == [second, first]

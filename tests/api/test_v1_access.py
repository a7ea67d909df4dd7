"""Who may use /api/v1/, and of whose rows: tokens, keys and sessions.

Source: docs/api.md; what belongs to another account does not exist (404, never 403).
"""

from __future__ import annotations

import pytest
from django.test import override_settings
from rest_framework.test import APIClient

from calls import ledger
from routing.models import Account, ApiKey, RingGroup
from tests import rows, samples
from tests.api.v1 import V1, basic, by_key, by_session, by_token, reply

pytestmark = pytest.mark.django_db

LISTS = (
    "ring-groups", "endpoints", "regions", "credential-lists", "domains", "routes", "trunks", "calls", "recordings",
    "webhook-deliveries",
)  # fmt: skip


class TestAuthentication:
    @pytest.mark.parametrize("path", LISTS)
    def test_nobody_gets_past_without(self, path: str, db: None) -> None:
        refused = V1().get(path)
        assert (refused.status, refused["code"]) == (401, "not-authenticated")
        assert refused.headers["WWW-Authenticate"].startswith("Basic")
        assert refused.headers["Content-Type"] == "application/problem+json"

    @pytest.mark.parametrize("header", ["Basic", "Basic x", "Basic \xff", "Bearer x", basic("AC" + 32 * "0", "x")])
    def test_wrong_credentials_get_401(self, header: str) -> None:
        assert V1(header).get("ring-groups").status == 401

    @pytest.mark.parametrize("path", LISTS)
    def test_the_account_gets_in_by_its_token(self, account: Account, path: str) -> None:
        assert by_token(account).get(path).status == 200

    def test_a_key_that_was_revoked_opens_nothing(self, account: Account) -> None:
        key = by_key(account)
        assert key.get("ring-groups").status == 200
        ApiKey.objects.get().revoke()
        assert key.get("ring-groups").status == 401

    def test_a_suspended_account_is_refused(self) -> None:
        refused = by_token(rows.account(status="suspended")).get("ring-groups")
        assert refused.status in (401, 403)


class TestReadOnlyKeys:
    def test_it_reads(self, account: Account) -> None:
        group = rows.group(account)
        assert by_key(account, read_only=True).get(f"ring-groups/{group.pk}").status == 200

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_it_changes_nothing(self, account: Account, method: str) -> None:
        group = rows.group(account)
        path = "ring-groups" if method == "post" else f"ring-groups/{group.pk}"
        refused = by_key(account, read_only=True).ask(method, path, {"name": "X"}, If_Match="*")
        assert (refused.status, refused["code"]) == (403, "forbidden")
        assert [one.name for one in RingGroup.objects.all()] == ["Support"]

    def test_one_that_may_write_does(self, account: Account) -> None:
        assert by_key(account).post("ring-groups", {"name": "X"}).status == 201


class TestAccounts:
    """A key sees only its account's rows."""

    @pytest.fixture
    def other(self) -> Account:
        """An account with one of everything."""
        other = rows.account("Other")
        endpoint = rows.endpoint(other)
        group = rows.group(other, endpoint)
        domain = rows.domain(other)
        rows.route(domain, "100", group=group)
        rows.trunk(other, "+49")
        other.credential_lists.create(friendly_name="Phones").credentials.create(username="a", password=rows.PASSWORD)
        call = samples.call(other)
        ledger.apply([call, samples.recording(call)])
        return other

    @pytest.mark.parametrize("path", [path for path in LISTS if path != "regions"])
    def test_lists_show_nothing_of_others(self, account: Account, other: Account, path: str) -> None:
        assert by_token(account).get(path)["results"] == []
        assert path == "webhook-deliveries" or len(by_token(other).get(path)["results"]) == 1

    @pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
    @pytest.mark.parametrize("path", [path for path in LISTS if path not in ("regions", "webhook-deliveries")])
    def test_what_belongs_to_another_does_not_exist(
        self, account: Account, other: Account, path: str, method: str
    ) -> None:
        [found] = by_token(other).get(path).ids
        refused = by_token(account).ask(method, f"{path}/{found}", {"name": "X"} if method != "get" else None)
        readable = path in ("calls", "recordings")
        expected = 405 if readable and (method in ("put", "patch") or (path, method) == ("calls", "delete")) else 404
        assert refused.status == expected

    def test_nor_what_is_below_it(self, account: Account, other: Account) -> None:
        sid, group = other.credential_lists.get().sid, other.ring_groups.get()
        v1 = by_token(account)
        assert v1.get(f"credential-lists/{sid}/credentials").status == 404
        assert (
            v1.post(f"credential-lists/{sid}/credentials", {"username": "b", "password": rows.PASSWORD}).status == 404
        )
        assert v1.get(f"ring-groups/{group.pk}/twiml").status == 404
        assert v1.post(f"ring-groups/{group.pk}/ring", {"endpoint": 1}).status == 404

    def test_naming_another_account_is_refused(self, account: Account, other: Account) -> None:
        refused = by_token(account).post("ring-groups", {"name": "X", "account": other.sid})
        assert (refused.status, list(refused["errors"])) == (400, ["account"])

    def test_rows_of_another_cannot_be_used(self, account: Account, other: Account) -> None:
        v1, endpoint = by_token(account), other.endpoints.get()
        refused = v1.post("ring-groups", {"name": "X", "fallback": "endpoint", "fallback_endpoint": endpoint.pk})
        assert list(refused["errors"]) == ["fallback_endpoint"]


class TestSessions:
    def test_the_staff_sees_every_account(self, account: Account) -> None:
        rows.group(account)
        rows.group(rows.account("Other"), name="Sales")
        v1 = by_session("routing.view_ringgroup")
        assert [row["name"] for row in v1.get("ring-groups")["results"]] == ["Sales", "Support"]
        assert [row["name"] for row in v1.get(f"ring-groups?account={account.sid}")["results"]] == ["Support"]

    def test_without_the_permission_nothing(self, account: Account) -> None:
        refused = by_session().get("ring-groups")
        assert (refused.status, "routing.view_ringgroup" in refused["detail"]) == (403, True)

    def test_who_is_not_staff_gets_nowhere(self, account: Account) -> None:
        assert by_session("routing.view_ringgroup", staff=False).get("ring-groups").status == 403

    def test_of_several_accounts_one_must_be_named(self, account: Account) -> None:
        v1 = by_session("routing.add_ringgroup")
        assert v1.post("ring-groups", {"name": "A"})["account"] == account.sid
        other = rows.account("Other")
        assert list(v1.post("ring-groups", {"name": "B"})["errors"]) == ["account"]
        assert v1.post("ring-groups", {"name": "B", "account": other.sid})["account"] == other.sid

    def test_the_rows_of_two_accounts_do_not_mix(self, account: Account) -> None:
        foreign = rows.endpoint(rows.account("Other"))
        v1 = by_session("routing.add_ringgroup")
        given = {"name": "B", "account": account.sid, "members": [{"endpoint": foreign.pk}]}
        assert list(v1.post("ring-groups", given)["errors"]) == ["members[0].endpoint"]

    def test_a_form_on_another_site_changes_nothing(self, account: Account, admin_user: object) -> None:
        http = APIClient(enforce_csrf_checks=True)
        http.force_login(admin_user)  # type: ignore[arg-type]
        assert reply(http.post("/api/v1/ring-groups", {"name": "X"}, format="json")).status == 403
        assert not RingGroup.objects.exists()


class TestRegions:
    """They are the whole installation's."""

    def test_an_account_reads_them(self, account: Account) -> None:
        assert by_token(account).get("regions?code=us1")["results"][0]["is_default"] is True

    def test_an_account_changes_none(self, account: Account) -> None:
        [region] = by_token(account).get("regions?code=us1").ids
        assert by_token(account).patch(f"regions/{region}", {"location": "X"}).status == 403

    def test_the_staff_makes_another_one_the_default(self, account: Account) -> None:
        v1 = by_session("routing.view_region", "routing.change_region")
        [region] = v1.get("regions?code=ie1").ids
        assert v1.patch(f"regions/{region}", {"is_default": True}).status == 200
        assert [row["code"] for row in v1.get("regions?is_default=true")["results"]] == ["ie1"]

    def test_the_default_stays(self, account: Account) -> None:
        v1 = by_session("routing.view_region", "routing.change_region", "routing.delete_region")
        [region] = v1.get("regions?code=us1").ids
        assert v1.delete(f"regions/{region}").status == 409
        assert list(v1.patch(f"regions/{region}", {"is_default": False})["errors"]) == ["is_default"]


class TestRate:
    @override_settings(API_RATE="3/m")
    def test_too_many_requests_get_429_with_retry_after(self, account: Account) -> None:
        v1 = by_token(account)
        assert [v1.get("regions").status for _ in range(3)] == [200, 200, 200]
        refused = v1.get("regions")
        assert (refused.status, refused["code"]) == (429, "too-many-requests")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60

    @override_settings(API_RATE="3/m")
    def test_each_account_has_its_own(self, account: Account) -> None:
        for _ in range(4):
            by_token(account).get("regions")
        assert by_token(rows.account("Other")).get("regions").status == 200

    @override_settings(API_RATE="3/m")
    def test_sessions_are_counted_too(self, account: Account) -> None:
        v1 = by_session("routing.view_region")
        assert [v1.get("regions").status for _ in range(4)] == [200, 200, 200, 429]

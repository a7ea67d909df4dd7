"""The checklist that greets an empty system, and the check whether a far end is there (issue 5, "First hour")."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from calls import checks, first_hour
from calls.models import Call, EndpointCheck, Engine
from routing.models import SipDomain, Trunk
from tests import rows

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}


@pytest.fixture
def admin() -> User:
    return User.objects.create(username="admin", is_staff=True, is_superuser=True)


@pytest.fixture
def desk(client: Client, admin: User) -> Client:
    client.force_login(admin)
    return client


def engine(**values: Any) -> Engine:
    now = timezone.now()
    return Engine.objects.create(
        **{"name": "e1", "pid": 1, "max_legs": 100, "started": now, "seen": now, "state": "running", **values}
    )


def steps(user: User) -> dict[str, bool]:
    found = first_hour.checklist(user)
    return {step.name: step.done for step in found.steps} if found else {}


class TestTheChecklist:
    def test_an_empty_system_needs_everything(self, admin: User) -> None:
        assert not any(steps(admin).values())
        assert len(steps(admin)) == 7

    def test_each_step_is_done_when_it_is_so(self, admin: User) -> None:
        account = rows.account()
        seen = []
        for do in (
            engine,
            lambda: rows.domain(account),
            lambda: SipDomain.objects.get().credential_lists.create(account=account, friendly_name="Phones"),
            lambda: rows.endpoint(account),
            lambda: rows.group(account, account.endpoints.get()),
            lambda: rows.route(SipDomain.objects.get(), "100", group=account.ring_groups.get()),
        ):
            do()
            seen.append(sum(steps(admin).values()))
        assert seen == [1, 2, 3, 4, 5, 6]

    def test_it_is_gone_after_the_first_conversation(self, admin: User) -> None:
        now = timezone.now()
        values = {"account": rows.account(), "direction": "inbound", "status": "completed", "start_time": now}
        Call.objects.create(sid="CA" + "1" * 32, **values)
        assert first_hour.checklist(admin) is not None
        Call.objects.create(sid="CA" + "2" * 32, answer_time=now, **values)
        assert first_hour.checklist(admin) is None

    def test_a_group_whose_members_cannot_be_rung_does_not_count(self, admin: User) -> None:
        account = rows.account()
        rows.group(account, rows.endpoint(account, enabled=False))
        assert not steps(admin)["A ring group"]

    def test_an_engine_that_is_away_does_not_count(self, admin: User) -> None:
        engine(seen=timezone.now() - timedelta(minutes=5))
        assert not steps(admin)["An engine"]

    def test_whoever_may_not_change_things_gets_no_buttons(self) -> None:
        viewer = User.objects.create(username="viewer", is_staff=True)
        found = first_hour.checklist(viewer)
        assert found is not None
        assert not any(step.url or step.probes for step in found.steps)

    def test_it_stands_on_the_dashboard_with_links_to_the_forms(self, desk: Client) -> None:
        html = desk.get(reverse("admin:index")).content.decode()
        assert "Your first hour" in html
        assert reverse("admin:routing_sipdomain_add") in html

    def test_the_number_of_queries_does_not_grow(self, admin: User) -> None:
        account = rows.account()
        rows.group(account, rows.endpoint(account))
        with CaptureQueriesContext(connection) as few:
            first_hour.checklist(admin)
        for number in range(4):
            rows.endpoint(account, f"P{number}")
        with CaptureQueriesContext(connection) as many:
            first_hour.checklist(admin)
        assert len(many) == len(few)


class TestTheCheck:
    def test_asking_makes_a_check_that_an_engine_takes(self, desk: Client) -> None:
        endpoint = rows.endpoint(rows.account())
        answer = desk.post(reverse("check", args=["endpoint", endpoint.pk]), headers=JSON).json()
        assert (answer["state"], answer["done"]) == ("waiting", False)
        check = EndpointCheck.objects.get()
        assert (check.endpoint, check.requested_by) == (endpoint, "admin")

    def test_the_answer_is_told_in_one_sentence(self, desk: Client) -> None:
        endpoint = rows.endpoint(rows.account())
        checks.request_check(endpoint, "admin")
        done = {"done_at": timezone.now(), "code": 200, "reason": "OK", "milliseconds": 12.4}
        EndpointCheck.objects.update(**done)
        answer = desk.get(reverse("check", args=["endpoint", endpoint.pk]), headers=JSON).json()
        assert answer["text"].endswith("answered 200 OK in 12 ms.")
        assert (answer["done"], answer["tone"]) == (True, "good")

    @pytest.mark.parametrize(
        ("values", "tone"),
        [
            ({"code": 404, "reason": "Not Found"}, "good"),
            ({"code": 503, "reason": "Service Unavailable"}, "busy"),
            ({"error": "no answer after 4 s"}, "bad"),
        ],
    )
    def test_its_colour_says_whether_somebody_is_there(self, desk: Client, values: dict[str, Any], tone: str) -> None:
        endpoint = rows.endpoint(rows.account())
        checks.request_check(endpoint, "admin")
        EndpointCheck.objects.update(done_at=timezone.now(), **values)
        assert desk.get(reverse("check", args=["endpoint", endpoint.pk]), headers=JSON).json()["tone"] == tone

    def test_without_a_script_the_page_comes_back(self, desk: Client) -> None:
        url = reverse("check", args=["endpoint", rows.endpoint(rows.account()).pk])
        response = desk.post(url, follow=True)
        assert response.redirect_chain == [(url, 302)]
        assert "waits for an engine" in response.content.decode()

    def test_a_trunk_can_be_checked_too(self, desk: Client) -> None:
        trunk = rows.trunk(rows.account(), "+49")
        page = desk.get(reverse("admin:routing_trunk_change", args=[trunk.pk])).content.decode()
        assert reverse("admin:routing_trunk_check_now", args=[trunk.pk]) in page
        desk.post(reverse("check", args=["trunk", trunk.pk]), headers=JSON)
        assert EndpointCheck.objects.get().trunk_id == trunk.pk

    def test_the_button_of_an_endpoint_leads_to_the_page(self, desk: Client) -> None:
        endpoint = rows.endpoint(rows.account())
        response = desk.get(reverse("admin:routing_endpoint_check_now", args=[endpoint.pk]))
        assert response["Location"] == reverse("check", args=["endpoint", endpoint.pk])

    def test_a_uri_that_cannot_be_called_is_told(self, desk: Client) -> None:
        endpoint = rows.endpoint(rows.account(), uri="sip:")
        answer = desk.post(reverse("check", args=["endpoint", endpoint.pk]), headers=JSON).json()
        assert (answer["state"], answer["tone"]) == ("failed", "bad")
        assert "cannot be called" in answer["text"]

    def test_what_there_is_not_is_not_found(self, desk: Client) -> None:
        for kind, pk in (("endpoint", 999), ("trunk", 999), ("account", 1)):
            assert desk.get(reverse("check", args=[kind, pk])).status_code == 404
        for text in ("999", "no-number"):
            assert desk.get(reverse("admin:routing_endpoint_check_now", args=[text])).status_code == 404

    def test_whoever_may_not_ring_may_not_check(self, client: Client) -> None:
        user = User.objects.create(username="viewer", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="view_endpoint"))
        client.force_login(user)
        url = reverse("check", args=["endpoint", rows.endpoint(rows.account()).pk])
        assert client.post(url).status_code == 403
        assert client.get(url).status_code == 403
        assert not EndpointCheck.objects.exists()

    def test_hostile_answers_are_shown_harmlessly(self, desk: Client) -> None:
        trunk = Trunk.objects.get(pk=rows.trunk(rows.account(), "+49").pk)
        checks.request_check(trunk, "admin")
        EndpointCheck.objects.update(done_at=timezone.now(), code=200, reason="<script>alert(1)</script>")
        assert "<script>alert" not in desk.get(reverse("check", args=["trunk", trunk.pk])).content.decode()

"""The form of a ring group while it is edited: what a call would get, what is wrong, and that nothing is stored."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from routing.models import Account, RingGroup, RingGroupMember, RingGroupTurn, RoutingVersion
from tests import rows

pytestmark = pytest.mark.django_db
ADD = "/admin/routing/ringgroup/preview/"


@pytest.fixture
def account() -> Account:
    return rows.account()


@pytest.fixture
def group(account: Account) -> RingGroup:
    phones = [rows.endpoint(account, name, username="u", password="Secret-word-99") for name in ("Alice", "Bob")]
    return rows.group(account, *phones)


def path(group: RingGroup) -> str:
    return f"/admin/routing/ringgroup/{group.pk}/preview/"


def form(group: RingGroup, **changes: Any) -> dict[str, Any]:
    """Return what the page of a group sends, with these changes."""
    members = list(group.members.all()) if group.pk else []
    data: dict[str, Any] = {
        "name": group.name,
        "account": group.account_id,
        "strategy": group.strategy,
        "ring_timeout": group.ring_timeout,
        "time_limit": group.time_limit,
        "answer_on_bridge": "on",
        "exclude_caller": "on",
        "fallback": group.fallback,
        "closed": group.closed,
        "record": group.record,
        "recording_status_callback_method": "POST",
        "members-TOTAL_FORMS": len(members),
        "members-INITIAL_FORMS": len(members),
    }
    for number, member in enumerate(members):
        row = {"id": member.pk, "group": group.pk, "endpoint": member.endpoint_id, "enabled": "on", "weight": 50}
        data |= {f"members-{number}-{name}": value for name, value in {**row, "position": member.position}.items()}
    return {**data, **changes}


def ask(client: Client, where: str, data: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(where, data)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


class TestShown:
    def test_what_is_typed_is_served_and_summed_up_and_nothing_is_stored(
        self, admin_client: Client, group: RingGroup
    ) -> None:
        version = RoutingVersion.objects.first()
        found = ask(admin_client, path(group), form(group, strategy="sequential", ring_timeout="12"))
        assert 'sequential="true" timeout="12"' in found["twiml"]
        assert found["chain"] == [{"name": "Support", "summary": "Rings Alice, then Bob for 12 s each, then hangs up."}]
        group.refresh_from_db()
        assert (group.strategy, group.ring_timeout) == ("parallel", 30)
        assert RoutingVersion.objects.first() == version

    def test_members_come_as_they_were_dragged_and_new_ones_last(self, admin_client: Client, group: RingGroup) -> None:
        carol = rows.endpoint(group.account, "Carol")
        dragged = {"members-0-position": 1, "members-1-position": 0, "members-TOTAL_FORMS": 3}
        new = {"members-2-endpoint": carol.pk, "members-2-enabled": "on", "members-2-position": ""}
        found = ask(admin_client, path(group), form(group, **dragged, **new))
        assert [word for word in ("bob", "alice", "carol") if word in found["twiml"]] == ["bob", "alice", "carol"]
        places = [found["twiml"].index(f"sip:{name}@") for name in ("bob", "alice", "carol")]
        assert places == sorted(places)

    def test_members_that_are_removed_do_not_ring(self, admin_client: Client, group: RingGroup) -> None:
        found = ask(admin_client, path(group), form(group, **{"members-0-DELETE": "on"}))
        assert "sip:alice@" not in found["twiml"]
        assert RingGroupMember.objects.count() == 2

    def test_passwords_are_masked(self, admin_client: Client, group: RingGroup) -> None:
        assert "Secret-word-99" not in ask(admin_client, path(group), form(group))["twiml"]

    def test_a_new_group_is_shown_before_it_is_saved(self, admin_client: Client, account: Account) -> None:
        alice = rows.endpoint(account)
        new = RingGroup(account=account, name="New")
        row = {"members-TOTAL_FORMS": 1, "members-0-endpoint": alice.pk, "members-0-enabled": "on"}
        found = ask(admin_client, ADD, form(new, fallback="say", fallback_text="Bye <now>", **row))
        assert "sip:alice@" in found["twiml"]
        assert found["chain"][0]["summary"] == "Rings Alice for 30 s, then says “Bye <now>” and hangs up."
        assert not RingGroup.objects.exists()

    def test_groups_that_follow_are_summed_up_too(self, admin_client: Client, group: RingGroup) -> None:
        night = rows.group(group.account, name="Night")
        found = ask(admin_client, path(group), form(group, fallback="group", fallback_group=night.pk))
        assert [step["name"] for step in found["chain"]] == ["Support", "Night"]

    def test_no_turn_is_taken(self, admin_client: Client, group: RingGroup) -> None:
        ask(admin_client, path(group), form(group, strategy="round-robin"))
        assert not RingGroupTurn.objects.exists()


class TestProblems:
    def test_each_error_stands_at_its_field(self, admin_client: Client, group: RingGroup) -> None:
        found = ask(admin_client, path(group), form(group, ring_timeout="4", **{"members-1-weight": "101"}))
        assert set(found["errors"]) == {"id_ring_timeout", "id_members-1-weight"}
        assert "twiml" not in found

    def test_what_is_not_filled_in_yet_is_only_named(self, admin_client: Client, account: Account) -> None:
        found = ask(admin_client, ADD, form(RingGroup(account=account)))
        assert (found["missing"], found["errors"]) == (["Name"], {})

    def test_what_concerns_all_rows_is_told(self, admin_client: Client, account: Account) -> None:
        phones = [rows.endpoint(account, f"p{number}") for number in range(11)]
        group = rows.group(account, *phones, strategy="sequential")
        found = ask(admin_client, path(group), form(group, strategy="parallel"))
        assert "11 enabled members" in found["rows"][0]

    def test_a_loop_is_told(self, admin_client: Client, group: RingGroup) -> None:
        other = rows.group(group.account, name="Other", fallback="group", fallback_group=group)
        found = ask(admin_client, path(group), form(group, fallback="group", fallback_group=other.pk))
        assert "Support → Other → Support" in found["errors"]["id_fallback_group"][0]

    @pytest.mark.parametrize("data", [{}, {"members-TOTAL_FORMS": "x"}, {"name": "\0", "strategy": "a" * 9000}])
    def test_nonsense_is_no_failure(self, admin_client: Client, group: RingGroup, data: dict[str, str]) -> None:
        assert "twiml" not in ask(admin_client, path(group), data)


class TestWho:
    def test_people_who_may_only_look_get_none(self, client: Client, group: RingGroup) -> None:
        user = User.objects.create(username="viewer", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="view_ringgroup"))
        client.force_login(user)
        assert client.post(path(group), form(group)).status_code == 403
        assert client.post(ADD, form(group)).status_code == 403
        page = client.get(reverse("admin:routing_ringgroup_change", args=[group.pk])).content.decode()
        assert 'data-preview-url=""' in page

    def test_strangers_are_asked_to_log_in(self, client: Client, group: RingGroup) -> None:
        assert client.post(path(group), form(group)).status_code == 302

    def test_it_only_answers_post_and_groups_that_are_there(self, admin_client: Client, group: RingGroup) -> None:
        assert admin_client.get(path(group)).status_code == 405
        assert admin_client.post("/admin/routing/ringgroup/999/preview/", {}).status_code == 404


class TestPages:
    def test_the_page_of_a_group_and_of_its_route_say_what_it_does(
        self, admin_client: Client, group: RingGroup
    ) -> None:
        route = rows.route(rows.domain(group.account), "100", group=group)
        for page in (
            reverse("admin:routing_ringgroup_change", args=[group.pk]),
            reverse("admin:routing_route_change", args=[route.pk]),
            reverse("admin:routing_ringgroup_changelist"),
        ):
            assert "Rings Alice and Bob together for 30 s, then hangs up." in admin_client.get(page).content.decode()

    def test_the_queries_of_the_list_do_not_grow(self, admin_client: Client, group: RingGroup) -> None:
        counts = []
        for number in range(2):
            other = rows.endpoint(group.account, f"p{number}")
            rows.group(group.account, other, name=f"G{number}", fallback="group", fallback_group=group)
            with CaptureQueriesContext(connection) as queries:
                admin_client.get(reverse("admin:routing_ringgroup_changelist"))
            counts.append(len(queries))
        assert counts[0] == counts[1]

    def test_a_setting_without_effect_is_pointed_out(self, admin_client: Client, group: RingGroup) -> None:
        page = reverse("admin:routing_ringgroup_change", args=[group.pk])
        answer = admin_client.post(page, form(group, **{"members-0-ring_timeout": "45"}), follow=True)
        assert "have no effect while all ring at once" in answer.content.decode()

    def test_a_group_is_copied_with_its_members(self, admin_client: Client, group: RingGroup) -> None:
        group.members.update(ring_timeout=45, weight=7)
        chosen = {"action": "copy_selected", "_selected_action": [group.pk]}
        for _ in range(2):
            admin_client.post(reverse("admin:routing_ringgroup_changelist"), chosen)
        copies = RingGroup.objects.exclude(pk=group.pk).order_by("pk")
        assert [str(one) for one in copies] == ["Support (copy)", "Support (copy 2)"]
        for one in (group, *copies):
            found = [(str(member), member.ring_timeout, member.weight) for member in one.members.all()]
            assert found == [("Alice", 45, 7), ("Bob", 45, 7)]

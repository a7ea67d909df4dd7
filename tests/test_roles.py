"""Roles: what viewers, operators and admins may do, and how a user gets one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django_otp.plugins.otp_totp.models import TOTPDevice

from calls import ledger
from calls.entries import CallRecord
from routing import roles
from routing.models import Account, RingGroup
from tests import rows, samples

Login = Callable[..., Client]


@pytest.fixture
def login(db: None) -> Login:
    def as_role(role: str, listens: bool = False) -> Client:
        user = User.objects.create(username=role or "nobody", is_staff=True)
        roles.assign(user, role, listens)
        client = Client()
        client.force_login(user)
        return client

    return as_role


@pytest.fixture
def account(db: None) -> Account:
    return rows.account()


@pytest.fixture
def call(account: Account) -> CallRecord:
    record = samples.call(account)
    ledger.apply([record, samples.recording(record, sid="RE" + "1" * 32, status="completed")])
    return record


def permissions(role: str) -> set[str]:
    found = Permission.objects.filter(group__name=role).select_related("content_type")
    return {f"{one.content_type.app_label}.{one.codename}" for one in found}


@pytest.mark.django_db
class TestGroups:
    def test_migrations_make_them(self) -> None:
        assert set(Group.objects.values_list("name", flat=True)) >= set(roles.GROUPS)

    def test_a_viewer_only_views(self) -> None:
        assert {name.split(".")[1].split("_")[0] for name in permissions("viewer")} == {"view"}

    def test_viewers_and_operators_see_no_recordings_unless_they_are_let(self) -> None:
        for role in ("viewer", "operator"):
            assert not {name for name in permissions(role) if name.endswith("_recording")}
        assert permissions("recordings") == {"calls.view_recording", "calls.listen_recording"}

    def test_an_operator_may_do_all_that_a_viewer_may(self) -> None:
        assert permissions("viewer") < permissions("operator") < permissions("admin")

    @pytest.mark.parametrize(
        "name",
        [
            "routing.change_ringgroup",
            "routing.delete_route",
            "routing.add_blockedcaller",
            "calls.add_callrequest",
            "calls.add_command",
            "calls.add_webhookdelivery",
            "calls.add_callnote",
            "calls.add_calltag",
        ],
    )
    def test_an_operator_works_on_calls_and_routing(self, name: str) -> None:
        assert name in permissions("operator")

    @pytest.mark.parametrize(
        "name",
        ["routing.change_account", "routing.add_apikey", "auth.view_user", "routing.change_retentionrule"],
    )
    def test_an_operator_has_no_say_in_who_may_and_what_is_kept(self, name: str) -> None:
        assert name not in permissions("operator")
        assert name in permissions("admin")

    def test_the_permissions_of_every_model_reach_admins(self) -> None:
        assert len(permissions("admin")) == Permission.objects.count()

    def test_a_lost_permission_comes_back_with_the_next_migration(self) -> None:
        Group.objects.get(name="viewer").permissions.clear()
        Group.objects.get(name="operator").permissions.add(Permission.objects.get(codename="change_account"))
        call_command("migrate", verbosity=0)
        assert "routing.view_endpoint" in permissions("viewer")
        assert "routing.change_account" not in permissions("operator")

    def test_every_model_of_ours_can_be_seen_by_viewers_or_is_hidden_on_purpose(self) -> None:
        for model in apps.get_app_config("routing").get_models():
            name = model._meta.model_name or ""
            assert (f"routing.view_{name}" in permissions("viewer")) != (name in roles._HIDDEN), name


class TestPages:
    def test_a_viewer_sees_the_routing_and_changes_nothing(self, login: Login, account: Account) -> None:
        group, client = rows.group(account), login("viewer")
        url = reverse("admin:routing_ringgroup_change", args=[group.pk])
        assert client.get(url).status_code == 200
        assert client.post(url, {"name": "Other"}).status_code == 403
        assert RingGroup.objects.get().name == "Support"

    def test_an_operator_edits_routing_but_no_accounts(self, login: Login, account: Account) -> None:
        client = login("operator")
        assert client.get(reverse("admin:routing_ringgroup_add")).status_code == 200
        page = client.get(reverse("admin:routing_account_change", args=[account.pk])).content.decode()
        assert 'name="_save"' not in page
        assert client.get(reverse("admin:routing_account_add")).status_code == 403

    def test_who_has_no_role_sees_nothing(self, login: Login, account: Account) -> None:
        client = login("")
        assert client.get(reverse("admin:routing_ringgroup_changelist")).status_code == 403

    def test_listening_is_a_permission_of_its_own(self, login: Login, call: CallRecord) -> None:
        path = "/recordings/RE" + "1" * 32 + ".wav"
        assert login("operator").get(path).status_code == 403
        # 404: there is no file, which is said to those who may listen only.
        assert login("viewer", listens=True).get(path).status_code == 404

    def test_seeing_a_recording_is_not_hearing_it(self, login: Login, call: CallRecord) -> None:
        client = login("viewer")
        viewer = User.objects.get(username="viewer")
        viewer.user_permissions.add(Permission.objects.get(codename="view_recording"))
        assert client.get(f"/recordings/RE{'1' * 32}.wav").status_code == 403
        url = f"/2010-04-01/Accounts/{call.account_sid}/Recordings/RE{'1' * 32}.wav"
        assert client.get(url).status_code == 403


def user_form(**values: Any) -> dict[str, Any]:
    return {"username": "ana", "is_active": "on", "is_staff": "on", "_save": "", **values}


class TestUsers:
    def test_a_role_is_given_on_the_page_of_a_user(self, admin_client: Client) -> None:
        ana = User.objects.create(username="ana")
        own = Group.objects.create(name="Night shift")
        url = reverse("admin:auth_user_change", args=[ana.pk])
        answer = admin_client.post(url, user_form(role="operator", listens="on", groups=[own.pk]))
        assert answer.status_code == 302
        ana.refresh_from_db()
        assert set(ana.groups.values_list("name", flat=True)) == {"operator", "recordings", "Night shift"}
        assert ana.is_staff
        admin_client.post(url, user_form(role="viewer"))
        assert set(ana.groups.values_list("name", flat=True)) == {"viewer"}

    def test_the_page_shows_the_role(self, admin_client: Client) -> None:
        ana = User.objects.create(username="ana", is_staff=True)
        roles.assign(ana, "operator", True)
        form = admin_client.get(reverse("admin:auth_user_change", args=[ana.pk])).context["adminform"].form
        assert (form["role"].value(), form["listens"].value()) == ("operator", True)
        assert "Operator" in admin_client.get(reverse("admin:auth_user_changelist")).content.decode()

    def test_a_new_user_gets_a_role_at_once_and_may_log_in(self, admin_client: Client) -> None:
        values = {"username": "bo", "password1": "Correct-Horse-9", "password2": "Correct-Horse-9", "role": "viewer"}
        answer = admin_client.post(reverse("admin:auth_user_add"), values)
        assert answer.status_code == 302, answer.context["adminform"].form.errors
        bo = User.objects.get(username="bo")
        assert bo.is_staff and roles.role_of(bo) == "viewer"

    def test_nobody_takes_the_role_from_himself(self, login: Login) -> None:
        client = login("admin")
        me = User.objects.get(username="admin")
        client.post(reverse("admin:auth_user_change", args=[me.pk]), user_form(username="admin", role="viewer"))
        assert roles.is_admin(me)
        assert client.get(reverse("admin:auth_user_delete", args=[me.pk])).status_code == 403

    def test_an_admin_makes_no_superuser(self, login: Login) -> None:
        ana = User.objects.create(username="ana")
        client = login("admin")
        answer = client.post(
            reverse("admin:auth_user_change", args=[ana.pk]), user_form(role="admin", is_superuser="on")
        )
        assert answer.status_code == 302, answer.content.decode()[:3000]
        ana.refresh_from_db()
        assert roles.role_of(ana) == "admin" and not ana.is_superuser

    def test_an_admin_takes_over_no_superuser(self, login: Login) -> None:
        root = User.objects.create_superuser("root", password="Correct-Horse-9")
        TOTPDevice.objects.create(user=root, confirmed=True)
        client = login("admin")
        assert client.get(reverse("admin:auth_user_change", args=[root.pk])).status_code == 200
        password = {"password1": "Wrong-Horse-9x", "password2": "Wrong-Horse-9x"}
        page = reverse("admin:auth_user_password_change", args=[root.pk])
        assert client.post(page, password).status_code == 403
        assert client.post(reverse("admin:auth_user_delete", args=[root.pk]), {"post": "yes"}).status_code == 403
        chosen = {"action": "reset_two_factor", "_selected_action": [root.pk]}
        answer = client.post(reverse("admin:auth_user_changelist"), chosen, follow=True)
        assert "only a superuser" in answer.content.decode()
        assert TOTPDevice.objects.filter(user=root).exists()
        root.refresh_from_db()
        assert root.check_password("Correct-Horse-9")

    def test_the_groups_of_roles_are_shown_only(self, admin_client: Client) -> None:
        group = Group.objects.get(name="viewer")
        page = admin_client.get(reverse("admin:auth_group_change", args=[group.pk])).content.decode()
        assert 'name="_save"' not in page

    @pytest.mark.parametrize("role", roles.ROLES)
    def test_roles_are_filtered_by(self, admin_client: Client, role: str) -> None:
        answer = admin_client.get(reverse("admin:auth_user_changelist"), {"role": role})
        assert answer.status_code == 200

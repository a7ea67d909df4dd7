"""Versions of what operators edit: shown with differences, restored, and guarded against two operators at once."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from routing import history, roles, versions
from routing.models import Account, ApiKey, Change, Credential, CredentialList, Endpoint, RingGroup, SipDomain
from tests import rows
from tests.admin_forms import as_sent

pytestmark = pytest.mark.django_db
GROUP = "routing.ringgroup"


@pytest.fixture
def account() -> Account:
    return rows.account()


@pytest.fixture
def group(account: Account) -> RingGroup:
    return rows.group(account, rows.endpoint(account), rows.endpoint(account, "Bob"))


def names(group: RingGroup) -> list[str]:
    return [str(member.endpoint) for member in group.members.order_by("position")]


def restore_page(label: str, pk: Any, number: int) -> str:
    return reverse("restore-version", args=[label, pk, number])


class TestPages:
    def test_the_history_shows_who_changed_what_from_what_to_what(self, admin_client: Client, group: RingGroup) -> None:
        url = reverse("admin:routing_ringgroup_change", args=[group.pk])
        assert admin_client.post(url, as_sent(admin_client.get(url), name="Sales")).status_code == 302
        page = admin_client.get(reverse("admin:routing_ringgroup_history", args=[group.pk])).content.decode()
        assert "<strong>admin</strong>" in page and "127.0.0.1" in page
        assert "<del>Support</del>" in page and "<ins>Sales</ins>" in page
        assert "Restore this version" in page
        assert LogEntry.objects.filter(object_id=str(group.pk)).count() == 1  # Django's own log goes on too

    def test_all_changes_are_listed_newest_first(self, admin_client: Client, group: RingGroup) -> None:
        group.name = "Sales"
        group.save()
        answer = admin_client.get(reverse("admin:routing_change_changelist"))
        assert answer.context["cl"].result_list[0].name == "Sales"
        for query in ({"what": GROUP}, {"action": "changed"}, {"q": "Sales"}, {"via": "command"}, {"who": "nobody"}):
            assert admin_client.get(reverse("admin:routing_change_changelist"), query).status_code == 200

    def test_the_list_costs_the_same_for_one_and_many(
        self, admin_client: Client, account: Account, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(20):
            rows.endpoint(account, f"Phone {number}")
        with django_assert_max_num_queries(9):
            admin_client.get(reverse("admin:routing_change_changelist"))

    def test_viewers_look_and_do_not_restore(self, client: Client, group: RingGroup) -> None:
        user = User.objects.create(username="vera", is_staff=True)
        roles.assign(user, "viewer", False)
        client.force_login(user)
        page = client.get(reverse("admin:routing_ringgroup_history", args=[group.pk])).content.decode()
        assert "Support" in page and "Restore this version" not in page
        number = versions.newest(RingGroup, group.pk)
        assert client.get(restore_page(GROUP, group.pk, number)).status_code == 403

    @pytest.mark.parametrize("path", ["routing.nothing/1", "routing.endpoint/x", "auth.user/1", "routing.change/1"])
    def test_what_has_no_history_is_not_found(self, admin_client: Client, path: str) -> None:
        assert admin_client.get(f"/admin/history/{path}/").status_code == 404

    def test_names_from_outside_stay_text(self, admin_client: Client, account: Account) -> None:
        group = rows.group(account, name="<script>alert(1)</script>")
        page = admin_client.get(reverse("object-history", args=[GROUP, group.pk])).content.decode()
        assert "<script>alert" not in page


class TestRestore:
    def test_a_group_comes_back_with_its_members_in_order(self, admin_client: Client, group: RingGroup) -> None:
        before = versions.newest(RingGroup, group.pk)
        first, second = group.members.all()
        first.delete()
        second.enabled = False
        second.save()
        RingGroup.objects.filter(pk=group.pk).first().save()  # type: ignore[union-attr]
        group.name = "Sales"
        group.save()
        url = restore_page(GROUP, group.pk, before)
        asked = admin_client.get(url)
        assert [(one.label, one.old, one.new) for one in asked.context["outcome"].lines] == [
            ("name", "Sales", "Support"),
            ("member", "", "Alice"),
            ("enabled", "no", "yes"),
        ]
        group.refresh_from_db()
        assert group.name == "Sales" and names(group) == ["Bob"]  # asking changes nothing
        answer = admin_client.post(url, {"newest": asked.context["newest"]})
        assert answer.status_code == 302
        group.refresh_from_db()
        assert group.name == "Support" and names(group) == ["Alice", "Bob"]
        assert all(member.enabled for member in group.members.all())
        last = Change.objects.order_by("-pk")[0]
        assert last.note.startswith("Restored the version of") and last.who == "admin"
        assert LogEntry.objects.latest("pk").change_message.startswith("Restored")

    def test_what_was_deleted_comes_back_under_its_number(self, admin_client: Client, group: RingGroup) -> None:
        pk, number = group.pk, versions.newest(RingGroup, group.pk)
        group.delete()
        page = admin_client.get(reverse("object-history", args=[GROUP, pk]))
        assert "It is deleted" in page.content.decode()
        newest = versions.newest(RingGroup, pk)
        assert admin_client.post(restore_page(GROUP, pk, number), {"newest": newest}).status_code == 302
        assert names(RingGroup.objects.get(pk=pk)) == ["Alice", "Bob"]

    def test_a_member_whose_endpoint_is_gone_is_left_out_and_told(self, group: RingGroup) -> None:
        number = versions.newest(RingGroup, group.pk)
        Endpoint.objects.get(name="Alice").delete()
        done = versions.restore(GROUP, str(group.pk), number, "")
        assert names(group) == ["Bob"] and not done.errors
        assert len(done.remarks) == 1 and "Alice is left out" in done.remarks[0]

    def test_what_the_form_would_refuse_is_not_restored(self, account: Account) -> None:
        night = rows.group(account, name="Night")
        day = rows.group(account, name="Day", fallback="group", fallback_group=night)
        number = versions.newest(RingGroup, day.pk)
        day.fallback, day.fallback_group = "hangup", None
        day.save()
        night.fallback, night.fallback_group = "group", day
        night.save()
        done = versions.restore(GROUP, str(day.pk), number, "")
        assert done.errors and RingGroup.objects.get(pk=day.pk).fallback == "hangup"

    def test_something_that_it_names_and_that_is_gone_is_told(self, account: Account) -> None:
        night = rows.group(account, name="Night")
        day = rows.group(account, name="Day", fallback="group", fallback_group=night)
        number = versions.newest(RingGroup, day.pk)
        day.fallback, day.fallback_group = "hangup", None
        day.save()
        night.delete()
        assert "is gone" in versions.preview(GROUP, str(day.pk), number).errors[0]

    def test_passwords_stay_as_they_are_and_lost_ones_are_asked_for(self, account: Account) -> None:
        phone = rows.endpoint(account, username="alice", password="Correct-Horse-9")
        number = versions.newest(Endpoint, phone.pk)
        phone.name, phone.password = "Anna", "Correct-Horse-8"
        phone.save()
        versions.restore("routing.endpoint", str(phone.pk), number, "")
        phone = Endpoint.objects.get(pk=phone.pk)
        assert (phone.name, phone.password) == ("Alice", "Correct-Horse-8")

    def test_a_credential_without_its_password_cannot_come_back(self, account: Account) -> None:
        listed = CredentialList.objects.create(account=account, friendly_name="Phones")
        Credential.objects.create(credential_list=listed, username="alice", password="Correct-Horse-9")
        number = versions.newest(CredentialList, listed.pk)
        listed.credentials.get().delete()
        done = versions.restore("routing.credentiallist", listed.pk, number, "")
        assert "alice is left out" in done.remarks[0] and listed.credentials.count() == 0

    def test_mappings_come_back(self, account: Account) -> None:
        domain = rows.domain(account)
        listed = CredentialList.objects.create(account=account, friendly_name="Phones")
        domain.credential_lists.add(listed)
        number = versions.newest(SipDomain, domain.pk)
        domain.credential_lists.clear()
        versions.restore("routing.sipdomain", domain.pk, number, "")
        assert list(domain.credential_lists.all()) == [listed]

    def test_a_revoked_key_stays_revoked_and_a_deleted_one_deleted(self, account: Account) -> None:
        key = ApiKey(account=account)
        key.draw_secret()
        key.save()
        number = versions.newest(ApiKey, key.pk)
        key.revoke()
        versions.restore("routing.apikey", key.pk, number, "")
        assert ApiKey.objects.get().revoked
        pk = key.pk
        key.delete()
        assert versions.restore("routing.apikey", pk, number, "").errors
        assert not ApiKey.objects.exists()

    def test_a_change_in_between_is_told_instead_of_overwritten(self, admin_client: Client, group: RingGroup) -> None:
        number = versions.newest(RingGroup, group.pk)
        group.name = "Sales"
        group.save()
        url = restore_page(GROUP, group.pk, number)
        asked = admin_client.get(url).context["newest"]
        group.name = "Marketing"
        group.save()
        answer = admin_client.post(url, {"newest": asked})
        assert "Somebody changed this meanwhile" in answer.content.decode()
        assert RingGroup.objects.get(pk=group.pk).name == "Marketing"


class TestTwoOperators:
    @pytest.fixture
    def url(self, group: RingGroup) -> str:
        return reverse("admin:routing_ringgroup_change", args=[group.pk])

    @pytest.fixture
    def other(self) -> Client:
        client = Client()
        client.force_login(User.objects.create(username="bo", is_staff=True, is_superuser=True))
        return client

    def test_the_second_is_told_and_loses_nothing(
        self, admin_client: Client, other: Client, url: str, group: RingGroup
    ) -> None:
        mine, theirs = admin_client.get(url), other.get(url)
        assert other.post(url, as_sent(theirs, ring_timeout="12")).status_code == 302
        answer = admin_client.post(url, as_sent(mine, name="Sales"))
        text = answer.content.decode()
        assert answer.status_code == 200
        assert "bo changed this at" in text and "ring timeout: 30 → 12" in text
        assert as_sent(answer)["name"] == "Sales"
        group.refresh_from_db()
        assert (group.name, group.ring_timeout) == ("Support", 12)

    def test_it_is_saved_anyway_only_after_that_was_ticked(
        self, admin_client: Client, other: Client, url: str, group: RingGroup
    ) -> None:
        mine = admin_client.get(url)
        other.post(url, as_sent(other.get(url), ring_timeout="12"))
        refused = admin_client.post(url, as_sent(mine, name="Sales"))
        again = admin_client.post(url, as_sent(refused))
        assert again.status_code == 200  # pressing Save once more is no consent
        newest = str(versions.newest(RingGroup, group.pk))
        assert f'name="_overwrite" value="{newest}"' in again.content.decode()
        assert admin_client.post(url, as_sent(again, _overwrite=newest)).status_code == 302
        group.refresh_from_db()
        assert (group.name, group.ring_timeout) == ("Sales", 30)

    def test_consent_to_one_change_is_none_to_the_next(
        self, admin_client: Client, other: Client, url: str, group: RingGroup
    ) -> None:
        mine = admin_client.get(url)
        other.post(url, as_sent(other.get(url), ring_timeout="12"))
        consent = str(versions.newest(RingGroup, group.pk))
        other.post(url, as_sent(other.get(url), ring_timeout="13"))
        assert admin_client.post(url, as_sent(mine, name="Sales", _overwrite=consent)).status_code == 200

    def test_a_member_that_somebody_changed_counts_too(self, admin_client: Client, url: str, group: RingGroup) -> None:
        mine = admin_client.get(url)
        group.members.get(endpoint__name="Bob").delete()
        answer = admin_client.post(url, as_sent(mine, name="Sales"))
        assert answer.status_code == 200 and "member: Bob → –" in answer.content.decode()

    def test_dragging_in_a_list_disturbs_no_open_form(self, admin_client: Client, account: Account) -> None:
        phone = rows.endpoint(account, "Carol")
        route = rows.route(rows.domain(account), "100", endpoint=phone)
        url = reverse("admin:routing_route_change", args=[route.pk])
        mine = admin_client.get(url)
        history.update(type(route).objects.filter(pk=route.pk), position=7)
        assert admin_client.post(url, as_sent(mine, pattern="101")).status_code == 302
        route.refresh_from_db()
        assert (route.pattern, route.position) == ("101", 7)

    def test_a_deleted_object_is_told_with_the_way_back(self, admin_client: Client, url: str, group: RingGroup) -> None:
        mine = admin_client.get(url)
        pk = group.pk
        group.delete()
        answer = admin_client.post(url, as_sent(mine, name="Sales"), follow=True)
        assert answer.redirect_chain[0][0] == reverse("object-history", args=[GROUP, pk])
        assert "deleted it" in answer.content.decode()

    @pytest.mark.parametrize("version", ["", "x", "-1", "9" * 30])
    def test_a_form_without_a_version_is_saved_as_ever(
        self, admin_client: Client, url: str, group: RingGroup, version: str
    ) -> None:
        answer = admin_client.post(url, as_sent(admin_client.get(url), name="Sales", _version=version))
        assert answer.status_code == 302

    def test_every_form_of_a_routing_object_carries_its_version(self, admin_client: Client, account: Account) -> None:
        page = admin_client.get(reverse("admin:routing_account_change", args=[account.pk]))
        assert as_sent(page)["_version"] == str(versions.newest(Account, account.pk))

"""The history of what operators edit: who changed what, from where, without a secret in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from routing import history
from routing.fields import SecretField
from routing.models import Account, ApiKey, Change, Credential, CredentialList, RingGroup, RingGroupMember, SipDomain
from tests import rows
from tests.admin_forms import as_sent

pytestmark = pytest.mark.django_db
PASSWORD = "Correct-Horse-9"


@pytest.fixture
def account() -> Account:
    return rows.account(auth_token="0123456789abcdef0123456789abcdef")


def changes(model: str = "", action: str = "") -> list[Change]:
    found = Change.objects.exclude(action="present").order_by("pk")
    found = found.filter(model=f"routing.{model}") if model else found
    return list(found.filter(action=action) if action else found)


def told(change: Change) -> dict[str, tuple[str, str]]:
    return {one["label"]: (one["old"], one["new"]) for one in change.differences}


class TestWhatIsTracked:
    def test_every_routing_model_is_tracked_or_says_why_not(self) -> None:
        names = {model._meta.model_name for model in apps.get_app_config("routing").get_models()}
        assert {model._meta.model_name for model in history.tracked()} | set(history.UNTRACKED) == names
        assert set(history.UNTRACKED) <= names and set(history.PARTS) <= names

    def test_parts_name_their_foreign_key(self) -> None:
        assert [name for _, name in history.parts_of(RingGroup)] == ["group"]

    def test_no_secret_and_no_hash_of_one_is_kept(self) -> None:
        for model in history.tracked():
            kept = history.fields_of(model)
            assert not [field for field in kept if isinstance(field, SecretField) or "hash" in field.name]


class TestChanges:
    def test_a_new_object_says_what_it_was_made_with(self, account: Account) -> None:
        rows.group(account, strategy="sequential")
        (made,) = changes("ringgroup")
        assert (made.action, made.name) == ("created", "Support")
        assert told(made)["strategy"][1].startswith("Sequential")
        assert told(made)["account"] == ("", "Acme")
        assert "ring timeout" not in told(made)  # as it is unless said otherwise

    def test_a_change_says_old_and_new_as_people_read_them(self, account: Account) -> None:
        other = rows.group(account, name="Night")
        group = rows.group(account)
        group.fallback, group.fallback_group, group.hangup_on_star = "group", other, True
        group.save()
        (changed,) = changes("ringgroup", "changed")
        assert told(changed)["other group"] == ("", "Night")
        assert told(changed)["hang up on *"] == ("no", "yes")
        assert told(changed)["if nobody answers"][0] == "Hang up"

    def test_saving_without_a_change_leaves_no_trace(self, account: Account) -> None:
        rows.group(account).save()
        assert changes("ringgroup", "changed") == []

    def test_what_is_not_written_is_not_told(self, account: Account) -> None:
        group = rows.group(account)
        group.name, group.ring_timeout = "Sales", 12
        group.save(update_fields=["ring_timeout"])
        (changed,) = changes("ringgroup", "changed")
        assert told(changed) == {"ring timeout": ("30", "12")}
        assert changed.values["name"] == "Support"

    def test_a_deleted_object_stays_readable_with_its_parts(self, account: Account) -> None:
        group = rows.group(account, rows.endpoint(account))
        pk = str(group.pk)
        group.delete()
        gone = changes(action="deleted")
        assert {(one.model, one.root_id) for one in gone} == {
            ("routing.ringgroup", pk),
            ("routing.ringgroupmember", pk),
        }
        assert told(gone[-1])["name"] == ("Support", "")

    def test_a_part_belongs_to_the_history_of_the_whole(self, account: Account) -> None:
        group = rows.group(account, rows.endpoint(account))
        (member,) = changes("ringgroupmember")
        assert (member.root_model, member.root_id, member.root_name) == ("routing.ringgroup", str(group.pk), "Support")
        assert "group" not in told(member)

    def test_mappings_are_told_from_either_side(self, account: Account) -> None:
        domain = rows.domain(account)
        phones = CredentialList.objects.create(account=account, friendly_name="Phones")
        domain.credential_lists.add(phones)
        phones.sip_domains.remove(domain)
        domain.credential_lists.set([phones])
        domain.credential_lists.clear()
        seen = [told(one)["credential lists"] for one in changes("sipdomain", "changed")]
        assert seen == [("", "Phones"), ("Phones", ""), ("", "Phones"), ("Phones", "")]

    def test_a_default_that_moves_is_told_of_both(self, account: Account) -> None:
        first = rows.domain(account, is_default=True)
        rows.domain(account, "other.example.com", is_default=True)
        (lost,) = changes("sipdomain", "changed")
        assert (lost.object_id, told(lost)) == (first.pk, {"default": ("yes", "no")})
        assert SipDomain.objects.filter(is_default=True).count() == 1

    def test_a_change_that_is_rolled_back_was_none(self, account: Account) -> None:
        with pytest.raises(RuntimeError), transaction.atomic():
            rows.group(account)
            raise RuntimeError
        assert changes("ringgroup") == []

    def test_many_rows_at_once_are_told_one_by_one(self, account: Account) -> None:
        phones = [rows.endpoint(account, name) for name in ("Alice", "Bob", "Carol")]
        group = rows.group(account, *phones)
        members = list(group.members.all())
        assert history.update(RingGroupMember.objects.filter(group=group), enabled=False) == 3
        for place, member in enumerate(reversed(members)):
            member.position, member.enabled = place, False
        history.bulk_update(RingGroupMember, members, ["position"])
        history.bulk_create(RingGroup, [RingGroup(account=account, name="Sales")])
        assert [told(one) for one in changes("ringgroupmember", "changed")] == [
            *[{"enabled": ("yes", "no")}] * 3,
            {"position": ("0", "2")},
            {"position": ("2", "0")},
        ]
        assert changes("ringgroup", "created")[-1].name == "Sales"


class TestSecrets:
    def test_a_new_password_is_told_and_not_kept(self, account: Account) -> None:
        listed = CredentialList.objects.create(account=account, friendly_name="Phones")
        credential = Credential.objects.create(credential_list=listed, username="alice", password=PASSWORD)
        credential.password = f"{PASSWORD}9"
        credential.save()
        (changed,) = changes("credential", "changed")
        assert told(changed) == {"password": ("", history.SECRET_CHANGED)}

    def test_no_secret_is_in_the_tables(self, account: Account) -> None:
        listed = CredentialList.objects.create(account=account, friendly_name="Phones")
        Credential.objects.create(credential_list=listed, username="alice", password=PASSWORD).delete()
        key = ApiKey(account=account, friendly_name="CRM")
        secret = key.draw_secret()
        key.save()
        rows.endpoint(account, username="a", password=PASSWORD)
        text = json.dumps(list(Change.objects.values("values", "differences", "name", "note")))
        for one in (PASSWORD, secret, key.secret_hash, account.auth_token):
            assert one not in text

    def test_a_key_that_gets_another_secret_is_told(self, account: Account) -> None:
        key = ApiKey(account=account)
        key.draw_secret()
        key.save()
        key.draw_secret()
        key.save()
        assert [one["new"] for one in changes("apikey", "changed")[0].differences] == [history.SECRET_CHANGED]


class TestWho:
    def test_the_admin_names_its_user(self, admin_client: Client, account: Account) -> None:
        group = rows.group(account)
        url = reverse("admin:routing_ringgroup_change", args=[group.pk])
        answer = admin_client.post(url, as_sent(admin_client.get(url), name="Sales"))
        assert answer.status_code == 302
        (changed,) = changes("ringgroup", "changed")
        assert (changed.who, changed.via, changed.ip) == ("admin", "admin", "127.0.0.1")
        assert changed.user == User.objects.get()
        assert told(changed)["name"] == ("Support", "Sales")

    @pytest.mark.parametrize("what", ["enable", "disable"])
    def test_actions_on_a_list_are_told(self, admin_client: Client, account: Account, what: str) -> None:
        phones = [rows.endpoint(account, name, enabled=what == "disable") for name in ("Alice", "Bob")]
        values = {"action": what, "_selected_action": [one.pk for one in phones]}
        admin_client.post(reverse("admin:routing_endpoint_changelist"), values)
        changed = changes("endpoint", "changed")
        assert [one.who for one in changed] == ["admin", "admin"]
        assert len({one.batch for one in changed}) == 1

    def test_the_api_names_the_account_or_the_key(self, client: Client, account: Account) -> None:
        key = ApiKey(account=account, friendly_name="CRM")
        secret = key.draw_secret()
        key.save()
        phone = rows.endpoint(account)
        for user, password, name in ((account.pk, account.auth_token, "Anna"), (key.pk, secret, "Bert")):
            answer = client.patch(
                f"/api/v1/endpoints/{phone.pk}", json.dumps({"name": name}), "application/json",
                headers=basic(user, password),
            )  # fmt: skip
            assert answer.status_code == 200, answer.content
        changed = changes("endpoint", "changed")
        assert [one.who for one in changed] == [f"Account {account.pk} (Acme)", f"API key {key.pk} (CRM)"]
        assert {one.via for one in changed} == {"api"}

    def test_members_that_the_api_sets_are_one_entry_with_their_group(self, client: Client, account: Account) -> None:
        alice, bob = rows.endpoint(account), rows.endpoint(account, "Bob")
        group = rows.group(account, alice)
        headers = basic(account.pk, account.auth_token)
        tag = client.get(f"/api/v1/ring-groups/{group.pk}", headers=headers)["ETag"]
        body = json.dumps({"name": "Sales", "members": [{"endpoint": bob.pk}, {"endpoint": alice.pk}]})
        answer = client.patch(
            f"/api/v1/ring-groups/{group.pk}", body, "application/json", headers={**headers, "If-Match": tag}
        )
        assert answer.status_code == 200, answer.content
        entry = [one for one in changes() if one.root_id == str(group.pk) and one.via == "api"]
        assert {(one.model, one.action) for one in entry} == {
            ("routing.ringgroup", "changed"),
            ("routing.ringgroupmember", "changed"),
            ("routing.ringgroupmember", "created"),
        }
        assert len({one.batch for one in entry}) == 1

    def test_a_command_is_named(self, account: Account) -> None:
        (made,) = changes("account")
        assert made.via == "command" and made.who


def test_reading_costs_nothing(account: Account, django_assert_num_queries: Any) -> None:
    group = rows.group(account, rows.endpoint(account))
    with django_assert_num_queries(2):
        list(RingGroup.objects.get(pk=group.pk).members.all())


def test_what_was_there_before_the_history_is_in_it(account: Account) -> None:
    import importlib

    group = rows.group(account, rows.endpoint(account))
    Change.objects.all().delete()
    importlib.import_module("routing.migrations.0010_note_what_is_there").note(apps, connection.schema_editor())
    present = {one.model: one for one in Change.objects.filter(action="present")}
    assert present["routing.ringgroup"].values == history.state_of(group)
    assert present["routing.ringgroupmember"].root_id == str(group.pk)


def basic(user: str, password: str) -> dict[str, str]:
    import base64

    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}

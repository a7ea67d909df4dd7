"""The admin pages of routing, as a browser without JavaScript sees them."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from lxml import html
from pytest_django.fixtures import Settings

from config.unfold import UNFOLD
from routing.admin_groups import MemberInline
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
from routing.resolve import directory_version
from tests import rows

pytestmark = pytest.mark.django_db
MODELS = (
    Account,
    Credential,
    CredentialList,
    Endpoint,
    IpAccessControlList,
    IpAddress,
    Region,
    RingGroup,
    Route,
    SipDomain,
    Trunk,
)


@pytest.fixture
def admin_user() -> User:
    """A superuser without the half second that hashing a password takes."""
    return User.objects.create(username="admin", is_staff=True, is_superuser=True)


@pytest.fixture
def account() -> Account:
    return rows.account()


@pytest.fixture
def everything(account: Account) -> dict[type[Any], Any]:
    """One row of each model, all passwords being secret-… in clear."""
    phone = rows.endpoint(account, username="alice", password="secret-Endpoint-1")
    group = rows.group(account, phone)
    domain = rows.domain(account, is_default=True)
    phones = CredentialList.objects.create(account=account, friendly_name="Phones")
    acl = IpAccessControlList.objects.create(account=account, friendly_name="Office")
    domain.credential_lists.add(phones)
    made = [
        account,
        phone,
        group,
        domain,
        phones,
        acl,
        Credential.objects.create(credential_list=phones, username="alice", password="secret-Caller-2"),
        IpAddress.objects.create(ip_access_control_list=acl, friendly_name="Desk", ip_address="10.0.0.1"),
        rows.route(domain, "100", group=group),
        Region.objects.get(code="us1"),
        rows.trunk(account, "+49", username="alice", password="secret-Trunk-3"),
    ]
    return {type(row): row for row in made}


def url(obj: Any, page: str = "change") -> str:
    if isinstance(obj, type):
        return reverse(f"admin:routing_{obj._meta.model_name}_{page}")  # type: ignore[attr-defined]
    return reverse(f"admin:routing_{obj._meta.model_name}_{page}", args=[obj.pk])


def form_of(client: Client, path: str) -> dict[str, str]:
    """Return what a browser would send back from the change form of a page."""
    response = client.get(path)
    assert response.status_code == 200
    page: Any = html.fromstring(response.content.decode())
    (form,) = (form for form in page.forms if form.get("id", "").endswith("_form"))
    return {name: value for name, value in form.form_values() if not name.startswith("_")}


def errors(response: Any) -> str:
    """Return the texts of all errors of a page that was not saved."""
    assert response.status_code == 200, "the form was saved"
    context = response.context
    found = [*context["adminform"].form.errors.values()]
    for formset in context["inline_admin_formsets"]:
        found += [
            formset.formset.non_form_errors(),
            *(e for form in formset.formset.forms for e in form.errors.values()),
        ]
    return " ".join(str(text) for texts in found for text in texts)


class TestPages:
    @pytest.mark.parametrize("model", MODELS)
    def test_every_model_has_its_pages(
        self, admin_client: Client, everything: dict[type[Any], Any], model: type[Any]
    ) -> None:
        for path in (url(model, "changelist"), url(model, "add"), url(everything[model])):
            assert admin_client.get(path).status_code == 200, path

    @pytest.mark.parametrize("model", MODELS)
    def test_every_list_can_be_searched(
        self, admin_client: Client, everything: dict[type[Any], Any], model: type[Any]
    ) -> None:
        assert admin_client.get(url(model, "changelist") + "?q=alice").status_code == 200

    @pytest.mark.parametrize("model", MODELS)
    def test_no_page_shows_a_secret(
        self, admin_client: Client, account: Account, everything: dict[type[Any], Any], model: type[Any]
    ) -> None:
        for path in (url(model, "changelist"), url(everything[model])):
            text = admin_client.get(path).content.decode()
            assert "secret-" not in text
            assert account.auth_token not in text

    @pytest.mark.parametrize("model", [Account, Credential, CredentialList, Endpoint, Trunk])
    def test_people_who_may_only_look_see_no_secret(
        self, client: Client, account: Account, everything: dict[type[Any], Any], model: type[Any]
    ) -> None:
        user = User.objects.create(username="viewer", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
        client.force_login(user)
        text = client.get(url(everything[model])).content.decode()
        assert "secret-" not in text
        assert account.auth_token not in text

    def test_a_page_opens_although_its_secret_cannot_be_read(
        self, admin_client: Client, everything: dict[type[Any], Any], settings: Settings
    ) -> None:
        settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
        assert "is left out" in admin_client.get(url(everything[RingGroup])).content.decode()
        for model in MODELS:
            assert admin_client.get(url(everything[model])).status_code == 200

    @pytest.mark.parametrize(
        "path", ["auth/user", "auth/group", "django_q/schedule", "django_q/ormq", "django_q/failure"]
    )
    def test_pages_of_other_apps_have_the_theme(self, admin_client: Client, path: str) -> None:
        assert admin_client.get(f"/admin/{path}/").status_code == 200
        app, model = path.split("/")
        registered = {f"{m._meta.app_label}/{m._meta.model_name}": a for m, a in admin.site._registry.items()}
        assert any("unfold" in base.__module__ for base in type(registered[path]).__mro__)

    def test_a_user_can_be_added(self, admin_client: Client) -> None:
        assert admin_client.get("/admin/auth/user/add/").status_code == 200

    def test_the_sidebar_leads_to_every_list_of_routing(self, rf: Any, admin_user: User) -> None:
        request = rf.get("/admin/")
        request.user = admin_user
        items = [item for part in UNFOLD["SIDEBAR"]["navigation"] for item in part["items"]]
        shown = {item["link"](request) for item in items if "permission" in item and item["permission"](request)}
        assert {url(model, "changelist") for model in MODELS} - shown == {
            url(Credential, "changelist"),
            url(IpAddress, "changelist"),
        }

    def test_the_sidebar_leaves_out_what_there_is_not(self, rf: Any, admin_user: User) -> None:
        from config.unfold import _item

        request = rf.get("/admin/")
        request.user = admin_user
        assert not _item("x", "x", "routing", "nothing")["permission"](request)


class TestAccount:
    def test_a_new_account_gets_a_token_that_is_drawn(self, admin_client: Client) -> None:
        admin_client.post(url(Account, "add"), {"friendly_name": "New", "auth_token": "", "status": "active"})
        assert len(Account.objects.get().auth_token) == 32

    def test_a_token_that_was_typed_is_taken(self, admin_client: Client, account: Account) -> None:
        admin_client.post(url(account), {"friendly_name": "New", "auth_token": "from-twilio", "status": "active"})
        account.refresh_from_db()
        assert account.auth_token == "from-twilio"

    def test_an_empty_token_keeps_the_stored_one(self, admin_client: Client, account: Account) -> None:
        admin_client.post(url(account), {"friendly_name": "New", "auth_token": "", "status": "active"})
        assert Account.objects.get(friendly_name="New").auth_token == account.auth_token

    def test_a_new_token_can_be_drawn_and_is_shown_once(self, admin_client: Client, account: Account) -> None:
        data = {"action": "draw_auth_token", "_selected_action": [account.pk]}
        response = admin_client.post(url(Account, "changelist"), data)
        drawn = Account.objects.get().auth_token
        assert drawn != account.auth_token
        assert drawn in " ".join(str(message) for message in get_messages(response.wsgi_request))


class TestSipDomain:
    def test_one_that_nobody_may_call_is_pointed_out(self, admin_client: Client, account: Account) -> None:
        domain = rows.domain(account)
        assert "Nobody may call calls.example.com" in admin_client.get(url(domain)).content.decode()
        assert "Nobody" in admin_client.get(url(SipDomain, "changelist")).content.decode()

    def test_saving_one_that_nobody_may_call_warns(self, admin_client: Client, account: Account) -> None:
        path = url(SipDomain, "add")
        data = {**form_of(admin_client, path), "account": account.pk, "domain_name": "New.Example"}
        response = admin_client.post(path, data, follow=True)
        assert "Nobody may call new.example" in response.content.decode()

    def test_lists_of_another_account_are_refused(self, admin_client: Client, account: Account) -> None:
        other = CredentialList.objects.create(account=rows.account("Other"), friendly_name="Foreign")
        domain = rows.domain(account)
        data = {**form_of(admin_client, url(domain)), "credential_lists": [other.pk]}
        assert "belongs to another account" in errors(admin_client.post(url(domain), data))

    def test_two_lists_can_be_mapped(self, admin_client: Client, account: Account) -> None:
        domain = rows.domain(account)
        phones = CredentialList.objects.create(account=account, friendly_name="Phones")
        acl = IpAccessControlList.objects.create(account=account, friendly_name="Office")
        data = form_of(admin_client, url(domain))
        data |= {"credential_lists": phones.pk, "ip_access_control_lists": acl.pk}
        assert admin_client.post(url(domain), data).status_code == 302
        assert "Credentials and IP addresses" in admin_client.get(url(SipDomain, "changelist")).content.decode()


class TestCredentials:
    def test_an_empty_password_keeps_the_stored_one(
        self, admin_client: Client, everything: dict[type[Any], Any]
    ) -> None:
        path = url(everything[CredentialList])
        data = {**form_of(admin_client, path), "credentials-0-username": "renamed"}
        assert admin_client.post(path, data).status_code == 302
        credential = Credential.objects.get()
        assert (credential.username, credential.password) == ("renamed", "secret-Caller-2")

    def test_a_weak_password_is_refused_on_its_row(
        self, admin_client: Client, everything: dict[type[Any], Any]
    ) -> None:
        path = url(everything[CredentialList])
        data = {**form_of(admin_client, path), "credentials-0-password": "weak"}
        assert "21243" in errors(admin_client.post(path, data))

    def test_a_new_credential_needs_a_password(self, admin_client: Client, everything: dict[type[Any], Any]) -> None:
        data = {"credential_list": everything[CredentialList].pk, "username": "new", "password": ""}
        assert "Enter a password" in errors(admin_client.post(url(Credential, "add"), data))

    def test_the_same_username_twice_on_one_page_is_refused(
        self, admin_client: Client, everything: dict[type[Any], Any]
    ) -> None:
        path = url(everything[CredentialList])
        data = form_of(admin_client, path) | {
            "credentials-TOTAL_FORMS": "2",
            "credentials-1-username": "alice",
            "credentials-1-password": rows.PASSWORD,
        }
        assert admin_client.post(path, data).status_code == 200
        assert Credential.objects.count() == 1


class TestEndpoint:
    def test_an_emptied_username_drops_the_password(
        self, admin_client: Client, everything: dict[type[Any], Any]
    ) -> None:
        path = url(everything[Endpoint])
        assert admin_client.post(path, {**form_of(admin_client, path), "username": ""}).status_code == 302
        endpoint = Endpoint.objects.get()
        assert (endpoint.username, endpoint.password) == ("", "")

    def test_a_password_without_username_is_refused(self, admin_client: Client, account: Account) -> None:
        path = url(rows.endpoint(account))
        data = {**form_of(admin_client, path), "password": "secret"}
        assert "username" in errors(admin_client.post(path, data))

    def test_events_are_kept(self, admin_client: Client, account: Account) -> None:
        path = url(rows.endpoint(account, status_callback_events="ringing"))
        data: dict[str, Any] = form_of(admin_client, path)
        assert data["status_callback_events"] == "ringing"
        data["status_callback_events"] = ["completed", "initiated"]
        assert admin_client.post(path, data).status_code == 302
        assert Endpoint.objects.get().status_callback_events == "initiated completed"

    def test_a_bad_uri_is_refused_with_its_code(self, admin_client: Client, account: Account) -> None:
        path = url(rows.endpoint(account))
        data = {**form_of(admin_client, path), "uri": "sip:a b@c"}
        assert "13243" in errors(admin_client.post(path, data))

    def test_its_page_shows_its_twiml_and_what_uses_it(
        self, admin_client: Client, everything: dict[type[Any], Any]
    ) -> None:
        text = admin_client.get(url(everything[Endpoint])).content.decode()
        assert "password=&quot;••••••&quot;" in text
        assert url(everything[RingGroup]) in text

    def test_several_can_be_disabled_and_enabled_at_once(self, admin_client: Client, account: Account) -> None:
        phone = rows.endpoint(account)
        for action, expected in (("disable", False), ("enable", True)):
            admin_client.post(url(Endpoint, "changelist"), {"action": action, "_selected_action": [phone.pk]})
            phone.refresh_from_db()
            assert phone.enabled is expected

    def test_disabling_several_at_once_is_noticed_by_engines(self, admin_client: Client, account: Account) -> None:
        phone = rows.endpoint(account)
        before = directory_version()
        admin_client.post(url(Endpoint, "changelist"), {"action": "disable", "_selected_action": [phone.pk]})
        assert directory_version() > before

    def test_a_name_that_is_taken_is_refused_on_its_field(self, admin_client: Client, account: Account) -> None:
        rows.endpoint(account, "Bob")
        path = url(rows.endpoint(account))
        data = {**form_of(admin_client, path), "name": "BOB"}
        assert "has this name already" in errors(admin_client.post(path, data))


class TestRingGroup:
    def group(self, account: Account, count: int = 3, **fields: Any) -> RingGroup:
        return rows.group(account, *(rows.endpoint(account, f"phone{n}") for n in range(count)), **fields)

    def names(self, group: RingGroup) -> list[str]:
        return [member.endpoint.name for member in group.members.select_related("endpoint")]

    def test_the_ordering_field_is_in_the_form_and_last(self) -> None:
        assert MemberInline.fields[-1] == MemberInline.ordering_field

    def test_the_order_that_was_dragged_is_saved(self, admin_client: Client, account: Account) -> None:
        group = self.group(account)
        data = form_of(admin_client, url(group))
        data |= {"members-0-position": "2", "members-1-position": "0", "members-2-position": "1"}
        assert admin_client.post(url(group), data).status_code == 302
        assert self.names(group) == ["phone1", "phone2", "phone0"]

    def test_a_new_member_comes_last(self, admin_client: Client, account: Account) -> None:
        group = self.group(account)
        new = rows.endpoint(account, "new")
        data = form_of(admin_client, url(group))
        data |= {"members-TOTAL_FORMS": "4", "members-3-endpoint": str(new.pk), "members-3-enabled": "on"}
        assert admin_client.post(url(group), data).status_code == 302
        assert self.names(group) == ["phone0", "phone1", "phone2", "new"]

    def test_two_new_members_come_in_the_order_of_the_page(self, admin_client: Client, account: Account) -> None:
        phones = [rows.endpoint(account, name) for name in ("one", "two")]
        data = form_of(admin_client, url(RingGroup, "add")) | {
            "name": "New",
            "account": account.pk,
            "members-TOTAL_FORMS": "2",
            "members-0-endpoint": str(phones[0].pk),
            "members-1-endpoint": str(phones[1].pk),
        }
        assert admin_client.post(url(RingGroup, "add"), data).status_code == 302
        assert self.names(RingGroup.objects.get()) == ["one", "two"]

    def test_a_new_member_that_was_dragged_stays_where_it_was_dropped(
        self, admin_client: Client, account: Account
    ) -> None:
        group = self.group(account, 1)
        new = rows.endpoint(account, "new")
        data = form_of(admin_client, url(group)) | {
            "members-TOTAL_FORMS": "2",
            "members-0-position": "1",
            "members-1-endpoint": str(new.pk),
            "members-1-position": "0",
        }
        assert admin_client.post(url(group), data).status_code == 302
        assert self.names(group) == ["new", "phone0"]

    def test_an_empty_row_that_was_dragged_is_ignored(self, admin_client: Client, account: Account) -> None:
        group = self.group(account, 1)
        data = form_of(admin_client, url(group)) | {"members-TOTAL_FORMS": "2", "members-1-position": "5"}
        assert admin_client.post(url(group), data).status_code == 302
        assert group.members.count() == 1

    def test_an_eleventh_member_of_a_parallel_group_is_refused(self, admin_client: Client, account: Account) -> None:
        group = self.group(account, 10)
        new = rows.endpoint(account, "new")
        data = form_of(admin_client, url(group))
        data |= {"members-TOTAL_FORMS": "11", "members-10-endpoint": str(new.pk), "members-10-enabled": "on"}
        text = errors(admin_client.post(url(group), data))
        assert "make the strategy sequential" in text
        assert "13250" in text
        assert group.members.count() == 10

    def test_a_sequential_group_of_eleven_cannot_become_parallel(self, admin_client: Client, account: Account) -> None:
        group = self.group(account, 11, strategy="sequential")
        data = {**form_of(admin_client, url(group)), "strategy": "parallel"}
        assert "11 enabled members" in errors(admin_client.post(url(group), data))

    def test_members_that_are_removed_or_disabled_do_not_count(self, admin_client: Client, account: Account) -> None:
        group = self.group(account, 12, strategy="sequential")
        data = {**form_of(admin_client, url(group)), "strategy": "parallel", "members-0-DELETE": "on"}
        del data["members-1-enabled"]
        assert admin_client.post(url(group), data).status_code == 302

    def test_an_endpoint_twice_in_new_rows_is_refused(self, admin_client: Client, account: Account) -> None:
        group = self.group(account, 0)
        new = rows.endpoint(account, "new")
        data = form_of(admin_client, url(group)) | {"members-TOTAL_FORMS": "2"}
        data |= {"members-0-endpoint": str(new.pk), "members-1-endpoint": str(new.pk)}
        assert "twice" in errors(admin_client.post(url(group), data))

    def test_an_endpoint_that_is_a_member_already_is_refused(self, admin_client: Client, account: Account) -> None:
        group = self.group(account, 1)
        data = form_of(admin_client, url(group)) | {"members-TOTAL_FORMS": "2"}
        data["members-1-endpoint"] = str(group.members.get().endpoint_id)
        assert "twice" in errors(admin_client.post(url(group), data))

    def test_an_endpoint_of_another_account_is_refused(self, admin_client: Client, account: Account) -> None:
        group = self.group(account, 0)
        foreign = rows.endpoint(rows.account("Other"), "foreign")
        data = form_of(admin_client, url(group)) | {"members-TOTAL_FORMS": "1"}
        data["members-0-endpoint"] = str(foreign.pk)
        assert "another account" in errors(admin_client.post(url(group), data))

    def test_a_member_that_somebody_else_removed_is_a_clear_error(self, admin_client: Client, account: Account) -> None:
        group = self.group(account)
        data = form_of(admin_client, url(group))
        RingGroupMember.objects.filter(group=group, position=1).delete()
        assert admin_client.post(url(group), data).status_code == 200

    def test_a_loop_is_refused_on_its_field(self, admin_client: Client, account: Account) -> None:
        group = self.group(account)
        other = rows.group(account, name="Other", fallback="group", fallback_group=group)
        data = {**form_of(admin_client, url(group)), "fallback": "group", "fallback_group": str(other.pk)}
        assert "for ever" in errors(admin_client.post(url(group), data))

    def test_its_page_shows_its_twiml_and_why(self, admin_client: Client, account: Account) -> None:
        group = self.group(account)
        text = admin_client.get(url(group)).content.decode()
        assert "&lt;Sip&gt;sip:phone2@198.51.100.7&lt;/Sip&gt;" in text
        assert "rings 3 members at once for 30 s" in text

    def test_a_page_with_errors_shows_what_is_served_and_not_what_was_typed(
        self, admin_client: Client, account: Account
    ) -> None:
        group = self.group(account)
        data = {**form_of(admin_client, url(group)), "ring_timeout": "4", "fallback": "group"}
        assert "rings 3 members at once for 30 s" in admin_client.post(url(group), data).content.decode()

    def test_lists_take_the_same_queries_whatever_their_length(self, admin_client: Client, account: Account) -> None:
        counts = []
        for number in range(2):
            self.group(account, 0, name=f"Group {number}")
            with CaptureQueriesContext(connection) as queries:
                admin_client.get(url(RingGroup, "changelist"))
            counts.append(len(queries))
        assert counts[0] == counts[1]

    def test_recording_callbacks_are_kept(self, admin_client: Client, account: Account) -> None:
        group = self.group(account)
        data: dict[str, Any] = form_of(admin_client, url(group)) | {
            "record": "record-from-answer",
            "trim": "on",
            "recording_status_callback": "https://r.example/",
        }
        data["recording_status_callback_events"] = ["absent", "in-progress"]
        assert admin_client.post(url(group), data).status_code == 302
        group.refresh_from_db()
        assert (group.trim, group.recording_status_callback_events) == (True, "in-progress absent")
        assert form_of(admin_client, url(group))["recording_status_callback_events"] in ("in-progress", "absent")


class TestTrunk:
    def rules(self, client: Client, path: str, *rules: tuple[str, str, str], **fields: str) -> Any:
        """Save a trunk's page with further rules below those it has."""
        data = form_of(client, path) | fields
        first = int(data["rules-TOTAL_FORMS"])
        data["rules-TOTAL_FORMS"] = str(first + len(rules))
        for number, (prefix, strip, prepend) in enumerate(rules, start=first):
            names = {"prefix": prefix, "strip": strip, "prepend": prepend, "position": ""}
            data |= {f"rules-{number}-{name}": value for name, value in names.items()}
        return client.post(path, data)

    def test_one_is_made_with_its_rules_in_the_order_of_the_page(self, admin_client: Client, account: Account) -> None:
        fields = {"name": "Carrier", "uri": "sips:carrier.example", "username": "u", "password": "secret"}
        response = self.rules(admin_client, url(Trunk, "add"), ("+49", "3", "0"), ("*", "0", ""), **fields)
        assert response.status_code == 302
        trunk = Trunk.objects.get()
        assert (trunk.transport, trunk.password, trunk.position) == ("tls", "secret", 1)
        assert [(rule.prefix, rule.strip, rule.prepend) for rule in trunk.rules.all()] == [
            ("+49", 3, "0"),
            ("*", 0, ""),
        ]

    def test_its_page_shows_an_example_of_each_rule(self, admin_client: Client, account: Account) -> None:
        trunk = rows.trunk(account, TrunkRule(prefix="+49", strip=3, prepend="0"))
        assert "+49301234 → 0301234" in admin_client.get(url(trunk)).content.decode()

    def test_the_order_of_rules_that_was_dragged_is_saved(self, admin_client: Client, account: Account) -> None:
        trunk = rows.trunk(account, "1", "2", "3")
        data = form_of(admin_client, url(trunk))
        data |= {"rules-0-position": "2", "rules-1-position": "0", "rules-2-position": "1"}
        assert admin_client.post(url(trunk), data).status_code == 302
        assert [rule.prefix for rule in trunk.rules.all()] == ["2", "3", "1"]

    def test_a_rule_that_is_never_reached_is_pointed_out_until_it_is_dragged_up(
        self, admin_client: Client, account: Account
    ) -> None:
        trunk = rows.trunk(account, "+", "+49")
        data = form_of(admin_client, url(trunk))
        remark = (
            "The rule of Carrier for +49 is never reached: the rule for + above it takes its numbers. Drag it up, or "
            "remove it."
        )
        assert remark in admin_client.post(url(trunk), data, follow=True).content.decode()
        data |= {"rules-0-position": "1", "rules-1-position": "0"}
        assert "never reached" not in admin_client.post(url(trunk), data, follow=True).content.decode()

    def test_a_bad_rule_is_refused_with_its_fix(self, admin_client: Client, account: Account) -> None:
        text = errors(self.rules(admin_client, url(rows.trunk(account)), ("+49", "9", "")))
        assert "+49 has 3 characters" in text

    def test_an_empty_row_is_ignored(self, admin_client: Client, account: Account) -> None:
        trunk = rows.trunk(account)
        assert self.rules(admin_client, url(trunk), ("", "0", "")).status_code == 302
        assert not trunk.rules.exists()

    def test_one_without_rules_is_pointed_out(self, admin_client: Client, account: Account) -> None:
        trunk = rows.trunk(account)
        remark = "No number goes through Carrier: add a rule to it; * takes every number."
        assert remark in admin_client.get(url(trunk)).content.decode()
        path = url(trunk)
        assert remark in admin_client.post(path, form_of(admin_client, path), follow=True).content.decode()

    def test_an_empty_password_keeps_the_stored_one_and_an_emptied_username_drops_it(
        self, admin_client: Client, account: Account
    ) -> None:
        trunk = rows.trunk(account, "*", username="u", password="secret")
        data = form_of(admin_client, url(trunk))
        for username, password in (("u", "secret"), ("", "")):
            assert admin_client.post(url(trunk), {**data, "username": username}).status_code == 302
            trunk.refresh_from_db()
            assert trunk.password == password

    def test_the_order_of_trunks_that_was_dragged_is_saved(self, admin_client: Client, account: Account) -> None:
        a, b = rows.trunk(account, name="A"), rows.trunk(account, name="B")
        data = {"form-TOTAL_FORMS": "2", "form-INITIAL_FORMS": "2", "_save": "Save"}
        data |= {"form-0-id": str(a.pk), "form-0-position": "1", "form-1-id": str(b.pk), "form-1-position": "0"}
        assert admin_client.post(url(Trunk, "changelist"), data).status_code == 302
        assert list(Trunk.objects.all()) == [b, a]

    def test_its_list_takes_the_same_queries_whatever_its_length(self, admin_client: Client, account: Account) -> None:
        counts = []
        for number in range(2):
            rows.trunk(account, "+49", "+1", name=f"Trunk {number}", region=Region.objects.get(code="ie1"))
            with CaptureQueriesContext(connection) as queries:
                admin_client.get(url(Trunk, "changelist"))
            counts.append(len(queries))
        assert counts[0] == counts[1]


class TestRemarks:
    def page(self, client: Client, obj: Any) -> str:
        return str(client.get(url(obj)).content.decode())

    @pytest.mark.parametrize("make", [rows.endpoint, rows.trunk])
    def test_srtp_without_tls_is_pointed_out(self, admin_client: Client, account: Account, make: Any) -> None:
        open_keys = make(account, name="Open", srtp="mandatory")
        assert "The SRTP keys of Open are sent in clear" in self.page(admin_client, open_keys)
        hidden = make(account, name="Hidden", srtp="mandatory", transport="tls")
        assert "sent in clear, so" not in self.page(admin_client, hidden)

    def test_a_secure_domain_without_tls_is_pointed_out(
        self, admin_client: Client, account: Account, settings: Settings
    ) -> None:
        domain = rows.domain(account, secure=True)
        assert "SIP over TLS is off" not in self.page(admin_client, domain)
        settings.SIP_TLS_PORT = 0
        assert "SIP over TLS is off (SIP_TLS_PORT=0 in .env)" in self.page(admin_client, domain)

    def test_parallel_groups_of_an_account_without_enhanced_sip_are_pointed_out(
        self, admin_client: Client, account: Account
    ) -> None:
        rows.group(account, rows.endpoint(account, "a"), rows.endpoint(account, "b"), name="Both")
        rows.group(account, Endpoint.objects.get(name="a"), name="Single")
        text = "The members of Both ring one after the other instead of at once"
        assert text not in self.page(admin_client, account)
        data = {**form_of(admin_client, url(account)), "friendly_name": "New"}
        del data["enhanced_sip"]
        assert text in admin_client.post(url(account), data, follow=True).content.decode()


class TestRoute:
    def routes(self, account: Account, count: int) -> list[Route]:
        domain, group = rows.domain(account), rows.group(account)
        return [rows.route(domain, str(100 + number), group=group) for number in range(count)]

    def drag(self, client: Client, order: list[Route], query: str = "") -> None:
        """Send what Unfold sends after dragging: the rows as they are listed, numbered from 0 as they were dropped."""
        path = url(Route, "changelist") + query
        listed = list(client.get(path).context["cl"].result_list)
        data = {"form-TOTAL_FORMS": str(len(listed)), "form-INITIAL_FORMS": str(len(listed)), "_save": "Save"}
        for number, route in enumerate(listed):
            data |= {f"form-{number}-id": str(route.pk), f"form-{number}-position": str(order.index(route))}
        assert client.post(path, data).status_code == 302

    def test_the_order_that_was_dragged_is_saved(self, admin_client: Client, account: Account) -> None:
        a, b, c = self.routes(account, 3)
        self.drag(admin_client, [c, a, b])
        assert list(Route.objects.all()) == [c, a, b]

    def test_dragging_in_a_filtered_list_leaves_the_others_where_they_are(
        self, admin_client: Client, account: Account
    ) -> None:
        a, b, c, d = self.routes(account, 4)
        Route.objects.filter(pk__in=[b.pk, d.pk]).update(enabled=False)
        self.drag(admin_client, [d, b], "?enabled__exact=0")
        assert list(Route.objects.all()) == [a, d, c, b]

    def test_its_page_shows_its_twiml_and_why(self, admin_client: Client, account: Account) -> None:
        (route,) = self.routes(account, 1)
        text = admin_client.get(url(route)).content.decode()
        assert "A call to 100 at calls.example.com." in text
        assert "no member that can be rung" in text

    def test_the_page_of_a_disabled_route_says_so(self, admin_client: Client, account: Account) -> None:
        (route,) = self.routes(account, 1)
        Route.objects.update(enabled=False)
        assert "disabled and passed over" in admin_client.get(url(route)).content.decode()

    def test_two_destinations_are_refused(self, admin_client: Client, account: Account) -> None:
        (route,) = self.routes(account, 1)
        data = {**form_of(admin_client, url(route)), "url": "https://a.example/"}
        assert "exactly one destination" in errors(admin_client.post(url(route), data))


class TestRegion:
    def test_the_default_region_cannot_be_deleted(self, admin_client: Client) -> None:
        region = Region.objects.get(code="us1")
        assert admin_client.post(url(region, "delete"), {"post": "yes"}).status_code == 403
        data = {"action": "delete_selected", "_selected_action": [region.pk], "post": "yes"}
        admin_client.post(url(Region, "changelist"), data)
        assert Region.objects.filter(code="us1").exists()

"""The TwiML app over HTTP: who is answered, and with what."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.fernet import Fernet
from django.test import Client
from lxml import etree
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings
from twilio.request_validator import RequestValidator

from routing.models import Account, RingGroup, Route, SipDomain
from routing.views import dialled_user
from tests import rows

pytestmark = pytest.mark.django_db


class Caller:
    """Makes voice requests as the engine, or Twilio, does."""

    def __init__(self, account: Account, base: str = "http://testserver") -> None:
        self.account, self.base, self.token = account, base, account.auth_token
        self.client = Client(enforce_csrf_checks=True)

    def params(self, **given: str) -> dict[str, str]:
        named = {
            "AccountSid": self.account.sid,
            "CallSid": "CA" + "0" * 32,
            "CallStatus": "ringing",
            "To": "sip:100@calls.example.com",
            "From": "sip:caller@calls.example.com",
            "SipDomain": "calls.example.com",
        }
        return {**named, **given}

    def post(self, path: str = "/voice/", **given: str) -> Any:
        params = self.params(**given)
        signature = RequestValidator(self.token).compute_signature(self.base + path, params)
        return self.client.post(path, params, headers={"X-Twilio-Signature": signature})

    def get(self, path: str = "/voice/", **given: str) -> Any:
        query = path + "?" + urlencode(self.params(**given))
        signature = RequestValidator(self.token).compute_signature(self.base + query, {})
        return self.client.get(query, headers={"X-Twilio-Signature": signature})


@pytest.fixture
def account(settings: Settings) -> Account:
    settings.PUBLIC_URL = "http://testserver"
    return rows.account()


@pytest.fixture
def caller(account: Account) -> Caller:
    return Caller(account)


@pytest.fixture
def domain(account: Account) -> SipDomain:
    return rows.domain(account)


@pytest.fixture
def group(account: Account) -> RingGroup:
    return rows.group(account, rows.endpoint(account))


@pytest.fixture
def route(domain: SipDomain, group: RingGroup) -> Route:
    return rows.route(domain, "100", group=group)


def verbs(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [str(child.tag) for child in etree.fromstring(response.content)]


class TestVoice:
    def test_it_answers_with_the_routes_twiml(self, caller: Caller, route: Route) -> None:
        response = caller.post()
        assert verbs(response) == ["Dial"]
        assert response["Content-Type"] == "text/xml; charset=utf-8"

    def test_it_says_which_route_and_group_it_used(self, caller: Caller, route: Route, group: RingGroup) -> None:
        response = caller.post()
        assert (response["X-Cordboard-Route"], response["X-Cordboard-Group"]) == (str(route.pk), str(group.pk))

    def test_it_answers_get_as_well(self, caller: Caller, route: Route) -> None:
        assert verbs(caller.get()) == ["Dial"]

    def test_an_unknown_user_is_rejected(self, caller: Caller, route: Route) -> None:
        response = caller.post(To="sip:999@calls.example.com")
        assert verbs(response) == ["Reject"]
        assert "X-Cordboard-Route" not in response

    def test_called_is_used_when_there_is_no_to(self, caller: Caller, route: Route) -> None:
        assert verbs(caller.post(To="", Called="sip:100@calls.example.com")) == ["Dial"]

    def test_a_call_to_a_plain_number_finds_the_default_domain(
        self, account: Account, caller: Caller, group: RingGroup
    ) -> None:
        rows.route(rows.domain(account, is_default=True), "+1555*", group=group)
        assert verbs(caller.post(To="+15550100", SipDomain="")) == ["Dial"]

    def test_head_is_answered_without_a_body(self, caller: Caller, route: Route) -> None:
        query = "/voice/?" + urlencode(caller.params())
        signature = RequestValidator(caller.token).compute_signature(caller.base + query, {})
        response = caller.client.head(query, headers={"X-Twilio-Signature": signature})
        assert (response.status_code, response.content) == (200, b"")

    @pytest.mark.parametrize("name", ["To", "SipDomain", "SipDomainSid", "CallStatus"])
    def test_a_nul_in_a_parameter_is_no_error(self, caller: Caller, route: Route, name: str) -> None:
        assert caller.post(**{name: "sip:1\0@calls.example.com"}).status_code == 200

    def test_an_account_without_domains_rejects(self, caller: Caller) -> None:
        assert verbs(caller.post()) == ["Reject"]

    @pytest.mark.parametrize(
        ("to", "user"),
        [
            ("sip:100@host", "100"),
            ("SIP:100@host:5080;transport=tcp", "100"),
            ("sips:a%20b@host", "a b"),
            ("sip:+15550100@203.0.113.7", "+15550100"),
            ("sip:host.example", ""),
            ("+15550100", "+15550100"),
            ("client:alice", "client:alice"),
            ("100@host", "100"),
            ("sip:100@", "100"),
            ("", ""),
        ],
    )
    def test_the_dialled_user(self, to: str, user: str) -> None:
        assert dialled_user(to) == user

    def test_queries_do_not_grow_with_the_members(
        self, account: Account, caller: Caller, domain: SipDomain, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        members = [rows.endpoint(account, f"e{number}", username="u", password="p") for number in range(10)]
        rows.route(domain, "100", group=rows.group(account, *members))
        with django_assert_num_queries(5):
            caller.post()

    def test_ten_members_cost_little_cpu(self, account: Account, caller: Caller, domain: SipDomain) -> None:
        members = [rows.endpoint(account, f"e{number}", username="u", password="p") for number in range(10)]
        rows.route(domain, "100", group=rows.group(account, *members))
        caller.post()
        before = time.process_time()
        for _ in range(20):
            caller.post()
        assert (time.process_time() - before) / 20 < 0.05  # far above what it takes; a slip to rest clients is 0.3 s


class TestSignature:
    def refusal(self, response: Any) -> str:
        assert response.status_code == 403
        return str(response.content.decode())

    def test_a_request_without_signature_is_refused(self, caller: Caller) -> None:
        assert "X-Twilio-Signature header is missing" in self.refusal(Client().post("/voice/", caller.params()))

    def test_a_request_without_account_is_refused(self, caller: Caller) -> None:
        assert "AccountSid parameter is missing" in self.refusal(caller.post(AccountSid=""))

    @pytest.mark.parametrize("sid", ["AC1", "AC" + "0" * 32, "AC\0", "x" * 5000])
    def test_an_unknown_account_is_refused(self, caller: Caller, sid: str) -> None:
        assert f"There is no account {sid[:34]}" in self.refusal(caller.post(AccountSid=sid))

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b'{"AccountSid": 1}', "application/json"),
            (b"\xff\xfe&%zz=1&AccountSid", "application/x-www-form-urlencoded"),
            (b"", "text/plain"),
        ],
    )
    def test_a_body_that_is_no_form_is_refused(self, body: bytes, content_type: str) -> None:
        response = Client().post("/voice/", body, content_type=content_type, headers={"X-Twilio-Signature": "é?"})
        assert "AccountSid parameter is missing" in self.refusal(response)

    def test_an_account_that_is_not_active_is_refused(self, account: Account, caller: Caller) -> None:
        Account.objects.update(status="suspended")
        assert "is suspended" in self.refusal(caller.post())

    def test_a_wrong_token_is_refused_and_the_url_named(self, caller: Caller) -> None:
        caller.token = "wrong"
        text = self.refusal(caller.post())
        assert "http://testserver/voice/" in text
        assert "PUBLIC_URL" in text

    def test_the_token_of_another_account_does_not_help(self, caller: Caller) -> None:
        caller.token = rows.account("Other").auth_token
        assert "does not match" in self.refusal(caller.post())

    def test_a_changed_parameter_is_noticed(self, caller: Caller) -> None:
        signature = RequestValidator(caller.token).compute_signature("http://testserver/voice/", caller.params())
        response = Client().post("/voice/", caller.params(To="sip:1@x"), headers={"X-Twilio-Signature": signature})
        assert "does not match" in self.refusal(response)

    def test_a_changed_query_is_noticed(self, caller: Caller, group: RingGroup) -> None:
        path = f"/voice/dial-action/group/{group.pk}/"
        signature = RequestValidator(caller.token).compute_signature(f"http://testserver{path}", caller.params())
        response = Client().post(f"{path}?start=1", caller.params(), headers={"X-Twilio-Signature": signature})
        assert "does not match" in self.refusal(response)

    def test_the_public_url_counts_behind_a_proxy(self, account: Account, settings: Settings, route: Route) -> None:
        settings.PUBLIC_URL = "https://voice.example.com"
        assert verbs(Caller(account, "https://voice.example.com").post()) == ["Dial"]

    def test_the_address_of_the_request_counts_too(self, account: Account, settings: Settings, route: Route) -> None:
        settings.PUBLIC_URL = "https://voice.example.com"
        assert verbs(Caller(account, "http://testserver").post()) == ["Dial"]

    def test_a_token_that_cannot_be_decrypted_is_named(self, caller: Caller, settings: Settings) -> None:
        settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
        response = caller.post()
        assert response.status_code == 500
        assert b"FIELD_ENCRYPTION_KEYS" in response.content

    def test_other_methods_are_refused(self) -> None:
        assert Client().put("/voice/").status_code == 405


class TestDialAction:
    def path(self, group: RingGroup, query: str = "start=1") -> str:
        return f"/voice/dial-action/group/{group.pk}/?{query}"

    def test_a_call_that_was_answered_ends(self, caller: Caller, group: RingGroup) -> None:
        assert verbs(caller.post(self.path(group), DialCallStatus="completed")) == ["Hangup"]

    def test_the_fallback_follows_a_dial_that_failed(self, caller: Caller, group: RingGroup) -> None:
        RingGroup.objects.update(fallback="say", fallback_text="Nobody.")
        response = caller.post(self.path(group, "route=7&start=1"), DialCallStatus="no-answer")
        assert verbs(response) == ["Say", "Hangup"]
        assert (response["X-Cordboard-Route"], response["X-Cordboard-Group"]) == ("7", str(group.pk))

    def test_what_the_action_url_carries_is_obeyed(self, account: Account, caller: Caller, group: RingGroup) -> None:
        second = rows.group(account, rows.endpoint(account, "Bob"), name="Second")
        RingGroup.objects.filter(pk=group.pk).update(fallback="group", fallback_group=second)
        assert verbs(caller.post(self.path(group), DialCallStatus="busy")) == ["Dial"]
        again = self.path(group, f"start=1&visited={second.pk}")
        assert verbs(caller.post(again, DialCallStatus="busy")) == ["Reject"]

    @pytest.mark.parametrize("query", ["start=x&route=-1&visited=a,,3", "start=" + "9" * 40])
    def test_nonsense_in_the_query_is_no_error(self, caller: Caller, group: RingGroup, query: str) -> None:
        assert caller.post(self.path(group, query), DialCallStatus="busy").status_code == 200

    def test_a_group_that_was_deleted_meanwhile_ends_the_call(self, caller: Caller) -> None:
        assert verbs(caller.post("/voice/dial-action/group/99/", DialCallStatus="completed")) == ["Hangup"]

    def test_a_group_of_another_account_is_not_dialled(self, caller: Caller) -> None:
        other = rows.account("Other")
        foreign = rows.group(other, rows.endpoint(other), strategy="sequential")
        assert verbs(caller.post(f"/voice/dial-action/group/{foreign.pk}/", DialCallStatus="no-answer")) == ["Hangup"]


class TestPlacedCalls:
    def test_a_call_placed_to_a_group_dials_it(self, caller: Caller, group: RingGroup) -> None:
        response = caller.post(f"/voice/group/{group.pk}/", CallStatus="in-progress")
        assert verbs(response) == ["Dial"]
        assert response["X-Cordboard-Group"] == str(group.pk)

    def test_a_call_placed_to_an_endpoint_hears_a_message(self, caller: Caller, group: RingGroup) -> None:
        phone = group.members.get().endpoint
        assert verbs(caller.post(f"/voice/endpoint/{phone.pk}/", CallStatus="in-progress")) == ["Say", "Hangup"]

    @pytest.mark.parametrize(
        "path", ["/voice/group/99/", "/voice/endpoint/99/", f"/voice/group/{10**30}/", f"/voice/endpoint/{10**30}/"]
    )
    def test_what_is_not_there_is_rejected(self, caller: Caller, path: str) -> None:
        assert verbs(caller.post(path)) == ["Reject"]

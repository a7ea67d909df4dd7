"""The simulator's page: what would happen to a call, asked of the routing models (issue 5, "Simulator")."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from lxml import html

from routing.models import Account, Endpoint, RingGroup, SipDomain
from tests import rows

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>\u202e\x07'\"" + "x" * 40


@pytest.fixture
def desk(client: Client) -> Client:
    user = User.objects.create(username="viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_route", content_type__app_label="routing"))
    client.force_login(user)
    return client


@pytest.fixture
def account() -> Account:
    return rows.account()


@pytest.fixture
def domain(account: Account) -> SipDomain:
    return rows.domain(account)


def ask(desk: Client, at: SipDomain, to: str = "100", **values: Any) -> html.HtmlElement:
    response = desk.get(reverse("simulator"), {"domain": at.pk, "to": to, **values})
    assert response.status_code == 200
    return html.fromstring(response.content.decode())


def does(endpoint: Endpoint, manner: str, seconds: float = 6, **values: str) -> dict[str, Any]:
    made = {"manner": manner, "seconds": seconds, **values}
    return {f"phone-{endpoint.pk}-{name}": value for name, value in made.items()}


def words(page: html.HtmlElement) -> str:
    return " ".join(page.xpath("//div[@id='content-main']")[0].text_content().split())


def ending(page: html.HtmlElement) -> str:
    return str(page.xpath("string(//section[@id='story']//h2)"))


class TestTheQuestion:
    def test_it_is_answered_with_who_rings_when(self, desk: Client, account: Account, domain: SipDomain) -> None:
        alice, bob = rows.endpoint(account, "Alice"), rows.endpoint(account, "Bob")
        group = rows.group(account, alice, bob, strategy=RingGroup.Strategy.SEQUENTIAL, ring_timeout=20)
        rows.route(domain, "100", group=group)
        page = ask(desk, domain, **does(alice, "busy"), **does(bob, "answers", 4))
        assert ending(page) == "The call is over."
        for line in ("Alice is busy (SIP 486).", "Bob rings.", "The caller talks with Bob."):
            assert line in words(page)

    def test_phones_that_nobody_described_ring_without_an_answer(
        self, desk: Client, account: Account, domain: SipDomain
    ) -> None:
        rows.route(domain, "100", group=rows.group(account, rows.endpoint(account)))
        page = ask(desk, domain)
        assert ending(page) == "Nobody answered (no-answer): the caller gets SIP 480."
        assert page.xpath("//select[contains(@name, '-manner')]/option[@selected]/text()") == ["rings, nobody answers"]

    def test_the_fallback_of_a_group_is_part_of_the_story(
        self, desk: Client, account: Account, domain: SipDomain
    ) -> None:
        carol = rows.endpoint(account, "Carol")
        group = rows.group(account, rows.endpoint(account), fallback="endpoint", fallback_endpoint=carol)
        rows.route(domain, "100", group=group)
        page = ask(desk, domain, **does(carol, "answers"))
        assert "The caller talks with Carol." in words(page)
        assert len(page.xpath("//pre")) == 2

    def test_a_number_that_leads_nowhere_is_rejected(self, desk: Client, domain: SipDomain) -> None:
        page = ask(desk, domain, "999")
        assert ending(page) == "The call is rejected."
        assert "SIP 404" in words(page)
        assert "No enabled route" in words(page)

    def test_an_application_elsewhere_is_named(self, desk: Client, account: Account) -> None:
        domain = rows.domain(account, voice_url="https://other.example/voice?a=1&b=2")
        assert "https://other.example/voice?a=1&b=2 decides" in ending(ask(desk, domain))

    def test_a_caller_without_patience_hangs_up(self, desk: Client, account: Account, domain: SipDomain) -> None:
        rows.route(domain, "100", group=rows.group(account, rows.endpoint(account)))
        assert "hung up before anybody answered" in ending(ask(desk, domain, patience="5"))

    def test_before_anything_is_asked_there_is_the_form_only(self, desk: Client, domain: SipDomain) -> None:
        page = html.fromstring(desk.get(reverse("simulator")).content.decode())
        assert page.xpath("//form[@id='simulator']")
        assert not page.xpath("//section[@id='story']")

    def test_without_a_domain_it_says_what_to_do(self, desk: Client) -> None:
        assert "Add a SIP domain" in desk.get(reverse("simulator")).content.decode()


class TestCare:
    def test_whoever_may_not_see_routes_may_not_ask(self, client: Client) -> None:
        client.force_login(User.objects.create(username="nobody", is_staff=True))
        assert client.get(reverse("simulator")).status_code == 403

    def test_strangers_are_led_to_the_login(self, client: Client) -> None:
        assert client.get(reverse("simulator")).status_code == 302

    def test_nothing_is_written(self, desk: Client, account: Account, domain: SipDomain) -> None:
        rows.route(domain, "100", group=rows.group(account, rows.endpoint(account), strategy="sequential"))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            ask(desk, domain)
        assert not [one["sql"] for one in queries if one["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]

    def test_passwords_of_phones_are_not_shown(self, desk: Client, account: Account, domain: SipDomain) -> None:
        phone = rows.endpoint(account, username="alice", password=rows.PASSWORD)
        rows.route(domain, "100", endpoint=phone)
        page = ask(desk, domain)
        assert "alice" in words(page)
        assert rows.PASSWORD not in words(page)

    def test_hostile_text_is_shown_harmlessly(self, desk: Client, account: Account, domain: SipDomain) -> None:
        rows.route(domain, "*", endpoint=rows.endpoint(account, HOSTILE, uri="sip:alice@127.0.0.1"))
        page = ask(desk, domain, HOSTILE, caller=HOSTILE)
        assert not page.xpath("//div[@id='content-main']//script")
        assert "\u202e" not in words(page)

    @pytest.mark.parametrize(
        "values",
        [
            {"to": ""},
            {"to": "1" * 200},
            {"patience": "soon"},
            {"patience": "-1"},
            {"digits": "abc"},
            {"when": "tomorrow"},
            {"domain": "SDnone"},
        ],
    )
    def test_what_makes_no_sense_is_refused_at_its_field(
        self, desk: Client, domain: SipDomain, values: dict[str, str]
    ) -> None:
        page = ask(desk, domain, **values) if "domain" not in values else None
        if page is None:
            response = desk.get(reverse("simulator"), {"to": "100", **values})
            page = html.fromstring(response.content.decode())
        assert not page.xpath("//section[@id='story']")
        assert page.xpath("//*[contains(@class, 'error') or contains(@class, 'text-red')]")

    def test_a_phone_that_makes_no_sense_behaves_as_usual(
        self, desk: Client, account: Account, domain: SipDomain
    ) -> None:
        alice = rows.endpoint(account)
        rows.route(domain, "100", endpoint=alice)
        page = ask(desk, domain, **does(alice, "explodes", 6))
        assert "no-answer" in ending(page)
        assert "Select a valid choice" in words(page)

    def test_the_number_of_queries_does_not_grow_with_the_phones(
        self, desk: Client, account: Account, domain: SipDomain
    ) -> None:
        group = rows.group(account, rows.endpoint(account))
        rows.route(domain, "100", group=group)
        ask(desk, domain)
        with CaptureQueriesContext(connection) as few:
            ask(desk, domain)
        for number in range(8):
            group.members.create(endpoint=rows.endpoint(account, f"P{number}"), position=number + 1)
        with CaptureQueriesContext(connection) as many:
            ask(desk, domain)
        assert len(many) == len(few)

"""What browsers are told they may do, and that no page of ours needs more."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django.fixtures import Settings

from routing.client_ip import client_ip
from tests.admin_pages import pages, plain_names, something_on_each

INLINE_SCRIPT = re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>", re.IGNORECASE)
EVENT_ATTRIBUTE = re.compile(r"<[^>]*\son[a-z]+\s*=", re.IGNORECASE)
ELSEWHERE = re.compile(r"<(?:script|link|img|audio|iframe)[^>]*\b(?:src|href)=[\"'](?:https?:)?//", re.IGNORECASE)


def test_the_policy_lets_nothing_in_from_elsewhere(client: Client, db: None) -> None:
    policy = client.get(reverse("admin:login"))["Content-Security-Policy"]
    assert set(policy.split("; ")) == {
        "default-src 'self'",
        "script-src 'self' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "media-src 'self' blob:",
        "object-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    }


def test_the_other_headers_are_there(client: Client, db: None) -> None:
    answer = client.get(reverse("admin:login"))
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "Strict-Transport-Security" not in answer


@pytest.mark.parametrize(
    "path", ["/admin/routing/account/%00/change/", "/admin/calls/call/%00/sip.txt", "/recordings/%00.wav"]
)
def test_nothing_is_looked_up_for_a_nul(admin_client: Client, path: str) -> None:
    assert admin_client.get(path).status_code == 404


@pytest.mark.parametrize("name", ["region", "tag", "ended_by", "direction__exact", "q", "group__id__exact"])
def test_nuls_in_a_query_are_left_out(admin_client: Client, name: str) -> None:
    assert admin_client.get(reverse("admin:calls_call_changelist"), {name: "\0x"}, follow=True).status_code == 200


def test_https_is_remembered_by_browsers_that_use_it(client: Client, db: None, settings: Settings) -> None:
    settings.SECURE_HSTS_SECONDS = 31_536_000
    answer = client.get(reverse("admin:login"), secure=True)
    assert answer["Strict-Transport-Security"] == "max-age=31536000"


def test_no_page_has_scripts_or_handlers_in_it_or_anything_from_elsewhere(admin_client: Client) -> None:
    something_on_each()
    wrong = []
    for path in pages(User.objects.get()):
        answer = admin_client.get(path)
        assert answer.status_code in (200, 302, 403), (path, answer.status_code)
        text = answer.content.decode() if "text/html" in answer.get("Content-Type", "") else ""
        for what in (INLINE_SCRIPT, EVENT_ATTRIBUTE, ELSEWHERE):
            wrong += [(path, found.group()) for found in what.finditer(text)]
    assert wrong == []


def test_the_pages_of_the_admin_are_found() -> None:
    assert {"admin:index", "admin:login", "admin:password_change"} <= set(plain_names())


def test_the_description_of_the_api_has_no_script_in_it(client: Client, db: None) -> None:
    page = client.get(reverse("api-docs")).content.decode()
    assert not INLINE_SCRIPT.search(page)


@pytest.mark.parametrize(
    ("proxies", "said", "expected"),
    [
        (0, "198.51.100.7", "203.0.113.9"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "10.0.0.1, 198.51.100.7", "198.51.100.7"),
        (2, "198.51.100.7, 192.0.2.1", "198.51.100.7"),
        (2, "198.51.100.7", "203.0.113.9"),
        (1, "", "203.0.113.9"),
        (1, "<script>", ""),
        (1, "[2001:db8::1]", "2001:db8::1"),
    ],
)
def test_only_trusted_proxies_say_where_a_request_came_from(
    settings: Settings, proxies: int, said: str, expected: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().get("/", REMOTE_ADDR="203.0.113.9", HTTP_X_FORWARDED_FOR=said)
    assert client_ip(request) == expected

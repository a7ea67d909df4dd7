"""Every page of the admin in a real browser that enforces the Content-Security-Policy: no page breaks it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import ConsoleMessage, Page

from tests.admin_pages import pages, something_on_each

_SIGNS = ("Content Security Policy", "Refused to", "violates")


def broken_on(page: Page) -> list[str]:
    """Return the list that fills with what the browser refuses."""
    broken: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if any(sign in message.text for sign in _SIGNS):
            broken.append(f"{page.url}: {message.text}")

    page.on("console", heard)
    return broken


def test_no_page_breaks_the_policy(page: Page, live_server: Any) -> None:
    something_on_each()
    broken = broken_on(page)
    # Empty forms, histories and questions before deleting are made of the same parts; test_security_headers reads them.
    alike = ("/add/", "/history/", "/delete/")
    for path in [*pages(User.objects.get()), reverse("api-docs")]:
        if not path.endswith(alike):
            page.goto(live_server.url + path, wait_until="load")
    assert broken == []


def test_a_smuggled_script_does_not_run_and_is_told(page: Page, live_server: Any) -> None:
    broken = broken_on(page)
    page.goto(live_server.url + reverse("admin:index"))
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.smuggled = 1";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", '<img src="data:," onerror="window.smuggled = 2">');
        }"""
    )
    page.wait_for_function("() => document.images[document.images.length - 1].complete")
    assert page.evaluate("() => window.smuggled") is None
    assert len(broken) == 2

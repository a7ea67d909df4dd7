"""A page of a superuser in a real browser (Debian's chromium)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Dialog, Page, expect, sync_playwright
from pytest_django.fixtures import Settings

from tests.waiting import SECONDS

expect.set_options(timeout=1000 * SECONDS)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]


@pytest.fixture(autouse=True)
def plain_static_files(settings: Settings) -> None:
    """Serve static files under their own names, as they lie in the packages: nothing has been collected."""
    plain = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": plain}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a file; each has a context of its own, which shares nothing with another."""
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright keeps an asyncio loop in this thread, which Django takes for an asynchronous caller.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        made = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        yield made
        made.close()


@pytest.fixture
def page(live_server: Any, client: Client, browser: Browser) -> Iterator[Page]:
    """Fail the test if anything went wrong in the page's scripts, or if one opened a dialog, as smuggled ones do."""
    client.force_login(User.objects.create(username="admin", is_staff=True, is_superuser=True))
    problems: list[str] = []

    def refuse(dialog: Dialog) -> None:
        problems.append(dialog.message)
        dialog.dismiss()

    context = browser.new_context(viewport={"width": 1360, "height": 1400})
    context.set_default_timeout(1000 * SECONDS)
    cookie = client.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", refuse)
    yield page
    context.close()
    assert problems == []

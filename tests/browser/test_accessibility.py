"""Every page of the admin read by axe: none has a finding that is serious or critical; pictures for docs/admin.md.

The pictures are taken when the environment variable CORDBOARD_PICTURES is set (see CONTRIBUTING.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page
from pytest_django.fixtures import Settings

from calls import live
from routing.models import Change, Trunk
from tests.admin_pages import pages
from tests.office import Office, furnish

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PICTURES = Path(__file__).parents[2] / "docs" / "images"
DARK_PICTURES = ("dashboard-dark",)
SEVERE = ("serious", "critical")
# Rules and what is in the elements that they are about: the theme's own markup, see docs/admin.md "Not there yet".
KNOWN = (("list", "select2-selection__rendered"),)  # of Select2: its <ul> of what is chosen holds its search field
# Colours that are still on their way to another would be measured as they are just then.
STILL = """
const sheet = new CSSStyleSheet();
sheet.replaceSync("*, *::before, *::after { transition: none !important; animation: none !important }");
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
"""
READ = """(only) => axe.run({resultTypes: ["violations"], ...(only ? {runOnly: only} : {})}).then(
    ({violations}) => violations.map(({id, impact, help, nodes}) => [
        id, impact, help, nodes.map(({target, html}) => [target.join(" "), html])
    ])
)"""


@pytest.fixture
def office(page: Page, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    """Return an office whose pages all have something on them."""
    monkeypatch.setattr(live, "boards", live.Boards())
    settings.RECORDINGS_DIR, settings.DOWNLOAD_CACHE_DIR = tmp_path, tmp_path / "cache"
    return furnish(User.objects.get(), tmp_path)


def pictured(office: Office) -> dict[str, str]:
    """Return the pages that the manual shows, each with its picture's name; these are read in dark as well."""
    change = Change.objects.filter(root_model="routing.ringgroup", root_id=str(office.group.pk)).order_by("pk")[0]
    return {
        reverse("admin:index"): "dashboard",
        reverse("admin:calls_call_live"): "live",
        reverse("admin:calls_call_changelist"): "calls",
        reverse("admin:calls_call_change", args=[office.call]): "call",
        reverse("admin:calls_recording_changelist"): "recordings",
        reverse("admin:routing_ringgroup_change", args=[office.group.pk]): "group",
        reverse("admin:routing_schedule_change", args=[office.schedule.pk]): "schedule",
        reverse("admin:calls_voicemailmessage_changelist"): "voicemail",
        _simulator(office): "simulator",
        reverse("object-history", args=[change.root_model, change.root_id]): "history",
        reverse("two-factor"): "two-factor",
        reverse("admin:routing_retentionrule_preview"): "retention",
    }


def _simulator(office: Office) -> str:
    question = {"domain": office.domain.pk, "to": "100", "caller": "+493012345678", "patience": 60}
    return f"{reverse('simulator')}?{urlencode(question)}"


def paths(office: Office) -> Iterator[str]:
    """Yield every page; of forms, histories and questions before deleting, which are all alike, one each."""
    live = reverse("admin:calls_call_change", args=[office.live])
    seen = {live, reverse("admin:search")}  # the search is a part that a script puts into pages
    for path in pages(User.objects.get()):
        kind = next((kind for kind in ("/history/", "/delete/") if path.endswith(kind)), path)
        if kind not in seen and not path.endswith("/add/"):
            seen.add(kind)
            yield path
    yield from _of_calls(office)
    yield from _of_routing(office)
    yield live  # loads itself again while it is looked at, so nothing comes after it


def _of_calls(office: Office) -> Iterator[str]:
    yield reverse("admin:calls_call_change", args=[office.call])
    yield reverse("admin:calls_recording_change", args=[office.recording])
    yield reverse("admin:calls_call_changelist") + "?legs=all&outcome=missed"
    yield reverse("admin:calls_call_changelist") + "?q=nobody"
    for name in ("redirect", "hangup"):
        yield reverse(f"admin:calls_call_{name}", args=[office.live])
    yield reverse("admin:calls_call_live")


def _of_routing(office: Office) -> Iterator[str]:
    yield f"{reverse('simulator')}?to="
    for model in ("ringgroup", "endpoint", "route", "schedule", "voicemail", "trunk"):
        yield reverse(f"admin:routing_{model}_add")
    yield reverse("admin:routing_ringgroup_change", args=[office.group.pk])
    yield reverse("admin:routing_ringgroup_delete", args=[office.group.pk])
    yield reverse("admin:routing_schedule_holidays", args=[office.schedule.pk])
    yield reverse("check", args=["trunk", Trunk.objects.get().pk])
    change = Change.objects.filter(root_model="routing.ringgroup", root_id=str(office.group.pk)).order_by("pk")[0]
    yield reverse("object-history", args=[change.root_model, change.root_id])
    yield reverse("restore-version", args=[change.root_model, change.root_id, change.pk])


def findings(page: Page, only: str = "") -> Iterator[str]:
    """Yield what axe finds on the page as it is shown."""
    for rule, impact, said, nodes in page.evaluate(READ, only):
        if impact in SEVERE:
            for target, markup in nodes:
                if not any(rule == known and part in target + markup for known, part in KNOWN):
                    yield f"{rule} ({said}): {target} {markup[:200]}"


def read(page: Page, url: str, picture: str = "") -> list[str]:
    """Return what is wrong with a page in light, and if there is a picture of it with its colours in dark."""
    page.emulate_media(color_scheme="light")
    answer = page.goto(url, wait_until="load")
    if answer is None or answer.status != 200:
        return [f"answered {answer and answer.status}"]
    page.evaluate(Axe().axe_script)
    found = list(findings(page))
    if picture:
        take(page, picture)
        page.emulate_media(color_scheme="dark")
        page.evaluate("document.documentElement.classList.add('dark')")  # the theme looks once, when it is loaded
        found += [f"dark: {one}" for one in findings(page, "color-contrast")]
        take(page, f"{picture}-dark")
    return found


def take(page: Page, name: str) -> None:
    """Take a picture for the manual, if it is asked for."""
    if "CORDBOARD_PICTURES" in os.environ and (not name.endswith("-dark") or name in DARK_PICTURES):
        page.wait_for_load_state("networkidle")
        page.screenshot(path=PICTURES / f"{name}.png")


def test_no_page_has_a_serious_finding(page: Page, live_server: Any, office: Office) -> None:
    page.add_init_script(STILL)
    page.set_viewport_size({"width": 1280, "height": 900})
    pictures = pictured(office)
    every = dict.fromkeys([*pictures, *paths(office)])
    problems = {path: read(page, live_server.url + path, pictures.get(path, "")) for path in every}
    assert [f"{path}: {one}" for path, found in problems.items() for one in found] == []


def test_who_logs_in_meets_no_serious_finding(page: Page, live_server: Any) -> None:
    page.add_init_script(STILL)
    page.context.clear_cookies()
    assert list(read(page, live_server.url + reverse("admin:login"))) == []
    page.get_by_label("Username").fill("nobody")
    page.locator("#id_password").fill("wrong")
    page.emulate_media(color_scheme="light")
    page.get_by_role("button").filter(has_text="Log in").click()
    page.get_by_role("alert").wait_for()
    page.wait_for_load_state("load")
    page.evaluate(Axe().axe_script)
    assert list(findings(page)) == []

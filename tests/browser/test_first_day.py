"""An operator's first day, in a real browser against a running Cordboard and real phones (issue 5, "Shown by"):
first login → domain → endpoints → a group sorted by hand → route → simulator → a call → live board → the call's page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.conftest import ARGUMENTS
from tests.browser.test_admin_drag import MEMBERS, add_member, drag
from tests.sip.softphones import Softphone, Softphones
from tests.stack import Stack
from tests.waiting import SECONDS, until

pytestmark = [pytest.mark.browser, pytest.mark.database("sqlite"), pytest.mark.xdist_group("sip")]
LIMIT = 1000 * SECONDS  # milliseconds


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def phones(tmp_path: Path) -> Iterator[dict[str, Softphone]]:
    """The desk's phone answers at once, Alice's never, Bob's soon: each talks with a tone of its own."""
    made = Softphones(tmp_path)
    ways = {"Desk": ("--answer", "0.2", "--tone", "440"), "Alice": (), "Bob": ("--answer", "1.0", "--tone", "1000")}
    yield dict(zip(ways, made.phones(*ways.values()), strict=True))
    made.end()


@pytest.fixture
def desk(stack: Stack) -> Iterator[Page]:
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=[*ARGUMENTS, "--autoplay-policy=no-user-gesture-required"]
        )
        page = browser.new_context(viewport={"width": 1360, "height": 1400}, base_url=stack.url).new_page()
        page.set_default_timeout(LIMIT)
        page.on("pageerror", lambda error: problems.append(str(error)))
        yield page
        browser.close()
    assert problems == []


def log_in(page: Page, password: str) -> None:
    page.goto("/admin/")
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").first.click()
    page.get_by_role("heading", name="Your first hour").wait_for()


def add(page: Page, model: str, **fields: str) -> None:
    """Fill in a form for a new object and save it."""
    page.goto(f"/admin/routing/{model}/add/")
    for name, value in fields.items():
        page.locator(f"[name={name}]").fill(value)
    save(page, model)


def save(page: Page, model: str) -> None:
    page.locator("button[name=_save]").click()
    page.wait_for_url(re.compile(rf"/admin/routing/{model}/(\?.*)?$"))


def choose(page: Page, field: str, text: str) -> None:
    """Choose in a list that searches."""
    page.locator(f"#id_{field} + .select2 .select2-selection").click()
    page.locator(".select2-search__field").last.fill(text)
    page.locator(".select2-results__option", has_text=text).first.click()


def first_day(page: Page, password: str, phones: dict[str, Softphone]) -> None:
    """Make what the first call needs."""
    log_in(page, password)
    add(page, "sipdomain", domain_name="sip.example.com")
    for name, phone in phones.items():
        add(page, "endpoint", name=name, uri=phone.uri)
    page.goto("/admin/")
    page.get_by_role("button", name="Check Bob").click()
    expect(page.locator("form", has_text="Check Bob").locator("output")).to_contain_text("answered 200", timeout=LIMIT)

    page.goto("/admin/routing/ringgroup/add/")
    page.locator("[name=name]").fill("Support")
    page.locator("[name=strategy]").select_option("parallel")
    page.locator("a", has_text=re.compile(r"^\s*Recording\s*$")).click()
    page.locator("[name=record]").select_option("record-from-answer-dual")
    add_member(page, 0, "Bob")
    add_member(page, 1, "Alice")
    drag(page, MEMBERS, 1, 0)
    save(page, "ringgroup")
    page.goto("/admin/routing/route/add/")
    choose(page, "domain", "sip.example.com")
    page.locator("[name=pattern]").fill("100")
    choose(page, "group", "Support")
    save(page, "route")


def simulate(page: Page) -> None:
    page.goto("/admin/simulator/")
    page.locator("[name=to]").fill("100")
    page.get_by_role("button", name="Simulate", exact=True).click()
    page.locator("#story").wait_for()
    assert page.locator(".cb-phones tbody th").all_inner_texts() == ["Alice", "Bob"]  # as they were dragged
    page.get_by_label("What Bob does").select_option("answers")
    expect(page.locator("#story h2")).to_have_text("The call is over.", timeout=LIMIT)
    expect(page.locator(".cb-steps")).to_contain_text("The caller talks with Bob.")


def ring(page: Page) -> None:
    """Ring it for real: the desk's phone first, then the group."""
    page.get_by_role("link", name="Ring it for real").click()
    choose(page, "phone", "Desk")
    page.get_by_role("button", name="Ring now").click()
    page.get_by_text("is queued").wait_for()


def watch(page: Page, phones: dict[str, Softphone]) -> str:
    """See the call on the live board, then hang it up there; return its address."""
    page.goto("/admin/calls/call/live/")
    leg = page.locator("tr.cb-live-leg", has_text="Bob")
    expect(leg.locator(".cb-label")).to_have_text("talking", timeout=LIMIT)
    phones["Bob"].listen(2.0)
    call = page.locator("tr.cb-live-call").first
    address = call.locator("a.cb-link").first.get_attribute("href")
    call.get_by_role("button", name="Hang up").click()
    page.get_by_role("dialog").get_by_role("button", name="Hang up").click()
    page.get_by_text("No call is in progress").wait_for()
    assert address
    return address


def review(page: Page, address: str) -> None:
    """Read why it went so, look at the ladder, listen to the recording."""

    def finished() -> bool:
        page.goto(address)
        return page.locator("audio").count() > 0 and page.get_by_text("INVITE").count() > 0

    until(finished, "the recording and the SIP messages on the call's page")
    text = page.locator("#content-main").inner_text()
    for word in ("Bob", "Alice", "487", "BYE", "PCMU", "Ended by admin"):
        assert word in text, word
    page.evaluate("document.querySelector('audio').play()")
    page.wait_for_function("document.querySelector('audio').currentTime > 0.5")
    assert page.evaluate("document.querySelector('audio').duration") > 1.5


def test_from_the_first_login_to_the_first_recording(desk: Page, stack: Stack, phones: dict[str, Softphone]) -> None:
    password = re.search(r"password (\S+) \(shown only now\)", stack.printed)
    assert password
    first_day(desk, password[1], phones)
    simulate(desk)
    ring(desk)
    review(desk, watch(desk, phones))

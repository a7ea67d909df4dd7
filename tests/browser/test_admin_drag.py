"""Sorting ring-group members and routes by drag and drop in a real browser."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
from playwright.sync_api import Page

from routing.models import RingGroup, Route
from tests import rows
from tests.waiting import SECONDS

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
MEMBERS = "#members-data"


@pytest.fixture
def group() -> RingGroup:
    account = rows.account()
    rows.endpoint(account, "Dave")
    return rows.group(account, *(rows.endpoint(account, name) for name in ("Alice", "Bob", "Carol")))


def names(group: RingGroup) -> list[str]:
    return [member.endpoint.name for member in group.members.select_related("endpoint")]


def open_group(page: Page, live_server: Any, group: RingGroup) -> None:
    page.goto(f"{live_server.url}/admin/routing/ringgroup/{group.pk}/change/")
    page.wait_for_load_state("networkidle")


def drag(page: Page, table: str, start: int, end: int) -> None:
    """Move row `start` of a table to the place of row `end`, and let go once it is there, as a hand does.

    The sorting library ignores what happens over a row that still glides to its new place.
    """
    rows_of = f"{table} tbody:not(.empty-form)"
    handles = page.locator(f"{rows_of} .material-symbols-outlined", has_text="drag_indicator")
    handles.nth(start).scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")  # the preview of a group comes late and moves what is below it
    source = handles.nth(start).bounding_box()
    dragged = page.locator(rows_of).nth(start).element_handle()
    assert source and dragged
    x, y = source["x"] + source["width"] / 2, source["y"] + source["height"] / 2
    beyond = 12 if end > start else -12
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + beyond, steps=5)
    deadline = time.monotonic() + SECONDS
    for nudge in itertools.count():
        slot = page.locator(rows_of).nth(end).bounding_box()
        assert slot
        page.mouse.move(x, slot["y"] + slot["height"] / 2 + beyond + nudge % 2, steps=5)
        if dragged.evaluate("(row, rows) => [...document.querySelectorAll(rows)].indexOf(row)", rows_of) == end:
            break
        assert time.monotonic() < deadline, f"row {start} was not taken to place {end}"
    page.mouse.up()


def add_member(page: Page, row: int, name: str) -> None:
    """Add a row and choose an endpoint in its search field."""
    page.get_by_text("Add another Member").click()
    page.locator(f"{MEMBERS} tbody:not(.empty-form)").nth(row).locator(".select2-selection").click()
    page.locator(".select2-search__field").last.fill(name)
    page.locator(".select2-results__option", has_text=name).click()


def save(page: Page) -> None:
    with page.expect_response(lambda response: response.request.method == "POST"):
        page.locator("button[name=_save], input[name=_save]").click()
    page.wait_for_load_state("networkidle")


def test_members_keep_the_order_they_were_dragged_to(page: Page, live_server: Any, group: RingGroup) -> None:
    open_group(page, live_server, group)
    drag(page, MEMBERS, 2, 0)
    save(page)
    assert names(group) == ["Carol", "Alice", "Bob"]


def test_a_member_that_is_added_is_the_last(page: Page, live_server: Any, group: RingGroup) -> None:
    open_group(page, live_server, group)
    add_member(page, 3, "Dave")
    save(page)
    assert names(group) == ["Alice", "Bob", "Carol", "Dave"]


def test_a_member_added_after_dragging_is_the_last(page: Page, live_server: Any, group: RingGroup) -> None:
    open_group(page, live_server, group)
    drag(page, MEMBERS, 0, 2)
    add_member(page, 3, "Dave")
    save(page)
    assert names(group) == ["Bob", "Carol", "Alice", "Dave"]


def test_routes_keep_the_order_they_were_dragged_to(page: Page, live_server: Any, group: RingGroup) -> None:
    domain = rows.domain(group.account)
    first, second, third = (rows.route(domain, pattern, group=group) for pattern in ("100", "10*", "*"))
    page.goto(f"{live_server.url}/admin/routing/route/")
    page.wait_for_load_state("networkidle")
    drag(page, "#result_list", 0, 2)
    save(page)
    assert list(Route.objects.all()) == [second, third, first]

"""The live board in a real browser: it follows what happens without being loaded again, and its buttons work."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from playwright.sync_api import Locator, Page

from calls import ledger, live
from calls.entries import CallRecord
from calls.models import Command
from routing.models import RingGroup
from tests import samples

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def call(**values: Any) -> CallRecord:
    now = time.time()
    live_values = {"status": "in-progress", "start_time": now - 8, "answer_time": now - 4, "end_time": None}
    return samples.call(samples.account(), **{**live_values, "duration": None, **values})


def row_of(page: Page, record: CallRecord) -> Locator:
    return page.locator(f'tr[data-sid="{record.sid}"]')


def test_a_call_appears_ticks_is_hung_up_and_goes(
    page: Page, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "boards", live.Boards())
    page.goto(f"{live_server.url}/admin/calls/call/live/")
    page.get_by_text("No call is in progress").wait_for()
    page.evaluate("window.here = true")

    record = call()
    leg = samples.leg(record, status="in-progress", answer_time=record.answer_time, end_time=None)
    ledger.apply([record, leg])
    row = row_of(page, record)
    row.wait_for()
    row_of(page, leg).wait_for()
    assert row.locator(".cb-label").inner_text() == "talking"
    began = row.locator(".cb-live-time").inner_text()
    page.wait_for_function(
        '([sid, began]) => document.querySelector(`tr[data-sid="${sid}"] .cb-live-time`).textContent !== began',
        arg=[record.sid, began],
    )

    row.get_by_role("button", name="Hang up 200 → 100").click()
    dialog = page.get_by_role("dialog", name="Hang up 200 → 100?")
    dialog.wait_for()
    assert not Command.objects.exists()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    row.get_by_role("button", name="Hang up").click()
    dialog.get_by_role("button", name="Hang up").click()
    row.get_by_text("Asked to hang up by admin …").wait_for()
    asked = Command.objects.get()
    assert (asked.call_id, asked.status, asked.requested_by) == (record.sid, "completed", "admin")
    assert LogEntry.objects.get().object_id == record.sid

    over: dict[str, Any] = {"status": "completed", "end_time": time.time(), "duration": 5}
    ledger.apply([replace(record, **over), replace(leg, **over)])
    row.get_by_text("Ended, as asked for.").wait_for()
    row.wait_for(state="detached")
    assert page.evaluate("window.here"), "the page was loaded again"


def test_a_call_is_sent_to_a_ring_group_that_is_looked_for_by_name(page: Page, live_server: Any) -> None:
    record = call()
    ledger.apply([record])
    for name in ("Sales", "Support"):
        RingGroup.objects.create(account_id=record.account_sid, name=name)
    page.goto(f"{live_server.url}/admin/calls/call/live/")
    row_of(page, record).get_by_role("button", name="Send").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Find").fill("sup")
    page.wait_for_function("document.querySelector('#live-redirect select[name=target]').options.length === 1")
    dialog.get_by_label("Ring group", exact=True).select_option(label="Support")
    dialog.get_by_role("button", name="Send there").click()
    row_of(page, record).get_by_text("Asked to go on elsewhere").wait_for()
    assert "/voice/group/" in Command.objects.get().url


def test_the_board_says_when_it_is_cut_off_and_filters_what_it_has(page: Page, live_server: Any) -> None:
    one, other = call(), call(from_address="sip:+493012@203.0.113.7", region="de1")
    ledger.apply([one, other])
    page.goto(f"{live_server.url}/admin/calls/call/live/")
    page.get_by_label("Region", exact=True).select_option("de1")
    row_of(page, one).wait_for(state="hidden")
    assert row_of(page, other).is_visible() and page.url.endswith("#region=de1")
    page.get_by_label("Search").fill("nobody")
    page.get_by_text("No call in progress matches").wait_for()
    page.get_by_role("button", name="Show all").click()
    row_of(page, one).wait_for()
    page.context.set_offline(True)
    page.get_by_text("Connection lost, last seen").wait_for()
    page.context.set_offline(False)
    page.get_by_text("Connection lost, last seen").wait_for(state="hidden")

"""The page of a call, with all that can be on it, in a real browser: light, dark, wide and narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page

from calls import ledger
from calls.entries import CallRecord, Entry
from calls.models import Command, Notification, Recording, WebhookDelivery
from tests import samples

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, serialized_rollback=True)]
HOSTILE = '<img src=x onerror=alert(1)><script>alert(2)</script>"\u202e'


@pytest.fixture
def call() -> CallRecord:
    """Return a live call on whose page every section has something to show."""
    account = samples.account()
    parent = samples.call(account, status="in-progress", end_time=None, duration=None, from_address="sip:200@a.example")
    alice = samples.leg(parent, status="in-progress", answer_time=samples.START + 4, end_time=None, sip_code=200)
    bob = samples.leg(parent, to_address="sip:bob@phones.example.com:5071;transport=tls")
    recording = samples.recording(parent)
    entries: list[Entry] = [parent, alice, bob, recording, *_events(parent, alice), *_told(parent, alice, bob)]
    entries.append(
        samples.note(parent, code=11200, url="https://app.example.com/voice", method="POST", message=HOSTILE)
    )
    ledger.apply(entries)
    Recording.objects.update(status="completed", duration=49.2, size=1_574_444, file="a.wav")
    Command.objects.create(call_id=parent.sid, url="https://app.example.com/next", requested_by="ann")
    done = {"ok": True, "outcome": "The call was ended."}
    Command.objects.create(call_id=bob.sid, status="completed", requested_by=HOSTILE, **done)
    return parent


def _events(parent: CallRecord, alice: CallRecord) -> list[Entry]:
    told: list[tuple[str, dict[str, Any]]] = [
        ("invite", {"source": "203.0.113.7", "to": "sip:100@sip.example.com"}),
        (
            "twiml.response",
            {"status": 200, "ms": 12, "body": "<Response><Dial><Sip>sip:alice@a</Sip></Dial></Response>"},
        ),
        ("leg.placed", {"leg": alice.sid, "to": alice.to_address}),
        ("screening", {"leg": alice.sid}),
        ("screening.accepted", {"leg": alice.sid}),
        ("digit", {"digit": "7"}),
        ("enqueue", {"queue": "support"}),
        ("queue.left", {"queue": "support", "result": "bridged", "seconds": 3}),
        ("conference.join", {"conference": "daily", "participants": 2}),
        ("no-media", {"leg": alice.sid, "seconds": 30.0}),
        (HOSTILE[:60], {"what": HOSTILE}),
    ]
    return [samples.event(parent, number, name, **detail) for number, (name, detail) in enumerate(told)]


def _told(parent: CallRecord, alice: CallRecord, bob: CallRecord) -> list[Entry]:
    failed = {"state": "failed", "response_status": 503, "error_code": 11200, "error": "HTTP 503", "milliseconds": 812}
    return [
        samples.delivery(alice, event="initiated", time=samples.START + 1, sent_at=samples.START + 1),
        samples.delivery(alice, event="answered", time=samples.START + 4, sent_at=samples.START + 4),
        samples.delivery(bob, response_body=HOSTILE, url="https://app.example.com/" + "long/" * 40, **failed),
        samples.delivery(parent, topic="recording", event="in-progress", url=f"https://a.example/{HOSTILE}"),
    ]


def open_page(page: Page, url: str, scheme: Literal["light", "dark"], width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 1400})
    page.goto(url)
    page.wait_for_load_state("networkidle")


def fits(page: Page) -> bool:
    """Say whether nothing sticks out to the right of the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1360), ("dark", 1360), ("light", 420)])
def test_every_page_about_a_call_can_be_read(
    page: Page, live_server: Any, call: CallRecord, tmp_path: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    failed = WebhookDelivery.objects.get(state="failed")
    note = Notification.objects.get(code=11200).pk
    pages = {
        "call": f"calls/call/{call.sid}/change/",
        "redirect": f"calls/call/{call.sid}/redirect/",
        "hangup": f"calls/call/{call.sid}/hangup/",
        "webhook": f"calls/webhookdelivery/{failed.pk}/change/",
        "webhooks": "calls/webhookdelivery/",
        "note": f"calls/notification/{note}/change/",
        "debugger": "calls/notification/",
    }
    for name, path in pages.items():
        open_page(page, f"{live_server.url}/admin/{path}", scheme, width)
        page.screenshot(path=tmp_path / f"{name}-{scheme}-{width}.png", full_page=True)
        assert fits(page), name
        assert page.locator("img[src=x]").count() == 0, name


def test_a_live_call_is_hung_up_in_two_clicks(page: Page, live_server: Any, call: CallRecord) -> None:
    open_page(page, f"{live_server.url}/admin/calls/call/{call.sid}/change/", "light", 1360)
    page.get_by_role("link", name="Hang up").click()
    page.get_by_role("button", name="Hang up").click()
    page.get_by_text("The engine is asked to hang up").wait_for()
    assert Command.objects.filter(call=call.sid, status="completed", requested_by="admin").count() == 1


def test_a_webhook_is_sent_again_with_one_click(page: Page, live_server: Any, call: CallRecord) -> None:
    failed = WebhookDelivery.objects.get(state="failed")
    open_page(page, f"{live_server.url}/admin/calls/webhookdelivery/{failed.pk}/change/", "light", 1360)
    page.get_by_role("button", name="Send again now").click()
    page.get_by_text("is on its way").wait_for()
    assert WebhookDelivery.objects.filter(message=failed.message, attempt=2, state="pending").count() == 1

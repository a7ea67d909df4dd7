"""The page of a call, with all that can be on it, in a real browser: light, dark, wide and narrow."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings

from calls import ledger
from calls.entries import CallRecord, Entry
from calls.models import Call, CallNote, CallTag, Command, Notification, Recording, SipMessage, WebhookDelivery
from tests import samples

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
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
        "calls": "calls/call/?legs=all",
        "recordings": "calls/recording/",
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


@pytest.fixture
def heard(call: CallRecord, settings: Settings, tmp_path: Path) -> Recording:
    """Return the call's recording with a real file: ten seconds, a tone on each side."""
    settings.RECORDINGS_DIR, settings.DOWNLOAD_CACHE_DIR = tmp_path / "kept", tmp_path / "cache"
    settings.RECORDINGS_DIR.mkdir()
    path = settings.RECORDINGS_DIR / "a.wav"
    tone = 0.5 * np.sin(np.arange(80_000) / 8)
    soundfile.write(path, np.stack([tone, tone / 2], axis=1), 8000, subtype="PCM_16")
    whole = path.read_bytes()
    Recording.objects.update(
        status="completed", duration=10.0, size=len(whole), file="a.wav", sha256=hashlib.sha256(whole).hexdigest()
    )
    Recording.objects.filter(call=call.sid).update(channels=2)
    return Recording.objects.get()


def test_a_recording_is_drawn_played_and_sought(
    page: Page, live_server: Any, call: CallRecord, heard: Recording
) -> None:
    open_page(page, f"{live_server.url}/admin/calls/call/{call.sid}/change/", "light", 1360)
    expect(page.locator("#recordings .cb-wave")).to_have_count(2)
    position = page.get_by_role("slider", name="Position in the recording")
    box = position.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 5)
    page.wait_for_function("Math.abs(document.querySelector('audio').currentTime - 5) < 0.3")
    position.press("ArrowRight")
    position.press("ArrowLeft")
    position.press("Home")
    page.wait_for_function("document.querySelector('audio').currentTime < 0.3")
    page.get_by_label("Speed").select_option("2")
    page.get_by_role("button", name="Callee").click()
    expect(page.get_by_role("button", name="Callee")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#recordings .cb-wave.cb-off")).to_have_count(1)
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("document.querySelector('audio').currentTime > 0.1")
    assert page.evaluate("document.querySelector('audio').playbackRate") == 2
    page.get_by_role("button", name="Pause", exact=True).click()


def test_recordings_are_reviewed_with_the_keyboard(
    page: Page, live_server: Any, call: CallRecord, heard: Recording
) -> None:
    url = f"{live_server.url}/admin/calls/recording/"
    open_page(page, url, "light", 1360)
    page.keyboard.press("j")
    expect(page.locator("tr.cb-current")).to_have_count(1)
    page.keyboard.press(" ")
    page.wait_for_function("!document.querySelector('audio').paused")
    page.keyboard.press(" ")
    page.wait_for_function("document.querySelector('audio').paused")
    page.keyboard.press("n")
    page.keyboard.type("jkn? heard it")
    page.get_by_role("button", name="Keep it").click()
    page.get_by_text("1 note", exact=True).wait_for()
    page.keyboard.press("t")
    page.keyboard.type("Refund")
    page.keyboard.press("Enter")
    page.locator(".cb-remarks .cb-chip", has_text="refund").wait_for()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("#searchbar").fill("")
    page.locator("#searchbar").press("Enter")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/admin/calls/call/{call.sid}/change/")
    assert CallNote.objects.get().text == "jkn? heard it"
    assert CallTag.objects.get().tag.name == "refund"


def test_the_timeline_is_filtered_and_a_sip_message_opens(page: Page, live_server: Any, call: CallRecord) -> None:
    SipMessage.objects.create(
        sip_call_id="parent@host", time=datetime.fromtimestamp(samples.START, UTC), sent=False, engine="e1",
        transport="udp", start_line="INVITE sip:100@a SIP/2.0", method="INVITE", size=9, text=f"INVITE {HOSTILE}",
    )  # fmt: skip
    Call.objects.filter(pk=call.sid).update(sip_call_id="parent@host")
    open_page(page, f"{live_server.url}/admin/calls/call/{call.sid}/change/", "dark", 1360)
    webhooks = page.locator("#timeline li[data-kind=webhooks]")
    assert webhooks.first.is_visible()
    page.get_by_role("button", name="Webhooks").click()
    assert not webhooks.first.is_visible()
    assert page.locator("#timeline li[data-kind=sip]").first.is_visible()
    page.locator("#sip summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#sip pre")).to_contain_text("INVITE <img")

"""What the page of a call shows beside its timeline: SIP messages, sound, documents, recordings; all of it harmless."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from calls import call_quality, ledger
from calls.entries import CallRecord
from calls.models import Call, LegQuality, Recording, SipMessage
from tests import samples

pytestmark = pytest.mark.django_db

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>\u202e\x1b[31m' + "x" * 8000
LIST = "/admin/calls/call/"


@pytest.fixture
def call() -> CallRecord:
    record = samples.call(samples.account(), sip_call_id="parent@host")
    leg = samples.leg(record, sip_call_id="leg@host", status="completed", answer_time=samples.START + 4)
    ledger.apply([record, leg])
    return record


def get(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return response.content.decode()


def page(of: CallRecord) -> str:
    return f"{LIST}{of.sid}/change/"


def message(call_id: str = "parent@host", at: float = 0, **values: Any) -> SipMessage:
    defaults = {
        "sip_call_id": call_id,
        "time": datetime.fromtimestamp(samples.START + at, UTC),
        "sent": False,
        "engine": "e1",
        "transport": "udp",
        "start_line": "INVITE sip:100@sip.example.com SIP/2.0",
        "method": "INVITE",
        "size": 100,
        "text": "INVITE sip:100@sip.example.com SIP/2.0\r\nCall-ID: x\r\n",
    }
    return SipMessage.objects.create(**{**defaults, **values})


class TestSip:
    def test_messages_of_every_leg_are_drawn(self, admin_client: Client, call: CallRecord) -> None:
        message()
        message("leg@host", 1, sent=True)
        message("leg@host", 1.5, sent=True)
        message("leg@host", 2, start_line="SIP/2.0 486 Busy Here", code=486, text="SIP/2.0 486 Busy Here\r\n")
        message("other@host", 1)
        html = get(admin_client, page(call))
        assert "Caller to Cordboard: INVITE" in html
        assert "Cordboard to leg 1 (alice): INVITE, sent again" in html
        assert "leg 1 (alice) to Cordboard: 486 Busy Here" in html
        assert html.count('<summary class="cb-rung') == 4
        text = get(admin_client, f"{LIST}{call.sid}/sip.txt")
        assert "(+2.000000 s) leg 1 (alice) -> Cordboard\nSIP/2.0 486 Busy Here" in text

    def test_addresses_that_led_nowhere_belong_to_their_leg(self, admin_client: Client, call: CallRecord) -> None:
        leg = Call.objects.get(parent=call.sid)
        ledger.apply([samples.event(call, 3, "leg.next-address", leg=leg.sid, code=503, sip_call_id="first@host")])
        message("first@host", 1, sent=True)
        assert "Cordboard to leg 1 (alice): INVITE" in get(admin_client, page(call))

    def test_the_first_two_hundred_are_shown(self, admin_client: Client, call: CallRecord) -> None:
        for number in range(205):
            message(at=number / 10)
        html = get(admin_client, page(call))
        assert html.count('<summary class="cb-rung') == 200
        assert "the first 200; the download has all" in html

    def test_another_use_of_the_call_id_is_not_shown(self, admin_client: Client, call: CallRecord) -> None:
        message(at=86_400)
        assert '<summary class="cb-rung' not in get(admin_client, page(call))

    @pytest.mark.parametrize(
        ("age", "status", "on", "said"),
        [
            (timedelta(days=8), "completed", True, "they are kept for 7 days (SIP_TRACE_DAYS)"),
            (timedelta(hours=1), "completed", False, "SIP_TRACE is off"),
            (timedelta(hours=1), "completed", True, "No SIP messages were kept of this call"),
            (timedelta(hours=1), "ringing", True, "No SIP message has come in yet"),
        ],
    )
    def test_it_says_why_there_are_none(
        self, admin_client: Client, settings: Settings, age: timedelta, status: str, on: bool, said: str
    ) -> None:
        settings.SIP_TRACE, settings.SIP_TRACE_DAYS = on, 7.0
        start = (timezone.now() - age).timestamp()
        call = samples.call(samples.account(), status=status, start_time=start, answer_time=None, end_time=start + 1)
        ledger.apply([call])
        assert said in get(admin_client, page(call))
        assert said in get(admin_client, f"{LIST}{call.sid}/sip.txt")

    def test_the_text_needs_the_permission_to_see_calls(self, client: Client, call: CallRecord) -> None:
        client.force_login(User.objects.create_user("nobody", is_staff=True))
        assert client.get(f"{LIST}{call.sid}/sip.txt").status_code == 403

    def test_of_no_call_is_not_found(self, admin_client: Client) -> None:
        assert admin_client.get(f"{LIST}CA1/sip.txt").status_code == 404


class TestSound:
    def test_each_way_has_a_word_for_it(self, admin_client: Client, call: CallRecord) -> None:
        LegQuality.objects.create(
            call_id=call.sid, updated=timezone.now(), final=True, codec="PCMU", packets_in=90, lost_in=10,
            jitter_in_ms=12.4, round_trip_ms=25, mos_in=2.9, mos_out=4.3,
        )  # fmt: skip
        html = get(admin_client, page(call))
        assert "from the caller" in html
        assert "10.0 % (10)" in html
        assert "12 ms" in html
        assert ">poor<" in html
        assert ">good<" in html

    @pytest.mark.parametrize(("mos", "word"), [(None, "unknown"), (4.0, "good"), (3.9, "fair"), (3.0, "poor")])
    def test_the_word_follows_the_mos(self, mos: float | None, word: str) -> None:
        assert call_quality.word(mos)[0] == word


class TestDocuments:
    def test_a_document_is_shown_with_the_request_that_got_it(self, admin_client: Client, call: CallRecord) -> None:
        body = "<Response><Hangup/></Response>"
        asked = {"url": "http://app/voice", "method": "POST", "parameters": [["From", "sip:a@b"], ["Digits", "1234"]]}
        told = {"url": "http://app/voice", "status": 200, "ms": 35.0, "body": body}
        ledger.apply(
            [
                samples.event(call, 0, "twiml.request", **asked),
                samples.event(call, 1, "twiml.response", **told),
                samples.event(call, 2, "dial.finished", status="busy"),
                samples.event(call, 3, "twiml.request", **{**asked, "url": "http://app/after"}),
                samples.event(call, 4, "twiml.response", **{**told, "url": "http://app/after"}),
            ]
        )
        html = get(admin_client, page(call))
        assert "From the voice URL" in html
        assert "From the action URL" in html
        assert "POST http://app/after" in html
        assert "TwiML received from the action URL: 200 in 35 ms" in html
        assert "<td>sip:a@b</td>" in html
        assert "1234" not in html


def recorded(call: CallRecord, settings: Settings, folder: Path, channels: int = 2) -> Recording:
    settings.RECORDINGS_DIR, settings.DOWNLOAD_CACHE_DIR = folder / "kept", folder / "cache"
    settings.RECORDINGS_DIR.mkdir()
    path = settings.RECORDINGS_DIR / "a.wav"
    tone = 0.5 * np.sin(np.arange(16_000) / 8)
    sides = np.stack([np.where(np.arange(16_000) < 8_000, tone, 0), tone / 2], axis=1)
    soundfile.write(path, sides[:, :channels], 8000, subtype="PCM_16")
    entry = samples.recording(call, channels=channels)
    ledger.apply([entry])
    whole = path.read_bytes()
    Recording.objects.update(
        status="completed", duration=2.0, size=len(whole), file="a.wav", sha256=hashlib.sha256(whole).hexdigest()
    )
    return Recording.objects.get()


class TestWaves:
    def test_each_channel_has_its_own_shape(
        self, admin_client: Client, call: CallRecord, settings: Settings, tmp_path: Path
    ) -> None:
        recording = recorded(call, settings, tmp_path)
        response: Any = admin_client.get(f"/recordings/{recording.sid}.peaks.json")
        assert response["Content-Type"] == "application/json"
        found = json.loads(response.getvalue())
        caller, callee = found["peaks"]
        assert found["seconds"] == 2.0
        assert len(caller) == len(callee) == 800
        assert max(caller) == pytest.approx(50, abs=1)
        assert max(caller[410:]) == 0
        assert max(callee[410:]) == pytest.approx(25, abs=1)
        assert len(list((tmp_path / "cache").glob("*.json"))) == 1

    def test_one_that_cannot_be_had_says_why(
        self, admin_client: Client, call: CallRecord, settings: Settings, tmp_path: Path
    ) -> None:
        recording = recorded(call, settings, tmp_path)
        path = f"/recordings/{recording.sid}.peaks.json"
        (settings.RECORDINGS_DIR / "a.wav").write_bytes(b"RIFFnonsense")
        assert "its file is damaged" in admin_client.get(path).json()["error"]
        (settings.RECORDINGS_DIR / "a.wav").unlink()
        assert "is not on this disk" in admin_client.get(path).json()["error"]
        Recording.objects.update(status="processing")
        assert "is not finished yet" in admin_client.get(path).json()["error"]
        assert admin_client.get("/recordings/RE1.peaks.json").status_code == 404

    def test_without_the_permission_there_is_no_player(self, client: Client, call: CallRecord) -> None:
        user = User.objects.create_user("viewer", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=["view_call", "view_recording"]))
        client.force_login(user)
        ledger.apply([samples.recording(call)])
        Recording.objects.update(status="completed", duration=49.2, size=10, file="a.wav")
        for path in (page(call), "/admin/calls/recording/"):
            html = get(client, path)
            assert "<audio" not in html
            assert "may not listen to recordings" in html
        assert client.get(f"/recordings/{Recording.objects.get().sid}.peaks.json").status_code == 403

    @pytest.mark.parametrize(
        ("status", "said"),
        [
            ("processing", "The worker is making the file"),
            ("failed", "The disk was full."),
            ("absent", "Nothing was recorded"),
            ("in-progress", "when it is over"),
        ],
    )
    def test_what_cannot_be_heard_says_why(
        self, admin_client: Client, call: CallRecord, status: str, said: str
    ) -> None:
        ledger.apply([samples.recording(call)])
        Recording.objects.update(status=status, error="The disk was full." if status == "failed" else "")
        assert said in get(admin_client, page(call))


def test_what_strangers_send_is_shown_harmlessly(admin_client: Client) -> None:
    call = samples.call(
        samples.account(), from_address=HOSTILE[:512], reason=HOSTILE[:1000],
        sip_call_id=HOSTILE[:255],
    )  # fmt: skip
    leg = samples.leg(call, to_address=HOSTILE[:512], reason=HOSTILE[:1000])
    recording = samples.recording(call)
    asked = {"url": HOSTILE, "method": "POST", "parameters": [["SipHeader_X-" + HOSTILE, HOSTILE]]}
    ledger.apply(
        [
            call,
            leg,
            recording,
            samples.event(call, 0, HOSTILE[:64], what=HOSTILE),
            samples.event(call, 1, "twiml.request", **asked),
            samples.event(call, 2, "twiml.response", url=HOSTILE, status=200, body=HOSTILE),
            samples.event(call, 3, "leg.ended", leg=leg.sid, status="failed", reason=HOSTILE),
            samples.event(call, 4, "enqueue", **{"queue": HOSTILE}),
            samples.delivery(call, url=f"http://a/{HOSTILE[:2000]}", error=HOSTILE[:1000], state="failed"),
            samples.note(call, message=HOSTILE[:2000], response_body=HOSTILE[:4096]),
        ]
    )
    Recording.objects.update(status="failed", error=HOSTILE[:1000])
    message(HOSTILE[:255], start_line=HOSTILE[:512], method=HOSTILE[:32], text=HOSTILE)
    for path in (page(call), f"{LIST}{leg.sid}/change/", f"{LIST}?legs=all", "/admin/calls/recording/"):
        html = get(admin_client, path)
        for unwanted in ("<img src=x", "<script>alert", "\u202e", "\x1b"):
            assert unwanted not in html, (path, unwanted)
    assert "\u202e" not in get(admin_client, f"{LIST}{call.sid}/sip.txt")

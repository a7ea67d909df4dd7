"""Messages in voicemail boxes: what becomes one, and the e-mail about it."""

from __future__ import annotations

import smtplib
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone
from pytest_django.fixtures import Settings

from calls import ledger, recordings, voicemail, voicemail_mail
from calls.apps import SCHEDULES
from calls.models import Recording, VoicemailMessage, WebhookDelivery
from routing.models import Account, Voicemail
from tests import samples
from tests.sip.sound import tone
from tests.test_views import Caller

pytestmark = pytest.mark.django_db
Mail = VoicemailMessage.Mail


@pytest.fixture(autouse=True)
def folders(settings: Settings, tmp_path: Path) -> None:
    settings.PUBLIC_URL = "http://testserver"
    settings.RECORDINGS_DIR = tmp_path / "recordings"
    settings.DOWNLOAD_CACHE_DIR = tmp_path / "cache"


@pytest.fixture
def account() -> Account:
    return samples.account()


@pytest.fixture
def box(account: Account) -> Voicemail:
    return Voicemail.objects.create(account=account, name="Support", emails="a@b.example\nc@d.example")


def recorded(
    box: Voicemail, seconds: float = 3.0, caller: str = "sip:+4930123@carrier.example", **values: Any
) -> Recording:
    """Return what a caller of a box has said, finished."""
    url = f"http://testserver/voice/voicemail/{box.pk}/recorded/"
    spec = {"url": url, "method": "POST", "events": ["completed"]}
    of = samples.call(box.account, from_address=caller, end_time=samples.START + 4 + seconds)
    raw = Path(settings.RECORDINGS_DIR) / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    (raw / f"{of.sid}.wav").write_bytes(tone(440, seconds))
    entry = samples.recording(
        of, channels=1, source="RecordVerb", files=(f"raw/{of.sid}.wav",), trim=True, callback=None
    )
    ledger.apply([of, entry])
    Recording.objects.filter(pk=entry.sid).update(**{"callback": spec, **values})
    found = Recording.objects.get(pk=entry.sid)
    recordings.finish(found)
    return Recording.objects.get(pk=entry.sid)


class TestMessages:
    """What was recorded for a box."""

    def test_it_becomes_a_message_together_with_the_recording(self, box: Voicemail) -> None:
        recording = recorded(box)
        message = VoicemailMessage.objects.get()
        assert (message.recording, message.box, message.account) == (recording, box, box.account)
        assert (message.caller, message.call_id) == ("sip:+4930123@carrier.example", recording.call_id)
        assert 2.5 < message.duration < 3.1
        assert (message.time, message.heard_at) == (recording.start_time, None)
        assert not WebhookDelivery.objects.exists()  # the callback is ours: nobody need be asked

    def test_it_becomes_one_but_once(self, box: Voicemail) -> None:
        recording = recorded(box)
        voicemail.take(recording, box.pk)
        recordings.finish(recording)
        assert VoicemailMessage.objects.count() == 1

    @pytest.mark.parametrize("seconds", [0.2, 0.9])
    def test_less_than_a_second_is_none(self, box: Voicemail, seconds: float) -> None:
        assert recorded(box, seconds).status == "completed"
        assert not VoicemailMessage.objects.exists()

    def test_it_is_kept_when_the_box_is_gone(self, box: Voicemail) -> None:
        pk = box.pk
        box.delete()
        box.pk = pk
        recorded(box)
        assert VoicemailMessage.objects.get().box is None

    def test_it_stays_when_the_box_goes_and_goes_with_the_recording(self, box: Voicemail) -> None:
        recording = recorded(box)
        box.delete()
        assert VoicemailMessage.objects.get().box is None
        recording.delete()
        assert not VoicemailMessage.objects.exists()

    def test_a_recording_of_another_callback_is_none(self, box: Voicemail) -> None:
        for url in (
            "http://elsewhere/voice/voicemail/1/recorded/",
            "http://testserver/x",
            "/voice/voicemail/1/recorded/",
        ):
            spec = {"url": url, "method": "POST", "events": ["completed"]}
            recorded(box, callback=spec)
        assert not VoicemailMessage.objects.exists()
        assert WebhookDelivery.objects.count() == 3

    def test_a_callback_by_http_makes_it_too(self, box: Voicemail) -> None:
        spec = {"url": f"http://internal/voice/voicemail/{box.pk}/recorded/", "method": "POST", "events": ["completed"]}
        recording = recorded(box, callback=spec)
        caller, path = Caller(box.account), f"/voice/voicemail/{box.pk}/recorded/"
        for sid in ("RE" + "0" * 32, "nonsense", recording.sid, recording.sid):
            assert caller.post(path, RecordingSid=sid, RecordingStatus="completed").status_code == 200
        assert VoicemailMessage.objects.get().recording == recording

    def test_who_hears_it_first_is_noted(self, box: Voicemail) -> None:
        recorded(box)
        message, now = VoicemailMessage.objects.get(), timezone.now()
        message.hear("alice", now)
        message.hear("bob", now + timedelta(hours=1))
        message.refresh_from_db()
        assert (message.heard_by, message.heard_at) == ("alice", now)


class Down(EmailBackend):
    """A mail server that cannot be reached."""

    def send_messages(self, messages: Any) -> int:
        raise ConnectionRefusedError(111, "Connection refused")


class Choosy(EmailBackend):
    """A mail server that refuses one address."""

    def send_messages(self, messages: Any) -> int:
        if messages[0].to == ["a@b.example"]:
            raise smtplib.SMTPRecipientsRefused({"a@b.example": (550, b"unknown user")})
        return super().send_messages(messages)


class TestEmail:
    """Who is told of a message, and how."""

    def test_every_address_gets_one_with_the_message_attached(self, box: Voicemail) -> None:
        recording = recorded(box)
        assert voicemail_mail.send(recording.sid)
        assert [one.to for one in mail.outbox] == [["a@b.example"], ["c@d.example"]]
        sent = message_from_bytes(mail.outbox[0].message().as_bytes(), policy=policy.default)
        assert sent["Subject"] == "Voicemail from +4930123 for Support"
        assert sent["Message-ID"] == f"<{recording.sid}@testserver>"
        text, sound = sent.iter_parts()
        assert f"http://testserver/admin/calls/voicemailmessage/{recording.sid}/change/" in text.get_content()
        assert "A message of 3 seconds was left in voicemail box Support." in text.get_content()
        assert sound.get_content_type() == "audio/mpeg"
        assert str(sound.get_filename()).endswith(".mp3")
        assert len(sound.get_content()) > 1000
        message = VoicemailMessage.objects.get()
        assert (message.mail, message.mail_tries, message.mail_to, message.mail_due) == (Mail.SENT, 1, "", None)

    def test_it_may_carry_a_wav_file_or_only_a_link(self, box: Voicemail) -> None:
        Voicemail.objects.update(attach="wav", emails="a@b.example")
        voicemail_mail.send(recorded(box).sid)
        Voicemail.objects.update(attach="link")
        voicemail_mail.send(recorded(box).sid)
        first, second = mail.outbox
        assert first.attachments[0][1][:4] == b"RIFF"
        assert not second.attachments

    def test_what_is_too_large_or_gone_is_not_attached(self, box: Voicemail, settings: Settings) -> None:
        settings.VOICEMAIL_ATTACHMENT_BYTES = 100
        recording = recorded(box)
        voicemail_mail.send(recording.sid)
        assert "too large to be attached" in mail.outbox[0].body
        other = recorded(box)
        recordings.path_of(other).unlink()
        assert voicemail_mail.send(other.sid)
        assert "cannot be attached" in mail.outbox[-1].body
        assert not mail.outbox[-1].attachments

    @pytest.mark.parametrize(
        "caller", ["sip:x\r\nBcc: victim@example.com@h", "\u202e\x07" * 100, "<b>" * 100, "", "💣" * 500]
    )
    def test_hostile_callers_do_no_harm(self, box: Voicemail, caller: str) -> None:
        recording = recorded(box, caller=caller)
        assert voicemail_mail.send(recording.sid)
        sent = message_from_bytes(mail.outbox[0].message().as_bytes(), policy=policy.default)
        assert sent["Bcc"] is None
        assert "\n" not in sent["Subject"]
        assert len(mail.outbox[0].subject) <= 150
        assert "\u202e" not in f"{mail.outbox[0].subject} {mail.outbox[0].body}"

    def test_it_is_tried_again_while_mail_is_down(self, box: Voicemail, settings: Settings) -> None:
        settings.EMAIL_BACKEND = f"{__name__}.Down"
        recording = recorded(box)
        for tries, delay in enumerate(voicemail_mail.DELAYS, start=1):
            VoicemailMessage.objects.update(mail_due=timezone.now())
            assert voicemail_mail.send_due() == 0
            message = VoicemailMessage.objects.get()
            assert (message.mail, message.mail_tries) == (Mail.WAITING, tries)
            assert "Connection refused" in message.mail_error
            assert message.mail_due is not None
            assert abs(message.mail_due - timezone.now() - timedelta(seconds=delay)) < timedelta(minutes=1)
        assert not voicemail_mail.send(recording.sid)  # not due
        VoicemailMessage.objects.update(mail_due=timezone.now())
        voicemail_mail.send_due()
        message = VoicemailMessage.objects.get()
        assert (message.mail, message.mail_due) == (Mail.FAILED, None)
        settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
        voicemail.tell(message)
        assert voicemail_mail.send_due() == 1
        assert len(mail.outbox) == 2

    def test_an_address_that_is_refused_keeps_no_other_waiting(self, box: Voicemail, settings: Settings) -> None:
        settings.EMAIL_BACKEND = f"{__name__}.Choosy"
        recording = recorded(box)
        assert not voicemail_mail.send(recording.sid)
        assert [one.to for one in mail.outbox] == [["c@d.example"]]
        message = VoicemailMessage.objects.get()
        assert (message.mail, message.mail_to) == (Mail.WAITING, "a@b.example")
        assert "unknown user" in message.mail_error

    def test_a_worker_that_was_killed_leaves_it_to_the_next(self, box: Voicemail) -> None:
        recording = recorded(box)
        VoicemailMessage.objects.update(mail_due=timezone.now() + voicemail_mail.LEASE, mail_tries=1)
        assert not voicemail_mail.send(recording.sid)
        VoicemailMessage.objects.update(mail_due=timezone.now())
        assert voicemail_mail.send_due() == 1

    def test_without_a_way_for_mail_it_says_so(self, box: Voicemail, settings: Settings) -> None:
        settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
        recorded(box)
        assert VoicemailMessage.objects.get().mail == Mail.OFF
        assert voicemail_mail.send_due() == 0

    def test_nobody_to_tell(self, box: Voicemail) -> None:
        Voicemail.objects.update(emails="")
        recorded(box)
        assert VoicemailMessage.objects.get().mail == Mail.NONE

    def test_the_worker_looks_every_minute(self) -> None:
        assert SCHEDULES["calls.voicemail"] == ("calls.voicemail_mail.send_due", 1)

"""Makes messages of what was recorded for voicemail boxes.

A recording belongs to a box when its callback URL is the box's (`routing.voicemail`). The message is written in the
transaction that finishes the recording, so that there is never one without the other.
"""

from __future__ import annotations

import logging
import re

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_q.tasks import async_task

from calls.models import Call, Recording, VoicemailMessage
from routing.models import Voicemail

log = logging.getLogger(__name__)

SHORTEST = 1.0
"""Seconds; who says less has hung up, or was breathed on."""
SEND = "calls.voicemail_mail.send"
_DUMMY = "django.core.mail.backends.dummy.EmailBackend"
_PATH = re.compile(r"/voice/voicemail/(?P<box>[0-9]{1,18})/recorded/")


def box_of(recording: Recording) -> int | None:
    """Return the id of the box that a recording was made for; None if it was made for something else."""
    url = str((recording.callback or {}).get("url", ""))
    found = _PATH.fullmatch(url.removeprefix(settings.PUBLIC_URL))
    return int(found["box"]) if found and url.startswith(settings.PUBLIC_URL) else None


def take(recording: Recording, box_id: int) -> VoicemailMessage | None:
    """Write the message of a finished recording, but once; None for one that is too short to be one."""
    seconds = recording.duration or 0.0
    if recording.status != Recording.Status.COMPLETED or seconds < SHORTEST:
        log.info("recording=%s call=%s nothing was said", recording.sid, recording.call_id)
        return None
    box = Voicemail.objects.filter(pk=box_id, account=recording.account_id).first()
    caller = Call.objects.filter(pk=recording.call_id).values_list("from_address", flat=True).first()
    with transaction.atomic():
        message, made = VoicemailMessage.objects.get_or_create(
            recording=recording,
            defaults={
                "account_id": recording.account_id,
                "call_id": recording.call_id,
                "box": box,
                "caller": caller or "",
                "time": recording.start_time,
                "duration": seconds,
            },
        )
        if made and box and box.addresses:
            tell(message)
    log.info("recording=%s call=%s message in voicemail box %s", recording.sid, recording.call_id, box_id)
    return message


def tell(message: VoicemailMessage) -> bool:
    """Have the e-mail about a message sent to all addresses of its box; return whether there is anybody to tell."""
    addresses = message.box.addresses if message.box else []
    message.mail_to = "\n".join(addresses)
    message.mail = VoicemailMessage.Mail.WAITING if addresses else VoicemailMessage.Mail.NONE
    if addresses and not mail_is_set_up():
        message.mail = VoicemailMessage.Mail.OFF
    message.mail_due = timezone.now() if message.mail == VoicemailMessage.Mail.WAITING else None
    message.mail_tries, message.mail_error = 0, ""
    message.save(update_fields=["mail", "mail_to", "mail_due", "mail_tries", "mail_error"])
    if message.mail_due:
        async_task(SEND, message.pk)
    return bool(addresses)


def mail_is_set_up() -> bool:
    """Say whether EMAIL_URL names a way for e-mail."""
    return bool(settings.EMAIL_BACKEND != _DUMMY)


def recorded(account_sid: str, box_id: int, recording_sid: str) -> None:
    """Take the message that a callback told of, which came by HTTP since its URL is not below PUBLIC_URL."""
    recording = Recording.objects.filter(pk=recording_sid, account=account_sid).first()
    if recording is not None:
        take(recording, box_id)

"""Sends the e-mail about voicemail messages, again and again while mail is down; each address once.

A worker takes a message in hand with one conditional UPDATE that puts its next attempt off, so that one whose worker
was killed is tried again.
"""

from __future__ import annotations

import logging
import smtplib
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db.models import F
from django.utils import timezone

from calls import downloads, retries
from calls.harmless import harmless
from calls.ledger import user_part
from calls.models import VoicemailMessage
from routing.models import Voicemail

log = logging.getLogger(__name__)

DELAYS = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600)
"""Seconds from an attempt that failed to the next one."""
LEASE = timedelta(minutes=5)
AT_ONCE = 20
_MIME = {"mp3": ("audio", "mpeg"), "wav": ("audio", "wav")}
_LONGEST_SUBJECT = 150


def send_due() -> int:
    """Send what is due, every minute; return how many messages were told completely."""
    waiting = VoicemailMessage.objects.filter(mail=VoicemailMessage.Mail.WAITING, mail_due__lte=timezone.now())
    return sum(send(pk) for pk in list(waiting.order_by("mail_due").values_list("pk", flat=True)[:AT_ONCE]))


def send(pk: str) -> bool:
    """Send the e-mail about one message to those who have not got it yet; say whether all have it now."""
    now = timezone.now()
    due = VoicemailMessage.objects.filter(pk=pk, mail=VoicemailMessage.Mail.WAITING, mail_due__lte=now)
    if not due.update(mail_due=now + LEASE, mail_tries=F("mail_tries") + 1):
        return False
    message = VoicemailMessage.objects.select_related("box", "recording", "call").get(pk=pk)
    try:
        _send_each(message)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        _failed(message, error)
        return False
    _store(message, mail=VoicemailMessage.Mail.SENT, mail_sent=timezone.now(), mail_due=None, mail_error="")
    log.info("call=%s recording=%s e-mail sent", message.call_id, pk)
    return True


def _send_each(message: VoicemailMessage) -> None:
    """Send to one address after the other, taking each off the list; one that is refused keeps no other waiting."""
    refused: Exception | None = None
    subject, body, attachment = composed(message)
    with get_connection() as connection:
        for address in message.mail_to.split():
            mail = EmailMessage(subject, body, to=[address], connection=connection, headers=_headers(message))
            if attachment:
                mail.attach(*attachment)
            try:
                mail.send()
            except smtplib.SMTPRecipientsRefused as error:
                refused = error
                continue
            left = [one for one in message.mail_to.split() if one != address]
            _store(message, mail_to="\n".join(left))
    if refused:
        raise refused


def composed(message: VoicemailMessage) -> tuple[str, str, tuple[str, bytes, str] | None]:
    """Return subject, text, and the attachment: its name, content and MIME type; None where there is only a link."""
    box = message.box
    caller = user_part(message.caller) or message.caller or "an unknown caller"
    subject = " ".join(harmless(f"Voicemail from {caller}{f' for {box}' if box else ''}").split())
    attachment, remark = _attachment(message, box)
    lines = [
        f"A message of {round(message.duration)} seconds was left{f' in voicemail box {box}' if box else ''}.",
        "",
        f"From: {message.caller or 'unknown'}",
        f"When: {_clock(message.time)}",
        *([remark] if remark else []),
        "",
        f"Listen: {settings.PUBLIC_URL}{message.admin_path}",
        f"The call: {settings.PUBLIC_URL}{message.call.admin_path}",
    ]
    return subject[:_LONGEST_SUBJECT], "\n".join(harmless(line) for line in lines) + "\n", attachment


def _attachment(message: VoicemailMessage, box: Voicemail | None) -> tuple[tuple[str, bytes, str] | None, str]:
    """Return the attachment, and a remark for the text if it cannot be attached."""
    kind = box.attach if box else Voicemail.Attach.LINK
    if kind == Voicemail.Attach.LINK:
        return None, ""
    most = settings.VOICEMAIL_ATTACHMENT_BYTES
    try:
        with downloads.open_audio(message.recording, kind).file as file:
            content = file.read(most + 1)
    except (downloads.Unavailable, OSError) as error:
        return None, f"The recording cannot be attached: {error}"
    if len(content) > most:
        return None, f"The recording is too large to be attached (more than {most / 1e6:.1f} MB)."
    moment = timezone.localtime(message.time)
    return (f"voicemail-{moment:%Y-%m-%d-%H%M%S}.{kind}", content, "/".join(_MIME[kind])), ""


def _headers(message: VoicemailMessage) -> dict[str, str]:
    host = urlsplit(settings.PUBLIC_URL).hostname or "cordboard"
    # The same at every attempt: who gets it twice, since a worker was killed on the way, sees it once.
    return {"Message-ID": f"<{message.pk}@{host}>", "Auto-Submitted": "auto-generated"}


def _clock(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%a %d %b %Y %H:%M} ({settings.TIME_ZONE})"


def _failed(message: VoicemailMessage, error: Exception) -> None:
    why = f"{type(error).__name__}: {error}"[:1000].replace("\0", "")
    delay = retries.delay_after(message.mail_tries, DELAYS)
    log.warning("call=%s recording=%s e-mail not sent: %s", message.call_id, message.pk, why)
    if delay is None:
        _store(message, mail=VoicemailMessage.Mail.FAILED, mail_due=None, mail_error=why)
    else:
        _store(message, mail_due=timezone.now() + timedelta(seconds=delay), mail_error=why)


def _store(message: VoicemailMessage, **values: object) -> None:
    for name, value in values.items():
        setattr(message, name, value)
    VoicemailMessage.objects.filter(pk=message.pk).update(**values)

"""What callers left in voicemail boxes: a recording each, and how far the e-mail about it has come."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from calls.harmless import harmless


class VoicemailMessage(models.Model):
    """A message; its sound is the recording, which it goes with."""

    class Mail(models.TextChoices):
        NONE = "none", "nobody to tell"
        OFF = "off", "e-mail is not set up"
        WAITING = "waiting", "waiting"
        SENT = "sent", "sent"
        FAILED = "failed", "failed"

    recording = models.OneToOneField(
        "calls.Recording", models.CASCADE, primary_key=True, db_constraint=False, related_name="voicemail_message"
    )
    account = models.ForeignKey(
        "routing.Account", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="voicemail_messages"
    )
    call = models.ForeignKey(
        "calls.Call", models.CASCADE, db_constraint=False, db_index=False, related_name="voicemail_messages"
    )
    box = models.ForeignKey(
        "routing.Voicemail",
        models.SET_NULL,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="messages",
        verbose_name="voicemail box",
    )
    caller = models.CharField("from", max_length=512, blank=True, help_text="The caller, as the INVITE gave it.")
    time = models.DateTimeField("left")
    duration = models.FloatField(help_text="Seconds.")
    heard_at = models.DateTimeField("heard", null=True, blank=True)
    heard_by = models.CharField(max_length=255, blank=True)
    deleted_at = models.DateTimeField("thrown away", null=True, blank=True)
    deleted_by = models.CharField(max_length=255, blank=True)
    mail = models.CharField("e-mail", max_length=8, choices=Mail.choices, default=Mail.NONE)
    mail_to = models.TextField("e-mail to", blank=True, help_text="One address on each line.")
    mail_tries = models.PositiveSmallIntegerField("attempts to send", default=0)
    mail_due = models.DateTimeField("next attempt", null=True, blank=True)
    mail_sent = models.DateTimeField("sent", null=True, blank=True)
    mail_error = models.CharField("last error", max_length=1000, blank=True)

    class Meta:
        ordering = ["-time"]
        verbose_name = "voicemail message"
        indexes = [
            models.Index(fields=["-time"], name="message_newest"),
            models.Index(fields=["account", "-time"], name="message_account"),
            models.Index(fields=["box", "-time"], name="message_box"),
            models.Index(fields=["call"], name="message_call"),
            models.Index(fields=["-time"], name="message_unheard", condition=Q(heard_at=None, deleted_at=None)),
            models.Index(fields=["mail_due"], name="message_mail", condition=Q(mail="waiting")),
        ]

    def __str__(self) -> str:
        return f"{harmless(self.caller) or 'somebody'}, {timezone.localtime(self.time):%d.%m.%Y %H:%M}"

    @property
    def admin_path(self) -> str:
        """Return the path of this message's page in the admin."""
        return reverse("admin:calls_voicemailmessage_change", args=[self.pk])

    def hear(self, who: str, moment: datetime) -> None:
        """Note who has heard it first."""
        unheard = type(self)._default_manager.filter(pk=self.pk, heard_at=None)
        unheard.update(heard_at=moment, heard_by=who[:255])

"""Tables of what becomes of recordings and logs: who listened, what must be kept, and what retention has deleted."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class RecordingAccess(models.Model):
    """Somebody played or downloaded a recording: one row for each play, however many parts of the file it fetched.

    It outlives the recording, so its names are texts.
    """

    class How(models.TextChoices):
        PLAYED = "played", "played"
        DOWNLOADED = "downloaded", "downloaded"

    recording_sid = models.CharField("recording", max_length=34)
    call_sid = models.CharField("call", max_length=34, blank=True)
    account_sid = models.CharField("account", max_length=34, blank=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    who = models.CharField(max_length=255, help_text="The user, API key or account, as it was called then.")
    how = models.CharField(max_length=16, choices=How.choices)
    extension = models.CharField("format", max_length=8)
    ip = models.CharField("address", max_length=64, blank=True)
    user_agent = models.CharField("program", max_length=255, blank=True)
    time = models.DateTimeField(default=timezone.now)
    last = models.DateTimeField("last part fetched", default=timezone.now)

    class Meta:
        ordering = ["-time", "-pk"]
        verbose_name_plural = "recording accesses"
        indexes = [
            models.Index(fields=["-time", "-id"], name="access_newest"),
            models.Index(fields=["recording_sid", "-time"], name="access_recording"),
        ]

    def __str__(self) -> str:
        return f"{self.who} {self.how} {self.recording_sid}"


class Hold(models.Model):
    """A call that no retention rule touches, with its recordings and all that was noted of it."""

    call = models.OneToOneField(
        "calls.Call", models.CASCADE, primary_key=True, db_constraint=False, related_name="hold"
    )
    who = models.CharField(max_length=255)
    reason = models.CharField(max_length=255, blank=True)
    created = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.call_id} kept by {self.who}"


class RetentionRun(models.Model):
    """What one run deleted of one kind of one account."""

    account_sid = models.CharField("account", max_length=34)
    kind = models.CharField(max_length=16)
    started = models.DateTimeField()
    ended = models.DateTimeField()
    before = models.DateTimeField(help_text="Older than this was deleted.")
    rows = models.PositiveIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0)
    error = models.CharField("first error", max_length=1000, blank=True)

    class Meta:
        ordering = ["-started", "-pk"]
        indexes = [models.Index(fields=["-started", "-id"], name="retention_newest")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.account_sid}, {self.started:%Y-%m-%d %H:%M}"

"""The history of what operators edit: one row for each row that was made, changed or deleted."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class Change(models.Model):
    """What somebody did to one row: old and new values as people read them, and what is needed to restore it.

    Secrets are never in here: only that one was changed. The rows of one request have the same `batch`; a row that is a
    part of another object (a member of its group) names that object as `root`.
    """

    class Action(models.TextChoices):
        PRESENT = "present", "was there already"
        CREATED = "created", "created"
        CHANGED = "changed", "changed"
        DELETED = "deleted", "deleted"

    time = models.DateTimeField(default=timezone.now)
    batch = models.CharField(max_length=32)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    who = models.CharField(max_length=255, help_text="The user, API key or account, as it was called then.")
    via = models.CharField(max_length=16, help_text="admin, api, or command for the command line and the worker.")
    ip = models.CharField("address", max_length=64, blank=True)
    note = models.CharField(max_length=255, blank=True, help_text="Such as: restored the version of 12:03.")
    action = models.CharField(max_length=8, choices=Action.choices)
    model = models.CharField(max_length=100, help_text="Such as routing.ringgroup.")
    object_id = models.CharField(max_length=64)
    name = models.CharField(max_length=255, help_text="What it was called then.")
    root_model = models.CharField(max_length=100)
    root_id = models.CharField(max_length=64)
    root_name = models.CharField(max_length=255, blank=True)
    values = models.JSONField(default=dict, help_text="Field by field, after the change; before it, if deleted.")
    differences = models.JSONField(default=list, help_text="Label, old and new text of each field that changed.")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["root_model", "root_id", "-id"], name="change_root"),
            models.Index(fields=["model", "object_id", "-id"], name="change_object"),
            models.Index(fields=["who", "-id"], name="change_who"),
            models.Index(fields=["time"], name="change_time"),
        ]

    def __str__(self) -> str:
        return f"{self.who} {self.action} {self.name}"

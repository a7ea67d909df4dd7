"""Answers that requests with an Idempotency-Key have got, kept for a day."""

from __future__ import annotations

from django.db import models


class IdempotencyKey(models.Model):
    """A request that has been done: whose, with which key, and what was answered."""

    owner = models.CharField(max_length=40, help_text="The account's SID, or the user.")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of method, path and body.")
    status = models.PositiveSmallIntegerField(default=0)
    body = models.TextField(blank=True)
    created = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="routing_idempotency_key_once")]

    def __str__(self) -> str:
        return self.key

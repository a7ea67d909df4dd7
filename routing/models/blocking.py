"""Callers whom nobody here wants to hear from."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from routing.blocked import ANONYMOUS, normal_pattern
from routing.models.access import SipDomain
from routing.models.base import Account


class BlockedCaller(models.Model):
    """A caller, or all whose address begins in a certain way: their calls are rejected."""

    class Answer(models.TextChoices):
        REJECTED = "rejected", "Rejected – as if there were nobody"
        BUSY = "busy", "Busy"

    account = models.ForeignKey(Account, models.CASCADE, related_name="blocked_callers")
    pattern = models.CharField(
        "caller",
        max_length=255,
        help_text="A number (+49301234567), a beginning (+4930*), a SIP user or address (bob@example.com), or "
        f"{ANONYMOUS}: those who withhold their number.",
    )
    domain = models.ForeignKey(
        SipDomain,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="blocked_callers",
        verbose_name="SIP domain",
        help_text="Only calls to this domain. Empty: all of the account.",
    )
    answer = models.CharField("what they get", max_length=8, choices=Answer.choices, default=Answer.REJECTED)
    reason = models.CharField(max_length=255, blank=True, help_text="Why, for your colleagues.")
    expires = models.DateTimeField(null=True, blank=True, help_text="When it ends by itself. Empty: never.")
    created_by = models.CharField("blocked by", max_length=150, blank=True, editable=False)
    created = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("pattern", "id")
        verbose_name = "blocked caller"
        indexes = [models.Index(fields=["account", "pattern"], name="routing_blocked")]

    def __str__(self) -> str:
        return self.pattern

    def clean(self) -> None:
        """Write the pattern as callers are compared with it; refuse one that is there, or blocks everybody."""
        try:
            self.pattern = normal_pattern(self.pattern)
        except ValueError as error:
            raise ValidationError({"pattern": str(error)}) from error
        if self.domain and self.domain.account_id != self.account_id:
            raise ValidationError({"domain": f"{self.domain} belongs to another account: choose one of the same."})
        others = BlockedCaller.objects.filter(account=self.account_id, pattern=self.pattern, domain=self.domain)
        if others.exclude(pk=self.pk).exists():
            raise ValidationError({"pattern": f"{self.pattern} is blocked already: change that entry."})

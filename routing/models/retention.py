"""How long what happened is kept, account by account."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from routing.models.base import Account, Dated

LONGEST_DAYS = 36_500


def _days(name: str, what: str) -> models.PositiveIntegerField[int | None, int | None]:
    return models.PositiveIntegerField(
        name,
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_DAYS)],
        help_text=f"{what} Empty: kept for ever.",
    )


class RetentionRule(Dated):
    """After how many days the worker deletes what an account's calls left behind."""

    account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="retention")
    recordings_days = _days("recordings, days", "The files and their rows.")
    traces_days = _days("SIP messages, days", "The SIP messages of the calls' legs.")
    bodies_days = _days("webhook bodies, days", "What was sent to web applications and what they answered.")
    calls_days = _days("call log, days", "The calls themselves, with everything that belongs to them.")

    class Meta:
        ordering = ("account",)
        verbose_name = "retention rule"

    def __str__(self) -> str:
        return f"Retention of {self.account}"

"""The call log: what happened, and how an operator asks for a call."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

REAP_MINUTES = 5


def schedule_reaping(using: str, **kwargs: Any) -> None:
    """Have the worker look for recordings that were left half done, every few minutes."""
    from django_q.models import Schedule

    Schedule.objects.using(using).update_or_create(
        name="calls.reap",
        defaults={
            "func": "calls.tasks.reap",
            "schedule_type": Schedule.MINUTES,
            "minutes": REAP_MINUTES,
            "repeats": -1,
        },
    )


class CallsConfig(AppConfig):
    name = "calls"
    verbose_name = "Call log"

    def ready(self) -> None:
        from calls import client_settings as client_settings  # registers its checks

        post_migrate.connect(schedule_reaping, sender=self, dispatch_uid="calls.reap")

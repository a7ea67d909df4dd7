"""The call log: what happened, and how an operator asks for a call."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

# What the worker does again and again, and every how many minutes.
SCHEDULES = {
    "calls.reap": ("calls.tasks.reap", 5),
    "calls.sweep": ("calls.delivery.sweep", 1),
    "calls.voicemail": ("calls.voicemail_mail.send_due", 1),
    "calls.traces": ("calls.ladder.purge_old", 5),
    "calls.retention": ("calls.retention.run", 60),
    "calls.statistics": ("calls.statistics.refresh", 60),
}


def schedule_tasks(using: str, **kwargs: Any) -> None:
    """Have the worker look for recordings that were left half done, for callbacks that are due, and at the tables."""
    from django_q.models import Schedule

    for name, (function, minutes) in SCHEDULES.items():
        Schedule.objects.using(using).update_or_create(
            name=name,
            defaults={"func": function, "schedule_type": Schedule.MINUTES, "minutes": minutes, "repeats": -1},
        )


class CallsConfig(AppConfig):
    name = "calls"
    verbose_name = "Call log"

    def ready(self) -> None:
        from calls import client_settings as client_settings  # registers its checks
        from calls.presence import LoggedPresence
        from calls.voicemail import recorded
        from routing import presence, voicemail

        presence.register(LoggedPresence())
        voicemail.register(recorded)
        post_migrate.connect(schedule_tasks, sender=self, dispatch_uid="calls.schedules")

"""Who is logged in where."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class UserSession(models.Model):
    """A login in a browser. `key` is the session's own, which django_session keeps in the same way; never shown."""

    key = models.CharField(max_length=40, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="logins")
    ip = models.CharField("address", max_length=64, blank=True)
    user_agent = models.CharField("browser", max_length=255, blank=True)
    created = models.DateTimeField("logged in", default=timezone.now)
    seen = models.DateTimeField("last seen", default=timezone.now)

    class Meta:
        ordering = ["-seen", "-pk"]
        verbose_name = "session"

    def __str__(self) -> str:
        return f"{self.user} from {self.ip or 'an unknown address'}"

"""API keys: secrets that open the REST API for one program, and can be taken back without changing the auth token."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from django.db import models
from django.utils import timezone

from routing.models.base import Account, Dated, sid_field


def hash_of(secret: str) -> str:
    """Return what is stored of a secret. A plain hash will do: the secret is drawn, not thought up by a person."""
    return hashlib.sha256(secret.encode()).hexdigest()


class ApiKey(Dated):
    """A key of an account: SK… and a secret that is shown once, when it is drawn."""

    sid = sid_field("SK")
    account = models.ForeignKey(Account, models.PROTECT, related_name="api_keys")
    friendly_name = models.CharField("name", max_length=64, blank=True, help_text="Which program uses it.")
    secret_hash = models.CharField("hash of the secret", max_length=64, editable=False)
    read_only = models.BooleanField("read only", default=False, help_text="May fetch and list, but change nothing.")
    last_used = models.DateTimeField("last used", null=True, blank=True, editable=False)
    revoked = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ("-created", "sid")
        verbose_name = "API key"

    def __str__(self) -> str:
        return self.friendly_name or self.sid

    def draw_secret(self) -> str:
        """Give the key a secret and return it; the key is not saved yet."""
        secret = secrets.token_urlsafe(24)
        self.secret_hash = hash_of(secret)
        return secret

    def opens_with(self, secret: str) -> bool:
        """Say whether this is the key's secret, and the key has not been revoked."""
        return hmac.compare_digest(self.secret_hash, hash_of(secret)) and self.revoked is None

    def revoke(self) -> None:
        """Take the key back for good."""
        self.revoked = self.revoked or timezone.now()
        self.save(update_fields=["revoked", "updated"])

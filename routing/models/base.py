"""Accounts, regions, and the parts that other models are made of."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction

from routing import sipuri
from routing.fields import SecretField
from routing.sid import new_sid


def sid_field(prefix: str) -> models.CharField[str, str]:
    """Return a primary key that is a Twilio identifier, drawn when the row is made."""
    return models.CharField("SID", max_length=34, primary_key=True, default=partial(new_sid, prefix), editable=False)


def new_auth_token() -> str:
    """Draw an auth token like Twilio's: 32 hexadecimal digits."""
    return secrets.token_hex(16)


class HttpMethod(models.TextChoices):
    POST = "POST", "POST"
    GET = "GET", "GET"


def method_field(name: str) -> models.CharField[str, str]:
    """Return the field for the HTTP method of a URL."""
    return models.CharField(name, max_length=4, choices=HttpMethod.choices, default=HttpMethod.POST)


class Dated(models.Model):
    """A model whose rows say when they were made and last changed, as the REST API shows it."""

    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class OneDefault(models.Model):
    """A model one row of which is the default: making another one the default takes the mark from the former."""

    is_default = models.BooleanField("default", default=False)

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=models.Q(is_default=True), name="%(app_label)s_%(class)s_one_default"
            )
        ]

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        """Check constraints but that of the mark, which `save` moves."""
        super().validate_constraints({*(exclude or ()), "is_default"})

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, and take the mark from the former default."""
        with transaction.atomic():
            if self.is_default:
                for former in type(self)._default_manager.exclude(pk=self.pk).filter(is_default=True):
                    former.is_default = False
                    former.save(update_fields=["is_default"])
            super().save(*args, **kwargs)


class Ordered(models.Model):
    """A model whose rows people sort by dragging; a new row comes last."""

    position = models.PositiveIntegerField(default=0)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, a new row after all others."""
        if self._state.adding and not self.position:
            last = type(self)._default_manager.aggregate(last=models.Max("position"))["last"]
            self.position = 1 + (last or 0)
        super().save(*args, **kwargs)


class Account(Dated):
    """Twilio's account: owns domains, endpoints, groups and calls, and signs the requests to TwiML applications."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"
        CLOSED = "closed", "Closed"

    sid = sid_field("AC")
    friendly_name = models.CharField(
        "name", max_length=64, help_text="For the people who work here; at most 64 characters."
    )
    auth_token = SecretField(
        default=new_auth_token,
        help_text="Signs the requests to TwiML applications (X-Twilio-Signature) and opens the REST API. "
        "Never shown again: leave empty to keep it (or, for a new account, to have one drawn).",
    )
    secondary_auth_token = SecretField(
        blank=True,
        default="",
        editable=False,
        help_text="Opens the REST API too, while the token is being changed.",
    )
    status = models.CharField(
        max_length=9,
        choices=Status.choices,
        default=Status.ACTIVE,
        help_text="Only an active account's SIP domains take calls and only its requests for TwiML are answered.",
    )
    enhanced_sip = models.BooleanField(
        "enhanced SIP features",
        default=True,
        help_text="More than one target in a Dial: phones that ring at once, or one after the other. Off, as in a "
        "Twilio account without them: a Dial of several targets fails, and ring groups make one for each member.",
    )
    parent = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="subaccounts",
        help_text="The main account, if this is a subaccount: its token and keys open this one too.",
    )
    calls_per_second = models.FloatField(
        "calls per second",
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01), MaxValueValidator(1000)],
        help_text="How many queued calls it may place each second. Empty: CALLS_PER_SECOND.",
    )

    class Meta:
        ordering = ("created", "sid")

    def __str__(self) -> str:
        return self.friendly_name or self.sid

    def clean(self) -> None:
        """Refuse a subaccount of a subaccount."""
        if self.parent and (self.parent.parent_id or self.parent == self or self.subaccounts.exists()):
            raise ValidationError({"parent": "Subaccounts are one deep: choose a main account, or none."})

    @property
    def is_active(self) -> bool:
        """Say whether the account may make and take calls."""
        return self.status == self.Status.ACTIVE


class Region(OneDefault):
    """Where SIP traffic leaves from: what `;region=` and `;edge=` in a `<Sip>` URI name."""

    code = models.SlugField(
        max_length=32, unique=True, help_text="What a SIP URI names it by: ;region=us1. Letters, digits and hyphens."
    )
    edge = models.SlugField(
        max_length=32, blank=True, help_text="Second name, for ;edge= in SIP URIs, such as ashburn. Optional."
    )
    location = models.CharField(max_length=64, help_text="Where it is, for people.")
    local_address = models.GenericIPAddressField(
        "local address",
        blank=True,
        null=True,
        help_text="IP address of the engine's machine that its calls are sent from. Empty: the engine's own.",
    )
    outbound_proxy = models.CharField(
        "outbound proxy",
        max_length=254,
        blank=True,
        help_text="SIP URI of an edge elsewhere that its calls go through, such as sip:edge.example.ie:5060. "
        "Optional; use this or the local address, not both.",
    )

    class Meta(OneDefault.Meta):
        ordering = ("-is_default", "code")

    def __str__(self) -> str:
        return f"{self.code} – {self.location}"

    def clean(self) -> None:
        """Refuse to be without a default region, both ways out at once, or an edge that names two regions."""
        self.code, self.edge = self.code.lower(), self.edge.lower()
        if not self.is_default and Region.objects.filter(pk=self.pk, is_default=True).exists():
            raise ValidationError(
                {"is_default": "One region must be the default: mark another one, and this loses it."}
            )
        if self.local_address and self.outbound_proxy:
            raise ValidationError({"outbound_proxy": "Empty either the local address or the outbound proxy."})
        names = {self.code, self.edge} - {""}
        others = Region.objects.exclude(pk=self.pk).filter(models.Q(code__in=names) | models.Q(edge__in=names))
        if other := others.first():
            raise ValidationError({"edge": f"Region {other.code} has this name already: choose another code or edge."})
        if self.outbound_proxy:
            try:
                self.outbound_proxy = sipuri.parse(self.outbound_proxy).request_uri
            except sipuri.SipUriError as error:
                raise ValidationError({"outbound_proxy": f"{error.message} (error {error.code})"}) from error


class RoutingVersion(models.Model):
    """One row that counts the changes to what engines keep in memory, so that they know when to load it again."""

    version = models.PositiveBigIntegerField(default=0)

    @classmethod
    def bump(cls) -> None:
        """Count one more change."""
        if not cls.objects.filter(pk=1).update(version=models.F("version") + 1):
            cls.objects.get_or_create(pk=1, defaults={"version": 1})

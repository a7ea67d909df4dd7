"""TwiML applications that have a SID of their own, and the telephone numbers that lead to them."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models

from routing.models.access import url_field
from routing.models.base import Account, Dated, method_field, sid_field
from routing.validators import validate_phone_number


class VoiceUrls(models.Model):
    """The URLs that handle a call."""

    voice_url = url_field("voice URL", "Asked for TwiML when a call comes in.")
    voice_method = method_field("voice method")
    voice_fallback_url = url_field("fallback URL", "Asked when the voice URL fails or answers with wrong TwiML.")
    voice_fallback_method = method_field("fallback method")
    status_callback = url_field("status callback URL", "Told when the call has ended.")
    status_callback_method = method_field("status callback method")

    class Meta:
        abstract = True


class Application(Dated, VoiceUrls):
    """Voice URLs under one SID, which calls and numbers name instead of the URLs."""

    sid = sid_field("AP")
    account = models.ForeignKey(Account, models.PROTECT, related_name="applications")
    friendly_name = models.CharField("name", max_length=64, blank=True, help_text="What it does.")

    class Meta:
        ordering = ("friendly_name", "sid")

    def __str__(self) -> str:
        return self.friendly_name or self.sid


class PhoneNumber(Dated, VoiceUrls):
    """A number of the account: calls to it go to its own voice URL, or its application's, instead of the domain's.

    With neither it is treated like any other dialled user of the SIP domain that the call came to.
    """

    sid = sid_field("PN")
    account = models.ForeignKey(Account, models.PROTECT, related_name="phone_numbers")
    phone_number = models.CharField(
        "phone number",
        max_length=16,
        unique=True,
        validators=[validate_phone_number],
        help_text="With country code, such as +493012345. Of this Cordboard's accounts one has it.",
        error_messages={"unique": "An account has this number already: take it from there first (error 21422)."},
    )
    friendly_name = models.CharField("name", max_length=64, blank=True, help_text="Whose number it is.")
    application = models.ForeignKey(
        Application,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="phone_numbers",
        help_text="Handles the calls in place of the URLs below.",
    )

    class Meta:
        ordering = ("phone_number",)
        verbose_name = "phone number"

    def __str__(self) -> str:
        return self.phone_number

    def clean(self) -> None:
        """Refuse another account's application."""
        if self.application and self.application.account_id != self.account_id:
            raise ValidationError({"application": f"{self.application} belongs to another account."})

    @property
    def handler(self) -> VoiceUrls:
        """Return whose URLs count."""
        return self.application or self

"""Who may call: SIP domains and the lists that are mapped to them (Twilio's "auth mappings for calls")."""

from __future__ import annotations

import ipaddress
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from routing.fields import SecretError, SecretField, is_set
from routing.models.base import Account, Dated, OneDefault, method_field, sid_field
from routing.validators import normal_host, validate_host, validate_password, validate_url, validate_username


class CredentialList(Dated):
    """Usernames and passwords that callers authenticate with."""

    sid = sid_field("CL")
    account = models.ForeignKey(Account, models.PROTECT, related_name="credential_lists")
    friendly_name = models.CharField("name", max_length=64, help_text="What these callers have in common.")

    class Meta:
        ordering = ("friendly_name", "sid")
        verbose_name = "credential list"

    def __str__(self) -> str:
        return self.friendly_name


class Credential(Dated):
    """One caller's username and password."""

    sid = sid_field("CR")
    credential_list = models.ForeignKey(CredentialList, models.CASCADE, related_name="credentials")
    username = models.CharField(
        max_length=32, validators=[validate_username], help_text="At most 32 characters, unique in its list."
    )
    password = SecretField(
        help_text="At least 12 characters with a digit, upper and lower case. Never shown again; empty keeps it."
    )

    class Meta:
        ordering = ("username", "sid")
        constraints = [
            models.UniqueConstraint(
                fields=["credential_list", "username"],
                name="routing_credential_username_once",
                violation_error_message="This list has that username already: choose another, or change that one.",
            )
        ]

    def __str__(self) -> str:
        return self.username

    def clean(self) -> None:
        """Refuse an absent or a weak password."""
        if not is_set(self, "password"):
            raise ValidationError({"password": "Enter a password of at least 12 characters."})
        try:
            validate_password(self.password)
        except SecretError as error:
            raise ValidationError({"password": f"{error}."}) from error
        except ValidationError as error:
            raise ValidationError({"password": error}) from error


class IpAccessControlList(Dated):
    """Networks that callers may come from."""

    sid = sid_field("AL")
    account = models.ForeignKey(Account, models.PROTECT, related_name="ip_access_control_lists")
    friendly_name = models.CharField("name", max_length=64, help_text="Whose addresses these are.")

    class Meta:
        ordering = ("friendly_name", "sid")
        verbose_name = "IP access control list"

    def __str__(self) -> str:
        return self.friendly_name


class IpAddress(Dated):
    """One network of an access control list."""

    sid = sid_field("IP")
    ip_access_control_list = models.ForeignKey(IpAccessControlList, models.CASCADE, related_name="ip_addresses")
    friendly_name = models.CharField("name", max_length=64)
    ip_address = models.GenericIPAddressField("IP address", help_text="IPv4 or IPv6, such as 203.0.113.7.")
    cidr_prefix_length = models.PositiveSmallIntegerField(
        "prefix length",
        null=True,
        blank=True,
        help_text="How many leading bits must match. Empty: this one address (32, or 128 for IPv6).",
    )

    class Meta:
        ordering = ("friendly_name", "sid")
        verbose_name = "IP address"
        verbose_name_plural = "IP addresses"

    def __str__(self) -> str:
        return f"{self.friendly_name} ({self.ip_address}/{self.prefix_length})"

    @property
    def prefix_length(self) -> int:
        """Return the prefix length, the whole address if none was given."""
        whole = ipaddress.ip_address(self.ip_address).max_prefixlen
        return whole if self.cidr_prefix_length is None else self.cidr_prefix_length

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        """Return what a caller's address must lie in."""
        return ipaddress.ip_network(f"{self.ip_address}/{self.prefix_length}", strict=False)

    def clean(self) -> None:
        """Refuse a prefix that does not fit the address."""
        try:
            whole = ipaddress.ip_address(self.ip_address).max_prefixlen
        except ValueError:
            return  # the field's own check says it
        if self.prefix_length > whole:
            raise ValidationError({"cidr_prefix_length": f"At most {whole} for this address; empty means {whole}."})
        if self.prefix_length == 0:
            raise ValidationError({"cidr_prefix_length": "0 lets the whole world in: write the bits of your network."})
        if (first := str(self.network.network_address)) != str(ipaddress.ip_address(self.ip_address)):
            raise ValidationError(
                {
                    "ip_address": f"{self.ip_address} is inside the network {self.network}: write {first} for the "
                    f"network, or empty the prefix length for this one address."
                }
            )

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save with the prefix length written out, as the REST API shows it."""
        self.cidr_prefix_length = self.prefix_length
        super().save(*args, **kwargs)


def url_field(name: str, help_text: str) -> models.CharField[str, str]:
    """Return the field for an optional absolute URL."""
    return models.CharField(name, max_length=2000, blank=True, validators=[validate_url], help_text=help_text)


class SipDomain(Dated, OneDefault):
    """A host name that SIP calls are sent to, and the TwiML application that handles them."""

    sid = sid_field("SD")
    account = models.ForeignKey(Account, models.PROTECT, related_name="sip_domains")
    domain_name = models.CharField(
        "domain name",
        max_length=253,
        unique=True,
        validators=[validate_host],
        help_text="The host that callers dial: sip:100@domain-name. A host name with any suffix, or an IP address.",
        error_messages={"unique": "This domain name is taken: choose another (error 21232)."},
    )
    friendly_name = models.CharField("name", max_length=64, blank=True, help_text="For the people who work here.")
    voice_url = url_field("voice URL", "Asked for TwiML when a call comes in. Empty: the routes of this Cordboard.")
    voice_method = method_field("voice method")
    voice_fallback_url = url_field("fallback URL", "Asked when the voice URL fails or answers with wrong TwiML.")
    voice_fallback_method = method_field("fallback method")
    voice_status_callback_url = url_field("status callback URL", "Told when a call to this domain has ended.")
    voice_status_callback_method = method_field("status callback method")
    is_default = models.BooleanField(
        "default",
        default=False,
        help_text="Takes calls to a bare address, or to a host that is no SIP domain here. At most one.",
    )
    secure = models.BooleanField(
        "secure calls only",
        default=False,
        help_text="Calls must come over TLS and with SRTP; others get 403 (error 32209) or 488 (error 32208).",
    )
    credential_lists = models.ManyToManyField(
        CredentialList,
        blank=True,
        related_name="sip_domains",
        help_text="Callers must authenticate with a credential of one of these lists.",
    )
    ip_access_control_lists = models.ManyToManyField(
        IpAccessControlList,
        blank=True,
        related_name="sip_domains",
        verbose_name="IP access control lists",
        help_text="Callers must come from an address of one of these lists. With credential lists too, both must pass; "
        "with neither, nobody may call.",
    )

    sip_registration = models.BooleanField(
        "registration", default=False, help_text="Phones may register at this domain (not served by the engine yet)."
    )
    registration_credential_lists = models.ManyToManyField(
        CredentialList,
        blank=True,
        related_name="registration_domains",
        help_text="Phones that register must authenticate with a credential of one of these lists.",
    )

    class Meta(OneDefault.Meta):
        ordering = ("domain_name",)
        verbose_name = "SIP domain"

    def __str__(self) -> str:
        return self.domain_name

    def clean(self) -> None:
        """Store the host name as it is compared."""
        self.domain_name = normal_host(self.domain_name)

    @property
    def application_url(self) -> str:
        """Return the URL that is asked for TwiML: the domain's own, or this Cordboard's `/voice/`."""
        return self.voice_url or f"{settings.PUBLIC_URL}/voice/"

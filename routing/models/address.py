"""What endpoints and trunks have in common: the SIP address they are reached at, the way there, and the login."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from django.core.exceptions import ValidationError
from django.db import models

from routing import sipuri
from routing.fields import SecretField, is_set
from routing.models.base import Region
from routing.validators import validate_username


def sip_error(error: sipuri.SipUriError) -> str:
    """Return the error's text with its code, as operators read it."""
    return f"{error.message} (error {error.code})"


class SipAddress(models.Model):
    """A SIP URI with what else is needed to call it.

    Once cleaned `uri` has neither transport, region, secure nor headers in it: fields hold them.
    """

    class Transport(models.TextChoices):
        AS_IN_URI = "", "As in the SIP URI, else UDP"
        UDP = "udp", "UDP"
        TCP = "tcp", "TCP"
        TLS = "tls", "TLS"

    class Srtp(models.TextChoices):
        OFF = "off", "Off – plain RTP"
        OPTIONAL = "optional", "Optional – offered, plain RTP if refused"
        MANDATORY = "mandatory", "Mandatory – the call fails without"

    uri = models.CharField("SIP URI", max_length=1300)
    transport = models.CharField(
        max_length=3,
        blank=True,
        choices=Transport.choices,
        default=Transport.AS_IN_URI,
        help_text="Without a port in the URI, UDP and TCP use 5060 and TLS 5061.",
    )
    region = models.ForeignKey(
        Region,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="%(class)ss",
        help_text="Where its calls are sent from. Empty: as in the SIP URI, else the default region.",
    )
    srtp = models.CharField(
        "SRTP",
        max_length=9,
        choices=Srtp.choices,
        default=Srtp.OFF,
        help_text="Encrypted media. Use TLS with it: over UDP and TCP the keys are sent in clear.",
    )
    username = models.CharField(
        max_length=255,
        blank=True,
        validators=[validate_username],
        help_text="For digest authentication, if the far end asks for it; with the password, or neither.",
    )
    password = SecretField(
        blank=True,
        default="",
        max_length=255,
        help_text="Never shown again: empty keeps it. Empty the username to drop it.",
    )

    class Meta:
        abstract = True

    @property
    def address(self) -> str:
        """Return the plain SIP address, for lists."""
        try:
            return sipuri.parse(self.uri).address
        except sipuri.SipUriError:
            return self.uri

    @property
    def exposes_srtp_keys(self) -> bool:
        """Say whether media are encrypted with keys that anybody on the way can read."""
        return self.srtp != self.Srtp.OFF and self.transport != self.Transport.TLS

    def sip_uri(self) -> sipuri.SipUri:
        """Return the URI with transport, region and SRTP in it; raise `SipUriError`."""
        parsed = sipuri.parse(self.uri)
        return replace(
            parsed,
            transport=cast(sipuri.Transport, self.transport or parsed.transport),
            region=self.region.code if self.region else parsed.region,
            srtp=parsed.srtp if self.srtp == self.Srtp.OFF else cast(sipuri.Srtp, self.srtp),
        )

    def clean(self) -> None:
        """Move what the URI says of transport, region and SRTP into their fields; refuse contradictions."""
        parsed = self._parsed()
        if parsed.password:
            raise ValidationError(
                {"uri": "Take the password out of the URI: username and password have their own fields."}
            )
        self._take_transport(parsed)
        self._take_region(parsed)
        self._take_srtp(parsed)
        self._check_login()
        self.uri = replace(parsed, transport="udp", region="", srtp="off", headers=()).text
        try:
            self.sip_uri()
        except sipuri.SipUriError as error:
            raise ValidationError({"uri": sip_error(error)}) from error

    def _parsed(self) -> sipuri.SipUri:
        try:
            return sipuri.parse(self.uri)
        except sipuri.SipUriError as error:
            raise ValidationError({"uri": sip_error(error)}) from error

    def _take_transport(self, parsed: sipuri.SipUri) -> None:
        text = self.uri.lower()
        if ";transport=" not in text and not text.lstrip().startswith("sips:"):
            return
        if self.transport and self.transport != parsed.transport:
            raise ValidationError(
                {
                    "transport": f"The SIP URI says {parsed.transport.upper()} and this says {self.transport.upper()}: "
                    f"choose “{self.Transport.AS_IN_URI.label}”, or take the transport out of the URI."
                }
            )
        self.transport = parsed.transport

    def _take_region(self, parsed: sipuri.SipUri) -> None:
        if not parsed.region:
            return
        named = Region.objects.filter(models.Q(code=parsed.region) | models.Q(edge=parsed.region)).first()
        if named is None:
            known = ", ".join(Region.objects.values_list("code", flat=True))
            raise ValidationError({"uri": f"There is no region {parsed.region}: use one of {known}, or leave it out."})
        if self.region and self.region != named:
            raise ValidationError(
                {"region": f"The SIP URI says {parsed.region}: choose that region, or take it out of the URI."}
            )
        self.region = named

    def _take_srtp(self, parsed: sipuri.SipUri) -> None:
        if ";secure=" not in self.uri.lower():
            return
        if self.srtp not in (self.Srtp.OFF, parsed.srtp):
            raise ValidationError(
                {"srtp": f"The SIP URI says {parsed.srtp}: choose that, or take ;secure= out of the URI."}
            )
        self.srtp = parsed.srtp

    def _check_login(self) -> None:
        if self.username and not is_set(self, "password"):
            raise ValidationError({"password": "Enter the password too, or empty the username (error 13249)."})
        if is_set(self, "password") and not self.username:
            raise ValidationError({"username": "Enter the username that the password belongs to (error 13249)."})

"""Where calls go: endpoints, and the routes that lead to them and to ring groups."""

from __future__ import annotations

from dataclasses import replace

from django.core.exceptions import ValidationError
from django.db import models

from routing import callers, outbound, sipuri
from routing.models.access import SipDomain, url_field
from routing.models.address import SipAddress, sip_error
from routing.models.base import Account, Ordered, method_field
from routing.models.endings import check_account
from routing.models.voicemail import Voicemail
from routing.validators import (
    normal_events,
    parse_headers,
    validate_pattern,
)


class Endpoint(SipAddress):
    """A phone or application that calls are sent to: what a `<Sip>` noun says, and the client of its name."""

    account = models.ForeignKey(Account, models.PROTECT, related_name="endpoints")
    name = models.CharField(
        max_length=64, help_text="Whose phone. The Client noun of TwiML finds it by this name, in whatever case."
    )
    uri = models.CharField(
        "SIP URI",
        max_length=1300,
        help_text="Where it is reached, such as sip:alice@198.51.100.7:5060. Under 255 characters. "
        "Transport, region, secure and headers in it move to their own fields.",
    )
    headers = models.TextField(
        "custom headers",
        blank=True,
        help_text="One on each line, as Name: value. Names begin with X-, or are User-to-User. "
        "Under 1024 characters once encoded.",
    )
    status_callback = url_field("status callback URL", "Told of the progress of each call to this endpoint.")
    status_callback_events = models.CharField(
        "status callback events",
        max_length=64,
        blank=True,
        help_text="Which of initiated, ringing, answered and completed it is told of. None: completed.",
    )
    status_callback_method = method_field("status callback method")
    screening_url = url_field(
        "screening URL", "TwiML that the one who answers hears before the two are connected; Hangup in it declines."
    )
    screening_method = method_field("screening method")
    enabled = models.BooleanField(default=True, help_text="A disabled endpoint is not rung.")

    class Meta:
        ordering = ("name", "id")

    def __str__(self) -> str:
        return self.name

    def sip_uri(self) -> sipuri.SipUri:
        """Return the URI with all that its fields say in it; raise `SipUriError` or `ValidationError`."""
        uri = super().sip_uri()
        return replace(uri, headers=uri.headers + parse_headers(self.headers))

    def as_phone(self) -> callers.Phone:
        """Return how it would show itself as a caller."""
        user, host = callers.split(self.uri)
        return callers.Phone(user, host, self.username, callers.port_of(self.uri))

    def way(self) -> outbound.Way:
        """Return how the endpoint is reached; raise `SipUriError`, `ValidationError` or `SecretError`."""
        return outbound.Way(self.sip_uri(), self.username or None, self.password or None)

    def clean(self) -> None:
        """Move what the URI says into the fields; refuse contradictions and a name that is taken."""
        self._take_headers(self._parsed())
        super().clean()
        self._check_name()
        try:
            self.status_callback_events = normal_events(self.status_callback_events)
        except ValidationError as error:
            raise ValidationError({"status_callback_events": error}) from error

    def _check_name(self) -> None:
        # In Python: databases differ in what they take for the same letter.
        others = Endpoint.objects.filter(account=self.account_id).exclude(pk=self.pk).only("name", "uri")
        key = outbound.client_key(self.name)
        if other := next((one for one in others if outbound.client_key(one.name) == key), None):
            raise ValidationError(
                {
                    "name": f"Endpoint {other} at {other.address} has this name already, and <Client> finds endpoints "
                    "by name in whatever case: choose another."
                }
            )

    def _take_headers(self, parsed: sipuri.SipUri) -> None:
        try:
            headers = parsed.headers + parse_headers(self.headers)
            replace(parsed, headers=headers)
        except sipuri.SipUriError as error:
            raise ValidationError({"headers": sip_error(error)}) from error
        except ValidationError as error:
            raise ValidationError({"headers": error}) from error
        names = [name.lower() for name, _ in headers]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValidationError({"headers": f"{twice} is given twice: keep one (the SIP URI may have headers too)."})
        self.headers = "\n".join(f"{name}: {value}" for name, value in headers)


class Route(Ordered):
    """What a dialled user means at a SIP domain; the first route in order that matches is taken."""

    domain = models.ForeignKey(SipDomain, models.CASCADE, related_name="routes", verbose_name="SIP domain")
    pattern = models.CharField(
        "dialled user",
        max_length=128,
        validators=[validate_pattern],
        help_text="What is before the @ of the dialled address: 100, a prefix such as 555*, or * for everything.",
    )
    group = models.ForeignKey("RingGroup", models.PROTECT, null=True, blank=True, related_name="routes")
    endpoint = models.ForeignKey(Endpoint, models.PROTECT, null=True, blank=True, related_name="routes")
    voicemail = models.ForeignKey(
        Voicemail, models.PROTECT, null=True, blank=True, related_name="routes", verbose_name="voicemail box"
    )
    url = url_field("TwiML URL", "A TwiML application elsewhere that takes over the call.")
    method = method_field("method")
    enabled = models.BooleanField(default=True, help_text="A disabled route is passed over.")

    class Meta:
        ordering = ("position", "id")

    def __str__(self) -> str:
        return f"{self.pattern} at {self.domain}"

    def matches(self, user: str) -> bool:
        """Say whether the pattern covers this dialled user."""
        if self.pattern.endswith("*"):
            return user.startswith(self.pattern[:-1])
        return user == self.pattern

    def clean(self) -> None:
        """Refuse anything but exactly one destination, of the domain's account."""
        chosen = [name for name in ("group", "endpoint", "voicemail", "url") if getattr(self, name)]
        if len(chosen) != 1:
            text = "Choose exactly one destination: a group, an endpoint, a voicemail box, or a TwiML URL."
            raise ValidationError(dict.fromkeys(chosen[1:] or ["group"], text))
        if self.domain_id:
            for field in ("group", "endpoint", "voicemail"):
                check_account(self.domain.account_id, field, getattr(self, field))

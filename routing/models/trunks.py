"""Trunks: the SIP carriers that telephone numbers are dialled through, with the rules that rewrite the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from django.core.exceptions import ValidationError
from django.db import models

from routing import outbound
from routing.models.address import SipAddress, sip_error
from routing.models.base import Account, Ordered
from routing.sipuri import SipUri, SipUriError
from routing.validators import validate_caller_id, validate_prefix

LONGEST_NUMBER = 52  # as it was dialled, and what a rule prepends
EVERY = "*"
_EXAMPLE = "49301234"


class Trunk(SipAddress, Ordered):
    """A SIP carrier: numbers that one of its rules matches are called there."""

    account = models.ForeignKey(Account, models.PROTECT, related_name="trunks")
    name = models.CharField(max_length=64, help_text="Which carrier, such as Sipgate.")
    uri = models.CharField(
        "SIP URI",
        max_length=255,
        help_text="The carrier's SIP server without user, such as sip:sip.carrier.example; the number goes before it. "
        "Transport, region and secure in it move to their own fields.",
    )
    caller_id = models.CharField(
        "caller ID",
        max_length=64,
        blank=True,
        validators=[validate_caller_id],
        help_text="The number that is shown to the called side whatever the call says, as most carriers want it. "
        "Empty: the caller ID of the Dial, else the caller's own.",
    )
    enabled = models.BooleanField(default=True, help_text="A disabled trunk is passed over.")

    class Meta:
        ordering = ("position", "id")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a URI that already says who is called or what the call carries, and half a login."""
        parsed = self._parsed()
        if parsed.user:
            raise ValidationError(
                {"uri": f"Take {parsed.user}@ out of the URI: the number that is dialled goes there."}
            )
        if parsed.headers:
            raise ValidationError({"uri": "Take the headers after the ? out of the URI: a trunk sends none."})
        super().clean()
        try:
            replace(self.sip_uri(), user="0" * LONGEST_NUMBER)
        except SipUriError as error:
            text = f"Too long: a number of {LONGEST_NUMBER} digits must fit before it. {sip_error(error)}"
            raise ValidationError({"uri": text}) from error

    def way(self) -> outbound.Way:
        """Return how the carrier is reached; raise `SipUriError` or `SecretError`."""
        uri: SipUri = replace(self.sip_uri(), user="", headers=())
        return outbound.Way(uri, self.username or None, self.password or None, self.caller_id)


class TrunkRule(models.Model):
    """Which numbers go through a trunk, and how they are rewritten; the first rule in order that matches counts."""

    trunk = models.ForeignKey(Trunk, models.CASCADE, related_name="rules")
    prefix = models.CharField(
        "number begins with",
        max_length=20,
        validators=[validate_prefix],
        help_text="Such as +49, or * for every number.",
    )
    strip = models.PositiveSmallIntegerField(
        "strip", default=0, help_text="How many characters are cut off the front, + included."
    )
    prepend = models.CharField(
        "prepend",
        max_length=20,
        blank=True,
        validators=[validate_prefix],
        help_text="What is put in front then, such as 0 or 00.",
    )
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ("position", "id")
        verbose_name = "rule"

    def __str__(self) -> str:
        return f"{self.beginning or 'every number'} → {self.prepend}{self.beginning[self.strip :]}…"

    @property
    def beginning(self) -> str:
        """Return what a number must begin with, "" for every number."""
        return "" if self.prefix == EVERY else self.prefix

    @property
    def example(self) -> str:
        """Return a number that the rule matches and what becomes of it, for people."""
        beginning = self.beginning or "+"
        number = beginning + _EXAMPLE[len(beginning.lstrip("+")) :]
        return f"{number} → {self.rule().rewrite(number)}"

    def rule(self) -> outbound.Rule:
        """Return the rule as dialling uses it."""
        return outbound.Rule(self.beginning, self.strip, self.prepend)

    def clean(self) -> None:
        """Take +49* for +49, as routes write it; refuse to cut off what the rule has not looked at."""
        self.prefix = self.prefix.rstrip(EVERY) or EVERY
        if self.strip > len(self.beginning):
            fix = "write 0" if self.prefix == EVERY else f"{self.prefix} has {len(self.prefix)} characters"
            raise ValidationError({"strip": f"Only what the number begins with can be cut off: {fix}."})


def unreached(rules: Sequence[TrunkRule]) -> list[tuple[TrunkRule, TrunkRule]]:
    """Return those of the rules in order that no number reaches, each with the one above that takes its numbers."""
    found = []
    for index, rule in enumerate(rules):
        above = next((one for one in rules[:index] if rule.beginning.startswith(one.beginning)), None)
        if above:
            found.append((rule, above))
    return found

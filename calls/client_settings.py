"""The operator's settings for requests to web applications, checked when a process starts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from calls.guarded import ClientPolicy
from calls.urlguard import Guard, networks

NETWORK_SETTINGS = ("WEBHOOK_DENY_NETWORKS", "WEBHOOK_ALLOW_NETWORKS", "SIP_DENY_NETWORKS")


def client_policy() -> ClientPolicy:
    """Return who we say we are, and where requests may go; raise `ValueError` for a network that is none."""
    guard = Guard(networks(settings.WEBHOOK_DENY_NETWORKS), networks(settings.WEBHOOK_ALLOW_NETWORKS))
    return ClientPolicy(settings.WEBHOOK_USER_AGENT, guard)


@register
def check_webhook_networks(**_: Any) -> list[CheckMessage]:
    """Refuse to start with a network that cannot be read: it would protect nothing."""
    found: list[CheckMessage] = []
    for name in NETWORK_SETTINGS:
        try:
            networks(getattr(settings, name))
        except ValueError as error:
            hint = f"Write {name}=10.0.0.0/8,192.168.0.0/16 into .env, or the words private and loopback."
            found.append(Error(f"{name}: {error}.", hint=hint, id="calls.E001"))
    return found


@register
def check_webhook_user_agent(**_: Any) -> list[CheckMessage]:
    """Refuse a User-Agent that cannot be a header's value."""
    name = settings.WEBHOOK_USER_AGENT
    if name and name.isascii() and name.isprintable():
        return []
    hint = "Write WEBHOOK_USER_AGENT=TwilioProxy/1.1 into .env: one line of plain ASCII."
    return [Error(f"WEBHOOK_USER_AGENT cannot be sent: {name!r}.", hint=hint, id="calls.E002")]

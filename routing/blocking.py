"""Looks callers up among those that are blocked."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from routing.blocked import patterns
from routing.models import Account, BlockedCaller
from routing.resolve import Destination, Refusal


def blocking(account: Account, caller: str, now: datetime, domain_name: str = "") -> BlockedCaller | None:
    """Return the entry that blocks a caller, the most exact one; None if he may call. One query."""
    at = Q(domain=None) | Q(domain__domain_name=domain_name.lower())
    unexpired = Q(expires=None) | Q(expires__gt=now)
    rows = BlockedCaller.objects.filter(at, unexpired, account=account, pattern__in=patterns(caller))
    return max(rows, key=lambda row: (not row.pattern.endswith("*"), len(row.pattern)), default=None)


def refusal(account: Account, caller: str, now: datetime, domain_name: str = "") -> Destination | None:
    """Return where a blocked caller's call leads: nowhere, with the reason; None if he may call."""
    row = blocking(account, caller, now, domain_name)
    if row is None:
        return None
    why = f"{row.pattern} is a blocked caller{f': {row.reason}' if row.reason else ''}."
    return Destination(Refusal(row.answer), (why,))

"""Leads from a call to the form that blocks its caller."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from routing.blocked import ANONYMOUS, caller_keys, is_anonymous, normal_pattern

PERMISSION = "routing.add_blockedcaller"


def block_url(user: Any, account_sid: str, caller: str) -> str:
    """Return the path of the filled-in form that blocks a caller; "" for a user who may not, or nobody to block."""
    if not user.has_perm(PERMISSION):
        return ""
    try:
        pattern = ANONYMOUS if is_anonymous(caller) else normal_pattern(caller_keys(caller)[0])
    except ValueError:
        return ""
    return f"{reverse('admin:routing_blockedcaller_add')}?{urlencode({'pattern': pattern, 'account': account_sid})}"

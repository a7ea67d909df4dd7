"""The address that a request came from, behind as many proxies as TRUSTED_PROXIES says."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_ip(request: HttpRequest) -> str:
    """Return the address, "" if there is none.

    Only what our own proxies have appended to X-Forwarded-For counts: a client can write anything before that.
    """
    said = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    trusted = settings.TRUSTED_PROXIES
    address = said[-trusted] if 0 < trusted <= len(said) else request.META.get("REMOTE_ADDR", "")
    try:
        return str(ipaddress.ip_address(address.strip("[]")))
    except ValueError:
        return ""

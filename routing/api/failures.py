"""Wrong credentials, counted by the account or key that they name and the address that they come from.

Who names something that does not exist is counted and refused in the same way, so that the answers do not tell.
"""

from __future__ import annotations

import hashlib

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from rest_framework.request import Request

from routing.api.errors import TOO_MANY, ApiError
from routing.client_ip import client_ip

_SECONDS = 60


def check(request: HttpRequest | Request, user: str) -> None:
    """Refuse, before the secret is looked at, who has been wrong too often; raise `ApiError` 20429 (429)."""
    if not settings.API_ATTEMPTS or cache.get(_key(request, user), 0) < settings.API_ATTEMPTS:
        return
    text = f"Too many wrong credentials for {user[:34] or 'nobody'} from your address: wait {_SECONDS} seconds."
    raise ApiError(TOO_MANY, text, headers={"Retry-After": str(_SECONDS)})


def count(request: HttpRequest | Request, user: str) -> None:
    """Count one more; it is forgotten a minute after the first."""
    key = _key(request, user)
    if not cache.add(key, 1, _SECONDS):
        try:
            cache.incr(key)
        except ValueError:  # forgotten in between
            cache.add(key, 1, _SECONDS)


def _key(request: HttpRequest | Request, user: str) -> str:
    inner = getattr(request, "_request", request)
    return f"api-failures:{client_ip(inner)}:{hashlib.sha256(user.encode()).hexdigest()[:32]}"

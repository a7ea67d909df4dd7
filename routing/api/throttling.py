"""How many requests an account may make: API_RATE, counted by each web process for itself."""

from __future__ import annotations

from typing import cast

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from routing.api.authentication import Caller


class AccountThrottle(SimpleRateThrottle):
    """Counts the requests of each account, whichever of its keys they come with."""

    scope = "api"

    def get_rate(self) -> str | None:
        """Return the rate as REST framework reads it, such as 100/s; none for no limit."""
        return settings.API_RATE or None

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """Return whose requests are counted together."""
        caller = cast(Caller, request.user)
        return f"api-rate:{caller.account.sid}"

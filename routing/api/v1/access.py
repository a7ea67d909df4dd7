"""Who may use /api/v1/: an account by its token or one of its keys, or somebody of the staff who is logged in.

A token or key sees its own account's rows only. A session sees those of every account, as the admin does, and may do
what the user's permissions say.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from routing.api.authentication import CHALLENGE, Caller, caller_of
from routing.api.throttling import AccountThrottle
from routing.api.v1.problems import Problem
from routing.models import Account


class Authentication(BaseAuthentication):
    """HTTP Basic if the request has an Authorization header, else the session of the admin."""

    def authenticate(self, request: Request) -> tuple[Any, None]:
        """Return the caller or the user; raise `ApiError` or `Problem`, 401 or 403."""
        if "Authorization" in request.headers:
            return caller_of(request), None
        found = SessionAuthentication().authenticate(request)
        if found is None:
            text = "Authenticate with account SID and auth token, or with an API key: HTTP Basic."
            raise Problem(401, text, headers={"WWW-Authenticate": CHALLENGE})
        if not found[0].is_staff:
            raise Problem(403, "Your user is not of the staff.")
        return found[0], None

    def authenticate_header(self, request: Request) -> str:
        """Return what `WWW-Authenticate` says."""
        return CHALLENGE


class MayAct(BasePermission):
    """Holds users to their permissions; tokens and keys have been checked already."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Say whether this user has the permissions that the view names."""
        needed: tuple[str, ...] = view.needed(request)  # type: ignore[attr-defined]
        if isinstance(request.user, Caller):
            return True
        if missing := [name for name in needed if not request.user.has_perm(name)]:
            raise Problem(403, f"Your user lacks the permission {missing[0]}.")
        return True


class Throttle(AccountThrottle):
    """Counts the requests of an account, or of a user."""

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """Return whose requests are counted together."""
        if isinstance(request.user, AbstractBaseUser):
            return f"api-rate:user:{request.user.pk}"
        return super().get_cache_key(request, view)


def account_of(request: Request) -> Account | None:
    """Return the account whose token or key it is; None for a session, which may see every account."""
    return request.user.account if isinstance(request.user, Caller) else None


def owner_of(request: Request) -> str:
    """Return a text that tells callers apart: what one of them does must not be another's affair."""
    account = account_of(request)
    return account.sid if account else f"user:{request.user.pk}"

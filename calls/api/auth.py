"""Who may use the API: HTTP Basic with account SID and auth token (Twilio's REST API), or an operator's session."""

from __future__ import annotations

import base64
import binascii
import hmac
import logging

from django.http import HttpRequest

from calls.api.errors import WRONG_CREDENTIALS, ApiError, not_found
from routing.fields import SecretError
from routing.models import Account
from routing.sid import is_sid

log = logging.getLogger(__name__)

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="Cordboard API", charset="UTF-8"'}
_FORBIDDEN, _INTERNAL = 20403, 20500


def admit(request: HttpRequest, account_sid: str, *, permission: str) -> None:
    """Let pass who may use what belongs to the account; raise `ApiError` for anybody else.

    That is the account itself, by its token, or an operator who is logged in and has the permission. What belongs to
    another account does not exist (404), so that SIDs cannot be tried out.
    """
    if "Authorization" in request.headers:
        if authenticated(request) != account_sid:
            raise not_found(request)
        return
    user = request.user
    if not (user.is_authenticated and user.is_active and user.is_staff):
        raise ApiError(WRONG_CREDENTIALS, "Authenticate with account SID and auth token", headers=_CHALLENGE)
    if not user.has_perm(permission):
        raise ApiError(_FORBIDDEN, f"Your user lacks the permission {permission}.")


def authenticated(request: HttpRequest) -> str:
    """Return the SID of the account whose token the request carries; raise `ApiError` 20003 (401) without one."""
    sid, token = _basic(request.headers.get("Authorization", ""))
    known = (
        Account.objects.filter(pk=sid, status=Account.Status.ACTIVE) if is_sid(sid, "AC") else Account.objects.none()
    )
    account = known.first()
    # Compared even when there is no such account, so that the time taken does not tell.
    right = hmac.compare_digest(_token_of(account).encode(), token.encode())
    if account is None or not token or not right:
        raise ApiError(WRONG_CREDENTIALS, "Authentication Error - invalid username", headers=_CHALLENGE)
    return account.sid


def _token_of(account: Account | None) -> str:
    if account is None:
        return "0" * 32
    try:
        return account.auth_token
    except SecretError as error:
        log.error("account=%s its auth token cannot be read: %s", account.sid, error)
        raise ApiError(_INTERNAL, "The auth token cannot be read; the log of the web process says why.") from None


def _basic(header: str) -> tuple[str, str]:
    """Return user and password of a Basic Authorization header (RFC 7617); empty ones if it is none."""
    scheme, _, encoded = header.partition(" ")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        decoded = ""
    user, _, password = decoded.partition(":")
    return (user, password) if scheme.lower() == "basic" else ("", "")

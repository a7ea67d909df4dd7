"""Who may use the API: HTTP Basic (RFC 7617) with account SID and auth token, or with an API key and its secret.

Source: Twilio's pages on API requests and API keys. What belongs to another account does not exist (404), so that SIDs
cannot be tried out; a main account may do everything in its subaccounts.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from routing.acting import called_by
from routing.api import failures
from routing.api.errors import FORBIDDEN, NOT_ACTIVE, WRONG_CREDENTIALS, ApiError, not_found
from routing.models import Account, ApiKey
from routing.sid import is_sid

CHALLENGE = 'Basic realm="Cordboard API", charset="UTF-8"'
_READING = ("GET", "HEAD")
_NO_TOKEN = "0" * 32
_USED_EVERY = timedelta(minutes=1)  # not each request: it would make a write of every read


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: an account, by its token or by one of its keys."""

    account: Account
    key: ApiKey | None = None
    is_authenticated: bool = True  # what REST framework asks of a user


class BasicAuthentication(BaseAuthentication):
    """Makes `request.user` the `Caller`; nobody gets past without."""

    def authenticate(self, request: Request) -> tuple[Caller, None]:
        """Return the caller; raise `ApiError` 20003 (401), 20005 (403) or 20403 (403)."""
        return caller_of(request), None

    def authenticate_header(self, request: Request) -> str:
        """Return what `WWW-Authenticate` says."""
        return CHALLENGE


def caller_of(request: HttpRequest | Request) -> Caller:
    """Return who makes the request; one query. Raise `ApiError`: 20003 (401), 20005 or 20403 (403), 20429 (429)."""
    user, password = _basic(request.headers.get("Authorization", ""))
    failures.check(request, user)
    try:
        caller = _by_key(user, password) if is_sid(user, "SK") else _by_token(user, password)
    except ApiError:
        failures.count(request, user)
        raise
    called_by(request, caller)
    if not caller.account.is_active:
        raise ApiError(NOT_ACTIVE, f"Account {caller.account.sid} is {caller.account.status}.")
    if caller.key and caller.key.read_only and request.method not in _READING:
        raise ApiError(FORBIDDEN, f"API key {caller.key.sid} may only read.")
    return caller


def account_in_path(request: HttpRequest | Request, caller: Caller, sid: str) -> Account:
    """Return the account that a path names: the caller's own, or a subaccount of it; raise `ApiError` 20404."""
    if sid == caller.account.sid:
        return caller.account
    found = Account.objects.filter(pk=sid, parent=caller.account).first() if is_sid(sid, "AC") else None
    if found is None:
        raise not_found(request)
    return found


def accounts_of(caller: Caller) -> Q:
    """Return the condition for the accounts that the caller may act on."""
    return Q(pk=caller.account.pk) | Q(parent=caller.account)


def _by_token(sid: str, token: str) -> Caller:
    account = Account.objects.filter(pk=sid).first() if is_sid(sid, "AC") else None
    # Compared even when there is no such account, so that the time taken does not tell.
    tokens = (account.auth_token, account.secondary_auth_token) if account else (_NO_TOKEN, "")
    right = [hmac.compare_digest(one.encode(), token.encode()) for one in tokens]
    if account is None or not token or not any(right):
        raise _refused()
    return Caller(account)


def _by_key(sid: str, secret: str) -> Caller:
    key = ApiKey.objects.select_related("account").filter(pk=sid).first()
    if key is None or not key.opens_with(secret):
        raise _refused()
    now = timezone.now()
    if key.last_used is None or now - key.last_used > _USED_EVERY:
        ApiKey.objects.filter(pk=sid).update(last_used=now)
    return Caller(key.account, key)


def _refused() -> ApiError:
    text = "Authentication Error - invalid username: use account SID and auth token, or API key SID and secret."
    return ApiError(WRONG_CREDENTIALS, text, headers={"WWW-Authenticate": CHALLENGE})


def _basic(header: str) -> tuple[str, str]:
    """Return user and password of a Basic Authorization header; empty ones if it is none."""
    scheme, _, encoded = header.partition(" ")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        decoded = ""
    user, _, password = decoded.partition(":")
    return (user, password) if scheme.lower() == "basic" else ("", "")

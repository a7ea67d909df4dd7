"""Accounts and subaccounts, and the change of an auth token. Source: Twilio's Account and Auth Token resources.

API keys may not come here: the account's JSON has the auth token in it, which gives more than a key has.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from routing.api.authentication import accounts_of
from routing.api.errors import BAD_PARAMETER, FORBIDDEN, ApiError
from routing.api.parameters import Boolean, Choice, Listing, Parameters, Text, store
from routing.api.paths import uri
from routing.api.rendering import Body, Computed, Constant, Date, Uri, Words
from routing.api.views import ApiView, CreateView, FetchView, ListView, Rows, UpdateView
from routing.models import Account
from routing.models.base import new_auth_token

_PARTS = {
    "applications": "Applications",
    "calls": "Calls",
    "conferences": "Conferences",
    "incoming_phone_numbers": "IncomingPhoneNumbers",
    "keys": "Keys",
    "notifications": "Notifications",
    "queues": "Queues",
    "recordings": "Recordings",
    "sip": "SIP",
}


class AccountBody(Body):
    """Twilio's keys."""

    auth_token = Words()
    date_created = Date(source="created")
    date_updated = Date(source="updated")
    friendly_name = Words()
    owner_account_sid = Computed(lambda row: row.parent_id or row.sid)
    sid = Words()
    status = Words()
    subresource_uris = Computed(lambda row: {name: uri(row.sid, part) for name, part in _PARTS.items()})
    type = Constant("Full")
    uri = Uri(lambda row: uri(row.sid))


class NewAccount(Parameters):
    """What a new subaccount may be given."""

    FriendlyName = Text(source="friendly_name")


class AccountChange(NewAccount):
    """What may be changed."""

    Status = Choice(Account.Status.values, source="status")


class AccountFilters(Listing):
    """What a list may be narrowed by."""

    FriendlyName = Text(source="friendly_name")
    Status = Choice(Account.Status.values, source="status")


class Accounts(ListView[Account], CreateView[Account]):
    """The caller's account and its subaccounts, and new ones."""

    by_token_only = True
    key, filters, body, parameters = "accounts", AccountFilters, AccountBody, NewAccount

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let in who may; the path names no account."""
        super().initial(request, *args, **kwargs)
        self.account = self.caller.account

    def rows(self) -> QuerySet[Account]:
        """Return them."""
        return Account.objects.filter(accounts_of(self.caller))

    def create(self, values: dict[str, Any]) -> Account:
        """Make a subaccount."""
        if self.account.parent_id:
            raise ApiError(FORBIDDEN, "A subaccount has no subaccounts: use the main account's SID and auth token.")
        row = Account(parent=self.account, enhanced_sip=self.account.enhanced_sip)
        values["friendly_name"] = values.get("friendly_name") or f"SubAccount Created at {timezone.now():%F %R}"
        store(row, self.parameters, values)
        return row


class OneAccount(FetchView[Account], UpdateView[Account]):
    """One of them."""

    by_token_only = True
    body, parameters = AccountBody, AccountChange

    def row(self, *, lock: bool = False) -> Account:
        """Return the account in the path."""
        return Account.objects.select_for_update(no_key=True).get(pk=self.account.pk) if lock else self.account

    def change(self, row: Account, values: dict[str, Any]) -> None:
        """Rename it; suspend, close or revive a subaccount."""
        status = values.get("status", row.status)
        if status != row.status and row.pk == self.caller.account.pk:
            raise ApiError(FORBIDDEN, "Status: only the main account, or the admin, may change an account's status.")
        if status != row.status and row.status == Account.Status.CLOSED:
            raise ApiError(BAD_PARAMETER, "Status: a closed account stays closed.")
        store(row, self.parameters, values)


class TokenBody(Body):
    """Twilio's keys of an auth token; dates are ISO 8601 here."""

    account_sid = Words(source="sid")
    date_created = Computed(lambda row: _iso(row.updated))
    date_updated = Computed(lambda row: _iso(row.updated))


class PromotedBody(TokenBody):
    """The token that now is the account's."""

    auth_token = Words()
    url = Constant("/v1/AuthTokens/Promote")


class SecondaryBody(TokenBody):
    """The token that may become the account's."""

    secondary_auth_token = Words()
    url = Constant("/v1/AuthTokens/Secondary")


class TokenParameters(Parameters):
    """What Twilio sends mails about; nothing does here."""

    SuppressEmailNotification = Boolean()


class TokenView(Rows[Account], ApiView):
    """/v1/AuthTokens/…, of the caller's own account: Twilio has it at accounts.twilio.com."""

    by_token_only = True
    parameters = TokenParameters

    def read_parameters(self) -> Account:
        """Read the parameters, and return the account, locked."""
        self.parameters.read(self.given())
        self.account = Account.objects.select_for_update(no_key=True).get(pk=self.caller.account.pk)
        return self.account


class SecondaryToken(TokenView):
    """A second token that opens the API too, until it is promoted or deleted."""

    body = SecondaryBody

    def post(self, request: Request, **_: Any) -> Response:
        """Draw one; only one at a time."""
        with transaction.atomic():
            account = self.read_parameters()
            if account.secondary_auth_token:
                raise ApiError(BAD_PARAMETER, "There is a secondary auth token already: promote or delete it first.")
            account.secondary_auth_token = new_auth_token()
            account.save()
        return Response(self.show(account), status=201)

    def delete(self, request: Request, **_: Any) -> Response:
        """Delete it."""
        with transaction.atomic():
            account = self.read_parameters()
            if not account.secondary_auth_token:
                raise ApiError(20404, "There is no secondary auth token.")
            account.secondary_auth_token = ""
            account.save()
        return Response(status=204)


class TokenPromotion(TokenView):
    """The secondary token in place of the account's own."""

    body = PromotedBody

    def post(self, request: Request, **_: Any) -> Response:
        """Promote it: the former token opens nothing any more, and requests to applications are signed with the new."""
        with transaction.atomic():
            account = self.read_parameters()
            if not account.secondary_auth_token:
                raise ApiError(20404, "There is no secondary auth token: make one at /v1/AuthTokens/Secondary.")
            account.auth_token, account.secondary_auth_token = account.secondary_auth_token, ""
            account.save()
        return Response(self.show(account))


def _iso(moment: Any) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"

"""API keys. Source: Twilio's Key resource. A key that is deleted here is revoked: the admin still shows it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from routing.api.parameters import Parameters, Text, store
from routing.api.rendering import Body, Date, Words
from routing.api.views import CreateView, DeleteView, FetchView, ListView, Rows, UpdateView
from routing.models import ApiKey


class KeyBody(Body):
    """Twilio's keys of a key."""

    sid = Words()
    friendly_name = Words()
    date_created = Date(source="created")
    date_updated = Date(source="updated")


class KeyParameters(Parameters):
    """What a request may say."""

    FriendlyName = Text(source="friendly_name")


class KeyRows(Rows[ApiKey]):
    """The account's keys that open something."""

    by_token_only = True
    body, parameters = KeyBody, KeyParameters

    def rows(self) -> QuerySet[ApiKey]:
        """Return them."""
        return ApiKey.objects.filter(account=self.account, revoked=None)


class Keys(KeyRows, ListView[ApiKey], CreateView[ApiKey]):
    """The list, and new ones."""

    key = "keys"
    secret: str

    def create(self, values: dict[str, Any]) -> ApiKey:
        """Make a key."""
        row = ApiKey(account=self.account)
        self.secret = row.draw_secret()
        store(row, self.parameters, values)
        return row

    def post(self, request: Request, **kwargs: Any) -> Response:
        """Make a key, and tell its secret this once."""
        response = super().post(request, **kwargs)
        response.data["secret"] = self.secret
        return response


class OneKey(KeyRows, FetchView[ApiKey], UpdateView[ApiKey], DeleteView[ApiKey]):
    """One of them."""

    def change(self, row: ApiKey, values: dict[str, Any]) -> None:
        """Rename it."""
        store(row, self.parameters, values)

    def remove(self, row: ApiKey) -> None:
        """Revoke it."""
        row.revoke()

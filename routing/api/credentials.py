"""Credential lists and the credentials in them. Source: Twilio's SIP CredentialList and Credential resources."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db.models import QuerySet
from rest_framework.request import Request

from routing.api.errors import ApiError, not_found
from routing.api.parameters import Parameters, Text, store
from routing.api.paths import uri
from routing.api.rendering import Body, Computed, Date, Uri, Words
from routing.api.views import CreateView, DeleteView, FetchView, ListView, Rows, UpdateView, check_room
from routing.models import Credential, CredentialList

TOO_MANY_LISTS, BAD_LIST, IN_USE, TOO_MANY, BAD_CREDENTIAL = 21239, 21240, 21241, 21242, 21243
_PATH = "SIP/CredentialLists"


class CredentialListBody(Body):
    """Twilio's keys of a list."""

    account_sid = Words(source="account_id")
    date_created = Date(source="created")
    date_updated = Date(source="updated")
    friendly_name = Words()
    sid = Words()
    subresource_uris = Computed(lambda row: {"credentials": uri(row.account_id, _PATH, row.sid, "Credentials")})
    uri = Uri(lambda row: uri(row.account_id, _PATH, row.sid))


class CredentialListParameters(Parameters):
    """What a request may say of a list."""

    code = BAD_LIST
    FriendlyName = Text(source="friendly_name", required=True)


class ListRows(Rows[CredentialList]):
    """The account's lists."""

    body, parameters = CredentialListBody, CredentialListParameters

    def rows(self) -> QuerySet[CredentialList]:
        """Return them."""
        return CredentialList.objects.filter(account=self.account)


class CredentialLists(ListRows, ListView[CredentialList], CreateView[CredentialList]):
    """The list of lists, and new ones."""

    key = "credential_lists"

    def create(self, values: dict[str, Any]) -> CredentialList:
        """Make a list."""
        check_room(self.account, self.rows(), settings.MAX_LISTS, TOO_MANY_LISTS)
        row = CredentialList(account=self.account)
        store(row, self.parameters, values)
        return row


class OneCredentialList(ListRows, FetchView[CredentialList], UpdateView[CredentialList], DeleteView[CredentialList]):
    """One of them; its credentials go with it."""

    def change(self, row: CredentialList, values: dict[str, Any]) -> None:
        """Rename it."""
        store(row, self.parameters, values)

    def remove(self, row: CredentialList) -> None:
        """Delete it, unless a domain needs it."""
        domain = row.sip_domains.first() or row.registration_domains.first()
        if domain:
            raise ApiError(
                IN_USE, f"The credential list is mapped to {domain} ({domain.sid}): remove the mapping first."
            )
        row.delete()


class CredentialBody(Body):
    """Twilio's keys of a credential; the password is told to nobody."""

    sid = Words()
    account_sid = Computed(lambda row: row.credential_list.account_id)
    credential_list_sid = Words(source="credential_list_id")
    username = Words()
    date_created = Date(source="created")
    date_updated = Date(source="updated")
    uri = Uri(lambda row: uri(row.credential_list.account_id, _PATH, row.credential_list_id, "Credentials", row.sid))


class CredentialChange(Parameters):
    """What may be changed of a credential."""

    code = BAD_CREDENTIAL
    Password = Text(source="password", required=True, max_length=255, trim_whitespace=False)


class NewCredential(CredentialChange):
    """What makes a credential."""

    Username = Text(source="username", required=True, max_length=32, trim_whitespace=False)


class CredentialRows(Rows[Credential]):
    """The credentials of the list in the path."""

    body = CredentialBody
    parameters: ClassVar[type[Parameters]] = NewCredential
    of: CredentialList

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let in who may, and find the list."""
        super().initial(request, *args, **kwargs)
        found = CredentialList.objects.filter(account=self.account, pk=kwargs["list_sid"]).first()
        if found is None:
            raise not_found(request)
        self.of = found

    def rows(self) -> QuerySet[Credential]:
        """Return them."""
        return self.of.credentials.select_related("credential_list")


class Credentials(CredentialRows, ListView[Credential], CreateView[Credential]):
    """The list, and new ones."""

    key = "credentials"

    def create(self, values: dict[str, Any]) -> Credential:
        """Make a credential."""
        check_room(self.of, self.of.credentials.all(), settings.MAX_CREDENTIALS, TOO_MANY)
        row = Credential(credential_list=self.of)
        store(row, self.parameters, values)
        return row


class OneCredential(CredentialRows, FetchView[Credential], UpdateView[Credential], DeleteView[Credential]):
    """One of them."""

    parameters = CredentialChange

    def change(self, row: Credential, values: dict[str, Any]) -> None:
        """Change its password."""
        store(row, self.parameters, values)

"""Credential lists and the credentials in them; passwords are written and never read."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request

from routing.api.v1.filtering import CharFilter, Filters
from routing.api.v1.problems import in_use, not_found
from routing.api.v1.serializing import OwnedSerializer, ResourceSerializer
from routing.api.v1.viewing import Writing
from routing.models import Credential, CredentialList

_DATES = ("created", "updated")


class CredentialListSerializer(OwnedSerializer[CredentialList]):
    """A credential list; its credentials have a path of their own below it."""

    class Meta:
        model = CredentialList
        fields = ("sid", "account", "friendly_name", *_DATES)


class CredentialSerializer(ResourceSerializer[Credential]):
    """A username and its password."""

    class Meta:
        model = Credential
        fields = ("sid", "credential_list", "username", "password", *_DATES)
        read_only_fields = ("credential_list",)

    def before(self, row: Credential, values: dict[str, Any], later: dict[str, Any]) -> None:
        """Put a new one into the list that the path names."""
        if row._state.adding:
            row.credential_list = self.context["view"].parent()
        if row.pk and not values.get("password", True):
            row.password = ""  # an empty one is refused by the model, and not taken for "keep it"


class CredentialListFilters(Filters):
    """Which lists are listed."""

    searched = ("friendly_name", "sid")
    friendly_name = CharFilter()
    account = CharFilter("account")


class CredentialFilters(Filters):
    """Which credentials are listed."""

    searched = ("username", "sid")
    username = CharFilter()


class CredentialLists(Writing):
    """Lists of usernames and passwords, which are mapped to SIP domains."""

    queryset = CredentialList.objects.order_by()
    serializer_class = CredentialListSerializer
    filterset_class = CredentialListFilters
    orders = {"sid": "pk", "friendly_name": "friendly_name", "created": "created"}
    default_order = "friendly_name"

    def remove(self, row: CredentialList) -> None:
        """Refuse while a SIP domain needs it: without it nobody, or everybody of another list, might call."""
        if domains := {*row.sip_domains.all(), *row.registration_domains.all()}:
            raise in_use(domains)
        row.delete()


class Credentials(Writing):
    """The credentials of one list."""

    queryset = Credential.objects.order_by()
    serializer_class = CredentialSerializer
    filterset_class = CredentialFilters
    owner = "credential_list__account"
    orders = {"sid": "pk", "username": "username", "created": "created"}
    default_order = "username"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Answer 404 where the list is not there."""
        super().initial(request, *args, **kwargs)
        self._parent = self.parent()

    def parent(self) -> CredentialList:
        """Return the list that the path names."""
        from routing.api.v1.access import account_of

        sid = self.kwargs["list_sid"]
        rows = (
            CredentialList.objects.filter(pk=sid) if sid.isascii() and sid.isalnum() else CredentialList.objects.none()
        )
        account = account_of(self.request)
        found = (rows.filter(account=account) if account else rows).first()
        if found is None:
            raise not_found()
        return found

    def get_queryset(self) -> Any:
        """Return those of the list."""
        return super().get_queryset().filter(credential_list=self.kwargs.get("list_sid", ""))

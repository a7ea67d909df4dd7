"""IP access control lists and their addresses. Source: Twilio's SIP IpAccessControlList and IpAddress resources."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from rest_framework.request import Request

from routing.api.errors import ApiError, not_found
from routing.api.parameters import Number, Parameters, Text, store
from routing.api.paths import uri
from routing.api.rendering import Body, Computed, Date, Uri, Words
from routing.api.views import CreateView, DeleteView, FetchView, ListView, Rows, UpdateView, check_room
from routing.models import IpAccessControlList, IpAddress

BAD_LIST, IN_USE, TOO_MANY, BAD_ADDRESS, TOO_MANY_LISTS = 21235, 21236, 21237, 21238, 21239
_PATH = "SIP/IpAccessControlLists"


class IpAccessControlListBody(Body):
    """Twilio's keys of a list."""

    sid = Words()
    account_sid = Words(source="account_id")
    friendly_name = Words()
    date_created = Date(source="created")
    date_updated = Date(source="updated")
    subresource_uris = Computed(lambda row: {"ip_addresses": uri(row.account_id, _PATH, row.sid, "IpAddresses")})
    uri = Uri(lambda row: uri(row.account_id, _PATH, row.sid))


class IpAccessControlListParameters(Parameters):
    """What a request may say of a list."""

    code = BAD_LIST
    FriendlyName = Text(source="friendly_name", required=True)


class ListRows(Rows[IpAccessControlList]):
    """The account's lists."""

    body, parameters = IpAccessControlListBody, IpAccessControlListParameters

    def rows(self) -> QuerySet[IpAccessControlList]:
        """Return them."""
        return IpAccessControlList.objects.filter(account=self.account)


class IpAccessControlLists(ListRows, ListView[IpAccessControlList], CreateView[IpAccessControlList]):
    """The list of lists, and new ones."""

    key = "ip_access_control_lists"

    def create(self, values: dict[str, Any]) -> IpAccessControlList:
        """Make a list."""
        check_room(self.account, self.rows(), settings.MAX_LISTS, TOO_MANY_LISTS)
        row = IpAccessControlList(account=self.account)
        store(row, self.parameters, values)
        return row


class OneIpAccessControlList(
    ListRows, FetchView[IpAccessControlList], UpdateView[IpAccessControlList], DeleteView[IpAccessControlList]
):
    """One of them; its addresses go with it."""

    def change(self, row: IpAccessControlList, values: dict[str, Any]) -> None:
        """Rename it."""
        store(row, self.parameters, values)

    def remove(self, row: IpAccessControlList) -> None:
        """Delete it, unless a domain needs it."""
        if domain := row.sip_domains.first():
            where = f"{domain} ({domain.sid})"
            raise ApiError(IN_USE, f"The IP access control list is mapped to {where}: remove the mapping first.")
        row.delete()


class AddressBody(Body):
    """Twilio's keys of an address; the prefix length is a number."""

    sid = Words()
    account_sid = Computed(lambda row: row.ip_access_control_list.account_id)
    friendly_name = Words()
    ip_address = Words()
    cidr_prefix_length = Computed(lambda row: row.prefix_length)
    ip_access_control_list_sid = Words(source="ip_access_control_list_id")
    date_created = Date(source="created")
    date_updated = Date(source="updated")
    uri = Uri(
        lambda row: uri(
            row.ip_access_control_list.account_id, _PATH, row.ip_access_control_list_id, "IpAddresses", row.sid
        )
    )


class AddressParameters(Parameters):
    """What a request may say of an address."""

    code = BAD_ADDRESS
    FriendlyName = Text(source="friendly_name", required=True)
    IpAddress = Text(source="ip_address", required=True)
    CidrPrefixLength = Number(source="cidr_prefix_length", least=1, most=128)


class AddressRows(Rows[IpAddress]):
    """The addresses of the list in the path."""

    body, parameters = AddressBody, AddressParameters
    of: IpAccessControlList

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let in who may, and find the list."""
        super().initial(request, *args, **kwargs)
        found = IpAccessControlList.objects.filter(account=self.account, pk=kwargs["list_sid"]).first()
        if found is None:
            raise not_found(request)
        self.of = found

    def rows(self) -> QuerySet[IpAddress]:
        """Return them."""
        return self.of.ip_addresses.select_related("ip_access_control_list")


class IpAddresses(AddressRows, ListView[IpAddress], CreateView[IpAddress]):
    """The list, and new ones."""

    key = "ip_addresses"

    def create(self, values: dict[str, Any]) -> IpAddress:
        """Make an address."""
        check_room(self.of, self.of.ip_addresses.all(), settings.MAX_IP_ADDRESSES, TOO_MANY)
        row = IpAddress(ip_access_control_list=self.of)
        store(row, self.parameters, values)
        return row


class OneIpAddress(AddressRows, FetchView[IpAddress], UpdateView[IpAddress], DeleteView[IpAddress]):
    """One of them."""

    def change(self, row: IpAddress, values: dict[str, Any]) -> None:
        """Change it."""
        store(row, self.parameters, values)

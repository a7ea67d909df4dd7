"""Regions: where calls leave from. They are the installation's, so that only the staff may change them."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request

from routing.api.authentication import Caller
from routing.api.v1.filtering import BooleanFilter, CharFilter, Filters
from routing.api.v1.problems import Problem
from routing.api.v1.serializing import ResourceSerializer
from routing.api.v1.viewing import Writing
from routing.models import Region


class RegionSerializer(ResourceSerializer[Region]):
    """A region. Making one the default takes the mark from the former."""

    class Meta:
        model = Region
        fields = ("id", "code", "edge", "location", "is_default", "local_address", "outbound_proxy")


class RegionFilters(Filters):
    """Which regions are listed."""

    searched = ("code", "edge", "location")
    code = CharFilter()
    is_default = BooleanFilter()


class Regions(Writing):
    """Where SIP traffic leaves from; accounts may read them, the staff may change them."""

    queryset = Region.objects.order_by()
    serializer_class = RegionSerializer
    filterset_class = RegionFilters
    owner = ""
    orders = {"id": "pk", "code": "code"}
    default_order = "code"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Keep accounts from changing what all accounts share."""
        super().initial(request, *args, **kwargs)
        if isinstance(request.user, Caller) and request.method not in ("GET", "HEAD"):
            raise Problem(403, "Regions belong to the whole installation: log in as staff to change them.")

    def remove(self, row: Region) -> None:
        """Keep the default."""
        if row.is_default:
            raise Problem(409, "This is the default region: make another one the default first.", code="in-use")
        row.delete()

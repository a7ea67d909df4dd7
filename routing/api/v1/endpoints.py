"""Endpoints: phones and applications that calls are sent to."""

from __future__ import annotations

from routing.api.v1.bulk_views import EndpointBulk
from routing.api.v1.filtering import BooleanFilter, CharFilter, Filters, MultipleChoiceFilter, NumberFilter
from routing.api.v1.serializing import Events, LoginSerializer, RegionCode
from routing.api.v1.viewing import Writing
from routing.models import Endpoint


class EndpointSerializer(LoginSerializer[Endpoint]):
    """An endpoint. What `uri` says of transport, region, secure and headers moves to the fields for it."""

    region = RegionCode(help_text="Code of the region that its calls leave from; null: the URI's, or the default.")
    status_callback_events = Events()

    class Meta:
        model = Endpoint
        fields = (
            "id", "account", "name", "uri", "transport", "region", "srtp", "username", "password", "has_password",
            "headers", "status_callback", "status_callback_events", "status_callback_method", "screening_url",
            "screening_method", "enabled",
        )  # fmt: skip


class EndpointFilters(Filters):
    """Which endpoints are listed."""

    searched = ("name", "uri", "username")
    name = CharFilter()
    enabled = BooleanFilter()
    transport = MultipleChoiceFilter(choices=Endpoint.Transport.choices[1:])
    srtp = MultipleChoiceFilter(choices=Endpoint.Srtp.choices)
    region = CharFilter("region__code")
    group = NumberFilter("memberships__group", label="Id of a ring group that it is a member of.")
    account = CharFilter("account")


class Endpoints(EndpointBulk, Writing):
    """Phones and applications that calls are sent to."""

    queryset = Endpoint.objects.select_related("region").order_by()
    serializer_class = EndpointSerializer
    filterset_class = EndpointFilters
    orders = {"id": "pk", "name": "name", "uri": "uri"}
    default_order = "name"
    permission = EndpointBulk.permission

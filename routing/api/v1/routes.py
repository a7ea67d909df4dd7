"""Routes and trunks, both in an order of their own: the first that matches counts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from django.core.exceptions import ValidationError as ModelError
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from routing import history
from routing.api.v1.filtering import BooleanFilter, CharFilter, Filters, MultipleChoiceFilter, NumberFilter
from routing.api.v1.once import once
from routing.api.v1.problems import of_model
from routing.api.v1.serializing import LoginSerializer, Mine, Nested, RegionCode, ResourceSerializer, Strict, refuse
from routing.api.v1.viewing import Writing, action
from routing.models import Endpoint, RingGroup, Route, RoutingVersion, SipDomain, Trunk, TrunkRule, Voicemail

MOST_RULES = 200
MOST_SORTED = 1000


class OrderSerializer(Strict):
    """The ids of rows in the order that they shall have among themselves."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), allow_empty=False, max_length=MOST_SORTED
    )


class RouteSerializer(ResourceSerializer[Route]):
    """A route: exactly one of group, endpoint, voicemail and url says where calls go."""

    domain = Mine(queryset=SipDomain.objects.all(), help_text="SID of the SIP domain.")
    group = Mine(queryset=RingGroup.objects.all(), required=False, allow_null=True)
    endpoint = Mine(queryset=Endpoint.objects.all(), required=False, allow_null=True)
    voicemail = Mine(queryset=Voicemail.objects.all(), required=False, allow_null=True)

    class Meta:
        model = Route
        fields = ("id", "domain", "pattern", "group", "endpoint", "voicemail", "url", "method", "enabled", "position")
        read_only_fields = ("position",)


class RuleSerializer(Nested, ResourceSerializer[TrunkRule]):
    """Which numbers go through the trunk, and how they are rewritten."""

    class Meta:
        model = TrunkRule
        fields = ("prefix", "strip", "prepend")


class TrunkSerializer(LoginSerializer[Trunk]):
    """A trunk. `rules` given replaces all rules; the first in order that matches counts."""

    region = RegionCode(help_text="Code of the region that its calls leave from; null: the URI's, or the default.")
    rules = RuleSerializer(many=True, required=False, max_length=MOST_RULES)  # type: ignore[call-arg]

    class Meta:
        model = Trunk
        fields = (
            "id", "account", "name", "uri", "transport", "region", "srtp", "username", "password", "has_password",
            "caller_id", "enabled", "rules", "position",
        )  # fmt: skip
        read_only_fields = ("position",)

    def kept_apart(self) -> Collection[str]:
        """Store the rules after the trunk."""
        return ("rules",)

    def check(self, row: Trunk, later: dict[str, Any]) -> None:
        """Check each rule as the admin does."""
        errors: dict[str, Any] = {}
        later["checked"] = [
            TrunkRule(trunk=row, position=number, **one) for number, one in enumerate(later.get("rules", ()))
        ]
        for number, rule in enumerate(later["checked"]):
            try:
                rule.full_clean(exclude=["trunk"])
            except ModelError as error:
                errors |= {f"rules[{number}].{name}": texts for name, texts in of_model(error).items()}
        if errors:
            raise refuse(errors)

    def after(self, row: Trunk, later: dict[str, Any]) -> None:
        """Put the rules in the place of the former."""
        if "rules" in later:
            row.rules.all().delete()
            for rule in later["checked"]:
                rule.trunk = row
                rule.save()


class Sorted(Writing):
    """Rows that people sort."""

    @extend_schema(request=OrderSerializer, responses={200: OrderSerializer})
    @action(detail=False, methods=["post"], filter_backends=[], pagination_class=None)
    def order(self, request: Request) -> Response:
        """Sort rows: those that are named exchange the places they have, others stay where they are."""
        given = OrderSerializer(data=request.data, context=self.get_serializer_context())
        given.is_valid(raise_exception=True)
        return once(request, lambda: self._sort(given.validated_data["ids"]))

    def _sort(self, ids: Sequence[int]) -> Response:
        rows = {one.pk: one for one in self.get_queryset().select_for_update(of=("self",)).filter(pk__in=ids)}
        _check_ids(ids, rows)
        for pk, place in zip(ids, _places(rows.values()), strict=True):
            rows[pk].position = place
        history.bulk_update(self.get_queryset().model, rows.values(), ["position"])
        RoutingVersion.bump()  # an UPDATE sends no signal
        return Response({"ids": list(ids)})


def _places(rows: Collection[Any]) -> list[int]:
    """Return the places of the rows, in order; where two share one, they get different ones."""
    places: list[int] = []
    for place in sorted(row.position for row in rows):
        places.append(max(place, places[-1] + 1) if places else place)
    return places


def _check_ids(ids: Sequence[int], rows: Collection[int]) -> None:
    errors = {}
    for number, pk in enumerate(ids):
        if pk not in rows:
            errors[f"ids[{number}]"] = [f"There is no {pk}."]
        elif pk in ids[:number]:
            errors[f"ids[{number}]"] = [f"{pk} is named twice."]
    if errors:
        raise refuse(errors)


class RouteFilters(Filters):
    """Which routes are listed."""

    searched = ("pattern", "group__name", "endpoint__name", "url")
    domain = CharFilter("domain")
    pattern = CharFilter()
    group = NumberFilter("group")
    endpoint = NumberFilter("endpoint")
    enabled = BooleanFilter()
    account = CharFilter("domain__account")


class TrunkFilters(Filters):
    """Which trunks are listed."""

    searched = ("name", "uri", "username", "caller_id")
    name = CharFilter()
    enabled = BooleanFilter()
    srtp = MultipleChoiceFilter(choices=Trunk.Srtp.choices)
    region = CharFilter("region__code")
    account = CharFilter("account")


class Routes(Sorted):
    """What a dialled user means at a SIP domain."""

    queryset = Route.objects.order_by()
    serializer_class = RouteSerializer
    filterset_class = RouteFilters
    owner = "domain__account"
    orders = {"id": "pk", "position": "position", "pattern": "pattern"}
    default_order = "position"


class Trunks(Sorted):
    """SIP carriers that telephone numbers are called through."""

    queryset = Trunk.objects.select_related("region").prefetch_related("rules").order_by()
    serializer_class = TrunkSerializer
    filterset_class = TrunkFilters
    orders = {"id": "pk", "position": "position", "name": "name"}
    default_order = "position"

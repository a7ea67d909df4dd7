"""Ringing a group now: `routing` knows nothing of calls, so its view is extended here."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from calls.api.v1.log import CallSerializer
from calls.models import Call
from calls.place import PlaceError, ring
from routing.api.v1.groups import RingGroups
from routing.api.v1.once import once
from routing.api.v1.problems import Problem
from routing.api.v1.serializing import Mine, Strict
from routing.api.v1.viewing import action
from routing.models import Endpoint, RingGroup
from routing.validators import validate_caller_id

CALLER_ID = "cordboard"


class RingSerializer(Strict):
    """Whose phone rings first; when it answers, the group is rung and connected to it."""

    endpoint = Mine(queryset=Endpoint.objects.filter(enabled=True), help_text="Id of an enabled endpoint.")
    caller_id = serializers.CharField(
        required=False, max_length=64, validators=[validate_caller_id], help_text="What that phone shows as the caller."
    )


class RingableGroups(RingGroups):
    """Ring groups: who rings, in which order, and what follows when nobody answers."""

    permission = {**RingGroups.permission, "ring": ("calls.add_callrequest",)}

    @extend_schema(request=RingSerializer, responses={201: CallSerializer})
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def ring(self, request: Request, pk: str = "") -> Response:
        """Ring somebody's phone now, and the group when it is answered; answers with the call that is queued."""
        group: RingGroup = self.get_object()
        given = RingSerializer(data=request.data, context=self.get_serializer_context())
        given.is_valid(raise_exception=True)
        return once(request, lambda: self._ring(group, given.validated_data))

    def _ring(self, group: RingGroup, values: dict[str, Any]) -> Response:
        phone: Endpoint = values["endpoint"]
        if phone.account_id != group.account_id:
            raise Problem(400, f"{phone} belongs to another account: choose one of the group's.")
        shown = values.get("caller_id") or group.caller_id or CALLER_ID
        try:
            call = ring(phone, reverse("voice-group", args=[group.pk]), from_address=shown)
        except PlaceError as error:
            raise Problem(409, f"{error.message} (error {error.code})", code="not-placed") from None
        row = Call.objects.prefetch_related("legs", "recordings").get(pk=call.pk)
        return Response(CallSerializer(row, context=self.get_serializer_context()).data, status=201)

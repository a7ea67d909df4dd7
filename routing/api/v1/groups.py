"""Ring groups with their members in order. Two people who edit the same group at once cannot undo each other's work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

from django.core.exceptions import ValidationError as ModelError
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from routing import history
from routing.api.v1.bulk_views import GroupBulk
from routing.api.v1.filtering import CharFilter, Filters, MultipleChoiceFilter, NumberFilter
from routing.api.v1.problems import Problem
from routing.api.v1.serializing import Events, Mine, Nested, OwnedSerializer, refuse
from routing.api.v1.viewing import Writing, action
from routing.models import EndingKind, Endpoint, RingGroup, RingGroupMember, Schedule, Voicemail
from routing.models.groups import WEIGHT, check_members
from routing.resolve import Destination
from routing.situation import preview
from routing.summaries import summary_of, with_summaries
from routing.validators import RECORDING_EVENTS
from routing.voice import Context, document

MOST_MEMBERS = 500
MEMBER_SETTINGS = ("enabled", "ring_timeout", "weight")
_NEEDED = "Send If-Match with the ETag that you got with the group, so that nobody's change is lost; * overwrites."
_CHANGED = "Somebody has changed this group since you fetched it: fetch it again, and make your change to that."


class MemberSerializer(Nested):
    """An endpoint's place in the group; the place in the list is the order."""

    endpoint = Mine(queryset=Endpoint.objects.all(), help_text="Id of the endpoint.")
    enabled = serializers.BooleanField(default=True, help_text="A disabled member is not rung.")
    ring_timeout = serializers.IntegerField(
        default=None, allow_null=True, min_value=5, max_value=600,
        help_text="Seconds that it rings; null: the group's. No effect while all ring at once.",
    )  # fmt: skip
    weight = serializers.IntegerField(
        default=WEIGHT, min_value=1, max_value=100, help_text="For the strategy weighted."
    )
    name = serializers.CharField(source="endpoint.name", read_only=True, help_text="The endpoint's name.")
    address = serializers.CharField(source="endpoint.address", read_only=True, help_text="The endpoint's SIP address.")


class RingGroupSerializer(OwnedSerializer[RingGroup]):
    """A ring group. `members` given replaces all members, in the order given."""

    members = MemberSerializer(many=True, required=False, max_length=MOST_MEMBERS)  # type: ignore[call-arg]
    fallback_group = Mine(queryset=RingGroup.objects.all(), required=False, allow_null=True)
    fallback_endpoint = Mine(queryset=Endpoint.objects.all(), required=False, allow_null=True)
    fallback_voicemail = Mine(queryset=Voicemail.objects.all(), required=False, allow_null=True)
    schedule = Mine(queryset=Schedule.objects.all(), required=False, allow_null=True)
    closed_group = Mine(queryset=RingGroup.objects.all(), required=False, allow_null=True)
    closed_endpoint = Mine(queryset=Endpoint.objects.all(), required=False, allow_null=True)
    closed_voicemail = Mine(queryset=Voicemail.objects.all(), required=False, allow_null=True)
    recording_status_callback_events = Events(RECORDING_EVENTS)
    summary = serializers.SerializerMethodField(help_text="What the group does, in one or two sentences.")

    class Meta:
        model = RingGroup
        fields = (
            "id", "account", "name", "summary", "strategy", "members", "ring_timeout", "skip_busy", "exclude_caller",
            "confirm", "fallback", "fallback_group", "fallback_endpoint", "fallback_voicemail", "fallback_text",
            "schedule", "closed", "closed_group", "closed_endpoint", "closed_voicemail", "closed_text", "record",
            "trim", "recording_status_callback", "recording_status_callback_events",
            "recording_status_callback_method", "answer_on_bridge", "hangup_on_star", "time_limit", "caller_id",
            "caller_id_prefix", "ring_tone",
        )  # fmt: skip

    def get_summary(self, row: RingGroup) -> str:
        """Say what the group does."""
        return summary_of(row)

    def kept_apart(self) -> Collection[str]:
        """Store the members after the group."""
        return ("members",)

    def check(self, row: RingGroup, later: dict[str, Any]) -> None:
        """Refuse members twice, of another account, or more than can ring at once."""
        members: Sequence[dict[str, Any]] | None = later.get("members")
        if members is None:
            enabled = row.members.filter(enabled=True).count() if row.pk else 0
        else:
            _check_each(row, members)
            enabled = sum(1 for one in members if one["enabled"])
        try:
            check_members(row.strategy, enabled)
        except ModelError as error:
            raise refuse({"members": error.messages}) from None

    def after(self, row: RingGroup, later: dict[str, Any]) -> None:
        """Store the members; those that stay keep their rows."""
        if "members" not in later:
            return
        before = {one.endpoint_id: one for one in row.members.all()}
        changed: list[RingGroupMember] = []
        new: list[RingGroupMember] = []
        for position, given in enumerate(later["members"]):
            kept = before.pop(given["endpoint"].pk, None)
            member = kept or RingGroupMember(group=row, endpoint=given["endpoint"])
            member.position = position
            for name in MEMBER_SETTINGS:
                setattr(member, name, given[name])
            (changed if kept else new).append(member)
        RingGroupMember.objects.filter(pk__in=[one.pk for one in before.values()]).delete()
        history.bulk_update(RingGroupMember, changed, ["position", *MEMBER_SETTINGS])
        history.bulk_create(RingGroupMember, new)


def _check_each(row: RingGroup, members: Sequence[dict[str, Any]]) -> None:
    errors, seen = {}, set()
    for number, given in enumerate(members):
        endpoint: Endpoint = given["endpoint"]
        if endpoint.account_id != row.account_id:
            errors[f"members[{number}].endpoint"] = [f"{endpoint} belongs to another account: choose one of the same."]
        elif endpoint.pk in seen:
            errors[f"members[{number}].endpoint"] = [f"{endpoint} is in the group twice: remove one of the two."]
        seen.add(endpoint.pk)
    if errors:
        raise refuse(errors)


def etag(group: RingGroup) -> str:
    """Return the entity tag of all that can be changed of a group, whoever changes it, in the admin too."""
    own = {field.attname: getattr(group, field.attname) for field in group._meta.concrete_fields}
    members = [(one.endpoint_id, *(getattr(one, name) for name in MEMBER_SETTINGS)) for one in group.members.all()]
    text = json.dumps([own, members], sort_keys=True, ensure_ascii=True)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def names(header: str, tag: str) -> bool:
    """Say whether a condition's list of entity tags names this one (RFC 9110 §13.1.1: no weak ones)."""
    given = [one.strip() for one in header.split(",")]
    return given == ["*"] or tag in given


class RingGroupFilters(Filters):
    """Which groups are listed."""

    searched = ("name", "members__endpoint__name")
    name = CharFilter()
    strategy = MultipleChoiceFilter(choices=RingGroup.Strategy.choices)
    record = MultipleChoiceFilter(choices=RingGroup.Record.choices)
    fallback = MultipleChoiceFilter(choices=EndingKind.choices)
    endpoint = NumberFilter("members__endpoint", label="Id of an endpoint that is a member.")
    account = CharFilter("account")

    def find(self, queryset: Any, name: str, value: str) -> Any:
        """Look into the names of members too, and name each group once."""
        found = super().find(RingGroup.objects.order_by(), name, value)
        return queryset.filter(pk__in=found.values("pk"))


class RingGroups(GroupBulk, Writing):
    """Ring groups: who rings, in which order, and what follows when nobody answers."""

    queryset = with_summaries(RingGroup.objects.all()).order_by()
    serializer_class = RingGroupSerializer
    filterset_class = RingGroupFilters
    orders = {"id": "pk", "name": "name", "ring_timeout": "ring_timeout"}
    default_order = "name"
    conditional: ClassVar[tuple[str, ...]] = ("update", "partial_update", "destroy")
    permission = {**GroupBulk.permission, "twiml": ("routing.view_ringgroup",)}

    def shown(self, row: RingGroup, status: int = 200) -> Response:
        """Add the ETag."""
        response = super().shown(row, status)
        response["ETag"] = etag(row)
        return response

    def retrieve(self, request: Request, pk: str = "", **_: Any) -> Response:
        """Answer with one; 304 if it is as If-None-Match says."""
        group = self.get_object()
        if names(request.headers.get("If-None-Match", ""), etag(group)):
            return Response(status=304, headers={"ETag": etag(group)})
        return self.shown(group)

    def check_condition(self, request: Request, row: RingGroup) -> None:
        """Refuse to change what somebody else has changed since: 412; and to change without looking: 428."""
        header = request.headers.get("If-Match")
        if header is None:
            if self.action == "destroy":
                return
            raise Problem(428, _NEEDED)
        if not names(header, etag(row)):
            raise Problem(412, _CHANGED, headers={"ETag": etag(row)})

    @extend_schema(responses={200: {"type": "object", "properties": {
        "twiml": {"type": "string"}, "why": {"type": "array", "items": {"type": "string"}},
    }}})  # fmt: skip
    @action(detail=True, filter_backends=[], pagination_class=None)
    def twiml(self, request: Request, pk: str = "") -> Response:
        """Tell the TwiML that a call to the group is answered with right now, and why; passwords are masked."""
        group = self.get_object()
        served = document(
            Destination(group, ("A route that leads to this group.",)),
            Context("ringing", mask_secrets=True, situation=preview()),
        )
        return Response({"twiml": served.xml, "why": served.why})

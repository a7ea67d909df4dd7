"""The call log: calls with their legs and timeline, recordings, webhook deliveries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, cast

from django.db.models import Prefetch, Q, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from calls import delivery, timeline
from calls.call_page import sentence
from calls.harmless import harmless
from calls.ledger import user_part
from calls.models import Call, Recording, WebhookDelivery
from calls.removal import StillInUse, remove_recording
from calls.webhooks import without_secrets
from routing.api.paths import PREFIX
from routing.api.v1.filtering import (
    BooleanFilter,
    CharFilter,
    Filters,
    MomentFilter,
    MultipleChoiceFilter,
    NumberFilter,
)
from routing.api.v1.once import once
from routing.api.v1.problems import Problem
from routing.api.v1.viewing import Reading, action

_LEG = (
    "sid", "account", "parent", "direction", "status", "from", "to", "start_time", "ring_time", "answer_time",
    "end_time", "duration", "ended_by", "reason", "error_code", "sip_code", "sip_call_id", "sip_username",
    "source_ip", "engine", "region", "domain", "route", "group", "endpoint",
)  # fmt: skip


_RECORDING = (
    "sid", "account", "call", "conference_sid", "source", "status", "start_time", "duration", "channels", "track",
    "size", "sha256", "error",
)  # fmt: skip
_recording_values = attrgetter(*({"account": "account_id", "call": "call_id"}.get(name, name) for name in _RECORDING))


class RecordingSerializer(serializers.ModelSerializer[Recording]):
    """A recording; `wav` and `mp3` are where it can be fetched, null until it is completed."""

    wav = serializers.CharField(read_only=True, allow_null=True)
    mp3 = serializers.CharField(read_only=True, allow_null=True)

    class Meta:
        model = Recording
        fields = (*_RECORDING, "wav", "mp3")
        read_only_fields = fields

    def to_representation(self, recording: Recording) -> dict[str, Any]:
        """Return the JSON."""
        return recording_json(recording)


def recording_json(recording: Recording) -> dict[str, Any]:
    """Return the JSON of a recording."""
    links = {extension: _audio(recording, extension) for extension in ("wav", "mp3")}
    return {**dict(zip(_RECORDING, _recording_values(recording), strict=True)), **links}


def _audio(recording: Recording, extension: str) -> str | None:
    if recording.status != Recording.Status.COMPLETED:
        return None
    return f"{PREFIX}/Accounts/{recording.account_id}/Recordings/{recording.sid}.{extension}"


# What a leg's JSON is made of: names that are not those of the columns. REST framework's own way of rendering takes a
# list of 50 calls with their legs twice as long.
_COLUMNS = {
    "from": "from_address",
    "to": "to_address",
    **{name: f"{name}_id" for name in ("account", "parent", "domain", "route", "group", "endpoint")},
}
_leg_values = attrgetter(*(_COLUMNS.get(name, name) for name in _LEG))


class LegSerializer(serializers.ModelSerializer[Call]):
    """One leg."""

    ring_seconds = serializers.FloatField(read_only=True, allow_null=True, help_text="Until the answer, or the end.")
    talk_seconds = serializers.FloatField(read_only=True, allow_null=True, help_text="From the answer to the end.")

    class Meta:
        model = Call
        fields = tuple(name for name in _LEG if name not in ("from", "to")) + ("ring_seconds", "talk_seconds")
        read_only_fields = fields

    def get_fields(self) -> dict[str, Any]:
        """Add what Python has no names for."""
        given = {
            "from": serializers.CharField(source="from_address", read_only=True),
            "to": serializers.CharField(source="to_address", read_only=True),
        }
        return {**super().get_fields(), **given}

    def to_representation(self, call: Call) -> dict[str, Any]:
        """Return the JSON."""
        return leg_json(call)


def leg_json(call: Call) -> dict[str, Any]:
    """Return the JSON of one leg."""
    seconds = {"ring_seconds": call.ring_seconds, "talk_seconds": call.talk_seconds}
    return {**dict(zip(_LEG, _leg_values(call), strict=True)), **seconds}


class CallSerializer(LegSerializer):
    """A call with its legs and recordings."""

    legs = LegSerializer(many=True, read_only=True)
    recordings = RecordingSerializer(many=True, read_only=True)

    class Meta(LegSerializer.Meta):
        fields = (*LegSerializer.Meta.fields, "legs", "recordings")
        read_only_fields = fields

    def to_representation(self, call: Call) -> dict[str, Any]:
        """Return the JSON."""
        recordings = [recording_json(one) for one in call.recordings.all()]
        return {**leg_json(call), "legs": [leg_json(leg) for leg in call.legs.all()], "recordings": recordings}


class LineSerializer(serializers.Serializer[timeline.Line]):
    """A line of the timeline."""

    offset = serializers.FloatField(help_text="Seconds since the call began.")
    time = serializers.DateTimeField()
    text = serializers.CharField(help_text="What happened, in words.")
    details = serializers.SerializerMethodField(help_text="What the words do not say.")

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
    def get_details(self, line: timeline.Line) -> dict[str, str]:
        """Return the details by name."""
        return dict(line.rest)


def calls_json(calls: Sequence[Call]) -> list[dict[str, Any]]:
    """Return the JSON of calls, as `CallSerializer` does, but with two queries for all of them together."""
    # Without prefetch_related, which makes a query set for each call: a list takes a third less without them.
    sids = [call.sid for call in calls]
    legs: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for leg in _by_time(Call).filter(parent__in=sids):
        legs[leg.parent_id].append(leg_json(leg))
    recordings: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for recording in _by_time(Recording).filter(call__in=sids):
        recordings[recording.call_id].append(recording_json(recording))
    return [{**leg_json(call), "legs": legs[call.sid], "recordings": recordings[call.sid]} for call in calls]


def _by_time(model: type[Any]) -> QuerySet[Any]:
    return model.objects.order_by("start_time", "sid")  # type: ignore[no-any-return]


class OneCallSerializer(CallSerializer):
    """A call with all that is known of it."""

    summary = serializers.SerializerMethodField(help_text="What became of it, in one sentence.")
    timeline = serializers.SerializerMethodField()

    class Meta(LegSerializer.Meta):
        fields = (*CallSerializer.Meta.fields, "summary", "timeline")
        read_only_fields = fields

    def to_representation(self, call: Call) -> dict[str, Any]:
        """Return the JSON."""
        more = {"summary": self.get_summary(call), "timeline": self.get_timeline(call)}
        return {**super().to_representation(call), **more}

    def get_summary(self, call: Call) -> str:
        """Return the sentence."""
        return sentence(call, list(call.legs.all()))

    @extend_schema_field(LineSerializer(many=True))
    def get_timeline(self, call: Call) -> Any:
        """Return the lines in order."""
        addresses = {leg.sid: leg.to_address for leg in call.legs.all()} | {call.sid: call.to_address}
        events = call.events.order_by("time", "number")
        return LineSerializer(cast(Any, timeline.lines(events, call.start_time, addresses)), many=True).data


class LogFilters(Filters):
    """What the lists of the log have in common: `search` is for whole identifiers and numbers."""

    account = CharFilter("account")
    started_after = MomentFilter("start_time", "gte", label="Began then or later.")
    started_before = MomentFilter("start_time", "lt", label="Began before that.")


# By direction and not by parent: of an index by parent databases believe that it leaves a handful of rows, since nearly
# all parents have a handful of legs, and they prefer it to those that would.
NOT_DIALLED = (Call.Direction.INBOUND, Call.Direction.OUTBOUND_API)


class CallFilters(LogFilters):
    """Which calls are listed: without `legs`, `parent`, `endpoint` or `search` those that nobody dialled."""

    status = MultipleChoiceFilter(choices=Call.Status.choices)
    direction = MultipleChoiceFilter(choices=Call.Direction.choices)
    to = CharFilter(method="reached", label="A number or user, or a whole SIP address.")
    group = NumberFilter("group", label="Id of a ring group.")
    endpoint = NumberFilter("endpoint", label="Id of an endpoint.")
    parent = CharFilter("parent", label="SID of the call whose legs are wanted.")
    legs = BooleanFilter(method="with_legs", label="Whether dialled legs are listed too.")

    def reached(self, rows: QuerySet[Call], name: str, value: str) -> QuerySet[Call]:
        """Keep the calls to or from somebody, found through the index of users."""
        user = Q(**{f"{name}_user": user_part(value)})
        return rows.filter(user & Q(**{f"{name}_address": value}) if ":" in value or "@" in value else user)

    def with_legs(self, rows: QuerySet[Call], name: str, value: bool) -> QuerySet[Call]:
        """Leave it to `filter_queryset`."""
        return rows

    def find(self, queryset: QuerySet[Call], name: str, value: str) -> QuerySet[Call]:
        """Find a whole number, call SID or SIP Call-ID, each through its index."""
        columns = ("pk", "from_user", "to_user", "sip_call_id")
        first, *others = (Call.objects.order_by().filter(**{column: value}).values("pk") for column in columns)
        return queryset.filter(pk__in=first.union(*others))

    def filter_queryset(self, queryset: QuerySet[Call]) -> QuerySet[Call]:
        """Leave out dialled legs, unless something is looked for that legs may have."""
        rows: QuerySet[Call] = super().filter_queryset(queryset)  # type: ignore[misc]
        data: dict[str, Any] = self.form.cleaned_data  # type: ignore[attr-defined]
        wanted = data.get("legs")
        if wanted is None:
            wanted = any(data.get(name) for name in ("parent", "endpoint", "search", "direction"))
        return rows if wanted else rows.filter(direction__in=NOT_DIALLED)


# "from" is no name that a class could give an attribute.
CallFilters.base_filters["from"] = CharFilter(
    "from", method="reached", label="A number or user, or a whole SIP address."
)


class Calls(Reading):
    """Calls with their legs, newest first."""

    queryset = Call.objects.order_by()
    serializer_class = CallSerializer
    filterset_class = CallFilters
    orders = {"start_time": "start_time"}
    default_order = "-start_time"

    def get_queryset(self) -> QuerySet[Call]:
        """Return calls, one with all that is shown of it."""
        rows = super().get_queryset()
        if self.action != "retrieve":
            return rows
        legs, recordings = Prefetch("legs", _by_time(Call)), Prefetch("recordings", _by_time(Recording))
        return rows.select_related("endpoint", "group").prefetch_related(legs, recordings)

    def list(self, request: Request, **_: Any) -> Response:
        """Answer with a page."""
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(calls_json(rows))

    def get_serializer_class(self) -> Any:
        """Show the timeline of one, not of each."""
        return OneCallSerializer if self.action == "retrieve" else CallSerializer


class RecordingFilters(LogFilters):
    """Which recordings are listed."""

    status = MultipleChoiceFilter(choices=Recording.Status.choices)
    call = CharFilter("call", label="SID of a call.")
    conference_sid = CharFilter()

    def find(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Find by the SID of a recording or of its call."""
        return queryset.filter(Q(pk=value) | Q(call=value))


class Recordings(Reading):
    """Recordings, newest first."""

    queryset = Recording.objects.order_by()
    serializer_class = RecordingSerializer
    filterset_class = RecordingFilters
    orders = {"start_time": "start_time"}
    default_order = "-start_time"

    def destroy(self, request: Request, pk: str = "", **_: Any) -> Response:
        """Delete the row and the sound, for good; refused while it is being recorded or made."""
        try:
            remove_recording(self.get_object())
        except StillInUse as error:
            raise Problem(409, str(error)) from None
        return Response(status=204)


class DeliverySerializer(serializers.ModelSerializer[WebhookDelivery]):
    """An attempt to tell a web application something; the attempts of one message have the same `message`."""

    url = serializers.SerializerMethodField(help_text="Without user and password.")

    class Meta:
        model = WebhookDelivery
        fields = (
            "sid", "message", "account", "call", "topic", "event", "url", "method", "state", "attempt", "time",
            "due", "sent_at", "milliseconds", "response_status", "response_type", "error_code", "error",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(OpenApiTypes.STR)
    def get_url(self, row: WebhookDelivery) -> str:
        """Return it as it may be shown."""
        return without_secrets(row.url)


class OneDeliverySerializer(DeliverySerializer):
    """An attempt with what was sent and answered."""

    parameters = serializers.JSONField(read_only=True, help_text="Pairs of name and value.")
    response_body = serializers.SerializerMethodField()

    class Meta:
        model = WebhookDelivery
        fields = (*DeliverySerializer.Meta.fields, "parameters", "response_body")
        read_only_fields = fields

    @extend_schema_field(OpenApiTypes.STR)
    def get_response_body(self, row: WebhookDelivery) -> str:
        """Return what can be shown of the answer."""
        return harmless(row.response_body)


class DeliveryFilters(Filters):
    """Which attempts are listed."""

    account = CharFilter("account")
    state = MultipleChoiceFilter(choices=WebhookDelivery.State.choices)
    topic = CharFilter()
    event = CharFilter()
    call = CharFilter("call", label="SID of a call.")
    message = CharFilter(label="SID of the first attempt.")
    error_code = NumberFilter(min_value=1, max_value=99999)
    time_after = MomentFilter("time", "gte")
    time_before = MomentFilter("time", "lt")

    def find(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Find by the SID of an attempt, a message or a call."""
        return queryset.filter(Q(pk=value) | Q(message=value) | Q(call=value))


class Deliveries(Reading):
    """Attempts to tell web applications what happened, newest first."""

    queryset = WebhookDelivery.objects.order_by()
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilters
    orders = {"time": "time"}
    default_order = "-time"
    permission = {"replay": ("calls.add_webhookdelivery",)}

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        """Leave large columns out of lists."""
        rows = super().get_queryset()
        return rows.defer("parameters", "response_body") if self.action == "list" else rows

    def get_serializer_class(self) -> Any:
        """Show what was sent and answered of one, not of each."""
        return DeliverySerializer if self.action == "list" else OneDeliverySerializer

    @extend_schema(request=None, responses={201: OneDeliverySerializer})
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def replay(self, request: Request, pk: str = "") -> Response:
        """Send the message again, now, whatever became of it; answers with the attempt that does."""
        return once(request, lambda: self.shown(delivery.send_again(self.get_object()), 201))

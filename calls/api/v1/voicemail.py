"""Voicemail messages: listed, marked as heard, thrown away."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from calls.api.v1.log import recording_json
from calls.models import VoicemailMessage
from routing.api.authentication import Caller
from routing.api.v1.filtering import BooleanFilter, CharFilter, Filters, MomentFilter, NumberFilter
from routing.api.v1.viewing import Reading, action

CHANGE = ("calls.change_voicemailmessage",)


class MessageSerializer(serializers.ModelSerializer[VoicemailMessage]):
    """A message; `wav` and `mp3` are where its sound can be fetched."""

    wav = serializers.SerializerMethodField()
    mp3 = serializers.SerializerMethodField()

    class Meta:
        model = VoicemailMessage
        fields = (
            "recording", "account", "call", "box", "caller", "time", "duration", "heard_at", "heard_by", "deleted_at",
            "mail", "mail_tries", "mail_due", "mail_sent", "mail_error", "wav", "mp3",
        )  # fmt: skip
        read_only_fields = fields

    def get_wav(self, row: VoicemailMessage) -> str | None:
        """Return the path of the WAV file."""
        return _sound(row, "wav")

    def get_mp3(self, row: VoicemailMessage) -> str | None:
        """Return the path of the MP3 file."""
        return _sound(row, "mp3")


def _sound(row: VoicemailMessage, extension: str) -> str | None:
    path: str | None = recording_json(row.recording)[extension]
    return path


class MessageFilters(Filters):
    """Which messages are listed: without `deleted` those that nobody has thrown away."""

    searched = ("caller",)
    account = CharFilter("account")
    box = NumberFilter("box", label="Id of a voicemail box.")
    call = CharFilter("call", label="SID of a call.")
    heard = BooleanFilter("heard_at", lookup_expr="isnull", exclude=True, label="Whether somebody has heard it.")
    deleted = BooleanFilter(method="thrown", label="Whether those that were thrown away are listed instead.")
    time_after = MomentFilter("time", "gte")
    time_before = MomentFilter("time", "lt")

    def thrown(self, rows: QuerySet[VoicemailMessage], name: str, value: bool) -> QuerySet[VoicemailMessage]:
        """Leave it to `filter_queryset`."""
        return rows

    def filter_queryset(self, queryset: QuerySet[VoicemailMessage]) -> QuerySet[VoicemailMessage]:
        """Leave out what was thrown away, unless it is asked for."""
        rows: QuerySet[VoicemailMessage] = super().filter_queryset(queryset)  # type: ignore[misc]
        data: dict[str, Any] = self.form.cleaned_data  # type: ignore[attr-defined]
        return rows.filter(deleted_at__isnull=not data.get("deleted"))


class Messages(Reading):
    """What callers left in voicemail boxes, newest first."""

    queryset = VoicemailMessage.objects.select_related("recording").order_by()
    serializer_class = MessageSerializer
    filterset_class = MessageFilters
    orders = {"time": "time"}
    default_order = "-time"
    permission = {"heard": CHANGE, "unheard": CHANGE, "destroy": CHANGE}

    @extend_schema(request=None, responses={200: MessageSerializer})
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def heard(self, request: Request, pk: str = "") -> Response:
        """Mark a message as heard."""
        message = self.get_object()
        message.hear(_name_of(request), timezone.now())
        return self._shown(message)

    @extend_schema(request=None, responses={200: MessageSerializer})
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def unheard(self, request: Request, pk: str = "") -> Response:
        """Take the mark off."""
        message = self.get_object()
        VoicemailMessage.objects.filter(pk=message.pk).update(heard_at=None, heard_by="")
        return self._shown(message)

    def _shown(self, message: VoicemailMessage) -> Response:
        return self.shown(self.get_queryset().get(pk=message.pk))

    def destroy(self, request: Request, pk: str = "", **_: Any) -> Response:
        """Throw a message away; its recording stays until that is deleted."""
        chosen = VoicemailMessage.objects.filter(pk=self.get_object().pk, deleted_at=None)
        chosen.update(deleted_at=timezone.now(), deleted_by=_name_of(request))
        return Response(status=204)


def _name_of(request: Request) -> str:
    user = request.user
    if isinstance(user, Caller):
        return user.key.pk if user.key else "auth token"
    return user.get_username()

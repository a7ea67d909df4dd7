"""Voicemail boxes; what is in them is among the resources of the call log."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from routing.api.v1.filtering import CharFilter, Filters, MultipleChoiceFilter
from routing.api.v1.serializing import OwnedSerializer
from routing.api.v1.viewing import Writing
from routing.models import Voicemail
from routing.models.voicemail import MOST_ADDRESSES


class Addresses(serializers.ListField):
    """E-mail addresses, which the model keeps as lines."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=serializers.EmailField(), required=False, max_length=MOST_ADDRESSES, **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        """Return the lines."""
        return "\n".join(super().to_internal_value(data))

    def to_representation(self, value: Any) -> Any:
        """Return the list."""
        return value.split()


class VoicemailSerializer(OwnedSerializer[Voicemail]):
    """A voicemail box. A greeting is uploaded in the admin, or fetched from `greeting_url`."""

    emails = Addresses(help_text="Who is told of each message.")
    has_greeting_file = serializers.SerializerMethodField(help_text="Whether a greeting was uploaded.")

    class Meta:
        model = Voicemail
        fields = (
            "id", "account", "name", "greeting", "greeting_text", "language", "greeting_url", "has_greeting_file",
            "max_length", "emails", "attach",
        )  # fmt: skip

    def get_has_greeting_file(self, row: Voicemail) -> bool:
        """Say whether there is one."""
        return bool(row.greeting_file)


class VoicemailFilters(Filters):
    """Which boxes are listed."""

    searched = ("name", "emails")
    name = CharFilter()
    greeting = MultipleChoiceFilter(choices=Voicemail.Greeting.choices)
    account = CharFilter("account")


class VoicemailBoxes(Writing):
    """Boxes that callers leave messages in."""

    queryset = Voicemail.objects.order_by()
    serializer_class = VoicemailSerializer
    filterset_class = VoicemailFilters
    orders = {"id": "pk", "name": "name"}
    default_order = "name"

"""How the API writes values: RFC 2822 dates, numbers as text, null for what is empty.

A class of bodies is a REST framework serializer that is only written: its fields are exactly the documented keys, in
the documented order. `context` holds the account's SID as `account_sid`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

API_VERSION = "2010-04-01"


def rfc2822(moment: datetime | None) -> str | None:
    """Return a date as Twilio writes it: Tue, 31 Aug 2010 20:36:28 +0000."""
    return format_datetime(moment.astimezone(UTC)) if moment else None


class Written(serializers.Field[Any, Any, Any, Any]):
    """A value that is only written."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, allow_null=True, **kwargs)


@extend_schema_field(OpenApiTypes.STR)
class Date(Written):
    """A date."""

    def to_representation(self, value: datetime) -> str | None:
        """Return it as RFC 2822."""
        return rfc2822(value)


@extend_schema_field(OpenApiTypes.STR)
class Words(Written):
    """Text; empty is null."""

    def to_representation(self, value: Any) -> str | None:
        """Return it."""
        return str(value) or None


@extend_schema_field(OpenApiTypes.STR)
class Digits(Written):
    """A number, which Twilio writes as text."""

    def to_representation(self, value: Any) -> str:
        """Return it as text."""
        return str(value)


@extend_schema_field(OpenApiTypes.ANY)
class Constant(Written):
    """The same in every body: what Twilio tells and is always so here."""

    def __init__(self, value: Any = None) -> None:
        super().__init__(source="*")
        self.value = value

    def to_representation(self, value: Any) -> Any:
        """Return it."""
        return self.value


@extend_schema_field(OpenApiTypes.ANY)
class Computed(Written):
    """What a function makes of the row."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__(source="*")
        self.function = function

    def to_representation(self, value: Any) -> Any:
        """Return it."""
        return self.function(value)


@extend_schema_field(OpenApiTypes.STR)
class Uri(Computed):
    """The resource's URI, or that of another one."""


class Body(serializers.Serializer[Any]):
    """The JSON of a resource."""

    @classmethod
    def render(cls, row: Any, account_sid: str, **context: Any) -> dict[str, Any]:
        """Return the JSON of a row."""
        return dict(cls(row, context={"account_sid": account_sid, **context}).data)

    @classmethod
    def render_all(cls, rows: Iterable[Any], account_sid: str, **context: Any) -> list[dict[str, Any]]:
        """Return the JSON of each row."""
        writer = cls(context={"account_sid": account_sid, **context})
        return [dict(writer.to_representation(row)) for row in rows]

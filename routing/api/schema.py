"""OpenAPI of the Twilio-compatible paths, made of what their views are made of."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_array_type, build_basic_type
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from routing.api.paths import PREFIX

_PAGING = (
    OpenApiParameter("PageSize", int, description="How many at most, up to 1000; 50 unless given."),
    OpenApiParameter("Page", int, description="The number of the page, for people."),
    OpenApiParameter("PageToken", str, description="Where the page begins: follow next_page_uri."),
)
_META = {
    "first_page_uri": OpenApiTypes.STR,
    "next_page_uri": OpenApiTypes.STR,
    "previous_page_uri": OpenApiTypes.STR,
    "page": OpenApiTypes.INT,
    "page_size": OpenApiTypes.INT,
    "start": OpenApiTypes.INT,
    "end": OpenApiTypes.INT,
    "uri": OpenApiTypes.STR,
}


def only_json(endpoints: list[tuple[str, str, str, Any]], **_: Any) -> list[tuple[str, str, str, Any]]:
    """Leave out the paths that are the same without `.json`."""
    return [one for one in endpoints if not one[0].startswith(PREFIX) or one[0].endswith(".json")]


class BasicScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Says how requests are authenticated."""

    target_class = "routing.api.authentication.BasicAuthentication"
    name = "basic"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the scheme: HTTP Basic."""
        return {"type": "http", "scheme": "basic", "description": "Account SID and auth token, or API key and secret."}


class TwilioSchema(AutoSchema):
    """Reads a view's `parameters`, `filters`, `body` and `key`."""

    method_mapping = {**AutoSchema.method_mapping, "post": "create"}

    def get_tags(self) -> list[str]:
        """Group the paths as Twilio's reference does."""
        return ["Twilio-compatible (2010-04-01)"]

    def get_operation_id(self) -> str:
        """Return a name: the view's, and what is done."""
        done = "list" if self._lists() else self.method.lower()
        current = "Current" if "Twilio.CURRENT" in self.path else ""
        return f"{current}{type(self.view).__name__}_{done}"

    def get_override_parameters(self) -> list[Any]:
        """Return what the query may say."""
        if not self._lists():
            return []
        filters = cast(Any, self.view).filters()
        return [*(OpenApiParameter(name, str) for name in filters.fields), *_PAGING]

    def get_request_serializer(self) -> Any:
        """Return what a POST request may say."""
        return getattr(self.view, "parameters", None) if self.method == "POST" else None

    def get_response_serializers(self) -> Any:
        """Return the answer of the view when all is well."""
        body = getattr(self.view, "body", None)
        if self.method == "DELETE" or body is None:
            return {204: None}
        if self._lists():
            return {200: self._envelope(body)}
        return {201 if hasattr(self.view, "create") else 200: body}

    def _envelope(self, body: Any) -> dict[str, Any]:
        item = self.resolve_serializer(body, "response").ref
        types = {name: build_basic_type(kind) or {} for name, kind in _META.items()}
        for name in ("next_page_uri", "previous_page_uri"):
            types[name] = {**types[name], "nullable": True}
        return {"type": "object", "properties": {**types, cast(Any, self.view).key: build_array_type(item)}}

    def _is_list_view(self, serializer: Any = None) -> bool:
        return False  # a page is an object, not the array that REST framework's own lists are

    def _lists(self) -> bool:
        return self.method == "GET" and hasattr(self.view, "key")

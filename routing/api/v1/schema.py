"""OpenAPI of /api/v1/: every operation with the problems that it can end in."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from routing.api.v1.problems import CONTENT_TYPE

_TEXTS = {"type": "array", "items": {"type": "string"}}
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "errors"],
    "properties": {
        "type": {"type": "string", "description": "urn:cordboard:problem: and the code."},
        "title": {"type": "string", "description": "The HTTP status in words."},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "What it is, for programs."},
        "detail": {"type": "string", "description": "What is wrong and what to do, for people."},
        "errors": {
            "type": "object",
            "additionalProperties": _TEXTS,
            "description": "Sentences by the name of a field, such as members[1].endpoint.",
        },
        "rows": {
            "type": "array",
            "description": "Imports only: every error of every row.",
            "items": {
                "type": "object",
                "properties": {
                    "row": {"type": "integer"},
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}
_TITLES = {
    400: "Something in the request is wrong; `errors` names the field.",
    401: "Not authenticated.",
    403: "The key may only read, or the user lacks a permission.",
    404: "There is nothing here that the caller may see.",
    409: "Something else needs it, or is in the way.",
    412: "It has been changed since it was fetched (If-Match).",
    413: "The body is too large.",
    415: "The body is of another media type.",
    422: "The Idempotency-Key was used for another request.",
    428: "If-Match is missing.",
    429: "Too many requests; Retry-After says how long to wait.",
}


class Scheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Says how requests are authenticated."""

    target_class = "routing.api.v1.access.Authentication"
    name = ["account", "session"]

    def get_security_definition(self, auto_schema: Any) -> Any:
        """Return the two schemes."""
        return [
            {"type": "http", "scheme": "basic", "description": "Account SID and auth token, or API key and secret."},
            {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "Somebody logged in to the admin."},
        ]


class ProblemSchema(AutoSchema):
    """Adds the problems, and the headers that writes take."""

    def get_tags(self) -> list[str]:
        """Group the paths by resource."""
        return [f"v1: {self.path.removeprefix('/api/v1/').partition('/')[0]}"]

    def get_override_parameters(self) -> list[Any]:
        """Return the headers."""
        found = []
        if "{list_sid}" in self.path:
            found.append(OpenApiParameter("list_sid", str, OpenApiParameter.PATH, description="SID of the list."))
        if self.method == "POST":
            text = "The same key again: the same answer, nothing is done twice. Kept for 24 hours."
            found.append(OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description=text))
        if cast(Any, self.view).action in getattr(self.view, "conditional", ()):
            needed = self.method in ("PUT", "PATCH")
            text = "The ETag of what was fetched; * for whatever is there."
            found.append(OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, required=needed, description=text))
        return found

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """Return the operation with its problems."""
        operation = super().get_operation(*args, **kwargs)
        if operation:
            for status in self._statuses():
                content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
                operation["responses"][str(status)] = {"content": content, "description": _TITLES[status]}
        return operation

    def _statuses(self) -> list[int]:
        found = [400, 401, 403, 404, 429]
        if self.method in ("POST", "PUT", "PATCH", "DELETE"):
            found += [409, 413]
        if self.method in ("POST", "PUT", "PATCH"):
            found += [415]
        if self.method == "POST":
            found += [422]
        if cast(Any, self.view).action in getattr(self.view, "conditional", ()):
            found += [412, 428]
        return sorted(found)


def add_problem(result: Any, generator: Any, request: Any, public: bool) -> Any:
    """Put the shape of problems among the components: a hook of drf-spectacular."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    return result

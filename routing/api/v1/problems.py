"""How /api/v1/ says that something is wrong: one JSON shape, RFC 9457's `application/problem+json`.

`code` is a word for programs; `errors` has sentences for people by the name of a field, such as `members[1].endpoint`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as ModelError
from django.db import IntegrityError, OperationalError
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from routing.api.errors import ApiError
from routing.fields import SecretError

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
CODES = {
    400: "invalid",
    401: "not-authenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    409: "conflict",
    412: "precondition-failed",
    413: "too-large",
    415: "unsupported-media-type",
    422: "idempotency-key-reused",
    428: "precondition-required",
    429: "too-many-requests",
    500: "internal",
    503: "unavailable",
}
_BUSY_SECONDS = "5"
_SHOWN = 5  # of what is in the way

Errors = Mapping[str, Sequence[str]]


class Problem(Exception):
    """A request that is refused. `more` are further members of the document."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str = "",
        errors: Errors | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code = status, code or CODES[status]
        self.errors, self.headers, self.more = dict(errors or {}), dict(headers or {}), dict(more or {})

    @property
    def body(self) -> dict[str, Any]:
        """Return the document."""
        document = {
            "type": f"urn:cordboard:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": str(self),
            "errors": {name: list(texts) for name, texts in self.errors.items()},
            **self.more,
        }
        return _encodable(document)  # type: ignore[no-any-return]


def invalid(errors: Errors, **more: Any) -> Problem:
    """Return the problem of fields that are wrong; the detail is the first of them."""
    name, texts = next(iter(errors.items()))
    return Problem(400, f"{name}: {texts[0]}" if name else texts[0], errors=errors, more=more)


def not_found() -> Problem:
    """Return the problem of what does not exist, or belongs to another account."""
    return Problem(404, "There is nothing here, or nothing that this key may see.")


def unknown(request: HttpRequest, rest: str = "") -> JsonResponse:
    """Answer for a path that the API does not have."""
    return JsonResponse(not_found().body, status=404, content_type=CONTENT_TYPE)


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """Answer whatever a view raises: REST framework's exception handler."""
    set_rollback()
    told = problem(error, context["request"])
    return Response(told.body, status=told.status, headers=told.headers, content_type=CONTENT_TYPE)


def problem(error: Exception, request: Any) -> Problem:
    """Return the error as it is told; what nobody foresaw goes to the log, and not to the caller."""
    match error:
        case Problem():
            return error
        case ApiError(status=status, headers=headers):
            return Problem(status, str(error), headers=headers)
        case exceptions.ValidationError():
            return invalid(flat(error.detail))
        case ModelError():
            return invalid(of_model(error))
        case Http404() | exceptions.NotFound():
            return not_found()
        case ProtectedError(protected_objects=objects) | RestrictedError(restricted_objects=objects):
            return in_use(objects)
        case IntegrityError():
            return Problem(409, "Somebody else has just saved the same; fetch it and try again.")
        case OperationalError():
            log.exception("%s %s: the database", request.method, request.path)
            return Problem(503, "The database is not available right now.", headers={"Retry-After": _BUSY_SECONDS})
        case SecretError():
            log.error("%s %s: %s", request.method, request.path, error)
            return Problem(500, "A stored secret cannot be read; the log of the web process says which.")
        case _:
            return _http(error, request)


def _http(error: Exception, request: Any) -> Problem:
    match error:
        case exceptions.MethodNotAllowed():
            return Problem(405, f"{request.method} is not possible here.")
        case exceptions.Throttled():
            seconds = str(max(1, math.ceil(getattr(error, "wait", None) or 1)))
            return Problem(429, f"Too many requests: wait {seconds} s.", headers={"Retry-After": seconds})
        case PermissionDenied() | exceptions.PermissionDenied():
            return Problem(403, str(error) or "You may not do this.")
        case RequestDataTooBig():
            return Problem(413, "The body is too large.")
        case exceptions.UnsupportedMediaType() | exceptions.NotAcceptable():
            return Problem(error.status_code, str(error.detail))
        case SuspiciousOperation() | exceptions.APIException():
            return Problem(400, f"The request cannot be read: {error}", code="malformed")
        case _:
            log.exception("%s %s", request.method, request.path, exc_info=error)
            return Problem(500, "Something went wrong that nobody foresaw; the log of the web process says what.")


def in_use(objects: Any) -> Problem:
    """Return the problem of deleting what something else needs."""
    found = sorted({f"{one._meta.verbose_name} {one}" for one in objects})
    names = ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
    return Problem(409, f"It is in use by {names}: change or delete that first.", code="in-use")


def of_model(error: ModelError, renamed: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """Return the errors of a model by field; those of none under ""."""
    if not hasattr(error, "error_dict"):
        return {"": list(error.messages)}
    names = {"__all__": "", **(renamed or {})}
    return {names.get(name, name): list(texts) for name, texts in error.message_dict.items()}


def flat(detail: Any, name: str = "") -> dict[str, list[str]]:
    """Return the errors of a serializer by the path of the field, `members[1].endpoint`."""
    if isinstance(detail, Mapping):
        found: dict[str, list[str]] = {}
        for key, value in detail.items():
            nested = _nested(name, key)
            for path, texts in flat(value, nested).items():
                found.setdefault(path, []).extend(texts)
        return found
    if isinstance(detail, list | tuple):
        if all(isinstance(one, str) for one in detail):
            return {name: [str(one) for one in detail]} if detail else {}
        merged: dict[str, list[str]] = {}
        for number, value in enumerate(detail):
            merged |= flat(value, f"{name}[{number}]")
        return merged
    return {name: [str(detail)]}


def _nested(name: str, key: Any) -> str:
    if key == "non_field_errors":
        return name
    if isinstance(key, int):  # the place in a list
        return f"{name}[{key}]"
    return f"{name}.{key}" if name else str(key)


def _encodable(value: Any) -> Any:
    """Return it with lone surrogates replaced, which a request may hold and no answer can."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_encodable(key): _encodable(one) for key, one in value.items()}
        case list():
            return [_encodable(one) for one in value]
        case _:
            return value

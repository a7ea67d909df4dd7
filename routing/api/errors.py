"""How the API says that something is wrong: an `ApiError` anywhere in a view becomes Twilio's JSON body.

Source: Twilio's error and warning dictionary; `twilio.base.exceptions.TwilioRestException` reads these bodies.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from routing.errors import lookup
from routing.fields import SecretError

log = logging.getLogger(__name__)

BAD_PARAMETER = 20001
WRONG_CREDENTIALS = 20003
WRONG_METHOD = 20004
NOT_ACTIVE = 20005
FORBIDDEN = 20403
NOT_FOUND = 20404
TOO_LARGE = 20413
TOO_MANY = 20429
INTERNAL = 20500
UNAVAILABLE = 20503


class ApiError(Exception):
    """A request that is refused: Twilio's code, a message for whoever made it, headers of the answer.

    The HTTP status is that of the code unless `status` says otherwise.
    """

    def __init__(
        self, code: int, message: str = "", *, status: int = 0, headers: Mapping[str, str] | None = None
    ) -> None:
        known = lookup(code)
        super().__init__(message or known.text)
        self.code, self.status, self.headers = code, status or known.http_status, dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """Return the body that Twilio's libraries make an exception of."""
        more_info = f"https://www.twilio.com/docs/errors/{self.code}"
        return {"code": self.code, "message": str(self), "more_info": more_info, "status": self.status}


def not_found(request: HttpRequest) -> ApiError:
    """Return the error for a resource that does not exist, or belongs to another account."""
    return ApiError(NOT_FOUND, f"The requested resource {request.path} was not found")


def answer(error: ApiError) -> JsonResponse:
    """Return the error as the response of a plain Django view."""
    return JsonResponse(error.body, status=error.status, headers=error.headers)


def unknown(request: HttpRequest, rest: str = "") -> JsonResponse:
    """Answer for a path that the API does not have."""
    return answer(not_found(request))


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """Answer whatever a view raises as Twilio does: REST framework's exception handler."""
    set_rollback()
    told = api_error(error, context["request"])
    return Response(told.body, status=told.status, headers=told.headers)


def api_error(error: Exception, request: HttpRequest) -> ApiError:
    """Return the error as the API tells it; what nobody foresaw goes to the log, and not to the caller."""
    match error:
        case ApiError():
            return error
        case Http404() | exceptions.NotFound():
            return not_found(request)
        case exceptions.MethodNotAllowed():
            return ApiError(WRONG_METHOD, f"{request.method} is not allowed for {request.path}.")
        case exceptions.Throttled():
            wait = getattr(error, "wait", None) or 1
            return ApiError(TOO_MANY, headers={"Retry-After": str(max(1, math.ceil(wait)))})
        case PermissionDenied() | exceptions.PermissionDenied():
            return ApiError(FORBIDDEN)
        case SuspiciousOperation() | exceptions.APIException():
            return ApiError(BAD_PARAMETER, f"The request cannot be read: {error}")
        case OperationalError():
            log.exception("%s %s: the database", request.method, request.path)
            return ApiError(UNAVAILABLE, headers={"Retry-After": "5"})
        case SecretError():
            log.error("%s %s: %s", request.method, request.path, error)
            return ApiError(INTERNAL, "A stored secret cannot be read; the log of the web process says which.")
        case _:
            log.exception("%s %s", request.method, request.path, exc_info=error)
            return ApiError(INTERNAL)

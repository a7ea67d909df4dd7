"""How the API says that something is wrong: an `ApiError` anywhere in a view becomes Twilio's JSON body."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponseBase, JsonResponse

from routing.errors import lookup

View = Callable[..., HttpResponseBase]

NOT_FOUND, WRONG_CREDENTIALS, WRONG_METHOD = 20404, 20003, 20004


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


def endpoint(*methods: str) -> Callable[[View], View]:
    """Make a view an endpoint of the API: other methods than these are refused, an `ApiError` is answered as JSON."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                _check_method(request, methods)
                return view(request, *args, **kwargs)
            except ApiError as error:
                return answer(error)

        return answered

    return decorate


def not_found(request: HttpRequest) -> ApiError:
    """Return the error for a resource that does not exist, or belongs to another account."""
    return ApiError(NOT_FOUND, f"The requested resource {request.path} was not found")


def unknown(request: HttpRequest, rest: str) -> HttpResponseBase:
    """Answer for a path that the API does not have."""
    return answer(not_found(request))


def answer(error: ApiError) -> HttpResponseBase:
    """Return the answer that Twilio's libraries make an exception of."""
    body = {
        "code": error.code,
        "message": str(error),
        "more_info": f"https://www.twilio.com/docs/errors/{error.code}",
        "status": error.status,
    }
    return JsonResponse(body, status=error.status, headers=error.headers)


def _check_method(request: HttpRequest, methods: Collection[str]) -> None:
    if request.method not in methods:
        raise ApiError(WRONG_METHOD, headers={"Allow": ", ".join(methods)})

"""Answers paths of the admin with a NUL in them: there is nothing there, and PostgreSQL takes none in a query."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase, HttpResponseNotFound


class NoNul:
    """Refuses such paths before any view looks up what they name."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request, or 404."""
        if "\0" in request.path_info and request.path_info.startswith("/admin/"):
            return HttpResponseNotFound("There is no such page.\n", content_type="text/plain")
        return self._get_response(request)

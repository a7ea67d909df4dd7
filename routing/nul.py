"""Keeps NULs in addresses from the database: there is nothing of such a name, and PostgreSQL takes none in a query."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase, HttpResponseNotFound

_PAGES = ("/admin/", "/recordings/")


class NoNul:
    """Of the pages for people: answers 404 to a path with a NUL, and takes them out of query strings."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        if request.path_info.startswith(_PAGES):
            if "\0" in request.path_info:
                return HttpResponseNotFound("There is no such page.\n", content_type="text/plain")
            query = request.META.get("QUERY_STRING", "")
            while "%00" in query:
                query = query.replace("%00", "")
            request.META["QUERY_STRING"] = query
        return self._get_response(request)

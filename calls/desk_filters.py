"""Filters of lists that the dashboard's figures lead to; they keep just the rows that were counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.http import HttpRequest

from calls import dashboard
from calls.models import WebhookDelivery
from routing.models import Endpoint

if TYPE_CHECKING:
    from django.contrib.admin import SimpleListFilter

    class DropdownFilter(SimpleListFilter): ...

    class TextFilter(SimpleListFilter): ...

else:
    from unfold.contrib.filters.admin import DropdownFilter, TextFilter


class HostFilter(TextFilter):
    """By host, and port if the URL names one, of the application that is told."""

    title = "host"
    parameter_name = "host"

    def queryset(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> QuerySet[WebhookDelivery]:
        """Keep the rows whose URL has the host."""
        host = (self.value() or "").strip().replace("\x00", "")
        return queryset.filter(dashboard.of_host(host)) if host else queryset


class FailedLastFilter(DropdownFilter):
    """By whether an endpoint could be called when it was last."""

    title = "last call"
    parameter_name = "failed_last"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Return the choices."""
        return [("yes", "Failed when last called")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> QuerySet[Endpoint]:
        """Keep the endpoints that failed."""
        return dashboard.failed_last(queryset) if self.value() == "yes" else queryset

"""What the lists of the call log have in common: they are only read, and stay quick with millions of rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from calls import call_page
from calls.harmless import harmless
from calls.models import Call
from calls.webhooks import without_secrets
from routing.theme import ModelAdmin

COUNT_AT_MOST = 10_000
URL_SHOWN = 90
SEARCHED = 100_000  # rows that a search inside texts looks at, the newest ones
_M = TypeVar("_M", bound=Model)


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # the class is not generic at run time
    """Counts no further than `COUNT_AT_MOST`: counting millions of rows would take longer than showing a page."""

    @cached_property
    def count(self) -> int:
        """Return the number of rows, or the cap."""
        rows = self.object_list
        assert isinstance(rows, QuerySet)
        return rows.order_by().values("pk")[:COUNT_AT_MOST].count()


class LogAdmin(ModelAdmin[_M]):
    """A list that is only read."""

    actions: Any = None
    warn_unsaved_form = False
    list_filter_submit = True
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count the whole table
    paginator = CappedPaginator
    list_per_page = 50
    list_max_show_all = 0
    list_fullwidth = True
    ordering = ("-start_time",)

    class Media:
        css = {"all": ["calls/calls.css"]}

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: the engine writes the log."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: the engine writes the log."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: what happened, happened."""
        return False


def newest(queryset: QuerySet[_M], number: int = SEARCHED) -> QuerySet[_M]:
    """Keep the newest rows of a log that is ordered by `time`, found through its index."""
    times = queryset.model._default_manager.order_by("-time").values_list("time", flat=True)
    oldest = list(times[number - 1 : number])
    return queryset.filter(time__gte=oldest[0]) if oldest else queryset


def label(text: object, tone: str, title: str = "") -> SafeString:
    """Return a coloured label."""
    return format_html('<span class="cb-label cb-{}" title="{}">{}</span>', tone, title, text)


def two_lines(first: object, second: object) -> SafeString:
    """Return a cell with a quiet second line."""
    return format_html('<span class="cb-cell"><span>{}</span><span class="cb-quiet">{}</span></span>', first, second)


def moment(time: datetime) -> SafeString:
    """Return a cell with date and time of day."""
    return format_html('<span class="cb-nowrap">{}</span>', two_lines(call_page.day(time), call_page.time_of_day(time)))


def request_line(url: str, method: str) -> SafeString | str:
    """Return a cell with a URL, without its secrets, and the method; a dash for none."""
    if not url:
        return "–"
    shown = without_secrets(url)
    return format_html(
        '<span class="cb-cell cb-wrap" title="{}"><span>{}</span><span class="cb-quiet">{}</span></span>',
        harmless(shown),
        Truncator(harmless(shown)).chars(URL_SHOWN),
        method,
    )


def link_to(call: Call | None) -> SafeString | str:
    """Return a link to the page of a call; a dash for none."""
    if call is None:
        return "–"
    return format_html('<a class="cb-link cb-nowrap" href="{}">{}</a>', call.admin_path, call)

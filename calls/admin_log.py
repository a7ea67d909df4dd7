"""What the lists of the call log have in common: they are only read, and stay quick with millions of rows."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from calls import call_page, keyset
from calls.admin_filters import used_window
from calls.harmless import harmless
from calls.models import Call
from calls.webhooks import without_secrets
from routing.theme import ModelAdmin

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList
else:
    from unfold.views import ChangeList

COUNT_AT_MOST = 10_000
COUNT_WITHOUT_INDEX = 1_000
URL_SHOWN = 90
TEXT_SHOWN = 60
SEARCHED = 100_000  # rows that a search inside texts looks at, the newest ones
_M = TypeVar("_M", bound=Model)


_PLACE = "cordboard.place"


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # the class is not generic at run time
    """Counts no further than its cap: counting millions of rows would take longer than showing a page."""

    template_name = "calls/pager.html"
    cap = COUNT_AT_MOST

    @cached_property
    def count(self) -> int:
        """Return the number of rows, or the cap."""
        rows = self.object_list
        assert isinstance(rows, QuerySet)
        return rows.order_by().values("pk")[: self.cap].count()


class LogChangeList(ChangeList):
    """Pages that are found by their first or last row, so that page 2,000 is as quick as page 1."""

    page: keyset.Page[Any]
    more_than: int | None

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str]:  # type: ignore[override]
        """Return the log's time, the other way round if its column is asked for so, and the key."""
        field = _time_of(self.model_admin)
        chosen = self.params.get("o", "")
        sign = "" if chosen and not chosen.startswith("-") else "-"
        return [f"{sign}{field}", f"{sign}pk"]

    def get_results(self, request: HttpRequest) -> None:
        """Fetch one page; count the rest only where there is more than a page, and only up to the cap."""
        field = _time_of(self.model_admin)
        descending = self.get_ordering(request, self.queryset)[0].startswith("-")
        place = request.META.get(_PLACE)
        self.page = keyset.page(self.queryset, field, self.list_per_page, place, descending=descending)
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
        if self.query or used_window(request) is not None:
            self.paginator.cap = COUNT_WITHOUT_INDEX
        if self.page.previous is None:
            self.page_num = 1
        alone = self.page.previous is None and self.page.next is None
        self.result_count = len(self.page.rows) if alone else self.paginator.count
        self.more_than = self.paginator.cap if self.result_count >= self.paginator.cap else None
        self.result_list = self.page.rows
        self.full_result_count, self.show_full_result_count = None, False
        self.show_admin_actions, self.can_show_all, self.multi_page = True, False, False

    @property
    def next_query(self) -> str:
        """Return the query string of the next page; empty if there is none."""
        return self._query(keyset.NEXT, self.page.next, self.page_num + 1)

    @property
    def previous_query(self) -> str:
        """Return the query string of the page before; empty if there is none."""
        return self._query(keyset.PREVIOUS, self.page.previous, max(1, self.page_num - 1))

    def _query(self, name: str, place: keyset.Place | None, number: int) -> str:
        return self.get_query_string({name: str(place), "p": number}) if place else ""


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

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list with pages that are found by their rows."""
        return LogChangeList

    def get_sortable_by(self, request: HttpRequest) -> list[Any]:
        """Allow to turn the log round: any other order would have the database sort all of it."""
        field = _time_of(self)
        columns = [name for name in self.get_list_display(request) if isinstance(name, str)]
        return [name for name in columns if getattr(getattr(self, name, None), "admin_order_field", "") == field]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list; the place of the page is taken out of the query string, or filters would keep it."""
        query = request.GET.copy()
        request.META[_PLACE] = keyset.take_place(query, self.model)
        request.GET = query  # type: ignore[assignment]  # a view may not write to the browser's
        return super().changelist_view(request, extra_context)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: the engine writes the log."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: the engine writes the log."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: what happened, happened."""
        return False


def _time_of(model_admin: Any) -> str:
    return str(model_admin.ordering[0]).lstrip("-")


def newest(queryset: QuerySet[_M], number: int = SEARCHED) -> QuerySet[_M]:
    """Keep the newest rows of a log that is ordered by `time`, found through its index."""
    times = queryset.model._default_manager.order_by("-time").values_list("time", flat=True)
    oldest = list(times[number - 1 : number])
    return queryset.filter(time__gte=oldest[0]) if oldest else queryset


def shown(text: str) -> str:
    """Return a stranger's text as a list may show it: harmless, and not longer than a cell."""
    return Truncator(harmless(text)).chars(TEXT_SHOWN)


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

"""The debugger: what went wrong, in Twilio's codes, and what to do about it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from calls.admin_filters import CodeFilter, MomentFilter, is_code
from calls.admin_log import LogAdmin, label, link_to, moment, newest, request_line
from calls.call_page import TONES
from calls.harmless import harmless
from calls.models import Notification
from calls.webhooks import without_secrets
from routing.errors import lookup
from routing.sid import is_sid


@admin.register(Notification)
class NotificationAdmin(LogAdmin[Notification]):
    """Notifications, newest first, each with one line on what to do."""

    ordering = ("-time",)
    list_display = ("at", "numbered", "what", "of_call", "request_made", "answer")
    list_display_links = ("at",)
    list_filter = (("level", ChoicesDropdownFilter), CodeFilter, ("time", MomentFilter))
    search_fields = ("message",)
    search_help_text = "Error code, call SID, notification SID; else inside messages and URLs of the newest entries."
    fields = ("sid",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notification]:
        """Return notifications with their calls."""
        return Notification.objects.select_related("call")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Notification], search_term: str
    ) -> tuple[QuerySet[Notification], bool]:
        """Find codes and identifiers through their indexes; anything else inside messages and URLs."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if is_code(term):
            return queryset.filter(code=int(term)), False
        if is_sid(term, "NO"):
            return queryset.filter(sid=term), False
        if is_sid(term, "CA"):
            return queryset.filter(call=term), False
        return newest(queryset).filter(Q(message__icontains=term) | Q(url__icontains=term)), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list under the name that Twilio's users know."""
        return super().changelist_view(request, {**(extra_context or {}), "title": "Debugger"})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the page of a notification."""
        note = self.get_queryset(request).filter(pk=object_id).first()
        extra = {} if note is None else {**page_context(note), "title": "Debugger", "subtitle": None}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **extra})

    @admin.display(description="Time", ordering="time")
    def at(self, note: Notification) -> SafeString:
        """Show when."""
        return moment(note.time)

    @admin.display(description="Code", ordering="code")
    def numbered(self, note: Notification) -> SafeString:
        """Show the code, coloured by its level."""
        return label(note.code, TONES[note.level], note.get_level_display())

    @admin.display(description="What happened, and what to do")
    def what(self, note: Notification) -> SafeString:
        """Show the message and the catalogue's advice."""
        known = lookup(note.code)
        return format_html(
            '<span class="cb-cell cb-wrap"><span>{}</span><span class="cb-quiet">{}</span></span>',
            harmless(note.message) or known.text,
            known.hint,
        )

    @admin.display(description="Call")
    def of_call(self, note: Notification) -> SafeString | str:
        """Link to the call."""
        return link_to(note.call)

    @admin.display(description="URL")
    def request_made(self, note: Notification) -> SafeString | str:
        """Show the HTTP request behind it."""
        return request_line(note.url, note.method)

    @admin.display(description="Response", ordering="response_status")
    def answer(self, note: Notification) -> str:
        """Show the HTTP status that came back."""
        return str(note.response_status or "none") if note.url else "–"


def page_context(note: Notification) -> dict[str, Any]:
    """Return the variables of templates/admin/calls/notification/change_form.html."""
    return {
        "note": note,
        "known": lookup(note.code),
        "tone": TONES[note.level],
        "message": harmless(note.message),
        "url": without_secrets(note.url),
        "body": harmless(note.response_body),
    }

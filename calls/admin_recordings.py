"""Recordings: a list to be gone through with the keyboard, and the page of one. Nothing here can be edited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, Prefetch, QuerySet, Value
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from calls import call_page, notes
from calls.admin_annotations import ADD_NOTE, ADD_TAG, SavedViewsMixin
from calls.admin_filters import MomentFilter, TagOfCallFilter
from calls.admin_keeping import heard_by
from calls.admin_log import LogAdmin, label, moment, shown
from calls.call_page import TONES, clock
from calls.harmless import harmless
from calls.models import Call, CallNote, CallTag, Recording, SavedView
from routing.models import Account
from routing.sid import is_sid

LISTEN = "calls.listen_recording"
_NUMBERS = ("from_user", "to_user")
NOT_ALLOWED = "You may not listen to recordings."


@admin.register(Recording)
class RecordingAdmin(SavedViewsMixin, LogAdmin[Recording]):
    """Recordings with a player."""

    saved_page = SavedView.Page.RECORDINGS
    list_display = ("started", "of_call", "player", "remarks", "kind", "bytes")
    list_display_links = ("started",)
    list_filter = (("start_time", MomentFilter), ("status", ChoicesDropdownFilter), TagOfCallFilter)
    search_fields = ("sid__exact",)
    search_help_text = "Number, SID, tag or note"
    readonly_fields = ("player", "of_call", "listened")
    fields = (
        "player", "of_call", "sid", "status", "error", "start_time", "duration", "channels", "track", "source",
        "file", "size", "sha256", "files", "listened",
    )  # fmt: skip

    class Media:
        js = (Script("calls/player.js", defer=True), Script("calls/review.js", defer=True))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Recording]:
        """Return recordings with their calls, tags and notes, and whether this user may listen."""
        tags = Prefetch("call__tags", CallTag.objects.select_related("tag").order_by("tag__name"))
        written = Prefetch("call__operator_notes", CallNote.objects.order_by("created", "pk"))
        allowed = Value(request.user.has_perm(LISTEN), output_field=BooleanField())
        return Recording.objects.select_related("call__group").prefetch_related(tags, written).annotate(allowed=allowed)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Recording], search_term: str
    ) -> tuple[QuerySet[Recording], bool]:
        """Find recordings by their SID, or through the indexes of their calls."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if is_sid(term, "RE"):
            return queryset.filter(pk=term), False
        if is_sid(term, "CA"):
            return queryset.filter(call=term), False
        by_from, by_to = (Call.objects.order_by().filter(**{name: term}).values("pk") for name in _NUMBERS)
        tagged = CallTag.objects.order_by().filter(tag__name=term.lower()).values("call")
        noted = CallNote.objects.order_by().filter(text__icontains=term).values("call")
        return queryset.filter(call__in=by_from.union(by_to, tagged, noted)), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list with what its keys need."""
        accounts = Account.objects.order_by("pk").values_list("pk", flat=True)[:2]
        extra = {
            "title": "Recordings",
            "may_note": request.user.has_perm(ADD_NOTE),
            "may_tag": request.user.has_perm(ADD_TAG),
            "tag_suggestions": notes.suggestions(accounts[0]) if len(accounts) == 1 else [],
        }
        return super().changelist_view(request, {**(extra_context or {}), **extra})

    @admin.display(description="Started", ordering="start_time")
    def started(self, recording: Recording) -> SafeString:
        """Show when."""
        return moment(recording.start_time)

    @admin.display(description="Call")
    def of_call(self, recording: Recording) -> SafeString:
        """Link to the call."""
        call = recording.call
        text = f"{call.from_user or call.from_address} → {call.group or call.to_user or call.to_address}"
        return format_html('<a class="cb-link cb-call" href="{}">{}</a>', call.admin_path, shown(text))

    @admin.display(description="Listen")
    def player(self, recording: Recording) -> SafeString:
        """Show a player, or why there is none."""
        if recording.status != Recording.Status.COMPLETED:
            status = label(recording.get_status_display(), TONES[Recording.Status(recording.status)])
            return format_html("{} {}", status, harmless(recording.error))
        if not getattr(recording, "allowed", False):
            return format_html('{} <span class="cb-quiet">{}</span>', clock(recording.duration), NOT_ALLOWED)
        return render_to_string("calls/player.html", {"recording": recording, "compact": True})

    @admin.display(description="Who listened")
    def listened(self, recording: Recording) -> SafeString:
        """Show who played or downloaded it, when and from where."""
        return heard_by(recording)

    @admin.display(description="Tags and notes")
    def remarks(self, recording: Recording) -> SafeString:
        """Show what operators wrote; scripts find here where to add to it."""
        call = recording.call
        tags = [(shown(row.tag.name),) for row in call.tags.all()]
        written = [harmless(note.text) for note in call.operator_notes.all()]
        return format_html(
            '<span class="cb-remarks" data-note-url="{}" data-tag-url="{}">{}'
            '<span class="cb-quiet" title="{}">{}</span></span>',
            reverse("admin:calls_call_note_add", args=[call.pk]),
            reverse("admin:calls_call_tag_add", args=[call.pk]),
            format_html_join("", '<span class="cb-chip">{}</span>', tags),
            "\n".join(written)[:1000],
            _counted(len(written)),
        )

    @admin.display(description="Channels")
    def kind(self, recording: Recording) -> str:
        """Show what is on the channels."""
        return "two: caller left" if recording.channels == 2 else "one, mixed"

    @admin.display(description="Size")
    def bytes(self, recording: Recording) -> str:
        """Show the size of the file."""
        return call_page.file_size(recording.size)


def _counted(number: int) -> str:
    return f"{number} {'note' if number == 1 else 'notes'}" if number else ""

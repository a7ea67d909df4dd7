"""The call log in the admin: calls with their legs. Nothing here can be edited but notes and tags.

Recordings are in `admin_recordings`, the debugger and webhooks in `admin_debugger` and `admin_webhooks`, changes to
live calls in `admin_commands`.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
)

from calls import admin_debugger as admin_debugger
from calls import admin_keeping as admin_keeping
from calls import admin_recordings as admin_recordings
from calls import admin_ring, call_page, call_trace, export, saved_views
from calls import admin_rooms as admin_rooms
from calls import admin_voicemail as admin_voicemail
from calls import admin_webhooks as admin_webhooks
from calls.admin_annotations import NotesMixin, SavedViewsMixin
from calls.admin_commands import CommandsMixin
from calls.admin_filters import (
    EXPORT,
    DirectionFilter,
    DurationFilter,
    EndedByFilter,
    LegsFilter,
    MomentFilter,
    OutcomeFilter,
    RecordedFilter,
    RegionFilter,
    SipCodeFilter,
    TagFilter,
    in_window,
    used_window,
)
from calls.admin_live import LiveMixin
from calls.admin_log import LogAdmin, label, moment, shown, two_lines
from calls.call_page import ARROWS, TONES, clock
from calls.harmless import harmless
from calls.ladder import ANOTHER_ADDRESS
from calls.models import Call, CallNote, CallTag, Recording, SavedView
from routing.sid import is_sid

LISTEN = "calls.listen_recording"


@admin.register(Call)
class CallAdmin(LiveMixin, NotesMixin, SavedViewsMixin, CommandsMixin, LogAdmin[Call]):
    """Calls, newest first; the page of a call tells why it went as it did."""

    saved_page = SavedView.Page.CALLS

    list_display = ("started", "caller", "called", "outcome", "lasted", "went_to", "leg_count", "recorded")
    list_display_links = ("started",)
    list_filter = (
        ("start_time", MomentFilter),
        OutcomeFilter,
        ("group", AutocompleteSelectFilter),
        ("endpoint", AutocompleteSelectFilter),
        RecordedFilter,
        TagFilter,
        EndedByFilter,
        ("duration", DurationFilter),
        ("status", ChoicesDropdownFilter),
        SipCodeFilter,
        DirectionFilter,
        RegionFilter,
        LegsFilter,
    )
    search_fields = ("from_address", "to_address", "sid", "sip_call_id")
    search_help_text = "Number, SID, Call-ID, tag or note"
    fields = ("sid",)
    related = ("group", "endpoint", "route__domain", "domain", "parent")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Call]:
        """Return calls with all that a row shows, in three queries a page."""
        legs = Call.objects.select_related("endpoint").order_by("start_time")
        recordings = Recording.objects.order_by("start_time")
        return Call.objects.select_related(*self.related).prefetch_related(
            Prefetch("legs", legs), Prefetch("recordings", recordings)
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Call], search_term: str
    ) -> tuple[QuerySet[Call], bool]:
        """Find whole numbers and identifiers through their indexes; only if there are none, look inside addresses."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if is_sid(term, "CA"):
            return queryset.filter(Q(sid=term) | Q(parent=term)), False
        columns = ("from_user", "to_user", "sip_call_id")
        # A union, because one condition with OR over three columns makes SQLite walk the whole table.
        first, *others = (Call.objects.order_by().filter(**{column: term}).values("pk") for column in columns)
        tagged = CallTag.objects.order_by().filter(tag__name=term.lower()).values("call")
        noted = CallNote.objects.order_by().filter(text__icontains=term).values("call")
        exact = queryset.filter(pk__in=first.union(*others, tagged, noted))
        if exact.exists():
            return exact, False
        inside = Q(from_address__icontains=term) | Q(to_address__icontains=term)
        return in_window(request, queryset.filter(inside)), False

    def get_urls(self) -> list[URLPattern]:
        """Add the paths of the export and of the SIP messages as text."""
        view = self.admin_site.admin_view(require_GET(self.export_view))
        trace = self.admin_site.admin_view(require_GET(self.trace_view))
        own = [path("export/", view, name=EXPORT), path("<str:object_id>/sip.txt", trace, name="calls_call_trace")]
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list; say in the title that these are calls, and below how far it has looked."""
        response = super().changelist_view(request, {**(extra_context or {}), "title": "Calls", "exports": True})
        if (window := used_window(request)) and window.since and hasattr(response, "context_data"):
            response.context_data["looked_back_to"] = window.since
        return response

    def trace_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send the SIP messages of a call as text."""
        call = Call.objects.select_related("endpoint").filter(pk=object_id).first()
        if call is None:
            raise Http404(f"There is no call {object_id}.")
        if not self.has_view_permission(request, call):
            raise PermissionDenied
        legs = call_page.legs_of(call)
        events = call.events.filter(name=ANOTHER_ADDRESS)
        text = call_trace.as_text(call, legs, call_page.names_of(call, legs), events)
        headers = {"Content-Disposition": f'attachment; filename="{call.sid}-sip.txt"', "Cache-Control": "no-store"}
        return HttpResponse(text, content_type="text/plain; charset=utf-8", headers=headers)

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Send the calls that the list would show, all of them, as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        request.GET = QueryDict(saved_views.normal(request.GET.urlencode()))
        try:
            calls = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return redirect(reverse("admin:calls_call_changelist"))
        name = f"calls-{timezone.localtime():%Y-%m-%d-%H%M}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return StreamingHttpResponse(export.stream(calls), content_type="text/csv; charset=utf-8", headers=headers)

    @admin.display(description="Started", ordering="start_time")
    def started(self, call: Call) -> SafeString:
        """Show when, and which way the call went."""
        icon, title = ARROWS[Call.Direction(call.direction)]
        return format_html(
            '<span class="cb-when"><span class="material-symbols-outlined" title="{}">{}</span>{}</span>',
            title,
            icon,
            moment(call.start_time),
        )

    @admin.display(description="From")
    def caller(self, call: Call) -> SafeString:
        """Show the caller."""
        return two_lines(shown(call.from_user or call.from_address), shown(call_page.host_of(call.from_address)))

    @admin.display(description="To")
    def called(self, call: Call) -> SafeString:
        """Show what was dialled."""
        return two_lines(shown(call.to_user or call.to_address), shown(call_page.host_of(call.to_address)))

    @admin.display(description="Status")
    def outcome(self, call: Call) -> SafeString:
        """Show the status and the SIP code behind it."""
        tone = TONES[Call.Status(call.status)]
        code = format_html(' <span class="cb-quiet">{}</span>', call.sip_code) if call.sip_code else ""
        return format_html("{}{}", label(call.get_status_display(), tone, harmless(call.reason)), code)

    @admin.display(description="Talked")
    def lasted(self, call: Call) -> SafeString:
        """Show how long they talked, and how long it rang before."""
        rang = f"rang {clock(call.ring_seconds)}" if call.ring_seconds is not None else ""
        return two_lines(clock(call.talk_seconds), rang)

    @admin.display(description="Group / endpoint")
    def went_to(self, call: Call) -> SafeString:
        """Show the ring group and who of it answered."""
        winner = next((leg for leg in call.legs.all() if leg.answer_time), None)
        answered = (winner.endpoint or shown(winner.to_user)) if winner else ""
        if call.group:
            return two_lines(call.group, f"{answered} answered" if answered else "")
        return two_lines(call.endpoint or answered or "–", "")

    @admin.display(description="Legs")
    def leg_count(self, call: Call) -> str:
        """Show how many legs were dialled; for a leg, where it belongs."""
        if call.parent_id:
            return format_html(
                '<a class="cb-link" href="{}">of a call</a>', reverse("admin:calls_call_change", args=[call.parent_id])
            )
        return str(len(call.legs.all()) or "–")

    @admin.display(description="Recording")
    def recorded(self, call: Call) -> SafeString | str:
        """Show whether there is something to hear."""
        recording = next(iter(call.recordings.all()), None)
        if recording is None:
            return "–"
        if recording.status != Recording.Status.COMPLETED:
            return label(
                recording.get_status_display(), TONES.get(recording.status, "quiet"), harmless(recording.error)
            )
        return format_html(
            '<a class="cb-link cb-hear" href="{}#recordings">'
            '<span class="material-symbols-outlined">play_circle</span>{}</a>',
            call.admin_path,
            clock(recording.duration),
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the page of a call."""
        call = Call.objects.select_related(*self.related).filter(pk=object_id).first()
        extra = {} if call is None else {**call_page.context(call), **self.may(request, call)}
        if call is not None:
            extra |= {**self.may_annotate(request), "may_listen": request.user.has_perm(LISTEN)}
            extra |= {"may_send": request.user.has_perm(admin_webhooks.PERMISSION), "title": "Call"}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **extra})


admin_ring.install(admin.site)

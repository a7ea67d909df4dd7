"""Conferences with who is and was in them, and queues with who waits: to look at, as the engine tells of them.

They are changed through the REST API.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Count, F, Min, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from calls.admin_filters import MomentFilter
from calls.admin_log import LogAdmin, label, moment, shown
from calls.call_page import clock
from calls.harmless import harmless
from calls.models import Conference, Participant, Queue, QueueMember

SHOWN_AT_MOST = 200  # participants of a conference, members of a queue
_TONES = {
    Conference.Status.INIT: "busy",
    Conference.Status.IN_PROGRESS: "live",
    Conference.Status.COMPLETED: "quiet",
}
_WHY = {
    "conference-ended-via-api": "It was ended through the API.",
    "participant-with-end-conference-on-exit-left": "A participant left with whom it ends.",
    "participant-with-end-conference-on-exit-kicked": "A participant was taken out with whom it ends.",
    "last-participant-kicked": "The last participant was taken out.",
    "last-participant-left": "The last participant left.",
}


@admin.register(Conference)
class ConferenceAdmin(LogAdmin[Conference]):
    """Conferences, newest first."""

    ordering = ("-created",)
    list_display = ("begun", "named", "state", "inside", "lasted", "account")
    list_display_links = ("begun",)
    list_filter = (("status", ChoicesDropdownFilter), ("created", MomentFilter))
    search_fields = ("friendly_name",)
    search_help_text = "The name as it is, or a conference SID."
    fields = ("sid",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conference]:
        """Return conferences with how many are in each."""
        inside = Count("participants", filter=Q(participants__left=None, participants__joined__isnull=False))
        return Conference.objects.select_related("account").annotate(inside=inside)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Conference], search_term: str
    ) -> tuple[QuerySet[Conference], bool]:
        """Find a conference by its name or SID."""
        term = search_term.strip()
        return (queryset.filter(Q(friendly_name=term) | Q(sid=term)) if term else queryset), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the page of a conference."""
        found = self.get_queryset(request).filter(pk=object_id).first()
        extra = {"title": "Conference", "subtitle": None} if found else {}
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), **extra, **(_page(found) if found else {})}
        )

    @admin.display(description="Begun", ordering="created")
    def begun(self, row: Conference) -> SafeString:
        """Show when."""
        return moment(row.created)

    @admin.display(description="Name")
    def named(self, row: Conference) -> str:
        """Show the name that calls gave it."""
        return shown(row.friendly_name)

    @admin.display(description="Status")
    def state(self, row: Conference) -> SafeString:
        """Show its status, and why it ended."""
        return label(row.get_status_display(), _TONES[Conference.Status(row.status)], _WHY.get(row.reason_ended, ""))

    @admin.display(description="In it")
    def inside(self, row: Conference) -> str:
        """Show how many are in it now."""
        return "–" if row.over else str(row.inside)  # type: ignore[attr-defined]  # an annotation

    @admin.display(description="Lasted")
    def lasted(self, row: Conference) -> str:
        """Show for how long, or for how long so far."""
        return clock(_lasted(row))


def _lasted(row: Conference) -> float:
    end = row.updated if row.over else timezone.now()
    return max(0.0, (end - row.created) / timedelta(seconds=1))


def _page(row: Conference) -> dict[str, Any]:
    """Return the variables of templates/admin/calls/conference/change_form.html."""
    people = Participant.objects.filter(conference=row).select_related("call")
    people = people.order_by(F("left").asc(nulls_first=True), "created")
    found = list(people[: SHOWN_AT_MOST + 1])
    return {
        "room": row,
        "name": harmless(row.friendly_name),
        "tone": _TONES[Conference.Status(row.status)],
        "why": _WHY.get(row.reason_ended, ""),
        "lasted": clock(_lasted(row)),
        "people": [(one, clock(_stay(one))) for one in found[:SHOWN_AT_MOST]],
        "more": len(found) > SHOWN_AT_MOST,
    }


def _stay(one: Participant) -> float | None:
    if one.joined is None:
        return None
    return max(0.0, ((one.left or timezone.now()) - one.joined) / timedelta(seconds=1))


@admin.register(Queue)
class QueueAdmin(LogAdmin[Queue]):
    """Queues, newest first."""

    ordering = ("-created",)
    list_display = ("made", "named", "waiting", "longest", "max_size", "account")
    list_display_links = ("made",)
    list_filter = ()
    search_fields = ("friendly_name",)
    search_help_text = "A part of the name."
    fields = ("sid",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Queue]:
        """Return queues with how many wait in each, and since when."""
        rows = Queue.objects.select_related("account")
        return rows.annotate(waiting=Count("members"), since=Min("members__enqueued"))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the page of a queue."""
        found = self.get_queryset(request).filter(pk=object_id).first()
        extra = {"title": "Queue", "subtitle": None, **_queue_page(found)} if found else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **extra})

    @admin.display(description="Made", ordering="created")
    def made(self, row: Queue) -> SafeString:
        """Show when."""
        return moment(row.created)

    @admin.display(description="Name")
    def named(self, row: Queue) -> str:
        """Show the name that calls give it."""
        return shown(row.friendly_name)

    @admin.display(description="Waiting")
    def waiting(self, row: Queue) -> str:
        """Show how many wait."""
        return str(row.waiting)  # type: ignore[attr-defined]  # an annotation

    @admin.display(description="Longest wait")
    def longest(self, row: Queue) -> str:
        """Show how long the one in front has waited."""
        since = getattr(row, "since", None)
        return "–" if since is None else clock((timezone.now() - since) / timedelta(seconds=1))


def _queue_page(row: Queue) -> dict[str, Any]:
    """Return the variables of templates/admin/calls/queue/change_form.html."""
    members = list(
        QueueMember.objects.filter(queue=row).select_related("call").order_by("enqueued", "pk")[:SHOWN_AT_MOST]
    )
    now = timezone.now()
    return {
        "room": row,
        "name": harmless(row.friendly_name),
        "count": row.waiting,  # type: ignore[attr-defined]  # an annotation
        "members": [(one, clock(max(0.0, (now - one.enqueued) / timedelta(seconds=1)))) for one in members],
    }

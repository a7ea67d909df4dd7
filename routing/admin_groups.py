"""The pages of ring groups: members sorted by dragging, and what a call gets, in words and as TwiML, while one edits.

`RingGroupAdmin.actions` is a list that other apps add their own actions to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, QuerySet
from django.forms.formsets import all_valid
from django.forms.widgets import Script
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from routing import group_preview
from routing.admin_bulk import BulkAdmin
from routing.admin_parts import ServedAdmin
from routing.api.v1.groups import RingGroups
from routing.forms import MemberForm, MemberFormSet, RingGroupForm
from routing.models import RingGroup, RingGroupMember
from routing.resolve import Destination
from routing.situation import preview
from routing.summaries import summary_of, with_summaries
from routing.theme import TabularInline, display
from routing.voice import Context

RECORDING = (
    "record",
    "trim",
    "recording_status_callback",
    "recording_status_callback_events",
    "recording_status_callback_method",
)
TARGETS = ("group", "endpoint", "voicemail", "text")
NO_EFFECT = (
    "Members' own ring timeouts have no effect while all ring at once: choose another strategy, or empty them. "
    "They are kept."
)


def _kinds(prefix: str, condition: str = "") -> dict[str, str]:
    """Return when the fields of a choice are shown: each with its kind."""
    kinds = {**{name: name for name in TARGETS}, "text": "say"}
    return {f"{prefix}_{name}": f"{condition}{prefix} == '{kind}'" for name, kind in kinds.items()}


class MemberInline(TabularInline[RingGroupMember, RingGroup]):
    model = RingGroupMember
    form = MemberForm
    formset = MemberFormSet
    # The ordering field must be listed, and last: without it Unfold moves rows but does not save the order.
    fields = ("endpoint", "ring_timeout", "weight", "enabled", "position")
    autocomplete_fields = ("endpoint",)
    ordering_field = "position"
    hide_ordering_field = True
    verbose_name_plural = "members, in order – drag to sort"


@admin.register(RingGroup)
class RingGroupAdmin(BulkAdmin[RingGroup], ServedAdmin[RingGroup]):
    table = RingGroups
    form = RingGroupForm
    change_form_before_template = "routing/group_summary.html"
    change_form_after_template = "routing/group_served.html"
    list_display = ("name", "strategy_label", "count", "in_short")
    ordering = ("name", "id")
    list_filter = ("strategy", "record", "fallback", "schedule", "account")
    list_select_related = ("account",)
    search_fields = ("name", "members__endpoint__name")
    autocomplete_fields = (
        "account", "fallback_group", "fallback_endpoint", "fallback_voicemail", "schedule", "closed_group",
        "closed_endpoint", "closed_voicemail",
    )  # fmt: skip
    actions: list[Any] = ["copy_selected"]
    inlines = (MemberInline,)
    conditional_fields = {
        **_kinds("fallback"),
        "closed": "schedule",
        **_kinds("closed", "schedule && "),
        **dict.fromkeys(RECORDING[1:], "record != 'do-not-record'"),
    }
    fieldsets = (
        (None, {"fields": ("name", "account", "strategy", "ring_timeout")}),
        ("If nobody answers", {"fields": ("fallback", *(f"fallback_{name}" for name in TARGETS))}),
        ("Who is rung", {"classes": ("tab",), "fields": ("skip_busy", "exclude_caller", "confirm")}),
        (
            "Opening hours",
            {"classes": ("tab",), "fields": ("schedule", "closed", *(f"closed_{name}" for name in TARGETS))},
        ),
        ("Caller ID and ringing", {"classes": ("tab",), "fields": ("caller_id_prefix", "caller_id", "ring_tone")}),
        ("Recording", {"classes": ("tab",), "fields": RECORDING}),
        ("The call", {"classes": ("tab",), "fields": ("answer_on_bridge", "hangup_on_star", "time_limit")}),
    )

    class Media:
        js = (Script("routing/group_form.js", defer=True),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RingGroup]:
        return with_summaries(super().get_queryset(request)).annotate(number=Count("members", distinct=True))

    def get_urls(self) -> list[Any]:
        """Add the preview of what is typed, for a new group and for one that is there."""
        view = self.admin_site.admin_view(require_POST(self.preview))
        return [
            path("preview/", view, name="routing_ringgroup_preview"),
            path("<int:pk>/preview/", view, name="routing_ringgroup_preview_change"),
            *super().get_urls(),
        ]

    @display(
        description="Strategy",
        ordering="strategy",
        label={
            "Parallel": "info",
            "Sequential": "success",
            "Random": "warning",
            "Round robin": "warning",
            "Longest idle": "warning",
            "Weighted": "warning",
        },
    )
    def strategy_label(self, group: RingGroup) -> str:
        return group.get_strategy_display().partition(" –")[0]

    @display(description="Members", ordering="number")
    def count(self, group: Any) -> int:
        return int(group.number)

    @display(description="In short")
    def in_short(self, group: RingGroup) -> str:
        return summary_of(group)

    def destination_of(self, group: RingGroup) -> Destination:
        return Destination(group, group_preview.reasons(group, timezone.now()))

    def context_of(self, group: RingGroup) -> Context:
        """Show what is served in the opening hours, also in the evening when people make changes."""
        return Context("ringing", mask_secrets=True, situation=replace(preview(), now=None))

    def in_words(self, group: RingGroup) -> list[dict[str, str]]:
        return group_preview.chain(group)

    def used_by(self, group: RingGroup) -> list[Any]:
        closing = group.closed_of.filter(closed="group", schedule__isnull=False)
        return [*group.routes.select_related("domain"), *group.fallback_of.filter(fallback="group"), *closing]

    def render_change_form(
        self, request: HttpRequest, context: Any, add: bool = False, change: bool = False, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add where the form is sent for its preview."""
        obj = kwargs.get("obj")
        if self._may_edit(request, obj):
            name = "admin:routing_ringgroup_preview"
            context["preview_url"] = reverse(f"{name}_change", args=[obj.pk]) if obj else reverse(name)
        return super().render_change_form(request, context, add, change, *args, **kwargs)

    def _may_edit(self, request: HttpRequest, obj: RingGroup | None) -> bool:
        return self.has_change_permission(request, obj) if obj else self.has_add_permission(request)

    def preview(self, request: HttpRequest, pk: int | None = None) -> JsonResponse:
        """Answer with what a call would get if the form were saved as it is, or what is wrong with it; save nothing."""
        obj = self.get_object(request, str(pk)) if pk is not None else None
        if pk is not None and obj is None:
            raise Http404
        if not self._may_edit(request, obj):
            raise PermissionDenied
        form = self.get_form(request, obj, change=obj is not None)(request.POST, instance=obj)
        form_is_valid = form.is_valid()
        formsets, _ = self._create_formsets(request, form.instance, change=obj is not None)  # type: ignore[attr-defined]
        if not (all_valid(formsets) and form_is_valid):
            return JsonResponse(group_preview.problems(form, formsets))
        members = group_preview.members(formsets[0]) if formsets else list(form.instance.members.all())
        return JsonResponse(group_preview.shown(form.instance, members, self.context_of(form.instance)))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Point out what was saved and has no effect."""
        super().save_related(request, form, formsets, change)
        group: RingGroup = form.instance
        parallel = group.strategy == RingGroup.Strategy.PARALLEL
        if parallel and group.members.filter(enabled=True, ring_timeout__isnull=False).exists():
            messages.warning(request, NO_EFFECT)

    @admin.action(description="Copy", permissions=["add"])
    def copy_selected(self, request: HttpRequest, queryset: QuerySet[RingGroup]) -> None:
        """Make a copy of each group with its members; nothing leads to it yet."""
        with transaction.atomic():
            for group in queryset.order_by("name", "pk"):
                self.log_addition(request, copied := copy(group), f"Copied from {group}.")
                messages.success(request, f"{group} was copied to {copied}: no route leads there yet.")


def copy(group: RingGroup) -> RingGroup:
    """Store and return a copy of a group with its members, under a name that is free."""
    members = list(group.members.all())
    taken = set(RingGroup.objects.filter(account=group.account_id).values_list("name", flat=True))
    copied = RingGroup.objects.get(pk=group.pk)
    copied.pk, copied._state.adding = None, True
    copied.name = _free_name(group.name, taken.__contains__)
    copied.save()
    for member in members:
        member.pk, member._state.adding, member.group = None, True, copied
        member.save()
    return copied


def _free_name(name: str, is_taken: Callable[[str], bool]) -> str:
    number = 1
    while True:
        suffix = " (copy)" if number == 1 else f" (copy {number})"
        if not is_taken(found := name[: 64 - len(suffix)] + suffix):
            return found
        number += 1

"""The pages of the history: all changes, the versions of one object, and the question before one is restored."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from unfold.contrib.filters.admin import RangeDateTimeFilter

from routing import history, versions
from routing.models import Change
from routing.theme import ModelAdmin, display

_PAGE = 200  # changes that are read for one page of versions
_LINES = 6


class WhatFilter(admin.SimpleListFilter):
    """Changes of one kind of object, its parts included."""

    title = "what"
    parameter_name = "what"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Name the kinds."""
        kinds = [model for model in history.tracked() if not history.part_of(model)]
        return sorted(((history.label_of(one), str(one._meta.verbose_name)) for one in kinds), key=lambda one: one[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep those of the kind."""
        return queryset.filter(root_model=self.value()) if self.value() else queryset


class WhoFilter(admin.SimpleListFilter):
    """Changes of one user, key or account."""

    title = "who"
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Name those who changed something."""
        names = Change.objects.exclude(action=Change.Action.PRESENT).order_by("who").values_list("who", flat=True)
        return [(name, name) for name in names.distinct()[:100]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep those of whom was chosen."""
        return queryset.filter(who=self.value()) if self.value() else queryset


@admin.register(Change)
class ChangeAdmin(ModelAdmin[Change]):
    """Everything that was changed, newest first."""

    list_display = ("when", "who", "where_from", "what", "did", "differences_told")
    list_display_links = None
    list_filter = (WhoFilter, WhatFilter, "action", "via", ("time", RangeDateTimeFilter))
    search_fields = ("who", "name", "root_name", "object_id", "root_id", "note")
    list_per_page = 50
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Change]:
        return super().get_queryset(request).exclude(action=Change.Action.PRESENT)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Change | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Change | None = None) -> bool:
        return False

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Lead to the versions of what was changed."""
        found = Change.objects.filter(pk=object_id).first() if object_id.isdecimal() else None
        if found is None:
            raise Http404
        return redirect("object-history", label=found.root_model, pk=found.root_id)

    @display(description="When", ordering="-id")
    def when(self, change: Change) -> str:
        return date_format(timezone.localtime(change.time), "Y-m-d H:i:s")

    @display(description="From")
    def where_from(self, change: Change) -> str:
        return f"{change.via}, {change.ip}" if change.ip else change.via

    @display(description="What")
    def what(self, change: Change) -> str:
        url = reverse("object-history", args=[change.root_model, change.root_id])
        whole = change.root_name or change.name
        part = "" if change.model == change.root_model else f"{_kind(change.model)} {change.name} of "
        return format_html('{}<a class="cb-link" href="{}">{} {}</a>', part, url, _kind(change.root_model), whole)

    @display(description="Did", label={"Created": "success", "Changed": "info", "Deleted": "danger"})
    def did(self, change: Change) -> str:
        return change.get_action_display().capitalize()

    @display(description="Old → new")
    def differences_told(self, change: Change) -> str:
        lines = [(one["label"], one["old"] or "–", one["new"] or "–") for one in change.differences]
        told = format_html_join("", "<div>{}: {} → {}</div>", lines[:_LINES])
        more = format_html("<div>and {} more</div>", len(lines) - _LINES) if len(lines) > _LINES else ""
        note = format_html("<div>{}</div>", change.note) if change.note else ""
        return format_html('<div class="cb-differences">{}{}{}</div>', note, told, more)


def object_history(request: HttpRequest, label: str, pk: str) -> HttpResponse:
    """Show the versions of an object, which may be gone, newest first."""
    model_admin, row = _open(request, label, pk)
    changes = Change.objects.filter(root_model=label, root_id=pk).order_by("-id")
    page = Paginator(changes, _PAGE).get_page(request.GET.get("p"))
    entries = versions.entries(page.object_list)
    if not entries and row is None:
        raise Http404
    name = str(row) if row is not None else entries[0].last.name
    shown = [(entry, versions.number_of(entry)) for entry in entries]
    context = {
        **admin.site.each_context(request),
        "opts": model_admin.opts,
        "title": f"History of {name}",
        "entries": shown,
        "page": page,
        "label": label,
        "pk": pk,
        "row": row,
        "newest": shown[0][1] if shown and page.number == 1 else None,
        "may_restore": _may_restore(request, model_admin, row),
    }
    return render(request, "routing/history.html", context)


def restore(request: HttpRequest, label: str, pk: str, number: int) -> HttpResponse:
    """Ask, showing what would change; then bring the version back."""
    model_admin, row = _open(request, label, pk)
    if not _may_restore(request, model_admin, row):
        raise PermissionDenied
    version = Change.objects.filter(root_model=label, root_id=pk, id=number).first()
    if version is None:
        raise Http404
    when = date_format(timezone.localtime(version.time), "Y-m-d H:i:s")
    newest = versions.newest(model_admin.model, pk)
    if request.method == "POST":
        if request.POST.get("newest") == str(newest):
            done = versions.restore(label, pk, number, f"Restored the version of {when}.")
            if not done.errors:
                return _restored(request, model_admin, pk, done, when)
        else:
            messages.error(request, "Somebody changed this meanwhile: look again at what would change.")
    context = {
        **admin.site.each_context(request),
        "opts": model_admin.opts,
        "title": f"Restore {version.root_name or version.name}",
        "outcome": versions.preview(label, pk, number),
        "when": when,
        "newest": newest,
        "back": reverse("object-history", args=[label, pk]),
    }
    return render(request, "routing/restore.html", context)


def _restored(request: HttpRequest, model_admin: Any, pk: str, done: versions.Outcome, when: str) -> HttpResponse:
    row = model_admin.model._base_manager.get(pk=pk)
    model_admin.log_change(request, row, f"Restored the version of {when}.")
    messages.success(request, f"{row} is as it was, {when}.")
    for remark in done.remarks:
        messages.warning(request, remark)
    return redirect(f"admin:{model_admin.opts.app_label}_{model_admin.opts.model_name}_change", pk)


def _open(request: HttpRequest, label: str, pk: str) -> tuple[Any, Any]:
    """Return the admin of a kind of object, and the object, None if it is gone; refuse who may not view it."""
    model = history.model_of(label)
    model_admin = admin.site._registry.get(model) if model else None
    if model is None or model_admin is None:
        raise Http404
    try:
        row = model._base_manager.filter(pk=pk).first()
    except ValueError:
        raise Http404 from None
    if not model_admin.has_view_permission(request, row):
        raise PermissionDenied
    return model_admin, row


def _may_restore(request: HttpRequest, model_admin: Any, row: Any) -> bool:
    """Say whether this user may do all that restoring does: to the object, and to its parts."""
    own = (
        model_admin.has_change_permission(request, row) if row is not None else model_admin.has_add_permission(request)
    )
    names = [part._meta.model_name for part, _ in history.parts_of(model_admin.model)]
    return own and all(
        request.user.has_perm(f"routing.{verb}_{name}") for name in names for verb in ("add", "change", "delete")
    )


def _kind(label: str) -> str:
    model = history.model_of(label)
    return str(model._meta.verbose_name) if model else label.partition(".")[2]

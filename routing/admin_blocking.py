"""The admin page of blocked callers."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from routing.models import BlockedCaller
from routing.theme import ModelAdmin, display


@admin.register(BlockedCaller)
class BlockedCallerAdmin(ModelAdmin[BlockedCaller]):
    """Other pages lead here with `?pattern=…&account=AC…&reason=…` to fill in the form."""

    list_display = ("pattern", "state", "answer_label", "reason", "domain", "blocked_by", "account")
    list_filter = ("answer", "account")
    list_select_related = ("account", "domain")
    search_fields = ("pattern", "reason")
    search_help_text = "Number, address or reason."
    autocomplete_fields = ("account", "domain")
    fieldsets = (
        (None, {"fields": ("pattern", "account", "answer", "reason", "expires")}),
        ("Only some calls", {"classes": ("collapse",), "fields": ("domain",)}),
    )

    def save_model(self, request: HttpRequest, obj: BlockedCaller, form: Any, change: bool) -> None:
        """Note who blocks the caller."""
        if not change:
            obj.created_by = request.user.get_username()
        super().save_model(request, obj, form, change)

    @display(description="State", label={"Blocked": "danger", "Over": "default"})
    def state(self, row: BlockedCaller) -> str:
        return "Over" if row.expires and row.expires <= timezone.now() else "Blocked"

    @display(description="Gets", ordering="answer")
    def answer_label(self, row: BlockedCaller) -> str:
        return row.answer

    @display(description="By")
    def blocked_by(self, row: BlockedCaller) -> str:
        day = f"{timezone.localtime(row.created):%d.%m.%Y}"
        return f"{row.created_by}, {day}" if row.created_by else day

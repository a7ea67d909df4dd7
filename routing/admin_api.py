"""The admin pages of what the REST API has more of: keys that open it, applications, and telephone numbers."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from routing.models import ApiKey, Application, PhoneNumber
from routing.theme import ModelAdmin, display

URLS = (
    "voice_url",
    "voice_method",
    "voice_fallback_url",
    "voice_fallback_method",
    "status_callback",
    "status_callback_method",
)


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin[ApiKey]):
    list_display = ("friendly_name", "sid", "account", "may", "last_used", "state")
    list_filter = ("account", "read_only")
    list_select_related = ("account",)
    search_fields = ("friendly_name", "sid")
    autocomplete_fields = ("account",)
    fields = ("friendly_name", "account", "read_only", "sid", "created", "last_used", "revoked")
    actions = ["revoke"]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return ("sid", "created", "last_used", "revoked", *(("account",) if obj else ()))

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return self.fields if obj else self.fields[:3]

    @display(description="May", ordering="read_only")
    def may(self, key: ApiKey) -> str:
        return "read" if key.read_only else "read and change"

    @display(description="State", ordering="revoked", label={"Active": "success", "Revoked": "danger"})
    def state(self, key: ApiKey) -> str:
        return "Revoked" if key.revoked else "Active"

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Draw the secret of a new key, and show it this once."""
        secret = "" if change else obj.draw_secret()
        super().save_model(request, obj, form, change)
        if secret:
            messages.warning(request, f"API key {obj.sid}, its secret is shown only now: {secret}")

    @admin.action(description="Revoke for good", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Take the keys back."""
        for key in queryset.filter(revoked=None):
            key.revoke()
            self.log_change(request, key, "Revoked.")
        messages.success(request, "Revoked: the selected keys open nothing any more.")


@admin.register(Application)
class ApplicationAdmin(ModelAdmin[Application]):
    list_display = ("friendly_name", "sid", "voice_url", "numbers", "account")
    list_filter = ("account",)
    list_select_related = ("account",)
    search_fields = ("friendly_name", "sid", "voice_url")
    autocomplete_fields = ("account",)
    readonly_fields = ("sid",)
    fields = ("friendly_name", "account", "sid", *URLS)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Application]:
        rows: QuerySet[Application] = super().get_queryset(request)
        return rows.annotate(number=Count("phone_numbers"))

    @display(description="Numbers", ordering="number")
    def numbers(self, row: Any) -> int:
        return int(row.number)


@admin.register(PhoneNumber)
class PhoneNumberAdmin(ModelAdmin[PhoneNumber]):
    list_display = ("phone_number", "friendly_name", "handled_by", "account")
    list_filter = ("account",)
    list_select_related = ("account", "application")
    search_fields = ("phone_number", "friendly_name", "sid")
    autocomplete_fields = ("account", "application")
    readonly_fields = ("sid",)
    fieldsets = (
        (None, {"fields": ("phone_number", "friendly_name", "account", "sid")}),
        ("Who handles its calls", {"fields": ("application", *URLS)}),
    )

    @display(description="Handled by")
    def handled_by(self, row: PhoneNumber) -> str:
        if row.application:
            return f"application {row.application}"
        return row.voice_url or "the SIP domain that the call comes to"

"""Admin pages of what is kept: retention rules with what they would delete, past runs, held calls, who listened."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextInputWidget

from calls import access, retention
from calls.admin_log import moment
from calls.harmless import harmless
from calls.models import Call, Hold, Recording, RecordingAccess, RetentionRun
from routing import roles
from routing.admin_bulk import action
from routing.models import RetentionRule
from routing.theme import ModelAdmin, ModelForm, display

LABELS = {"recordings": "Recordings", "traces": "SIP messages", "bodies": "Webhook bodies", "calls": "Calls"}
_MOST = 50


class Only(ModelAdmin[Any]):
    """Rows that are looked at and never edited."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(RecordingAccess)
class RecordingAccessAdmin(Only):
    """Who listened to what, for admins."""

    list_display = ("when", "who", "how", "extension", "recording", "ip", "program")
    list_filter = ("how",)
    search_fields = ("who", "recording_sid", "call_sid", "ip")
    show_full_result_count = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and roles.is_admin(request.user)

    @display(description="When", ordering="time")
    def when(self, row: RecordingAccess) -> str:
        return moment(row.time)

    @display(description="Recording")
    def recording(self, row: RecordingAccess) -> SafeString:
        url = reverse("admin:calls_recording_change", args=[row.recording_sid])
        return format_html('<a class="cb-link" href="{}">{}</a>', url, row.recording_sid)

    @display(description="Program")
    def program(self, row: RecordingAccess) -> str:
        return harmless(row.user_agent)[:80]


@admin.register(RetentionRun)
class RetentionRunAdmin(Only):
    """What was deleted when."""

    list_display = ("when", "account_sid", "kind_label", "rows", "size", "errors", "error")
    list_filter = ("kind",)
    search_fields = ("account_sid", "error")

    @display(description="When", ordering="started")
    def when(self, row: RetentionRun) -> str:
        return moment(row.started)

    @display(description="Kind", ordering="kind")
    def kind_label(self, row: RetentionRun) -> str:
        return LABELS.get(row.kind, row.kind)

    @display(description="Size", ordering="bytes")
    def size(self, row: RetentionRun) -> str:
        return str(filesizeformat(row.bytes))


class HoldForm(ModelForm[Hold]):
    """Names a call by its SID: a list of a million calls is no choice."""

    call = forms.CharField(
        label="call SID", max_length=34, widget=UnfoldAdminTextInputWidget, help_text="CA…, as on the call's page."
    )

    class Meta:
        model = Hold
        fields = ("call", "reason")

    def clean_call(self) -> Call:
        """Find the call."""
        found = Call.objects.filter(pk=self.cleaned_data["call"].strip()).first()
        if found is None:
            raise forms.ValidationError("There is no such call: copy the SID from its page.")
        if Hold.objects.filter(pk=found.pk).exists():
            raise forms.ValidationError("This call is kept already.")
        return found.parent or found


@admin.register(Hold)
class HoldAdmin(ModelAdmin[Hold]):
    """Calls that retention leaves alone."""

    form = HoldForm
    list_display = ("call_sid", "reason", "who", "since")
    list_display_links = ("since",)  # the call leads to the call
    search_fields = ("call__sid", "reason", "who")

    def has_change_permission(self, request: HttpRequest, obj: Hold | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Hold, form: Any, change: bool) -> None:
        """Say who keeps it."""
        obj.who = request.user.get_username()
        super().save_model(request, obj, form, change)

    @display(description="Call", ordering="call_id")
    def call_sid(self, hold: Hold) -> SafeString:
        url = reverse("admin:calls_call_change", args=[hold.call_id])
        return format_html('<a class="cb-link" href="{}">{}</a>', url, hold.call_id)

    @display(description="Since", ordering="created")
    def since(self, hold: Hold) -> str:
        return moment(hold.created)


@admin.register(RetentionRule)
class RetentionRuleAdmin(ModelAdmin[RetentionRule]):
    list_display = ("account", "recordings_days", "traces_days", "bodies_days", "calls_days")
    list_select_related = ("account",)
    search_fields = ("account__friendly_name", "account__sid")
    autocomplete_fields = ("account",)
    fields = ("account", "recordings_days", "traces_days", "bodies_days", "calls_days")

    actions_list = ["preview"]

    @action(description="What would go now", icon="visibility", url_path="preview", permissions=["view"])
    def preview(self, request: HttpRequest) -> HttpResponse:
        """Show what the next run would delete, per account and kind; delete nothing."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "What retention would delete now",
            "rows": [(LABELS[one.kind], one) for one in retention.plan()],
            "runs": [(LABELS.get(one.kind, one.kind), one) for one in RetentionRun.objects.all()[:20]],
            "rules": reverse("admin:routing_retentionrule_changelist"),
        }
        return render(request, "calls/retention.html", context)

    def get_readonly_fields(self, request: HttpRequest, obj: RetentionRule | None = None) -> tuple[str, ...]:
        return ("account",) if obj else ()


def heard_by(recording: Recording) -> SafeString:
    """Return who listened to a recording, for its page."""
    rows = access.of_recording(recording.pk)[:_MOST]
    told = [(moment(row.time), row.who, row.get_how_display(), row.extension.upper(), row.ip) for row in rows]
    lines = format_html_join("", "<li>{}: {} {} it ({}) {}</li>", told)
    return format_html("<ul>{}</ul>", lines) if told else format_html("{}", "nobody yet")

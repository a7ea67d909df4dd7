"""Webhooks: every attempt to tell a web application something, and the button that makes a further one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from calls import delivery as deliveries
from calls import webhook_page
from calls.admin_filters import ErrorCodeFilter, MomentFilter, TopicFilter
from calls.admin_log import LogAdmin, label, link_to, moment, newest, request_line, two_lines
from calls.call_page import TONES
from calls.desk_filters import HostFilter
from calls.models import WebhookDelivery
from routing.errors import lookup
from routing.sid import is_sid

PERMISSION = "calls.add_webhookdelivery"
AT_ONCE = 500  # messages that one action sends again


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(LogAdmin[WebhookDelivery]):
    """Attempts, newest first."""

    ordering = ("-time",)
    actions = ("send_again",)
    list_display = ("at", "of_call", "told", "address", "attempt", "answer", "took", "became")
    list_display_links = ("at",)
    list_filter = (("state", ChoicesDropdownFilter), TopicFilter, HostFilter, ErrorCodeFilter, ("time", MomentFilter))
    search_fields = ("url",)
    search_help_text = "SID of a call, a message or an attempt; else inside the URLs of the newest attempts."
    fields = ("sid",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookDelivery]:
        """Return attempts with their calls."""
        return WebhookDelivery.objects.select_related("call")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[WebhookDelivery], search_term: str
    ) -> tuple[QuerySet[WebhookDelivery], bool]:
        """Find identifiers through their indexes; anything else inside URLs."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if is_sid(term, "CA"):
            return queryset.filter(call=term), False
        if is_sid(term, "WD"):
            return queryset.filter(Q(message=term) | Q(sid=term)), False
        return newest(queryset).filter(url__icontains=term), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list."""
        return super().changelist_view(request, {**(extra_context or {}), "title": "Webhooks"})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the page of an attempt."""
        found = self.get_queryset(request).filter(pk=object_id).first()
        extra: dict[str, Any] = {"title": "Webhook", "subtitle": None, "may_send": self.has_send_permission(request)}
        extra |= webhook_page.context(found) if found else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **extra})

    def get_urls(self) -> list[URLPattern]:
        """Add the path of the button."""
        view = self.admin_site.admin_view(require_POST(self.send_again_view))
        return [path("<str:object_id>/send/", view, name="calls_webhookdelivery_send"), *super().get_urls()]

    def has_send_permission(self, request: HttpRequest) -> bool:
        """Say whether this user may send messages again."""
        return bool(request.user.has_perm(PERMISSION))

    def send_again_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send the message of an attempt again, and lead to the page of the new attempt."""
        if not self.has_send_permission(request):
            raise PermissionDenied
        found = self.get_queryset(request).filter(pk=object_id).first()
        if found is None:
            raise Http404(f"There is no webhook delivery {object_id}.")
        attempt = self._send(request, found)
        messages.success(request, f"Attempt {attempt.attempt} is on its way; reload this page to see what came of it.")
        return redirect(reverse("admin:calls_webhookdelivery_change", args=[attempt.pk]))

    @admin.action(description="Send again now", permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        """Send the messages of the selected attempts again, each once."""
        chosen = list(queryset.order_by("-time")[: AT_ONCE + 1])
        if len(chosen) > AT_ONCE:
            messages.error(request, f"Select at most {AT_ONCE} attempts: nothing was sent.")
            return
        last = {found.message: found for found in chosen}
        for found in last.values():
            self._send(request, found)
        messages.success(request, f"{len(last)} {'message is' if len(last) == 1 else 'messages are'} sent again now.")

    def _send(self, request: HttpRequest, found: WebhookDelivery) -> WebhookDelivery:
        attempt = deliveries.send_again(found)
        self.log_change(request, attempt, f"Sent again now as attempt {attempt.attempt}.")
        return attempt

    @admin.display(description="Time", ordering="time")
    def at(self, delivery: WebhookDelivery) -> SafeString:
        """Show when."""
        return moment(delivery.time)

    @admin.display(description="Call")
    def of_call(self, delivery: WebhookDelivery) -> SafeString | str:
        """Link to the call."""
        return link_to(delivery.call)

    @admin.display(description="Event")
    def told(self, delivery: WebhookDelivery) -> SafeString:
        """Show what is told."""
        return format_html('<span class="cb-nowrap">{}</span>', two_lines(delivery.event, delivery.topic))

    @admin.display(description="URL")
    def address(self, delivery: WebhookDelivery) -> SafeString | str:
        """Show who is told."""
        return request_line(delivery.url, delivery.method)

    @admin.display(description="Response", ordering="response_status")
    def answer(self, delivery: WebhookDelivery) -> SafeString | str:
        """Show the HTTP status, or the code of what went wrong."""
        code = delivery.error_code
        error = label(code, "bad", delivery.error or lookup(code).text) if code else ""
        status = str(delivery.response_status or "")
        return format_html("{} {}", status, error) if status or error else "–"

    @admin.display(description="ms", ordering="milliseconds")
    def took(self, delivery: WebhookDelivery) -> str:
        """Show how long the answer took."""
        return "–" if delivery.milliseconds is None else str(delivery.milliseconds)

    @admin.display(description="State", ordering="state")
    def became(self, delivery: WebhookDelivery) -> SafeString:
        """Show the state."""
        tone = TONES[WebhookDelivery.State(delivery.state)]
        return label(delivery.get_state_display(), tone, delivery.error)

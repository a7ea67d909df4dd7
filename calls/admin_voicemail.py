"""Voicemail messages in the admin: listen, mark as heard, throw away, send the e-mail again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from calls import voicemail
from calls.admin_filters import MomentFilter
from calls.admin_log import LogAdmin, label, link_to, moment, shown, two_lines
from calls.blocking import block_url
from calls.call_page import clock
from calls.harmless import harmless
from calls.ledger import user_part
from calls.models import VoicemailMessage
from routing.sid import is_sid

CHANGE, LISTEN = "calls.change_voicemailmessage", "calls.listen_recording"
COUNTED = 100  # unheard messages that are told apart
MAIL_TONES = {"none": "quiet", "off": "quiet", "waiting": "busy", "sent": "good", "failed": "bad"}
_OPEN = Q(deleted_at=None)


class BoxFilter(admin.SimpleListFilter):
    """What is in the box, what nobody has heard, and what was thrown away; without it, what is in the box."""

    title = "messages"
    parameter_name = "show"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("unheard", "Not heard yet"), ("heard", "Heard"), ("deleted", "Thrown away")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the messages of the choice."""
        match self.value():
            case "unheard":
                return queryset.filter(_OPEN, heard_at=None)
            case "heard":
                return queryset.filter(_OPEN, heard_at__isnull=False)
            case "deleted":
                return queryset.filter(deleted_at__isnull=False)
            case _:
                return queryset


@admin.register(VoicemailMessage)
class VoicemailMessageAdmin(LogAdmin[VoicemailMessage]):
    """Messages, newest first."""

    ordering = ("-time",)
    actions = ("mark_heard", "mark_unheard", "throw_away", "put_back", "send_mail")
    list_display = ("left", "caller_shown", "box", "state", "player", "lasts", "told")
    list_display_links = ("left",)
    list_select_related = ("box", "recording", "call")
    list_filter = (
        BoxFilter,
        ("box", AutocompleteSelectFilter),
        ("mail", ChoicesDropdownFilter),
        ("time", MomentFilter),
    )
    search_fields = ("caller",)
    search_help_text = "Number of the caller, call SID or recording SID."
    fields = ("recording",)

    class Media:
        css = {"all": ["calls/calls.css"]}
        js = ["calls/voicemail.js"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[VoicemailMessage]:
        """Return messages with all that a row shows; those thrown away only where they are asked for."""
        rows = VoicemailMessage.objects.select_related(*self.list_select_related)
        lists = request.resolver_match and request.resolver_match.url_name == "calls_voicemailmessage_changelist"
        return rows.filter(_OPEN) if lists and request.GET.get("show") != "deleted" else rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[VoicemailMessage], search_term: str
    ) -> tuple[QuerySet[VoicemailMessage], bool]:
        """Find identifiers; anything else inside the callers' addresses."""
        term = search_term.strip().replace("\0", "")
        if is_sid(term, "CA"):
            return queryset.filter(call=term), False
        if is_sid(term, "RE"):
            return queryset.filter(pk=term), False
        return queryset.filter(caller__icontains=term) if term else queryset, False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list."""
        self._listens = request.user.has_perm(LISTEN)
        return super().changelist_view(request, {**(extra_context or {}), "title": "Voicemail"})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the page of a message."""
        found = self.get_queryset(request).filter(pk=object_id).first()
        extra: dict[str, Any] = {"title": "Voicemail message", "subtitle": None}
        extra |= self._page(request, found) if found else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **extra})

    def _page(self, request: HttpRequest, message: VoicemailMessage) -> dict[str, Any]:
        return {
            "message_left": message,
            "recording": message.recording,
            "caller": harmless(message.caller) or "unknown",
            "caller_user": harmless(user_part(message.caller)) or "an unknown caller",
            "length": clock(message.duration),
            "mail_tone": MAIL_TONES[message.mail],
            "mail_error": harmless(message.mail_error),
            "may_listen": request.user.has_perm(LISTEN),
            "may_change": self.has_keep_permission(request),
            "block_url": block_url(request.user, message.account_id, message.caller),
        }

    def get_urls(self) -> list[URLPattern]:
        """Add the paths of the buttons and of the number in the sidebar."""
        wrap = self.admin_site.admin_view
        return [
            path("unheard/", wrap(require_GET(self.unheard_view)), name="calls_voicemailmessage_unheard"),
            path("<str:object_id>/heard/", wrap(require_POST(self.heard_view)), name="calls_voicemailmessage_heard"),
            path("<str:object_id>/do/", wrap(require_POST(self.do_view)), name="calls_voicemailmessage_do"),
            *super().get_urls(),
        ]

    def has_keep_permission(self, request: HttpRequest) -> bool:
        """Say whether this user may mark messages and throw them away."""
        return bool(request.user.has_perm(CHANGE))

    def unheard_view(self, request: HttpRequest) -> HttpResponse:
        """Tell how many messages nobody has heard, up to `COUNTED`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        waiting = VoicemailMessage.objects.order_by().filter(_OPEN, heard_at=None)
        return JsonResponse({"unheard": waiting.values("pk")[:COUNTED].count(), "most": COUNTED})

    def heard_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Note that somebody listens to a message."""
        if not request.user.has_perm(LISTEN):
            raise PermissionDenied
        self._found(request, object_id).hear(request.user.get_username(), timezone.now())
        return HttpResponse(status=204)

    def do_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Do what a button of a message's page says."""
        if not self.has_keep_permission(request):
            raise PermissionDenied
        chosen = VoicemailMessage.objects.filter(pk=self._found(request, object_id).pk)
        match request.POST.get("do"):
            case "heard":
                self.mark_heard(request, chosen)
            case "unheard":
                self.mark_unheard(request, chosen)
            case "throw":
                self.throw_away(request, chosen)
                return redirect(reverse("admin:calls_voicemailmessage_changelist"))
            case "back":
                self.put_back(request, chosen)
            case "mail":
                self.send_mail(request, chosen)
            case _:
                raise Http404("There is no such button.")
        return redirect(reverse("admin:calls_voicemailmessage_change", args=[object_id]))

    def _found(self, request: HttpRequest, object_id: str) -> VoicemailMessage:
        found = self.get_queryset(request).filter(pk=object_id).first() if is_sid(object_id, "RE") else None
        if found is None:
            raise Http404(f"There is no message {object_id}.")
        return found

    @admin.action(description="Mark as heard", permissions=["keep"])
    def mark_heard(self, request: HttpRequest, queryset: QuerySet[VoicemailMessage]) -> None:
        """Mark what nobody has heard."""
        who, now = request.user.get_username(), timezone.now()
        chosen = queryset.order_by().filter(heard_at=None)
        count = VoicemailMessage.objects.filter(pk__in=list(chosen.values_list("pk", flat=True))).update(
            heard_at=now, heard_by=who
        )
        messages.success(request, f"{count} marked as heard.")

    @admin.action(description="Mark as not heard", permissions=["keep"])
    def mark_unheard(self, request: HttpRequest, queryset: QuerySet[VoicemailMessage]) -> None:
        """Take the mark off."""
        self._set(request, queryset, "marked as not heard", heard_at=None, heard_by="")

    @admin.action(description="Throw away", permissions=["keep"])
    def throw_away(self, request: HttpRequest, queryset: QuerySet[VoicemailMessage]) -> None:
        """Take messages out of the list; the recording stays until it is deleted."""
        who = request.user.get_username()
        self._set(request, queryset, "thrown away", deleted_at=timezone.now(), deleted_by=who)

    @admin.action(description="Put back", permissions=["keep"])
    def put_back(self, request: HttpRequest, queryset: QuerySet[VoicemailMessage]) -> None:
        """Undo throwing away."""
        self._set(request, queryset, "put back", deleted_at=None, deleted_by="")

    def _set(self, request: HttpRequest, queryset: QuerySet[VoicemailMessage], done: str, **values: Any) -> None:
        keys = list(queryset.order_by().values_list("pk", flat=True))
        count = VoicemailMessage.objects.filter(pk__in=keys).update(**values)
        messages.success(request, f"{count} {done}.")

    @admin.action(description="Send the e-mail again", permissions=["keep"])
    def send_mail(self, request: HttpRequest, queryset: QuerySet[VoicemailMessage]) -> None:
        """Tell the addresses that the boxes have now."""
        if not voicemail.mail_is_set_up():
            messages.error(request, "E-mail is not set up: put EMAIL_URL into .env, and start Cordboard again.")
            return
        told = [voicemail.tell(message) for message in queryset.select_related("box")]
        messages.success(request, f"{sum(told)} e-mails are on their way.")
        if not all(told):
            messages.warning(request, f"{told.count(False)} have no box with e-mail addresses.")

    @admin.display(description="Left", ordering="time")
    def left(self, message: VoicemailMessage) -> SafeString:
        """Show when."""
        return moment(message.time)

    @admin.display(description="From")
    def caller_shown(self, message: VoicemailMessage) -> SafeString:
        """Show the caller."""
        user = user_part(message.caller)
        return two_lines(shown(user or message.caller or "unknown"), link_to(message.call) if message.call_id else "")

    @admin.display(description="Heard")
    def state(self, message: VoicemailMessage) -> SafeString:
        """Show whether somebody has heard it."""
        if message.deleted_at:
            return label("thrown away", "quiet", f"by {message.deleted_by}")
        if message.heard_at:
            heard = timezone.localtime(message.heard_at)
            return label("heard", "good", f"by {message.heard_by}, {heard:%d.%m.%Y %H:%M}")
        return label("new", "live", "Nobody has heard it yet")

    @admin.display(description="Listen")
    def player(self, message: VoicemailMessage) -> SafeString | str:
        """Show a player to those who may listen."""
        if not getattr(self, "_listens", False):
            return "–"
        return format_html(
            '<audio class="cb-player" controls preload="none" src="{}" data-heard="{}" aria-label="{}"></audio>',
            message.recording.url,
            reverse("admin:calls_voicemailmessage_heard", args=[message.pk]),
            f"Message from {shown(user_part(message.caller) or message.caller)}",
        )

    @admin.display(description="Length")
    def lasts(self, message: VoicemailMessage) -> str:
        """Show how long it plays."""
        return clock(message.duration)

    @admin.display(description="E-mail")
    def told(self, message: VoicemailMessage) -> SafeString:
        """Show what became of the e-mail."""
        return label(message.get_mail_display(), MAIL_TONES[message.mail], harmless(message.mail_error))

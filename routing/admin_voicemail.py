"""The admin page of voicemail boxes."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from unfold.widgets import UnfoldAdminTextareaWidget

from routing.admin_parts import RemarkingAdmin, ServedAdmin
from routing.models import Voicemail
from routing.resolve import Destination
from routing.theme import ModelForm, display

NO_MAIL = (
    "Nobody is told of messages in {}: e-mail is not set up. Put EMAIL_URL into .env, such as "
    "smtp+tls://user:password@mail.example.com:587, and start Cordboard again."
)
_DUMMY = "django.core.mail.backends.dummy.EmailBackend"


class VoicemailForm(ModelForm[Voicemail]):
    """A voicemail box."""

    class Meta:
        model = Voicemail
        fields = "__all__"
        widgets = {
            "greeting_text": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
            "emails": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        }


@admin.register(Voicemail)
class VoicemailAdmin(RemarkingAdmin[Voicemail], ServedAdmin[Voicemail]):
    form = VoicemailForm
    list_display = ("name", "greeting_label", "told", "attach", "account")
    list_filter = ("account",)
    list_select_related = ("account",)
    search_fields = ("name", "emails")
    autocomplete_fields = ("account",)
    conditional_fields = {
        "greeting_text": "greeting == 'say'",
        "language": "greeting == 'say'",
        "greeting_file": "greeting == 'file'",
        "greeting_url": "greeting == 'url'",
    }
    fieldsets = (
        (None, {"fields": ("name", "account", "max_length")}),
        ("Greeting", {"fields": ("greeting", "greeting_text", "language", "greeting_file", "greeting_url")}),
        ("E-mail", {"fields": ("emails", "attach")}),
    )

    @display(description="Greeting", ordering="greeting")
    def greeting_label(self, box: Voicemail) -> str:
        return f"“{box.greeting_text[:80]}”" if box.greeting == Voicemail.Greeting.SAY else box.get_greeting_display()

    @display(description="Told by e-mail")
    def told(self, box: Voicemail) -> str:
        addresses = box.addresses
        return ", ".join(addresses[:2]) + (f" and {len(addresses) - 2} more" if len(addresses) > 2 else "") or "nobody"

    def remarks(self, box: Voicemail) -> list[str]:
        return [NO_MAIL.format(box)] if box.addresses and settings.EMAIL_BACKEND == _DUMMY else []

    def destination_of(self, box: Voicemail) -> Destination:
        return Destination(box, ("A route or group that leads to this box.",))

    def used_by(self, box: Voicemail) -> list[Any]:
        return [
            *box.routes.select_related("domain"),
            *box.fallback_of.filter(fallback="voicemail"),
            *box.closed_of.filter(closed="voicemail", schedule__isnull=False),
        ]

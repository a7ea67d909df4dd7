"""What several pages of the admin share: links, remarks, the TwiML that is served, and actions."""

from __future__ import annotations

from typing import Any, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from routing import history
from routing.models import Endpoint, RoutingVersion, Trunk
from routing.resolve import Destination
from routing.situation import preview
from routing.theme import ModelAdmin
from routing.voice import Context, document

_M = TypeVar("_M", bound=Model)


def link(obj: Any, text: str = "") -> SafeString:
    """Return a link to the page of an object."""
    url = reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])
    return format_html('<a href="{}" class="cb-link">{}</a>', url, text or str(obj))


def links(objects: list[Any]) -> str:
    """Return links to all these objects, each with what it is."""
    rows = [(obj._meta.verbose_name, link(obj)) for obj in dict.fromkeys(objects)]
    return format_html_join(", ", "{} {}", rows) if rows else "nothing yet"


def keys_remark(obj: Endpoint | Trunk) -> str:
    """Say that the keys of encrypted media are sent in clear."""
    return (
        f"The SRTP keys of {obj} are sent in clear, so that whoever sees the signalling can listen: set its transport "
        "to TLS."
    )


class RemarkingAdmin(ModelAdmin[_M]):
    """Pages that point out what is allowed and yet hardly meant: when the page is opened, and when it is left."""

    def remarks(self, obj: _M) -> list[str]:
        """Return what the operator should know of a saved object, each with the fix."""
        raise NotImplementedError

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the remarks on the page."""
        obj = self.get_object(request, unquote(object_id)) if request.method == "GET" else None
        for remark in self.remarks(obj) if obj else ():
            messages.warning(request, remark)
        return super().change_view(request, object_id, *args, **kwargs)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Show the remarks on the list that follows."""
        super().save_related(request, form, formsets, change)
        if "_continue" not in request.POST:
            for remark in self.remarks(form.instance):
                messages.warning(request, remark)


class ServedAdmin(ModelAdmin[_M]):
    """Pages that end with the TwiML that is served now, and why; passwords are masked."""

    change_form_after_template = "routing/served.html"

    def destination_of(self, obj: _M) -> Destination:
        """Return what is served for the object."""
        raise NotImplementedError

    def context_of(self, obj: _M) -> Context:
        """Return the circumstances of the document: a call that comes in now."""
        return Context(call_status="ringing", mask_secrets=True, situation=preview())

    def in_words(self, obj: _M) -> list[dict[str, str]]:
        """Return the ring groups that a call comes to, each with its summary."""
        return []

    def used_by(self, obj: _M) -> list[Any]:
        """Return what leads to the object."""
        raise NotImplementedError

    def render_change_form(
        self, request: HttpRequest, context: Any, add: bool = False, change: bool = False, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the document to the page of an object that is saved already."""
        obj = kwargs.get("obj")
        if change and obj:
            obj = self.model._default_manager.get(pk=obj.pk)  # not what was typed and refused
            served = document(self.destination_of(obj), self.context_of(obj))
            context.update(twiml=served.pretty, why=served.why, used_by=links(self.used_by(obj)))
            context["chain"] = self.in_words(obj)
        return super().render_change_form(request, context, add, change, *args, **kwargs)


@admin.action(description="Enable")
def enable(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> None:
    """Enable what is selected."""
    _enable(request, queryset, True, "enabled")


@admin.action(description="Disable")
def disable(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> None:
    """Disable what is selected."""
    _enable(request, queryset, False, "disabled")


def _enable(request: HttpRequest, queryset: QuerySet[Any], enabled: bool, done: str) -> None:
    count = history.update(queryset, enabled=enabled)
    RoutingVersion.bump()  # an UPDATE sends no signal
    messages.success(request, f"{count} {done}.")

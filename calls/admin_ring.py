"""“Ring now” on the pages of endpoints and ring groups: asks for what is needed, then queues a call.

`routing` knows nothing of calls, so its admin classes are extended here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminSelect2Widget, UnfoldAdminTextInputWidget

from calls.desk_filters import FailedLastFilter
from calls.models import Call
from calls.place import PlaceError, ring
from routing.admin import EndpointAdmin, RingGroupAdmin
from routing.admin_trunks import TrunkAdmin
from routing.models import Endpoint, RingGroup, Trunk
from routing.validators import validate_caller_id

if TYPE_CHECKING:

    def action(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...

else:
    from unfold.decorators import action

PERMISSION = "calls.add_callrequest"
CALLER_ID = "cordboard"


class RingForm(forms.Form):
    """What the called side is shown."""

    caller_id = forms.CharField(
        label="Caller ID",
        max_length=64,
        validators=[validate_caller_id],
        widget=UnfoldAdminTextInputWidget,
        help_text="What the phone that rings shows as the caller: letters, digits and + - _ . only.",
    )


class PhoneForm(RingForm):
    """Whose phone is rung first, to be connected to the group when it answers."""

    phone = forms.ModelChoiceField(
        Endpoint.objects.none(),
        label="Your phone",
        widget=UnfoldAdminSelect2Widget,
        help_text="It is rung first; when it answers, the ring group is rung and connected to it.",
    )
    field_order = ("phone", "caller_id")


def _page(
    model_admin: Any, request: HttpRequest, target: Endpoint | RingGroup, form: RingForm, lead: str
) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": f"Ring {target} now",
        "target": target,
        "back": _change_path(target),
        "form": form,
        "lead": lead,
    }
    return render(request, "admin/calls/ring.html", context)


def _change_path(target: Endpoint | RingGroup) -> str:
    return reverse(f"admin:routing_{target._meta.model_name}_change", args=[target.pk])


def _queue(request: HttpRequest, form: RingForm, phone: Endpoint, path: str) -> Call | None:
    """Queue the call; on failure put the reason on the form."""
    try:
        call = ring(phone, path, from_address=form.cleaned_data["caller_id"])
    except PlaceError as error:
        form.add_error(None, ValidationError(f"{error.message} (error {error.code})"))
        return None
    link = format_html('<a class="cb-link" href="{}">Follow the call</a>', call.admin_path)
    messages.success(request, format_html("A call to {} is queued. {}", phone, link))
    return call


def _one(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any], name: str) -> HttpResponse | None:
    """Lead from a selection of one in the list to its page that asks."""
    chosen = list(queryset[:2])
    if len(chosen) == 1:
        return redirect(f"admin:routing_{model_admin.opts.model_name}_{name}", object_id=chosen[0].pk)
    messages.error(request, f"Select one {model_admin.opts.verbose_name} only: they are rung one at a time.")
    return None


def _get(model: type[Any], object_id: str) -> Any:
    try:
        return model.objects.select_related("account").get(pk=object_id)
    except (model.DoesNotExist, ValueError) as error:
        raise Http404(f"There is no {model._meta.verbose_name} {object_id}.") from error


class MayRing:
    """Gives an admin class the permission that its ring actions name."""

    def has_ring_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Say whether this user may place calls."""
        return request.user.has_perm(PERMISSION)


class Checkable:
    """Gives an admin class the way to the page that asks whether the far end is there."""

    opts: Any

    @action(description="Is it there?", icon="network_ping", url_path="check", permissions=["ring"])
    def check_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the page that sends OPTIONS."""
        return redirect("check", kind=self.opts.model_name, pk=_get(self.opts.model, object_id).pk)


class RingableEndpointAdmin(Checkable, MayRing, EndpointAdmin):
    actions = [*EndpointAdmin.actions, "ring_selected"]
    list_filter: ClassVar[Any] = (*EndpointAdmin.list_filter, FailedLastFilter)
    actions_detail = ["ring_now", "check_now"]

    @admin.action(description="Ring this endpoint now", permissions=["ring"])
    def ring_selected(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> HttpResponse | None:
        """Ask, then ring the selected endpoint."""
        return _one(self, request, queryset, "ring_now")

    @action(description="Ring this endpoint now", icon="call", url_path="ring", permissions=["ring"])
    def ring_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for the caller ID; once sent, ring the endpoint and run its TwiML when it answers."""
        endpoint = _get(Endpoint, object_id)
        form = RingForm(request.POST or None, initial={"caller_id": CALLER_ID})
        if form.is_valid() and _queue(request, form, endpoint, reverse("voice-endpoint", args=[endpoint.pk])):
            return redirect(_change_path(endpoint))
        return _page(self, request, endpoint, form, f"{endpoint.address} is rung as soon as an engine takes the call.")


class CheckableTrunkAdmin(Checkable, MayRing, TrunkAdmin):
    actions_detail = ["check_now"]


class RingableGroupAdmin(MayRing, RingGroupAdmin):
    actions = [*RingGroupAdmin.actions, "ring_selected"]
    actions_detail = ["ring_now"]

    @admin.action(description="Ring this group now", permissions=["ring"])
    def ring_selected(self, request: HttpRequest, queryset: QuerySet[RingGroup]) -> HttpResponse | None:
        """Ask, then ring the selected group."""
        return _one(self, request, queryset, "ring_now")

    @action(description="Ring this group now", icon="call", url_path="ring", permissions=["ring"])
    def ring_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whose phone is the caller; once sent, ring it and connect it to the group when it answers."""
        group = _get(RingGroup, object_id)
        form = PhoneForm(request.POST or None, initial={"caller_id": group.caller_id or CALLER_ID})
        phones = Endpoint.objects.filter(account=group.account_id, enabled=True)
        form.fields["phone"].queryset = phones  # type: ignore[attr-defined]
        path = reverse("voice-group", args=[group.pk])
        if form.is_valid() and _queue(request, form, form.cleaned_data["phone"], path):
            return redirect(_change_path(group))
        return _page(self, request, group, form, "Click to call: your phone rings first, then the group.")


def install(site: admin.AdminSite) -> None:
    """Put the extended classes in the place of routing's."""
    for model in (Endpoint, RingGroup, Trunk):
        site.unregister(model)
    site.register(Endpoint, RingableEndpointAdmin)
    site.register(RingGroup, RingableGroupAdmin)
    site.register(Trunk, CheckableTrunkAdmin)

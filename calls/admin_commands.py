"""“Hang up” and “Redirect” on the page of a live call: asks first, then leaves a command for the call's engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from calls import command
from calls.admin_log import LogAdmin
from calls.models import HTTP_METHODS, URL_LENGTH, Call, Command
from calls.status import TERMINAL
from calls.webhooks import without_secrets

if TYPE_CHECKING:
    _Base = LogAdmin[Call]
else:
    _Base = object

PERMISSION = "calls.add_command"
EXAMPLE = "<Response>\n  <Say>One moment, please.</Say>\n</Response>"


class HangUpForm(forms.Form):
    """Nothing to fill in: sending it is the confirmation."""


class RedirectForm(forms.Form):
    """What the call goes on with."""

    url = forms.CharField(
        label="URL",
        required=False,
        max_length=URL_LENGTH,
        widget=UnfoldAdminTextInputWidget,
        help_text="Where the engine fetches the TwiML: an absolute http:// or https:// address.",
    )
    method = forms.ChoiceField(choices=HTTP_METHODS, initial="POST", widget=UnfoldAdminSelectWidget)
    twiml = forms.CharField(
        label="or TwiML",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8, "spellcheck": "false", "placeholder": EXAMPLE}),
        help_text="The document itself, at most 4,000 characters.",
    )

    def clean(self) -> dict[str, Any]:
        """Refuse both and neither."""
        data: dict[str, Any] = super().clean() or {}
        if not self.errors and bool(data.get("url")) == bool(data.get("twiml")):
            raise ValidationError("Give either a URL or TwiML.")
        return data


class CommandsMixin(_Base):
    """Adds the two pages to the admin of calls."""

    def get_urls(self) -> list[URLPattern]:
        """Add their paths."""
        pages = (("hangup", self.hang_up_view), ("redirect", self.redirect_view))
        return [
            *(
                path(f"<str:object_id>/{name}/", self.admin_site.admin_view(view), name=f"calls_call_{name}")
                for name, view in pages
            ),
            *super().get_urls(),
        ]

    def may(self, request: HttpRequest, call: Call) -> dict[str, bool]:
        """Return for the call's page whether the buttons are shown."""
        return {"may_command": call.status not in TERMINAL and request.user.has_perm(PERMISSION)}

    def hang_up_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether the call is to be ended; once confirmed, ask its engine to."""
        call = self._live(request, object_id)
        form = HangUpForm(request.POST if request.method == "POST" else None)
        if form.is_valid() and self._request(request, call, form, "hang up", status=Command.Status.COMPLETED):
            return redirect(call.admin_path)
        title, lead = "Hang up this call?", "It ends for everybody who is in it. This cannot be undone."
        return self._page(request, call, form, title, lead, "call_end")

    def redirect_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for a document; once sent, ask the call's engine to go on with it."""
        call = self._live(request, object_id)
        form = RedirectForm(request.POST if request.method == "POST" else None)
        if form.is_valid() and self._request(request, call, form, "go on with other TwiML", **form.cleaned_data):
            return redirect(call.admin_path)
        lead = "The call leaves what it is doing now, and legs that it dialled are hung up; then it goes on with this."
        return self._page(request, call, form, "Redirect this call", lead, "redo")

    def _live(self, request: HttpRequest, object_id: str) -> Call:
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        call = Call.objects.filter(pk=object_id).first()
        if call is None:
            raise Http404(f"There is no call {object_id}.")
        return call

    def _request(self, request: HttpRequest, call: Call, form: forms.Form, what: str, **asked: Any) -> bool:
        """Leave the command; on failure put the reason on the form."""
        try:
            command.request(call, by=request.user.get_username(), **asked)
        except command.CommandError as error:
            form.add_error(None, ValidationError(f"{error.message} (error {error.code})"))
            return False
        where = without_secrets(asked.get("url", ""))
        self.log_change(request, call, f"Asked the engine to {what}{f' at {where}' if where else ''}.")
        messages.success(request, f"The engine is asked to {what}. What came of it is under “What was asked for”.")
        return True

    def _page(
        self, request: HttpRequest, call: Call, form: forms.Form, title: str, lead: str, icon: str
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "call": call,
            "form": form,
            "lead": lead,
            "icon": icon,
            "over": call.status in TERMINAL,
        }
        return render(request, "admin/calls/command.html", context)

"""What every admin page of a routing model has: its history, and a guard against two operators on one form.

The form carries the number of the last change that it shows. Is there a newer one when it is saved, nothing is: the
page says who changed what, keeps what was typed, and offers to save anyway.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.formats import date_format

from routing import history, versions
from routing.models import Change
from routing.versions import Entry

VERSION = "_version"
OVERWRITE = "_overwrite"
_MOST_TOLD = 5

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as _Base
    from django.forms import ModelForm as _Form
else:
    _Base = _Form = object


class CheckedForm(_Form):  # type: ignore[type-arg]
    """A change form that is refused when what it shows is out of date."""

    conflict: Any

    def clean(self) -> dict[str, Any] | None:
        """Say who was quicker."""
        data = super().clean()
        if text := self.conflict():
            self.add_error(None, text)
        return data


class Guarded(_Base):  # type: ignore[type-arg]
    """Mixed into the admin's base class; pages of models without a history are left as they are."""

    def _has_history(self) -> bool:
        return self.model in history.tracked()

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show the versions of an object instead of the admin's own log."""
        if not self._has_history():
            return super().history_view(request, object_id, extra_context)
        from routing.admin_history import object_history

        return object_history(request, history.label_of(self.model), object_id)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Let a form that is sent be compared with what has changed since it was shown."""
        form = super().get_form(request, obj, change=change, **kwargs)
        if not (change and obj is not None and self._is_saved(request) and self._has_history()):
            return form
        return type(form.__name__, (CheckedForm, form), {"conflict": partial(self._conflict, request, obj)})

    def _is_saved(self, request: HttpRequest) -> bool:
        """Say whether the form is sent to be saved, and not to be previewed."""
        match = request.resolver_match
        page = f"{self.opts.app_label}_{self.opts.model_name}_change"
        return request.method == "POST" and match is not None and match.url_name == page

    def _conflict(self, request: HttpRequest, obj: Any) -> str:
        """Return what happened since the form was shown, "" for nothing. The row stays locked until it is saved."""
        sent = request.POST.get(VERSION, "")
        if not sent.isdecimal() or len(sent) > 18:
            return ""
        self.model._base_manager.select_for_update().filter(pk=obj.pk).first()
        now = versions.newest(self.model, obj.pk)
        if now == int(sent) or request.POST.get(OVERWRITE) == str(now):
            return ""
        found = [one for one in versions.since(self.model, obj.pk, int(sent)) if not _only_moved(one)]
        if not found:
            return ""
        request.form_conflict = (now, found)  # type: ignore[attr-defined]
        return f"Not saved: {told(found[0])} after you opened this page. What you typed is still here."

    def render_change_form(
        self, request: HttpRequest, context: Any, add: bool = False, change: bool = False, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Put the version, and what has happened meanwhile, into the form."""
        obj = kwargs.get("obj")
        if obj is not None and change and self._has_history():
            sent = request.POST.get(VERSION, "") if request.method == "POST" else ""
            context["form_version"] = sent if sent.isdecimal() else versions.newest(self.model, obj.pk)
            context["form_conflict"] = getattr(request, "form_conflict", None)
        return super().render_change_form(request, context, add, change, *args, **kwargs)

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """Lead to the history of what was deleted, where it can be restored."""
        label = history.label_of(self.model)
        gone = Change.objects.filter(model=label, object_id=object_id, action=Change.Action.DELETED)
        last = gone.order_by("-id").first() if self._has_history() else None
        if last is None:
            return super()._get_obj_does_not_exist_redirect(request, opts, object_id)  # type: ignore[misc,no-any-return]
        when = date_format(timezone.localtime(last.time), "DATETIME_FORMAT")
        messages.error(
            request, f"{last.name} is gone: {last.who} deleted it, {when}. An older version can be restored."
        )
        return redirect("object-history", label=label, pk=object_id)


def told(entry: Entry) -> str:
    """Return who did what and when, in half a sentence."""
    when = date_format(timezone.localtime(entry.last.time), "H:i:s")
    what = "; ".join(
        f"{one.of + ', ' if one.of else ''}{one.label}: {one.old or '–'} → {one.new or '–'}"
        for one in entry.lines[:_MOST_TOLD]
    )
    more = f" and {len(entry.lines) - _MOST_TOLD} more" if len(entry.lines) > _MOST_TOLD else ""
    return f"{entry.last.who} changed this at {when} ({what}{more})"


def _only_moved(entry: Entry) -> bool:
    """Say whether the object was only dragged to another place of its list, which no form shows."""
    return entry.action == "changed" and all(line.label == "position" and not line.of for line in entry.lines)

"""What operators may write in the call log: notes and tags on calls, and saved views of a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from calls import notes, saved_views
from calls.admin_log import LogAdmin
from calls.models import Call, CallNote, SavedView

if TYPE_CHECKING:
    _CallBase = LogAdmin[Call]
    _AnyBase = LogAdmin[Any]
else:
    _CallBase = _AnyBase = object

ADD_NOTE, DELETE_NOTE = "calls.add_callnote", "calls.delete_callnote"
ADD_TAG, DELETE_TAG = "calls.add_calltag", "calls.delete_calltag"


def user_of(request: HttpRequest) -> AbstractBaseUser:
    """Return who is logged in; the admin lets nobody else in."""
    assert isinstance(request.user, AbstractBaseUser)
    return request.user


class NotesMixin(_CallBase):
    """Adds notes and tags to the admin of calls; answers scripts with JSON and forms with the call's page."""

    def get_urls(self) -> list[URLPattern]:
        """Add their paths."""
        views: list[tuple[str, str, Callable[..., HttpResponse]]] = [
            ("notes/add/", "note_add", self.add_note_view),
            ("notes/<int:number>/delete/", "note_delete", self.delete_note_view),
            ("tags/add/", "tag_add", self.add_tag_view),
            ("tags/<int:number>/delete/", "tag_delete", self.delete_tag_view),
        ]
        return [
            *(path(f"<str:object_id>/{route}", self._posted(view), name=f"calls_call_{n}") for route, n, view in views),
            *super().get_urls(),
        ]

    def _posted(self, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        wrapped: Callable[..., HttpResponse] = self.admin_site.admin_view(require_POST(view))
        return wrapped

    def may_annotate(self, request: HttpRequest) -> dict[str, bool]:
        """Return for templates what this user may do with notes and tags."""
        rights = {
            "may_note": ADD_NOTE,
            "may_delete_note": DELETE_NOTE,
            "may_tag": ADD_TAG,
            "may_delete_tag": DELETE_TAG,
        }
        return {name: request.user.has_perm(permission) for name, permission in rights.items()}

    def add_note_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Write a note."""
        call = self._annotated(request, object_id, ADD_NOTE)
        try:
            notes.add_note(call, request.POST.get("text", ""), request.user.get_username())
        except ValidationError as error:
            return self._answer(request, call, error=str(error.message))
        return self._answer(request, call, "The note is kept.")

    def delete_note_view(self, request: HttpRequest, object_id: str, number: int) -> HttpResponse:
        """Delete a note: one's own, or anybody's with the permission."""
        call = self._annotated(request, object_id, None)
        found = CallNote.objects.filter(call=call, pk=number).first()
        if found is not None:
            if found.author != request.user.get_username() and not request.user.has_perm(DELETE_NOTE):
                raise PermissionDenied
            found.delete()
            self.log_change(request, call, f"Deleted a note of {found.author}: {found.text[:100]}")
        return self._answer(request, call, "The note is deleted.")

    def add_tag_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Put a tag, or several, on the call."""
        call = self._annotated(request, object_id, ADD_TAG)
        try:
            added = notes.add_tags(call, request.POST.get("tag", ""), request.user.get_username())
        except ValidationError as error:
            return self._answer(request, call, error=str(error.message))
        return self._answer(request, call, f"Tagged {', '.join(added)}." if added else "The call has this tag already.")

    def delete_tag_view(self, request: HttpRequest, object_id: str, number: int) -> HttpResponse:
        """Take a tag off the call."""
        call = self._annotated(request, object_id, DELETE_TAG)
        name = notes.remove_tag(call, number)
        return self._answer(request, call, f"Tag {name} is taken off." if name else "The tag was gone already.")

    def _annotated(self, request: HttpRequest, object_id: str, permission: str | None) -> Call:
        if not self.has_view_permission(request) or (permission and not request.user.has_perm(permission)):
            raise PermissionDenied
        call = Call.objects.filter(pk=object_id).first()
        if call is None:
            raise Http404(f"There is no call {object_id}.")
        return call

    def _answer(self, request: HttpRequest, call: Call, message: str = "", *, error: str = "") -> HttpResponse:
        if "application/json" in request.headers.get("Accept", ""):
            if error:
                return JsonResponse({"error": error}, status=400)
            tags = call.tags.order_by("tag__name").values_list("tag__name", flat=True)
            return JsonResponse({"message": message, "tags": list(tags), "notes": call.operator_notes.count()})
        if error:
            messages.error(request, error)
        else:
            messages.success(request, message)
        return redirect(f"{call.admin_path}#notes")


class SavedViewsMixin(_AnyBase):
    """Adds saved views to a list; `saved_page` is one of `SavedView.Page`."""

    saved_page: str
    list_before_template = "calls/saved_views.html"

    def get_urls(self) -> list[URLPattern]:
        """Add the paths of saving and deleting."""
        name = f"calls_{self.opts.model_name}"
        save, delete = require_POST(self.save_view_view), require_POST(self.delete_view_view)
        return [
            path("views/save/", self.admin_site.admin_view(save), name=f"{name}_saveview"),
            path("views/<int:number>/delete/", self.admin_site.admin_view(delete), name=f"{name}_deleteview"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list with its views."""
        extra = {
            "saved_views": saved_views.chips(
                user_of(request), self.saved_page, request.GET, all_mine=request.user.is_superuser
            ),
            "shown_query": saved_views.normal(request.GET.urlencode()),
            "save_view_url": reverse(f"admin:calls_{self.opts.model_name}_saveview"),
            "delete_view_url": f"admin:calls_{self.opts.model_name}_deleteview",
        }
        return super().changelist_view(request, {**(extra_context or {}), **extra})

    def save_view_view(self, request: HttpRequest) -> HttpResponseBase:
        """Keep what is shown under a name."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        given = request.POST
        try:
            view = saved_views.save(
                user_of(request),
                self.saved_page,
                given.get("name", ""),
                given.get("query", ""),
                shared="shared" in given,
            )
        except ValidationError as error:
            messages.error(request, error.message)
            return redirect(self._list(saved_views.normal(given.get("query", "").removeprefix("?"))))
        messages.success(request, f"View {view.name} is kept.")
        return redirect(self._list(view.query))

    def delete_view_view(self, request: HttpRequest, number: int) -> HttpResponseBase:
        """Forget a view: one's own; a superuser anybody's."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = SavedView.objects.filter(pk=number, page=self.saved_page).first()
        if found is not None:
            if found.owner_id != request.user.pk and not (request.user.is_superuser and found.shared):
                raise PermissionDenied
            found.delete()
            messages.success(request, f"View {found.name} is forgotten.")
        return redirect(self._list(""))

    def _list(self, query: str) -> str:
        return reverse(f"admin:calls_{self.opts.model_name}_changelist") + (f"?{query}" if query else "")

"""The live board's page, what its script fetches, and its two buttons: hang up, and send the call somewhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET, require_POST

from calls import command, live
from calls.admin_commands import PERMISSION
from calls.admin_log import LogAdmin
from calls.models import Call, Command
from calls.webhooks import without_secrets
from routing.models import Endpoint, RingGroup

if TYPE_CHECKING:
    _Base = LogAdmin[Call]
else:
    _Base = object

TARGETS = 20  # of each kind, in the list to choose from
KINDS = ("url", "group", "endpoint")


class Refused(Exception):
    """A change that cannot be asked for; the text says why and what to do, `status` is HTTP's."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text, self.status = text, status


class LiveMixin(_Base):
    """Adds the live board to the admin of calls."""

    def get_urls(self) -> list[URLPattern]:
        """Add its paths."""
        pages = (
            ("live/", "live", require_GET(self.live_view)),
            ("live/rows/", "live_rows", require_GET(self.live_rows_view)),
            ("live/targets/", "live_targets", require_GET(self.live_targets_view)),
            ("live/<str:sid>/hangup/", "live_hangup", require_POST(self.live_hang_up_view)),
            ("live/<str:sid>/redirect/", "live_redirect", require_POST(self.live_redirect_view)),
        )
        own = [path(where, self.admin_site.admin_view(view), name=f"calls_call_{name}") for where, name, view in pages]
        return [*own, *super().get_urls()]

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """Show the board as it is now; the script keeps it so."""
        self._may_look(request)
        board = live.boards.current()
        context = {
            **self.admin_site.each_context(request),
            "title": "Live",
            "states": live.STATES,
            "may": request.user.has_perm(PERMISSION),
            "board": live.boards.changes(board, ""),
            "urls": {
                "rows": reverse("admin:calls_call_live_rows"),
                "targets": reverse("admin:calls_call_live_targets"),
                "call": reverse("admin:calls_call_change", args=["SID"]),
                "hangup": reverse("admin:calls_call_live_hangup", args=["SID"]),
                "redirect": reverse("admin:calls_call_live_redirect", args=["SID"]),
            },
        }
        return render(request, "calls/live.html", context)

    def live_rows_view(self, request: HttpRequest) -> HttpResponse:
        """Answer with what has changed since the version that the browser has; 304 if nothing has."""
        self._may_look(request)
        board = live.boards.current()
        etag = f'"{board.version}"'
        theirs = request.headers.get("If-None-Match", "").removeprefix("W/")
        if theirs == etag:
            response: HttpResponse = HttpResponse(status=304)
        else:
            response = JsonResponse(live.boards.changes(board, theirs.strip('"')))
        response["ETag"] = etag
        response["Cache-Control"] = "no-store"
        return response

    def live_targets_view(self, request: HttpRequest) -> HttpResponse:
        """Answer with the ring groups and endpoints of a call's account whose names contain the text `q`."""
        call = self._call_to_change(request, request.GET.get("call", ""))
        if call is None:
            return JsonResponse({"ok": False, "text": "There is no such call."}, status=404)
        wanted = {"account": call.account_id, "name__icontains": request.GET.get("q", "")[:64].replace("\x00", "")}
        groups = RingGroup.objects.filter(**wanted)[:TARGETS]
        endpoints = Endpoint.objects.filter(enabled=True, **wanted)[:TARGETS]
        return JsonResponse(
            {
                "group": [{"value": group.pk, "text": group.name} for group in groups],
                "endpoint": [{"value": one.pk, "text": f"{one.name} – {one.address}"} for one in endpoints],
            }
        )

    def live_hang_up_view(self, request: HttpRequest, sid: str) -> HttpResponse:
        """Ask the call's engine to end it."""
        return self._change(request, sid, "hang up", {"status": Command.Status.COMPLETED.value})

    def live_redirect_view(self, request: HttpRequest, sid: str) -> HttpResponse:
        """Ask the call's engine to go on with the TwiML of a URL, a ring group or an endpoint."""
        call = self._call_to_change(request, sid)
        try:
            name, url = destination(call, request.POST.get("kind", ""), request.POST.get("value", ""))
        except Refused as refused:
            return JsonResponse({"ok": False, "text": refused.text}, status=refused.status)
        return self._change(request, sid, f"go on at {name}", {"url": url})

    def _may_look(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _call_to_change(self, request: HttpRequest, sid: str) -> Call | None:
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        return Call.objects.filter(pk=sid).first()

    def _change(self, request: HttpRequest, sid: str, what: str, asked: dict[str, Any]) -> HttpResponse:
        """Leave the command and the entry in the history; answer with what is shown in the row."""
        call = self._call_to_change(request, sid)
        if call is None:
            return JsonResponse({"ok": False, "text": "There is no such call."}, status=404)
        try:
            made = command.request(call, by=request.user.get_username(), **asked)
        except command.CommandError as error:
            over = error.code == command.WRONG_STATE
            text = "It had ended already." if over else error.message
            return JsonResponse({"ok": False, "over": over, "text": text}, status=409 if over else 400)
        self.log_change(request, call, f"Asked the engine to {what}, on the live board.")
        return JsonResponse({"ok": True, "over": made.done_at is not None, "text": live.said(made)})


def destination(call: Call | None, kind: str, value: str) -> tuple[str, str]:
    """Return the name and the URL of where a call is to go on; raise `Refused`."""
    if call is None:
        raise Refused("There is no such call.", 404)
    if kind not in KINDS:
        raise Refused("Choose where to: a ring group, an endpoint or a URL.")
    if kind == "url":
        if not value:
            raise Refused("URL: give the address that the engine fetches TwiML from, with http:// or https://.")
        return without_secrets(value)[:200], value
    model, view, what = (
        (RingGroup, "voice-group", "ring group") if kind == "group" else (Endpoint, "voice-endpoint", "endpoint")
    )
    # Of the same account, whose token signs the request for the document.
    found = model.objects.filter(account=call.account_id, pk=int(value)).first() if _is_key(value) else None
    if found is None:
        raise Refused(f"There is no such {what} in the call's account: choose one from the list.")
    return f"{what} {found}", settings.PUBLIC_URL + reverse(view, args=[found.pk])


def _is_key(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 19

"""“Is it there?” in the admin: asks an engine to send OPTIONS to an endpoint or a trunk and shows what comes back."""

from __future__ import annotations

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from calls import checks
from calls.admin_ring import PERMISSION
from calls.checks import CheckResult
from routing.models import Endpoint, Trunk
from routing.sipuri import SipUriError

KINDS: dict[str, type[Endpoint] | type[Trunk]] = {"endpoint": Endpoint, "trunk": Trunk}


@require_http_methods(["GET", "POST"])
def view(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """Ask for a check (POST) or show what came of the newest one (GET); JSON for scripts that accept it."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    model = KINDS.get(kind)
    target = model.objects.filter(pk=pk).first() if model else None
    if target is None:
        raise Http404(f"There is no {kind} {pk}.")
    wants_json = "application/json" in request.headers.get("Accept", "")
    found = checks.latest(target)
    if request.method == "POST":
        try:
            found = checks.result(checks.request_check(target, request.user.get_username()))
        except SipUriError as error:
            found = CheckResult("failed", f"{target.uri} cannot be called: {error.message}.", target.uri)
        if not wants_json:
            return redirect(request.path)
    return JsonResponse(_json(found)) if wants_json else _page(request, kind, target, found)


def _json(found: CheckResult | None) -> dict[str, object]:
    if found is None:
        return {"state": "none", "text": "", "done": True, "tone": "quiet"}
    return {"state": found.state, "text": found.text, "done": found.done, "tone": tone(found)}


def tone(found: CheckResult) -> str:
    """Return the colour of a result: an answer is good, whatever it says, but for a server's failure."""
    match found.state:
        case "answered":
            return "good" if found.code < 500 else "busy"
        case "waiting" | "running":
            return "live"
        case _:
            return "bad"


def _page(request: HttpRequest, kind: str, target: Endpoint | Trunk, found: CheckResult | None) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": f"Is {target} there?",
        "target": target,
        "found": found,
        "tone": tone(found) if found else "quiet",
        "back": reverse(f"admin:routing_{kind}_change", args=[target.pk]),
    }
    return render(request, "calls/check.html", context)

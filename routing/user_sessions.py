"""Who is logged in where: noted once a minute at most, shown to the user himself and to admins, ended on request."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.db.models.signals import pre_save
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from routing import roles
from routing.acting import current_request
from routing.client_ip import client_ip
from routing.models import UserSession

_SEEN = "seen"  # in the session: when it was noted, and under which key
_EVERY = 60.0  # seconds
_MOST = 500


class SessionsMiddleware:
    """Notes where a session is used from, after the answer is made."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        response = self._get_response(request)
        session = request.session
        if session.accessed and session.get(SESSION_KEY) and session.session_key:
            at, key = session.get(_SEEN, (0.0, ""))
            if key != session.session_key or time.time() - at > _EVERY:
                note(request, session[SESSION_KEY])
        return response


def note(request: HttpRequest, user_pk: Any) -> None:
    """Write down that the session is in use."""
    key = request.session.session_key
    UserSession.objects.update_or_create(
        key=key,
        defaults={
            "user_id": user_pk,
            "ip": client_ip(request),
            "user_agent": _visible(request.headers.get("User-Agent", ""))[:255],
            "seen": timezone.now(),
        },
    )
    request.session[_SEEN] = (time.time(), key)


def _visible(text: str) -> str:
    """Return the text without characters that cannot be seen, or that turn the text around them."""
    return "".join(char for char in text if char.isprintable())


def end(rows: QuerySet[UserSession]) -> int:
    """End sessions and return how many."""
    found = list(rows)
    store = import_module(settings.SESSION_ENGINE).SessionStore
    for row in found:
        store(row.key).delete()
    UserSession.objects.filter(pk__in=[row.pk for row in found]).delete()
    return len(found)


def end_others(request: HttpRequest) -> int:
    """End the user's other sessions."""
    return end(_alive().filter(user=request.user.pk).exclude(key=request.session.session_key))


def forget_ended() -> int:
    """Forget sessions that have expired; return how many."""
    gone = UserSession.objects.exclude(key__in=Session.objects.filter(expire_date__gt=timezone.now()).values("pk"))
    return gone.filter(seen__lt=timezone.now() - timedelta(hours=1)).delete()[0]


def page(request: HttpRequest) -> HttpResponse:
    """Show the sessions; end one, or all others."""
    sees_all = roles.is_admin(request.user)
    rows = _alive() if sees_all else _alive().filter(user=request.user.pk)
    if request.method == "POST":
        return _end_asked(request, rows)
    shown = list(rows.select_related("user").order_by("-seen")[:_MOST])
    here = request.session.session_key
    context = {
        **admin.site.each_context(request),
        "title": "Sessions",
        "own": [(row, browser(row.user_agent), row.key == here) for row in shown if row.user_id == request.user.pk],
        "others": [(row, browser(row.user_agent)) for row in shown if row.user_id != request.user.pk],
    }
    return render(request, "routing/sessions.html", context)


def browser(user_agent: str) -> str:
    """Return a browser and system as people name them."""
    names = (
        ("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
    )  # fmt: skip
    systems = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")
    name = next((name for sign, name in names if sign in user_agent), "")
    system = next((one for one in systems if one in user_agent), "")
    return " on ".join(one for one in (name, system) if one) or user_agent[:40] or "unknown"


def _end_asked(request: HttpRequest, rows: QuerySet[UserSession]) -> HttpResponse:
    asked = request.POST.get("end", "")
    if asked == "others":
        count = end_others(request)
    elif asked.isdecimal() and len(asked) < 19:
        count = end(rows.filter(pk=int(asked)).exclude(key=request.session.session_key))
    else:
        count = 0
    messages.success(request, f"{count} {'session' if count == 1 else 'sessions'} ended.")
    return redirect("sessions")


def _alive() -> QuerySet[UserSession]:
    return UserSession.objects.filter(key__in=Session.objects.filter(expire_date__gt=timezone.now()).values("pk"))


def _logged_in(sender: Any, request: HttpRequest, user: Any, **_: Any) -> None:
    if request.session.session_key:
        note(request, user.pk)


def _logged_out(sender: Any, request: HttpRequest, user: Any, **_: Any) -> None:
    if request.session.session_key:
        UserSession.objects.filter(key=request.session.session_key).delete()


def _password_changed(sender: Any, instance: User, raw: bool = False, **_: Any) -> None:
    """End the sessions that were opened with the old password, but for the one in which it was changed."""
    if raw or instance.pk is None:
        return
    stored = User.objects.filter(pk=instance.pk).values_list("password", flat=True).first()
    if stored is None or stored == instance.password or _same_password(instance):
        return
    request = current_request()
    rows = UserSession.objects.filter(user=instance)
    end(rows.exclude(key=request.session.session_key) if request is not None else rows)


def _same_password(user: User) -> bool:
    """Say whether the hash was only made anew at a login, because hashing has become stronger."""
    return user._password is None  # type: ignore[attr-defined]


def connect() -> None:
    """Listen to logins, logouts and new passwords."""
    user_logged_in.connect(_logged_in, dispatch_uid="sessions.in")
    user_logged_out.connect(_logged_out, dispatch_uid="sessions.out")
    pre_save.connect(_password_changed, sender=User, dispatch_uid="sessions.password")

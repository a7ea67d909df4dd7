"""Two-factor login: setting it up with an authenticator app, recovery codes, and who must have it."""

from __future__ import annotations

import secrets
from base64 import b32encode
from collections.abc import Callable
from typing import Any

import qrcode
import qrcode.image.svg
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import authenticate
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseForbidden
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django_otp import login as verified_by
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from routing import roles, user_sessions

CODES = 10
ISSUER = "Cordboard"
_FREE = ("two-factor", "admin:logout", "admin:login", "admin:jsi18n", "admin:password_change")
_BY_SESSION = ("/admin/", "/recordings/")
_BY_KEY = ("/api/", "/2010-04-01/")


class RequireTwoFactor:
    """Leads admins who must have two-factor login and have not to the page that sets it up (`REQUIRE_TWO_FACTOR`)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request, or lead elsewhere."""
        if settings.REQUIRE_TWO_FACTOR and self._misses(request):
            if request.path.startswith("/admin/"):
                messages.warning(request, "Admins need two-factor login here: set it up first.")
                return redirect("two-factor")
            return HttpResponseForbidden("Set up two-factor login first.\n", content_type="text/plain")
        return self._get_response(request)

    def _misses(self, request: HttpRequest) -> bool:
        if not request.path.startswith((*_BY_SESSION, *_BY_KEY)) or request.path in [reverse(name) for name in _FREE]:
            return False
        if "Authorization" in request.headers and request.path.startswith(_BY_KEY):
            return False  # whoever sends a key is not let in by a session there
        user: Any = request.user
        return bool(user.is_authenticated and not user.is_verified() and roles.is_admin(user))


@sensitive_post_parameters()
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """Show whether it is on; set it up, draw new recovery codes, or turn it off."""
    match request.POST.get("do") if request.method == "POST" else None:
        case "confirm":
            return _confirm(request)
        case "codes" if _password_is_right(request):
            return _show_codes(request, _new_codes(request.user), "New recovery codes")
        case "off" if _password_is_right(request):
            turn_off(request.user)
            _log(request, "Turned two-factor login off.")
            messages.success(request, "Two-factor login is off.")
            return redirect("two-factor")
    return _shown(request)


def turn_off(user: Any) -> None:
    """Forget all devices and recovery codes of a user."""
    with transaction.atomic():
        TOTPDevice.objects.filter(user=user).delete()
        StaticDevice.objects.filter(user=user).delete()


def hide_devices(site: admin.AdminSite) -> None:
    """Take django-otp's own pages away: they show the secrets that codes are made of, and recovery codes."""
    for model in (TOTPDevice, StaticDevice):
        if site.is_registered(model):
            site.unregister(model)


def device_of(user: Any) -> TOTPDevice | None:
    """Return the app that a user has set up."""
    return TOTPDevice.objects.filter(user=user, confirmed=True).first()


def qr_code(text: str) -> SafeString:
    """Return a QR code as SVG that stands in the page itself."""
    image = qrcode.make(text, image_factory=qrcode.image.svg.SvgPathImage, box_size=8)
    svg = image.to_string().decode()
    return SafeString(svg[svg.index("<svg") :])  # made by the library of paths and numbers only


def _shown(request: HttpRequest) -> HttpResponse:
    context: dict[str, Any] = {**admin.site.each_context(request), "title": "Two-factor login"}
    device = device_of(request.user)
    if device:
        left = sum(one.token_set.count() for one in StaticDevice.objects.filter(user=request.user))
        context.update(device=device, left=left)
    else:
        new, _ = TOTPDevice.objects.get_or_create(user=request.user, confirmed=False, defaults={"name": "app"})
        url = new.config_url
        context.update(qr=qr_code(url), secret=b32encode(new.bin_key).decode())
    context["required"] = settings.REQUIRE_TWO_FACTOR and roles.is_admin(request.user)
    return render(request, "routing/two_factor.html", context)


def _confirm(request: HttpRequest) -> HttpResponse:
    """Turn it on if the app shows the right code."""
    code = "".join(request.POST.get("code", "").split())
    with transaction.atomic():
        device = TOTPDevice.objects.select_for_update().filter(user=request.user, confirmed=False).first()
        right = device is not None and len(code) == 6 and code.isdecimal() and device.verify_token(code)
        if right and device is not None:
            device.confirmed = True
            device.save()
    if not right or device is None:
        messages.error(request, "The code is not the one of this QR code now: is the clock of your phone right?")
        return _shown(request)
    verified_by(request, device)
    ended = user_sessions.end_others(request)
    _log(request, "Turned two-factor login on.")
    if ended:
        messages.info(request, f"{ended} other {'session was' if ended == 1 else 'sessions were'} ended.")
    return _show_codes(request, _new_codes(request.user), "Two-factor login is on")


def _new_codes(user: Any) -> list[str]:
    """Replace the recovery codes and return the new ones."""
    with transaction.atomic():
        StaticDevice.objects.filter(user=user).delete()
        device = StaticDevice.objects.create(user=user, name="recovery codes")
        codes = [_code() for _ in range(CODES)]
        for code in codes:
            device.token_set.create(token=code)
    return codes


def _code() -> str:
    """Draw a recovery code: 50 bits, with a letter at least, since digits alone are taken for the app's."""
    while (code := b32encode(secrets.token_bytes(7)).decode().lower()[:10]).isdigit():
        pass
    return code


def _show_codes(request: HttpRequest, codes: list[str], title: str) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": title, "codes": codes}
    return render(request, "routing/recovery_codes.html", context)


def _password_is_right(request: HttpRequest) -> bool:
    """Ask for the password as a login would: who tries too often is locked out."""
    user: Any = request.user
    found = authenticate(request, username=user.get_username(), password=request.POST.get("password", ""))
    if found is None or found.pk != user.pk:
        messages.error(request, "The password is wrong.")
        return False
    return True


def _log(request: HttpRequest, text: str) -> None:
    user: Any = request.user
    LogEntry.objects.log_actions(user.pk, [user], CHANGE, change_message=text, single_object=True)

"""Logging in to the admin: the form with its one-time code, and the page for who tried too often."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from axes.models import AccessAttempt
from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django_otp import devices_for_user
from django_otp.forms import OTPAuthenticationFormMixin
from unfold.widgets import UnfoldAdminTextInputWidget

from routing.client_ip import client_ip

if TYPE_CHECKING:
    from django.contrib.auth.forms import AuthenticationForm
else:
    from unfold.forms import AuthenticationForm


class LoginForm(OTPAuthenticationFormMixin, AuthenticationForm):  # type: ignore[misc]
    """Username, password, and the code of who has set up two-factor login: from the app, or a recovery code."""

    otp_error_messages = {
        **OTPAuthenticationFormMixin.otp_error_messages,
        "token_required": "Enter the code that your app shows, or a recovery code.",
        "invalid_token": "This code is wrong, or was used already. Enter the one that your app shows now.",
    }
    otp_token = forms.CharField(
        required=False,
        label="One-time code",
        max_length=32,
        help_text="Only if you have set up two-factor login: from your app, or a recovery code.",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code", "inputmode": "text"}),
    )
    otp_device = forms.CharField(required=False, widget=forms.HiddenInput)
    otp_challenge = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        """Ask for the code after the password was right."""
        self.cleaned_data = super().clean() or self.cleaned_data
        user = self.get_user()
        devices = list(devices_for_user(user)) if user else []
        if devices:
            token = "".join((self.cleaned_data.get("otp_token") or "").split()).lower()
            self.cleaned_data["otp_token"] = token
            # django-otp wants one device named, so that a wrong code counts against that one only.
            fitting = [one for one in devices if ("totp" in one.persistent_id) == (token.isdigit() or not token)]
            self.cleaned_data["otp_device"] = (fitting or devices)[0].persistent_id
            self.cleaned_data["otp_challenge"] = ""
            self.clean_otp(user)
        return self.cleaned_data


def client_address(request: HttpRequest) -> str | None:
    """Return the address that failures are counted by."""
    return client_ip(request) or None


def locked_out(request: HttpRequest, response: Any = None, credentials: Any = None) -> HttpResponse:
    """Answer 429 and say for how long."""
    username = (credentials or {}).get("username") or request.POST.get("username", "")
    attempts = AccessAttempt.objects.filter(username=username, ip_address=client_address(request))
    last = attempts.order_by("-attempt_time").first()
    until = (last.attempt_time if last else timezone.now()) + settings.AXES_COOLOFF_TIME
    seconds = max(1, math.ceil((until - timezone.now()).total_seconds()))
    context = {
        **admin.site.each_context(request),
        "title": "Too many attempts",
        "minutes": math.ceil(seconds / 60),
        "attempts": settings.AXES_FAILURE_LIMIT,
    }
    answer = render(request, "routing/locked_out.html", context, status=429)
    answer["Retry-After"] = str(seconds)
    return answer

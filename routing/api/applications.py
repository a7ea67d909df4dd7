"""Applications: voice URLs under one SID. Source: Twilio's Application resource."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from routing.api.parameters import Listing, Method, NotHere, Parameters, Text, Url, store
from routing.api.paths import uri
from routing.api.rendering import API_VERSION, Body, Constant, Date, Uri, Words
from routing.api.views import CreateView, DeleteView, FetchView, ListView, Rows, UpdateView
from routing.models import Application


class ApplicationBody(Body):
    """Twilio's keys; what is about messages is null."""

    account_sid = Words(source="account_id")
    api_version = Constant(API_VERSION)
    date_created = Date(source="created")
    date_updated = Date(source="updated")
    friendly_name = Words()
    message_status_callback = Constant()
    sid = Words()
    sms_fallback_method = Constant()
    sms_fallback_url = Constant()
    sms_method = Constant()
    sms_status_callback = Constant()
    sms_url = Constant()
    status_callback = Words()
    status_callback_method = Words()
    uri = Uri(lambda row: uri(row.account_id, "Applications", row.sid))
    voice_caller_id_lookup = Constant(False)
    voice_fallback_method = Words()
    voice_fallback_url = Words()
    voice_method = Words()
    voice_url = Words()
    public_application_connect_enabled = Constant(False)


class ApplicationParameters(Parameters):
    """What a request may say."""

    ApiVersion = NotHere()
    FriendlyName = Text(source="friendly_name")
    VoiceUrl = Url(source="voice_url")
    VoiceMethod = Method(source="voice_method")
    VoiceFallbackUrl = Url(source="voice_fallback_url")
    VoiceFallbackMethod = Method(source="voice_fallback_method")
    StatusCallback = Url(source="status_callback")
    StatusCallbackMethod = Method(source="status_callback_method")
    VoiceCallerIdLookup = NotHere()
    SmsUrl = NotHere()
    SmsMethod = NotHere()
    SmsFallbackUrl = NotHere()
    SmsFallbackMethod = NotHere()
    SmsStatusCallback = NotHere()
    MessageStatusCallback = NotHere()
    PublicApplicationConnectEnabled = NotHere()


class ApplicationFilters(Listing):
    """What a list may be narrowed by."""

    FriendlyName = Text(source="friendly_name")


class ApplicationRows(Rows[Application]):
    """The account's applications."""

    body, parameters = ApplicationBody, ApplicationParameters

    def rows(self) -> QuerySet[Application]:
        """Return them."""
        return Application.objects.filter(account=self.account)


class Applications(ApplicationRows, ListView[Application], CreateView[Application]):
    """The list, and new ones."""

    key, filters = "applications", ApplicationFilters

    def create(self, values: dict[str, Any]) -> Application:
        """Make an application."""
        row = Application(account=self.account)
        store(row, self.parameters, values)
        return row


class OneApplication(ApplicationRows, FetchView[Application], UpdateView[Application], DeleteView[Application]):
    """One of them; numbers that lead to a deleted one fall back to URLs of their own."""

    def change(self, row: Application, values: dict[str, Any]) -> None:
        """Change it."""
        store(row, self.parameters, values)

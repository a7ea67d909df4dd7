"""Incoming phone numbers. Source: Twilio's IncomingPhoneNumber resource.

Nothing is bought here: to make one says that calls to the number, which a trunk brings to a SIP domain of the account,
go to this voice URL instead of the domain's.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from routing.api.errors import ApiError
from routing.api.parameters import Boolean, Choice, Listing, Method, NotHere, Parameters, Sid, Text, Url, store
from routing.api.paths import uri
from routing.api.rendering import API_VERSION, Body, Computed, Constant, Date, Uri, Words
from routing.api.views import CreateView, DeleteView, FetchView, ListView, Rows, UpdateView
from routing.models import Application, PhoneNumber

BAD_NUMBER, BAD_APPLICATION = 21421, 21218


class NumberBody(Body):
    """Twilio's keys; what is about messages, addresses and bundles is null."""

    account_sid = Words(source="account_id")
    address_sid = Constant()
    address_requirements = Constant("none")
    api_version = Constant(API_VERSION)
    beta = Constant(False)
    capabilities = Computed(lambda row: {"voice": True, "sms": False, "mms": False, "fax": False})
    date_created = Date(source="created")
    date_updated = Date(source="updated")
    friendly_name = Computed(lambda row: row.friendly_name or row.phone_number)
    identity_sid = Constant()
    phone_number = Words()
    origin = Constant("hosted")
    sid = Words()
    sms_application_sid = Constant()
    sms_fallback_method = Constant()
    sms_fallback_url = Constant()
    sms_method = Constant()
    sms_url = Constant()
    status_callback = Words()
    status_callback_method = Words()
    trunk_sid = Constant()
    uri = Uri(lambda row: uri(row.account_id, "IncomingPhoneNumbers", row.sid))
    voice_receive_mode = Constant("voice")
    voice_application_sid = Words(source="application_id")
    voice_caller_id_lookup = Constant(False)
    voice_fallback_method = Words()
    voice_fallback_url = Words()
    voice_method = Words()
    voice_url = Words()
    emergency_status = Constant("Inactive")
    emergency_address_sid = Constant()
    emergency_address_status = Constant("unregistered")
    bundle_sid = Constant()
    status = Constant("in-use")
    type = Constant()


class NumberChange(Parameters):
    """What may be changed."""

    AccountSid = NotHere()
    ApiVersion = NotHere()
    FriendlyName = Text(source="friendly_name")
    VoiceUrl = Url(source="voice_url")
    VoiceMethod = Method(source="voice_method")
    VoiceFallbackUrl = Url(source="voice_fallback_url")
    VoiceFallbackMethod = Method(source="voice_fallback_method")
    VoiceApplicationSid = Sid("AP", source="application_id", code=BAD_APPLICATION)
    VoiceCallerIdLookup = NotHere()
    VoiceReceiveMode = Choice(("voice",), source="receive_mode")
    StatusCallback = Url(source="status_callback")
    StatusCallbackMethod = Method(source="status_callback_method")
    SmsApplicationSid = NotHere()
    SmsFallbackMethod = NotHere()
    SmsFallbackUrl = NotHere()
    SmsMethod = NotHere()
    SmsUrl = NotHere()
    EmergencyStatus = NotHere()
    EmergencyAddressSid = NotHere()
    TrunkSid = NotHere()
    IdentitySid = NotHere()
    AddressSid = NotHere()
    BundleSid = NotHere()


class NewNumber(NumberChange):
    """What makes a number."""

    PhoneNumber = Text(source="phone_number", required=True, code=BAD_NUMBER)
    AreaCode = NotHere("is for numbers that are bought: give the PhoneNumber that your carrier sends.")


class NumberFilters(Listing):
    """What a list may be narrowed by."""

    PhoneNumber = Text(source="phone_number__contains")
    FriendlyName = Text(source="friendly_name")
    Beta = Boolean(source="beta")
    Origin = Choice(("hosted", "twilio"), source="origin")


class NumberRows(Rows[PhoneNumber]):
    """The account's numbers."""

    body = NumberBody

    def rows(self) -> QuerySet[PhoneNumber]:
        """Return them."""
        return PhoneNumber.objects.filter(account=self.account)

    def save(self, row: PhoneNumber, values: dict[str, Any]) -> None:
        """Set the values and save the row; an application must be the account's."""
        values.pop("receive_mode", None)
        if "application_id" in values:
            sid = values["application_id"] or None
            if sid and not Application.objects.filter(account=self.account, pk=sid).exists():
                raise ApiError(BAD_APPLICATION, f"VoiceApplicationSid: the account has no application {sid}.")
            values["application_id"] = sid
        store(row, self.parameters, values)


class Numbers(NumberRows, ListView[PhoneNumber], CreateView[PhoneNumber]):
    """The list, and new ones."""

    key, filters, parameters = "incoming_phone_numbers", NumberFilters, NewNumber

    def narrow(self, rows: QuerySet[PhoneNumber], values: dict[str, Any]) -> QuerySet[PhoneNumber]:
        """Apply the filters; all numbers here are hosted, and none is beta."""
        if values.pop("beta", False) or values.pop("origin", "hosted") != "hosted":
            return rows.none()
        return rows.filter(**values)

    def create(self, values: dict[str, Any]) -> PhoneNumber:
        """Make a number."""
        row = PhoneNumber(account=self.account)
        self.save(row, values)
        return row


class OneNumber(NumberRows, FetchView[PhoneNumber], UpdateView[PhoneNumber], DeleteView[PhoneNumber]):
    """One of them."""

    parameters = NumberChange

    def change(self, row: PhoneNumber, values: dict[str, Any]) -> None:
        """Change it."""
        self.save(row, values)

"""SIP domains. Source: Twilio's SIP Domain resource. A domain name has no suffix that it must end with."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from routing.api.parameters import Boolean, Method, NotHere, Parameters, Text, Url, store
from routing.api.paths import uri
from routing.api.rendering import API_VERSION, Body, Computed, Constant, Date, Uri, Words
from routing.api.views import CreateView, DeleteView, FetchView, ListView, Rows, UpdateView, check_room
from routing.models import SipDomain

TOO_MANY_DOMAINS, BAD_DOMAIN, BAD_NAME = 21230, 21231, 21232


def auth_type(row: SipDomain) -> str:
    """Return how callers are known: the kinds of lists that are mapped for calls, in alphabetical order."""
    kinds = {"CREDENTIAL_LIST": row.credential_lists.all(), "IP_ACL": row.ip_access_control_lists.all()}
    return ",".join(kind for kind, lists in kinds.items() if lists)


def _parts(row: SipDomain) -> dict[str, str]:
    parts = {
        "credential_list_mappings": "CredentialListMappings",
        "ip_access_control_list_mappings": "IpAccessControlListMappings",
    }
    return {name: uri(row.account_id, "SIP/Domains", row.sid, part) for name, part in parts.items()}


class DomainBody(Body):
    """Twilio's keys."""

    account_sid = Words(source="account_id")
    api_version = Constant(API_VERSION)
    auth_type = Computed(auth_type)
    date_created = Date(source="created")
    date_updated = Date(source="updated")
    domain_name = Words()
    friendly_name = Words()
    sid = Words()
    uri = Uri(lambda row: uri(row.account_id, "SIP/Domains", row.sid))
    voice_fallback_method = Words()
    voice_fallback_url = Words()
    voice_method = Words()
    voice_status_callback_method = Words()
    voice_status_callback_url = Words()
    voice_url = Words()
    subresource_uris = Computed(_parts)
    sip_registration = Computed(lambda row: row.sip_registration)
    emergency_calling_enabled = Constant(False)
    secure = Computed(lambda row: row.secure)
    byoc_trunk_sid = Constant()
    emergency_caller_sid = Constant()


class DomainParameters(Parameters):
    """What a request may say."""

    code = BAD_DOMAIN
    DomainName = Text(source="domain_name", required=True, max_length=253, code=BAD_NAME)
    FriendlyName = Text(source="friendly_name")
    VoiceUrl = Url(source="voice_url")
    VoiceMethod = Method(source="voice_method")
    VoiceFallbackUrl = Url(source="voice_fallback_url")
    VoiceFallbackMethod = Method(source="voice_fallback_method")
    VoiceStatusCallbackUrl = Url(source="voice_status_callback_url")
    VoiceStatusCallbackMethod = Method(source="voice_status_callback_method")
    SipRegistration = Boolean(source="sip_registration")
    EmergencyCallingEnabled = NotHere()
    Secure = Boolean(source="secure")
    ByocTrunkSid = NotHere()
    EmergencyCallerSid = NotHere()


class DomainRows(Rows[SipDomain]):
    """The account's domains."""

    body, parameters = DomainBody, DomainParameters

    def rows(self) -> QuerySet[SipDomain]:
        """Return them with what is mapped to them."""
        found = SipDomain.objects.filter(account=self.account)
        return found.prefetch_related("credential_lists", "ip_access_control_lists")


class Domains(DomainRows, ListView[SipDomain], CreateView[SipDomain]):
    """The list, and new ones."""

    key = "domains"

    def create(self, values: dict[str, Any]) -> SipDomain:
        """Make a domain."""
        check_room(self.account, self.rows(), settings.MAX_SIP_DOMAINS, TOO_MANY_DOMAINS)
        row = SipDomain(account=self.account)
        store(row, self.parameters, values)
        return row


class OneDomain(DomainRows, FetchView[SipDomain], UpdateView[SipDomain], DeleteView[SipDomain]):
    """One of them; its routes go with it."""

    def change(self, row: SipDomain, values: dict[str, Any]) -> None:
        """Change it."""
        store(row, self.parameters, values)

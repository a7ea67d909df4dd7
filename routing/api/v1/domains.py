"""SIP domains with the lists that are mapped to them."""

from __future__ import annotations

from typing import Any

from routing.api.v1.filtering import BooleanFilter, CharFilter, Filters
from routing.api.v1.serializing import Mine, OwnedSerializer, refuse
from routing.api.v1.viewing import Writing
from routing.models import CredentialList, IpAccessControlList, SipDomain

_MAPPINGS = ("credential_lists", "ip_access_control_lists", "registration_credential_lists")


class SipDomainSerializer(OwnedSerializer[SipDomain]):
    """A SIP domain; the mappings are lists of SIDs, and giving one replaces it."""

    credential_lists = Mine(queryset=CredentialList.objects.all(), many=True, required=False)
    ip_access_control_lists = Mine(queryset=IpAccessControlList.objects.all(), many=True, required=False)
    registration_credential_lists = Mine(queryset=CredentialList.objects.all(), many=True, required=False)

    class Meta:
        model = SipDomain
        fields = (
            "sid", "account", "domain_name", "friendly_name", "voice_url", "voice_method", "voice_fallback_url",
            "voice_fallback_method", "voice_status_callback_url", "voice_status_callback_method", "is_default",
            "secure", *_MAPPINGS, "sip_registration", "created", "updated",
        )  # fmt: skip

    def check(self, row: SipDomain, later: dict[str, Any]) -> None:
        """Refuse lists of another account."""
        errors = {}
        for name, rows in later.items():
            if foreign := next((one for one in rows if one.account_id != row.account_id), None):
                errors[name] = [f"{foreign} belongs to another account: choose lists of {row.account}."]
        if errors:
            raise refuse(errors)


class SipDomainFilters(Filters):
    """Which domains are listed."""

    searched = ("domain_name", "friendly_name", "sid")
    domain_name = CharFilter()
    secure = BooleanFilter()
    is_default = BooleanFilter()
    account = CharFilter("account")


class SipDomains(Writing):
    """Host names that SIP calls are sent to, who may call there, and what answers."""

    queryset = SipDomain.objects.prefetch_related(*_MAPPINGS).order_by()
    serializer_class = SipDomainSerializer
    filterset_class = SipDomainFilters
    orders = {"sid": "pk", "domain_name": "domain_name", "created": "created"}
    default_order = "domain_name"

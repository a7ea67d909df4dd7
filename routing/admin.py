"""The admin pages of who may call and where calls go.

Other apps add their own actions: `EndpointAdmin.actions` and `RingGroupAdmin.actions` are lists.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import HttpRequest

from routing import admin_api as admin_api
from routing import admin_blocking as admin_blocking
from routing import admin_hours as admin_hours
from routing import admin_system as admin_system
from routing import admin_trunks as admin_trunks
from routing import admin_voicemail as admin_voicemail
from routing import group_preview, resolve
from routing.admin_bulk import BulkAdmin
from routing.admin_groups import RingGroupAdmin as RingGroupAdmin
from routing.admin_parts import RemarkingAdmin, ServedAdmin, disable, enable, keys_remark
from routing.api.v1.endpoints import Endpoints
from routing.forms import EndpointForm, OrderFormSet, SipDomainForm
from routing.models import (
    Account,
    Credential,
    CredentialList,
    Endpoint,
    IpAccessControlList,
    IpAddress,
    Region,
    RingGroup,
    RingGroupMember,
    Route,
    SipDomain,
)
from routing.models.base import new_auth_token
from routing.resolve import Destination
from routing.theme import ModelAdmin, TabularInline, display

NOBODY = (
    "Nobody may call {}: map a credential list or an IP access control list to it (SIP access control, on its page)."
)
NO_TLS = "No call can come in to {}: it takes secure calls only, and SIP over TLS is off (SIP_TLS_PORT=0 in .env)."


@admin.register(Account)
class AccountAdmin(RemarkingAdmin[Account]):
    list_display = ("friendly_name", "sid", "parent", "status_label", "created")
    list_select_related = ("parent",)
    list_filter = ("status",)
    search_fields = ("friendly_name", "sid")
    autocomplete_fields = ("parent",)
    fields = ("friendly_name", "parent", "sid", "auth_token", "status", "enhanced_sip", "calls_per_second")
    actions = ["draw_auth_token"]

    def get_readonly_fields(self, request: HttpRequest, obj: Account | None = None) -> tuple[str, ...]:
        return ("sid",)

    @display(description="Status", ordering="status", label={"Active": "success", "Suspended": "warning"})
    def status_label(self, account: Account) -> str:
        return account.get_status_display()

    def remarks(self, account: Account) -> list[str]:
        if account.enhanced_sip:
            return []
        members = Count("members", filter=Q(members__enabled=True))
        parallel = account.ring_groups.filter(strategy=RingGroup.Strategy.PARALLEL).annotate(number=members)
        groups = ", ".join(map(str, parallel.filter(number__gt=1)))
        why = "the account's enhanced SIP features are off"
        return [f"The members of {groups} ring one after the other instead of at once: {why}."] if groups else []

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        """Show the token that a new account was given, this once."""
        super().save_model(request, obj, form, change)
        if not change and not form.cleaned_data.get("auth_token"):
            text = f"Auth token of {obj} ({obj.sid}), shown only now: {obj.auth_token}"
            messages.warning(request, text)

    @admin.action(description="Draw a new auth token and show it once", permissions=["change"])
    def draw_auth_token(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        """Replace the tokens: whoever signs with or checks against the old one must get the new one."""
        for account in queryset:
            account.auth_token, account.secondary_auth_token = new_auth_token(), ""
            account.save()
            self.log_change(request, account, "Drew a new auth token.")
            text = f"New auth token of {account} ({account.sid}), shown only now: {account.auth_token}"
            messages.warning(request, text)


@admin.register(Region)
class RegionAdmin(ModelAdmin[Region]):
    list_display = ("code", "location", "edge", "way_out", "is_default")
    search_fields = ("code", "edge", "location")
    fieldsets = (
        (None, {"fields": ("code", "edge", "location", "is_default")}),
        ("Way out", {"fields": ("local_address", "outbound_proxy")}),
    )

    @display(description="Way out")
    def way_out(self, region: Region) -> str:
        return region.outbound_proxy or region.local_address or "this engine's own address"

    def has_delete_permission(self, request: HttpRequest, obj: Region | None = None) -> bool:
        """Keep the default region: calls that name no region need it."""
        return super().has_delete_permission(request, obj) and not (obj and obj.is_default)


class CredentialInline(TabularInline[Credential, CredentialList]):
    model = Credential
    fields = ("username", "password")


@admin.register(CredentialList)
class CredentialListAdmin(ModelAdmin[CredentialList]):
    list_display = ("friendly_name", "count", "domains", "account")
    list_select_related = ("account",)
    search_fields = ("friendly_name", "sid", "credentials__username")
    autocomplete_fields = ("account",)
    fields = ("friendly_name", "account", "sid")
    readonly_fields = ("sid",)
    inlines = (CredentialInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CredentialList]:
        lists: QuerySet[CredentialList] = super().get_queryset(request)
        return lists.annotate(number=Count("credentials", distinct=True)).prefetch_related("sip_domains")

    @display(description="Credentials", ordering="number")
    def count(self, row: Any) -> int:
        return int(row.number)

    @display(description="SIP domains")
    def domains(self, row: CredentialList) -> str:
        return ", ".join(map(str, row.sip_domains.all())) or "none"


@admin.register(Credential)
class CredentialAdmin(ModelAdmin[Credential]):
    list_display = ("username", "credential_list")
    list_select_related = ("credential_list",)
    list_filter = ("credential_list",)
    search_fields = ("username", "sid")
    autocomplete_fields = ("credential_list",)
    fields = ("credential_list", "username", "password")


class IpAddressInline(TabularInline[IpAddress, IpAccessControlList]):
    model = IpAddress
    fields = ("friendly_name", "ip_address", "cidr_prefix_length")


@admin.register(IpAccessControlList)
class IpAccessControlListAdmin(ModelAdmin[IpAccessControlList]):
    list_display = ("friendly_name", "networks", "domains", "account")
    list_select_related = ("account",)
    search_fields = ("friendly_name", "sid", "ip_addresses__ip_address")
    autocomplete_fields = ("account",)
    fields = ("friendly_name", "account", "sid")
    readonly_fields = ("sid",)
    inlines = (IpAddressInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[IpAccessControlList]:
        return super().get_queryset(request).prefetch_related("sip_domains", "ip_addresses")

    @display(description="Networks")
    def networks(self, row: IpAccessControlList) -> str:
        found = [str(address.network) for address in row.ip_addresses.all()]
        return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "") or "none"

    @display(description="SIP domains")
    def domains(self, row: IpAccessControlList) -> str:
        return ", ".join(map(str, row.sip_domains.all())) or "none"


@admin.register(IpAddress)
class IpAddressAdmin(ModelAdmin[IpAddress]):
    list_display = ("friendly_name", "network", "ip_access_control_list")
    list_select_related = ("ip_access_control_list",)
    list_filter = ("ip_access_control_list",)
    search_fields = ("friendly_name", "ip_address")
    autocomplete_fields = ("ip_access_control_list",)
    fields = ("ip_access_control_list", "friendly_name", "ip_address", "cidr_prefix_length")


@admin.register(SipDomain)
class SipDomainAdmin(RemarkingAdmin[SipDomain]):
    form = SipDomainForm
    list_display = ("domain_name", "friendly_name", "who_may_call", "secure", "application", "is_default")
    list_filter = ("account",)
    search_fields = ("domain_name", "friendly_name", "sid")
    autocomplete_fields = ("account", "credential_lists", "ip_access_control_lists")
    readonly_fields = ("sid",)
    fieldsets = (
        (None, {"fields": ("domain_name", "friendly_name", "account", "is_default", "sid")}),
        ("SIP access control", {"fields": ("credential_lists", "ip_access_control_lists", "secure")}),
        (
            "TwiML application",
            {
                "fields": (
                    "voice_url",
                    "voice_method",
                    "voice_fallback_url",
                    "voice_fallback_method",
                    "voice_status_callback_url",
                    "voice_status_callback_method",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[SipDomain]:
        return super().get_queryset(request).prefetch_related("credential_lists", "ip_access_control_lists")

    @display(description="Who may call", label={"Nobody": "danger"})
    def who_may_call(self, domain: SipDomain) -> str:
        ways = []
        if domain.credential_lists.all():
            ways.append("Credentials")
        if domain.ip_access_control_lists.all():
            ways.append("IP addresses")
        return " and ".join(ways) or "Nobody"

    @display(description="TwiML from", ordering="voice_url")
    def application(self, domain: SipDomain) -> str:
        return domain.voice_url or "the routes here"

    def remarks(self, domain: SipDomain) -> list[str]:
        found = [NOBODY.format(domain)] if self.who_may_call(domain) == "Nobody" else []
        return found + ([NO_TLS.format(domain)] if domain.secure and not settings.SIP_TLS_PORT else [])


@admin.register(Endpoint)
class EndpointAdmin(BulkAdmin[Endpoint], RemarkingAdmin[Endpoint], ServedAdmin[Endpoint]):
    table = Endpoints
    form = EndpointForm
    list_display = ("name", "address", "transport_label", "region", "groups", "enabled")
    list_filter = ("enabled", "transport", "srtp", "region", "account")
    list_select_related = ("region",)
    search_fields = ("name", "uri", "username")
    autocomplete_fields = ("account",)
    actions = [enable, disable]
    fieldsets = (
        (None, {"fields": ("name", "account", "uri", ("transport", "srtp"), "region", "enabled")}),
        ("What its calls carry", {"fields": (("username", "password"), "headers")}),
        (
            "Callbacks",
            {
                "fields": (
                    "status_callback",
                    "status_callback_events",
                    "status_callback_method",
                    "screening_url",
                    "screening_method",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        memberships = RingGroupMember.objects.select_related("group")
        return super().get_queryset(request).prefetch_related(Prefetch("memberships", memberships))

    @display(description="Address", ordering="uri")
    def address(self, endpoint: Endpoint) -> str:
        return endpoint.address

    @display(description="Transport", ordering="transport")
    def transport_label(self, endpoint: Endpoint) -> str:
        return (endpoint.transport or "udp").upper()

    def remarks(self, endpoint: Endpoint) -> list[str]:
        return [keys_remark(endpoint)] if endpoint.exposes_srtp_keys else []

    @display(description="Ring groups")
    def groups(self, endpoint: Endpoint) -> str:
        return ", ".join(str(membership.group) for membership in endpoint.memberships.all()) or "none"

    def destination_of(self, endpoint: Endpoint) -> Destination:
        return Destination(endpoint, ("A route that leads to this endpoint.",))

    def used_by(self, endpoint: Endpoint) -> list[Any]:
        groups = [membership.group for membership in endpoint.memberships.select_related("group")]
        return [*groups, *endpoint.fallback_of.filter(fallback="endpoint"), *endpoint.routes.select_related("domain")]


@admin.register(Route)
class RouteAdmin(ServedAdmin[Route]):
    list_display = ("pattern", "domain", "destination", "enabled")
    list_filter = ("domain", "enabled")
    list_select_related = ("domain", "group", "endpoint", "voicemail")
    list_per_page = 200
    search_fields = ("pattern", "group__name", "endpoint__name", "voicemail__name", "url")
    autocomplete_fields = ("domain", "group", "endpoint", "voicemail")
    ordering_field = "position"
    hide_ordering_field = True
    actions = [enable, disable]
    fieldsets = (
        (None, {"fields": ("domain", "pattern", "enabled")}),
        ("Destination – exactly one", {"fields": ("group", "endpoint", "voicemail", "url", "method")}),
    )

    def get_changelist_formset(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Let dragged rows exchange their places."""
        return super().get_changelist_formset(request, **{"formset": OrderFormSet, **kwargs})

    @display(description="Goes to")
    def destination(self, route: Route) -> str:
        target = route.group or route.endpoint or route.voicemail
        return f"{target._meta.verbose_name} {target}" if target else route.url

    def destination_of(self, route: Route) -> Destination:
        why = f"A call to {route.pattern} at {route.domain}."
        if not route.enabled:
            why = f"This route is disabled and passed over; enabled, it would serve this to a {why[2:]}"
        return resolve.follow(route, (why,))

    def in_words(self, route: Route) -> list[dict[str, str]]:
        return group_preview.chain(route.group) if route.group else []

    def used_by(self, route: Route) -> list[Any]:
        return [route.domain]

"""Reads the routing models and answers: who is let in, which account signs, where a dialled user leads.

The engine gets frozen values only (`Directory`, `Dialplan`, `RegionInfo`); the web process gets the models it serves
TwiML from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Q

from routing.admission import Directory, Domain, Number
from routing.answers import Application
from routing.digest import ha1
from routing.fields import SecretError
from routing.models import (
    Account,
    Credential,
    Endpoint,
    PhoneNumber,
    Region,
    RingGroup,
    Route,
    RoutingVersion,
    SipDomain,
    Trunk,
    Voicemail,
)
from routing.outbound import Dialplan, Way, client_key
from routing.outbound import Trunk as WayOut
from routing.sipuri import SipUriError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RegionInfo:
    """Where calls of one region leave from."""

    code: str
    edge: str
    local_address: str
    outbound_proxy: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class External:
    """A TwiML application elsewhere."""

    url: str
    method: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nowhere, and what the caller gets instead: `rejected` or `busy`."""

    reason: str


Target = RingGroup | Endpoint | Voicemail | External | Refusal


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a dialled user leads, and why; no `target`: nowhere."""

    target: Target | None
    why: tuple[str, ...]
    route: Route | None = None


def directory_version() -> int:
    """Return a number that changes whenever `load_directory`, `load_dialplan` or `regions` would answer otherwise."""
    # In plain SQL, since engines ask once a second and nothing has changed mostly.
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT version FROM {RoutingVersion._meta.db_table} WHERE id = 1")
        row = cursor.fetchone()
    return row[0] if row else 0


def regions() -> tuple[RegionInfo, ...]:
    """Return every region, the default one first."""
    return tuple(
        RegionInfo(region.code, region.edge, region.local_address or "", region.outbound_proxy, region.is_default)
        for region in Region.objects.all()
    )


def account_for(sid: str) -> Account | None:
    """Return the account of this SID in whatever state."""
    return Account.objects.filter(pk=sid).first()


def load_directory() -> Directory:
    """Return all SIP domains of active accounts with what their callers must show.

    A secret that cannot be decrypted leaves out its credential (or, an auth token, the account's domains) and logged.
    """
    domains: dict[str, Domain] = {}
    default: Domain | None = None
    rows = SipDomain.objects.filter(account__status=Account.Status.ACTIVE).select_related("account")
    for row in rows.prefetch_related("credential_lists__credentials", "ip_access_control_lists__ip_addresses"):
        try:
            domain = _domain(row)
        except SecretError as error:
            logger.error("SIP domain %s takes no calls: %s", row.domain_name, error)
            continue
        domains[row.domain_name] = domain
        if row.is_default:
            default = domain
    return Directory(domains, default, _numbers())


def _numbers() -> dict[str, Number]:
    """Return the numbers of active accounts that have a voice URL of their own, or an application's."""
    rows = PhoneNumber.objects.filter(account__status=Account.Status.ACTIVE).select_related("application")
    return {
        row.phone_number: Number(
            account_sid=row.account_id,
            voice_url=urls.voice_url,
            voice_method=urls.voice_method,
            fallback_url=urls.voice_fallback_url,
            fallback_method=urls.voice_fallback_method,
            status_callback_url=urls.status_callback,
            status_callback_method=urls.status_callback_method,
        )
        for row in rows
        if (urls := row.handler).voice_url
    }


def _domain(row: SipDomain) -> Domain:
    credential_lists = list(row.credential_lists.all())
    access_lists = list(row.ip_access_control_lists.all())
    return Domain(
        application=_application(row),
        ip_mapped=bool(access_lists),
        networks=tuple(address.network for acl in access_lists for address in acl.ip_addresses.all()),
        credentials_mapped=bool(credential_lists),
        ha1=_ha1s(row.domain_name, (item for list_ in credential_lists for item in list_.credentials.all())),
    )


def _ha1s(realm: str, credentials: Iterable[Credential]) -> dict[str, str]:
    """Return username → HA1; of two lists with the same username the first by name counts."""
    found: dict[str, str] = {}
    for credential in credentials:
        try:
            found.setdefault(credential.username, ha1(credential.username, realm, credential.password))
        except SecretError as error:
            logger.error("Credential %s of %s is left out: %s", credential.username, realm, error)
    return found


def _application(row: SipDomain) -> Application:
    return Application(
        account_sid=row.account.sid,
        auth_token=row.account.auth_token,
        domain_sid=row.sid,
        domain_name=row.domain_name,
        voice_url=row.application_url,
        voice_method=row.voice_method,
        fallback_url=row.voice_fallback_url,
        fallback_method=row.voice_fallback_method,
        status_callback_url=row.voice_status_callback_url,
        status_callback_method=row.voice_status_callback_method,
        enhanced_sip=row.account.enhanced_sip,
        secure=row.secure,
    )


def load_dialplan() -> Dialplan:
    """Return the enabled trunks and endpoints of active accounts, as `<Number>` and `<Client>` reach them.

    One that cannot be called, be it for a secret that cannot be decrypted, is left out and logged. Of two endpoints
    with the same name the older one counts. Three queries.
    """
    trunks: dict[str, list[WayOut]] = {}
    clients: dict[tuple[str, str], Way] = {}
    callable_ones = Q(account__status=Account.Status.ACTIVE, enabled=True)
    for trunk in Trunk.objects.filter(callable_ones).select_related("region").prefetch_related("rules"):
        if way := _way(trunk):
            rules = tuple(row.rule() for row in trunk.rules.all())
            trunks.setdefault(trunk.account_id, []).append(WayOut(trunk.name, way, rules))
    for endpoint in Endpoint.objects.filter(callable_ones).select_related("region").order_by("pk"):
        key = (endpoint.account_id, client_key(endpoint.name))
        if key not in clients and (way := _way(endpoint)):
            clients[key] = way
    return Dialplan({sid: tuple(ways) for sid, ways in trunks.items()}, clients)


def _way(row: Trunk | Endpoint) -> Way | None:
    try:
        return row.way()
    except (SipUriError, ValidationError, SecretError) as error:
        text = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
        logger.error("%s %s is left out: %s", row._meta.verbose_name, row, text)
        return None


def domain_for(account: Account, name: str, sid: str = "") -> SipDomain | None:
    """Return the account's domain of this SID or name, else its default domain."""
    found = {
        row.sid if row.sid == sid else row.domain_name if row.domain_name == name.lower() else "default": row
        for row in SipDomain.objects.filter(account=account).filter(
            Q(pk=sid) | Q(domain_name=name.lower()) | Q(is_default=True)
        )
    }
    return found.get(sid) or found.get(name.lower()) or found.get("default")


def destination(account: Account, domain_name: str, user: str, domain_sid: str = "") -> Destination:
    """Return where a user dialled at one of the account's domains leads: the first enabled route that matches.

    Two queries, whatever the number of routes and members.
    """
    domain = domain_for(account, domain_name, domain_sid)
    if domain is None:
        named = f"There is no SIP domain {domain_name!r} in account {account}, and no default domain."
        return Destination(None, (named,))
    candidates = (
        Route.objects.filter(domain=domain)
        .filter(Q(pattern=user) | Q(pattern__endswith="*"))
        .select_related("group__account", "group__schedule", "endpoint", "voicemail")
    )
    why: list[str] = []
    for route in candidates:
        if not route.matches(user):
            continue
        if route.enabled:
            return follow(route, (*why, f"Route {route.pattern} of {domain} matches the dialled user {user!r}."))
        why.append(f"Route {route.pattern} of {domain} matches, but is disabled.")
    return Destination(None, (*why, f"No enabled route of {domain} matches the dialled user {user!r}."))


def follow(route: Route, why: tuple[str, ...] = ()) -> Destination:
    """Return the destination of one route."""
    target: Target | None = route.group or route.endpoint or route.voicemail
    if target is None and route.url:
        target = External(route.url, route.method)
    return Destination(target, why, route)

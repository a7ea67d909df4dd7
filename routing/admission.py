"""PURE: may this INVITE come in? Twilio's rules for SIP domains, decided on a snapshot of the routing tables.

The snapshot (`Directory`) is made by `routing.resolve` and kept in memory by the engine, so that a stranger's INVITE
costs neither a query nor a row. Source: Twilio's pages on sending SIP and on SIP domains (design conformance §1.7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from routing import digest
from routing.answers import Admission, Application, Challenge, Deny, InviteFacts, Peer

DOMAIN_NOT_FOUND = 32002
NOT_ALLOWED = 32201
SRTP_REQUIRED = 32208
TLS_REQUIRED = 32209


@dataclass(frozen=True, slots=True)
class Domain:
    """A SIP domain as admission sees it.

    `ip_mapped` and `credentials_mapped` say whether any list of that kind is mapped for calls, be it an empty one;
    `networks` and `ha1` (username to HA1 with the domain's name as realm) are the contents of all mapped lists.
    """

    application: Application
    ip_mapped: bool
    networks: tuple[IPv4Network | IPv6Network, ...]
    credentials_mapped: bool
    ha1: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Number:
    """A telephone number of an account, and the URLs that calls to it go to instead of their SIP domain's."""

    account_sid: str
    voice_url: str
    voice_method: str = "POST"
    fallback_url: str = ""
    fallback_method: str = "POST"
    status_callback_url: str = ""
    status_callback_method: str = "POST"


@dataclass(frozen=True, slots=True)
class Directory:
    """All SIP domains by lower-case name, and the one that answers for calls to any other host.

    `numbers` are the telephone numbers (E.164) with URLs of their own.
    """

    domains: Mapping[str, Domain]
    default: Domain | None = None
    numbers: Mapping[str, Number] = field(default_factory=dict)

    def find(self, host: str) -> Domain | None:
        """Return the domain of a Request-URI's host."""
        return self.domains.get(host.lower().removesuffix("."), self.default)


def authenticate(directory: Directory, facts: InviteFacts, secret: str, now: float) -> Admission:
    """Decide on an INVITE: let it in, challenge it, or refuse it.

    With both kinds of list mapped both must pass; with none nobody may call. Wrong credentials are challenged again
    (`Challenge.failed`), and whoever sees the whole call counts them. What a secure domain asks of the call itself is
    told only to those who passed: a stranger learns nothing of it.
    """
    verdict = _identify(directory, facts, secret, now)
    if isinstance(verdict, Peer):
        verdict = _check_security(verdict, facts)
    return _lead_to_number(directory, verdict, facts.user) if isinstance(verdict, Peer) else verdict


def _identify(directory: Directory, facts: InviteFacts, secret: str, now: float) -> Admission:
    domain = directory.find(facts.host)
    if domain is None:
        return Deny(404, DOMAIN_NOT_FOUND, f"there is no SIP domain {facts.host}")
    name = domain.application.domain_name
    if not (domain.ip_mapped or domain.credentials_mapped):
        return Deny(403, NOT_ALLOWED, f"nobody may call {name} until a credential or IP access control list is mapped")
    if domain.ip_mapped and not _listed(facts.source_ip, domain.networks):
        return Deny(403, NOT_ALLOWED, f"{facts.source_ip} is in no IP access control list of {name}")
    if domain.credentials_mapped:
        return _check_credentials(domain, facts, secret, now)
    return Peer(domain.application)


def _check_credentials(domain: Domain, facts: InviteFacts, secret: str, now: float) -> Admission:
    realm = domain.application.domain_name
    bound = (secret, facts.call_id, facts.source_ip, now)
    if facts.authorization is None:
        return Challenge(digest.challenge(realm, *bound))
    verdict = digest.verify(facts.authorization, facts.method, realm, domain.ha1.get, *bound)
    if isinstance(verdict, digest.Verified):
        return Peer(domain.application, verdict.username)
    # stale=true lets the phone answer again by itself instead of asking its user for the password.
    stale = verdict.why in ("stale", "foreign-nonce")
    return Challenge(digest.challenge(realm, *bound, stale=stale), failed=not stale)


def _check_security(peer: Peer, facts: InviteFacts) -> Peer | Deny:
    name = peer.application.domain_name
    if not peer.application.secure:
        return peer
    if facts.transport != "tls":
        return Deny(403, TLS_REQUIRED, f"{name} takes secure calls only: this one came over {facts.transport.upper()}")
    if not facts.srtp:
        return Deny(488, SRTP_REQUIRED, f"{name} takes secure calls only: this one offers no SRTP")
    return peer


def _lead_to_number(directory: Directory, peer: Peer, user: str) -> Peer:
    """Put the number's URLs in place of the domain's, if the account has the number that was dialled.

    Carriers leave the + out, or write 00 for it.
    """
    dialled = user.removeprefix("+")
    candidates = (dialled, dialled[2:]) if dialled.startswith("00") else (dialled,)
    for digits in candidates:
        number = directory.numbers.get(f"+{digits}")
        if number and number.account_sid == peer.application.account_sid:
            urls = {name: getattr(number, name) for name in Number.__slots__ if name != "account_sid"}
            return replace(peer, application=replace(peer.application, **urls))
    return peer


def _listed(source_ip: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        source: IPv4Address | IPv6Address = ip_address(source_ip)
    except ValueError:
        return False
    # A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d.
    mapped = source.ipv4_mapped if isinstance(source, IPv6Address) else None
    return any((mapped or source) in network for network in networks)

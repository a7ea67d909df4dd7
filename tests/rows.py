"""Rows of the routing models for tests, with as little said as possible."""

from __future__ import annotations

from typing import Any

from routing.models import Account, Endpoint, RingGroup, RingGroupMember, Route, SipDomain, Trunk, TrunkRule

PASSWORD = "Correct-Horse-9"


def account(name: str = "Acme", **fields: Any) -> Account:
    return Account.objects.create(friendly_name=name, **fields)


def endpoint(of: Account, name: str = "Alice", **fields: Any) -> Endpoint:
    fields.setdefault("uri", f"sip:{name.lower()}@198.51.100.7")
    return Endpoint.objects.create(account=of, name=name, **fields)


def trunk(of: Account, *rules: str | TrunkRule, name: str = "Carrier", **fields: Any) -> Trunk:
    """Make a trunk; a rule that is only a prefix leaves numbers as they are."""
    made = Trunk.objects.create(account=of, name=name, **{"uri": "sip:carrier.example", **fields})
    for position, rule in enumerate(rules):
        row = TrunkRule(prefix=rule) if isinstance(rule, str) else rule
        row.trunk, row.position = made, position
        row.save()
    return made


def group(of: Account, *members: Endpoint, name: str = "Support", **fields: Any) -> RingGroup:
    made = RingGroup.objects.create(account=of, name=name, **fields)
    for position, member in enumerate(members):
        RingGroupMember.objects.create(group=made, endpoint=member, position=position)
    return made


def domain(of: Account, name: str = "calls.example.com", **fields: Any) -> SipDomain:
    return SipDomain.objects.create(account=of, domain_name=name, **fields)


def route(at: SipDomain, pattern: str, **fields: Any) -> Route:
    return Route.objects.create(domain=at, pattern=pattern, **fields)

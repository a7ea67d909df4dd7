"""What an empty system still needs until the first call can be made: the list that greets on the dashboard.

Each step is looked up in the database as it is, so that it does not matter who did it, or where.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.db.models import Q
from django.urls import reverse

from calls import checks
from calls.checks import CheckResult
from calls.engines import engines
from calls.models import Call
from routing.models import Endpoint, RingGroup, Route, SipDomain

ENDPOINTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Probe:
    """An endpoint that can be asked whether it is there, and what it answered last."""

    endpoint: Endpoint
    url: str
    last: CheckResult | None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. `url` and `action` lead to its form; both are blank where this user may not do it."""

    name: str
    text: str
    done: bool
    url: str = ""
    action: str = ""
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class Checklist:
    """All steps in order; `next` is the name of the first that is not done."""

    steps: tuple[Step, ...]

    @property
    def next(self) -> str:
        """Return the name of the first step that is not done, "" if there is none."""
        return next((step.name for step in self.steps if not step.done), "")

    @property
    def done(self) -> int:
        """Return how many steps are done."""
        return sum(step.done for step in self.steps)


User = AbstractBaseUser | AnonymousUser | PermissionsMixin


def checklist(user: User) -> Checklist | None:
    """Return the steps, None when nothing is left to do or somebody has talked; a fixed number of queries."""
    if Call.objects.filter(answer_time__isnull=False)[:1].exists():
        return None
    domain = SipDomain.objects.order_by("-is_default", "pk").first()
    route = Route.objects.filter(enabled=True).filter(Q(group__isnull=False) | Q(endpoint__isnull=False))
    steps = (
        _engine(),
        _domain(user, domain),
        _access(user, domain),
        _endpoint(user),
        _group(user),
        _route(user, route.order_by("pk").select_related("domain").first()),
        _call(user, route.exclude(group=None).order_by("pk").first()),
    )
    return Checklist(steps)


def _engine() -> Step:
    alive = [one.engine.name for one in engines() if one.alive]
    text = f"{', '.join(alive)} runs." if alive else "None is running, so no call can come in: start ./cordboard up."
    return Step("An engine", text, bool(alive))


def _link(user: User, permission: str, url: str, action: str) -> tuple[str, str]:
    return (url, action) if user.has_perm(permission) else ("", "")  # type: ignore[union-attr]


def _domain(user: User, domain: SipDomain | None) -> Step:
    name = "A SIP domain"
    if domain is not None:
        return Step(name, f"Calls to {domain.domain_name} are taken.", True)
    text = "The name that phones and carriers call, such as sip.example.com, or this machine's address."
    return Step(
        name, text, False, *_link(user, "routing.add_sipdomain", reverse("admin:routing_sipdomain_add"), "Add a domain")
    )


def _access(user: User, domain: SipDomain | None) -> Step:
    name = "Who may call it"
    if domain is None:
        return Step(
            name, "Passwords of phones (a credential list) or addresses of carriers, once there is a domain.", False
        )
    lists = domain.credential_lists.exists(), domain.ip_access_control_lists.exists()
    if any(lists):
        kinds = " and ".join(text for text, there in zip(("passwords", "addresses"), lists, strict=True) if there)
        return Step(name, f"{domain.domain_name} asks for {kinds}.", True)
    text = (
        f"Nobody may call {domain.domain_name} yet: make a credential list with a username and password for each "
        "phone, and choose it on the domain's page."
    )
    url = reverse("admin:routing_sipdomain_change", args=[domain.pk])
    return Step(name, text, False, *_link(user, "routing.change_sipdomain", url, "Choose who may call"))


def _endpoint(user: User) -> Step:
    name = "A phone that rings"
    endpoints = list(Endpoint.objects.filter(enabled=True).order_by("pk")[:ENDPOINTS_SHOWN])
    if not endpoints:
        text = "An endpoint is where a phone is reached, such as sip:alice@192.0.2.20:5060."
        url = reverse("admin:routing_endpoint_add")
        return Step(name, text, False, *_link(user, "routing.add_endpoint", url, "Add an endpoint"))
    may = user.has_perm("calls.add_callrequest")  # type: ignore[union-attr]
    last = checks.latest_of(endpoints) if may else {}
    probes = tuple(
        Probe(one, reverse("check", args=["endpoint", one.pk]), last.get(one.pk)) for one in endpoints if may
    )
    return Step(name, "Ask whether it is there:" if probes else f"{endpoints[0]} is one.", True, probes=probes)


def _group(user: User) -> Step:
    name = "A ring group"
    group = RingGroup.objects.filter(members__enabled=True, members__endpoint__enabled=True).order_by("pk").first()
    if group is not None:
        return Step(name, f"{group} has members.", True)
    empty = RingGroup.objects.order_by("pk").first()
    if empty is not None:
        url = reverse("admin:routing_ringgroup_change", args=[empty.pk])
        text = f"{empty} has no member that can be rung."
        return Step(name, text, False, *_link(user, "routing.change_ringgroup", url, "Add members"))
    text = "Phones that ring together, or one after the other, and what happens when nobody answers."
    url = reverse("admin:routing_ringgroup_add")
    return Step(name, text, False, *_link(user, "routing.add_ringgroup", url, "Add a ring group"))


def _route(user: User, route: Route | None) -> Step:
    name = "A number that leads there"
    if route is None:
        text = "A route says what a dialled number means: 100 rings the group."
        url = reverse("admin:routing_route_add")
        return Step(name, text, False, *_link(user, "routing.add_route", url, "Add a route"))
    query = urlencode({"domain": route.domain_id, "to": route.pattern.rstrip("*") or "100"})
    url = f"{reverse('simulator')}?{query}"
    text = f"{route.pattern} at {route.domain} rings {route.group or route.endpoint}."
    return Step(name, text, True, *_link(user, "routing.view_route", url, "Simulate a call to it"))


def _call(user: User, route: Route | None) -> Step:
    name = "A first call"
    if route is None:
        return Step(name, "Once a number leads to a ring group, ring it from here.", False)
    text = f"Dial {route.pattern} from a phone, or let Cordboard ring yours and connect it with {route.group}."
    url = reverse("admin:routing_ringgroup_ring_now", args=[route.group_id])
    return Step(name, text, False, *_link(user, "calls.add_callrequest", url, "Ring it now"))

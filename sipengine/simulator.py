"""ADAPTER to Django: the simulator's page in the admin: what would happen to a call at some moment, with phones that
behave as the operator says.

Documents come from our own TwiML app by way of `routing.views.serve`, with a situation that is not real: nothing is
written and no counter advances. The page is a GET, so that a question can be sent to a colleague as a link.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urljoin
from xml.sax.saxutils import escape

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from calls.call_page import clock, readable
from calls.harmless import harmless
from calls.status import status_table
from routing.admin_parts import link
from routing.models import Account, Endpoint, PhoneNumber, RingGroup, SipDomain
from routing.presence import Known
from routing.sipuri import SipUriError
from routing.situation import Situation, preview
from routing.views import serve
from sipengine.simulation import Ask, Leg, Manner, Page, Phone, Scene, Story, simulate

PERMISSION = "routing.view_route"
SHOWN_PHONES = 50
CALL_SID = "CA" + "0" * 32
MANNERS = [
    (Manner.NO_ANSWER, "rings, nobody answers"),
    (Manner.ANSWERS, "answers"),
    (Manner.BUSY, "is in a call"),
    (Manner.DECLINES, "declines"),
    (Manner.UNREGISTERED, "is switched off"),
    (Manner.UNREACHABLE, "cannot be reached"),
]


class CallForm(forms.Form):
    """Who calls whom, when, and how patient the caller is."""

    domain = forms.ModelChoiceField(
        SipDomain.objects.none(), label="SIP domain", empty_label=None, widget=UnfoldAdminSelectWidget
    )
    to = forms.CharField(
        label="Dials",
        max_length=128,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "100"}),
        help_text="What the caller dials: an extension or a number.",
    )
    caller = forms.CharField(
        label="Caller",
        max_length=128,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "+4930123456"}),
        help_text="A number, or the name of a phone of yours.",
    )
    when = forms.DateTimeField(
        label="On",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"],
    )
    patience = forms.IntegerField(
        label="Caller gives up after",
        required=False,
        min_value=1,
        max_value=3600,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "number"}),
        help_text="Seconds; empty: never.",
    )
    digits = forms.CharField(
        label="Keys for a menu",
        required=False,
        max_length=32,
        widget=UnfoldAdminTextInputWidget,
        help_text="What the caller presses when a menu asks.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        domains = SipDomain.objects.select_related("account").order_by("-is_default", "domain_name")
        self.fields["domain"].queryset = domains  # type: ignore[attr-defined]
        self.fields["when"].help_text = f"Empty: now. In {settings.TIME_ZONE}."

    def clean_digits(self) -> str:
        """Refuse what no phone can send."""
        digits = str(self.cleaned_data["digits"])
        if set(digits) - set("0123456789*#"):
            raise ValidationError("Keys are 0-9, * and #.")
        return digits


class PhoneForm(forms.Form):
    """What one phone does when it is called."""

    manner = forms.ChoiceField(choices=MANNERS, widget=UnfoldAdminSelectWidget)
    seconds = forms.FloatField(
        min_value=0, max_value=600, widget=UnfoldAdminTextInputWidget(attrs={"type": "number", "step": "any"})
    )
    declines = forms.BooleanField(required=False, widget=UnfoldBooleanWidget)

    def phone(self) -> Phone:
        """Return the behaviour that was chosen, or the usual one if the fields make no sense."""
        if not self.is_valid():
            return Phone()
        data = self.cleaned_data
        return Phone(Manner(data["manner"]), data["seconds"], not data["declines"])


def view(request: HttpRequest) -> HttpResponse:
    """Show the question, and once it is asked the story of the call."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    asked = "to" in request.GET
    form = CallForm(request.GET if asked else None)
    context = {
        **admin.site.each_context(request),
        "title": "Simulator",
        "form": form,
        "has_domain": SipDomain.objects.exists(),
    }
    if asked and form.is_valid():
        context.update(_told(request, form.cleaned_data))
    return render(request, "sipengine/simulator.html", context)


def _told(request: HttpRequest, data: Mapping[str, Any]) -> dict[str, Any]:
    domain: SipDomain = data["domain"]
    account = domain.account
    endpoints = _by_address(account)
    forms_of = {
        endpoint.pk: PhoneForm(request.GET, prefix=f"phone-{endpoint.pk}")
        for endpoint in endpoints.values()
        if f"phone-{endpoint.pk}-manner" in request.GET
    }
    phones = {pk: form.phone() for pk, form in forms_of.items()}
    scene = Scene(
        phones={address: phones[endpoint.pk] for address, endpoint in endpoints.items() if endpoint.pk in phones},
        names={address: endpoint.name for address, endpoint in endpoints.items()},
        patience=data["patience"],
        digits=data["digits"],
        buffer=settings.DIAL_TIMEOUT_BUFFER,
        table=status_table(settings.SIP_STATUS_MAP, settings.SIP_STATUS_OVERRIDES),
    )
    busy = [pk for pk, phone in phones.items() if phone.manner is Manner.BUSY]
    moment = data["when"] or timezone.now()
    story, group = _played(domain, data["to"], data["caller"], moment, busy, scene)
    rung = [endpoints[leg.key] for leg in story.legs if leg.key in endpoints]
    shown = list(dict.fromkeys([*rung, *(one for one in endpoints.values() if one.pk in phones)]))[:SHOWN_PHONES]
    return {
        "story": story,
        "when": timezone.localtime(moment),
        "ending": harmless(story.ending),
        "lines": [(clock(one.seconds), one.tone, harmless(one.text)) for one in story.moments],
        "legs": [_row(leg, story, endpoints) for leg in story.legs],
        "pages": [(clock(at), harmless(page.url), harmless(readable(page.xml))) for at, page in story.pages],
        "phones": [(one, harmless(one.name), forms_of.get(one.pk) or _usual(one)) for one in shown],
        "ring_url": _ring_url(request, group, rung),
    }


def _usual(endpoint: Endpoint) -> PhoneForm:
    usual = Phone()
    return PhoneForm(prefix=f"phone-{endpoint.pk}", initial={"manner": usual.manner, "seconds": usual.seconds})


def _by_address(account: Account) -> dict[str, Endpoint]:
    """Return the account's endpoints by what a `<Sip>` calls them; of two at the same address the older one."""
    found: dict[str, Endpoint] = {}
    for endpoint in Endpoint.objects.filter(account=account).order_by("pk"):
        try:
            found.setdefault(endpoint.sip_uri().address, endpoint)
        except (SipUriError, ValidationError):
            continue  # it cannot be rung, which the document's reasons tell
    return found


def _played(
    domain: SipDomain, to: str, caller: str, moment: datetime, busy: list[int], scene: Scene
) -> tuple[Story, int]:
    """Return the story, and the ring group that the first document came from (0: none)."""
    account = domain.account
    usual = preview()
    situation = Situation(
        moment, Known(busy, usual.presence.idle_since(list(account.endpoints.all()))), None, usual.turn
    )
    base = {
        "AccountSid": account.sid,
        "CallSid": CALL_SID,
        "From": _address(caller or "anonymous", domain),
        "To": _address(to, domain),
        "Direction": "inbound",
        "ApiVersion": "2010-04-01",
        "SipDomain": domain.domain_name,
        "SipDomainSid": domain.sid,
    }
    groups: list[int] = []

    def ask(url: str, values: Mapping[str, str]) -> Page | None:
        local = _path(url)
        served = serve(account, local, {**base, **values}, situation) if local else None
        if served is None:
            return None
        groups.append(served.group_id)
        return Page(local, served.xml, served.why)

    first = _first(domain, to, ask)
    return simulate(first, ask, scene), next((pk for pk in groups if pk), 0)


def _first(domain: SipDomain, to: str, ask: Ask) -> Page:
    """Return the document that the call is answered with; of an application elsewhere, a redirect to it."""
    number = PhoneNumber.objects.filter(account=domain.account, phone_number=to).select_related("application").first()
    own = number.handler.voice_url if number else ""
    url = own or domain.application_url
    why = f"The number {to} has a voice URL of its own." if own else f"{domain} asks {url} what to do."
    page = ask(url, {"CallStatus": "ringing"})
    if page is not None:
        return page
    return Page(url, f"<Response><Redirect>{escape(url)}</Redirect></Response>", (why,))


def _path(url: str) -> str:
    """Return the path and query of a URL of ours; "" for one elsewhere."""
    absolute = urljoin(f"{settings.PUBLIC_URL}/", url)
    return absolute.removeprefix(settings.PUBLIC_URL) if absolute.startswith(f"{settings.PUBLIC_URL}/") else ""


def _address(text: str, domain: SipDomain) -> str:
    return text if "@" in text else f"sip:{text}@{domain.domain_name}"


def _row(leg: Leg, story: Story, endpoints: Mapping[str, Endpoint]) -> dict[str, Any]:
    whole = max(story.seconds, *(one.ended or 0.0 for one in story.legs), 0.1)
    up = leg.bridged if leg.bridged is not None else leg.ended or whole
    endpoint = endpoints.get(leg.key)
    return {
        "leg": leg,
        "name": link(endpoint, harmless(leg.name)) if endpoint else harmless(leg.name),
        "from": clock(leg.placed),
        "rang": clock(up - leg.placed),
        "talked": clock((leg.ended or whole) - leg.bridged) if leg.bridged is not None else "–",
        "bar": [round(100 * part / whole, 2) for part in (leg.placed, up - leg.placed, up, (leg.ended or whole) - up)],
    }


def _ring_url(request: HttpRequest, group: int, rung: list[Endpoint]) -> str:
    """Return the page that rings the group, or else the first phone, for real; "" if this user may not."""
    if not request.user.has_perm("calls.add_callrequest"):
        return ""
    if group and RingGroup.objects.filter(pk=group).exists():
        return reverse("admin:routing_ringgroup_ring_now", args=[group])
    return reverse("admin:routing_endpoint_ring_now", args=[rung[0].pk]) if rung else ""

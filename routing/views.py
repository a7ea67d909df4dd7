"""The TwiML app: answers voice requests of the engine, or of Twilio itself, that an account of ours has signed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import Resolver404
from django.urls import resolve as resolve_url
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from twilio.request_validator import RequestValidator

from routing import blocking, callers, resolve, screening, sipuri, situation
from routing.callers import Caller
from routing.fields import SecretError
from routing.models import Account, Endpoint, RingGroup
from routing.resolve import Destination
from routing.sid import is_sid
from routing.situation import Situation
from routing.voice import OVER, Context, Served, document, follow_up, spoken_test

Handler = Callable[..., Served]
Params = Mapping[str, str]
MOST_WHY = 3000  # characters, percent-encoded
_HANDLERS: dict[Callable[..., HttpResponse], Handler] = {}  # by the view that answers for it


def signed(handler: Handler) -> Callable[..., HttpResponse]:
    """Let `handler(params, account, query, situation, …)` answer what the account named by AccountSid has signed."""

    @csrf_exempt
    @require_http_methods(["GET", "HEAD", "POST"])
    @wraps(handler)
    def view(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        params = request.POST if request.method == "POST" else request.GET
        account = _signer(request, params)
        if isinstance(account, HttpResponse):
            return account
        return _response(handler(params, account, request.GET, situation.live(), **kwargs))

    _HANDLERS[view] = handler
    return view


def serve(account: Account, url: str, params: Mapping[str, str], given: Situation) -> Served | None:
    """Return what one of these URLs (path and query) answers an account's request in a situation.

    None: the URL is none of these. Nothing is signed, sent or, unless the situation is real, stored.
    """
    parts = urlsplit(url)
    try:
        found = resolve_url(parts.path)
    except Resolver404:
        return None
    handler = _HANDLERS.get(found.func)
    return handler(params, account, QueryDict(parts.query), given, **found.kwargs) if handler else None


def _signer(request: HttpRequest, params: QueryDict) -> Account | HttpResponse:
    """Return the account that has signed the request, or the refusal that says which check failed."""
    signature = request.headers.get("X-Twilio-Signature", "")
    if not signature:
        return _refuse("The X-Twilio-Signature header is missing.")
    if not (sid := params.get("AccountSid", "")):
        return _refuse("The AccountSid parameter is missing.")
    account = resolve.account_for(sid) if is_sid(sid, "AC") else None
    if account is None:
        return _refuse(f"There is no account {sid[:34]}.")
    if not account.is_active:
        return _refuse(f"Account {sid} is {account.status}.")
    try:
        validator = RequestValidator(account.auth_token)
    except SecretError as error:
        return HttpResponse(f"{error}.\n", status=500, content_type="text/plain; charset=utf-8")
    urls = (settings.PUBLIC_URL + request.get_full_path(), request.build_absolute_uri())
    if not any(validator.validate(url, request.POST, signature) for url in urls):
        text = f"The signature does not match: it must be made with the auth token of {sid} over {urls[0]}"
        return _refuse(f"{text} and the POST parameters. If the address is wrong, correct PUBLIC_URL in .env.")
    return account


def _refuse(text: str) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=403, content_type="text/plain; charset=utf-8")


def _response(served: Served) -> HttpResponse:
    response = HttpResponse(served.xml, content_type="text/xml; charset=utf-8")
    if served.route_id:
        response["X-Cordboard-Route"] = str(served.route_id)
    if served.group_id:
        response["X-Cordboard-Group"] = str(served.group_id)
    response["X-Cordboard-Why"] = quote(" ".join(served.why))[:MOST_WHY]  # clients take headers of 8 kB
    return response


def dialled_user(to: str) -> str:
    """Return what was dialled: the user of a SIP URI, or the text itself when it is a number or a name."""
    if "@" not in to and not to.lower().startswith(("sip:", "sips:")):
        return to.strip()
    try:
        return sipuri.parse(to).user
    except sipuri.SipUriError:
        return to.partition("@")[0].partition(":")[2]


def context_of(params: Params, query: Params, given: Situation) -> Context:
    """Read what the request says of the call, and what our own action URL carried."""
    return Context(
        call_status=params.get("CallStatus", ""),
        dial_call_status=params.get("DialCallStatus", ""),
        route_id=_number(query.get("route", "")),
        visited=_numbers(query.get("visited", "")),
        mask_secrets=not given.real,  # a document that nobody dials is for people to read
        caller=caller_of(params),
        situation=given,
    )


def caller_of(params: Params) -> Caller:
    """Return who calls: of a call that we placed, the one who was called."""
    placed = params.get("Direction", "").startswith("outbound")
    address = _text(params, "To" if placed else "From")
    return Caller(address, _text(params, "SipUsername"), _text(params, "SipDomain"))


def _text(params: Params, name: str) -> str:
    # PostgreSQL refuses queries with a NUL.
    return params.get(name, "").replace("\0", "")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else 0


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(number for word in text.split(",") if (number := _number(word)))


def _group(account: Account, pk: int) -> RingGroup | None:
    return RingGroup.objects.filter(pk=pk, account=account).select_related("account").first()


def _nothing(what: str, context: Context) -> Served:
    return document(Destination(None, (f"There is no {what} in this account any more.",)), context)


@signed
def voice(params: Params, account: Account, query: Params, given: Situation) -> Served:
    """Answer a call to a SIP domain: what the first route that matches the dialled user says."""
    user = dialled_user(_text(params, "To") or _text(params, "Called"))
    domain, now = _text(params, "SipDomain"), given.now or timezone.now()
    found = blocking.refusal(account, _text(params, "From"), now, domain)
    found = found or resolve.destination(account, domain, user, _text(params, "SipDomainSid"))
    return document(found, context_of(params, query, given))


@signed
def dial_action_group(params: Params, account: Account, query: Params, given: Situation, pk: int) -> Served:
    """Answer what follows the `<Dial>` of a ring group."""
    context = replace(context_of(params, query, given), left=_numbers(query.get("left", "")))
    if context.dial_call_status in OVER:
        return follow_up(None, context, group_id=pk)
    ring_group = _group(account, pk)
    # None: somebody has deleted the group while it rang, and the call ends.
    return follow_up(ring_group, context)


@signed
def group(params: Params, account: Account, query: Params, given: Situation, pk: int) -> Served:
    """Answer what a call that was placed to a ring group runs: the group's `<Dial>`."""
    context = context_of(params, query, given)
    ring_group = _group(account, pk)
    if ring_group is None:
        return _nothing(f"ring group {pk}", context)
    return document(Destination(ring_group, ("This call was placed to ring the group.",)), context)


@signed
def endpoint(params: Params, account: Account, query: Params, given: Situation, pk: int) -> Served:
    """Answer what a call that was placed to an endpoint runs: a short spoken message."""
    if not Endpoint.objects.filter(pk=pk, account=account).exists():
        return _nothing(f"endpoint {pk}", context_of(params, query, given))
    return spoken_test()


@signed
def screen(params: Params, account: Account, query: Params, given: Situation, pk: int, endpoint: int) -> Served:
    """Answer what a member hears who must press 1: who calls for which group, and what the key does."""
    context = context_of(params, query, given)
    ring_group = _group(account, pk)
    if ring_group is None:
        return follow_up(None, context)  # nobody's call any more: let go
    own = Endpoint.objects.filter(pk=endpoint, account=account).first()
    asked = _number(query.get("asked", ""))
    caller = callers.split(_text(params, "From"))[0]
    return screening.document(
        ring_group, own, caller, digits=params.get("Digits"), asked=asked, route_id=context.route_id
    )

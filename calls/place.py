"""Outbound calls that somebody asks for: queued as rows here, claimed and placed by an engine."""

from __future__ import annotations

import logging
from collections.abc import Collection

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from calls.command import TWIML_LENGTH, TWIML_TOO_LONG
from calls.entries import CallbackSpec, QueuedCall
from calls.ledger import user_part
from calls.models import URL_LENGTH, Call, CallRequest
from calls.values import callback_json, callback_spec
from routing import sipuri
from routing.fields import SecretError
from routing.models import Account, Endpoint, Region
from routing.sid import new_sid
from routing.validators import validate_caller_id, validate_url

log = logging.getLogger(__name__)

LONGEST_TIMEOUT = 600
CALLBACK_EVENTS = ("initiated", "ringing", "answered", "completed")
# Twilio's codes for a refused `POST Calls` (design conformance §1.12).
UNKNOWN_VALUE, NOT_ACTIVE = 20001, 20005
BAD_URL, BAD_TIMEOUT, BAD_METHOD, BAD_TO, BAD_FROM, BAD_LOGIN = 21205, 21208, 21209, 21211, 21212, 21225


class PlaceError(ValueError):
    """A call that cannot be queued; `code` is Twilio's error code, `message` names the field and the fix."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def queue_call(
    account: Account,
    to: str,
    from_address: str,
    *,
    url: str = "",
    method: str = "POST",
    fallback_url: str = "",
    twiml: str = "",
    timeout: int = 60,
    username: str = "",
    password: str = "",
    callback: CallbackSpec | None = None,
) -> Call:
    """Queue a call to a SIP URI that runs the TwiML of `url`, or `twiml` itself, when it is answered.

    `callback` is told of its progress. Raise `PlaceError` if something is wrong with it. An engine of the URI's region
    takes it within a second or so.
    """
    if not account.is_active:
        raise PlaceError(NOT_ACTIVE, f"Account {account} is {account.status}: only an active account may place calls.")
    uri = _parse(to)
    region = _region(uri.region)
    _check_from(from_address)
    _check_twiml(url, fallback_url, method, twiml)
    _check_callback(callback)
    if bool(username) != bool(password):
        raise PlaceError(BAD_LOGIN, "Give username and password together, or neither.")
    if not 1 <= timeout <= LONGEST_TIMEOUT:
        raise PlaceError(BAD_TIMEOUT, f"timeout: {timeout} is not between 1 and {LONGEST_TIMEOUT} seconds.")
    now = timezone.now()
    with transaction.atomic():
        call = Call.objects.create(
            sid=new_sid("CA"),
            account=account,
            direction=Call.Direction.OUTBOUND_API,
            status=Call.Status.QUEUED,
            from_address=from_address,
            to_address=uri.address,
            from_user=user_part(from_address),
            to_user=user_part(uri.address),
            start_time=now,
            region=region,
            endpoint=_endpoint(account, uri.address),
        )
        CallRequest.objects.create(
            call=call,
            to=uri.text,
            caller_id=from_address,
            url=url,
            method=method,
            fallback_url=fallback_url,
            twiml=twiml,
            timeout=timeout,
            username=username,
            password=password,
            callback=callback_json(callback),
            created=now,
        )
    log.info("call=%s queued to %s in region %s", call.sid, uri.address, region)
    return call


def ring(endpoint: Endpoint, path: str, *, from_address: str) -> Call:
    """Queue a call to an endpoint, with its own credentials, that runs the TwiML of a path of this Cordboard."""
    try:
        uri, password = endpoint.sip_uri(), endpoint.password
    except sipuri.SipUriError as error:
        raise PlaceError(error.code, f"Endpoint {endpoint}: {error.message}") from error
    except (ValidationError, SecretError) as error:
        why = error.messages[0] if isinstance(error, ValidationError) else str(error)
        raise PlaceError(BAD_TO, f"Endpoint {endpoint}: {why}") from error
    url = settings.PUBLIC_URL + path
    return queue_call(endpoint.account, uri.text, from_address, url=url, username=endpoint.username, password=password)


def _parse(to: str) -> sipuri.SipUri:
    try:
        return sipuri.parse(to)
    except sipuri.SipUriError as error:
        raise PlaceError(error.code, f"to: {error.message}") from error


def _region(name: str) -> str:
    wanted = Q(code=name) | Q(edge=name) if name else Q(is_default=True)
    found = Region.objects.filter(wanted).first()
    if found is None and name:
        known = ", ".join(Region.objects.values_list("code", flat=True))
        raise PlaceError(BAD_TO, f"to: there is no region {name}; use one of {known}, or leave it out.")
    if found is None:
        raise PlaceError(BAD_TO, "No region is the default: mark one of them as the default in the admin.")
    return found.code


def _check_from(text: str) -> None:
    if text.lower().startswith(("sip:", "sips:")):
        try:
            sipuri.parse(text)
        except sipuri.SipUriError as error:
            raise PlaceError(BAD_FROM, f"from: {error.message}") from error
        return
    try:
        validate_caller_id(text)
    except ValidationError as error:
        raise PlaceError(BAD_FROM, f"from: {error.messages[0]}") from error


def _check_twiml(url: str, fallback_url: str, method: str, twiml: str) -> None:
    if bool(url) == bool(twiml):
        raise PlaceError(BAD_URL, "Give either url or twiml: what the called party hears must come from one of them.")
    if len(twiml) > TWIML_LENGTH:
        raise PlaceError(
            TWIML_TOO_LONG, f"twiml: {len(twiml)} characters; at most {TWIML_LENGTH}. Serve a longer one from a URL."
        )
    _check_method("method", method)
    for name, value in (("url", url), ("fallback_url", fallback_url)):
        _check_url(name, value)


def _check_callback(callback: CallbackSpec | None) -> None:
    if callback is None:
        return
    if not callback.url:
        raise PlaceError(BAD_URL, "callback: it has no URL; give one, or leave the callback out.")
    _check_url("callback URL", callback.url)
    _check_method("callback method", callback.method)
    unknown = [event for event in callback.events if event not in CALLBACK_EVENTS]
    if unknown or not callback.events:
        named = unknown[0][:20] if unknown else "none"
        raise PlaceError(UNKNOWN_VALUE, f"callback events: {named}; give some of {', '.join(CALLBACK_EVENTS)}.")


def _check_method(name: str, value: str) -> None:
    if value not in ("GET", "POST"):
        raise PlaceError(BAD_METHOD, f"{name}: {value} is neither GET nor POST.")


def _check_url(name: str, value: str) -> None:
    if len(value) > URL_LENGTH:
        raise PlaceError(BAD_URL, f"{name}: {len(value)} characters; at most {URL_LENGTH}.")
    try:
        if value:
            validate_url(value)
    except ValidationError as error:
        raise PlaceError(BAD_URL, f"{name}: {error.messages[0]}") from error


def _endpoint(account: Account, address: str) -> Endpoint | None:
    mine = Endpoint.objects.filter(account=account).order_by("-enabled", "pk")
    return next((endpoint for endpoint in mine if endpoint.address == address), None)


def claim(engine: str, regions: Collection[str], limit: int) -> list[QueuedCall]:
    """Take up to `limit` queued calls of these regions for this engine, oldest first.

    Each is taken by one conditional UPDATE, so two engines never take the same call.
    """
    if not _any_waiting():
        return []
    waiting = CallRequest.objects.filter(claimed_by="", call__status=Call.Status.QUEUED, call__region__in=regions)
    claimed = []
    for request in waiting.select_related("call__account").order_by("created")[:limit]:
        # Conditions on this table only: PostgreSQL checks those again on a row that another engine just changed, but
        # not those of a subquery, which is what a condition on the call would become.
        if not CallRequest.objects.filter(pk=request.pk, claimed_by="").update(
            claimed_by=engine, claimed_at=timezone.now()
        ):
            continue  # another engine was quicker
        if not Call.objects.filter(pk=request.pk, status=Call.Status.QUEUED).exists():
            continue  # canceled meanwhile
        try:
            claimed.append(_claimed(request))
        except SecretError as error:
            _give_up(request, str(error))
    return claimed


def _any_waiting() -> bool:
    """Look for unclaimed requests; in plain SQL, since engines ask twice a second and there are mostly none."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {CallRequest._meta.db_table} WHERE claimed_by = '' LIMIT 1")
        return cursor.fetchone() is not None


def _claimed(request: CallRequest) -> QueuedCall:
    call = request.call
    return QueuedCall(
        sid=call.sid,
        account_sid=call.account_id,
        auth_token=call.account.auth_token,
        to=request.to,
        from_address=request.caller_id,
        region=call.region,
        url=request.url,
        method=request.method,
        fallback_url=request.fallback_url,
        twiml=request.twiml,
        timeout=request.timeout,
        username=request.username,
        password=request.password,
        queued=request.created.timestamp(),
        callback=callback_spec(request.callback),
    )


def _give_up(request: CallRequest, why: str) -> None:
    log.error("call=%s cannot be placed: %s", request.pk, why)
    Call.objects.filter(pk=request.pk, status=Call.Status.QUEUED).update(
        status=Call.Status.FAILED, reason=f"The call was not placed: {why}.", ended_by="engine", end_time=timezone.now()
    )

"""Outbound calls that somebody asks for: checked and queued as rows here, claimed (`claims`) by an engine."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from calls.command import TWIML_LENGTH, TWIML_TOO_LONG
from calls.entries import CallbackSpec, RecordingSpec
from calls.ledger import user_part
from calls.models import URL_LENGTH, Call, CallRequest, Conference
from calls.values import callback_json, recording_json
from routing import sipuri
from routing.fields import SecretError
from routing.models import Account, Endpoint, Region, Trunk
from routing.outbound import client_key, plain_number
from routing.sid import new_sid
from routing.validators import validate_caller_id, validate_url

log = logging.getLogger(__name__)

LONGEST_TIMEOUT = 600
LONGEST_CALL = 86_400  # seconds
CALLBACK_EVENTS = ("initiated", "ringing", "answered", "completed")
RECORDING_EVENTS = ("in-progress", "completed", "absent")
# Twilio's codes for a refused `POST Calls` (design conformance §1.12).
UNKNOWN_VALUE, NOT_ACTIVE = 20001, 20005
BAD_URL, BAD_DIGITS, BAD_TIMEOUT, BAD_METHOD, BAD_TO, BAD_FROM = 21205, 21206, 21208, 21209, 21211, 21212
LONG_LOGIN, LONG_PASSWORD, BAD_LOGIN = 21221, 21223, 21225
NO_TRUNK, NO_CLIENT = 13224, 32009
# What a URI in TwiML is refused with, and what the same one is as a parameter.
_URI_CODES = {13243: BAD_TO, 13251: 21227, 13252: 21228, 13253: 21227, 32112: 21229}
_DIGITS = re.compile(r"[0-9#*wWA-Da-d]{0,32}")
_CLIENT = "client:"


class PlaceError(ValueError):
    """A call that cannot be queued; `code` is Twilio's error code, `message` names the field and the fix."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class _Goal:
    """Whom to call: `to` as the engine takes it, `address` as the call log shows it."""

    to: str
    address: str
    region: str
    endpoint: Endpoint | None = None


def queue_call(
    account: Account,
    to: str,
    from_address: str,
    *,
    url: str = "",
    method: str = "POST",
    fallback_url: str = "",
    fallback_method: str = "POST",
    twiml: str = "",
    timeout: int = 60,
    username: str = "",
    password: str = "",
    callback: CallbackSpec | None = None,
    send_digits: str = "",
    time_limit: int | None = None,
    recording: RecordingSpec | None = None,
    machine_detection: bool = False,
    amd_callback: CallbackSpec | None = None,
    call_reason: str = "",
    conference: Conference | None = None,
) -> Call:
    """Queue a call that runs the TwiML of `url`, or `twiml` itself, when it is answered.

    `to` is a SIP URI, a telephone number, which one of the account's trunks takes, or `client:` and the name of an
    endpoint. `callback` is told of its progress; `conference` is where its TwiML leads. Raise `PlaceError` if something
    is wrong with it. An engine of the region takes it within a second or so, or when it is its turn.
    """
    if not account.is_active:
        raise PlaceError(NOT_ACTIVE, f"Account {account} is {account.status}: only an active account may place calls.")
    goal = _goal(account, to)
    _check_from(from_address)
    _check_twiml(url, fallback_url, twiml)
    for name, value in (("method", method), ("fallback_method", fallback_method)):
        _check_method(name, value)
    _check_callback("callback", callback, CALLBACK_EVENTS)
    _check_callback("amd_callback", amd_callback, ("amd",))
    _check_callback("recording callback", recording.callback if recording else None, RECORDING_EVENTS)
    _check_login(username, password)
    if not _DIGITS.fullmatch(send_digits):
        raise PlaceError(BAD_DIGITS, "send_digits: at most 32 of 0-9, #, *, A-D, w and W.")
    if not 1 <= timeout <= LONGEST_TIMEOUT:
        raise PlaceError(BAD_TIMEOUT, f"timeout: {timeout} is not between 1 and {LONGEST_TIMEOUT} seconds.")
    if time_limit is not None and not 1 <= time_limit <= LONGEST_CALL:
        raise PlaceError(UNKNOWN_VALUE, f"time_limit: {time_limit} is not between 1 and {LONGEST_CALL} seconds.")
    now = timezone.now()
    with transaction.atomic():
        call = Call.objects.create(
            sid=new_sid("CA"),
            account=account,
            direction=Call.Direction.OUTBOUND_API,
            status=Call.Status.QUEUED,
            from_address=from_address,
            to_address=goal.address,
            from_user=user_part(from_address),
            to_user=user_part(goal.address),
            start_time=now,
            region=goal.region,
            endpoint=goal.endpoint,
        )
        CallRequest.objects.create(
            call=call,
            to=goal.to,
            caller_id=from_address,
            url=url,
            method=method,
            fallback_url=fallback_url,
            fallback_method=fallback_method,
            twiml=twiml,
            timeout=timeout,
            username=username,
            password=password,
            callback=callback_json(callback),
            send_digits=send_digits,
            time_limit=time_limit,
            recording=recording_json(recording),
            machine_detection=machine_detection,
            amd_callback=callback_json(amd_callback),
            call_reason=call_reason,
            conference=conference,
            created=now,
        )
    log.info("call=%s queued to %s in region %s", call.sid, goal.address, goal.region)
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


def _goal(account: Account, to: str) -> _Goal:
    scheme = to[:8].lower()
    if scheme.startswith(_CLIENT):
        return _client(account, to[len(_CLIENT) :])
    if scheme.startswith(("sip:", "sips:")) or "@" in to:
        uri = _parse(to)
        return _Goal(uri.text, uri.address, _region(uri.region), _endpoint(account, uri.address))
    number = plain_number(to)
    if number is None:
        what = "a SIP URI (sip:user@host), a telephone number (+493012345) or client: and the name of an endpoint"
        raise PlaceError(BAD_TO, f"to: {to[:80]!r} is none of {what}.")
    return _Goal(number, number, _region(_trunk(account, number).sip_uri().region))


def _client(account: Account, name: str) -> _Goal:
    named = Endpoint.objects.filter(account=account, enabled=True).select_related("region").defer("password")
    endpoint = next((one for one in named.order_by("pk") if client_key(one.name) == client_key(name)), None)
    if endpoint is None:
        raise PlaceError(NO_CLIENT, f"to: there is no enabled endpoint named {name[:80]!r} in this account.")
    try:
        region = endpoint.sip_uri().region
    except (sipuri.SipUriError, ValidationError) as error:
        raise PlaceError(BAD_TO, f"to: endpoint {endpoint} cannot be called: {error}") from error
    return _Goal(f"{_CLIENT}{endpoint.name}", f"{_CLIENT}{endpoint.name}", _region(region), endpoint)


def _trunk(account: Account, number: str) -> Trunk:
    trunks = Trunk.objects.filter(account=account, enabled=True).select_related("region").prefetch_related("rules")
    for trunk in trunks:
        if any(row.rule().rewrite(number) for row in trunk.rules.all()):
            return trunk
    raise PlaceError(NO_TRUNK, f"to: no trunk of this account takes {number}: give one a rule for it in the admin.")


def _parse(to: str) -> sipuri.SipUri:
    try:
        return sipuri.parse(to)
    except sipuri.SipUriError as error:
        raise PlaceError(_URI_CODES.get(error.code, BAD_TO), f"to: {error.message}") from error


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


def _check_twiml(url: str, fallback_url: str, twiml: str) -> None:
    if bool(url) == bool(twiml):
        raise PlaceError(BAD_URL, "Give either url or twiml: what the called party hears must come from one of them.")
    if len(twiml) > TWIML_LENGTH:
        raise PlaceError(
            TWIML_TOO_LONG, f"twiml: {len(twiml)} characters; at most {TWIML_LENGTH}. Serve a longer one from a URL."
        )
    for name, value in (("url", url), ("fallback_url", fallback_url)):
        _check_url(name, value)


def _check_login(username: str, password: str) -> None:
    if bool(username) != bool(password):
        raise PlaceError(BAD_LOGIN, "username and password: give both, or neither.")
    for name, value, code in (("username", username, LONG_LOGIN), ("password", password, LONG_PASSWORD)):
        if len(value) > 255:
            raise PlaceError(code, f"{name}: {len(value)} characters; at most 255.")


def _check_callback(name: str, callback: CallbackSpec | None, known: tuple[str, ...]) -> None:
    if callback is None:
        return
    if not callback.url:
        raise PlaceError(BAD_URL, f"{name}: it has no URL; give one, or leave the callback out.")
    _check_url(f"{name} URL", callback.url)
    _check_method(f"{name} method", callback.method)
    unknown = [event for event in callback.events if event not in known]
    if unknown or not callback.events:
        named = unknown[0][:20] if unknown else "none"
        raise PlaceError(UNKNOWN_VALUE, f"{name} events: {named}; give some of {', '.join(known)}.")


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
    mine = Endpoint.objects.filter(account=account).order_by("-enabled", "pk").only("uri")
    return next((endpoint for endpoint in mine if endpoint.address == address), None)

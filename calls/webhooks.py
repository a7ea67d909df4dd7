"""PURE: what our requests to web applications say and how they are signed; no request is made here.

This file and `verb_parameters` alone know the wire names (`CallSid`, `DialCallStatus`, …). Parameters are ordered lists
of pairs, because a name may occur twice. Sources: Twilio's pages on TwiML requests, `<Dial>`, status
callbacks, webhook security and connection overrides (design conformance §1.7–1.11).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import SplitResult, quote, quote_plus, unquote, urljoin, urlsplit

from routing import overrides
from routing.overrides import Overrides

API_VERSION = "2010-04-01"
USER_AGENT = "TwilioProxy/1.1"

BAD_URL = 11100
BAD_OVERRIDES = 11243
URL_NOT_ABSOLUTE = 15004

Parameters = list[tuple[str, str]]
Headers = tuple[tuple[str, str], ...]

# What a URL may hold unescaped; the percent sign too, since the escapes that are there already must stay as they are.
_URL_SAFE = "!#$%&'()*+,/:;=?@[]~"
_HOST = re.compile(r"[\w.:-]+")
_USERINFO = re.compile(r"(?<=//)[^/?#]*@")


class WebhookError(ValueError):
    """A URL that cannot be requested; `code` is Twilio's error code, `message` is for the operator."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class VoiceCall:
    """What every voice request tells about its call; empty fields are left out of the request.

    `headers` are those of the INVITE (inbound) or of the final response (a dialled leg), any names, as received. With
    the callee's own SID, its parent's and the headers of its 200 it is what a screening document (`<Sip url>`) is asked
    with. `answered_by` is what machine detection found (`human`, `machine_start`, …, `unknown`).
    """

    call_sid: str
    account_sid: str
    from_address: str
    to_address: str
    status: str
    direction: str
    parent_call_sid: str = ""
    forwarded_from: str = ""
    sip_domain: str = ""
    sip_domain_sid: str = ""
    sip_username: str = ""
    sip_call_id: str = ""
    sip_source_ip: str = ""
    headers: Headers = ()
    answered_by: str = ""


@dataclass(frozen=True, slots=True)
class DialResult:
    """How a `<Dial>` ended: `duration` in seconds, None if nobody answered; `headers` of the final response."""

    status: str
    call_sid: str
    duration: int | None = None
    bridged: bool = False
    recording_url: str = ""
    sip_call_id: str = ""
    sip_code: int = 0
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """What only the last status callback of a call tells: seconds talked, SIP code, the recording if there was one."""

    duration: int
    sip_code: int = 0
    recording_sid: str = ""
    recording_url: str = ""
    recording_duration: int | None = None


@dataclass(frozen=True, slots=True)
class RecordingState:
    """A recording as its status callback tells it: `call_sid` is the leg that ran `<Dial>`, `duration` in seconds.

    A conference's recording has `conference_sid` and no `call_sid`.
    """

    account_sid: str
    call_sid: str
    sid: str
    url: str
    status: str
    channels: int
    start_time: float
    source: str
    track: str
    duration: int | None = None
    conference_sid: str = ""


def sign(auth_token: str, url: str, params: Iterable[tuple[str, str]] = ()) -> str:
    """Return the X-Twilio-Signature of a request: of a GET without `params`, of a POST with its form parameters.

    `url` is what `signed_url` returned and what is requested. Source: Twilio's page on webhook security.
    """
    # Sorted by name, then value, and each pair once: that is what the validators of Twilio's libraries do.
    text = url + "".join(name + value for name, value in sorted(set(params)))
    digest = hmac.new(auth_token.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


@functools.lru_cache(maxsize=512)
def signed_url(url: str) -> str:
    """Return the URL that is requested and signed: no fragment, no user and password, nothing left to escape.

    An HTTP client must send it byte for byte, or the receiver will compute another signature.
    """
    parts = _split(url)
    netloc = _ascii(parts.netloc.rpartition("@")[2])
    path = quote(parts.path or "/", safe=_URL_SAFE)
    query = quote(parts.query, safe=_URL_SAFE)
    return SplitResult(parts.scheme, netloc, path, query, "").geturl()


def with_query(url: str, params: Sequence[tuple[str, str]]) -> str:
    """Return `signed_url(url)` with the parameters of a GET request after its own query."""
    base = signed_url(url)
    if not params:
        return base
    return base + ("&" if "?" in base else "?") + form(params)


def form(params: Iterable[tuple[str, str]]) -> str:
    """Return the parameters as application/x-www-form-urlencoded, which a query is, too (WHATWG URL §5.2)."""
    return "&".join([f"{_quoted(name)}={_quoted(value)}" for name, value in params])


# Names are always the same and most values come with several requests of a call: it was a quarter of their cost.
_quoted = functools.lru_cache(maxsize=4096)(quote_plus)


@functools.lru_cache(maxsize=512)
def credentials(url: str) -> tuple[str, str] | None:
    """Return user and password for HTTP authentication if the URL holds them."""
    userinfo, at, _ = _split(url).netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    return (unquote(user), unquote(password)) if at else None


def resolve_url(base: str, url: str) -> str:
    """Return the absolute form of a URL in TwiML, relative to the document's own URL `base`.

    Raise `WebhookError` 15004 if it is relative and there is no base (TwiML that was given inline), 11100 if the result
    is no http(s) URL.
    """
    try:
        joined = urljoin(base, url.strip())
        relative = not urlsplit(joined).scheme
    except ValueError:
        raise WebhookError(BAD_URL, f"URL {_shown(url)} is malformed") from None
    if relative:
        raise WebhookError(URL_NOT_ABSOLUTE, f"URL {_shown(url)} is relative, and the TwiML was not fetched from a URL")
    _split(joined)
    return joined


@functools.lru_cache(maxsize=512)
def connection_overrides(url: str) -> Overrides:
    """Return the connection overrides in the fragment of a URL; raise `WebhookError` 11243 for one out of range."""
    try:
        return overrides.parse(_split(url).fragment)
    except overrides.OverrideError as error:
        raise WebhookError(BAD_OVERRIDES, error.message) from None


def voice_parameters(call: VoiceCall) -> Parameters:
    """Return the parameters of every request for TwiML about this call (conformance §1.7)."""
    return [
        ("CallSid", call.call_sid),
        ("AccountSid", call.account_sid),
        ("From", call.from_address),
        ("To", call.to_address),
        ("Caller", call.from_address),
        ("Called", call.to_address),
        ("CallStatus", call.status),
        ("ApiVersion", API_VERSION),
        ("Direction", call.direction),
        *present(
            ("ForwardedFrom", call.forwarded_from),
            ("ParentCallSid", call.parent_call_sid),
            ("SipDomain", call.sip_domain),
            ("SipDomainSid", call.sip_domain_sid),
            ("SipUsername", call.sip_username),
            ("SipCallId", call.sip_call_id),
            ("SipSourceIp", call.sip_source_ip),
            ("AnsweredBy", call.answered_by),
        ),
        *((f"SipHeader_{name}", value) for name, value in call.headers if _passed_on(name)),
    ]


def dial_parameters(result: DialResult) -> Parameters:
    """Return what the request to the action URL of `<Dial>` tells besides the parent's voice parameters (§1.8)."""
    return [
        ("DialCallStatus", result.status),
        *present(("DialCallSid", result.call_sid), ("DialCallDuration", _text(result.duration))),
        ("DialBridged", "true" if result.bridged else "false"),
        *present(
            ("RecordingUrl", result.recording_url),
            ("DialSipCallId", result.sip_call_id),
            ("DialSipResponseCode", _text(result.sip_code or None)),
        ),
        *((f"DialSipHeader_{name}", value) for name, value in result.headers if _passed_on(name)),
    ]


def status_parameters(call: VoiceCall, sequence: int, time: float, completion: Completion | None = None) -> Parameters:
    """Return the parameters of a status callback (§1.9): `sequence` counts the sent ones of a call from 0.

    `time` is when the event happened, in seconds since the epoch; the completed event has a `completion`.
    """
    return [
        *voice_parameters(call),
        *(_completion_parameters(completion) if completion else []),
        ("Timestamp", rfc2822(time)),
        ("CallbackSource", "call-progress-events"),
        ("SequenceNumber", str(sequence)),
    ]


def recording_parameters(recording: RecordingState) -> Parameters:
    """Return the parameters of a recording status callback (§1.10); the URL has no extension."""
    return [
        ("AccountSid", recording.account_sid),
        *present(("CallSid", recording.call_sid), ("ConferenceSid", recording.conference_sid)),
        ("RecordingSid", recording.sid),
        ("RecordingUrl", recording.url),
        ("RecordingStatus", recording.status),
        *present(("RecordingDuration", _text(recording.duration))),
        ("RecordingChannels", str(recording.channels)),
        ("RecordingStartTime", rfc2822(recording.start_time)),
        ("RecordingSource", recording.source),
        ("RecordingTrack", recording.track),
    ]


def recording_url(public_url: str, account_sid: str, recording_sid: str) -> str:
    """Return the absolute RecordingUrl that applications are told: without extension, as Twilio's."""
    return f"{public_url}/{API_VERSION}/Accounts/{account_sid}/Recordings/{recording_sid}"


def fallback_parameters(code: int, url: str) -> Parameters:
    """Return what a request to the fallback URL tells besides the parameters of the failed one: error code and URL.

    The URL is told without its user, password and fragment: the fallback may be somebody else's server.
    """
    return [("ErrorCode", str(code)), ("ErrorUrl", without_secrets(url))]


def rfc2822(epoch: float) -> str:
    """Return a time as Twilio writes it: `Sun, 25 Mar 2018 09:53:19 +0000`."""
    return _rfc2822(int(epoch))


@functools.lru_cache(maxsize=64)  # much happens in one second
def _rfc2822(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC))


def present(*params: tuple[str, str]) -> Parameters:
    """Return those parameters that have a value."""
    return [(name, value) for name, value in params if value]


def _completion_parameters(completion: Completion) -> Parameters:
    return [
        ("CallDuration", str(completion.duration)),
        ("Duration", str(math.ceil(completion.duration / 60))),
        *present(
            ("SipResponseCode", _text(completion.sip_code or None)),
            ("RecordingUrl", completion.recording_url),
            ("RecordingSid", completion.recording_sid),
            ("RecordingDuration", _text(completion.recording_duration)),
        ),
    ]


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def _passed_on(header: str) -> bool:
    """Say whether a SIP header of the far side is told to the application: X- headers and User-to-User."""
    lowered = header.lower()
    return lowered.startswith("x-") or lowered == "user-to-user"


def _split(url: str) -> SplitResult:
    """Split an absolute http(s) URL; raise `WebhookError` if it is none."""
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname or ""
        valid = parts.scheme in ("http", "https") and bool(_HOST.fullmatch(host)) and parts.port != 0
        _ascii(host)
    except ValueError:
        raise _no_url(url) from None
    if not valid:
        raise _no_url(url)
    if "_" in host:
        raise WebhookError(BAD_URL, f"URL {_shown(url)}: a host name may not have an underscore")
    return parts


def _no_url(url: str) -> WebhookError:
    return WebhookError(BAD_URL, f"URL {_shown(url)} is not http:// or https:// with a host name and a valid port")


def _ascii(netloc: str) -> str:
    """Return the host (and port) as it is sent in the Host header, which the receiver's validator reads (RFC 5890)."""
    return netloc if netloc.isascii() else netloc.encode("idna").decode()


def without_secrets(url: str) -> str:
    return _USERINFO.sub("", url.partition("#")[0])


def _shown(url: str) -> str:
    return repr(without_secrets(url)[:200])

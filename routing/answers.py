"""PURE: the facts of an INVITE that go in, and the decisions that come out, when a caller asks to be let in.

Frozen values that cross layers: `sipengine` hands in `InviteFacts`, `routing` answers `Peer`, `Challenge` or `Deny`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InviteFacts:
    """What admission needs to know of an INVITE.

    `user` and `host` are those of the Request-URI, without port; `source_ip` is where the packet came from;
    `authorization` is the raw value of Proxy-Authorization (or Authorization), if there was one; `transport` is what it
    came over (udp, tcp, tls), and `srtp` says that its SDP offers encrypted media.
    """

    method: str
    host: str
    source_ip: str
    call_id: str
    authorization: str | None = None
    transport: str = "udp"
    srtp: bool = False
    user: str = ""


@dataclass(frozen=True, slots=True)
class Application:
    """Where a SIP domain sends its calls: the URLs that are asked for TwiML, and the account that signs."""

    account_sid: str
    auth_token: str
    domain_sid: str
    domain_name: str
    voice_url: str
    voice_method: str = "POST"
    fallback_url: str = ""
    fallback_method: str = "POST"
    status_callback_url: str = ""
    status_callback_method: str = "POST"
    enhanced_sip: bool = True  # more than one noun in a `<Dial>` (the account's "enhanced SIP features")
    secure: bool = False  # calls must come over TLS and with SRTP


@dataclass(frozen=True, slots=True)
class Peer:
    """Let in: the application that handles the call, and the username if a credential was checked."""

    application: Application
    username: str | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """Answer 407 with this Proxy-Authenticate value; `failed` is true when credentials were sent and were wrong."""

    header: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Deny:
    """Refuse with this SIP status; `code` and `text` go into `X-Twilio-Error` and the operator's log."""

    status: int
    code: int
    text: str


Admission = Peer | Challenge | Deny

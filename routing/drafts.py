"""TwiML in the making: what a document depends on, its `<Sip>` nouns and `<Dial>`, and the reasons for it.

Built with the `twilio` package's TwiML classes. Only attributes that differ from Twilio's defaults are written, so that
an operator can read the document. URLs of our own are relative. Nothing here looks at the clock or draws at random:
what depends on them comes with the context.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from twilio.twiml.voice_response import Dial, VoiceResponse

from routing.callers import Caller
from routing.fields import SecretError
from routing.models import MAX_NOUNS, Endpoint, RingGroupMember
from routing.sipuri import SipUriError
from routing.situation import Situation

MASK = "••••••"


@dataclass(frozen=True, slots=True)
class Context:
    """What a document depends on besides the models: the call, how far the dialling has come, and the circumstances.

    `left` are the members of the group, by id and in order, that have not been rung; None: nobody has. `visited` are
    the groups already rung. `members` are the members of a group that is not saved, for a preview.
    """

    call_status: str = ""
    dial_call_status: str = ""
    route_id: int = 0
    left: tuple[int, ...] | None = None
    visited: tuple[int, ...] = ()
    mask_secrets: bool = False
    caller: Caller = Caller()
    situation: Situation = Situation()
    members: tuple[RingGroupMember, ...] | None = None

    @property
    def now(self) -> datetime | None:
        """Return the time of the call."""
        return self.situation.now


@dataclass(frozen=True, slots=True)
class Served:
    """A TwiML document, the reasons for it, and which group and route (0: none) it comes from."""

    xml: str
    why: tuple[str, ...]
    group_id: int = 0
    route_id: int = 0

    @property
    def pretty(self) -> str:
        """Return the document indented, for people."""
        root = ElementTree.fromstring(self.xml)
        ElementTree.indent(root)
        return ElementTree.tostring(root, encoding="unicode")


@dataclass(frozen=True, slots=True)
class Noun:
    """One `<Sip>`: its text and attributes."""

    name: str
    uri: str
    attributes: dict[str, str]


@dataclass(slots=True)
class Draft:
    """A document in the making."""

    context: Context
    why: list[str]
    group_id: int = 0
    most: int = MAX_NOUNS  # nouns in one Dial
    all_busy: bool = False  # nobody was rung since everybody is in a call
    response: Any = field(default_factory=VoiceResponse)

    def served(self) -> Served:
        """Return the finished document."""
        return Served(self.response.to_xml(), tuple(self.why), self.group_id, self.context.route_id)

    def dial(self, nouns: Sequence[Noun], attributes: dict[str, Any]) -> None:
        """Write a `<Dial>`."""
        dial = Dial(**attributes)
        for noun in nouns:
            dial.sip(noun.uri, **noun.attributes)
        self.response.append(dial)

    def noun(self, endpoint: Endpoint) -> Noun | None:
        """Return the endpoint's `<Sip>`, or None with a reason when it cannot be rung."""
        if not endpoint.enabled:
            self.why.append(f"{endpoint} is left out: the endpoint is disabled.")
            return None
        try:
            return Noun(endpoint.name, endpoint.sip_uri().text, _sip_attributes(endpoint, self.context.mask_secrets))
        except (SipUriError, ValidationError, SecretError) as error:
            text = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
            self.why.append(f"{endpoint} is left out: {text}. Open and save the endpoint to correct it.")
            return None


def _sip_attributes(endpoint: Endpoint, mask_secrets: bool) -> dict[str, str]:
    password = endpoint.password
    given = {
        "username": endpoint.username,
        "password": MASK if password and mask_secrets else password,
        "status_callback": endpoint.status_callback,
        "url": endpoint.screening_url,
    }
    if endpoint.status_callback:
        given["status_callback_event"] = endpoint.status_callback_events
        given["status_callback_method"] = unless_post(endpoint.status_callback_method)
    if endpoint.screening_url:
        given["method"] = unless_post(endpoint.screening_method)
    return {name: value for name, value in given.items() if value}


def unless_post(method: str) -> str:
    """Return the method, but nothing for Twilio's default."""
    return "" if method == "POST" else method

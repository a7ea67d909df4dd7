"""The TwiML that a route, a ring group or an endpoint means, and what follows a `<Dial>`; each with its reasons.

Built with the `twilio` package's TwiML classes. Only attributes that differ from Twilio's defaults are written, so that
an operator can read the document. URLs of our own are relative.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.urls import reverse
from twilio.twiml.voice_response import Dial, VoiceResponse

from routing.fields import SecretError
from routing.models import MAX_NOUNS, Endpoint, RingGroup, RingGroupMember
from routing.resolve import Destination, External
from routing.sipuri import SipUriError

MASK = "••••••"
OVER = frozenset({"completed", "answered", "canceled"})  # of DialCallStatus: after these nobody else is rung
TEST_MESSAGE = "This is a test call from Cordboard. This phone can be reached, and can hear us. Goodbye."


@dataclass(frozen=True, slots=True)
class Context:
    """What a document depends on besides the models: the call, and how far the dialling has come.

    `start` is the first member of a sequential group that has not been tried; `visited` are the groups already rung.
    """

    call_status: str = ""
    dial_call_status: str = ""
    route_id: int = 0
    start: int = 0
    visited: tuple[int, ...] = ()
    mask_secrets: bool = False


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
class _Noun:
    """One `<Sip>`: its text and attributes."""

    name: str
    uri: str
    attributes: dict[str, str]


@dataclass(slots=True)
class _Draft:
    """A document in the making."""

    context: Context
    why: list[str]
    group_id: int = 0
    most: int = MAX_NOUNS  # nouns in one Dial
    response: Any = field(default_factory=VoiceResponse)

    def served(self) -> Served:
        return Served(self.response.to_xml(), tuple(self.why), self.group_id, self.context.route_id)


def document(destination: Destination, context: Context = Context()) -> Served:  # noqa: B008 (frozen)
    """Return the TwiML that a call to this destination is answered with."""
    if destination.route:
        context = replace(context, route_id=destination.route.pk or 0)
    draft = _Draft(context, list(destination.why))
    match destination.target:
        case None:
            _reject(draft)
        case External(url, method):
            draft.response.redirect(url, **({} if method == "POST" else {"method": method}))
            draft.why.append(f"The TwiML application at {url} takes over.")
        case Endpoint() as endpoint:
            noun = _noun(draft, endpoint)
            if noun:
                _dial_endpoint(draft, endpoint, noun, {"answer_on_bridge": True})
            else:
                _reject(draft)
        case RingGroup() as group:
            draft.most = most_nouns(group)
            _ring_group(draft, group)
        case other:
            assert_never(other)
    return draft.served()


def follow_up(group: RingGroup | None, context: Context, group_id: int = 0) -> Served:
    """Return what follows a `<Dial>` of this group that has ended.

    Without a group (it is gone, or nothing can follow any more) `group_id` names it for the call log.
    """
    draft = _Draft(context, [], group.pk if group else group_id)
    status = context.dial_call_status
    if status in OVER:
        draft.why.append(f"The dial has ended with {status}: nothing is left to do.")
        draft.response.hangup()
    elif group is None:
        _give_up(draft)
    else:
        draft.most = most_nouns(group)
        _ring_group(draft, group)
    return draft.served()


def most_nouns(group: RingGroup) -> int:
    """Return how many members one `<Dial>` of the group may ring: one without the account's enhanced SIP features."""
    return MAX_NOUNS if group.account.enhanced_sip else 1


def spoken_test() -> Served:
    """Return what somebody hears whose endpoint is called as a test."""
    draft = _Draft(Context(), ["This call was placed to test an endpoint."])
    draft.response.say(TEST_MESSAGE)
    draft.response.hangup()
    return draft.served()


def _ring_group(draft: _Draft, group: RingGroup) -> None:
    """Dial the members that have not been tried, or do what is set for when nobody answers."""
    context = draft.context
    draft.group_id = group.pk or 0
    nouns = _member_nouns(draft, group)
    # Where only one may be dialled at a time, a parallel group still rings everybody: one after the other.
    sequential = group.strategy == RingGroup.Strategy.SEQUENTIAL or draft.most == 1
    untried = nouns[context.start :] if sequential or not context.start else []
    chosen = untried[: draft.most]
    if not chosen:
        if not nouns:
            draft.why.append(f"Group {group} has no member that can be rung.")
        _fall_back(draft, group)
        return
    left = len(untried) - len(chosen)
    draft.why.append(_ringing(group, len(chosen), left, sequential))
    if draft.most == 1 and group.strategy == RingGroup.Strategy.PARALLEL and len(nouns) > 1:
        draft.why.append("They cannot ring at once: the account's enhanced SIP features are off.")
    start = context.start + len(chosen) if sequential else len(nouns)
    attributes = _dial_attributes(group, sequential=draft.most > 1)
    if (sequential and left) or group.fallback != RingGroup.Fallback.HANGUP:
        # Without a follow-up there is no action: the document ends, and with it the call, one request sooner.
        attributes = {"action": _action("voice-dial-action-group", group.pk or 0, context, start=start), **attributes}
    _dial(draft, chosen, attributes)
    if not (sequential and left):
        draft.why.append(f"If nobody answers: {_fallback_text(group)}.")


def _ringing(group: RingGroup, count: int, left: int, sequential: bool) -> str:
    members = f"{count} member{'s' * (count != 1)}"
    if sequential:
        more = f" The next {left} follow in another Dial, through the action URL." if left else ""
        how = f"one after the other, {group.ring_timeout} s each" if count > 1 else f"for {group.ring_timeout} s"
        return f"Group {group} rings {members} {how}.{more}"
    more = f" {left} more are left out: make the group sequential or split it." if left else ""
    return f"Group {group} rings {members} at once for {group.ring_timeout} s.{more}"


def _member_nouns(draft: _Draft, group: RingGroup) -> list[_Noun]:
    rows = RingGroupMember.objects.filter(group_id=group.pk).select_related("endpoint__region") if group.pk else ()
    nouns = []
    for member in rows:
        if not member.enabled:
            draft.why.append(f"{member.endpoint} is left out: this member is disabled.")
        elif noun := _noun(draft, member.endpoint):
            nouns.append(noun)
    return nouns


def _noun(draft: _Draft, endpoint: Endpoint) -> _Noun | None:
    """Return the endpoint's `<Sip>`, or None with a reason when it cannot be rung."""
    if not endpoint.enabled:
        draft.why.append(f"{endpoint} is left out: the endpoint is disabled.")
        return None
    try:
        return _Noun(endpoint.name, endpoint.sip_uri().text, _sip_attributes(endpoint, draft.context.mask_secrets))
    except (SipUriError, ValidationError, SecretError) as error:
        text = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
        draft.why.append(f"{endpoint} is left out: {text}. Open and save the endpoint to correct it.")
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
        given["status_callback_method"] = _unless_post(endpoint.status_callback_method)
    if endpoint.screening_url:
        given["method"] = _unless_post(endpoint.screening_method)
    return {name: value for name, value in given.items() if value}


def _unless_post(method: str) -> str:
    return "" if method == "POST" else method


def _dial_attributes(group: RingGroup, sequential: bool) -> dict[str, Any]:
    """Return the attributes of the group's `<Dial>` that differ from the defaults; `sequential` if it may have that."""
    given: dict[str, tuple[Any, Any]] = {
        "timeout": (group.ring_timeout, 30),
        "time_limit": (group.time_limit, 14400),
        "answer_on_bridge": (group.answer_on_bridge, False),
        "caller_id": (group.caller_id, ""),
        "hangup_on_star": (group.hangup_on_star, False),
        "ring_tone": (group.ring_tone, ""),
        "sequential": (sequential and group.strategy == RingGroup.Strategy.SEQUENTIAL, False),
    }
    return {name: value for name, (value, default) in given.items() if value != default} | _recording(group)


def _recording(group: RingGroup) -> dict[str, str]:
    if group.record == RingGroup.Record.NO:
        return {}
    given = {"record": group.record, "trim": "trim-silence" if group.trim else ""}
    if group.recording_status_callback:
        given["recording_status_callback"] = group.recording_status_callback
        given["recording_status_callback_event"] = group.recording_status_callback_events
        given["recording_status_callback_method"] = _unless_post(group.recording_status_callback_method)
    return {name: value for name, value in given.items() if value}


def _dial(draft: _Draft, nouns: Sequence[_Noun], attributes: dict[str, Any]) -> None:
    dial = Dial(**attributes)
    for noun in nouns:
        dial.sip(noun.uri, **noun.attributes)
    draft.response.append(dial)


def _dial_endpoint(draft: _Draft, endpoint: Endpoint, noun: _Noun, attributes: dict[str, Any]) -> None:
    draft.why.append(f"Endpoint {endpoint} rings at {endpoint.address}.")
    _dial(draft, [noun], attributes)


def _action(name: str, pk: int, context: Context, start: int = 0) -> str:
    """Return the relative URL that is asked when the dial has ended."""
    given = {
        "route": context.route_id,
        "start": start,
        "visited": ",".join(map(str, context.visited)),
    }
    query = urlencode({key: value for key, value in given.items() if value}, safe=",")
    return reverse(name, args=[pk]) + (f"?{query}" if query else "")


def _fall_back(draft: _Draft, group: RingGroup) -> None:
    """Do what the group says for when nobody answers."""
    draft.why.append(f"Nobody of group {group} answers: {_fallback_text(group)}.")
    context, other = draft.context, group.fallback_group
    match group.fallback:
        case RingGroup.Fallback.GROUP if other and other.pk not in (*context.visited, group.pk):
            draft.context = replace(context, start=0, visited=(*context.visited, group.pk))
            _ring_group(draft, other)
        case RingGroup.Fallback.ENDPOINT if (endpoint := group.fallback_endpoint) and (noun := _noun(draft, endpoint)):
            _dial_endpoint(draft, endpoint, noun, _dial_attributes(group, sequential=False))
        case RingGroup.Fallback.SAY:
            draft.response.say(group.fallback_text)
            draft.response.hangup()
        case _:
            if group.fallback == RingGroup.Fallback.GROUP:
                draft.why.append(f"Group {other} has been rung already in this call.")
            _give_up(draft)


def _fallback_text(group: RingGroup) -> str:
    match group.fallback:
        case RingGroup.Fallback.GROUP:
            return f"group {group.fallback_group}"
        case RingGroup.Fallback.ENDPOINT:
            return f"endpoint {group.fallback_endpoint}"
        case RingGroup.Fallback.SAY:
            return f"say “{group.fallback_text}” and hang up"
        case _:
            return "hang up"


def _reject(draft: _Draft) -> None:
    draft.response.reject()
    draft.why.append("The call is rejected: the caller gets SIP 404.")


def _give_up(draft: _Draft) -> None:
    """End the call; a caller whose call was never answered still can be told that the called side is busy."""
    if draft.context.call_status == "ringing" and draft.context.dial_call_status == "busy":
        draft.response.reject(reason="busy")
        draft.why.append("The call is rejected as busy: the caller gets SIP 486.")
    else:
        draft.response.hangup()
        draft.why.append("The call is hung up.")

"""The TwiML that a route, a ring group or an endpoint means, and what follows a `<Dial>`; each with its reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from routing.closing import closed
from routing.drafts import MASK, Context, Draft, Noun, Served
from routing.group_dial import dial_attributes, member_noun, most_nouns, ring_group
from routing.models import EndingKind, Endpoint, RingGroup, Voicemail
from routing.models.endings import Ending
from routing.resolve import Destination, External, Refusal
from routing.voicemail import take_message

__all__ = ["MASK", "OVER", "Context", "Served", "document", "follow_up", "spoken_test"]

OVER = frozenset({"completed", "answered", "canceled"})  # of DialCallStatus: after these nobody else is rung
TEST_MESSAGE = "This is a test call from Cordboard. This phone can be reached, and can hear us. Goodbye."


def document(destination: Destination, context: Context = Context()) -> Served:  # noqa: B008 (frozen)
    """Return the TwiML that a call to this destination is answered with."""
    if destination.route:
        context = replace(context, route_id=destination.route.pk or 0)
    draft = Draft(context, list(destination.why))
    match destination.target:
        case None:
            _reject(draft)
        case External(url, method):
            draft.response.redirect(url, **({} if method == "POST" else {"method": method}))
            draft.why.append(f"The TwiML application at {url} takes over.")
        case Endpoint() as endpoint:
            noun = draft.noun(endpoint)
            if noun:
                _dial_endpoint(draft, endpoint, noun)
            else:
                _reject(draft)
        case RingGroup() as group:
            draft.most = most_nouns(group)
            _ring(draft, group)
        case Voicemail() as box:
            take_message(draft, box)
        case Refusal(reason):
            _reject(draft, reason)
        case other:
            assert_never(other)
    return draft.served()


def follow_up(group: RingGroup | None, context: Context, group_id: int = 0) -> Served:
    """Return what follows a `<Dial>` of this group that has ended.

    Without a group (it is gone, or nothing can follow any more) `group_id` names it for the call log.
    """
    draft = Draft(replace(context, left=context.left or ()), [], group.pk if group else group_id)
    status = context.dial_call_status
    if status in OVER:
        draft.why.append(f"The dial has ended with {status}: nothing is left to do.")
        draft.response.hangup()
    elif group is None:
        _give_up(draft)
    else:
        draft.most = most_nouns(group)
        _ring(draft, group)
    return draft.served()


def spoken_test() -> Served:
    """Return what somebody hears whose endpoint is called as a test."""
    draft = Draft(Context(), ["This call was placed to test an endpoint."])
    draft.response.say(TEST_MESSAGE)
    draft.response.hangup()
    return draft.served()


def _ring(draft: Draft, group: RingGroup) -> None:
    if ending := closed(draft, group):
        _end(draft, ending, group)
    elif ending := ring_group(draft, group):
        draft.why.append(f"Nobody of group {group} answers: {ending}.")
        _end(draft, ending, group)


def _end(draft: Draft, ending: Ending, group: RingGroup) -> None:
    """Do what the group says for when it rings nobody, or nobody any more."""
    context, other = draft.context, ending.group
    match ending.kind:
        case EndingKind.GROUP if other and other.pk not in (*context.visited, group.pk):
            draft.context = replace(context, left=None, visited=(*context.visited, group.pk))
            _ring(draft, other)
        case EndingKind.ENDPOINT if (endpoint := ending.endpoint) and (noun := member_noun(draft, group, endpoint)):
            _dial_endpoint(draft, endpoint, noun, group)
        case EndingKind.VOICEMAIL if ending.voicemail:
            take_message(draft, ending.voicemail)
        case EndingKind.SAY:
            draft.response.say(ending.text)
            draft.response.hangup()
        case _:
            if ending.kind == EndingKind.GROUP:
                draft.why.append(f"Group {other} has been rung already in this call.")
            _give_up(draft)


def _dial_endpoint(draft: Draft, endpoint: Endpoint, noun: Noun, group: RingGroup | None = None) -> None:
    draft.why.append(f"Endpoint {endpoint} rings at {endpoint.address}.")
    draft.dial(
        [noun],
        dial_attributes(draft, group, group.ring_timeout, sequential=False) if group else {"answer_on_bridge": True},
    )


def _reject(draft: Draft, reason: str = "rejected") -> None:
    if reason == "busy":
        draft.response.reject(reason="busy")
        draft.why.append("The call is rejected as busy: the caller gets SIP 486.")
    else:
        draft.response.reject()
        draft.why.append("The call is rejected: the caller gets SIP 404.")


def _give_up(draft: Draft) -> None:
    """End the call; a caller whose call was never answered still can be told that the called side is busy."""
    busy = draft.all_busy or draft.context.dial_call_status == "busy"
    if draft.context.call_status == "ringing" and busy:
        _reject(draft, "busy")
    else:
        draft.response.hangup()
        draft.why.append("The call is hung up.")

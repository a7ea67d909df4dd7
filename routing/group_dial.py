"""The `<Dial>` of a ring group: who rings now, in which order, and what is left for the next one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from routing.drafts import Context, Draft, Noun, unless_post
from routing.models import MAX_NOUNS, EndingKind, RingGroup, RingGroupMember
from routing.models.endings import Ending


def ring_group(draft: Draft, group: RingGroup) -> Ending | None:
    """Dial the members that have not been tried; return what to do instead when there are none."""
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
        return group.if_unanswered
    left = len(untried) - len(chosen)
    draft.why.append(_ringing(group, len(chosen), left, sequential))
    if draft.most == 1 and group.strategy == RingGroup.Strategy.PARALLEL and len(nouns) > 1:
        draft.why.append("They cannot ring at once: the account's enhanced SIP features are off.")
    start = context.start + len(chosen) if sequential else len(nouns)
    attributes = dial_attributes(group, sequential=draft.most > 1)
    if (sequential and left) or group.fallback != EndingKind.HANGUP:
        # Without a follow-up there is no action: the document ends, and with it the call, one request sooner.
        attributes = {"action": _action("voice-dial-action-group", group.pk or 0, context, start=start), **attributes}
    draft.dial(chosen, attributes)
    if not (sequential and left):
        draft.why.append(f"If nobody answers: {group.if_unanswered}.")
    return None


def most_nouns(group: RingGroup) -> int:
    """Return how many members one `<Dial>` of the group may ring: one without the account's enhanced SIP features."""
    return MAX_NOUNS if group.account.enhanced_sip else 1


def _ringing(group: RingGroup, count: int, left: int, sequential: bool) -> str:
    members = f"{count} member{'s' * (count != 1)}"
    if sequential:
        more = f" The next {left} follow in another Dial, through the action URL." if left else ""
        how = f"one after the other, {group.ring_timeout} s each" if count > 1 else f"for {group.ring_timeout} s"
        return f"Group {group} rings {members} {how}.{more}"
    more = f" {left} more are left out: make the group sequential or split it." if left else ""
    return f"Group {group} rings {members} at once for {group.ring_timeout} s.{more}"


def _member_nouns(draft: Draft, group: RingGroup) -> list[Noun]:
    rows = RingGroupMember.objects.filter(group_id=group.pk).select_related("endpoint__region") if group.pk else ()
    nouns = []
    for member in rows:
        if not member.enabled:
            draft.why.append(f"{member.endpoint} is left out: this member is disabled.")
        elif noun := draft.noun(member.endpoint):
            nouns.append(noun)
    return nouns


def dial_attributes(group: RingGroup, sequential: bool) -> dict[str, Any]:
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
        given["recording_status_callback_method"] = unless_post(group.recording_status_callback_method)
    return {name: value for name, value in given.items() if value}


def _action(name: str, pk: int, context: Context, start: int = 0) -> str:
    """Return the relative URL that is asked when the dial has ended."""
    given = {
        "route": context.route_id,
        "start": start,
        "visited": ",".join(map(str, context.visited)),
    }
    query = urlencode({key: value for key, value in given.items() if value}, safe=",")
    return reverse(name, args=[pk]) + (f"?{query}" if query else "")

"""The `<Dial>` of a ring group: who rings now, in which order, and what is left for the next one.

A strategy that needs more than the order of the members is resolved here, when the document is made: what is written is
the order of this very call. The action URL carries the members that are left (`left`), so that nobody is rung twice or
forgotten, whatever the next draw or turn would be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from routing import callers, strategies
from routing.drafts import Draft, Noun, unless_post
from routing.models import MAX_NOUNS, EndingKind, Endpoint, RingGroup, RingGroupMember
from routing.models.endings import Ending

Strategy = RingGroup.Strategy
EXAMPLE_CALLER = "4930123456"  # where a document is shown without a call


@dataclass(frozen=True, slots=True)
class _Rung:
    """A member that can be rung."""

    member: RingGroupMember
    noun: Noun
    timeout: int


def ring_group(draft: Draft, group: RingGroup) -> Ending | None:
    """Dial the members that have not been tried; return what to do instead when there are none."""
    draft.group_id = group.pk or 0
    everyone = _rung(draft, group, _in_order(draft, group))
    at_once = group.strategy == Strategy.PARALLEL and draft.most > 1
    count = min(len(everyone), draft.most) if at_once else _stage(everyone, draft.most)
    chosen, rest = everyone[:count], everyone[count:]
    if not chosen:
        return group.if_unanswered
    _explain(draft, group, chosen, rest, at_once)
    left = () if at_once else tuple(one.member.pk or 0 for one in rest)
    timeout = group.ring_timeout if at_once else chosen[0].timeout
    attributes = dial_attributes(draft, group, timeout, sequential=not at_once and draft.most > 1)
    if left or group.fallback != EndingKind.HANGUP:
        # Without a follow-up there is no action: the document ends, and with it the call, one request sooner.
        attributes = {"action": _action(draft, group, left), **attributes}
    draft.dial([one.noun for one in chosen], attributes)
    if not left:
        draft.why.append(f"If nobody answers: {group.if_unanswered}.")
    return None


def most_nouns(group: RingGroup) -> int:
    """Return how many members one `<Dial>` of the group may ring: one without the account's enhanced SIP features."""
    return MAX_NOUNS if group.account.enhanced_sip else 1


def member_noun(draft: Draft, group: RingGroup, endpoint: Endpoint) -> Noun | None:
    """Return the `<Sip>` of an endpoint that is rung for a group; whoever answers may have to press 1."""
    noun = draft.noun(endpoint)
    if noun and group.confirm:
        query = urlencode({"route": draft.context.route_id}) if draft.context.route_id else ""
        noun.attributes.pop("method", None)
        noun.attributes["url"] = _with_query(reverse("voice-screen", args=[group.pk or 0, endpoint.pk]), query)
    return noun


def _members(draft: Draft, group: RingGroup) -> list[RingGroupMember]:
    """Return the members that are not rung yet: all of them, in their own order, or those that the action URL names."""
    context = draft.context
    if context.members is not None and not context.visited:
        return list(context.members)
    if not group.pk:
        return []
    rows = RingGroupMember.objects.filter(group_id=group.pk).select_related("endpoint__region")
    if context.left is None:
        return list(rows)
    if not context.left:
        return []
    found = {row.pk: row for row in rows.filter(pk__in=context.left)}
    return [found[pk] for pk in dict.fromkeys(context.left) if pk in found]


def _in_order(draft: Draft, group: RingGroup) -> list[RingGroupMember]:
    """Return the enabled members that may be rung, in the order of this call."""
    members = []
    for member in _members(draft, group):
        if member.enabled:
            members.append(member)
        else:
            draft.why.append(f"{member.endpoint} is left out: this member is disabled.")
    context = draft.context
    asks = members and (group.skip_busy or (group.strategy == Strategy.LONGEST_IDLE and context.left is None))
    busy = set(context.situation.presence.busy([one.endpoint for one in members])) if asks else set()
    if context.left is None:
        members = _by_strategy(draft, group, members, busy)
    if not members and context.left is None:
        draft.why.append(f"Group {group} has no member that can be rung.")
    if group.exclude_caller:
        members = _without_caller(draft, members)
    return _without_busy(draft, group, members, busy) if group.skip_busy else members


def _by_strategy(
    draft: Draft, group: RingGroup, members: list[RingGroupMember], busy: set[int]
) -> list[RingGroupMember]:
    situation, rand = draft.context.situation, draft.context.situation.rand
    match group.strategy:
        case Strategy.RANDOM:
            draft.why.append(f"Group {group} draws the order of its members for each call.")
            return strategies.shuffled(members, rand) if rand else members
        case Strategy.WEIGHTED:
            draft.why.append(f"Group {group} draws the order of its members for each call, by their weights.")
            if rand:
                return strategies.weighted(members, lambda one: one.weight, rand)
            return strategies.heaviest_first(members, lambda one: one.weight)
        case Strategy.ROUND_ROBIN:
            order = strategies.rotated(members, situation.turn(group.pk) if group.pk and members else 0)
            if order:
                draft.why.append(f"Group {group} begins with another member in each call: it is {order[0]}'s turn.")
            return order
        case Strategy.LONGEST_IDLE:
            talked = situation.presence.idle_since([one.endpoint for one in members]) if members else {}
            since = {pk: moment.timestamp() for pk, moment in talked.items()}
            draft.why.append(f"Group {group} begins with the member whose last conversation ended longest ago.")
            return strategies.longest_idle(
                members, lambda one: since.get(one.endpoint_id), lambda one: one.endpoint_id in busy
            )
        case _:
            return members


def _without_caller(draft: Draft, members: list[RingGroupMember]) -> list[RingGroupMember]:
    kept = []
    for member in members:
        if callers.is_phone(draft.context.caller, member.endpoint.as_phone()):
            draft.why.append(f"{member.endpoint} is left out: it is the one who calls.")
        else:
            kept.append(member)
    return kept


def _without_busy(
    draft: Draft, group: RingGroup, members: list[RingGroupMember], busy: set[int]
) -> list[RingGroupMember]:
    free = [one for one in members if one.endpoint_id not in busy]
    for member in members:
        if member.endpoint_id in busy:
            draft.why.append(f"{member.endpoint} is left out: it is in a call.")
    if members and not free and draft.context.left is None:
        draft.all_busy = True
        draft.why.append(f"Everybody in group {group} is in a call.")
    return free


def _rung(draft: Draft, group: RingGroup, members: Sequence[RingGroupMember]) -> list[_Rung]:
    return [
        _Rung(member, noun, member.ring_timeout or group.ring_timeout)
        for member in members
        if (noun := member_noun(draft, group, member.endpoint))
    ]


def _stage(everyone: Sequence[_Rung], most: int) -> int:
    return strategies.stage([one.timeout for one in everyone], most)


def _explain(draft: Draft, group: RingGroup, chosen: list[_Rung], rest: list[_Rung], at_once: bool) -> None:
    count, left = len(chosen), len(rest)
    members = f"{count} member{'s' * (count != 1)}"
    if at_once:
        more = f" {left} more are left out: make the group sequential or split it." if left else ""
        draft.why.append(f"Group {group} rings {members} at once for {group.ring_timeout} s.{more}")
        if any(one.timeout != group.ring_timeout for one in chosen):
            draft.why.append("Members' own ring timeouts have no effect while all ring at once.")
        return
    timeout = chosen[0].timeout
    how = f"one after the other, {timeout} s each" if count > 1 else f"for {timeout} s"
    more = f" The next {left} follow in another Dial, through the action URL." if left else ""
    draft.why.append(f"Group {group} rings {members} {how}.{more}")
    if group.strategy == Strategy.PARALLEL and count + left > 1:
        draft.why.append("They cannot ring at once: the account's enhanced SIP features are off.")


def dial_attributes(draft: Draft, group: RingGroup, timeout: int, *, sequential: bool) -> dict[str, Any]:
    """Return the attributes of the group's `<Dial>` that differ from the defaults; `timeout` in seconds."""
    given: dict[str, tuple[Any, Any]] = {
        "timeout": (timeout, 30),
        "time_limit": (group.time_limit, 14400),
        "answer_on_bridge": (group.answer_on_bridge, False),
        "caller_id": (_caller_id(draft, group), ""),
        "hangup_on_star": (group.hangup_on_star, False),
        "ring_tone": (group.ring_tone, ""),
        "sequential": (sequential, False),
    }
    return {name: value for name, (value, default) in given.items() if value != default} | _recording(group)


def _caller_id(draft: Draft, group: RingGroup) -> str:
    if not group.caller_id_prefix:
        return group.caller_id
    number = group.caller_id or draft.context.caller.user
    if not number and not draft.context.situation.real:
        number = EXAMPLE_CALLER
        draft.why.append(f"The caller's number follows the prefix {group.caller_id_prefix}; {number} is an example.")
    return callers.caller_id(group.caller_id_prefix, number)


def _recording(group: RingGroup) -> dict[str, str]:
    if group.record == RingGroup.Record.NO:
        return {}
    given = {"record": group.record, "trim": "trim-silence" if group.trim else ""}
    if group.recording_status_callback:
        given["recording_status_callback"] = group.recording_status_callback
        given["recording_status_callback_event"] = group.recording_status_callback_events
        given["recording_status_callback_method"] = unless_post(group.recording_status_callback_method)
    return {name: value for name, value in given.items() if value}


def _action(draft: Draft, group: RingGroup, left: Sequence[int]) -> str:
    """Return the relative URL that is asked when the dial has ended."""
    context = draft.context
    given = {
        "route": context.route_id,
        "left": ",".join(map(str, left)),
        "visited": ",".join(map(str, context.visited)),
    }
    query = urlencode({key: value for key, value in given.items() if value}, safe=",")
    return _with_query(reverse("voice-dial-action-group", args=[group.pk or 0]), query)


def _with_query(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path

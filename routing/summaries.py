"""The plain-language summary of a ring group, from its rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from django.db.models import Prefetch, QuerySet

from routing import summary
from routing.models import EndingKind, RingGroup, RingGroupMember
from routing.models.endings import Ending

_TARGETS = ("fallback_group", "fallback_endpoint", "fallback_voicemail")
_CLOSED = ("schedule", "closed_group", "closed_endpoint", "closed_voicemail")


def with_summaries(groups: QuerySet[RingGroup]) -> QuerySet[RingGroup]:
    """Fetch what summaries tell together with the groups: three queries, whatever their number."""
    members = RingGroupMember.objects.select_related("endpoint")
    return groups.select_related("account", *_TARGETS, *_CLOSED).prefetch_related(
        Prefetch("members", members), "schedule__hours"
    )


def summary_of(group: RingGroup, members: Iterable[RingGroupMember] | None = None) -> str:
    """Return what the group does in a few sentences; `members` if they are not saved yet."""
    return summary.summary(_told(group, members))


def chain_of(group: RingGroup) -> list[tuple[RingGroup, str]]:
    """Return the group and those that it falls back to, one after the other, each with its summary."""
    found, seen = [], set()
    following: RingGroup | None = group
    while following and following.pk not in seen:
        seen.add(following.pk)
        found.append((following, summary_of(following)))
        following = following.fallback_group if following.fallback == EndingKind.GROUP else None
    return found


def _told(group: RingGroup, members: Iterable[RingGroupMember] | None) -> summary.Group:
    rows = members if members is not None else (group.members.all() if group.pk else ())
    ringing = tuple(
        summary.Ringing(row.endpoint.name, row.ring_timeout or group.ring_timeout)
        for row in rows
        if row.enabled and row.endpoint.enabled
    )
    told = summary.Group(
        strategy=group.strategy,
        seconds=group.ring_timeout,
        members=ringing,
        ending=_then(group.if_unanswered),
        one_by_one=not group.account.enhanced_sip,
        skip_busy=group.skip_busy,
        confirm=group.confirm,
        prefix=group.caller_id_prefix,
        record=group.record != RingGroup.Record.NO,
    )
    if not group.schedule:
        return told
    hours = f"{group.schedule} ({_short(group.schedule.in_words)})"
    return replace(told, hours=hours, closed=_then(group.if_closed))


def _then(ending: Ending) -> str:
    match ending.kind:
        case EndingKind.GROUP:
            return f"group {ending.group}"
        case EndingKind.ENDPOINT:
            return f"{ending.endpoint}"
        case EndingKind.VOICEMAIL:
            return f"voicemail “{ending.voicemail}”"
        case EndingKind.SAY:
            return f"says “{_short(ending.text)}” and hangs up"
        case _:
            return "hangs up"


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 60 else f"{words[:57]}…"

"""Says when a ring group is not rung because of its opening hours."""

from __future__ import annotations

from routing.drafts import Draft
from routing.models import RingGroup
from routing.models.endings import Ending


def closed(draft: Draft, group: RingGroup) -> Ending | None:
    """Return what becomes of a call outside the group's opening hours; None inside them, or if it has none.

    A call that rings the group already stays, whatever the clock says.
    """
    schedule, now = group.schedule, draft.context.now
    if schedule is None or now is None or draft.context.left is not None:
        return None
    try:
        opening = schedule.opening(now)
    except ValueError as error:
        draft.why.append(f"The opening hours {schedule} are passed over: {error}. Open and save them to correct it.")
        return None
    draft.why.append(f"Opening hours {schedule} of group {group}: {opening.why} ({schedule.time_zone}).")
    if opening.open:
        return None
    draft.group_id = group.pk or 0
    draft.why.append(f"Outside opening hours: {group.if_closed}.")
    return group.if_closed

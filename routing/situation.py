"""When and under which circumstances a document is asked for: the clock, who is busy, chance, and whose turn it is.

Rendering takes all of these from here, so that the admin's previews and the simulator can set them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone

from routing import presence, turns
from routing.presence import Known, Presence


def _first(group_id: int) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Situation:
    """The circumstances. `rand` returns numbers from 0 to below 1; without it members come in their own order.

    `turn` tells the place of the member of a round-robin group that is rung first, by the group's id. `real`: a call is
    answered, so that counters advance and things may be stored; otherwise nothing is.
    """

    now: datetime | None = None
    presence: Presence = field(default_factory=Known)
    rand: Callable[[], float] | None = None
    turn: Callable[[int], int] = _first
    real: bool = False


def live() -> Situation:
    """Return the circumstances of a call that is answered now."""
    return Situation(timezone.now(), presence.current(), random.random, turns.take, real=True)


def preview() -> Situation:
    """Return the circumstances of a document that is only shown: as now, the next turn, and without chance."""
    return Situation(timezone.now(), presence.current(), None, turns.peek)

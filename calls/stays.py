"""Where a call has been: the conferences and queues that its timeline tells it joined and left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from calls.models import CallEvent

_JOINS = {"conference.join": "conference", "enqueue": "queue"}
_LEAVES = {"conference.leave": "conference", "queue.left": "queue"}


@dataclass(frozen=True, slots=True)
class Stay:
    """One stay in a conference or a queue (`kind`); `end` is None while it lasts."""

    kind: str
    name: str
    start: datetime
    end: datetime | None = None
    result: str = ""

    @property
    def seconds(self) -> float | None:
        """Return how long it lasted; None while it does."""
        return (self.end - self.start) / timedelta(seconds=1) if self.end else None


def stays(events: Iterable[CallEvent]) -> list[Stay]:
    """Return the stays in the order in which they began; a leave without a join is passed over."""
    found: list[Stay] = []
    for event in events:
        if kind := _JOINS.get(event.name):
            found.append(Stay(kind, _name(event), event.time))
        elif kind := _LEAVES.get(event.name):
            _close(found, kind, event)
    return found


def _close(found: list[Stay], kind: str, event: CallEvent) -> None:
    for index in range(len(found) - 1, -1, -1):
        stay = found[index]
        if stay.kind == kind and stay.end is None and _name(event) in ("", stay.name):
            found[index] = replace(stay, end=event.time, result=str(event.detail.get("result") or ""))
            return


def _name(event: CallEvent) -> str:
    return str(event.detail.get("name") or event.detail.get("conference") or event.detail.get("queue") or "")

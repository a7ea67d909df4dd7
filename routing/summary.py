"""PURE: what a ring group does, in plain words: who rings, for how long, and what follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

MOST_NAMES = 6
PARALLEL, SEQUENTIAL = "parallel", "sequential"
_ORDERS = {
    "random": "in random order",
    "round-robin": "taking turns who is first",
    "longest-idle": "whoever has not talked for longest first",
    "weighted": "in an order drawn by weight",
}


@dataclass(frozen=True, slots=True)
class Ringing:
    """A member that rings, and for how many seconds."""

    name: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Group:
    """A ring group as far as a summary tells it.

    `members` are those that can be rung, in order; `one_by_one` says that a parallel group cannot ring all at once;
    `ending` and `closed` are what follows, as `then` takes it; `hours` names the opening hours, if there are any.
    """

    strategy: str
    seconds: int
    members: tuple[Ringing, ...]
    ending: str
    one_by_one: bool = False
    skip_busy: bool = False
    confirm: bool = False
    prefix: str = ""
    record: bool = False
    hours: str = ""
    closed: str = ""


def summary(group: Group) -> str:
    """Return what the group does in a few sentences."""
    return " ".join(_sentences(group))


def _sentences(group: Group) -> Iterator[str]:
    if not group.members:
        yield f"Rings nobody: {group.ending}."
    else:
        yield f"Rings {_ringing(group)}, then {group.ending}."
        yield from _remarks(group)
    if group.hours:
        yield f"Outside {group.hours}: {group.closed}."


def _ringing(group: Group) -> str:
    names = [one.name for one in group.members]
    if len(names) == 1:
        return f"{names[0]} for {group.members[0].seconds if not _at_once(group) else group.seconds} s"
    if _at_once(group):
        return f"{listed(names)} together for {group.seconds} s"
    if group.strategy in _ORDERS:
        return f"{listed(names)} one after the other, {_ORDERS[group.strategy]}, {_each(group.members)}"
    return _one_by_one(group.members)


def _at_once(group: Group) -> bool:
    return group.strategy == PARALLEL and not group.one_by_one


def _each(members: Sequence[Ringing]) -> str:
    seconds = sorted({one.seconds for one in members})
    return f"{seconds[0]} s each" if len(seconds) == 1 else f"{seconds[0]} to {seconds[-1]} s each"


def _one_by_one(members: Sequence[Ringing]) -> str:
    """Return the members in order; neighbours that ring for the same time are told together."""
    parts, told = [], 0
    for seconds, neighbours in groupby(members, key=lambda one: one.seconds):
        names = [one.name for one in neighbours]
        shown = names[: max(0, MOST_NAMES - told)]
        told += len(names)
        if not shown:
            continue
        parts.append(f"{', then '.join(shown)} for {seconds} s{' each' if len(shown) > 1 else ''}")
    more = len(members) - MOST_NAMES
    return ", then ".join(parts) + (f", then {more} more" if more > 0 else "")


def _remarks(group: Group) -> Iterator[str]:
    if group.skip_busy:
        yield "Members in a call are skipped."
    if group.confirm:
        yield "Whoever answers must press 1."
    if group.prefix:
        yield f"The caller is shown as {group.prefix}…"
    if group.record:
        yield "Calls are recorded."


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them: Alice, Bob and 5 more."""
    shown = (
        list(names) if len(names) <= MOST_NAMES else [*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1} more"]
    )
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))

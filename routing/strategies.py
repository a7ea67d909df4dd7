"""PURE: the order in which the members of a ring group are rung, by strategy.

`rand` returns numbers from 0 to below 1. Each function returns every member exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Rand = Callable[[], float]


def shuffled(members: Sequence[T], rand: Rand) -> list[T]:
    """Return the members in random order, each order as likely as any other (Fisher and Yates)."""
    order = list(members)
    for last in range(len(order) - 1, 0, -1):
        other = int(rand() * (last + 1))
        order[last], order[other] = order[other], order[last]
    return order


def weighted(members: Sequence[T], weight: Callable[[T], int], rand: Rand) -> list[T]:
    """Return the members in random order: who comes next is drawn by weight from those who are left."""
    left, order = list(members), []
    while left:
        point, chosen = rand() * sum(map(weight, left)), len(left) - 1
        for index, member in enumerate(left):
            point -= weight(member)
            if point < 0:
                chosen = index
                break
        order.append(left.pop(chosen))
    return order


def heaviest_first(members: Sequence[T], weight: Callable[[T], int]) -> list[T]:
    """Return the likeliest order of `weighted`; equals stay as they are."""
    return sorted(members, key=weight, reverse=True)


def rotated(members: Sequence[T], turn: int) -> list[T]:
    """Return the members from the one whose turn (0, 1, …) it is, and then those before."""
    start = turn % len(members) if members else 0
    return [*members[start:], *members[:start]]


def longest_idle(members: Sequence[T], idle_since: Callable[[T], float | None], busy: Callable[[T], bool]) -> list[T]:
    """Return the members by the end of their last conversation (seconds, None: there was none), the oldest first.

    Those who talk now come last; equals stay as they are.
    """

    def key(member: T) -> tuple[bool, float]:
        since = idle_since(member)
        return busy(member), float("-inf") if since is None else since

    return sorted(members, key=key)


def stage(timeouts: Sequence[int], most: int) -> int:
    """Return how many of the first members one sequential `<Dial>` takes: neighbours with one timeout, up to `most`."""
    same = next((index for index, timeout in enumerate(timeouts) if timeout != timeouts[0]), len(timeouts))
    return min(same, most)

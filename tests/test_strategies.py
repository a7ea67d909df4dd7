"""Orders of ring groups: each member once, and in the order that the strategy promises."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.strategies import heaviest_first, longest_idle, rotated, shuffled, stage, weighted

MEMBERS = st.lists(st.integers(), unique=True, max_size=30)
SEEDS = st.integers(0, 2**32)
WEIGHTS = {"a": 80, "b": 15, "c": 5}


@given(MEMBERS, SEEDS, st.integers(0, 10**9))
def test_every_order_holds_each_member_once(members: list[int], seed: int, turn: int) -> None:
    rand = random.Random(seed).random
    orders = (
        shuffled(members, rand),
        weighted(members, lambda one: one % 100 + 1, rand),
        heaviest_first(members, lambda one: one % 100 + 1),
        rotated(members, turn),
        longest_idle(members, lambda one: one % 5 if one % 3 else None, lambda one: one % 7 == 0),
    )
    assert all(sorted(order) == sorted(members) for order in orders)


def test_random_orders_are_equally_likely() -> None:
    rand = random.Random(1).random
    seen = Counter("".join(shuffled("abc", rand)) for _ in range(6000))
    assert len(seen) == 6
    assert all(850 < count < 1150 for count in seen.values())


def test_the_weight_is_the_share_of_calls_that_begin_with_a_member() -> None:
    rand = random.Random(1).random
    first = Counter(weighted("abc", WEIGHTS.__getitem__, rand)[0] for _ in range(10_000))
    assert {name: round(count / 100) for name, count in first.items()} == pytest.approx(WEIGHTS, abs=2)


def test_a_draw_at_the_very_end_takes_the_last() -> None:
    assert weighted("ab", lambda _: 1, lambda: 1.0) == ["b", "a"]


def test_without_chance_the_heaviest_come_first_and_equals_stay() -> None:
    assert heaviest_first("abcd", {"a": 1, "b": 9, "c": 1, "d": 9}.__getitem__) == ["b", "d", "a", "c"]


@pytest.mark.parametrize(("turn", "order"), [(0, "abc"), (1, "bca"), (2, "cab"), (3, "abc"), (3_000_001, "bca")])
def test_each_turn_begins_with_the_next(turn: int, order: str) -> None:
    assert "".join(rotated("abc", turn)) == order


def test_nobody_in_turn_is_nobody() -> None:
    assert rotated("", 5) == []


def test_who_never_talked_comes_first_and_who_talks_now_last() -> None:
    since = {"a": 300.0, "b": None, "c": 100.0, "d": 50.0, "e": None}
    assert longest_idle("abcde", since.__getitem__, "d".__eq__) == ["b", "e", "c", "a", "d"]


@pytest.mark.parametrize(
    ("timeouts", "most", "taken"),
    [([], 10, 0), ([20], 10, 1), ([20, 20, 15, 20], 10, 2), ([20] * 12, 10, 10), ([20, 20], 1, 1), ([5, 6], 10, 1)],
)
def test_a_dial_takes_neighbours_with_one_timeout(timeouts: list[int], most: int, taken: int) -> None:
    assert stage(timeouts, most) == taken

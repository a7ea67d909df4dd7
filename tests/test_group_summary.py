"""What a ring group does, in plain words; and chains of groups that lead back to themselves."""

from __future__ import annotations

from typing import Any

import pytest

from routing.loops import chain_back
from routing.summary import Group, Ringing, listed, summary


def told(strategy: str, *members: tuple[str, int], **more: Any) -> str:
    given = {"seconds": 20, "ending": "hangs up", **more}
    return summary(Group(strategy, members=tuple(Ringing(*one) for one in members), **given))


@pytest.mark.parametrize(
    ("strategy", "members", "text"),
    [
        ("parallel", [("Alice", 20), ("Bob", 20)], "Rings Alice and Bob together for 20 s, then hangs up."),
        ("parallel", [("Alice", 15)], "Rings Alice for 20 s, then hangs up."),
        ("sequential", [("Alice", 15)], "Rings Alice for 15 s, then hangs up."),
        ("sequential", [("A", 20), ("B", 20), ("C", 20)], "Rings A, then B, then C for 20 s each, then hangs up."),
        (
            "sequential",
            [("A", 20), ("B", 20), ("C", 15)],
            "Rings A, then B for 20 s each, then C for 15 s, then hangs up.",
        ),
        (
            "sequential",
            [(str(number), 20) for number in range(9)],
            "Rings 0, then 1, then 2, then 3, then 4, then 5 for 20 s each, then 3 more, then hangs up.",
        ),
        (
            "sequential",
            [(str(number), 20 if number < 6 else 15) for number in range(8)],
            "Rings 0, then 1, then 2, then 3, then 4, then 5 for 20 s each, then 2 more, then hangs up.",
        ),
        (
            "random",
            [("A", 20), ("B", 20)],
            "Rings A and B one after the other, in random order, 20 s each, then hangs up.",
        ),
        (
            "round-robin",
            [("A", 15), ("B", 20)],
            "Rings A and B one after the other, taking turns who is first, 15 to 20 s each, then hangs up.",
        ),
        ("weighted", [], "Rings nobody: hangs up."),
    ],
)
def test_who_rings_and_for_how_long(strategy: str, members: list[tuple[str, int]], text: str) -> None:
    assert told(strategy, *members) == text


def test_a_parallel_group_that_cannot_ring_at_once() -> None:
    assert told("parallel", ("A", 20), ("B", 20), one_by_one=True) == "Rings A, then B for 20 s each, then hangs up."


def test_what_else_an_operator_must_know() -> None:
    text = told(
        "parallel",
        ("Alice", 20),
        ending="voicemail “Sales”",
        skip_busy=True,
        confirm=True,
        prefix="Sales-",
        record=True,
        hours="Office hours",
        closed="says “Closed.” and hangs up",
    )
    assert text == (
        "Rings Alice for 20 s, then voicemail “Sales”. Members in a call are skipped. Whoever answers must press 1. "
        "The caller is shown as Sales-… Calls are recorded. Outside Office hours: says “Closed.” and hangs up."
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "0"), (2, "0 and 1"), (3, "0, 1 and 2"), (6, "0, 1, 2, 3, 4 and 5"), (9, "0, 1, 2, 3, 4 and 4 more")],
)
def test_many_names_are_counted(count: int, text: str) -> None:
    assert listed([str(number) for number in range(count)]) == text


@pytest.mark.parametrize(
    ("edges", "way"),
    [
        ({}, []),
        ({1: [2], 2: [3]}, []),
        ({1: [1]}, [1, 1]),
        ({1: [2], 2: [3], 3: [1]}, [1, 2, 3, 1]),
        ({1: [2, 4], 2: [3], 3: [1], 4: [1]}, [1, 4, 1]),
        ({1: [2], 2: [3], 3: [2]}, []),
    ],
)
def test_the_shortest_way_back_is_found(edges: dict[int, list[int]], way: list[int]) -> None:
    assert chain_back(1, edges) == way

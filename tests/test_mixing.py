"""Who hears whom: commands in pairs, as few as the change needs."""

from __future__ import annotations

import pytest

from sipengine.mixing import Mix
from tests.fakes import FakePhone

ALICE, BOB, CAROL = 1, 2, 3


def mixed(*steps: tuple[bool, bool]) -> list[tuple[object, ...]]:
    """Return the commands that the last of these steps needs: whether alice hears bob, and bob hears alice."""
    phone = FakePhone()
    mix = Mix(phone)
    for one_hears, other_hears in steps:
        phone.done.clear()
        mix.connect(ALICE, BOB, one_hears=one_hears, other_hears=other_hears)
    return phone.done


BOTH, ALICE_ONLY, BOB_ONLY, NEITHER = (True, True), (True, False), (False, True), (False, False)


@pytest.mark.parametrize(
    ("before", "after", "commands"),
    [
        (NEITHER, NEITHER, []),
        (NEITHER, BOTH, [("bridge", ALICE, BOB)]),
        (NEITHER, ALICE_ONLY, [("hear", ALICE, BOB)]),
        (NEITHER, BOB_ONLY, [("hear", BOB, ALICE)]),
        (BOTH, BOTH, []),
        (BOTH, NEITHER, [("unbridge", ALICE, BOB)]),
        (BOTH, ALICE_ONLY, [("unbridge", ALICE, BOB), ("hear", ALICE, BOB)]),
        (BOTH, BOB_ONLY, [("unbridge", ALICE, BOB), ("hear", BOB, ALICE)]),
        (ALICE_ONLY, BOTH, [("hear", BOB, ALICE)]),
        (BOB_ONLY, BOTH, [("hear", ALICE, BOB)]),
        (ALICE_ONLY, BOB_ONLY, [("unbridge", ALICE, BOB), ("hear", BOB, ALICE)]),
        (ALICE_ONLY, NEITHER, [("unbridge", ALICE, BOB)]),
        (BOB_ONLY, NEITHER, [("unbridge", ALICE, BOB)]),
    ],
)
def test_a_change_of_a_pair(before: tuple[bool, bool], after: tuple[bool, bool], commands: list[object]) -> None:
    assert mixed(before, after) == commands


def test_what_one_hears_does_not_depend_on_which_of_the_pair_is_named_first() -> None:
    phone = FakePhone()
    mix = Mix(phone)
    mix.connect(ALICE, BOB, one_hears=True, other_hears=False)
    mix.connect(BOB, ALICE, one_hears=False, other_hears=True)
    assert phone.done == [("hear", ALICE, BOB)]


def test_a_leg_that_has_ended_needs_no_command_and_may_come_back_under_its_number() -> None:
    phone = FakePhone()
    mix = Mix(phone)
    mix.connect(ALICE, BOB, one_hears=True, other_hears=True)
    mix.connect(CAROL, BOB, one_hears=True, other_hears=True)
    phone.done.clear()
    mix.forget(BOB)
    assert phone.done == []
    mix.connect(ALICE, BOB, one_hears=True, other_hears=True)
    assert phone.done == [("bridge", ALICE, BOB)]

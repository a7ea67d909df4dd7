"""Call statuses: how they follow each other, and what SIP responses and failed forks mean (conformance §1.4–1.6)."""

from __future__ import annotations

from itertools import product

import pytest

from calls.status import (
    MAPS,
    PBX,
    STRICT_TWILIO,
    TERMINAL,
    TRANSITIONS,
    Direction,
    IllegalTransition,
    Status,
    advance,
    aggregate,
    status_from_sip,
    status_table,
)

QUEUED, INITIATED, RINGING, IN_PROGRESS, COMPLETED, BUSY, FAILED, NO_ANSWER, CANCELED = Status

LEGAL = {
    QUEUED: {INITIATED, RINGING, CANCELED, FAILED},
    INITIATED: {RINGING, IN_PROGRESS, BUSY, FAILED, NO_ANSWER, CANCELED},
    RINGING: {IN_PROGRESS, COMPLETED, BUSY, FAILED, NO_ANSWER, CANCELED},
    IN_PROGRESS: {COMPLETED},
}


def test_statuses_are_named_as_on_the_wire() -> None:
    assert " ".join(Status) == "queued initiated ringing in-progress completed busy failed no-answer canceled"
    assert " ".join(Direction) == "inbound outbound-api outbound-dial"


@pytest.mark.parametrize(("old", "new"), [(old, new) for old in LEGAL for new in sorted(LEGAL[old])])
def test_a_status_may_be_followed_by(old: Status, new: Status) -> None:
    assert advance(old, new) is new


@pytest.mark.parametrize(
    ("old", "new"), [(old, new) for old, new in product(Status, Status) if new not in LEGAL.get(old, set())]
)
def test_a_status_may_not_be_followed_by(old: Status, new: Status) -> None:
    with pytest.raises(IllegalTransition, match=f"a call that is {old} cannot become {new}") as error:
        advance(old, new)
    assert (error.value.old, error.value.new) == (old, new)


def test_every_status_has_its_row_and_nothing_follows_an_end() -> None:
    assert set(TRANSITIONS) == set(Status)
    assert {status for status, following in TRANSITIONS.items() if not following} == TERMINAL


@pytest.mark.parametrize("status", sorted(set(Status) - TERMINAL))
def test_every_call_can_end(status: Status) -> None:
    reached, pending = set(), {status}
    while pending:
        reached |= pending
        pending = {following for one in pending for following in TRANSITIONS[one]} - reached
    assert reached & TERMINAL


# --- SIP responses -------------------------------------------------------------------------------------------------

BY_CODE = [
    (200, COMPLETED, COMPLETED),
    (202, COMPLETED, COMPLETED),
    (0, FAILED, FAILED),
    (302, FAILED, FAILED),
    (401, FAILED, FAILED),
    (403, FAILED, FAILED),
    (404, FAILED, FAILED),
    (407, FAILED, FAILED),
    (408, FAILED, NO_ANSWER),
    (410, FAILED, FAILED),
    (480, FAILED, NO_ANSWER),
    (484, FAILED, FAILED),
    (485, FAILED, FAILED),
    (486, BUSY, BUSY),
    (488, FAILED, FAILED),
    (500, FAILED, FAILED),
    (503, FAILED, FAILED),
    (600, BUSY, BUSY),
    (603, BUSY, BUSY),
    (604, FAILED, FAILED),
    (699, FAILED, FAILED),
]


@pytest.mark.parametrize(("code", "strict", "pbx"), BY_CODE)
def test_a_sip_response_means(code: int, strict: Status, pbx: Status) -> None:
    assert (status_from_sip(code), status_from_sip(code, PBX)) == (strict, pbx)


def test_tables_are_found_by_name() -> None:
    assert {name: status_table(name) for name in MAPS} == {"strict_twilio": STRICT_TWILIO, "pbx": PBX}


def test_single_codes_are_overridden() -> None:
    table = status_table("strict_twilio", {"480": "no-answer", "603": "failed"})
    assert [status_from_sip(code, table) for code in (480, 603, 486)] == [NO_ANSWER, FAILED, BUSY]


@pytest.mark.parametrize("overrides", [{"480": "absent"}, {"busy": "busy"}])
def test_an_override_that_means_nothing_is_refused(overrides: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        status_table("strict_twilio", overrides)


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(KeyError):
        status_table("home-made")


# --- legs that rang together ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("results", "whole"),
    [
        ([NO_ANSWER, BUSY, FAILED, CANCELED], NO_ANSWER),
        ([BUSY, FAILED, CANCELED], BUSY),
        ([FAILED, CANCELED], FAILED),
        ([CANCELED, CANCELED], CANCELED),
        ([], FAILED),
    ],
)
def test_a_fork_that_nobody_won_ends_as(results: list[Status], whole: Status) -> None:
    assert aggregate(results) is aggregate(reversed(results)) is whole

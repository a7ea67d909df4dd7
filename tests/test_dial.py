"""The dial machine: every rule of design conformance §1.4, each as events in and actions out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.status import PBX, Status
from sipengine.dial import (
    Action,
    Arm,
    Bridge,
    Cancel,
    Close,
    Dial,
    Disarm,
    Finish,
    Hangup,
    Place,
    Screen,
)

RING, GUARD = 25.0, 1.0
BUSY, FAILED, NO_ANSWER, CANCELED, COMPLETED = (
    Status.BUSY,
    Status.FAILED,
    Status.NO_ANSWER,
    Status.CANCELED,
    Status.COMPLETED,
)


def fork(legs: int, screening: frozenset[int] = frozenset()) -> Dial:
    return Dial(legs, sequential=False, ring_seconds=RING, guard_seconds=GUARD, screening=screening)


def hunt(legs: int, screening: frozenset[int] = frozenset()) -> Dial:
    return Dial(legs, sequential=True, ring_seconds=RING, guard_seconds=GUARD, screening=screening)


class TestParallel:
    """Twilio: the first call that connects cancels all the other attempts."""

    def test_it_rings_all_legs_at_once(self) -> None:
        assert fork(3).start() == [Place(0), Place(1), Place(2), Arm(RING)]

    def test_it_bridges_the_first_to_answer_and_cancels_the_losing_forks(self) -> None:
        dial = fork(3)
        dial.start()
        assert dial.answered(1) == [Disarm(), Cancel(0, elsewhere=True), Cancel(2, elsewhere=True), Bridge(1)]

    def test_a_loser_is_canceled_whatever_it_answers_to_the_cancel(self) -> None:
        dial = fork(3)
        dial.start()
        dial.answered(1)
        assert dial.ended(0, 487) == [Close(0, CANCELED, 487)]
        assert dial.ended(2, 486) == [Close(2, CANCELED, 486)]

    def test_it_hangs_up_a_late_200_of_a_loser_which_stays_canceled(self) -> None:
        """RFC 3261 §15: a 200 that crossed our CANCEL is acknowledged and ended with BYE."""
        dial = fork(2)
        dial.start()
        dial.answered(1)
        assert dial.answered(0) == [Hangup(0)]
        assert dial.ended(0, 200) == [Close(0, CANCELED, 200)]

    def test_it_goes_on_ringing_the_others_when_one_is_busy(self) -> None:
        dial = fork(2)
        dial.start()
        assert dial.ended(0, 486) == [Close(0, BUSY, 486)]
        assert dial.answered(1) == [Disarm(), Bridge(1)]

    def test_it_gives_everybody_up_when_nobody_answers_in_time(self) -> None:
        dial = fork(2)
        dial.start()
        assert dial.timed_out() == [Cancel(0), Cancel(1), Arm(GUARD)]
        assert dial.ended(0, 487) == [Close(0, NO_ANSWER, 487)]
        assert dial.ended(1, 487) == [
            Close(1, NO_ANSWER, 487),
            Disarm(),
            Finish(NO_ANSWER, 0, 487, bridged=False),
        ]

    def test_it_does_not_wait_for_a_phone_that_ignores_the_cancel(self) -> None:
        dial = fork(2)
        dial.start()
        dial.timed_out()
        dial.ended(0, 487)
        assert dial.timed_out() == [Disarm(), Finish(NO_ANSWER, 0, 487, bridged=False)]
        assert not dial.over
        assert dial.ended(1, 408) == [Close(1, NO_ANSWER, 408)]
        assert dial.over

    @pytest.mark.parametrize(
        ("codes", "status", "leg"),
        [
            ([486, 404], BUSY, 0),
            ([404, 486], BUSY, 1),
            ([404, 503], FAILED, 0),
            ([603, 480], BUSY, 0),
            ([0, 0], FAILED, 0),
        ],
    )
    def test_the_result_does_not_depend_on_who_reports_last(self, codes: list[int], status: Status, leg: int) -> None:
        for order in ([0, 1], [1, 0]):
            dial = fork(2)
            dial.start()
            dial.ended(order[0], codes[order[0]])
            assert dial.ended(order[1], codes[order[1]])[-1] == Finish(status, leg, codes[leg], bridged=False)

    def test_one_that_rang_out_makes_no_answer_even_if_another_was_busy(self) -> None:
        dial = fork(2)
        dial.start()
        dial.ended(0, 486)
        dial.timed_out()
        assert dial.ended(1, 487)[-1] == Finish(NO_ANSWER, 1, 487, bridged=False)

    def test_a_200_that_crosses_the_timeout_is_too_late(self) -> None:
        dial = fork(1)
        dial.start()
        dial.timed_out()
        assert dial.answered(0) == [Hangup(0)]
        assert dial.ended(0, 200)[0] == Close(0, NO_ANSWER, 200)

    def test_a_second_answer_at_the_same_moment_loses(self) -> None:
        dial = fork(2)
        dial.start()
        dial.answered(0)
        assert dial.answered(1) == [Hangup(1)]
        assert dial.answered(0) == []


class TestSequential:
    """Twilio: Alice rejects or does not answer, so Bob; if the last one fails the dial fails with that result."""

    def test_it_rings_one_after_the_other(self) -> None:
        dial = hunt(3)
        assert dial.start() == [Place(0), Arm(RING)]
        assert dial.ended(0, 486) == [Close(0, BUSY, 486), Disarm(), Place(1), Arm(RING)]

    @pytest.mark.parametrize("code", [486, 603, 480, 404, 408, 503, 0])
    def test_any_refusal_moves_the_hunt_on(self, code: int) -> None:
        dial = hunt(2)
        dial.start()
        assert Place(1) in dial.ended(0, code)

    def test_the_next_invite_leaves_only_after_the_final_answer_of_the_one_before(self) -> None:
        dial = hunt(2)
        dial.start()
        assert dial.timed_out() == [Cancel(0), Arm(GUARD)]
        assert dial.ended(0, 487) == [Close(0, NO_ANSWER, 487), Disarm(), Place(1), Arm(RING)]

    def test_a_phone_that_ignores_the_cancel_holds_the_hunt_up_no_longer_than_the_guard(self) -> None:
        dial = hunt(2)
        dial.start()
        dial.timed_out()
        assert dial.timed_out() == [Disarm(), Place(1), Arm(RING)]
        assert dial.ended(0, 487) == [Close(0, NO_ANSWER, 487)]

    def test_the_first_to_connect_ends_the_list(self) -> None:
        dial = hunt(3)
        dial.start()
        dial.ended(0, 486)
        assert dial.answered(1) == [Disarm(), Bridge(1)]
        assert dial.ended(1, 200) == [Close(1, COMPLETED, 200), Disarm(), Finish(COMPLETED, 1, 200, bridged=True)]
        assert dial.over

    def test_the_last_result_is_the_result(self) -> None:
        dial = hunt(2)
        dial.start()
        dial.ended(0, 486)
        assert dial.ended(1, 404)[-1] == Finish(FAILED, 1, 404, bridged=False)

    def test_a_late_200_of_an_earlier_stage_does_not_disturb_the_one_that_rings(self) -> None:
        dial = hunt(2)
        dial.start()
        dial.timed_out()
        dial.timed_out()
        assert dial.answered(0) == [Hangup(0)]
        assert dial.ended(0, 200) == [Close(0, NO_ANSWER, 200)]
        assert dial.answered(1) == [Disarm(), Bridge(1)]


class TestTheEndOfAConversation:
    """The first side to hang up ends it; so do the time limit and, where allowed, the caller's star."""

    def bridged(self) -> Dial:
        dial = fork(1)
        dial.start()
        dial.answered(0)
        return dial

    def test_the_callee_hangs_up(self) -> None:
        assert self.bridged().ended(0, 200) == [
            Close(0, COMPLETED, 200),
            Disarm(),
            Finish(COMPLETED, 0, 200, bridged=True),
        ]

    @pytest.mark.parametrize("end", ["abandoned", "limit_reached", "starred"])
    def test_we_hang_the_callee_up(self, end: str) -> None:
        dial = self.bridged()
        assert getattr(dial, end)() == [Hangup(0), Disarm(), Finish(COMPLETED, 0, 200, bridged=True)]
        assert dial.ended(0, 200) == [Close(0, COMPLETED, 200)]

    def test_both_hanging_up_at_once_is_one_end(self) -> None:
        dial = self.bridged()
        dial.abandoned()
        assert dial.abandoned() == []
        assert dial.limit_reached() == []
        assert dial.ended(0, 200) == [Close(0, COMPLETED, 200)]
        assert dial.ended(0, 200) == []

    def test_the_ring_timer_means_nothing_any_more(self) -> None:
        assert self.bridged().timed_out() == []


class TestTheCallerIsGone:
    """A caller who hangs up while phones ring: all are cancelled, and canceled they are."""

    def test_all_legs_are_given_up(self) -> None:
        dial = fork(2)
        dial.start()
        assert dial.abandoned() == [Cancel(0), Cancel(1), Disarm(), Finish(CANCELED, 0, 487, bridged=False)]
        assert dial.ended(0, 487) == [Close(0, CANCELED, 487)]
        assert dial.ended(1, 487) == [Close(1, CANCELED, 487)]
        assert dial.over

    def test_a_200_that_crosses_is_hung_up_and_stays_canceled(self) -> None:
        dial = fork(1)
        dial.start()
        dial.abandoned()
        assert dial.answered(0) == [Hangup(0)]
        assert dial.ended(0, 200) == [Close(0, CANCELED, 200)]

    def test_no_further_stage_is_rung(self) -> None:
        dial = hunt(2)
        dial.start()
        dial.abandoned()
        assert dial.ended(0, 487) == [Close(0, CANCELED, 487)]
        assert dial.over

    def test_a_star_before_the_answer_gives_up_ringing(self) -> None:
        dial = fork(1)
        dial.start()
        assert dial.starred() == [Cancel(0), Disarm(), Finish(CANCELED, 0, 487, bridged=False)]

    def test_before_anything_rang_no_leg_is_named(self) -> None:
        assert fork(1).abandoned() == [Disarm(), Finish(CANCELED, None, 0, bridged=False)]

    def test_the_limit_means_nothing_without_a_conversation(self) -> None:
        dial = fork(1)
        dial.start()
        assert dial.limit_reached() == []


class TestScreening:
    """A leg with a screening document wins when the document comes to its end; the others ring on meanwhile."""

    def test_it_screens_instead_of_bridging(self) -> None:
        dial = fork(2, frozenset({0}))
        dial.start()
        assert dial.answered(0) == [Screen(0)]
        assert dial.screened(0, accepted=True) == [Disarm(), Cancel(1, elsewhere=True), Bridge(0)]

    def test_one_without_screening_wins_meanwhile(self) -> None:
        dial = fork(2, frozenset({0}))
        dial.start()
        dial.answered(0)
        assert dial.answered(1) == [Disarm(), Hangup(0), Bridge(1)]
        assert dial.screened(0, accepted=True) == []
        assert dial.ended(0, 200) == [Close(0, COMPLETED, 200)]

    def test_a_callee_who_declines_did_not_answer_the_dial(self) -> None:
        dial = hunt(1, frozenset({0}))
        dial.start()
        dial.answered(0)
        assert dial.screened(0, accepted=False) == [Hangup(0), Arm(GUARD)]
        assert dial.ended(0, 200) == [
            Close(0, COMPLETED, 200),
            Disarm(),
            Finish(NO_ANSWER, 0, 200, bridged=False),
        ]

    def test_a_callee_who_hangs_up_while_screened_moves_the_hunt_on(self) -> None:
        dial = hunt(2, frozenset({0}))
        dial.start()
        dial.answered(0)
        assert dial.ended(0, 200) == [Close(0, COMPLETED, 200), Disarm(), Place(1), Arm(RING)]

    def test_the_timer_spares_the_leg_that_is_being_screened(self) -> None:
        dial = fork(2, frozenset({0}))
        dial.start()
        dial.answered(0)
        assert dial.timed_out() == [Cancel(1)]
        assert dial.screened(0, accepted=True) == [Disarm(), Bridge(0)]

    def test_a_decline_after_the_timer_waits_for_the_cancelled_ones(self) -> None:
        dial = fork(2, frozenset({0}))
        dial.start()
        dial.answered(0)
        dial.timed_out()
        assert dial.screened(0, accepted=False) == [Hangup(0), Arm(GUARD)]
        assert dial.ended(0, 200) == [Close(0, COMPLETED, 200)]
        assert dial.ended(1, 487)[-1] == Finish(NO_ANSWER, 0, 200, bridged=False)


class TestOddities:
    def test_no_nouns_is_a_failure(self) -> None:
        dial = fork(0)
        assert dial.start() == [Disarm(), Finish(FAILED, None, 0, bridged=False)]
        assert dial.over

    def test_the_table_of_sip_codes_is_the_callers(self) -> None:
        dial = Dial(1, sequential=False, ring_seconds=RING, table=PBX)
        dial.start()
        assert dial.ended(0, 480)[0] == Close(0, NO_ANSWER, 480)

    def test_a_leg_that_ends_with_a_2xx_it_never_told_us_of_failed(self) -> None:
        dial = fork(1)
        dial.start()
        assert dial.ended(0, 200)[0] == Close(0, FAILED, 200)

    def test_an_event_of_a_leg_that_never_started_is_nothing(self) -> None:
        dial = hunt(2)
        dial.start()
        assert dial.ended(1, 486) == []
        assert dial.answered(1) == []


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["answered", "ended", "accepted", "declined", "timed_out", "abandoned", "starred", "limit_reached"]
        ),
        st.integers(0, 3),
        st.sampled_from([0, 200, 404, 408, 480, 486, 487, 503, 600]),
    ),
    max_size=40,
)


def play(dial: Dial, event: tuple[str, int, int]) -> list[Action]:
    name, leg, code = event
    match name:
        case "answered":
            return dial.answered(leg)
        case "ended":
            return dial.ended(leg, code)
        case "accepted" | "declined":
            return dial.screened(leg, name == "accepted")
        case _:
            actions: list[Action] = getattr(dial, name)()
            return actions


@given(EVENTS, st.booleans(), st.frozensets(st.integers(0, 3)))
def test_every_placed_leg_closes_once_and_the_dial_finishes_once_in_any_order_of_events(
    events: list[tuple[str, int, int]], sequential: bool, screening: frozenset[int]
) -> None:
    dial = Dial(4, sequential=sequential, ring_seconds=RING, guard_seconds=GUARD, screening=screening)
    actions = dial.start()
    for event in events:
        actions += play(dial, event)
    # What always comes in the end: the caller leaves, and the network reports every leg's end.
    actions += dial.abandoned()
    for leg in range(4):
        actions += dial.ended(leg, 487)
    placed = [action.leg for action in actions if isinstance(action, Place)]
    closed = [action.leg for action in actions if isinstance(action, Close)]
    assert sorted(closed) == sorted(placed)
    assert len(set(placed)) == len(placed)
    assert sum(isinstance(action, Finish) for action in actions) == 1
    assert dial.finished
    assert sum(isinstance(action, Bridge) for action in actions) <= 1
    assert dial.over
    given_up = {action.leg for action in actions if isinstance(action, Cancel | Hangup)}
    assert given_up <= set(placed)

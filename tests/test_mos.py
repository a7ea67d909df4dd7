"""The estimated opinion score: figures of the E-model (ITU-T G.107 and its annex B)."""

from __future__ import annotations

import pytest

from calls.mos import estimate, rating, score


@pytest.mark.parametrize(
    ("rated", "mos"), [(0, 1.0), (-5, 1.0), (50, 2.58), (60, 3.1), (70, 3.6), (80, 4.03), (90, 4.34), (100, 4.5)]
)
def test_scores_are_those_of_g_107_annex_b(rated: float, mos: float) -> None:
    assert score(rated) == pytest.approx(mos, abs=0.01)


def test_a_low_rating_is_never_below_the_worst_score() -> None:
    assert min(score(rated) for rated in range(0, 101)) == 1.0


def test_a_perfect_connection_has_the_basic_rating() -> None:
    assert rating("PCMU", 0, 0) == 93.2


def test_loss_and_delay_lower_the_rating() -> None:
    assert rating("PCMU", 0.05, 0) == pytest.approx(93.2 - 95 * 5 / (5 + 25.1))
    assert rating("PCMA", 0, 100) == pytest.approx(93.2 - 2.4)
    assert rating("PCMA", 0, 277.3) == pytest.approx(93.2 - 0.024 * 277.3 - 11)
    assert rating("opus", 1, 1000) == 0


def test_an_unknown_codec_has_no_rating() -> None:
    assert rating("MPEG-9", 0, 0) is None
    assert estimate("MPEG-9", 100, 0) is None


def test_a_good_call_is_scored_well_and_a_bad_one_badly() -> None:
    assert estimate("PCMU", 1000, 0) == pytest.approx(4.4, abs=0.02)
    assert estimate("PCMU", 900, 100, jitter_ms=60, round_trip_ms=800) == pytest.approx(1.2, abs=0.5)


def test_nothing_received_is_not_scored() -> None:
    assert estimate("PCMU", 0, 0) is None
    assert estimate("PCMU", 0, 50) is None

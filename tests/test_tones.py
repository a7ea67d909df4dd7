"""The ring tones of `<Dial ringTone>`: every country has one, and each can be played by a two-frequency generator."""

from __future__ import annotations

import re

import pytest

from sipengine.tones import RING_TONES, Cadence

# The values of `ringTone` on Twilio's <Dial> page.
COUNTRIES = re.findall(
    r"\S+",
    """
    at au bg br be ch cl cn cz de dk ee es fi fr gr hu il in it lt jp mx my nl no nz ph pl pt ru se sg th uk us us-old
    tw ve za
    """,
)


def test_it_has_a_tone_for_every_country_of_the_dial_page_and_no_other() -> None:
    assert sorted(RING_TONES) == sorted(COUNTRIES)


@pytest.mark.parametrize("country", COUNTRIES)
def test_each_tone_is_one_or_two_audible_frequencies_in_a_cadence_that_repeats(country: str) -> None:
    cadence = RING_TONES[country]
    assert 1 <= len(cadence.frequencies) <= 2
    assert all(300 <= frequency <= 500 for frequency in cadence.frequencies)
    assert all(on > 0 and off > 0 for on, off in cadence.steps)
    assert 3000 <= cadence.period_ms <= 6000


@pytest.mark.parametrize(
    ("country", "cadence"),
    [
        ("us", Cadence((440, 480), ((2000, 4000),))),
        ("uk", Cadence((400, 450), ((400, 200), (400, 2000)))),
        ("fr", Cadence((440,), ((1500, 3500),))),
        ("de", Cadence((425,), ((1000, 4000),))),
    ],
)
def test_the_well_known_tones_have_the_figures_of_their_network(country: str, cadence: Cadence) -> None:
    assert RING_TONES[country] == cadence


def test_a_period_is_the_sum_of_its_steps() -> None:
    assert Cadence((400, 450), ((400, 200), (400, 2000))).period_ms == 3000

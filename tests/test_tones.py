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

# The `ring` lines of Asterisk's indications.conf (which follows E.180 Supplement 2): frequencies/milliseconds,
# 0 is silence, a+b two sines, a*b one modulated by the other. Japan is 400+15 there, whose 15 Hz nobody can hear: the
# network modulates 400 Hz by 16 Hz.
SOURCE = """
    at 420/1000,0/5000
    au 413+438/400,0/200,413+438/400,0/2000
    bg 425/1000,0/4000
    br 425/1000,0/4000
    be 425/1000,0/3000
    ch 425/1000,0/4000
    cl 400/1000,0/3000
    cn 450/1000,0/4000
    cz 425/1000,0/4000
    de 425/1000,0/4000
    dk 425/1000,0/4000
    ee 425/1000,0/4000
    es 425/1500,0/3000
    fi 425/1000,0/4000
    fr 440/1500,0/3500
    gr 425/1000,0/4000
    hu 425/1250,0/3750
    il 414/1000,0/3000
    in 400*25/400,0/200,400*25/400,0/2000
    it 425/1000,0/4000
    lt 425/1000,0/4000
    mx 425/1000,0/4000
    my 425/400,0/200,425/400,0/2000
    nl 425/1000,0/4000
    no 425/1000,0/4000
    nz 400+450/400,0/200,400+450/400,0/2000
    ph 425+480/1000,0/4000
    pl 425/1000,0/4000
    pt 425/1000,0/5000
    ru 425/1000,0/4000
    se 425/1000,0/5000
    sg 425*24/400,0/200,425*24/400,0/2000
    th 420/1000,0/5000
    uk 400+450/400,0/200,400+450/400,0/2000
    us 440+480/2000,0/4000
    us-old 420*40/2000,0/4000
    tw 440+480/1000,0/2000
    ve 425/1000,0/4000
    za 400*33/400,0/200,400*33/400,0/2000
    jp 400*16/1000,0/2000
"""


def from_source(line: str) -> Cadence:
    """Return the cadence of a line of the source."""
    parts = [part.split("/") for part in line.split(",")]
    frequencies: tuple[int, ...]
    match re.split(r"([+*])", parts[0][0]):
        case [carrier, "*", modulator]:
            frequencies = (int(carrier) - int(modulator), int(carrier) + int(modulator))
        case [one, "+", other]:
            frequencies = (int(one), int(other))
        case one:
            frequencies = (int(one[0]),)
    return Cadence(
        frequencies, tuple((int(on[1]), int(off[1])) for on, off in zip(parts[::2], parts[1::2], strict=True))
    )


@pytest.mark.parametrize("line", SOURCE.strip().splitlines())
def test_each_tone_is_that_of_the_source(line: str) -> None:
    country, ring = line.split()
    assert RING_TONES[country] == from_source(ring)


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

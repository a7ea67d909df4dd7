"""Connection overrides in a URL's fragment. Source: Twilio's page on webhook connection overrides."""

from __future__ import annotations

import pytest

from routing.overrides import OverrideError, Overrides, parse

ALL = frozenset({"4xx", "5xx", "ct", "rt"})


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("", Overrides()),
        ("section-2", Overrides()),
        ("sni=y&e=ashburn", Overrides()),
        ("ct=100&rt=200&tt=300", Overrides(connect_timeout=0.1, read_timeout=0.2, total_timeout=0.3)),
        ("ct=10000&rt=15000&tt=15000&rc=5", Overrides(10.0, 15.0, 15.0, 5)),
        ("rc=0", Overrides(retries=0)),
        ("rp=5xx,rt", Overrides(retry_on=frozenset({"5xx", "rt"}))),
        ("rp=all", Overrides(retry_on=ALL)),
        ("rp=4xx,all", Overrides(retry_on=ALL)),
        ("rp=4xx%2C5xx", Overrides(retry_on=frozenset({"4xx", "5xx"}))),
    ],
)
def test_they_are_read(fragment: str, expected: Overrides) -> None:
    assert parse(fragment) == expected


@pytest.mark.parametrize(
    ("fragment", "text"),
    [
        ("ct=99", "ct=99: give a number from 100 to 10000"),
        ("ct=10001", "ct=10001"),
        ("rt=15001", "rt=15001"),
        ("tt=0", "tt=0"),
        ("tt=999999", "tt=999999"),
        ("rc=6", "rc=6: give a number from 0 to 5"),
        ("rc=-1", "rc=-1"),
        ("rc=", "rc=:"),
        ("rc=1.5", "rc=1.5"),
        ("rc=٣", "rc=٣"),
        ("rp=", "rp=:"),
        ("rp=3xx", "rp=3xx: give 4xx, 5xx, ct, rt or all"),
        ("rp=ct,x", "rp=x"),
    ],
)
def test_what_is_out_of_range_is_named(fragment: str, text: str) -> None:
    with pytest.raises(OverrideError) as error:
        parse(fragment)
    assert f"connection override {text}" in error.value.message

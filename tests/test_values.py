"""Whatever comes from the network fits into a column, or is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from calls import values
from calls.entries import CallbackSpec
from routing.sid import new_sid


def test_an_identifier_of_its_kind_passes() -> None:
    sid = new_sid("CA")
    assert values.checked_sid(sid, "CA") == sid


def test_any_other_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'CA1' is not a CA identifier"):
        values.checked_sid("CA1", "CA")


def test_text_is_cut_and_cleaned() -> None:
    assert values.text("a\0b" * 9, 4) == "abab"
    assert values.text("Jürgen \udcff", 20) == "Jürgen ?"
    assert values.text(17, 20) == "17"


def test_numbers_stay_in_their_column() -> None:
    assert [values.whole(number) for number in (-1, 2.9, 10**12)] == [0, 2, 2_147_483_647]
    assert values.whole(70_000, values.SMALL) == 32_767


def test_times_go_there_and_back() -> None:
    assert values.moment(0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert values.epoch(values.optional_moment(1.5)) == 1.5
    assert values.optional_moment(None) is None
    assert values.epoch(None) is None


def test_json_loses_what_postgresql_refuses() -> None:
    nasty = {"a\0": ["x\0", float("nan"), 1.5, None, True, {2}], 3: ("y",)}
    assert values.json_value(nasty) == {"a": ["x", "nan", 1.5, None, True, "{2}"], "3": ["y"]}


def test_a_callback_goes_there_and_back() -> None:
    spec = CallbackSpec("http://app/cb", "GET", ("ringing", "completed"))
    kept = values.callback_json(spec)
    assert kept == {"url": "http://app/cb", "method": "GET", "events": ["ringing", "completed"]}
    assert values.callback_spec(kept) == spec
    assert values.callback_json(None) is None
    assert values.callback_spec(None) is None

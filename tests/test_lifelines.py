"""The SIP ladder: who an arrow goes from and to, what it says, and what was sent again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from calls.lifelines import Message, as_text, label_of, ladder

START = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)
NAMES = ["Caller", "Cordboard", "leg 1 (Alice)", "leg 2 (Bob)"]


def message(at: float = 0, **values: Any) -> Message:
    defaults = {
        "far": 2,
        "time": START + timedelta(seconds=at),
        "sent": True,
        "start_line": "INVITE sip:a@b SIP/2.0",
        "method": "INVITE",
        "code": 0,
        "text": "INVITE sip:a@b SIP/2.0\r\n",
    }
    return Message(**{**defaults, **values})


def response(code: int, reason: str, **values: Any) -> Message:
    line = f"SIP/2.0 {code} {reason}"
    return message(**{"start_line": line, "code": code, "text": line, "sent": False, **values})


def test_a_request_points_to_the_callee_and_its_answer_back() -> None:
    drawn = ladder(NAMES, [message(), response(180, "Ringing", at=0.2)], START)
    out, back = drawn.arrows
    assert (out.x1, out.x2) == (back.x2, back.x1)
    assert out.x1 < out.x2
    assert out.said == "Cordboard to leg 1 (Alice): INVITE"
    assert back.said == "leg 1 (Alice) to Cordboard: 180 Ringing"
    assert back.offset == pytest.approx(0.2)


def test_the_caller_is_on_the_other_side() -> None:
    (arrow,) = ladder(NAMES, [message(far=0, sent=False)], START).arrows
    assert arrow.x1 < arrow.x2
    assert arrow.said == "Caller to Cordboard: INVITE"
    assert len(arrow.labels) == 1


def test_a_far_leg_has_its_label_at_both_ends() -> None:
    (arrow,) = ladder(NAMES, [message(far=3)], START).arrows
    assert len(arrow.labels) == 2
    assert arrow.x1 < arrow.labels[0] < arrow.labels[1] < arrow.x2


def test_what_was_sent_again_is_marked() -> None:
    again = ladder(NAMES, [message(), message(0.5), message(0.6, sent=False), message(0.7, far=3)], START).arrows
    assert [arrow.again for arrow in again] == [False, True, False, False]
    assert again[1].said.endswith("sent again")


@pytest.mark.parametrize(
    ("code", "tone"), [(0, "request"), (180, "quiet"), (200, "good"), (302, "bad"), (407, "quiet"), (486, "bad")]
)
def test_tones_tell_failures_from_challenges(code: int, tone: str) -> None:
    assert ladder(NAMES, [message(code=code)], START).arrows[0].tone == tone


def test_long_labels_are_cut_to_the_column() -> None:
    assert label_of(response(407, "Proxy Authentication Required")) == "407 Proxy Authenti…"
    assert label_of(message(method="X" * 40)) == "X" * 18 + "…"


def test_many_legs_get_narrow_columns() -> None:
    few, many = ladder(NAMES, [], START), ladder(NAMES + NAMES, [], START)
    assert few.width / len(NAMES) > many.width / (2 * len(NAMES))
    assert [name for _, name in few.columns] == NAMES
    assert few.lines.count("M") == len(NAMES)


def test_the_text_says_who_sent_what_when() -> None:
    text = as_text(NAMES, [message(1.5), response(486, "Busy Here", at=2)], START)
    assert "(+1.500000 s) Cordboard -> leg 1 (Alice)\nINVITE sip:a@b" in text
    assert "leg 1 (Alice) -> Cordboard\nSIP/2.0 486 Busy Here" in text

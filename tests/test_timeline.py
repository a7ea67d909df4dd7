"""What the timeline of a call says, event by event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from calls.models import CallEvent
from calls.stays import Stay, stays
from calls.timeline import WORDINGS, Line, lines

START = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)
ALICE = "sip:alice@example.com"
ADDRESSES = {"CA1": ALICE}


def event(name: str, at: float = 0, /, **detail: Any) -> CallEvent:
    return CallEvent(call_id="CA0", number=0, time=START + timedelta(seconds=at), name=name, detail=detail)


def line(name: str, /, **detail: Any) -> Line:
    return lines([event(name, 1.5, **detail)], START, ADDRESSES)[0]


@pytest.mark.parametrize(
    ("name", "detail", "said"),
    [
        (
            "screening",
            {"leg": "CA1", "url": "http://a/s"},
            f"{ALICE} is asked whether to take the call, with TwiML of http://a/s",
        ),
        ("screening.accepted", {"leg": "CA1"}, f"{ALICE} takes the call"),
        ("screening.declined", {"leg": "CA1"}, f"{ALICE} does not take the call"),
        ("leg.held", {"leg": "CA1", "to": ALICE}, f"{ALICE} put the other side on hold"),
        ("leg.resumed", {"leg": "CA1", "to": ALICE}, f"{ALICE} took the other side off hold"),
        ("refer", {"leg": "CA1", "target": "sip:b@c"}, f"{ALICE} asks for a transfer to sip:b@c"),
        ("refer.refused", {"leg": "CA1", "target": "sip:b@c"}, f"{ALICE} asked for a transfer to sip:b@c: refused"),
        ("refer.sent", {"target": "sip:b@c"}, "The phone was asked to call sip:b@c instead"),
        ("refer.done", {"code": 202, "notify_code": 200}, "The transfer was answered with 202, its call with 200"),
        ("refer.done", {"code": 603, "notify_code": 0}, "The transfer was answered with 603"),
        ("gather", {"digits": 4, "timeout": 5}, "Waits for keys, 4 of them, for 5 s"),
        ("gather", {"digits": 0, "timeout": 5}, "Waits for keys, for 5 s"),
        ("gather.done", {"count": 3, "finished_on": "#"}, "Keys pressed: 3, ended by #"),
        ("record.started", {"max_length": 60}, "Began to record the caller, for 60 s at most"),
        ("record.done", {"seconds": 4.25}, "The caller was recorded for 4.25 s"),
        ("enqueue", {"queue": "support"}, "Waits in the queue support"),
        (
            "queue.left",
            {"queue": "support", "result": "hangup", "seconds": 9},
            "Left the queue support after 9 s: hangup",
        ),
        ("conference.join", {"name": "daily", "participants": 2}, "Joined the conference daily, 2 are in it"),
        ("conference.leave", {"name": "daily", "participants": 0}, "Left the conference daily, 0 are still in it"),
        ("command", {"what": "hang up", "by": "ann"}, "A change was asked for by ann: hang up"),
        ("digits.sent", {"leg": "CA1", "count": 2}, f"Keys sent to {ALICE}: 2"),
        ("leg.next-address", {"leg": "CA1", "code": 0}, f"{ALICE} is tried at its next address"),
        ("no-media", {"leg": "CA1", "seconds": 30.0}, f"Nothing has come from {ALICE} for 30 s: no sound"),
        (
            "redirected",
            {"url": "http://a/b"},
            "Taken out of the call that dialled it, to go on with another document: http://a/b",
        ),
        ("digit", {"digit": "*"}, "Key * pressed"),
    ],
)
def test_an_event_reads_as_a_sentence(name: str, detail: dict[str, Any], said: str) -> None:
    assert line(name, **detail).text == said


@pytest.mark.parametrize("name", WORDINGS)
def test_a_sentence_stands_without_its_details(name: str) -> None:
    text = line(name).text
    assert text.strip() == text != ""
    assert not set("{}[]") & set(text)


def test_an_event_that_has_no_wording_is_shown_with_its_name_and_details() -> None:
    told = line("rtp.report", loss=0.5, lost=[1, 2], muted=False, note=None)
    assert told.text == "rtp.report"
    assert told.rest == (("loss", "0.5"), ("lost", "1, 2"), ("muted", "no"))


@pytest.mark.parametrize("value", [{"a": [1]}, [[], {}], 0, -1.0, "", True])
def test_any_shape_of_detail_can_be_shown(value: object) -> None:
    assert isinstance(line("odd", leg=value).rest, tuple)


def test_what_the_sentence_says_is_not_said_twice() -> None:
    assert line("refer", leg="CA1", target="sip:b@c", more="x").rest == (("more", "x"),)


class TestKeysPressed:
    """DTMF may be somebody's PIN: conformance §1.3 (Gather) says what is told; that it is hidden is our own rule."""

    def test_digits_are_masked(self) -> None:
        assert line("digits.sent", leg="CA1", digits="12w#A").rest == (("digits", "••w#•"),)

    def test_a_single_digit_is_masked(self) -> None:
        assert line("digit", digit="7").text == "Key • pressed"

    def test_a_setting_shows_them(self, settings: Settings) -> None:
        settings.SHOW_DTMF = True
        assert line("digit", digit="7").text == "Key 7 pressed"


class TestHostileText:
    def test_control_characters_are_written_out(self) -> None:
        assert line("odd", a="x\x00\x1by").rest == (("a", "x\\u0000\\u001by"),)

    def test_text_cannot_turn_the_line_around(self) -> None:
        assert line("a\u202eb").text == "a\\u202eb"
        assert line("play", url="http://a/\u2066gpj.exe").text == "Played http://a/\\u2066gpj.exe"

    def test_tabs_newlines_and_foreign_scripts_stay(self) -> None:
        assert line("odd", a="é\t\n日本").rest == (("a", "é\t\n日本"),)


class TestStays:
    def test_a_stay_ends_with_its_reason(self) -> None:
        told = [event("enqueue", 1, queue="q"), event("queue.left", 9, queue="q", result="bridged")]
        assert stays(told) == [
            Stay("queue", "q", START + timedelta(seconds=1), START + timedelta(seconds=9), "bridged")
        ]
        assert stays(told)[0].seconds == 8

    def test_a_stay_goes_on_until_it_is_left(self) -> None:
        (stay,) = stays([event("conference.join", name="daily")])
        assert (stay.kind, stay.name, stay.end, stay.seconds) == ("conference", "daily", None, None)

    def test_leaving_ends_the_last_stay_of_that_name(self) -> None:
        told = [
            event("conference.join", 0, name="a"),
            event("enqueue", 1, queue="a"),
            event("conference.join", 2, name="b"),
            event("conference.leave", 3, name="a"),
        ]
        assert [stay.end is None for stay in stays(told)] == [False, True, True]

    def test_leaving_what_was_never_joined_is_passed_over(self) -> None:
        assert stays([event("queue.left", queue="q"), event("verb", verb="Dial")]) == []

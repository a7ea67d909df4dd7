"""What an attempt at a callback came to, and whether it is made again (docs/operating.md)."""

from __future__ import annotations

import time

import pytest

from calls.retries import delay_after, derived_sid, is_expected_answer, may_pass
from routing.sid import is_sid


class TestWhatMayPass:
    """Time-outs, refused, DNS, 5xx, 429 and 408 are tried again; what the application said no to is not."""

    @pytest.mark.parametrize("code", [11201, 11202, 11203, 11205, 11206, 11210, 11220, 11235, 11236, 11237])
    def test_a_server_that_could_not_be_reached(self, code: int) -> None:
        assert may_pass(code, 0)

    @pytest.mark.parametrize("status", [500, 502, 503, 504, 599, 408, 429])
    def test_a_server_that_is_in_trouble(self, status: int) -> None:
        assert may_pass(11200, status)

    @pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 410])
    def test_not_an_answer_that_will_stay_the_same(self, status: int) -> None:
        assert not may_pass(11200, status)

    @pytest.mark.parametrize("code", [11100, 11215, 11216, 11243, 12400, 20003, 0])
    def test_not_a_request_that_is_wrong_itself(self, code: int) -> None:
        assert not may_pass(code, 0)


def test_the_delays_follow_one_another_and_end() -> None:
    assert [delay_after(attempt, [30, 120]) for attempt in (1, 2, 3, 9)] == [30, 120, None, None]
    assert delay_after(1, []) is None


def test_a_derived_identifier_is_always_the_same_and_well_formed() -> None:
    assert derived_sid("WD", "WD1", 2) == derived_sid("WD", "WD1", 2)
    assert len({derived_sid("WD", "WD1", 2), derived_sid("WD", "WD1", 3), derived_sid("NO", "WD1", 2)}) == 3
    assert is_sid(derived_sid("NO", "x"), "NO")


class TestExpectedAnswers:
    """Twilio: answer 204, or 200 with an empty <Response/>; otherwise warning 15003 (conformance §1.9)."""

    @pytest.mark.parametrize(
        "body",
        [
            "",
            " \r\n",
            "<Response/>",
            "<Response />\n",
            "<Response></Response>",
            "<Response>\n  <!-- nothing -->\n</Response>",
            '<?xml version="1.0" encoding="UTF-8"?>\n<!-- a --><!-- b -- c -->\n<Response/>\n<!-- d -->',
            "\ufeff<Response/>",
        ],
    )
    def test_nothing_and_an_empty_response_are(self, body: str) -> None:
        assert is_expected_answer(body)

    @pytest.mark.parametrize(
        "body",
        [
            "OK",
            "<Response>OK</Response>",
            "<Response><Hangup/></Response>",
            "<Response/><Response/>",
            "<response/>",
            "<html></html>",
            "<!-- <Response/>",
            "<Responses/>",
        ],
    )
    def test_anything_else_is_not(self, body: str) -> None:
        assert not is_expected_answer(body)

    @pytest.mark.parametrize("body", ["<!--" * 1000, "<!---->" * 600 + "x", "<Response>" + " " * 4000])
    def test_a_hostile_answer_costs_no_time(self, body: str) -> None:
        started = time.thread_time()
        assert not is_expected_answer(body)
        assert time.thread_time() - started < 0.5

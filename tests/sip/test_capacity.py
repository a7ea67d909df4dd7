"""A full engine refuses at once, says when to come back, and carries on the calls that it has (issue 2, overload)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import Database
from tests.sip.harness import Engine, Lab, TwimlServer, finish
from tests.sip.sipp import Peers, header, until
from tests.sip.steps import ANSWERS, TALKS, ack, bye, cue, invite, progress, recv, refused


@pytest.fixture
def small(server: TwimlServer, database: Database, tmp_path: Path) -> Iterator[Engine]:
    """An engine that takes a second call only when the first one is over."""
    with Engine(tmp_path / "engine", server, database, MAX_LEGS="12") as made:
        yield made


class TestFullEngine:
    def test_it_answers_503_with_retry_after_and_the_call_in_progress_goes_on(
        self, small: Engine, server: TwimlServer, peers: Peers, number: str
    ) -> None:
        first = Lab(small, server, peers, number)
        phone = first.phone(*ANSWERS)
        first.dial(phone)
        talking = first.call(invite(), *progress(), recv(200), ack(), cue(), *bye())
        until(lambda: phone.received("ACK"))
        second = first.call(*refused(503))
        finish(second, talking, phone)
        assert header(second.received("SIP/2.0 503")[0], "Retry-After").isdigit()
        assert small.strangers("1 call(s) refused with 503") == [32001]
        assert first.log()["status"] == "completed"
        third = first.phone(*ANSWERS)
        first.dial(third)
        finish(first.call(*TALKS), third)

"""Changes to calls in progress, as the engine carries them out: Twilio's page on updating a Call resource.

"Live" is under 300 ms: the engine looks for commands every `COMMAND_SECONDS`, and obeys within the same turn.
"""

from __future__ import annotations

from typing import Any

import pytest

from calls.entries import CommandDone, EventEntry, QueuedCommand
from sipengine.management.commands.sipengine import COMMAND_SECONDS
from sipengine.ports import Answered, LegId
from tests.fakes import T0
from tests.test_engine import Switch, queued

DIAL = "<Dial answerOnBridge='true'><Sip>sip:alice@127.0.0.1</Sip><Sip>sip:bob@127.0.0.1</Sip></Dial>"
ELSEWHERE = "<Response><Say>Elsewhere</Say></Response>"


def obey(switch: Switch, sid: str, **values: Any) -> CommandDone:
    return switch.engine.obey(QueuedCommand(7, sid, by="anna", **values))


async def ringing() -> tuple[Switch, LegId, list[LegId]]:
    """Return a call for which two phones ring."""
    switch = Switch(DIAL)
    caller = await switch.invited()
    return switch, caller, list(switch.phone.targets)


def sid_of(switch: Switch, user: str) -> str:
    return next(record.sid for record in reversed(switch.records) if f"sip:{user}@" in record.to_address)


def test_an_engine_looks_often_enough() -> None:
    assert COMMAND_SECONDS <= 0.1


class TestTheCaller:
    async def test_status_completed_ends_the_call_in_the_same_turn(self) -> None:
        switch = Switch("<Say>Hello</Say><Pause length='60'/>")
        leg = await switch.invited()
        done = obey(switch, switch.records[0].sid, status="completed")
        assert (done.id, done.ok) == (7, True)
        await switch.settle()
        assert switch.phone.commands("hangup") == [(leg,)]
        await switch.ends(leg, 200, by_peer=False)
        last = switch.records[-1]
        assert (last.status, last.ended_by, last.reason) == ("completed", "operator", "Ended by anna.")

    async def test_status_canceled_ends_one_that_rings_with_its_legs(self) -> None:
        switch, caller, legs = await ringing()
        assert obey(switch, switch.records[0].sid, status="canceled").ok
        await switch.settle()
        assert caller in switch.phone.refused
        assert switch.phone.commands("hangup") == [(leg,) for leg in legs]

    async def test_status_canceled_leaves_one_that_talks_alone(self) -> None:
        switch = Switch("<Say>Hello</Say>")
        await switch.invited()
        done = obey(switch, switch.records[0].sid, status="canceled")
        assert (done.ok, "21220" in done.outcome) == (False, True)
        assert switch.phone.commands("hangup") == []

    async def test_a_url_is_asked_with_its_method_and_its_document_runs(self) -> None:
        switch = Switch("<Pause length='60'/>")
        switch.web.answers["http://app/new"] = ELSEWHERE
        leg = await switch.invited()
        assert obey(switch, switch.records[0].sid, url="http://app/new", method="GET").ok
        await switch.settle()
        assert switch.web.asked[-1][:2] == ("http://app/new", "GET")
        assert switch.phone.commands("play")[0][:2] == (leg, "Elsewhere")

    async def test_its_fallback_is_asked_when_it_cannot_be_had(self) -> None:
        switch = Switch("<Pause length='60'/>")
        switch.web.answers["http://app/spare"] = ELSEWHERE
        leg = await switch.invited()
        change = {"url": "http://app/gone", "fallback_url": "http://app/spare", "fallback_method": "GET"}
        assert obey(switch, switch.records[0].sid, **change).ok
        await switch.settle()
        assert [one[:2] for one in switch.web.asked][-2:] == [("http://app/gone", "POST"), ("http://app/spare", "GET")]
        assert switch.web.asked[-1][2]["ErrorUrl"] == "http://app/gone"
        assert switch.phone.commands("play")[0][:2] == (leg, "Elsewhere")

    async def test_so_does_twiml_that_was_given(self) -> None:
        switch, caller, legs = await ringing()
        assert obey(switch, switch.records[0].sid, twiml=ELSEWHERE).ok
        await switch.settle()
        assert switch.phone.commands("play")[0][:2] == (caller, "Elsewhere")
        assert switch.phone.commands("hangup") == [(leg,) for leg in legs]

    async def test_a_call_that_is_over_cannot_be_changed(self) -> None:
        switch = Switch()
        leg = await switch.invited()
        sid = switch.records[0].sid
        await switch.ends(leg)
        done = obey(switch, sid, status="completed")
        assert (done.ok, "21220" in done.outcome) == (False, True)

    async def test_one_of_another_engine_cannot_either(self) -> None:
        assert not obey(Switch(), "CA" + "9" * 32, status="completed").ok


class TestDialledLegs:
    async def test_one_that_rings_is_ended_and_the_others_go_on(self) -> None:
        switch, _, (alice, bob) = await ringing()
        assert obey(switch, sid_of(switch, "alice"), status="canceled").ok
        assert switch.phone.commands("hangup") == [(alice,)]
        await switch.ends(alice, 487, by_peer=False)
        assert (switch.records[-1].status, switch.records[-1].ended_by) == ("canceled", "operator")
        assert bob in switch.phone.targets

    async def test_one_that_talks_goes_on_with_a_document_of_its_own(self) -> None:
        switch, caller, (alice, _) = await ringing()
        switch.engine.post(Answered(alice, T0 + 3))
        await switch.settle()
        assert obey(switch, sid_of(switch, "alice"), twiml=ELSEWHERE).ok
        await switch.settle()
        assert switch.phone.commands("play")[-1][:2] == (alice, "Elsewhere")
        assert ("unbridge", caller, alice) in switch.phone.done

    async def test_one_that_talks_cannot_be_canceled(self) -> None:
        switch, _, (alice, _) = await ringing()
        switch.engine.post(Answered(alice, T0 + 3))
        await switch.settle()
        done = obey(switch, sid_of(switch, "alice"), status="canceled")
        assert (done.ok, "21220" in done.outcome) == (False, True)


class TestPlacedCalls:
    async def test_one_that_rings_runs_its_new_document_when_it_answers(self) -> None:
        switch = Switch()
        switch.engine.place(queued())
        await switch.settle()
        (leg,) = switch.phone.targets
        assert obey(switch, "CA" + "1" * 32, twiml=ELSEWHERE).ok
        await switch.settle()
        assert switch.phone.commands("hangup") == []
        switch.engine.post(Answered(leg, T0 + 3))
        await switch.settle()
        assert switch.phone.commands("play")[0][:2] == (leg, "Elsewhere")

    @pytest.mark.parametrize("status", ["canceled", "completed"])
    async def test_one_that_rings_is_canceled_by_either_status(self, status: str) -> None:
        switch = Switch()
        switch.engine.place(queued())
        await switch.settle()
        (leg,) = switch.phone.targets
        assert obey(switch, "CA" + "1" * 32, status=status).ok
        await switch.settle()
        assert switch.phone.commands("hangup") == [(leg,)]
        await switch.ends(leg, 487, by_peer=False)
        assert switch.records[-1].status == "canceled"


async def test_the_timeline_names_who_asked() -> None:
    switch = Switch()
    await switch.invited()
    obey(switch, switch.records[0].sid, status="completed")
    told = [entry.detail for entry in switch.entries if isinstance(entry, EventEntry) and entry.name == "command"]
    assert told == [{"what": "completed", "by": "anna"}]

"""Queued calls as the engine places them, with what they wish for besides TwiML; recordings of live calls on command.

Source: Twilio's Call resource ("Create a Call") and Call recordings; conformance §1.14.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from calls.entries import CallbackSpec, CommandDone, EventEntry, QueuedCommand, RecordingEntry, RecordingSpec
from routing.outbound import Dialplan, Rule, Trunk, Way
from routing.sid import new_sid
from routing.sipuri import parse
from sipengine.ports import Answered, LegId
from tests.fakes import T0
from tests.test_engine import AC, Switch, queued

FIRST = Trunk("first", Way(parse("sip:one.invalid;transport=tcp"), "user", "secret", "+15550100"), (Rule("+49"),))
ONE = replace(FIRST, way=replace(FIRST.way, uri=parse("sip:127.0.0.1:5071")))
TWO = Trunk("second", Way(parse("sip:127.0.0.1:5072")), (Rule("", strip=1, prepend="00"),))
ALICE = Way(parse("sip:alice@127.0.0.1:5073?x-a=1"), "alice", "secret")
PLAN = Dialplan({AC: (ONE, TWO)}, {(AC, "alice"): ALICE})
SID = "CA" + "1" * 32


def switch_with(plan: Dialplan = PLAN, twiml: str = "<Pause length='60'/>") -> Switch:
    switch = Switch(twiml)
    switch.engine._services = replace(switch.engine._services, dialplan=lambda: plan)
    switch.phone.post = switch.engine.post
    return switch


async def placed(switch: Switch, **values: Any) -> LegId:
    switch.engine.place(queued(**values))
    await switch.settle()
    return max(switch.phone.targets)


async def answered(switch: Switch, **values: Any) -> LegId:
    leg = await placed(switch, **values)
    switch.engine.post(Answered(leg, T0 + 3))
    await switch.settle()
    return leg


def unanswered_lookups(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let no host name be resolved from now on; return what is set when one is asked for."""
    asked = asyncio.Event()

    async def asks(*args: object, **options: object) -> NoReturn:
        asked.set()
        await asyncio.Future()
        raise AssertionError

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", asks)
    return asked


def events(switch: Switch) -> list[str]:
    return [entry.name for entry in switch.entries if isinstance(entry, EventEntry)]


def recordings(switch: Switch) -> list[RecordingEntry]:
    return [entry for entry in switch.entries if isinstance(entry, RecordingEntry)]


def spec(**values: Any) -> RecordingSpec:
    return RecordingSpec(**{"sid": new_sid("RE"), "source": "OutboundAPI", **values})


class TestWhereItGoes:
    """`To`: a SIP URI, a number through the account's trunks, `client:` and an endpoint's name."""

    async def test_a_number_goes_to_the_first_trunk_that_takes_it(self) -> None:
        switch = switch_with()
        target = switch.phone.targets[await placed(switch, to="+4930123")]
        assert (target.uri.user, target.uri.port, target.from_user) == ("+4930123", 5071, "+15550100")
        assert (target.username, target.password) == ("user", "secret")
        assert switch.records[-1].to_address == "+4930123"

    async def test_the_next_trunk_is_tried_when_one_cannot_be_reached(self) -> None:
        switch = switch_with()
        first = await placed(switch, to="+4930123")
        await switch.ends(first, 503)
        second = max(switch.phone.targets)
        target = switch.phone.targets[second]
        assert (target.uri.user, target.uri.port) == ("004930123", 5072)
        assert "leg.next-address" in events(switch)
        switch.engine.post(Answered(second, T0 + 3))
        await switch.settle()
        assert switch.records[-1].status == "in-progress"

    async def test_so_it_is_when_its_name_does_not_resolve(self) -> None:
        switch = switch_with(Dialplan({AC: (FIRST, TWO)}))
        switch.engine.place(queued(to="+4930123"))
        await switch.until(lambda: switch.phone.targets)
        assert [target.uri.port for target in switch.phone.targets.values()] == [5072]
        assert switch.codes() == [13254]

    async def test_a_callee_who_is_busy_has_been_reached(self) -> None:
        switch = switch_with()
        await switch.ends(await placed(switch, to="+4930123"), 486)
        assert len(switch.phone.targets) == 1
        assert switch.records[-1].status == "busy"

    async def test_when_no_trunk_can_be_reached_it_failed(self) -> None:
        switch = switch_with()
        for _ in range(2):
            await switch.ends(max(switch.phone.targets or [await placed(switch, to="+4930123")]), 503)
        assert (switch.records[-1].status, switch.records[-1].sip_code) == ("failed", 503)
        assert switch.engine.calls == 0

    async def test_a_call_that_is_ended_between_two_trunks_is_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        switch = switch_with(Dialplan({AC: (ONE, FIRST)}))
        asked = unanswered_lookups(monkeypatch)
        await switch.ends(await placed(switch, to="+4930123"), 503)
        await switch.until(asked.is_set)
        switch.engine.obey(QueuedCommand(7, SID, status="canceled"))
        await switch.until(lambda: switch.engine.calls == 0)
        assert switch.records[-1].status == "canceled"

    async def test_a_client_is_called_with_its_endpoints_credentials(self) -> None:
        switch = switch_with()
        target = switch.phone.targets[await placed(switch, to="client:Alice")]
        assert (target.uri.port, target.username, dict(target.headers)["x-a"]) == (5073, "alice", "1")
        assert switch.records[-1].to_address == "client:Alice"

    async def test_credentials_that_come_with_the_call_count_more(self) -> None:
        switch = switch_with()
        target = switch.phone.targets[await placed(switch, to="client:alice", username="u", password="p")]
        assert (target.username, target.password) == ("u", "p")

    @pytest.mark.parametrize(("to", "code"), [("+33123", 13224), ("client:bob", 32009)])
    async def test_what_cannot_be_reached_any_more_is_a_failed_call(self, to: str, code: int) -> None:
        switch = switch_with(Dialplan({AC: (ONE,)}))
        switch.engine.place(queued(to=to))
        await switch.settle()
        assert (switch.records[-1].status, switch.records[-1].error_code) == ("failed", code)

    async def test_a_reason_is_the_subject_of_the_invite(self) -> None:
        switch = switch_with()
        target = switch.phone.targets[await placed(switch, call_reason="Your order")]
        assert dict(target.headers)["Subject"] == "Your order"

    async def test_it_is_placed_when_it_is_its_turn(self) -> None:
        switch = switch_with()
        switch.engine.place(queued(wait=0.05))
        await switch.settle()
        assert switch.phone.targets == {}
        await switch.until(lambda: switch.phone.targets)


class TestOnceItIsAnswered:
    """`SendDigits`, `TimeLimit`, `MachineDetection`, `Record`."""

    async def test_digits_are_sent_before_the_document_runs(self) -> None:
        switch = switch_with(twiml="<Say>Hello</Say>")
        leg = await answered(switch, send_digits="12")
        assert switch.phone.commands("send digits") == [(leg, "12")]
        assert switch.phone.commands("play") == []
        await switch.until(lambda: switch.phone.commands("play"))

    async def test_the_time_limit_ends_it(self) -> None:
        switch = switch_with()
        leg = await answered(switch, time_limit=0.02)
        await switch.until(lambda: switch.phone.commands("hangup") == [(leg,)])
        await switch.ends(leg, 200, by_peer=False)
        last = switch.records[-1]
        assert (last.status, last.ended_by, switch.codes()) == ("completed", "engine", [32015])

    async def test_the_time_limit_of_one_that_is_over_is_forgotten(self) -> None:
        switch = switch_with()
        await switch.ends(await answered(switch, time_limit=0.01), 200)
        await switch.until(lambda: switch.engine.calls == 0)
        assert switch.codes() == []

    async def test_machine_detection_says_unknown(self) -> None:
        switch = switch_with()
        told = CallbackSpec("http://app/amd", "POST", ("amd",))
        await answered(switch, machine_detection=True, amd_callback=told)
        assert switch.web.parameters("http://app/voice")["AnsweredBy"] == "unknown"
        (sent,) = switch.sent
        assert (sent.topic, sent.url, dict(sent.parameters)["AnsweredBy"]) == ("amd", "http://app/amd", "unknown")

    @pytest.mark.parametrize(
        ("values", "groups", "heard"),
        [
            ({}, [[2]], [(0, 2)]),
            ({"channels": 2}, [[2], []], [(1, 2)]),
            ({"track": "inbound"}, [[2]], []),
            ({"track": "outbound"}, [[]], [(0, 2)]),
        ],
    )
    async def test_it_is_recorded_with_what_it_hears(
        self, values: dict[str, Any], groups: list[list[int]], heard: list[tuple[int, int]]
    ) -> None:
        switch = switch_with()
        await answered(switch, recording=spec(**values))
        assert switch.phone.commands("record") == [(groups,)]
        assert switch.phone.commands("record heard") == heard
        (entry,) = recordings(switch)
        assert (entry.status, entry.source, entry.call_sid) == ("in-progress", "OutboundAPI", SID)

    async def test_the_recording_ends_with_it_and_the_last_callback_names_it(self) -> None:
        switch = switch_with()
        wanted = spec()
        told = CallbackSpec("http://app/status", "POST", ("completed",))
        leg = await answered(switch, recording=wanted, callback=told)
        await switch.ends(leg, 200)
        assert len(switch.phone.commands("stop recording")) == 1
        assert dict(switch.sent[-1].parameters)["RecordingSid"] == wanted.sid

    async def test_a_call_that_nobody_answers_is_not_recorded(self) -> None:
        switch = switch_with()
        await switch.ends(await placed(switch, recording=spec()), 486)
        assert switch.phone.commands("record") == []


def obey(switch: Switch, action: str, sid: str = "", **values: Any) -> CommandDone:
    return switch.engine.obey(QueuedCommand(7, values.pop("call", SID), action=action, recording_sid=sid, **values))


class TestRecordingsOnCommand:
    """Twilio: Call recordings: start, pause, resume, stop."""

    async def begun(self) -> tuple[Switch, LegId, str]:
        switch, wanted = switch_with(), spec(source="StartCallRecordingAPI")
        leg = await answered(switch)
        assert obey(switch, "record", recording=wanted).ok
        return switch, leg, wanted.sid

    async def test_a_call_in_progress_is_recorded_under_the_sid_that_was_told(self) -> None:
        switch, leg, sid = await self.begun()
        assert switch.phone.commands("record") == [([[leg]],)]
        assert recordings(switch)[0].sid == sid

    async def test_one_that_rings_is_not(self) -> None:
        switch = switch_with()
        await placed(switch)
        done = obey(switch, "record", recording=spec())
        assert (done.ok, "21220" in done.outcome) == (False, True)

    async def test_a_pause_leaves_everybody_out(self) -> None:
        switch, leg, sid = await self.begun()
        assert obey(switch, "pause", sid).ok
        assert switch.phone.commands("record without") == switch.phone.commands("record unheard") == [(0, leg)]
        assert obey(switch, "resume", sid).ok
        assert switch.phone.commands("record also") == [(0, leg)]
        assert switch.phone.commands("record heard") == [(0, leg), (0, leg)]
        assert [entry.status for entry in recordings(switch)] == ["in-progress", "paused", "in-progress"]
        assert events(switch)[-2:] == ["recording.paused", "recording.resumed"]

    async def test_a_pause_that_comes_twice_is_one(self) -> None:
        switch, leg, sid = await self.begun()
        for action in ("resume", "pause", "pause"):
            assert obey(switch, action, sid).ok
        assert switch.phone.commands("record without") == [(0, leg)]
        assert switch.phone.commands("record also") == []

    async def test_it_is_stopped_and_then_it_is_over(self) -> None:
        switch, _, sid = await self.begun()
        assert obey(switch, "stop", sid).ok
        await switch.settle()
        assert recordings(switch)[-1].status == "processing"
        assert not obey(switch, "pause", sid).ok

    async def test_it_ends_with_the_call_and_is_closed_once(self) -> None:
        switch, leg, _ = await self.begun()
        await switch.ends(leg, 200)
        assert len(switch.phone.commands("stop recording")) == 1
        assert recordings(switch)[-1].status == "processing"

    async def test_one_that_there_is_not_cannot_be_changed(self) -> None:
        switch, _, _ = await self.begun()
        assert not obey(switch, "stop", new_sid("RE")).ok

    async def test_a_dialled_leg_is_recorded_by_itself_and_until_it_ends(self) -> None:
        switch = switch_with(twiml="<Dial answerOnBridge='true'><Sip>sip:bob@127.0.0.1</Sip></Dial>")
        await switch.invited()
        (bob,) = switch.phone.targets
        switch.engine.post(Answered(bob, T0 + 3))
        await switch.settle()
        sid = next(record.sid for record in switch.records if record.parent_sid)
        wanted = spec()
        assert obey(switch, "record", call=sid, recording=wanted).ok
        assert (recordings(switch)[0].call_sid, switch.phone.commands("record")) == (sid, [([[bob]],)])
        await switch.ends(bob, 200)
        assert len(switch.phone.commands("stop recording")) == 1

    async def test_a_recording_of_dial_can_be_paused(self) -> None:
        switch = switch_with(
            twiml="<Dial answerOnBridge='true' record='record-from-answer-dual'><Sip>sip:bob@127.0.0.1</Sip></Dial>"
        )
        caller = await switch.invited()
        (bob,) = switch.phone.targets
        switch.engine.post(Answered(bob, T0 + 3))
        await switch.settle()
        (entry,) = recordings(switch)
        assert obey(switch, "pause", entry.sid, call=entry.call_sid).ok
        assert switch.phone.commands("record without") == [(0, caller), (1, bob)]


class TestChangesWithoutADocument:
    """`TimeLimit` and `StatusCallback` of an update, alone."""

    async def test_a_time_limit_counts_from_now_and_replaces_the_former(self) -> None:
        switch = switch_with()
        leg = await answered(switch, time_limit=60)
        assert obey(switch, "", time_limit=0.01).ok
        await switch.until(lambda: switch.phone.commands("hangup") == [(leg,)])

    async def test_a_callback_replaces_the_former(self) -> None:
        switch = switch_with()
        leg = await answered(switch, callback=CallbackSpec("http://app/old", "POST", ("completed",)))
        assert obey(switch, "", callback=CallbackSpec("http://app/new", "GET", ("completed",))).ok
        await switch.ends(leg, 200)
        assert [(sent.url, sent.method) for sent in switch.sent] == [("http://app/new", "GET")]

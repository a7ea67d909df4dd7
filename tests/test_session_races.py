"""What crosses what in a call: each of these left a call behind, or told something that was not so, when it was found
by the storm of `test_session_storm.py`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from calls.entries import CallRecord, NoteEntry
from calls.webclient import Fetched
from sipengine.documents import Inline
from sipengine.ports import Digit, Ended, Event, Headers, Held, Referred, Ringing
from tests.fakes import CALLER, T0, World
from tests.storm import JumpingLoop, Step, Storm, run

ALICE = "<Sip>sip:alice@127.0.0.1</Sip>"
BOB = "<Sip>sip:bob@127.0.0.1</Sip>"


async def world(twiml: str) -> World:
    made = World(twiml)
    await made.start()
    return made


def storm(docs: list[str], *steps: Step, out: bool = False) -> Storm:
    """Run a call through these steps and to its end."""

    async def play(loop: JumpingLoop) -> Storm:
        made = Storm(loop, docs)
        await (made.call_out() if out else made.call_in())
        await made.settle()
        for step in steps:
            await made.take(step)
        await made.finish()
        return made

    return run(play)


class TestALegThatIsGone:
    """Conformance §1.2: if the initial caller hung up, the session ends."""

    async def test_no_verb_follows_a_dial_whose_action_cannot_be_asked(self) -> None:
        made = await world("<Pause length='60'/>")
        text = f"<Response><Dial action='/relative'>{ALICE}</Dial><Say>After</Say></Response>"
        made.session.redirect(Inline(text.encode()))
        await made.settle()
        await made.ends("caller", 200)
        await made.ends("alice", 487, by_peer=False)
        assert 15004 in made.codes()
        assert made.phone.commands("play") == []
        assert made.over

    async def test_a_caller_who_hangs_up_as_the_callee_refers_runs_nothing(self) -> None:
        made = await world(f'<Dial referUrl="/refer">{ALICE}</Dial>')
        made.web.answers["http://app/refer"] = "<Response><Say>One moment</Say></Response>"
        await made.answers("alice")
        made._dispatch(Referred(made.leg("alice"), T0 + 5, "sip:bob@b"))
        await made.ends("caller", 200)
        await made.ends("alice", 200, by_peer=False)
        assert made.phone.commands("play") == []
        assert made.over

    @pytest.mark.parametrize("turns", range(6))
    async def test_a_hang_up_right_after_a_digit_ends_a_gather(self, turns: int) -> None:
        made = await world('<Gather action="/next" numDigits="4"><Say>Digits, please</Say></Gather>')
        made._dispatch(Digit(CALLER, T0 + 4, "1"))
        for _ in range(turns):
            await asyncio.sleep(0)
        await made.ends("caller", 200)
        assert made.over

    async def test_a_hang_up_while_the_beep_is_fetched_records_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = World("<Record/>")
        fetched = asyncio.Event()

        async def beep() -> Path:
            await fetched.wait()
            return Path("/beep.wav")

        monkeypatch.setattr(made.media, "beep", beep)
        await made.start()
        made._dispatch(Ended(CALLER, T0 + 9, 200))
        fetched.set()
        await made.settle()
        assert made.phone.commands("play") == made.phone.commands("record") == []
        assert made.over


class TestCommandsThatComeTooLate:
    """Twilio's error 21220: the call is not in a state for that update."""

    def test_a_leg_that_was_given_up_cannot_be_redirected(self) -> None:
        made = storm([f"<Dial>{ALICE}{BOB}</Dial>"], Step("answers", 0), Step("redirected", 2), Step("completed", 2))
        assert made.commanded["redirected"] == made.commanded["completed"] == 0
        assert made.faults == []

    def test_a_call_that_was_ended_cannot_be_redirected_in_the_same_moment(self) -> None:
        made = storm(["<Pause length='60'/>"], Step("completed", turns=0), Step("redirected"))
        assert (made.commanded["completed"], made.commanded["redirected"]) == (1, 0)
        assert made.phone.commands("refuse") == [(CALLER, 480)]
        assert len(made.web.asked) == 1

    @pytest.mark.parametrize("what", ["redirected", "completed"])
    def test_a_call_that_was_refused_already_stays_so(self, what: str) -> None:
        made = storm(["<Reject reason='busy'/>"], Step(what))
        assert made.commanded[what] == 0
        assert [e.status for e in made.world.entries if isinstance(e, CallRecord)][-1] == "busy"
        assert made.faults == []

    @pytest.mark.parametrize("what", ["canceled", "waits"])
    def test_a_200_that_crosses_our_cancel_is_no_answer(self, what: str) -> None:
        made = storm(["<Say>Hello</Say>"], Step(what, code=3000), Step("answers"), Step("waits", code=100), out=True)
        status = "canceled" if what == "canceled" else "no-answer"
        assert [e.status for e in made.world.entries if isinstance(e, CallRecord)][-1] == status
        assert "in-progress" not in [dict(one.parameters)["CallStatus"] for one in made.world.sent]
        assert made.faults == []


class TestHold:
    """RFC 3264 §8.4: hold passes over the bridge, and is over with it."""

    async def held(self, more: str = "") -> World:
        made = await world(f"<Dial{more}>{ALICE}</Dial><Say>After</Say>")
        await made.answers("alice")
        await made.event(Held(made.leg("alice"), T0 + 5, True))
        return made

    async def test_a_caller_who_was_held_is_taken_back_when_the_callee_hangs_up(self) -> None:
        made = await self.held()
        await made.ends("alice")
        assert made.phone.commands("hold") == [(CALLER, True), (CALLER, False)]

    async def test_one_who_was_taken_back_is_left_alone(self) -> None:
        made = await self.held()
        await made.event(Held(made.leg("alice"), T0 + 6, False))
        await made.ends("alice")
        assert made.phone.commands("hold") == [(CALLER, True), (CALLER, False)]

    async def test_a_callee_who_is_hung_up_holds_nobody(self) -> None:
        made = await world(f"<Dial hangupOnStar='true'>{ALICE}</Dial><Say>After</Say>")
        await made.answers("alice")
        await made.presses("*")
        await made.event(Held(made.leg("alice"), T0 + 6, True))
        assert made.phone.commands("hold") == []

    async def test_a_callee_who_goes_on_alone_is_taken_back(self) -> None:
        made = await world(f"<Dial>{ALICE}</Dial>")
        await made.answers("alice")
        await made.event(Held(CALLER, T0 + 5, True))
        found = made.session.find(made.last("alice").sid)
        assert found is not None
        found[0].detach(found[1], Inline(b"<Response><Say>Hello</Say></Response>"))
        await made.settle()
        assert made.phone.commands("hold") == [(made.leg("alice"), True), (made.leg("alice"), False)]


class TestRefer:
    """`<Dial referUrl>`: who may refer, and for how long."""

    async def test_the_permission_ends_with_the_conversation(self) -> None:
        made = await world(f'<Dial referUrl="/refer">{ALICE}</Dial><Say>After</Say>')
        await made.answers("alice")
        await made.ends("alice")
        assert made.phone.commands("allow refer")[-1] == (CALLER, False)

    async def test_a_url_that_cannot_be_asked_is_noted_and_allows_nothing(self) -> None:
        made = await world("<Pause length='60'/>")
        made.session.redirect(Inline(f"<Response><Dial referUrl='/relative'>{ALICE}</Dial></Response>".encode()))
        await made.settle()
        await made.answers("alice")
        assert made.phone.commands("allow refer") == []
        assert made.codes() == [15004]


class TestWhatTheCallerHears:
    """Conformance §1.2, `ringTone`: early media of one far end, else ringing."""

    async def test_when_the_one_that_was_heard_is_busy_the_others_ring(self) -> None:
        made = await world(f"<Dial>{ALICE}{BOB}</Dial>")
        await made.ringing("alice", media=True)
        await made.ringing("bob")
        assert made.phone.commands("tone") == []
        await made.ends("alice", 486)
        assert [leg for leg, _ in made.phone.commands("tone")] == [CALLER]

    async def test_the_early_media_of_the_next_in_a_hunt_is_heard(self) -> None:
        made = await world(f"<Dial sequential='true'>{ALICE}{BOB}</Dial>")
        await made.ringing("alice", media=True)
        await made.ends("alice", 486)
        await made.ringing("bob", media=True)
        assert made.phone.commands("hear") == [(CALLER, made.leg("alice")), (CALLER, made.leg("bob"))]

    async def test_one_that_was_given_up_is_not_heard(self) -> None:
        made = await world(f"<Dial hangupOnStar='true'>{ALICE}</Dial>")
        await made.ringing("alice")
        await made.presses("*")
        await made.event(Ringing(made.leg("alice"), T0 + 5, 183, True))
        assert made.phone.commands("hear") == []


class TestInlineTwiml:
    """Conformance §1.1: TwiML that is given inline has no URL, so relative ones have no base (15004)."""

    async def test_the_document_before_it_is_not_its_base(self) -> None:
        made = await world("<Pause length='60'/>")
        made.session.redirect(Inline(b"<Response><Redirect>/next</Redirect></Response>"))
        await made.settle()
        assert made.codes() == [15004]
        assert [url for url, _, _ in made.web.asked] == ["http://app/voice"]


class TestCapacity:
    """docs/architecture.md, overload: calls in set-up are those that wait for their first TwiML."""

    async def test_a_placed_call_that_was_answered_is_set_up_no_more(self) -> None:
        made = Storm(asyncio.get_running_loop(), ["<Say>Hello</Say>"])
        await made.call_out()
        await made.take(Step("answers"))
        assert [session.in_setup for session in made.engine._sessions] == [False]
        await made.take(Step("ends"))
        assert made.engine.calls == 0

    async def test_nor_is_a_leg_that_goes_on_alone(self) -> None:
        made = await world(f"<Dial>{ALICE}</Dial>")
        await made.answers("alice")
        found = made.session.find(made.last("alice").sid)
        assert found is not None
        found[0].detach(found[1], Inline(b"<Response><Pause length='60'/></Response>"))
        assert [session.in_setup for session in made.adopted] == [False]
        await made.ends("alice")


class TestTheLog:
    async def test_a_host_that_begins_like_ours_is_a_stranger(self) -> None:
        made = World("")
        said = {"x-cordboard-route": "7"}
        made.web.answers["http://app/voice"] = Fetched(
            "http://app.evil/voice", "POST", 200, "text/xml", b"<Response/>", 0.001, headers=said
        )
        await made.start()
        assert made.last("caller").route_id == 0


class TestScreening:
    async def test_a_bug_in_the_engine_declines_and_is_noted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = World("<Dial action='/done'><Sip url='/screen'>sip:alice@127.0.0.1</Sip></Dial>")
        made.web.answers["http://app/screen"] = "<Response><Say>Press one</Say></Response>"
        await made.start()

        async def broken(text: str, voice: str | None = None, language: str | None = None) -> Path:
            raise RuntimeError("a bug")

        monkeypatch.setattr(made.media, "say", broken)
        await made.answers("alice")
        assert made.phone.commands("hangup") == [(made.leg("alice"),)]
        assert 12400 in made.codes()


class TestLosers:
    """Issue 3, answered elsewhere (RFC 3326): phones that lose must not show a missed call."""

    async def test_they_are_told_that_another_phone_answered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = await world(f"<Dial>{ALICE}{BOB}</Dial>")
        said: dict[int, Headers] = {}
        monkeypatch.setattr(made.phone, "hangup", lambda leg, headers=(): said.update({leg: headers}))
        await made.answers("bob")
        assert said == {made.leg("alice"): (("Reason", 'SIP;cause=200;text="Call completed elsewhere"'),)}

    async def test_those_of_a_caller_who_left_are_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = await world(f"<Dial>{ALICE}</Dial>")
        said: dict[int, Headers] = {}
        monkeypatch.setattr(made.phone, "hangup", lambda leg, headers=(): said.update({leg: headers}))
        await made.ends("caller", 487)
        assert said == {made.leg("alice"): ()}


class TestTheTimeLimit:
    """`<Dial timeLimit>`: it counts the conversation only."""

    def test_it_is_forgotten_when_the_conversation_is_over(self) -> None:
        made = storm(
            [f"<Dial timeLimit='5'>{ALICE}</Dial><Pause length='60'/>"],
            Step("answers"),
            Step("ends", 1),
            Step("waits", code=1000),
        )
        assert [e for e in made.world.entries if isinstance(e, NoteEntry)] == []


class TestRecordings:
    """The worker may look at a recording only when its last buffer is written."""

    async def test_a_call_is_over_when_its_recording_is_closed(self) -> None:
        made = await world(f'<Dial record="record-from-answer">{ALICE}</Dial>')
        closed: list[Event] = []
        made.phone.post = closed.append
        await made.answers("alice")
        await made.ends("alice")
        await made.ends("caller", 200, by_peer=False)
        assert made.recordings() == ["in-progress"]
        assert not made.over
        await made.event(closed[0])
        assert made.recordings() == ["in-progress", "processing"]
        assert made.over

    async def test_who_has_stopped_recording_is_not_listened_to_for_silence(self) -> None:
        made = await world('<Record playBeep="false" finishOnKey="#"/><Pause length="60"/>')
        watch = made.phone.commands("watch silence")[0][2]
        await made.presses("#")
        assert made.phone.commands("stop watching") == [(watch,)]
        await made.ends("caller", 200)

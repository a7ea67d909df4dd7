"""The call session on a scripted phone: a class per verb, one promise per test."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from calls.entries import CallRecord, EventEntry
from calls.status import TERMINAL, Status
from calls.webclient import Fetched, FetchError
from sipengine.script import APOLOGY
from tests.fakes import CALLER, World

ONE = "<Dial><Sip>sip:alice@a</Sip></Dial>"
THREE = "<Dial{}><Sip>sip:alice@127.0.0.1</Sip><Sip>sip:bob@127.0.0.1</Sip><Sip>sip:carol@127.0.0.1</Sip></Dial>"
ALICE = "<Dial{}><Sip>sip:alice@127.0.0.1</Sip></Dial>"


async def world(twiml: str, **dial: Any) -> World:
    made = World(twiml, **dial)
    await made.start()
    return made


def one_end_each(made: World) -> bool:
    """Say whether every leg was given a terminal status, and not two."""
    ends: dict[str, int] = {}
    for entry in made.entries:
        if isinstance(entry, CallRecord):
            ends.setdefault(entry.sid, 0)
            if entry.status in TERMINAL:
                ends[entry.sid] += 1
    return set(ends.values()) == {1}


class TestTheFirstRequest:
    """Twilio asks the domain's voice URL for TwiML while the caller hears ringing (conformance §1.7)."""

    async def test_the_caller_hears_ringing_and_the_url_is_asked(self) -> None:
        made = await world("<Hangup/>")
        assert made.phone.done[0] == ("ring", CALLER, 180)
        asked = made.web.parameters("http://app/voice")
        assert asked["CallStatus"] == "ringing"
        assert asked["Direction"] == "inbound"
        assert (asked["From"], asked["To"]) == ("sip:carol@phone", "sip:100@pbx")

    async def test_a_caller_who_hangs_up_while_it_is_asked_is_canceled(self) -> None:
        made = World("<Hangup/>")
        made.session.start_inbound(CALLER, made._finished)
        await made.ends("caller", 487)
        assert made.history("caller") == ["ringing", "canceled"]
        assert made.over


class TestWhenTheApplicationFails:
    """Twilio's availability page: primary, then fallback with ErrorCode and ErrorUrl, then an apology."""

    async def test_the_fallback_url_is_asked_with_the_error(self) -> None:
        made = World("")
        made.web.answers["http://app/voice"] = FetchError(11200, "HTTP 500", "http://app/voice", "POST", 500)
        made.web.answers["http://app/fallback"] = "<Response><Reject/></Response>"
        await made.start()
        asked = made.web.parameters("http://app/fallback")
        assert (asked["ErrorCode"], asked["ErrorUrl"]) == ("11200", "http://app/voice")
        assert made.phone.commands("refuse") == [(CALLER, 404)]
        assert made.codes() == [11200]

    async def test_twiml_that_does_not_parse_goes_to_the_fallback_too(self) -> None:
        made = World("<Dial>")
        made.web.answers["http://app/fallback"] = "<Response><Reject/></Response>"
        await made.start()
        assert made.web.parameters("http://app/fallback")["ErrorCode"] == "12100"

    async def test_without_any_document_the_caller_hears_an_apology_and_the_call_ends(self) -> None:
        made = World("</Response>")
        await made.start()
        assert made.phone.commands("play")[0][1] == APOLOGY
        await made.played()
        assert made.phone.commands("hangup") == [(CALLER,)]
        await made.ends("caller", by_peer=False)
        assert made.last("caller").status == "completed"
        assert "TwiML could not be had" in made.last("caller").reason
        assert one_end_each(made)

    @pytest.mark.parametrize(
        ("kind", "body", "code"),
        [("application/pdf", b"%PDF", 12300), ("text/xml", b"", 11770), ("text/xml", b"x" * 65_537, 11750)],
    )
    async def test_what_is_not_twiml_is_named(self, kind: str, body: bytes, code: int) -> None:
        made = World("")
        made.web.answers["http://app/voice"] = Fetched("http://app/voice", "POST", 200, kind, body, 0.1)
        await made.start()
        assert made.codes()[0] == code

    async def test_plain_text_is_read_aloud(self) -> None:
        made = World("")
        made.web.answers["http://app/voice"] = Fetched("http://app/voice", "POST", 200, "text/plain", b"Hello", 0.1)
        await made.start()
        assert made.phone.commands("play")[0][1] == "Hello"

    async def test_audio_is_played(self) -> None:
        made = World("")
        made.web.answers["http://app/voice"] = Fetched("http://app/a.mp3", "POST", 200, "audio/mpeg", b"..", 0.1)
        await made.start()
        assert made.phone.commands("play")[0][1] == "a.mp3"

    async def test_redirecting_for_ever_comes_to_an_end(self) -> None:
        made = World("<Redirect>http://app/voice</Redirect>")
        made.session.start_inbound(CALLER, made._finished)
        await made.until(lambda: made.phone.commands("refuse"))
        assert 11215 in made.codes()

    async def test_a_bug_in_the_engine_ends_the_call_and_is_noted(self) -> None:
        made = World("<Say>x</Say>")

        def broken(leg: int) -> None:
            raise RuntimeError("boom")

        made.phone.answer = broken  # type: ignore[method-assign]
        await made.start()
        assert made.codes() == [12400]
        assert made.phone.commands("refuse") == [(CALLER, 500)]
        await made.ends("caller", 500, by_peer=False)
        assert made.last("caller").status == "failed"


class TestSayPlayPause:
    async def test_say_answers_and_plays_then_the_end_of_the_document_hangs_up(self) -> None:
        made = await world("<Say>Hello</Say>")
        assert [name for name, *_ in made.phone.done] == ["ring", "answer", "play"]
        await made.played()
        assert made.phone.commands("hangup") == [(CALLER,)]

    async def test_loops_play_again(self) -> None:
        made = await world('<Say loop="2">Hello</Say>')
        await made.played()
        await made.played()
        assert len(made.phone.commands("play")) == 2
        assert made.phone.commands("hangup")

    async def test_the_caller_hanging_up_stops_the_player(self) -> None:
        made = await world("<Say>Hello</Say><Say>again</Say>")
        await made.ends("caller")
        assert made.phone.commands("stop") == [(CALLER,)]
        assert len(made.phone.commands("play")) == 1
        assert made.history("caller") == ["ringing", "in-progress", "completed"]
        assert made.over

    async def test_a_file_that_cannot_be_had_is_noted_and_skipped(self) -> None:
        made = World("<Play>nothing.wav</Play><Say>Sorry</Say>")
        made.media.broken.add("http://app/nothing.wav")
        await made.start()
        assert made.codes() == [11200]
        assert made.phone.commands("play")[0][1] == "Sorry"

    async def test_pause_does_not_answer(self) -> None:
        made = await world('<Pause length="30"/>')
        assert [name for name, *_ in made.phone.done] == ["ring"]
        await made.ends("caller", 487)
        assert made.last("caller").status == "canceled"


class TestRejectHangupRedirect:
    @pytest.mark.parametrize(
        ("twiml", "code", "status"),
        [
            ("<Reject/>", 404, "no-answer"),
            ('<Reject reason="busy"/>', 486, "busy"),
            ("<Hangup/>", 603, "no-answer"),
            ("", 603, "no-answer"),
        ],
    )
    async def test_an_unanswered_call_is_refused(self, twiml: str, code: int, status: str) -> None:
        made = await world(twiml)
        assert made.phone.commands("refuse") == [(CALLER, code)]
        await made.ends("caller", code, by_peer=False)
        assert (made.last("caller").status, made.last("caller").sip_code) == (status, code)
        assert one_end_each(made)

    async def test_redirect_replaces_the_document_and_does_not_answer(self) -> None:
        made = World('<Redirect method="GET">next</Redirect><Say>never</Say>')
        made.web.answers["http://app/next"] = "<Response><Reject/></Response>"
        await made.start()
        assert [(url, method) for url, method, _ in made.web.asked][-1] == ("http://app/next", "GET")
        assert made.phone.commands("answer") == []


class TestDial:
    """Twilio's `<Dial>` and `<Sip>` pages (conformance §1.2–1.4)."""

    async def test_it_answers_the_caller_before_it_dials(self) -> None:
        made = await world(ALICE.format(""))
        assert [name for name, *_ in made.phone.done] == ["ring", "answer", "place"]

    async def test_with_answer_on_bridge_the_caller_is_answered_when_the_callee_is(self) -> None:
        made = await world(ALICE.format(' answerOnBridge="true"'))
        assert made.phone.commands("answer") == []
        await made.ringing("alice")
        await made.answers("alice")
        assert made.phone.commands("answer") == [(CALLER,)]
        assert made.phone.commands("bridge") == [(CALLER, made.leg("alice"))]

    async def test_both_legs_run_through_their_statuses(self) -> None:
        made = await world(ALICE.format(""))
        await made.ringing("alice")
        await made.answers("alice")
        await made.ends("caller")
        await made.ends("alice", by_peer=False)
        assert made.history("alice") == ["initiated", "ringing", "in-progress", "completed"]
        assert made.history("caller")[-1] == "completed"
        assert made.last("alice").ended_by == made.last("caller").ended_by == "caller"
        assert made.over

    async def test_the_callee_hanging_up_ends_the_call(self) -> None:
        made = await world(ALICE.format(""))
        await made.answers("alice")
        await made.ends("alice")
        assert made.phone.commands("hangup") == [(CALLER,)]
        await made.ends("caller", by_peer=False)
        assert "The callee hung up" in made.last("caller").reason
        assert one_end_each(made)

    async def test_parallel_losers_are_cancelled_and_end_after_the_call(self) -> None:
        made = await world(THREE.format(""))
        assert made.rung() == ["alice", "bob", "carol"]
        await made.answers("bob")
        assert made.phone.commands("hangup") == [(made.leg("alice"),), (made.leg("carol"),)]
        await made.ends("alice", 487, by_peer=False)
        await made.ends("bob")
        await made.ends("caller", by_peer=False)
        assert not made.over
        await made.ends("carol", 200, by_peer=False)
        assert made.over
        assert [made.last(user).status for user in ("alice", "bob", "carol")] == ["canceled", "completed", "canceled"]
        assert one_end_each(made)

    async def test_sequential_goes_on_over_refusals(self) -> None:
        made = await world(THREE.format(' sequential="true"'))
        assert made.rung() == ["alice"]
        await made.ends("alice", 486)
        await made.ends("bob", 603)
        assert made.rung() == ["alice", "bob", "carol"]
        await made.answers("carol")
        assert made.phone.commands("bridge") == [(CALLER, made.leg("carol"))]

    async def test_an_unanswered_caller_gets_the_answer_of_the_dial(self) -> None:
        made = await world(ALICE.format(' answerOnBridge="true"'))
        await made.ends("alice", 486)
        assert made.phone.commands("refuse") == [(CALLER, 486)]
        await made.ends("caller", 486, by_peer=False)
        assert made.last("caller").status == "busy"

    async def test_the_ring_timeout_gives_the_leg_up(self) -> None:
        made = World(ALICE.format(' timeout="5" answerOnBridge="true"'), timeout_buffer=-4.95)
        await made.start()
        await made.ringing("alice")
        await made.until(lambda: made.phone.commands("hangup"))
        await made.ends("alice", 487, by_peer=False)
        assert made.last("alice").status == "no-answer"
        assert made.phone.commands("refuse") == [(CALLER, 480)]

    async def test_a_caller_who_leaves_while_it_rings_cancels_all(self) -> None:
        made = await world(THREE.format(' answerOnBridge="true"'))
        await made.ends("caller", 487)
        for user in ("alice", "bob", "carol"):
            await made.ends(user, 487, by_peer=False)
        assert [made.last(user).status for user in ("alice", "bob", "carol", "caller")] == ["canceled"] * 4
        assert made.last("bob").reason == "The caller hung up before it answered."
        assert made.over

    async def test_the_star_hangs_the_callee_up_and_the_next_verb_runs(self) -> None:
        made = await world(ALICE.format(' hangupOnStar="true"') + "<Say>Bye</Say>")
        await made.answers("alice")
        await made.presses("1")
        assert made.phone.commands("hangup") == []
        await made.presses("*")
        assert made.phone.commands("hangup") == [(made.leg("alice"),)]
        assert made.phone.commands("play")[0][1] == "Bye"

    async def test_the_star_is_nothing_unless_it_is_asked_for(self) -> None:
        made = await world(ALICE.format(""))
        await made.answers("alice")
        await made.presses("*")
        assert made.phone.commands("hangup") == []

    async def test_the_time_limit_ends_the_conversation(self) -> None:
        made = World(ALICE.format(' timeLimit="1"'))
        await made.start()
        await made.answers("alice")
        await made.until(lambda: made.phone.commands("hangup"))
        assert made.phone.commands("hangup")[0] == (made.leg("alice"),)
        assert 32015 in made.codes()

    async def test_more_than_ten_nouns_refuse_the_dial(self) -> None:
        nouns = "<Sip>sip:a@127.0.0.1</Sip>" * 11
        made = World(f'<Dial action="done">{nouns}</Dial>')
        made.web.answers["http://app/done"] = "<Response><Hangup/></Response>"
        await made.start()
        assert made.rung() == []
        assert 13250 in made.codes()
        assert made.web.parameters("http://app/done")["DialCallStatus"] == "failed"

    async def test_a_noun_that_cannot_be_called_is_a_leg_that_failed(self) -> None:
        long = "sip:" + "a" * 260 + "@127.0.0.1"
        made = await world(f'<Dial sequential="true"><Sip>{long}</Sip><Sip>sip:bob@127.0.0.1</Sip></Dial>')
        assert made.rung() == ["bob"]
        assert 13243 in made.codes()

    async def test_a_host_that_does_not_resolve_fails_and_the_hunt_goes_on(self) -> None:
        made = World('<Dial sequential="true"><Sip>sip:a@no-such-host.invalid</Sip><Sip>sip:bob@127.0.0.1</Sip></Dial>')
        await made.start()
        await made.until(lambda: made.rung() == ["bob"])
        assert made.last("a").status == "failed"
        assert 13254 in made.codes()

    async def test_a_leg_of_unknown_host_is_canceled_when_the_caller_leaves_meanwhile(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def never(*args: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
        made = await world("<Dial><Sip>sip:a@no-such-host.invalid</Sip></Dial>")
        await made.ends("caller")
        await made.settle()
        assert made.last("a").status == "canceled"
        assert one_end_each(made)

    async def test_each_noun_has_its_own_credentials_and_headers(self) -> None:
        made = await world(
            '<Dial callerId="4930"><Sip username="u" password="p">'
            "sip:alice@127.0.0.1?x-a=1&amp;User-to-User=2</Sip></Dial>"
        )
        target = made.phone.targets[made.leg("alice")]
        assert (target.username, target.password, target.from_user) == ("u", "p", "4930")
        headers = dict(target.headers)
        assert headers["X-Twilio-CallSid"] == made.last("alice").sid
        assert {"x-a", "User-to-User", "X-Twilio-AccountSid", "X-Twilio-ApiVersion"} <= set(headers)


class TestDialAction:
    """The action URL is asked when the dial has ended, and its answer goes on with the parent (conformance §1.8)."""

    def made(self, attributes: str = "") -> World:
        made = World(ALICE.format(f' action="/done"{attributes}') + "<Say>never</Say>")
        made.web.answers["http://app/done"] = "<Response><Say>after</Say></Response>"
        return made

    async def test_it_tells_the_result_and_replaces_the_document(self) -> None:
        made = self.made()
        await made.start()
        await made.ringing("alice")
        await made.answers("alice", (("X-Desk", "7"),))
        await made.ends("alice", headers=(("X-Desk", "8"),))
        asked = made.web.parameters("http://app/done")
        assert asked["DialCallStatus"] == "completed"
        assert asked["DialCallSid"] == made.last("alice").sid
        assert asked["DialBridged"] == "true"
        assert asked["DialSipResponseCode"] == "200"
        assert asked["DialSipCallId"] == "alice@call-id"
        assert asked["DialSipHeader_X-Desk"] == "8"
        assert asked["CallStatus"] == "in-progress"
        assert made.phone.commands("play")[0][1] == "after"

    async def test_it_is_sent_when_nobody_answered(self) -> None:
        made = self.made()
        await made.start()
        await made.ends("alice", 486)
        asked = made.web.parameters("http://app/done")
        assert (asked["DialCallStatus"], asked["DialBridged"], asked["DialSipResponseCode"]) == ("busy", "false", "486")

    async def test_it_is_sent_when_the_caller_hung_up_and_its_answer_is_ignored(self) -> None:
        made = self.made()
        await made.start()
        await made.answers("alice")
        await made.ends("caller")
        await made.ends("alice", by_peer=False)
        assert made.web.parameters("http://app/done")["CallStatus"] == "completed"
        assert made.phone.commands("play") == []
        assert made.over

    async def test_the_recording_is_named_if_there_is_one(self) -> None:
        made = self.made(' record="record-from-answer"')
        await made.start()
        await made.answers("alice")
        await made.ends("alice")
        assert "/Recordings/RE" in made.web.parameters("http://app/done")["RecordingUrl"]


class TestRecord:
    """Five values; with `-dual` the parent is the first channel and the child the second (conformance §1.2)."""

    @pytest.mark.parametrize(
        ("value", "sources"),
        [("record-from-answer", [[CALLER, 2]]), ("record-from-answer-dual", [[CALLER], [2]]), ("true", [[CALLER, 2]])],
    )
    async def test_from_answer_begins_at_the_bridge(self, value: str, sources: list[list[int]]) -> None:
        made = await world(ALICE.format(f' record="{value}"'))
        assert made.phone.commands("record") == []
        await made.answers("alice")
        assert made.phone.commands("record") == [(sources,)]
        await made.ends("alice")
        assert made.phone.commands("stop recording") == [()]
        assert made.recordings() == ["in-progress", "processing"]

    @pytest.mark.parametrize(
        ("value", "sources", "channel"),
        [("record-from-ringing", [[CALLER]], 0), ("record-from-ringing-dual", [[CALLER], []], 1)],
    )
    async def test_from_ringing_begins_at_once_and_adds_the_callee(
        self, value: str, sources: list[list[int]], channel: int
    ) -> None:
        made = await world(ALICE.format(f' record="{value}"'))
        assert made.phone.commands("record") == [(sources,)]
        await made.answers("alice")
        assert made.phone.commands("record also") == [(channel, made.leg("alice"))]

    async def test_do_not_record_does_not(self) -> None:
        made = await world(ALICE.format(' record="do-not-record"'))
        await made.answers("alice")
        assert made.phone.commands("record") == []


class TestWhatTheCallerHears:
    async def test_an_answered_caller_hears_a_ring_tone_until_the_bridge(self) -> None:
        made = await world(ALICE.format(""))
        await made.ringing("alice")
        assert made.phone.commands("tone") == [(CALLER, (440, 480))]
        await made.answers("alice")
        assert made.phone.commands("stop") == [(CALLER,)]

    async def test_an_unanswered_caller_hears_the_phones_own_ringing(self) -> None:
        made = await world(ALICE.format(' answerOnBridge="true"'))
        await made.ringing("alice")
        assert made.phone.commands("tone") == []

    async def test_a_ring_tone_that_is_asked_for_is_played_to_an_unanswered_caller_too(self) -> None:
        made = await world(ALICE.format(' answerOnBridge="true" ringTone="de"'))
        await made.ringing("alice")
        assert made.phone.commands("ring")[-1] == (CALLER, 183)
        assert made.phone.commands("tone") == [(CALLER, (425,))]

    async def test_early_media_is_passed_on(self) -> None:
        made = await world(ALICE.format(' answerOnBridge="true"'))
        await made.ringing("alice", media=True)
        assert made.phone.commands("ring")[-1] == (CALLER, 183)
        assert made.phone.commands("hear") == [(CALLER, made.leg("alice"))]


class TestTheLog:
    async def test_the_timeline_tells_the_story(self) -> None:
        made = await world(ALICE.format(' answerOnBridge="true" record="true"'))
        await made.ringing("alice")
        await made.answers("alice")
        await made.ends("alice")
        await made.ends("caller", by_peer=False)
        assert made.events() == [
            "invite",
            "twiml.request",
            "twiml.response",
            "dial",
            "leg.placed",
            "leg.ringing",
            "leg.answered",
            "answered",
            "bridged",
            "recording.started",
            "leg.ended",
            "dial.finished",
            "recording.ended",
            "ended",
        ]
        numbers = [entry.number for entry in made.entries if isinstance(entry, EventEntry)]
        assert numbers == list(range(len(numbers)))

    async def test_our_own_application_names_route_and_group(self) -> None:
        made = World("")
        made.web.answers["http://app/voice"] = replace(
            Fetched("http://app/voice", "POST", 200, "text/xml", b"<Response/>", 0.1),
            headers={"x-cordboard-route": "3", "x-cordboard-group": "5"},
        )
        await made.start()
        assert (made.last("caller").route_id, made.last("caller").group_id) == (3, 5)

    async def test_a_strangers_word_on_route_and_group_is_not_taken(self) -> None:
        made = World("")
        made.web.answers["http://app/voice"] = Fetched(
            "http://elsewhere/voice", "POST", 200, "text/xml", b"<Response/>", 0.1, {"x-cordboard-group": "5"}
        )
        await made.start()
        assert made.last("caller").group_id == 0


class TestAPhoneThatForgets:
    async def test_every_leg_and_the_recording_get_their_end_all_the_same(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sipengine.session.LEGS_END_SECONDS", 0.01)
        made = await world(THREE.format(' record="record-from-answer"'))
        made.phone.post = lambda event: None
        await made.answers("bob")
        await made.ends("caller")
        await made.until(lambda: made.over)
        assert one_end_each(made)
        assert made.last("alice").status == "canceled"
        assert made.recordings()[-1] == "processing"


class TestHangingUpFromOutside:
    async def test_a_call_that_rings_is_given_up_with_its_legs(self) -> None:
        made = await world(ALICE.format(' answerOnBridge="true"'))
        made.session.hang_up("The engine was stopped.")
        await made.settle()
        assert made.phone.commands("hangup") == [(made.leg("alice"),)]
        assert made.phone.commands("refuse") == [(CALLER, 480)]
        await made.ends("alice", 487, by_peer=False)
        await made.ends("caller", 480, by_peer=False)
        assert made.last("caller").status == Status.CANCELED
        assert made.last("caller").reason == "The engine was stopped."
        assert made.over

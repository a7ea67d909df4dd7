"""The simulator: the engine's own parser and dial machine against phones that follow a script.

What it tells of legs is held against the engine itself in `TestItSaysWhatTheEngineDoes`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.entries import CallRecord
from calls.status import TERMINAL, Status
from sipengine.ports import Answered, Ended, Headers, LegId, Target
from sipengine.simulation import Manner, Page, Phone, Scene, Story, simulate
from sipengine.simulation.ringing import REFUSALS, REPLY_SECONDS
from tests.fakes import CALLER, T0, World
from tests.storm import JumpingLoop

ALICE, BOB, CAROL = (f"sip:{name}@127.0.0.1:{port}" for name, port in (("alice", 5071), ("bob", 5072), ("carol", 5073)))
NAMES = {ALICE: "Alice", BOB: "Bob", CAROL: "Carol"}
TALK = 60.0
ANSWERS, BUSY, SILENT = Phone(Manner.ANSWERS, 6.0), Phone(Manner.BUSY), Phone(Manner.NO_ANSWER)


def nouns(*addresses: str) -> str:
    return "".join(f"<Sip>{address}</Sip>" for address in addresses)


def page(body: str, url: str = "/voice/", why: tuple[str, ...] = ()) -> Page:
    return Page(url, f"<Response>{body}</Response>", why)


def played(body: str, phones: Mapping[str, Phone], pages: Mapping[str, str] | None = None, **scene: object) -> Story:
    found = {url: page(text, url) for url, text in (pages or {}).items()}
    return simulate(page(body), lambda url, values: found.get(url), Scene(phones=phones, names=NAMES, **scene))  # type: ignore[arg-type]


def texts(story: Story) -> list[str]:
    return [moment.text for moment in story.moments]


def times(story: Story) -> dict[str, tuple[float, float | None]]:
    return {leg.name: (leg.placed, leg.ended) for leg in story.legs}


class TestRinging:
    """Conformance §1.4: what a fork and a hunt do, with the engine's five seconds of allowance."""

    def test_the_first_to_answer_gets_the_call(self) -> None:
        story = played(f"<Dial>{nouns(ALICE, BOB)}</Dial>", {ALICE: SILENT, BOB: ANSWERS})
        assert [(leg.name, leg.status) for leg in story.legs] == [
            ("Alice", Status.CANCELED),
            ("Bob", Status.COMPLETED),
        ]
        assert "The caller talks with Bob." in texts(story)
        assert (story.code, story.tone, story.legs[1].bridged) == (0, "good", 6.0)

    def test_a_hunt_goes_on_at_once_when_one_is_busy(self) -> None:
        story = played(
            f'<Dial sequential="true" timeout="20">{nouns(ALICE, BOB, CAROL)}</Dial>',
            {ALICE: BUSY, BOB: SILENT, CAROL: ANSWERS},
        )
        assert times(story)["Bob"][0] == pytest.approx(0.2)
        assert times(story)["Carol"][0] == pytest.approx(25.4)  # 20 s, 5 s allowance, the answer to the CANCEL
        assert "Alice is busy (SIP 486)." in texts(story)
        assert "Bob has not answered in time." in texts(story)

    def test_who_declines_has_rung_before(self) -> None:
        body = f'<Dial answerOnBridge="true">{nouns(ALICE)}</Dial>'
        story = played(body, {ALICE: Phone(Manner.DECLINES, 3.0)})
        assert texts(story)[1:3] == ["Alice rings.", "Alice declines (SIP 603)."]
        assert story.ending == "Nobody answered (busy): the caller gets SIP 486."
        assert (story.code, story.seconds) == (486, 3.0)

    @pytest.mark.parametrize(("manner", "code"), [(Manner.UNREGISTERED, 480), (Manner.UNREACHABLE, 503)])
    def test_who_cannot_be_reached_costs_no_time(self, manner: Manner, code: int) -> None:
        story = played(f'<Dial answerOnBridge="true">{nouns(ALICE)}</Dial>', {ALICE: Phone(manner)})
        assert (story.code, story.tone) == (code, "bad")
        assert story.seconds < 1

    def test_the_caller_hangs_up_when_nobody_has_answered_in_time(self) -> None:
        story = played(
            f'<Dial answerOnBridge="true" timeout="60">{nouns(ALICE)}</Dial>', {ALICE: SILENT}, patience=12.0
        )
        assert story.ending == "The caller hung up before anybody answered."
        assert (story.legs[0].status, story.seconds, story.code) == (Status.CANCELED, 12.0, 487)

    def test_somebody_who_talks_is_not_impatient(self) -> None:
        story = played(f"<Dial>{nouns(ALICE)}</Dial>", {ALICE: ANSWERS}, patience=10.0, talk=30.0)
        assert story.ending == "The call is over."
        assert story.legs[0].ended == 36.0

    def test_the_time_limit_ends_the_conversation(self) -> None:
        story = played(f'<Dial timeLimit="20">{nouns(ALICE)}</Dial>', {ALICE: ANSWERS}, talk=60.0)
        assert "The time limit of 20 s ends the conversation." in texts(story)
        assert story.legs[0].ended == pytest.approx(26.2)

    def test_a_noun_that_cannot_be_dialled_fails_and_the_hunt_goes_on(self) -> None:
        story = played(f'<Dial sequential="true"><Sip>sip:</Sip>{nouns(BOB)}</Dial>', {BOB: ANSWERS})
        assert any("cannot be called" in text for text in texts(story))
        assert story.legs[1].bridged == 6.0

    def test_a_dial_that_may_not_be_fails_as_a_whole(self) -> None:
        story = played(f"<Dial>{nouns(*[ALICE] * 11)}</Dial>", {})
        assert not story.legs
        assert any("13250" in text for text in texts(story))


class TestScreening:
    """`<Sip url>`: the callee is asked before the two are connected."""

    BODY = f'<Dial answerOnBridge="true" timeout="10"><Sip url="/confirm">{ALICE}</Sip>{nouns(BOB)}</Dial>'
    CONFIRM = {
        "/confirm": '<Gather numDigits="1" action="/taken"><Say>Press one.</Say></Gather><Hangup/>',
        "/taken": "",
    }

    def test_who_presses_one_gets_the_call(self) -> None:
        story = played(self.BODY, {ALICE: ANSWERS, BOB: SILENT}, self.CONFIRM)
        assert story.legs[0].bridged == pytest.approx(7.0)
        assert "Alice presses 1." in texts(story)

    def test_who_presses_nothing_does_not(self) -> None:
        story = played(self.BODY, {ALICE: Phone(Manner.ANSWERS, 2.0, accepts=False), BOB: SILENT}, self.CONFIRM)
        assert "Alice did not take the call." in texts(story)
        assert (story.code, story.legs[0].bridged) == (480, None)

    def test_the_others_ring_on_meanwhile(self) -> None:
        story = played(self.BODY, {ALICE: Phone(Manner.ANSWERS, 2.0, accepts=False), BOB: ANSWERS}, self.CONFIRM)
        assert story.legs[1].bridged == 6.0

    def test_an_application_elsewhere_is_taken_as_a_yes(self) -> None:
        story = played(f'<Dial><Sip url="http://other/x">{ALICE}</Sip></Dial>', {ALICE: ANSWERS})
        assert story.legs[0].bridged == 6.0
        assert any("http://other/x" in text for text in texts(story))


class TestDocuments:
    """What comes before, between and after the dials."""

    def test_the_action_url_is_told_the_outcome_and_its_document_runs(self) -> None:
        asked: list[tuple[str, Mapping[str, str]]] = []

        def ask(url: str, values: Mapping[str, str]) -> Page | None:
            asked.append((url, values))
            return page(f"<Dial>{nouns(BOB)}</Dial>", url, ("Then Bob.",))

        first = page(f'<Dial answerOnBridge="true" action="/then">{nouns(ALICE)}</Dial>')
        story = simulate(first, ask, Scene({ALICE: BUSY, BOB: ANSWERS}, NAMES))
        assert asked == [("/then", {"CallStatus": "ringing", "DialCallStatus": "busy", "DialSipResponseCode": "486"})]
        assert [leg.name for leg in story.legs] == ["Alice", "Bob"]
        assert [url for _, (url) in [(at, p.url) for at, p in story.pages]] == ["/voice/", "/then"]
        assert "Then Bob." in texts(story)

    def test_a_greeting_takes_its_time_and_answers_the_call(self) -> None:
        story = played(f"<Say>One two three four five.</Say><Dial>{nouns(ALICE)}</Dial>", {ALICE: ANSWERS})
        assert story.legs[0].placed == 2.0
        assert texts(story)[1].startswith("The call is answered")

    def test_a_menu_gets_the_keys_of_the_scene(self) -> None:
        body = '<Gather numDigits="1" action="/menu"><Say>Press a key.</Say></Gather><Hangup/>'
        story = played(body, {ALICE: ANSWERS}, {"/menu": f"<Dial>{nouns(ALICE)}</Dial>"}, digits="2")
        assert "The caller presses 2." in texts(story)
        assert story.legs

    def test_a_menu_without_keys_goes_on_with_the_next_verb(self) -> None:
        story = played('<Gather action="/menu" timeout="4"/><Hangup/>', {})
        assert (story.ending, story.seconds) == ("The call is hung up.", 4.0)

    def test_a_voicemail_is_spoken_into(self) -> None:
        story = played('<Say>Leave a message.</Say><Record maxLength="5"/>', {}, speaks=8.0)
        assert story.ending == "The caller has left a message and hung up."
        assert "After the beep the caller speaks for 5 s, which is recorded." in texts(story)

    def test_an_application_elsewhere_ends_what_can_be_known(self) -> None:
        story = played("<Redirect>http://other/voice</Redirect>", {})
        assert not story.known
        assert "http://other/voice" in story.ending

    @pytest.mark.parametrize(
        ("body", "code"),
        [("<Reject/>", 404), ('<Reject reason="busy"/>', 486), ("<Hangup/>", 603), ("", 603)],
    )
    def test_a_call_that_is_never_answered_gets_a_final_response(self, body: str, code: int) -> None:
        assert played(body, {}).code == code

    def test_documents_that_go_round_come_to_an_end(self) -> None:
        story = played("<Redirect>/voice/</Redirect>", {}, {"/voice/": "<Redirect>/voice/</Redirect>"})
        assert "round without end" in story.ending

    def test_a_document_that_cannot_be_read_says_why(self) -> None:
        story = simulate(Page("/voice/", "<Response"), lambda url, values: None, Scene())
        assert (story.code, story.tone) == (500, "bad")
        assert "error 12100" in story.ending

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ("<Enqueue>sales</Enqueue>", "queue sales"),
            ("<Dial><Conference>room</Conference></Dial>", "conference room"),
            ("<Dial><Queue>sales</Queue></Dial>", "queue sales"),
            ("<Refer><Sip>sip:bob@127.0.0.1</Sip></Refer>", "bob@127.0.0.1"),
            ("<Play>http://other/a.wav</Play>", "The TwiML has come to its end"),
            ("<Pause length='3'/><Leave/>", "603"),
        ],
    )
    def test_every_verb_has_its_line(self, body: str, words: str) -> None:
        assert words in played(body, {}).ending


PHONES = st.builds(Phone, st.sampled_from(Manner), st.floats(0.5, 40.0), st.booleans())


@given(st.tuples(PHONES, PHONES, PHONES), st.booleans(), st.one_of(st.none(), st.floats(0.1, 90.0)))
@settings(max_examples=200, deadline=None)
def test_whatever_the_phones_do_each_leg_ends_once_and_after_it_began(
    phones: tuple[Phone, Phone, Phone], sequential: bool, patience: float | None
) -> None:
    kind = str(sequential).lower()
    body = f'<Dial answerOnBridge="true" timeout="20" sequential="{kind}">{nouns(ALICE, BOB, CAROL)}</Dial>'
    story = played(body, dict(zip((ALICE, BOB, CAROL), phones, strict=True)), patience=patience)
    for leg in story.legs:
        assert leg.status in TERMINAL
        assert leg.ended is not None and leg.ended >= leg.placed
    assert sum(leg.bridged is not None for leg in story.legs) <= 1
    assert story.ending


class ScriptedWorld(World):
    """A call of the engine's own whose phones behave as a scene says, in a loop whose clock jumps."""

    refused = 0

    def play(self, loop: JumpingLoop, phones: Mapping[str, Phone]) -> None:
        """Let every phone that is called do what it does, until it gets a CANCEL, and answer that one."""
        place, hang_up = self.phone.place, self.phone.hangup
        up: set[LegId] = set()
        told: set[LegId] = set()  # CANCEL or BYE

        def happens(event: Answered | Ended) -> None:
            if event.leg in told:
                return
            self._dispatch(event)
            if isinstance(event, Answered):
                up.add(event.leg)
                loop.call_later(TALK, happens, Ended(event.leg, T0, 200))

        def placed(target: Target) -> LegId:
            leg = place(target)
            phone = phones[target.uri.address]
            match phone.manner:
                case Manner.ANSWERS:
                    loop.call_later(phone.seconds, happens, Answered(leg, T0))
                case Manner.DECLINES:
                    loop.call_later(phone.seconds, happens, Ended(leg, T0, 603))
                case Manner.NO_ANSWER:
                    pass
                case manner:
                    code, seconds, _ = REFUSALS[manner]
                    loop.call_later(seconds, happens, Ended(leg, T0, code))
            return leg

        def hung_up(leg: LegId, headers: Headers = ()) -> None:
            hang_up(leg, headers)
            told.add(leg)
            code = 200 if leg in up or leg == CALLER else 487
            loop.call_later(REPLY_SECONDS, self._dispatch, Ended(leg, T0, code, by_peer=False))

        def refused(leg: LegId, code: int, headers: Headers = ()) -> None:
            self.refused = code
            loop.call_soon(self._dispatch, Ended(leg, T0, code, by_peer=False))

        vars(self.phone).update(place=placed, hangup=hung_up, refuse=refused)


def engine(body: str, phones: Mapping[str, Phone]) -> tuple[list[tuple[str, str, int]], int]:
    """Return what the engine does: each leg's address, status and SIP code, and the caller's final response."""

    async def run() -> ScriptedWorld:
        made = ScriptedWorld(body, timeout_buffer=5.0, cancel_guard=1.0)
        made.play(loop, phones)
        over = asyncio.Event()
        made.session.start_inbound(CALLER, lambda session: over.set())
        await over.wait()
        return made

    loop = JumpingLoop()
    try:
        made = loop.run_until_complete(run())
    finally:
        loop.close()
    last = {e.sid: e for e in made.entries if isinstance(e, CallRecord) and e.parent_sid}
    return [(leg.to_address, leg.status, leg.sip_code) for leg in last.values()], made.refused


class TestItSaysWhatTheEngineDoes:
    """The same document and the same phones, in the simulator and in a session of the engine."""

    @given(st.tuples(PHONES, PHONES, PHONES), st.booleans(), st.integers(5, 60))
    @settings(max_examples=100, deadline=None, derandomize=True)
    def test_each_leg_ends_as_it_was_told(
        self, phones: tuple[Phone, Phone, Phone], sequential: bool, timeout: int
    ) -> None:
        kind = str(sequential).lower()
        body = f'<Dial answerOnBridge="true" timeout="{timeout}" sequential="{kind}">{nouns(ALICE, BOB, CAROL)}</Dial>'
        # No two at the same moment: which of them comes first is chance, for both.
        apart = [replace(phone, seconds=int(phone.seconds) + 0.13 * at) for at, phone in enumerate(phones, 1)]
        behave = dict(zip((ALICE, BOB, CAROL), apart, strict=True))
        story = played(body, behave, talk=TALK)
        legs, code = engine(body, behave)
        assert [(leg.key, leg.status, leg.code) for leg in story.legs] == legs
        assert story.code == code

"""`<Dial>` and `<Sip>` on the scripted phone, row by row of conformance §1.2–1.8: what is not told elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from calls.status import Status
from routing.answers import Application
from sipengine.ports import Headers, LegId, Referred
from sipengine.services import DialSettings
from tests import fakes
from tests.fakes import CALLER, T0, FakePhone, World

DONE = "http://app/done"
ALICE = "<Dial{}><Sip{}>sip:alice@127.0.0.1</Sip></Dial>"
TWO = "<Dial{}><Sip>sip:alice@127.0.0.1</Sip><Sip>sip:bob@127.0.0.1</Sip></Dial>"


async def world(twiml: str, **settings: Any) -> World:
    made = World(twiml, **settings)
    made.web.answers[DONE] = "<Response><Pause length='60'/></Response>"
    await made.start()
    return made


class NotingPhone(FakePhone):
    """Keeps the headers that each CANCEL or BYE carries."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[LegId, Headers] = {}

    def hangup(self, leg: LegId, headers: Headers = ()) -> None:
        super().hangup(leg, headers)
        self.sent.setdefault(leg, headers)


class TestDialCallStatus:
    """Twilio's `<Dial>` page, DialCallStatus; what is left out when there is nothing to tell (conformance §1.8)."""

    @pytest.mark.parametrize(
        ("code", "status"), [(486, "busy"), (600, "busy"), (404, "failed"), (500, "failed"), (480, "failed")]
    )
    async def test_a_refusal_is_told_with_its_code_and_no_duration(self, code: int, status: str) -> None:
        made = await world(ALICE.format(' action="/done"', ""))
        await made.ringing("alice")
        await made.ends("alice", code)
        asked = made.web.parameters(DONE)
        assert (asked["DialCallStatus"], asked["DialSipResponseCode"]) == (status, str(code))
        assert (asked["DialCallSid"], asked["DialSipCallId"]) == (made.last("alice").sid, "alice@call-id")
        assert asked["DialBridged"] == "false"
        assert not {"DialCallDuration", "RecordingUrl"} & set(asked)

    async def test_a_conversation_is_completed_with_its_seconds(self) -> None:
        made = await world(ALICE.format(' action="/done"', ""))
        await made.answers("alice")
        await made.ends("alice")
        asked = made.web.parameters(DONE)
        assert (asked["DialCallStatus"], asked["DialBridged"]) == ("completed", "true")
        assert asked["DialCallDuration"].isdecimal()

    async def test_one_that_rang_out_is_no_answer_with_487(self) -> None:
        made = await world(ALICE.format(' timeout="5" action="/done"', ""), timeout_buffer=-4.95)
        await made.until(lambda: made.phone.commands("hangup"))
        await made.ends("alice", 487, by_peer=False)
        asked = made.web.parameters(DONE)
        assert (asked["DialCallStatus"], asked["DialSipResponseCode"]) == ("no-answer", "487")

    async def test_a_star_before_the_answer_makes_it_canceled(self) -> None:
        made = await world(TWO.format(' hangupOnStar="true" action="/done"'))
        await made.ringing("alice")
        await made.presses("*")
        for user in ("alice", "bob"):
            await made.ends(user, 487, by_peer=False)
        assert [made.last(user).status for user in ("alice", "bob")] == ["canceled", "canceled"]
        asked = made.web.parameters(DONE)
        assert (asked["DialCallStatus"], asked["CallStatus"]) == ("canceled", "in-progress")

    async def test_a_star_in_the_conversation_makes_it_completed(self) -> None:
        made = await world(ALICE.format(' hangupOnStar="true" action="/done"', ""))
        await made.answers("alice")
        await made.presses("*")
        assert made.web.parameters(DONE)["DialCallStatus"] == "completed"

    async def test_a_caller_who_left_while_it_rang_makes_it_canceled(self) -> None:
        made = await world(ALICE.format(' action="/done" answerOnBridge="true"', ""))
        await made.ends("caller", 487)
        asked = made.web.parameters(DONE)
        assert (asked["DialCallStatus"], asked["CallStatus"]) == ("canceled", "canceled")

    async def test_the_headers_of_a_refusal_are_told(self) -> None:
        made = await world(ALICE.format(' action="/done"', ""))
        await made.ends("alice", 404, headers=(("X-Why", "gone"), ("User-to-User", "41"), ("Server", "x")))
        asked = made.web.parameters(DONE)
        assert (asked["DialSipHeader_X-Why"], asked["DialSipHeader_User-to-User"]) == ("gone", "41")
        assert "DialSipHeader_Server" not in asked

    async def test_headers_of_the_200_and_of_the_bye_are_told_and_the_last_word_counts(self) -> None:
        made = await world(ALICE.format(' action="/done"', ""))
        await made.answers("alice", (("X-Desk", "7"), ("X-Room", "1")))
        await made.ends("alice", headers=(("x-desk", "8"),))
        asked = made.web.parameters(DONE)
        assert (asked["DialSipHeader_x-desk"], asked["DialSipHeader_X-Room"]) == ("8", "1")
        assert "DialSipHeader_X-Desk" not in asked

    async def test_the_time_limit_makes_it_completed(self) -> None:
        made = await world(ALICE.format(' timeLimit="1" action="/done"', ""))
        await made.answers("alice")
        await made.until(lambda: any(url == DONE for url, _, _ in made.web.asked))
        assert made.web.parameters(DONE)["DialCallStatus"] == "completed"


class TestSequential:
    """The `<Sip>` page, serial calling: the first that connects cancels the rest of the list."""

    async def test_who_was_never_rung_has_no_call_and_tells_nothing(self) -> None:
        callback = ' statusCallback="/cb" statusCallbackEvent="initiated completed"'
        noun = f"<Sip{callback}>sip:{{}}@127.0.0.1</Sip>"
        made = await world(f"<Dial sequential='true'>{noun.format('alice')}{noun.format('bob')}</Dial>")
        await made.answers("alice")
        await made.ends("alice")
        assert made.rung() == ["alice"]
        assert made.history("bob") == []
        assert {dict(one.parameters)["To"] for one in made.sent} == {"sip:alice@127.0.0.1"}


class TestCallStatus:
    """The caller's CallStatus in each request, as the call stands (conformance §1.6, §1.7)."""

    async def test_until_the_answer_every_request_says_ringing(self) -> None:
        made = World("<Redirect>next</Redirect>")
        made.web.answers["http://app/next"] = ALICE.format(' action="/done" answerOnBridge="true"', "").join(
            ("<Response>", "</Response>")
        )
        made.web.answers[DONE] = "<Response><Reject reason='busy'/></Response>"
        await made.start()
        await made.ends("alice", 486)
        assert [asked["CallStatus"] for _, _, asked in made.web.asked] == ["ringing"] * 3
        assert made.phone.commands("refuse") == [(CALLER, 486)]

    async def test_afterwards_in_progress(self) -> None:
        made = World("<Say>Hello</Say><Redirect>next</Redirect>")
        made.web.answers["http://app/next"] = "<Response/>"
        await made.start()
        await made.played()
        assert made.web.parameters("http://app/next")["CallStatus"] == "in-progress"

    async def test_once_the_caller_has_hung_up_completed(self) -> None:
        made = await world(ALICE.format(' action="/done"', ""))
        await made.ends("caller")
        assert made.web.parameters(DONE)["CallStatus"] == "completed"


class TestMethods:
    """Each URL is asked with the method beside it (Twilio's `<Dial>` and `<Sip>` pages; POST unless told)."""

    async def test_a_screening_url_may_be_a_get(self) -> None:
        made = World(ALICE.format("", ' url="/screen" method="GET"'))
        made.web.answers["http://app/screen"] = "<Response/>"
        await made.start()
        await made.answers("alice")
        assert ("http://app/screen", "GET") in [(url, method) for url, method, _ in made.web.asked]

    async def test_a_refer_url_may_be_a_get(self) -> None:
        made = World(ALICE.format(' referUrl="/refer" referMethod="GET"', ""))
        made.web.answers["http://app/refer"] = "<Response/>"
        await made.start()
        await made.answers("alice")
        await made.event(Referred(made.leg("alice"), T0 + 5, "sip:bob@b"))
        assert ("http://app/refer", "GET") in [(url, method) for url, method, _ in made.web.asked]

    async def test_an_action_may_be_a_get(self) -> None:
        made = await world(ALICE.format(' action="/done" method="GET"', ""))
        await made.ends("alice", 486)
        assert (DONE, "GET") in [(url, method) for url, method, _ in made.web.asked]

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_so_may_a_status_callback(self, method: str) -> None:
        made = await world(ALICE.format("", f' statusCallback="/cb" statusCallbackMethod="{method}"'))
        await made.ends("alice", 486)
        assert [(one.url, one.method) for one in made.sent] == [("http://app/cb", method)]


class TestAnsweredElsewhere:
    """RFC 3326: losers learn that the call was completed elsewhere, so that their phones show no missed call."""

    @pytest.fixture(autouse=True)
    def noting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fakes, "FakePhone", NotingPhone)

    async def given_up(self, twiml: str, **settings: Any) -> tuple[World, dict[LegId, Headers]]:
        made = await world(twiml, **settings)
        assert isinstance(made.phone, NotingPhone)
        return made, made.phone.sent

    async def test_the_cancel_of_a_loser_says_so(self) -> None:
        made, sent = await self.given_up(TWO.format(""))
        await made.answers("alice")
        assert sent[made.leg("bob")] == (("Reason", 'SIP;cause=200;text="Call completed elsewhere"'),)

    async def test_that_of_a_caller_who_left_does_not(self) -> None:
        made, sent = await self.given_up(TWO.format(""))
        await made.ends("caller")
        assert [sent[made.leg(user)] for user in ("alice", "bob")] == [(), ()]

    async def test_nor_that_of_a_timeout(self) -> None:
        made, sent = await self.given_up(ALICE.format(' timeout="5"', ""), timeout_buffer=-4.95)
        await made.until(lambda: sent)
        assert sent[made.leg("alice")] == ()


class TestAnswerOnBridge:
    """Twilio's `<Dial>` page: it concerns a caller who has not been answered."""

    async def test_it_means_nothing_for_a_caller_who_was_answered_before(self) -> None:
        made = await world("<Say>Hello</Say>" + ALICE.format(' answerOnBridge="true"', ""))
        await made.played()
        assert made.phone.commands("answer") == [(CALLER,)]
        await made.ringing("alice")
        assert made.phone.commands("tone")


class TestFlow:
    """Twilio's `<Dial>` page: without an action the next verb runs, with one nothing after the `<Dial>` does."""

    async def test_without_an_action_the_next_verb_runs(self) -> None:
        made = await world(ALICE.format("", "") + "<Say>Nobody</Say>")
        await made.ends("alice", 486)
        assert made.phone.commands("play")[0][1] == "Nobody"

    async def test_after_the_last_verb_the_call_is_hung_up(self) -> None:
        made = await world(ALICE.format("", ""))
        await made.ends("alice", 486)
        assert made.phone.commands("hangup") == [(CALLER,)]

    async def test_verbs_after_an_action_are_never_reached(self) -> None:
        made = World(ALICE.format(' action="/done"', "") + "<Say>never</Say>")
        made.web.answers[DONE] = "<Response/>"
        await made.start()
        await made.ends("alice", 486)
        assert made.phone.commands("play") == []
        assert made.phone.commands("hangup") == [(CALLER,)]

    async def test_an_action_that_cannot_be_had_ends_at_the_fallback(self) -> None:
        made = World(ALICE.format(' action="/missing"', ""))
        made.web.answers["http://app/fallback"] = "<Response><Say>Sorry</Say></Response>"
        await made.start()
        await made.ends("alice", 486)
        asked = made.web.parameters("http://app/fallback")
        assert (asked["ErrorUrl"], asked["DialCallStatus"]) == ("http://app/missing", "busy")
        assert made.phone.commands("play")[0][1] == "Sorry"


class TestTimeout:
    """Twilio's `<Dial>` page: about five seconds are always added; each leg of a hunt has the time to itself."""

    def test_five_seconds_are_added_unless_the_operator_says_otherwise(self) -> None:
        assert DialSettings().timeout_buffer == 5.0

    async def test_each_leg_of_a_hunt_has_the_whole_time(self) -> None:
        made = await world(TWO.format(' timeout="5" sequential="true" action="/done"'), timeout_buffer=-4.95)
        await made.until(lambda: made.phone.commands("hangup") == [(made.leg("alice"),)])
        await made.ends("alice", 487, by_peer=False)
        assert made.rung() == ["alice", "bob"]
        await made.until(lambda: len(made.phone.commands("hangup")) == 2)
        await made.ends("bob", 487, by_peer=False)
        assert [made.last(user).status for user in ("alice", "bob")] == ["no-answer", "no-answer"]


class TestStatusesOfSipCodes:
    """The table of SIP codes is the operator's, and log, callback and action tell what it says (conformance §1.5)."""

    async def test_a_table_of_his_own_counts(self) -> None:
        twiml = ALICE.format(' action="/done"', ' statusCallback="/cb"')
        made = await world(twiml, table={480: Status.NO_ANSWER})
        await made.ends("alice", 480)
        assert made.last("alice").status == "no-answer"
        assert dict(made.sent[-1].parameters)["CallStatus"] == "no-answer"
        assert made.web.parameters(DONE)["DialCallStatus"] == "no-answer"


class TestEnhancedSipFeatures:
    """The `<Sip>` page: without them one noun of any kind in a `<Dial>`, with them ten."""

    async def test_without_them_one_noun_is_dialled(self) -> None:
        made = await world(ALICE.format("", ""), enhanced_sip=False)
        assert made.rung() == ["alice"]

    async def test_a_noun_of_another_kind_beside_it_is_one_too_many(self) -> None:
        made = await world(
            '<Dial action="/done"><Sip>sip:alice@127.0.0.1</Sip><Number>+4930123</Number></Dial>', enhanced_sip=False
        )
        assert made.rung() == []
        assert made.codes() == [13250]
        assert made.web.parameters(DONE)["DialCallStatus"] == "failed"

    def test_they_are_on_unless_switched_off(self) -> None:
        assert Application("AC", "token", "SD", "pbx", "http://app/voice").enhanced_sip

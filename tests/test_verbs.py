"""The verbs besides `<Dial>` on the scripted phone: `<Gather>`, `<Record>`, `<Refer>`, `<Play digits>`; and the nouns
`<Number>` and `<Client>`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from calls.entries import EventEntry, RecordingEntry
from routing.outbound import Dialplan, Rule, Trunk, Way
from routing.sipuri import parse
from sipengine.documents import Inline
from sipengine.ports import Digit, PlayDone, Quiet, ReferDone
from tests.fakes import CALLER, T0, World


class Verbs(World):
    """A call whose application answers `<Response/>` at /next."""

    def __init__(self, twiml: str, **settings: Any) -> None:
        super().__init__(twiml, **settings)
        self.web.answers["http://app/next"] = "<Response><Pause length='60'/></Response>"

    async def keys(self, digits: str) -> None:
        for digit in digits:
            await self.event(Digit(CALLER, T0 + 4, digit))

    async def quiet(self) -> None:
        await self.event(Quiet(CALLER, T0 + 9, self.phone.commands("watch silence")[-1][2]))

    def asked_next(self) -> bool:
        return any(url == "http://app/next" for url, _, _ in self.web.asked)


async def call(twiml: str, **settings: object) -> Verbs:
    made = Verbs(twiml, **settings)
    await made.start()
    return made


class TestGather:
    """Twilio's `<Gather>` page."""

    async def test_it_answers_and_hands_over_the_digits(self) -> None:
        made = await call('<Gather action="/next" numDigits="4"/>')
        assert made.phone.commands("answer") == [(CALLER,)]
        await made.keys("1234")
        asked = made.web.parameters("http://app/next")
        assert (asked["Digits"], asked["CallStatus"]) == ("1234", "in-progress")

    async def test_the_finish_key_ends_it_and_is_not_part_of_the_digits(self) -> None:
        made = await call('<Gather action="/next"/>')
        await made.keys("12#")
        asked = made.web.parameters("http://app/next")
        assert (asked["Digits"], asked["FinishedOnKey"]) == ("12", "#")

    async def test_without_a_finish_key_hash_is_a_digit(self) -> None:
        made = await call('<Gather action="/next" finishOnKey="" numDigits="3"/>')
        await made.keys("1#2")
        assert made.web.parameters("http://app/next")["Digits"] == "1#2"

    async def test_a_digit_interrupts_the_prompt(self) -> None:
        made = await call('<Gather action="/next" numDigits="2"><Say>Press</Say><Say>now</Say></Gather>')
        assert [name for _, name, _ in made.phone.commands("play")] == ["Press"]
        await made.keys("4")
        assert ("stop", CALLER) in made.phone.done
        await made.keys("2")
        assert [name for _, name, _ in made.phone.commands("play")] == ["Press"]
        assert made.web.parameters("http://app/next")["Digits"] == "42"

    async def test_the_time_begins_when_the_prompts_are_over(self) -> None:
        made = await call('<Gather action="/next" timeout="1"><Say>Press</Say></Gather><Hangup/>')
        assert made.phone.commands("hangup") == []
        await made.played()
        await made.until(lambda: made.phone.commands("hangup"))
        assert not made.asked_next()

    async def test_without_digits_the_next_verb_runs(self) -> None:
        made = await call('<Gather action="/next" timeout="1"/><Say>Nothing</Say>')
        await made.until(lambda: made.phone.commands("play"))
        assert not made.asked_next()

    async def test_with_action_on_empty_result_the_action_is_asked_all_the_same(self) -> None:
        made = await call('<Gather action="/next" timeout="1" actionOnEmptyResult="true"/>')
        await made.until(made.asked_next)
        assert made.web.parameters("http://app/next")["Digits"] == ""

    async def test_some_digits_and_then_silence_are_handed_over(self) -> None:
        made = await call('<Gather action="/next" timeout="1" numDigits="4"/>')
        await made.keys("12")
        await made.until(made.asked_next)
        assert made.web.parameters("http://app/next")["Digits"] == "12"

    async def test_without_an_action_the_document_itself_is_asked_again(self) -> None:
        made = await call('<Gather numDigits="1"/>')
        made.web.answers["http://app/voice"] = "<Response><Pause length='60'/></Response>"
        await made.keys("7")
        assert [parameters.get("Digits") for _, _, parameters in made.web.asked] == [None, "7"]

    async def test_digits_pressed_before_do_not_count(self) -> None:
        made = await call('<Say>Hello</Say><Gather action="/next" numDigits="1"/>')
        await made.keys("9")
        await made.played()
        await made.keys("1")
        assert made.web.parameters("http://app/next")["Digits"] == "1"

    async def test_a_broken_prompt_is_noted_and_the_digits_still_count(self) -> None:
        made = Verbs('<Gather action="/next" numDigits="1"><Play>/broken.wav</Play></Gather>')
        made.media.broken.add("http://app/broken.wav")
        await made.start()
        await made.keys("3")
        assert made.codes() == [11200]
        assert made.web.parameters("http://app/next")["Digits"] == "3"

    async def test_a_hang_up_ends_it(self) -> None:
        made = await call('<Gather action="/next"><Say>Press</Say></Gather>')
        await made.ends("caller")
        assert made.over
        assert not made.asked_next()

    async def test_the_timeline_keeps_no_digits(self) -> None:
        made = await call('<Gather action="/next" numDigits="4"/>')
        await made.keys("1234")
        details = [e.detail for e in made.entries if isinstance(e, EventEntry) and e.name.startswith("gather")]
        assert details[-1]["count"] == 4
        assert "1234" not in str(details)


class TestRecord:
    """Twilio's `<Record>` page."""

    @pytest.fixture(autouse=True)
    def recorded(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    async def recording(self, more: str = "", seconds: int = 3) -> Verbs:
        made = Verbs(f'<Record action="/next"{more}/><Say>Nothing</Say>', recordings=self.folder)
        made.phone.recorded_seconds = seconds
        await made.start()
        return made

    async def beeped(self, more: str = "", seconds: int = 3) -> Verbs:
        made = await self.recording(more, seconds)
        await made.event(PlayDone(CALLER, made.phone.commands("play")[-1][2]))
        return made

    async def test_it_beeps_and_then_records_the_caller(self) -> None:
        made = await self.recording()
        assert [name for _, name, _ in made.phone.commands("play")] == ["beep.wav"]
        assert made.phone.commands("record") == []
        await made.event(PlayDone(CALLER, made.phone.commands("play")[-1][2]))
        assert made.phone.commands("record") == [([[CALLER]],)]

    async def test_without_a_beep_it_records_at_once(self) -> None:
        made = await self.recording(' playBeep="false"')
        assert made.phone.commands("play") == []
        assert made.phone.commands("record")

    @pytest.mark.parametrize("key", ["#", "*", "5"])
    async def test_a_key_ends_it(self, key: str) -> None:
        made = await self.beeped()
        await made.keys(key)
        asked = made.web.parameters("http://app/next")
        assert (asked["Digits"], asked["RecordingDuration"]) == (key, "3")
        assert asked["RecordingUrl"].startswith("http://app/2010-04-01/Accounts/AC")

    async def test_a_key_that_is_not_named_does_not(self) -> None:
        made = await self.beeped(' finishOnKey="#"')
        await made.keys("5")
        assert not made.asked_next()

    async def test_silence_after_speech_ends_it(self) -> None:
        made = await self.beeped(' timeout="1"')
        loop = asyncio.get_running_loop()
        began = loop.time()
        await made.until(lambda: loop.time() > began + 2.1)  # speech is all that takes longer than the timeout
        await made.quiet()
        assert made.web.parameters("http://app/next")["RecordingDuration"] == "3"

    async def test_silence_from_the_start_goes_on_with_the_next_verb(self) -> None:
        made = await self.beeped()
        await made.quiet()
        assert not made.asked_next()
        assert made.phone.commands("play")[-1][1] == "Nothing"

    async def test_the_longest_length_ends_it(self) -> None:
        made = await self.beeped(' maxLength="1"')
        await made.until(made.asked_next)
        assert "Digits" not in made.web.parameters("http://app/next")

    async def test_a_caller_who_hangs_up_is_told_as_hangup_and_nothing_runs_after(self) -> None:
        made = await self.beeped()
        await made.ends("caller")
        asked = made.web.parameters("http://app/next")
        assert (asked["Digits"], asked["CallStatus"]) == ("hangup", "completed")
        assert made.over

    async def test_a_hang_up_during_the_beep_records_nothing(self) -> None:
        made = await self.recording()
        await made.ends("caller")
        assert made.over
        assert made.phone.commands("record") == []

    async def test_silence_is_trimmed_by_default(self) -> None:
        made = await self.beeped()
        entry = next(e for e in made.entries if isinstance(e, RecordingEntry))
        assert (entry.trim, entry.source, entry.channels) == (True, "RecordVerb", 1)

    async def test_a_redirect_stops_it(self) -> None:
        made = await self.beeped()
        made.session.redirect(Inline(b"<Response><Say>Elsewhere</Say></Response>"))
        await made.settle()
        assert made.phone.commands("stop recording")
        assert made.phone.commands("play")[-1][1] == "Elsewhere"
        assert not made.asked_next()


class TestRefer:
    """Twilio's `<Refer>` page."""

    async def referred(self, more: str = ' action="/next"') -> Verbs:
        made = await call(f"<Refer{more}><Sip>sip:bob@b.example</Sip></Refer><Say>Still here</Say>")
        assert made.phone.commands("refer") == [(CALLER, "sip:bob@b.example")]
        return made

    async def test_the_action_is_told_what_came_of_it(self) -> None:
        made = await self.referred()
        await made.event(ReferDone(CALLER, T0 + 5, 202, 200))
        asked = made.web.parameters("http://app/next")
        assert (asked["ReferCallStatus"], asked["ReferSipResponseCode"]) == ("completed", "202")
        assert asked["NotifySipResponseCode"] == "200"

    async def test_a_phone_that_refuses_is_told_as_failed(self) -> None:
        made = await self.referred()
        await made.event(ReferDone(CALLER, T0 + 5, 603))
        assert made.web.parameters("http://app/next")["ReferCallStatus"] == "failed"
        assert 13801 in made.codes()

    async def test_without_an_action_a_transfer_that_worked_ends_the_call(self) -> None:
        made = await self.referred("")
        await made.event(ReferDone(CALLER, T0 + 5, 202, 200))
        assert made.phone.commands("hangup") == [(CALLER,)]

    async def test_without_an_action_one_that_failed_goes_on(self) -> None:
        made = await self.referred("")
        await made.event(ReferDone(CALLER, T0 + 5, 405))
        assert made.phone.commands("play")[-1][1] == "Still here"


class TestPlayDigits:
    """`<Play digits>`: DTMF to the caller, `w` for half a second."""

    async def test_the_digits_go_out_in_runs(self) -> None:
        made = await call('<Play digits="12w3"/><Pause length="60"/>')
        await made.until(lambda: len(made.phone.commands("send digits")) == 2)
        assert made.phone.commands("send digits") == [(CALLER, "12"), (CALLER, "3")]


class TestNumber:
    """`<Dial><Number>` and plain numbers go through the account's trunks."""

    @staticmethod
    def plan(*hosts: str) -> Dialplan:
        trunks = tuple(
            Trunk(host, Way(parse(f"sip:{host}"), "user", "secret", "+4930999"), (Rule("+49", 3, "0"),))
            for host in hosts
        )
        return Dialplan({"AC" + "0" * 32: trunks})

    async def dialled(self, twiml: str, *hosts: str) -> Verbs:
        made = Verbs(twiml)
        made.dialplan = self.plan(*hosts)
        await made.start()
        return made

    async def test_the_trunk_gets_the_number_as_its_rules_say(self) -> None:
        made = await self.dialled("<Dial>+49 30 1234</Dial>", "127.0.0.1")
        target = made.phone.targets[made.leg("0301234")]
        assert (target.username, target.from_user) == ("user", "+4930999")
        record = made.last_child()
        assert (record.to_address, record.direction) == ("+49301234", "outbound-dial")

    async def test_a_trunk_that_is_down_is_followed_by_the_next(self) -> None:
        made = await self.dialled("<Dial><Number>+49301234</Number></Dial>", "127.0.0.1", "127.0.0.2")
        await made.ends("0301234", 503)
        assert [target.uri.host for target in made.phone.targets.values()] == ["127.0.0.1", "127.0.0.2"]

    async def test_a_number_without_a_trunk_fails_with_a_reason(self) -> None:
        made = await self.dialled('<Dial action="/next"><Number>+33112345</Number></Dial>', "127.0.0.1")
        assert made.web.parameters("http://app/next")["DialCallStatus"] == "failed"
        assert 13224 in made.codes()

    async def test_digits_are_sent_once_it_answers(self) -> None:
        made = await self.dialled('<Dial><Number sendDigits="42">+49301234</Number></Dial>', "127.0.0.1")
        await made.answers("0301234")
        assert made.phone.commands("send digits") == [(made.leg("0301234"), "42")]


class TestClient:
    """`<Dial><Client>`: the endpoint of that name."""

    async def test_the_endpoint_of_that_name_rings(self) -> None:
        made = Verbs('<Dial><Client><Identity>Alice</Identity><Parameter name="desk" value="7"/></Client></Dial>')
        made.dialplan = Dialplan({}, {("AC" + "0" * 32, "alice"): Way(parse("sip:phone7@127.0.0.1"), "a", "b")})
        await made.start()
        target = made.phone.targets[made.leg("phone7")]
        assert ("X-desk", "7") in target.headers
        assert target.username == "a"
        assert made.last_child().to_address == "client:Alice"

    async def test_an_unknown_name_fails_and_the_others_ring(self) -> None:
        made = await call("<Dial><Client>nobody</Client><Sip>sip:bob@127.0.0.1</Sip></Dial>")
        assert 32009 in made.codes()
        await made.answers("bob")
        assert made.phone.commands("bridge") == [(CALLER, made.leg("bob"))]


class TestTheInvite:
    """What `<Dial>` adds to the INVITEs that it sends."""

    async def test_the_call_reason_is_its_subject(self) -> None:
        made = await call('<Dial callReason="Your parcel"><Sip>sip:bob@127.0.0.1</Sip></Dial>')
        assert ("Subject", "Your parcel") in made.phone.targets[made.leg("bob")].headers

    async def test_an_unknown_region_is_remarked_upon(self) -> None:
        made = await call("<Dial><Sip>sip:bob@127.0.0.1;region=mars</Sip></Dial>", regions=frozenset({"us1"}))
        assert made.codes() == [32215]
        assert made.rung() == ["bob"]

    async def test_an_account_without_enhanced_sip_dials_one(self) -> None:
        made = await call(
            '<Dial action="/next"><Sip>sip:a@127.0.0.1</Sip><Sip>sip:b@127.0.0.1</Sip></Dial>', enhanced_sip=False
        )
        assert made.rung() == []
        assert made.codes() == [13250]
        assert made.web.parameters("http://app/next")["DialCallStatus"] == "failed"

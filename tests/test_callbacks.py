"""Status and recording callbacks on the scripted phone: which, in what order, with which parameters, in every race."""

from __future__ import annotations

from typing import Any

import pytest

from calls.entries import CallbackSpec, CallRecord, DeliveryEntry, RecordingEntry
from calls.status import TERMINAL
from sipengine.documents import Goto, Inline
from sipengine.ports import Digit, Ended, Held, NoMedia, PlayDone, Referred
from tests.fakes import CALLER, T0, World

ALL = 'statusCallback="/cb" statusCallbackEvent="initiated ringing answered completed"'


def noun(user: str, more: str = "") -> str:
    return f"<Sip {ALL}{more}>sip:{user}@127.0.0.1</Sip>"


def dial(*nouns: str, more: str = "") -> str:
    return f"<Dial{more}>{''.join(nouns)}</Dial>"


async def world(twiml: str, **settings: Any) -> World:
    made = World(twiml, **settings)
    await made.start()
    return made


def told(made: World, user: str) -> list[str]:
    """Return the CallStatus of every status callback about a leg, in the order of sending."""
    return [
        dict(one.parameters)["CallStatus"]
        for one in made.sent
        if one.topic == "status" and dict(one.parameters)["To"].startswith(f"sip:{user}@")
    ]


def last(made: World, user: str) -> dict[str, str]:
    found = [dict(one.parameters) for one in made.sent if one.topic == "status"]
    return [one for one in found if one["To"].startswith(f"sip:{user}@")][-1]


def ends_once(made: World) -> bool:
    """Say whether each leg that was placed told exactly one end, and that as its last word."""
    records = {e.sid for e in made.entries if isinstance(e, CallRecord) and e.parent_sid}
    statuses: dict[str, list[str]] = {sid: [] for sid in records}
    for one in made.sent:
        if one.topic == "status":
            statuses[one.call_sid].append(dict(one.parameters)["CallStatus"])
    return all([s in TERMINAL for s in found] == [False] * (len(found) - 1) + [True] for found in statuses.values())


class TestTheGoldenTraces:
    """The two traces of conformance §1.16, built from Twilio's `<Sip>` and `<Dial>` pages."""

    async def test_one_of_two_answers_and_hangs_up(self) -> None:
        made = await world(dial(noun("alice"), noun("bob"), more=' action="/done" record="record-from-answer-dual"'))
        assert [told(made, user) for user in ("alice", "bob")] == [["initiated"], ["initiated"]]
        await made.ringing("alice")
        await made.ringing("bob")
        await made.answers("bob")
        await made.ends("alice", 487, by_peer=False)
        await made.ends("bob")
        assert told(made, "alice") == ["initiated", "ringing", "canceled"]
        assert told(made, "bob") == ["initiated", "ringing", "in-progress", "completed"]
        lost = last(made, "alice")
        assert (lost["SequenceNumber"], lost["SipResponseCode"]) == ("2", "487")
        assert (lost["CallDuration"], lost["Duration"]) == ("0", "0")
        won = last(made, "bob")
        assert (won["SequenceNumber"], won["SipResponseCode"], won["Direction"]) == ("3", "200", "outbound-dial")
        assert won["RecordingUrl"].endswith(f"/Recordings/{won['RecordingSid']}")
        assert "RecordingUrl" not in lost
        done = made.web.parameters("http://app/done")
        assert (done["DialCallStatus"], done["DialCallSid"]) == ("completed", won["CallSid"])

    async def test_nobody_of_a_hunt_answers(self) -> None:
        made = await world(dial(noun("alice"), noun("bob"), more=' action="/done" sequential="true"'))
        await made.ends("alice", 486)
        assert told(made, "alice") == ["initiated", "busy"]
        assert last(made, "alice")["SequenceNumber"] == "1"
        await made.ringing("bob")
        made.session._runs.copy().pop()._perform(made.session._runs.copy().pop()._machine.timed_out())
        await made.ends("bob", 487, by_peer=False)
        assert told(made, "bob") == ["initiated", "ringing", "no-answer"]
        assert last(made, "bob")["SipResponseCode"] == "487"
        done = made.web.parameters("http://app/done")
        assert (done["DialCallStatus"], done["DialSipResponseCode"], done["DialBridged"]) == (
            "no-answer",
            "487",
            "false",
        )
        assert "RecordingUrl" not in done


class TestParameters:
    """Twilio's status callback page (conformance §1.9)."""

    async def test_every_callback_names_leg_parent_time_and_source(self) -> None:
        made = await world(dial(noun("alice")))
        first = dict(made.sent[0].parameters)
        assert first["ParentCallSid"] == made.record.sid
        assert first["CallbackSource"] == "call-progress-events"
        assert first["Timestamp"].endswith("+0000")
        assert (first["From"], first["To"]) == ("sip:carol@phone", "sip:alice@127.0.0.1")
        assert made.sent[0].url == "http://app/cb"
        assert made.sent[0].method == "POST"

    async def test_only_what_was_asked_for_is_told_and_numbered(self) -> None:
        made = await world(dial('<Sip statusCallback="/cb">sip:alice@127.0.0.1</Sip>'))
        await made.ringing("alice")
        await made.ends("alice", 486)
        assert told(made, "alice") == ["busy"]
        assert last(made, "alice")["SequenceNumber"] == "0"

    async def test_without_a_180_ringing_is_not_told(self) -> None:
        made = await world(dial(noun("alice")))
        await made.answers("alice")
        assert told(made, "alice") == ["initiated", "in-progress"]

    async def test_machine_detection_is_answered_with_unknown(self) -> None:
        made = await world(dial(noun("alice", ' machineDetection="Enable" amdStatusCallback="/amd"')))
        await made.answers("alice")
        amd = [one for one in made.sent if one.topic == "amd"]
        assert [dict(one.parameters)["AnsweredBy"] for one in amd] == ["unknown"]
        assert last(made, "alice")["AnsweredBy"] == "unknown"

    async def test_the_end_is_journalled_before_the_leg_is(self) -> None:
        made = await world(dial(noun("alice")))
        await made.ends("alice", 486)
        names = [
            type(e).__name__
            for e in made.entries
            if (isinstance(e, DeliveryEntry) and e.event == "completed")
            or (isinstance(e, CallRecord) and e.parent_sid and e.status == "busy")
        ]
        assert names == ["DeliveryEntry", "CallRecord"]

    async def test_a_domain_is_told_the_end_of_a_call_only(self) -> None:
        made = World("<Say>Hello</Say>")
        made.record.callback = CallbackSpec("http://app/domain", "POST", ("completed",))
        await made.start()
        await made.ends("caller")
        assert [dict(one.parameters)["CallStatus"] for one in made.sent] == ["completed"]
        assert made.sent[0].url == "http://app/domain"


class TestEveryRace:
    """Conformance §1.4: each leg that was started tells one end, whatever crosses whatever."""

    async def test_the_caller_hangs_up_while_it_rings(self) -> None:
        made = await world(dial(noun("alice"), noun("bob")))
        await made.ringing("alice")
        await made.ends("caller", 487)
        await made.ends("alice", 487, by_peer=False)
        await made.ends("bob", 487, by_peer=False)
        assert told(made, "alice") == ["initiated", "ringing", "canceled"]
        assert told(made, "bob") == ["initiated", "canceled"]
        assert ends_once(made)

    async def test_a_late_200_of_a_loser(self) -> None:
        made = await world(dial(noun("alice"), noun("bob")))
        await made.answers("alice")
        await made.answers("bob")
        assert ("hangup", made.leg("bob")) in made.phone.done
        await made.ends("bob", 200, by_peer=False)
        assert told(made, "bob") == ["initiated", "canceled"]
        await made.ends("alice")
        assert ends_once(made)

    async def test_a_200_that_crosses_the_cancel_of_the_timeout(self) -> None:
        made = await world(dial(noun("alice"), more=' timeout="5"'))
        run = next(iter(made.session._runs))
        run._perform(run._machine.timed_out())
        await made.answers("alice")
        await made.ends("alice", 200, by_peer=False)
        assert told(made, "alice") == ["initiated", "no-answer"]

    async def test_both_reject_at_once(self) -> None:
        made = await world(dial(noun("alice"), noun("bob"), more=' action="/done"'))
        await made.ends("alice", 486)
        await made.ends("bob", 404)
        assert (told(made, "alice")[-1], told(made, "bob")[-1]) == ("busy", "failed")
        assert made.web.parameters("http://app/done")["DialCallStatus"] == "busy"
        assert ends_once(made)

    async def test_a_hang_up_during_screening(self) -> None:
        made = World(dial(noun("alice", ' url="/screen"'), more=' action="/done"'))
        made.web.answers["http://app/screen"] = "<Response><Say>Press one</Say></Response>"
        made.web.answers["http://app/done"] = "<Response/>"
        await made.start()
        await made.answers("alice")
        await made.ends("alice")
        assert told(made, "alice") == ["initiated", "in-progress", "completed"]
        done = made.web.parameters("http://app/done")
        assert (done["DialCallStatus"], done["DialBridged"]) == ("no-answer", "false")

    async def test_the_caller_hangs_up_during_screening(self) -> None:
        made = World(dial(noun("alice", ' url="/screen"')))
        made.web.answers["http://app/screen"] = "<Response><Say>Press one</Say></Response>"
        await made.start()
        await made.answers("alice")
        await made.ends("caller", 487)
        await made.ends("alice", by_peer=False)
        assert told(made, "alice") == ["initiated", "in-progress", "completed"]
        assert made.over

    async def test_another_phone_answers_during_screening(self) -> None:
        made = World(dial(noun("alice", ' url="/screen"'), noun("bob")))
        made.web.answers["http://app/screen"] = "<Response><Say>Press one</Say></Response>"
        await made.start()
        await made.answers("alice")
        await made.answers("bob")
        assert ("bridge", CALLER, made.leg("bob")) in made.phone.done
        await made.ends("alice", by_peer=False)
        assert told(made, "alice") == ["initiated", "in-progress", "completed"]

    async def test_a_leg_that_never_reports_its_end(self) -> None:
        made = await world(dial(noun("alice")))
        await made.ends("caller", 487)
        next(iter(made.session._runs)).close_forgotten()
        assert told(made, "alice") == ["initiated", "canceled"]
        await made.ends("alice", 487)
        assert ends_once(made)

    async def test_an_address_that_cannot_be_resolved(self) -> None:
        made = await world(dial(f"<Sip {ALL}>sip:alice@no-such-host.invalid</Sip>"))
        await made.until(lambda: made.over or len(told(made, "alice")) > 1)
        assert told(made, "alice") == ["initiated", "failed"]


class TestScreening:
    """`<Sip url>` on Twilio's `<Sip>` page (conformance §1.3, §1.7): the callee's own document before the bridge."""

    async def screened(self, document: str, more: str = "", twiml_more: str = "") -> World:
        made = World(dial(noun("alice", f' url="/screen"{more}'), more=f' action="/done"{twiml_more}'))
        made.web.answers["http://app/screen"] = f"<Response>{document}</Response>"
        made.web.answers["http://app/done"] = "<Response/>"
        await made.start()
        await made.ringing("alice")
        await made.answers("alice", (("X-Desk", "7"),))
        return made

    async def test_the_end_of_the_document_accepts(self) -> None:
        made = await self.screened("")
        assert made.phone.commands("bridge") == [(CALLER, made.leg("alice"))]

    async def test_hangup_declines(self) -> None:
        made = await self.screened("<Hangup/>")
        assert made.phone.commands("bridge") == []
        assert made.phone.commands("hangup") == [(made.leg("alice"),)]
        await made.ends("alice", by_peer=False)
        assert made.web.parameters("http://app/done")["DialBridged"] == "false"

    async def test_the_request_is_about_the_callee(self) -> None:
        made = await self.screened("")
        asked = made.web.parameters("http://app/screen")
        assert asked["CallSid"] == last(made, "alice")["CallSid"]
        assert (asked["ParentCallSid"], asked["CallStatus"]) == (made.record.sid, "in-progress")
        assert (asked["Direction"], asked["SipHeader_X-Desk"]) == ("outbound-dial", "7")

    async def test_the_caller_is_not_answered_before_it_ends(self) -> None:
        made = await self.screened("<Say>Press one</Say>", twiml_more=' answerOnBridge="true"')
        assert made.phone.commands("answer") == []
        assert made.phone.commands("play")[0][:2] == (made.leg("alice"), "Press one")
        leg, name, player = made.phone.commands("play")[0]
        await made.event(PlayDone(leg, player))
        assert made.phone.commands("answer") == [(CALLER,)]

    async def test_a_caller_who_was_answered_hears_that_it_rings(self) -> None:
        made = await self.screened("<Say>Press one</Say>")
        assert made.phone.commands("tone")
        assert ("stop", CALLER) not in made.phone.done

    async def test_a_dial_inside_is_refused(self) -> None:
        made = await self.screened("<Dial>100</Dial>")
        assert 13201 in made.codes()
        assert made.phone.commands("bridge")

    async def test_a_document_that_cannot_be_had_declines(self) -> None:
        made = await self.screened("</Response><oops")
        assert made.phone.commands("bridge") == []
        await made.ends("alice", by_peer=False)
        assert made.web.parameters("http://app/done")["DialCallStatus"] == "no-answer"

    async def test_it_may_last_as_long_as_a_conversation(self) -> None:
        made = await self.screened("<Pause length='60'/>", twiml_more=' timeLimit="1"')
        await made.until(lambda: made.phone.commands("hangup"))
        assert made.codes() == [32015]
        await made.ends("alice", by_peer=False)
        assert made.web.parameters("http://app/done")["DialBridged"] == "false"

    async def test_the_early_media_of_the_one_who_is_screened_stops(self) -> None:
        made = World(dial(noun("alice", ' url="/screen"')))
        made.web.answers["http://app/screen"] = "<Response><Pause length='60'/></Response>"
        await made.start()
        await made.ringing("alice", media=True)
        assert made.phone.commands("hear") == [(CALLER, made.leg("alice"))]
        await made.answers("alice")
        assert made.phone.commands("unbridge") == [(CALLER, made.leg("alice"))]
        await made.ends("caller", 487)


class TestRefer:
    """`<Dial referUrl>` on Twilio's `<Dial>` page: who refers leaves, the other goes on with the document."""

    async def talking(self, more: str = ' referUrl="/refer"') -> World:
        made = World(dial(noun("alice"), more=f'{more} action="/done"'))
        made.web.answers["http://app/refer"] = "<Response><Say>One moment</Say></Response>"
        await made.start()
        await made.answers("alice")
        return made

    async def test_without_a_url_a_refer_is_not_allowed(self) -> None:
        made = await self.talking("")
        assert made.phone.commands("allow refer") == []

    async def test_the_callee_refers_and_the_caller_goes_on(self) -> None:
        made = await self.talking()
        assert made.phone.commands("allow refer") == [(CALLER, True), (made.leg("alice"), True)]
        await made.event(Referred(made.leg("alice"), T0 + 5, "sip:bob@b"))
        assert made.phone.commands("hangup") == [(made.leg("alice"),)]
        assert made.web.parameters("http://app/refer")["ReferTransferTarget"] == "sip:bob@b"
        assert made.phone.commands("play")[0][:2] == (CALLER, "One moment")
        await made.ends("alice", by_peer=False)
        assert told(made, "alice")[-1] == "completed"

    async def test_the_caller_refers_and_the_callee_goes_on(self) -> None:
        made = await self.talking()
        await made.event(Referred(CALLER, T0 + 5, "sip:bob@b"))
        assert made.phone.commands("hangup") == [(CALLER,)]
        assert made.phone.commands("play")[0][:2] == (made.leg("alice"), "One moment")
        asked = made.web.parameters("http://app/refer")
        assert asked["CallSid"] == made.adopted[0].parent.record.sid
        await made.ends("caller", by_peer=False)
        assert made.over
        await made.ends("alice")
        assert told(made, "alice") == ["initiated", "in-progress", "completed"]


class TestLiveChanges:
    """Twilio's page on modifying calls in progress: another document for either leg, or its end, in any state."""

    async def test_a_caller_who_talks_is_redirected_and_the_callee_hung_up(self) -> None:
        made = await world(dial(noun("alice"), more=' action="/done"'))
        await made.answers("alice")
        made.session.redirect(Inline(b"<Response><Say>Elsewhere</Say></Response>"))
        await made.settle()
        assert made.phone.commands("hangup") == [(made.leg("alice"),)]
        assert made.phone.commands("play")[0][:2] == (CALLER, "Elsewhere")
        assert all(url != "http://app/done" for url, _, _ in made.web.asked)

    async def test_a_caller_for_whom_it_rings_is_redirected(self) -> None:
        made = await world(dial(noun("alice"), more=' answerOnBridge="true"'))
        made.session.redirect(Inline(b"<Response><Reject reason='busy'/></Response>"))
        await made.settle()
        assert made.phone.commands("refuse") == [(CALLER, 486)]
        await made.ends("alice", 487, by_peer=False)
        assert told(made, "alice") == ["initiated", "canceled"]

    async def test_a_callee_who_talks_goes_on_alone_and_the_caller_at_the_action(self) -> None:
        made = World(dial(noun("alice"), more=' action="/done"'))
        made.web.answers["http://app/done"] = "<Response><Say>Gone</Say></Response>"
        made.web.answers["http://app/new"] = "<Response><Say>New</Say></Response>"
        await made.start()
        await made.answers("alice")
        sid = last(made, "alice")["CallSid"]
        found = made.session.find(sid)
        assert found is not None
        found[0].detach(found[1], Goto("http://app/new", "POST"))
        await made.settle()
        assert ("unbridge", CALLER, made.leg("alice")) in made.phone.done
        plays = {leg: name for leg, name, _ in made.phone.commands("play")}
        assert plays == {CALLER: "Gone", made.leg("alice"): "New"}
        assert made.web.parameters("http://app/done")["DialBridged"] == "true"
        await made.ends("alice")
        assert told(made, "alice") == ["initiated", "in-progress", "completed"]

    async def test_a_callee_who_still_rings_runs_it_when_it_answers(self) -> None:
        made = await world(dial(noun("alice"), noun("bob")))
        await made.ringing("alice")
        found = made.session.find(last(made, "alice")["CallSid"])
        assert found is not None
        found[0].detach(found[1], Inline(b"<Response><Say>Hello</Say></Response>"))
        await made.answers("alice")
        assert made.phone.commands("play")[0][:2] == (made.leg("alice"), "Hello")
        assert made.phone.commands("bridge") == []
        await made.answers("bob")
        assert made.phone.commands("bridge") == [(CALLER, made.leg("bob"))]

    async def test_a_callee_who_rings_is_ended_and_the_others_go_on(self) -> None:
        made = await world(dial(noun("alice"), noun("bob")))
        found = made.session.find(last(made, "alice")["CallSid"])
        assert found is not None
        found[0].end_leg(found[1])
        await made.ends("alice", 487, by_peer=False)
        assert told(made, "alice") == ["initiated", "canceled"]
        assert made.last("alice").ended_by == "operator"
        await made.answers("bob")
        assert made.phone.commands("bridge") == [(CALLER, made.leg("bob"))]

    async def test_a_redirect_of_a_call_that_has_ended_does_nothing(self) -> None:
        made = await world("<Pause length='60'/>")
        await made.ends("caller", 487)
        made.session.redirect(Inline(b"<Response><Say>x</Say></Response>"))
        await made.settle()
        assert made.phone.commands("play") == []
        assert made.over


class TestTheBridge:
    """Hold (RFC 3264 §8.4) passes over the bridge; a leg without RTP is noted (32014)."""

    async def test_hold_and_resume_pass_to_the_other_side(self) -> None:
        made = await world(dial(noun("alice")))
        await made.answers("alice")
        await made.event(Held(made.leg("alice"), T0 + 5, True))
        await made.event(Held(made.leg("alice"), T0 + 6, False))
        await made.event(Held(CALLER, T0 + 7, True))
        assert made.phone.commands("hold") == [(CALLER, True), (CALLER, False), (made.leg("alice"), True)]

    async def test_keys_pass_to_the_other_side(self) -> None:
        made = await world(dial(noun("alice")))
        await made.presses("1")
        assert made.phone.commands("send digits") == []
        await made.answers("alice")
        await made.presses("2")
        await made.event(Digit(made.leg("alice"), T0 + 5, "#"))
        assert made.phone.commands("send digits") == [(made.leg("alice"), "2"), (CALLER, "#")]

    async def test_a_star_that_hangs_up_does_not_pass(self) -> None:
        made = await world(dial(noun("alice"), more=' hangupOnStar="true"'))
        await made.answers("alice")
        await made.presses("*")
        assert made.phone.commands("send digits") == []
        assert made.phone.commands("hangup")[0] == (made.leg("alice"),)

    async def test_a_callee_who_hangs_up_on_hold_leaves_nobody_on_hold(self) -> None:
        made = await world(dial(noun("alice")) + "<Say>Goodbye</Say>")
        await made.answers("alice")
        await made.event(Held(made.leg("alice"), T0 + 5, True))
        await made.ends("alice")
        assert made.phone.commands("hold") == [(CALLER, True), (CALLER, False)]

    @pytest.mark.parametrize("ends", [False, True])
    async def test_a_callee_who_sends_nothing_is_noted_and_by_setting_ended(self, ends: bool) -> None:
        made = await world(dial(noun("alice")), end_without_media=ends)
        await made.answers("alice")
        await made.event(NoMedia(made.leg("alice"), T0 + 40, 30.0))
        assert made.codes() == [32014]
        assert bool(made.phone.commands("hangup")) is ends

    async def test_a_caller_who_sends_nothing_is_ended_by_setting(self) -> None:
        made = await world("<Pause length='60'/>", end_without_media=True)
        made.session.answer()
        await made.event(NoMedia(CALLER, T0 + 40, 30.0))
        await made.settle()
        assert made.phone.commands("hangup") == [(CALLER,)]
        assert 32014 in made.codes()


class TestSeveralAddresses:
    """`<Uri priority weight>` in a `<Sip>`: the next one when an address cannot be reached; one leg all the while."""

    TWO = f"<Sip {ALL}><Uri priority='2'>sip:second@127.0.0.1</Uri><Uri priority='1'>sip:first@127.0.0.1</Uri></Sip>"

    @pytest.mark.parametrize("code", [0, 408, 503])
    async def test_an_address_that_does_not_answer_is_followed_by_the_next(self, code: int) -> None:
        made = await world(dial(self.TWO))
        assert made.rung() == ["first"]
        await made.ends("first", code)
        assert made.rung() == ["first", "second"]
        await made.answers("second")
        assert made.phone.commands("bridge") == [(CALLER, made.leg("second"))]
        assert len({one.call_sid for one in made.sent}) == 1

    @pytest.mark.parametrize("code", [486, 603, 404])
    async def test_a_callee_who_was_reached_is_not_tried_elsewhere(self, code: int) -> None:
        made = await world(dial(self.TWO))
        await made.ends("first", code)
        assert made.rung() == ["first"]

    async def test_giving_up_ends_the_hunt(self) -> None:
        made = await world(dial(self.TWO))
        await made.ends("caller", 487)
        await made.ends("first", 503, by_peer=False)
        assert made.rung() == ["first"]
        assert ends_once(made)


class TestRecordings:
    """Twilio's recordingStatusCallback (conformance §1.10): `in-progress` is the engine's to tell."""

    async def test_the_beginning_is_told_if_asked_for(self) -> None:
        made = await world(
            dial(
                noun("alice"),
                more=' record="record-from-answer-dual" recordingStatusCallback="/rec"'
                ' recordingStatusCallbackEvent="in-progress completed"',
            )
        )
        await made.answers("alice")
        began = [dict(one.parameters) for one in made.sent if one.topic == "recording"]
        assert [(one["RecordingStatus"], one["CallSid"], one["RecordingChannels"]) for one in began] == [
            ("in-progress", made.record.sid, "2")
        ]

    @pytest.mark.parametrize(
        ("track", "groups"), [("inbound", [[CALLER]]), ("outbound", [[2]]), ("both", [[CALLER, 2]])]
    )
    async def test_a_single_track_is_one_side(self, track: str, groups: list[list[int]]) -> None:
        made = await world(dial(noun("alice"), more=f' record="true" recordingTrack="{track}" trim="trim-silence"'))
        await made.answers("alice")
        assert made.phone.commands("record") == [(groups,)]
        entry = next(e for e in made.entries if isinstance(e, RecordingEntry))
        assert (entry.track, entry.trim) == (track, True)


async def test_an_end_that_comes_twice_is_told_once() -> None:
    made = await world(dial(noun("alice")))
    await made.ends("alice", 486)
    await made.event(Ended(made.leg("alice"), T0 + 10, 486))
    assert told(made, "alice") == ["initiated", "busy"]

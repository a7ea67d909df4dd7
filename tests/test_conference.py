"""Conferences on a scripted phone: many calls, one room, who hears whom."""

from __future__ import annotations

from typing import Any

import pytest

from calls.entries import RecordingEntry, RoomChange
from calls.webclient import Fetched, FetchError
from sipengine import waiting
from sipengine.conference import Conference
from sipengine.media import MediaError
from sipengine.ports import Held, RecordFailed
from tests.fakes import T0
from tests.hall import Hall

ROOM = "<Dial{}><Conference{}>Team</Conference></Dial>{}"


def dial(noun: str = "", verb: str = "", then: str = "") -> str:
    """Return TwiML that joins the conference `Team`: attributes of the noun and the verb, and what follows."""
    return ROOM.format(verb and f" {verb}", noun and f" {noun}", then)


async def hall_of(*names: str, noun: str = "") -> Hall:
    """Let these callers join, one after the other."""
    hall = Hall()
    for name in names:
        await hall.call(name, dial(noun, then="<Say>after</Say>"))
    return hall


def change(**values: Any) -> RoomChange:
    return RoomChange("AC", "CF", **values)


def room(hall: Hall) -> Conference:
    """Return the only conference."""
    (view,) = hall.rooms.snapshot().conferences
    found = hall.rooms.conference(view.account_sid, view.sid)
    assert found is not None
    return found


class TestTalking:
    """ "The <Conference> noun lets you connect to a conference room": all who join it by name hear one another."""

    async def test_a_caller_is_answered_to_join(self) -> None:
        hall = await hall_of("alice")
        assert hall.phone.commands("answer") == [(hall.leg("alice"),)]

    async def test_each_of_three_hears_the_other_two_and_nobody_hears_himself(self) -> None:
        hall = await hall_of("alice", "bob", "carol")
        assert hall.hears() == {"alice": {"bob", "carol"}, "bob": {"alice", "carol"}, "carol": {"alice", "bob"}}

    async def test_joining_costs_one_command_for_each_who_is_in(self) -> None:
        hall = await hall_of("alice", "bob", "carol", "dave")
        assert len(hall.phone.commands("bridge")) == 6
        assert hall.phone.commands("hear") == []

    async def test_conferences_of_other_names_are_apart(self) -> None:
        hall = await hall_of("alice", "bob")
        await hall.call("carol", "<Dial><Conference>team</Conference></Dial>")
        assert "carol" not in hall.hears()

    async def test_accounts_have_conferences_of_their_own(self) -> None:
        hall = await hall_of("alice")
        hall.record.account_sid = "AC" + "1" * 32
        await hall.call("bob", dial())
        assert hall.hears() == {}
        assert len(hall.rooms.snapshot().conferences) == 2

    async def test_a_muted_caller_hears_and_is_not_heard(self) -> None:
        hall = await hall_of("alice", "bob")
        await hall.call("carol", dial('muted="true"'))
        assert hall.hears() == {"alice": {"bob"}, "bob": {"alice"}, "carol": {"alice", "bob"}}

    async def test_two_muted_callers_hear_nothing_of_each_other(self) -> None:
        hall = await hall_of("alice", "bob", noun='muted="true"')
        assert hall.hears() == {}

    async def test_who_hangs_up_is_heard_no_longer(self) -> None:
        hall = await hall_of("alice", "bob", "carol")
        await hall.hangs_up("bob")
        assert hall.hears() == {"alice": {"carol"}, "carol": {"alice"}}

    async def test_the_music_of_a_phone_that_holds_us_is_not_heard_by_the_others(self) -> None:
        hall = await hall_of("alice", "bob")
        await hall.event(Held(hall.leg("bob"), T0, True))
        assert hall.hears() == {"bob": {"alice"}}
        await hall.event(Held(hall.leg("bob"), T0, False))
        assert hall.hears() == {"alice": {"bob"}, "bob": {"alice"}}

    async def test_the_timeline_of_each_call_tells_it(self) -> None:
        hall = await hall_of("alice", "bob")
        sid = room(hall).sid
        await hall.hangs_up("bob")
        told = [event for event in hall.timeline("bob") if event[0].startswith("conference")]
        assert told == [
            ("conference.join", {"name": "Team", "sid": sid, "participants": 2}),
            ("conference.leave", {"name": "Team", "sid": sid, "participants": 1}),
        ]
        assert sid.startswith("CF") and len(sid) == 34


class TestBeforeItBegins:
    """startConferenceOnEnter: until somebody with it and one more are there, all "hear background music"; waitUrl."""

    async def test_one_alone_hears_the_hold_music(self) -> None:
        hall = await hall_of("alice")
        assert hall.plays("alice") == ["hold-music.wav"]

    async def test_the_music_ends_when_the_second_joins(self) -> None:
        hall = await hall_of("alice", "bob", noun='beep="false"')
        assert hall.plays("alice") == hall.plays("bob") == []

    async def test_those_who_do_not_start_it_wait_without_hearing_each_other(self) -> None:
        hall = await hall_of("alice", "bob", noun='startConferenceOnEnter="false"')
        assert hall.hears() == {}
        assert hall.plays("alice") == hall.plays("bob") == ["hold-music.wav"]

    async def test_the_one_who_starts_it_connects_all_who_wait(self) -> None:
        hall = await hall_of("alice", "bob", noun='startConferenceOnEnter="false"')
        await hall.call("carol", dial())
        assert hall.hears() == {"alice": {"bob", "carol"}, "bob": {"alice", "carol"}, "carol": {"alice", "bob"}}

    async def test_a_started_one_goes_on_without_music_when_only_one_is_left(self) -> None:
        hall = await hall_of("alice", "bob", noun='beep="false"')
        await hall.hangs_up("bob")
        assert hall.plays("alice") == []

    async def test_an_empty_wait_url_is_silence(self) -> None:
        hall = await hall_of("alice", noun='waitUrl=""')
        assert hall.plays("alice") == []

    async def test_the_wait_url_is_told_the_conference_and_its_document_is_played(self) -> None:
        hall = Hall()
        hall.web.answers["http://app/wait"] = "<Response><Play>tune.mp3</Play></Response>"
        await hall.call("alice", dial('waitUrl="/wait" waitMethod="GET"'))
        asked = hall.web.parameters("http://app/wait")
        assert (asked["ConferenceSid"], asked["FriendlyName"]) == (room(hall).sid, "Team")
        assert asked["CallSid"] == hall.sid("alice")
        assert [method for url, method, _ in hall.web.asked if url == "http://app/wait"] == ["GET"]
        assert hall.plays("alice") == ["tune.mp3"]

    async def test_the_wait_document_runs_again_and_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(waiting, "QUICK_SECONDS", 0.0)
        hall = Hall()
        hall.web.answers["http://app/wait"] = "<Response><Say>please wait</Say></Response>"
        await hall.call("alice", dial('waitUrl="/wait"'))
        for rounds in (1, 2, 3):
            assert len(hall.asked_of("http://app/wait")) == rounds
            await hall.heard_out("alice")

    async def test_a_redirect_in_the_wait_document_is_followed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(waiting, "QUICK_SECONDS", 0.0)
        hall = Hall()
        hall.web.answers["http://app/wait"] = "<Response><Redirect>more</Redirect></Response>"
        hall.web.answers["http://app/more"] = "<Response><Say>more</Say></Response>"
        await hall.call("alice", dial('waitUrl="/wait"'))
        assert hall.plays("alice") == ["more"]

    async def test_a_redirect_that_leads_nowhere_is_noted_and_the_document_runs_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(waiting, "QUICK_SECONDS", 0.0)
        hall = Hall()
        hall.web.answers["http://app/wait"] = "<Response><Say>wait</Say><Redirect>http://a_b/</Redirect></Response>"
        await hall.call("alice", dial('waitUrl="/wait"'))
        await hall.heard_out("alice")
        assert hall.plays("alice") == ["wait"]
        assert hall.codes() == [11100, 11100]

    async def test_an_audio_file_is_played_without_being_asked_for_again(self) -> None:
        hall = Hall()
        audio = Fetched("http://app/music.mp3", "POST", 200, "audio/mpeg", b"ID3", 0.1)
        hall.web.answers["http://app/music.mp3"] = audio
        await hall.call("alice", dial('waitUrl="/music.mp3"'))
        await hall.heard_out("alice")
        assert hall.plays("alice") == ["music.mp3"]
        assert len(hall.asked_of("http://app/music.mp3")) == 1

    async def test_a_wait_url_that_fails_gives_way_to_the_hold_music_and_is_noted(self) -> None:
        hall = Hall()
        hall.web.answers["http://app/wait"] = FetchError(11200, "HTTP 500", "http://app/wait", "POST", 500)
        await hall.call("alice", dial('waitUrl="/wait"'))
        assert hall.plays("alice") == ["hold-music.wav"]
        assert hall.codes() == [11200]
        assert hall.asked_of("http://app/f") == []

    async def test_an_empty_wait_document_does_not_ask_for_itself_at_once(self) -> None:
        hall = Hall()
        hall.web.answers["http://app/wait"] = "<Response><Redirect/></Response>"
        await hall.call("alice", dial('waitUrl="/wait"'))
        assert len(hall.asked_of("http://app/wait")) == 1

    async def test_verbs_that_may_not_be_in_it_are_skipped_and_noted(self) -> None:
        hall = Hall()
        hall.web.answers["http://app/wait"] = (
            "<Response><Dial>100</Dial><Record/><Leave/><Hangup/><Say>wait</Say></Response>"
        )
        await hall.call("alice", dial('waitUrl="/wait"'))
        assert hall.plays("alice") == ["wait"]
        assert hall.codes() == [13201, 12200, 12200, 12200]

    async def test_without_any_music_there_is_silence_and_a_note(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hall = Hall()

        async def none() -> None:
            raise MediaError(12400, "no hold music")

        monkeypatch.setattr(hall.media, "hold_music", none)
        await hall.call("alice", dial())
        await hall.call("bob", dial())
        assert hall.hears() == {"alice": {"bob"}, "bob": {"alice"}}
        assert hall.codes() == [12400]


class TestBeep:
    """beep: "whether a notification beep is played to the conference when a participant joins or leaves"."""

    @pytest.mark.parametrize(("beep", "heard"), [("true", 1), ("onEnter", 1), ("onExit", 0), ("false", 0)])
    async def test_the_others_hear_one_who_joins(self, beep: str, heard: int) -> None:
        hall = await hall_of("alice", "bob", noun='beep="false"')
        await hall.call("carol", dial(f'beep="{beep}"'))
        assert hall.plays("alice") == hall.plays("bob") == ["beep.wav"] * heard
        assert hall.plays("carol") == []

    @pytest.mark.parametrize(("beep", "heard"), [("true", 1), ("onEnter", 0), ("onExit", 1), ("false", 0)])
    async def test_the_others_hear_one_who_leaves(self, beep: str, heard: int) -> None:
        hall = await hall_of("alice", "bob", noun='beep="false"')
        await hall.call("carol", dial(f'beep="{beep}"'))
        await hall.heard_out("alice")
        await hall.heard_out("bob")
        await hall.hangs_up("carol")
        assert hall.plays("alice") == hall.plays("bob") == ["beep.wav"] * heard

    async def test_the_beep_ends(self) -> None:
        hall = await hall_of("alice", "bob")
        assert hall.plays("alice") == ["beep.wav"]
        await hall.heard_out("alice")
        assert hall.plays("alice") == []

    async def test_one_who_hangs_up_during_the_beep_ends_it(self) -> None:
        hall = await hall_of("alice", "bob")
        await hall.hangs_up("alice")
        assert hall.plays("alice") == []
        assert hall.ended == {"alice"}

    async def test_without_a_beep_they_are_connected_all_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hall = await hall_of("alice")

        async def none(kind: str) -> None:
            raise MediaError(12400, "no beep")

        monkeypatch.setattr(hall.media, "beep", none)
        await hall.call("bob", dial())
        assert hall.hears() == {"alice": {"bob"}, "bob": {"alice"}}
        assert hall.codes() == [12400]

    async def test_those_on_hold_hear_none(self) -> None:
        hall = await hall_of("alice", "bob", noun='beep="false"')
        room(hall).hold(hall.sid("alice"))
        await hall.call("carol", dial())
        assert hall.plays("alice") == ["hold-music.wav"]
        assert hall.plays("bob") == ["beep.wav"]

    async def test_nobody_hears_a_beep_before_it_begins(self) -> None:
        hall = await hall_of("alice", "bob", noun='startConferenceOnEnter="false"')
        assert "beep.wav" not in hall.plays("alice")


class TestLeaving:
    """A call leaves by hanging up, `*` with hangupOnStar, the timeLimit, a live change, or the conference's end."""

    async def test_the_star_leaves_and_the_next_verb_runs(self) -> None:
        hall = await hall_of("alice", "bob")
        await hall.call("carol", dial(verb='hangupOnStar="true"', then="<Say>after</Say>"))
        await hall.presses_key("carol", "1")
        assert "carol" in hall.hears()
        await hall.presses_key("carol", "*")
        assert hall.hears() == {"alice": {"bob"}, "bob": {"alice"}}
        assert hall.plays("carol") == ["after"]

    async def test_the_star_is_nothing_unless_it_is_asked_for(self) -> None:
        hall = await hall_of("alice", "bob")
        await hall.presses_key("bob", "*")
        assert "bob" in hall.hears()

    async def test_the_time_limit_ends_the_stay(self) -> None:
        hall = Hall()
        await hall.call("alice", dial(verb='timeLimit="1"', then="<Say>after</Say>"))
        await hall.until(lambda: hall.plays("alice") == ["after"])
        assert 32015 in hall.codes()

    async def test_the_action_is_told_answered_and_of_no_child_call(self) -> None:
        hall = await hall_of("alice")
        hall.web.answers["http://app/done"] = "<Response><Say>done</Say></Response>"
        await hall.call("bob", dial(verb='action="/done" hangupOnStar="true"'))
        await hall.presses_key("bob", "*")
        asked = hall.web.parameters("http://app/done")
        assert (asked["DialCallStatus"], asked["DialBridged"]) == ("answered", "true")
        assert not {"DialCallSid", "DialCallDuration", "RecordingUrl"} & set(asked)
        assert hall.plays("bob") == ["done"]

    async def test_the_action_is_told_of_one_who_hung_up(self) -> None:
        hall = await hall_of("alice")
        hall.web.answers["http://app/done"] = "<Response><Say>never</Say></Response>"
        await hall.call("bob", dial(verb='action="/done"'))
        await hall.hangs_up("bob")
        assert hall.web.parameters("http://app/done")["CallStatus"] == "completed"
        assert "never" not in hall.plays("bob")
        assert hall.ended == {"bob"}

    async def test_an_action_that_cannot_be_asked_is_noted_and_the_call_joins(self) -> None:
        hall = Hall()
        await hall.call("alice", dial(verb='action="http://a_b/done" hangupOnStar="true"', then="<Say>after</Say>"))
        assert 11100 in hall.codes()
        assert len(room(hall)) == 1
        await hall.hangs_up("alice")
        assert hall.ended == {"alice"}

    async def test_a_live_change_takes_a_call_out(self) -> None:
        hall = await hall_of("alice", "bob", "carol")
        hall.web.answers["http://app/else"] = "<Response><Say>else</Say></Response>"
        await hall.is_redirected("bob", "http://app/else")
        assert hall.hears() == {"alice": {"carol"}, "carol": {"alice"}}
        assert hall.plays("bob") == ["else"]

    async def test_a_call_may_come_back(self) -> None:
        hall = await hall_of("alice", "bob")
        hall.web.answers["http://app/again"] = f"<Response>{dial()}</Response>"
        await hall.is_redirected("bob", "http://app/again")
        assert hall.hears() == {"alice": {"bob"}, "bob": {"alice"}}

    async def test_a_call_that_is_ended_from_outside_leaves(self) -> None:
        hall = await hall_of("alice", "bob")
        hall.sessions["bob"].hang_up("Ended by an operator.", "operator")
        await hall.settle()
        assert len(room(hall)) == 1
        assert hall.phone.commands("hangup") == [(hall.leg("bob"),)]
        await hall.everybody_hangs_up()


class TestItsEnd:
    """endConferenceOnExit: "the conference ends and all other participants drop out"; so does it with the last one."""

    async def test_all_go_on_with_their_own_documents(self) -> None:
        hall = await hall_of("alice", "bob")
        await hall.call("host", dial('endConferenceOnExit="true"'))
        await hall.hangs_up("host")
        assert hall.hears() == {}
        assert hall.plays("alice") == hall.plays("bob") == ["after"]
        assert hall.rooms.snapshot().conferences == ()

    async def test_those_who_wait_for_its_beginning_drop_out_too(self) -> None:
        hall = await hall_of("alice", noun='startConferenceOnEnter="false"')
        await hall.call("host", dial('startConferenceOnEnter="false" endConferenceOnExit="true"'))
        await hall.hangs_up("host")
        assert hall.plays("alice") == ["after"]

    async def test_without_it_the_others_talk_on(self) -> None:
        hall = await hall_of("alice", "bob", "carol")
        await hall.hangs_up("alice")
        assert len(room(hall)) == 2

    async def test_the_last_one_to_leave_ends_it(self) -> None:
        hall = await hall_of("alice", "bob")
        first = room(hall).sid
        await hall.everybody_hangs_up()
        assert hall.rooms.snapshot().conferences == ()
        await hall.call("carol", dial())
        assert room(hall).sid != first


class TestItsSize:
    """maxParticipants: 2 to 250; the one too many does not get in."""

    async def test_one_too_many_goes_on_with_the_action_as_failed(self) -> None:
        hall = await hall_of("alice", "bob")
        hall.web.answers["http://app/done"] = "<Response><Say>full</Say></Response>"
        await hall.call("carol", dial('maxParticipants="2"', 'action="/done"'))
        assert hall.web.parameters("http://app/done")["DialCallStatus"] == "failed"
        assert hall.plays("carol") == ["full"]
        assert 13250 in hall.codes()
        assert "carol" not in hall.hears()

    async def test_or_with_the_next_verb(self) -> None:
        hall = await hall_of("alice", "bob")
        await hall.call("carol", dial('maxParticipants="2"', then="<Say>full</Say>"))
        assert hall.plays("carol") == ["full"]

    async def test_there_is_room_again_when_one_has_left(self) -> None:
        hall = await hall_of("alice", "bob")
        await hall.hangs_up("bob")
        await hall.call("carol", dial('maxParticipants="2"'))
        assert "carol" in hall.hears()


class TestRecording:
    """record="record-from-start": one mono file of all, from the moment the conference begins."""

    async def test_it_begins_with_the_conference(self) -> None:
        hall = await hall_of("alice", noun='record="record-from-start"')
        assert hall.recordings() == []
        await hall.call("bob", dial())
        assert hall.phone.commands("record") == [([[hall.leg("alice"), hall.leg("bob")]],)]
        entry = next(entry for entry in hall.entries if isinstance(entry, RecordingEntry))
        assert (entry.source, entry.channels, entry.trim) == ("Conference", 1, True)
        assert (entry.conference_sid, entry.call_sid) == (room(hall).sid, hall.sid("alice"))

    async def test_one_who_comes_later_is_recorded_too(self) -> None:
        hall = await hall_of("alice", "bob", noun='record="record-from-start"')
        await hall.call("carol", dial())
        assert hall.phone.commands("record also") == [(0, hall.leg("carol"))]

    async def test_one_who_comes_later_may_ask_for_it(self) -> None:
        hall = await hall_of("alice", "bob")
        await hall.call("carol", dial('record="record-from-start"'))
        assert hall.phone.commands("record") == [([[hall.leg("alice"), hall.leg("bob"), hall.leg("carol")]],)]

    async def test_there_is_only_one_of_a_conference(self) -> None:
        hall = await hall_of("alice", "bob", "carol", noun='record="record-from-start"')
        assert len(hall.phone.commands("record")) == 1

    async def test_the_muted_are_not_in_it(self) -> None:
        hall = await hall_of("alice", "bob", noun='record="record-from-start"')
        await hall.call("carol", dial('muted="true"'))
        assert hall.phone.commands("record also") == []
        room(hall).mute(hall.sid("carol"), False)
        assert hall.phone.commands("record also") == [(0, hall.leg("carol"))]
        room(hall).mute(hall.sid("alice"))
        assert hall.phone.commands("record without") == [(0, hall.leg("alice"))]

    async def test_nor_are_those_on_hold(self) -> None:
        hall = await hall_of("alice", "bob", noun='record="record-from-start"')
        room(hall).hold(hall.sid("bob"))
        assert hall.phone.commands("record without") == [(0, hall.leg("bob"))]

    async def test_what_one_says_after_leaving_is_not_in_it(self) -> None:
        hall = await hall_of("alice", "bob", noun='record="record-from-start"')
        await hall.call("carol", dial(verb='hangupOnStar="true"'))
        await hall.presses_key("carol", "*")
        assert hall.phone.commands("record without") == [(0, hall.leg("carol"))]

    async def test_it_ends_with_the_conference(self) -> None:
        hall = await hall_of("alice", "bob", noun='record="record-from-start"')
        await hall.hangs_up("alice")
        assert hall.recordings() == ["in-progress"]
        await hall.hangs_up("bob")
        assert hall.recordings() == ["in-progress", "processing"]

    async def test_the_action_names_it(self) -> None:
        hall = await hall_of("alice", noun='record="record-from-start"')
        hall.web.answers["http://app/done"] = "<Response/>"
        await hall.call("bob", dial(verb='action="/done"'))
        await hall.hangs_up("bob")
        assert "/Recordings/RE" in hall.web.parameters("http://app/done")["RecordingUrl"]

    async def test_its_callback_is_told_that_it_began(self) -> None:
        attributes = 'recordingStatusCallback="/rec" recordingStatusCallbackEvent="in-progress completed"'
        hall = await hall_of("alice", "bob", noun=f'record="record-from-start" {attributes}')
        assert hall.told("RecordingStatus", "RecordingSource") == [("in-progress", "Conference")]
        assert hall.sent[0].url == "http://app/rec"

    async def test_a_conference_outlives_its_recording(self) -> None:
        hall = await hall_of("alice", "bob", noun='record="record-from-start"')
        number = max(number for number in hall._owners if number < 1000)
        await hall.event(RecordFailed(number, "No space left on device"))
        await hall.call("carol", dial())
        assert hall.phone.commands("record also") == []
        assert "carol" in hall.hears()


EVENTS = 'statusCallbackEvent="start end join leave mute hold modify"'


class TestStatusCallback:
    """statusCallback: the events that statusCallbackEvent names, numbered, for the conference as a whole."""

    async def test_the_events_of_a_conference_in_order(self) -> None:
        hall = await hall_of("alice", "bob", noun=f'statusCallback="/cb" {EVENTS}')
        await hall.everybody_hangs_up()
        assert hall.told("StatusCallbackEvent", "SequenceNumber", "CallSid") == [
            ("participant-join", "0", hall.sid("alice")),
            ("participant-join", "1", hall.sid("bob")),
            ("conference-start", "2", hall.sid("bob")),
            ("participant-leave", "3", hall.sid("alice")),
            ("participant-leave", "4", hall.sid("bob")),
            ("conference-end", "5", ""),
        ]
        assert {entry.url for entry in hall.sent} == {"http://app/cb"}
        assert {entry.topic for entry in hall.sent} == {"conference"}

    async def test_start_and_end_are_told_unless_others_are_asked_for(self) -> None:
        hall = await hall_of("alice", "bob", noun='statusCallback="/cb"')
        await hall.everybody_hangs_up()
        assert hall.told("StatusCallbackEvent") == [("conference-start",), ("conference-end",)]

    async def test_the_end_tells_who_ended_it_and_why(self) -> None:
        hall = await hall_of("alice", noun='statusCallback="/cb"')
        await hall.hangs_up("alice")
        assert hall.told("CallSidEndingConference", "ReasonConferenceEnded", "Reason") == [
            (hall.sid("alice"), "last-participant-left", "Last participant left")
        ]

    async def test_the_end_by_one_with_end_on_exit(self) -> None:
        hall = await hall_of("alice", "bob", noun='statusCallback="/cb" statusCallbackEvent="end leave"')
        await hall.call("host", dial('endConferenceOnExit="true"'))
        await hall.hangs_up("host")
        assert hall.told("StatusCallbackEvent", "ReasonParticipantLeft", "ReasonConferenceEnded") == [
            ("participant-leave", "participant_hung_up", ""),
            ("participant-leave", "conference_ended", ""),
            ("participant-leave", "conference_ended", ""),
            ("conference-end", "", "participant-with-end-conference-on-exit-left"),
        ]
        assert hall.told("CallSidEndingConference")[-1] == (hall.sid("host"),)

    async def test_it_is_that_of_the_first_who_names_one(self) -> None:
        hall = await hall_of("alice")
        await hall.call("bob", dial('statusCallback="/first" statusCallbackEvent="join"'))
        await hall.call("carol", dial('statusCallback="/second" statusCallbackEvent="join"'))
        assert [entry.url for entry in hall.sent] == ["http://app/first"] * 2

    async def test_the_state_of_the_participant_is_told(self) -> None:
        noun = 'muted="true" startConferenceOnEnter="false" endConferenceOnExit="true" participantLabel="clerk"'
        hall = await hall_of("alice", noun=f'statusCallback="/cb" statusCallbackEvent="join" {noun}')
        assert hall.told("Muted", "Hold", "StartConferenceOnEnter", "EndConferenceOnExit", "ParticipantLabel") == [
            ("true", "false", "false", "true", "clerk")
        ]

    async def test_one_that_cannot_be_asked_is_noted(self) -> None:
        hall = await hall_of("alice", noun='statusCallback="http://a_b/cb"')
        assert 11100 in hall.codes()
        assert hall.sent == []


class TestChanges:
    """What the REST API will do to participants: Muted, Hold, EndConferenceOnExit, DELETE; and Status=completed."""

    async def made(self) -> Hall:
        return await hall_of("alice", "bob", "carol", noun=f'beep="false" statusCallback="/cb" {EVENTS}')

    async def test_mute_and_unmute(self) -> None:
        hall = await self.made()
        assert room(hall).mute(hall.sid("bob"))
        assert hall.hears() == {"alice": {"carol"}, "bob": {"alice", "carol"}, "carol": {"alice"}}
        assert room(hall).mute(hall.sid("bob"), False)
        assert hall.hears()["alice"] == {"bob", "carol"}
        assert hall.told("StatusCallbackEvent", "Muted")[-2:] == [
            ("participant-mute", "true"),
            ("participant-unmute", "false"),
        ]

    async def test_hold_plays_music_and_keeps_apart_and_unhold_joins_again(self) -> None:
        hall = await self.made()
        assert room(hall).hold(hall.sid("bob"))
        await hall.settle()
        assert hall.hears() == {"alice": {"carol"}, "carol": {"alice"}}
        assert hall.plays("bob") == ["hold-music.wav"]
        assert room(hall).hold(hall.sid("bob"), False)
        await hall.settle()
        assert hall.hears()["bob"] == {"alice", "carol"}
        assert hall.plays("bob") == []
        assert hall.told("StatusCallbackEvent", "Hold")[-2:] == [
            ("participant-hold", "true"),
            ("participant-unhold", "false"),
        ]

    async def test_hold_with_music_of_its_own(self) -> None:
        hall = await self.made()
        hall.web.answers["http://app/hold"] = "<Response><Say>one moment</Say></Response>"
        room(hall).hold(hall.sid("bob"), True, "http://app/hold", "GET")
        await hall.settle()
        assert hall.plays("bob") == ["one moment"]

    async def test_one_on_hold_before_it_begins_stays_on_hold(self) -> None:
        hall = await hall_of("alice")
        room(hall).hold(hall.sid("alice"))
        await hall.call("bob", dial())
        assert hall.hears() == {}
        assert hall.plays("alice") == ["hold-music.wav"]
        room(hall).hold(hall.sid("alice"), False)
        assert hall.hears() == {"alice": {"bob"}, "bob": {"alice"}}

    async def test_back_from_hold_before_it_begins_one_waits_on(self) -> None:
        hall = await hall_of("alice", "bob", noun='startConferenceOnEnter="false" waitUrl=""')
        room(hall).hold(hall.sid("alice"))
        await hall.settle()
        assert hall.plays("alice") == ["hold-music.wav"]
        room(hall).hold(hall.sid("alice"), False)
        await hall.settle()
        assert hall.plays("alice") == []
        assert hall.hears() == {}

    async def test_modify(self) -> None:
        hall = await self.made()
        assert room(hall).modify(hall.sid("bob"), change(end_on_exit=True))
        assert hall.told("StatusCallbackEvent", "EndConferenceOnExit")[-1] == ("participant-modify", "true")
        await hall.hangs_up("bob")
        assert hall.rooms.snapshot().conferences == ()

    async def test_kick_lets_the_call_go_on(self) -> None:
        hall = await self.made()
        assert room(hall).kick(hall.sid("bob"))
        await hall.settle()
        assert hall.plays("bob") == ["after"]
        assert hall.told("ReasonParticipantLeft")[-1] == ("participant_kicked_via_api",)

    async def test_kicking_the_last_one_ends_it(self) -> None:
        hall = await hall_of("alice", noun='statusCallback="/cb"')
        room(hall).kick(hall.sid("alice"))
        assert hall.told("ReasonConferenceEnded") == [("last-participant-kicked",)]

    async def test_kicking_one_with_end_on_exit_ends_it(self) -> None:
        hall = await self.made()
        room(hall).modify(hall.sid("bob"), change(end_on_exit=True))
        room(hall).kick(hall.sid("bob"))
        assert hall.told("ReasonConferenceEnded")[-1] == ("participant-with-end-conference-on-exit-kicked",)

    async def test_end_lets_everybody_go_on(self) -> None:
        hall = await self.made()
        room(hall).end()
        await hall.settle()
        assert [hall.plays(name) for name in ("alice", "bob", "carol")] == [["after"]] * 3
        assert hall.told("ReasonConferenceEnded", "CallSidEndingConference")[-1] == ("conference-ended-via-api", "")

    async def test_a_call_that_is_not_in_cannot_be_changed(self) -> None:
        hall = await self.made()
        gone = hall.sid("bob")
        conference = room(hall)
        await hall.hangs_up("bob")
        assert not conference.mute(gone)
        assert not conference.hold(gone)
        assert not conference.kick(gone)
        assert not conference.modify(gone, change(end_on_exit=True))

    async def test_what_is_so_already_is_told_once(self) -> None:
        hall = await self.made()
        before = len(hall.sent)
        room(hall).mute(hall.sid("bob"))
        room(hall).mute(hall.sid("bob"))
        assert len(hall.sent) == before + 1

    async def test_the_snapshot_tells_all_of_it(self) -> None:
        hall = await self.made()
        room(hall).mute(hall.sid("bob"))
        (view,) = hall.rooms.snapshot().conferences
        assert (view.name, view.started, view.account_sid) == ("Team", True, hall.record.account_sid)
        assert [(one.call_sid, one.muted) for one in view.participants] == [
            (hall.sid("alice"), False),
            (hall.sid("bob"), True),
            (hall.sid("carol"), False),
        ]

    async def test_a_conference_is_found_by_its_sid_in_its_account_only(self) -> None:
        hall = await self.made()
        assert hall.rooms.conference("AC" + "9" * 32, room(hall).sid) is None


class TestRaces:
    """What happens in one and the same moment is decided by who was first, and nobody is left behind."""

    async def test_one_joins_while_the_last_one_leaves(self) -> None:
        hall = await hall_of("alice")
        first = room(hall).sid
        hall.enter("bob", dial())
        hall.hang_up_now("alice")
        await hall.settle()
        assert room(hall).sid != first
        assert hall.plays("bob") == ["hold-music.wav"]
        await hall.everybody_hangs_up()

    async def test_one_joins_while_the_host_ends_it(self) -> None:
        hall = await hall_of("alice")
        await hall.call("host", dial('endConferenceOnExit="true"'))
        hall.enter("bob", dial())
        hall.hang_up_now("host")
        await hall.settle()
        assert hall.hears() == {}
        assert [one.call_sid for one in room(hall).snapshot().participants] == [hall.sid("bob")]
        await hall.everybody_hangs_up()

    async def test_one_hangs_up_while_joining(self) -> None:
        hall = await hall_of("alice")
        hall.enter("bob", dial())
        await hall.settle()
        hall.hang_up_now("bob")
        hall.hang_up_now("alice")
        await hall.settle()
        assert hall.ended == {"alice", "bob"}
        assert hall.rooms.snapshot().conferences == ()

    async def test_the_host_and_a_guest_hang_up_together(self) -> None:
        hall = await hall_of("alice")
        await hall.call("host", dial(f'endConferenceOnExit="true" statusCallback="/cb" {EVENTS}'))
        hall.hang_up_now("host")
        hall.hang_up_now("alice")
        await hall.settle()
        assert hall.ended == {"alice", "host"}
        assert hall.told("StatusCallbackEvent").count(("conference-end",)) == 1
        assert hall.told("StatusCallbackEvent").count(("participant-leave",)) == 2

    async def test_a_redirect_and_a_hang_up_together(self) -> None:
        hall = await hall_of("alice", "bob")
        hall.redirect_now("bob", "http://app/else")
        hall.hang_up_now("bob")
        await hall.settle()
        assert hall.ended == {"bob"}
        assert len(room(hall)) == 1

    async def test_the_star_and_the_end_together(self) -> None:
        hall = await hall_of("alice", noun='endConferenceOnExit="true"')
        await hall.call("bob", dial(verb='hangupOnStar="true"', then="<Say>after</Say>"))
        hall.hang_up_now("alice")
        await hall.presses_key("bob", "*")
        assert hall.plays("bob") == ["after"]

    async def test_a_kick_and_a_hang_up_together(self) -> None:
        hall = await hall_of("alice", "bob")
        conference = room(hall)
        hall.hang_up_now("bob")
        assert not conference.kick(hall.sid("bob"))
        await hall.settle()
        assert hall.ended == {"bob"}

    async def test_everybody_is_stopped_at_once(self) -> None:
        hall = await hall_of("alice", "bob", "carol")
        for session in hall.sessions.values():
            session.hang_up("The engine was stopped.")
        await hall.settle()
        assert hall.rooms.snapshot().conferences == ()
        assert hall.hears() == {}
        await hall.everybody_hangs_up()


async def test_fifty_join_and_leave_and_nothing_is_left_behind() -> None:
    hall = Hall()
    names = [f"caller{number}" for number in range(50)]
    for name in names:
        hall.enter(name, dial('beep="false"'))
    await hall.settle()
    hears = hall.hears()
    assert all(hears[name] == set(names) - {name} for name in names)
    await hall.everybody_hangs_up()
    assert hall.hears() == {}
    assert hall.phone.playing == {}

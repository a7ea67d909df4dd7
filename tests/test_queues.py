"""Queues on a scripted phone: those who wait, those who take them, and the moments in which both move at once."""

from __future__ import annotations

import asyncio

import pytest

from calls.room_sids import queue_sid
from calls.webclient import Fetched, FetchError
from sipengine import rooms, waiting
from sipengine.documents import Done, How
from sipengine.enqueueing import EnqueueRun
from sipengine.ports import Held
from sipengine.queues import Queue
from tests.fakes import T0
from tests.hall import Hall

WAIT = "<Enqueue{}>support</Enqueue>"
TAKE = "<Dial{}><Queue{}>support</Queue></Dial>"


def wait(attributes: str = "", then: str = "<Say>after</Say>") -> str:
    return WAIT.format(attributes and f" {attributes}") + then


def take(verb: str = "", noun: str = "", then: str = "<Say>next</Say>") -> str:
    return TAKE.format(verb and f" {verb}", noun and f" {noun}") + then


def hall_of(**dial: object) -> Hall:
    hall = Hall(**dial)
    hall.web.answers["http://app/left"] = "<Response><Say>left</Say></Response>"
    hall.web.answers["http://app/done"] = "<Response><Say>done</Say></Response>"
    return hall


async def waiting_hall(*names: str, attributes: str = 'action="/left"', **dial: object) -> Hall:
    """Let these callers wait, one after the other."""
    hall = hall_of(**dial)
    for name in names:
        await hall.call(name, wait(attributes))
    return hall


def queue(hall: Hall) -> Queue:
    """Return the only queue."""
    (view,) = hall.rooms.snapshot().queues
    found = hall.rooms.queue(view.account_sid, view.sid)
    assert found is not None
    return found


def waiters(hall: Hall) -> list[str]:
    """Return who waits, the longest first."""
    names = {hall.sid(name): name for name in hall.sessions}
    return [names[member.call_sid] for view in hall.rooms.snapshot().queues for member in view.members]


class TestWaiting:
    """<Enqueue>: "enqueues the current call in a call queue", with waitUrl for those in it."""

    async def test_a_caller_is_answered_and_hears_the_hold_music(self) -> None:
        hall = await waiting_hall("alice")
        assert hall.phone.commands("answer") == [(hall.leg("alice"),)]
        assert hall.plays("alice") == ["hold-music.wav"]

    async def test_an_empty_wait_url_is_silence(self) -> None:
        hall = await waiting_hall("alice", attributes='waitUrl=""')
        assert hall.plays("alice") == []
        assert waiters(hall) == ["alice"]

    async def test_those_who_wait_do_not_hear_each_other(self) -> None:
        hall = await waiting_hall("alice", "bob")
        assert hall.hears() == {}

    async def test_the_wait_url_is_told_the_place_in_the_queue_each_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(waiting, "QUICK_SECONDS", 0.0)
        hall = await waiting_hall("alice")
        hall.web.answers["http://app/wait"] = "<Response><Say>patience</Say></Response>"
        await hall.call("bob", wait('waitUrl="/wait"'))
        first = hall.web.parameters("http://app/wait")
        assert (first["QueuePosition"], first["CurrentQueueSize"], first["MaxQueueSize"]) == ("2", "2", "1000")
        assert (first["QueueSid"], first["QueueTime"], first["AvgQueueTime"]) == (queue(hall).sid, "0", "0")
        assert first["CallSid"] == hall.sid("bob")
        await hall.hangs_up("alice")
        await hall.heard_out("bob")
        assert hall.asked_of("http://app/wait")[1]["QueuePosition"] == "1"

    async def test_an_audio_file_may_be_the_music(self) -> None:
        hall = hall_of()
        hall.web.answers["http://app/m.mp3"] = Fetched("http://app/m.mp3", "GET", 200, "audio/mpeg", b"ID3", 0.1)
        await hall.call("alice", wait('waitUrl="/m.mp3" waitUrlMethod="GET"'))
        await hall.heard_out("alice")
        assert hall.plays("alice") == ["m.mp3"]

    async def test_a_wait_url_that_fails_gives_way_to_the_hold_music(self) -> None:
        hall = hall_of()
        hall.web.answers["http://app/wait"] = FetchError(11200, "HTTP 500", "http://app/wait", "POST", 500)
        await hall.call("alice", wait('waitUrl="/wait"'))
        assert hall.plays("alice") == ["hold-music.wav"]
        assert hall.codes() == [11200]
        assert waiters(hall) == ["alice"]

    async def test_dial_in_the_wait_document_is_skipped(self) -> None:
        hall = hall_of()
        hall.web.answers["http://app/wait"] = "<Response><Dial>100</Dial><Say>wait</Say></Response>"
        await hall.call("alice", wait('waitUrl="/wait"'))
        assert hall.codes() == [13201]
        assert hall.plays("alice") == ["wait"]

    async def test_digits_may_be_gathered_meanwhile(self) -> None:
        hall = hall_of()
        hall.web.answers["http://app/wait"] = '<Response><Gather numDigits="1" action="key"/></Response>'
        hall.web.answers["http://app/key"] = "<Response><Leave/></Response>"
        await hall.call("alice", wait('waitUrl="/wait" action="/left"'))
        await hall.presses_key("alice", "9")
        asked = hall.web.parameters("http://app/key")
        assert (asked["Digits"], asked["QueuePosition"]) == ("9", "1")
        assert hall.web.parameters("http://app/left")["QueueResult"] == "leave"

    async def test_the_timeline_tells_it(self) -> None:
        hall = await waiting_hall("alice")
        await hall.hangs_up("alice")
        names = [name for name, _ in hall.timeline("alice")]
        assert names.index("enqueue") < names.index("queue.left") < names.index("ended")
        assert dict(hall.timeline("alice"))["queue.left"] == {"queue": "support", "seconds": 0, "result": "hangup"}

    async def test_a_queue_has_the_same_sid_for_ever(self) -> None:
        hall = await waiting_hall("alice")
        assert queue(hall).sid == queue_sid(hall.record.account_sid, "support")
        assert queue(hall).sid != queue_sid("AC" + "1" * 32, "support")
        assert len(queue(hall).sid) == 34

    async def test_queues_of_other_names_and_accounts_are_apart(self) -> None:
        hall = await waiting_hall("alice")
        await hall.call("agent", "<Dial><Queue>Support</Queue></Dial>")
        hall.record.account_sid = "AC" + "1" * 32
        await hall.call("stranger", take())
        assert waiters(hall) == ["alice"]


class TestLeaving:
    """The action is told QueueResult, QueueSid and QueueTime when a call leaves; without one the next verb runs."""

    async def test_leave_goes_on_at_the_action(self) -> None:
        hall = hall_of()
        hall.web.answers["http://app/wait"] = "<Response><Leave/></Response>"
        await hall.call("alice", wait('waitUrl="/wait" action="/left"'))
        asked = hall.web.parameters("http://app/left")
        sid = queue_sid(hall.record.account_sid, "support")
        assert (asked["QueueResult"], asked["QueueSid"], asked["QueueTime"]) == ("leave", sid, "0")
        assert hall.plays("alice") == ["left"]

    async def test_or_with_the_next_verb(self) -> None:
        hall = hall_of()
        hall.web.answers["http://app/wait"] = "<Response><Leave/></Response>"
        await hall.call("alice", wait('waitUrl="/wait"'))
        assert hall.plays("alice") == ["after"]

    async def test_hangup_in_the_wait_document_ends_the_call(self) -> None:
        hall = hall_of()
        hall.web.answers["http://app/wait"] = "<Response><Hangup/></Response>"
        await hall.call("alice", wait('waitUrl="/wait" action="/left"'))
        assert hall.web.parameters("http://app/left")["QueueResult"] == "hangup"
        assert hall.phone.commands("hangup") == [(hall.leg("alice"),)]
        assert hall.plays("alice") == []

    async def test_one_who_hangs_up_is_told_to_the_action_and_its_answer_ignored(self) -> None:
        hall = await waiting_hall("alice")
        await hall.hangs_up("alice")
        asked = hall.web.parameters("http://app/left")
        assert (asked["QueueResult"], asked["CallStatus"]) == ("hangup", "completed")
        assert hall.plays("alice") == []
        assert hall.ended == {"alice"}
        assert waiters(hall) == []

    async def test_a_live_change_is_told_as_redirected_and_its_answer_ignored(self) -> None:
        hall = await waiting_hall("alice")
        hall.web.answers["http://app/else"] = "<Response><Say>else</Say></Response>"
        await hall.is_redirected("alice", "http://app/else")
        assert hall.web.parameters("http://app/left")["QueueResult"] == "redirected"
        assert hall.plays("alice") == ["else"]
        assert waiters(hall) == []

    async def test_a_call_that_is_ended_from_outside_leaves(self) -> None:
        hall = await waiting_hall("alice")
        hall.sessions["alice"].hang_up("Ended by an operator.", "operator")
        await hall.settle()
        assert waiters(hall) == []
        assert dict(hall.timeline("alice"))["queue.left"]["result"] == "hangup"
        assert hall.asked_of("http://app/left") == []
        await hall.everybody_hangs_up()

    async def test_an_action_that_cannot_be_asked_is_noted(self) -> None:
        hall = await waiting_hall("alice", attributes='action="http://a_b/left"')
        assert 11100 in hall.codes()
        await hall.hangs_up("alice")
        assert hall.ended == {"alice"}

    async def test_a_full_queue_takes_nobody_more(self) -> None:
        hall = await waiting_hall("alice")
        queue(hall).max_size = 1
        await hall.call("bob", wait('action="/left"'))
        asked = hall.web.parameters("http://app/left")
        assert (asked["QueueResult"], asked["QueueTime"]) == ("queue-full", "0")
        assert "QueueSid" not in asked
        assert hall.plays("bob") == ["left"]
        assert waiters(hall) == ["alice"]

    async def test_a_full_queue_without_action_goes_on_with_the_next_verb(self) -> None:
        hall = await waiting_hall("alice")
        queue(hall).max_size = 1
        await hall.call("bob", wait())
        assert hall.plays("bob") == ["after"]


class TestTaking:
    """<Queue>: "the caller will be connected with the first enqueued call"."""

    async def test_the_one_who_has_waited_longest_is_connected(self) -> None:
        hall = await waiting_hall("alice", "bob")
        await hall.call("agent", take())
        assert hall.hears() == {"alice": {"agent"}, "agent": {"alice"}}
        assert hall.plays("alice") == []
        assert hall.plays("agent") == []
        assert waiters(hall) == ["bob"]

    async def test_with_nobody_there_it_rings_until_one_comes(self) -> None:
        hall = hall_of()
        await hall.call("agent", take())
        assert hall.plays("agent") == ["tone"]
        await hall.call("alice", wait())
        assert hall.hears() == {"alice": {"agent"}, "agent": {"alice"}}
        assert hall.plays("agent") == []
        assert hall.plays("alice") == []

    async def test_the_ring_tone_may_be_chosen(self) -> None:
        hall = hall_of()
        await hall.call("agent", take('ringTone="de"'))
        assert hall.phone.commands("tone") == [(hall.leg("agent"), (425,))]

    async def test_nobody_within_the_timeout_is_no_answer(self) -> None:
        hall = hall_of(timeout_buffer=-4.95)
        await hall.call("agent", take('timeout="5" action="/done"'))
        await hall.until(lambda: hall.plays("agent") == ["done"])
        asked = hall.web.parameters("http://app/done")
        assert (asked["DialCallStatus"], asked["DialBridged"]) == ("no-answer", "false")
        assert "DialCallSid" not in asked
        await hall.call("alice", wait())
        assert hall.hears() == {}

    async def test_two_who_take_get_two_callers(self) -> None:
        hall = await waiting_hall("alice", "bob")
        hall.enter("anna", take())
        hall.enter("ben", take())
        await hall.settle()
        hears = hall.hears()
        assert hears["anna"] != hears["ben"]
        assert hears["anna"] | hears["ben"] == {"alice", "bob"}

    async def test_those_who_take_are_served_in_their_order(self) -> None:
        hall = hall_of()
        await hall.call("anna", take())
        await hall.call("ben", take())
        await hall.call("alice", wait())
        assert hall.hears()["alice"] == {"anna"}
        await hall.call("bob", wait())
        assert hall.hears()["bob"] == {"ben"}

    async def test_the_caller_hanging_up_completes_the_dial(self) -> None:
        hall = await waiting_hall("alice")
        await hall.call("agent", take('action="/done"'))
        await hall.hangs_up("alice")
        asked = hall.web.parameters("http://app/done")
        assert (asked["DialCallStatus"], asked["DialBridged"]) == ("completed", "true")
        assert (asked["DialCallSid"], asked["DialCallDuration"]) == (hall.sid("alice"), "0")
        assert hall.web.parameters("http://app/left")["QueueResult"] == "bridged"
        assert hall.plays("agent") == ["done"]
        assert hall.ended == {"alice"}

    async def test_the_one_who_took_hanging_up_lets_the_caller_go_on(self) -> None:
        hall = await waiting_hall("alice")
        await hall.call("agent", take('action="/done"'))
        await hall.hangs_up("agent")
        assert hall.web.parameters("http://app/left")["QueueResult"] == "bridged"
        assert hall.web.parameters("http://app/done")["CallStatus"] == "completed"
        assert hall.plays("alice") == ["left"]
        assert hall.hears() == {}

    async def test_the_star_ends_the_talk(self) -> None:
        hall = await waiting_hall("alice")
        await hall.call("agent", take('hangupOnStar="true"'))
        await hall.presses_key("agent", "*")
        assert hall.hears() == {}
        assert hall.plays("agent") == ["next"]
        assert hall.plays("alice") == ["left"]

    async def test_the_star_while_it_rings_gives_up(self) -> None:
        hall = hall_of()
        await hall.call("agent", take('hangupOnStar="true" action="/done"'))
        await hall.presses_key("agent", "*")
        assert hall.web.parameters("http://app/done")["DialCallStatus"] == "canceled"

    async def test_the_star_of_the_caller_is_nothing(self) -> None:
        hall = await waiting_hall("alice")
        await hall.call("agent", take('hangupOnStar="true"'))
        await hall.presses_key("alice", "*")
        assert hall.hears() == {"alice": {"agent"}, "agent": {"alice"}}

    async def test_the_time_limit_ends_the_talk(self) -> None:
        hall = await waiting_hall("alice")
        await hall.call("agent", take('timeLimit="1"'))
        await hall.until(lambda: hall.plays("agent") == ["next"])
        assert 32015 in hall.codes()
        assert hall.plays("alice") == ["left"]

    async def test_a_live_change_of_the_caller_ends_the_talk(self) -> None:
        hall = await waiting_hall("alice")
        hall.web.answers["http://app/else"] = "<Response><Say>else</Say></Response>"
        await hall.call("agent", take())
        await hall.is_redirected("alice", "http://app/else")
        assert hall.web.parameters("http://app/left")["QueueResult"] == "redirected-from-bridged"
        assert hall.plays("alice") == ["else"]
        assert hall.plays("agent") == ["next"]
        assert hall.hears() == {}

    async def test_a_live_change_of_the_one_who_took_ends_the_talk(self) -> None:
        hall = await waiting_hall("alice")
        hall.web.answers["http://app/else"] = "<Response><Say>else</Say></Response>"
        await hall.call("agent", take())
        await hall.is_redirected("agent", "http://app/else")
        assert hall.plays("alice") == ["left"]
        assert hall.plays("agent") == ["else"]
        assert hall.hears() == {}

    async def test_hold_passes_over_the_bridge_and_ends_with_it(self) -> None:
        hall = await waiting_hall("alice")
        await hall.call("agent", take())
        await hall.event(Held(hall.leg("agent"), T0, True))
        await hall.event(Held(hall.leg("alice"), T0, True))
        await hall.event(Held(hall.leg("alice"), T0, False))
        assert hall.phone.commands("hold") == [
            (hall.leg("alice"), True),
            (hall.leg("agent"), True),
            (hall.leg("agent"), False),
        ]
        await hall.hangs_up("agent")
        assert hall.phone.commands("hold")[-1] == (hall.leg("alice"), False)

    async def test_keys_pass_over_the_bridge(self) -> None:
        hall = await waiting_hall("alice")
        await hall.presses_key("alice", "1")
        await hall.call("agent", take())
        await hall.presses_key("alice", "2")
        await hall.presses_key("agent", "3")
        assert hall.phone.commands("send digits") == [(hall.leg("agent"), "2"), (hall.leg("alice"), "3")]

    async def test_hold_of_one_who_waits_is_nobodys_business(self) -> None:
        hall = await waiting_hall("alice")
        await hall.event(Held(hall.leg("alice"), T0, True))
        await hall.call("agent", take())
        assert hall.phone.commands("hold") == []

    async def test_the_timeline_of_the_one_who_took_tells_it(self) -> None:
        hall = await waiting_hall("alice")
        await hall.call("agent", take())
        await hall.hangs_up("alice")
        told = dict(hall.timeline("agent"))
        assert told["dial"]["queue"] == "support"
        assert told["bridged"] == {"leg": hall.sid("alice"), "to": "sip:alice@phone"}
        assert told["dial.finished"] == {"status": "completed", "leg": hall.sid("alice")}


class TestAverage:
    """AvgQueueTime: the mean wait of the last hundred who were connected; of those who wait while there are none."""

    async def test_it_is_that_of_those_who_were_connected(self) -> None:
        made = Queue("support", "AC")
        assert made.average_wait == 0.0
        for waited in (10.0, 20.0):
            made.connected(waited)
        assert made.average_wait == 15.0

    async def test_the_oldest_do_not_count_for_ever(self) -> None:
        made = Queue("support", "AC")
        for waited in (*[1000.0] * 5, *[1.0] * 100):
            made.connected(waited)
        assert made.average_wait == 1.0

    async def test_a_call_that_is_taken_counts_and_one_that_leaves_does_not(self) -> None:
        hall = await waiting_hall("alice", "bob")
        await hall.hangs_up("alice")
        assert len(queue(hall)._waits) == 0
        await hall.call("agent", take())
        assert len(queue(hall)._waits) == 1


class TestGreeting:
    """url of <Queue>: a document for the queued caller, run before both are connected."""

    async def made(self, document: str) -> Hall:
        hall = await waiting_hall("alice")
        hall.web.answers["http://app/greet"] = f"<Response>{document}</Response>"
        await hall.call("agent", take('hangupOnStar="true"', 'url="/greet"'))
        return hall

    async def test_the_caller_hears_it_first_while_the_other_hears_ringing(self) -> None:
        hall = await self.made("<Say>this call is recorded</Say>")
        assert hall.plays("alice") == ["this call is recorded"]
        assert hall.plays("agent") == ["tone"]
        assert hall.hears() == {}
        await hall.heard_out("alice")
        assert hall.hears() == {"alice": {"agent"}, "agent": {"alice"}}
        assert hall.plays("agent") == []

    async def test_it_is_told_the_wait_and_who_takes_the_call(self) -> None:
        hall = await self.made("<Say>hello</Say>")
        asked = hall.web.parameters("http://app/greet")
        assert (asked["QueueSid"], asked["QueueTime"]) == (queue(hall).sid, "0")
        assert (asked["DequeingCallSid"], asked["CallSid"]) == (hall.sid("agent"), hall.sid("alice"))

    async def test_a_redirect_in_it_is_followed(self) -> None:
        hall = hall_of()
        hall.web.answers["http://app/more"] = "<Response><Say>more</Say></Response>"
        await hall.call("alice", wait())
        hall.web.answers["http://app/greet"] = "<Response><Redirect>more</Redirect></Response>"
        await hall.call("agent", take(noun='url="/greet"'))
        assert hall.plays("alice") == ["more"]

    async def test_one_that_fails_does_not_keep_them_apart(self) -> None:
        hall = await waiting_hall("alice")
        await hall.call("agent", take(noun='url="/nowhere"'))
        assert hall.codes() == [11200]
        assert hall.hears() == {"alice": {"agent"}, "agent": {"alice"}}

    async def test_verbs_that_may_not_be_in_it_are_skipped(self) -> None:
        hall = await self.made("<Dial>100</Dial><Hangup/>")
        assert hall.codes() == [13201, 12200]
        assert hall.hears() == {"alice": {"agent"}, "agent": {"alice"}}

    async def test_nor_does_a_failure_of_the_engine_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hall = await waiting_hall("alice")
        hall.web.answers["http://app/greet"] = "<Response><Say>hello</Say></Response>"

        async def broken(text: str, voice: str | None, language: str | None) -> None:
            raise RuntimeError("no voice")

        monkeypatch.setattr(hall.media, "say", broken)
        await hall.call("agent", take(noun='url="/greet"'))
        assert hall.codes() == [12400]
        assert hall.hears() == {"alice": {"agent"}, "agent": {"alice"}}

    async def test_a_caller_who_hangs_up_meanwhile_makes_room_for_the_next(self) -> None:
        hall = await self.made("<Say>hello</Say>")
        await hall.call("bob", wait())
        await hall.hangs_up("alice")
        assert hall.web.parameters("http://app/left")["QueueResult"] == "hangup"
        assert hall.plays("bob") == ["hello"]
        await hall.heard_out("bob")
        assert hall.hears() == {"bob": {"agent"}, "agent": {"bob"}}

    async def test_or_it_rings_on_until_one_comes(self) -> None:
        hall = await self.made("<Say>hello</Say>")
        await hall.hangs_up("alice")
        assert hall.plays("agent") == ["tone"]
        await hall.call("bob", wait())
        assert hall.plays("bob") == ["hello"]

    async def test_one_who_lost_a_caller_comes_before_those_who_wait_for_theirs(self) -> None:
        hall = await self.made("<Say>hello</Say>")
        await hall.call("other", take())
        await hall.hangs_up("alice")
        await hall.call("bob", wait())
        await hall.heard_out("bob")
        assert hall.hears() == {"bob": {"agent"}, "agent": {"bob"}}

    async def test_the_timeout_still_counts_after_a_caller_was_lost(self) -> None:
        hall = await waiting_hall("alice", timeout_buffer=-4.95)
        hall.web.answers["http://app/greet"] = "<Response><Say>hello</Say></Response>"
        await hall.call("agent", take('timeout="5"', 'url="/greet"'))
        await hall.hangs_up("alice")
        await hall.until(lambda: hall.plays("agent") == ["next"])

    async def test_the_timeout_does_not_cut_it_off(self) -> None:
        hall = await waiting_hall("alice", timeout_buffer=-4.99)
        hall.web.answers["http://app/greet"] = "<Response><Say>hello</Say></Response>"
        await hall.call("agent", take('timeout="5"', 'url="/greet"'))
        await hall.call("later", take('timeout="5"'))
        await hall.until(lambda: hall.plays("later") == ["next"])
        assert hall.plays("alice") == ["hello"]
        await hall.heard_out("alice")
        assert hall.hears() == {"alice": {"agent"}, "agent": {"alice"}}

    async def test_if_nobody_takes_the_caller_after_all_it_waits_on_in_its_old_place(self) -> None:
        hall = await self.made("<Say>hello</Say>")
        await hall.call("bob", wait())
        await hall.hangs_up("agent")
        assert waiters(hall) == ["alice", "bob"]
        assert hall.plays("alice") == ["hold-music.wav"]
        assert hall.asked_of("http://app/left") == []

    async def test_and_is_taken_by_another_who_waits_for_one(self) -> None:
        hall = await self.made("<Say>hello</Say>")
        await hall.call("other", take())
        await hall.presses_key("agent", "*")
        assert hall.hears() == {"alice": {"other"}, "other": {"alice"}}
        assert hall.plays("alice") == []

    async def test_a_live_change_of_the_caller_meanwhile_is_redirected(self) -> None:
        hall = await self.made("<Say>hello</Say>")
        hall.web.answers["http://app/else"] = "<Response><Say>else</Say></Response>"
        await hall.is_redirected("alice", "http://app/else")
        assert hall.web.parameters("http://app/left")["QueueResult"] == "redirected"
        assert hall.plays("alice") == ["else"]
        assert hall.plays("agent") == ["tone"]


class TestRecording:
    """record of <Dial> works as for any other noun; with `-dual` the leg that dials is the first channel."""

    @pytest.mark.parametrize(
        ("record", "track", "groups"),
        [
            ("record-from-answer", "both", [["agent", "alice"]]),
            ("record-from-answer-dual", "both", [["agent"], ["alice"]]),
            ("record-from-answer-dual", "inbound", [["agent"]]),
            ("record-from-answer", "outbound", [["alice"]]),
        ],
    )
    async def test_from_answer_begins_at_the_bridge(self, record: str, track: str, groups: list[list[str]]) -> None:
        hall = hall_of()
        await hall.call("agent", take(f'record="{record}" recordingTrack="{track}" action="/done"'))
        assert hall.phone.commands("record") == []
        await hall.call("alice", wait())
        assert hall.phone.commands("record") == [([[hall.leg(name) for name in group] for group in groups],)]
        await hall.hangs_up("alice")
        assert hall.recordings() == ["in-progress", "processing"]
        assert "/Recordings/RE" in hall.web.parameters("http://app/done")["RecordingUrl"]

    async def test_from_ringing_begins_at_once_and_adds_the_caller(self) -> None:
        hall = hall_of()
        await hall.call("agent", take('record="record-from-ringing-dual"'))
        assert hall.phone.commands("record") == [([[hall.leg("agent")], []],)]
        await hall.call("alice", wait())
        assert hall.phone.commands("record also") == [(1, hall.leg("alice"))]

    async def test_from_ringing_of_one_side_stays_that_side(self) -> None:
        hall = hall_of()
        await hall.call("agent", take('record="record-from-ringing" recordingTrack="inbound"'))
        await hall.call("alice", wait())
        assert hall.phone.commands("record also") == []

    async def test_its_callback_is_told(self) -> None:
        hall = await waiting_hall("alice")
        events = 'recordingStatusCallback="/rec" recordingStatusCallbackEvent="in-progress"'
        await hall.call("agent", take(f'record="record-from-answer" {events}'))
        assert hall.told("RecordingStatus", "CallSid") == [("in-progress", hall.sid("agent"))]


class TestRaces:
    """Whoever is first decides; nobody is given to two, and nobody is left waiting for one who is gone."""

    async def test_a_caller_hangs_up_as_it_is_taken(self) -> None:
        hall = await waiting_hall("alice", "bob")
        hall.enter("agent", take())
        hall.hang_up_now("alice")
        await hall.settle()
        assert hall.hears() == {"bob": {"agent"}, "agent": {"bob"}}

    async def test_the_one_who_takes_hangs_up_as_a_caller_comes(self) -> None:
        hall = hall_of()
        await hall.call("agent", take())
        hall.enter("alice", wait())
        hall.hang_up_now("agent")
        await hall.settle()
        assert waiters(hall) == ["alice"]
        assert hall.hears() == {}

    async def test_leave_in_the_moment_of_being_taken(self) -> None:
        hall = hall_of()
        hall.web.answers["http://app/wait"] = "<Response><Leave/></Response>"
        hall.enter("alice", wait('waitUrl="/wait" action="/left"'))
        hall.enter("agent", take('timeout="5"'))
        await hall.settle()
        results = [one["QueueResult"] for one in hall.asked_of("http://app/left")]
        talking = "alice" in hall.hears()
        assert (results, talking) in ((["leave"], False), ([], True))
        await hall.everybody_hangs_up()

    async def test_leave_that_has_run_when_the_call_is_taken_does_not_part_them(self) -> None:
        """The music's end is told one turn later than it happens."""
        hall = await waiting_hall("alice")
        run = hall.sessions["alice"].script.joint
        assert isinstance(run, EnqueueRun)
        await hall.call("agent", take())
        run._music_over(Done(how=How.LEAVE))
        assert hall.hears() == {"alice": {"agent"}, "agent": {"alice"}}

    async def test_music_that_is_stopped_in_the_moment_of_its_end_tells_nothing(self) -> None:
        hall = await waiting_hall("alice")
        told: list[Done] = []
        aside = waiting.Aside(hall.sessions["alice"].script, told.append)

        async def at_once() -> Done:
            return Done(how=How.LEAVE)

        aside.start(at_once())
        await asyncio.sleep(0)  # it has ended, and is about to be told
        aside.stop()
        await hall.settle()
        assert told == []

    async def test_both_hang_up_together(self) -> None:
        hall = await waiting_hall("alice")
        await hall.call("agent", take('action="/done"'))
        hall.hang_up_now("agent")
        hall.hang_up_now("alice")
        await hall.settle()
        assert len(hall.asked_of("http://app/left")) == len(hall.asked_of("http://app/done")) == 1
        assert hall.ended == {"alice", "agent"}

    async def test_a_redirect_and_a_hang_up_together(self) -> None:
        hall = await waiting_hall("alice")
        hall.redirect_now("alice", "http://app/else")
        hall.hang_up_now("alice")
        await hall.settle()
        assert hall.ended == {"alice"}
        assert waiters(hall) == []

    async def test_a_redirect_as_it_is_taken(self) -> None:
        hall = await waiting_hall("alice", "bob")
        hall.web.answers["http://app/else"] = "<Response><Say>else</Say></Response>"
        hall.enter("agent", take())
        hall.redirect_now("alice", "http://app/else")
        await hall.settle()
        assert hall.hears() == {"bob": {"agent"}, "agent": {"bob"}}
        assert hall.plays("alice") == ["else"]

    async def test_the_timeout_and_a_caller_together(self) -> None:
        hall = hall_of(timeout_buffer=-4.99)
        await hall.call("agent", take('timeout="5"'))
        hall.enter("alice", wait())
        await hall.until(lambda: hall.plays("agent") == ["next"] or "agent" in hall.hears())
        await hall.settle()
        assert ("agent" in hall.hears()) != ("alice" in waiters(hall))
        await hall.everybody_hangs_up()

    async def test_a_caller_whose_session_dies_leaves_the_queue(self) -> None:
        hall = await waiting_hall("alice")
        task = hall.sessions["alice"]._task
        assert task is not None
        task.cancel()
        await hall.settle()
        assert waiters(hall) == []

    async def test_everybody_is_stopped_at_once(self) -> None:
        hall = await waiting_hall("alice", "bob")
        await hall.call("agent", take())
        for session in hall.sessions.values():
            session.hang_up("The engine was stopped.")
        await hall.settle()
        assert hall.hears() == {}
        assert waiters(hall) == []
        await hall.everybody_hangs_up()


class TestManyQueues:
    """A queue begins with the first call that names it; idle ones are forgotten once there are a thousand."""

    async def test_idle_ones_are_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rooms, "REMEMBERED", 2)
        hall = hall_of()
        for name in ("a", "b", "c"):
            await hall.call(name, f"<Enqueue>{name}</Enqueue>")
            await hall.hangs_up(name)
        assert [view.name for view in hall.rooms.snapshot().queues] == ["b", "c"]

    async def test_those_with_callers_are_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rooms, "REMEMBERED", 1)
        hall = hall_of()
        await hall.call("a", "<Enqueue>a</Enqueue>")
        await hall.call("b", "<Enqueue>b</Enqueue>")
        assert waiters(hall) == ["a", "b"]

    async def test_a_caller_who_is_returned_to_a_forgotten_one_is_found_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rooms, "REMEMBERED", 1)
        hall = await waiting_hall("alice")
        hall.web.answers["http://app/greet"] = "<Response><Say>hello</Say></Response>"
        await hall.call("agent", take(noun='url="/greet"'))
        await hall.call("b", "<Enqueue>b</Enqueue>")
        await hall.hangs_up("agent")
        await hall.call("other", take())
        assert hall.hears() == {"alice": {"other"}, "other": {"alice"}}

    async def test_the_snapshot_tells_who_waits(self) -> None:
        hall = await waiting_hall("alice", "bob")
        (view,) = hall.rooms.snapshot().queues
        assert (view.name, view.max_size, view.account_sid) == ("support", 1000, hall.record.account_sid)
        assert [(one.call_sid, one.position) for one in view.members] == [
            (hall.sid("alice"), 1),
            (hall.sid("bob"), 2),
        ]

    async def test_a_queue_is_found_by_its_sid_in_its_account_only(self) -> None:
        hall = await waiting_hall("alice")
        assert hall.rooms.queue("AC" + "9" * 32, queue(hall).sid) is None

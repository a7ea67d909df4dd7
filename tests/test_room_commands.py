"""What the API asks of rooms, on a scripted phone; and what the journal is told of rooms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from calls.entries import (
    ConferenceEntry,
    ConferenceSpec,
    Entry,
    MemberEntry,
    ParticipantEntry,
    QueuedCommand,
    QueueEntry,
    RoomChange,
)
from calls.room_sids import queue_sid
from sipengine import room_commands
from tests.hall import Hall

TEAM = "<Dial><Conference beep='false'>Team</Conference></Dial><Say>after</Say>"
SUPPORT = "<Enqueue>support</Enqueue>"
URL = "http://app/elsewhere"
SAYS = "<Response><Say>hello</Say></Response>"


async def hall_of(*names: str, twiml: str = TEAM) -> Hall:
    """Let these callers in, one after the other."""
    hall = Hall()
    for name in names:
        await hall.call(name, twiml)
    return hall


def sid_of(hall: Hall) -> str:
    view = hall.rooms.snapshot()
    (room,) = view.conferences or view.queues
    return room.sid


def obey(hall: Hall, name: str, action: str, sid: str = "", url: str = "", **change: Any) -> tuple[bool, str]:
    """Ask for a change of this caller's, in the only room."""
    room = RoomChange(hall.record.account_sid, sid or sid_of(hall), **change)
    command = QueuedCommand(7, hall.sid(name), action=action, url=url, by="anna", room=room)
    return room_commands.obey(hall.rooms, hall.sessions[name], command)


def told(hall: Hall, kind: type[Entry]) -> list[Any]:
    """Return the entries of one kind so far."""
    return [entry for entry in hall.entries if isinstance(entry, kind)]


class TestConferences:
    """Commands to a conference and to those in it."""

    async def test_mute_and_unmute(self) -> None:
        hall = await hall_of("alice", "bob")
        assert obey(hall, "bob", "participant", muted=True) == (True, "The participant was changed.")
        assert hall.hears() == {"bob": {"alice"}}
        obey(hall, "bob", "participant", muted=False)
        assert hall.hears() == {"alice": {"bob"}, "bob": {"alice"}}
        assert ("command", {"what": "participant", "by": "anna"}) in hall.timeline("bob")

    async def test_hold_with_music_of_its_own_and_back(self) -> None:
        hall = await hall_of("alice", "bob")
        hall.web.answers[URL] = "<Response><Play>http://app/waltz.wav</Play></Response>"
        obey(hall, "bob", "participant", hold=True, hold_url=URL)
        await hall.settle()
        assert hall.hears() == {} and hall.plays("bob") == ["waltz.wav"]
        assert hall.asked_of(URL)[0]["FriendlyName"] == "Team"
        obey(hall, "bob", "participant", hold=False)
        await hall.settle()
        assert hall.plays("bob") == [] and hall.hears() == {"alice": {"bob"}, "bob": {"alice"}}

    async def test_music_changes_on_hold_and_while_waiting(self) -> None:
        hall = await hall_of("alice", "bob")
        obey(hall, "bob", "participant", hold=True)
        await hall.settle()
        hall.web.answers[URL] = "<Response><Play>http://app/waltz.wav</Play></Response>"
        obey(hall, "bob", "participant", hold=True, hold_url=URL)
        await hall.settle()
        assert hall.plays("bob") == ["waltz.wav"]
        alone = await hall_of("alice")
        assert alone.plays("alice") == ["hold-music.wav"]
        obey(alone, "alice", "participant", wait_url="")
        await alone.settle()
        assert alone.plays("alice") == []

    async def test_an_announcement_is_heard_by_one_beside_the_talk(self) -> None:
        hall = await hall_of("alice", "bob")
        hall.web.answers[URL] = SAYS
        obey(hall, "bob", "participant", announce_url=URL)
        await hall.settle()
        assert hall.plays("bob") != [] and hall.plays("alice") == []
        assert hall.hears() == {"alice": {"bob"}, "bob": {"alice"}}

    async def test_an_announcement_is_heard_by_all_of_a_conference_once(self) -> None:
        hall = await hall_of("alice", "bob")
        hall.web.answers[URL] = SAYS
        assert obey(hall, "bob", "conference", announce_url=URL)[0]
        await hall.settle()
        assert hall.plays("bob") == hall.plays("alice") != []
        for name in ("alice", "bob"):
            await hall.heard_out(name)
        await hall.settle()
        assert hall.plays("bob") == hall.plays("alice") == []
        assert len(hall.asked_of(URL)) == 2

    async def test_whom_one_coaches_hears_him_alone(self) -> None:
        hall = await hall_of("alice", "bob", "carol")
        obey(hall, "carol", "participant", coach=hall.sid("bob"))
        assert hall.hears() == {"alice": {"bob"}, "bob": {"alice", "carol"}, "carol": {"alice", "bob"}}
        entry = told(hall, ParticipantEntry)[-1]
        assert (entry.coaching, entry.call_sid_to_coach) == (True, hall.sid("bob"))
        obey(hall, "carol", "participant", coach="")
        assert hall.hears()["alice"] == {"bob", "carol"}

    async def test_twiml_lets_one_coach_from_the_beginning(self) -> None:
        hall = await hall_of("alice", "bob")
        await hall.call("carol", f"<Dial><Conference coach='{hall.sid('bob')}'>Team</Conference></Dial>")
        assert hall.hears() == {"alice": {"bob"}, "bob": {"alice", "carol"}, "carol": {"alice", "bob"}}

    @pytest.mark.parametrize(("beep", "on_exit", "heard"), [("true", False, []), ("onEnter", True, ["beep.wav"])])
    async def test_whether_the_others_hear_it_go(self, beep: str, on_exit: bool, heard: list[str]) -> None:
        hall = await hall_of("alice", "bob", twiml=f"<Dial><Conference beep='{beep}'>Team</Conference></Dial>")
        await hall.heard_out("alice")
        obey(hall, "bob", "participant", beep_on_exit=on_exit)
        await hall.hangs_up("bob")
        assert hall.plays("alice") == heard

    async def test_kick_and_end(self) -> None:
        hall = await hall_of("alice", "bob", "carol")
        assert obey(hall, "carol", "kick") == (True, "The participant was taken out.")
        await hall.settle()
        assert hall.hears() == {"alice": {"bob"}, "bob": {"alice"}}
        assert obey(hall, "alice", "conference", end=True)[0]
        assert hall.rooms.snapshot().conferences == ()
        last = told(hall, ConferenceEntry)[-1]
        assert (last.status, last.reason_ended, last.ended_by) == ("completed", "conference-ended-via-api", "")

    async def test_whoever_or_whatever_is_gone_is_said(self) -> None:
        hall = await hall_of("alice", "bob", "carol")
        sid = sid_of(hall)
        await hall.hangs_up("carol")
        assert obey(hall, "carol", "participant", muted=True) == (False, room_commands.NOT_IN)
        assert obey(hall, "carol", "kick") == (False, room_commands.NOT_IN)
        await hall.hangs_up("bob")
        await hall.hangs_up("alice")
        assert obey(hall, "alice", "conference", sid, end=True) == (False, room_commands.CONFERENCE_OVER)

    async def test_a_session_that_has_ended_is_not_needed_to_end_a_conference(self) -> None:
        hall = await hall_of("alice", "bob")
        change = RoomChange(hall.record.account_sid, sid_of(hall), end=True)
        command = QueuedCommand(7, "CA" + "9" * 32, action="conference", room=change)
        assert room_commands.obey(hall.rooms, None, command)[0]


class TestJournal:
    """What is told of rooms: whole rows, at every change."""

    async def test_a_conference_from_its_beginning_to_its_end(self) -> None:
        hall = await hall_of("alice", "bob")
        await hall.hangs_up("alice")
        await hall.hangs_up("bob")
        entries = told(hall, ConferenceEntry)
        assert [entry.status for entry in entries] == ["init", "in-progress", "completed"]
        assert {(entry.sid, entry.name, entry.engine) for entry in entries} == {(entries[0].sid, "Team", "test")}
        last = entries[-1]
        assert (last.reason_ended, last.ended_by) == ("last-participant-left", hall.sid("bob"))

    async def test_a_participant_from_coming_to_going(self) -> None:
        hall = await hall_of("alice", "bob")
        obey(hall, "bob", "participant", muted=True, end_on_exit=True)
        await hall.hangs_up("bob")
        entries = [entry for entry in told(hall, ParticipantEntry) if entry.call_sid == hall.sid("bob")]
        assert [(one.muted, one.end_on_exit, one.left is None) for one in entries] == [
            (False, False, True),
            (False, True, True),
            (True, True, True),
            (True, True, False),
        ]
        assert len({one.joined for one in entries}) == 1

    async def test_a_queue_and_who_waits_in_it(self) -> None:
        hall = await hall_of("alice", twiml=SUPPORT)
        (queue,) = told(hall, QueueEntry)
        assert (queue.sid, queue.name) == (queue_sid(queue.account_sid, "support"), "support")
        await hall.call("bob", "<Dial><Queue>support</Queue></Dial>")
        assert [(one.call_sid, one.waiting) for one in told(hall, MemberEntry)] == [
            (hall.sid("alice"), True),
            (hall.sid("alice"), False),
        ]

    async def test_one_who_hangs_up_waits_no_longer(self) -> None:
        hall = await hall_of("alice", twiml=SUPPORT)
        await hall.hangs_up("alice")
        assert [one.waiting for one in told(hall, MemberEntry)] == [True, False]


class TestDequeue:
    """Twilio: a member is dequeued with a URL."""

    async def test_the_call_goes_on_at_the_url(self) -> None:
        hall = await hall_of("alice", "bob", twiml=SUPPORT)
        hall.web.answers[URL] = "<Response><Say>your turn</Say></Response>"
        assert obey(hall, "alice", "dequeue", url=URL)[0]
        await hall.settle()
        assert len(hall.asked_of(URL)) == 1
        assert [member.call_sid for member in hall.rooms.snapshot().queues[0].members] == [hall.sid("bob")]

    async def test_one_who_does_not_wait_is_left_alone(self) -> None:
        hall = await hall_of("alice", twiml=SUPPORT)
        sid = sid_of(hall)
        await hall.call("bob", "<Dial><Queue>support</Queue></Dial>")
        assert obey(hall, "alice", "dequeue", sid, URL) == (False, room_commands.NOT_WAITING)
        await hall.hangs_up("alice")
        assert obey(hall, "alice", "dequeue", sid, URL) == (False, room_commands.NOT_WAITING)
        assert hall.asked_of(URL) == []


class TestKeptQueues:
    """Queues that the database knows, by the API or by an earlier call."""

    def row(self, hall: Hall, name: str = "support", **values: Any) -> QueueEntry:
        account = hall.record.account_sid
        return replace(QueueEntry(queue_sid(account, name), account, name, 1000, 1.0), **values)

    async def test_its_size_and_sid_count(self) -> None:
        hall = Hall()
        hall.rooms.configure([self.row(hall, sid="QU" + "7" * 32, max_size=1)])
        await hall.call("alice", SUPPORT)
        await hall.call("bob", SUPPORT)
        (view,) = hall.rooms.snapshot().queues
        assert (view.sid, view.max_size, len(view.members)) == ("QU" + "7" * 32, 1, 1)
        assert told(hall, QueueEntry) == []

    async def test_one_that_calls_wait_in_is_renamed_and_resized(self) -> None:
        hall = await hall_of("alice", twiml=SUPPORT)
        hall.rooms.configure([self.row(hall, name="sales", sid=sid_of(hall), max_size=5)])
        (view,) = hall.rooms.snapshot().queues
        assert (view.name, view.max_size, len(view.members)) == ("sales", 5, 1)
        await hall.call("bob", "<Dial><Queue>sales</Queue></Dial>")
        assert hall.hears() == {"alice": {"bob"}, "bob": {"alice"}}

    async def test_the_name_of_a_renamed_one_means_another(self) -> None:
        hall = Hall()
        row = self.row(hall)
        hall.rooms.configure([replace(row, name="sales")])
        await hall.call("alice", SUPPORT)
        (view,) = hall.rooms.snapshot().queues
        assert view.name == "support" and view.sid != row.sid

    async def test_one_that_somebody_else_made_meanwhile_keeps_the_others_sid(self) -> None:
        hall = await hall_of("alice", twiml=SUPPORT)
        hall.rooms.configure([self.row(hall, sid="QU" + "7" * 32)])
        assert sid_of(hall) == "QU" + "7" * 32
        assert told(hall, MemberEntry)[-1].queue_sid == "QU" + "7" * 32

    async def test_a_deleted_one_is_forgotten_unless_somebody_waits(self) -> None:
        hall = await hall_of("alice", twiml=SUPPORT)
        hall.rooms.configure([self.row(hall)])
        hall.rooms.configure([])
        assert len(told(hall, QueueEntry)) == 2
        await hall.hangs_up("alice")
        hall.rooms.configure([self.row(hall)])
        hall.rooms.configure([])
        assert hall.rooms.snapshot().queues == ()


class TestPromised:
    """Conferences that the API opened by placing a call into them."""

    SPEC = ConferenceSpec("CF" + "7" * 32, "Team")

    def expect(self, hall: Hall, call: str, spec: ConferenceSpec = SPEC) -> list[str]:
        given_up: list[str] = []
        account = hall.record.account_sid
        hall.rooms.expect(hall.services, call, account, spec, lambda: given_up.append(call))
        return given_up

    async def test_the_first_who_comes_opens_it_under_its_sid(self) -> None:
        hall = Hall()
        self.expect(hall, "CA1")
        await hall.call("alice", TEAM)
        assert sid_of(hall) == self.SPEC.sid

    async def test_it_is_over_when_nobody_comes(self) -> None:
        hall = Hall()
        for call in ("CA1", "CA2"):
            self.expect(hall, call)
        hall.rooms.expect_no_more(hall.services, "CA1")
        assert told(hall, ConferenceEntry) == []
        hall.rooms.expect_no_more(hall.services, "CA2")
        (entry,) = told(hall, ConferenceEntry)
        assert (entry.sid, entry.status) == (self.SPEC.sid, "completed")
        await hall.call("alice", TEAM)
        assert sid_of(hall) != self.SPEC.sid

    async def test_who_is_on_the_way_is_called_off_when_it_ends(self) -> None:
        hall = await hall_of("alice")
        given_up = self.expect(hall, "CA1", ConferenceSpec(sid_of(hall), "Team"))
        await hall.hangs_up("alice")
        assert given_up == ["CA1"]

    async def test_who_comes_into_one_that_has_ended_is_called_off(self) -> None:
        hall = await hall_of("alice")
        spec = ConferenceSpec(sid_of(hall), "Team")
        await hall.hangs_up("alice")
        assert self.expect(hall, "CA1", spec) == ["CA1"]

    async def test_one_of_that_name_that_was_opened_meanwhile_takes_its_place(self) -> None:
        hall = await hall_of("alice")
        self.expect(hall, "CA1")
        assert [(one.sid, one.status) for one in told(hall, ConferenceEntry)][-1] == (self.SPEC.sid, "completed")
        await hall.call("bob", TEAM)
        assert len(hall.rooms.snapshot().conferences) == 1

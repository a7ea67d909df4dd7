"""asyncio: what the API asks of conferences and queues, and of those who are in them.

Source: Twilio's Conference, Participant and Member resources.
"""

from __future__ import annotations

from calls.entries import QueuedCommand, RoomChange
from sipengine.conference import Conference
from sipengine.documents import Goto
from sipengine.rooms import Rooms
from sipengine.session import CallSession

CONFERENCE_OVER = "The conference is over (error 16022)."
NOT_IN = "The call is not in the conference any more (error 20404)."
NOT_WAITING = "The call does not wait in the queue any more (error 20404)."


def obey(rooms: Rooms, session: CallSession | None, command: QueuedCommand) -> tuple[bool, str]:
    """Carry a command out; `session` is that of its call, if it is in progress. Return whether that could be."""
    change = command.room
    assert change is not None
    if command.action == "dequeue":
        return _dequeue(rooms, session, command, change)
    room = rooms.conference(change.account_sid, change.sid)
    if room is None:
        return False, CONFERENCE_OVER
    if session is not None:
        session.log.event("command", what=command.action, by=command.by or "an operator")
    match command.action:
        case "conference" if change.end:
            room.end()
            return True, "The conference was ended."
        case "conference":
            room.announce(change.announce_url, change.announce_method)
            return True, "It is announced to all participants."
        case "kick":
            done, outcome = room.kick(command.call_sid), "The participant was taken out."
        case _:
            done, outcome = _change(room, command.call_sid, change), "The participant was changed."
    return (True, outcome) if done else (False, NOT_IN)


def _change(room: Conference, call_sid: str, change: RoomChange) -> bool:
    there = room.modify(call_sid, change)
    if change.muted is not None:
        room.mute(call_sid, change.muted)
    if change.hold is not None:
        room.hold(call_sid, change.hold, change.hold_url, change.hold_method)
    if change.announce_url:
        room.announce(change.announce_url, change.announce_method, call_sid)
    return there


def _dequeue(rooms: Rooms, session: CallSession | None, command: QueuedCommand, change: RoomChange) -> tuple[bool, str]:
    queue = rooms.queue(change.account_sid, change.sid)
    if queue is None or session is None or session.ending or not queue.holds(command.call_sid):
        return False, NOT_WAITING
    session.log.event("command", what="dequeue", by=command.by or "an operator")
    session.redirect(Goto(command.url, command.method))
    return True, "The call left the queue and goes on with another document."

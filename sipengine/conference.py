"""asyncio: conferences: calls of different sessions that hear one another. This file is the room; `participating.py` is
one who is in it, `conferencing.py` the verb that joins a call to it.

Source: Twilio's `<Conference>` page; what it leaves open is in docs/twiml.md.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from calls.entries import CallbackSpec, ConferenceEntry, RoomChange
from calls.verb_parameters import ConferenceEvent, ConferenceState, Participant, conference_parameters
from routing.sid import new_sid
from sipengine import twiml
from sipengine.callbacks import spec_of
from sipengine.mixing import Mix
from sipengine.participating import Chime, Member
from sipengine.ports import LegId
from sipengine.recorder import Recorder
from sipengine.script import Script
from sipengine.services import Services

HUNG_UP = "participant_hung_up"
PRESSED_STAR = "participant_pressed_star"
TIME_LIMIT = "participant_reached_time_limit"
UPDATED = "participant_updated_via_api"
KICKED = "participant_kicked_via_api"
ENDED = "conference_ended"

LAST_LEFT = "last-participant-left"
LAST_KICKED = "last-participant-kicked"
ENDER_LEFT = "participant-with-end-conference-on-exit-left"
ENDER_KICKED = "participant-with-end-conference-on-exit-kicked"
ENDED_VIA_API = "conference-ended-via-api"

INIT, IN_PROGRESS, COMPLETED = "init", "in-progress", "completed"

CALLBACK_EVENTS: dict[ConferenceEvent, str] = {
    "conference-start": "start",
    "conference-end": "end",
    "participant-join": "join",
    "participant-leave": "leave",
    "participant-mute": "mute",
    "participant-unmute": "mute",
    "participant-hold": "hold",
    "participant-unhold": "hold",
    "participant-modify": "modify",
}
"""What happens → the word of `statusCallbackEvent` that asks for it."""


@dataclass(frozen=True, slots=True)
class ConferenceView:
    """A conference as others may look at it; participants in the order in which they joined."""

    sid: str
    account_sid: str
    name: str
    started: bool
    created: float
    participants: tuple[Participant, ...]


class Conference:
    """One room, from the first who joins to the last who leaves; `closed` is called then.

    Every change is made in one turn of the event loop: whoever comes while the last one leaves finds another room.
    """

    def __init__(
        self,
        name: str,
        account_sid: str,
        services: Services,
        closed: Callable[[Conference], None],
        *,
        sid: str = "",
        region: str = "",
    ) -> None:
        self.sid = sid or new_sid("CF")
        self.name = name
        self.region = region
        self.account_sid = account_sid
        self.created = time.time()
        self.started = False
        self.recorder: Recorder | None = None
        self._services = services
        self._closed = closed
        self._members: dict[str, Member] = {}
        self._mix = Mix(services.phone)
        self._recorded: set[LegId] = set()
        self._callback: CallbackSpec | None = None
        self._sequence = itertools.count()

    def __len__(self) -> int:
        return len(self._members)

    def join(self, script: Script, noun: twiml.Conference) -> Member:
        """Let a call in."""
        member = Member(script, noun, self.sid)
        if not self._members:
            self._save(INIT)
        self._members[member.call_sid] = member
        self._keep(member)
        if self._callback is None:
            self._callback = spec_of(noun.callback, script.documents.absolute, script.log)
        script.log.event("conference.join", name=self.name, sid=self.sid, participants=len(self))
        self._tell("participant-join", member)
        if self.started:
            self._connect(member)
            self._chime(member, "enter")
        elif len(self) > 1 and any(one.noun.start_on_enter for one in self._members.values()):
            self._start(member)
        else:
            member.play_music(self.name, started=False)
        self._start_recording()
        return member

    def leave(self, member: Member, reason: str) -> None:
        """Let a call go: it ended, pressed the star, is redirected or kicked. Nothing happens if it is out already."""
        if self._members.get(member.call_sid) is not member:
            return
        self._remove(member, reason)
        kicked = reason == KICKED
        if not self._members:
            ended = LAST_KICKED if kicked else LAST_LEFT
            if member.end_on_exit:
                ended = ENDER_KICKED if kicked else ENDER_LEFT
            self._close(member, ended)
        elif member.end_on_exit:
            self._remove_all()
            self._close(member, ENDER_KICKED if kicked else ENDER_LEFT)
        else:
            self._chime(member, "exit")

    def end(self) -> None:
        """Let everybody go."""
        last = next(reversed(self._members.values()), None)
        if last is not None:
            self._remove_all()
            self._close(last, ENDED_VIA_API)

    def mute(self, call_sid: str, muted: bool = True) -> bool:
        """Let the others no longer hear a participant, or again; return False if it is not in."""
        member = self._members.get(call_sid)
        if member is not None and member.muted != muted:
            member.muted = muted
            self._connect(member)
            self._changed("participant-mute" if muted else "participant-unmute", member)
        return member is not None

    def hold(self, call_sid: str, held: bool = True, url: str | None = None, method: str = "POST") -> bool:
        """Take a participant out of the talk, with music (as `waitUrl`) instead, or back; False if it is not in."""
        member = self._members.get(call_sid)
        if member is not None:
            changed = member.held != held
            member.hold(held, url, method)
            member.play_music(self.name, started=self.started)
            if changed:
                self._connect(member)
                self._changed("participant-hold" if held else "participant-unhold", member)
        return member is not None

    def modify(self, call_sid: str, change: RoomChange) -> bool:
        """Change how a participant ends, beeps and waits, and whom it coaches; return False if it is not in."""
        member = self._members.get(call_sid)
        if member is not None and member.modify(change):
            self._connect(member)
            member.play_music(self.name, started=self.started)
            self._changed("participant-modify", member)
        return member is not None

    def announce(self, url: str, method: str, call_sid: str = "") -> bool:
        """Let a participant, or all of them, hear a document once; return False if that one is not in."""
        told = [member for member in self._members.values() if call_sid in ("", member.call_sid)]
        for member in told:
            member.announce(url, method, self.name)
        return bool(told)

    def kick(self, call_sid: str) -> bool:
        """Let a participant go on with its next verb; return False if it is not in."""
        member = self._members.get(call_sid)
        if member is not None:
            self.leave(member, KICKED)
        return member is not None

    def away(self, member: Member, away: bool) -> None:
        """Do not let the others hear the music of a phone that holds us."""
        member.away = away
        if member.call_sid in self._members:
            self._connect(member)

    def snapshot(self) -> ConferenceView:
        """Return what the room is like now."""
        participants = tuple(member.participant() for member in self._members.values())
        return ConferenceView(self.sid, self.account_sid, self.name, self.started, self.created, participants)

    def _start(self, by: Member) -> None:
        self.started = True
        self._save(IN_PROGRESS)
        for member in self._members.values():
            member.play_music(self.name, started=True)
        for one, other in itertools.combinations(self._members.values(), 2):
            self._connect_two(one, other)
        self._tell("conference-start", by)
        self._chime(by, "enter")

    def _connect(self, member: Member) -> None:
        for other in self._others(member):
            self._connect_two(member, other)
        if self.recorder is not None and not self.recorder.over:
            self._record(member, self.recorder)

    def _connect_two(self, one: Member, other: Member) -> None:
        hears = self.started and not (one.held or other.held)
        self._mix.connect(
            one.leg,
            other.leg,
            one_hears=hears and other.audible_to(one),
            other_hears=hears and one.audible_to(other),
        )

    def _others(self, member: Member) -> Iterator[Member]:
        return (other for other in self._members.values() if other is not member)

    def _chime(self, by: Member, kind: Chime) -> None:
        if self.started and by.beeps(kind):
            for other in self._others(by):
                if not other.held:
                    other.chime(kind)

    def _start_recording(self) -> None:
        asker = next((member for member in self._members.values() if member.noun.record), None)
        if asker is None or self.recorder is not None or not self.started:
            return
        services = self._services
        self._recorded = {one.leg for one in self._members.values() if one.audible and not one.coaches}
        self.recorder = Recorder(
            asker.script.leg.record,
            [sorted(self._recorded)],
            source="Conference",
            phone=services.phone,
            log=asker.script.log,
            callbacks=services.callbacks,
            own=services.own,
            folder=services.recordings,
            public_url=services.public_url,
            trim=asker.noun.trim,
            callback=spec_of(asker.noun.recording_callback, asker.script.documents.absolute, asker.script.log),
            conference_sid=self.sid,
        )

    def _record(self, member: Member, recorder: Recorder) -> None:
        """Let the recording hear what the others hear of a member."""
        leg = member.leg
        wanted = member.audible and not member.coaches and self._members.get(member.call_sid) is member
        if wanted and leg not in self._recorded:
            self._recorded.add(leg)
            recorder.also(0, leg)
        elif not wanted and leg in self._recorded:
            self._recorded.discard(leg)
            recorder.without(0, leg)

    def _remove(self, member: Member, reason: str) -> None:
        del self._members[member.call_sid]
        if reason != HUNG_UP:
            for other in self._members.values():
                self._mix.connect(member.leg, other.leg, one_hears=False, other_hears=False)
            if self.recorder is not None and not self.recorder.over:
                self._record(member, self.recorder)
        self._mix.forget(member.leg)
        self._recorded.discard(member.leg)
        member.script.log.event("conference.leave", name=self.name, sid=self.sid, participants=len(self))
        self._keep(member, left=True)
        self._tell("participant-leave", member, reason=reason)
        member.go(reason)

    def _remove_all(self) -> None:
        for member in tuple(self._members.values()):
            self._remove(member, ENDED)

    def _close(self, by: Member, reason: str) -> None:
        if self.recorder is not None:
            self.recorder.stop()
        self._save(COMPLETED, reason, "" if reason == ENDED_VIA_API else by.call_sid)
        self._tell("conference-end", by, reason_ended=reason)
        self._closed(self)

    def _save(self, status: str, reason_ended: str = "", ended_by: str = "") -> None:
        services, now = self._services, time.time()
        services.put(
            ConferenceEntry(
                self.sid,
                self.account_sid,
                self.name,
                status,
                services.engine,
                self.region,
                self.created,
                now,
                reason_ended,
                ended_by,
            )
        )

    def _keep(self, member: Member, *, left: bool = False) -> None:
        self._services.put(member.entry(time.time(), left=left))

    def _changed(self, event: ConferenceEvent, member: Member) -> None:
        self._keep(member)
        self._tell(event, member)

    def _tell(self, event: ConferenceEvent, member: Member, *, reason: str = "", reason_ended: str = "") -> None:
        spec, now = self._callback, time.time()
        if spec is None or CALLBACK_EVENTS[event] not in spec.events:
            return
        state = ConferenceState(
            sid=self.sid,
            account_sid=self.account_sid,
            friendly_name=self.name,
            event=event,
            sequence=next(self._sequence),
            time=now,
            participant=None if reason_ended else member.participant(),
            reason=reason,
            ended_by=member.call_sid if reason_ended not in ("", ENDED_VIA_API) else "",
            reason_ended=reason_ended,
        )
        parameters = conference_parameters(state)
        self._services.callbacks.fire(spec, self.account_sid, member.call_sid, "conference", event, parameters, now)

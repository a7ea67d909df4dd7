"""asyncio: a call in a conference: what it may, and what is played to it alone."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Literal

from calls.entries import ParticipantEntry, RoomChange
from calls.verb_parameters import Participant, conference_wait_parameters
from sipengine import twiml
from sipengine.documents import Done, Goto
from sipengine.media import MediaError
from sipengine.ports import LegId
from sipengine.script import Script
from sipengine.waiting import PROMPTS, SPOKEN, Aside, once, wait

Chime = Literal["enter", "exit"]
Beep = Literal["true", "false", "onEnter", "onExit"]
BEEPS: dict[Chime, str] = {"enter": "onEnter", "exit": "onExit"}
_BEEPS: dict[tuple[bool, bool], Beep] = {
    (True, True): "true",
    (True, False): "onEnter",
    (False, True): "onExit",
    (False, False): "false",
}


class Member:
    """A call in the conference of this SID and name. `left` tells why it is no longer in."""

    def __init__(self, script: Script, noun: twiml.Conference, conference_sid: str) -> None:
        self.script = script
        self.noun = noun
        self.muted = noun.muted
        self.held = False
        self.away = False  # its own phone holds us: what it sends meanwhile is music of its own
        self.end_on_exit = noun.end_on_exit
        self.coaches = noun.coach or ""  # the SID of the call that alone hears it
        self.joined = time.time()
        self.left: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._conference_sid = conference_sid
        self._hold: tuple[str | None, str] = (None, "GET")
        self._music = Aside(script)
        self._chime = Aside(script)
        self._announcement = Aside(script)
        self._hears: tuple[str | None, ...] = ()

    @property
    def leg(self) -> LegId:
        """The phone's number of its leg."""
        return self.script.line.id

    @property
    def call_sid(self) -> str:
        """The SID of its call."""
        return self.script.leg.record.sid

    @property
    def audible(self) -> bool:
        """Say whether others may hear it."""
        return not (self.muted or self.held or self.away)

    def audible_to(self, other: Member) -> bool:
        """Say whether this one may hear it."""
        return self.audible and self.coaches in ("", other.call_sid)

    def beeps(self, kind: Chime) -> bool:
        """Say whether the others are to hear that it comes or goes."""
        return self.noun.beep in ("true", BEEPS[kind])

    def participant(self) -> Participant:
        """Return it as requests tell it."""
        return Participant(
            call_sid=self.call_sid,
            label=self.noun.label or "",
            muted=self.muted,
            hold=self.held,
            coaching=bool(self.coaches),
            start_on_enter=self.noun.start_on_enter,
            end_on_exit=self.end_on_exit,
        )

    def entry(self, now: float, *, left: bool = False) -> ParticipantEntry:
        """Return it as the database keeps it."""
        return ParticipantEntry(
            conference_sid=self._conference_sid,
            call_sid=self.call_sid,
            account_sid=self.script.leg.record.account_sid,
            label=self.noun.label or "",
            muted=self.muted,
            hold=self.held,
            coaching=bool(self.coaches),
            call_sid_to_coach=self.coaches,
            start_on_enter=self.noun.start_on_enter,
            end_on_exit=self.end_on_exit,
            joined=self.joined,
            updated=now,
            left=now if left else None,
        )

    def modify(self, change: RoomChange) -> bool:
        """Take in whether the conference ends with it, whether it beeps when it goes, whom it coaches, and its music.

        Return whether anything is different now.
        """
        before = (self.end_on_exit, self.noun, self.coaches)
        if change.end_on_exit is not None:
            self.end_on_exit = change.end_on_exit
        if change.beep_on_exit is not None:
            beep = _BEEPS[self.noun.beep in ("true", "onEnter"), change.beep_on_exit]
            self.noun = replace(self.noun, beep=beep)
        if change.wait_url is not None:
            self.noun = replace(self.noun, wait_url=change.wait_url, wait_method=change.wait_method)
        if change.coach is not None:
            self.coaches = change.coach
        return before != (self.end_on_exit, self.noun, self.coaches)

    def hold(self, held: bool, url: str | None, method: str) -> None:
        """Take in that it is put on hold, with this music, or taken back."""
        self.held, self._hold = held, (url, method)

    def play_music(self, name: str, *, started: bool) -> None:
        """Let it hear what it is to hear now beside the talk in the conference of this name: music or nothing."""
        if self.held:
            wanted: tuple[str | None, ...] = ("hold", *self._hold)
        else:
            wanted = () if started else ("wait", self.noun.wait_url, self.noun.wait_method)
        if wanted == self._hears:
            return
        self._hears = wanted
        if not wanted:
            self._music.stop()
            return
        _, url, method = wanted
        parameters = conference_wait_parameters(self._conference_sid, name)
        self._music.start(wait(self.script, url, method or "", allowed=PROMPTS, extra=lambda: parameters))

    def announce(self, url: str, method: str, name: str) -> None:
        """Let it hear a document once, whatever else it hears."""
        parameters = conference_wait_parameters(self._conference_sid, name)
        self._announcement.start(once(self.script, Goto(url, method), SPOKEN, lambda: parameters))

    def chime(self, kind: Chime) -> None:
        """Let it hear that somebody enters or leaves."""
        self._chime.start(_chime(self.script, kind))

    def go(self, reason: str) -> None:
        """Stop everything that is played to it, and let its call go on."""
        self._music.stop()
        self._chime.stop()
        self._announcement.stop()
        self.left.set_result(reason)


async def _chime(script: Script, kind: Chime) -> Done:
    try:
        await script.line.play(await script.services.media.beep(kind))
    except MediaError as error:
        script.log.note(error.code, error.message)
    return Done()

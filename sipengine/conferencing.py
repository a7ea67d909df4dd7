"""asyncio: `<Dial><Conference>`: a call is in a room until it hangs up, presses the star, is sent elsewhere, or the
conference ends.

Source: Twilio's `<Conference>` and `<Dial>` pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from calls.webhooks import DialResult, dial_parameters
from sipengine import twiml
from sipengine.conference import HUNG_UP, PRESSED_STAR, TIME_LIMIT, UPDATED, Conference
from sipengine.documents import Next
from sipengine.participating import Member
from sipengine.ports import Digit, Event, Held
from sipengine.script import Script
from sipengine.waiting import go_on, place_of

FULL = 13250
LIMIT_REACHED = 32015


class ConferenceRun:
    """One `<Dial><Conference>` while it runs. `find` returns the conference, a new one if there is none."""

    def __init__(
        self, script: Script, verb: twiml.Dial, noun: twiml.Conference, find: Callable[[], Conference]
    ) -> None:
        self._script = script
        self._verb = verb
        self._noun = noun
        self._find = find
        self._conference: Conference | None = None
        self._member: Member | None = None
        self._gone = False

    async def run(self) -> Next:
        """Stay in the conference; then go on at the action, or with the next verb."""
        script, noun = self._script, self._noun
        action = place_of(script, self._verb.action, self._verb.method)
        conference = self._find()
        if len(conference) >= noun.max_participants:
            script.log.note(FULL, f"the conference {noun.name} is full: it has {len(conference)} participants")
            return await go_on(script, action, dial_parameters(DialResult("failed", "")), gone=self._gone)
        self._conference, self._member = conference, conference.join(script, noun)
        limit = asyncio.get_running_loop().call_later(self._verb.time_limit, self._limit_reached)
        try:
            await asyncio.shield(self._member.left)
        finally:
            limit.cancel()
        recording = conference.recorder.url if conference.recorder is not None else ""
        result = DialResult("answered", "", bridged=conference.started, recording_url=recording)
        return await go_on(script, action, dial_parameters(result), gone=self._gone)

    def abandon(self, *, parent_gone: bool) -> None:
        """Leave: the caller hung up, or the call goes on elsewhere."""
        self._gone = self._gone or parent_gone
        self._leave(HUNG_UP if parent_gone else UPDATED)

    def on_event(self, event: Event) -> None:
        """Take an event of the caller's leg."""
        match event:
            case Digit(digit="*") if self._verb.hangup_on_star:
                self._script.log.event("digit", event.time, digit="*")
                self._leave(PRESSED_STAR)
            case Held(held=held) if self._conference is not None and self._member is not None:
                self._conference.away(self._member, held)

    def _limit_reached(self) -> None:
        seconds = self._verb.time_limit
        self._script.log.note(LIMIT_REACHED, f"the time limit of {seconds} s ended the stay in the conference")
        self._leave(TIME_LIMIT)

    def _leave(self, reason: str) -> None:
        if self._conference is not None and self._member is not None:
            self._conference.leave(self._member, reason)

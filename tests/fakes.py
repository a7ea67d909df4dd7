"""A scripted phone, a web that answers from a table, media without sound: the session's world in tests."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calls.entries import CallRecord, DeliveryEntry, Entry, EventEntry, NoteEntry, RecordingEntry
from calls.status import Direction, Status
from calls.webclient import Cookies, Fetched, FetchError, Parameters
from routing.answers import Application
from routing.outbound import Dialplan
from routing.sipuri import SipUri
from sipengine.callbacks import Callbacks
from sipengine.media import MediaError
from sipengine.ports import (
    Answered,
    Digit,
    Ended,
    Event,
    Headers,
    LegId,
    Placed,
    PlayDone,
    RecordClosed,
    Ringing,
    Target,
)
from sipengine.records import SipFacts
from sipengine.rooms import Rooms
from sipengine.services import Adoption, DialSettings, Handler, Services
from sipengine.session import CallSession
from sipengine.tones import Cadence
from tests.waiting import becomes

CALLER: LegId = 1
T0 = 1_800_000_000.0


class FakePhone:
    """Writes down every command; the test says what the far ends do."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.recorded_seconds = 0  # written into the files of a recorder, where their folder is there
        self.targets: dict[LegId, Target] = {}
        self.playing: dict[int, tuple[LegId, str]] = {}  # player → leg and file, or "tone"
        self._numbers = itertools.count(2)
        self.post: Callable[[Event], None] = lambda event: None

    def _note(self, *what: Any) -> None:
        self.done.append(what)

    def place(self, target: Target) -> LegId:
        leg = next(self._numbers)
        self.targets[leg] = target
        self._note("place", leg, target.uri.user)
        return leg

    def ring(self, leg: LegId, early_media: bool = False) -> None:
        self._note("ring", leg, 183 if early_media else 180)

    def answer(self, leg: LegId) -> None:
        self._note("answer", leg)

    def refuse(self, leg: LegId, code: int, headers: Headers = ()) -> None:
        self._note("refuse", leg, code)

    def hangup(self, leg: LegId, headers: Headers = ()) -> None:
        self._note("hangup", leg)

    def bridge(self, one: LegId, other: LegId) -> None:
        self._note("bridge", one, other)

    def hear(self, listener: LegId, speaker: LegId) -> None:
        self._note("hear", listener, speaker)

    def unbridge(self, one: LegId, other: LegId) -> None:
        self._note("unbridge", one, other)

    def play(self, leg: LegId, path: Path, loop: bool = False) -> int:
        number = next(self._numbers)
        self._note("play", leg, path.name, number)
        self.playing[number] = (leg, path.name)
        return number

    def tone(self, leg: LegId, cadence: Cadence) -> int:
        number = next(self._numbers)
        self._note("tone", leg, cadence.frequencies)
        self.playing[number] = (leg, "tone")
        return number

    def stop_playing(self, leg: LegId, player: int) -> None:
        self._note("stop", leg)
        self.playing.pop(player, None)

    def record(self, sources: Sequence[Sequence[LegId]], paths: Sequence[Path]) -> int:
        number = next(self._numbers)
        self._note("record", [list(group) for group in sources])
        for path in paths:
            if path.parent.is_dir():
                path.write_bytes(bytes(44 + 16_000 * self.recorded_seconds))
        return number

    def record_also(self, recorder: int, channel: int, leg: LegId) -> None:
        self._note("record also", channel, leg)

    def record_without(self, recorder: int, channel: int, leg: LegId) -> None:
        self._note("record without", channel, leg)

    def record_heard(self, recorder: int, channel: int, leg: LegId, heard: bool = True) -> None:
        self._note("record heard" if heard else "record unheard", channel, leg)

    def stop_recording(self, recorder: int) -> None:
        self._note("stop recording")
        self.post(RecordClosed(recorder))

    def send_digits(self, leg: LegId, digits: str) -> None:
        self._note("send digits", leg, digits)

    def allow_refer(self, leg: LegId, allowed: bool) -> None:
        self._note("allow refer", leg, allowed)

    def refer(self, leg: LegId, uri: SipUri) -> None:
        self._note("refer", leg, uri.address)

    def hold(self, leg: LegId, held: bool) -> None:
        self._note("hold", leg, held)

    def watch_silence(self, leg: LegId, seconds: float) -> int:
        number = next(self._numbers)
        self._note("watch silence", leg, seconds, number)
        return number

    def stop_watching(self, watch: int) -> None:
        self._note("stop watching", watch)

    def commands(self, name: str) -> list[tuple[Any, ...]]:
        """Return the arguments of every command of this name."""
        return [one[1:] for one in self.done if one[0] == name]


@dataclass
class FakeWeb:
    """Answers by URL: TwiML, an error to raise, or a function of the parameters."""

    answers: dict[str, str | FetchError | Fetched] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    async def fetch(self, url: str, method: str, parameters: Parameters, auth_token: str, cookies: Cookies) -> Fetched:
        self.asked.append((url, method, dict(parameters)))
        await asyncio.sleep(0)
        answer = self.answers.get(url) or FetchError(11200, "HTTP 404", url, method, 404)
        if isinstance(answer, FetchError):
            raise answer
        if isinstance(answer, Fetched):
            return answer
        return Fetched(url, method, 200, "text/xml", answer.encode(), 0.001)

    def parameters(self, url: str) -> dict[str, str]:
        """Return the parameters of the only request for this URL."""
        found = [parameters for asked, _, parameters in self.asked if asked == url]
        assert len(found) == 1, f"{len(found)} requests for {url}"
        return found[0]


class FakeMedia:
    """Makes a file name of every text and URL; `broken` ones cannot be had."""

    def __init__(self) -> None:
        self.broken: set[str] = set()

    async def say(self, text: str, voice: str | None = None, language: str | None = None) -> Path:
        return Path(f"/say/{text}")

    async def play(self, url: str) -> Path:
        if url in self.broken:
            raise MediaError(11200, "not found")
        return Path(f"/play/{url.rpartition('/')[2]}")

    async def beep(self, kind: str = "record") -> Path:
        return Path("/beep.wav")

    async def hold_music(self) -> Path:
        return Path("/hold-music.wav")


class World:
    """One inbound call of sip:carol@phone to sip:100@pbx, whose TwiML is at http://app/voice."""

    def __init__(
        self,
        twiml: str,
        *,
        recordings: Path = Path("/recordings"),
        regions: frozenset[str] = frozenset(),
        enhanced_sip: bool = True,
        **dial: Any,
    ) -> None:
        self.phone = FakePhone()
        self.web = FakeWeb({"http://app/voice": f"<Response>{twiml}</Response>"})
        self.media = FakeMedia()
        self.entries: list[Entry] = []
        self.sent: list[DeliveryEntry] = []
        self.dialplan = Dialplan()
        self.adopted: list[CallSession] = []
        self.over = False
        self._owners: dict[int, Handler] = {}
        self.services = services = Services(
            phone=self.phone,
            web=self.web,
            media=self.media,
            put=self._put,
            own=self._owners.__setitem__,
            callbacks=Callbacks(self._deliver, "http://app", "test"),
            rooms=Rooms(),
            adopt=self._adopt,
            dialplan=lambda: self.dialplan,
            dial=DialSettings(**{"timeout_buffer": 0.0, "cancel_guard": 0.05, **dial}),
            recordings=recordings,
            regions=lambda: regions,
            public_url="http://app",
            engine="test",
        )
        self.record = CallRecord(
            sid="CA" + "0" * 32,
            account_sid="AC" + "0" * 32,
            direction=Direction.INBOUND.value,
            status=Status.RINGING.value,
            from_address="sip:carol@phone",
            to_address="sip:100@pbx",
            start_time=T0,
            ring_time=T0,
        )
        application = Application(
            account_sid=self.record.account_sid,
            auth_token="token",
            domain_sid="SD" + "0" * 32,
            domain_name="pbx",
            voice_url="http://app/voice",
            fallback_url="http://app/fallback",
            enhanced_sip=enhanced_sip,
        )
        self.session = CallSession(services, application, self.record, SipFacts(domain="pbx", source_ip="192.0.2.9"))
        self.phone.post = self._soon

    def _soon(self, event: Event) -> None:
        asyncio.get_running_loop().call_soon(self._dispatch, event)

    def _dispatch(self, event: Event) -> None:
        handler = self._owners.get(event.leg)
        if handler is not None:
            handler(event)

    def _adopt(self, adoption: Adoption) -> None:
        session = CallSession.adopted(self.services, adoption)
        self.adopted.append(session)
        session.start_adopted(adoption.step, adoption.timeout, lambda session: None)

    def _deliver(self, entry: DeliveryEntry) -> None:
        self.sent.append(entry)
        self.entries.append(entry)

    def _put(self, entry: Entry) -> None:
        # What is journalled is what the entry was at that moment, as the real journal's JSON is.
        if isinstance(entry, CallRecord):
            entry = CallRecord(**{name: getattr(entry, name) for name in CallRecord.__dataclass_fields__})
        self.entries.append(entry)

    async def start(self) -> None:
        """Let the call come in and its first document run."""
        self.session.start_inbound(CALLER, self._finished)
        await self.settle()

    def _finished(self, session: CallSession) -> None:
        self.over = True

    async def settle(self) -> None:
        """Let everything happen that needs no event from outside and no clock."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def event(self, event: Event) -> None:
        self._dispatch(event)
        await self.settle()

    async def ringing(self, user: str, *, media: bool = False) -> None:
        leg = self.leg(user)
        await self.event(Placed(leg, T0 + 1, f"{user}@call-id"))
        await self.event(Ringing(leg, T0 + 2, 183 if media else 180, media))

    async def answers(self, user: str, headers: Headers = ()) -> None:
        await self.event(Answered(self.leg(user), T0 + 3, headers))

    async def ends(
        self, user: str, code: int = 200, *, by_peer: bool = True, headers: Headers = (), error: str = ""
    ) -> None:
        leg = CALLER if user == "caller" else self.leg(user)
        await self.event(Ended(leg, T0 + 9, code, by_peer=by_peer, headers=headers, error=error))

    async def presses(self, digit: str) -> None:
        await self.event(Digit(CALLER, T0 + 4, digit))

    async def played(self) -> None:
        """Let the file that plays come to its end."""
        await self.event(PlayDone(CALLER, self.phone.commands("play")[-1][2]))

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a timer of the session's own to have done something."""
        await becomes(condition)

    def leg(self, user: str) -> LegId:
        """Return the newest leg that was placed to this user."""
        return max(leg for leg, target in self.phone.targets.items() if target.uri.user == user)

    def rung(self) -> list[str]:
        """Return the users that were called, in order."""
        return [user for _, user in self.phone.commands("place")]

    def history(self, user: str) -> list[str]:
        """Return the statuses of a leg (or of the "caller") as they were journalled."""
        wanted = "sip:100@pbx" if user == "caller" else f"sip:{user}@"
        return [
            entry.status
            for entry in self.entries
            if isinstance(entry, CallRecord) and entry.to_address.startswith(wanted)
        ]

    def last_child(self) -> CallRecord:
        """Return the newest record of a dialled leg."""
        return [e for e in self.entries if isinstance(e, CallRecord) and e.parent_sid][-1]

    def last(self, user: str) -> CallRecord:
        """Return a leg's record as it was journalled last."""
        wanted = "sip:100@pbx" if user == "caller" else f"sip:{user}@"
        return [e for e in self.entries if isinstance(e, CallRecord) and e.to_address.startswith(wanted)][-1]

    def codes(self) -> list[int]:
        """Return the codes of the notes that the operator got."""
        return [entry.code for entry in self.entries if isinstance(entry, NoteEntry)]

    def events(self) -> list[str]:
        return [entry.name for entry in self.entries if isinstance(entry, EventEntry)]

    def recordings(self) -> list[str]:
        return [entry.status for entry in self.entries if isinstance(entry, RecordingEntry)]

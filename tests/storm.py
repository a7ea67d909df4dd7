"""A storm for the session: an engine on a phone that checks every command, TwiML of all verbs, a clock that jumps.

`Storm` runs one call (and the legs it grows) through any steps and collects what must not happen in `faults`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from calls.entries import CallbackSpec, CallRecord, EventEntry, NoteEntry, QueuedCall, QueuedCommand, RecordingEntry
from calls.status import TERMINAL, TRANSITIONS, Status
from calls.webclient import Cookies, Fetched, FetchError, Parameters
from routing.admission import Directory, Domain
from routing.answers import Application
from routing.outbound import Dialplan, Rule, Trunk, Way
from routing.sipuri import SipUri, parse
from sipengine.engine import Engine, Limits
from sipengine.ports import (
    Answered,
    Digit,
    Ended,
    Event,
    Headers,
    Held,
    Invite,
    LegId,
    NoMedia,
    Placed,
    PlayDone,
    Quiet,
    RecordFailed,
    ReferDone,
    Referred,
    Ringing,
    Target,
)
from sipengine.tones import Cadence
from tests.fakes import T0, FakePhone, World

CALLER: LegId = 1
EVENTS = ("initiated", "ringing", "answered", "completed")
DIAL_STATUSES = {"completed", "busy", "no-answer", "failed", "canceled"}
AC, SD = "AC" + "0" * 32, "SD" + "0" * 32
ENGINE_FAILED = 12400
TURNS = 60  # of the loop, until nothing happens any more


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer instead of waiting; names are looked up in no network."""

    def __init__(self) -> None:
        super().__init__(_NoWait(self))
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:
        await asyncio.sleep(5.0 if str(host).startswith("slow") else 0.1)
        if str(host).startswith("bad"):
            raise OSError("no such host")
        return []


class _NoWait(selectors.SelectSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everything waits for ever")
        self._loop.now += max(0.0, timeout)
        return super().select(0)


class StrictPhone(FakePhone):
    """A phone that knows what its legs are doing, and writes down what it should not have been asked."""

    def __init__(self, fault: Callable[[str], None]) -> None:
        super().__init__()
        self._fault = fault
        self.live: set[LegId] = set()
        self.over: set[LegId] = set()
        self.up: set[LegId] = set()  # answered
        self.doomed: dict[LegId, int] = {}  # legs that were told to end, and with what code they will
        self.pairs: set[frozenset[LegId]] = set()
        self.hears: set[tuple[LegId, LegId]] = set()
        self.sounds: dict[int, LegId] = {}
        self.endless: set[int] = set()
        self.watches: dict[int, LegId] = {}
        self.recorders: dict[int, bool] = {}  # whether it was told to stop
        self.refers: set[LegId] = set()
        self.referring: set[LegId] = set()
        self.held: set[LegId] = set()

    def _check(self, what: str, *legs: LegId) -> None:
        for leg in legs:
            if leg in self.over or leg not in self.live:
                self._fault(f"{what} on leg {leg}, which is over")

    def end(self, leg: LegId) -> None:
        """Forget a leg, as the adapter does before it tells the end."""
        self.live.discard(leg)
        self.up.discard(leg)
        self.over.add(leg)
        self.pairs = {pair for pair in self.pairs if leg not in pair}
        self.hears = {pair for pair in self.hears if leg not in pair}
        for table in (self.sounds, self.watches):
            for number in [number for number, on in table.items() if on == leg]:
                del table[number]
        self.refers.discard(leg)
        self.held.discard(leg)
        if leg in self.referring:
            self.referring.discard(leg)
            self.post(ReferDone(leg, T0, 0))

    def place(self, target: Target) -> LegId:
        leg = super().place(target)
        self.live.add(leg)
        self.post(Placed(leg, T0, f"{leg}@call"))
        return leg

    def ring(self, leg: LegId, early_media: bool = False) -> None:
        self._check("ring", leg)
        if leg in self.up:
            self._fault(f"ring on leg {leg}, which is answered")
        super().ring(leg, early_media)

    def answer(self, leg: LegId) -> None:
        self._check("answer", leg)
        if leg in self.up or leg in self.doomed:
            self._fault(f"leg {leg} is answered late or twice")
        self.up.add(leg)
        super().answer(leg)

    def refuse(self, leg: LegId, code: int, headers: Headers = ()) -> None:
        self._check("refuse", leg)
        if leg in self.up:
            self._fault(f"leg {leg} is refused after it was answered")
        if not 300 <= code <= 699:
            self._fault(f"refused with {code}")
        self.doomed.setdefault(leg, code)
        super().refuse(leg, code, headers)

    def hangup(self, leg: LegId, headers: Headers = ()) -> None:
        self._check("hangup", leg)
        self.doomed.setdefault(leg, 487)
        super().hangup(leg, headers)

    def bridge(self, one: LegId, other: LegId) -> None:
        self._check("bridge", one, other)
        for leg in (one, other):
            if leg not in self.up:
                self._fault(f"leg {leg} is bridged before it was answered")
            if any(leg in pair for pair in self.pairs):
                self._fault(f"leg {leg} is bridged twice")
            if leg in self.sounds.values() or any(leg == listener for listener, _ in self.hears):
                self._fault(f"leg {leg} hears something else when it is bridged: {self.sounds} {self.hears}")
        self.pairs.add(frozenset((one, other)))
        super().bridge(one, other)

    def hear(self, listener: LegId, speaker: LegId) -> None:
        self._check("hear", listener, speaker)
        if any(listener == one for one, _ in self.hears) or listener in self.sounds.values():
            self._fault(f"leg {listener} hears two things")
        self.hears.add((listener, speaker))
        super().hear(listener, speaker)

    def unbridge(self, one: LegId, other: LegId) -> None:
        found = frozenset((one, other)) in self.pairs or {(one, other), (other, one)} & self.hears
        if not found and not {one, other} & self.over:
            self._fault(f"{one} and {other} are parted and were never joined")
        self.pairs.discard(frozenset((one, other)))
        self.hears -= {(one, other), (other, one)}
        super().unbridge(one, other)

    def _sound(self, what: str, leg: LegId, number: int) -> None:
        self._check(what, leg)
        if leg in self.sounds.values() or any(leg == listener for listener, _ in self.hears):
            self._fault(f"leg {leg} hears two things")
        if any(leg in pair for pair in self.pairs):
            self._fault(f"{what} on leg {leg}, which is bridged")
        if leg not in self.over:
            self.sounds[number] = leg

    def play(self, leg: LegId, path: Path, loop: bool = False) -> int:
        number = super().play(leg, path, loop)
        self._sound("play", leg, number)
        if loop:
            self.endless.add(number)
        return number

    def tone(self, leg: LegId, cadence: Cadence) -> int:
        number = super().tone(leg, cadence)
        self._sound("tone", leg, number)
        self.endless.add(number)
        return number

    def stop_playing(self, leg: LegId, player: int) -> None:
        self.sounds.pop(player, None)
        super().stop_playing(leg, player)

    def record(self, sources: Sequence[Sequence[LegId]], paths: Sequence[Path]) -> int:
        self._check("record", *(leg for group in sources for leg in group))
        number = super().record(sources, paths)
        self.recorders[number] = False
        return number

    def record_also(self, recorder: int, channel: int, leg: LegId) -> None:
        self._check("record also", leg)
        super().record_also(recorder, channel, leg)

    def stop_recording(self, recorder: int) -> None:
        if not self.recorders.get(recorder):
            self.recorders[recorder] = True
            super().stop_recording(recorder)

    def send_digits(self, leg: LegId, digits: str) -> None:
        self._check("send digits", leg)
        super().send_digits(leg, digits)

    def allow_refer(self, leg: LegId, allowed: bool) -> None:
        if allowed:
            self._check("allow refer", leg)
            self.refers.add(leg)
        else:
            self.refers.discard(leg)
        super().allow_refer(leg, allowed)

    def refer(self, leg: LegId, uri: SipUri) -> None:
        self._check("refer", leg)
        self.referring.add(leg)
        super().refer(leg, uri)

    def hold(self, leg: LegId, held: bool) -> None:
        if held:
            self._check("hold", leg)
            self.held.add(leg)
        else:
            self.held.discard(leg)
        super().hold(leg, held)

    def watch_silence(self, leg: LegId, seconds: float) -> int:
        self._check("watch silence", leg)
        number = super().watch_silence(leg, seconds)
        self.watches[number] = leg
        return number

    def stop_watching(self, watch: int) -> None:
        self.watches.pop(watch, None)
        super().stop_watching(watch)


class Script:
    """Documents of a storm: `docs` are written when they are first asked for, each `{url}` in them once."""

    def __init__(self, docs: Sequence[str]) -> None:
        self._left = list(docs)
        self._made = 0
        self.texts: dict[str, str | None] = {}

    def url(self, path: str = "doc") -> str:
        """Return an address that occurs nowhere else."""
        self._made += 1
        return f"/{path}/{self._made}"

    def text(self, url: str) -> str | None:
        """Return the document there, None if it cannot be had."""
        path = url.removeprefix("http://app")
        if path not in self.texts:
            self.texts[path] = self._write(path)
        return self.texts[path]

    def _write(self, path: str) -> str | None:
        match path.split("/")[1]:
            case "yes":
                return "<Say>You have a call</Say>"
            case "asks":
                return f'<Gather timeout="3" action="{self.url("yes")}"><Say>Press one</Say></Gather>'
            case "tapes":
                return f'<Record timeout="3" maxLength="5" action="{self.url("yes")}"/>'
            case "no":
                return "<Pause/><Hangup/>"
            case "gone" | "fallback":
                return None
            case _:
                return self.filled(self._left.pop(0)) if self._left else ""

    def filled(self, text: str) -> str:
        """Return a document with addresses of its own."""
        for name in ("action", "refers", "yes", "asks", "tapes", "no", "gone", "doc"):
            while f"{{{name}}}" in text:
                text = text.replace(f"{{{name}}}", self.url(name), 1)
        return text


class StormWeb:
    """Answers from a `Script`; some answers take a while."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.delay = 0.0

    async def fetch(self, url: str, method: str, parameters: Parameters, auth_token: str, cookies: Cookies) -> Fetched:
        self.asked.append((url, dict(parameters)))
        await asyncio.sleep(self.delay)
        text = self._script.text(url)
        if text is None:
            raise FetchError(11200, "HTTP 500", url, method, 500)
        return Fetched(url, method, 200, "text/xml", f"<Response>{text}</Response>".encode(), 0.001)


@dataclass(frozen=True)
class Step:
    """Something that happens: `who` picks the leg, `turns` is how far the loop gets before the next step."""

    kind: str
    who: int = 0
    code: int = 486
    turns: int = TURNS


DIALPLAN = Dialplan(
    {
        AC: (
            Trunk("one", Way(parse("sip:127.0.0.1")), (Rule("+4930"),)),
            Trunk("two", Way(parse("sip:bad.test")), (Rule("+49"),)),
        )
    },
    {(AC, "joe"): Way(parse("sip:joe@127.0.0.1"))},
)


class Storm:
    """One engine with one call."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, docs: Sequence[str], *, delay: float = 0.0, media_ends: bool = False
    ) -> None:
        self.loop = loop
        self.faults: list[str] = []
        self.world = World("", cancel_guard=0.5, end_without_media=media_ends)
        self.phone = StrictPhone(self.faults.append)
        self.script = Script(docs)
        self.web = StormWeb(self.script)
        self.web.delay = delay
        self.world.media.broken = {"http://app/broken.wav"}
        services = replace(
            self.world.services,
            phone=self.phone,
            web=self.web,
            own=lambda leg, handler: self.engine.own(leg, handler),
            adopt=lambda adoption: self.engine.adopt(adoption),
            dialplan=lambda: DIALPLAN,
        )
        self.engine = Engine(services, Limits(), "secret", self.world._put)
        application = Application(
            AC,
            "token",
            SD,
            "pbx",
            "http://app/doc/0",
            fallback_url="http://app/fallback/0",
            status_callback_url="http://app/domain",
        )
        self.engine.set_directory(
            Directory({"pbx": Domain(application, True, (ip_network("192.0.2.0/24"),), False, {})})
        )
        self._dispatch = self.engine._dispatch
        self.engine._dispatch = self._dispatched  # type: ignore[method-assign]
        self.phone.post = self.engine.post
        self.commanded: Counter[str] = Counter()
        self.heard: set[LegId] = set()  # the legs that were `Answered`
        loop.set_exception_handler(lambda loop, context: self.faults.append(f"loop: {context}"))

    def _dispatched(self, event: Event) -> None:
        if isinstance(event, Ended):
            self.phone.end(event.leg)
        try:
            self._dispatch(event)
        except Exception as error:
            self.faults.append(f"{event} raised {error!r}")

    async def call_in(self) -> None:
        self.phone.live.add(CALLER)
        uri = "sip:100@pbx"
        self.engine.post(Invite(CALLER, T0, "192.0.2.9", uri, "<sip:carol@phone>;tag=1", f"<{uri}>", "call-1", ()))
        await self.settle(2)

    async def call_out(self) -> None:
        self.engine.place(
            QueuedCall(
                "CA" + "1" * 32,
                AC,
                "token",
                "sip:bob@127.0.0.1",
                "+4930123",
                "",
                "http://app/doc/0",
                "POST",
                "http://app/fallback/0",
                "",
                20,
                "",
                "",
                T0,
                CallbackSpec("http://app/cb", "POST", EVENTS),
            )
        )
        await self.settle(2)

    async def settle(self, turns: int = TURNS) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    def legs(self) -> list[LegId]:
        return sorted(self.phone.live)

    def sids(self) -> list[str]:
        return list(dict.fromkeys(e.sid for e in self.world.entries if isinstance(e, CallRecord)))

    async def take(self, step: Step) -> None:
        """Let a step happen, as far as it can."""
        legs = self._fitting(step.kind)
        if legs:
            await self._happen(step, legs[step.who % len(legs)])
        await self.settle(step.turns)
        if step.turns == TURNS:
            self.check_now()

    def _fitting(self, kind: str) -> list[LegId]:
        """Return the legs to which this may happen."""
        up, live = self.phone.up, self.phone.live
        match kind:
            case "rings" | "early":
                return sorted(live - up - {CALLER})
            case "answers":
                return sorted((live - up - {CALLER} - self.heard) or (live - {CALLER}) | (up & {CALLER}))
            case "presses" | "holds" | "resumes" | "silent":
                return sorted(up)
            case _:
                return sorted(live)

    async def _happen(self, step: Step, leg: LegId) -> None:
        post, phone = self.engine.post, self.phone
        match step.kind:
            case "rings" | "early":
                post(Ringing(leg, T0 + 1, 183 if step.kind == "early" else 180, step.kind == "early"))
            case "answers":
                phone.up.add(leg)
                self.heard.add(leg)
                post(Answered(leg, T0 + 2, (("X-Desk", "7"),)))
            case "ends":
                self._end(leg, step.code)
            case "breaks":
                code = 200 if leg in phone.up else 0
                post(Ended(leg, T0 + 9, code, by_peer=False, error="transport lost"))
            case "presses":
                post(Digit(leg, T0 + 3, "*1#"[step.code % 3]))
            case "played":
                found = [n for n, on in phone.sounds.items() if n not in phone.endless]
                if found:
                    number = found[step.who % len(found)]
                    post(PlayDone(phone.sounds.pop(number), number))
            case "quiet" if phone.watches:
                number = sorted(phone.watches)[step.who % len(phone.watches)]
                post(Quiet(phone.watches.pop(number), T0 + 4, number))
            case "refers" if phone.refers:
                post(Referred(sorted(phone.refers)[step.who % len(phone.refers)], T0 + 4, "sip:x@127.0.0.1"))
            case "referred" if phone.referring:
                one = sorted(phone.referring)[0]
                phone.referring.discard(one)
                post(ReferDone(one, T0 + 4, 202 if step.code == 200 else 603, 200 if step.code == 200 else 0))
            case "holds" | "resumes":
                post(Held(leg, T0 + 4, step.kind == "holds"))
            case "silent":
                post(NoMedia(leg, T0 + 40, 30.0))
            case "disk":
                running = [n for n, stopped in phone.recorders.items() if not stopped]
                if running:
                    phone.recorders[running[0]] = True
                    post(RecordFailed(running[0], "disk full"))
            case "stale" if phone.over:
                old = sorted(phone.over)[step.who % len(phone.over)]
                post(Ended(old, T0 + 9, step.code))
                post(Answered(old, T0 + 9))
            case "waits":
                await self.wait(step.code / 100)
            case "redirected" | "rewritten" | "completed" | "canceled":
                self._command(step)

    def _end(self, leg: LegId, code: int) -> None:
        doomed = self.phone.doomed.get(leg)
        if leg in self.phone.up:
            code = 200
        elif doomed is not None:
            code = doomed
        elif leg == CALLER:
            code = 487
        self.engine.post(Ended(leg, T0 + 9, code, by_peer=doomed is None))

    def _command(self, step: Step) -> None:
        sids = self.sids()
        sid = sids[step.who % len(sids)]
        command = QueuedCommand(step.who, sid)
        match step.kind:
            case "redirected":
                command = replace(command, url=f"http://app{self.script.url()}")
            case "rewritten":
                nouns = "<Sip>sip:u90@127.0.0.1</Sip>"
                text = f'<Dial referUrl="/relative" action="/relative">{nouns}</Dial><Say>after</Say>'
                command = replace(command, twiml=f"<Response>{text}</Response>")
            case status:
                command = replace(command, status=status)
        try:
            done = self.engine.obey(command)
        except Exception as error:
            self.faults.append(f"{command} raised {error!r}")
            return
        last = [e for e in self.world.entries if isinstance(e, CallRecord) and e.sid == sid][-1]
        if done.ok and last.status in TERMINAL:
            self.faults.append(f"{command} was obeyed though the call was over")
        self.commanded[step.kind] += done.ok

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.settle()

    def check_now(self) -> None:
        """Check what must be true whenever nothing is under way."""
        together = set().union(*self.phone.pairs) if self.phone.pairs else set()
        for what, legs in (("may refer", self.phone.refers), ("is held by us", self.phone.held)):
            for leg in legs - together - set(self.phone.doomed):
                self.faults.append(f"leg {leg} {what} but talks to nobody")
        for listener, speaker in self.phone.hears:
            if speaker in self.phone.doomed:
                self.faults.append(f"leg {listener} hears {speaker}, which was given up")

    async def finish(self) -> None:
        """Let the network end every leg, then look whether anything is left."""
        for _ in range(12):
            await self.settle()
            for leg in self.legs():
                self._end(leg, 486)
            await self.settle()
            if not self.engine.calls:
                break
            await self.wait(1.0)
        if self.engine.calls:
            self.faults.append("the session is not over though all its legs are")
        await self.settle()
        left = [t for t in asyncio.all_tasks(self.loop) if t is not asyncio.current_task()]
        if left:
            self.faults.append(f"tasks are left: {left}")
        if self.engine._owners:
            self.faults.append(f"owners are left: {self.engine._owners}")
        self._check_phone()
        self._check_records()
        self._check_callbacks()
        self._check_requests()
        self._check_events()

    def _check_phone(self) -> None:
        if self.phone.sounds or self.phone.watches:
            self.faults.append(f"still going: {self.phone.sounds} {self.phone.watches}")
        for number, stopped in self.phone.recorders.items():
            if not stopped:
                self.faults.append(f"recorder {number} was never stopped")
        last = {e.sid: e.status for e in self.world.entries if isinstance(e, RecordingEntry)}
        for sid, status in last.items():
            if status != "processing":
                self.faults.append(f"recording {sid} stays {status}")

    def _check_records(self) -> None:
        told: defaultdict[str, list[Status]] = defaultdict(list)
        for entry in self.world.entries:
            if isinstance(entry, CallRecord):
                told[entry.sid].append(Status(entry.status))
            if isinstance(entry, NoteEntry) and entry.code == ENGINE_FAILED and "engine failed" in entry.message:
                self.faults.append(entry.message)
        for sid, statuses in told.items():
            for old, new in zip(statuses, statuses[1:], strict=False):
                if new != old and new not in TRANSITIONS[old]:
                    self.faults.append(f"{sid}: {statuses}")
            if sum(status in TERMINAL for status in statuses) != 1 or statuses[-1] not in TERMINAL:
                self.faults.append(f"{sid} has not one terminal record: {statuses}")

    def _check_callbacks(self) -> None:
        specs = {e.sid: e.callback for e in self.world.entries if isinstance(e, CallRecord)}
        for sid, spec in specs.items():
            sent = [one for one in self.world.sent if one.topic == "status" and one.call_sid == sid]
            events = [one.event for one in sent]
            if spec is None:
                if sent:
                    self.faults.append(f"{sid} told {events} to nobody")
                continue
            if events.count("completed") != ("completed" in spec.events) or events[-1:] != ["completed"]:
                self.faults.append(f"{sid} told {events}")
            if [dict(one.parameters)["SequenceNumber"] for one in sent] != [str(n) for n in range(len(sent))]:
                self.faults.append(f"{sid} has gaps in its sequence")
            if len(set(events)) != len(events) or not set(events) <= set(spec.events):
                self.faults.append(f"{sid} told {events} of {spec.events}")

    def _check_requests(self) -> None:
        asked = Counter(url for url, _ in self.web.asked)
        children = set(self.sids())
        for url, parameters in self.web.asked:
            if "DialCallStatus" not in parameters:
                continue
            if asked[url] > 1:
                self.faults.append(f"{url} was asked {asked[url]} times")
            if parameters["DialCallStatus"] not in DIAL_STATUSES or parameters["DialBridged"] not in ("true", "false"):
                self.faults.append(f"{url}: {parameters}")
            if parameters.get("DialCallSid", next(iter(children))) not in children:
                self.faults.append(f"{url}: {parameters}")

    def _check_events(self) -> None:
        accepted: set[str] = set()
        refused = {leg for leg, target in self.phone.targets.items() if target.uri.user.startswith("no")}
        picky = {
            sid for e in self.world.entries if isinstance(e, CallRecord) for sid in [e.sid] if ":scr" in e.to_address
        }
        for entry in self.world.entries:
            if not isinstance(entry, EventEntry):
                continue
            if entry.name == "screening.accepted":
                accepted.add(entry.detail["leg"])
            if entry.name == "bridged" and entry.detail["leg"] in picky - accepted:
                self.faults.append(f"{entry.detail} was bridged unasked")
        for pair in self.phone.commands("bridge"):
            if pair[1] in refused:
                self.faults.append(f"{pair} was bridged though it declined")


def run(storm: Callable[[JumpingLoop], Coroutine[Any, Any, Storm]]) -> Storm:
    """Run a storm in a loop of its own."""
    loop = JumpingLoop()
    try:
        return loop.run_until_complete(storm(loop))
    finally:
        loop.close()

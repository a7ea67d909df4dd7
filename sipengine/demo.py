"""The demo call as its phones play it: one caller, three phones, real SIP and real audio, each a process of its own.

Knows no database: `management/commands/demo_call.py` finds the addresses and holds the call log against this.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from calls.status import Status
from routing.sipuri import SipUri
from sipengine.measure import dominant_frequency, level_dbfs
from sipengine.phone_process import PhoneProcess, Told, free_port

FORK, HUNT = "100", "101"
CALLER = "Caller"
TONES = {CALLER: 440, "Alice": 600, "Bob": 750, "Carol": 900}  # Hz
NAMES = tuple(name for name in TONES if name != CALLER)
TOLERANCE_HZ = 5.0
AUDIBLE_DBFS = -40.0
ANSWER_SECONDS = 2.0
START_SECONDS = 15.0
RING_SECONDS = 60.0  # more than the demo's groups let a phone ring
RTP_FIRST, RTP_EACH = 40_000, 100
LOCAL = "127.0.0.1"
CHECK_LOG = "look at the lines of ./cordboard up"


class DemoError(Exception):
    """The call could not be played; the text is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen: `winner` is the phone that answers, None for nobody; `talk` is in seconds."""

    number: str
    winner: str | None
    talk: float

    def behaviour(self, name: str) -> list[str]:
        """Return the options that say what a phone does when it is called.

        Those that do not answer let it ring; in the hunt they are busy, which does not take as long.
        """
        if name == self.winner:
            return ["--answer", str(ANSWER_SECONDS)]
        return ["--reject", "486"] if self.number == HUNT else []

    @property
    def called(self) -> tuple[str, ...]:
        """The phones that are to be called."""
        if self.number == FORK or self.winner is None:
            return NAMES
        return NAMES[: NAMES.index(self.winner) + 1]

    def status(self, name: str) -> Status:
        """Return the status that the leg of a phone is to have in the end."""
        if name == self.winner:
            return Status.COMPLETED
        if self.number == HUNT:
            return Status.BUSY
        return Status.CANCELED if self.winner else Status.NO_ANSWER


@dataclass(frozen=True, slots=True)
class Line:
    """What the caller needs: the engine's address and a login."""

    host: str
    port: int
    username: str
    password: str


@dataclass(slots=True)
class Story:
    """What the phones have told so far; `ending` is how the caller's leg ended."""

    call_id: str = ""
    connected: bool = False
    hang_up_at: float = math.inf
    ending: Told | None = None
    busy: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Sound:
    """What was measured at one place, and whose tone is to be there."""

    where: str
    hertz: float
    dbfs: float
    speaker: str

    @property
    def right(self) -> bool:
        """Say whether it is the tone that the speaker plays."""
        return self.dbfs > AUDIBLE_DBFS and abs(self.hertz - TONES[self.speaker]) <= TOLERANCE_HZ


def measured(where: str, path: Path, channel: int, speaker: str) -> Sound:
    """Measure one channel of a file, in which `speaker` is to be heard; a missing file is silence."""
    try:
        return Sound(where, dominant_frequency(path, channel), level_dbfs(path, channel), speaker)
    except OSError:
        return Sound(where, 0.0, -math.inf, speaker)


def heard(plan: Plan, folder: Path) -> list[Sound]:
    """Measure what the two who talked have heard."""
    if plan.winner is None:
        return []
    return [
        measured(f"what the {CALLER.lower()} heard", folder / f"{CALLER}.wav", 0, plan.winner),
        measured(f"what {plan.winner} heard", folder / f"{plan.winner}.wav", 0, CALLER),
    ]


def play(plan: Plan, line: Line, phones: Mapping[str, SipUri], folder: Path, say: Callable[[str], None]) -> Story:
    """Let the phones do what is planned, and return what they told; raise `DemoError` if that cannot be.

    Each phone records what it hears in `folder`, as its name with `.wav`; `say` gets a line for whatever happens.
    """
    inbox: SimpleQueue[Told] = SimpleQueue()
    with _started(inbox) as start:
        for number, (name, uri) in enumerate(phones.items(), start=1):
            address = ["--bind", uri.host, "--port", str(uri.effective_port)]
            start(name, [*address, *_sound_options(name, number, folder), *plan.behaviour(name)])
        _wait_ready(inbox, len(phones))
        say(f"{CALLER} dials {plan.number} at {line.host}:{line.port}")
        caller = start(CALLER, [*_sound_options(CALLER, 0, folder), *_caller_options(plan, line)])
        return _follow(plan, inbox, caller, say)


def _follow(plan: Plan, inbox: SimpleQueue[Told], caller: PhoneProcess, say: Callable[[str], None]) -> Story:
    """Take in what happens until everybody has hung up; the caller does so when they have talked."""
    story, begun = Story(), time.time()
    deadline = begun + RING_SECONDS + plan.talk
    while story.ending is None or story.busy:
        if time.time() >= story.hang_up_at:
            caller.hang_up()
            story.hang_up_at = math.inf
        if time.time() >= deadline:
            raise DemoError(f"The call has not ended within {deadline - begun:.0f} s: {CHECK_LOG}.")
        try:
            told = inbox.get(timeout=max(0.0, min(story.hang_up_at, deadline) - time.time()))
        except Empty:
            continue
        if words := _note(plan, story, told):
            say(f"{told.time - begun:6.1f} s  {told.phone} {words}")
    return story


def _note(plan: Plan, story: Story, told: Told) -> str:
    """Take what a phone told into the story; return it in words, empty if it is of no interest."""
    _refuse_death(told)
    calling = told.phone == CALLER
    match told.event:
        case "placed":
            story.call_id = told.fact("call_id")
        case "ringing":
            return f"hears that it rings ({told.fact('code')})"
        case "invite":
            story.busy.add(told.phone)
            return "is called"
        case "answered" if calling:
            story.connected = True
            return "is connected"
        case "answered":
            story.hang_up_at = told.time + plan.talk
            return "answers"
        case "ended":
            story.busy.discard(told.phone)
            story.ending = told if calling else story.ending
            return _ending(told)
        case "exit" if calling and story.ending is None:
            raise DemoError(f"The caller's phone ended without a call: {told.fact('error')}.")
    return ""


def _ending(told: Told) -> str:
    code, reason = told.fact("code"), told.fact("error") or told.fact("reason")
    if code == 200:
        return "is hung up on" if told.fact("by_peer") else "hangs up"
    if told.phone == CALLER:
        return f"is refused: {code} {reason}"
    return f"stops ringing ({code})" if told.fact("by_peer") else f"refuses ({code})"


@contextlib.contextmanager
def _started(inbox: SimpleQueue[Told]) -> Iterator[Callable[[str, Sequence[str]], PhoneProcess]]:
    """Give a function that starts phones; all of them end, at the same time, with the block."""
    running: list[PhoneProcess] = []

    def start(name: str, options: Sequence[str]) -> PhoneProcess:
        running.append(PhoneProcess(name, options, inbox))
        return running[-1]

    try:
        yield start
    finally:
        for phone in running:
            phone.hang_up()
        for phone in running:
            phone.stop()


def _wait_ready(inbox: SimpleQueue[Told], count: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while count:
        try:
            told = inbox.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            raise DemoError(f"The phones have not started within {START_SECONDS:.0f} s.") from None
        _refuse_death(told)
        count -= told.event == "ready"


def _refuse_death(told: Told) -> None:
    if told.event == "exit" and told.fact("code") not in (0, 1):
        lines = str(told.fact("error")).splitlines() or [f"exit code {told.fact('code')}"]
        why = lines[-1].removeprefix("softphone: ")
        raise DemoError(f"{told.phone}'s phone cannot run: {why}. Is another demo-call or softphone running?")


def _caller_options(plan: Plan, line: Line) -> list[str]:
    return [
        *("--bind", LOCAL, "--port", str(free_port(LOCAL)), "--once", "--from", line.username),
        *("--call", f"sip:{plan.number}@{line.host}:{line.port}"),
        *("--username", line.username, "--password", line.password),
    ]


def _sound_options(name: str, number: int, folder: Path) -> list[str]:
    first = RTP_FIRST + number * RTP_EACH
    return [
        *("--tone", str(TONES[name]), "--record", str(folder / f"{name}.wav")),
        *("--rtp", f"{first}-{first + RTP_EACH - 1}"),
    ]

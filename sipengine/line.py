"""asyncio: one leg's audio and keys as verbs use them. Each wish is awaited, and taken back when its task is
cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from sipengine.ports import Digit, Event, LegId, Phone, PlayDone, Quiet, ReferDone
from sipengine.records import Leg

PAUSES = {"w": 0.5, "W": 1.0}  # seconds of silence among digits to send (Twilio's `<Play digits>`)
DIGIT_SECONDS = 0.25  # what one digit takes on the wire, gap included


class Line:
    """The media of one leg. `on_event` takes the leg's events; whoever waits for one is woken."""

    def __init__(self, phone: Phone, leg: Leg) -> None:
        self._phone = phone
        self._leg = leg
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._ears: list[Callable[[str], None]] = []
        self._refer: asyncio.Future[ReferDone] | None = None

    @property
    def id(self) -> LegId:
        """Return the phone's number of the leg."""
        assert self._leg.id is not None
        return self._leg.id

    def on_event(self, event: Event) -> None:
        """Take an event of this leg."""
        match event:
            case PlayDone(player=number) | Quiet(watch=number):
                waiting = self._waiting.pop(number, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)
            case Digit(digit=digit):
                for ear in tuple(self._ears):
                    ear(digit)
            case ReferDone():
                if self._refer is not None and not self._refer.done():
                    self._refer.set_result(event)

    async def play(self, path: Path, loop: int = 1) -> None:
        """Play a file to its end, `loop` times; one who is gone hears nothing."""
        for _ in range(loop):
            if self._leg.ended:
                return
            player = self._phone.play(self.id, path)
            try:
                await self._wait(player)
            finally:
                self._phone.stop_playing(self.id, player)

    @contextlib.contextmanager
    def music(self, path: Path) -> Iterator[None]:
        """Play a file over and over meanwhile."""
        player = self._phone.play(self.id, path, loop=True)
        try:
            yield
        finally:
            self._phone.stop_playing(self.id, player)

    async def silence(self, seconds: float) -> None:
        """Return once the far end has been silent this long, or is gone."""
        if self._leg.ended:
            return
        watch = self._phone.watch_silence(self.id, seconds)
        try:
            await self._wait(watch)
        finally:
            self._phone.stop_watching(watch)

    @contextlib.contextmanager
    def heard(self, ear: Callable[[str], None]) -> Iterator[None]:
        """Call `ear` with each digit that the far end presses meanwhile."""
        self._ears.append(ear)
        try:
            yield
        finally:
            self._ears.remove(ear)

    async def send_digits(self, digits: str) -> None:
        """Send DTMF digits to the far end, waiting half a second for each `w` and one second for each `W`."""
        run = ""
        for char in f"{digits} ":
            if char in PAUSES or char == " ":
                if run:
                    self._phone.send_digits(self.id, run)
                    await asyncio.sleep(len(run) * DIGIT_SECONDS)
                run = ""
                await asyncio.sleep(PAUSES.get(char, 0))
            else:
                run += char

    async def refer(self, send: Callable[[], None]) -> ReferDone:
        """Wait for what comes of the REFER that `send` sends."""
        self._refer = asyncio.get_running_loop().create_future()
        try:
            send()
            return await self._refer
        finally:
            self._refer = None

    async def _wait(self, number: int) -> None:
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await waiting
        finally:
            self._waiting.pop(number, None)

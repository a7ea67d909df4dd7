"""`PjsipPhone` itself under test, in a process of its own: commands go in, events come out, no TwiML in between."""

from __future__ import annotations

import multiprocessing
import threading
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, TypeVar

from routing.sipuri import parse
from sipengine.pjsip import PhoneConfig, PjsipPhone
from sipengine.ports import Answered, Ended, Event, Invite, LegId, Target
from tests.sip.sipp import HOST, free_port, until
from tests.waiting import SECONDS

E = TypeVar("E", bound=Event)


def _serve(pipe: Connection, config: PhoneConfig) -> None:
    """Be the phone: carry out what comes by the pipe, send back results and events."""
    lock = threading.Lock()

    def say(kind: str, value: object) -> None:
        with lock:
            pipe.send((kind, value))

    phone = PjsipPhone(config, lambda event: say("event", event), lambda: True, lambda run: run())
    phone.start()
    say("result", None)
    while (command := pipe.recv()) is not None:
        name, arguments = command
        say("result", getattr(phone, name)(*arguments))
    phone.stop()


class Switch:
    """A running `PjsipPhone` and what it posted so far."""

    def __init__(self, **config: Any) -> None:
        self.port, self.tls_port = free_port(), free_port() if "tls_cert" in config else 0
        self.events: list[Event] = []
        self._results: SimpleQueue[Any] = SimpleQueue()
        settings = PhoneConfig(HOST, self.port, self.tls_port, rtp_first=33_000, rtp_count=1000, **config)
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, settings), daemon=True)
        self._process.start()
        theirs.close()
        threading.Thread(target=self._read, daemon=True).start()
        self._results.get(timeout=SECONDS)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def uri(self) -> str:
        return f"sip:switch@{self.address}"

    def _read(self) -> None:
        while True:
            try:
                kind, value = self._pipe.recv()
            except (EOFError, OSError):
                return
            if kind == "event":
                self.events.append(value)
            else:
                self._results.put(value)

    def do(self, command: str, *arguments: object) -> Any:
        """Call a method of the phone and return its result."""
        self._pipe.send((command, arguments))
        return self._results.get(timeout=SECONDS)

    def find(self, kind: type[E], leg: LegId | None = None) -> list[E]:
        """Return the events of this kind, and of this leg if one is named."""
        return [one for one in list(self.events) if isinstance(one, kind) and leg in (None, getattr(one, "leg", None))]

    def wait(self, kind: type[E], leg: LegId | None = None, count: int = 1) -> E:
        """Wait for the event number `count` of this kind."""

        def happened() -> list[E]:
            assert self._process.is_alive(), "the phone's process has died"
            found = self.find(kind, leg)
            return found if len(found) >= count else []

        return until(happened, f"{kind.__name__} number {count} of leg {leg}")[count - 1]

    def invited(self, number: str) -> Invite:
        """Wait for the call to this number."""

        def found() -> list[Invite]:
            return [one for one in self.find(Invite) if f"sip:{number}@" in one.request_uri]

        return until(found, what=f"the call to {number}")[0]

    def take(self, number: str) -> LegId:
        """Answer the call to this number and return its leg."""
        leg = self.invited(number).leg
        self.do("answer", leg)
        self.wait(Answered, leg)
        return leg

    def place(self, uri: str, **more: Any) -> LegId:
        """Place a call and return its leg."""
        return int(self.do("place", Target(parse(uri), "switch", **more)))

    def call(self, uri: str, **more: Any) -> LegId:
        """Place a call, wait for the answer and return its leg."""
        leg = self.place(uri, **more)
        self.wait(Answered, leg)
        return leg

    def over(self, leg: LegId) -> Ended:
        """Wait for the end of a leg; fail the test if it is told more than once."""
        ended = self.wait(Ended, leg)
        assert len(self.find(Ended, leg)) == 1
        return ended

    def stop(self) -> None:
        """End the process."""
        if self._process.is_alive():
            self._pipe.send(None)
        self._process.join(SECONDS)
        if self._process.is_alive():
            self._process.kill()

"""Real softphones (`sipengine.softphone`) as peers: for TLS, for sound, and for what SIPp cannot do."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from sipengine.phone_process import PhoneProcess, Told
from tests.sip.sipp import HOST, free_port, until

_media = itertools.count(20 * (os.getpid() % 600), 20)  # another beginning in each worker


class Softphone:
    """One running softphone and what it told so far."""

    def __init__(self, name: str, folder: Path, *options: str, tls: bool = False) -> None:
        self.port, self.tls_port = free_port(), free_port() if tls else 0
        self.heard = folder / f"{name}.wav"
        first = 49_000 + next(_media) % 12_000
        ports = ["--port", str(self.port), "--rtp", f"{first}-{first + 19}"]
        ports += ["--tls-port", str(self.tls_port)] if tls else []
        self._inbox: SimpleQueue[Told] = SimpleQueue()
        self._told: list[Told] = []
        self._process = PhoneProcess(name, [*ports, "--record", str(self.heard), *options], self._inbox)

    @property
    def uri(self) -> str:
        """The address of this phone as a `<Sip>` noun names it."""
        return f"sip:phone@{HOST}:{self.tls_port};transport=tls" if self.tls_port else f"sip:phone@{HOST}:{self.port}"

    def told(self, *events: str) -> list[Told]:
        """Return the events of these names so far, in order."""
        while True:
            try:
                self._told.append(self._inbox.get_nowait())
            except Empty:
                return [told for told in self._told if told.event in events]

    def wait(self, event: str) -> Told:
        """Wait for the first event of this name."""

        def happened() -> list[Told]:
            found = self.told(event)
            assert found or event == "exit" or not self.told("exit"), f"the softphone ended: {self._told}"
            return found

        return until(happened, f"the softphone's {event}")[0]

    @property
    def seconds(self) -> float:
        """How much of what it hears it has written down."""
        return (self.heard.stat().st_size - 44) / 16_000 if self.heard.exists() else 0.0

    def listen(self, seconds: float) -> None:
        """Wait until it has written down so much of what it hears."""
        until(lambda: self.seconds >= seconds, "the sound")

    def hang_up(self) -> None:
        """Ask it to end; `stop` waits for that."""
        self._process.hang_up()

    def stop(self) -> None:
        """Let it hang up and end."""
        self._process.stop()


class Softphones:
    """Starts softphones for a test and ends them with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[Softphone] = []

    def phone(self, *options: str, tls: bool = False) -> Softphone:
        """Start a phone that is called, and wait until it can be."""
        return self.phones(options, tls=tls)[0]

    def phones(self, *each: Sequence[str], tls: bool = False) -> list[Softphone]:
        """Start a phone for each of these options, all at once, and wait until they can be called."""
        made = [self._start(*options, tls=tls) for options in each]
        for phone in made:
            phone.wait("ready")
        return made

    def caller(self, uri: str, *options: str) -> Softphone:
        """Start a phone that calls, and ends with its call."""
        return self._start("--call", uri, "--from", "caller", "--once", *options, tls="transport=tls" in uri)

    def _start(self, *options: str, tls: bool) -> Softphone:
        made = Softphone(f"phone-{len(self._all) + 1}", self._folder, *options, tls=tls)
        self._all.append(made)
        return made

    def end(self) -> None:
        for phone in self._all:
            phone.hang_up()  # all at once: the library takes a second to close
        for phone in self._all:
            phone.stop()

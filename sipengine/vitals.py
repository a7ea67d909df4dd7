"""What an engine tells of itself: a file that is replaced every few seconds, which the journal's writer looks at.

Not in the journal: only the last one counts, and a database that is away for a day must not leave a day of them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import orjson

from calls.entries import EngineEntry

FILE = "engine.json"


class Vitals:
    """The engine's side: keeps the figures and writes them. `entry` is what is told next."""

    def __init__(self, folder: Path, *, name: str, version: str, address: str, max_legs: int) -> None:
        self._path = folder / FILE
        now = time.time()
        self.entry = EngineEntry(
            name=name,
            version=version,
            library="",
            host=socket.gethostname(),
            pid=os.getpid(),
            address=address,
            regions=(),
            started=now,
            seen=now,
            state="starting",
            max_legs=max_legs,
        )

    def become(self, state: str) -> None:
        """Change the state, and tell."""
        self.entry = replace(self.entry, state=state)
        self.tell()

    def count(self, legs: int, calls: int, refused: int) -> None:
        """Take in how many there are now."""
        entry = self.entry
        if (legs, calls, refused) != (entry.legs, entry.calls, entry.refused):
            self.entry = replace(
                entry,
                legs=legs,
                calls=calls,
                refused=refused,
                peak_legs=max(legs, entry.peak_legs),
                peak_calls=max(calls, entry.peak_calls),
            )

    def tell(self) -> None:
        """Write what there is to tell; a full disk loses it."""
        self.entry = replace(self.entry, seen=time.time())
        with contextlib.suppress(OSError):
            temporary = self._path.with_suffix(".new")
            temporary.write_bytes(orjson.dumps(self.entry))
            temporary.replace(self._path)


class VitalsReader:
    """The writer process's side."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._read = self._told = 0

    def news(self) -> EngineEntry | None:
        """Return what the engine told last, None if that has been `done`."""
        try:
            self._read = self._path.stat().st_mtime_ns
            if self._read == self._told:
                return None
            data = orjson.loads(self._path.read_bytes())
            return EngineEntry(**{**data, "regions": tuple(data["regions"])})
        except (OSError, ValueError, TypeError, KeyError):  # not there yet, or of another version
            return None

    def done(self) -> None:
        """Remember that the last news have been dealt with."""
        self._told = self._read

"""Softphones as child processes: start one, read what it tells, end it. For the demo call and for tests.

The SIP library exists once in a process, so whoever needs several phones starts several processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

BASE_DIR = Path(__file__).resolve().parent.parent
STOP_SECONDS = 20.0
PORTS = (10_000, 20_000)
_PR_SET_PDEATHSIG = 1
_draw = random.SystemRandom()

_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Told:
    """What the phone `phone` told: `event` is "ready", "invite", … of `softphone`, or "exit" with its exit code."""

    phone: str
    event: str
    time: float = 0.0
    facts: dict[str, Any] | None = None

    def fact(self, name: str) -> Any:
        """Return one fact of the event, None if it has none of this name."""
        return (self.facts or {}).get(name)


def free_port(host: str) -> int:
    """Return a port that is free for UDP and TCP.

    Below the range that the kernel draws the ports of connections from (32768 up on Linux): one of those may be taken
    between this look and its use. Drawn at random, so that two who ask at once do not get the same.
    """
    for _ in range(200):
        port = _draw.randrange(*PORTS)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            try:
                udp.bind((host, port))
                tcp.bind((host, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port between {PORTS[0]} and {PORTS[1]} on {host}")


class PhoneProcess:
    """One running `sipengine.softphone`; its events go into `inbox`, the last of them "exit"."""

    def __init__(self, name: str, options: Sequence[str], inbox: SimpleQueue[Told]) -> None:
        self.name = name
        self._inbox = inbox
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sipengine.softphone", *options],
            cwd=BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Whoever started it may be killed; the phone must not ring on.
            preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
        )
        self._reader = threading.Thread(target=self._read, name=f"phone-{name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def hang_up(self) -> None:
        """Ask it to end its calls and itself; what it still tells comes in as before."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Let it hang up and end, and return its exit code; one that does not end is killed."""
        self.hang_up()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join()
        return self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _read(self) -> None:
        assert self._process.stdout and self._process.stderr
        with self._process.stdout as lines:
            for line in lines:
                facts = json.loads(line)
                self._inbox.put(Told(self.name, facts.pop("event"), facts.pop("time"), facts))
        with self._process.stderr as errors:
            text = errors.read().strip()
        self._inbox.put(Told(self.name, "exit", 0.0, {"code": self._process.wait(), "error": text}))

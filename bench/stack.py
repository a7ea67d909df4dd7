"""A Cordboard of its own for measuring: web, worker, engine and the engine's journal writer, as `./cordboard up` runs
them, on ports of their own, with a folder and a database that vanish with it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from bench.procs import CannotMeasure, command, cpu_seconds, descendants, end, start, wait_for
from sipengine.journal import segment_path, segments

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
ENGINE = "bench"
PARTS = ("engine", "writer", "sender", "web", "worker", "runner")
_MARKS = {
    "journal_writer": "writer",
    "webhook_sender": "sender",
    "sipengine": "engine",
    "granian": "web",
    "qcluster": "worker",
}


def free_ports(count: int) -> list[int]:
    """Return different ports of which each, and the next one (for RTCP), is free for UDP, and itself for TCP."""
    found: list[int] = []
    held: list[socket.socket] = []
    try:
        while len(found) < count:
            udp, tcp, after = (
                socket.socket(socket.AF_INET, kind)
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_DGRAM)
            )
            held += [udp, tcp, after]
            udp.bind((HOST, 0))
            port = int(udp.getsockname()[1])
            try:
                tcp.bind((HOST, port))
                after.bind((HOST, port + 1))
            except (OSError, OverflowError):
                continue
            found.append(port)
    finally:
        for each in held:
            each.close()
    return found


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens: our own servers, and the phones that the seeded endpoints name."""

    sip: int
    web: int
    phones: dict[str, int]
    callbacks: int
    rtp_first: int = 20_000

    @classmethod
    def free(cls) -> Ports:
        """Choose ports that nobody uses now."""
        sip, web, answer, reject, ring, callbacks = free_ports(6)
        # RTP ports below the kernel's ephemeral range (32768 and up), and hardly those of another run.
        rtp_first = 12_000 + 2 * secrets.randbelow(6_000)
        return cls(sip, web, {"answer": answer, "reject": reject, "ring": ring}, callbacks, rtp_first)


@dataclass
class Stack:
    """The processes of one Cordboard; `folder` must exist and be empty."""

    folder: Path
    ports: Ports
    voice_url: str = ""
    tied: bool = True
    pids: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log_path = self.folder / "log.txt"
        self._runner: subprocess.Popen[str] | None = None
        self._env = {**os.environ, **self._settings()}

    def _settings(self) -> dict[str, str]:
        """Return every setting that could lead out of the folder or that matters for the figures."""
        data = self.folder / "data"
        return {
            "SECRET_KEY": secrets.token_urlsafe(40),
            "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "DEBUG": "0",
            "ALLOWED_HOSTS": "*",
            "DATA_DIR": str(data),
            "DATABASE_URL": f"sqlite:///{data / 'cordboard.sqlite3'}",
            "RECORDINGS_DIR": str(data / "recordings"),
            "JOURNAL_DIR": str(data / "journal"),
            "MEDIA_CACHE_DIR": str(data / "media-cache"),
            "PUBLIC_URL": f"http://{HOST}:{self.ports.web}",
            "WEB_BIND": f"{HOST}:{self.ports.web}",
            "SIP_BIND": HOST,
            "SIP_PORT": str(self.ports.sip),
            "SIP_TLS_PORT": "0",
            "SIP_PUBLIC_ADDRESS": "",
            "RTP_PORTS": f"{self.ports.rtp_first}-{self.ports.rtp_first + 8000}",
            "ENGINE_NAME": ENGINE,
            "LOG_LEVEL": "INFO",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONPATH": str(ROOT),
        }

    @property
    def data(self) -> Path:
        """The folder of database, journal and recordings."""
        return self.folder / "data"

    def start(self) -> None:
        """Make the database, start everything and wait until it takes calls."""
        (self.data / "static").mkdir(parents=True)
        self._manage("manage.py", "migrate", "--verbosity", "0")
        self._manage("-m", "bench.seed", json.dumps(self.ports.phones), str(self.ports.callbacks), self.voice_url)
        with self.log_path.open("w") as log:
            arguments = [sys.executable, "-m", "config.runner"]
            self._runner = start(arguments, output=log, cwd=ROOT, env=self._env, tied=self.tied)
        wait_for(self._is_up, 60, "the stack")
        self._find_pids()

    def _manage(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=self._env, capture_output=True, text=True, timeout=120
        )
        if done.returncode:
            raise CannotMeasure(f"{' '.join(arguments[:2])} failed: {(done.stderr or done.stdout).strip()[-500:]}")

    def _is_up(self) -> bool:
        assert self._runner is not None
        if self._runner.poll() is not None:
            raise CannotMeasure(f"the stack did not start:\n{self.log_path.read_text()[-1500:]}")
        text = self.log_path.read_text()
        return "all    | ready:" in text and "routing loaded: 1 SIP domains" in text

    def _find_pids(self) -> None:
        assert self._runner is not None
        runner = self._runner.pid

        def all_found() -> bool:
            self.pids = {part: [] for part in PARTS}
            self.pids["runner"] = [runner]
            for pid in descendants(runner):
                words = command(pid)
                part = next((part for mark, part in _MARKS.items() if mark in words), None)
                if part:
                    self.pids[part].append(pid)
            return all(self.pids.values())

        wait_for(all_found, 20, "the journal writer")

    @property
    def engine(self) -> int:
        """The engine's process id."""
        return self.pids["engine"][0]

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds that each part has taken so far."""
        return {part: cpu_seconds(pids, ended_children=part == "worker") for part, pids in self.pids.items()}

    def alive(self) -> bool:
        """Say whether everything still runs."""
        return self._runner is not None and self._runner.poll() is None

    def pending(self) -> int:
        """Return how many bytes of the journal have not been applied to the database."""
        folder = self.data / "journal" / ENGINE
        try:
            segment, offset = (int(word) for word in (folder / "position").read_text().split())
        except (OSError, ValueError):
            segment, offset = 0, 0
        sizes = 0
        for number in segments(folder):
            try:
                sizes += segment_path(folder, number).stat().st_size if number >= segment else 0
            except FileNotFoundError:
                continue  # the writer has just finished with it
        return sizes - offset

    def open_legs(self) -> int:
        """Return how many legs of the call log have not ended."""
        path = f"file:{self.data / 'cordboard.sqlite3'}?mode=ro"
        with contextlib.closing(sqlite3.connect(path, uri=True, timeout=20)) as database:
            query = "SELECT count(*) FROM calls_call WHERE end_time IS NULL AND status <> 'queued'"
            return int(database.execute(query).fetchone()[0])

    def settle(self, seconds: float = 60.0) -> bool:
        """Wait until the journal is in the database and no leg is open; return whether that came true in time."""
        try:
            wait_for(lambda: self.pending() <= 0 and not self.open_legs(), seconds, "the end of all legs")
        except CannotMeasure:
            return False
        return True

    def stop(self) -> None:
        """End every process."""
        if self._runner is not None:
            end(self._runner, (signal.SIGINT, 25.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))

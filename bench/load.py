"""What calls: SIPp as callers and phones, `rtpload` (compiled from rtpload.c) for their audio."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.procs import CannotMeasure, cpu_seconds, end, start, wait_for
from bench.stack import HOST, Stack, free_ports

HERE = Path(__file__).resolve().parent
SOCKET_BYTES = 4 << 20
SIP_TIMEOUT_MS = 12_000
PHONES = {"answer": "phone_answers", "reject": "phone_rejects", "ring": "phone_rings"}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A number to dial: which phones it needs, and how long the one that answers rings (ms)."""

    number: str
    phones: tuple[str, ...] = ("answer",)
    ring_ms: int = 0
    caller: str = "caller"


ONE = Scenario("1000")
TEN = Scenario("1010", ("answer", "ring"), ring_ms=100)
HUNT = Scenario("1020", ("answer", "reject"))
RECORDED = Scenario("1030")
GIVEN_UP = Scenario("1050", ("ring",), caller="caller_gives_up")
TELLING_ONE = Scenario("1001")
TELLING_TEN = Scenario("1011", ("answer", "ring"), ring_ms=100)
REFUSABLE = Scenario("1000", caller="caller_refusable")


@dataclass(frozen=True, slots=True)
class Ended:
    """What SIPp counted at one side."""

    calls: int = 0
    good: int = 0
    failed: int = 0
    retransmissions: int = 0


@dataclass(slots=True)
class Outcome:
    """What became of some calls, for the callers and each kind of phone; `seconds` is how long starting them took."""

    asked: int
    rate: float
    seconds: float = 0.0
    callers: Ended = field(default_factory=Ended)
    phones: dict[str, Ended] = field(default_factory=dict)
    errors: str = ""

    @property
    def failed(self) -> int:
        """The calls that did not go as the scenario says at the caller, or did not come to their end at a phone."""
        at_phones = sum(phone.failed for phone in self.phones.values())
        return max(self.asked - self.callers.good, at_phones)

    @property
    def reached(self) -> float:
        """The rate that was really offered, in calls a second."""
        return self.asked / max(self.seconds, 0.001)


class Sipp:
    """One SIPp process with a folder of its own."""

    def __init__(self, folder: Path, name: str, scenario: str, port: int, arguments: Sequence[str]) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
        self.log = self.folder / "log"
        self._output = (self.folder / "output").open("w")
        self.process = start(
            ["sipp", *arguments, "-sf", str(HERE / "sipp" / f"{scenario}.xml"), "-i", HOST, "-p", str(port), "-nostdin",
             "-trace_stat", "-stf", str(self.folder / "stat"), "-fd", "1", "-trace_err", "-error_file",
             str(self.folder / "errors"), "-trace_logs", "-log_file", str(self.log), "-deadcall_wait", "4000",
             "-buff_size", str(SOCKET_BYTES)],
            output=self._output,
            cwd=self.folder,
        )  # fmt: skip

    def ended(self) -> Ended:
        """Return its counts so far (SIPp writes them every second, and at its end)."""
        try:
            head, *_, last = [line.split(";") for line in (self.folder / "stat").read_text().splitlines()]
        except (OSError, ValueError):
            return Ended()
        row = dict(zip(head, last, strict=False))
        names = ("TotalCallCreated", "SuccessfulCall(C)", "FailedCall(C)", "Retransmissions(C)")
        return Ended(*(int(float(row.get(name) or 0)) for name in names))

    def complaint(self) -> str:
        """Return the last of what it said."""
        texts = [
            path.read_text(errors="replace")
            for path in (self.folder / "errors", self.folder / "output")
            if path.exists()
        ]
        return next((text.strip()[-400:] for text in texts if text.strip()), "")

    def stop(self, *steps: tuple[signal.Signals, float]) -> None:
        """End it and forget its files."""
        end(self.process, *steps)
        self._output.close()


class Load:
    """All that surrounds a stack: phones on the ports that its endpoints name, callers, and their audio."""

    def __init__(self, stack: Stack) -> None:
        if shutil.which("sipp") is None:
            raise CannotMeasure("SIPp is not installed: apt-get install sip-tester")
        self.stack = stack
        self.folder = stack.folder / "load"
        self.folder.mkdir()
        self.caller_port, self.rtp_caller, self.rtp_phone, self.other_caller_port = free_ports(4)
        self._rtp: subprocess.Popen[str] | None = None
        self._receiver: subprocess.Popen[str] | None = None
        self._sipps: list[Sipp] = []
        self.rtpload = self.folder / "rtpload"
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise CannotMeasure("no C compiler: apt-get install gcc")
        subprocess.run([compiler, "-O2", "-o", str(self.rtpload), str(HERE / "rtpload.c")], check=True)

    def close(self) -> None:
        """End every process of the load."""
        for sipp in self._sipps:
            sipp.stop((signal.SIGTERM, 1.0), (signal.SIGKILL, 3.0))
        self.audio_off()

    def cpu(self) -> float:
        """Return the CPU seconds that the load has taken."""
        pids = [sipp.process.pid for sipp in self._sipps]
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        pids += [process.pid for process in (self._rtp, self._receiver) if process is not None]
        return ended.ru_utime + ended.ru_stime + cpu_seconds(pids)

    # --- audio -----------------------------------------------------------------------------------------------------

    def audio(self, *, echo: bool) -> None:
        """Open the RTP ports of callers and phones; with `echo` the phones send back what they hear."""
        self.audio_off()
        arguments = [str(self.rtpload), str(self.rtp_caller), str(self.rtp_phone), *(["echo"] if echo else [])]
        self._rtp = start(arguments, output=subprocess.PIPE, stdin=subprocess.PIPE)

    def audio_off(self) -> None:
        """Close them."""
        if self._rtp is not None:
            end(self._rtp)
            self._rtp = None

    def tell_audio(self, line: str) -> None:
        """Send `rtpload` a command."""
        assert self._rtp is not None and self._rtp.stdin is not None
        self._rtp.stdin.write(f"{line}\n")
        self._rtp.stdin.flush()

    def ask_audio(self) -> dict[str, Any]:
        """Return the counts of `rtpload`."""
        self.tell_audio("report")
        assert self._rtp is not None and self._rtp.stdout is not None
        counts: dict[str, Any] = json.loads(self._rtp.stdout.readline())
        return counts

    # --- callbacks -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def receiver(self) -> Iterator[Callable[[], dict[str, int]]]:
        """Have a web application take status callbacks; what it yields returns the counts since it was asked last."""
        port = self.stack.ports.callbacks
        arguments = [sys.executable, "-m", "bench.receiver", str(port)]
        self._receiver = start(arguments, output=subprocess.PIPE, stdin=subprocess.PIPE, cwd=HERE.parent)
        try:
            wait_for(lambda: _listening(port), 10, "the receiver of callbacks")
            yield self._ask_receiver
        finally:
            end(self._receiver)
            self._receiver = None

    def _ask_receiver(self) -> dict[str, int]:
        assert self._receiver is not None and self._receiver.stdin is not None and self._receiver.stdout is not None
        self._receiver.stdin.write("counts\n")
        self._receiver.stdin.flush()
        counts: dict[str, int] = json.loads(self._receiver.stdout.readline())
        return counts

    # --- calls -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def phones(self, scenario: Scenario) -> Iterator[dict[str, Sipp]]:
        """Have the phones of a scenario there."""
        running = {}
        for kind in scenario.phones:
            arguments = ["-key", "rtp", str(self.rtp_phone), "-d", str(scenario.ring_ms if kind == "answer" else 0)]
            running[kind] = self._sipp(kind, PHONES[kind], self.stack.ports.phones[kind], arguments)
        try:
            for sipp in running.values():
                wait_for(lambda sipp=sipp: _bound(self.stack.ports.phones[sipp.name]) or _gone(sipp), 5, "SIPp's port")  # type: ignore[misc]
            yield running
        finally:
            for sipp in running.values():
                # SIGUSR1 lets SIPp end its calls first.
                self._forget(sipp, (signal.SIGUSR1, 1.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 3.0))

    def callers(self, scenario: Scenario, rate: float, count: int, hold_ms: int, *, port: int = 0) -> Sipp:
        """Start `count` calls, `rate` a second, each `hold_ms` long."""
        seconds = count / rate + hold_ms / 1000 + 35
        return self._sipp(
            "caller",
            scenario.caller,
            port or self.caller_port,
            [f"{HOST}:{self.stack.ports.sip}", "-s", scenario.number, "-m", str(count), "-r", f"{rate:g}",
             "-l", str(count + 10), "-d", str(hold_ms), "-key", "rtp", str(self.rtp_caller),
             "-recv_timeout", str(SIP_TIMEOUT_MS + hold_ms), "-timeout", f"{seconds:.0f}s"],
        )  # fmt: skip

    def run(self, scenario: Scenario, rate: float, seconds: float, hold_ms: int = 1000) -> Outcome:
        """Make calls at a rate and wait for the last to end."""
        outcome = Outcome(int(rate * seconds), rate)
        with self.phones(scenario) as phones:
            began = time.monotonic()
            sipp = self.callers(scenario, rate, outcome.asked, hold_ms)
            self.finish(sipp, outcome, began, seconds + hold_ms / 1000 + 45, hold_ms + scenario.ring_ms)
            self.hear_phones(phones, outcome)
        return outcome

    def finish(self, sipp: Sipp, outcome: Outcome, began: float, patience: float, call_ms: float) -> None:
        """Wait for callers to end, and take down what they counted."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            sipp.process.wait(patience)
        outcome.seconds = time.monotonic() - began - call_ms / 1000
        outcome.callers = sipp.ended()
        if outcome.callers.good < outcome.asked:
            outcome.errors = sipp.complaint()
        self._forget(sipp)

    def hear_phones(self, phones: dict[str, Sipp], outcome: Outcome) -> None:
        """Take down what the phones counted, once they have nothing left to wait for."""
        time.sleep(0.3)
        for kind, sipp in phones.items():
            end(sipp.process, (signal.SIGUSR1, 1.0), (signal.SIGTERM, 2.0))
            outcome.phones[kind] = sipp.ended()

    def _sipp(self, name: str, scenario: str, port: int, arguments: Sequence[str]) -> Sipp:
        sipp = Sipp(self.folder, name, scenario, port, arguments)
        self._sipps.append(sipp)
        return sipp

    def _forget(self, sipp: Sipp, *steps: tuple[signal.Signals, float]) -> None:
        sipp.stop(*steps)
        self._sipps.remove(sipp)
        shutil.rmtree(sipp.folder, ignore_errors=True)


def _bound(port: int) -> bool:
    return f":{port:04X} " in Path("/proc/net/udp").read_text()


def _listening(port: int) -> bool:
    return f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()


def _gone(sipp: Sipp) -> bool:
    if sipp.process.poll() is not None:
        raise CannotMeasure(f"SIPp did not start: {sipp.complaint()}")
    return False

"""SIPp as the peers of a test: one process per phone or caller, read back as messages. Scenarios come from `steps`."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.ports import HOST as HOST
from tests.ports import free_port as free_port
from tests.sip.steps import cue, pause, scenario
from tests.waiting import SECONDS
from tests.waiting import until as until


class Sipp:
    """One SIPp process: `-m` calls of one scenario."""

    def __init__(self, folder: Path, name: str, steps: tuple[str, ...], arguments: list[str], port: int) -> None:
        self.port = port
        self._steps = steps
        self._cues = 0
        self.folder = folder / f"{name}-{port}"
        self.folder.mkdir(parents=True)
        (self.folder / "scenario.xml").write_bytes(scenario(name, steps).encode(errors="surrogateescape"))
        self._output = (self.folder / "output").open("w")
        self._process = subprocess.Popen(
            [
                "sipp",
                *arguments,
                "-sf",
                "scenario.xml",
                "-i",
                HOST,
                "-p",
                str(port),
                "-nostdin",
                "-trace_msg",
                "-message_file",
                "messages",
                "-trace_err",
                "-error_file",
                "errors",
                "-timeout",
                f"{2 * SECONDS:.0f}s",
                "-timeout_error",
                "-cid_str",
                f"{name}-%u-%p@%s",
            ],  # fmt: skip
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    @property
    def uri(self) -> str:
        """The address of this peer as a `<Sip>` noun names it."""
        return f"sip:phone@{HOST}:{self.port}"

    def wait(self) -> None:
        """Wait for all calls to have gone through the whole scenario; fail the test if one did not."""
        try:
            code = self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"SIPp {self.folder.name} is still running:\n{self.trace()[-3000:]}") from None
        assert code == 0, f"SIPp {self.folder.name} ended with {code}:\n{self.errors()}\n{self.trace()[-3000:]}"

    def cue(self) -> None:
        """Let it go on from the next `cue()` of its scenario, once it has come there."""
        before = _until(self._steps, "CUE", skip=self._cues)
        until(lambda: self._has_done(before), what=f"{self.folder.name} at its cue")
        self._cues += 1
        # Looks like the last message to SIPp, which takes what it sends next from there, but for the first line.
        head = self.log("received")[-1][1].partition("\n\n")[0].splitlines()[1:]
        lines = [f"CUE sip:{self._cues} SIP/2.0", *(line for line in head if not line.startswith("Content-"))]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as test:
            test.sendto(("\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n").encode(), (HOST, self.port))

    def waits_for_cue(self) -> bool:
        """Say whether there is a `cue()` in its scenario that the test has not given yet."""
        return sum(_expects(step, "CUE") for step in self._steps) > self._cues

    def has_settled(self) -> bool:
        """Say whether it has ended, or got as far as it can until somebody hangs up or gives its cue."""
        return not self.running() or self._has_done(_until(self._steps, "BYE", "CANCEL", "CUE"))

    def _has_done(self, steps: list[str]) -> bool:
        """Say whether so many messages have been sent and received; those that were repeated count once."""
        wanted = {"sent": sum("<send" in step for step in steps), "received": sum(map(_expects, steps))}
        return all(len({_identity(one) for _, one in self.log(way)}) >= count for way, count in wanted.items())

    def running(self) -> bool:
        return self._process.poll() is None

    def trace(self) -> str:
        """Return everything that was sent and received."""
        try:
            return (self.folder / "messages").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def errors(self) -> str:
        found = list(self.folder.glob("errors*"))
        return "".join(path.read_text(errors="replace") for path in found)[-2000:]

    def received(self, start: str) -> list[str]:
        """Return what came in and starts so: `received("INVITE")`, `received("SIP/2.0 200")`."""
        return [message for _, message in self.log("received") if message.startswith(start)]

    def sent(self, start: str) -> list[str]:
        """Return what went out and starts so."""
        return [message for _, message in self.log("sent") if message.startswith(start)]

    def received_at(self, start: str) -> float:
        """Return when the first message that starts so came in, in seconds since the epoch."""
        return next(when for when, message in self.log("received") if message.startswith(start))

    def sent_at(self, start: str) -> float:
        """Return when the first message that starts so went out, in seconds since the epoch."""
        return next(when for when, message in self.log("sent") if message.startswith(start))

    def log(self, way: str) -> list[tuple[float, str]]:
        """Return time and text of the messages that were "sent" or "received"."""
        parts = re.split(r"^-{20,} (\S+ \S+)$", self.trace(), flags=re.MULTILINE)[1:]
        found = []
        for stamp, part in zip(parts[::2], parts[1::2], strict=True):
            head, _, message = part.strip().partition("\n\n")
            if way in head:
                day, fraction = stamp.rsplit(".", 1)
                when = time.mktime(time.strptime(day, "%Y-%m-%d %H:%M:%S")) + float(f"0.{fraction}")
                found.append((when, message))
        return found

    def end(self) -> None:
        """End the process, whatever it does."""
        if self.running():
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self._output.close()


def _identity(message: str) -> tuple[str, ...]:
    """Return what a message has in common with its repetitions only."""
    first, *lines = message.splitlines()
    return (first, *(line for line in lines if line.startswith(("Call-ID:", "i:", "CSeq:"))))


def _expects(step: str, method: str = "") -> bool:
    """Say whether a step waits for a message, or for this request."""
    return f'<recv request="{method}"' in step if method else "<recv" in step and 'optional="true"' not in step


def _until(steps: tuple[str, ...], *methods: str, skip: int = 0) -> list[str]:
    """Return the steps before the first that expects one of these requests, or a later one of them."""
    found = [number for number, step in enumerate(steps) if any(_expects(step, method) for method in methods)]
    return list(steps[: found[skip]] if skip < len(found) else steps)


class Peers:
    """Makes SIPp peers for one test and ends them with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[Sipp] = []

    def phone(self, *steps: str, calls: int = 1, transport: str = "u1") -> Sipp:
        """Start a peer that is called."""
        peer = self._start("phone", steps, ["-m", str(calls), "-t", transport])
        until(lambda: _listening(peer.port, transport == "t1") or not peer.running(), what="SIPp's port")
        return peer

    def caller(
        self, target: str, number: str, *steps: str, transport: str = "u1", login: tuple[str, str] | None = None
    ) -> Sipp:
        """Start a peer that calls `number` at `target`."""
        credentials = ["-au", login[0], "-ap", login[1]] if login else []
        if transport != "u1":
            steps = tuple(pause(1000) if step == cue() else step for step in steps)  # who is behind TCP gets no cue
        return self._start("caller", steps, [target, "-s", number, "-m", "1", "-t", transport, *credentials])

    def _start(self, name: str, steps: tuple[str, ...], arguments: list[str]) -> Sipp:
        peer = Sipp(self._folder, name, steps, arguments, free_port())
        self._all.append(peer)
        return peer

    def end(self) -> None:
        for peer in self._all:
            peer.end()


def header(message: str, name: str) -> str:
    """Return the value of the first header of this name in a SIP message; fail the test if there is none."""
    for line in message.splitlines():
        found, colon, value = line.partition(":")
        if colon and found.strip().lower() == name.lower():
            return value.strip()
    raise AssertionError(f"no {name} in\n{message}")


def _listening(port: int, tcp: bool) -> bool:
    """Look into the kernel's table whether a port is bound."""
    table = Path("/proc/net/tcp" if tcp else "/proc/net/udp").read_text()
    return f":{port:04X} " in table

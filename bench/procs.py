"""Processes as the kernel accounts for them: CPU time, memory, descendants. Linux only (/proc)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)
T = TypeVar("T")


class CannotMeasure(Exception):
    """Something that a measurement needs is missing or has failed; the text says what to do."""


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    own: int  # ticks of user and system time
    waited: int  # the same of children that have ended
    pages: int


def _table() -> dict[int, _Stat]:
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            text = Path(f"/proc/{name}/stat").read_text()
        except OSError:
            continue
        # The command, in parentheses, may hold anything; what counts comes after it.
        f = text[text.rindex(")") + 2 :].split()
        table[int(name)] = _Stat(int(f[1]), int(f[11]) + int(f[12]), int(f[13]) + int(f[14]), int(f[21]))
    return table


def descendants(root: int) -> list[int]:
    """Return the ids of a process's children, their children and so on, without itself."""
    table = _table()
    found, todo = [], [root]
    while todo:
        parent = todo.pop()
        children = [pid for pid, stat in table.items() if stat.parent == parent]
        found += children
        todo += children
    return found


def command(pid: int) -> str:
    """Return a process's command line, empty if it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Say whether a process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] not in ("Z", "X")
    except OSError:
        return False


def cpu_seconds(pids: Iterable[int], *, ended_children: bool = False) -> float:
    """Return user and system time that these processes have taken, in steps of 10 ms."""
    table = _table()
    known = [table[pid] for pid in pids if pid in table]
    return sum(stat.own + (stat.waited if ended_children else 0) for stat in known) / TICK


def resident_mb(pid: int) -> float:
    """Return a process's resident memory in MB (2**20 bytes)."""
    stat = _table().get(pid)
    return stat.pages * PAGE / 2**20 if stat else 0.0


def busy_seconds() -> float:
    """Return how long all cores together have been busy since the start of the system."""
    fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICK


def start(
    arguments: Sequence[str],
    *,
    output: IO[str] | int = subprocess.DEVNULL,
    stdin: int = subprocess.DEVNULL,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    tied: bool = True,
) -> subprocess.Popen[str]:
    """Start a process in a session of its own; a tied one gets SIGTERM when this process dies, however that happens."""
    return subprocess.Popen(
        arguments,
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT if output is not subprocess.PIPE else subprocess.DEVNULL,
        cwd=cwd,
        env=env,
        text=True,
        bufsize=1,
        start_new_session=True,
        preexec_fn=(lambda: _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)) if tied else None,
    )


def end(process: subprocess.Popen[str], *steps: tuple[signal.Signals, float]) -> None:
    """Send signals, each followed by a wait of so many seconds, until the process has ended."""
    for number, seconds in steps or ((signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0)):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def wait_for(condition: Callable[[], T], seconds: float, what: str) -> T:
    """Wait for a condition and return its value; raise `CannotMeasure` when it does not come true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise CannotMeasure(f"{what} did not come within {seconds:g} s")
        time.sleep(0.05)
    return found

"""Run the tests, on one database or on several: `python -m tests.on_databases [ARGS]`.

The arguments go to pytest, each time. Without any, two lanes run side by side: the tests with SIP peers, which mostly
wait, several at once; and all others, which take what the first lane leaves of the machine. CORDBOARD_TEST_DATABASES
names the databases, and their order; on PostgreSQL only those tests run that touch it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.postgresql import die_with_parent

ROOT = Path(__file__).resolve().parent.parent
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
PASSED, FAILED, NOTHING_COLLECTED = 0, 1, 5  # pytest's exit codes


@dataclass(frozen=True)
class Lane:
    """Tests that run one after the other on each database, beside those of other lanes."""

    name: str
    arguments: tuple[str, ...]
    niceness: int = 0


# A file is one worker's: what its tests share is made once. Files that take long are collected first.
_SHARED_OUT = ("--dist", "loadfile", "--no-loadscope-reorder", "-q")
# What is measured in calls is time, so they come before everybody else.
EVERYTHING = (
    Lane("SIP", (*_SHARED_OUT, "-n", "4", "tests/sip")),
    Lane("others", (*_SHARED_OUT, "-n", "auto", "--ignore", "tests/sip", "tests"), niceness=5),
)


@dataclass(frozen=True)
class Run:
    """What came of the tests of a lane on one database."""

    database: str
    code: int
    seconds: int
    passed: int
    failed: tuple[str, ...]
    lane: str = ""

    @property
    def where(self) -> str:
        """Name the database, and the lane if there are several."""
        return f"{NAMES[self.database]}, {self.lane}" if self.lane else NAMES[self.database]

    @property
    def line(self) -> str:
        """Say it in a line."""
        if self.code == NOTHING_COLLECTED:
            what = "no tests"
        elif not self.code:
            what = f"{self.passed} passed"
        else:
            what = f"{len(self.failed)} failed, {self.passed} passed" if self.failed else f"ended with {self.code}"
        return f"{self.where}: {what} in {self.seconds // 60} min {self.seconds % 60} s"


def chosen() -> list[str]:
    """Return the databases to test on; end with one line when the setting is wrong."""
    setting = os.environ.get("CORDBOARD_TEST_DATABASES", "sqlite")
    names = [name.strip() for name in setting.split(",") if name.strip()]
    if not names or not set(names) <= set(NAMES):
        sys.exit(f"cordboard: CORDBOARD_TEST_DATABASES={setting} is not a list of {', '.join(NAMES)}")
    return names


class Runner:
    """Starts pytest; what would end this process ends pytest, which is waited for."""

    def __init__(self) -> None:
        self._running: set[asyncio.subprocess.Process] = set()
        self._stopped = False

    def hear_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._stop, False)  # the terminal has sent it to pytest as well
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop, True)

    def _stop(self, tell: bool) -> None:
        self._stopped = True
        for process in self._running if tell else ():
            process.send_signal(signal.SIGINT)

    async def lane(self, lane: Lane, databases: Sequence[str]) -> list[Run]:
        """Run a lane's tests on one database after the other, also after a failure."""
        runs: list[Run] = []
        for database in databases:
            runs.append(await self._run(lane, database))
            if self._stopped or runs[-1].code not in (PASSED, FAILED, NOTHING_COLLECTED):
                break
        return runs

    async def _run(self, lane: Lane, database: str) -> Run:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="cordboard-summary-") as folder:
            summary = Path(folder) / "summary.json"
            environment = {**os.environ, "CORDBOARD_TEST_DATABASE": database, "CORDBOARD_TEST_SUMMARY": str(summary)}
            environment.pop("PYTHONDONTWRITEBYTECODE", None)  # each of the workers would compile all tests anew

            def prepare() -> None:
                die_with_parent()
                os.nice(lane.niceness)

            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "pytest", *lane.arguments, cwd=ROOT, env=environment, preexec_fn=prepare,
                stdout=asyncio.subprocess.PIPE if lane.name else None,
                stderr=asyncio.subprocess.STDOUT if lane.name else None,
            )  # fmt: skip
            self._running.add(process)
            if process.stdout is not None:
                await _pass_on(process.stdout, f"{NAMES[database]}, {lane.name}")
            code = await process.wait()
            self._running.discard(process)
            told: dict[str, Any] = {"passed": 0, "failed": []}
            with contextlib.suppress(FileNotFoundError):
                told = json.loads(summary.read_text())
        return Run(database, code, round(time.monotonic() - started), told["passed"], tuple(told["failed"]), lane.name)


async def _pass_on(output: asyncio.StreamReader, name: str) -> None:
    while line := await output.readline():
        print(f"{name} | {line.decode(errors='replace').rstrip()}", flush=True)


async def run_all(arguments: Sequence[str]) -> list[Run]:
    """Run everything in its lanes, or what the arguments say in one."""
    runner = Runner()
    runner.hear_signals()
    lanes = (Lane("", tuple(arguments)),) if arguments else EVERYTHING
    databases = chosen()
    done = await asyncio.gather(*(runner.lane(lane, databases) for lane in lanes))
    return sorted((run for runs in done for run in runs), key=lambda run: databases.index(run.database))


def main(arguments: Sequence[str]) -> int:
    """Run all, also after a failure, and tell them together at the end."""
    runs = asyncio.run(run_all(arguments))
    print()
    for one in runs:
        for name in one.failed:
            print(f"cordboard: failed on {NAMES[one.database]}: {name}")
    for one in runs:
        print(f"cordboard: {one.line}")
    return verdict([one.code for one in runs])


def verdict(codes: Sequence[int]) -> int:
    """Return the exit code for all; that nothing was collected counts only when it was so everywhere."""
    bad = [code for code in codes if code not in (PASSED, NOTHING_COLLECTED)]
    return bad[0] if bad else min(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

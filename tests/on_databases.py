"""Run the tests, on one database or on several: `python -m tests.on_databases [ARGS]`.

The arguments go to pytest, each time. Without any, the tests share out the machine's cores; those with SIP peers keep
to one. CORDBOARD_TEST_DATABASES names the databases, and their order; on PostgreSQL only those run that touch it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
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
EVERYTHING = ("-n", "auto", "--dist", "loadgroup")
PASSED, FAILED, NOTHING_COLLECTED = 0, 1, 5  # pytest's exit codes


@dataclass(frozen=True)
class Run:
    """What came of the tests on one database."""

    database: str
    code: int
    seconds: int
    passed: int
    failed: tuple[str, ...]

    @property
    def line(self) -> str:
        """Say it in a line."""
        if self.code == NOTHING_COLLECTED:
            what = "no tests"
        elif not self.code:
            what = f"{self.passed} passed"
        else:
            what = f"{len(self.failed)} failed, {self.passed} passed" if self.failed else f"ended with {self.code}"
        return f"{NAMES[self.database]}: {what} in {self.seconds // 60} min {self.seconds % 60} s"


def chosen() -> list[str]:
    """Return the databases to test on; end with one line when the setting is wrong."""
    setting = os.environ.get("CORDBOARD_TEST_DATABASES", "sqlite")
    names = [name.strip() for name in setting.split(",") if name.strip()]
    if not names or not set(names) <= set(NAMES):
        sys.exit(f"cordboard: CORDBOARD_TEST_DATABASES={setting} is not a list of {', '.join(NAMES)}")
    return names


def run(database: str, arguments: Sequence[str]) -> Run:
    """Run pytest on one database; what would end this process ends pytest, which is waited for."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cordboard-summary-") as folder:
        summary = Path(folder) / "summary.json"
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=ROOT,
            env={**os.environ, "CORDBOARD_TEST_DATABASE": database, "CORDBOARD_TEST_SUMMARY": str(summary)},
            preexec_fn=die_with_parent,
        )
        signal.signal(signal.SIGINT, lambda *_: None)  # the terminal has sent it to pytest as well
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: process.send_signal(signal.SIGINT))
        code = process.wait()
        told: dict[str, Any] = {"passed": 0, "failed": []}
        with contextlib.suppress(FileNotFoundError):
            told = json.loads(summary.read_text())
    return Run(database, code, round(time.monotonic() - started), told["passed"], tuple(told["failed"]))


def main(arguments: Sequence[str]) -> int:
    """Run all, also after a failure, and tell them together at the end."""
    runs: list[Run] = []
    for database in chosen():
        runs.append(run(database, arguments or EVERYTHING))
        if runs[-1].code not in (PASSED, FAILED, NOTHING_COLLECTED):
            break
    print()
    for one in runs:
        for name in one.failed:
            print(f"cordboard: failed on {NAMES[one.database]}: {name}")
    for one in runs:
        print(f"cordboard: {one.line}")
    return verdict([one.code for one in runs])


def verdict(codes: Sequence[int]) -> int:
    """Return the exit code for all; that nothing was collected counts only when it was so on all databases."""
    bad = [code for code in codes if code not in (PASSED, NOTHING_COLLECTED)]
    return bad[0] if bad else min(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

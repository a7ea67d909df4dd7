"""Figures, and how they are shown: a plain table for people, JSON for programs."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOISY_PERCENT = 15.0  # of a core that others took during a measurement


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `within` is None where there is no limit; `other` is the % of a core that others took."""

    name: str
    seen: str
    limit: str = ""
    within: bool | None = None
    other: float = 0.0
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Say how the figure stands to its limit, and whether it can be trusted."""
        words = {None: "", True: "ok", False: "over"}[self.within]
        noise = f"noisy: others took {self.other:.0f} % of a core" if self.other > NOISY_PERCENT else ""
        return ", ".join(word for word in (words, noise) if word)


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    return {
        "machine": platform.node(),
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "cores": f"{os.cpu_count()} × {_cpu_name()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GB",
        "system": f"{_os_name()}, Linux {platform.release()}",
        "versions": ", ".join(
            [f"Cordboard {_commit()}", f"Python {platform.python_version()}", _pjsua2(), _sipp(), _sqlite()]
        ),
        "core speed": _speed(),
        "load average": " ".join(f"{value:.2f}" for value in os.getloadavg()) + " before",
    }


def _speed() -> str:
    """Say how fast a core is alone and while all others are busy: two "cores" may be threads of one.

    Where they are, CPU time a call depends on what else runs.
    """
    alone = min(_loop() for _ in range(5))
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range((os.cpu_count() or 2) - 1)]
    try:
        time.sleep(0.3)
        crowded = statistics.median(_loop() for _ in range(7))
    finally:
        for other in others:
            other.kill()
            other.wait()
    return (
        f"a fixed loop takes {1000 * alone:.0f} ms of CPU alone, {1000 * crowded:.0f} ms while the other cores are busy"
    )


def _loop() -> float:
    began = time.process_time()
    table: dict[int, tuple[int, int]] = {}
    total = 0
    for number in range(300_000):
        table[number & 1023] = (number, total)
        total += len(table)
    return time.process_time() - began


def _cpu_name() -> str:
    found = re.search(r"(?m)^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text())
    return " ".join(found[1].split()) if found else platform.machine()


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "(no git)"


def _pjsua2() -> str:
    script = (
        "import pjsua2 as pj; e = pj.Endpoint(); e.libCreate(); v = e.libVersion().full; "
        "e.libDestroy(pj.PJSUA_DESTROY_NO_NETWORK); print(f'\\npjsip {v}')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return (done.stdout.strip().splitlines() or ["pjsip ?"])[-1]


def _sipp() -> str:
    found = re.search(
        r"SIPp v([\w.]+)", subprocess.run(["sipp", "-v"], capture_output=True, text=True, check=False).stdout
    )
    return f"SIPp {found[1]}" if found else "SIPp ?"


def _sqlite() -> str:
    import sqlite3

    return f"SQLite {sqlite3.sqlite_version}"


def head(facts: dict[str, str]) -> str:
    """Return the lines above the table."""
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())


def table(figures: Sequence[Figure]) -> str:
    """Return the figures in columns."""
    rows = [("measured", "limit", "seen", "")] + [(f.name, f.limit, f.seen, f.verdict) for f in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join((*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[3])) for row in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(line.rstrip() for line in lines)


def as_json(facts: dict[str, str], figures: Sequence[Figure], quick: bool) -> dict[str, Any]:
    """Return everything for a program to read."""
    return {"machine": facts, "quick": quick, "figures": [{**asdict(f), "verdict": f.verdict} for f in figures]}

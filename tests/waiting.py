"""Waiting in tests for what another process, thread or task makes true.

A limit decides only when a test fails, never whether it passes, so that it is long: a loaded machine is no failure.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

SECONDS = 180.0
PERIOD = 0.02  # of looking again

T = TypeVar("T")


def until(condition: Callable[[], T | None], what: str = "the condition") -> T:
    """Wait for a condition to be true and return its value; fail the test when it does not become true."""
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        _fail_after(deadline, what)
        time.sleep(PERIOD)
    return found


async def becomes(condition: Callable[[], T | None], what: str = "the condition") -> T:
    """Wait as `until` does, and let the event loop turn meanwhile."""
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):  # noqa: ASYNC110  # what makes it true tells nobody
        _fail_after(deadline, what)
        await asyncio.sleep(PERIOD / 4)
    return found


def _fail_after(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise AssertionError(f"{what} did not come true within {SECONDS:g} s")

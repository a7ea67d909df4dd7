"""Who talks now, and since when the others do not: asked by ring groups, answered by whoever knows of calls.

`routing` does not know of calls in progress; the app that does registers itself with `register`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from routing.models import Endpoint


class Presence(Protocol):
    """What a ring group asks of its members' endpoints; each a fixed number of queries, whatever their number."""

    def busy(self, endpoints: Sequence[Endpoint]) -> Collection[int]:
        """Return the ids of those that are in a conversation."""

    def idle_since(self, endpoints: Sequence[Endpoint]) -> Mapping[int, datetime]:
        """Return when the last conversation of each ended; those that had none are missing."""


@dataclass(frozen=True, slots=True)
class Known:
    """Presence that is given: nobody busy, nobody ever called, unless said otherwise. Keys are ids of endpoints."""

    engaged: Collection[int] = ()
    last_talked: Mapping[int, datetime] = field(default_factory=dict)

    def busy(self, endpoints: Sequence[Endpoint]) -> Collection[int]:
        """Return the ids of those that are in a conversation."""
        return self.engaged

    def idle_since(self, endpoints: Sequence[Endpoint]) -> Mapping[int, datetime]:
        """Return when the last conversation of each ended."""
        return self.last_talked


_registered: list[Presence] = []


def register(provider: Presence) -> None:
    """Ask this one from now on."""
    _registered[:] = [provider]


def current() -> Presence:
    """Return who knows of calls; without anybody, nobody is busy."""
    return _registered[0] if _registered else Known()

"""PURE: who hears whom in a room, pair by pair, carried out with the fewest commands to the phone."""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol


class Bridge(Protocol):
    """What a mix needs of `ports.Phone`."""

    def bridge(self, one: int, other: int) -> None: ...

    def hear(self, listener: int, speaker: int) -> None: ...

    def unbridge(self, one: int, other: int) -> None: ...


class Mix:
    """The legs of one room: everything is a pair, so that no leg ever hears itself.

    A room of n legs has n·(n-1) connections; one that comes or goes costs n-1 commands.
    """

    def __init__(self, phone: Bridge) -> None:
        self._phone = phone
        self._heard: defaultdict[int, set[int]] = defaultdict(set)  # listener → speakers

    def connect(self, one: int, other: int, *, one_hears: bool, other_hears: bool) -> None:
        """Let each of two legs hear the other, or not."""
        had = (other in self._heard[one], one in self._heard[other])
        wanted = (one_hears, other_hears)
        if had == wanted:
            return
        if (had[0] and not wanted[0]) or (had[1] and not wanted[1]):
            self._phone.unbridge(one, other)
            had = (False, False)
        if wanted == (True, True) and had == (False, False):
            self._phone.bridge(one, other)
        else:
            self._listen(one, other, had[0], wanted[0])
            self._listen(other, one, had[1], wanted[1])
        self._note(one, other, one_hears)
        self._note(other, one, other_hears)

    def forget(self, leg: int) -> None:
        """Drop a leg that has ended; the phone itself has parted it from the others."""
        self._heard.pop(leg, None)
        for speakers in self._heard.values():
            speakers.discard(leg)

    def _listen(self, listener: int, speaker: int, had: bool, wanted: bool) -> None:
        if wanted and not had:
            self._phone.hear(listener, speaker)

    def _note(self, listener: int, speaker: int, hears: bool) -> None:
        if hears:
            self._heard[listener].add(speaker)
        else:
            self._heard[listener].discard(speaker)

"""asyncio: what the caller hears until somebody is bridged: a far end's early media, or a ring tone of ours."""

from __future__ import annotations

from sipengine.ports import LegId, Phone
from sipengine.records import Leg
from sipengine.tones import RING_TONES

DEFAULT_RING_TONE = "us"


class Ringback:
    """The caller's ringing in one `<Dial>`; `country` is its `ringTone`, which takes the place of early media.

    A caller who has not been answered hears the ringing of his own phone (180) until there is something to send.
    """

    def __init__(self, phone: Phone, parent: Leg, country: str | None) -> None:
        self._phone = phone
        self._parent = parent
        self._country = country
        self._tone: int | None = None
        self._early: LegId | None = None
        self._sent = False
        self._ringing: set[LegId] = set()

    def heard(self, leg: LegId, *, media: bool) -> bool:
        """Take in that a far end rings, with early media or without; say whether the caller now hears it."""
        self._ringing.add(leg)
        if media and self._early is None and not self._country:
            self._pass_on(leg)
            return True
        self._ring_if_silent()
        return False

    def screened(self, leg: LegId) -> None:
        """Take in that a far end has answered and is being asked: what it says is not the caller's to hear."""
        self._ringing.discard(leg)
        if self._early == leg:
            self._stop_early()
        self._ring_if_silent()

    def forget(self, leg: LegId) -> None:
        """Take in that a far end is out of the dial."""
        self._ringing.discard(leg)
        if self._early == leg:
            self._stop_early()

    def again(self) -> None:
        """Let the caller, who may have heard one that is gone, hear that others ring."""
        if self._ringing:
            self._ring_if_silent()

    def stop(self) -> None:
        """Send nothing any more."""
        if self._tone is not None and self._parent.id is not None:
            self._phone.stop_playing(self._parent.id, self._tone)
            self._tone = None
        self._stop_early()

    def _ring_if_silent(self) -> None:
        if self._tone is None and self._early is None and (self._country or self._parent.answered or self._sent):
            self._ring()

    def _ring(self) -> None:
        assert self._parent.id is not None
        if not self._parent.answered:
            self._phone.ring(self._parent.id, early_media=True)
        self._tone = self._phone.tone(self._parent.id, RING_TONES[self._country or DEFAULT_RING_TONE])

    def _pass_on(self, leg: LegId) -> None:
        assert self._parent.id is not None
        if self._tone is not None:
            self._phone.stop_playing(self._parent.id, self._tone)
            self._tone = None
        self._early, self._sent = leg, True
        if not self._parent.answered:
            self._phone.ring(self._parent.id, early_media=True)
        self._phone.hear(self._parent.id, leg)

    def _stop_early(self) -> None:
        if self._early is not None and self._parent.id is not None:
            self._phone.unbridge(self._parent.id, self._early)
        self._early = None

"""asyncio: what every session of an engine shares, and what it needs of its media and of the running verb."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from calls.entries import Entry
from calls.status import STRICT_TWILIO, Status
from calls.urlguard import Network
from routing.answers import Application
from routing.outbound import Dialplan
from sipengine.callbacks import Callbacks
from sipengine.documents import Goto, Inline, Web
from sipengine.ports import Event, LegId, Phone
from sipengine.records import Leg

if TYPE_CHECKING:
    from sipengine.rooms import Rooms

Handler = Callable[[Event], None]


class Media(Protocol):
    """What a session needs of `media.MediaLibrary`: text or an address becomes a local WAV file."""

    async def say(self, text: str, voice: str | None = None, language: str | None = None) -> Path: ...

    async def play(self, url: str) -> Path: ...

    async def beep(self, kind: Literal["record", "enter", "exit"] = "record") -> Path: ...

    async def hold_music(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class DialSettings:
    """What a deployment decides about calls. Seconds, except the table of SIP codes."""

    timeout_buffer: float = 5.0
    cancel_guard: float = 1.0
    resolve_seconds: float = 0.8
    table: Mapping[int, Status] = field(default_factory=lambda: STRICT_TWILIO)
    end_without_media: bool = False
    deny: tuple[Network, ...] = ()  # no leg is placed to an address in these


@dataclass(frozen=True, slots=True)
class Services:
    """What every session of an engine shares. `own(number, handler)` routes the events of a leg or recorder."""

    phone: Phone
    web: Web
    media: Media
    put: Callable[[Entry], None]
    own: Callable[[LegId, Handler], None]
    callbacks: Callbacks
    rooms: Rooms
    dial: DialSettings
    recordings: Path
    public_url: str
    engine: str
    dialplan: Callable[[], Dialplan] = Dialplan
    regions: Callable[[], frozenset[str]] = frozenset
    adopt: Callable[[Adoption], None] = lambda adoption: None  # noqa: E731


@dataclass(frozen=True, slots=True)
class Adoption:
    """A dialled leg that leaves its dial and goes on with `step`; it has `timeout` seconds to answer if it rings."""

    leg: Leg
    application: Application
    step: Goto | Inline
    timeout: float


class Joint(Protocol):
    """A verb that joins the caller with something that must be ended in order: a dial, a room, a recording."""

    def abandon(self, *, parent_gone: bool) -> None:
        """Give up: the caller hung up, or the call goes on elsewhere."""

    def on_event(self, event: Event) -> None:
        """Take an event of the caller's leg."""

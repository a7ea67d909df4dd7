"""PORT: what the call logic needs of a phone, and the events that a phone posts back.

Everything above this file (session, engine) speaks only these types, so a scripted fake stands in for pjsua2 in tests.
Legs are plain integers, drawn by the phone. A command never raises for a bad leg or a network error: what cannot be
done ends the leg with an `Ended` event. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from routing.sipuri import SipUri
from sipengine.tones import Cadence

LegId = int
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Invite:
    """A call comes in. 100 Trying has gone out; nothing else has."""

    leg: LegId
    time: float
    source_ip: str
    request_uri: str
    from_uri: str
    to_uri: str
    call_id: str
    headers: Headers
    authorization: str | None = None
    transport: str = "udp"
    srtp: bool = False  # the SDP offers RTP/SAVP


@dataclass(frozen=True, slots=True)
class Placed:
    """Our INVITE left; `call_id` is its Call-ID."""

    leg: LegId
    time: float
    call_id: str


@dataclass(frozen=True, slots=True)
class Ringing:
    """A provisional response above 100; `media` is true when it carried SDP (early media)."""

    leg: LegId
    time: float
    code: int
    media: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """The dialog is confirmed (2xx to our INVITE, or the ACK to our 200); `headers` are those of the 2xx."""

    leg: LegId
    time: float
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Digit:
    """A DTMF digit arrived (RFC 4733 or INFO)."""

    leg: LegId
    time: float
    digit: str


@dataclass(frozen=True, slots=True)
class PlayDone:
    """The player `player` of this leg reached its end."""

    leg: LegId
    player: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The leg is over: exactly one of these per leg. `code` is the INVITE's final response, 0 when there was none.

    `by_peer` says who sent the BYE, CANCEL or refusal; `error` is text when the network or the library failed.
    """

    leg: LegId
    time: float
    code: int
    reason: str = ""
    by_peer: bool = True
    headers: Headers = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Referred:
    """The far end asks us to connect it to `target` (REFER, RFC 3515); it has been told 202. See `allow_refer`."""

    leg: LegId
    time: float
    target: str


@dataclass(frozen=True, slots=True)
class ReferDeclined:
    """The far end asked to be connected to `target` (REFER) without leave, and has been told 603."""

    leg: LegId
    time: float
    target: str


@dataclass(frozen=True, slots=True)
class ReferDone:
    """What came of our own REFER: `code` is its final response, `notify_code` that of the NOTIFY's sipfrag (0: none).

    Exactly one per `refer`, also when the leg ends meanwhile.
    """

    leg: LegId
    time: float
    code: int
    notify_code: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """The far end put us on hold, or took us back (a re-INVITE with sendonly/inactive, RFC 3264 §8.4)."""

    leg: LegId
    time: float
    held: bool


@dataclass(frozen=True, slots=True)
class Quiet:
    """The far end has said nothing for the seconds that `watch_silence` was asked for; `watch` is its number."""

    leg: LegId
    time: float
    watch: int


@dataclass(frozen=True, slots=True)
class NoMedia:
    """No RTP has come from an answered leg for `seconds`; told once until packets come again."""

    leg: LegId
    time: float
    seconds: float


@dataclass(frozen=True, slots=True)
class MediaStats:
    """What RTP and RTCP told of a leg's audio; None is what is not known, as without RTCP of the far end.

    "In" is what came from the far end, "out" what it says of ours; `jitter_*` (RFC 3550) and `round_trip` in ms.
    """

    codec: str
    packets_in: int
    packets_out: int
    lost_in: int
    jitter_in: float | None = None
    jitter_in_max: float | None = None
    lost_out: int | None = None
    jitter_out: float | None = None
    round_trip: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """How a leg's audio has gone so far; `final`: told just before its `Ended`."""

    leg: LegId
    time: float
    stats: MediaStats
    final: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of an OPTIONS: the answer's code and reason, or 0 and why there was none. `leg` is its number.

    `server` is what the far end calls itself; `seconds` from the request to the answer.
    """

    leg: LegId
    time: float
    code: int
    reason: str = ""
    server: str = ""
    seconds: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class RecordFailed:
    """The files of a recorder cannot be written; the call goes on. `leg` is the recorder's number."""

    leg: LegId
    error: str


@dataclass(frozen=True, slots=True)
class RecordClosed:
    """The files of a recorder are closed and complete. `leg` is the recorder's number."""

    leg: LegId


Event = (
    Invite
    | Placed
    | Ringing
    | Answered
    | Digit
    | PlayDone
    | Referred
    | ReferDone
    | ReferDeclined
    | Held
    | Quiet
    | NoMedia
    | Measured
    | Checked
    | RecordFailed
    | RecordClosed
    | Ended
)


@dataclass(frozen=True, slots=True)
class Target:
    """One INVITE to place. `from_user` and `from_name` make its From; `headers` are added to it.

    `region` names a Region row; blank means the default one. `uri.srtp` says whether its media is encrypted.
    """

    uri: SipUri
    from_user: str
    from_name: str = ""
    username: str | None = None
    password: str | None = None
    headers: Headers = ()
    region: str = ""


class Phone(Protocol):
    """Places, answers, ends and joins legs. Every method returns at once; what happened comes back as an event."""

    def place(self, target: Target) -> LegId:
        """Send an INVITE; the leg's identifier is valid at once."""

    def ring(self, leg: LegId, early_media: bool = False) -> None:
        """Answer an incoming leg with 180, or with 183 and SDP."""

    def answer(self, leg: LegId) -> None:
        """Answer an incoming leg with 200."""

    def refuse(self, leg: LegId, code: int, headers: Headers = ()) -> None:
        """Answer an incoming leg with a final response of 300 or more; its `Ended` follows."""

    def hangup(self, leg: LegId, headers: Headers = ()) -> None:
        """End a leg in whatever state it is: CANCEL, BYE or a refusal; its `Ended` follows."""

    def bridge(self, one: LegId, other: LegId) -> None:
        """Join the audio of two legs both ways, as soon as both have media."""

    def hear(self, listener: LegId, speaker: LegId) -> None:
        """Let `listener` hear `speaker` (early media), one way."""

    def unbridge(self, one: LegId, other: LegId) -> None:
        """Part the audio of two legs."""

    def play(self, leg: LegId, path: Path, loop: bool = False) -> int:
        """Play a WAV file to the leg; return the player's number, which `PlayDone` names at its end."""

    def tone(self, leg: LegId, cadence: Cadence) -> int:
        """Play a tone to the leg until `stop`; return its number."""

    def stop_playing(self, leg: LegId, player: int) -> None:
        """Stop a player or a tone; no event follows."""

    def record(self, sources: Sequence[Sequence[LegId]], paths: Sequence[Path]) -> int:
        """Record each group of legs into its own WAV file, all started together; return the recorder's number.

        Numbers of recorders and legs are drawn from one series, so that events of both find their owner.
        """

    def record_also(self, recorder: int, channel: int, leg: LegId) -> None:
        """Add a leg to one channel of a running recorder."""

    def record_without(self, recorder: int, channel: int, leg: LegId) -> None:
        """Take a leg out of one channel of a running recorder."""

    def record_heard(self, recorder: int, channel: int, leg: LegId, heard: bool = True) -> None:
        """Record in one channel also all that a leg hears, whatever it is joined with or played, or no longer."""

    def stop_recording(self, recorder: int) -> None:
        """Close the recorder's files; `RecordClosed` follows."""

    def send_digits(self, leg: LegId, digits: str) -> None:
        """Send DTMF digits (0-9 A-D * #) to the far end as RFC 4733 events; in-band tones where it has none."""

    def allow_refer(self, leg: LegId, allowed: bool) -> None:
        """Say whether a REFER of this leg's far end is taken (202, then `Referred`); by default it is declined."""

    def refer(self, leg: LegId, uri: SipUri) -> None:
        """Ask the far end to call `uri` instead (REFER with the URI's headers); `ReferDone` follows."""

    def hold(self, leg: LegId, held: bool) -> None:
        """Put the far end on hold or take it back, with a re-INVITE; nothing happens if it is so already."""

    def watch_silence(self, leg: LegId, seconds: float) -> int:
        """Post `Quiet` once when the far end has been silent this long; return the watch's number."""

    def stop_watching(self, watch: int) -> None:
        """Forget a watch of `watch_silence`; no event follows."""

"""SIP messages off the loopback interface with the kernel's time stamps, and the delays between them.

An AF_PACKET socket, so it needs root (CAP_NET_RAW). What is measured is when a packet reached the kernel, whatever the
programs at both ends were doing.
"""

from __future__ import annotations

import contextlib
import re
import socket
import statistics
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from bench.procs import CannotMeasure

ETH_P_IP = 0x0800
SO_TIMESTAMPNS = 35  # from <asm-generic/socket.h>; the socket module has neither
SO_RCVBUFFORCE = 33
UDP = 17
BUFFER = 32 << 20
LONGEST = 4096
MOST_LEFT = 100_000


@dataclass(frozen=True, slots=True)
class Packet:
    """One UDP datagram; `time` in seconds since the epoch."""

    time: float
    source: int
    destination: int
    payload: bytes


class Capture:
    """Collects the UDP datagrams from and to some ports while it is entered."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = frozenset(ports)
        self.packets: list[Packet] = []
        self._stopped = threading.Event()

    def __enter__(self) -> Capture:
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
        except PermissionError:
            raise CannotMeasure("a packet capture needs root (or CAP_NET_RAW): run it as root") from None
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind(("lo", ETH_P_IP))
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        # What came before the end and has not been read yet; others may go on for ever on this interface.
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(MOST_LEFT):
                self._take()
        self._socket.close()

    def _collect(self) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(TimeoutError):
                self._take()

    def _take(self) -> None:
        data, extras, _, sender = self._socket.recvmsg(LONGEST, 64)
        # Each packet of the loopback interface comes twice: going out and coming in.
        if sender[2] != socket.PACKET_OUTGOING and (packet := self._packet(data, extras)):
            self.packets.append(packet)

    def _packet(self, data: bytes, extras: list[tuple[int, int, bytes]]) -> Packet | None:
        head = (data[0] & 15) * 4
        if data[9] != UDP or len(data) < head + 8:
            return None
        source, destination = struct.unpack_from("!HH", data, head)
        if source not in self._ports and destination not in self._ports:
            return None
        when = next((struct.unpack("qq", value) for level, kind, value in extras if kind == SO_TIMESTAMPNS), (0, 0))
        return Packet(when[0] + when[1] / 1e9, source, destination, data[head + 8 :])


@dataclass(slots=True)
class Seen:
    """When what happened to one call of a caller; times in seconds, None if it did not."""

    invite: float
    invites_out: list[float] = field(default_factory=list)
    answer_in: float | None = None
    answer_out: float | None = None
    refused: float | None = None
    refusal: int = 0
    retry_after: bool = False


_CALL_ID = re.compile(rb"(?im)^(?:call-id|i)\s*:\s*(\S+)")
_CALLER = re.compile(rb"(?im)^(?:from|f)\s*:.*sip:(c\d+)@")
_INVITE = re.compile(rb"(?im)^cseq\s*:\s*\d+ INVITE")


def calls(packets: Sequence[Packet], caller: int, engine: int, phones: Sequence[int]) -> list[Seen]:
    """Put the messages of each call together; the engine passes on the caller's user, which names the call."""
    by_id: dict[bytes, Seen] = {}
    by_user: dict[bytes, Seen] = {}
    legs: dict[bytes, Seen] = {}
    for packet in packets:
        found = _CALL_ID.search(packet.payload)
        if not found:
            continue
        call_id, text = found[1], packet.payload
        user = _CALLER.search(text)
        match packet.source, packet.destination:
            case (source, destination) if source == caller and destination == engine:
                if text.startswith(b"INVITE ") and call_id not in by_id and user:
                    by_id[call_id] = by_user[user[1]] = Seen(packet.time)
            case (_, destination) if destination == caller and call_id in by_id:
                _answered(by_id[call_id], packet)
            case (_, destination) if destination in phones and text.startswith(b"INVITE "):
                if call_id not in legs and user and user[1] in by_user:
                    legs[call_id] = by_user[user[1]]
                    legs[call_id].invites_out.append(packet.time)
            case (source, _) if source in phones and call_id in legs:
                if text.startswith(b"SIP/2.0 200") and _INVITE.search(text) and legs[call_id].answer_in is None:
                    legs[call_id].answer_in = packet.time
    return list(by_id.values())


def _answered(seen: Seen, packet: Packet) -> None:
    text = packet.payload
    if not text.startswith(b"SIP/2.0 ") or not _INVITE.search(text):
        return
    code = int(text[8:11])
    if code == 200 and seen.answer_out is None:
        seen.answer_out = packet.time
    elif code >= 300 and seen.refused is None:
        seen.refused, seen.refusal = packet.time, code
        seen.retry_after = b"\nretry-after:" in text.lower()


@dataclass(frozen=True, slots=True)
class Delays:
    """A distribution in milliseconds."""

    count: int
    p50: float
    p99: float
    longest: float

    def __str__(self) -> str:
        return f"{self.p50:.1f} ms (p99 {self.p99:.1f}, max {self.longest:.1f}, n {self.count})"


def delays(seen: Sequence[Seen], measure: Callable[[Seen], float | None]) -> Delays | None:
    """Return the distribution of a delay (given in seconds) over the calls that have it."""
    values = sorted(1000 * value for value in _known(seen, measure))
    if not values:
        return None
    p99 = values[min(len(values) - 1, round(0.99 * (len(values) - 1)))]
    return Delays(len(values), round(statistics.median(values), 2), round(p99, 2), round(values[-1], 2))


def _known(seen: Sequence[Seen], measure: Callable[[Seen], float | None]) -> Iterator[float]:
    for one in seen:
        value = measure(one)
        if value is not None:
            yield value


def first_invite(seen: Seen) -> float | None:
    """INVITE in to first INVITE out."""
    return min(seen.invites_out) - seen.invite if seen.invites_out else None


def last_invite(seen: Seen) -> float | None:
    """INVITE in to last INVITE out."""
    return max(seen.invites_out) - seen.invite if seen.invites_out else None


def relay(seen: Seen) -> float | None:
    """The phone's 200 to the caller's."""
    return seen.answer_out - seen.answer_in if seen.answer_in and seen.answer_out else None


def refusal(seen: Seen) -> float | None:
    """INVITE in to a final response of 300 or more."""
    return seen.refused - seen.invite if seen.refused else None

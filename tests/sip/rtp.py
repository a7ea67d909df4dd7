"""Hand-made RTP: the DTMF digits that SIPp cannot send, and an ear that hears what is really on the wire."""

from __future__ import annotations

import itertools
import re
import socket
import struct
import threading
from typing import Self

import numpy as np

from tests.sip.sipp import HOST, Sipp
from tests.sip.steps import SDP

_EVENTS = "0123456789*#ABCD"
_presses = itertools.count()


def press(peer: Sipp, digit: str) -> None:
    """Press a key as RFC 4733 has it: events to where the engine said, in its SDP, that it listens to this peer."""
    engine = next(message for message in peer.received("") if "m=audio" in message)
    port = int(re.findall(r"^m=audio (\d+)", engine, re.MULTILINE)[0])
    payload_type = int(re.findall(r"^a=rtpmap:(\d+) telephone-event/8000", engine, re.MULTILINE)[0])
    count = next(_presses)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        for sequence in range(1, 11):
            last = sequence > 7  # the end is sent three times (RFC 4733 §2.5.1.4)
            marked = payload_type | (0x80 if sequence == 1 else 0)
            head = struct.pack("!BBHII", 0x80, marked, 10 * count + sequence, 8000 * (count + 1), 0x5350)
            event = struct.pack("!BBH", _EVENTS.index(digit), 0x8A if last else 0x0A, 160 * min(sequence, 8))
            phone.sendto(head + event, (HOST, port))


class Ear:
    """A port for the media of a SIPp peer: everything that comes is kept, and heard as G.711 mu-law."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self.packets: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def sdp(self) -> str:
        """An offer or answer of this port, for a peer without telephone-event."""
        port = self._socket.getsockname()[1]
        plain = SDP.replace("RTP/AVP 0 101", "RTP/AVP 0").replace("[auto_media_port]", str(port))
        return "".join(f"{line}\n" for line in plain.split("\n")[:-1] if ":101 " not in line)

    def _listen(self) -> None:
        while True:
            try:
                packet = self._socket.recv(2048)
            except OSError:
                return
            if not packet:
                return
            self.packets.append(packet)

    def level(self, hertz: float) -> float:
        """Return the level of one frequency in what was heard, in dB, where a sine of full scale throughout has 0."""
        data = np.frombuffer(b"".join(packet[12:] for packet in self.packets), np.uint8) ^ 0xFF
        magnitude = ((((data & 0x0F).astype(np.int32) << 3) + 0x84) << ((data & 0x70) >> 4)) - 0x84
        track = np.where(data & 0x80, -magnitude, magnitude) / 32768
        turn = np.exp(-2j * np.pi * hertz * np.arange(track.size) / 8000)
        return float(20 * np.log10(2 * abs(np.mean(track * turn)) + 1e-9))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

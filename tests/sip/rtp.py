"""Hand-made RTP into a call: the DTMF digits that SIPp cannot send."""

from __future__ import annotations

import re
import socket
import struct

from tests.sip.sipp import HOST, Sipp

_EVENTS = "0123456789*#ABCD"


def press(peer: Sipp, digit: str) -> None:
    """Press a key as RFC 4733 has it: events to where the engine said, in its SDP, that it listens to this peer."""
    engine = next(message for message in peer.received("") if "m=audio" in message)
    port = int(re.findall(r"^m=audio (\d+)", engine, re.MULTILINE)[0])
    payload_type = int(re.findall(r"^a=rtpmap:(\d+) telephone-event/8000", engine, re.MULTILINE)[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        for sequence in range(1, 11):
            last = sequence > 7  # the end is sent three times (RFC 4733 §2.5.1.4)
            marked = payload_type | (0x80 if sequence == 1 else 0)
            head = struct.pack("!BBHII", 0x80, marked, sequence, 8000, 0x5350)
            event = struct.pack("!BBH", _EVENTS.index(digit), 0x8A if last else 0x0A, 160 * min(sequence, 8))
            phone.sendto(head + event, (HOST, port))

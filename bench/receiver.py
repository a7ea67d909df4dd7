"""`python -m bench.receiver PORT`: a web application that takes status callbacks and counts them by event.

Answers every request 204 on a kept-alive connection. A line on its standard input has it print the counts as JSON.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from urllib.parse import parse_qs

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)


class Receiver(asyncio.Protocol):
    """One connection. `counts` is shared: requests by CallStatus, and under `twice` those that came a second time."""

    def __init__(self, counts: Counter[str], seen: set[tuple[str, str]]) -> None:
        self.counts, self.seen = counts, seen
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self.buffer, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < whole:
                return
            self.count(self.buffer[end + 4 : whole])
            self.buffer = self.buffer[whole:]
            assert self.transport is not None
            self.transport.write(ANSWER)

    def count(self, body: bytes) -> None:
        """Take one callback down."""
        form = parse_qs(body.decode())
        status, call = form.get("CallStatus", ["?"])[0], form.get("CallSid", ["?"])[0]
        self.counts[status] += 1
        self.counts["twice"] += (call, status) in self.seen
        self.seen.add((call, status))


async def main(port: int) -> None:
    """Serve until standard input ends."""
    counts: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: Receiver(counts, seen), "127.0.0.1", port):
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(counts), flush=True)
            counts.clear()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

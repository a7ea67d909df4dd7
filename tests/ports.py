"""Ports for the processes that tests start: no other test is given one of them, not in another process either.

Whoever looks for a free port and starts something on it later may find it taken by then. So ports come in blocks, each
locked by one test process until it ends, and are given out in turn: none is used again before many others have been,
when nobody sends packets to its last user any more.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

HOST = "127.0.0.1"
# Below the range that the kernel draws the ports of connections from (32768 up on Linux).
FIRST, LAST, BLOCK = 20_000, 30_000, 125
MOST_BLOCKS = 4  # of one process

_folder = Path(tempfile.gettempdir()) / f"cordboard-ports-{os.getuid()}"
_locks: list[int] = []


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free for UDP and TCP."""
    return next(_free)


def _ports() -> Iterator[int]:
    own: list[int] = []
    while True:
        fresh = _lock_a_block() if len(_locks) < MOST_BLOCKS else range(0)
        own += fresh
        if not own:
            raise OSError(f"all ports between {FIRST} and {LAST} are given to other test processes")
        yield from filter(_is_free, fresh or own)


def _lock_a_block() -> range:
    """Lock a block that nobody has and return its ports, none if there is no such block."""
    _folder.mkdir(mode=0o700, exist_ok=True)
    for first in range(FIRST, LAST, BLOCK):
        lock = os.open(_folder / str(first), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        _locks.append(lock)
        return range(first, first + BLOCK)
    return range(0)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        try:
            udp.bind((HOST, port))
            tcp.bind((HOST, port))
        except OSError:
            return False
    return True


_free = _ports()

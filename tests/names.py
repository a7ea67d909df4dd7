"""Host names in the tests' process: answered at once, as if no name but localhost existed. No network decides a test.

The processes that tests start ask the machine's DNS, whose patience RES_OPTIONS limits (see `tests.environment`).
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

LOCAL = frozenset({"localhost"})

_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
    """Answer as `socket.getaddrinfo` for addresses and localhost; no other name is known."""
    name = host.decode() if isinstance(host, bytes) else host
    if name and name.lower() not in LOCAL and not _is_address(name):
        name.encode("idna")  # raises what the real one raises
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _getaddrinfo(host, *args, **options)


async def loop_getaddrinfo(loop: asyncio.AbstractEventLoop, host: Any, port: Any, **options: Any) -> Any:
    """Do the same in the event loop itself: an answer comes after one turn, and no thread decides when."""
    await asyncio.sleep(0)
    return getaddrinfo(host, port, **options)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def know_no_others() -> None:
    """Answer so from now on."""
    socket.getaddrinfo = getaddrinfo
    asyncio.BaseEventLoop.getaddrinfo = loop_getaddrinfo  # type: ignore[method-assign,assignment]

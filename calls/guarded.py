"""asyncio: the HTTP session of the engine, the sender and the worker, which connects only to addresses that it may.

The address is judged where its socket is made, so neither DNS that changes its mind nor a redirect gets around it.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from calls.urlguard import Guard
from calls.webhooks import USER_AGENT


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """What the operator settled for requests to web applications: who we say we are, and where they may go."""

    user_agent: str = USER_AGENT
    guard: Guard = field(default_factory=Guard)


class AddressDenied(PermissionError):
    """The address may not be connected to.

    Its text is the same for every address, so that a name with several is reported as denied too.
    """

    def __init__(self, address: str, why: str) -> None:
        super().__init__(errno.EACCES, "the address is denied")
        self.address, self.why = address, why


def open_session(policy: ClientPolicy, limit: int = 400, **options: Any) -> aiohttp.ClientSession:
    """Return a session that raises `aiohttp.ClientConnectorError` for a denied address (`os_error`: `AddressDenied`).

    `limit` is that of connections open at once; `options` are those of `aiohttp.TCPConnector` besides. It keeps no
    cookies: those of calls are kept by call.
    """

    def make_socket(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        if why := policy.guard.refusal(address[0]):
            raise AddressDenied(address[0], why)
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(limit=limit, keepalive_timeout=30, socket_factory=make_socket, **options)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

"""asyncio: looks a SIP URI's host up before PJSIP does, which would block its thread, and with it every call.

Only A and AAAA records: RFC 3263's NAPTR and SRV are not asked for.
"""

from __future__ import annotations

import asyncio
import functools
from ipaddress import ip_address

from routing.sipuri import SipUri

NOT_RESOLVABLE = 13254


async def lookup_problem(uri: SipUri, seconds: float) -> str | None:
    """Return why the URI's next hop cannot be reached by name within this time, or None when it can."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().getaddrinfo(uri.next_hop, uri.effective_port)
    except (OSError, TimeoutError, UnicodeError):
        return f"host {uri.next_hop} cannot be resolved: check the SIP URI and DNS"
    return None


def is_address(uri: SipUri) -> bool:
    """Say whether the next hop is an IP address, so that there is nothing to look up."""
    return _is_address(uri.next_hop)


@functools.lru_cache(maxsize=1024)
def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True

"""asyncio: looks a SIP URI's host up before PJSIP does, which would block its thread, and with it every call.

Only A and AAAA records: RFC 3263's NAPTR and SRV are not asked for.
"""

from __future__ import annotations

import asyncio
import functools
from ipaddress import ip_address

from calls.urlguard import Network, within
from routing.sipuri import SipUri

NOT_RESOLVABLE = 13254


async def lookup_problem(uri: SipUri, seconds: float, deny: tuple[Network, ...] = ()) -> str | None:
    """Return why the URI's next hop cannot be found within this time, or may not be called; None when it can.

    It may not if any of its addresses is in `deny`. PJSIP looks a name up once more: DNS that changes its answer in
    between gets around this, and only a firewall stops it.
    """
    try:
        async with asyncio.timeout(seconds):
            found = await asyncio.get_running_loop().getaddrinfo(uri.next_hop, uri.effective_port)
    except (OSError, TimeoutError, UnicodeError):
        return f"host {uri.next_hop} cannot be resolved: check the SIP URI and DNS"
    denied = next((address for *_, (address, *_) in found if within(str(address), deny)), None) if deny else None
    return f"host {uri.next_hop} may not be called: {denied} is in SIP_DENY_NETWORKS" if denied else None


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

"""PURE: which addresses our HTTP requests may go to, so that a URL in TwiML or in the admin cannot make this server ask
what only this server can reach: the cloud's metadata service with its keys, above all.

The decision is made on the address that is connected to, not on the URL: names that resolve to something else a moment
later, redirects and unusual spellings of addresses all end there. Sources: the special-purpose address registries
(RFC 6890), IPv4 inside IPv6 (RFC 4291 §2.5.5, RFC 6052, RFC 3056, RFC 4380), and the clouds' own pages.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Words that stand for several networks in WEBHOOK_DENY_NETWORKS and WEBHOOK_ALLOW_NETWORKS.
GROUPS = {
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    "loopback": ("127.0.0.0/8", "::1/128"),
}

_ALWAYS_DENIED = {
    "169.254.0.0/16": "link-local, where clouds have their metadata service",
    "fe80::/10": "link-local",
    "fd00:ec2::/32": "the metadata service of AWS",
    "fd20:ce::/32": "the metadata service of Google Cloud",
    "100.100.100.200/32": "the metadata service of Alibaba Cloud",
    "192.0.0.0/24": "reserved, where Oracle Cloud has its metadata service",
    "168.63.129.16/32": "the host's own service of Azure",
    "0.0.0.0/8": "not an address of a host",
    "::/128": "not an address of a host",
    "224.0.0.0/4": "multicast",
    "ff00::/8": "multicast",
    "240.0.0.0/4": "reserved",
    "fec0::/10": "reserved",
}


def network(text: str) -> Network:
    """Return the network of `10.0.0.0/8` or of a single address; raise `ValueError` that names the text."""
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is neither a network such as 10.0.0.0/8 nor an address") from None


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks of a setting, words of `GROUPS` spelt out; raise `ValueError` that names a bad one."""
    spelt = (name for text in texts for name in GROUPS.get(text.strip().lower(), (text,)) if name.strip())
    return tuple(network(name) for name in spelt)


def within(address: str, places: Iterable[Network]) -> bool:
    """Say whether an IP address, or an IPv4 address that it carries, is in one of these networks."""
    given = ipaddress.ip_address(address.partition("%")[0])
    return any(one in place for one in (given, *_carried(given)) for place in places)


_ALWAYS = tuple((network(text), why) for text, why in _ALWAYS_DENIED.items())


@dataclass(frozen=True, slots=True)
class Guard:
    """What may be asked: everything but what is always denied and `deny`; what is in `allow` may be asked all the same.

    Private addresses and loopback are allowed unless `deny` has them: our own `/voice/` is there.
    """

    deny: tuple[Network, ...] = ()
    allow: tuple[Network, ...] = ()

    def refusal(self, address: str) -> str:
        """Say why this IP address (maybe with a scope, `fe80::1%eth0`) may not be connected to; "" if it may.

        An IPv6 address that carries an IPv4 address is judged by that one too.
        """
        try:
            given = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return "not an IP address"
        return next((why for one in (given, *_carried(given)) if (why := self._why(one))), "")

    def _why(self, address: Address) -> str:
        if any(address in allowed for allowed in self.allow):
            return ""
        if any(address in denied for denied in self.deny):
            return "in WEBHOOK_DENY_NETWORKS"
        return next((why for denied, why in _ALWAYS if address in denied), "")


def _carried(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """Yield the IPv4 addresses that a connection to an IPv6 address may end at."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    number = int(address)
    last = number & 0xFFFF_FFFF
    if any(address in whole for whole in _LAST_32_BITS) and number > 1:  # :: and ::1 are addresses of their own
        yield ipaddress.IPv4Address(last)
    elif address in _NAT64_LOCAL:  # RFC 8215: used as a /48 (RFC 6052 §2.2: around an octet of zero) or as a /96 of it
        found = ((number >> 48 & 0xFFFF_0000) | (number >> 40 & 0xFFFF), last)
        yield from (ipaddress.IPv4Address(one) for one in found if one)
    elif address in _SIX_TO_FOUR:
        yield ipaddress.IPv4Address(number >> 80 & 0xFFFF_FFFF)
    elif address in _TEREDO:
        yield ipaddress.IPv4Address(number >> 64 & 0xFFFF_FFFF)
        yield ipaddress.IPv4Address(last ^ 0xFFFF_FFFF)


_LAST_32_BITS = tuple(
    network(text)
    for text in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64
    )
)
_NAT64_LOCAL = network("64:ff9b:1::/48")
_SIX_TO_FOUR = network("2002::/16")
_TEREDO = network("2001::/32")

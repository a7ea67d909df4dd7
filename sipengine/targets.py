"""PURE: what a noun of `<Dial>` means as INVITEs: the addresses to try one after the other until one can be reached.

Sources: Twilio's `<Sip>`, `<Number>` and `<Client>` pages; RFC 2782 for the order by priority and weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from routing.outbound import Dialplan, NoWay, Way
from routing.sipuri import SipUriError
from sipengine import twiml

# A callee who is busy or says no has been reached; what these codes tell is that this address could not be.
_UNREACHED = frozenset({0, 408, 410, 430})


def ways(noun: twiml.Noun, dialplan: Dialplan, account_sid: str, rand: Callable[[], float]) -> tuple[Way, ...]:
    """Return the addresses of a noun in the order to try them; raise `NoWay` if there is none.

    `rand` returns numbers from 0 to below 1, for the weights.
    """
    match noun:
        case twiml.Sip():
            return tuple(Way(one.uri, one.username, one.password) for one in in_order(noun.addresses, rand))
        case twiml.Number():
            return dialplan.trunk_ways(account_sid, noun.number)
        case twiml.Client():
            way = dialplan.client(account_sid, noun.identity)
            headers = tuple((f"X-{name}", value) for name, value in noun.parameters)
            try:
                return (replace(way, uri=way.uri.with_headers(headers)),)
            except SipUriError as error:
                raise NoWay(error.code, f"<Client> parameters: {error.message}") from None
        case twiml.BadNoun():
            raise NoWay(noun.code, noun.message)


def shown(noun: twiml.Noun) -> str:
    """Return a noun as the call log and the requests tell it: `sip:alice@host`, `+4930123`, `client:alice`."""
    match noun:
        case twiml.Sip():
            return noun.addresses[0].uri.address
        case twiml.Number():
            return noun.number
        case twiml.Client():
            return f"client:{noun.identity}"
        case twiml.BadNoun():
            return noun.text


def in_order(addresses: Sequence[twiml.Address], rand: Callable[[], float]) -> list[twiml.Address]:
    """Return the addresses by priority; those of the same one in random order, shared out by weight (RFC 2782)."""
    if len(addresses) == 1:
        return list(addresses)
    ordered: list[twiml.Address] = []
    for priority in sorted({one.priority for one in addresses}):
        left = [one for one in addresses if one.priority == priority]
        while left:
            # Weight 0 comes last among its equals, almost always: RFC 2782's "very small chance".
            shares = [one.weight or 0.01 for one in left]
            point, chosen = rand() * sum(shares), len(left) - 1
            for index, share in enumerate(shares):
                point -= share
                if point < 0:
                    chosen = index
                    break
            ordered.append(left.pop(chosen))
    return ordered


def unreached(code: int) -> bool:
    """Say whether a final response (0: none) means that this address could not be reached, and the next may be."""
    return code in _UNREACHED or 500 <= code < 600

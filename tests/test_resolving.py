"""Where calls may be placed to: host names and the operator's deny list (Twilio's error 13254, conformance §1.3)."""

from __future__ import annotations

import pytest

from calls.urlguard import networks, within
from routing.sipuri import parse
from sipengine.resolving import is_address, lookup_problem
from tests.fakes import World

DENY = networks(["127.0.0.0/8"])


class TestLookup:
    async def test_an_address_can_be_called(self) -> None:
        assert await lookup_problem(parse("sip:a@127.0.0.1"), 1.0) is None

    async def test_a_name_without_address_is_named(self) -> None:
        problem = await lookup_problem(parse("sip:a@no-such-host.invalid"), 1.0)
        assert problem is not None and "no-such-host.invalid cannot be resolved" in problem

    async def test_it_takes_no_longer_than_said(self) -> None:
        assert await lookup_problem(parse("sip:a@localhost"), 0.0) is not None

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    async def test_a_denied_address_is_named_with_its_setting(self, host: str) -> None:
        problem = await lookup_problem(parse(f"sip:a@{host}"), 1.0, networks(["loopback"]))
        assert problem is not None and "SIP_DENY_NETWORKS" in problem

    async def test_where_the_request_goes_is_what_counts(self) -> None:
        assert await lookup_problem(parse("sip:a@192.0.2.1;maddr=127.0.0.1"), 1.0, DENY) is not None

    async def test_other_addresses_may_be_called(self) -> None:
        assert await lookup_problem(parse("sip:a@192.0.2.1"), 1.0, DENY) is None

    def test_an_ip_address_needs_no_lookup(self) -> None:
        assert is_address(parse("sip:a@[2001:db8::1]"))
        assert not is_address(parse("sip:a@phone.example"))


class TestWithin:
    @pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "2002:a01:203::", "64:ff9b::10.1.2.3"])
    def test_an_ipv4_address_counts_however_it_is_carried(self, address: str) -> None:
        assert within(address, networks(["10.0.0.0/8"]))

    @pytest.mark.parametrize("address", ["11.1.2.3", "2001:db8::1", "fe80::1%eth0"])
    def test_others_do_not(self, address: str) -> None:
        assert not within(address, networks(["10.0.0.0/8"]))


class TestDial:
    """A noun that may not be called fails alone (13254), and the others ring."""

    async def test_the_hunt_goes_on(self) -> None:
        made = World(
            '<Dial sequential="true"><Sip>sip:alice@127.0.0.1</Sip><Sip>sip:bob@192.0.2.1</Sip></Dial>', deny=DENY
        )
        await made.start()
        await made.until(lambda: made.rung() == ["bob"])
        assert (made.last("alice").status, made.last("alice").error_code) == ("failed", 13254)
        assert made.codes() == [13254]

"""The guard where connections are made: no name, no redirect and no spelling gets around it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from calls.guarded import AddressDenied, ClientPolicy, open_session
from calls.urlguard import Guard, networks
from tests.websites import XML, Client, Site

METADATA = "169.254.169.254"
NO_LOOPBACK = ClientPolicy(guard=Guard(deny=networks(["loopback"])))


class Names(AbstractResolver):
    """A name server that answers with these addresses, one list after the other; the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(hostname=host, host=one, port=port, family=_family(one), proto=0, flags=0) for one in found
        ]

    async def close(self) -> None:
        pass


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    async with made.server:
        yield made


async def code(url: str, policy: ClientPolicy | None = None, **options: Any) -> tuple[int, str]:
    """Post to a URL that fails; return the error's code and message."""
    client = Client(policy, **options)
    try:
        error = await client.failure(url)
        return error.code, error.message
    finally:
        await client.session.close()


class TestByDefault:
    """Issue 3, part 4: by default webhooks may not reach link-local and cloud metadata addresses."""

    @pytest.mark.parametrize(
        "url",
        [
            f"http://{METADATA}/latest/meta-data/",
            f"http://user:pass@{METADATA}:8000/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            f"http://[::ffff:{METADATA}]/",
            f"http://[64:ff9b::{METADATA}]/",
            "http://0.0.0.0:5060/",
        ],
    )
    async def test_a_denied_address_is_11100_and_named(self, url: str) -> None:
        found, message = await code(url)
        assert found == 11100
        assert "WEBHOOK_ALLOW_NETWORKS can allow it" in message
        assert "pass" not in message

    @pytest.mark.parametrize("address", [METADATA, f"::ffff:{METADATA}", "100.100.100.200"])
    async def test_a_name_that_leads_to_one_is_11100(self, address: str) -> None:
        found, message = await code("http://metadata.example/", resolver=Names([address]))
        assert found == 11100
        assert "metadata.example" in message
        assert address in message

    async def test_a_name_with_nothing_but_denied_addresses_is_11100(self) -> None:
        assert (await code("http://metadata.example/", resolver=Names([METADATA, "169.254.1.1", "fe80::1"])))[
            0
        ] == 11100

    async def test_it_is_not_asked_again(self) -> None:
        client = Client()
        await client.failure(f"http://{METADATA}/#rc=5&rp=all")
        await client.session.close()
        assert client.connections == 1

    async def test_loopback_and_private_addresses_may_be_asked(self, site: Site) -> None:
        client = Client()
        assert (await client.post(site.url("/voice"))).body == XML.encode()
        await client.session.close()


class TestNoWayAround:
    async def test_a_redirect_to_a_denied_address_is_not_followed(self, site: Site) -> None:
        site.redirect("/voice", 307, f"http://{METADATA}/latest/")
        assert (await code(site.url("/voice")))[0] == 11100

    async def test_a_name_that_changes_after_the_first_look_is_judged_again(self, site: Site) -> None:
        # DNS rebinding: the second connection goes where the name leads by then.
        async def close(_: web.Request) -> web.StreamResponse:
            return web.Response(text=XML, headers={"Connection": "close"})

        site.answers["/voice"] = [close]
        client = Client(resolver=Names(["127.0.0.1"], [METADATA]), use_dns_cache=False)
        url = site.url("/voice", host="changing.example")
        await client.post(url)
        assert (await client.failure(url)).code == 11100
        await client.session.close()

    async def test_the_denied_addresses_of_a_name_are_left_out(self, site: Site) -> None:
        client = Client(resolver=Names([METADATA, "127.0.0.1"]))
        assert (await client.post(site.url("/voice", host="both.example"))).body == XML.encode()
        await client.session.close()

    @pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "localhost"])
    async def test_no_spelling_of_a_denied_address_leads_there(self, site: Site, host: str) -> None:
        assert (await code(site.url("/voice", host=host), NO_LOOPBACK))[0] in (11100, 11210)
        assert site.asked == []

    async def test_a_proxy_in_the_environment_is_not_used(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        client = Client()
        assert (await client.post(site.url("/voice"))).body == XML.encode()
        await client.session.close()


class TestBySetting:
    """WEBHOOK_DENY_NETWORKS, WEBHOOK_ALLOW_NETWORKS (docs/operating.md)."""

    async def test_a_denied_network_is_not_asked(self, site: Site) -> None:
        assert "in WEBHOOK_DENY_NETWORKS" in (await code(site.url("/voice"), NO_LOOPBACK))[1]
        assert site.asked == []

    async def test_an_allowed_address_in_it_is(self, site: Site) -> None:
        guard = Guard(deny=networks(["loopback"]), allow=networks(["127.0.0.1"]))
        client = Client(ClientPolicy(guard=guard))
        assert (await client.post(site.url("/voice"))).body == XML.encode()
        await client.session.close()


async def test_other_users_of_the_session_get_the_clients_own_error() -> None:
    async with open_session(ClientPolicy()) as session:
        with pytest.raises(aiohttp.ClientConnectorError) as error:
            await session.get(f"http://{METADATA}/greeting.wav")
    assert isinstance(error.value.os_error, AddressDenied)
    assert (error.value.os_error.address, error.value.os_error.why[:10]) == (METADATA, "link-local")

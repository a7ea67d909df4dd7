"""Which addresses requests may go to: the whole decision, spelling by spelling."""

from __future__ import annotations

import pytest

from calls.urlguard import Guard, networks

DEFAULT = Guard()


class TestByDefault:
    """Issue 3, part 4: no link-local and no cloud metadata addresses; private ones by setting."""

    @pytest.mark.parametrize(
        "address",
        [
            "93.184.215.14",
            "2606:2800:21f:cb07::1",
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "fd12:3456::1",
            "192.0.1.1",
            "168.63.129.17",
        ],
    )
    def test_public_private_and_loopback_addresses_may_be_asked(self, address: str) -> None:
        assert DEFAULT.refusal(address) == ""

    @pytest.mark.parametrize(
        "address",
        [
            "169.254.169.254",  # AWS, Azure, Google, DigitalOcean, …
            "169.254.170.2",  # AWS ECS
            "fd00:ec2::254",  # AWS
            "fd20:ce::254",  # Google
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
            "168.63.129.16",  # Azure
        ],
    )
    def test_no_metadata_service_may(self, address: str) -> None:
        assert DEFAULT.refusal(address)

    @pytest.mark.parametrize("address", ["169.254.0.1", "fe80::1", "fe80::1%eth0", "febf::1"])
    def test_nothing_link_local_may(self, address: str) -> None:
        assert "link-local" in DEFAULT.refusal(address)

    @pytest.mark.parametrize(
        "address", ["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.1.1.1", "ff02::1", "240.0.0.1", "255.255.255.255"]
    )
    def test_nothing_that_is_no_host_may(self, address: str) -> None:
        assert DEFAULT.refusal(address)

    @pytest.mark.parametrize("text", ["", "localhost", "0x7f.1", "2130706433", "127.1", "0177.0.0.1", "1.2.3.4.5"])
    def test_what_is_no_plain_address_may_not(self, text: str) -> None:
        assert DEFAULT.refusal(text) == "not an IP address"


class TestIpv4InsideIpv6:
    """RFC 4291 §2.5.5, RFC 6052 §2.2, RFC 8215, RFC 3056, RFC 4380: other ways to the same host."""

    @pytest.mark.parametrize(
        "address",
        [
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::1",
            "2001:0:4136:e378:8000:63bf:5601:5601",
        ],
    )
    def test_a_denied_address_is_denied_in_every_dress(self, address: str) -> None:
        assert "metadata" in DEFAULT.refusal(address)

    @pytest.mark.parametrize(
        "address",
        [
            "::ffff:127.0.0.1",
            "64:ff9b::93.184.215.14",
            "2002:5db8:d70e::1",
            "64:ff9b:1:5db8:d7:e00::",
            "64:ff9b:1::5db8:d70e",
        ],
    )
    def test_a_permitted_one_is_permitted(self, address: str) -> None:
        assert DEFAULT.refusal(address) == ""

    def test_a_network_of_the_operator_covers_the_dresses_too(self) -> None:
        assert Guard(deny=networks(["10.0.0.0/8"])).refusal("::ffff:10.0.0.1")


class TestSettings:
    """WEBHOOK_DENY_NETWORKS and WEBHOOK_ALLOW_NETWORKS (docs/operating.md)."""

    def test_private_networks_can_be_denied(self) -> None:
        guard = Guard(deny=networks(["private"]))
        denied = ("10.0.0.1", "172.31.0.1", "192.168.0.1", "100.64.0.1", "fd00::1")
        assert {guard.refusal(one) for one in denied} == {"in WEBHOOK_DENY_NETWORKS"}
        assert guard.refusal("127.0.0.1") == ""

    def test_loopback_can_be_denied(self) -> None:
        guard = Guard(deny=networks([" Loopback "]))
        assert guard.refusal("127.0.0.1")
        assert guard.refusal("::1")

    def test_an_address_that_is_allowed_wins_over_its_denied_network(self) -> None:
        guard = Guard(deny=networks(["10.0.0.0/8"]), allow=networks(["10.0.0.5"]))
        assert guard.refusal("10.0.0.5") == ""
        assert guard.refusal("10.0.0.6")

    def test_what_is_always_denied_can_be_allowed(self) -> None:
        guard = Guard(allow=networks(["169.254.169.254/32"]))
        assert guard.refusal("169.254.169.254") == ""
        assert guard.refusal("::ffff:169.254.169.254") == ""
        assert guard.refusal("169.254.169.253")

    def test_allowing_the_dress_does_not_allow_what_is_inside(self) -> None:
        assert Guard(allow=networks(["64:ff9b::/96"])).refusal("64:ff9b::169.254.169.254")

    def test_a_network_may_be_written_with_host_bits(self) -> None:
        assert networks(["10.1.2.3/8", ""]) == networks(["10.0.0.0/8"])

    @pytest.mark.parametrize("text", ["10.0.0.0/33", "intranet", "10.0.0", "10.0.0.0/8;x"])
    def test_a_bad_one_is_named(self, text: str) -> None:
        with pytest.raises(ValueError, match="neither a network") as error:
            networks(["10.0.0.0/8", text])
        assert repr(text) in str(error.value)

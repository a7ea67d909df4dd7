"""Who calls: whether it is a phone that would be rung, and what others see of the caller."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.callers import Caller, Phone, caller_id, is_phone, split
from routing.validators import validate_caller_id

ALICE = Phone("alice", "198.51.100.7", "alice-login")
DOMAIN = "calls.example.com"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("sip:alice@Host.Example:5061;transport=tls", ("alice", "host.example")),
        ("+4930123456", ("+4930123456", "")),
        ("", ("", "")),
        ("sips:alice@host", ("alice", "host")),
        ("sip:a b@host", ("a b", "host")),
    ],
)
def test_an_address_is_taken_apart(address: str, expected: tuple[str, str]) -> None:
    assert split(address) == expected


@pytest.mark.parametrize(
    ("caller", "same"),
    [
        (Caller("sip:alice@198.51.100.7"), True),
        (Caller("sip:alice@calls.example.com", domain=DOMAIN), True),
        (Caller("sip:x@elsewhere.example", "alice-login", DOMAIN), True),
        (Caller("sip:x@elsewhere.example", "alice", DOMAIN), True),
        (Caller("sip:alice@elsewhere.example", domain=DOMAIN), False),
        (Caller("sip:alice@calls.example.com", "bob", DOMAIN), False),
        (Caller("alice"), False),
        (Caller("sip:calls.example.com", domain=DOMAIN), False),
        (Caller(), False),
    ],
)
def test_a_caller_is_a_phone_by_its_login_or_its_address(caller: Caller, same: bool) -> None:
    assert is_phone(caller, ALICE) is same


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("sip:alice@198.51.100.7:5062", True),
        ("sip:alice@198.51.100.7", True),
        ("sip:alice@198.51.100.7:5099", False),
        ("sip:bad@@", False),
    ],
)
def test_phones_of_one_user_at_one_host_differ_by_their_ports(address: str, same: bool) -> None:
    assert is_phone(Caller(address), replace(ALICE, port=5062)) is same


def test_a_phone_without_a_user_is_nobody() -> None:
    assert not is_phone(Caller(), Phone("", ""))


@pytest.mark.parametrize(
    ("prefix", "number", "shown"),
    [
        ("Sales-", "+4930123", "Sales-+4930123"),
        ("Sales-", "", "Sales-"),
        ("S", "Ä <b>\u202e7", "Sb7"),
        ("x" * 24, "1" * 300, "x" * 24 + "1" * 40),
    ],
)
def test_the_prefix_goes_before_what_a_caller_id_can_hold(prefix: str, number: str, shown: str) -> None:
    assert caller_id(prefix, number) == shown


@given(st.text())
def test_whatever_the_caller_sends_it_is_a_caller_id(number: str) -> None:
    validate_caller_id(caller_id("Sales-", Caller(number).user))

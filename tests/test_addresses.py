"""Addresses as strangers write them (RFC 3261 §19.1, §20.20, §25.1; RFC 3966)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipengine.addresses import bare_address, caller_id, dialled, user_and_host


@pytest.mark.parametrize(
    ("uri", "user", "host"),
    [
        ("sip:100@pbx", "100", "pbx"),
        ("sips:100@pbx", "100", "pbx"),
        ("SIP:100@pbx", "100", "pbx"),
        ("<sip:100@pbx>", "100", "pbx"),
        (" sip:100@pbx ", "100", "pbx"),
        ("sip:100@pbx:5060;transport=tcp", "100", "pbx"),
        ("sip:100:secret@pbx", "100", "pbx"),
        ("sip:100@pbx?X-Mail=a@b", "100", "pbx"),
        ("sip:100@pbx;user=phone;x=a@b", "100", "pbx"),
        ("sip:+358-555;postd=pp22@foo.com;user=phone", "+358-555;postd=pp22", "foo.com"),
        ("sip:alice@example.com@pbx", "alice@example.com", "pbx"),
        ("sip:*21#@pbx", "*21#", "pbx"),
        ("sip:jürgen@pbx", "jürgen", "pbx"),
        ("sip:pbx;lr", "", "pbx"),
        ("sip:pbx?a=b", "", "pbx"),
        ("sip:@pbx", "", "pbx"),
        ("100@pbx", "100", "pbx"),
        ("pbx", "", "pbx"),
        ("sip:100@[2001:db8::1]:5060", "100", "2001:db8::1"),
        ("sip:[2001:db8::1]", "", "2001:db8::1"),
        ("sip:[::1", "", "::1"),
        ("tel:+4930123;phone-context=x", "+4930123", ""),
        ("TEL:112", "112", ""),
        ("sip:a\x1b[2J\udcff@p\0bx", "a�[2J�", "p�bx"),
        ("sip:", "", ""),
        ("", "", ""),
    ],
)
def test_user_and_host_of_a_request_uri_are_told_apart(uri: str, user: str, host: str) -> None:
    assert user_and_host(uri) == (user, host)


@pytest.mark.parametrize(
    ("user", "host", "shown"),
    [
        ("100", "pbx", "sip:100@pbx"),
        ("", "pbx", "sip:pbx"),
        ("100", "2001:db8::1", "sip:100@[2001:db8::1]"),
        ("", "::1", "sip:[::1]"),
        ("+4930", "", "+4930"),
        ("", "", ""),
    ],
)
def test_what_was_dialled_is_shown_as_a_sip_uri_or_a_number(user: str, host: str, shown: str) -> None:
    assert dialled(user, host) == shown


@pytest.mark.parametrize(
    ("name_addr", "address"),
    [
        ('"Alice" <sip:alice@phone>;tag=1', "sip:alice@phone"),
        ("Alice <sip:alice@phone;transport=tcp>;tag=1", "sip:alice@phone"),
        ("sip:alice@phone;tag=1", "sip:alice@phone"),
        ("  sip:alice@phone  ", "sip:alice@phone"),
        ("SIPS:alice@phone:5061", "sips:alice@phone:5061"),
        ('"Bob <b>" <sip:bob@phone>;tag=1', "sip:bob@phone"),
        (r'"Bob \" <sip:x@y>" <sip:bob@phone>', "sip:bob@phone"),
        ("<sip:+49;ext=1@phone>;tag=1", "sip:+49;ext=1@phone"),
        ("<sip:phone;lr>", "sip:phone"),
        ("<tel:+4930>;tag=1", "+4930"),
        ('"" <sip:a@[::1]:5060>', "sip:a@[::1]:5060"),
        ("<sip:a@phone", "sip:a@phone"),
        ("100", "100"),
        ("<>", ""),
        ("<sip:a\x1b\udcff@ph\rone>", "sip:a��@ph�one"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_name_and_parameters(name_addr: str, address: str) -> None:
    assert bare_address(name_addr) == address


@pytest.mark.parametrize(
    ("address", "user"),
    [
        ("4930123", "4930123"),
        ("+4930123", "+4930123"),
        ("tel:+4930123", "+4930123"),
        ("desk", "desk"),
        ("sip:desk@pbx.example.com", "desk"),
        ("sip:desk:secret@pbx.example.com", "desk"),
        ("sip:pbx.example.com", "cordboard"),
        ("", "cordboard"),
    ],
)
def test_a_caller_id_is_the_user_of_our_from(address: str, user: str) -> None:
    assert caller_id(address) == user


@given(st.text(alphabet=st.sampled_from('sipstel:@;?<>"\\[] a1\0\udcff'), max_size=30))
def test_whatever_is_written_parts_come_out(text: str) -> None:
    parts = (*user_and_host(text), bare_address(text))
    assert all(part.isprintable() for part in parts)
    assert caller_id(text)

"""The URI of a `<Sip>` noun. Examples: RFC 3261 §19.1.3, §19.1.4 and Twilio's `<Sip>` page."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.sipuri import SipUri, SipUriError, header_name_allowed, parse

# --- reading -------------------------------------------------------------------------------------------------------

READ = [
    # Twilio's page
    ("sip:kate@example.com", SipUri("kate", "example.com")),
    ("kate@example.com", SipUri("kate", "example.com")),
    ("sip:kate@example.com;region=ie1", SipUri("kate", "example.com", region="ie1")),
    ("sip:kate@example.com;edge=dublin", SipUri("kate", "example.com", region="dublin")),
    ("sip:kate@example.com;transport=tcp", SipUri("kate", "example.com", transport="tcp")),
    ("sip:kate@example.com;transport=tls", SipUri("kate", "example.com", transport="tls")),
    ("sip:kate@example.com:5999;transport=TLS", SipUri("kate", "example.com", 5999, "tls")),
    (
        "sip:kate@example.com?x-customname=Madhu%2CMathiyalagan%3BTitle%3DManager&x-myotherheader=bar",
        SipUri(
            "kate",
            "example.com",
            headers=(("x-customname", "Madhu,Mathiyalagan;Title=Manager"), ("x-myotherheader", "bar")),
        ),
    ),
    (
        "sip:kate@example.com?User-to-User=123456789%3Bencoding%3Dhex&x-myotherheader=bar",
        SipUri("kate", "example.com", headers=(("User-to-User", "123456789;encoding=hex"), ("x-myotherheader", "bar"))),
    ),
    # RFC 3261 §19.1.3
    ("sip:alice@atlanta.com", SipUri("alice", "atlanta.com")),
    (
        "sip:alice:secretword@atlanta.com;transport=tcp",
        SipUri("alice", "atlanta.com", transport="tcp", password="secretword"),
    ),
    (
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        SipUri("+1-212-555-1212", "gateway.com", params=(("user", "phone"),), password="1234"),
    ),
    ("sips:1212@gateway.com", SipUri("1212", "gateway.com", transport="tls")),
    ("sip:alice@192.0.2.4", SipUri("alice", "192.0.2.4")),
    ("sip:alice;day=tuesday@atlanta.com", SipUri("alice;day=tuesday", "atlanta.com")),
    # RFC 3261 §19.1.4: equivalent forms
    ("sip:%61lice@atlanta.com;transport=TCP", SipUri("alice", "atlanta.com", transport="tcp")),
    ("sip:alice@AtLanTa.CoM;Transport=tcp", SipUri("alice", "atlanta.com", transport="tcp")),
    (
        "sip:biloxi.com;transport=tcp;method=REGISTER",
        SipUri("", "biloxi.com", None, "tcp", params=(("method", "REGISTER"),)),
    ),
    # and the rest
    ("\n   sip:kate@example.com \t\n", SipUri("kate", "example.com")),
    ("SIP:kate@example.com", SipUri("kate", "example.com")),
    ("sips:a@h;transport=tcp", SipUri("a", "h", transport="tls")),
    ("sip:a@h;transport=udp", SipUri("a", "h")),
    ("sip:a@h;region=IE1;edge=ie1", SipUri("a", "h", region="ie1")),
    ("sip:a@h;LR;foo=B%20ar", SipUri("a", "h", params=(("lr", ""), ("foo", "B ar")))),
    ("sip:a@[2001:DB8:0:0::1]:5080", SipUri("a", "2001:db8::1", 5080)),
    ("sip:a@[::1]", SipUri("a", "::1")),
    ("sip:a@my_pbx.internal.", SipUri("a", "my_pbx.internal.")),
    ("sip:example.com:5070", SipUri("", "example.com", 5070)),
    ("sip:*21#@h", SipUri("*21#", "h")),
    ("sip:alice%40work@h", SipUri("alice@work", "h")),
    ("sip:a?b@h", SipUri("a?b", "h")),
    ("sip:Jürgen@h", SipUri("Jürgen", "h")),
    ("sip:J%C3%BCrgen@h", SipUri("Jürgen", "h")),
    ("sip:a@h?x-empty=&X-Plus=1+1", SipUri("a", "h", headers=(("x-empty", ""), ("X-Plus", "1+1")))),
    ("sip:a@h?x-raw=k=v;w,z", SipUri("a", "h", headers=(("x-raw", "k=v;w,z"),))),
]


@pytest.mark.parametrize(("text", "uri"), READ)
def test_it_reads(text: str, uri: SipUri) -> None:
    assert parse(text) == uri


# --- printing ------------------------------------------------------------------------------------------------------

FULL = parse("sips:al%20ice:p%40ss@[2001:db8::1]:5071;user=phone;lr;edge=dublin?x-a=1%2C2&User-to-User=00%3Bx")


def test_the_address_has_neither_password_nor_parameters_nor_headers() -> None:
    assert FULL.address == "sip:al%20ice@[2001:db8::1]:5071"


def test_the_request_uri_has_neither_region_nor_headers() -> None:
    assert FULL.request_uri == "sip:al%20ice:p%40ss@[2001:db8::1]:5071;transport=tls;user=phone;lr"


def test_the_text_has_everything() -> None:
    assert FULL.text == FULL.request_uri.replace(";user", ";region=dublin;user") + "?x-a=1%2C2&User-to-User=00%3Bx"


@pytest.mark.parametrize(
    ("param", "srtp"), [("", "off"), (";secure=true", "mandatory"), (";secure=optional", "optional")]
)
def test_secure_says_whether_srtp_is_used_and_is_never_sent(param: str, srtp: str) -> None:
    uri = parse(f"sip:a@h;transport=tcp{param}")
    assert (uri.srtp, uri.text) == (srtp, f"sip:a@h;transport=tcp{param}")
    assert uri.request_uri == "sip:a@h;transport=tcp"


def test_secure_false_is_not_written() -> None:
    assert parse("sip:a@h;secure=FALSE").text == "sip:a@h"


def test_udp_is_not_written() -> None:
    assert parse("sip:a@h;transport=udp").text == "sip:a@h"


def test_a_uri_without_user_has_no_at_sign() -> None:
    assert parse("sip:h").address == "sip:h"


def test_the_password_is_not_in_the_representation() -> None:
    assert "p@ss" not in repr(FULL)


def test_the_header_length_counts_the_encoded_form_without_the_question_mark() -> None:
    assert FULL.encoded_headers_length == len("x-a=1%2C2&User-to-User=00%3Bx")


@pytest.mark.parametrize(
    ("text", "port"),
    [("sip:a@h", 5060), ("sip:a@h;transport=tcp", 5060), ("sips:a@h", 5061), ("sip:a@h:5999;transport=tls", 5999)],
)
def test_the_port_has_a_default_for_each_transport(text: str, port: int) -> None:
    assert parse(text).effective_port == port


@pytest.mark.parametrize(
    ("text", "host"),
    [("sip:a@h", "h"), ("sip:a@h;maddr=10.0.0.9", "10.0.0.9"), ("sip:a@h;maddr=[::1]", "::1"), ("sip:a@h;maddr=", "h")],
)
def test_the_next_hop_is_where_packets_go(text: str, host: str) -> None:
    assert parse(text).next_hop == host


def test_headers_are_added_after_its_own() -> None:
    added = parse("sip:a@h?x-a=1").with_headers([("x-b", "two, three")])
    assert added.text == "sip:a@h?x-a=1&x-b=two%2C%20three"


def test_a_header_that_may_not_be_cannot_be_added() -> None:
    with pytest.raises(SipUriError) as error:
        parse("sip:a@h").with_headers([("Via", "me")])
    assert error.value.code == 13252


# --- refusing ------------------------------------------------------------------------------------------------------

REFUSED = [
    ("", 13243),
    ("sip:", 13243),
    ("sip:@h", 13243),
    ("sip:a@", 13243),
    ("sip:a@b@c", 13243),
    ("sip::secret@h", 13243),
    ("sip:a b@h", 13243),
    ("sip:a@h\nsip:b@h", 13243),
    ('"Alice" <sip:a@h>', 13243),
    ("<sip:a@h>", 13243),
    ("http://example.com/", 13243),
    ("tel:+15551212", 13243),
    ("sip:a\x00@h", 13243),
    ("sip:a%00@h", 13243),
    ("sip:a%0d%0aVia:x@h", 13243),
    ("sip:a\u200b@h", 13243),
    ("sip:\ud800@h", 13243),
    ("sip:a:p%00@h", 13243),
    ("sip:a%zz@h", 13243),
    ("sip:a%@h", 13243),
    ("sip:%ff@h", 13243),
    ("sip:a@h:", 13243),
    ("sip:a@h:0", 13243),
    ("sip:a@h:65536", 13243),
    ("sip:a@h:123456", 13243),
    ("sip:a@h:-1", 13243),
    ("sip:a@h:５０６０", 13243),
    ("sip:a@münchen.example", 13243),
    ("sip:a@-h", 13243),
    ("sip:a@h..x", 13243),
    ("sip:a@" + "a" * 64, 13243),
    ("sip:a@300.1.1.1", 13243),
    ("sip:a@1.2.3", 13243),
    ("sip:a@2001:db8::1", 13243),
    ("sip:a@[2001:db8::1", 13243),
    ("sip:a@[2001:db8::1]x", 13243),
    ("sip:a@[2001:db8::g]", 13243),
    ("sip:a@[fe80::1%eth0]", 13243),
    ("sip:a@h;transport=ws", 13243),
    ("sips:a@h;transport=udp", 13243),
    ("sip:a@h;transport=tcp;transport=tls", 13243),
    ("sip:a@h;region=us1;edge=dublin", 13243),
    ("sip:a@h;region=us_1", 13243),
    ("sip:a@h;secure", 13243),
    ("sip:a@h;secure=yes", 13243),
    ("sip:a@h;secure=true;secure=true", 13243),
    ("sip:a@h;", 13243),
    ("sip:a@h;=x", 13243),
    ("sip:a@h;a=1;A=2", 13243),
    ("sip:a@h;a=b=c", 13243),
    ("sip:a@h;a=%00", 13243),
    ("sip:" + "a" * 249 + "@h", 13243),
    ("sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com", 13252),
    ("sips:alice@atlanta.com?subject=project%20x&priority=urgent", 13252),
    ("sip:a@h?", 13252),
    ("sip:a@h?x-a", 13252),
    ("sip:a@h?x-=1", 13252),
    ("sip:a@h?x-a%20b=1", 13252),
    ("sip:a@h?x-a%=1", 13252),
    ("sip:a@h?x-ü=1", 13252),
    ("sip:a@h?x-a%0d%0aVia=1", 13252),
    ("sip:a@h?x-a=1%0D%0AVia:%20evil", 32112),
    ("sip:a@h?x-a=%00", 32112),
    ("sip:a@h?x-a=100%", 32112),
    ("sip:a@h?x-a=%ff", 32112),
    ("sip:a@h?" + "&".join(f"x-{number}=1" for number in range(11)), 13251),
    ("sip:a@h?x-a=" + "b" * 1020, 13253),
    ("sip:a@h?x-a=" + "ü" * 170, 13253),
]


@pytest.mark.parametrize(("text", "code"), REFUSED)
def test_it_refuses(text: str, code: int) -> None:
    with pytest.raises(SipUriError) as error:
        parse(text)
    assert error.value.code == code


LONGEST = [
    "sip:" + "a" * 248 + "@h",
    "sip:a@h?" + "&".join(f"x-{number}=1" for number in range(10)),
    "sip:a@h?x-a=" + "b" * 1019,
    "sip:a@" + ".".join(["a" * 63, "b" * 63]),
]


@pytest.mark.parametrize("text", LONGEST)
def test_it_takes_what_is_just_within_the_limits(text: str) -> None:
    assert parse(text).text == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sip:a@2001:db8::1", "put an IPv6 address in brackets"),
        ("sip:a@münchen.example", "xn-- form"),
        ("sip:a@h?x-a=100%", "write %25"),
        ("sip:" + "a" * 300 + "@h", "306 characters without headers; at most 254"),
        ("sip:a@h?Via=1", "'Via' may not be sent"),
        ("sip:a@h;transport=ws", "not one of udp, tcp, tls"),
        ("sip:a@h;secure=yes", "not one of secure=true, optional, false"),
    ],
)
def test_the_message_names_the_fix(text: str, words: str) -> None:
    with pytest.raises(SipUriError, match=words):
        parse(text)


@pytest.mark.parametrize("text", ["sip:a:q<q@h", "sip:a:qq%@h", "sip:a:qq%00@h", "sip:a:qq%ff@h"])
def test_the_message_never_holds_the_password(text: str) -> None:
    with pytest.raises(SipUriError) as error:
        parse(text)
    assert "q" not in error.value.message


BAD_PARTS: list[dict[str, Any]] = [
    {"port": 0},
    {"port": 70000},
    {"transport": "ws"},
    {"region": "Ireland!"},
    {"srtp": "true"},
    {"host": "h\r\nVia: x"},
    {"host": "a:b"},
    {"params": (("region", "us1"),)},
    {"params": (("secure", "true"),)},
    {"params": (("", "x"),)},
    {"params": (("a", "\r\n"),)},
    {"headers": (("x-a", "\r\nVia: x"),)},
    {"user": "", "password": "p"},
]


@pytest.mark.parametrize("parts", BAD_PARTS, ids=str)
def test_no_way_of_making_one_skips_the_checks(parts: dict[str, Any]) -> None:
    with pytest.raises(SipUriError):
        dataclasses.replace(SipUri("a", "h"), **parts)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("x-foo", True),
        ("X-Foo", True),
        ("User-to-User", True),
        ("user-to-user", True),
        ("Remote-Party-ID", True),
        ("P-Preferred-Identity", True),
        ("P-Called-Party-ID", True),
        ("P-Asserted-Identity", False),
        ("Via", False),
        ("xfoo", False),
        ("x-", False),
        ("x-a b", False),
        ("x-a:", False),
        ("x-a\r\nVia", False),
        ("x-a\n", False),
        ("", False),
    ],
)
def test_only_some_header_names_are_allowed(name: str, allowed: bool) -> None:
    assert header_name_allowed(name) is allowed


# --- what holds for all --------------------------------------------------------------------------------------------

visible = st.characters(exclude_categories=["Cc", "Cf", "Cs"])
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True)
names = st.builds(
    lambda head, tail: ".".join([*head, tail]), st.lists(labels, max_size=3), st.sampled_from(["h", "com"])
)
hosts = names | st.ip_addresses().map(str)
header_names = st.from_regex(r"[xX]-[A-Za-z0-9\-.!%*_+`'~]{1,8}", fullmatch=True) | st.just("User-to-User")
header_values = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=6)
param_names = st.from_regex(r"p[a-z0-9-]{0,6}", fullmatch=True)
uris = st.builds(
    SipUri,
    user=st.text(visible, min_size=1, max_size=8),
    host=hosts,
    port=st.none() | st.integers(1, 65535),
    transport=st.sampled_from(["udp", "tcp", "tls"]),
    region=st.sampled_from(["", "us1", "sao-paulo"]),
    params=st.lists(
        st.tuples(param_names, st.text(visible, max_size=4)), max_size=2, unique_by=lambda pair: pair[0]
    ).map(tuple),
    headers=st.lists(st.tuples(header_names, header_values), max_size=4).map(tuple),
    password=st.text(visible, max_size=3),
    srtp=st.sampled_from(["off", "optional", "mandatory"]),
)


@given(uris)
def test_reading_what_was_printed_gives_the_same(uri: SipUri) -> None:
    assert parse(uri.text) == uri


@given(uris)
def test_what_is_printed_is_one_line_of_printable_ascii(uri: SipUri) -> None:
    for text in (uri.text, uri.request_uri, uri.address):
        assert text.isascii() and text.isprintable() and " " not in text


@given(st.text() | st.from_regex(r"(sips?:)?[a-z%0-9:;]{0,5}@?[a-z0-9.:\[\]%-]{1,12}[;?][a-zA-Z0-9%=&;?-]{0,20}"))
def test_any_text_is_either_refused_or_stays_the_same_once_printed(text: str) -> None:
    try:
        uri = parse(text)
    except SipUriError:
        return
    assert parse(uri.text) == uri

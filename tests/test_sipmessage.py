"""What is kept of a SIP message: what it is, and no secret of it, however it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.sipmessage import SipText, read

HEAD = "Call-ID: a84b4c76e66710@pc33\r\nCSeq: 314159 INVITE\r\n"


def text_of(
    *lines: str, body: str = "", start: str = "INVITE sip:bob@biloxi.example SIP/2.0", digits: bool = False
) -> str:
    head = "".join(f"{line}\r\n" for line in lines)
    found = read(f"{start}\r\n{HEAD}{head}\r\n{body}".encode(), show_digits=digits)
    assert found is not None
    return found.text


def test_a_request_says_what_it_is() -> None:
    found = read(f"INVITE sip:bob@biloxi.example SIP/2.0\r\n{HEAD}\r\nv=0\r\n".encode())
    assert found == SipText(
        "INVITE sip:bob@biloxi.example SIP/2.0", "INVITE", 0, 314159, "a84b4c76e66710@pc33",
        "INVITE sip:bob@biloxi.example SIP/2.0\nCall-ID: a84b4c76e66710@pc33\nCSeq: 314159 INVITE\n\nv=0\n",
    )  # fmt: skip


def test_a_response_has_the_method_of_its_cseq() -> None:
    found = read(f"SIP/2.0 486 Busy Here\r\n{HEAD}\r\n".encode())
    assert found is not None
    assert (found.code, found.method, found.start_line) == (486, "INVITE", "SIP/2.0 486 Busy Here")


def test_compact_and_folded_headers_are_understood() -> None:
    found = read(b"BYE sip:b@h SIP/2.0\r\ni: one\r\ncseq:\r\n 7\r\n BYE\r\n\r\n")
    assert found is not None
    assert (found.call_id, found.cseq, found.method) == ("one", 7, "BYE")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\r\n\r\n", b"\0\xff\xfe", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"INVITE sip:b@h SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n", b"INVITE sip:b@h SIP/2.0\r\nCall-ID: one\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_sip_message_is_none(data: bytes) -> None:
    assert read(data) is None


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (
            'Authorization: Digest username="bob", realm="h", nonce="84f1c1", uri="sip:h", response="7587245234b3434c"',
            'Authorization: Digest username="bob", realm="h", nonce="***", uri="sip:h", response="***"',
        ),
        (
            'proxy-authorization:Digest response = SECRET,username=bob,cnonce="SECRET, \\"SECRET",nc=00000001,qop=auth',
            'proxy-authorization:Digest response="***", username=bob, cnonce="***", nc=00000001, qop=auth',
        ),
        ("Authorization: Basic U0VDUkVU", "Authorization: Basic ***"),
        ("Authorization: SECRET", "Authorization: ***"),
        (
            'WWW-Authenticate: Digest realm="h", nonce="SECRET", opaque="SECRET", stale=false, algorithm=MD5',
            'WWW-Authenticate: Digest realm="h", nonce="***", opaque="***", stale=false, algorithm=MD5',
        ),
        (
            'Authentication-Info: nextnonce="SECRET", rspauth="SECRET"',
            'Authentication-Info: nextnonce="***", rspauth="***"',
        ),
        ("X-Api-Key: SECRET", "X-Api-Key: ***"),
        ("X-Customer-Password : SECRET SECRET", "X-Customer-Password : ***"),
        ("Cookie: id=SECRET", "Cookie: ***"),
        ("Contact: <sip:bob:SECRET@h:5060;transport=tcp>", "Contact: <sip:bob:***@h:5060;transport=tcp>"),
        (
            "Call-Info: <https://bob:SECRET@h/x?token=SECRET&size=2>",
            "Call-Info: <https://bob:***@h/x?token=***&size=2>",
        ),
        ("Contact: <sip:bob@h;pin=SECRET;transport=udp>", "Contact: <sip:bob@h;pin=***;transport=udp>"),
        ("Contact: <sip:bob@h:5060>;expires=60", "Contact: <sip:bob@h:5060>;expires=60"),
        ("Via: SIP/2.0/UDP h:5060;branch=z9hG4bKa;rport", "Via: SIP/2.0/UDP h:5060;branch=z9hG4bKa;rport"),
    ],
)
def test_secrets_in_headers_are_masked(line: str, kept: str) -> None:
    text = text_of(line)
    assert kept in text.splitlines()
    assert "SECRET" not in text


def test_a_secret_on_a_folded_line_is_masked() -> None:
    text = text_of("Authorization: Digest", ' username="bob",', '\tresponse="SECRET"')
    assert "SECRET" not in text and 'username="bob"' in text


def test_a_password_in_the_request_line_is_masked() -> None:
    found = read(f"INVITE sip:bob:SECRET@h SIP/2.0\r\n{HEAD}\r\n".encode())
    assert found is not None
    assert found.start_line == "INVITE sip:bob:***@h SIP/2.0"
    assert "SECRET" not in found.text


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET|2^20", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 ***"),
        ("A=CRYPTO:1 inline:SECRET", "A=CRYPTO:***"),
        ("a=crypto:SECRET", "a=crypto:***"),
        ("k=clear:SECRET", "k=***"),
        ("a=key-mgmt:mikey SECRET", "a=key-mgmt:***"),
        ("a=ice-pwd:SECRET", "a=ice-pwd:***"),
        ("a=rtpmap:0 PCMU/8000", "a=rtpmap:0 PCMU/8000"),
    ],
)
def test_keys_of_media_are_masked(line: str, kept: str) -> None:
    text = text_of("Content-Type: application/sdp", body=f"v=0\r\n{line}\r\n")
    assert kept in text.splitlines()
    assert "SECRET" not in text


def test_keys_that_were_pressed_are_masked_unless_they_may_be_seen() -> None:
    relay = ("Content-Type: application/dtmf-relay",)
    assert "Signal=***\nDuration=160" in text_of(*relay, body="Signal=5\r\nDuration=160\r\n")
    assert "Signal=5" in text_of(*relay, body="Signal=5\r\nDuration=160\r\n", digits=True)
    assert text_of("c: application/dtmf", body="5").endswith("\n\n***")
    assert text_of("c: application/dtmf", body="5", digits=True).endswith("\n\n5")


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(head: bytes, body: bytes) -> None:
    read(b"INVITE sip:b@h SIP/2.0\r\nCall-ID: one\r\nCSeq: 1 INVITE\r\n" + head + b"\r\n\r\n" + body)


def test_a_hostile_message_costs_little_time() -> None:
    for filling in ("sip:", "a", "auth", ";pass", '="\\', "a=", "\n ", "sip:a:b"):
        read(f"INVITE sip:b@h SIP/2.0\r\n{HEAD}X: {filling * (8000 // len(filling))}\r\n\r\n".encode())

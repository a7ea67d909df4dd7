"""User and password of a URL as HTTP authentication: RFC 7616's own example, and what servers send besides."""

from __future__ import annotations

import re

import pytest

from calls.webauth import basic, digest

MUFASA = ("Mufasa", "Circle of Life")
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
OPAQUE = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
REST = f'realm="http-auth@example.org", qop="auth, auth-int", nonce="{NONCE}", opaque="{OPAQUE}"'
MD5, SHA_256 = f"Digest {REST}, algorithm=MD5", f"Digest {REST}, algorithm=SHA-256"
MD5_RESPONSE = "8ca523f5e9506fed4657c9700eebdbec"
SHA_256_RESPONSE = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"


def answer(*challenges: str, login: tuple[str, str] = MUFASA) -> str | None:
    return digest(challenges, login, "GET", "/dir/index.html", CNONCE)


def response(header: str | None) -> str:
    found = re.search(r'response="([0-9a-f]+)"', header or "")
    return found[1] if found else ""


class TestBasic:
    """RFC 7617."""

    def test_user_and_password_are_encoded(self) -> None:
        assert basic(("Aladdin", "open sesame")) == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="

    def test_they_may_be_any_text(self) -> None:
        assert basic(("test", "123£")) == "Basic dGVzdDoxMjPCow=="


class TestDigest:
    """RFC 7616, the example of §3.9.1 first."""

    def test_the_answer_of_the_rfc_with_md5(self) -> None:
        assert answer(MD5) == (
            f'Digest username="Mufasa", realm="http-auth@example.org", nonce="{NONCE}", uri="/dir/index.html", '
            f'response="{MD5_RESPONSE}", opaque="{OPAQUE}", algorithm=MD5, qop=auth, nc=00000001, cnonce="{CNONCE}"'
        )

    def test_the_answer_of_the_rfc_with_sha_256(self) -> None:
        assert response(answer(SHA_256)) == SHA_256_RESPONSE

    @pytest.mark.parametrize("challenges", [(MD5, SHA_256), (SHA_256, MD5), (f"{MD5}, {SHA_256}",)])
    def test_sha_256_is_preferred_wherever_it_stands(self, challenges: tuple[str, ...]) -> None:
        assert response(answer(*challenges)) == SHA_256_RESPONSE

    @pytest.mark.parametrize("other", ['Basic realm="a, b"', "Negotiate", 'Newauth realm="x", title="Digest y=z"'])
    def test_it_is_found_among_other_schemes(self, other: str) -> None:
        assert response(answer(f"{other}, {MD5}")) == MD5_RESPONSE
        assert response(answer(f"{MD5}, {other}")) == MD5_RESPONSE
        assert response(answer(other, MD5)) == MD5_RESPONSE

    def test_without_an_algorithm_it_is_md5_and_none_is_named(self) -> None:
        header = answer(f"digest {REST}")
        assert response(header) == MD5_RESPONSE
        assert "algorithm" not in (header or "")

    def test_a_server_of_rfc_2069_gets_the_older_form(self) -> None:
        challenge = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'
        assert answer(challenge, login=("Mufasa", "CircleOfLife")) == (
            'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
            'uri="/dir/index.html", response="1949323746fe6a43ef61f9606e7febea"'  # RFC 2069 §2.4, erratum 749
        )

    def test_quotes_and_backslashes_are_escaped_both_ways(self) -> None:
        header = answer(r'Digest realm="a \"b\" \\c", nonce="n"', login=('x"y', "p")) or ""
        assert r'username="x\"y", realm="a \"b\" \\c"' in header

    @pytest.mark.parametrize(
        "challenge",
        [
            "",
            "Digest",
            'Basic realm="x"',
            'Digest realm="x"',
            'Digest nonce="x"',
            'Digest realm="x", nonce=""',
            'Digest realm="x", nonce="n", algorithm=SHA-512-256',
            'Digest realm="x", nonce="n", qop="auth-int"',
            'Digest realm="never closed, nonce=',
        ],
    )
    def test_what_cannot_be_answered_is_not(self, challenge: str) -> None:
        assert answer(challenge) is None

    def test_without_any_header_there_is_no_answer(self) -> None:
        assert answer() is None

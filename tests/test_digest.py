"""Digest authentication, server side. Vectors: RFC 2617 §3.5, RFC 2069 §2.4 (erratum 749), RFC 7616 §3.9.1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.digest import Algorithm, Rejected, Verified, challenge, digest_response, ha1, verify

REALM, SECRET, CALL_ID, SOURCE, NOW = "pbx.example.com", "server secret", "call-1@phone", "192.0.2.7", 1_700_000_000.0
USERS = {"alice": ha1("alice", REALM, "Secret-pass-12")}


def nonce_of(header: str) -> str:
    return header.partition('nonce="')[2].partition('"')[0]


def answer(
    header: str,
    *,
    username: str = "alice",
    password: str = "Secret-pass-12",
    realm: str = REALM,
    uri: str = "sip:100@pbx.example.com",
    qop: bool = True,
    algorithm: Algorithm = "MD5",
    method: str = "INVITE",
) -> str:
    """Answer a challenge the way a phone does."""
    nonce, known = nonce_of(header), ha1(username, realm, password, algorithm)
    extra = {"qop": "auth", "nonce_count": "00000001", "cnonce": "0a4f113b"} if qop else {}
    response = digest_response(known, method, uri, nonce, algorithm=algorithm, **extra)
    tail = ', qop=auth, nc=00000001, cnonce="0a4f113b"' if qop else ""
    return (
        f'Digest username="{username}", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{response}", '
        f"algorithm={algorithm}{tail}"
    )


def ask(now: float = NOW, call_id: str = CALL_ID, source_ip: str = SOURCE, realm: str = REALM) -> str:
    return challenge(realm, SECRET, call_id, source_ip, now)


def judge(
    authorization: str,
    *,
    now: float = NOW,
    call_id: str = CALL_ID,
    source_ip: str = SOURCE,
    realm: str = REALM,
    users: dict[str, str] = USERS,
) -> Verified | Rejected:
    return verify(authorization, "INVITE", realm, users.get, SECRET, call_id, source_ip, now)


# --- the arithmetic ------------------------------------------------------------------------------------------------


def test_ha1_of_rfc_2617() -> None:
    assert ha1("Mufasa", "testrealm@host.com", "Circle Of Life") == "939e7578ed9e3c518a452acee763bce9"


def test_the_response_of_rfc_2617() -> None:
    response = digest_response(
        "939e7578ed9e3c518a452acee763bce9",
        "GET",
        "/dir/index.html",
        "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        qop="auth",
        nonce_count="00000001",
        cnonce="0a4f113b",
    )
    assert response == "6629fae49393a05397450978507c4ef1"


def test_the_response_of_rfc_2069_without_qop() -> None:
    known = ha1("Mufasa", "testrealm@host.com", "CircleOfLife")
    response = digest_response(known, "GET", "/dir/index.html", "dcd98b7102dd2f0e8b11d0f600bfb0c093")
    assert response == "1949323746fe6a43ef61f9606e7febea"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_responses_of_rfc_7616(algorithm: Algorithm, expected: str) -> None:
    response = digest_response(
        ha1("Mufasa", "http-auth@example.org", "Circle of Life", algorithm),
        "GET",
        "/dir/index.html",
        "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        qop="auth",
        nonce_count="00000001",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        algorithm=algorithm,
    )
    assert response == expected


# --- the challenge -------------------------------------------------------------------------------------------------


def test_the_challenge_names_realm_algorithm_and_qop() -> None:
    header = ask()
    assert header == f'Digest realm="pbx.example.com", nonce="{nonce_of(header)}", algorithm=MD5, qop="auth"'


def test_a_stale_challenge_says_so() -> None:
    assert challenge(REALM, SECRET, CALL_ID, SOURCE, NOW, stale=True).endswith(', qop="auth", stale=true')


def test_a_realm_with_quotes_is_escaped() -> None:
    assert r'realm="a\"b\\c"' in ask(realm='a"b\\c')


# --- the verdict ---------------------------------------------------------------------------------------------------


def test_the_right_password_is_verified() -> None:
    assert judge(answer(ask())) == Verified("alice")


def test_the_older_form_without_qop_is_verified() -> None:
    assert judge(answer(ask(), qop=False)) == Verified("alice")


def test_sha_256_is_verified_where_such_an_ha1_is_kept() -> None:
    header = challenge(REALM, SECRET, CALL_ID, SOURCE, NOW, algorithm="SHA-256")
    users = {"alice": ha1("alice", REALM, "Secret-pass-12", "SHA-256")}
    assert "algorithm=SHA-256" in header
    assert judge(answer(header, algorithm="SHA-256"), users=users) == Verified("alice")


def test_a_phone_may_write_its_answer_in_its_own_style() -> None:
    text = answer(ask()).replace("Digest ", "DIGEST\t").replace(", ", ",\r\n ").replace("realm=", "Realm = ")
    assert judge(text.replace("algorithm=MD5", 'algorithm="md5"').replace("qop=auth", 'qop="auth"')) == Verified(
        "alice"
    )


def test_a_username_with_quotes_and_unicode_is_verified() -> None:
    name = 'jür"gen\\1'
    text = answer(ask(), username=name).replace(f'"{name}"', r'"jür\"gen\\1"')
    assert judge(text, users={name: ha1(name, REALM, "Secret-pass-12")}) == Verified(name)


def test_a_response_in_capitals_is_verified() -> None:
    head, _, tail = answer(ask()).partition('response="')
    assert judge(f'{head}response="{tail[:32].upper()}{tail[32:]}') == Verified("alice")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"password": "guess"}, "wrong-password"),
        ({"username": "mallory"}, "unknown-user"),
        ({"realm": "other.example.com"}, "foreign-nonce"),
        ({"method": "BYE"}, "wrong-password"),
        ({"algorithm": "SHA-256"}, "wrong-password"),
    ],
)
def test_a_wrong_answer_is_rejected(change: dict[str, str], why: str) -> None:
    assert judge(answer(ask(), **change)) == Rejected(why)  # type: ignore[arg-type]


def test_an_unknown_user_is_not_let_in_by_guessing_what_stands_in_for_its_ha1() -> None:
    nonce = nonce_of(ask())
    response = digest_response("unknown", "INVITE", "sip:h", nonce)
    text = f'Digest username="eve", realm="{REALM}", nonce="{nonce}", uri="sip:h", response="{response}"'
    assert judge(text) == Rejected("unknown-user")


@pytest.mark.parametrize(("age", "verdict"), [(59.9, Verified("alice")), (60.1, Rejected("stale"))])
def test_an_answer_is_good_for_a_minute(age: float, verdict: Verified | Rejected) -> None:
    assert judge(answer(ask()), now=NOW + age) == verdict


def test_a_wrong_password_with_an_old_nonce_is_not_called_stale() -> None:
    assert judge(answer(ask(), password="guess"), now=NOW + 3600) == Rejected("wrong-password")


def test_a_nonce_from_far_in_the_future_is_stale() -> None:
    assert judge(answer(ask(now=NOW + 3600))) == Rejected("stale")


@pytest.mark.parametrize(
    "header",
    [
        ask(call_id="call-2@phone"),
        ask(source_ip="192.0.2.8"),
        challenge(REALM, "another secret", CALL_ID, SOURCE, NOW),
        'Digest nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"',
        'Digest nonce="18bcfe56800.00000000000000000000000000000000"',
        'Digest nonce="18bcfe56800.ü"',
    ],
)
def test_a_nonce_that_is_not_ours_for_this_call_and_source_is_foreign(header: str) -> None:
    assert judge(answer(header)) == Rejected("foreign-nonce")


GOOD = answer(ask())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Digest",
        "Digest ",
        "Basic YWxpY2U6c2VjcmV0",
        GOOD.removeprefix("Digest "),
        GOOD.replace('username="alice", ', ""),
        GOOD.replace("response=", "resp="),
        GOOD.replace("algorithm=MD5", "algorithm=MD4"),
        GOOD.replace("algorithm=MD5", "algorithm=MD5-sess"),
        GOOD.replace("qop=auth", "qop=auth-int"),
        GOOD.replace('cnonce="0a4f113b"', "opaque=x"),
        GOOD.replace("nc=00000001, ", ""),
        GOOD.replace("nc=00000001", "nc=1"),
        GOOD.replace('realm="', "realm="),
        GOOD + ', username="bob"',
        GOOD + " garbage",
        GOOD + ", ???",
    ],
)
def test_what_is_no_digest_answer_is_malformed(text: str) -> None:
    assert judge(text) == Rejected("malformed")


def test_text_that_was_no_utf_8_does_no_harm() -> None:
    assert judge(answer(ask(), username="\udcff\ud800")) == Rejected("unknown-user")


@given(st.text())
def test_whatever_is_sent_gets_a_verdict(text: str) -> None:
    assert isinstance(judge("Digest " + text), Rejected)


@given(st.text(max_size=20), st.text(max_size=20))
def test_only_the_right_password_is_verified(password: str, other: str) -> None:
    users = {"alice": ha1("alice", REALM, password)}
    verdict = judge(answer(ask(), password=other), users=users)
    assert verdict == (Verified("alice") if password == other else Rejected("wrong-password"))

"""Who may call: Twilio's rules for SIP domains with IP access control lists and credential lists."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from routing import digest
from routing.admission import Directory, Domain, Number, authenticate
from routing.answers import Admission, Application, Challenge, Deny, InviteFacts, Peer

NAME, SECRET, NOW = "pbx.example.com", "server secret", 1_700_000_000.0
APPLICATION = Application("AC" + "0" * 32, "token", "SD" + "0" * 32, NAME, "http://app.example.com/voice")
FACTS = InviteFacts("INVITE", NAME, "192.0.2.7", "call-1@phone")
HA1 = {"alice": digest.ha1("alice", NAME, "Secret-pass-12")}


def domain(*networks: str, ip: bool = False, credentials: bool = False, name: str = NAME) -> Domain:
    return Domain(
        application=replace(APPLICATION, domain_name=name),
        ip_mapped=ip or bool(networks),
        networks=tuple(ip_network(network) for network in networks),
        credentials_mapped=credentials,
        ha1=HA1,
    )


def decide(of: Domain, facts: InviteFacts = FACTS, now: float = NOW) -> Admission:
    return authenticate(Directory({NAME: of}), facts, SECRET, now)


def answered(password: str = "Secret-pass-12", username: str = "alice", now: float = NOW) -> InviteFacts:
    """Return the INVITE that follows our challenge."""
    challenge = decide(domain(credentials=True), now=now)
    assert isinstance(challenge, Challenge)
    nonce = challenge.header.partition('nonce="')[2].partition('"')[0]
    known = digest.ha1(username, NAME, password)
    response = digest.digest_response(known, "INVITE", "sip:1@h", nonce)
    header = f'Digest username="{username}", realm="{NAME}", nonce="{nonce}", uri="sip:1@h", response="{response}"'
    return replace(FACTS, authorization=header)


# --- which domain --------------------------------------------------------------------------------------------------


def test_an_unknown_host_is_not_found() -> None:
    verdict = authenticate(Directory({NAME: domain("0.0.0.0/0")}), replace(FACTS, host="10.0.0.1"), SECRET, NOW)
    assert verdict == Deny(404, 32002, "there is no SIP domain 10.0.0.1")


def test_the_default_domain_answers_for_other_hosts() -> None:
    directory = Directory({NAME: domain()}, default=domain("0.0.0.0/0", name="default.example.com"))
    verdict = authenticate(directory, replace(FACTS, host="10.0.0.1"), SECRET, NOW)
    assert isinstance(verdict, Peer) and verdict.application.domain_name == "default.example.com"


@pytest.mark.parametrize("host", ["PBX.Example.COM", "pbx.example.com."])
def test_the_host_is_compared_without_case_and_final_dot(host: str) -> None:
    assert decide(domain("192.0.2.0/24"), replace(FACTS, host=host)) == Peer(APPLICATION)


# --- which rule ----------------------------------------------------------------------------------------------------


def test_nobody_may_call_while_no_list_is_mapped() -> None:
    verdict = decide(domain())
    assert isinstance(verdict, Deny) and (verdict.status, verdict.code) == (403, 32201)
    assert "nobody may call pbx.example.com until a credential or IP access control list is mapped" in verdict.text


def test_an_empty_access_control_list_lets_nobody_in() -> None:
    assert decide(domain(ip=True)) == Deny(403, 32201, "192.0.2.7 is in no IP access control list of pbx.example.com")


@pytest.mark.parametrize(
    ("network", "source"),
    [
        ("192.0.2.7/32", "192.0.2.7"),
        ("192.0.2.0/24", "192.0.2.255"),
        ("192.0.2.0/24", "::ffff:192.0.2.9"),
        ("2001:db8::/32", "2001:db8::9"),
        ("0.0.0.0/0", "203.0.113.1"),
    ],
)
def test_a_listed_address_may_call(network: str, source: str) -> None:
    assert decide(domain("198.51.100.1/32", network), replace(FACTS, source_ip=source)) == Peer(APPLICATION)


@pytest.mark.parametrize("source", ["192.0.3.1", "2001:db8::1", "not an address", ""])
def test_another_address_may_not(source: str) -> None:
    verdict = decide(domain("192.0.2.0/24"), replace(FACTS, source_ip=source))
    assert isinstance(verdict, Deny) and (verdict.status, verdict.code) == (403, 32201)


def test_a_caller_without_credentials_is_challenged() -> None:
    verdict = decide(domain(credentials=True))
    assert isinstance(verdict, Challenge) and not verdict.failed
    assert verdict.header.startswith(f'Digest realm="{NAME}", nonce="')


def test_the_right_credentials_let_in_and_are_named() -> None:
    assert decide(domain(credentials=True), answered()) == Peer(APPLICATION, "alice")


@pytest.mark.parametrize("facts", [answered(password="guess"), answered(username="mallory")])
def test_wrong_credentials_are_challenged_again_as_failed(facts: InviteFacts) -> None:
    verdict = decide(domain(credentials=True), facts)
    assert isinstance(verdict, Challenge) and verdict.failed and "stale" not in verdict.header


def test_a_malformed_answer_is_challenged_again_as_failed() -> None:
    verdict = decide(domain(credentials=True), replace(FACTS, authorization="Digest nonsense"))
    assert isinstance(verdict, Challenge) and verdict.failed


def test_an_answer_that_is_too_late_is_challenged_again_without_blame() -> None:
    verdict = decide(domain(credentials=True), answered(), now=NOW + 120)
    assert isinstance(verdict, Challenge) and not verdict.failed and verdict.header.endswith("stale=true")


def test_an_answer_of_another_call_is_challenged_again_without_blame() -> None:
    verdict = decide(domain(credentials=True), replace(answered(), call_id="call-2@phone"))
    assert isinstance(verdict, Challenge) and not verdict.failed and verdict.header.endswith("stale=true")


# --- a secure domain -----------------------------------------------------------------------------------------------


def secure(of: Domain) -> Domain:
    return replace(of, application=replace(of.application, secure=True))


@pytest.mark.parametrize(
    ("transport", "srtp", "denied"),
    [
        ("udp", False, (403, 32209)),
        ("udp", True, (403, 32209)),
        ("tcp", True, (403, 32209)),
        ("tls", False, (488, 32208)),
    ],
)
def test_a_secure_domain_asks_for_tls_and_srtp(transport: str, srtp: bool, denied: tuple[int, int]) -> None:
    verdict = decide(secure(domain("192.0.2.0/24")), replace(FACTS, transport=transport, srtp=srtp))
    assert isinstance(verdict, Deny) and (verdict.status, verdict.code) == denied
    assert "pbx.example.com takes secure calls only" in verdict.text


def test_a_secure_domain_takes_a_call_over_tls_with_srtp() -> None:
    verdict = decide(secure(domain("192.0.2.0/24")), replace(FACTS, transport="tls", srtp=True))
    assert isinstance(verdict, Peer)


def test_another_domain_takes_calls_of_any_kind() -> None:
    assert isinstance(decide(domain("192.0.2.0/24"), replace(FACTS, transport="udp", srtp=True)), Peer)


def test_a_stranger_does_not_learn_that_a_domain_is_secure() -> None:
    assert isinstance(decide(secure(domain(credentials=True))), Challenge)
    verdict = decide(secure(domain("203.0.113.0/24")))
    assert isinstance(verdict, Deny) and verdict.code == 32201


def test_one_who_passed_is_told_that_the_domain_is_secure() -> None:
    verdict = decide(secure(domain(credentials=True)), answered())
    assert isinstance(verdict, Deny) and verdict.code == 32209


# --- both lists mapped: both must pass -----------------------------------------------------------------------------


def test_with_both_lists_a_listed_address_still_needs_credentials() -> None:
    assert isinstance(decide(domain("192.0.2.0/24", credentials=True)), Challenge)


def test_with_both_lists_credentials_do_not_help_another_address() -> None:
    verdict = decide(domain("203.0.113.0/24", credentials=True), answered())
    assert isinstance(verdict, Deny) and verdict.code == 32201


def test_with_both_lists_address_and_credentials_let_in() -> None:
    assert decide(domain("192.0.2.0/24", credentials=True), answered()) == Peer(APPLICATION, "alice")


class TestNumbers:
    """A telephone number with a voice URL of its own (Twilio's IncomingPhoneNumber)."""

    NUMBER = Number(
        APPLICATION.account_sid, "http://n.example/v", "GET", "http://n.example/f", "GET", "http://n.example/s", "GET"
    )

    def application(self, user: str, number: Number = NUMBER) -> Application:
        directory = Directory({NAME: domain("0.0.0.0/0")}, numbers={"+4930123": number})
        verdict = authenticate(directory, replace(FACTS, user=user), SECRET, NOW)
        assert isinstance(verdict, Peer)
        return verdict.application

    @pytest.mark.parametrize("user", ["+4930123", "4930123", "004930123"])
    def test_its_urls_take_the_place_of_the_domains(self, user: str) -> None:
        assert self.application(user) == replace(
            APPLICATION,
            voice_url="http://n.example/v",
            voice_method="GET",
            fallback_url="http://n.example/f",
            fallback_method="GET",
            status_callback_url="http://n.example/s",
            status_callback_method="GET",
        )

    @pytest.mark.parametrize("user", ["", "100", "+4930124", "00", "alice"])
    def test_other_calls_go_to_the_domains_urls(self, user: str) -> None:
        assert self.application(user) == APPLICATION

    def test_the_number_of_another_account_changes_nothing(self) -> None:
        assert self.application("+4930123", replace(self.NUMBER, account_sid="AC1")) == APPLICATION

    def test_nobody_gets_in_by_a_number(self) -> None:
        directory = Directory({NAME: domain()}, numbers={"+4930123": self.NUMBER})
        assert isinstance(authenticate(directory, replace(FACTS, user="+4930123"), SECRET, NOW), Deny)

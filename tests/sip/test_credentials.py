"""`<Sip username password>`: digest towards the phones (conformance §1.3; RFC 3261 §22.3, RFC 2617)."""

from __future__ import annotations

import hashlib
import re

import pytest

from tests.sip.harness import Lab, finish, statuses
from tests.sip.sipp import Sipp, header
from tests.sip.steps import ANSWERS, RINGS, TALKS, recv, refused, refuses, respond

ASKS = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}


def asks(code: int, nonce: str, qop: str = ', qop="auth"') -> tuple[str, ...]:
    """Be a phone that wants credentials for the realm "phones"."""
    challenge = f'{ASKS[code][0]}: Digest realm="phones", nonce="{nonce}", algorithm=MD5{qop}\n'
    return (recv("INVITE"), respond(code, headers=challenge), recv("ACK"))


def proof(phone: Sipp, code: int) -> dict[str, str]:
    """Return the fields of the credentials in the second INVITE that a phone got."""
    value = header(phone.received("INVITE")[1], ASKS[code][1])
    return {name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', value)}


def proves(fields: dict[str, str], password: str) -> bool:
    """Compute the response as RFC 2617 §3.2.2.1 has it, and compare."""

    def md5(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode()).hexdigest()

    middle = (fields["nc"], fields["cnonce"], fields["qop"]) if "qop" in fields else ()
    ha1, ha2 = md5(fields["username"], fields["realm"], password), md5("INVITE", fields["uri"])
    return fields["response"] == md5(ha1, fields["nonce"], *middle, ha2)


class TestDigestOut:
    """Credentials are sent only in answer to a 401 or 407, each leg its own."""

    @pytest.mark.parametrize("code", [401, 407])
    @pytest.mark.parametrize("qop", ["", ', qop="auth"'], ids=["RFC 2069", "RFC 2617"])
    def test_a_phone_that_asks_gets_the_right_answer(self, lab: Lab, code: int, qop: str) -> None:
        phone = lab.phone(*asks(code, "abc123", qop), *ANSWERS)
        lab.dial(phone, sip='username="desk" password="s&amp;cret:1"')
        finish(lab.call(*TALKS), phone)
        fields = proof(phone, code)
        assert (fields["username"], fields["realm"], fields["nonce"]) == ("desk", "phones", "abc123")
        assert proves(fields, "s&cret:1")
        assert statuses(lab.log()) == [("completed", 200)]

    def test_nothing_is_sent_to_a_phone_that_does_not_ask(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone, sip='username="desk" password="secret"')
        finish(lab.call(*TALKS), phone)
        assert "uthorization" not in phone.received("INVITE")[0]

    def test_two_legs_of_one_fork_answer_the_same_realm_with_their_own(self, lab: Lab) -> None:
        phones = [lab.phone(*asks(401, "n1"), *RINGS), lab.phone(*asks(401, "n2"), *ANSWERS)]
        lab.twiml(
            "<Dial>"
            f'<Sip username="one" password="first">{phones[0].uri}</Sip>'
            f'<Sip username="two" password="second">{phones[1].uri}</Sip>'
            "</Dial>"
        )
        finish(lab.call(*TALKS), *phones)
        first, second = (proof(phone, 401) for phone in phones)
        assert (first["username"], second["username"]) == ("one", "two")
        assert proves(first, "first")
        assert proves(second, "second")
        assert statuses(lab.log()) == [("canceled", 487), ("completed", 200)]

    @pytest.mark.parametrize("code", [401, 407])
    def test_wrong_ones_fail_the_leg_after_one_try(self, lab: Lab, code: int) -> None:
        phone = lab.phone(*asks(code, "first"), *asks(code, "second"))
        lab.dial(phone, sip='username="desk" password="wrong"', answerOnBridge="true")
        finish(lab.call(*refused(480)), phone)
        call = lab.log()
        assert statuses(call) == [("failed", code)]
        assert call["legs"][0]["error_code"] == 32106

    def test_a_stale_nonce_is_answered_once_more(self, lab: Lab) -> None:
        """RFC 2617 §3.2.1: stale=true says that the password was right."""
        stale = asks(401, "new", ', qop="auth", stale=true')
        phone = lab.phone(*asks(401, "old"), *stale, *ANSWERS)
        lab.dial(phone, sip='username="desk" password="secret"')
        finish(lab.call(*TALKS), phone)
        assert statuses(lab.log()) == [("completed", 200)]

    def test_a_phone_that_asks_where_there_are_none_fails_the_leg(self, lab: Lab) -> None:
        phone = lab.phone(*asks(407, "abc"))
        lab.dial(phone, answerOnBridge="true")
        finish(lab.call(*refused(480)), phone)
        assert statuses(lab.log()) == [("failed", 407)]

    def test_a_username_alone_is_not_dialled(self, lab: Lab) -> None:
        """Twilio's error 13249."""
        busy = lab.phone(*refuses(486))
        lab.twiml(
            f'<Dial answerOnBridge="true"><Sip username="desk">sip:phone@127.0.0.1:9</Sip><Sip>{busy.uri}</Sip></Dial>'
        )
        finish(lab.call(*refused(486)), busy)
        call = lab.log()
        assert statuses(call) == [("failed", 0), ("busy", 486)]
        assert lab.engine.notes(call["legs"][0]["sid"]) == [13249]

"""What the phones get to see: headers, caller ID, and where the INVITE leaves from (conformance §1.2, §1.3)."""

from __future__ import annotations

import re

from tests.sip.harness import Lab, finish
from tests.sip.sipp import header
from tests.sip.steps import refused, refuses


def invite_of(lab: Lab, uri_suffix: str = "", **attributes: str) -> str:
    """Dial one phone, which is busy, and return the INVITE that it got."""
    phone = lab.phone(*refuses(486))
    lab.dial(phone.uri + uri_suffix, answerOnBridge="true", **attributes)
    finish(lab.call(*refused(486)), phone)
    return phone.received("INVITE")[0]


class TestHeadersOut:
    """The part of the URI after the question mark, and what Cordboard adds."""

    def test_x_headers_of_the_uri_are_sent_decoded(self, lab: Lab) -> None:
        message = invite_of(lab, "?x-color=light%20blue&X-Order=a%26b%3Dc")
        assert header(message, "x-color") == "light blue"
        assert header(message, "X-Order") == "a&b=c"

    def test_user_to_user_is_sent(self, lab: Lab) -> None:
        message = invite_of(lab, "?User-to-User=123456789%3Bencoding%3Dhex")
        assert header(message, "User-to-User") == "123456789;encoding=hex"

    def test_the_uri_itself_carries_no_headers(self, lab: Lab) -> None:
        assert invite_of(lab, "?x-a=1").splitlines()[0].endswith(" SIP/2.0")
        assert "?" not in invite_of(lab, "?x-a=1").splitlines()[0]

    def test_it_names_the_api_version_the_account_and_the_childs_call_sid(self, lab: Lab) -> None:
        message = invite_of(lab)
        call = lab.log()
        assert header(message, "X-Twilio-CallSid") == call["legs"][0]["sid"]
        assert header(message, "X-Twilio-AccountSid") == call["account_id"]
        assert header(message, "X-Twilio-ApiVersion") == "2010-04-01"

    def test_an_uri_parameter_of_the_phone_is_kept(self, lab: Lab) -> None:
        assert ";line=2 SIP/2.0" in invite_of(lab, ";line=2").splitlines()[0]

    def test_a_name_with_a_line_break_sends_no_header_of_its_own(self, lab: Lab) -> None:
        """Nothing that TwiML says may begin a header line of its own."""
        phone = lab.phone(*refuses(486))
        lab.dial(f"{phone.uri}?x-a=1%0D%0AX-Evil%3A%201", phone.uri, sequential="true", answerOnBridge="true")
        finish(lab.call(*refused(486)), phone)
        assert "X-Evil" not in "".join(phone.received("INVITE"))


class TestCallerId:
    """`<Dial callerId>`; without it the caller's own."""

    def test_the_from_user_is_the_caller_id(self, lab: Lab) -> None:
        assert re.match(r"<?sip:\+15551234@", header(invite_of(lab, callerId="+15551234"), "From"))

    def test_without_one_it_is_the_callers(self, lab: Lab) -> None:
        assert re.match(r"<?sip:caller@", header(invite_of(lab), "From"))

    def test_the_childs_row_names_it_too(self, lab: Lab) -> None:
        invite_of(lab, callerId="desk-7")
        assert lab.log()["legs"][0]["from_address"] == "desk-7"


class TestRegion:
    """`;region=` is consumed here and chooses the local address; the test region de1 has 127.0.0.2."""

    def test_its_local_address_is_where_the_call_leaves_from(self, lab: Lab) -> None:
        message = invite_of(lab, ";region=de1")
        assert header(message, "Via").startswith("SIP/2.0/UDP 127.0.0.2:")
        assert "@127.0.0.2" in header(message, "Contact")
        assert "c=IN IP4 127.0.0.2" in message

    def test_its_edge_name_means_the_same(self, lab: Lab) -> None:
        assert header(invite_of(lab, ";edge=frankfurt"), "Via").startswith("SIP/2.0/UDP 127.0.0.2:")

    def test_the_parameter_does_not_reach_the_phone(self, lab: Lab) -> None:
        assert "region" not in invite_of(lab, ";region=de1")

    def test_without_one_the_call_leaves_from_the_engines_own_address(self, lab: Lab) -> None:
        assert header(invite_of(lab), "Via").startswith("SIP/2.0/UDP 127.0.0.1:")

    def test_with_an_outbound_proxy_the_call_goes_through_it(self, lab: Lab) -> None:
        """RFC 3261 §8.1.2: a pre-loaded Route; the Request-URI stays that of the phone."""
        edge = lab.phone(*refuses(486))
        lab.engine.change_routing(
            "region = Region.objects.get(code='ie1')\n"
            f"region.outbound_proxy = 'sip:127.0.0.1:{edge.port}'\nregion.save()"
        )
        lab.dial("sip:phone@192.0.2.7;region=ie1", answerOnBridge="true")
        finish(lab.call(*refused(486)), edge)
        message = edge.received("INVITE")[0]
        assert message.startswith("INVITE sip:phone@192.0.2.7 SIP/2.0")
        assert f"127.0.0.1:{edge.port};lr" in header(message, "Route")

    def test_the_log_names_it(self, lab: Lab) -> None:
        invite_of(lab, ";region=de1")
        assert lab.log()["legs"][0]["region"] == "de1"

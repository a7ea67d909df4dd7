"""TCP and TLS on both sides of a call (conformance §1.3; RFC 3261 §18, §26)."""

from __future__ import annotations

from tests.sip.harness import Lab, finish, statuses
from tests.sip.sipp import header
from tests.sip.softphones import Softphones
from tests.sip.steps import ANSWERS, HANGS_UP, LISTENS, RINGS, TALKS, refused, refuses


def transport_of(message: str) -> str:
    return header(message, "Via").split()[0].rpartition("/")[2]


class TestTcp:
    """RFC 3261 §18."""

    def test_a_phone_is_called_over_tcp(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS, transport="t1")
        lab.dial(f"{phone.uri};transport=tcp")
        finish(lab.call(*TALKS), phone)
        assert transport_of(phone.received("INVITE")[0]) == "TCP"
        assert transport_of(phone.received("BYE")[0]) == "TCP"
        assert statuses(lab.log()) == [("completed", 200)]

    def test_a_losing_phone_gets_its_cancel_over_tcp(self, lab: Lab) -> None:
        loser, winner = lab.phone(*RINGS, transport="t1"), lab.phone(*ANSWERS)
        lab.dial(f"{loser.uri};transport=tcp", winner)
        finish(lab.call(*TALKS), loser, winner)
        assert transport_of(loser.received("CANCEL")[0]) == "TCP"

    def test_a_caller_may_come_over_tcp(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone)
        finish(lab.call(*TALKS, transport="t1"), phone)
        assert transport_of(phone.received("INVITE")[0]) == "UDP"

    def test_a_caller_over_tcp_gets_the_engines_bye_over_tcp(self, lab: Lab) -> None:
        phone = lab.phone(*HANGS_UP)
        lab.dial(phone)
        caller = lab.call(*LISTENS, transport="t1")
        finish(caller, phone)
        assert transport_of(caller.received("BYE")[0]) == "TCP"

    def test_a_phone_that_does_not_listen_fails_at_once_and_the_hunt_goes_on(self, lab: Lab) -> None:
        busy = lab.phone(*refuses(486))
        lab.dial("sip:phone@127.0.0.1:9;transport=tcp", busy, sequential="true", answerOnBridge="true")
        caller = lab.call(*refused(486))
        finish(caller, busy)
        assert busy.received_at("INVITE") - caller.sent_at("INVITE") < 20  # and not after the time-out of 30
        assert [leg["status"] for leg in lab.log()["legs"]] == ["failed", "busy"]


class TestTls:
    """RFC 3261 §26.2; the engine and the softphones bring self-signed certificates."""

    def test_a_phone_is_called_over_tls(self, lab: Lab, softphones: Softphones) -> None:
        phone = softphones.phone("--answer", "0.1", "--hangup", "0.3", tls=True)
        lab.dial(phone.uri)
        finish(lab.call(*LISTENS))
        assert phone.wait("ended").fact("by_peer") is False
        assert statuses(lab.log()) == [("completed", 200)]

    def test_sips_means_tls(self, lab: Lab, softphones: Softphones) -> None:
        phone = softphones.phone("--reject", "486", tls=True)
        lab.dial(f"sips:phone@127.0.0.1:{phone.tls_port}", answerOnBridge="true")
        finish(lab.call(*refused(486)))
        contact = phone.wait("invite").fact("headers")["Contact"].lower()
        assert f":{lab.engine.tls_port};transport=tls" in contact

    def test_a_caller_may_come_over_tls(self, lab: Lab, softphones: Softphones) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone)
        uri = f"sip:{lab.number}@127.0.0.1:{lab.engine.tls_port};transport=tls"
        caller = softphones.caller(uri, "--hangup", "0.3")
        finish(phone)
        assert caller.wait("exit").fact("code") == 0
        assert lab.log()["status"] == "completed"

    def test_a_caller_over_tls_gets_the_engines_bye(self, lab: Lab, softphones: Softphones) -> None:
        phone = lab.phone(*HANGS_UP)
        lab.dial(phone)
        caller = softphones.caller(f"sip:{lab.number}@127.0.0.1:{lab.engine.tls_port};transport=tls")
        finish(phone)
        assert caller.wait("ended").fact("by_peer") is True

"""Calls that were asked for through the API: their requests, callbacks and codes (Twilio's Call resource page)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from calls.entries import CallbackSpec
from calls.urlguard import networks
from calls.webclient import FetchError
from sipengine.ports import Answered, Placed, Ringing
from tests.fakes import T0
from tests.test_engine import Switch, queued

EVENTS = ("initiated", "ringing", "answered", "completed")
URL = "http://app/voice"


async def placed(switch: Switch, **values: Any) -> int:
    switch.engine.place(queued(**values))
    await switch.settle()
    (leg,) = switch.phone.targets
    return leg


async def answered(switch: Switch, leg: int, headers: tuple[tuple[str, str], ...] = ()) -> None:
    for event in (Placed(leg, T0 + 1, "call-id@us"), Ringing(leg, T0 + 2, 180, False), Answered(leg, T0 + 3, headers)):
        switch.engine.post(event)
    await switch.settle()


def told(switch: Switch) -> list[dict[str, str]]:
    return [dict(one.parameters) for one in switch.sent if one.topic == "status"]


class TestTheFirstRequest:
    """The `<Sip>` page, "Call parameters": what is told when a SIP call is answered (conformance §1.7)."""

    async def test_it_names_the_call_that_was_answered(self) -> None:
        switch = Switch()
        await answered(switch, await placed(switch))
        asked = switch.web.parameters(URL)
        assert (asked["CallSid"], asked["CallStatus"]) == ("CA" + "1" * 32, "in-progress")
        assert (asked["Direction"], asked["SipCallId"]) == ("outbound-api", "call-id@us")
        assert (asked["From"], asked["Caller"]) == ("4930123", "4930123")
        assert (asked["To"], asked["Called"]) == ("sip:alice@127.0.0.1:5071", "sip:alice@127.0.0.1:5071")
        assert "ParentCallSid" not in asked

    async def test_it_tells_the_x_headers_of_the_200(self) -> None:
        switch = Switch()
        await answered(switch, await placed(switch), (("X-Desk", "7"), ("User-to-User", "41"), ("Server", "x")))
        asked = switch.web.parameters(URL)
        assert (asked["SipHeader_X-Desk"], asked["SipHeader_User-to-User"]) == ("7", "41")
        assert "SipHeader_Server" not in asked

    async def test_its_fallback_is_asked_when_it_fails(self) -> None:
        switch = Switch()
        switch.web.answers[URL] = FetchError(11200, "HTTP 500", URL, "POST", 500)
        switch.web.answers["http://app/fallback"] = "<Response><Say>Sorry</Say></Response>"
        await answered(switch, await placed(switch))
        assert switch.web.parameters("http://app/fallback")["ErrorCode"] == "11200"
        assert switch.phone.commands("play")[0][1] == "Sorry"


class TestStatusCallback:
    """StatusCallback and StatusCallbackEvent of a call (conformance §1.6, §1.9)."""

    async def test_all_four_events_in_order(self) -> None:
        switch = Switch("<Hangup/>")
        leg = await placed(switch, callback=CallbackSpec("http://app/cb", "POST", EVENTS))
        await answered(switch, leg)
        await switch.ends(leg, 200, by_peer=False)
        assert [one["CallStatus"] for one in told(switch)] == ["initiated", "ringing", "in-progress", "completed"]
        assert [one["SequenceNumber"] for one in told(switch)] == ["0", "1", "2", "3"]
        assert {one["CallSid"] for one in told(switch)} == {"CA" + "1" * 32}
        last = told(switch)[-1]
        assert (last["SipResponseCode"], last["Direction"]) == ("200", "outbound-api")
        assert {"CallDuration", "Duration"} <= set(last)
        assert not any({"CallDuration", "SipResponseCode"} & set(one) for one in told(switch)[:-1])

    @pytest.mark.parametrize(("code", "status"), [(486, "busy"), (404, "failed"), (603, "busy")])
    async def test_the_end_of_one_that_was_refused(self, code: int, status: str) -> None:
        switch = Switch()
        leg = await placed(switch, callback=CallbackSpec("http://app/cb", "POST", ("completed",)))
        await switch.ends(leg, code)
        (only,) = told(switch)
        assert (only["CallStatus"], only["SipResponseCode"], only["SequenceNumber"]) == (status, str(code), "0")
        assert (only["CallDuration"], only["Duration"]) == ("0", "0")

    async def test_the_end_of_one_that_rang_out(self) -> None:
        switch = Switch()
        leg = await placed(switch, timeout=0, callback=CallbackSpec("http://app/cb", "POST", ("completed",)))
        await switch.until(lambda: switch.phone.commands("hangup"))
        await switch.ends(leg, 487, by_peer=False)
        assert [(one["CallStatus"], one["SipResponseCode"]) for one in told(switch)] == [("no-answer", "487")]

    async def test_an_address_without_host_ends_it_once_too(self) -> None:
        switch = Switch()
        switch.engine.place(
            queued(to="sip:alice@no-such-host.invalid", callback=CallbackSpec("http://app/cb", "POST", ("completed",)))
        )
        await switch.until(lambda: told(switch))
        assert [one["CallStatus"] for one in told(switch)] == ["failed"]


class TestDeniedAddresses:
    """SIP_DENY_NETWORKS: a call that may not be placed fails, with 13254 (conformance §1.3)."""

    async def test_the_phone_is_never_asked(self) -> None:
        switch = Switch()
        services = switch.engine._services
        switch.engine._services = replace(services, dial=replace(services.dial, deny=networks(["loopback"])))
        switch.engine.place(queued())
        await switch.until(lambda: switch.engine.calls == 0)
        assert switch.phone.targets == {}
        assert (switch.records[-1].status, switch.records[-1].error_code) == ("failed", 13254)
        assert switch.codes() == [13254]


class TestNotifications:
    """A call that fails tells the operator why, once (conformance §1.12)."""

    @pytest.mark.parametrize(("code", "notes"), [(503, [32011]), (407, [32106]), (486, []), (480, []), (404, [])])
    async def test_a_refusal(self, code: int, notes: list[int]) -> None:
        switch = Switch()
        await switch.ends(await placed(switch), code)
        assert switch.codes() == notes
        assert switch.records[-1].error_code == (notes or [0])[0]

    @pytest.mark.parametrize(("uri", "notes"), [(";secure=true", [32207]), ("", [])])
    async def test_a_phone_that_takes_no_srtp_where_it_is_demanded(self, uri: str, notes: list[int]) -> None:
        switch = Switch()
        await switch.ends(await placed(switch, to=f"sip:alice@127.0.0.1:5071{uri}"), 488)
        assert switch.codes() == notes

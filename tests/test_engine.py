"""The engine on a scripted phone: who gets in, what is refused and how, what is placed, and how it stops."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calls.entries import CallRecord, DeliveryEntry, Entry, EventEntry, NoteEntry, QueuedCall
from routing.admission import Directory, Domain
from routing.answers import Application
from routing.digest import digest_response, ha1
from sipengine.callbacks import Callbacks
from sipengine.engine import BACKLOG_SECONDS, LAG_SECONDS, LEGS_PER_CALL, NOTE_SECONDS, Engine, Limits
from sipengine.ports import Answered, Digit, Ended, Headers, Invite, LegId, PlayDone
from sipengine.rooms import Rooms
from sipengine.services import DialSettings, Services
from sipengine.session import CallSession
from tests.fakes import T0, FakeMedia, FakePhone, FakeWeb
from tests.waiting import SECONDS, becomes

SECRET = "of the engine"
SOURCE = "192.0.2.9"
LISTED = (ip_network("192.0.2.0/24"),)
AC, SD = "AC" + "0" * 32, "SD" + "0" * 32


class RefusingPhone(FakePhone):
    """Also writes down the headers of its refusals."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[LegId, tuple[int, dict[str, str]]] = {}

    def refuse(self, leg: LegId, code: int, headers: Headers = ()) -> None:
        assert leg not in self.refused, "a leg was refused twice"
        self.refused[leg] = (code, dict(headers))
        super().refuse(leg, code, headers)


def domain(
    name: str, *, listed: bool = False, credentials: bool = False, ha1s: Mapping[str, str] | None = None
) -> Domain:
    application = Application(AC, "token", SD, name, "http://app/voice", fallback_url="http://app/fallback")
    known = {"alice": ha1("alice", name, "right")} if ha1s is None else ha1s
    return Domain(application, listed, LISTED if listed else (), credentials, known if credentials else {})


DOMAINS = {
    made.application.domain_name: made
    for made in (
        domain("open", listed=True),
        domain("secret", credentials=True),
        domain("both", listed=True, credentials=True),
        domain("nobody"),
    )
}


class Switch:
    """An engine whose domains are those above, and whose application says `twiml`."""

    def __init__(self, twiml: str = "<Pause length='60'/>", default: str = "", **limits: int) -> None:
        self.phone = RefusingPhone()
        self.web = FakeWeb({"http://app/voice": f"<Response>{twiml}</Response>"})
        self.entries: list[Entry] = []
        self.sent: list[DeliveryEntry] = []
        services = Services(
            phone=self.phone,
            web=self.web,
            media=FakeMedia(),
            put=self._put,
            own=lambda leg, handler: self.engine.own(leg, handler),
            callbacks=Callbacks(self.sent.append, "http://app", "test"),
            rooms=Rooms(),
            adopt=lambda adoption: self.engine.adopt(adoption),
            dial=DialSettings(timeout_buffer=0.0, cancel_guard=0.05),
            recordings=Path("/recordings"),
            public_url="http://app",
            engine="e1",
        )
        self.engine = Engine(services, Limits(**limits), SECRET, self._put)
        self.engine.set_directory(Directory(DOMAINS, DOMAINS.get(default)))
        self._legs = itertools.count(1001)

    def _put(self, entry: Entry) -> None:
        if isinstance(entry, CallRecord):
            entry = CallRecord(**{name: getattr(entry, name) for name in CallRecord.__dataclass_fields__})
        self.entries.append(entry)

    def invite(
        self,
        request_uri: str = "sip:100@open",
        source: str = SOURCE,
        call_id: str = "call-1",
        from_uri: str = "<sip:carol@phone>;tag=1",
        headers: Headers = (),
        authorization: str | None = None,
    ) -> LegId:
        """Let an INVITE come in; return its leg."""
        leg = next(self._legs)
        to_uri = f"<{request_uri}>"
        self.engine.post(
            Invite(leg, T0, source, request_uri, from_uri, to_uri, call_id, headers, authorization=authorization)
        )
        return leg

    async def invited(self, *args: Any, **facts: Any) -> LegId:
        leg = self.invite(*args, **facts)
        await self.settle()
        return leg

    async def settle(self) -> None:
        for _ in range(60):
            await asyncio.sleep(0)

    async def refusal(self, *args: Any, **facts: Any) -> tuple[int, dict[str, str]]:
        """Let an INVITE come in that is refused; return the code and the headers."""
        return self.phone.refused[await self.invited(*args, **facts)]

    async def logs_in(self, password: str, *, host: str = "secret", call_id: str = "call-1", **facts: Any) -> LegId:
        """Let a caller answer the challenge that he gets with this password."""
        asked = await self.refusal(f"sip:100@{host}", call_id=call_id, **facts)
        header = asked[1]["Proxy-Authenticate"]
        return await self.invited(
            f"sip:100@{host}", call_id=call_id, authorization=answer(header, password, host), **facts
        )

    async def ends(self, leg: LegId, code: int = 487, *, by_peer: bool = True) -> None:
        self.engine.post(Ended(leg, T0 + 9, code, by_peer=by_peer))
        await self.settle()

    @property
    def notes(self) -> list[NoteEntry]:
        return [entry for entry in self.entries if isinstance(entry, NoteEntry)]

    @property
    def records(self) -> list[CallRecord]:
        return [entry for entry in self.entries if isinstance(entry, CallRecord)]

    def codes(self) -> list[int]:
        return [note.code for note in self.notes]

    def rang(self) -> list[LegId]:
        return [leg for leg, _ in self.phone.commands("ring")]

    async def until(self, condition: Callable[[], object]) -> None:
        await becomes(condition)


def answer(challenge: str, password: str, host: str) -> str:
    """Return the Proxy-Authorization of a phone that was asked for its credentials."""
    nonce = dict(re.findall(r'(\w+)="([^"]*)"', challenge))["nonce"]
    response = digest_response(ha1("alice", host, password), "INVITE", f"sip:100@{host}", nonce)
    return f'Digest username="alice", realm="{host}", nonce="{nonce}", uri="sip:100@{host}", response="{response}"'


class Clock:
    """The engine's own clock, which stands still unless it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return T0 + self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("sipengine.engine.time", made)
    return made


class TestWhoGetsIn:
    """Twilio's rules for SIP domains (conformance §1.7)."""

    async def test_a_listed_source_rings_and_the_application_is_asked(self) -> None:
        switch = Switch()
        leg = await switch.invited()
        assert switch.rang() == [leg]
        assert switch.engine.calls == 1
        assert switch.notes == []
        asked = switch.web.parameters("http://app/voice")
        assert (asked["From"], asked["To"], asked["SipDomain"]) == ("sip:carol@phone", "sip:100@open", "open")
        assert (asked["SipSourceIp"], asked["SipCallId"], asked["SipDomainSid"]) == (SOURCE, "call-1", SD)

    async def test_the_call_log_has_it_at_once(self) -> None:
        switch = Switch()
        await switch.invited()
        record = switch.records[0]
        assert (record.direction, record.status, record.engine) == ("inbound", "ringing", "e1")
        assert (record.from_address, record.to_address) == ("sip:carol@phone", "sip:100@open")
        assert (record.start_time, record.ring_time, record.source_ip) == (T0, T0, SOURCE)
        assert (record.account_sid, record.domain_sid, record.sip_call_id) == (AC, SD, "call-1")

    @pytest.mark.parametrize(
        ("uri", "source", "status", "code"),
        [
            ("sip:100@elsewhere", SOURCE, 404, 32002),
            ("sip:100@open", "198.51.100.1", 403, 32201),
            ("sip:100@both", "198.51.100.1", 403, 32201),
            ("sip:100@nobody", SOURCE, 403, 32201),
        ],
    )
    async def test_a_stranger_is_refused_with_the_reason(self, uri: str, source: str, status: int, code: int) -> None:
        switch = Switch()
        refused, headers = await switch.refusal(uri, source)
        assert refused == status
        assert headers["X-Twilio-Error"].startswith(f"{code} ")
        assert [(note.code, note.account_sid, note.call_sid) for note in switch.notes] == [(code, "", "")]
        assert source in switch.notes[0].message and uri in switch.notes[0].message

    async def test_a_stranger_costs_no_request_and_no_call(self) -> None:
        switch = Switch()
        await switch.invited("sip:100@elsewhere")
        assert (switch.web.asked, switch.records, switch.engine.calls) == ([], [], 0)

    async def test_the_default_domain_takes_what_names_no_other(self) -> None:
        switch = Switch(default="open")
        assert await switch.invited("sip:100@198.51.100.80:5060") in switch.rang()

    async def test_a_new_directory_counts_from_the_next_invite(self) -> None:
        switch = Switch()
        switch.engine.set_directory(Directory({}))
        assert (await switch.refusal())[0] == 404


class TestCredentials:
    """Challenged, judged, and refused after a limit (conformance §1.7, RFC 3261 §22)."""

    async def test_they_are_asked_for_with_407_which_is_nothing_to_note(self) -> None:
        switch = Switch()
        code, headers = await switch.refusal("sip:100@secret")
        assert code == 407
        assert 'realm="secret"' in headers["Proxy-Authenticate"]
        assert switch.entries == []

    @pytest.mark.parametrize("host", ["secret", "both"])
    async def test_the_right_ones_get_in_and_are_told_to_the_application(self, host: str) -> None:
        switch = Switch()
        assert await switch.logs_in("right", host=host) in switch.rang()
        assert switch.web.parameters("http://app/voice")["SipUsername"] == "alice"
        assert switch.records[0].sip_username == "alice"

    async def test_wrong_ones_are_asked_for_again_and_noted(self) -> None:
        switch = Switch()
        leg = await switch.logs_in("wrong")
        code, headers = switch.phone.refused[leg]
        assert (code, "Proxy-Authenticate" in headers) == (407, True)
        assert switch.codes() == [32202]

    async def test_too_many_wrong_ones_are_refused(self) -> None:
        switch = Switch(attempts=3)
        legs = [await switch.logs_in("wrong") for _ in range(3)]
        codes = [switch.phone.refused[leg][0] for leg in legs]
        assert codes == [407, 407, 403]
        assert switch.phone.refused[legs[2]][1]["X-Twilio-Error"].startswith("32202 ")

    async def test_after_a_wrong_one_the_right_one_still_gets_in(self) -> None:
        switch = Switch(attempts=3)
        await switch.logs_in("wrong")
        assert await switch.logs_in("right") in switch.rang()

    async def test_another_call_begins_to_count_anew(self) -> None:
        switch = Switch(attempts=2)
        await switch.logs_in("wrong", call_id="call-1")
        leg = await switch.logs_in("wrong", call_id="call-2")
        assert switch.phone.refused[leg][0] == 407

    async def test_an_answer_to_somebody_elses_challenge_does_not_count(self) -> None:
        switch = Switch(attempts=1)
        other = (await switch.refusal("sip:100@secret", call_id="call-2"))[1]["Proxy-Authenticate"]
        code, headers = await switch.refusal("sip:100@secret", authorization=answer(other, "right", "secret"))
        assert (code, "stale=true" in headers["Proxy-Authenticate"]) == (407, True)
        assert switch.notes == []

    async def test_what_is_no_answer_at_all_is_a_wrong_one(self) -> None:
        switch = Switch(attempts=1)
        assert (await switch.refusal("sip:100@secret", authorization="Digest \udcff"))[0] == 403

    async def test_counts_of_calls_long_gone_are_forgotten(self, clock: Clock) -> None:
        switch = Switch(attempts=2)
        for number in range(1001):
            await switch.refusal("sip:100@secret", call_id=f"old-{number}", authorization="Digest")
        clock.now += 61
        switch.engine.tick()
        assert (await switch.refusal("sip:100@secret", call_id="old-7", authorization="Digest"))[0] == 407


class TestNotes:
    """The operator learns of strangers, who must not be able to fill his log."""

    async def test_one_source_and_code_is_noted_once_in_a_while(self, clock: Clock) -> None:
        switch = Switch()
        for now in (0.0, 1.0, NOTE_SECONDS - 0.1, NOTE_SECONDS, NOTE_SECONDS + 1):
            clock.now = 1000 + now
            assert (await switch.refusal("sip:100@elsewhere"))[0] == 404
        assert [note.time - T0 - 1000 for note in switch.notes] == [0.0, NOTE_SECONDS]

    async def test_another_source_or_code_is_noted_by_itself(self) -> None:
        switch = Switch()
        await switch.invited("sip:100@elsewhere")
        await switch.invited("sip:100@elsewhere", "198.51.100.1")
        await switch.invited("sip:100@nobody")
        assert switch.codes() == [32002, 32002, 32201]

    async def test_after_a_flood_from_everywhere_they_still_come(self, clock: Clock) -> None:
        switch = Switch()
        for number in range(1001):
            await switch.invited("sip:100@elsewhere", f"10.0.{number // 256}.{number % 256}")
        clock.now += NOTE_SECONDS
        switch.engine.tick()
        await switch.invited("sip:100@elsewhere", "10.0.0.0")
        assert len(switch.notes) == 1002

    async def test_calls_refused_for_want_of_room_are_one_note(self) -> None:
        switch = Switch()
        switch.engine.report_full(17)
        switch.engine.report_unusable(2)
        assert switch.codes() == [32001, 32102]
        assert switch.notes[0].message.startswith("17 ")
        assert switch.notes[1].message.startswith("2 ")


class TestCapacity:
    """What it cannot carry is refused at once, so that the calls in progress stay whole."""

    @pytest.mark.parametrize(
        ("legs", "backlog", "late", "fits"),
        [
            (0, 0.0, 0.0, True),
            (100 - LEGS_PER_CALL, 0.0, 0.0, True),
            (100 - LEGS_PER_CALL + 1, 0.0, 0.0, False),
            (0, BACKLOG_SECONDS - 0.01, 0.0, True),
            (0, BACKLOG_SECONDS, 0.0, False),
            (0, 0.0, LAG_SECONDS - 0.01, True),
            (0, 0.0, LAG_SECONDS + 0.01, False),
        ],
    )
    async def test_a_call_needs_free_legs_and_a_loop_in_time(
        self, clock: Clock, legs: int, backlog: float, late: float, fits: bool
    ) -> None:
        switch = Switch(legs=100)
        clock.now += late
        assert switch.engine.admits(legs, backlog) is fits

    async def test_a_loop_that_comes_back_admits_again(self, clock: Clock) -> None:
        switch = Switch()
        clock.now += 10
        assert not switch.engine.admits(0, 0.0)
        switch.engine.tick()
        assert switch.engine.admits(0, 0.0)

    async def test_only_so_many_calls_may_be_set_up_at_once(self) -> None:
        switch = Switch(setups=2)
        await switch.invited(call_id="call-1")
        assert switch.engine.admits(0, 0.0)
        await switch.invited(call_id="call-2")
        assert not switch.engine.admits(0, 0.0)

    @pytest.mark.parametrize(("twiml", "fits"), [("<Say>Hello</Say>", True), ("<Pause length='60'/>", False)])
    async def test_calls_in_set_up_keep_room_for_as_many_phones_as_others_have(self, twiml: str, fits: bool) -> None:
        switch = Switch(twiml, legs=40)
        for number in range(2):
            await switch.invited(call_id=f"call-{number}")
        assert switch.engine.admits(20, 0.0) is fits

    async def test_an_answered_call_is_set_up_no_more(self) -> None:
        switch = Switch("<Say>Hello</Say>", setups=1)
        await switch.invited()
        assert switch.engine.admits(0, 0.0)

    async def test_a_call_that_is_over_leaves_its_place(self) -> None:
        switch = Switch(setups=1)
        leg = await switch.invited()
        await switch.ends(leg)
        assert switch.engine.calls == 0
        assert switch.engine.admits(0, 0.0)

    async def test_an_engine_that_stops_admits_nobody(self) -> None:
        switch = Switch()
        await switch.engine.drain(0)
        assert not switch.engine.admits(0, 0.0)


class TestEvents:
    async def test_each_goes_to_the_call_that_owns_the_leg(self) -> None:
        switch = Switch("<Dial hangupOnStar='true'><Sip>sip:alice@127.0.0.1</Sip></Dial>")
        first, second = await switch.invited(call_id="call-1"), await switch.invited(call_id="call-2")
        callees = list(switch.phone.targets)
        for callee in callees:
            switch.engine.post(Answered(callee, T0))
        switch.engine.post(Digit(second, T0, "*"))
        await switch.settle()
        assert switch.phone.commands("bridge") == [(first, callees[0]), (second, callees[1])]
        assert switch.phone.commands("hangup")[0] == (callees[1],)

    async def test_those_of_legs_that_nobody_owns_are_let_go(self) -> None:
        switch = Switch()
        leg = await switch.invited()
        for event in (Answered(7, T0), Digit(7, T0, "1"), PlayDone(7, 1), Ended(7, T0, 200)):
            switch.engine.post(event)
        await switch.ends(leg)
        await switch.ends(leg)
        assert switch.engine.calls == 0

    async def test_they_may_come_from_another_thread(self) -> None:
        switch = Switch()
        leg = await asyncio.to_thread(switch.invite)
        await switch.until(lambda: switch.rang() == [leg])

    async def test_one_that_cannot_be_handled_does_not_stop_the_next(self, monkeypatch: pytest.MonkeyPatch) -> None:
        switch = Switch()
        leg = await switch.invited()

        def broken(session: CallSession, event: object) -> None:
            raise RuntimeError("boom")

        with monkeypatch.context() as patched:
            patched.setattr(CallSession, "on_event", broken)
            switch.engine.post(Digit(leg, T0, "1"))
            await switch.invited(call_id="call-2")
        assert len(switch.rang()) == 2

    async def test_an_invite_that_cannot_be_handled_is_refused_all_the_same(self) -> None:
        class Broken(dict[str, str]):
            def get(self, *_: object) -> Any:
                raise RuntimeError("boom")

        switch = Switch()
        challenge = (await switch.refusal("sip:100@secret"))[1]["Proxy-Authenticate"]
        switch.engine.set_directory(Directory({"secret": domain("secret", credentials=True, ha1s=Broken())}))
        authorization = answer(challenge, "right", "secret")
        assert (await switch.refusal("sip:100@secret", authorization=authorization))[0] == 500

    @pytest.mark.parametrize(
        "twiml", ["<Say>Hello</Say>", "<Pause length='60'/>", "<Dial><Sip>sip:a@127.0.0.1</Sip></Dial>"]
    )
    async def test_a_caller_who_is_gone_before_his_call_began_leaves_nothing_behind(self, twiml: str) -> None:
        # An INVITE and its CANCEL are handed over together when the loop is late.
        switch = Switch(twiml, setups=1)
        leg = switch.invite()
        await switch.ends(leg)
        assert [record.status for record in switch.records] == ["ringing", "canceled"]
        assert switch.phone.targets == {}
        assert switch.engine.calls == 0
        assert switch.engine.admits(0, 0.0)


class TestAddresses:
    """What stands in the INVITE's addresses, as people and phones write them; test_addresses.py has more."""

    @pytest.mark.parametrize(
        ("uri", "to"),
        [
            ("<SIP:+358;postd=pp22:secret@open:5060;user=phone?X=a@b>", "sip:+358;postd=pp22@open"),
            ("sip:open", "sip:open"),
            ("sip:100@[2001:db8::1]:5060", "sip:100@[2001:db8::1]"),
            ("tel:+4930123", "+4930123"),
        ],
    )
    async def test_the_dialled_address_is_shown_without_what_is_not_of_it(self, uri: str, to: str) -> None:
        switch = Switch(default="open")
        await switch.invited(uri)
        assert switch.records[0].to_address == to
        assert switch.web.parameters("http://app/voice")["To"] == to

    @pytest.mark.parametrize("uri", ["sip:100@OPEN", "sip:100@Open.", "SIPS:100@open:5061"])
    async def test_the_domain_is_found_however_it_is_written(self, uri: str) -> None:
        switch = Switch()
        assert await switch.invited(uri) in switch.rang()

    @pytest.mark.parametrize(
        "uri", ["", "sip:", "sip:@", "@@@", "sip:[::1", "sip:%zz", "sip:" + "a" * 5000, "\0", "\udcff"]
    )
    async def test_what_is_no_address_is_refused(self, uri: str) -> None:
        code, headers = await Switch().refusal(uri)
        assert code == 404
        assert headers["X-Twilio-Error"].startswith("32002 ")

    async def test_what_a_terminal_would_obey_does_not_reach_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        switch = Switch()
        await switch.invited("sip:\x1b[2J\0\udcff@elsewhere")
        await switch.invited("sip:\x1b[2J\0\udcff@open", from_uri="<sip:\x1b[2J@phone>")
        assert switch.notes[0].message.isprintable()
        assert all(line.isprintable() for line in caplog.messages)
        assert (switch.records[0].to_address, switch.records[0].from_address) == ("sip:�[2J��@open", "sip:�[2J@phone")

    async def test_what_a_refusal_says_fits_into_a_header(self) -> None:
        _, headers = await Switch().refusal("sip:100@" + "a" * 5000 + "\r\nX-Evil: 1\0\udcff")
        text = headers["X-Twilio-Error"]
        assert len(text) < 300
        assert text.isascii() and text.isprintable()

    async def test_the_caller_is_shown_without_name_and_parameters(self) -> None:
        switch = Switch()
        await switch.invited(from_uri='"Bob <b>" <sip:bob@phone;transport=tcp>;tag=1')
        assert switch.records[0].from_address == "sip:bob@phone"

    async def test_who_forwarded_the_call_is_told(self) -> None:
        switch = Switch()
        await switch.invited(headers=(("diversion", '"Desk" <sip:desk@pbx>;reason=unconditional'),))
        assert switch.web.parameters("http://app/voice")["ForwardedFrom"] == "sip:desk@pbx"

    async def test_headers_of_any_text_reach_the_application(self) -> None:
        switch = Switch()
        headers = (("X-Name", "Jürgen \0 \udcff"), ("User-to-User", "00;encoding=hex"), ("Subject", "not told"))
        await switch.invited(headers=headers)
        asked = switch.web.parameters("http://app/voice")
        assert asked["SipHeader_X-Name"].startswith("Jürgen")
        assert asked["SipHeader_User-to-User"] == "00;encoding=hex"
        assert "SipHeader_Subject" not in asked

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40), st.none() | st.text(max_size=40))
    def test_whatever_stands_there_the_invite_gets_one_answer(
        self, uri: str, from_uri: str, header: str, authorization: str | None
    ) -> None:
        async def run() -> None:
            switch = Switch("<Reject/>", default="open")
            for request_uri in (uri, f"sip:{uri}@open", f"sip:100@{uri}", f"sip:{uri}@secret"):
                leg = await switch.invited(
                    request_uri, from_uri=from_uri, headers=(("X-A", header),), authorization=authorization
                )
                assert leg in switch.phone.refused

        asyncio.run(run())


def queued(**values: Any) -> QueuedCall:
    defaults = {
        "sid": "CA" + "1" * 32,
        "account_sid": AC,
        "auth_token": "token",
        "to": "sip:alice@127.0.0.1:5071",
        "from_address": "4930123",
        "region": "us1",
        "url": "http://app/voice",
        "method": "POST",
        "fallback_url": "http://app/fallback",
        "twiml": "",
        "timeout": 60,
        "username": "",
        "password": "",
        "queued": T0 - 5,
    }
    return QueuedCall(**{**defaults, **values})


class TestPlacing:
    """Calls that were asked for through the API or the admin."""

    async def placed(self, switch: Switch, **values: Any) -> LegId:
        switch.engine.place(queued(**values))
        await switch.settle()
        (leg,) = switch.phone.targets
        return leg

    async def test_the_phone_rings_with_the_callers_number_and_our_headers(self) -> None:
        switch = Switch()
        leg = await self.placed(switch, to="sip:alice@127.0.0.1:5071;region=de1?x-a=1", username="u", password="p")
        target = switch.phone.targets[leg]
        assert (target.uri.user, target.uri.port, target.from_user, target.region) == ("alice", 5071, "4930123", "de1")
        assert (target.username, target.password) == ("u", "p")
        assert dict(target.headers) == {
            "X-Twilio-CallSid": "CA" + "1" * 32,
            "X-Twilio-AccountSid": AC,
            "X-Twilio-ApiVersion": "2010-04-01",
            "x-a": "1",
        }

    async def test_without_credentials_there_are_none(self) -> None:
        switch = Switch()
        target = switch.phone.targets[await self.placed(switch)]
        assert (target.username, target.password) == (None, None)

    async def test_the_caller_id_is_the_user_of_its_from(self) -> None:
        switch = Switch()
        leg = await self.placed(switch, from_address="sip:desk@pbx.example.com")
        assert switch.phone.targets[leg].from_user == "desk"

    async def test_the_log_tells_it_from_queue_to_end(self) -> None:
        switch = Switch("<Hangup/>")
        leg = await self.placed(switch)
        switch.engine.post(Answered(leg, T0 + 3))
        await switch.settle()
        assert switch.phone.commands("hangup") == [(leg,)]
        await switch.ends(leg, 200, by_peer=False)
        assert [record.status for record in switch.records] == ["initiated", "in-progress", "completed"]
        last = switch.records[-1]
        assert (last.sid, last.direction, last.start_time) == ("CA" + "1" * 32, "outbound-api", T0 - 5)
        assert (last.to_address, last.from_address, last.region) == ("sip:alice@127.0.0.1:5071", "4930123", "us1")
        assert switch.engine.calls == 0

    async def test_its_url_is_asked_when_it_is_answered(self) -> None:
        switch = Switch()
        leg = await self.placed(switch, method="GET")
        assert switch.web.asked == []
        switch.engine.post(Answered(leg, T0 + 3))
        await switch.settle()
        asked = switch.web.parameters("http://app/voice")
        assert (asked["CallStatus"], asked["Direction"]) == ("in-progress", "outbound-api")
        assert switch.web.asked[0][1] == "GET"

    async def test_its_own_twiml_runs_without_asking(self) -> None:
        switch = Switch()
        leg = await self.placed(switch, url="", twiml="<Response><Say>Hello</Say></Response>")
        switch.engine.post(Answered(leg, T0 + 3))
        await switch.settle()
        assert switch.web.asked == []
        assert switch.phone.commands("play")[0][1] == "Hello"

    @pytest.mark.parametrize(("code", "status"), [(486, "busy"), (404, "failed")])
    async def test_a_phone_that_refuses_ends_it(self, code: int, status: str) -> None:
        switch = Switch()
        await switch.ends(await self.placed(switch), code)
        assert (switch.records[-1].status, switch.records[-1].sip_code) == (status, code)
        assert switch.engine.calls == 0

    async def test_a_phone_that_rings_too_long_is_given_up(self) -> None:
        switch = Switch()
        leg = await self.placed(switch, timeout=0)
        await switch.until(lambda: switch.phone.commands("hangup") == [(leg,)])
        await switch.ends(leg, 487, by_peer=False)
        assert switch.records[-1].status == "no-answer"

    @pytest.mark.parametrize(
        "to", ["", "sip:", "nonsense here", "sip:alice@127.0.0.1:99999", "sip:" + "a" * 260 + "@h"]
    )
    async def test_an_address_that_cannot_be_called_is_a_failed_call_with_the_reason(self, to: str) -> None:
        switch = Switch()
        switch.engine.place(queued(to=to))
        await switch.settle()
        (record,) = switch.records
        assert [entry.code for entry in switch.entries if isinstance(entry, NoteEntry)] == [13243]
        assert (record.status, record.error_code, record.ended_by) == ("failed", 13243, "engine")
        assert record.reason.startswith("Its address cannot be called: ")
        assert record.end_time is not None
        assert (switch.phone.targets, switch.engine.calls) == ({}, 0)

    async def test_a_host_without_an_address_is_a_failed_call_with_the_reason(self) -> None:
        switch = Switch()
        switch.engine.place(queued(to="sip:alice@no-such-host.invalid"))
        await switch.until(lambda: switch.engine.calls == 0)
        assert (switch.records[-1].status, switch.records[-1].error_code) == ("failed", 13254)
        assert switch.phone.targets == {}

    async def test_nothing_is_placed_by_an_engine_that_stops(self) -> None:
        switch = Switch()
        await switch.engine.drain(0)
        switch.engine.place(queued())
        await switch.settle()
        assert (switch.phone.targets, switch.engine.calls) == ({}, 0)


class TestDraining:
    """On SIGTERM: no new calls, time for those in progress, then an end."""

    async def test_without_calls_it_is_done_at_once(self) -> None:
        async with asyncio.timeout(SECONDS):
            await Switch().engine.drain(60)

    async def test_it_waits_for_the_last_call_to_end_by_itself(self) -> None:
        switch = Switch()
        first, second = await switch.invited(call_id="call-1"), await switch.invited(call_id="call-2")
        draining = asyncio.create_task(switch.engine.drain(60))
        await switch.ends(first)
        assert not draining.done()
        await switch.ends(second)
        assert draining.done()
        assert switch.phone.refused == {}

    async def test_a_call_that_lasts_longer_is_hung_up(self) -> None:
        switch = Switch("<Say>Hello</Say><Pause length='60'/>")
        leg = await switch.invited()
        draining = asyncio.create_task(switch.engine.drain(0.01))
        await switch.until(lambda: switch.phone.commands("hangup") == [(leg,)])
        await switch.ends(leg, 200, by_peer=False)
        async with asyncio.timeout(SECONDS):
            await draining
        last = switch.records[-1]
        assert (last.status, last.ended_by, last.reason) == ("completed", "engine", "The engine was stopped.")

    async def test_a_call_that_still_rings_is_refused(self) -> None:
        switch = Switch()
        leg = await switch.invited()
        draining = asyncio.create_task(switch.engine.drain(0))
        await switch.settle()
        assert switch.phone.refused[leg][0] == 480
        await switch.ends(leg, 480, by_peer=False)
        await draining
        assert switch.records[-1].status == "canceled"

    async def test_the_phones_that_it_dialled_are_hung_up_too(self) -> None:
        switch = Switch("<Dial><Sip>sip:a@127.0.0.1</Sip><Sip>sip:b@127.0.0.1</Sip></Dial>")
        leg = await switch.invited()
        draining = asyncio.create_task(switch.engine.drain(0))
        await switch.settle()
        assert sorted(switch.phone.commands("hangup")) == sorted((one,) for one in (leg, *switch.phone.targets))
        for one in (leg, *switch.phone.targets):
            await switch.ends(one, 487, by_peer=False)
        await draining
        assert all(record.status in ("canceled", "completed") for record in switch.records[-3:])

    async def test_a_placed_call_that_rings_is_given_up(self) -> None:
        switch = Switch()
        switch.engine.place(queued())
        await switch.settle()
        (leg,) = switch.phone.targets
        draining = asyncio.create_task(switch.engine.drain(0))
        await switch.settle()
        assert switch.phone.commands("hangup") == [(leg,)]
        await switch.ends(leg, 487, by_peer=False)
        await draining

    async def test_a_call_that_has_only_just_come_in_is_ended_too(self) -> None:
        switch = Switch()
        leg = switch.invite()
        draining = asyncio.create_task(switch.engine.drain(0))
        await switch.settle()
        assert leg in switch.phone.refused
        await switch.ends(leg, 480, by_peer=False)
        async with asyncio.timeout(SECONDS):
            await draining

    async def test_the_timeline_tells_the_end(self) -> None:
        switch = Switch()
        leg = await switch.invited()
        draining = asyncio.create_task(switch.engine.drain(0))
        await switch.settle()
        await switch.ends(leg, 480, by_peer=False)
        await draining
        assert [entry.name for entry in switch.entries if isinstance(entry, EventEntry)][-1] == "ended"

"""Calls through the official helper library: placed, listed, fetched, changed, deleted; and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from twilio.rest import Client

from calls import ledger
from calls.models import Call, CallRequest, Command
from routing.models import Account, ApiKey, Application, Region
from routing.sid import new_sid
from tests import samples
from tests.api.conftest import Connect
from tests.api.wire import Wire, error_of, refused
from tests.rows import account as make_account
from tests.rows import trunk as make_trunk

pytestmark = pytest.mark.django_db

URL = "https://example.com/voice"
TWIML = "<Response><Say>Hello</Say></Response>"
ALICE = "sip:alice@198.51.100.7"
KEYS = [
    *("sid", "date_created", "date_updated", "parent_call_sid", "account_sid", "to", "to_formatted", "from"),
    *("from_formatted", "phone_number_sid", "status", "start_time", "end_time", "duration", "price", "price_unit"),
    *("direction", "answered_by", "api_version", "forwarded_from", "group_sid", "caller_name", "queue_time"),
    *("trunk_sid", "uri", "subresource_uris"),
]
BELOW = [
    *("notifications", "recordings", "payments", "events", "siprec", "streams", "transcriptions"),
    *("user_defined_message_subscriptions", "user_defined_messages"),
]


@pytest.fixture(autouse=True)
def region(db: None) -> None:
    """The region that calls leave from: tests with a live server begin with empty tables."""
    Region.objects.get_or_create(code="us1", defaults={"location": "here", "is_default": True})


@pytest.fixture
def request_of(account: Account) -> Any:
    """Return what the only queued call asks the engine for."""
    return lambda: CallRequest.objects.select_related("call").get()


class TestCreate:
    """Twilio: "Create a Call resource"; the defaults of conformance §1.14."""

    def test_it_answers_with_a_queued_call(self, client: Client, account: Account) -> None:
        made = client.calls.create(to=ALICE, from_="+15550100", url=URL)
        assert (made.status, made.direction, made.account_sid) == ("queued", "outbound-api", account.sid)
        assert (made.to, made._from, made.start_time, made.duration) == (ALICE, "+15550100", None, None)
        assert client.calls(made.sid).fetch().status == "queued"

    def test_its_keys_are_twilios_in_their_order(self, wire: Wire) -> None:
        response = wire.post("Calls.json", To=ALICE, From="100", Url=URL)
        assert (response.status_code, list(response.json())) == (201, KEYS)
        assert list(response.json()["subresource_uris"]) == BELOW

    def test_what_is_not_given_has_twilios_default(self, client: Client, request_of: Any) -> None:
        client.calls.create(to=ALICE, from_="100", url=URL)
        asked = request_of()
        assert (asked.method, asked.timeout, asked.fallback_method) == ("POST", 60, "POST")
        assert (asked.callback, asked.recording, asked.time_limit) == (None, None, None)

    def test_everything_that_is_given_is_kept(self, client: Client, request_of: Any) -> None:
        client.calls.create(
            to=f"{ALICE}?X-Job=7",
            from_="100",
            twiml=TWIML,
            fallback_url=f"{URL}/2",
            fallback_method="GET",
            status_callback=f"{URL}/status",
            status_callback_method="GET",
            status_callback_event=["ringing", "completed"],
            send_digits="1w2",
            timeout=20,
            time_limit=600,
            sip_auth_username="alice",
            sip_auth_password=" secret ",
            call_reason="Your order",
            caller_id="+15550199",
        )
        asked = request_of()
        assert (asked.to, asked.caller_id, asked.twiml) == (f"{ALICE}?X-Job=7", "+15550199", TWIML)
        assert (asked.fallback_url, asked.fallback_method) == (f"{URL}/2", "GET")
        assert asked.callback == {"url": f"{URL}/status", "method": "GET", "events": ["ringing", "completed"]}
        assert (asked.send_digits, asked.timeout, asked.time_limit) == ("1w2", 20, 600)
        assert (asked.username, asked.password, asked.call_reason) == ("alice", " secret ", "Your order")

    def test_a_status_callback_is_told_of_the_end_unless_it_asks_for_more(
        self, client: Client, request_of: Any
    ) -> None:
        client.calls.create(to=ALICE, from_="100", url=URL, status_callback=f"{URL}/status")
        assert request_of().callback["events"] == ["completed"]

    def test_record_says_how_it_is_recorded(self, client: Client, request_of: Any) -> None:
        client.calls.create(
            to=ALICE,
            from_="100",
            url=URL,
            record=True,
            recording_channels="dual",
            trim="do-not-trim",
            recording_status_callback=f"{URL}/rec",
            recording_status_callback_event=["in-progress", "completed"],
        )
        recording = request_of().recording
        assert recording.pop("sid").startswith("RE")
        assert recording.pop("callback")["events"] == ["in-progress", "completed"]
        assert recording == {"source": "OutboundAPI", "channels": 2, "track": "both", "trim": False}

    def test_one_side_of_a_call_is_one_channel(self, client: Client, request_of: Any) -> None:
        client.calls.create(
            to=ALICE, from_="100", url=URL, record=True, recording_channels="dual", recording_track="inbound"
        )
        assert (request_of().recording["channels"], request_of().recording["track"]) == (1, "inbound")

    def test_without_record_nothing_is_recorded(self, client: Client, request_of: Any) -> None:
        client.calls.create(to=ALICE, from_="100", url=URL, record=False, recording_channels="dual")
        assert request_of().recording is None

    def test_an_application_says_what_runs_and_who_is_told(
        self, client: Client, account: Account, request_of: Any
    ) -> None:
        app = Application.objects.create(
            account=account,
            voice_url=URL,
            voice_method="GET",
            voice_fallback_url=f"{URL}/2",
            status_callback=f"{URL}/s",
        )
        client.calls.create(to=ALICE, from_="100", application_sid=app.sid, status_callback="https://other.example/")
        asked = request_of()
        assert (asked.url, asked.method, asked.fallback_url) == (URL, "GET", f"{URL}/2")
        assert asked.callback == {"url": f"{URL}/s", "method": "POST", "events": ["completed"]}

    def test_a_number_goes_through_a_trunk_of_the_account(self, client: Client, account: Account) -> None:
        make_trunk(account, "+49")
        assert client.calls.create(to="+49 30 12345", from_="100", url=URL).to == "+493012345"

    def test_a_client_is_an_endpoint(self, client: Client, account: Account) -> None:
        samples.endpoint(account)
        assert client.calls.create(to="client:alice", from_="100", url=URL).to == "client:Alice"

    def test_machine_detection_is_taken_and_says_unknown(self, client: Client, request_of: Any) -> None:
        client.calls.create(
            to=ALICE,
            from_="100",
            url=URL,
            machine_detection="Enable",
            machine_detection_timeout=30,
            async_amd="true",
            async_amd_status_callback=f"{URL}/amd",
        )
        assert request_of().machine_detection
        assert request_of().amd_callback == {"url": f"{URL}/amd", "method": "POST", "events": ["amd"]}

    def test_a_subaccounts_call_may_be_placed_by_its_main_account(self, connect: Connect, account: Account) -> None:
        sub = Account.objects.create(friendly_name="Sub", parent=account)
        made = connect(account).api.v2010.accounts(sub.sid).calls.create(to=ALICE, from_="100", url=URL)
        assert Call.objects.get(pk=made.sid).account == sub

    def test_an_api_key_may(self, connect: Connect, account: Account) -> None:
        key = ApiKey(account=account)
        secret = key.draw_secret()
        key.save()
        assert connect(account, key.sid, secret).calls.create(to=ALICE, from_="100", url=URL).status == "queued"


REFUSED = [
    ({"To": ""}, 21201, "To"),
    ({"To": None}, 21201, "To"),
    ({"From": None}, 21213, "From"),
    ({"To": "nobody"}, 21211, "To"),
    ({"To": "sip:"}, 21211, "To"),
    ({"To": "sip:a@b\0c"}, 21201, "To"),
    ({"To": "sip:alice@host;region=mars"}, 21211, "To"),
    ({"To": f"sip:{'a' * 300}@host"}, 21211, "To"),
    ({"To": "sip:alice@host?Via=x"}, 21228, "To"),
    ({"To": f"sip:alice@host?X-A={'b' * 1100}"}, 21227, "To"),
    ({"To": "+493012345"}, 13224, "To"),
    ({"To": "client:nobody"}, 32009, "To"),
    ({"From": "a b"}, 21212, "From"),
    ({"From": "☎☎"}, 21212, "From"),
    ({"Url": None}, 21205, "Url"),
    ({"Url": ""}, 21205, "Url"),
    ({"Url": "ftp://example.com"}, 21205, "Url"),
    ({"Url": "/relative"}, 21205, "Url"),
    ({"Url": "https://example.com/" + "a" * 5000}, 21205, "Url"),
    ({"Twiml": TWIML}, 21205, "Url and Twiml"),
    ({"Url": None, "Twiml": "x" * 4001}, 32018, "Twiml"),
    ({"Url": None, "ApplicationSid": "AP1"}, 21218, "ApplicationSid"),
    ({"Url": None, "ApplicationSid": new_sid("AP")}, 21218, "ApplicationSid"),
    ({"Method": "PUT"}, 21209, "Method"),
    ({"FallbackMethod": "get"}, 21209, "FallbackMethod"),
    ({"FallbackUrl": "nonsense"}, 21205, "FallbackUrl"),
    ({"StatusCallback": "nonsense"}, 21205, "StatusCallback"),
    ({"StatusCallbackEvent": "never"}, 20001, "StatusCallbackEvent"),
    ({"Timeout": 0}, 21208, "Timeout"),
    ({"Timeout": 601}, 21208, "Timeout"),
    ({"Timeout": "soon"}, 21208, "Timeout"),
    ({"SendDigits": "12x"}, 21206, "SendDigits"),
    ({"SendDigits": "1" * 33}, 21206, "SendDigits"),
    ({"TimeLimit": 0}, 20001, "TimeLimit"),
    ({"Record": "maybe"}, 20001, "Record"),
    ({"RecordingChannels": "stereo"}, 20001, "RecordingChannels"),
    ({"RecordingTrack": "left"}, 20001, "RecordingTrack"),
    ({"Trim": "yes"}, 20001, "Trim"),
    ({"SipAuthUsername": "a" * 256, "SipAuthPassword": "b"}, 21221, "SipAuthUsername"),
    ({"SipAuthUsername": "a", "SipAuthPassword": "b" * 256}, 21223, "SipAuthPassword"),
    ({"SipAuthUsername": "alice"}, 21225, "SipAuthPassword"),
    ({"MachineDetection": "Maybe"}, 20001, "MachineDetection"),
    ({"CallReason": "x" * 51}, 20001, "CallReason"),
    ({"Byoc": "BY" + "0" * 32}, 20001, "Byoc"),
    ({"StatusCalback": URL}, 20001, "did you mean StatusCallback?"),
    ({"to": ALICE}, 20001, "did you mean To?"),
    ({"To": [ALICE, ALICE]}, 20001, "To is given 2 times"),
]


class TestRefusals:
    """Issue 4, "Bad input": the documented code, a message that names the field, and no half-written object."""

    @pytest.mark.parametrize(("changes", "code", "word"), REFUSED)
    def test_a_wrong_parameter_is_named(self, wire: Wire, changes: dict[str, Any], code: int, word: str) -> None:
        form = {"To": ALICE, "From": "100", "Url": URL, **changes}
        response = wire.post("Calls.json", **{name: value for name, value in form.items() if value is not None})
        assert error_of(response) == (400, code)
        assert word in response.json()["message"]
        assert not Call.objects.exists()

    def test_the_library_raises_it(self, client: Client) -> None:
        with refused(400, 21211, "To"):
            client.calls.create(to="nobody", from_="100", url=URL)

    def test_an_application_without_a_voice_url_cannot_run(self, client: Client, account: Account) -> None:
        app = Application.objects.create(account=account)
        with refused(400, 21218, "VoiceUrl"):
            client.calls.create(to=ALICE, from_="100", application_sid=app.sid)

    def test_another_accounts_application_is_not_there(self, client: Client) -> None:
        app = Application.objects.create(account=make_account("Other"), voice_url=URL)
        with refused(400, 21218, "no application"):
            client.calls.create(to=ALICE, from_="100", application_sid=app.sid)

    def test_a_suspended_account_places_no_calls(self, client: Client) -> None:
        Account.objects.update(status="suspended")
        with refused(403, 20005):
            client.calls.create(to=ALICE, from_="100", url=URL)

    def test_nor_does_a_suspended_subaccount_through_its_main_account(self, connect: Connect, account: Account) -> None:
        sub = Account.objects.create(friendly_name="Sub", parent=account, status="suspended")
        with refused(403, 20005, "suspended"):
            connect(account).api.v2010.accounts(sub.sid).calls.create(to=ALICE, from_="100", url=URL)

    def test_a_read_only_key_places_no_calls(self, connect: Connect, account: Account) -> None:
        key = ApiKey(account=account, read_only=True)
        secret = key.draw_secret()
        key.save()
        with refused(403, 20403, "may only read"):
            connect(account, key.sid, secret).calls.create(to=ALICE, from_="100", url=URL)

    def test_a_wrong_token_is_401(self, connect: Connect, account: Account) -> None:
        with refused(401, 20003):
            connect(account, account.sid, "wrong").calls(new_sid("CA")).fetch()

    def test_another_accounts_calls_do_not_exist(self, connect: Connect, account: Account) -> None:
        other = make_account("Other")
        with refused(404, 20404):
            connect(account).api.v2010.accounts(other.sid).calls.create(to=ALICE, from_="100", url=URL)

    def test_a_body_of_ten_megabytes_is_413(self, wire: Wire) -> None:
        assert error_of(wire.send("POST", "Calls.json", "To=" + "a" * 10_000_000)) == (413, 20413)

    @pytest.mark.parametrize("body", ["[1]", "{", '"To"', "null", "\xff"])
    def test_a_body_of_the_wrong_type_is_400(self, wire: Wire, body: str) -> None:
        assert error_of(wire.send("POST", "Calls.json", body, "application/json"))[0] == 400

    def test_an_object_of_json_will_do(self, wire: Wire) -> None:
        body = json.dumps({"To": ALICE, "From": "100", "Url": URL, "Timeout": 30, "Record": True})
        assert wire.send("POST", "Calls.json", body, "application/json").status_code == 201

    def test_a_method_that_there_is_not_is_405(self, wire: Wire) -> None:
        assert error_of(wire.send("PUT", "Calls.json")) == (405, 20004)


class TestBodies:
    """What a call is like in each of its states (conformance §1.14)."""

    def shown(self, wire: Wire, account: Account, **values: Any) -> Any:
        record = samples.call(account, **values)
        ledger.apply([record])
        return wire.get(f"Calls/{record.sid}.json").json()

    def test_one_that_is_over(self, wire: Wire, account: Account) -> None:
        body = self.shown(wire, account)
        assert (body["status"], body["duration"], body["direction"]) == ("completed", "49", "inbound")
        started = datetime.fromtimestamp(samples.START, UTC)
        assert body["start_time"] == body["date_created"] == started.strftime("%a, %d %b %Y %H:%M:%S +0000")
        assert body["end_time"] == body["date_updated"]
        assert (body["price"], body["price_unit"], body["queue_time"]) == (None, "USD", "0")

    def test_one_in_progress_has_no_duration_and_no_end(self, wire: Wire, account: Account) -> None:
        body = self.shown(wire, account, status="in-progress", end_time=None, duration=None)
        assert (body["status"], body["duration"], body["end_time"]) == ("in-progress", None, None)

    def test_one_that_was_never_answered_lasted_no_time(self, wire: Wire, account: Account) -> None:
        assert self.shown(wire, account, status="busy", answer_time=None, duration=0)["duration"] == "0"

    def test_one_that_is_being_placed_is_shown_as_ringing(self, wire: Wire, account: Account) -> None:
        """Conformance §1.6: `initiated` is a status of webhooks only."""
        body = self.shown(wire, account, status="initiated", end_time=None, answer_time=None, duration=None)
        assert body["status"] == "ringing"

    def test_a_leg_names_its_parent(self, wire: Wire, account: Account) -> None:
        parent = samples.call(account)
        leg = samples.leg(parent)
        ledger.apply([parent, leg])
        body = wire.get(f"Calls/{leg.sid}.json").json()
        assert (body["parent_call_sid"], body["direction"]) == (parent.sid, "outbound-dial")

    def test_the_time_in_the_queue_is_told_in_milliseconds(self, client: Client) -> None:
        made = client.calls.create(to=ALICE, from_="100", url=URL)
        asked = CallRequest.objects.get()
        CallRequest.objects.update(claimed_by="e1", claimed_at=asked.created + timedelta(seconds=1.5))
        assert client.calls(made.sid).fetch().queue_time == "1500"

    def test_what_is_below_a_call_is_where_it_says(self, wire: Wire, account: Account) -> None:
        uris = self.shown(wire, account)["subresource_uris"]
        assert [wire.get(uris[name]).status_code for name in ("notifications", "recordings", "events")] == [200] * 3


class TestFetch:
    """Twilio: "Fetch a Call resource"."""

    @pytest.mark.parametrize("sid", ["CA" + "0" * 32, "CA1", "nonsense", "CA" + "ü" * 32])
    def test_what_does_not_exist_is_404(self, client: Client, sid: str) -> None:
        with refused(404, 20404):
            client.calls(sid).fetch()

    def test_another_accounts_call_is_404(self, client: Client) -> None:
        record = samples.call(make_account("Other"))
        ledger.apply([record])
        with refused(404, 20404):
            client.calls(record.sid).fetch()

    def test_the_suffix_may_be_left_out(self, wire: Wire, account: Account) -> None:
        record = samples.call(account)
        ledger.apply([record])
        assert wire.get(f"Calls/{record.sid}").json() == wire.get(f"Calls/{record.sid}.json").json()


@pytest.fixture
def many(account: Account) -> list[str]:
    """Calls, an hour apart, the newest first."""
    records = [
        samples.call(account, start_time=samples.START - 3600 * hours, end_time=samples.START - 3600 * hours + 60)
        for hours in range(7)
    ]
    ledger.apply(records)
    return [record.sid for record in records]


class TestList:
    """Twilio: "Read multiple Call resources"."""

    def test_the_newest_come_first(self, client: Client, many: list[str]) -> None:
        assert [call.sid for call in client.calls.list()] == many

    def test_pages_are_followed_to_the_end(self, client: Client, many: list[str]) -> None:
        assert [call.sid for call in client.calls.list(page_size=3)] == many
        assert [call.sid for call in client.calls.list(limit=4, page_size=2)] == many[:4]

    def test_calls_that_come_in_meanwhile_do_not_disturb(
        self, client: Client, account: Account, many: list[str]
    ) -> None:
        first = client.calls.page(page_size=3)
        ledger.apply([samples.call(account, start_time=samples.START + 10)])
        second = first.next_page()
        assert [call.sid for call in [*first, *second]] == many[:6]

    def test_its_envelope_is_twilios(self, wire: Wire, many: list[str]) -> None:
        body = wire.get("Calls.json", PageSize=3).json()
        meta = ["first_page_uri", "next_page_uri", "previous_page_uri", "page", "page_size", "start", "end", "uri"]
        assert set(body) == {*meta, "calls"}
        assert [list(call) for call in body["calls"]] == [KEYS] * 3

    def test_its_number_of_queries_is_constant(self, wire: Wire, account: Account, many: list[str]) -> None:
        def queries() -> int:
            with CaptureQueriesContext(connection) as captured:
                assert wire.get("Calls.json").status_code == 200
            return len(captured)

        few = queries()
        ledger.apply([samples.call(account) for _ in range(40)])
        assert queries() == few <= 3

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ({"PageSize": -1}, 20001),
            ({"PageSize": "all"}, 20001),
            ({"Page": -1}, 20001),
            ({"PageToken": "PAnonsense"}, 21481),
            ({"Status": "initiated"}, 20001),
            ({"Status": "gone"}, 20001),
            ({"StartTime": "yesterday"}, 20001),
            ({"EndTime<": "2026-13-01"}, 20001),
            ({"ParentCallSid": "CA1"}, 20001),
            ({"From": "a\0b"}, 20001),
            ({"Form": "100"}, 20001),
        ],
    )
    def test_a_wrong_filter_is_named(self, wire: Wire, query: dict[str, Any], code: int) -> None:
        response = wire.get("Calls.json", **query)
        assert error_of(response) == (400, code)
        assert next(iter(query)) in response.json()["message"]


class TestFilters:
    """Twilio: the parameters of "Read multiple Call resources"."""

    def calls(self, account: Account, *values: dict[str, Any]) -> list[str]:
        records = [samples.call(account, **one) for one in values]
        ledger.apply(records)
        return [record.sid for record in records]

    def found(self, client: Client, **filters: Any) -> set[str | None]:
        return {call.sid for call in client.calls.list(**filters)}

    def test_by_status(self, client: Client, account: Account) -> None:
        busy, _ = self.calls(account, {"status": "busy"}, {})
        assert self.found(client, status="busy") == {busy}

    def test_ringing_are_also_those_that_are_being_placed(self, client: Client, account: Account) -> None:
        live = {"end_time": None, "answer_time": None, "duration": None}
        one, other, _ = self.calls(account, {"status": "initiated", **live}, {"status": "ringing", **live}, {})
        assert self.found(client, status="ringing") == {one, other}

    def test_by_a_sip_address_as_it_stands(self, client: Client, account: Account) -> None:
        here, _ = self.calls(account, {"to_address": "sip:100@a.example"}, {"to_address": "sip:100@b.example"})
        assert self.found(client, to="sip:100@a.example") == {here}

    def test_by_a_number_at_whatever_host(self, client: Client, account: Account) -> None:
        bare, at, _ = self.calls(
            account, {"from_address": "+4930"}, {"from_address": "sip:+4930@a.example"}, {"from_address": "+4931"}
        )
        assert self.found(client, from_="+4930") == {bare, at}

    def test_by_client(self, client: Client, account: Account) -> None:
        alice, _ = self.calls(account, {"to_address": "client:alice"}, {"to_address": "client:bob"})
        assert self.found(client, to="client:alice") == {alice}

    def test_by_parent(self, client: Client, account: Account) -> None:
        parent = samples.call(account)
        leg = samples.leg(parent)
        ledger.apply([parent, leg])
        assert self.found(client, parent_call_sid=parent.sid) == {leg.sid}

    def test_by_the_day_of_the_start(self, client: Client, account: Account) -> None:
        noon = datetime(2026, 3, 5, 12, tzinfo=UTC).timestamp()
        today, _ = self.calls(account, {"start_time": noon}, {"start_time": noon + 86_400})
        assert self.found(client, start_time=date(2026, 3, 5)) == {today}

    def test_before_and_after_a_moment(self, client: Client, account: Account) -> None:
        noon = datetime(2026, 3, 5, 12, tzinfo=UTC)
        early, late = self.calls(account, {"start_time": noon.timestamp() - 60}, {"start_time": noon.timestamp() + 60})
        assert self.found(client, start_time_before=noon) == {early}
        assert self.found(client, start_time_after=noon) == {late}
        assert self.found(client, start_time_after=noon - timedelta(hours=1), start_time_before=noon) == {early}

    def test_by_the_end(self, client: Client, account: Account) -> None:
        noon = datetime(2026, 3, 5, 12, tzinfo=UTC)
        start = noon.timestamp() - 600
        early, late = self.calls(
            account,
            {"start_time": start, "end_time": noon.timestamp() - 60},
            {"start_time": start, "end_time": noon.timestamp() + 60},
        )
        assert self.found(client, end_time_before=noon) == {early}
        assert self.found(client, end_time_after=noon) == {late}
        assert self.found(client, end_time=date(2026, 3, 5)) == {early, late}

    def test_they_hold_on_every_page(self, client: Client, account: Account) -> None:
        busy = self.calls(account, *[{"status": "busy", "from_address": "+4930"}] * 5, {}, {})[:5]
        assert self.found(client, status="busy", from_="+4930", page_size=2) == set(busy)

    def test_another_accounts_calls_are_not_among_them(self, client: Client, account: Account) -> None:
        self.calls(make_account("Other"), {})
        assert self.found(client) == set()


@pytest.fixture
def live(account: Account) -> Call:
    """A call in progress."""
    record = samples.call(account, status="in-progress", end_time=None, duration=None)
    ledger.apply([record])
    return Call.objects.get()


class TestUpdate:
    """Twilio: "Update a Call resource": redirect it, end it."""

    def test_it_is_redirected_to_a_url(self, client: Client, live: Call) -> None:
        updated = client.calls(live.sid).update(url=URL, method="GET", fallback_url=f"{URL}/2", fallback_method="GET")
        asked = Command.objects.get()
        assert (updated.status, asked.url, asked.method) == ("in-progress", URL, "GET")
        assert (asked.fallback_url, asked.fallback_method, asked.requested_by) == (f"{URL}/2", "GET", "the API")

    def test_it_is_redirected_to_twiml(self, client: Client, live: Call) -> None:
        client.calls(live.sid).update(twiml=TWIML)
        assert Command.objects.get().twiml == TWIML

    @pytest.mark.parametrize("status", ["completed"])
    def test_it_is_ended(self, client: Client, live: Call, status: str) -> None:
        assert client.calls(live.sid).update(status=status).status == "in-progress"
        assert Command.objects.get().status == status

    def test_one_that_waits_is_canceled_at_once(self, client: Client) -> None:
        made = client.calls.create(to=ALICE, from_="100", url=URL)
        assert client.calls(made.sid).update(status="canceled").status == "canceled"

    def test_its_time_limit_and_who_is_told_can_be_changed_alone(self, client: Client, live: Call) -> None:
        client.calls(live.sid).update(time_limit=60, status_callback=URL)
        callback = {"url": URL, "method": "POST", "events": ["completed"]}
        assert Command.objects.get().options == {"time_limit": 60, "callback": callback}

    def test_one_that_is_over_is_21220(self, client: Client, account: Account) -> None:
        record = samples.call(account)
        ledger.apply([record])
        with refused(400, 21220, "over"):
            client.calls(record.sid).update(status="completed")

    def test_one_that_was_answered_cannot_be_canceled(self, client: Client, live: Call) -> None:
        with refused(400, 21220, "answered"):
            client.calls(live.sid).update(status="canceled")

    @pytest.mark.parametrize(
        ("form", "code", "word"),
        [
            ({}, 21205, "exactly one"),
            ({"Url": URL, "Twiml": TWIML}, 21205, "exactly one"),
            ({"Url": URL, "Status": "completed"}, 21205, "exactly one"),
            ({"Status": "busy"}, 20001, "Status"),
            ({"Url": "nonsense"}, 21205, "Url"),
            ({"Url": URL, "Method": "PUT"}, 21209, "Method"),
            ({"Twiml": "x" * 4001}, 32018, "Twiml"),
            ({"TimeLimit": -5}, 20001, "TimeLimit"),
            ({"Stauts": "completed"}, 20001, "did you mean Status?"),
        ],
    )
    def test_a_wrong_change_is_refused(
        self, wire: Wire, live: Call, form: dict[str, Any], code: int, word: str
    ) -> None:
        response = wire.post(f"Calls/{live.sid}.json", **form)
        assert error_of(response) == (400, code)
        assert word in response.json()["message"]
        assert not Command.objects.exists()

    def test_another_accounts_call_is_404(self, connect: Connect, live: Call) -> None:
        with refused(404, 20404):
            connect(make_account("Other")).calls(live.sid).update(status="completed")


class TestDelete:
    """Twilio: "Delete a Call resource"."""

    def test_one_that_is_over_goes_with_its_legs_and_timeline(self, client: Client, account: Account) -> None:
        record = samples.call(account)
        ledger.apply([record, samples.leg(record), samples.event(record, 0), samples.note(record)])
        assert client.calls(record.sid).delete()
        assert not Call.objects.exists()
        with refused(404, 20404):
            client.calls(record.sid).fetch()

    def test_one_in_progress_stays(self, client: Client, live: Call) -> None:
        with refused(400, 21220, "not over"):
            client.calls(live.sid).delete()
        assert Call.objects.exists()

    def test_one_with_a_leg_in_progress_stays(self, client: Client, account: Account) -> None:
        record = samples.call(account)
        leg = replace(samples.leg(record), status="in-progress", end_time=None)
        ledger.apply([record, leg])
        with refused(400, 21220, "its legs"):
            client.calls(record.sid).delete()

    def test_one_with_recordings_stays(self, client: Client, account: Account) -> None:
        record = samples.call(account)
        ledger.apply([record, samples.recording(record)])
        with refused(400, 21220, "recordings"):
            client.calls(record.sid).delete()

"""Notifications and call events through the official helper library."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from twilio.rest import Client

from calls import ledger
from calls.models import Notification
from routing.models import Account
from routing.sid import new_sid
from tests import samples
from tests.api.wire import Wire, error_of, refused
from tests.rows import account as make_account

pytestmark = pytest.mark.django_db

KEYS = [
    *("account_sid", "api_version", "call_sid", "date_created", "date_updated", "error_code", "log", "message_date"),
    *("message_text", "more_info", "request_method", "request_url", "sid", "uri"),
]
ONE_KEYS = [*KEYS, "request_variables", "response_headers", "response_body"]
META = {"first_page_uri", "next_page_uri", "previous_page_uri", "page", "page_size", "start", "end", "uri"}


def noted(account: Account, **values: Any) -> Notification:
    of = samples.call(account)
    entry = samples.note(of, **{"message": "404 Not Found", "url": "https://example.com/", "method": "POST", **values})
    ledger.apply([of, entry])
    return Notification.objects.get(pk=entry.sid)


class TestNotifications:
    """Twilio's Notification resource; conformance §1.14."""

    def test_its_keys_are_twilios(self, wire: Wire, account: Account) -> None:
        note = noted(account, response_status=404, response_body="not here")
        (listed,) = wire.get("Notifications.json").json()["notifications"]
        assert list(listed) == KEYS
        one = wire.get(f"Notifications/{note.sid}.json").json()
        assert list(one) == ONE_KEYS
        assert (one["error_code"], one["log"], one["message_text"]) == ("11200", "0", "404 Not Found")
        assert (one["response_body"], one["response_headers"]) == ("not here", "Status: 404")

    def test_the_library_reads_it(self, client: Client, account: Account) -> None:
        note = noted(account)
        found = client.notifications(note.sid).fetch()
        assert (found.call_sid, found.request_url, found.request_method) == (
            note.call_id,
            "https://example.com/",
            "POST",
        )
        assert found.message_date == datetime.fromtimestamp(samples.START + 1, UTC)

    def test_those_of_a_call_are_below_it(self, client: Client, account: Account) -> None:
        mine, other = noted(account), noted(account)
        assert [one.sid for one in client.calls(mine.call_id).notifications.list()] == [mine.sid]
        assert client.calls(mine.call_id).notifications(mine.sid).fetch().sid == mine.sid
        with refused(404, 20404):
            client.calls(mine.call_id).notifications(other.sid).fetch()

    def test_a_list_is_narrowed_by_level_and_day(self, client: Client, account: Account) -> None:
        error = noted(account, time=datetime(2026, 3, 5, 12, tzinfo=UTC).timestamp())
        warning = noted(account, level="warning", code=15003)
        for filters, found in (
            ({"log": 0}, [error.sid]),
            ({"log": 1}, [warning.sid]),
            ({"message_date": date(2026, 3, 5)}, [error.sid]),
            ({"message_date_before": date(2026, 3, 6)}, [error.sid]),
            ({"message_date_after": date(2026, 3, 6)}, [warning.sid]),
        ):
            assert [one.sid for one in client.notifications.list(**filters)] == found

    def test_another_accounts_do_not_exist(self, client: Client) -> None:
        note = noted(make_account("Other"))
        assert client.notifications.list() == []
        with refused(404, 20404):
            client.notifications(note.sid).fetch()

    @pytest.mark.parametrize(("query", "word"), [({"Log": 2}, "Log"), ({"MessageDate": "x"}, "MessageDate")])
    def test_a_wrong_filter_is_named(self, wire: Wire, query: dict[str, Any], word: str) -> None:
        response = wire.get("Notifications.json", **query)
        assert error_of(response) == (400, 20001)
        assert word in response.json()["message"]

    def test_they_cannot_be_made_or_deleted(self, wire: Wire, account: Account) -> None:
        note = noted(account)
        assert error_of(wire.post("Notifications.json")) == (405, 20004)
        assert error_of(wire.delete(f"Notifications/{note.sid}.json")) == (405, 20004)


class TestEvents:
    """Twilio's Call Event resource: requests and their responses."""

    @pytest.fixture
    def sid(self, account: Account) -> str:
        of = samples.call(account)
        asked = {"url": "https://app.example.com/voice", "method": "POST", "parameters": [["From", "100"], ["To", "ü"]]}
        ledger.apply(
            [
                of,
                samples.event(of, 0, "invite"),
                samples.event(of, 1, "twiml.request", **asked),
                samples.event(
                    of, 2, "twiml.response", status=200, ms=12.4, body="<Response/>", url="https://a.example"
                ),
                samples.event(of, 3, "twiml.request", url="https://down.example.com/", method="GET"),
                samples.event(of, 4, "twiml.failed", code=11200, reason="refused"),
                samples.delivery(of),
            ]
        )
        return of.sid

    def test_they_are_pairs_in_the_order_of_time(self, client: Client, sid: str) -> None:
        first, failed, callback = client.calls(sid).events.list()
        parameters = {"From": "100", "To": "ü"}
        assert first.request == {"method": "POST", "url": "https://app.example.com/voice", "parameters": parameters}
        assert failed.request is not None and failed.request["parameters"] == {}  # of before they were kept
        assert first.response is not None and failed.response is not None and callback.request is not None
        assert (first.response["response_code"], first.response["request_duration"]) == (200, 12)
        assert first.response["response_body"] == "<Response/>"
        assert (failed.response["response_code"], failed.response["response_body"]) == (None, "refused")
        assert callback.request["parameters"] == {"CallSid": sid, "CallStatus": "completed"}

    def test_their_keys_are_twilios(self, wire: Wire, sid: str) -> None:
        body = wire.get(f"Calls/{sid}/Events.json").json()
        assert set(body) == {*META, "events"}
        for event in body["events"]:
            assert set(event["request"]) == {"method", "url", "parameters"}
            assert list(event["response"]) == [
                *("response_code", "request_duration", "content_type", "response_body", "date_created")
            ]

    def test_pages_are_followed_to_the_end(self, client: Client, sid: str) -> None:
        assert len(client.calls(sid).events.list(page_size=1)) == 3

    def test_a_call_that_does_not_exist_is_404(self, wire: Wire) -> None:
        assert error_of(wire.get(f"Calls/{new_sid('CA')}/Events.json")) == (404, 20404)

"""The debugger: what went wrong, in Twilio's codes, with one line on what to do (Twilio's "Debugger" page)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from calls import admin_log, ledger
from calls.entries import CallRecord
from calls.models import Notification
from routing.errors import lookup
from tests import samples

pytestmark = pytest.mark.django_db

LIST = "/admin/calls/notification/"


@pytest.fixture
def call() -> CallRecord:
    record = samples.call(samples.account())
    ledger.apply([record])
    return record


def note(of: CallRecord, **values: Any) -> Notification:
    entry = samples.note(of, **values)
    ledger.apply([entry])
    return Notification.objects.get(pk=entry.sid)


def page(of: Notification) -> str:
    return f"{LIST}{of.pk}/change/"


def get(client: Client, path: str, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == 200, (path, response.status_code)
    return response.content.decode()


def found(client: Client, **query: str) -> set[str]:
    return {row.pk for row in client.get(LIST, query).context["cl"].result_list}


def test_the_list_shows_code_what_to_do_call_url_and_response(admin_client: Client, call: CallRecord) -> None:
    note(call, code=11200, url="http://example.com/voice", method="POST", response_status=502)
    html = get(admin_client, LIST)
    for text in ("11200", escape(lookup(11200).hint), call.sid, "http://example.com/voice", "POST", "502"):
        assert text in html


def test_a_code_that_is_not_in_the_catalogue_is_listed(admin_client: Client, call: CallRecord) -> None:
    row = note(call, code=99999, message="Something new.")
    assert "Something new." in get(admin_client, LIST)
    assert "99999" in get(admin_client, page(row))


@pytest.mark.parametrize(
    ("query", "hit"),
    [
        ({"level__exact": "error"}, {"error"}),
        ({"level__exact": "warning"}, {"warning"}),
        ({"code": "11200"}, {"error"}),
        ({"code": "12200"}, {"warning"}),
        ({"code": "x"}, {"error", "warning"}),
        ({"code": "999999999999999999999"}, {"error", "warning"}),
        ({"time_from_0": "2026-09-22"}, set()),
        ({"q": "11200"}, {"error"}),
        ({"q": "nested"}, {"warning"}),
        ({"q": "EXAMPLE.com"}, {"error"}),
        ({"q": "nothing like it"}, set()),
        ({"q": " "}, {"error", "warning"}),
    ],
)
def test_entries_are_found_by_level_code_date_and_text(
    admin_client: Client, call: CallRecord, query: dict[str, str], hit: set[str]
) -> None:
    note(call, code=11200, level="error", url="http://example.com/")
    note(call, code=12200, level="warning", message="<Dial> is nested")
    levels = dict(Notification.objects.values_list("sid", "level"))
    assert {levels[sid] for sid in found(admin_client, **query)} == hit


def test_entries_are_found_by_identifier(admin_client: Client, call: CallRecord) -> None:
    one, two = note(call), note(samples.call(samples.account()))
    assert found(admin_client, q=one.pk) == {one.pk}
    assert found(admin_client, q=call.sid) == {one.pk}
    assert found(admin_client) == {one.pk, two.pk}


def test_a_search_inside_texts_looks_at_the_newest_rows_only(
    admin_client: Client, call: CallRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [note(call, message="needle", time=samples.START + number) for number in range(3)]
    monkeypatch.setattr(admin_log.newest, "__defaults__", (2,))
    assert found(admin_client, q="needle") == {rows[1].pk, rows[2].pk}


def test_the_page_shows_meaning_what_to_do_request_and_response(admin_client: Client, call: CallRecord) -> None:
    row = note(
        call,
        code=11217,
        url="https://me:s3cret@example.com/v",
        method="POST",
        response_status=500,
        response_body="Oops",
    )
    html = get(admin_client, page(row))
    for text in (lookup(11217).text, lookup(11217).hint, "POST https://example.com/v", "HTTP 500", "Oops"):
        assert escape(text) in html
    assert f"/admin/calls/call/{call.sid}/change/" in html
    assert f"{LIST}?code=11217" in html
    assert "s3cret" not in html


def test_an_entry_without_a_call_or_a_request_has_a_page(admin_client: Client, call: CallRecord) -> None:
    html = get(admin_client, page(note(call, call_sid="", message="Too many calls")))
    assert "Too many calls" in html
    assert "Response" not in html


def test_an_entry_whose_call_is_gone_has_a_page(admin_client: Client) -> None:
    gone = samples.call(samples.account())
    assert gone.sid in get(admin_client, page(note(gone)))


@pytest.mark.parametrize("number", [1, 30])
def test_the_list_takes_the_same_queries_for_any_number_of_entries(
    admin_client: Client, call: CallRecord, number: int
) -> None:
    for _ in range(number):
        note(call)
    with CaptureQueriesContext(connection) as queries:
        get(admin_client, LIST)
    assert len(queries) <= 7
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"] and "calls_notification" in query["sql"]]
    assert all("LIMIT 10000" in sql for sql in counts)


def test_hostile_text_is_shown_harmlessly(admin_client: Client, call: CallRecord) -> None:
    attack = "<script>alert(1)</script>\u202e"
    row = note(call, message=attack, url=f"http://a/{attack}", method="POST", response_body=attack + "\x1b[31m")
    for path in (LIST, page(row), f"/admin/calls/call/{call.sid}/change/"):
        html = get(admin_client, path)
        assert "<script>alert(1)" not in html
        assert "&lt;script&gt;alert(1)" in html
    assert "\\u202e\\u001b[31m" in get(admin_client, page(row))


def test_the_page_of_a_call_leads_to_its_entries(admin_client: Client, call: CallRecord) -> None:
    row = note(call)
    assert page(row) in get(admin_client, f"/admin/calls/call/{call.sid}/change/")

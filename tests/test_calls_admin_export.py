"""Calls as CSV: what the list would show, all of it, safe in a spreadsheet, in constant memory and queries."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from calls import export, ledger, notes
from calls.models import Call
from routing.models import Account
from tests import samples

pytestmark = pytest.mark.django_db

PATH = "/admin/calls/call/export/"


@pytest.fixture
def account() -> Account:
    return samples.account()


def rows(client: Client, **query: str) -> list[dict[str, str]]:
    response: Any = client.get(PATH, query)
    assert response.status_code == 200
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_tells_a_call(admin_client: Client, account: Account) -> None:
    group = samples.group(account)
    call = samples.call(account, group_id=group.pk, reason="Alice hung up.", ended_by="callee", region="us1")
    ledger.apply([call, samples.recording(call)])
    notes.add_tags(Call.objects.get(), "vip, check", "ann")
    (row,) = rows(admin_client)
    assert row["Started (UTC)"] == "2026-09-21 14:13:20"
    assert (row["From"], row["To"], row["Status"]) == (call.from_address, call.to_address, "completed")
    assert (row["Rang (s)"], row["Talked (s)"], row["SIP code"]) == ("4.0", "49.0", "200")
    assert (row["Ring group"], row["Recordings"], row["Tags"]) == ("Support", "1", "check, vip")
    assert (row["Call SID"], row["Ended by"], row["Why"]) == (call.sid, "callee", "Alice hung up.")


def test_it_begins_with_what_makes_spreadsheets_read_utf_8(admin_client: Client) -> None:
    response: Any = admin_client.get(PATH)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"].startswith('attachment; filename="calls-')
    assert b"".join(response.streaming_content).startswith("\ufeffStarted (UTC),".encode())


def test_filters_and_search_are_honoured_and_the_page_is_not(admin_client: Client, account: Account) -> None:
    busy = samples.call(account, status="busy")
    ledger.apply([busy, *(samples.call(account) for _ in range(60)), samples.leg(busy)])
    assert len(rows(admin_client, p="2")) == 61
    assert len(rows(admin_client, legs="all")) == 62
    assert [row["Call SID"] for row in rows(admin_client, status__exact="busy")] == [busy.sid]
    assert rows(admin_client, q="no such number") == []


def test_what_is_no_filter_leads_back_to_the_list(admin_client: Client) -> None:
    assert admin_client.get(PATH, {"nonsense": "1"}).status_code in (302, 400)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("=1+1", "'=1+1"),
        ("+4930", "'+4930"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "\\u000d=1"),
        ("  =1", "'  =1"),
        ("＝1", "'＝1"),
        ("a=1", "a=1"),
        ("\u202egpj", "\\u202egpj"),
        (None, ""),
    ],
)
def test_no_cell_is_a_formula(text: str | None, kept: str) -> None:
    assert export.cell(text) == kept


def test_hostile_callers_stay_in_their_cell(admin_client: Client, account: Account) -> None:
    hostile = '=HYPERLINK("http://x")",\r\n"a\x00\u202e'.replace("\x00", "") + "x" * 300
    ledger.apply([samples.call(account, from_address=hostile, reason=hostile, sip_call_id=hostile[:200])])
    (row,) = rows(admin_client)
    assert row["From"].startswith("'=HYPERLINK")
    assert None not in row
    assert "\u202e" not in "".join(row.values())


@pytest.mark.parametrize("number", [1, 12])
def test_queries_depend_on_batches_not_on_rows(
    admin_client: Client, account: Account, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "BATCH", 20)
    ledger.apply([samples.call(account) for _ in range(number)])
    with CaptureQueriesContext(connection) as queries:
        assert len(rows(admin_client)) == number
    assert len(queries) <= 11


def test_several_batches_are_one_file(admin_client: Client, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BATCH", 3)
    ledger.apply([samples.call(account, start_time=samples.START + number // 2) for number in range(10)])
    sids = [row["Call SID"] for row in rows(admin_client)]
    assert sids == list(Call.objects.order_by("-start_time", "-sid").values_list("sid", flat=True))


def test_it_needs_the_permission_to_see_calls(client: Client) -> None:
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    assert client.get(PATH).status_code == 403

"""Import and export of endpoints and ring groups: all or nothing, every row's error named, safe in a spreadsheet.

Source: docs/api.md; OWASP, "CSV Injection".
"""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from routing.api.v1 import bulk
from routing.models import Account, Endpoint, RingGroup, Schedule, Voicemail
from tests import rows
from tests.api.v1 import V1, Reply, by_key, by_session, by_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def v1(account: Account) -> V1:
    return by_token(account)


def load(v1: V1, what: str, text: str | bytes, query: str = "", **headers: str) -> Reply:
    data = text.encode() if isinstance(text, str) else text
    return v1.send("POST", f"{what}/import{query}", data, "text/csv", **headers)


def told(refused: Reply) -> list[tuple[int, str]]:
    assert (refused.status, refused["code"]) == (400, "rows-invalid")
    return [(one["row"], one["field"]) for one in refused["rows"]]


def table(answer: Reply) -> list[dict[str, str]]:
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.raw.decode())))


class TestEndpoints:
    CSV = (
        "name,uri,region,enabled\nAlice,sip:alice@198.51.100.7,ie1,true\n"
        "Bob,sip:bob@198.51.100.7;transport=tls,,false\n"
    )

    def test_a_csv_makes_endpoints(self, v1: V1, account: Account) -> None:
        done = load(v1, "endpoints", self.CSV)
        assert (done.status, done.body) == (200, {"created": 2, "updated": 0, "dry_run": False})
        found = Endpoint.objects.filter(account=account).values_list("name", "region__code", "transport", "enabled")
        assert list(found) == [("Alice", "ie1", "", True), ("Bob", None, "tls", False)]

    def test_a_name_that_is_there_is_changed(self, v1: V1, account: Account) -> None:
        phone = rows.endpoint(account, "Alice", username="alice", password="kept")
        done = load(v1, "endpoints", "name,uri,password\nalice,sip:other@198.51.100.7,\n")
        assert done.body == {"created": 0, "updated": 1, "dry_run": False}
        phone.refresh_from_db()
        assert (phone.uri, phone.password) == ("sip:other@198.51.100.7", "kept")

    def test_a_password_can_be_imported(self, v1: V1) -> None:
        load(v1, "endpoints", "name,uri,username,password\nA,sip:a@198.51.100.7,a,secret\n")
        assert Endpoint.objects.get().password == "secret"

    def test_every_error_of_every_row_is_named_and_nothing_is_stored(self, v1: V1) -> None:
        refused = load(
            v1,
            "endpoints",
            "name,uri,region,srtp\nAlice,sip:a@198.51.100.7,,\nBob,http://x,nowhere,maybe\n,sip:c@198.51.100.7,,\n"
            "ALICE,sip:d@198.51.100.7,,\nEve,,,\n",
        )
        assert told(refused) == [(3, "region"), (3, "srtp"), (4, "name"), (5, "name"), (6, "uri")]
        assert refused["detail"].startswith("4 of 5 rows cannot be imported, so none was. Row 3: ")
        assert not Endpoint.objects.exists()

    def test_what_the_model_refuses_is_named_too(self, v1: V1) -> None:
        refused = load(v1, "endpoints", "name,uri\nA,sip:a@198.51.100.7\nB,sip:b:pw@198.51.100.7\n")
        assert told(refused) == [(3, "uri")]
        assert not Endpoint.objects.exists()

    def test_json_is_taken_too(self, v1: V1) -> None:
        given = [{"name": "A", "uri": "sip:a@198.51.100.7", "enabled": False, "status_callback_events": []}]
        assert v1.post("endpoints/import", given)["created"] == 1
        assert told(v1.post("endpoints/import", [{"name": "A"}, {"uri": "x"}, {"name": 5}])) == [
            (2, "name"), (3, "name"),
        ]  # fmt: skip

    def test_a_dry_run_stores_nothing(self, v1: V1) -> None:
        done = load(v1, "endpoints", self.CSV, "?dry_run=true")
        assert done.body == {"created": 2, "updated": 0, "dry_run": True}
        assert not Endpoint.objects.exists()

    @pytest.mark.parametrize("text", [CSV.replace(",", ";"), "\ufeff" + CSV, CSV.replace("\n", "\r\n")])
    def test_as_spreadsheets_write_it(self, v1: V1, text: str) -> None:
        if ";transport" in text and text.startswith("name;"):
            text = text.replace("sip:bob@198.51.100.7;transport=tls", '"sip:bob@198.51.100.7;transport=tls"')
        assert load(v1, "endpoints", text)["created"] == 2

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"nonsense",
            b"uri\nsip:a@198.51.100.7\n",
            b"name,name\na,b\n",
            b"name,secret\na,b\n",
            b"name,uri\na,b,c\n",
            b"name,uri\n\xff,b\n",
            b"name,uri\n\0,b\n",
            b'name,uri\n"a,b\n',
            b'name,uri\n"a"x,b\n',
            b"PK\x03\x04 a workbook",
        ],
    )
    def test_what_is_no_table_is_refused(self, v1: V1, data: bytes) -> None:
        refused = load(v1, "endpoints", data)
        assert (refused.status, refused["code"]) == (400, "malformed")

    @pytest.mark.parametrize("data", [{}, "x", 5, [1], [[]], None, {"rows": []}])
    def test_json_that_is_no_list_of_objects_is_refused(self, v1: V1, data: Any) -> None:
        assert v1.post("endpoints/import", data).status == 400

    def test_a_large_file_is_refused(self, v1: V1) -> None:
        text = "name,uri\n" + "".join(f"n{number},sip:a@198.51.100.7\n" for number in range(bulk.MOST_ROWS + 1))
        assert load(v1, "endpoints", text).status == 413

    def test_the_same_key_imports_once(self, v1: V1) -> None:
        assert load(v1, "endpoints", self.CSV, Idempotency_Key="a")["created"] == 2
        assert load(v1, "endpoints", self.CSV, Idempotency_Key="a").body["created"] == 2
        assert load(v1, "endpoints", self.CSV)["updated"] == 2

    def test_a_key_that_may_only_read_imports_nothing(self, account: Account) -> None:
        v1 = by_key(account, read_only=True)
        assert load(v1, "endpoints", self.CSV).status == 403
        assert v1.get("endpoints/export").status == 200

    def test_the_staff_names_the_account_and_needs_both_permissions(self, account: Account) -> None:
        rows.account("Other")
        assert load(by_session("routing.add_endpoint"), "endpoints", self.CSV).status == 403
        v1 = by_session("routing.add_endpoint", "routing.change_endpoint")
        assert list(load(v1, "endpoints", self.CSV)["errors"]) == ["account"]
        assert load(v1, "endpoints", self.CSV, f"?account={account.sid}")["created"] == 2
        assert account.endpoints.count() == 2


class TestExport:
    def test_it_holds_no_secret(self, v1: V1, account: Account) -> None:
        rows.endpoint(account, "Alice", username="alice", password="top-secret")
        for form in ("csv", "json"):
            answer = v1.get(f"endpoints/export?format={form}")
            assert b"Alice" in answer.raw
            assert b"password" not in answer.raw
            assert b"top-secret" not in answer.raw

    def test_nothing_in_it_is_a_formula(self, v1: V1, account: Account) -> None:
        for number, name in enumerate(["=1+1", "+49", "-1", "@SUM(A1)", "'quoted", "plain"]):
            rows.endpoint(account, name, uri=f"sip:{number}@198.51.100.7")
        names = [row["name"] for row in table(v1.get("endpoints/export?format=csv"))]
        assert sorted(names) == sorted(["'=1+1", "'+49", "'-1", "'@SUM(A1)", "''quoted", "plain"])

    def test_it_can_be_imported_again_unchanged(self, v1: V1, account: Account) -> None:
        for number, name in enumerate(["=1+1", "+49", "'quoted", "Größe, 'x';", "two\nlines"]):
            rows.endpoint(account, name, uri=f"sip:{number}@198.51.100.7", headers="X-a: b\nX-c: d")
        before = v1.get("endpoints/export").body
        text = v1.get("endpoints/export?format=csv").raw
        assert load(v1, "endpoints", text).body == {"created": 0, "updated": 5, "dry_run": False}
        assert v1.get("endpoints/export").body == before
        Endpoint.objects.all().delete()
        assert load(v1, "endpoints", text)["created"] == 5
        assert v1.get("endpoints/export").body == before

    def test_it_may_be_filtered(self, v1: V1, account: Account) -> None:
        rows.endpoint(account, "Alice")
        rows.endpoint(account, "Bob", enabled=False)
        assert [row["name"] for row in v1.get("endpoints/export?enabled=false").body] == ["Bob"]

    def test_an_unknown_format_is_refused(self, v1: V1) -> None:
        assert list(v1.get("endpoints/export?format=xlsx")["errors"]) == ["format"]

    def test_rows_of_other_accounts_are_not_in_it(self, v1: V1) -> None:
        rows.endpoint(rows.account("Other"))
        assert v1.get("endpoints/export").body == []


class TestGroups:
    @pytest.fixture(autouse=True)
    def phones(self, account: Account) -> None:
        for name in ("Alice", "Bob", "Carol; the third"):
            rows.endpoint(account, name, uri="sip:x@198.51.100.7")

    CSV = (
        "name,strategy,members,disabled_members,ring_timeout,fallback,fallback_group,fallback_text\n"
        'Support,sequential,"bob;Alice;""Carol; the third""",Alice,20,group,Sales,\n'
        "Sales,,Alice,,,say,,Nobody is here.\n"
    )

    def members(self, name: str) -> list[tuple[str, bool]]:
        group = RingGroup.objects.get(name=name)
        return [(one.endpoint.name, one.enabled) for one in group.members.all()]

    def test_members_and_fallbacks_are_found_by_name(self, v1: V1) -> None:
        assert load(v1, "ring-groups", self.CSV).body == {"created": 2, "updated": 0, "dry_run": False}
        assert self.members("Support") == [("Bob", True), ("Alice", False), ("Carol; the third", True)]
        support = RingGroup.objects.get(name="Support")
        assert (support.fallback_group, support.ring_timeout) == (RingGroup.objects.get(name="Sales"), 20)

    def test_an_export_can_be_imported_again(self, v1: V1) -> None:
        load(v1, "ring-groups", self.CSV)
        before = v1.get("ring-groups/export").body
        text = v1.get("ring-groups/export?format=csv").raw
        RingGroup.objects.filter(name="Support").delete()
        RingGroup.objects.all().delete()
        assert load(v1, "ring-groups", text)["created"] == 2
        assert v1.get("ring-groups/export").body == before
        assert v1.post("ring-groups/import", before)["updated"] == 2
        assert v1.get("ring-groups/export").body == before

    def test_settings_of_members_have_cells_of_their_own(self, v1: V1) -> None:
        text = "name,strategy,members,member_timeouts,member_weights\nA,weighted,Alice;Bob,15;,;80\n"
        assert load(v1, "ring-groups", text)["created"] == 1
        found = RingGroup.objects.get(name="A").members.values_list("ring_timeout", "weight")
        assert list(found) == [(15, 50), (None, 80)]
        (row,) = v1.get("ring-groups/export").body
        assert row["members"][1] == {"endpoint": "Bob", "enabled": True, "ring_timeout": None, "weight": 80}
        exported = v1.get("ring-groups/export?format=csv").raw
        assert load(v1, "ring-groups", exported)["updated"] == 1
        assert v1.get("ring-groups/export").body == [row]

    def test_settings_of_members_that_do_not_fit_are_named(self, v1: V1) -> None:
        text = "name,members,member_timeouts,member_weights\nA,Alice;Bob,15;20;30,\nB,Alice,4,\nC,Alice,,x\n"
        fields = [(2, "member_timeouts"), (3, "members[0].ring_timeout"), (4, "members[0].weight")]
        assert told(load(v1, "ring-groups", text)) == fields

    def test_boxes_and_hours_are_found_by_name(self, v1: V1, account: Account) -> None:
        Voicemail.objects.create(account=account, name="Sales box")
        Schedule.objects.create(account=account, name="Office")
        text = "name,fallback,fallback_voicemail,schedule\nA,voicemail,sales box,office\nB,voicemail,None,\n"
        assert told(load(v1, "ring-groups", text)) == [(3, "fallback_voicemail")]
        assert load(v1, "ring-groups", text.rpartition("B,")[0])["created"] == 1
        (row,) = v1.get("ring-groups/export").body
        assert (row["fallback_voicemail"], row["schedule"]) == ("Sales box", "Office")

    def test_who_is_not_there_is_named_and_nothing_is_stored(self, v1: V1) -> None:
        refused = load(v1, "ring-groups", "name,members,fallback,fallback_group\nA,Alice;Mallory,,\nB,,group,Nowhere\n")
        assert told(refused) == [(2, "members[1].endpoint"), (3, "fallback_group")]
        assert not RingGroup.objects.exists()

    def test_a_name_that_two_groups_have_is_refused(self, v1: V1, account: Account) -> None:
        rows.group(account, name="Same")
        rows.group(account, name="Same")
        assert told(load(v1, "ring-groups", "name\nSame\n")) == [(2, "name")]

    def test_the_checks_of_the_model_hold(self, v1: V1) -> None:
        refused = load(v1, "ring-groups", "name,ring_timeout,fallback\nA,4,say\nB,20,say\n" + "x" * 65 + ",20,\n")
        assert told(refused) == [(2, "ring_timeout"), (3, "fallback_text"), (4, "name")]
        assert not RingGroup.objects.exists()

    def test_members_in_json_that_are_none_are_named(self, v1: V1) -> None:
        given = [
            {"name": "A", "members": [5]},
            {"name": "B", "members": {}},
            {"name": "C", "members": [{"endpoint": 1}]},
        ]
        assert [row for row, _ in told(v1.post("ring-groups/import", given))] == [1, 2, 3]

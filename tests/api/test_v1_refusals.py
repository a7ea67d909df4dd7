"""Bad input to /api/v1/: the documented code, a problem document, nothing half-written.

Source: docs/api.md, RFC 9457.
"""

from __future__ import annotations

import http.client
import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.db.models import F
from pytest_django.live_server_helper import LiveServer

from calls import ledger
from routing.models import Account, Endpoint, IdempotencyKey, RingGroup
from tests import rows, samples
from tests.api.v1 import V1, Reply, basic, by_key, by_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def v1(account: Account) -> V1:
    return by_token(account)


def check(refused: Reply, status: int, code: str) -> None:
    """Hold an answer against the one shape that problems have."""
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.status == refused["status"] == status
    assert {"type", "title", "status", "code", "detail", "errors"} <= set(refused.body)
    assert (refused["code"], refused["type"]) == (code, f"urn:cordboard:problem:{code}")
    assert "Traceback" not in refused["detail"]


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"nonsense",
            b'{"name": NaN}',
            b"\xff\xfe",
            b"\0",
            b"[" * 100_000,
            b'{"name": "x"',
            b'{"a":' * 50_000,
        ],
    )
    def test_what_is_no_json_is_refused(self, v1: V1, body: bytes) -> None:
        refused = v1.send("POST", "ring-groups", body)
        assert refused.status == 400
        assert not RingGroup.objects.exists()

    @pytest.mark.parametrize("body", [None, [], "x", 5, True, [{"name": "x"}], 1.5])
    def test_json_that_is_no_object_is_refused(self, v1: V1, body: Any) -> None:
        check(v1.send("POST", "ring-groups", json.dumps(body)), 400, "invalid")

    @pytest.mark.parametrize(
        "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
    )
    def test_other_media_types_get_415(self, v1: V1, content_type: str) -> None:
        check(v1.send("POST", "ring-groups", b'{"name": "x"}', content_type), 415, "unsupported-media-type")

    def test_ten_megabytes_get_413(self, live_server: LiveServer, account: Account) -> None:
        address = urlsplit(live_server.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port)
        head = {"Content-Type": "application/json", "Authorization": basic(account.sid, account.auth_token)}
        connection.request("POST", "/api/v1/ring-groups", b'"' + b"x" * 10_000_000 + b'"', head)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["code"]) == (413, "too-large")
        connection.close()

    @pytest.mark.parametrize(
        "name",
        ["\0", "a\0b", "\ud800", "x" * 65, "", " ", None, [], {}, ["x"], {"a": 1}, True],
        ids=lambda value: ascii(value)[:10],
    )  # fmt: skip
    def test_a_name_that_is_none_is_named(self, v1: V1, name: Any) -> None:
        refused = v1.send("POST", "ring-groups", json.dumps({"name": name}))
        check(refused, 400, "invalid")
        assert list(refused["errors"]) == ["name"]
        assert not RingGroup.objects.exists()

    @pytest.mark.parametrize(
        "name", ["Größe & Söhne", "総務部", "🤙", "e\u0301", "\u202eabc", "<script>", "'; DROP TABLE"]
    )
    def test_unicode_is_kept_as_it_is(self, v1: V1, name: str) -> None:
        made = v1.post("ring-groups", {"name": name})
        assert (made.status, made["name"], RingGroup.objects.get().name) == (201, name, name)

    @pytest.mark.parametrize("value", [-1, 4, 601, 10**30, 1e400, "x", None, [], {}, 1.5, ""])
    def test_numbers_out_of_range_are_named(self, v1: V1, value: Any) -> None:
        body = json.dumps({"name": "x", "ring_timeout": value}).replace("Infinity", "1e400")
        refused = v1.send("POST", "ring-groups", body)
        check(refused, 400, "malformed" if value == 1e400 and refused["code"] == "malformed" else "invalid")

    @pytest.mark.parametrize("value", [-1, 10**30, "x", "\0", "\ud800", 1.5, [], {}, True, "1" * 5000])
    def test_an_id_that_is_none_is_named(self, v1: V1, value: Any) -> None:
        refused = v1.send("POST", "ring-groups", json.dumps({"name": "x", "members": [{"endpoint": value}]}))
        check(refused, 400, "invalid")
        assert list(refused["errors"]) == ["members[0].endpoint"]

    @pytest.mark.parametrize("members", [None, {}, "x", 5, [None], ["x"], [[]], [5]])
    def test_members_that_are_none_are_named(self, v1: V1, members: Any) -> None:
        refused = v1.send("POST", "ring-groups", json.dumps({"name": "x", "members": members}))
        check(refused, 400, "invalid")
        assert next(iter(refused["errors"])).startswith("members")

    def test_a_name_of_a_field_that_no_answer_can_hold_does_no_harm(self, v1: V1) -> None:
        check(v1.send("POST", "ring-groups", '{"name": "x", "\\ud800": 1}'), 400, "invalid")

    def test_an_error_in_our_own_code_is_told_without_its_traceback(
        self, v1: V1, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("routing.api.v1.groups.etag", lambda group: 1 / 0)
        check(v1.post("ring-groups", {"name": "x"}), 500, "internal")
        assert "ZeroDivisionError" in caplog.text
        assert not RingGroup.objects.exists()


class TestPaths:
    @pytest.mark.parametrize(
        "path",
        ["", "nope", "ring-groups/", "ring-groups/x", "ring-groups/-1", "ring-groups/" + "9" * 30, "ring-groups/%00",
         "ring-groups/1/nope", "calls/CA" + "0" * 32, "calls/%F0%9F%A4%99", "calls/..",
         "ring-groups/１", "endpoints/1.json"],
    )  # fmt: skip
    def test_what_is_not_there_gets_404(self, v1: V1, path: str) -> None:
        check(v1.get(path), 404, "not-found")

    @pytest.mark.parametrize(
        ("method", "path"),
        [("put", "ring-groups"), ("post", "calls"), ("delete", "calls/x"), ("patch", "recordings/x")],
    )
    def test_a_method_that_is_not_possible_gets_405(self, v1: V1, method: str, path: str) -> None:
        check(v1.ask(method, path), 405, "method-not-allowed")


class TestQueries:
    @pytest.mark.parametrize(
        ("query", "name"),
        [
            ("limit=0", "limit"),
            ("limit=-1", "limit"),
            ("limit=1001", "limit"),
            ("limit=x", "limit"),
            ("limit=1.5", "limit"),
            ("limit=" + "9" * 40, "limit"),
            ("order=password", "order"),
            ("order=--name", "order"),
            ("order=account__auth_token", "order"),
            ("nmae=x", "nmae"),
            ("account__auth_token=x", "account__auth_token"),
            ("strategy=circular", "strategy"),
            ("endpoint=x", "endpoint"),
            ("endpoint=1e999", "endpoint"),
            ("name=%00", "name"),
            ("search=%00", "search"),
        ],
    )
    def test_a_wrong_parameter_is_named(self, v1: V1, query: str, name: str) -> None:
        refused = v1.get(f"ring-groups?{query}")
        check(refused, 400, "invalid")
        assert list(refused["errors"]) == [name]

    @pytest.mark.parametrize(
        "moment", ["x", "2026-13-01", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00", "9" * 20, "%00"]
    )
    def test_a_moment_that_is_none_is_named(self, v1: V1, moment: str) -> None:
        refused = v1.get(f"calls?started_after={moment}")
        assert (refused.status, list(refused["errors"])) == (400, ["started_after"])

    @pytest.mark.parametrize(
        "cursor", ["x", "%00", "e30", "bnVsbA", "WzAsIm5hbWUiLCJhIl0", "WzAsIm5hbWUiLG51bGwsMV0", "🤙", "A" * 5000,
                   "WzAsIm5hbWUiLHt9LDFd", "WzAsIm9yZGVyIiwieCIsMV0"],
    )  # fmt: skip
    def test_a_cursor_that_is_none_is_refused(self, v1: V1, cursor: str) -> None:
        check(v1.get(f"ring-groups?cursor={quote(cursor, safe='%')}"), 400, "bad-cursor")

    def test_a_cursor_of_another_order_is_refused(self, v1: V1, account: Account) -> None:
        for name in "abc":
            rows.group(account, name=name)
        link = v1.get("ring-groups?limit=1&order=name")["next"]
        check(v1.get(link.replace("order=name", "order=-name")), 400, "bad-cursor")

    def test_one_resource_takes_no_filters(self, v1: V1, account: Account) -> None:
        refused = v1.get(f"ring-groups/{rows.group(account).pk}?name=x")
        assert list(refused["errors"]) == ["name"]


class TestPages:
    """Whoever follows `next` to the end gets each row once, whatever comes and goes meanwhile."""

    @pytest.fixture(autouse=True)
    def groups(self, account: Account) -> None:
        for number in range(7):
            rows.group(account, name="Same" if number < 4 else f"Name {number}")

    def follow(self, v1: V1, path: str, key: str = "next") -> list[Any]:
        found = []
        while path:
            page = v1.get(path)
            assert page.status == 200
            found.append(page.ids)
            path = page[key]
        return found

    @pytest.mark.parametrize("order", ["name", "-name", "id", "-id", "ring_timeout"])
    def test_each_row_once(self, v1: V1, order: str) -> None:
        whole = v1.get(f"ring-groups?order={order}").ids
        pages = self.follow(v1, f"ring-groups?order={order}&limit=2")
        assert [len(page) for page in pages] == [2, 2, 2, 1]
        assert [one for page in pages for one in page] == whole

    def test_and_back_again(self, v1: V1) -> None:
        forth = self.follow(v1, "ring-groups?limit=3")
        link = "ring-groups?limit=3"
        while (page := v1.get(link))["next"]:
            link = page["next"]
        assert self.follow(v1, link, "previous") == forth[::-1]
        assert v1.get("ring-groups?limit=3")["previous"] is None

    def test_filters_stay_with_the_link(self, v1: V1) -> None:
        pages = self.follow(v1, "ring-groups?name=Same&limit=2")
        assert [len(page) for page in pages] == [2, 2]

    def test_rows_that_come_and_go_shift_nothing(self, v1: V1, account: Account) -> None:
        first = v1.get("ring-groups?order=id&limit=3")
        RingGroup.objects.filter(pk__in=first.ids).delete()
        rows.group(account, name="New")
        rest = self.follow(v1, first["next"])
        assert len([one for page in rest for one in page]) == 5


class TestIdempotency:
    GIVEN = {"name": "Support"}

    def test_the_same_request_gets_the_same_answer(self, v1: V1) -> None:
        first = v1.post("ring-groups", self.GIVEN, Idempotency_Key="a")
        again = v1.post("ring-groups", self.GIVEN, Idempotency_Key="a")
        assert (first.status, first.body, first.headers["ETag"]) == (again.status, again.body, again.headers["ETag"])
        assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
        assert RingGroup.objects.count() == 1

    def test_another_body_with_the_same_key_gets_422(self, v1: V1) -> None:
        v1.post("ring-groups", self.GIVEN, Idempotency_Key="a")
        check(v1.post("ring-groups", {"name": "Sales"}, Idempotency_Key="a"), 422, "idempotency-key-reused")
        assert RingGroup.objects.count() == 1

    def test_another_path_with_the_same_key_gets_422(self, v1: V1) -> None:
        v1.post("ring-groups", self.GIVEN, Idempotency_Key="a")
        assert v1.post("credential-lists", self.GIVEN, Idempotency_Key="a").status == 422

    def test_another_key_does_it_again(self, v1: V1) -> None:
        for key in "ab":
            assert v1.post("ring-groups", self.GIVEN, Idempotency_Key=key).status == 201
        assert RingGroup.objects.count() == 2

    def test_keys_of_other_accounts_are_their_own_affair(self, v1: V1, account: Account) -> None:
        v1.post("ring-groups", self.GIVEN, Idempotency_Key="a")
        assert by_token(rows.account("Other")).post("ring-groups", {"name": "X"}, Idempotency_Key="a").status == 201
        assert by_key(account).post("ring-groups", self.GIVEN, Idempotency_Key="a").headers["Idempotency-Replayed"]

    def test_what_was_refused_may_be_corrected(self, v1: V1) -> None:
        assert v1.post("ring-groups", {"name": ""}, Idempotency_Key="a").status == 400
        assert v1.post("ring-groups", self.GIVEN, Idempotency_Key="a").status == 201

    def test_after_a_day_the_key_is_forgotten(self, v1: V1) -> None:
        v1.post("ring-groups", self.GIVEN, Idempotency_Key="a")
        IdempotencyKey.objects.update(created=F("created") - timedelta(hours=25))
        v1.post("ring-groups", self.GIVEN, Idempotency_Key="b")
        assert [one.key for one in IdempotencyKey.objects.all()] == ["b"]

    @pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ü"])
    def test_a_key_that_is_none_is_refused(self, v1: V1, key: str) -> None:
        refused = v1.post("ring-groups", self.GIVEN, Idempotency_Key=key)
        check(refused, 400, "invalid")
        assert list(refused["errors"]) == ["Idempotency-Key"]


class TestRecordingsInUse:
    @pytest.mark.parametrize("status", ["in-progress", "processing"])
    def test_one_that_is_being_made_gets_409(self, v1: V1, account: Account, status: str) -> None:
        call = samples.call(account)
        recording = samples.recording(call, status=status)
        ledger.apply([call, recording])
        check(v1.delete(f"recordings/{recording.sid}"), 409, "conflict")


def test_two_who_take_the_same_name_at_once_get_one_409(v1: V1, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database decides where the check came too early."""
    rows.domain(rows.account("Other"), "sip.example.com")
    monkeypatch.setattr("routing.models.SipDomain.full_clean", lambda self, exclude=None: None)
    check(v1.post("domains", {"domain_name": "sip.example.com"}), 409, "conflict")


def test_endpoints_survive_all_of_it(v1: V1, account: Account) -> None:
    phone = rows.endpoint(account)
    for given in ({"uri": 5}, {"uri": "x" * 5000}, {"name": "\0"}, {"position": 1}):
        assert v1.patch(f"endpoints/{phone.pk}", given).status == 400
    assert Endpoint.objects.get().uri == phone.uri

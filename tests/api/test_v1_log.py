"""Calls, recordings and webhook deliveries through /api/v1/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from calls import ledger
from calls.api.v1.log import CallSerializer, LegSerializer, OneCallSerializer, RecordingSerializer, calls_json
from calls.models import Call, Recording, WebhookDelivery
from routing.models import Account
from tests import samples
from tests.api.v1 import V1, by_session, by_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(db: None) -> Account:
    return samples.account()


@pytest.fixture
def v1(account: Account) -> V1:
    return by_token(account)


class TestCalls:
    def test_a_call_with_its_legs_and_what_happened(self, v1: V1, account: Account) -> None:
        call = samples.call(account)
        leg = samples.leg(call)
        ledger.apply([call, leg, samples.recording(call), samples.event(call, 1, "invite", source="203.0.113.7")])
        ledger.apply([samples.event(call, 2, "leg.ringing", leg=leg.sid)])
        told = v1.get(f"calls/{call.sid}")
        assert (told["from"], told["to"], told["duration"]) == (call.from_address, call.to_address, 49)
        assert (told["ring_seconds"], told["talk_seconds"]) == (4.0, 49.0)
        assert [(one["sid"], one["status"], one["parent"]) for one in told["legs"]] == [(leg.sid, "canceled", call.sid)]
        assert [one["text"] for one in told["timeline"]] == [
            "A call came in from 203.0.113.7", "sip:alice@127.0.0.1:5071 rings",
        ]  # fmt: skip
        assert [one["offset"] for one in told["timeline"]] == [0.1, 0.2]
        assert len(told["recordings"]) == 1
        assert told["summary"]

    def test_dialled_keys_are_not_told(self, v1: V1, account: Account) -> None:
        call = samples.call(account)
        ledger.apply([call, samples.event(call, 1, "digit", digit="7")])
        assert "7" not in str(v1.get(f"calls/{call.sid}")["timeline"][0]["text"])

    def test_legs_are_listed_only_when_asked_for(self, v1: V1, account: Account) -> None:
        call = samples.call(account)
        leg = samples.leg(call)
        ledger.apply([call, leg])
        assert v1.get("calls").ids == [call.sid]
        assert v1.get("calls?legs=true").ids == [leg.sid, call.sid]
        assert v1.get(f"calls?parent={call.sid}").ids == [leg.sid]
        assert v1.get("calls?direction=outbound-dial").ids == [leg.sid]
        assert v1.get("calls?direction=outbound-dial&legs=false").ids == []

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("status=busy", "2"),
            ("status=busy&status=failed", "23"),
            ("from=202", "2"),
            ("from=sip:202@203.0.113.7", "2"),
            ("from=sip:202@elsewhere.example", ""),
            ("from=202@203.0.113.7", ""),
            ("to=102", "2"),
            ("started_after=2026-09-21T14:14:00Z", "23"),
            ("started_before=2026-09-21T14:14:00Z", "01"),
            ("started_after=2026-09-21T16:14:00+02:00", "23"),
            ("started_after=2026-09-22", ""),
            ("search=103", "3"),
            ("search=nobody", ""),
            ("order=start_time&limit=1", "0"),
            ("order=-start_time&limit=1", "3"),
        ],
    )
    def test_filters(self, v1: V1, account: Account, query: str, found: str) -> None:
        for number, status in enumerate(["completed", "no-answer", "busy", "failed"]):
            start = samples.START - 60 + number * 60
            ledger.apply(
                [
                    samples.call(
                        account, status=status, start_time=start, answer_time=None, end_time=start + 1, duration=None,
                        from_address=f"sip:20{number}@203.0.113.7", to_address=f"sip:10{number}@sip.example.com",
                        sid=f"CA{number:032}",
                    )
                ]
            )  # fmt: skip
        assert sorted(sid[-1] for sid in v1.get(f"calls?{query}").ids) == list(found)

    def test_as_many_queries_for_one_as_for_many(self, v1: V1, account: Account) -> None:
        def add(number: int) -> None:
            for _ in range(number):
                call = samples.call(account)
                ledger.apply([call, samples.leg(call), samples.leg(call), samples.recording(call)])

        def queries() -> int:
            with CaptureQueriesContext(connection) as found:
                assert v1.get("calls").status == 200
            return len(found)

        add(1)
        before = queries()
        add(12)
        assert queries() == before <= 5

    def test_a_page_names_each_of_many_calls_of_the_same_moment_once(self, v1: V1, account: Account) -> None:
        ledger.apply([samples.call(account) for _ in range(9)])
        found, path = [], "calls?limit=2"
        while path:
            page = v1.get(path)
            found += page.ids
            path = page["next"]
        assert sorted(found) == sorted(Call.objects.values_list("pk", flat=True))

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_nobody_changes_the_log(self, v1: V1, account: Account, method: str) -> None:
        call = samples.call(account)
        ledger.apply([call])
        assert v1.ask(method, f"calls/{call.sid}", {"status": "busy"}).status == 405


class TestRecordings:
    @pytest.fixture
    def recording(self, account: Account, settings: Settings, tmp_path: Path) -> Recording:
        settings.RECORDINGS_DIR = tmp_path
        settings.DOWNLOAD_CACHE_DIR = tmp_path / "cache"
        (tmp_path / "cache").mkdir()
        call = samples.call(account)
        entry = samples.recording(call)
        ledger.apply([call, entry])
        Recording.objects.update(status="completed", file="done.wav", duration=2.0)
        (tmp_path / "done.wav").write_bytes(b"RIFF")
        (tmp_path / "cache" / f"{entry.sid}-0-1.mp3").write_bytes(b"ID3")
        return Recording.objects.get()

    def test_a_recording_says_where_it_is_to_be_had(self, v1: V1, recording: Recording) -> None:
        told = v1.get(f"recordings/{recording.sid}")
        base = f"/2010-04-01/Accounts/{recording.account_id}/Recordings/{recording.sid}"
        assert (told["wav"], told["mp3"], told["call"]) == (f"{base}.wav", f"{base}.mp3", recording.call_id)

    def test_one_that_is_not_finished_is_nowhere(self, v1: V1, recording: Recording) -> None:
        Recording.objects.update(status="processing")
        assert v1.get(f"recordings/{recording.sid}")["wav"] is None

    @pytest.mark.parametrize("query", ["status=completed", "call={call}", "search={sid}", "search={call}"])
    def test_filters(self, v1: V1, recording: Recording, query: str) -> None:
        query = query.format(call=recording.call_id, sid=recording.sid)
        assert v1.get(f"recordings?{query}").ids == [recording.sid]
        assert v1.get("recordings?status=failed").ids == []

    def test_deleting_it_deletes_the_sound(
        self, v1: V1, recording: Recording, tmp_path: Path,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:  # fmt: skip
        with django_capture_on_commit_callbacks(execute=True):
            assert v1.delete(f"recordings/{recording.sid}").status == 204
        assert not Recording.objects.exists()
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []
        assert v1.delete(f"recordings/{recording.sid}").status == 404

    def test_a_file_that_is_gone_already_does_not_matter(
        self, v1: V1, recording: Recording, tmp_path: Path,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:  # fmt: skip
        (tmp_path / "done.wav").unlink()
        with django_capture_on_commit_callbacks(execute=True):
            assert v1.delete(f"recordings/{recording.sid}").status == 204

    def test_nothing_outside_the_folder_is_deleted(
        self, v1: V1, recording: Recording, tmp_path: Path, settings: Settings,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:  # fmt: skip
        settings.RECORDINGS_DIR = tmp_path / "inner"
        Recording.objects.update(file="../done.wav")
        with django_capture_on_commit_callbacks(execute=True):
            v1.delete(f"recordings/{recording.sid}")
        assert (tmp_path / "done.wav").exists()


class TestDeliveries:
    @pytest.fixture
    def delivery(self, account: Account) -> WebhookDelivery:
        call = samples.call(account)
        entry = samples.delivery(call, url="https://user:pass@example.com/status", state="failed", error_code=11200)
        ledger.apply([call, entry])
        return WebhookDelivery.objects.get(pk=entry.sid)

    def test_an_attempt_is_told_without_the_password_in_its_url(self, v1: V1, delivery: WebhookDelivery) -> None:
        told = v1.get(f"webhook-deliveries/{delivery.sid}")
        assert (told["url"], told["state"], told["error_code"]) == ("https://example.com/status", "failed", 11200)
        assert "parameters" in told.body
        assert b"pass" not in told.raw

    @pytest.mark.parametrize(
        ("query", "number"),
        [("state=failed", 1), ("state=delivered", 0), ("error_code=11200", 1), ("topic=status", 1), ("topic=amd", 0)],
    )
    def test_filters(self, v1: V1, delivery: WebhookDelivery, query: str, number: int) -> None:
        found = [row for row in v1.get(f"webhook-deliveries?{query}")["results"] if row["sid"] == delivery.sid]
        assert len(found) == number

    def test_replaying_makes_a_further_attempt_of_the_same_message(self, v1: V1, delivery: WebhookDelivery) -> None:
        made = v1.post(f"webhook-deliveries/{delivery.sid}/replay", Idempotency_Key="a")
        assert (made.status, made["message"]) == (201, delivery.message)
        assert made["state"] == "pending"
        count = WebhookDelivery.objects.count()
        again = v1.post(f"webhook-deliveries/{delivery.sid}/replay", Idempotency_Key="a")
        assert (again.body, WebhookDelivery.objects.count()) == (made.body, count)

    def test_the_staff_needs_the_permission(self, v1: V1, delivery: WebhookDelivery) -> None:
        refused = by_session("calls.view_webhookdelivery").post(f"webhook-deliveries/{delivery.sid}/replay")
        assert refused.status == 403

    def test_that_of_another_account_does_not_exist(self, delivery: WebhookDelivery) -> None:
        v1: Any = by_token(Account.objects.create(friendly_name="Other"))
        assert v1.post(f"webhook-deliveries/{delivery.sid}/replay").status == 404


def test_what_is_shown_is_what_the_document_names(account: Account) -> None:
    """Calls and recordings are rendered by hand, for speed."""
    call = samples.call(account)
    ledger.apply([call, samples.leg(call), samples.recording(call)])
    row = Call.objects.get(pk=call.sid)
    kinds = {LegSerializer: row, CallSerializer: row, OneCallSerializer: row, RecordingSerializer: row.recordings.get()}
    for serializer, found in kinds.items():
        shown: Any = serializer(found)
        assert set(shown.data) == set(shown.fields)
    assert calls_json([row]) == [CallSerializer(row).data]

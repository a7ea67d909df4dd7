"""Who listened to recordings, and what retention deletes, keeps, and only says that it would delete."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from calls import ledger, retention
from calls.entries import CallRecord
from calls.models import Call, Hold, Recording, RecordingAccess, RetentionRun, WebhookDelivery
from routing import roles
from routing.models import Account, RetentionRule
from routing.sid import new_sid
from tests import rows, samples

pytestmark = pytest.mark.django_db
Recorded = Callable[..., Recording]


@pytest.fixture
def account() -> Account:
    return rows.account()


@pytest.fixture
def call(account: Account) -> CallRecord:
    return called(account, days=40)


@pytest.fixture
def recorded(settings: Settings, tmp_path: Path) -> Recorded:
    settings.RECORDINGS_DIR, settings.DOWNLOAD_CACHE_DIR = tmp_path / "recordings", tmp_path / "cache"
    settings.RECORDINGS_DIR.mkdir()

    def record(of: CallRecord, days: float = 40) -> Recording:
        sid = new_sid("RE")
        start = time.time() - days * 86400
        ledger.apply([samples.recording(of, sid=sid, status="completed", start_time=start, files=())])
        (Path(settings.RECORDINGS_DIR) / f"{sid}.wav").write_bytes(b"RIFF" + bytes(2000))
        Recording.objects.filter(pk=sid).update(file=f"{sid}.wav", size=2004, sha256="a" * 64, status="completed")
        return Recording.objects.get(pk=sid)

    return record


def called(of: Account, days: float, **values: Any) -> CallRecord:
    start = time.time() - days * 86400
    record = samples.call(of, start_time=start, answer_time=start + 1, end_time=start + 9, **values)
    ledger.apply([record])
    return record


def rule(of: Account, **days: int) -> RetentionRule:
    return RetentionRule.objects.create(account=of, **days)


class TestAccess:
    def test_a_play_in_many_parts_is_one_row(self, admin_client: Client, call: CallRecord, recorded: Recorded) -> None:
        one = recorded(call)
        for part in ("bytes=0-", "bytes=0-99", "bytes=1000-", "bytes=1500-1600"):
            answer = admin_client.get(one.url, headers={"Range": part, "Sec-Fetch-Dest": "audio"})
            assert answer.status_code in (200, 206)
            answer.close()
        (row,) = RecordingAccess.objects.all()
        assert (row.who, row.how, row.extension, row.ip) == ("admin", "played", "wav", "127.0.0.1")
        assert (row.recording_sid, row.call_sid, row.account_sid) == (one.pk, call.sid, call.account_sid)

    def test_each_further_play_and_download_is_a_row(
        self, admin_client: Client, call: CallRecord, recorded: Recorded
    ) -> None:
        one = recorded(call)
        admin_client.get(one.url, headers={"Range": "bytes=0-"}).close()
        RecordingAccess.objects.update(last=timezone.now() - timedelta(minutes=5))
        admin_client.get(one.url, headers={"Range": "bytes=0-"}).close()
        admin_client.get(one.url + "?download").close()
        assert [row.how for row in RecordingAccess.objects.order_by("pk")] == ["played", "played", "downloaded"]

    def test_asking_for_its_length_is_no_access(
        self, admin_client: Client, call: CallRecord, recorded: Recorded
    ) -> None:
        admin_client.head(recorded(call).url).close()
        assert not RecordingAccess.objects.exists()

    def test_the_api_is_noted_with_its_account(self, client: Client, account: Account, recorded: Recorded) -> None:
        one = recorded(called(account, 1))
        value = base64.b64encode(f"{account.pk}:{account.auth_token}".encode()).decode()
        path = f"/2010-04-01/Accounts/{account.pk}/Recordings/{one.pk}.wav"
        client.get(path, headers={"Authorization": f"Basic {value}"}).close()
        assert RecordingAccess.objects.get().who == f"Account {account.pk} (Acme)"

    def test_the_recordings_page_and_the_list_for_admins_tell(
        self, admin_client: Client, client: Client, call: CallRecord, recorded: Recorded
    ) -> None:
        one = recorded(call)
        admin_client.get(one.url, headers={"User-Agent": "<script>alert(1)</script>"}).close()
        page = admin_client.get(reverse("admin:calls_recording_change", args=[one.pk])).content.decode()
        assert "admin downloaded it (WAV) 127.0.0.1" in page
        listed = reverse("admin:calls_recordingaccess_changelist")
        assert one.pk in admin_client.get(listed).content.decode()
        user = User.objects.create(username="vera", is_staff=True)
        roles.assign(user, "operator", True)
        client.force_login(user)
        assert client.get(listed).status_code == 403


class TestRetention:
    def test_without_a_rule_everything_stays(self, call: CallRecord, recorded: Recorded) -> None:
        recorded(call)
        assert retention.run() == 0
        assert retention.plan() == []
        assert Recording.objects.count() == Call.objects.count() == 1

    def test_old_recordings_go_with_their_files_and_the_call_stays(
        self, account: Account, call: CallRecord, recorded: Recorded, settings: Settings
    ) -> None:
        old, new = recorded(call), recorded(call, days=3)
        rule(account, recordings_days=30)
        assert retention.run() == 1
        assert list(Recording.objects.all()) == [new]
        assert [path.name for path in Path(settings.RECORDINGS_DIR).iterdir()] == [new.file]
        run = RetentionRun.objects.get()
        assert (run.kind, run.rows, run.bytes, run.errors) == ("recordings", 1, old.size, 0)
        assert Call.objects.count() == 1

    def test_a_file_that_cannot_be_removed_keeps_its_row_and_is_told(
        self, account: Account, call: CallRecord, recorded: Recorded, settings: Settings
    ) -> None:
        stuck, other = recorded(call), recorded(call)
        path = Path(settings.RECORDINGS_DIR) / stuck.file
        path.unlink()
        path.mkdir()  # not even root can unlink a folder
        rule(account, recordings_days=30)
        retention.run()
        assert list(Recording.objects.all()) == [stuck]
        run = RetentionRun.objects.get()
        assert (run.rows, run.errors) == (1, 1) and "cannot be removed" in run.error
        path.rmdir()
        assert retention.run() == 1
        assert other.pk

    def test_calls_go_with_all_that_belongs_to_them(self, account: Account, call: CallRecord) -> None:
        leg = samples.leg(call)
        ledger.apply([leg, samples.event(call, 1), samples.delivery(call), samples.note(call)])
        young = called(account, 2)
        rule(account, calls_days=30)
        assert retention.run() == 1
        assert list(Call.objects.values_list("pk", flat=True)) == [young.sid]
        assert not WebhookDelivery.objects.exists()

    def test_a_call_stays_while_a_recording_of_it_does(
        self, account: Account, call: CallRecord, recorded: Recorded
    ) -> None:
        leg = samples.leg(call)
        ledger.apply([leg])
        recorded(leg)
        rule(account, calls_days=30)
        assert retention.run() == 0
        assert Call.objects.count() == 2

    def test_a_call_in_progress_is_never_touched(self, account: Account) -> None:
        called(account, 40, status="in-progress")
        rule(account, calls_days=1)
        assert retention.run() == 0

    def test_bodies_are_emptied_and_the_attempt_stays(self, account: Account, call: CallRecord) -> None:
        ledger.apply([
            samples.delivery(call, time=samples.START - 9_000_000), samples.delivery(call, time=time.time()),
        ])  # fmt: skip
        rule(account, bodies_days=30)
        assert retention.run() == 1
        assert sorted(len(one.parameters) for one in WebhookDelivery.objects.all()) == [0, 2]
        assert retention.run() == 0

    def test_a_kept_call_keeps_everything(
        self, admin_client: Client, account: Account, call: CallRecord, recorded: Recorded
    ) -> None:
        recorded(call)
        leg = samples.leg(call)
        ledger.apply([leg, samples.delivery(call, time=samples.START - 9_000_000)])
        recorded(leg)
        answer = admin_client.post(reverse("admin:calls_hold_add"), {"call": leg.sid, "reason": "Court"})
        assert answer.status_code == 302
        assert Hold.objects.get().call_id == call.sid
        rule(account, recordings_days=1, bodies_days=1, calls_days=1)
        assert retention.run() == 0
        assert {one.rows for one in retention.plan() if one.days} == {0}

    @pytest.mark.parametrize("sid", ["CA" + "0" * 32, "x", "", "CA\0"])
    def test_what_is_no_call_cannot_be_kept(self, admin_client: Client, sid: str) -> None:
        assert admin_client.post(reverse("admin:calls_hold_add"), {"call": sid}).status_code == 200
        assert not Hold.objects.exists()

    def test_other_accounts_are_not_touched(self, account: Account, call: CallRecord) -> None:
        other = rows.account("Other")
        rule(other, calls_days=1)
        assert retention.run() == 0

    def test_more_than_one_batch_goes(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retention, "BATCH", 2)
        for _ in range(5):
            called(account, 40)
        rule(account, calls_days=30)
        assert retention.run() == 5

    def test_it_goes_on_in_a_task_of_its_own_when_the_time_is_up(
        self, account: Account, call: CallRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from django_q.models import OrmQ

        monkeypatch.setattr(retention, "SECONDS", -1.0)
        rule(account, calls_days=30)
        assert retention.run() == 0
        assert OrmQ.objects.count() == 1

    def test_the_preview_says_what_would_go_and_deletes_nothing(
        self, admin_client: Client, account: Account, call: CallRecord, recorded: Recorded
    ) -> None:
        recorded(call)
        rule(account, recordings_days=30, traces_days=7, bodies_days=7)
        page = admin_client.get(reverse("admin:routing_retentionrule_preview")).content.decode()
        assert "2.0\xa0KB" in page and "kept for ever" in page and "Acme" in page
        assert Recording.objects.count() == 1
        (planned,) = [one for one in retention.plan() if one.kind == "recordings"]
        assert (planned.rows, planned.bytes) == (1, 2004) and planned.oldest

    def test_rules_are_edited_in_the_admin_and_nonsense_is_refused(
        self, admin_client: Client, account: Account
    ) -> None:
        url = reverse("admin:routing_retentionrule_add")
        assert admin_client.post(url, {"account": account.pk, "calls_days": "0"}).status_code == 200
        assert admin_client.post(url, {"account": account.pk, "calls_days": "90"}).status_code == 302
        assert RetentionRule.objects.get().calls_days == 90

"""Recordings as JSON through the official helper library: of an account, of a call, of one in progress."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from twilio.rest import Client

from calls import command, ledger
from calls.entries import CommandDone, QueuedCommand
from calls.models import Call, Command, Recording
from calls.tasks import finish_recording
from routing.models import Account
from routing.sid import new_sid
from tests import samples
from tests.api.wire import Wire, error_of, refused
from tests.rows import account as make_account

pytestmark = pytest.mark.django_db

URL = "https://example.com/rec"
COMMON = [
    *("account_sid", "api_version", "call_sid", "conference_sid", "date_created", "date_updated", "start_time"),
    *("duration", "sid", "price", "price_unit", "status", "channels", "source", "error_code", "uri"),
    "encryption_details",
]
KEYS = [*COMMON, "subresource_uris", "media_url"]
CALL_KEYS = [*COMMON, "track"]


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.RECORDINGS_DIR = tmp_path / "recordings"
    settings.DOWNLOAD_CACHE_DIR = tmp_path / "cache"
    for path in (settings.RECORDINGS_DIR, settings.DOWNLOAD_CACHE_DIR):
        path.mkdir()
    return Path(settings.RECORDINGS_DIR)


def made(account: Account, **values: Any) -> Recording:
    """Return a completed recording of a call that is over."""
    of = samples.call(account)
    entry = samples.recording(of)
    ledger.apply([of, entry])
    known = {"status": "completed", "duration": 44.6, "file": f"{entry.sid}.wav", "sha256": "0" * 64, "files": []}
    Recording.objects.filter(pk=entry.sid).update(**{**known, **values})
    return Recording.objects.get(pk=entry.sid)


@pytest.fixture
def live(account: Account) -> Call:
    """A call in progress."""
    record = samples.call(account, status="in-progress", end_time=None, duration=None)
    ledger.apply([record])
    return Call.objects.get()


class TestRecordings:
    """Twilio's Recording resource; conformance §1.14."""

    def test_its_keys_are_twilios(self, wire: Wire, account: Account) -> None:
        recording = made(account)
        body = wire.get(f"Recordings/{recording.sid}.json").json()
        assert (sorted(body), len(body)) == (sorted(KEYS), len(KEYS))
        assert (body["channels"], body["duration"], body["status"]) == (2, "45", "completed")
        assert (body["price"], body["price_unit"], body["source"]) == (None, "USD", "DialVerb")
        assert body["media_url"].endswith(f"/2010-04-01/Accounts/{account.sid}/Recordings/{recording.sid}")
        assert body["uri"] == f"/2010-04-01/Accounts/{account.sid}/Recordings/{recording.sid}.json"

    def test_the_library_reads_it(self, client: Client, account: Account) -> None:
        recording = made(account)
        found = client.recordings(recording.sid).fetch()
        assert (found.call_sid, found.channels, found.duration) == (recording.call_id, 2, "45")
        assert found.start_time == datetime.fromtimestamp(samples.START + 4, UTC)

    @pytest.mark.parametrize(
        ("values", "status"),
        [
            ({"status": "in-progress"}, "in-progress"),
            ({"status": "paused"}, "paused"),
            ({"status": "processing"}, "processing"),
            ({"status": "absent"}, "absent"),
            ({"status": "failed", "retryable": True}, "processing"),
            ({"status": "failed", "retryable": False}, "absent"),
        ],
    )
    def test_its_length_is_null_until_it_is_completed(
        self, wire: Wire, account: Account, values: dict[str, Any], status: str
    ) -> None:
        body = wire.get(f"Recordings/{made(account, **values).sid}.json").json()
        assert (body["status"], body["duration"]) == (status, None)

    def test_a_list_is_narrowed_by_call_conference_and_day(self, client: Client, account: Account) -> None:
        conference = new_sid("CF")
        day = datetime(2026, 3, 5, 12, tzinfo=UTC)
        one, other = made(account, start_time=day), made(account, conference_sid=conference)

        def found(**filters: Any) -> list[str | None]:
            return [recording.sid for recording in client.recordings.list(**filters)]

        assert set(found()) == {one.sid, other.sid}
        assert found(call_sid=one.call_id) == [one.sid]
        assert found(conference_sid=conference) == [other.sid]
        assert found(date_created=date(2026, 3, 5)) == [one.sid]
        assert found(date_created_before=day + timedelta(hours=1)) == [one.sid]
        assert found(date_created_after=day + timedelta(hours=1)) == [other.sid]
        assert set(found(include_soft_deleted=True, page_size=1)) == {one.sid, other.sid}

    def test_a_deleted_one_is_gone_with_its_files(
        self, client: Client, account: Account, folder: Path, settings: Any
    ) -> None:
        recording = made(account)
        files = [folder / recording.file, settings.DOWNLOAD_CACHE_DIR / f"{recording.sid}-x-1.mp3"]
        for path in files:
            path.write_bytes(b"sound")
        assert client.recordings(recording.sid).delete()
        assert [path.exists() for path in files] == [False, False]
        with refused(404, 20404):
            client.recordings(recording.sid).fetch()

    @pytest.mark.parametrize("status", ["in-progress", "paused", "processing"])
    def test_one_that_is_not_finished_stays(self, client: Client, account: Account, status: str) -> None:
        with refused(400, 21220, "cannot be deleted"):
            client.recordings(made(account, status=status).sid).delete()

    def test_another_accounts_do_not_exist(self, client: Client) -> None:
        recording = made(make_account("Other"))
        assert client.recordings.list() == []
        for ask in (client.recordings(recording.sid).fetch, client.recordings(recording.sid).delete):
            with refused(404, 20404):
                ask()

    def test_a_wrong_filter_is_named(self, wire: Wire) -> None:
        response = wire.get("Recordings.json", CallSid="RE1")
        assert error_of(response) == (400, 20001)
        assert "CallSid" in response.json()["message"]


class TestOfCall:
    """Twilio: Call recordings."""

    def test_its_keys_are_twilios(self, wire: Wire, account: Account) -> None:
        recording = made(account)
        body = wire.get(f"Calls/{recording.call_id}/Recordings/{recording.sid}.json").json()
        assert (sorted(body), len(body)) == (sorted(CALL_KEYS), len(CALL_KEYS))
        assert (body["track"], body["uri"].count("/Calls/")) == ("both", 1)

    def test_only_its_own_are_listed(self, client: Client, account: Account) -> None:
        mine, other = made(account), made(account)
        assert [one.sid for one in client.calls(mine.call_id).recordings.list()] == [mine.sid]
        with refused(404, 20404):
            client.calls(mine.call_id).recordings(other.sid).fetch()

    def test_it_is_deleted_there_too(self, client: Client, account: Account) -> None:
        recording = made(account)
        assert client.calls(recording.call_id).recordings(recording.sid).delete()
        assert not Recording.objects.exists()

    def test_a_call_that_does_not_exist_is_404(self, wire: Wire) -> None:
        assert error_of(wire.get(f"Calls/{new_sid('CA')}/Recordings.json")) == (404, 20404)


class TestStart:
    """Twilio: "Create a recording for the call"."""

    def test_it_is_there_at_once_and_asked_of_the_engine(self, client: Client, live: Call) -> None:
        recording = client.calls(live.sid).recordings.create(
            recording_channels="dual",
            trim="do-not-trim",
            recording_status_callback=URL,
            recording_status_callback_event=["completed", "absent"],
        )
        assert (recording.status, recording.source, recording.channels) == ("in-progress", "StartCallRecordingAPI", 2)
        (asked,) = command.take("e1")
        assert isinstance(asked, QueuedCommand) and asked.recording is not None
        assert (asked.action, asked.call_sid, asked.recording.sid) == ("record", live.sid, recording.sid)
        assert (asked.recording.channels, asked.recording.trim, asked.recording.track) == (2, False, "both")
        assert asked.recording.callback is not None
        assert asked.recording.callback.events == ("completed", "absent")

    def test_what_the_engine_writes_of_it_replaces_the_row(self, client: Client, live: Call) -> None:
        recording = client.calls(live.sid).recordings.create()
        of = samples.call(live.account, sid=live.sid)
        entry = samples.recording(of, sid=recording.sid, status="in-progress", source="StartCallRecordingAPI")
        ledger.apply([entry])
        assert Recording.objects.get().files == list(entry.files)

    def test_it_becomes_absent_when_the_call_was_over_by_then(self, client: Client, live: Call) -> None:
        recording = client.calls(live.sid).recordings.create()
        asked = Command.objects.get()
        ledger.apply([CommandDone(asked.pk, samples.START, ok=False, outcome="The call has ended already.")])
        finish_recording(str(recording.sid))
        row = Recording.objects.get()
        assert (row.status, row.error) == ("absent", "The call has ended already.")

    def test_it_becomes_absent_when_the_engine_dies(self, client: Client, live: Call) -> None:
        recording = client.calls(live.sid).recordings.create()
        command.take("e1")
        command.settle_dead("e1")
        finish_recording(str(recording.sid))
        assert Recording.objects.get().status == "absent"

    @pytest.mark.parametrize("status", ["queued", "ringing", "completed", "busy"])
    def test_only_a_call_in_progress_is_recorded(self, client: Client, live: Call, status: str) -> None:
        Call.objects.update(status=status)
        with refused(400, 21220, "in progress"):
            client.calls(live.sid).recordings.create()
        assert not Recording.objects.exists()

    @pytest.mark.parametrize(
        ("form", "code", "word"),
        [
            ({"RecordingChannels": "three"}, 20001, "RecordingChannels"),
            ({"RecordingStatusCallback": "nonsense"}, 21205, "RecordingStatusCallback"),
            ({"RecordingStatusCallbackEvent": "never"}, 20001, "RecordingStatusCallbackEvent"),
            ({"RecordingConfigurationId": "x"}, 20001, "RecordingConfigurationId"),
            ({"Channels": "dual"}, 20001, "Channels"),
        ],
    )
    def test_a_wrong_parameter_is_named(
        self, wire: Wire, live: Call, form: dict[str, str], code: int, word: str
    ) -> None:
        response = wire.post(f"Calls/{live.sid}/Recordings.json", **form)
        assert error_of(response) == (400, code)
        assert word in response.json()["message"]


class TestChange:
    """Twilio: "Update a call recording": pause, resume, stop; `Twilio.CURRENT` is the one that runs."""

    @pytest.fixture
    def growing(self, live: Call) -> Recording:
        of = samples.call(live.account, sid=live.sid)
        ledger.apply([samples.recording(of, status="in-progress")])
        return Recording.objects.get()

    @pytest.mark.parametrize(
        ("status", "action"), [("paused", "pause"), ("in-progress", "resume"), ("stopped", "stop")]
    )
    def test_the_engine_is_asked(
        self, client: Client, live: Call, growing: Recording, status: str, action: str
    ) -> None:
        changed = client.calls(live.sid).recordings(growing.sid).update(status=status)
        assert changed.status == status
        (asked,) = command.take("e1")
        assert (asked.action, asked.recording_sid) == (action, growing.sid)

    def test_the_current_one_need_not_be_named(self, client: Client, live: Call, growing: Recording) -> None:
        changed = client.calls(live.sid).recordings("Twilio.CURRENT").update(status="paused", pause_behavior="silence")
        assert changed.sid == growing.sid

    def test_a_pause_and_its_end_are_shown_when_they_happen(
        self, client: Client, live: Call, growing: Recording
    ) -> None:
        of = samples.call(live.account, sid=live.sid)
        for status in ("paused", "in-progress", "paused"):
            ledger.apply([samples.recording(of, sid=growing.sid, status=status)])
            assert client.recordings(growing.sid).fetch().status == status

    def test_without_one_that_runs_it_is_404(self, client: Client, live: Call) -> None:
        with refused(404, 20404):
            client.calls(live.sid).recordings("Twilio.CURRENT").update(status="stopped")

    def test_one_that_is_over_is_21220(self, client: Client, account: Account) -> None:
        recording = made(account)
        with refused(400, 21220, "over"):
            client.calls(recording.call_id).recordings(recording.sid).update(status="paused")

    @pytest.mark.parametrize(
        ("form", "word"),
        [
            ({}, "Status"),
            ({"Status": "completed"}, "Status"),
            ({"Status": "paused", "PauseBehavior": "skip"}, "PauseBehavior"),
            ({"Status": "paused", "Pause": "x"}, "Pause"),
        ],
    )
    def test_a_wrong_parameter_is_named(
        self, wire: Wire, live: Call, growing: Recording, form: dict[str, str], word: str
    ) -> None:
        response = wire.post(f"Calls/{live.sid}/Recordings/{growing.sid}.json", **form)
        assert error_of(response) == (400, 20001)
        assert word in response.json()["message"]

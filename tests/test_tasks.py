"""The worker's part of a recording: one finished WAV of the raw parts, whatever happens on the way."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import threading
import wave
from array import array
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from calls import ledger, recordings, tasks, wav
from calls.entries import CallbackSpec, EventEntry
from calls.models import Call, Notification, Recording, WebhookDelivery
from tests import samples
from tests.waiting import SECONDS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.RECORDINGS_DIR = tmp_path
    (tmp_path / "raw").mkdir()
    return tmp_path


def part(path: Path, value: int, samples_count: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(array("h", [value] * samples_count).tobytes())
    return path


def closed(*parts: Path, lasted: float | None = 1.0, **values: Any) -> Recording:
    """Return the recording of a call whose raw parts are these files; the recorder ran for so many seconds."""
    of = samples.call(samples.account())
    entry = samples.recording(of, files=tuple(map(str, parts)), channels=len(parts), **values)
    ended = EventEntry(of.sid, 1, entry.start_time + (lasted or 0), "recording.ended", {"recording": entry.sid})
    ledger.apply([of, entry] if lasted is None else [of, ended, entry])
    return Recording.objects.get(pk=entry.sid)


def contents(recording: Recording) -> tuple[int, list[int]]:
    with wave.open(str(recordings.path_of(recording)), "rb") as file:
        return file.getnchannels(), list(array("h", file.readframes(file.getnframes())))


def test_two_channels_become_one_stereo_file_with_the_parent_left(folder: Path) -> None:
    recording = closed(part(folder / "raw/0.wav", 1, 8000), part(folder / "raw/1.wav", 2, 4000))
    assert tasks.finish_recording(recording.sid) == "completed"
    recording.refresh_from_db()
    channels, found = contents(recording)
    assert channels == 2
    assert found[0::2] == [1] * 8000
    assert found[1::2] == [2] * 4000 + [0] * 4000


def test_length_size_and_checksum_are_those_of_the_file(folder: Path) -> None:
    recording = closed(part(folder / "raw/0.wav", 1, 8000), part(folder / "raw/1.wav", 2, 4000))
    tasks.finish_recording(recording.sid)
    recording.refresh_from_db()
    whole = recordings.path_of(recording).read_bytes()
    assert (recording.status, recording.duration, recording.channels) == ("completed", 1.0, 2)
    assert (recording.size, recording.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert recording.file == f"2026/09/21/{recording.sid}.wav"
    assert recording.error == ""


def test_one_part_becomes_a_mono_file(folder: Path) -> None:
    recording = closed(part(folder / "raw/0.wav", 5, 3))
    tasks.finish_recording(recording.sid)
    recording.refresh_from_db()
    assert contents(recording) == (1, [5, 5, 5])


def test_the_header_of_a_killed_recording_is_repaired(folder: Path) -> None:
    raw = folder / "raw/0.wav"
    raw.write_bytes(wav.header(1, 8000, 0) + array("h", [7, 8]).tobytes())
    recording = closed(raw)
    tasks.finish_recording(recording.sid)
    recording.refresh_from_db()
    assert contents(recording) == (1, [7, 8])


def test_raw_parts_are_deleted_once_the_file_is_there(folder: Path) -> None:
    recording = closed(part(folder / "raw/0.wav", 1, 10), part(folder / "raw/1.wav", 2, 10))
    tasks.finish_recording(recording.sid)
    assert list((folder / "raw").iterdir()) == []
    assert [path.name for path in folder.rglob("*") if path.is_file()] == [f"{recording.sid}.wav"]


def test_a_second_run_changes_nothing(folder: Path) -> None:
    recording = closed(part(folder / "raw/0.wav", 1, 10))
    tasks.finish_recording(recording.sid)
    before = Recording.objects.values().get()
    assert tasks.finish_recording(recording.sid) == "completed"
    assert Recording.objects.values().get() == before


def test_a_second_run_deletes_what_a_crash_left_behind(folder: Path) -> None:
    raw = part(folder / "raw/0.wav", 1, 10)
    recording = closed(raw)
    tasks.finish_recording(recording.sid)
    part(raw, 1, 10)
    tasks.finish_recording(recording.sid)
    assert not raw.exists()


def test_a_run_that_lost_the_race_does_not_undo_the_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = closed(part(folder / "raw/0.wav", 1, 10))
    look = recordings._parts

    def overtaken(files: list[str]) -> list[recordings.Part]:
        monkeypatch.setattr(recordings, "_parts", look)
        tasks.finish_recording(recording.sid)
        return look(files)

    monkeypatch.setattr(recordings, "_parts", overtaken)
    tasks.finish_recording(recording.sid)
    recording.refresh_from_db()
    assert recording.status == "completed"


@pytest.mark.parametrize("content", [None, b"", wav.header(1, 8000, 0)])
def test_a_recording_without_samples_is_absent(folder: Path, content: bytes | None) -> None:
    raw = folder / "raw/0.wav"
    if content is not None:
        raw.write_bytes(content)
    recording = closed(raw)
    assert tasks.finish_recording(recording.sid) == "absent"
    recording.refresh_from_db()
    assert (recording.status, recording.file) == ("absent", "")
    assert "before there was anything to record" in recording.error
    assert not raw.exists()


def test_a_channel_that_was_never_recorded_is_silence_and_said_so(folder: Path) -> None:
    recording = closed(folder / "raw/0.wav", part(folder / "raw/1.wav", 3, 2))
    tasks.finish_recording(recording.sid)
    recording.refresh_from_db()
    assert contents(recording) == (2, [0, 3, 0, 3])
    assert "never recorded" in recording.error


def test_a_full_disk_fails_for_now_and_keeps_the_parts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = part(folder / "raw/0.wav", 1, 10)
    recording = closed(raw)

    def full(*args: Any) -> None:
        Path(args[1]).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    assert tasks.finish_recording(recording.sid) == "failed"
    recording.refresh_from_db()
    assert "is full" in recording.error
    assert [path for path in folder.rglob("*") if path.is_file()] == [raw]
    monkeypatch.undo()
    Recording.objects.update(updated=timezone.now() - timedelta(hours=1))
    assert tasks.reap() == 1


def test_a_recording_that_failed_for_now_is_finished_by_a_later_run(folder: Path) -> None:
    recording = closed(part(folder / "raw/0.wav", 1, 10))
    Recording.objects.update(status="failed", error="full", retryable=True)
    assert tasks.finish_recording(recording.sid) == "completed"
    recording.refresh_from_db()
    assert recording.error == ""


def test_a_part_that_is_no_wav_fails_for_good(folder: Path) -> None:
    raw = folder / "raw/0.wav"
    raw.write_bytes(b"rubbish rubbish rubbish")
    recording = closed(raw)
    assert tasks.finish_recording(recording.sid) == "failed"
    recording.refresh_from_db()
    assert "is not a WAV file" in recording.error
    Recording.objects.update(updated=timezone.now() - timedelta(hours=1))
    assert tasks.reap() == 0
    assert raw.exists()


def test_a_recording_that_still_grows_is_left_alone(folder: Path) -> None:
    raw = part(folder / "raw/0.wav", 1, 10)
    recording = closed(raw, status="in-progress")
    assert tasks.finish_recording(recording.sid) == "in-progress"
    assert raw.exists()


def test_an_unknown_recording_is_no_error() -> None:
    assert tasks.finish_recording("RE" + "0" * 32) == "unknown"


def test_what_is_stuck_is_enqueued_again_once(folder: Path) -> None:
    recording = closed(folder / "raw/0.wav")
    OrmQ.objects.all().delete()
    assert tasks.reap() == 0
    Recording.objects.update(updated=timezone.now() - timedelta(minutes=6))
    assert (tasks.reap(), tasks.reap()) == (1, 0)
    assert OrmQ.objects.get().task["args"] == (recording.sid,)


def test_reaping_is_scheduled_by_migrate() -> None:
    Schedule.objects.all().delete()
    for _ in range(2):
        emit_post_migrate_signal(verbosity=0, interactive=False, db="default")
    schedule = Schedule.objects.get(name="calls.reap")
    assert (schedule.func, schedule.minutes, schedule.repeats) == ("calls.tasks.reap", 5, -1)


def tone(path: Path, *spans: tuple[float, bool], channels: int = 1) -> Path:
    """Write spans of (seconds, sounding): a sine of 440 Hz or silence."""
    values: list[int] = []
    for seconds, sounding in spans:
        level = 8000 if sounding else 0
        values += [round(level * math.sin(2 * math.pi * 440 * at / 8000)) for at in range(round(8000 * seconds))]
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, 8000, 0, "NONE", ""))
        file.writeframes(array("h", values).tobytes())
    return path


class TestTrim:
    """`trim="trim-silence"`: leading and trailing silence of the recording goes (Twilio: <Dial trim>)."""

    def test_silence_is_cut_off_both_ends(self, folder: Path) -> None:
        raw = tone(folder / "raw/0.wav", (2, False), (1, True), (3, False))
        recording = closed(raw, lasted=6, trim=True)
        assert tasks.finish_recording(recording.sid) == "completed"
        recording.refresh_from_db()
        assert recording.duration == 1 + 2 * wav.MARGIN
        assert wav.seconds(recordings.path_of(recording)) == recording.duration
        assert recording.sha256 == wav.checksum(recordings.path_of(recording))
        assert recording.error == ""

    def test_both_channels_stay_in_step(self, folder: Path) -> None:
        parent = tone(folder / "raw/0.wav", (1, False), (1, True), (2, False))
        child = tone(folder / "raw/1.wav", (2, False), (1, True), (1, False))
        recording = closed(parent, child, lasted=4, trim=True)
        tasks.finish_recording(recording.sid)
        recording.refresh_from_db()
        assert (recording.channels, recording.duration) == (2, 2 + 2 * wav.MARGIN)

    def test_nothing_but_silence_is_absent(self, folder: Path) -> None:
        recording = closed(tone(folder / "raw/0.wav", (1, False)), trim=True)
        assert tasks.finish_recording(recording.sid) == "absent"
        recording.refresh_from_db()
        assert (recording.file, recording.error) == ("", "There is nothing but silence in it.")
        assert [path for path in folder.rglob("*") if path.is_file()] == []

    def test_silence_stays_where_it_was_not_asked_to_go(self, folder: Path) -> None:
        recording = closed(tone(folder / "raw/0.wav", (1, False)))
        assert tasks.finish_recording(recording.sid) == "completed"


EVERY_EVENT = CallbackSpec("https://app.example.com/rec", "POST", ("in-progress", "completed", "absent"))


class TestCallback:
    """`recordingStatusCallback`: `completed` when the file can be had, `absent` when there is none (Twilio: <Dial>).

    Parameters: conformance §1.10.
    """

    def told(self) -> list[tuple[str, str]]:
        return list(WebhookDelivery.objects.values_list("call_id", "event"))

    def test_completed_is_told_with_all_its_parameters(self, folder: Path, settings: Any) -> None:
        settings.PUBLIC_URL = "https://pbx.example.com"
        recording = closed(
            part(folder / "raw/0.wav", 1, 8000), part(folder / "raw/1.wav", 2, 8000), callback=EVERY_EVENT
        )
        tasks.finish_recording(recording.sid)
        delivery = WebhookDelivery.objects.get()
        assert (delivery.url, delivery.method, delivery.topic) == ("https://app.example.com/rec", "POST", "recording")
        base = f"https://pbx.example.com/2010-04-01/Accounts/{recording.account_id}/Recordings"
        assert dict(delivery.parameters) == {
            "AccountSid": recording.account_id,
            "CallSid": recording.call_id,
            "RecordingSid": recording.sid,
            "RecordingUrl": f"{base}/{recording.sid}",
            "RecordingStatus": "completed",
            "RecordingDuration": "1",
            "RecordingChannels": "2",
            "RecordingStartTime": "Mon, 21 Sep 2026 14:13:24 +0000",
            "RecordingSource": "DialVerb",
            "RecordingTrack": "both",
        }

    def test_the_length_that_is_told_is_that_of_the_trimmed_file(self, folder: Path) -> None:
        raw = tone(folder / "raw/0.wav", (2, False), (2, True), (3, False))
        tasks.finish_recording(closed(raw, lasted=7, trim=True, callback=EVERY_EVENT).sid)
        assert ["RecordingDuration", "2"] in WebhookDelivery.objects.get().parameters

    def test_a_single_track_is_a_mono_file_and_named(self, folder: Path) -> None:
        raw = part(folder / "raw/0.wav", 1, 8000)
        tasks.finish_recording(closed(raw, track="inbound", callback=EVERY_EVENT).sid)
        told = dict(WebhookDelivery.objects.get().parameters)
        assert (told["RecordingTrack"], told["RecordingChannels"]) == ("inbound", "1")

    def test_the_file_is_there_before_anybody_is_told(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        recording = closed(part(folder / "raw/0.wav", 1, 8000), callback=EVERY_EVENT)
        seen: list[bool] = []
        name = folder / f"2026/09/21/{recording.sid}.wav"
        monkeypatch.setattr("calls.outbox.async_task", lambda *args: seen.append(name.is_file()))
        tasks.finish_recording(recording.sid)
        assert seen == [True]

    @pytest.mark.parametrize("trim", [True, False])
    def test_absent_is_told_without_a_length(self, folder: Path, trim: bool) -> None:
        raw = tone(folder / "raw/0.wav", (1 if trim else 0, False))
        tasks.finish_recording(closed(raw, trim=trim, callback=EVERY_EVENT).sid)
        told = dict(WebhookDelivery.objects.get().parameters)
        assert told["RecordingStatus"] == "absent"
        assert "RecordingDuration" not in told

    def test_a_recording_that_is_lost_for_good_is_told_as_absent(self, folder: Path) -> None:
        (folder / "raw/0.wav").write_bytes(b"rubbish rubbish rubbish")
        recording = closed(folder / "raw/0.wav", callback=EVERY_EVENT)
        assert tasks.finish_recording(recording.sid) == "failed"
        assert self.told() == [(recording.call_id, "absent")]

    def test_nothing_is_told_while_a_full_disk_may_still_be_emptied(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recording = closed(part(folder / "raw/0.wav", 1, 8000), callback=EVERY_EVENT)

        def full(*args: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("shutil.copyfile", full)
        tasks.finish_recording(recording.sid)
        assert self.told() == []
        monkeypatch.undo()
        tasks.finish_recording(recording.sid)
        assert self.told() == [(recording.call_id, "completed")]

    @pytest.mark.parametrize("events", [(), ("in-progress",), ("absent",)])
    def test_an_event_that_was_not_asked_for_is_not_told(self, folder: Path, events: tuple[str, ...]) -> None:
        spec = CallbackSpec("https://app.example.com/rec", "POST", events)
        tasks.finish_recording(closed(part(folder / "raw/0.wav", 1, 8000), callback=spec).sid)
        assert self.told() == []

    def test_a_conference_is_named_instead_of_a_call(self, folder: Path) -> None:
        recording = closed(
            part(folder / "raw/0.wav", 1, 8000),
            callback=EVERY_EVENT,
            conference_sid="CF" + "1" * 32,
            source="Conference",
        )
        tasks.finish_recording(recording.sid)
        told = dict(WebhookDelivery.objects.get().parameters)
        assert told["ConferenceSid"] == "CF" + "1" * 32
        assert "CallSid" not in told

    def test_a_task_that_runs_twice_tells_it_once(self, folder: Path) -> None:
        recording = closed(part(folder / "raw/0.wav", 1, 8000), callback=EVERY_EVENT)
        OrmQ.objects.all().delete()
        tasks.finish_recording(recording.sid)
        tasks.finish_recording(recording.sid)
        assert self.told() == [(recording.call_id, "completed")]
        assert OrmQ.objects.count() == 1

    @pytest.mark.parametrize("step", ["_put", "_notify", "_tell", "_delete"])
    def test_a_crash_at_any_step_loses_nothing_and_tells_it_once(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        raw = part(folder / "raw/0.wav", 1, 8000)
        recording = closed(raw, callback=EVERY_EVENT)

        def killed(*args: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(recordings, step, killed)
        with pytest.raises(KeyboardInterrupt):
            tasks.finish_recording(recording.sid)
        assert raw.exists()
        monkeypatch.undo()
        assert tasks.finish_recording(recording.sid) == "completed"
        recording.refresh_from_db()
        assert recording.sha256 == wav.checksum(recordings.path_of(recording))
        assert self.told() == [(recording.call_id, "completed")]
        assert [path.name for path in folder.rglob("*") if path.is_file()] == [f"{recording.sid}.wav"]


@pytest.mark.django_db(transaction=True)
def test_workers_that_finish_the_same_recording_at_once_do_not_spoil_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slower one sees only one part, because the faster one is deleting them; its half must not become final."""
    one, other = part(folder / "raw/0.wav", 1, 8000), part(folder / "raw/1.wav", 2, 8000)
    recording = closed(one, other, callback=EVERY_EVENT)
    looked, done = threading.Event(), threading.Event()
    assemble = recordings._assemble

    def slow(*args: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            looked.set()
            assert done.wait(SECONDS)
        assemble(*args)

    look = recordings._parts

    def half(files: list[str]) -> list[recordings.Part]:
        found = look(files)
        return found if threading.current_thread() is threading.main_thread() else found[:1]

    def finish() -> None:
        tasks.finish_recording(recording.sid)
        connection.close()

    monkeypatch.setattr(recordings, "_assemble", slow)
    monkeypatch.setattr(recordings, "_parts", half)
    copies = {path: path.read_bytes() for path in (one, other)}
    slower = threading.Thread(target=finish)
    slower.start()
    assert looked.wait(SECONDS)
    assert tasks.finish_recording(recording.sid) == "completed"
    one.write_bytes(copies[one])  # as if it had been read before it was deleted
    done.set()
    slower.join()
    recording.refresh_from_db()
    assert contents(recording) == (2, [1, 2] * 8000)
    assert recording.sha256 == wav.checksum(recordings.path_of(recording))
    assert WebhookDelivery.objects.count() == 1


class TestLength:
    """A file that is shorter or longer than what was recorded is said to be so: a full disk has no other voice."""

    def notes(self) -> list[str]:
        return list(Notification.objects.values_list("message", flat=True))

    def test_a_file_that_stopped_growing_is_noted(self, folder: Path) -> None:
        recording = closed(part(folder / "raw/0.wav", 1, 8000), part(folder / "raw/1.wav", 1, 80000), lasted=10)
        assert tasks.finish_recording(recording.sid) == "completed"
        recording.refresh_from_db()
        assert recording.error.startswith("It is 1.0 s long, but 10.0 s were recorded.")
        note = Notification.objects.get()
        assert (note.code, note.call_id, note.level) == (12400, recording.call_id, "error")
        assert note.message == f"Recording {recording.sid}: {recording.error}"

    def test_a_file_that_is_too_long_is_noted(self, folder: Path) -> None:
        recording = closed(part(folder / "raw/0.wav", 1, 80000), lasted=1)
        tasks.finish_recording(recording.sid)
        assert "10.0 s long, but 1.0 s" in self.notes()[0]

    @pytest.mark.parametrize("seconds", [8.5, 10, 11.5])
    def test_a_second_or_two_is_no_matter(self, folder: Path, seconds: float) -> None:
        recording = closed(part(folder / "raw/0.wav", 1, round(8000 * seconds)), lasted=10)
        tasks.finish_recording(recording.sid)
        assert self.notes() == []

    def test_silence_that_was_cut_off_is_no_matter(self, folder: Path) -> None:
        raw = tone(folder / "raw/0.wav", (8, False), (1, True), (8, False))
        tasks.finish_recording(closed(raw, lasted=17, trim=True).sid)
        assert self.notes() == []

    def test_the_end_of_the_call_counts_when_the_engine_was_killed(self, folder: Path) -> None:
        recording = closed(part(folder / "raw/0.wav", 1, 8000), lasted=None)
        tasks.finish_recording(recording.sid)
        assert "1.0 s long, but 49.0 s" in self.notes()[0]

    def test_without_any_end_there_is_nothing_to_compare(self, folder: Path) -> None:
        recording = closed(part(folder / "raw/0.wav", 1, 8000), lasted=None)
        Call.objects.update(end_time=None)
        tasks.finish_recording(recording.sid)
        assert self.notes() == []

    def test_what_the_engine_said_of_it_is_kept(self, folder: Path) -> None:
        recording = closed(part(folder / "raw/0.wav", 1, 8000), error="The engine was killed.")
        tasks.finish_recording(recording.sid)
        recording.refresh_from_db()
        assert recording.error == "The engine was killed."


def test_a_failure_is_noted_once_however_often_it_is_tried(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = closed(part(folder / "raw/0.wav", 1, 10))

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for _ in range(3):
        tasks.finish_recording(recording.sid)
    assert "is full: make room" in Notification.objects.get().message

"""The worker's part of a recording: one finished WAV of the raw parts, whatever happens on the way."""

from __future__ import annotations

import errno
import hashlib
import wave
from array import array
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management.sql import emit_post_migrate_signal
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from calls import ledger, tasks, wav
from calls.models import Recording
from tests import samples

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


def closed(*parts: Path, **values: Any) -> Recording:
    """Return the recording of a call whose raw parts are these files."""
    of = samples.call(samples.account())
    entry = samples.recording(of, files=tuple(map(str, parts)), channels=len(parts), **values)
    ledger.apply([of, entry])
    return Recording.objects.get(pk=entry.sid)


def contents(recording: Recording) -> tuple[int, list[int]]:
    with wave.open(str(tasks.path_of(recording)), "rb") as file:
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
    whole = tasks.path_of(recording).read_bytes()
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
    look = tasks._parts

    def overtaken(files: list[str]) -> list[tasks.Part]:
        monkeypatch.setattr(tasks, "_parts", look)
        tasks.finish_recording(recording.sid)
        return look(files)

    monkeypatch.setattr(tasks, "_parts", overtaken)
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
    schedule = Schedule.objects.get()
    assert (schedule.func, schedule.minutes, schedule.repeats) == ("calls.tasks.reap", 5, -1)

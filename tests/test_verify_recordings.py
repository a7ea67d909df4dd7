"""`verify_recordings`: names every recording whose file is missing or no longer what it was."""

from __future__ import annotations

import io
import os
import wave
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from calls import ledger, recordings, tasks
from calls.models import Recording
from tests import samples

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.RECORDINGS_DIR = tmp_path
    return tmp_path


@pytest.fixture
def finished(folder: Path) -> Callable[[], Recording]:
    """Return a maker of finished recordings of one second."""
    owner = samples.account()

    def make() -> Recording:
        of = samples.call(owner)
        raw = folder / f"{of.sid}.wav"
        with wave.open(str(raw), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(os.urandom(16000))
        entry = samples.recording(of, files=(str(raw),), channels=1)
        ledger.apply([of, entry])
        tasks.finish_recording(entry.sid)
        return Recording.objects.get(pk=entry.sid)

    return make


def run(*arguments: str) -> tuple[list[str], bool]:
    """Return the lines that the command prints, and whether it is content."""
    out = io.StringIO()
    try:
        call_command("verify_recordings", *arguments, stdout=out)
    except CommandError as error:
        assert error.returncode == 1
        return out.getvalue().splitlines(), False
    return out.getvalue().splitlines(), True


def test_recordings_as_they_were_finished_are_well(finished: Callable[[], Recording]) -> None:
    finished()
    finished()
    assert run() == (["2 recordings checked, 0 missing or damaged."], True)


def test_only_completed_recordings_are_looked_at(finished: Callable[[], Recording]) -> None:
    finished()
    Recording.objects.update(status="absent")
    assert run() == (["0 recordings checked, 0 missing or damaged."], True)


def test_a_missing_file_is_named(finished: Callable[[], Recording]) -> None:
    finished()
    gone = finished()
    recordings.path_of(gone).unlink()
    lines, content = run()
    assert not content
    assert lines[0].startswith(f"{gone.sid} of 2026-09-21 14:13: ")
    assert lines[0].endswith(f"{gone.sid}.wav is missing.")
    assert lines[1:] == ["2 recordings checked, 1 missing or damaged."]


def test_a_flipped_bit_is_found_unless_it_is_to_be_quick(finished: Callable[[], Recording]) -> None:
    path = recordings.path_of(finished())
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    lines, content_with_it = run()
    assert ("has changed: its SHA-256" in lines[0], content_with_it) == (True, False)
    assert run("--quick")[1]


def test_a_file_that_was_cut_is_found_quickly(finished: Callable[[], Recording]) -> None:
    path = recordings.path_of(finished())
    os.truncate(path, 8044)
    lines, _ = run("--quick")
    assert "has 8044 bytes instead of 16044" in lines[0]


def test_a_length_that_is_not_that_of_the_row_is_found(finished: Callable[[], Recording]) -> None:
    finished()
    Recording.objects.update(duration=3.0)
    assert "1 channels of 1.000 s instead of 1 of 3.0 s" in run()[0][0]


def test_a_file_that_is_no_wav_is_found(finished: Callable[[], Recording]) -> None:
    recordings.path_of(finished()).write_bytes(b"rubbish")
    assert "cannot be read" in run()[0][0]


def test_single_recordings_can_be_asked_for(finished: Callable[[], Recording]) -> None:
    one, _ = finished(), finished()
    lines, content = run(one.sid, "RE0")
    assert lines == ["RE0: there is no completed recording of this SID.", "1 recordings checked, 1 missing or damaged."]
    assert not content


def test_the_last_days_can_be_asked_for(finished: Callable[[], Recording]) -> None:
    old, new = finished(), finished()
    Recording.objects.filter(pk=old.pk).update(start_time=timezone.now() - timedelta(days=9))
    Recording.objects.filter(pk=new.pk).update(start_time=timezone.now())
    assert run("--days", "7")[0] == ["1 recordings checked, 0 missing or damaged."]


@pytest.mark.parametrize("days", ["-1", "999999999"])
def test_a_number_of_days_that_makes_no_sense_is_refused(days: str) -> None:
    with pytest.raises(CommandError, match="give a number from 0 to 36500"):
        call_command("verify_recordings", f"--days={days}")

"""Makes finished WAV files of the raw parts that the engine recorded, and tells the application of it.

The same recording may be worked on twice, at the same time or after a crash. One transaction decides who finishes it:
in it the row is settled, the file put in its place and the callback written down. Before it nothing is final, after it
the raw parts are of no more use.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from calls import delivery, retries, voicemail, wav, webhooks
from calls.entries import DeliveryEntry
from calls.models import Call, CallEvent, Notification, Recording
from routing.errors import lookup

log = logging.getLogger(__name__)

TOLERANCE = 2.0
"""Seconds, besides 2 %, that a file may be longer or shorter than the time that was recorded."""
ENDED = "recording.ended"  # the event of the timeline
_INTERNAL_FAILURE = 12400
_UNFINISHED = (Recording.Status.PROCESSING, Recording.Status.FAILED)


@dataclass(frozen=True, slots=True)
class Part:
    """One raw file with samples in it: channel 0 is the parent leg, 1 the child."""

    channel: int
    path: Path


def path_of(recording: Recording) -> Path:
    """Return where the finished file of a recording is."""
    return Path(settings.RECORDINGS_DIR) / recording.file


def public_url(recording: Recording) -> str:
    """Return the absolute RecordingUrl of a recording."""
    return webhooks.recording_url(settings.PUBLIC_URL, recording.account_id, recording.sid)


def problem(recording: Recording, *, thorough: bool = True) -> str:
    """Say what is wrong with the file of a completed recording; "" if nothing is. `thorough` reads all of it."""
    path = path_of(recording)
    try:
        found = wav.shape(path)
        if path.stat().st_size != recording.size:
            return f"{path} has {path.stat().st_size} bytes instead of {recording.size}."
        if round(found.seconds, 3) != recording.duration or found.channels != recording.channels:
            return (
                f"{path} has {found.channels} channels of {found.seconds:.3f} s "
                f"instead of {recording.channels} of {recording.duration} s."
            )
        if thorough and wav.checksum(path) != recording.sha256:
            return f"{path} has changed: its SHA-256 is not {recording.sha256}."
    except FileNotFoundError:
        return f"{path} is missing."
    except (OSError, wav.WavError) as error:
        return f"{path} cannot be read: {error}."
    return ""


def finish(recording: Recording) -> str:
    """Make the WAV file of a closed recording and return its status; do nothing for one that is not to be finished."""
    if recording.status == Recording.Status.COMPLETED:
        _delete(recording.files)  # a crash came between the row and the deletion
    if recording.status not in _UNFINISHED:
        return recording.status
    try:
        parts = _parts(recording.files)
        if not parts:
            return _absent(recording, recording.error or "The call ended before there was anything to record.")
        with _scratch(recording) as scratch:
            _assemble(recording, parts, scratch)
            flaws = " ".join(filter(None, (_lost_channel(recording, parts), _wrong_length(recording, parts))))
            if recording.trim and not _trim(scratch):
                return _absent(recording, "There is nothing but silence in it.")
            return _completed(recording, scratch, flaws)
    except (OSError, wav.WavError) as error:
        return _failed(recording, error)


def _parts(files: Sequence[str]) -> list[Part]:
    """Return the raw files that hold at least one sample; raise `WavError` for one that is no WAV."""
    paths = [Path(settings.RECORDINGS_DIR) / name for name in files]
    present = [Part(channel, path) for channel, path in enumerate(paths) if path.is_file() and path.stat().st_size]
    return [part for part in present if wav.shape(part.path).data_bytes]


@contextmanager
def _scratch(recording: Recording) -> Iterator[Path]:
    """Give a path beside the finished file to work at; what is left there in the end is deleted."""
    final = Path(settings.RECORDINGS_DIR) / _name(recording)
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = final.with_suffix(f".{secrets.token_hex(4)}.part")
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def _name(recording: Recording) -> str:
    return f"{recording.start_time:%Y/%m/%d}/{recording.sid}.wav"


def _assemble(recording: Recording, parts: list[Part], out: Path) -> None:
    if len(recording.files) == 1:
        shutil.copyfile(parts[0].path, out)
        wav.repair(out)
    else:
        sides = {part.channel: part.path for part in parts}
        wav.interleave(sides.get(0), sides.get(1), out)


def _trim(scratch: Path) -> bool:
    """Cut the silence off the file; say whether anything is left."""
    trimmed = scratch.with_suffix(".trimmed")
    try:
        if not wav.trim_silence(scratch, trimmed):
            return False
        os.replace(trimmed, scratch)
        return True
    finally:
        trimmed.unlink(missing_ok=True)


def _lost_channel(recording: Recording, parts: list[Part]) -> str:
    return "" if len(parts) == len(recording.files) else "One of the two channels was never recorded."


def _wrong_length(recording: Recording, parts: list[Part]) -> str:
    """Return what is wrong with the length of the parts, held against the time from the recording's start to its end.

    The library does not say when a disk is full: the file just grows no more.
    """
    ended = _end_of(recording)
    if ended is None:
        return ""
    expected = (ended - recording.start_time) / timedelta(seconds=1)
    found = max((wav.seconds(part.path) for part in parts), key=lambda seconds: abs(seconds - expected))
    if abs(found - expected) <= TOLERANCE + 0.02 * expected:
        return ""
    advice = "Was the disk of the recordings full?" if found < expected else "Was the clock of this machine set back?"
    return f"It is {found:.1f} s long, but {expected:.1f} s were recorded. {advice}"


def _end_of(recording: Recording) -> datetime | None:
    """Return when the recorder was closed; the end of the call if the engine had no time to say so, None if neither."""
    events = CallEvent.objects.filter(call=recording.call_id, name=ENDED, detail__recording=recording.sid)
    times = events.values_list("time", flat=True)
    return times.first() or Call.objects.filter(pk=recording.call_id).values_list("end_time", flat=True).first()


def _completed(recording: Recording, scratch: Path, flaws: str) -> str:
    told = recording.error if recording.status == Recording.Status.PROCESSING else ""  # what the engine said of it
    with scratch.open("rb+") as file:
        os.fsync(file.fileno())
    shape = wav.shape(scratch)
    values = {
        "status": Recording.Status.COMPLETED,
        "file": _name(recording),
        "channels": shape.channels,
        "duration": round(shape.seconds, 3),
        "size": scratch.stat().st_size,
        "sha256": wav.checksum(scratch),
        "error": f"{told} {flaws}".strip()[:1000],
    }
    with transaction.atomic():
        if _settle(recording, values):
            _put(scratch, Path(settings.RECORDINGS_DIR) / _name(recording))
            _notify(recording, flaws)
            _tell(recording, "completed")
            if (box := voicemail.box_of(recording)) is not None:
                voicemail.take(recording, box)
    _delete(recording.files)
    log.info("recording=%s call=%s completed, %.1f s", recording.sid, recording.call_id, shape.seconds)
    return Recording.Status.COMPLETED


def _put(scratch: Path, final: Path) -> None:
    """Move the file to its place so that it is still there after a power cut."""
    os.replace(scratch, final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _absent(recording: Recording, why: str) -> str:
    with transaction.atomic():
        if _settle(recording, {"status": Recording.Status.ABSENT, "error": why}):
            _tell(recording, "absent")
    _delete(recording.files)
    return Recording.Status.ABSENT


def _failed(recording: Recording, error: OSError | wav.WavError) -> str:
    """Note the failure. One that may pass is tried again later; another is told as `absent`, so that nobody waits."""
    match error:
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            why = f"The disk of {settings.RECORDINGS_DIR} is full: make room; it is tried again every few minutes."
        case _:
            why = str(error)
    log.error("recording=%s call=%s failed: %s", recording.sid, recording.call_id, why)
    may_pass = isinstance(error, OSError)
    with transaction.atomic():
        values = {"status": Recording.Status.FAILED, "error": why[:1000], "retryable": may_pass}
        if _settle(recording, values):
            _notify(recording, why)
            if not may_pass:
                _tell(recording, "absent")
    return Recording.Status.FAILED


def _settle(recording: Recording, values: dict[str, Any]) -> bool:
    """Write what came of the recording; say whether it was this run that did, and not another."""
    settled = {"retryable": False, "updated": timezone.now(), **values}
    if not Recording.objects.filter(pk=recording.pk, status__in=_UNFINISHED).update(**settled):
        return False
    for name, value in settled.items():
        setattr(recording, name, value)
    return True


def _notify(recording: Recording, what: str) -> None:
    """Write a notification if something was wrong; the same one but once."""
    if what:
        sid = retries.derived_sid("NO", recording.sid, what)
        note = Notification(
            sid=sid,
            account_id=recording.account_id,
            call_id=recording.call_id,
            time=timezone.now(),
            code=_INTERNAL_FAILURE,
            level=lookup(_INTERNAL_FAILURE).level,
            message=f"Recording {recording.sid}: {what}"[:2000],
        )
        Notification.objects.bulk_create([note], ignore_conflicts=True)


def _tell(recording: Recording, event: str) -> None:
    """Have the recording status callback sent, if its event is subscribed to; the same one but once (§1.10)."""
    callback = recording.callback
    if not callback or event not in callback["events"] or voicemail.box_of(recording) is not None:
        return
    sid = retries.derived_sid("WD", recording.sid, event)
    entry = DeliveryEntry(
        sid=sid,
        message=sid,
        account_sid=recording.account_id,
        call_sid=recording.call_id,
        topic="recording",
        event=event,
        url=callback["url"],
        method=callback["method"],
        parameters=tuple(webhooks.recording_parameters(_state(recording, event))),
        time=timezone.now().timestamp(),
    )
    delivery.fire(entry)


def _state(recording: Recording, status: str) -> webhooks.RecordingState:
    completed = status == "completed"
    return webhooks.RecordingState(
        account_sid=recording.account_id,
        call_sid="" if recording.conference_sid else recording.call_id,
        conference_sid=recording.conference_sid,
        sid=recording.sid,
        url=public_url(recording),
        status=status,
        channels=recording.channels,
        start_time=recording.start_time.timestamp(),
        source=recording.source,
        track=recording.track,
        duration=round(recording.duration or 0) if completed else None,
    )


def _delete(files: Sequence[str]) -> None:
    for name in files:
        (Path(settings.RECORDINGS_DIR) / name).unlink(missing_ok=True)

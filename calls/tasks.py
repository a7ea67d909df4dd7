"""What the worker does for the call log: makes finished WAV files of the raw parts that the engine recorded.

A task may run twice, at the same time or after a crash. The order makes that safe: the file is complete in its place
before the row says `completed`, and the row says so before the raw parts are deleted.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django_q.tasks import async_task

from calls import wav
from calls.models import Recording

log = logging.getLogger(__name__)

STUCK_AFTER = timedelta(minutes=5)
REAP_AT_ONCE = 500
_UNFINISHED = (Recording.Status.PROCESSING, Recording.Status.FAILED)


@dataclass(frozen=True, slots=True)
class Part:
    """One raw file with samples in it: channel 0 is the parent leg, 1 the child."""

    channel: int
    path: Path


def finish_recording(sid: str) -> str:
    """Make the WAV file of a closed recording and return its status; do nothing for one that is not to be finished."""
    recording = Recording.objects.filter(pk=sid).first()
    if recording is None:
        return "unknown"
    if recording.status == Recording.Status.COMPLETED:
        _delete(recording.files)  # a crash came between the row and the deletion
    if recording.status not in _UNFINISHED:
        return recording.status
    try:
        parts = _parts(recording.files)
        outcome = _finished(recording, parts) if parts else _absent(recording)
    except (OSError, wav.WavError) as error:
        return _failed(recording, error)
    return outcome


def reap() -> int:
    """Enqueue again what was left half done or failed for a reason that may have passed; return how many."""
    before = timezone.now() - STUCK_AFTER
    left = Q(status=Recording.Status.PROCESSING) | Q(status=Recording.Status.FAILED, retryable=True)
    sids = list(Recording.objects.filter(left, updated__lt=before).values_list("pk", flat=True)[:REAP_AT_ONCE])
    Recording.objects.filter(pk__in=sids).update(updated=timezone.now())
    for sid in sids:
        async_task("calls.tasks.finish_recording", sid)
    return len(sids)


def path_of(recording: Recording) -> Path:
    """Return where the finished file of a recording is."""
    return Path(settings.RECORDINGS_DIR) / recording.file


def _parts(files: Sequence[str]) -> list[Part]:
    """Return the raw files that hold at least one sample; raise `WavError` for one that is no WAV."""
    paths = [Path(settings.RECORDINGS_DIR) / name for name in files]
    present = [Part(channel, path) for channel, path in enumerate(paths) if path.is_file() and path.stat().st_size]
    return [part for part in present if wav.shape(part.path).data_bytes]


def _finished(recording: Recording, parts: list[Part]) -> str:
    name = f"{recording.start_time:%Y/%m/%d}/{recording.sid}.wav"
    final = Path(settings.RECORDINGS_DIR) / name
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = final.with_suffix(f".{secrets.token_hex(4)}.part")
    try:
        _assemble(recording, parts, scratch)
        values = {
            "status": Recording.Status.COMPLETED,
            "file": name,
            "channels": wav.shape(scratch).channels,
            "duration": round(wav.seconds(scratch), 3),
            "size": scratch.stat().st_size,
            "sha256": wav.checksum(scratch),
            "error": "" if len(parts) == len(recording.files) else "One of the two channels was never recorded.",
            "retryable": False,
            "updated": timezone.now(),
        }
        os.replace(scratch, final)
    finally:
        scratch.unlink(missing_ok=True)
    Recording.objects.filter(pk=recording.pk, status__in=_UNFINISHED).update(**values)
    _delete(recording.files)
    log.info("recording=%s call=%s completed, %.1f s", recording.sid, recording.call_id, values["duration"])
    return Recording.Status.COMPLETED


def _assemble(recording: Recording, parts: list[Part], out: Path) -> None:
    if len(recording.files) == 1:
        shutil.copyfile(parts[0].path, out)
        wav.repair(out)
    else:
        sides = {part.channel: part.path for part in parts}
        wav.interleave(sides.get(0), sides.get(1), out)
    with out.open("rb+") as file:
        os.fsync(file.fileno())


def _absent(recording: Recording) -> str:
    why = recording.error or "The call ended before there was anything to record."
    _settle(recording, Recording.Status.ABSENT, why)
    _delete(recording.files)
    return Recording.Status.ABSENT


def _failed(recording: Recording, error: OSError | wav.WavError) -> str:
    match error:
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            why = f"The disk of {settings.RECORDINGS_DIR} is full: make room; it is tried again every few minutes."
        case _:
            why = str(error)
    log.error("recording=%s call=%s failed: %s", recording.sid, recording.call_id, why)
    _settle(recording, Recording.Status.FAILED, why, retryable=isinstance(error, OSError))
    return Recording.Status.FAILED


def _settle(recording: Recording, status: str, error: str, *, retryable: bool = False) -> None:
    Recording.objects.filter(pk=recording.pk, status__in=_UNFINISHED).update(
        status=status, error=error[:1000], retryable=retryable, updated=timezone.now()
    )


def _delete(files: Sequence[str]) -> None:
    for name in files:
        (Path(settings.RECORDINGS_DIR) / name).unlink(missing_ok=True)

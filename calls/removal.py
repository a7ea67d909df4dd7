"""Deletes recordings for good: the row first, then its files, so that nobody is shown what cannot be heard any more."""

from __future__ import annotations

import logging
from pathlib import Path

from django.conf import settings
from django.db import transaction

from calls.models import Recording

log = logging.getLogger(__name__)

_BUSY = {
    Recording.Status.IN_PROGRESS: "it is still being recorded; end the recording, or the call, first",
    Recording.Status.PAUSED: "it is paused and may go on; end the recording, or the call, first",
    Recording.Status.PROCESSING: "the worker is just making its file; try again in a moment",
}


class StillInUse(Exception):
    """A recording that cannot be deleted yet; the message says why."""


def remove_recording(recording: Recording) -> None:
    """Delete a recording, its file, and what was made of it for downloads; raise `StillInUse`."""
    with transaction.atomic():
        found = Recording.objects.select_for_update().filter(pk=recording.pk).first()
        if found is None:
            return
        if why := _BUSY.get(Recording.Status(found.status)):
            raise StillInUse(f"Recording {found.sid} cannot be deleted: {why}.")
        Recording.objects.filter(pk=found.pk).delete()
        transaction.on_commit(lambda: _delete_files(found))


def files_of(recording: Recording) -> list[Path]:
    """Return the files of a recording: the finished one, its parts, and what was made of it for downloads."""
    root = Path(settings.RECORDINGS_DIR).resolve()
    paths = [(root / name).resolve() for name in (recording.file, *recording.files) if name]
    kept = [path for path in paths if path.is_relative_to(root)]
    return [*kept, *Path(settings.DOWNLOAD_CACHE_DIR).glob(f"{recording.sid}-*")]


def _delete_files(recording: Recording) -> None:
    for path in files_of(recording):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.error("recording=%s is deleted, but not its file %s: %s", recording.sid, path, error.strerror)
    log.info("recording=%s deleted", recording.sid)

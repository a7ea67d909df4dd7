"""What the worker does for recordings; `calls.delivery` has its other tasks."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone
from django_q.tasks import async_task

from calls import recordings
from calls.models import Recording

STUCK_AFTER = timedelta(minutes=5)
REAP_AT_ONCE = 500


def finish_recording(sid: str) -> str:
    """Finish a closed recording and return its status; safe to run twice, at the same time or after a crash."""
    recording = Recording.objects.filter(pk=sid).first()
    return "unknown" if recording is None else recordings.finish(recording)


def reap() -> int:
    """Enqueue again what was left half done or failed for a reason that may have passed; return how many."""
    before = timezone.now() - STUCK_AFTER
    left = Q(status=Recording.Status.PROCESSING) | Q(status=Recording.Status.FAILED, retryable=True)
    sids = list(Recording.objects.filter(left, updated__lt=before).values_list("pk", flat=True)[:REAP_AT_ONCE])
    Recording.objects.filter(pk__in=sids).update(updated=timezone.now())
    for sid in sids:
        async_task("calls.tasks.finish_recording", sid)
    return len(sids)

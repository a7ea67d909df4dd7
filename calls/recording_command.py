"""Recordings of calls in progress that somebody asks for: started, paused, resumed and stopped by the call's engine.

Source: Twilio's pages on call recordings. As with `command`, what is asked for is a row here.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from calls.command import WRONG_STATE, CommandError
from calls.entries import RecordingSpec
from calls.ledger import GROWING
from calls.models import Call, Command, Recording
from calls.status import Status
from calls.values import callback_json, recording_json, text

SOURCE = "StartCallRecordingAPI"
_AFTER = {
    Command.Action.PAUSE: Recording.Status.PAUSED.value,
    Command.Action.RESUME: Recording.Status.IN_PROGRESS.value,
    Command.Action.STOP: "stopped",  # it is `processing` as soon as its files are closed
}


def start(call: Call, spec: RecordingSpec, *, by: str = "") -> Recording:
    """Ask for a recording of a call in progress; return its row, which is there at once.

    It becomes `absent` if the engine cannot record the call any more. Raise `CommandError`.
    """
    now = timezone.now()
    with transaction.atomic():
        if Call.objects.values_list("status", flat=True).get(pk=call.pk) != Status.IN_PROGRESS:
            raise CommandError(WRONG_STATE, "Only a call in progress can be recorded: wait until it is answered.")
        recording = Recording.objects.create(
            sid=spec.sid,
            account_id=call.account_id,
            call=call,
            source=spec.source,
            channels=spec.channels,
            track=spec.track,
            start_time=now,
            status=Recording.Status.IN_PROGRESS,
            trim=spec.trim,
            callback=callback_json(spec.callback),
            updated=now,
        )
        _ask(recording, Command.Action.RECORD, by, recording=recording_json(spec))
    return recording


def change(recording: Recording, action: Command.Action, *, by: str = "") -> str:
    """Ask for a pause, its end, or the end of the recording; return the status that it will have.

    Raise `CommandError` if the recording is over.
    """
    with transaction.atomic():
        if Recording.objects.values_list("status", flat=True).get(pk=recording.pk) not in GROWING:
            raise CommandError(WRONG_STATE, f"Recording {recording.pk} is over ({recording.status}).")
        _ask(recording, action, by)
    return _AFTER[action]


def current(call: Call) -> Recording | None:
    """Return the recording of a call that runs, the newest if there are several (`Twilio.CURRENT`)."""
    return call.recordings.filter(status__in=GROWING).order_by("-start_time", "-pk").first()


def _ask(row: Recording, action: Command.Action, by: str, **options: Any) -> None:
    Command.objects.create(
        call_id=row.call_id,
        action=action,
        options={"recording_sid": row.pk, **options},
        requested_by=text(by, 255),
    )

"""asyncio: what the engine tells web applications of a call's progress, off the call path.

Each callback is a pending `DeliveryEntry` in the journal, and in the same moment in the hands of the sender, a process
of its own. What the sender cannot deliver, the worker tries again (docs/operating.md).
Sources: Twilio's status callback pages (design conformance §1.9, §1.10).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from calls.entries import CallbackSpec, DeliveryEntry, RecordingEntry
from calls.webhooks import (
    Completion,
    Parameters,
    RecordingState,
    WebhookError,
    recording_parameters,
    recording_url,
    status_parameters,
)
from routing.sid import new_sid
from sipengine import twiml
from sipengine.records import CallLog, Leg

EVENT_STATUS = {"initiated": "initiated", "ringing": "ringing", "answered": "in-progress"}


class Callbacks:
    """Makes deliveries of events. `deliver` writes one to the journal and hands it to the sender at once."""

    def __init__(self, deliver: Callable[[DeliveryEntry], None], public_url: str, engine: str) -> None:
        self._deliver = deliver
        self._public_url = public_url
        self._engine = engine

    def progress(self, leg: Leg, event: str, when: float, done: Completion | None = None) -> None:
        """Tell an event of a leg if its callback asks for it; the record counts what was told.

        The status told is the event's, or the record's at its end.
        """
        record = leg.record
        spec = record.callback
        if spec is None or event not in spec.events:
            return
        told = leg.voice_call(EVENT_STATUS.get(event, ""))
        parameters = status_parameters(told, record.callbacks_sent, when, done)
        record.callbacks_sent += 1
        self.fire(spec, record.account_sid, record.sid, "status", event, parameters, when)

    def recording(self, entry: RecordingEntry) -> None:
        """Tell that a recording has begun, if its callback asks for it; its end is the worker's to tell."""
        spec = entry.callback
        if spec is None or entry.status not in spec.events:
            return
        state = RecordingState(
            account_sid=entry.account_sid,
            call_sid="" if entry.conference_sid else entry.call_sid,
            conference_sid=entry.conference_sid,
            sid=entry.sid,
            url=recording_url(self._public_url, entry.account_sid, entry.sid),
            status=entry.status,
            channels=entry.channels,
            start_time=entry.start_time,
            source=entry.source,
            track=entry.track,
        )
        self.fire(
            spec,
            entry.account_sid,
            entry.call_sid,
            "recording",
            entry.status,
            recording_parameters(state),
            entry.start_time,
        )

    def fire(
        self,
        spec: CallbackSpec,
        account_sid: str,
        call_sid: str,
        topic: str,
        event: str,
        parameters: Parameters,
        when: float | None = None,
    ) -> None:
        """Send these parameters to a callback, whatever its events are."""
        sid = new_sid("WD")
        self._deliver(
            DeliveryEntry(
                sid=sid,
                message=sid,
                account_sid=account_sid,
                call_sid=call_sid,
                topic=topic,
                event=event,
                url=spec.url,
                method=spec.method,
                parameters=tuple(parameters),
                time=when or time.time(),
                sender=self._engine,
            )
        )


def spec_of(callback: twiml.Callback | None, absolute: Callable[[str], str], log: CallLog) -> CallbackSpec | None:
    """Return a callback of TwiML with its URL made absolute; None, with a note, if that cannot be."""
    if callback is None:
        return None
    try:
        return CallbackSpec(absolute(callback.url), callback.method, callback.events)
    except WebhookError as error:
        log.note(error.code, f"callback: {error.message}")
        return None

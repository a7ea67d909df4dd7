"""asyncio: recordings of a leg that were asked for through the API, with the call or while it lasts.

All that the leg says and hears is recorded, whatever TwiML runs.
Source: Twilio's Call resource (`Record`) and Call recordings.
"""

from __future__ import annotations

from calls.entries import QueuedCommand, RecordingSpec
from sipengine.recorder import Recorder
from sipengine.records import CallLog, Growing, Leg
from sipengine.services import Services

OVER = "There is no such recording any more (error 21220)."


def begin(services: Services, log: CallLog, leg: Leg, spec: RecordingSpec) -> Recorder:
    """Record a leg that has been answered: itself in the first channel, what it hears in the last."""
    assert leg.id is not None
    says, hears = spec.track != "outbound", spec.track != "inbound"
    groups = [[leg.id] if says else []]
    if spec.channels == 2:
        groups.append([])
    return Recorder(
        leg.record,
        groups,
        source=spec.source,
        phone=services.phone,
        log=log,
        callbacks=services.callbacks,
        own=services.own,
        folder=services.recordings,
        public_url=services.public_url,
        track=spec.track,
        trim=spec.trim,
        callback=spec.callback,
        heard=(len(groups) - 1, leg.id) if hears else None,
        sid=spec.sid,
    )


def obey(services: Services, log: CallLog, leg: Leg, command: QueuedCommand) -> tuple[bool, str]:
    """Begin, pause, resume or stop a recording; return whether that could be, and what came of it."""
    if command.action == "record":
        if command.recording is None or not leg.answered or leg.ended or leg.id is None:
            return False, "Only a call in progress can be recorded (error 21220)."
        begin(services, log, leg, command.recording)
        return True, "It is being recorded."
    recorder = _growing(log, command.recording_sid)
    if recorder is None:
        return False, OVER
    match command.action:
        case "pause":
            recorder.pause()
            return True, "The recording is paused."
        case "resume":
            recorder.resume()
            return True, "The recording goes on."
        case _:
            recorder.stop()
            return True, "The recording was ended."


def _growing(log: CallLog, sid: str) -> Growing | None:
    return next((one for one in reversed(log.recorders) if one.entry.sid == sid and not one.over), None)

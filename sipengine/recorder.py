"""asyncio: one recording while it grows: its files on the phone, its row, its first callback, its pauses, its end.

`<Dial record>`, `<Record>`, a conference's recording and one that was asked for through the API are all one of these.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from calls.entries import CallbackSpec, CallRecord, RecordingEntry
from calls.webhooks import recording_url
from routing.sid import new_sid
from sipengine.callbacks import Callbacks
from sipengine.ports import Event, LegId, Phone, RecordClosed, RecordFailed
from sipengine.records import CallLog

BYTES_PER_SECOND = 16_000  # of one channel: 16-bit samples at 8 kHz
HEADER_BYTES = 44


class Recorder:
    """One recording of a call. `groups` are the legs of each channel; `own(number, handler)` routes its events here.

    `heard` is the channel that gets all that a leg hears, and the leg. `sid` is drawn unless it is given.
    """

    def __init__(
        self,
        call: CallRecord,
        groups: Sequence[Sequence[LegId]],
        *,
        source: str,
        phone: Phone,
        log: CallLog,
        callbacks: Callbacks,
        own: Callable[[LegId, Callable[[Event], None]], None],
        folder: Path,
        public_url: str,
        track: str = "both",
        trim: bool = False,
        callback: CallbackSpec | None = None,
        conference_sid: str = "",
        heard: tuple[int, LegId] | None = None,
        sid: str = "",
    ) -> None:
        self._phone = phone
        self._log = log
        self._public_url = public_url
        self.closed = asyncio.Event()
        sid = sid or new_sid("RE")
        files = [folder / f"{sid}-{channel + 1}.part.wav" for channel in range(len(groups))]
        self._heard = heard
        self._legs = {(channel, leg) for channel, group in enumerate(groups) for leg in group}
        self._paused = self._stopping = False
        self._number = phone.record(groups, files)
        own(self._number, self.on_event)
        if heard is not None:
            phone.record_heard(self._number, *heard)
        self.entry = RecordingEntry(
            sid=sid,
            account_sid=call.account_sid,
            call_sid=call.sid,
            source=source,
            channels=len(groups),
            track=track,
            start_time=time.time(),
            status="in-progress",
            files=tuple(str(path) for path in files),
            trim=trim,
            callback=callback,
            conference_sid=conference_sid,
        )
        log.recorders.append(self)
        log.entry(self.entry)
        callbacks.recording(self.entry)
        log.event("recording.started", self.entry.start_time, recording=sid, channels=len(groups))

    @property
    def sid(self) -> str:
        """Return the recording's SID."""
        return self.entry.sid

    @property
    def url(self) -> str:
        """Return where it will be downloaded."""
        return recording_url(self._public_url, self.entry.account_sid, self.entry.sid)

    @property
    def over(self) -> bool:
        """Say whether the files are closed, or could never be written."""
        return self.closed.is_set()

    @property
    def seconds(self) -> int:
        """Return how long the recording is, in whole seconds, by what is on the disk."""
        longest = max(_size(file) for file in self.entry.files)
        return max(0, longest - HEADER_BYTES) // BYTES_PER_SECOND

    def also(self, channel: int, leg: LegId) -> None:
        """Record one leg more."""
        self._legs.add((channel, leg))
        if not self._paused:
            self._phone.record_also(self._number, channel, leg)

    def without(self, channel: int, leg: LegId) -> None:
        """Record one leg less."""
        self._legs.discard((channel, leg))
        if not self._paused:
            self._phone.record_without(self._number, channel, leg)

    def pause(self) -> None:
        """Record silence until `resume`."""
        if self._paused or self._stopping:
            return
        self._paused = True
        for channel, leg in sorted(self._legs):
            self._phone.record_without(self._number, channel, leg)
        if self._heard is not None:
            self._phone.record_heard(self._number, *self._heard, heard=False)
        self._changed("paused", "recording.paused")

    def resume(self) -> None:
        """Go on after a pause."""
        if not self._paused or self._stopping:
            return
        self._paused = False
        for channel, leg in sorted(self._legs):
            self._phone.record_also(self._number, channel, leg)
        if self._heard is not None:
            self._phone.record_heard(self._number, *self._heard)
        self._changed("in-progress", "recording.resumed")

    def _changed(self, status: str, event: str) -> None:
        self.entry = replace(self.entry, status=status)
        self._log.event(event, recording=self.sid)
        self._log.entry(self.entry)

    def stop(self) -> None:
        """Close the files; `closed` is set when that is done."""
        if not self.over and not self._stopping:
            self._stopping = True
            self._phone.stop_recording(self._number)

    def on_event(self, event: Event) -> None:
        """Take an event of the recorder."""
        match event:
            case RecordClosed():
                self.finish()
            case RecordFailed(error=error):
                self._failed(error)

    def finish(self) -> None:
        """Hand the files to the worker, which must not look at them before their last buffer is written."""
        if self.over:
            return
        self.closed.set()
        self._log.event("recording.ended", recording=self.entry.sid)
        self._log.entry(replace(self.entry, status="processing"))

    def _failed(self, error: str) -> None:
        """Go on without the recording: the call is worth more than its record."""
        if self.over:
            return
        self.closed.set()
        self._log.note(12400, f"the recording cannot be written: {error}; free space on the recordings disk")
        # The worker finds no files, makes it `absent` with this error, and tells its callback so.
        self._log.entry(replace(self.entry, status="processing", error=error))


def _size(file: str) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0

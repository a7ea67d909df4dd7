"""asyncio: `<Record>`: what the caller says, until silence, a key, the longest length or the end of the call.

Source: Twilio's `<Record>` page (transcription is not there).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from calls.verb_parameters import RecordResult, record_parameters
from sipengine import twiml
from sipengine.callbacks import spec_of
from sipengine.documents import Done, Goto, How, Next
from sipengine.ports import Event
from sipengine.recorder import Recorder

if TYPE_CHECKING:
    from sipengine.script import Script

HANGUP = "hangup"
CLOSING_SECONDS = 5.0  # how long the files may take to be closed


class RecordRun:
    """One `<Record>` while it runs."""

    def __init__(self, script: Script, verb: twiml.Record) -> None:
        self._script = script
        self._verb = verb
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._recorder: Recorder | None = None
        self._gone = False

    def abandon(self, *, parent_gone: bool) -> None:
        """Stop recording: the caller hung up, or the call goes on elsewhere."""
        self._gone = self._gone or parent_gone
        self._end(HANGUP)
        if self._recorder is not None:
            self._recorder.stop()

    def on_event(self, event: Event) -> None:
        """Take an event of the caller's leg: nothing is of interest that the line does not tell."""

    def _end(self, why: str) -> None:
        if not self._ended.done():
            self._ended.set_result(why)

    def _key(self, digit: str) -> None:
        if digit in self._verb.finish_on_key:
            self._end(digit)

    async def run(self) -> Next:
        """Record, then go on at the action; with the next verb if nothing was said."""
        script, verb = self._script, self._verb
        action = script.documents.here(verb.action)
        callback = spec_of(verb.callback, script.documents.absolute, script.log)
        script.answer()
        if verb.play_beep:
            await self._unless_over(script.line.play(await script.services.media.beep()))
            if self._ended.done():
                return Done(how=How.GONE) if self._gone else None
        services = script.services
        recorder = self._recorder = Recorder(
            script.leg.record,
            [[script.line.id]],
            source="RecordVerb",
            phone=services.phone,
            log=script.log,
            callbacks=services.callbacks,
            own=services.own,
            folder=services.recordings,
            public_url=services.public_url,
            track="inbound",
            trim=verb.trim,
            callback=callback,
        )
        script.log.event("record.started", recording=recorder.sid)
        silent = await self._until_over()
        recorder.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                await recorder.closed.wait()
        recorder.finish()  # the phone may have forgotten to say so
        seconds = recorder.seconds
        script.log.event("record.done", seconds=seconds, finished_on=self._ended.result() if self._ended.done() else "")
        if silent or not seconds:
            return Done(how=How.GONE) if self._gone else None
        key = self._ended.result() if self._ended.done() else ""
        step = Goto(action, verb.method, record_parameters(RecordResult(recorder.sid, recorder.url, seconds, key)))
        if self._gone:
            await script.documents.tell(step)
            return Done(how=How.GONE)
        return step

    async def _until_over(self) -> bool:
        """Wait for the recording's end; return True if the caller never said anything."""
        script, verb = self._script, self._verb
        started = asyncio.get_running_loop().time()
        with script.line.heard(self._key):
            fell_silent = await self._unless_over(script.line.silence(verb.timeout), verb.max_length)
        # Silence from the first moment on: the watch fired as soon as it could.
        return fell_silent and asyncio.get_running_loop().time() - started < verb.timeout + 1.0

    async def _unless_over(self, work: Coroutine[Any, Any, None], seconds: float | None = None) -> bool:
        """Do some work until it is done, the recording is to end, or the time is over; say whether it was done."""
        task = asyncio.ensure_future(work)
        waiting: set[asyncio.Future[Any]] = {task, self._ended}
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return task.done()
        finally:
            task.cancel()

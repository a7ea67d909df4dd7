"""asyncio: the engine's end of the pipe to the process that sends callbacks (`manage.py webhook_sender`).

Signing, sockets and TLS of a callback cost more than the event that it tells, so another process does them. What gets
lost on the way there, with a killed process or because the pipe is full, is in the journal as pending, and the worker
takes over what stays so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence

log = logging.getLogger("sipengine.sender")

GATHER_SECONDS = 0.01  # what is sent meanwhile is written together: one call to the kernel, one wake-up there
RESTART_SECONDS = 1.0
CLOSE_SECONDS = 2.0
COMPLAIN_SECONDS = 10.0


class SenderPipe:
    """Hands entries to the sender and keeps it running. All methods are called in the event loop's thread.

    Entries of a hundredth of a second are written together. At most `limit` bytes wait; `dropped` counts the entries
    that found no room.
    """

    def __init__(self, command: Sequence[str], limit: int = 20_000_000) -> None:
        self._command = command
        self._limit = limit
        self._buffer = bytearray()
        self._begun = b""  # what the sender has already got of the first line that waits
        self._descriptor = -1
        self._scheduled = False
        self._closing = False
        self._complained = float("-inf")
        self.dropped = 0

    def send(self, line: bytes) -> None:
        """Let the sender make this attempt, a `DeliveryEntry` as a line, at once; never blocks and never raises."""
        if len(self._buffer) + len(line) > self._limit:
            self._drop()
            return
        self._buffer += line
        if not self._scheduled and self._descriptor >= 0:
            self._scheduled = True
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._flush)

    async def run(self) -> None:
        """Keep the sender running until `close`; it survives a cancelling of this."""
        while not self._closing:
            try:
                process = await self._start()
            except OSError as error:
                log.error("the callback sender cannot be started (%s): callbacks wait", error)
            else:
                self._flush()
                code = await process.wait()
                self._let_go()
                if self._closing:
                    break
                log.error("the callback sender ended with %s: starting it again", code)
            await asyncio.sleep(RESTART_SECONDS)

    async def close(self) -> None:
        """Hand over what waits, for at most two seconds, and let the sender end by itself when it has sent it."""
        self._closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._buffer and self._descriptor >= 0:
                    self._flush()
                    await asyncio.sleep(0.01)
        if self._buffer:
            log.warning("%d callbacks are left to the worker", self._buffer.count(b"\n"))
        self._let_go()

    async def _start(self) -> asyncio.subprocess.Process:
        reading, writing = os.pipe()  # both end with this process, unlike a pipe of the loop's own
        try:
            process = await asyncio.create_subprocess_exec(*self._command, stdin=reading, start_new_session=True)
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        os.set_blocking(writing, False)
        self._descriptor = writing
        return process

    def _flush(self) -> None:
        """Write what waits, as much of it as the pipe takes; the rest when it takes more."""
        self._scheduled = False
        try:
            while self._buffer and self._descriptor >= 0:
                self._written(os.write(self._descriptor, self._buffer[:65_536]))
        except BlockingIOError:
            asyncio.get_running_loop().add_writer(self._descriptor, self._writable)
            self._scheduled = True
        except OSError:  # the sender has died; `run` starts another
            self._let_go()

    def _written(self, count: int) -> None:
        whole = self._buffer.rfind(b"\n", 0, count) + 1
        self._begun = bytes(self._buffer[whole:count]) if whole else self._begun + bytes(self._buffer[:count])
        del self._buffer[:count]

    def _writable(self) -> None:
        asyncio.get_running_loop().remove_writer(self._descriptor)
        self._flush()

    def _let_go(self) -> None:
        """Close the pipe; a line of which the sender got only the beginning is sent again to the next one."""
        if self._descriptor < 0:
            return
        asyncio.get_running_loop().remove_writer(self._descriptor)
        os.close(self._descriptor)
        self._descriptor, self._scheduled = -1, False
        self._buffer[:0] = self._begun
        self._begun = b""

    def _drop(self) -> None:
        self.dropped += 1
        now = asyncio.get_running_loop().time()
        if now - self._complained > COMPLAIN_SECONDS:
            self._complained = now
            log.error("the callback sender is behind: %d callbacks are left to the worker so far", self.dropped)

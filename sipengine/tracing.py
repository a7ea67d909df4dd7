"""Brings the SIP messages of calls from the library's files into the database; runs in the journal's writer.

Only dialogs of calls are kept: those that we began, and those whose Call-ID the log knows. It is asked a moment later,
so that the call is there. Of INVITEs that were refused a few are kept: strangers must not fill the database.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from pathlib import Path

from calls.sipmessage import SipText, TracedMessage, read
from sipengine.tracefile import Chunk, Record, TraceReader

log = logging.getLogger("sipengine.trace")

HOLD_SECONDS = 1.0  # how long after a message its call is looked up
MESSAGES_PER_DIALOG = 200
ENDING = frozenset({"BYE", "CANCEL"})  # kept beyond that number, up to as many again as a call ends with
SPARE = 10
STRANGERS, STRANGER_SECONDS = 20, 10.0  # dialogs of refused INVITEs that are kept in so many seconds
DIALOGS_REMEMBERED = 50_000


class Tracer:
    """Reads, chooses, masks, writes. `known` says which Call-IDs are of calls, `write` writes in one transaction.

    Both may raise: the same messages are then tried again the next time.
    """

    def __init__(
        self,
        folder: Path,
        known: Callable[[Collection[str]], set[str]],
        write: Callable[[list[TracedMessage]], None],
        *,
        show_digits: bool = False,
    ) -> None:
        self._reader = TraceReader(folder)
        self._known = known
        self._write = write
        self._show_digits = show_digits
        self._kept: dict[str, int] = {}  # Call-ID -> messages written
        self._strangers: list[float] = []  # when their dialogs were let in

    def turn(self, *, closed: bool = False) -> bool:
        """Write the next messages; say whether there were any. `closed`: the engine is gone, nothing more comes."""
        now = time.time()
        chunk = self._reader.read(now + HOLD_SECONDS if closed else now - HOLD_SECONDS, closed=closed)
        if chunk is None:
            return False
        chosen, counts = self._choose(chunk)
        if chosen:
            self._write(chosen)
        self._kept.update(counts)
        self._reader.done(chunk)
        if len(self._kept) > DIALOGS_REMEMBERED:
            self._kept.clear()
        return True

    def _choose(self, chunk: Chunk) -> tuple[list[TracedMessage], dict[str, int]]:
        """Return the messages to keep, and how many of each dialog there will be then."""
        found = [message for record in chunk.records if (message := self._message(record)) is not None]
        names = {message.sip.call_id for message in found}
        unsure = names - self._kept.keys()
        ours = {message.sip.call_id for message in found if message.sent and _begins(message.sip)}
        wanted = (names - unsure) | ours
        if unsure - ours:
            wanted |= self._known(unsure - ours)
        counts: dict[str, int] = {}
        chosen = []
        for message in found:
            name = message.sip.call_id
            if name not in wanted:
                if message.sent or not (_begins(message.sip) and self._lets_in(message)):
                    continue
                wanted.add(name)
            count = counts.get(name, self._kept.get(name, 0))
            if count < MESSAGES_PER_DIALOG + (SPARE if message.sip.method in ENDING else 0):
                chosen.append(message)
                counts[name] = count + 1
        return chosen, counts

    def _message(self, record: Record) -> TracedMessage | None:
        try:
            sip = read(record.data, show_digits=self._show_digits)
        except Exception:  # a fault of ours, which must not hold up the other messages
            log.exception("a SIP message from %s could not be read and is not kept", record.peer)
            return None
        if sip is None:
            return None
        return TracedMessage(
            record.microseconds, record.sent, record.transport, record.local, record.peer, record.size, sip
        )

    def _lets_in(self, message: TracedMessage) -> bool:
        """Say whether one more refused dialog may be kept now."""
        when = message.microseconds / 1e6
        self._strangers = [then for then in self._strangers if abs(when - then) < STRANGER_SECONDS]
        if len(self._strangers) >= STRANGERS:
            return False
        self._strangers.append(when)
        return True


def _begins(message: SipText) -> bool:
    return message.method == "INVITE" and message.code == 0

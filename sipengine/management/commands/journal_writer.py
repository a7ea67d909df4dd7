"""`manage.py journal_writer`: applies an engine's journal to the database, in a process of its own.

Started by the engine; it outlives an engine that is killed until it has written what is there. In its own process, so
that SQL never competes with SIP for the interpreter (docs/architecture.md).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from sipengine import store
from sipengine.journal import Batch, JournalBusy, Reader, is_closed, lock, mark_closed
from sipengine.tracing import Tracer
from sipengine.vitals import VitalsReader

log = logging.getLogger("sipengine.writer")

IDLE_SECONDS = 0.25  # the log may be this late; fewer, larger transactions cost half
DATABASE_RETRY_SECONDS = 1.0
LOCK_SECONDS = 60.0


class Command(BaseCommand):
    help = "Apply an engine's journal to the database (the engine starts this by itself)."
    requires_system_checks = []  # the engine has run them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--engine", default=settings.ENGINE_NAME, help="name of the engine whose journal it is")
        parser.add_argument("--first", type=int, default=0, help="first segment of the engine's present run")
        parser.add_argument("--parent", type=int, default=0, help="process whose end is ours too, once all is written")
        parser.add_argument("--once", action="store_true", help="apply what is there and exit")

    def handle(self, *args: Any, engine: str, first: int, parent: int, once: bool, **options: Any) -> None:
        # Ctrl-C reaches the whole process group; the engine closes the journal, and then we are done by ourselves.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        folder = Path(settings.JOURNAL_DIR) / engine
        if not _take_lock(folder):
            log.error("another journal writer of engine %s does not end", engine)
            raise SystemExit(1)
        reader = Reader(folder)
        asides = Asides(folder, engine)
        must_close = first > 0 and not is_closed(folder, first)
        died_at = _last_sign_of_life(folder)

        def is_last() -> bool:
            """Tell whether nothing more comes."""
            return once or bool(parent and os.getppid() != parent)

        while True:
            batch = reader.read()
            if must_close and (reader.segment >= first if batch is None else batch.segment >= first):
                _persistently(lambda: _close_dead(engine, died_at), is_last)
                mark_closed(folder, first)
                must_close = False
            if batch is not None:
                _persistently(lambda batch=batch: _apply(folder, batch), is_last)
                reader.done(batch)
            elif is_last():
                asides.finish()
                return
            elif not asides.turn():
                time.sleep(IDLE_SECONDS)


class Asides:
    """What is written when the journal has nothing to write: how the engine is, and the SIP messages of calls.

    With the database away they wait; they never keep the journal waiting, nor the process from ending.
    """

    def __init__(self, folder: Path, engine: str) -> None:
        self._vitals = VitalsReader(folder)
        self._tracer = Tracer(
            folder / "trace",
            store.known_call_ids,
            functools.partial(store.write_trace, engine),
            show_digits=settings.SHOW_DTMF,
        )

    def turn(self, *, closed: bool = False) -> bool:
        """Write a little; say whether there may be more at once."""
        try:
            news = self._vitals.news()
            if news is not None:
                store.tell_engine(news)
                self._vitals.done()
            return self._tracer.turn(closed=closed)
        except store.DatabaseError as error:
            log.warning("SIP messages and the engine's state wait for the database: %s", error)
        except Exception:
            log.exception("SIP messages, or the engine's state, could not be written")
        time.sleep(0 if closed else DATABASE_RETRY_SECONDS)
        return False

    def finish(self) -> None:
        """Write what the engine left."""
        while self.turn(closed=True):
            pass


def _take_lock(folder: Path) -> bool:
    """Wait for the writer of an engine that was killed to finish its work."""
    deadline = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < deadline:
        try:
            lock(folder, "writer.lock")
        except JournalBusy:
            time.sleep(0.1)
        else:
            return True
    return False


def _last_sign_of_life(folder: Path) -> float:
    """Return when the engine that ran before was last known to live."""
    try:
        return float((folder / "died").read_text())
    except (FileNotFoundError, ValueError):
        return time.time()


def _persistently(work: Any, is_last: Callable[[], bool]) -> None:
    """Do it, however long the database is away: the journal keeps everything meanwhile.

    One that is being left for another does not come back: the writer ends with its engine, and the engine's next run
    applies what is left to the new one.
    """
    told = False
    while True:
        try:
            work()
        except store.DatabaseError as error:
            if isinstance(error, store.DatabaseLeft) and is_last():
                log.warning("the journal is left for the new database")
                raise SystemExit(0) from None
            if not told:
                log.error("the database is away (%s): calls go on, the journal keeps what happens", error)
            told = True
            time.sleep(DATABASE_RETRY_SECONDS)
        else:
            if told:
                log.warning("the database is back")
            return


def _apply(folder: Path, batch: Batch) -> None:
    applied = store.apply(batch.entries)
    for entry, reason in applied.rejected:
        log.error("an entry was rejected and is kept in rejected.kept: %s", reason)
        with (
            contextlib.suppress(OSError),
            (folder / "rejected.kept").open("a", encoding="utf-8", errors="replace") as kept,
        ):
            kept.write(f"{reason}\t{entry!r}\n")


def _close_dead(engine: str, died_at: float) -> None:
    closed = store.close_dead_calls(engine, died_at)
    if closed:
        log.warning("%d legs were open when engine %s died; they are closed now", closed, engine)

"""The journal's writer as the process that it is, with a database of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from calls.entries import CallRecord, Entry, EventEntry
from sipengine.journal import Journal, JournalBusy, lock, segment_path, segments
from tests import databases, samples
from tests.databases import Database
from tests.waiting import SECONDS, until

pytestmark = pytest.mark.django_db  # only so that there is a database to take the tables from

# Engines in as far as a writer knows them: one that lives until it is killed, and one that dies at once.
LIVING = "import os, subprocess, sys; subprocess.Popen([*sys.argv[1:], '--parent', str(os.getpid())]).wait()"
DYING = "import os, subprocess, sys; subprocess.Popen([*sys.argv[1:], '--parent', str(os.getpid())]); os._exit(0)"
# The settings, but a locked database is told of at once instead of after 20 seconds.
IMPATIENT = """
from config.settings import *
if "sqlite" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["OPTIONS"]["timeout"] = 0.05
"""


class Account:
    """Stands for a row of the account table, which the call log needs no more of."""

    sid = "AC" + "0" * 32


def record(status: str = "completed", **values: Any) -> CallRecord:
    if status not in ("completed", "failed"):
        values = {"answer_time": None, "end_time": None, "duration": None, **values}
    return samples.call(Account, status=status, **values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def schema(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """Return an empty database with all tables."""
    with django_db_blocker.unblock():
        return databases.migrated(tmp_path_factory.mktemp("writer"))


class Engine:
    """The journal folder and the database of an engine e1, and the writers that it started."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.base = folder
        self.folder = folder / "journal" / "e1"
        self.database = database
        self.started: list[subprocess.Popen[str]] = []
        (folder / "impatient.py").write_text(IMPATIENT)

    @property
    def command(self) -> list[str]:
        return [sys.executable, str(settings.BASE_DIR / "manage.py"), "journal_writer", "--engine", "e1"]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DATABASE_URL": self.database.url,
            "JOURNAL_DIR": str(self.folder.parent),
            "DJANGO_SETTINGS_MODULE": "impatient",
            "PYTHONPATH": str(self.base),
        }

    def write(self, *entries: Entry) -> int:
        """Write entries as a run of the engine of its own; return the number of its first segment."""

        async def run() -> int:
            journal = Journal(self.folder)
            for entry in entries:
                journal.put(entry)
            journal.close()
            return journal.first_segment

        return asyncio.run(run())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*self.command, *arguments], env=self.environment, stderr=subprocess.PIPE, text=True, cwd=self.base
        )
        self.started.append(process)
        return process

    def serve(self) -> subprocess.Popen[str]:
        """Start a writer as an engine does."""
        return self.start("--parent", str(os.getpid()))

    def once(self, *arguments: str) -> str:
        """Let a writer apply what is there; return what it said."""
        _, said = self.start("--once", *arguments).communicate(timeout=SECONDS)
        assert self.started[-1].returncode == 0, said
        return said

    def rows(self, query: str = "SELECT sid, status FROM calls_call") -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.database.rows(query)]

    def writes(self) -> bool:
        """Say whether a writer holds the journal."""
        try:
            os.close(lock(self.folder, "writer.lock"))
        except JournalBusy:
            return True
        return False

    def stop(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()


@pytest.fixture
def engine(schema: Database, tmp_path: Path) -> Iterator[Engine]:
    made = Engine(tmp_path, schema.copy(tmp_path))
    yield made
    made.stop()


def said(process: subprocess.Popen[str], text: str) -> str:
    """Wait for a line of the process that holds this text, and return it."""
    assert process.stderr is not None
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    try:
        return next(line for line in process.stderr if text in line)
    finally:
        watchdog.cancel()


def test_it_applies_what_is_there_and_remembers_where_it_was(engine: Engine) -> None:
    first, second = record(), record()
    engine.write(first, samples.event(first, 0))
    engine.once()
    assert engine.rows() == [(first.sid, "completed")]
    engine.write(second)
    engine.once()
    assert sorted(sid for sid, _ in engine.rows()) == sorted((first.sid, second.sid))
    assert engine.rows("SELECT count(*) FROM calls_callevent") == [(1,)]
    assert segments(engine.folder) == [2]


def test_what_can_never_be_applied_is_kept_and_told_and_holds_up_nothing(engine: Engine) -> None:
    good = record()
    engine.write(EventEntry("no SID", 0, 1.0, "verb"), good)
    with segment_path(engine.folder, 1).open("ab") as file:
        file.write(b"garbage\n")
    told = engine.once()
    assert engine.rows() == [(good.sid, "completed")]
    assert "no SID" in (engine.folder / "rejected.kept").read_text()
    assert (engine.folder / "unreadable.jsonl.kept").read_bytes() == b"garbage\n"
    assert "rejected" in told and "cannot be read" in told


class TestTheCallsThatDied:
    """Ended once, after what their engine still had written and before what its next run writes."""

    def test_they_end_when_the_journal_of_their_run_has_been_applied(self, engine: Engine) -> None:
        dead = record("ringing")
        engine.write(dead)
        (engine.folder / "died").write_text(str(samples.START + 30))
        alive = record("ringing")
        run = engine.write(alive)
        told = engine.once("--first", str(run))
        assert dict(engine.rows()) == {dead.sid: "failed", alive.sid: "ringing"}
        ((end,),) = engine.rows(f"SELECT end_time FROM calls_call WHERE sid='{dead.sid}'")
        assert databases.epoch(end) == samples.START + 30
        assert "1 legs were open" in told

    def test_one_that_had_ended_in_the_journal_is_left_as_it_was(self, engine: Engine) -> None:
        over = record()
        engine.write(record("ringing", sid=over.sid), over)
        engine.once("--first", str(engine.write()))
        assert engine.rows() == [(over.sid, "completed")]
        assert engine.rows("SELECT error_code FROM calls_call") == [(0,)]

    def test_a_writer_that_is_started_again_leaves_the_calls_of_this_run_alone(self, engine: Engine) -> None:
        run = engine.write(record("ringing"))
        for _ in range(2):
            engine.once("--first", str(run))
        assert [status for _, status in engine.rows()] == ["ringing"]

    def test_a_writer_that_died_before_it_could_end_them_is_made_up_for(self, engine: Engine) -> None:
        dead = record("ringing")
        engine.write(dead)
        engine.once()
        run = engine.write(record("ringing"))
        with engine.database.away():
            killed = engine.start("--first", str(run))
            said(killed, "the database is away")
            killed.kill()
            killed.wait()
        engine.once("--first", str(run))
        assert dict(engine.rows())[dead.sid] == "failed"

    def test_without_a_sign_of_life_they_end_now(self, engine: Engine) -> None:
        before = time.time()
        engine.write(record("in-progress", start_time=before - 100, answer_time=before - 90))
        engine.once("--first", str(engine.write()))
        ((duration,),) = engine.rows("SELECT duration FROM calls_call")
        assert 90 <= duration <= 90 + SECONDS


def test_a_database_that_takes_nothing_is_waited_for(engine: Engine) -> None:
    call = record()
    engine.write(call)
    with engine.database.away():
        writer = engine.start("--once")
        assert engine.database.away_text in said(writer, "the database is away")
        assert engine.rows() == []
    said(writer, "the database is back")
    assert writer.wait(SECONDS) == 0
    assert engine.rows() == [(call.sid, "completed")]


def test_a_database_that_is_not_migrated_yet_is_waited_for(engine: Engine) -> None:
    call = record()
    engine.write(call)
    with engine.database.without("calls_call"):
        writer = engine.start("--once")
        assert engine.database.no_table_text in said(writer, "the database is away")
    assert writer.wait(SECONDS) == 0
    assert engine.rows() == [(call.sid, "completed")]


class TestItsLife:
    """It lives as long as its engine, and until it has written what that one left behind."""

    def test_it_goes_on_when_asked_to_stop_since_only_its_engine_decides(self, engine: Engine) -> None:
        first, second = record(), record()
        engine.write(first)
        writer = engine.serve()
        until(lambda: len(engine.rows()) == 1)
        writer.send_signal(signal.SIGINT)
        writer.send_signal(signal.SIGTERM)
        engine.write(second)
        until(lambda: len(engine.rows()) == 2)
        assert writer.poll() is None

    def test_it_ends_by_itself_when_its_engine_is_killed(self, engine: Engine) -> None:
        engine.write(record())
        parent = subprocess.Popen([sys.executable, "-c", LIVING, *engine.command], env=engine.environment)
        until(lambda: len(engine.rows()) == 1)
        assert engine.writes()
        parent.kill()
        parent.wait()
        until(lambda: not engine.writes())

    def test_it_ends_too_when_its_engine_died_before_it_was_up(self, engine: Engine) -> None:
        engine.write(record())
        subprocess.run([sys.executable, "-c", DYING, *engine.command], env=engine.environment, check=True)
        until(lambda: len(engine.rows()) == 1)
        until(lambda: not engine.writes())

    def test_it_waits_for_the_writer_of_a_killed_engine_to_end(self, engine: Engine) -> None:
        call = record()
        engine.write(call)
        held = lock(engine.folder, "writer.lock")
        writer = engine.start("--once")
        assert engine.rows() == []
        os.close(held)
        assert writer.wait(SECONDS) == 0
        assert engine.rows() == [(call.sid, "completed")]

"""A pytest plugin (`-p tests.environment`): settings for tests, whatever the machine's `.env` says, and their database.

pytest-django reads the settings before any conftest.py is imported, so these must be there earlier. The variable
CORDBOARD_TEST_DATABASE says on what the tests run: `sqlite` (unless it is set), or `postgresql`, a throw-away cluster
and the tests that touch the database only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase

from tests.names import know_no_others
from tests.postgresql import Cluster

DATABASE = os.environ.get("CORDBOARD_TEST_DATABASE", "sqlite")
# `database` and `schema` are databases of the tests' own, for the processes that they start.
DATABASE_FIXTURES = frozenset({"db", "transactional_db", "live_server", "database", "schema", "stack"})

# These files take longest, so they come first: nobody waits for one of them alone at the end.
FIRST = (
    "test_demo_call", "test_bridge", "test_crash", "test_silence", "test_media", "test_srtp", "test_rest_api",
    "test_database_restart", "test_verbs", "test_callbacks", "test_hold", "test_failures", "test_dialling",
    "test_on_databases", "test_copy_database", "test_webhook_sender", "test_admin_calls", "test_softphone",
    "test_journal_writer", "test_admin_drag", "test_setup", "test_session_storm", "test_v1_openapi",
)  # fmt: skip

_DATA = Path(tempfile.mkdtemp(prefix="cordboard-tests-"))
_cluster: Cluster | None = None


def _hear_ctrl_c() -> None:
    """Take SIGINT although we were started in the background, where shells have it ignored: tests send it to others."""
    with contextlib.suppress(ValueError):  # only the main thread may
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _prepare() -> None:
    """Set the environment; start the cluster, but in the workers of pytest-xdist, which have been told of it."""
    global _cluster
    os.environ.update(
        SECRET_KEY="tests-only",
        FIELD_ENCRYPTION_KEYS="S3bTSVBXhtjLBpVDZrIEh9Dzxc7b8ZqWCv1jTJd1sLg=",
        PUBLIC_URL="http://testserver",
        DATA_DIR=str(_DATA),
        STATICFILES_BACKEND="django.contrib.staticfiles.storage.StaticFilesStorage",
        DEBUG="0",
        MAX_LAG="60",  # no engine refuses calls because the machine is busy
        MAX_BACKLOG="60",
        RES_OPTIONS="timeout:1 attempts:1",  # no DNS that is away keeps a process of a test waiting for long
    )
    # Hundreds of processes are started: without bytecode each would compile everything anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    know_no_others()
    (_DATA / "static").mkdir()  # whitenoise warns of a folder that is not there, and warnings are errors
    if DATABASE not in ("sqlite", "postgresql"):
        raise pytest.UsageError(f"CORDBOARD_TEST_DATABASE={DATABASE}: it is sqlite or postgresql")
    if DATABASE == "sqlite":
        os.environ.pop("DATABASE_URL", None)
    elif "PYTEST_XDIST_WORKER" not in os.environ:
        _cluster = Cluster()
        os.environ["DATABASE_URL"] = _cluster.url("cordboard")


_hear_ctrl_c()
_prepare()


@pytest.fixture(autouse=True, scope="session")
def _connections_outlive_requests() -> Iterator[None]:
    """Leave a connection alone that is in a test's transaction; of SQLite in memory Django never closes one."""
    patch = pytest.MonkeyPatch()
    close = BaseDatabaseWrapper.close_if_unusable_or_obsolete
    patch.setattr(
        BaseDatabaseWrapper,
        "close_if_unusable_or_obsolete",
        lambda connection: None if connection.in_atomic_block else close(connection),
    )
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def _tables_are_put_back() -> Iterator[None]:
    """Put back what migrations made after every test that empties the tables, for whichever test comes next."""
    patch = pytest.MonkeyPatch()
    contents: list[str] = []

    def keep(case: type[TransactionTestCase]) -> None:
        if not contents:
            contents.append(connection.creation.serialize_db_to_string())

    def put_back(case: TransactionTestCase) -> None:
        # Without the signal, or else there would be two of what is made after migrations.
        call_command("flush", verbosity=0, interactive=False, inhibit_post_migrate=True)
        connection.creation.deserialize_db_from_string(contents[0])

    patch.setattr(TransactionTestCase, "_fixture_setup", classmethod(keep))
    patch.setattr(TransactionTestCase, "_fixture_teardown", put_back)
    yield
    patch.undo()


def pytest_configure(config: pytest.Config) -> None:
    """Leave pytest-django's database to go with its cluster: threads of a live server may still be connected to it.

    What makes a password safe is that each guess takes a quarter of a second; so does each user of a test.
    """
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    if DATABASE == "postgresql":
        config.option.reuse_db = True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what touches the database; on PostgreSQL leave the rest out, which has had its turn on SQLite."""
    for item in items:
        if _touches_database(item):
            item.add_marker("database")
    here = [item for item in items if _runs_here(item)]
    others = [item for item in items if not _runs_here(item)]
    items[:] = sorted(here, key=lambda item: FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST))
    config.hook.pytest_deselected(items=others)


def _runs_here(item: pytest.Item) -> bool:
    only = {name for mark in item.iter_markers("database") for name in mark.args}
    return DATABASE in only if only else DATABASE == "sqlite" or item.get_closest_marker("database") is not None


def _touches_database(item: pytest.Item) -> bool:
    fixtures = DATABASE_FIXTURES.intersection(getattr(item, "fixturenames", ()))
    return bool(fixtures) or item.get_closest_marker("django_db") is not None


def pytest_report_header() -> str:
    return f"database: {DATABASE}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Leave what came of it for `tests.on_databases`, which tells it of all databases together."""
    path = os.environ.get("CORDBOARD_TEST_SUMMARY")
    if path is None or "PYTEST_XDIST_WORKER" in os.environ:
        return
    failed = [report for kind in ("failed", "error") for report in terminalreporter.stats.get(kind, ())]
    passed = len(terminalreporter.stats.get("passed", ()))
    names = sorted({report.nodeid for report in failed})
    Path(path).write_text(json.dumps({"passed": passed, "failed": names}))


def pytest_unconfigure() -> None:
    shutil.rmtree(_DATA, ignore_errors=True)
    if _cluster is not None:
        _cluster.close()

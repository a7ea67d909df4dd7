"""Moving to another database (issue 4, part 4): every row, as it was; and nothing that happens meanwhile is lost."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from pytest_django.fixtures import Settings

from calls import leaving
from calls.entries import CallRecord
from sipengine import store
from sipengine.journal import Journal
from tests import databases, samples
from tests.databases import Database

pytestmark = pytest.mark.django_db  # only so that there is a database to take the tables from

ROOT = settings.BASE_DIR
SECONDS = 600
WRITER = ("journal_writer", "--engine", "e1", "--once")
# Rows of every kind of column, text that is hard on one of the two, and secrets.
FILL = """
from datetime import date
from django.contrib.auth.models import User, Group, Permission
from django_q.tasks import async_task
from calls import ledger
from calls.models import Call, Notification
from routing.models import *
from tests import samples
account = Account.objects.create(friendly_name="Zoë 🙂", auth_token="0123456789abcdef0123456789abcdef")
people = CredentialList.objects.create(account=account, friendly_name="people")
people.credentials.create(username="alice", password="Sup3rSecretPass")
domain = SipDomain.objects.create(account=account, domain_name="a.example", voice_url="http://h/voice")
domain.credential_lists.set([people])
user = User.objects.create_superuser("boss", password="x" * 12)
Group.objects.create(name="all").permissions.set(Permission.objects.all())
records = [samples.call(account, start_time=samples.START + n + 0.123456) for n in range(3)]
ledger.apply([*records, *(samples.event(one, n, detail={"list": [n, 1.5, None, True], "text": "ü"})
                          for one in records for n in range(2000))])
Notification.objects.filter().update(message="x")
async_task("calls.tasks.reap")
Call.objects.filter(sid=records[0].sid).update(reason="a\\tb\\\\N\\r\\nc")
"""


def manage(database: Database, folder: Path, *arguments: str, code: int = 0) -> str:
    """Run a command with this database; return what it said."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database.url, "JOURNAL_DIR": str(folder / "journal")},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def content(database: Database) -> dict[str, list[str]]:
    """Return all rows of all tables, in an order and a form that are the same on every database."""
    if database.url.startswith("sqlite"):
        sql = "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite%'"
    else:
        sql = "SELECT tablename AS name FROM pg_tables WHERE schemaname='public'"
    names = sorted(row["name"] for row in database.rows(sql))
    names.remove("django_migrations")  # when they were applied there
    return {name: sorted(_form(row) for row in database.rows(f"SELECT * FROM {name}")) for name in names}


def _form(row: dict[str, Any]) -> str:
    return json.dumps({name: _value(value) for name, value in row.items()}, sort_keys=True)


def _value(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return json.loads(value)
        except ValueError:
            return value
    # PostgreSQL adds the zone and leaves out zeros at the end of a fraction.
    return value.removesuffix("+00").rstrip("0") if isinstance(value, str) and value[10:11] == " " else value


@pytest.fixture(scope="module")
def database(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database with something of everything."""
    folder = tmp_path_factory.mktemp("filled")
    with django_db_blocker.unblock():
        made = databases.migrated(folder)
    manage(made, folder, "shell", "-v", "0", "-c", FILL)
    return made


@pytest.fixture
def source(database: Database, tmp_path: Path) -> Database:
    return database.copy(tmp_path)


@pytest.fixture
def target(tmp_path: Path) -> Database:
    return databases.empty(tmp_path / "target")


@pytest.fixture(scope="module")
def copied(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A copy of it, made by the command."""
    folder = tmp_path_factory.mktemp("copied")
    made = databases.empty(folder / "target")
    said = manage(database, folder, "copy_database", "--to", made.url)
    assert "6000 calls_callevent" in said
    assert made.url in said
    return made


class TestCopy:
    """Both ways between the databases that the tests run on, and within one."""

    def test_every_row_of_every_table_is_there_as_it_was(self, database: Database, copied: Database) -> None:
        before, after = content(database), content(copied)
        assert len(before["calls_callevent"]) == 6000
        for table, rows in before.items():
            assert after[table] == rows, table

    def test_and_back_by_way_of_sqlite(self, database: Database, target: Database, tmp_path: Path) -> None:
        file = databases.SqliteFile(tmp_path / "between.sqlite3")
        manage(database, tmp_path, "copy_database", "--to", file.url)
        manage(file, tmp_path, "copy_database", "--to", target.url)
        assert content(target) == content(database)

    def test_secrets_open_with_the_same_key_and_new_rows_get_new_numbers(
        self, copied: Database, tmp_path: Path
    ) -> None:
        (tmp_path / "own").mkdir()
        code = """
from django.contrib.auth.models import User
from routing.models import *
print(Credential.objects.get().password, Account.objects.get().auth_token)
User.objects.create(username="next")
acl = IpAccessControlList.objects.create(account=Account.objects.get(), friendly_name="next")
SipDomain.objects.get().ip_access_control_lists.add(acl)
"""
        said = manage(copied.copy(tmp_path / "own"), tmp_path, "shell", "-v", "0", "-c", code)
        assert "Sup3rSecretPass 0123456789abcdef" in said


class TestRefusals:
    """Nothing is copied, and the present database stays in use."""

    @pytest.mark.parametrize(
        ("to", "why"),
        [
            ("mysql://h/n", "--to begins with 'mysql'"),
            ("postgres://u:secret@h:port/n", "--to cannot be read"),
            ("postgres://u:secret@127.0.0.1:1/n", "Is the server running there"),
            ("postgres://u@no-such-host.invalid/n", "a host that is not known"),
            ("sqlite:////no/such/folder/x.sqlite3", "The folder and the file must belong"),
        ],
    )
    def test_a_database_that_cannot_be_used(self, database: Database, tmp_path: Path, to: str, why: str) -> None:
        said = manage(database, tmp_path, "copy_database", "--to", to, code=1)
        assert why in said
        assert "secret" not in said
        assert "Traceback" not in said
        assert not (tmp_path / "journal" / "database-left.json").exists()

    def test_an_old_one(self, target: Database) -> None:
        MigrationRecorder(connection).migration_qs.filter(app="calls").delete()
        with pytest.raises(CommandError, match="lacks .* migrations. Run ./cordboard manage bootstrap"):
            call_command("copy_database", to=target.url)

    def test_the_one_that_is_in_use(self, database: Database, tmp_path: Path) -> None:
        assert "is in use" in manage(database, tmp_path, "copy_database", "--to", database.url, code=1)

    def test_one_that_holds_something(self, database: Database, copied: Database, tmp_path: Path) -> None:
        before = content(copied)
        assert "it has 1 accounts already" in manage(database, tmp_path, "copy_database", "--to", copied.url, code=1)
        assert content(copied) == before


def test_a_table_that_does_not_fit_stops_all_and_is_named(database: Database, target: Database, tmp_path: Path) -> None:
    """All or nothing: the target is left as it was, and so is the use of the present database."""
    manage(target, tmp_path, "migrate", "-v", "0")
    before = content(target)
    target.execute("ALTER TABLE calls_callevent RENAME COLUMN detail TO details")
    said = manage(database, tmp_path, "copy_database", "--to", target.url, code=1)
    assert "calls_callevent: " in said
    assert "Nothing was copied" in said
    target.execute("ALTER TABLE calls_callevent RENAME COLUMN details TO detail")
    assert content(target) == before
    assert not (tmp_path / "journal" / "database-left.json").exists()


class TestWhatHappensMeanwhile:
    """From the copy on, the old database takes nothing; engines keep it in their journals for the new one."""

    def journal(self, folder: Path, *entries: CallRecord) -> int:
        async def write() -> int:
            journal = Journal(folder / "journal" / "e1")
            for entry in entries:
                journal.put(entry)
            journal.close()
            return journal.first_segment

        return asyncio.run(write())

    def test_it_goes_into_the_new_one_or_after_an_undo_into_the_old_one(
        self, source: Database, target: Database, tmp_path: Path
    ) -> None:
        account = source.rows("SELECT sid FROM routing_account")[0]["sid"]
        made = samples.call(type("Account", (), {"sid": account}))  # type: ignore[arg-type]
        find = "SELECT status FROM calls_call WHERE sid=?"
        manage(source, tmp_path, "copy_database", "--to", target.url)
        self.journal(tmp_path, made)
        assert "left for the new database" in manage(source, tmp_path, *WRITER)
        assert source.rows(find, made.sid) == []
        manage(target, tmp_path, *WRITER)
        assert target.rows(find, made.sid) == [{"status": "completed"}]
        manage(source, tmp_path, "copy_database", "--undo")
        self.journal(tmp_path, made)
        manage(source, tmp_path, *WRITER)
        assert source.rows(find, made.sid) == [{"status": "completed"}]


@pytest.fixture
def left(db: None, settings: Settings, tmp_path: Path) -> Iterator[None]:
    settings.JOURNAL_DIR = tmp_path
    leaving.leave()
    yield
    leaving.stay()


class TestALeftDatabase:
    """Whoever of an engine writes finds it away; the web lets nothing be changed, and goes on to serve TwiML."""

    @pytest.mark.usefixtures("left")
    def test_an_engine_finds_it_away(self) -> None:
        for write in (
            lambda: store.apply([]),
            lambda: store.claim_calls("e1", ("us1",), 1),
            lambda: store.take_commands("e1"),
            lambda: store.close_dead_calls("e1", 0.0),
        ):
            with pytest.raises(store.DatabaseError, match="copied to another one"):
                write()

    @pytest.mark.usefixtures("left")
    def test_it_can_be_read(self) -> None:
        assert store.routing(None) is not None

    @pytest.mark.usefixtures("left")
    def test_a_change_through_the_web_is_refused_with_the_reason(self, client: Client) -> None:
        response = client.post("/admin/login/", {"username": "a", "password": "b"})
        assert response.status_code == 503
        assert response["Retry-After"] == "60"
        assert b"moves to another database" in response.content

    @pytest.mark.usefixtures("left")
    def test_pages_and_twiml_are_served(self, client: Client) -> None:
        assert client.get("/admin/login/").status_code == 200
        assert client.post("/voice/").status_code != 503

    def test_another_database_is_not_meant(self, db: None, settings: Settings, tmp_path: Path) -> None:
        settings.JOURNAL_DIR = tmp_path
        (tmp_path / "database-left.json").write_text('{"database": "django.db.backends.postgresql h: other"}')
        store.apply([])

    def test_leaving_waits_for_what_is_being_written(self, db: None, settings: Settings, tmp_path: Path) -> None:
        settings.JOURNAL_DIR = tmp_path
        with leaving.writing():
            thread = threading.Thread(target=leaving.leave)
            thread.start()
            while not leaving.is_left():
                pass
            thread.join(0.1)
            assert thread.is_alive()
        thread.join()
        with pytest.raises(OperationalError), leaving.writing():
            pass

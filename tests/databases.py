"""Databases of the tests' own, for the processes that they start: an SQLite file each, or a database of the cluster.

Tests read and change them with SQL that both understand, behind everybody's back. `?` stands for a value, and rows hold
the same on both: times as text in UTC, JSON as text.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection, models
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

from tests.environment import DATABASE
from tests.postgresql import USER

SECONDS = 60
_numbers = itertools.count(1)


class Database(ABC):
    """One database; `url` is its DATABASE_URL."""

    url: str
    away_text: str  # what is said of it while it is `away`
    no_table_text: str  # what is said of a table that is not there

    @abstractmethod
    def rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Read with SQL."""

    @abstractmethod
    def execute(self, sql: str, *values: object) -> None:
        """Change it with SQL."""

    @abstractmethod
    def away(self) -> contextlib.AbstractContextManager[None]:
        """Let it take nothing until the block ends; what is in it can be read."""

    @abstractmethod
    def copy(self, folder: Path) -> Database:
        """Return another one with the same content."""

    @contextlib.contextmanager
    def without(self, table: str) -> Iterator[None]:
        """Let a table be missing until the block ends, as before a migration."""
        self.execute(f"ALTER TABLE {table} RENAME TO later")
        yield
        self.execute(f"ALTER TABLE later RENAME TO {table}")

    def add(self, row: models.Model) -> None:
        """Insert a row of pytest-django's database, which other processes cannot see."""
        fields = row._meta.concrete_fields
        columns = ", ".join(str(field.column) for field in fields)
        values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]
        marks = ", ".join("?" * len(fields))
        self.execute(f"INSERT INTO {row._meta.db_table} ({columns}) VALUES ({marks})", *values)


class SqliteFile(Database):
    """An SQLite file; SQLite locks all of it for whoever writes."""

    away_text = "locked"
    no_table_text = "no such table"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"

    def rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=SECONDS)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(sql, values)]

    def execute(self, sql: str, *values: object) -> None:
        with contextlib.closing(sqlite3.connect(self.path, timeout=SECONDS)) as database, database:
            database.execute(sql, values)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=SECONDS, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                database.execute("ROLLBACK")

    def copy(self, folder: Path) -> SqliteFile:
        target = folder / "cordboard.sqlite3"
        shutil.copy(self.path, target)
        return SqliteFile(target)


class PostgresqlDatabase(Database):
    """A database of the cluster that CORDBOARD_TEST_DATABASE=postgresql started."""

    away_text = "read-only"
    no_table_text = "does not exist"

    def __init__(self, name: str, server_url: str) -> None:
        self.name = name
        self.server = server_url
        self.url = f"{server_url}/{name}"

    def rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        with _connect(self.server, self.name) as database:
            return database.execute(_translated(sql), values).fetchall()

    def execute(self, sql: str, *values: object) -> None:
        with _connect(self.server, self.name) as database:
            database.execute(_translated(sql), values)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Do as a server does that has become a standby: connections end, new ones cannot write."""
        self._server(f"ALTER DATABASE {self.name} SET default_transaction_read_only = on")
        try:
            yield
        finally:
            self._server(f"ALTER DATABASE {self.name} RESET default_transaction_read_only")

    def copy(self, folder: Path | None = None) -> PostgresqlDatabase:
        target = new_name()
        self._server(f"CREATE DATABASE {target} TEMPLATE {self.name}")
        return PostgresqlDatabase(target, self.server)

    def _server(self, sql: str) -> None:
        """Have the server do this with the database, to which nobody is connected then."""
        with _connect(self.server, "postgres") as database:
            end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
            database.execute(end, [self.name])
            database.execute(sql)
            if not sql.startswith("CREATE"):
                database.execute(end, [self.name])


def empty(folder: Path) -> Database:
    """Return a database without any table."""
    folder.mkdir(parents=True, exist_ok=True)
    if DATABASE == "sqlite":
        return SqliteFile(folder / "cordboard.sqlite3")
    return empty_of(server())


def empty_of(server_url: str, options: str = "") -> PostgresqlDatabase:
    """Return a database without any table of this PostgreSQL."""
    made = PostgresqlDatabase(new_name(), server_url)
    with _connect(server_url, "postgres") as database:
        database.execute(f"CREATE DATABASE {made.name} {options}")
    return made


def server() -> str:
    """Return the URL of the cluster that CORDBOARD_TEST_DATABASE=postgresql started, without a database."""
    return os.environ["DATABASE_URL"].rpartition("/")[0]


def migrated(folder: Path) -> Database:
    """Return a copy of the database that pytest-django made: all tables, and what migrations put into them.

    To be called outside of a test's transaction.
    """
    if DATABASE == "postgresql":
        connection.close()
        return PostgresqlDatabase(str(connection.settings_dict["NAME"]), server()).copy()
    made = SqliteFile(folder / "cordboard.sqlite3")
    with contextlib.closing(sqlite3.connect(made.path)) as target:
        connection.ensure_connection()
        connection.connection.backup(target)
    return made


def epoch(stored: str) -> float:
    """Return a time that `rows` told, in seconds since the epoch."""
    return datetime.fromisoformat(stored).replace(tzinfo=UTC).timestamp()


def new_name() -> str:
    """Return a name that no database of the cluster has."""
    return f"made_{os.getpid()}_{next(_numbers)}"


def _connect(server: str, name: str) -> psycopg.Connection[dict[str, Any]]:
    database = psycopg.connect(
        host=server.partition("@/")[2], user=USER, dbname=name, autocommit=True, row_factory=dict_row,
        options="-c timezone=UTC -c default_transaction_read_only=off",
    )  # fmt: skip
    for kind in ("timestamptz", "jsonb"):
        database.adapters.register_loader(kind, TextLoader)
    return database


def _translated(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")

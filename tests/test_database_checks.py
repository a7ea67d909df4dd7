"""What an operator is told of a DATABASE_URL that does not work: the field, the cause, and what to do."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from config import database
from routing import database_checks
from tests import databases

BASE = Path("/srv/cordboard")


class TestTheUrl:
    """Read when the settings are; nothing is connected to."""

    def test_a_relative_file_is_one_of_the_checkout(self) -> None:
        assert database.database("sqlite:///x.sqlite3", BASE)["NAME"] == "/srv/cordboard/x.sqlite3"
        assert database.database("sqlite:////data/x.sqlite3", BASE)["NAME"] == "/data/x.sqlite3"

    def test_memory_is_no_file(self) -> None:
        assert database.database("sqlite://:memory:", BASE)["NAME"] == ":memory:"

    def test_postgresql_has_user_password_host_port_and_name(self) -> None:
        made = database.database("postgres://me:p%40ss@db.example:6000/calls", BASE)
        assert [made[key] for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME")] == [
            "me", "p@ss", "db.example", 6000, "calls",
        ]  # fmt: skip

    def test_a_folder_is_that_of_a_socket(self) -> None:
        made = database.database("postgres://me@//run/postgresql/calls", BASE)
        assert (made["HOST"], made["NAME"]) == ("/run/postgresql", "calls")

    def test_options_in_it_win_over_ours(self) -> None:
        options = database.database("postgres://h/n?connect_timeout=1&sslmode=require", BASE)["OPTIONS"]
        assert (options["connect_timeout"], options["sslmode"]) == (1, "require")
        assert options["keepalives_idle"] == 10

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("mysql://h/n", "'mysql', which is no database for Cordboard"),
            ("calls.sqlite3", "no database for Cordboard"),
            ("postgres://h:port/n", "cannot be read"),
            ("postgres://u@h", "names no database of the server"),
        ],
    )
    def test_one_that_names_none_is_refused_with_an_example(self, url: str, why: str) -> None:
        with pytest.raises(ImproperlyConfigured, match=why) as error:
            database.database(url, BASE)
        assert "DATABASE_URL=postgres://user:password@host/name" in str(error.value)

    def test_without_the_driver_it_says_what_to_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ImproperlyConfigured, match="driver is missing: run ./cordboard setup"):
            database.database("postgres://h/n", BASE)

    def test_people_do_not_see_its_password(self) -> None:
        assert database.without_password("postgres://me:secret@h/n") == "postgres://me:…@h/n"
        assert database.without_password("sqlite:///x") == "sqlite:///x"


def said(url: str, *command: str) -> str:
    """Run a command with this DATABASE_URL, which fails; return what it said."""
    done = subprocess.run(
        [sys.executable, "manage.py", *command], cwd=settings.BASE_DIR, env={**os.environ, "DATABASE_URL": url},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


class TestTheServer:
    """Asked by `bootstrap`, by `check --database default`, and by the engine, which goes on and waits."""

    @pytest.mark.parametrize("command", [("bootstrap",), ("check", "--database", "default")])
    def test_one_that_does_not_run_is_named_with_what_to_do(self, command: tuple[str, ...]) -> None:
        text = said("postgres://me:secret@127.0.0.1:1/n", *command)
        assert "The database cannot be reached" in text
        assert "Is the server running there" in text
        assert "secret" not in text

    def test_a_wrong_setting_is_one_line(self) -> None:
        assert said("mysql://h/n", "check").count("\n") == 1

    @pytest.mark.parametrize(
        ("text", "hint"),
        [
            ('could not translate host name "x" to address', "correct it in .env"),
            ("Connection refused", "systemctl status postgresql"),
            ("connection timeout expired", "firewall"),
            ('FATAL: database "calls" does not exist', "createdb"),
            ('FATAL: password authentication failed for user "me"', "%40 for @"),
            ('FATAL: role "me" does not exist', "user and password"),
            ("FATAL: sorry, too many clients already", "max_connections"),
            ("PostgreSQL 14 or later is required (found 12.1).", "PostgreSQL 14"),
            ("unable to open database file", "DATA_DIR"),
            ("something else", "docs/operating.md"),
        ],
    )
    def test_each_cause_has_its_hint(self, text: str, hint: str) -> None:
        assert hint in database_checks.hint_for(text)

    @pytest.mark.django_db
    def test_one_that_works_has_no_problem(self) -> None:
        assert database_checks.check_database(databases=["default"]) == []

    @pytest.mark.django_db
    def test_one_that_lacks_migrations_is_told_with_the_command(self) -> None:
        MigrationRecorder(connection).migration_qs.filter(app="calls").delete()
        (problem,) = database_checks.check_database(databases=["default"])
        assert "lacks" in problem.msg
        assert "./cordboard manage bootstrap" in database_checks.in_a_line(problem)

    @pytest.mark.database("postgresql")
    def test_a_database_that_is_not_there(self) -> None:
        url = databases.server() + "/nowhere"
        assert "createdb" in said(url, "check", "--database", "default")

    @pytest.mark.database("postgresql")
    def test_one_that_cannot_hold_every_name(self) -> None:
        made = databases.empty_of(databases.server(), "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        assert "LATIN1" in said(made.url, "check", "--database", "default")

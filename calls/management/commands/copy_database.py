"""`manage.py copy_database --to URL`: move to another database, from SQLite to PostgreSQL or back, losing nothing."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from calls import copying, leaving
from calls.models import Call
from config.database import database, without_password
from routing import database_checks
from routing.models import Account

ALIAS = "copy"
NEXT = """
Copied. From now on engines write nothing into the old database; what happens is kept in their journals.
Next:
  1. In .env:  DATABASE_URL={url}
  2. Start the web process, the worker and every engine again. The engines' journals are then applied to the new one.
To stay with the old one instead: ./cordboard manage copy_database --undo"""


class Command(BaseCommand):
    help = "Copy everything into another, empty database, and let engines keep what happens until they use that one."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--to", metavar="URL", help="the new DATABASE_URL, like postgres://user:password@host/name")
        what.add_argument("--undo", action="store_true", help="stay with the present database after a copy")

    def handle(self, *args: Any, to: str | None, undo: bool, **options: Any) -> None:
        """Check both databases, have engines keep what happens, copy."""
        if to is None:
            leaving.stay()
            self.stdout.write("Engines write into the present database again.")
            return
        target = self.open(to)
        started = time.monotonic()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))
        try:
            leaving.leave()
            copied = copying.copy(connection, target, lambda name, rows: self.stdout.write(f"{rows:>10} {name}"))
        except (copying.CopyError, DatabaseError) as error:
            leaving.stay()
            raise CommandError(f"Nothing was copied, and the present database stays in use: {error}.") from None
        except BaseException:
            leaving.stay()
            raise
        self.stdout.write(f"{sum(copied.values()):>10} rows in {time.monotonic() - started:.0f} s")
        self.stdout.write(NEXT.format(url=without_password(to)))

    def open(self, url: str) -> BaseDatabaseWrapper:
        """Return a connection to the new database, migrated and empty; raise `CommandError` if it is neither."""
        try:
            described = database(url, settings.BASE_DIR)
        except ImproperlyConfigured as error:
            raise CommandError(str(error).replace("DATABASE_URL", "--to")) from None
        if leaving.name_of(described) == leaving.name_of(connection.settings_dict):
            raise CommandError("--to names the database that is in use: name another one.")
        self.refuse(database_checks.unreachable() or database_checks.unmigrated())
        connections.settings[ALIAS] = connections.configure_settings({**_default(), ALIAS: described})[ALIAS]
        target = connections[ALIAS]
        self.refuse(database_checks.unreachable(ALIAS))
        migrate(url)
        for model in (Account, Call):
            if rows := model._base_manager.using(ALIAS).count():
                raise CommandError(
                    f"--to is in use: it has {rows} {model._meta.verbose_name_plural} already. Name an empty database."
                )
        return target

    def refuse(self, problems: list[Any]) -> None:
        """Raise the first problem."""
        for problem in problems:
            raise CommandError(database_checks.in_a_line(problem))


def migrate(url: str) -> None:
    """Make the tables, in a process whose only database this is: data migrations write to the one in use."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "migrate", "--verbosity", "0"]
    done = subprocess.run(
        command, env={**os.environ, "DATABASE_URL": url}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise CommandError("--to cannot be migrated: " + " ".join(done.stderr.splitlines()[-3:]))


def _default() -> dict[str, Any]:
    return {DEFAULT_DB_ALIAS: settings.DATABASES[DEFAULT_DB_ALIAS]}

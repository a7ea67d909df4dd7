"""Checks of the database that DATABASE_URL names, each with what to do; `manage.py check --database default` runs them.

They connect, so nothing that only reads settings runs them by itself: `bootstrap` and the engine ask for them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor

# What PostgreSQL (libpq) and SQLite say, and what to do about it; the first one that is found counts.
HINTS = (
    (r"translate host name|resolve", "DATABASE_URL names a host that is not known: correct it in .env."),
    (
        r"refused|No such file|unreachable|is shut",
        "Is the server running there (systemctl status postgresql), and does DATABASE_URL name its host and port?",
    ),
    (r"timeout|timed out", "The host does not answer: does a firewall keep its port closed?"),
    (
        r'database ".*" does not exist',
        "Make it, as the user postgres: createdb --encoding UTF8 --template template0 --owner <user> <name>.",
    ),
    (
        r"password|authentication|pg_hba|role",
        "Correct user and password in DATABASE_URL. In a password write %40 for @, %2F for /, %25 for %.",
    ),
    (r"starting up|too many", "Wait a little, or allow more connections (max_connections) in the server's settings."),
    (r"version|or later is required", "Cordboard needs PostgreSQL 14 or newer."),
    (r"unable to open|readonly", "The folder and the file must belong to the user who runs Cordboard: see DATA_DIR."),
)
OTHERWISE = "Correct DATABASE_URL in .env; docs/operating.md says what it looks like."


def unreachable(alias: str = DEFAULT_DB_ALIAS) -> list[CheckMessage]:
    """Say why the database cannot be used at all."""
    connection = connections[alias]
    try:
        connection.ensure_connection()
        if connection.vendor != "postgresql":
            return []
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_encoding")
            (encoding,) = cursor.fetchone()
    except DatabaseError as error:
        said = " ".join(str(error).split())
        return [Error(f"The database cannot be reached: {said}.", hint=hint_for(said), id="routing.E010")]
    if encoding == "UTF8":
        return []
    hint = "Make it anew: createdb --encoding UTF8 --template template0 --owner <user> <name>."
    return [Error(f"The database is encoded in {encoding}, and names need UTF8.", hint=hint, id="routing.E011")]


def hint_for(said: str) -> str:
    """Return what to do about what the database, or its driver, said."""
    return next((hint for pattern, hint in HINTS if re.search(pattern, said, re.IGNORECASE)), OTHERWISE)


def unmigrated(alias: str = DEFAULT_DB_ALIAS) -> list[CheckMessage]:
    """Say that tables are missing or old."""
    executor = MigrationExecutor(connections[alias])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not plan:
        return []
    hint = "Run ./cordboard manage bootstrap."
    return [Warning(f"The database lacks {len(plan)} migrations.", hint=hint, id="routing.W012")]


@register(Tags.database)
def check_database(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check what can be checked of these databases."""
    return [problem for alias in databases or () for problem in unreachable(alias) or unmigrated(alias)]


def in_a_line(problem: CheckMessage) -> str:
    """Return a problem and what to do about it."""
    return f"{problem.msg} {problem.hint}"

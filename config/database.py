"""The database that DATABASE_URL names, as Django wants it: SQLite or PostgreSQL."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

SQLITE, POSTGRESQL = "django.db.backends.sqlite3", "django.db.backends.postgresql"
LIKE = "write DATABASE_URL=postgres://user:password@host/name into .env, or nothing for SQLite in DATA_DIR"
# WAL and IMMEDIATE: without them readers and writers meet "database is locked" under load (design/libraries.md §3).
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000;",
}
# Seconds (tcp_user_timeout: milliseconds) after which a server that is silent, rather than down, counts as away.
POSTGRESQL_OPTIONS = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def database(url: str, base: Path) -> dict[str, Any]:
    """Return the settings of a database; a relative path of an SQLite file starts at `base`.

    Raise `ImproperlyConfigured` with the fix for a URL that names none, and when the driver is not installed.
    """
    scheme = url.partition(":")[0]
    kinds = {"sqlite": SQLITE, "postgres": POSTGRESQL, "postgresql": POSTGRESQL}
    if scheme not in kinds:
        raise ImproperlyConfigured(f"DATABASE_URL begins with {scheme!r}, which is no database for Cordboard: {LIKE}.")
    try:
        made: dict[str, Any] = environ.Env.db_url_config(url)
    except ValueError as error:
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read ({error}): {LIKE}.") from None
    made.setdefault("OPTIONS", {})
    if kinds[scheme] == SQLITE:
        made["OPTIONS"] = SQLITE_OPTIONS | made["OPTIONS"]
        if made["NAME"] != ":memory:":
            made["NAME"] = str(base / made["NAME"])
    else:
        if not made["NAME"]:
            raise ImproperlyConfigured(f"DATABASE_URL names no database of the server: {LIKE}.")
        if importlib.util.find_spec("psycopg") is None:
            raise ImproperlyConfigured("DATABASE_URL names PostgreSQL, whose driver is missing: run ./cordboard setup.")
        made["OPTIONS"] = POSTGRESQL_OPTIONS | made["OPTIONS"]
    # A connection that broke since the last request, because the server was started again, is opened anew.
    return {**made, "CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}


def without_password(url: str) -> str:
    """Return a DATABASE_URL for the eyes of people."""
    parts = urlsplit(url)
    return url.replace(f":{parts.password}@", ":…@") if parts.password else url

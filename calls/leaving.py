"""Leaving a database for another one: from the moment that it is copied on, nothing that an engine tells goes into it.

The mark is a file beside the journals. Whatever of an engine writes to the database does it in `writing()`, which
refuses a database that is being left as if that were away: the journal keeps what happens, and its writer applies that
to the new database once the engine has been started with it. The mark names the old one, so nothing has to be undone
after the move.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse

READING = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class DatabaseLeft(OperationalError):
    """This database is being left, or has been."""

    def __init__(self) -> None:
        super().__init__(
            "it has been copied to another one, so nothing is written here any more; write the new DATABASE_URL into "
            ".env and start again, or stay with `copy_database --undo`"
        )


def name_of(database: dict[str, Any]) -> str:
    """Return what tells a database from others: its server and name, or its file."""
    place = ":".join(str(database.get(key) or "") for key in ("HOST", "PORT"))
    return f"{database['ENGINE']} {place} {database['NAME']}"


def is_left() -> bool:
    """Tell whether the database of this process is being left."""
    try:
        left = json.loads(_mark().read_text(encoding="utf-8"))["database"]
    except FileNotFoundError:
        return False
    return bool(left == name_of(connection.settings_dict))


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Do what writes to the database; raise `DatabaseLeft` if it is being left."""
    with _lock(fcntl.LOCK_SH):
        if is_left():
            raise DatabaseLeft
        yield


def leave() -> None:
    """Mark the database of this process as being left, and wait for what is being written at this moment."""
    mark = _mark()
    mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = mark.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({"database": name_of(connection.settings_dict)}), encoding="utf-8")
    draft.replace(mark)
    with _lock(fcntl.LOCK_EX):
        pass


def stay() -> None:
    """Take the mark away."""
    _mark().unlink(missing_ok=True)


class LeavingMiddleware:
    """Refuses changes through the web while the database is being left, and lets those in progress end before."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # TwiML is asked for with POST and changes nothing.
        if request.method in READING or request.path.startswith("/voice/"):
            return self._get_response(request)
        try:
            with writing():
                return self._get_response(request)
        except DatabaseLeft:
            text = "Cordboard moves to another database: nothing can be changed until it has been started again.\n"
            return HttpResponse(text, status=503, headers={"Retry-After": "60"}, content_type="text/plain")


def _mark() -> Path:
    return Path(settings.JOURNAL_DIR) / "database-left.json"


@contextlib.contextmanager
def _lock(kind: int) -> Iterator[None]:
    folder = Path(settings.JOURNAL_DIR)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(folder / "database.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, kind)
        yield
    finally:
        os.close(file)

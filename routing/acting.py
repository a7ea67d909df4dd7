"""Who is acting: the user, API key or command behind what is written to the database just now."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from routing.client_ip import client_ip

_request: ContextVar[HttpRequest | None] = ContextVar("acting_request", default=None)
_note: ContextVar[str] = ContextVar("acting_note", default="")
_batch: ContextVar[str] = ContextVar("acting_batch", default="")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who it is; `batch` is the same for all that is done in one request, `via` is admin, api or command."""

    who: str
    via: str
    batch: str
    user_id: int | None = None
    ip: str = ""
    note: str = ""


class ActorMiddleware:
    """Remembers the request that is being answered; who makes it is asked only when something is written."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        here = _request.set(request)
        batch = _batch.set("")
        try:
            return self._get_response(request)
        finally:
            _batch.reset(batch)
            _request.reset(here)


def called_by(request: Any, caller: Any) -> None:
    """Note which account or API key makes a request of the REST API."""
    inner = getattr(request, "_request", request)
    inner.acting_caller = caller


def current_request() -> HttpRequest | None:
    """Return the request that is being answered; None in commands and the worker."""
    return _request.get()


@contextmanager
def noting(note: str) -> Iterator[None]:
    """Say why, in the history of what is written inside."""
    before = _note.set(note)
    try:
        yield
    finally:
        _note.reset(before)


@contextmanager
def one_batch() -> Iterator[str]:
    """Let everything that is written inside be one entry of the history; its name is given."""
    name = uuid.uuid4().hex
    before = _batch.set(name)
    try:
        yield name
    finally:
        _batch.reset(before)


def actor() -> Actor:
    """Return who is acting."""
    if not _batch.get():
        batch = uuid.uuid4().hex
        if _request.get() is not None:
            _batch.set(batch)
    else:
        batch = _batch.get()
    return replace(_of(_request.get()), batch=batch, note=_note.get()[:255])


def _of(request: HttpRequest | None) -> Actor:
    if request is None:
        return Actor(_command(), "command", "")
    ip = client_ip(request)
    caller = getattr(request, "acting_caller", None)
    if caller is not None:
        return Actor(_name_of(caller)[:255], "api", "", ip=ip)
    user = getattr(request, "user", None)
    via = "admin" if request.path.startswith("/admin/") else "api"
    if user is not None and user.is_authenticated:
        return Actor(user.get_username()[:255], via, "", user_id=user.pk, ip=ip)
    return Actor("nobody who is logged in", via, "", ip=ip)


def _name_of(caller: Any) -> str:
    if caller.key is None:
        return f"Account {caller.account.sid} ({caller.account.friendly_name})"
    name = caller.key.friendly_name
    return f"API key {caller.key.sid}" + (f" ({name})" if name else "")


def _command() -> str:
    """Return the management command that runs, or the program."""
    program = os.path.basename(sys.argv[0])
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    return f"{program} {command}"[:255] if program == "manage.py" else program[:255]

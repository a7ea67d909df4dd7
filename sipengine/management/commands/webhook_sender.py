"""`manage.py webhook_sender`: sends the callbacks that an engine hands over on its standard input, a JSON line each.

Started by the engine, in its own process so that signing, sockets and TLS never compete with SIP for the interpreter.
It ends when the engine has closed the pipe or is gone, after it has sent what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections

from calls.client_settings import client_policy
from calls.entries import DeliveryEntry, from_json
from calls.guarded import open_session
from calls.webclient import WebClient
from routing.fields import SecretError
from routing.models import Account
from sipengine import store
from sipengine.callback_attempts import Sender, Storage, Token

log = logging.getLogger("sipengine.sender")

CONNECTIONS = 4000  # many more than one host may have, so that hosts that hang do not use them up
LINE_BYTES = 4_000_000
FINISH_SECONDS = 20.0  # an attempt takes 15 s at most
WRITE_SECONDS = 10.0
PARENT_SECONDS = 1.0
NO_ACCOUNT, INTERNAL = 20003, 12400

T = TypeVar("T")


class Command(BaseCommand):
    help = "Send an engine's callbacks to web applications (the engine starts this by itself)."
    requires_system_checks = []  # the engine has run them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--engine", default=settings.ENGINE_NAME, help="name of the engine whose callbacks these are"
        )
        parser.add_argument("--parent", type=int, default=0, help="process whose end is ours too, once all is sent")

    def handle(self, *args: Any, engine: str, parent: int, **options: Any) -> None:
        # Ctrl-C reaches the whole process group; the engine closes the pipe, and then we are done by ourselves.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(engine, parent))


async def _run(engine: str, parent: int) -> None:
    policy = client_policy()
    _allow_many_sockets()
    async with open_session(policy, limit=CONNECTIONS) as session:
        sender = Sender(WebClient(session, policy), Storage(_token_of, store.apply, store.DatabaseError))
        writing = asyncio.create_task(sender.write_outcomes())
        log.info("callback sender of engine %s is ready", engine)
        reading = asyncio.create_task(_read(sender))
        watching = asyncio.create_task(_parent_gone(parent))
        await asyncio.wait({reading, watching}, return_when=asyncio.FIRST_COMPLETED)
        for task in (reading, watching):
            task.cancel()
        await sender.finish(FINISH_SECONDS)
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WRITE_SECONDS):
                await sender.write()


def _allow_many_sockets() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 100
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )


async def _read(sender: Sender) -> None:
    """Take in entries until the engine closes the pipe."""
    stream = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), sys.stdin)
    while True:
        try:
            line = await stream.readline()
            if not line:
                return
            entry = from_json(orjson.loads(line))
        except (ValueError, KeyError, TypeError) as error:  # cut off by a killed engine; or a fault of ours
            log.error("a callback cannot be read and is left to the worker: %s", error)
            continue
        if isinstance(entry, DeliveryEntry):
            sender.accept(entry)


async def _parent_gone(parent: int) -> None:
    while not parent or os.getppid() == parent:  # noqa: ASYNC110  # the kernel does not tell
        await asyncio.sleep(PARENT_SECONDS)


def _connected(function: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return function()
    finally:
        close_old_connections()


def _token_of(account_sid: str) -> Token:
    try:
        return Token(_connected(lambda: Account.objects.get(pk=account_sid).auth_token))
    except Account.DoesNotExist:
        return Token("", (NO_ACCOUNT, "Its account is gone, and with it the token to sign with."))
    except SecretError as error:
        return Token("", (INTERNAL, f"It cannot be signed: {error}"))

"""Real web servers on 127.0.0.1 for tests of requests, and a client as the engine makes it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import MultiDict, MultiDictProxy
from twilio.request_validator import RequestValidator

from calls.guarded import ClientPolicy, open_session
from calls.webclient import Cookies, Fetched, FetchError, Parameters, WebClient
from tests.waiting import SECONDS

TOKEN = "0123456789abcdef0123456789abcdef"
PARAMETERS = (("CallSid", "CA1"), ("From", "sip:jürgen@a"), ("To", "100 & more"), ("X", "2"), ("X", "1"))
XML = "<Response/>"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Handler | web.Response


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    url: str
    form: MultiDictProxy[Any]
    headers: MultiDictProxy[str]

    @property
    def signed(self) -> bool:
        """Say whether Twilio's own validator accepts the request."""
        form = self.form if self.method == "POST" else MultiDict[Any]()
        signature = self.headers["X-Twilio-Signature"]
        return bool(RequestValidator(TOKEN).validate(self.url, form, signature))


class Site:
    """A web application that answers by path; one answer after the other where there are several."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[Asked] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app, host="127.0.0.1")

    def url(self, path: str, login: str = "", host: str = "127.0.0.1") -> str:
        return f"http://{login}{host}:{self.server.port}{path}"

    def redirect(self, path: str, status: int, location: str) -> None:
        self.answers[path] = [web.Response(status=status, headers={"Location": location})]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        self.asked.append(Asked(request.method, f"http://{request.host}{request.raw_path}", form, request.headers))
        answers = self.answers.get(request.path, [])
        answer = (answers.pop(0) if len(answers) > 1 else answers[0]) if answers else web.Response(text=XML)
        return await answer(request) if callable(answer) else _copy(answer)


def _copy(answer: web.Response) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


class Client:
    """The web client as the engine makes it, with a count of the connections that it opened or tried to.

    `options` are those of the connector.
    """

    def __init__(self, policy: ClientPolicy | None = None, **options: Any) -> None:
        self.connections = 0
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(self._connecting)
        trace.freeze()
        settled = policy or ClientPolicy()
        self.session = open_session(settled, **options)
        self.session.trace_configs.append(trace)
        self.web = WebClient(self.session, settled)

    async def _connecting(self, *_: object) -> None:
        self.connections += 1

    async def post(self, url: str, parameters: Parameters = PARAMETERS, cookies: Cookies | None = None) -> Fetched:
        return await self.web.fetch(url, "POST", parameters, TOKEN, cookies or Cookies())

    async def get(self, url: str, parameters: Parameters = PARAMETERS) -> Fetched:
        return await self.web.fetch(url, "GET", parameters, TOKEN, Cookies())

    async def failure(self, url: str) -> FetchError:
        """Post, and return how that failed; a minute is for ever here."""
        with pytest.raises(FetchError) as caught:
            async with asyncio.timeout(SECONDS):
                await self.post(url)
        return caught.value


@contextlib.asynccontextmanager
async def raw(*answers: bytes | None, keep_open: bool = False, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve these bytes, one connection after the other, and hang up; None: say nothing and hang on. Yield the URL.

    With `keep_open` a connection is closed only when the second request has begun to arrive on it.
    """
    left, open_ones = list(answers), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        answer = left.pop(0) if len(left) > 1 else left[0]
        if answer is None:
            return
        writer.write(answer)
        if keep_open:
            with contextlib.suppress(asyncio.IncompleteReadError):
                await reader.readuntil(b"POST ")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/voice"
    finally:
        server.close()
        for writer in open_ones:
            writer.close()


def http(body: str, headers: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n{body}".encode()


def dripping(first: bytes, pause: float) -> Handler:
    """Return a handler that answers a byte at a time, for ever."""

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            await response.write(first)
            while True:
                await asyncio.sleep(pause)
                await response.write(b"o")
        return response

    return drip

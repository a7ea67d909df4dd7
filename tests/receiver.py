"""A web application that is told things: a real HTTP server on 127.0.0.1 that keeps every request as it came."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

from twilio.request_validator import RequestValidator


@dataclass(frozen=True)
class Told:
    """A request as it arrived."""

    method: str
    url: str
    form: dict[str, str]
    headers: Message

    @property
    def token(self) -> str:
        return self.headers["I-Twilio-Idempotency-Token"]

    def is_signed_with(self, auth_token: str) -> bool:
        """Say whether Twilio's own validator accepts the request."""
        return bool(RequestValidator(auth_token).validate(self.url, self.form, self.headers["X-Twilio-Signature"]))


class Receiver:
    """Answers `status` and `body`, or the statuses of `statuses` one after the other; `on_request` is called first."""

    def __init__(self) -> None:
        self.status, self.body = 204, ""
        self.statuses: list[int] = []
        self.told: list[Told] = []
        self.on_request: Callable[[], object] = lambda: None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._answer(self)

            do_GET = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, path: str = "/cb") -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        form = handler.rfile.read(int(handler.headers.get("Content-Length", 0))).decode()
        pairs = dict(parse_qsl(form, keep_blank_values=True))
        self.told.append(Told(handler.command, self.url(handler.path), pairs, handler.headers))
        self.on_request()
        body = self.body.encode()
        with contextlib.suppress(ConnectionError):  # of a client that did not wait so long
            handler.send_response(self.statuses.pop(0) if self.statuses else self.status)
            handler.send_header("Content-Length", str(len(body)))
            handler.send_header("Content-Type", "text/xml; charset=utf-8")
            handler.end_headers()
            handler.wfile.write(body)

"""asyncio: where a call's TwiML comes from. Fetch, parse the whole document, fall back, and tell the operator of every
failure with Twilio's code.

Source: Twilio's TwiML request page and its page on fail-over (design conformance §1.1, §1.11).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Protocol
from urllib.parse import unquote

from calls.status import Status
from calls.webclient import Cookies, Fetched, FetchError, Parameters
from calls.webhooks import URL_NOT_ABSOLUTE, WebhookError, fallback_parameters, resolve_url, without_secrets
from routing.answers import Application
from sipengine import twiml
from sipengine.records import CallLog

TOO_LARGE = 11750
WHY_KEPT = 1000  # characters
TWIML_KEPT = 16_384  # characters of a document that the timeline keeps
PARAMETER_KEPT = 256  # characters of each parameter of the request for it
_LOGIN = re.compile(r"""//[^/?#\s"'<>]*@""")
_PASSWORD = re.compile(r"""(\bpassword\s*=\s*)("[^"]*"|'[^']*')""")


class Web(Protocol):
    """What a call needs of `webclient.WebClient`."""

    async def fetch(
        self, url: str, method: str, parameters: Parameters, auth_token: str, cookies: Cookies
    ) -> Fetched: ...


@dataclass(frozen=True, slots=True)
class Goto:
    """A document at an absolute URL; `parameters` come after those of every voice request."""

    url: str
    method: str
    parameters: Parameters = ()


@dataclass(frozen=True, slots=True)
class Inline:
    """TwiML that came with the call itself; there is no URL to resolve relative ones against."""

    body: bytes


class How(Enum):
    """What made the TwiML of a leg come to its end."""

    DOCUMENT = auto()  # its last verb has run
    HANGUP = auto()
    REJECT = auto()
    LEAVE = auto()
    FAILED = auto()  # no document could be had
    GONE = auto()  # there is nobody left to run it for


@dataclass(frozen=True, slots=True)
class Done:
    """The TwiML is over. If the leg was never answered it is refused with `code`, and that is its `status`."""

    code: int = 480
    status: Status = Status.NO_ANSWER
    reason: str = ""
    how: How = How.DOCUMENT


Step = Goto | Inline | Done
Next = Step | None  # None: the next verb


class Documents:
    """The documents of one call. `voice_parameters` returns what every request tells about the call as it is now."""

    def __init__(
        self, web: Web, log: CallLog, application: Application, voice_parameters: Callable[[], list[tuple[str, str]]]
    ) -> None:
        self._web = web
        self._log = log
        self._application = application
        self._voice_parameters = voice_parameters
        self._cookies = Cookies()
        self._base = ""

    async def get(self, step: Goto | Inline) -> tuple[twiml.Document, Fetched | None] | None:
        """Return the document and the answer it came in; on failure ask the fallback URL; None when that fails too."""
        if isinstance(step, Inline):
            return self._parse_inline(step.body)
        found = await self._try(step)
        if not isinstance(found, int):
            return found
        fallback = self._application.fallback_url
        if not fallback:
            return None
        parameters = (*step.parameters, *fallback_parameters(found, step.url))
        second = await self._try(Goto(fallback, self._application.fallback_method, parameters))
        return None if isinstance(second, int) else second

    async def tell(self, step: Goto) -> None:
        """Send a request whose answer nobody is left to run for."""
        try:
            answer = await self._request(step)
        except FetchError as error:
            self._failed(error)
        else:
            url, ms = without_secrets(answer.url), round(answer.seconds * 1000, 1)
            self._log.event("action.answered", url=url, status=answer.status, ms=ms)

    @property
    def application(self) -> Application:
        """Return the application whose documents these are."""
        return self._application

    def fall_back_to(self, step: Goto) -> None:
        """Ask this document from now on when another one cannot be had."""
        self._application = replace(self._application, fallback_url=step.url, fallback_method=step.method)

    @property
    def url(self) -> str:
        """Return the URL of the current document, "" for one that was given inline."""
        return self._base

    def here(self, url: str | None) -> str:
        """Return the absolute form of a verb's `action`, which is the document's own URL if it names none."""
        if url is None and not self._base:
            raise WebhookError(URL_NOT_ABSOLUTE, "the verb needs an action URL: its TwiML was not fetched from one")
        return self._base if url is None else self.absolute(url)

    def absolute(self, url: str) -> str:
        """Return the absolute form of a URL in the current document; raise `WebhookError` if it has none."""
        return resolve_url(self._base, url)

    async def _request(self, step: Goto) -> Fetched:
        parameters = (*self._voice_parameters(), *step.parameters)
        self._log.event(
            "twiml.request",
            url=without_secrets(step.url),
            method=step.method,
            parameters=[[name, value[:PARAMETER_KEPT]] for name, value in parameters],
        )
        return await self._web.fetch(step.url, step.method, parameters, self._application.auth_token, self._cookies)

    async def _try(self, step: Goto) -> tuple[twiml.Document, Fetched] | int:
        """Return the document at this address, or the error code; every failure is noted."""
        try:
            answer = await self._request(step)
            self._log.event(
                "twiml.response",
                url=without_secrets(answer.url),
                status=answer.status,
                ms=round(answer.seconds * 1000, 1),
                body=_shown(answer.body),
                **_reasons(answer),
            )
            document = _parse(answer)
        except FetchError as error:
            self._failed(error)
            return error.code
        except twiml.TwimlError as error:
            where = f" (line {error.line})" if error.line else ""
            self._failed(
                FetchError(error.code, error.message + where, answer.url, answer.method, answer.status, answer.body)
            )
            return error.code
        self._remark(document, answer.url)
        self._base = answer.url
        return document, answer

    def _parse_inline(self, body: bytes) -> tuple[twiml.Document, None] | None:
        try:
            document = twiml.parse(body)
        except twiml.TwimlError as error:
            self._failed(FetchError(error.code, error.message, "", "", 0, body))
            return None
        self._remark(document, "")
        self._base = ""
        return document, None

    def _failed(self, error: FetchError) -> None:
        url = without_secrets(error.url) if error.url else ""
        self._log.note(
            error.code,
            error.message,
            url=url,
            method=error.method,
            status=error.status,
            body=_shown(error.body),
        )
        self._log.event("twiml.failed", url=url, code=error.code, reason=error.message)

    def _remark(self, document: twiml.Document, url: str) -> None:
        for remark in document.warnings:
            where = f" (line {remark.line})" if remark.line else ""
            self._log.note(remark.code, f"{remark.message}{where}", url=without_secrets(url) if url else "")


def _reasons(answer: Fetched) -> dict[str, str]:
    """Return why the application answered so, if it says it: our own does."""
    said = unquote(answer.headers.get("x-cordboard-why", ""))[:WHY_KEPT]
    return {"why": said} if said else {}


def _shown(body: bytes) -> str:
    """Return a document as the log may keep it: cut, without the passwords of its nouns and the logins of its URLs."""
    text = body.replace(b"\0", b"").decode(errors="replace")  # NULs: UTF-16, which is refused but kept for the operator
    return _LOGIN.sub("//", _PASSWORD.sub(r'\1"••••"', text))[:TWIML_KEPT]


def _parse(answer: Fetched) -> twiml.Document:
    """Read an answer by its content type (Twilio's TwiML request page)."""
    match answer.content_type:
        case "text/xml" | "application/xml" | "text/html" | "":
            return twiml.parse(answer.body)
        case "text/plain":
            try:
                return twiml.parse(answer.body)
            except twiml.TwimlError as error:
                text = answer.body.decode(errors="replace").strip()
                if error.code == TOO_LARGE or not text:
                    raise
                return twiml.Document((twiml.Say(text=text, voice=None, language=None, loop=1),), ())
        case kind if kind.startswith("audio/"):
            return twiml.Document((twiml.Play(url=answer.url, loop=1, digits=None), twiml.Hangup()), ())
        case kind:
            raise twiml.TwimlError(12300, f"content type {kind!r} is neither TwiML nor audio", 0)

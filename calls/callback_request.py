"""asyncio: one attempt to tell a web application something (a callback), and what came of it. The engine's sender makes
the first, the worker those after it.

Source: Twilio's pages on status callbacks and on warning 15003 (design conformance §1.9, §1.11).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from calls.entries import DeliveryEntry, NoteEntry
from calls.guarded import ClientPolicy, open_session
from calls.webclient import Cookies, Fetched, FetchError, Parameters, WebClient
from calls.webhooks import without_secrets
from routing.errors import lookup
from routing.sid import new_sid

BODY_KEPT = 4096  # characters of an answer that are kept
ERROR_KEPT = 1000
UNEXPECTED_ANSWER = 15003

_COMMENTS = r"(?:<!--(?:(?!-->).)*-->\s*)*"
_NOTHING_TO_DO = re.compile(
    rf"\s*(?:<\?xml[^>]*\?>)?\s*{_COMMENTS}<Response\s*(?:/>|>\s*{_COMMENTS}</Response\s*>)\s*", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt: the HTTP answer if there was one, its body cut, and how long it took.

    `delivered` means an answer of 2xx. `remark` is said of one that Twilio would warn of (15003): a callback is no
    place for TwiML.
    """

    delivered: bool
    milliseconds: int
    status: int = 0
    content_type: str = ""
    body: str = ""
    error_code: int = 0
    error: str = ""
    remark: str = ""


async def attempt(
    web: WebClient, url: str, method: str, parameters: Parameters, auth_token: str, idempotency_token: str
) -> Outcome:
    """Send a callback once, retries of the URL's own policy included; a failure is an outcome, too."""
    started = time.monotonic()
    try:
        answer = await web.fetch(url, method, parameters, auth_token, Cookies(), idempotency_token)
    except FetchError as error:
        return Outcome(
            delivered=False,
            milliseconds=_milliseconds(started),
            status=error.status,
            content_type=error.content_type,
            body=_shown(error.body),
            error_code=error.code,
            error=error.message[:ERROR_KEPT],
        )
    return Outcome(
        delivered=True,
        milliseconds=_milliseconds(started),
        status=answer.status,
        content_type=answer.content_type,
        body=_shown(answer.body),
        remark=_remark(answer),
    )


def deliver(
    url: str,
    method: str,
    parameters: Parameters,
    auth_token: str,
    idempotency_token: str,
    policy: ClientPolicy | None = None,
) -> Outcome:
    """Do `attempt` in a thread that has no event loop, with a connection of its own."""
    settled = policy or ClientPolicy()

    async def once() -> Outcome:
        async with open_session(settled) as session:
            web = WebClient(session, settled)
            return await attempt(web, url, method, parameters, auth_token, idempotency_token)

    return asyncio.run(once())


def concluded(entry: DeliveryEntry, outcome: Outcome, sent_at: float) -> DeliveryEntry:
    """Return the entry of an attempt with its outcome; `sent_at` is in seconds since the epoch."""
    return replace(
        entry,
        state="delivered" if outcome.delivered else "failed",
        sent_at=sent_at,
        milliseconds=outcome.milliseconds,
        response_status=outcome.status,
        response_type=outcome.content_type[:255],
        response_body=outcome.body,
        error_code=outcome.error_code,
        error=outcome.error,
    )


def notes(entry: DeliveryEntry, outcome: Outcome) -> Sequence[NoteEntry]:
    """Return what the operator should read about an attempt: why it failed, or what is odd about its answer."""
    if not outcome.delivered:
        return (_note(entry, outcome, outcome.error_code, f"{entry.topic} callback {entry.event}: {outcome.error}"),)
    if outcome.remark:
        return (_note(entry, outcome, UNEXPECTED_ANSWER, outcome.remark),)
    return ()


def _note(entry: DeliveryEntry, outcome: Outcome, code: int, message: str) -> NoteEntry:
    return NoteEntry(
        sid=new_sid("NO"),
        account_sid=entry.account_sid,
        call_sid=entry.call_sid,
        time=time.time(),
        code=code,
        level=lookup(code).level,
        message=message,
        url=without_secrets(entry.url),
        method=entry.method,
        response_status=outcome.status,
        response_body=outcome.body,
    )


def _remark(answer: Fetched) -> str:
    """Say what is odd about the answer of 2xx to a callback: it should be empty, or an empty `<Response/>`."""
    text = answer.body.decode(errors="replace").lstrip("\ufeff")
    if not text.strip() or _NOTHING_TO_DO.fullmatch(text):
        return ""
    if "<Response" in text:
        return "the answer to a callback holds TwiML, which is not run: answer 204, or 200 with an empty <Response/>"
    return "the answer to a callback is neither 204 nor 200 with an empty <Response/>; it was taken as received"


def _shown(body: bytes) -> str:
    return body[: 4 * BODY_KEPT].replace(b"\0", b"").decode(errors="replace")[:BODY_KEPT]


def _milliseconds(started: float) -> int:
    return round((time.monotonic() - started) * 1000)

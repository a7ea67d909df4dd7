"""asyncio: one attempt to tell a web application something (a callback), and what came of it. The engine's sender makes
the first, the worker those after it.

Source: Twilio's page on status callbacks (design conformance §1.9, §1.11).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

from calls.entries import DeliveryEntry
from calls.guarded import ClientPolicy, open_session
from calls.webclient import Cookies, FetchError, Parameters, WebClient

BODY_KEPT = 4096  # characters of an answer that are kept
ERROR_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt: the HTTP answer if there was one, its body cut, and how long it took.

    `delivered` means an answer of 2xx, whatever it says. `error_code` is one of Twilio's, 0 if delivered.
    """

    delivered: bool
    milliseconds: int
    status: int = 0
    content_type: str = ""
    body: str = ""
    error_code: int = 0
    error: str = ""


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


def _shown(body: bytes) -> str:
    return body[: 4 * BODY_KEPT].replace(b"\0", b"").decode(errors="replace")[:BODY_KEPT]


def _milliseconds(started: float) -> int:
    return round((time.monotonic() - started) * 1000)

"""asyncio: the HTTP requests of a call. TwiML is fetched here, signed as Twilio signs (X-Twilio-Signature), with its
time-outs, retries, redirects and size cap. Nothing here knows of legs or media.

Source: Twilio's webhook security, connection overrides and TwiML request pages (design conformance §1.1, §1.11).
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin

import aiohttp
from yarl import URL

from calls.webhooks import (
    USER_AGENT,
    Overrides,
    WebhookError,
    connection_overrides,
    credentials,
    sign,
    signed_url,
    with_query,
)

MAX_REDIRECTS = 10
MAX_BODY = 65_536  # bytes; one more is error 11750, which the parser reports
Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer of 2xx: at most 64 kB + 1 byte of body, the content type in lower case without parameters."""

    url: str
    method: str
    status: int
    content_type: str
    body: bytes
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)


class FetchError(Exception):
    """A request failed; `code` is Twilio's error code, `status` the HTTP status if there was an answer."""

    def __init__(self, code: int, message: str, url: str, method: str, status: int = 0, body: bytes = b"") -> None:
        super().__init__(message)
        self.code, self.message, self.url, self.method = code, message, url, method
        self.status, self.body = status, body


class WebClient:
    """Fetches documents. One per engine, so that connections are kept alive between calls."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def fetch(
        self,
        url: str,
        method: str,
        parameters: Parameters,
        auth_token: str,
        cookies: MutableMapping[str, str],
    ) -> Fetched:
        """Request `url` and return its answer of 2xx; raise `FetchError` for anything else.

        `cookies` are the call's own, sent and updated here. The signature covers the URL without fragment and user
        information, and for POST the parameters.
        """
        try:
            policy = connection_overrides(url)
        except WebhookError as error:
            raise FetchError(error.code, error.message, url, method) from None
        started = time.monotonic()
        attempts = policy.retries + 1
        while True:
            attempts -= 1
            left = policy.total_timeout - (time.monotonic() - started)
            try:
                async with asyncio.timeout(max(left, 0.0)):
                    return await self._follow(url, method, parameters, auth_token, cookies, policy)
            except FetchError as error:
                if attempts <= 0 or not _retry_on(error, policy):
                    raise
            except TimeoutError:
                message = f"no answer within {policy.total_timeout:g} s"
                raise FetchError(11203, message, url, method) from None

    async def _follow(
        self,
        url: str,
        method: str,
        parameters: Parameters,
        auth_token: str,
        cookies: MutableMapping[str, str],
        policy: Overrides,
    ) -> Fetched:
        started = time.monotonic()
        for _ in range(MAX_REDIRECTS + 1):
            answer, location = await self._once(url, method, parameters, auth_token, cookies, policy, started)
            if location is None:
                return answer
            if answer.status in (301, 302, 303) and method == "POST":
                method, parameters = "GET", ()
            url = _redirected(url, method, location)
        raise FetchError(11215, f"more than {MAX_REDIRECTS} redirects", url, method)

    async def _once(
        self,
        url: str,
        method: str,
        parameters: Parameters,
        auth_token: str,
        cookies: MutableMapping[str, str],
        policy: Overrides,
        started: float,
    ) -> tuple[Fetched, str | None]:
        target = with_query(url, list(parameters)) if method == "GET" else signed_url(url)
        body = urlencode(list(parameters)).encode() if method == "POST" else None
        headers = {
            "User-Agent": USER_AGENT,
            "X-Twilio-Signature": sign(auth_token, target, parameters if method == "POST" else ()),
            "Accept": "*/*",
        }
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
        if login := _basic_auth(url):
            headers["Authorization"] = login
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        timeout = aiohttp.ClientTimeout(sock_connect=policy.connect_timeout, sock_read=policy.read_timeout)
        try:
            async with self._session.request(
                method,
                URL(target, encoded=True),
                data=body,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                content = await _read_capped(response)
                cookies.update({name: morsel.value for name, morsel in response.cookies.items()})
                return self._judge(url, method, response, content, started)
        except aiohttp.ConnectionTimeoutError:
            raise FetchError(11201, f"no connection within {policy.connect_timeout:g} s", url, method) from None
        except aiohttp.ServerTimeoutError:
            raise FetchError(11203, f"no answer within {policy.read_timeout:g} s", url, method) from None
        except aiohttp.ClientConnectorDNSError as error:
            raise FetchError(11210, f"host name not found: {error.host}", url, method) from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise FetchError(11237, f"the server's certificate is not accepted: {error}", url, method) from None
        except aiohttp.ClientConnectorError as error:
            raise FetchError(11202, f"connection refused: {error.strerror or error}", url, method) from None
        except (aiohttp.ClientError, ValueError) as error:
            raise FetchError(11206, f"not a valid HTTP answer: {error}", url, method) from None

    @staticmethod
    def _judge(
        url: str, method: str, response: aiohttp.ClientResponse, content: bytes, started: float
    ) -> tuple[Fetched, str | None]:
        status = response.status
        answer = Fetched(
            url=url,
            method=method,
            status=status,
            content_type=response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            body=content,
            seconds=time.monotonic() - started,
            headers={name.lower(): value for name, value in response.headers.items()},
        )
        if status in (301, 302, 303, 307, 308):
            location = response.headers.get("Location")
            if not location:
                raise FetchError(11216, f"HTTP {status} without a Location", url, method, status)
            return answer, location
        if not 200 <= status < 300:
            raise FetchError(
                11200, f"HTTP {status} {response.reason or ''}".strip(), url, method, status, content[:4096]
            )
        return answer, None


def _retry_on(error: FetchError, policy: Overrides) -> bool:
    """Say whether the retry policy covers this failure (`rp=ct` by default)."""
    kinds = {11201: "ct", 11202: "ct", 11210: "ct", 11203: "rt"}
    kind = kinds.get(error.code, f"{error.status // 100}xx" if error.status else "")
    return "all" in policy.retry_on or kind in policy.retry_on


def _redirected(url: str, method: str, location: str) -> str:
    target = urljoin(url, location)
    try:
        signed_url(target)
    except WebhookError as error:
        raise FetchError(
            11216, f"redirected to an address that cannot be asked: {error.message}", url, method
        ) from None
    return target


async def _read_capped(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_BODY:
            response.close()
            break
    return bytes(content[: MAX_BODY + 1])


def _basic_auth(url: str) -> str | None:
    """Return the Authorization header of a URL that holds user and password (RFC 7617)."""
    found = credentials(url)
    return "Basic " + base64.b64encode(":".join(found).encode()).decode() if found else None

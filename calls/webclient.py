"""asyncio: the HTTP requests of a call. TwiML is fetched here, signed as Twilio signs (X-Twilio-Signature), with its
time-outs, retries, redirects and size cap. Nothing here knows of legs or media.

Source: Twilio's webhook security, connection overrides and TwiML request pages (design conformance §1.1, §1.11).
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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


class Cookies:
    """The cookies of one call; most calls never have any, so the jar is made when the first one comes."""

    def __init__(self) -> None:
        self._jar: aiohttp.CookieJar | None = None

    def keep(self, response: aiohttp.ClientResponse) -> None:
        """Take in what an answer sets or takes back."""
        if "Set-Cookie" in response.headers:
            if self._jar is None:
                self._jar = aiohttp.CookieJar(unsafe=True)  # unsafe: hosts may be IP addresses
            self._jar.update_cookies_from_headers(response.headers.getall("Set-Cookie"), response.url)

    def header(self, url: URL) -> str:
        """Return the Cookie header for a URL, "" when it has none."""
        found = self._jar.filter_cookies(url).values() if self._jar is not None else ()
        return "; ".join(f"{morsel.key}={morsel.coded_value}" for morsel in found)


@dataclass(frozen=True, slots=True)
class _Request:
    """One request of a call, and the time it may take: `started` is on the monotonic clock."""

    url: str
    method: str
    parameters: Parameters
    auth_token: str
    cookies: Cookies
    policy: Overrides
    started: float
    token: str  # the same for every try, so that the application can tell a retry from another request

    @property
    def seconds_left(self) -> float:
        return self.policy.total_timeout - (time.monotonic() - self.started)


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
        cookies: Cookies,
    ) -> Fetched:
        """Request `url` and return its answer of 2xx; raise `FetchError` for anything else.

        `cookies` are the call's own, sent and updated here. The signature covers the URL without fragment and user
        information, and for POST the parameters.
        """
        try:
            policy = connection_overrides(url)
        except WebhookError as error:
            raise FetchError(error.code, error.message, url, method) from None
        token, sendable = secrets.token_hex(16), [(name, _utf8(value)) for name, value in parameters]
        request = _Request(url, method, sendable, auth_token, cookies, policy, time.monotonic(), token)
        for _ in range(policy.retries):
            try:
                return await self._follow(request)
            except FetchError as error:
                if not _retry_on(error, policy) or request.seconds_left <= 0:
                    raise
        return await self._follow(request)

    async def _follow(self, request: _Request) -> Fetched:
        """Send the request and those that its answers redirect to, each signed for its own URL."""
        for _ in range(MAX_REDIRECTS + 1):
            answer, location = await self._once(request)
            if location is None:
                return answer
            request = _redirected(request, answer.status, location)
        raise FetchError(11215, f"more than {MAX_REDIRECTS} redirects", request.url, request.method)

    async def _once(self, request: _Request) -> tuple[Fetched, str | None]:
        """Send one request; return its answer, and where it redirects to."""
        url, method, policy, left = request.url, request.method, request.policy, request.seconds_left
        target, body, headers = _wire_form(request)
        timeout = aiohttp.ClientTimeout(
            total=max(left, 0.001),
            sock_connect=policy.connect_timeout,
            sock_read=policy.read_timeout if policy.read_timeout < left else None,  # one timer is enough mostly
        )
        try:
            async with self._session.request(
                method, URL(target, encoded=True), data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                content = await _read_capped(response)
                request.cookies.keep(response)
                return self._judge(request, response, content)
        except aiohttp.ConnectionTimeoutError:
            raise FetchError(11201, f"no connection within {policy.connect_timeout:g} s", url, method) from None
        except TimeoutError:
            seconds = min(policy.read_timeout, policy.total_timeout)
            raise FetchError(11203, f"no answer within {seconds:g} s", url, method) from None
        except aiohttp.ClientConnectorDNSError as error:
            raise FetchError(11210, f"host name not found: {error.host}", url, method) from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise FetchError(11237, f"the server's certificate is not accepted: {error}", url, method) from None
        except aiohttp.ClientConnectorSSLError as error:
            raise FetchError(11220, f"no TLS with this server: {error.strerror or error}", url, method) from None
        except aiohttp.ClientConnectorError as error:
            raise FetchError(11202, f"connection refused: {error.strerror or error}", url, method) from None
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            raise _Lost(url, method) from None
        except (aiohttp.ClientError, ValueError) as error:
            raise FetchError(11206, f"not a valid HTTP answer: {error}", url, method) from None

    @staticmethod
    def _judge(request: _Request, response: aiohttp.ClientResponse, content: bytes) -> tuple[Fetched, str | None]:
        url, method = request.url, request.method
        status = response.status
        answer = Fetched(
            url=url,
            method=method,
            status=status,
            content_type=response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            body=content,
            seconds=time.monotonic() - request.started,
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


class _Lost(FetchError):
    """The connection broke before an answer came, as kept-alive ones do when servers close them (RFC 9112 §9.3.1)."""

    def __init__(self, url: str, method: str) -> None:
        super().__init__(11206, "the server closed the connection without an answer", url, method)


def _retry_on(error: FetchError, policy: Overrides) -> bool:
    """Say whether the retry policy covers this failure (`rp=ct` by default)."""
    if isinstance(error, _Lost):
        return True
    kinds = {11201: "ct", 11202: "ct", 11210: "ct", 11203: "rt"}
    kind = kinds.get(error.code, f"{error.status // 100}xx" if error.status else "")
    return "all" in policy.retry_on or kind in policy.retry_on


def _wire_form(request: _Request) -> tuple[str, bytes | None, dict[str, str]]:
    """Return URL, body and headers of a request: parameters in the query of a GET, in the body of a POST."""
    post = request.method == "POST"
    parameters = request.parameters
    target = signed_url(request.url) if post else with_query(request.url, list(parameters))
    headers = {
        "User-Agent": USER_AGENT,
        "X-Twilio-Signature": sign(request.auth_token, target, parameters if post else ()),
        "I-Twilio-Idempotency-Token": request.token,
        "Accept": "*/*",
    }
    if post:
        headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
    if login := _basic_auth(request.url):
        headers["Authorization"] = login
    if cookies := request.cookies.header(URL(target, encoded=True)):
        headers["Cookie"] = cookies
    return target, urlencode(list(parameters)).encode() if post else None, headers


def _redirected(request: _Request, status: int, location: str) -> _Request:
    """Return the request that follows a redirect (RFC 9110 §15.4: 301, 302 and 303 turn a POST into a GET)."""
    try:
        target = urljoin(request.url, location)
        signed_url(target)
    except ValueError as error:  # a WebhookError is one
        message = f"redirected to what cannot be asked: {error}"
        raise FetchError(11216, message, request.url, request.method) from None
    if status in (307, 308) and request.method == "POST":
        return replace(request, url=target)
    return replace(request, url=target, method="GET", parameters=())  # the Location is complete


def _utf8(value: str) -> str:
    """Return the text as it can be sent: SIP headers may carry bytes that are no UTF-8, as lone surrogates here."""
    return value if value.isascii() else value.encode(errors="replace").decode()


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

"""asyncio: the HTTP requests of a call. TwiML is fetched here, signed as Twilio signs (X-Twilio-Signature), with its
time-outs, retries, redirects, authentication and size cap. Nothing here knows of legs or media.

Source: Twilio's webhook security, connection overrides and TwiML request pages (design conformance §1.1, §1.11).
"""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from calls import webauth
from calls.guarded import AddressDenied, ClientPolicy
from calls.webhooks import (
    BAD_URL,
    WebhookError,
    connection_overrides,
    credentials,
    form,
    sign,
    signed_url,
    with_query,
)
from routing.overrides import Overrides

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
    user_agent: str
    authorization: str | None = None

    @property
    def seconds_left(self) -> float:
        return self.policy.total_timeout - (time.monotonic() - self.started)


class FetchError(Exception):
    """A request failed; `code` is Twilio's error code, `status` the HTTP status if there was an answer."""

    def __init__(
        self,
        code: int,
        message: str,
        url: str,
        method: str,
        status: int = 0,
        body: bytes = b"",
        content_type: str = "",
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.url, self.method = code, message, url, method
        self.status, self.body, self.content_type = status, body, content_type


class WebClient:
    """Fetches documents. One per process, so that connections are kept alive between calls.

    The session is one of `guarded.open_session`.
    """

    def __init__(self, session: aiohttp.ClientSession, policy: ClientPolicy | None = None) -> None:
        self._session = session
        self._user_agent = (policy or ClientPolicy()).user_agent

    async def fetch(
        self,
        url: str,
        method: str,
        parameters: Parameters,
        auth_token: str,
        cookies: Cookies,
        idempotency_token: str | None = None,
    ) -> Fetched:
        """Request `url` and return its answer of 2xx; raise `FetchError` for anything else.

        `cookies` are the call's own, sent and updated here. The signature covers the URL without fragment and user
        information, and for POST the parameters. Every try that the URL's retry policy allows has the same token,
        `idempotency_token` if there is one: so has a message that is sent again by somebody else.
        """
        try:
            policy = connection_overrides(url)
        except WebhookError as error:
            raise FetchError(error.code, error.message, url, method) from None
        sendable = [(name, _utf8(value)) for name, value in parameters]
        token = idempotency_token or secrets.token_hex(16)
        request = _Request(
            url, method, sendable, auth_token, cookies, policy, time.monotonic(), token, self._user_agent
        )
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
            answer, location = await self._authenticated(request)
            if location is None:
                return answer
            request = _redirected(request, answer.status, location)
        raise FetchError(11215, f"more than {MAX_REDIRECTS} redirects", request.url, request.method)

    async def _authenticated(self, request: _Request) -> tuple[Fetched, str | None]:
        """Send the request; once more with an answer to the server's digest challenge if it has one."""
        login = credentials(request.url)
        if login is None:
            return await self._once(request)
        try:
            return await self._once(replace(request, authorization=webauth.basic(login)))
        except _Unauthorized as error:
            target, _, _ = _wire_form(request)
            path = URL(target, encoded=True).raw_path_qs
            answer = webauth.digest(error.challenges, login, request.method, path, secrets.token_hex(8))
            if answer is None:
                raise
        return await self._once(replace(request, authorization=answer))

    async def _once(self, request: _Request) -> tuple[Fetched, str | None]:
        """Send one request; return its answer, and where it redirects to."""
        policy, left = request.policy, request.seconds_left
        target, body, headers = _wire_form(request)
        timeout = aiohttp.ClientTimeout(
            total=max(left, 0.001),
            sock_connect=policy.connect_timeout,
            sock_read=policy.read_timeout if policy.read_timeout < left else None,  # one timer is enough mostly
        )
        try:
            async with self._session.request(
                request.method,
                URL(target, encoded=True),
                data=body,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                content = await _read_capped(response)
                request.cookies.keep(response)
                return self._judge(request, response, content)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _explained(error, request) from None

    @staticmethod
    def _judge(request: _Request, response: aiohttp.ClientResponse, content: bytes) -> tuple[Fetched, str | None]:
        url, method = request.url, request.method
        status = response.status
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        answer = Fetched(
            url=url,
            method=method,
            status=status,
            content_type=content_type,
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
            text = f"HTTP {status} {response.reason or ''}".strip()
            if status == 401:
                challenges = response.headers.getall("WWW-Authenticate", [])
                raise _Unauthorized(challenges, text, url, method, content[:4096], content_type)
            raise FetchError(11200, text, url, method, status, content[:4096], content_type)
        return answer, None


class _Lost(FetchError):
    """The connection broke before an answer came, as kept-alive ones do when servers close them (RFC 9112 §9.3.1)."""

    def __init__(self, url: str, method: str) -> None:
        super().__init__(11206, "the server closed the connection without an answer", url, method)


class _Denied(FetchError):
    """The address may not be connected to, now or later (`calls.urlguard`)."""

    def __init__(self, url: str, method: str, denied: AddressDenied) -> None:
        host = URL(url).host
        super().__init__(
            BAD_URL,
            f"host {host} may not be asked: {denied.address} is {denied.why}; WEBHOOK_ALLOW_NETWORKS can allow it",
            url,
            method,
        )


class _Unauthorized(FetchError):
    """HTTP 401; `challenges` are its WWW-Authenticate headers."""

    def __init__(
        self, challenges: Sequence[str], message: str, url: str, method: str, body: bytes, content_type: str
    ) -> None:
        super().__init__(11200, message, url, method, 401, body, content_type)
        self.challenges = challenges


# Codes of OpenSSL (X509_V_ERR_…) that have an error code of their own.
_CERTIFICATE_CODES = {62: 11235, 64: 11235, 10: 11236}


def _explained(error: Exception, request: _Request) -> FetchError:
    """Return what the client's exception means for the operator."""
    url, method, policy = request.url, request.method, request.policy
    match error:
        case aiohttp.ConnectionTimeoutError():
            return FetchError(11201, f"no connection within {policy.connect_timeout:g} s", url, method)
        case TimeoutError():
            seconds = min(policy.read_timeout, policy.total_timeout)
            return FetchError(11203, f"no answer within {seconds:g} s", url, method)
        case aiohttp.ClientConnectorDNSError():
            return FetchError(11210, f"host name not found: {error.host}", url, method)
        case aiohttp.ClientConnectorCertificateError():
            reason = error.certificate_error
            code = reason.verify_code if isinstance(reason, ssl.SSLCertVerificationError) else 0
            text = f"the server's certificate is not accepted: {error}"
            return FetchError(_CERTIFICATE_CODES.get(code, 11237), text, url, method)
        case aiohttp.ClientConnectorSSLError():
            return FetchError(11220, f"no TLS with this server: {error.strerror or error}", url, method)
        case aiohttp.ClientConnectorError(os_error=AddressDenied() as denied):
            return _Denied(url, method, denied)
        case aiohttp.ClientConnectorError():
            return FetchError(11202, f"connection refused: {error.strerror or error}", url, method)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return _Lost(url, method)
        case aiohttp.InvalidURL():
            return FetchError(BAD_URL, f"not an address that can be asked: {error}", url, method)
        case _:
            return FetchError(11206, f"not a valid HTTP answer: {error}", url, method)


def _retry_on(error: FetchError, policy: Overrides) -> bool:
    """Say whether the retry policy covers this failure (`rp=ct` by default)."""
    if isinstance(error, _Lost):
        return True
    if isinstance(error, _Denied):
        return False
    kinds = {11201: "ct", 11202: "ct", 11210: "ct", 11203: "rt"}
    kind = kinds.get(error.code, f"{error.status // 100}xx" if error.status else "")
    return "all" in policy.retry_on or kind in policy.retry_on


def _wire_form(request: _Request) -> tuple[str, bytes | None, dict[str, str]]:
    """Return URL, body and headers of a request: parameters in the query of a GET, in the body of a POST."""
    post = request.method == "POST"
    parameters = request.parameters
    target = signed_url(request.url) if post else with_query(request.url, list(parameters))
    headers = {
        "User-Agent": request.user_agent,
        "X-Twilio-Signature": sign(request.auth_token, target, parameters if post else ()),
        "I-Twilio-Idempotency-Token": request.token,
        "Accept": "*/*",
    }
    if post:
        headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
    if request.authorization:
        headers["Authorization"] = request.authorization
    if cookies := request.cookies.header(URL(target, encoded=True)):
        headers["Cookie"] = cookies
    return target, form(parameters).encode() if post else None, headers


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

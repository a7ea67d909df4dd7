"""The web client against real servers on 127.0.0.1: what arrives there, and what becomes of what they answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import MultiDict, MultiDictProxy
from twilio.request_validator import RequestValidator

from calls.webclient import MAX_BODY, Cookies, Fetched, FetchError, Parameters, WebClient
from sipengine.certificate import self_signed

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
    """The web client as the engine makes it, with a count of the connections that it opened or tried to."""

    def __init__(self) -> None:
        self.connections = 0
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(self._connecting)
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[trace])
        self._web = WebClient(self.session)

    async def _connecting(self, *_: object) -> None:
        self.connections += 1

    async def post(self, url: str, parameters: Parameters = PARAMETERS, cookies: Cookies | None = None) -> Fetched:
        return await self._web.fetch(url, "POST", parameters, TOKEN, cookies or Cookies())

    async def get(self, url: str, parameters: Parameters = PARAMETERS) -> Fetched:
        return await self._web.fetch(url, "GET", parameters, TOKEN, Cookies())

    async def failure(self, url: str) -> FetchError:
        """Post, and return how that failed; five seconds are for ever here."""
        with pytest.raises(FetchError) as caught:
            async with asyncio.timeout(5):
                await self.post(url)
        return caught.value


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    yield made
    await made.session.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    async with made.server:
        yield made


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


@pytest.fixture
def refusing() -> Iterator[str]:
    """Yield a URL whose port nobody listens on, and nobody else gets meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/voice"


@pytest.fixture
def unreachable() -> Iterator[str]:
    """Yield a URL whose server does not even say that it does not answer: its queue of connections is full."""
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/voice"


class TestTheRequest:
    """What the customer's server receives (conformance §1.7, §1.11)."""

    async def test_a_post_carries_the_parameters_as_a_form(self, client: Client, site: Site) -> None:
        await client.post(site.url("/voice"))
        assert list(site.asked[0].form.items()) == list(PARAMETERS)
        assert site.asked[0].headers["Content-Type"] == "application/x-www-form-urlencoded; charset=UTF-8"
        assert site.asked[0].headers["User-Agent"] == "TwilioProxy/1.1"

    async def test_a_get_carries_them_after_the_query_of_the_url(self, client: Client, site: Site) -> None:
        await client.get(site.url("/voice?own=1"), (("CallSid", "CA1"), ("To", "a b")))
        assert site.asked[0].url == site.url("/voice?own=1&CallSid=CA1&To=a+b")

    @pytest.mark.parametrize("path", ["/voice", "/voice?a=1&b=%20x", "/vöice/ä b?q=ü", "/", "?only=query", ""])
    async def test_twilios_validator_accepts_a_post(self, client: Client, site: Site, path: str) -> None:
        await client.post(site.url(path))
        assert site.asked[0].signed

    @pytest.mark.parametrize("path", ["/voice", "/voice?a=1&b=%20x", "/vöice/ä b?q=ü"])
    async def test_twilios_validator_accepts_a_get(self, client: Client, site: Site, path: str) -> None:
        await client.get(site.url(path))
        assert site.asked[0].signed

    async def test_a_fragment_is_neither_sent_nor_signed(self, client: Client, site: Site) -> None:
        await client.post(site.url("/voice#rc=0"))
        assert site.asked[0].url == site.url("/voice")
        assert site.asked[0].signed

    async def test_user_and_password_go_into_basic_authentication(self, client: Client, site: Site) -> None:
        await client.post(site.url("/voice", login="me:p%40ss@"))
        assert site.asked[0].headers["Authorization"] == "Basic bWU6cEBzcw=="  # me:p@ss
        assert site.asked[0].url == site.url("/voice")
        assert site.asked[0].signed

    async def test_bytes_that_were_no_utf8_in_a_sip_header_do_not_stop_the_request(
        self, client: Client, site: Site
    ) -> None:
        await client.post(site.url("/voice"), (("SipHeader_X-Name", "M\udcfcller\0"), ("CallSid", "CA1")))
        assert site.asked[0].form["CallSid"] == "CA1"
        assert site.asked[0].signed


class TestTheAnswer:
    async def test_it_is_returned_with_its_type_in_lower_case(self, client: Client, site: Site) -> None:
        headers = {"Content-Type": "Text/XML; charset=utf-8", "X-Cordboard-Route": "7"}
        site.answers["/voice"] = [web.Response(body=b"<Response/>", status=201, headers=headers)]
        got = await client.post(site.url("/voice"))
        assert (got.url, got.method, got.status) == (site.url("/voice"), "POST", 201)
        assert (got.body, got.content_type, got.headers["x-cordboard-route"]) == (b"<Response/>", "text/xml", "7")
        assert 0 < got.seconds < 5

    @pytest.mark.parametrize("size", [MAX_BODY, MAX_BODY + 1])
    async def test_a_body_up_to_one_byte_over_the_cap_is_whole(self, client: Client, site: Site, size: int) -> None:
        site.answers["/voice"] = [web.Response(body=b"x" * size)]
        assert len((await client.post(site.url("/voice"))).body) == size

    async def test_a_body_without_end_is_cut_one_byte_over_the_cap(self, client: Client, site: Site) -> None:
        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                while True:
                    await response.write(b"x" * 10_000)
            return response

        site.answers["/voice"] = [endless]
        assert len((await client.post(site.url("/voice"))).body) == MAX_BODY + 1

    @pytest.mark.parametrize("status", [304, 400, 401, 404, 500, 503])
    async def test_what_is_not_2xx_is_11200_and_keeps_what_the_server_said(
        self, client: Client, site: Site, status: int
    ) -> None:
        said = b"" if status == 304 else b"Traceback: what went wrong"
        site.answers["/voice"] = [web.Response(status=status, body=said)]
        error = await client.failure(site.url("/voice"))
        assert (error.code, error.status, error.body) == (11200, status, said)
        assert error.message.startswith(f"HTTP {status}")
        assert len(site.asked) == 1


class TestRedirects:
    """At most ten, each request signed for its own URL (conformance §1.1)."""

    @pytest.mark.parametrize("status", [301, 302, 303])
    async def test_a_post_becomes_a_get_without_parameters(self, client: Client, site: Site, status: int) -> None:
        site.redirect("/voice", status, "/next?a=1")
        got = await client.post(site.url("/voice"))
        assert (got.method, got.url) == ("GET", site.url("/next?a=1"))
        assert [(one.method, one.url) for one in site.asked] == [
            ("POST", site.url("/voice")),
            ("GET", site.url("/next?a=1")),
        ]

    @pytest.mark.parametrize("status", [307, 308])
    async def test_a_post_stays_one_where_the_status_says_so(self, client: Client, site: Site, status: int) -> None:
        site.redirect("/voice", status, "next")
        await client.post(site.url("/voice"))
        assert site.asked[1].method == "POST"
        assert list(site.asked[1].form.items()) == list(PARAMETERS)

    @pytest.mark.parametrize("status", [301, 307])
    async def test_every_request_is_signed_anew(self, client: Client, site: Site, status: int) -> None:
        site.redirect("/voice", status, "/second?b=2")
        site.redirect("/second", status, "/third")
        await client.post(site.url("/voice"))
        assert [one.signed for one in site.asked] == [True] * 3

    async def test_a_get_goes_exactly_where_it_was_sent(self, client: Client, site: Site) -> None:
        site.redirect("/voice", 301, "/voice/?CallSid=CA1")
        await client.get(site.url("/voice"), (("CallSid", "CA1"),))
        assert site.asked[1].url == site.url("/voice/?CallSid=CA1")

    async def test_ten_are_followed(self, client: Client, site: Site) -> None:
        for number in range(10):
            site.redirect(f"/{number}", 307, f"/{number + 1}")
        assert (await client.post(site.url("/0"))).url == site.url("/10")

    async def test_the_eleventh_is_11215(self, client: Client, site: Site) -> None:
        site.redirect("/voice", 307, "/voice")
        assert (await client.failure(site.url("/voice"))).code == 11215
        assert len(site.asked) == 11

    async def test_without_a_location_it_is_11216(self, client: Client, site: Site) -> None:
        site.answers["/voice"] = [web.Response(status=302)]
        error = await client.failure(site.url("/voice"))
        assert (error.code, error.status) == (11216, 302)

    @pytest.mark.parametrize("location", ["ftp://files/x", "mailto:me", "http://[oops", "http://a:99999/"])
    async def test_to_no_web_address_it_is_11216(self, client: Client, site: Site, location: str) -> None:
        site.redirect("/voice", 302, location)
        assert (await client.failure(site.url("/voice"))).code == 11216

    async def test_user_and_password_do_not_follow_to_another_address(self, client: Client, site: Site) -> None:
        site.redirect("/voice", 307, site.url("/next"))
        await client.post(site.url("/voice", login="me:secret@"))
        assert "Authorization" not in site.asked[1].headers

    async def test_they_stay_with_a_relative_one(self, client: Client, site: Site) -> None:
        site.redirect("/voice", 307, "/next")
        await client.post(site.url("/voice", login="me:secret@"))
        assert "Authorization" in site.asked[1].headers


class TestCookies:
    """Kept for one call (conformance §1.1)."""

    def sets(self, site: Site, path: str, *cookies: str) -> None:
        headers = MultiDict([("Set-Cookie", cookie) for cookie in cookies])
        site.answers[path] = [web.Response(text=XML, headers=headers)]

    async def test_they_come_back_with_the_next_request_of_the_call(self, client: Client, site: Site) -> None:
        self.sets(site, "/voice", "session=abc; Path=/; HttpOnly", "lang=de")
        call = Cookies()
        await client.post(site.url("/voice"), cookies=call)
        await client.post(site.url("/action"), cookies=call)
        assert sorted(site.asked[1].headers["Cookie"].split("; ")) == ["lang=de", "session=abc"]

    async def test_another_call_does_not_have_them(self, client: Client, site: Site) -> None:
        self.sets(site, "/voice", "session=abc")
        await client.post(site.url("/voice"))
        await client.post(site.url("/voice"))
        assert "Cookie" not in site.asked[1].headers

    async def test_they_are_sent_with_a_redirected_request_too(self, client: Client, site: Site) -> None:
        headers = {"Set-Cookie": "session=abc", "Location": "/next"}
        site.answers["/voice"] = [web.Response(status=307, headers=headers)]
        await client.post(site.url("/voice"))
        assert site.asked[1].headers["Cookie"] == "session=abc"

    async def test_a_quoted_value_comes_back_as_it_was_set(self, client: Client, site: Site) -> None:
        self.sets(site, "/voice", r'messages="a\054b c"')
        call = Cookies()
        await client.post(site.url("/voice"), cookies=call)
        await client.post(site.url("/voice"), cookies=call)
        assert site.asked[1].headers["Cookie"] == r'messages="a\054b c"'

    async def test_one_that_is_taken_back_is_not_sent_again(self, client: Client, site: Site) -> None:
        self.sets(site, "/voice", "session=abc")
        self.sets(site, "/logout", 'session=""; Max-Age=0; Path=/')
        call = Cookies()
        for path in ("/voice", "/logout", "/voice"):
            await client.post(site.url(path), cookies=call)
        assert "Cookie" not in site.asked[2].headers

    async def test_another_host_does_not_see_them(self, client: Client, site: Site) -> None:
        self.sets(site, "/voice", "session=abc")
        call = Cookies()
        await client.post(site.url("/voice"), cookies=call)
        await client.post(site.url("/voice", host="localhost"), cookies=call)
        assert "Cookie" not in site.asked[1].headers


class TestWhenTheServerFails:
    """Each failure has Twilio's code (conformance §1.12)."""

    async def test_a_refused_connection_is_11202(self, client: Client, refusing: str) -> None:
        assert (await client.failure(refusing)).code == 11202

    async def test_a_name_that_does_not_resolve_is_11210(self, client: Client) -> None:
        error = await client.failure("http://no-such-host.invalid/voice")
        assert error.code == 11210
        assert "no-such-host.invalid" in error.message

    async def test_no_connection_in_time_is_11201(self, client: Client, unreachable: str) -> None:
        error = await client.failure(unreachable + "#ct=100&rc=0")
        assert (error.code, error.message) == (11201, "no connection within 0.1 s")

    async def test_no_answer_in_time_is_11203(self, client: Client) -> None:
        async with raw(None) as url:
            error = await client.failure(url + "#rt=100")
        assert (error.code, error.message) == (11203, "no answer within 0.1 s")

    async def test_a_body_that_stops_is_11203(self, client: Client, site: Site) -> None:
        site.answers["/voice"] = [dripping(first=b"<Resp", pause=60)]
        assert (await client.failure(site.url("/voice#rt=100"))).code == 11203

    async def test_a_body_that_drips_for_ever_ends_with_the_total_time(self, client: Client, site: Site) -> None:
        site.answers["/voice"] = [dripping(first=b"<Resp", pause=0.01)]
        error = await client.failure(site.url("/voice#rt=2000&tt=200"))
        assert (error.code, error.message) == (11203, "no answer within 0.2 s")

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"220 mail.example.com ESMTP\r\n\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<Resp",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            http("no gzip", "Content-Encoding: gzip\r\n"),
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        ],
        ids=["nothing", "another protocol", "no status", "cut", "bad chunk", "bad encoding", "huge header"],
    )
    async def test_what_is_not_http_is_11206(self, client: Client, answer: bytes) -> None:
        async with raw(answer) as url:
            assert (await client.failure(url)).code == 11206

    async def test_a_certificate_that_nobody_vouches_for_is_11237(self, client: Client, tmp_path: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self_signed(tmp_path))
        async with raw(http(XML), tls=context) as url:
            assert (await client.failure(url)).code == 11237

    async def test_a_server_without_tls_is_11220(self, client: Client, site: Site) -> None:
        assert (await client.failure(site.url("/voice").replace("http:", "https:"))).code == 11220

    async def test_an_override_that_is_out_of_range_is_11243(self, client: Client, site: Site) -> None:
        assert (await client.failure(site.url("/voice#rc=9"))).code == 11243
        assert site.asked == []

    @pytest.mark.parametrize("url", ["", "voice", "ftp://a/b", "http://", "http://[oops"])
    async def test_what_is_no_web_address_is_11100(self, client: Client, url: str) -> None:
        assert (await client.failure(url)).code == 11100


class TestRetries:
    """`rc` and `rp` of the connection overrides; by default one more try to connect (conformance §1.11)."""

    async def test_a_refused_connection_is_tried_once_more(self, client: Client, refusing: str) -> None:
        await client.failure(refusing)
        assert client.connections == 2

    @pytest.mark.parametrize(("overrides", "tries"), [("#rc=0", 1), ("#rc=3", 4), ("#rc=3&rp=5xx", 1)])
    async def test_it_is_tried_as_often_as_the_url_says(
        self, client: Client, refusing: str, overrides: str, tries: int
    ) -> None:
        await client.failure(refusing + overrides)
        assert client.connections == tries

    @pytest.mark.parametrize(
        ("status", "overrides", "tries"),
        [
            (500, "", 1),
            (500, "#rc=2&rp=5xx", 3),
            (503, "#rc=2&rp=4xx,5xx", 3),
            (404, "#rp=4xx", 2),
            (404, "#rp=5xx", 1),
            (404, "#rc=1&rp=all", 2),
        ],
    )
    async def test_an_error_is_asked_again_if_the_url_says_so(
        self, client: Client, site: Site, status: int, overrides: str, tries: int
    ) -> None:
        site.answers["/voice"] = [web.Response(status=status)]
        await client.failure(site.url("/voice") + overrides)
        assert len(site.asked) == tries

    async def test_the_answer_to_a_retry_counts(self, client: Client, site: Site) -> None:
        site.answers["/voice"] = [web.Response(status=500), web.Response(text=XML)]
        assert (await client.post(site.url("/voice#rp=5xx"))).body == b"<Response/>"

    async def test_a_silent_server_is_asked_again_with_rt(self, client: Client) -> None:
        async with raw(None, http(XML)) as url:
            assert (await client.post(url + "#rt=100&rp=rt")).body == b"<Response/>"

    async def test_the_total_time_covers_every_try(self, client: Client) -> None:
        async with raw(None) as url:
            assert (await client.failure(url + "#rt=100&tt=250&rc=5&rp=rt")).code == 11203
        assert 2 <= client.connections <= 3

    async def test_a_retry_is_known_by_its_idempotency_token(self, client: Client, site: Site) -> None:
        site.answers["/voice"] = [web.Response(status=500), web.Response(text=XML)]
        await client.post(site.url("/voice#rp=5xx"))
        await client.post(site.url("/other"))
        first, again, other = (one.headers["I-Twilio-Idempotency-Token"] for one in site.asked)
        assert first == again != other

    async def test_a_connection_that_was_kept_open_and_died_is_replaced(self, client: Client) -> None:
        # Servers close idle connections at any moment, also as a request is on its way (RFC 9112 §9.3.1).
        async with raw(http(XML), http(XML), keep_open=True) as url:
            await client.post(url)
            assert (await client.post(url)).body == b"<Response/>"
        assert client.connections == 2


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

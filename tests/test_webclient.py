"""The web client against real servers on 127.0.0.1: what arrives there, and what becomes of what they answer."""

from __future__ import annotations

import contextlib
import datetime
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from multidict import MultiDict

from calls.guarded import ClientPolicy
from calls.webclient import MAX_BODY, Cookies
from routing.digest import digest_response, ha1
from sipengine.certificate import self_signed
from tests.websites import PARAMETERS, TOKEN, XML, Client, Site, dripping, http, raw


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


def certificate(folder: Path, name: str, days: int) -> Path:
    """Make a certificate that vouches for itself, with its key, for a host name or IP address; return its file."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    host = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .sign(private, hashes.SHA256())
    )
    key = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key)
    return path


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

    async def test_the_host_is_signed_as_the_server_sees_it(self, client: Client, site: Site) -> None:
        await client.post(site.url("/voice", host="LocalHost"))
        assert site.asked[0].signed

    async def test_the_operator_may_give_it_another_name(self, site: Site) -> None:
        client = Client(ClientPolicy(user_agent="Cordboard"))
        await client.post(site.url("/voice"))
        await client.session.close()
        assert site.asked[0].headers["User-Agent"] == "Cordboard"

    async def test_a_message_that_is_sent_again_can_have_its_own_idempotency_token(
        self, client: Client, site: Site
    ) -> None:
        site.answers["/voice"] = [web.Response(status=500), web.Response(text=XML)]
        await client.web.fetch(site.url("/voice#rp=5xx"), "POST", PARAMETERS, TOKEN, Cookies(), "WD1")
        assert [one.headers["I-Twilio-Idempotency-Token"] for one in site.asked] == ["WD1", "WD1"]

    async def test_overrides_that_have_no_meaning_here_are_accepted(self, client: Client, site: Site) -> None:
        await client.post(site.url("/voice#e=dublin,ashburn&sni=n"))
        assert site.asked[0].url == site.url("/voice")

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


class TestAuthentication:
    """User and password of the URL: basic at once, digest when the server asks for it (RFC 7617, RFC 7616, §1.11)."""

    def protect(self, site: Site, *challenges: str) -> None:
        """Let the site ask for digest authentication with user `me` and password `p@ss`."""

        async def answer(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("Authorization", "")
            pairs = re.findall(r'(\w+)=(?:"([^"]*)"|([^",\s]+))', given)
            fields = {name: quoted or plain for name, quoted, plain in pairs}
            if given.startswith("Digest "):
                secret = ha1("me", fields["realm"], "p@ss", "SHA-256" if fields["algorithm"] == "SHA-256" else "MD5")
                expected = digest_response(
                    secret, request.method, request.raw_path, fields["nonce"], qop=fields["qop"],
                    nonce_count=fields["nc"], cnonce=fields["cnonce"], algorithm=fields["algorithm"],
                )  # fmt: skip
                if fields["uri"] == request.raw_path and fields["response"] == expected:
                    return web.Response(text=XML)
            headers = MultiDict([("WWW-Authenticate", one) for one in challenges])
            return web.Response(status=401, text="who are you?", headers=headers)

        site.answers["/voice"] = [answer]

    MD5 = 'Digest realm="r, s", nonce="n1", qop="auth,auth-int", algorithm=MD5, opaque="o"'
    SHA_256 = 'Digest realm="r, s", nonce="n2", qop="auth", algorithm=SHA-256'

    @pytest.mark.parametrize("challenges", [(MD5,), (SHA_256,), (SHA_256, MD5), ('Basic realm="x"', MD5)])
    async def test_a_digest_challenge_is_answered(
        self, client: Client, site: Site, challenges: tuple[str, ...]
    ) -> None:
        self.protect(site, *challenges)
        assert (await client.post(site.url("/voice?a=%20b", login="me:p%40ss@"))).body == b"<Response/>"
        assert [one.signed for one in site.asked] == [True, True]
        assert list(site.asked[1].form.items()) == list(PARAMETERS)

    async def test_for_a_get_the_digest_covers_the_parameters(self, client: Client, site: Site) -> None:
        self.protect(site, self.MD5)
        assert (await client.get(site.url("/voice", login="me:p%40ss@"))).body == b"<Response/>"

    async def test_a_wrong_password_is_tried_once(self, client: Client, site: Site) -> None:
        self.protect(site, self.MD5)
        error = await client.failure(site.url("/voice", login="me:wrong@"))
        assert (error.code, error.status, error.body) == (11200, 401, b"who are you?")
        assert len(site.asked) == 2

    async def test_without_user_and_password_no_challenge_is_answered(self, client: Client, site: Site) -> None:
        self.protect(site, self.MD5)
        assert (await client.failure(site.url("/voice"))).status == 401
        assert len(site.asked) == 1

    async def test_both_requests_are_one_for_the_application(self, client: Client, site: Site) -> None:
        self.protect(site, self.MD5)
        await client.post(site.url("/voice", login="me:p%40ss@"))
        first, second = (one.headers["I-Twilio-Idempotency-Token"] for one in site.asked)
        assert first == second


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

    @pytest.mark.parametrize(
        ("name", "days", "code"), [("127.0.0.1", 1, 0), ("other.example", 1, 11235), ("127.0.0.1", -1, 11236)]
    )
    async def test_a_certificate_for_another_host_is_11235_and_an_expired_one_11236(
        self, tmp_path: Path, name: str, days: int, code: int
    ) -> None:
        path = certificate(tmp_path, name, days)
        client = Client(ssl=ssl.create_default_context(cafile=path))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        async with raw(http(XML), tls=context) as url:
            if code:
                assert (await client.failure(url)).code == code
            else:
                assert (await client.post(url)).body == b"<Response/>"
        await client.session.close()

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

"""Media: text and addresses become WAV files that hold the right sound; what fails says so with Twilio's code.

The web server is a real one on a free port of 127.0.0.1, the voice is the real espeak-ng.
"""

from __future__ import annotations

import asyncio
import io
import os
import resource
import shutil
import socket
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import soundfile
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from calls.guarded import ClientPolicy, open_session
from sipengine import audio, espeak
from sipengine.media import MediaError, MediaLibrary

SENTENCE = "Thank you for calling. All of our agents are busy. Please leave a message after the tone."


def samples(path: Path) -> NDArray[np.float64]:
    """Return the samples of a WAV file of ours as fractions of full scale; fail if it is not 16 bit, mono, 8 kHz."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / 32768


def seconds(path: Path) -> float:
    return len(samples(path)) / 8000


def rms(path: Path) -> float:
    return float(np.sqrt(np.mean(samples(path) ** 2)))


def pitch(path: Path) -> float:
    """Return the dominant frequency in Hz."""
    sound = samples(path)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(np.argmax(spectrum) * 8000 / len(sound))


def tone(
    frequency: float = 440, format: str = "WAV", subtype: str | None = None, rate: int = 8000, channels: int = 1
) -> bytes:
    """Return two seconds of a sine at half scale as an audio file."""
    sine = 0.5 * np.sin(2 * np.pi * frequency * np.arange(2 * rate) / rate)
    out = io.BytesIO()
    soundfile.write(out, np.column_stack([sine] * channels), rate, format=format, subtype=subtype)
    return out.getvalue()


class Server:
    """A web server whose answers a test sets by path; it keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[web.BaseRequest] = []
        self.answers: dict[str, Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]] = {}
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        return await self.answers[request.path](request)

    def serve(self, path: str, body: bytes = b"", kind: str = "audio/wav", status: int = 200, **headers: str) -> str:
        """Answer `path` with this from now on; return its address."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            if named.get("ETag") and request.headers.get("If-None-Match") == named["ETag"]:
                return web.Response(status=304, headers=named)
            return web.Response(status=status, body=body, headers={"Content-Type": kind, **named})

        self.answers[path] = answer
        return self.url + path


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    runner = web.ServerRunner(web.Server(server.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield server
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
async def library(tmp_path: Path, http: aiohttp.ClientSession) -> AsyncIterator[MediaLibrary]:
    library = MediaLibrary(
        tmp_path / "cache", http, default_voice="en-us", allowed_dir=tmp_path / "media", max_bytes=500_000, timeout=5
    )
    (tmp_path / "media").mkdir()
    yield library
    await library.close()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def total_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def replace_by_file(folder: Path) -> None:
    folder.rmdir()
    folder.write_text("in the way")


async def failure(work: Awaitable[Path]) -> MediaError:
    with pytest.raises(MediaError) as caught:
        await work
    return caught.value


class TestSay:
    """Text becomes speech of a steady level."""

    async def test_it_speaks_for_as_long_as_the_sentence_takes(self, library: MediaLibrary) -> None:
        assert 4.5 < seconds(await library.say(SENTENCE)) < 7.5

    @pytest.mark.parametrize("voice", [None, "man", "woman", "Polly.Hans"])
    async def test_every_voice_is_as_loud_and_not_clipped(self, library: MediaLibrary, voice: str | None) -> None:
        path = await library.say(SENTENCE, voice)
        assert 0.07 < rms(path) < 0.11
        assert np.abs(samples(path)).max() < 0.95

    async def test_speech_varies_in_level_as_a_tone_or_noise_does_not(self, library: MediaLibrary) -> None:
        sound = samples(await library.say(SENTENCE))
        levels = np.sqrt(np.mean(sound[: len(sound) // 400 * 400].reshape(-1, 400) ** 2, axis=1))
        assert np.percentile(levels, 90) > 10 * np.percentile(levels, 5)

    async def test_the_same_text_is_made_once(self, library: MediaLibrary) -> None:
        first = await library.say(SENTENCE)
        made = first.stat().st_ino
        assert await library.say(SENTENCE) == first
        assert first.stat().st_ino == made

    async def test_calls_that_want_the_same_text_at_once_share_the_work(
        self, library: MediaLibrary, cache: Path
    ) -> None:
        paths = await asyncio.gather(*(library.say(SENTENCE) for _ in range(20)))
        assert len(set(paths)) == 1
        assert names(cache) == [paths[0].name]

    async def test_another_voice_or_language_is_another_file(self, library: MediaLibrary) -> None:
        paths = [await library.say("eins zwei drei", *asked) for asked in [(), ("woman",), (None, "de-DE")]]
        assert len(set(paths)) == 3
        assert len({samples(path).tobytes() for path in paths}) == 3

    async def test_texts_wanted_at_once_do_not_get_mixed_up(self, library: MediaLibrary) -> None:
        texts = [f"{text} {number}" for number, text in enumerate(["one", SENTENCE, "two " * 20, "three"] * 3)]
        at_once = [seconds(path) for path in await asyncio.gather(*map(library.say, texts))]
        shutil.rmtree((await library.say(texts[0])).parent)
        one_by_one = [seconds(await library.say(text)) for text in texts]
        # espeak-ng lets its pitch flutter, so that a text is never twice the same to the sample.
        assert at_once == pytest.approx(one_by_one, abs=0.05)

    async def test_an_unknown_voice_speaks_as_the_default_with_a_remark(
        self, library: MediaLibrary, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert await library.say("hello", "Polly.Nobody") == await library.say("hello")
        assert "13511" in caplog.text
        assert [remark.code for remark in library.choose("Polly.Nobody", None).remarks] == [13511]

    async def test_long_text_is_cut(self, library: MediaLibrary) -> None:
        assert await library.say("a, " * 2000) == await library.say(("a, " * 2000)[:4096])

    async def test_text_without_a_sound_is_a_short_silence(self, library: MediaLibrary) -> None:
        assert seconds(await library.say("...")) >= 0.1

    async def test_markup_and_phonemes_are_read_as_they_stand(self, library: MediaLibrary) -> None:
        spoken = await library.say("<break time='10s'/> [[h@l'oU]] & co \0 end")
        assert 2 < seconds(spoken) < 10

    async def test_a_caller_who_gives_up_does_not_stop_the_work_of_others(self, library: MediaLibrary) -> None:
        first, second = (asyncio.create_task(library.say("word " * 800)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert seconds(await second) > 60

    async def test_a_default_voice_that_there_is_not_is_named_at_once(self, tmp_path: Path, http: Any) -> None:
        with pytest.raises(ValueError, match="SAY_VOICE"):
            MediaLibrary(tmp_path, http, default_voice="klingon")

    async def test_the_default_voice_is_a_language(self, tmp_path: Path, http: Any) -> None:
        library = MediaLibrary(tmp_path, http, default_voice="en-GB+f3")
        assert library.choose(None, None).voice == "en+f3"
        await library.close()

    def test_every_language_that_is_offered_can_be_heard(self) -> None:
        for voice in set(espeak.languages().values()):
            sound, rate = espeak.thread.submit(espeak.speak, "123 test", voice).result()
            assert len(sound) > rate / 4, voice
            assert np.abs(sound).max() > 1000, voice

    def test_a_voice_that_there_is_not_is_an_error(self) -> None:
        with pytest.raises(espeak.EspeakError, match="no voice xx"):
            espeak.thread.submit(espeak.speak, "text", "xx").result()


FORMATS = {
    "telephone WAV": (tone(), "audio/wav"),
    "CD WAV": (tone(rate=44100, channels=2), "audio/x-wav"),
    "24-bit WAV": (tone(subtype="PCM_24", rate=48000), "audio/wave"),
    "mu-law WAV": (tone(subtype="ULAW"), "audio/wav"),
    "a-law WAV": (tone(subtype="ALAW"), "audio/wav"),
    "GSM WAV": (tone(subtype="GSM610"), "audio/x-gsm"),
    "bare mu-law": (tone(format="RAW", subtype="ULAW"), "audio/basic"),
    "AU": (tone(format="AU", subtype="ULAW"), "audio/basic"),
    "MP3": (tone(format="MP3", rate=44100, channels=2), "audio/mpeg"),
    "telephone MP3": (tone(format="MP3"), "audio/mpeg; charset=utf-8"),
    "FLAC": (tone(format="FLAC", rate=48000), "audio/flac"),
    "Vorbis": (tone(format="OGG", subtype="VORBIS", rate=22050), "audio/ogg"),
    "Opus": (tone(format="OGG", subtype="OPUS", rate=48000), "application/ogg"),
    "AIFF": (tone(format="AIFF"), "audio/aiff"),
    "unknown type": (tone(), "application/octet-stream"),
}


class TestPlayOverHttp:
    """An address becomes a WAV file: 11200 and its kin, 12300, 13420."""

    @pytest.mark.parametrize("name", FORMATS)
    async def test_it_plays_the_tone_that_is_in_the_file(
        self, library: MediaLibrary, server: Server, name: str
    ) -> None:
        body, kind = FORMATS[name]
        path = await library.play(server.serve("/tone", body, kind))
        assert abs(pitch(path) - 440) < 2
        assert abs(seconds(path) - 2) < 0.1
        assert abs(rms(path) - 0.5 / 2**0.5) < 0.03

    async def test_bare_mu_law_is_known_by_its_name_too(self, library: MediaLibrary, server: Server) -> None:
        body = tone(format="RAW", subtype="ULAW")
        path = await library.play(server.serve("/tone.ulaw", body, "application/octet-stream"))
        assert abs(pitch(path) - 440) < 2

    async def test_a_short_beep_is_padded_to_a_tenth_of_a_second(self, library: MediaLibrary, server: Server) -> None:
        out = io.BytesIO()
        soundfile.write(out, np.full(10, 0.5), 8000, format="WAV")
        assert seconds(await library.play(server.serve("/beep", out.getvalue()))) == 0.1

    @pytest.mark.parametrize("status", [204, 400, 404, 500, 503])
    async def test_an_answer_that_is_not_200_is_a_retrieval_failure(
        self, library: MediaLibrary, server: Server, status: int
    ) -> None:
        error = await failure(library.play(server.serve("/a", status=status)))
        assert error.code == 11200
        assert str(status) in error.message

    @pytest.mark.parametrize("kind", ["text/html", "application/json", "image/png", "text/xml; charset=utf-8"])
    async def test_another_content_type_is_refused(self, library: MediaLibrary, server: Server, kind: str) -> None:
        error = await failure(library.play(server.serve("/a", b"<html/>", kind)))
        assert error.code == 12300
        assert kind.partition(";")[0] in error.message

    @pytest.mark.parametrize(
        "body", [b"", b"not audio at all" * 100, tone()[:20], tone()[:44], tone(format="FLAC")[:60]]
    )
    async def test_bytes_that_are_not_audio_are_refused(
        self, library: MediaLibrary, server: Server, body: bytes, cache: Path
    ) -> None:
        assert (await failure(library.play(server.serve("/a", body)))).code == 13420
        assert names(cache) == []

    async def test_a_body_over_the_limit_is_refused(self, library: MediaLibrary, server: Server) -> None:
        error = await failure(library.play(server.serve("/a", tone(rate=48000, channels=4))))
        assert error.code == 11200
        assert "larger than 500000 bytes" in error.message

    async def test_a_body_without_end_is_refused(self, library: MediaLibrary, server: Server) -> None:
        async def endless(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "audio/wav"})
            await response.prepare(request)
            while True:
                await response.write(bytes(65_536))

        server.answers["/endless"] = endless
        assert (await failure(library.play(server.url + "/endless"))).code == 11200

    async def test_a_small_file_that_unpacks_to_hours_is_refused(self, library: MediaLibrary, server: Server) -> None:
        out = io.BytesIO()
        soundfile.write(out, np.zeros(3601 * 2000, dtype=np.int16), 2000, format="FLAC")
        error = await failure(library.play(server.serve("/a", out.getvalue())))
        assert error.code == 13420
        assert "longer than 60 minutes" in error.message

    async def test_ten_redirects_are_followed(self, library: MediaLibrary, server: Server) -> None:
        server.serve("/0", tone())
        for number in range(1, 11):
            server.serve(f"/{number}", status=302, Location=f"/{number - 1}")
        assert abs(pitch(await library.play(server.url + "/10")) - 440) < 2

    async def test_eleven_redirects_are_too_many(self, library: MediaLibrary, server: Server) -> None:
        assert (await failure(library.play(server.serve("/a", status=302, Location="/a")))).code == 11215

    @pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://h/a"])
    async def test_a_redirect_elsewhere_is_refused(self, library: MediaLibrary, server: Server, target: str) -> None:
        assert (await failure(library.play(server.serve("/a", status=302, Location=target)))).code == 11216

    async def test_a_refused_connection_has_its_own_code(self, library: MediaLibrary, server: Server) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/a"
            assert (await failure(library.play(url))).code == 11202

    async def test_a_server_that_never_answers_is_given_up(self, tmp_path: Path, http: Any, server: Server) -> None:
        async def silent(request: web.BaseRequest) -> web.StreamResponse:
            await asyncio.Event().wait()
            raise AssertionError

        server.answers["/silent"] = silent
        library = MediaLibrary(tmp_path, http, default_voice="en", timeout=0.1)
        assert (await failure(library.play(server.url + "/silent"))).code == 11203
        await library.close()

    async def test_a_server_that_stops_in_the_middle_is_a_retrieval_failure(
        self, library: MediaLibrary, server: Server
    ) -> None:
        async def cut(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "audio/wav", "Content-Length": "40000"})
            await response.prepare(request)
            await response.write(tone()[:1000])
            assert request.transport is not None
            request.transport.close()
            return response

        server.answers["/cut"] = cut
        assert (await failure(library.play(server.url + "/cut"))).code == 11200

    async def test_a_host_name_that_is_not_found_has_its_own_code(self, tmp_path: Path) -> None:
        class NoNames(AbstractResolver):
            async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
                raise OSError("no such name")

            async def close(self) -> None:
                pass

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=NoNames())) as http:
            library = MediaLibrary(tmp_path, http, default_voice="en")
            assert (await failure(library.play("http://nowhere.example/a"))).code == 11210
            await library.close()

    async def test_a_server_without_tls_has_its_own_code(self, library: MediaLibrary, server: Server) -> None:
        url = server.serve("/a", tone()).replace("http://", "https://")
        assert (await failure(library.play(url))).code == 11220

    @pytest.mark.parametrize("url", ["ftp://h/a.wav", "relative.wav", "", "http://", "http://[x/"])
    async def test_what_is_not_an_address_is_refused(self, library: MediaLibrary, url: str) -> None:
        assert (await failure(library.play(url))).code == 11100

    async def test_credentials_of_the_address_are_sent_and_not_shown(
        self, library: MediaLibrary, server: Server
    ) -> None:
        url = server.serve("/a", status=401).replace("http://", "http://user:secret@")
        error = await failure(library.play(url))
        assert server.requests[0].headers["Authorization"] == "Basic dXNlcjpzZWNyZXQ="
        assert "secret" not in error.message


class TestHttpCache:
    """A file is fetched once while it is fresh, asked about afterwards, and fetched by one call for all."""

    async def test_without_a_word_of_the_server_it_is_fetched_each_time(
        self, library: MediaLibrary, server: Server
    ) -> None:
        await library.play(server.serve("/a", tone(440)))
        path = await library.play(server.serve("/a", tone(1000)))
        assert abs(pitch(path) - 1000) < 2

    async def test_while_it_is_fresh_nobody_is_asked(self, library: MediaLibrary, server: Server) -> None:
        url = server.serve("/a", tone(), Cache_Control="public, max-age=60")
        assert await library.play(url) == await library.play(url)
        assert len(server.requests) == 1

    async def test_the_fragment_is_no_part_of_the_address(self, library: MediaLibrary, server: Server) -> None:
        url = server.serve("/a", tone(), Cache_Control="max-age=60")
        assert await library.play(url) == await library.play(url + "#rc=2")

    @pytest.mark.parametrize("control", ["no-cache, max-age=60", "no-store, max-age=60", "max-age=0", "private"])
    async def test_what_is_not_fresh_is_asked_for_again(
        self, library: MediaLibrary, server: Server, control: str
    ) -> None:
        url = server.serve("/a", tone(), Cache_Control=control, ETag='"1"')
        first = await library.play(url)
        made = first.stat().st_ino
        assert await library.play(url) == first
        assert [request.headers.get("If-None-Match") for request in server.requests] == [None, '"1"']
        assert first.stat().st_ino == made

    async def test_last_modified_is_sent_back(self, library: MediaLibrary, server: Server) -> None:
        date = "Sun, 25 Mar 2018 09:53:19 GMT"
        url = server.serve("/a", tone(), Last_Modified=date)
        await library.play(url)
        await library.play(url)
        assert server.requests[1].headers["If-Modified-Since"] == date

    async def test_a_changed_file_is_taken(self, library: MediaLibrary, server: Server) -> None:
        await library.play(server.serve("/a", tone(440), ETag='"1"'))
        path = await library.play(server.serve("/a", tone(1000), ETag='"2"'))
        assert abs(pitch(path) - 1000) < 2

    async def test_not_modified_may_make_it_fresh(self, library: MediaLibrary, server: Server) -> None:
        await library.play(server.serve("/a", tone(), ETag='"1"'))
        url = server.serve("/a", tone(), ETag='"1"', Cache_Control="max-age=60")
        await library.play(url)
        await library.play(url)
        assert len(server.requests) == 2

    async def test_an_older_copy_is_played_while_the_server_is_down(
        self, library: MediaLibrary, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = await library.play(server.serve("/a", tone(), ETag='"1"'))
        assert await library.play(server.serve("/a", status=503)) == path
        assert "older copy" in caplog.text

    async def test_what_the_server_has_deleted_is_not_played(self, library: MediaLibrary, server: Server) -> None:
        await library.play(server.serve("/a", tone(), ETag='"1"'))
        assert (await failure(library.play(server.serve("/a", status=404)))).code == 11200

    async def test_a_spoilt_note_of_the_cache_is_fetched_anew(
        self, library: MediaLibrary, server: Server, cache: Path
    ) -> None:
        url = server.serve("/a", tone(), Cache_Control="max-age=60")
        path = await library.play(url)
        path.with_suffix(".json").write_text('{"etag"')
        assert await library.play(url) == path
        assert len(server.requests) == 2

    async def test_calls_that_want_the_same_address_at_once_share_the_work(
        self, library: MediaLibrary, server: Server
    ) -> None:
        url = server.serve("/a", tone())
        assert len(set(await asyncio.gather(*(library.play(url) for _ in range(20))))) == 1
        assert len(server.requests) == 1

    async def test_a_failure_is_everybodys_and_the_next_call_tries_again(
        self, library: MediaLibrary, server: Server
    ) -> None:
        url = server.serve("/a", status=500)
        errors = await asyncio.gather(*(library.play(url) for _ in range(5)), return_exceptions=True)
        assert all(isinstance(error, MediaError) for error in errors)
        assert len(server.requests) == 1
        assert abs(pitch(await library.play(server.serve("/a", tone()))) - 440) < 2

    async def test_a_caller_who_gives_up_does_not_stop_the_work_of_others(
        self, library: MediaLibrary, server: Server
    ) -> None:
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def slow(request: web.BaseRequest) -> web.StreamResponse:
            asked.set()
            await go_on.wait()
            return web.Response(body=tone(), content_type="audio/wav")

        server.answers["/slow"] = slow
        first, second = (asyncio.create_task(library.play(server.url + "/slow")) for _ in range(2))
        await asked.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        go_on.set()
        assert abs(pitch(await second) - 440) < 2

    async def test_a_failure_that_nobody_waits_for_is_quiet(self, library: MediaLibrary, server: Server) -> None:
        asked, answered = asyncio.Event(), asyncio.Event()

        async def failing(request: web.BaseRequest) -> web.StreamResponse:
            asked.set()
            await answered.wait()
            return web.Response(status=500)

        server.answers["/failing"] = failing
        only = asyncio.create_task(library.play(server.url + "/failing"))
        await asked.wait()
        only.cancel()
        answered.set()
        await asyncio.gather(*library._work.values(), return_exceptions=True)
        assert library._work == {}


class TestLocalFiles:
    """Only below the one folder that is allowed."""

    @pytest.mark.parametrize("address", ["{}", "file://{}"])
    async def test_a_file_below_the_folder_is_played(self, library: MediaLibrary, tmp_path: Path, address: str) -> None:
        file = tmp_path / "media" / "tone.wav"
        file.write_bytes(tone())
        path = await library.play(address.format(file))
        assert abs(pitch(path) - 440) < 2
        assert await library.play(address.format(file)) == path

    async def test_a_name_with_a_space_may_be_escaped(self, library: MediaLibrary, tmp_path: Path) -> None:
        (tmp_path / "media" / "my tone.ulaw").write_bytes(tone(format="RAW", subtype="ULAW"))
        path = await library.play(f"file://{tmp_path}/media/my%20tone.ulaw")
        assert abs(pitch(path) - 440) < 2

    async def test_a_changed_file_is_converted_anew(self, library: MediaLibrary, tmp_path: Path) -> None:
        file = tmp_path / "media" / "tone.wav"
        file.write_bytes(tone())
        await library.play(str(file))
        file.write_bytes(tone(1000))
        os.utime(file, (1, 1))
        assert abs(pitch(await library.play(str(file))) - 1000) < 2

    @pytest.mark.parametrize("name", ["../secret.wav", "link.wav", "folder/../../secret.wav"])
    async def test_a_file_outside_the_folder_is_refused(self, library: MediaLibrary, tmp_path: Path, name: str) -> None:
        (tmp_path / "secret.wav").write_bytes(tone())
        (tmp_path / "media" / "link.wav").symlink_to(tmp_path / "secret.wav")
        error = await failure(library.play(f"file://{tmp_path}/media/{name}"))
        assert error.code == 11200
        assert "not below" in error.message

    async def test_without_a_folder_no_local_file_is_played(self, tmp_path: Path, http: Any) -> None:
        library = MediaLibrary(tmp_path / "cache", http, default_voice="en")
        (tmp_path / "tone.wav").write_bytes(tone())
        assert (await failure(library.play(str(tmp_path / "tone.wav")))).code == 11200
        await library.close()

    @pytest.mark.parametrize("name", ["missing.wav", "folder", "huge.wav", "a%00b.wav", "x" * 300])
    async def test_what_is_not_a_file_of_the_right_size_is_refused(
        self, library: MediaLibrary, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "media" / "folder").mkdir()
        (tmp_path / "media" / "huge.wav").write_bytes(bytes(500_001))
        assert (await failure(library.play(f"file://{tmp_path}/media/{name}"))).code == 11200

    async def test_a_file_that_is_not_audio_is_refused(self, library: MediaLibrary, tmp_path: Path) -> None:
        (tmp_path / "media" / "notes.txt").write_text("not audio")
        assert (await failure(library.play(f"{tmp_path}/media/notes.txt"))).code == 13420


@contextmanager
def no_room_for(size: int) -> Iterator[None]:
    """Let no file grow past `size` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestCacheFolder:
    """Files appear whole or not at all, and old ones go."""

    async def test_a_full_disk_leaves_no_half_file(self, library: MediaLibrary, cache: Path) -> None:
        with no_room_for(1000):
            error = await failure(library.say(SENTENCE))
        assert error.code == 12400
        assert "cannot be written" in error.message
        assert names(cache) == []

    async def test_it_works_again_once_there_is_room(self, library: MediaLibrary) -> None:
        with no_room_for(1000):
            await failure(library.say(SENTENCE))
        assert seconds(await library.say(SENTENCE)) > 4

    async def test_a_full_disk_keeps_the_older_copy(self, library: MediaLibrary, server: Server, cache: Path) -> None:
        path = await library.play(server.serve("/a", tone(440), ETag='"1"'))
        url = server.serve("/a", tone(1000), ETag='"2"')
        with no_room_for(1000):
            assert (await failure(library.play(url))).code == 12400
        assert abs(pitch(path) - 440) < 2
        assert names(cache) == [path.with_suffix(".json").name, path.name]

    async def test_a_folder_that_was_deleted_is_made_again(self, library: MediaLibrary, cache: Path) -> None:
        os.rmdir(cache)
        assert (await library.say("hello")).exists()

    async def test_a_folder_that_cannot_be_made_is_named(self, library: MediaLibrary, cache: Path) -> None:
        replace_by_file(cache)
        error = await failure(library.say("hello"))
        assert error.code == 12400
        assert str(cache) in error.message

    async def test_at_start_the_files_unused_for_longest_go(self, tmp_path: Path, http: Any) -> None:
        now = time.time()
        for age, name in enumerate(["new.wav", "newer-note.json", "old.wav", "old.json", "oldest.wav"]):
            (tmp_path / name).write_bytes(bytes(400))
            os.utime(tmp_path / name, (now - age, now - age))
        library = MediaLibrary(tmp_path, http, default_voice="en", max_cache_bytes=1000)
        assert names(tmp_path) == ["new.wav", "newer-note.json"]
        await library.close()

    async def test_at_start_what_a_crash_left_behind_goes(self, tmp_path: Path, http: Any) -> None:
        now = time.time()
        for age, name in [(7200, ".say-1.wav.0.part"), (10, ".say-2.wav.0.part")]:
            (tmp_path / name).write_bytes(b"half")
            os.utime(tmp_path / name, (now - age, now - age))
        library = MediaLibrary(tmp_path, http, default_voice="en")
        assert names(tmp_path) == [".say-2.wav.0.part"]
        await library.close()

    async def test_while_it_runs_the_cache_stays_small(self, tmp_path: Path, http: Any) -> None:
        library = MediaLibrary(tmp_path, http, default_voice="en", max_cache_bytes=100_000)
        for number in range(100):
            await library.say(str(number))
        assert total_size(tmp_path) <= 100_000
        await library.close()

    async def test_closing_gives_up_what_is_being_fetched(self, tmp_path: Path, http: Any, server: Server) -> None:
        asked = asyncio.Event()

        async def silent(request: web.BaseRequest) -> web.StreamResponse:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

        server.answers["/silent"] = silent
        library = MediaLibrary(tmp_path, http, default_voice="en")
        caller = asyncio.create_task(library.play(server.url + "/silent"))
        await asked.wait()
        await library.close()
        with pytest.raises(asyncio.CancelledError):
            await caller


class TestDecoder:
    """Whatever the bytes, the answer is a WAV file or AudioError."""

    def test_more_channels_than_music_has_are_refused(self) -> None:
        with pytest.raises(audio.AudioError, match="9 channels"):
            audio.decode(tone(channels=9))

    def test_a_rate_below_speech_is_refused(self) -> None:
        with pytest.raises(audio.AudioError, match="1000 Hz"):
            audio.decode(tone(100, rate=1000))

    def test_samples_that_are_no_numbers_are_silence(self) -> None:
        out = io.BytesIO()
        soundfile.write(out, np.full(8000, np.nan), 8000, format="WAV", subtype="FLOAT")
        decoded = np.frombuffer(audio.decode(out.getvalue())[44:], dtype="<i2")
        assert not decoded.any()

    def test_a_length_in_the_header_that_is_a_lie_is_not_believed(self) -> None:
        lying = bytearray(tone())
        lying[4:8] = lying[40:44] = b"\xff\xff\xff\x7f"  # as a recorder writes that does not know the length yet
        assert abs(len(audio.decode(bytes(lying))) - 32_044) < 100

    @given(st.sampled_from(sorted(FORMATS)), st.data())
    def test_damaged_files_raise_nothing_else(self, name: str, data: st.DataObject) -> None:
        body = bytearray(FORMATS[name][0][:8000])
        for _ in range(data.draw(st.integers(1, 8))):
            position = data.draw(st.integers(0, min(len(body), 200) - 1))
            body[position] = data.draw(st.integers(0, 255))
        try:
            decoded = audio.decode(bytes(body))
        except audio.AudioError:
            return
        assert decoded.startswith(b"RIFF")


class TestOwnSounds:
    """The beep of <Record> and of a conference, and the hold music: made here once, without any server."""

    async def test_the_beep_is_half_a_second_of_1000_hz(self, library: MediaLibrary) -> None:
        path = await library.beep()
        assert seconds(path) == 0.5
        assert pitch(path) == pytest.approx(1000, abs=3)

    async def test_who_enters_a_conference_is_heard_to_go_up_and_who_leaves_to_go_down(
        self, library: MediaLibrary, tmp_path: Path
    ) -> None:
        for beep, first, last in ((library.beep("enter"), 660, 880), (library.beep("exit"), 880, 660)):
            sound = samples(await beep)
            halves = [tmp_path / "first.wav", tmp_path / "last.wav"]
            for half, part in zip(halves, (sound[:900], sound[1100:]), strict=True):
                half.write_bytes(audio.recorded(part.astype(np.float32)))
            assert [pitch(half) for half in halves] == pytest.approx([first, last], abs=10)

    @pytest.mark.parametrize("kind", ["record", "enter", "exit"])
    async def test_a_beep_begins_and_ends_without_a_click(self, library: MediaLibrary, kind: Any) -> None:
        sound = samples(await library.beep(kind))
        assert max(abs(sound[0]), abs(sound[-1])) < 0.01
        assert 0.2 < np.abs(sound).max() < 0.3

    async def test_the_hold_music_lasts_48_seconds_and_is_never_silent_nor_loud(self, library: MediaLibrary) -> None:
        sound = samples(await library.hold_music())
        assert len(sound) == 48 * 8000
        levels = np.sqrt(np.mean(sound.reshape(-1, 8000) ** 2, axis=1))
        assert (levels.min() > 0.03, levels.max() < 0.2, np.abs(sound).max() < 0.7) == (True, True, True)

    async def test_the_hold_music_runs_on_from_its_end_into_its_beginning(self, library: MediaLibrary) -> None:
        sound = samples(await library.hold_music())
        assert abs(sound[0] - sound[-1]) < np.abs(np.diff(sound)).max() / 4

    async def test_the_hold_music_is_heard_over_a_telephone(self, library: MediaLibrary) -> None:
        sound = samples(await library.hold_music())
        power = np.abs(np.fft.rfft(sound)) ** 2
        heard = (np.fft.rfftfreq(len(sound), 1 / 8000) > 300) & (np.fft.rfftfreq(len(sound), 1 / 8000) < 3400)
        assert power[heard].sum() > power.sum() / 2

    async def test_each_is_made_once(self, library: MediaLibrary, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = await asyncio.gather(*(library.hold_music() for _ in range(5)))
        monkeypatch.setattr(audio, "recorded", None)
        assert {await library.hold_music(), *first} == {first[0]}
        assert len(names(cache)) == 1


class TestGuard:
    """What `<Play>` may ask is decided by the session, for every address that is connected to (conformance §1.11)."""

    @pytest.fixture
    async def guarded(self, tmp_path: Path) -> AsyncIterator[MediaLibrary]:
        async with open_session(ClientPolicy()) as session:
            library = MediaLibrary(tmp_path / "cache", session, default_voice="en-us", timeout=5)
            yield library
            await library.close()

    @pytest.mark.parametrize("url", ["http://169.254.169.254/a.wav", "http://[fe80::1]/a.wav", "http://0.0.0.0/a.wav"])
    async def test_an_address_that_is_denied_is_not_asked(self, guarded: MediaLibrary, url: str) -> None:
        error = await failure(guarded.play(url))
        assert error.code == 11100
        assert "may not be asked" in error.message
        assert "WEBHOOK_ALLOW_NETWORKS" in error.message

    async def test_a_redirect_does_not_get_around_it(self, guarded: MediaLibrary, server: Server) -> None:
        url = server.serve("/a.wav", status=302, Location="http://169.254.169.254/latest/meta-data")
        assert (await failure(guarded.play(url))).code == 11100

    async def test_an_older_copy_is_not_played_from_an_address_that_is_denied_now(
        self, guarded: MediaLibrary, server: Server
    ) -> None:
        url = server.serve("/a.wav", tone())
        await guarded.play(url)
        server.serve("/a.wav", status=302, Location="http://169.254.169.254/")
        assert (await failure(guarded.play(url))).code == 11100

    async def test_it_says_who_it_is_as_the_operator_wishes(
        self, tmp_path: Path, http: aiohttp.ClientSession, server: Server
    ) -> None:
        library = MediaLibrary(tmp_path / "other", http, default_voice="en-us", user_agent="Ours/1.0")
        await library.play(server.serve("/a.wav", tone()))
        await library.close()
        assert server.requests[0].headers["User-Agent"] == "Ours/1.0"

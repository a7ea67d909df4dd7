"""asyncio: `<Say>` text and `<Play>` addresses become local WAV files (16 bit, mono, 8 kHz), kept in a cache.

Work for the same file is done once however many calls want it; it runs in threads, so no call waits for another's.
Sources: Twilio's `<Say>` and `<Play>` pages, RFC 9111 (caching), the codes of design conformance §1.12.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import aiohttp
from yarl import URL

from calls.guarded import AddressDenied
from calls.webhooks import BAD_URL, USER_AGENT
from sipengine import audio, espeak, sounds, voices
from sipengine.twiml.prompts import MAX_SAY

log = logging.getLogger("sipengine.media")

MAX_REDIRECTS = 10
CONNECT_TIMEOUT = 5.0
STORES_PER_PRUNE = 100
_MULAW_TYPES = frozenset(f"audio/{name}" for name in ("basic", "ulaw", "mulaw", "x-mulaw", "x-ulaw", "pcmu"))
# What servers call a sound file whose name they do not know.
_UNKNOWN_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/ogg"})

T = TypeVar("T")


class MediaError(Exception):
    """There is nothing to play; `code` is Twilio's error code, `temporary` says that an older copy may do."""

    def __init__(self, code: int, message: str, temporary: bool = False) -> None:
        super().__init__(message)
        self.code, self.message, self.temporary = code, message, temporary


@dataclass(frozen=True, slots=True)
class _Validity:
    """What the server said of a cached answer: how to ask whether it has changed, and until when not to ask."""

    etag: str = ""
    last_modified: str = ""
    fresh_until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Answer:
    content: bytes
    content_type: str
    validity: _Validity


class MediaLibrary:
    """Makes and keeps the WAV files of an engine. Engines may share a folder: files appear in it whole."""

    def __init__(
        self,
        cache_dir: Path,
        session: aiohttp.ClientSession,
        *,
        default_voice: str,
        allowed_dir: Path | None = None,
        max_bytes: int = 20_000_000,
        timeout: float = 15.0,
        max_cache_bytes: int = 1_000_000_000,
        user_agent: str = USER_AGENT,
    ) -> None:
        """Open the cache; `allowed_dir` is the one folder that local files may be played from.

        `session` decides which addresses may be asked (`calls.guarded.open_session`).

        `default_voice` is a language such as en-us; raises `ValueError` if espeak-ng does not speak it.
        """
        name, plus, variant = default_voice.partition("+")
        found = voices.nearest(name, espeak.languages())
        if found is None:
            raise ValueError(f"SAY_VOICE: espeak-ng does not speak {default_voice!r}; name a language: en-us, de, …")
        self._default_voice = found + plus + variant
        self._cache, self._session, self._allowed = cache_dir, session, allowed_dir
        self._max_bytes, self._max_cache_bytes = max_bytes, max_cache_bytes
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, CONNECT_TIMEOUT))
        self._user_agent = user_agent
        self._pool = ThreadPoolExecutor(2, "media")
        self._work: dict[Path, asyncio.Task[Path]] = {}
        self._stores = 0
        cache_dir.mkdir(parents=True, exist_ok=True)
        _prune(cache_dir, max_cache_bytes)

    async def close(self) -> None:
        """Give up what is being fetched or made."""
        for task in list(self._work.values()):
            task.cancel()
        await asyncio.gather(*self._work.values(), return_exceptions=True)
        self._pool.shutdown(wait=False)

    def choose(self, voice: str | None, language: str | None) -> voices.Choice:
        """Return the espeak-ng voice that `say` would speak with, and remarks on what could not be had."""
        return voices.choose(voice, language, self._default_voice, espeak.languages())

    async def say(self, text: str, voice: str | None = None, language: str | None = None) -> Path:
        """Return a WAV file of the spoken text, cut at 4,096 characters; raise `MediaError`."""
        choice = self.choose(voice, language)
        for remark in choice.remarks:
            log.warning("%s %s", remark.code, remark.message)
        text = text[:MAX_SAY].replace("\0", " ")
        path = self._cache / f"say-{_digest(choice.voice, text)}.wav"
        if _touch(path):
            return path
        return await self._once(path, lambda: self._speak(text, choice.voice, path))

    async def _speak(self, text: str, voice: str, path: Path) -> Path:
        loop = asyncio.get_running_loop()
        try:
            samples, rate = await loop.run_in_executor(espeak.thread, espeak.speak, text, voice)
        except espeak.EspeakError as error:
            raise MediaError(12400, f"<Say>: {error}") from error
        return await self._in_pool(lambda: self._store(path, audio.speech(samples, rate)))

    async def play(self, url: str) -> Path:
        """Return a WAV file of what is at an http(s) address, or in a local file (`file:///…` or an absolute path).

        Raises `MediaError`: 112xx not fetched, 12300 wrong content type, 13420 not audio, 12400 the cache is full.
        """
        if url.startswith(("file:///", "/")):
            source, path = await self._in_pool(lambda: self._local(url))
            if _touch(path):
                return path
            return await self._once(path, lambda: self._in_pool(lambda: self._convert(source, path)))
        path = self._cache / f"play-{_digest(url.partition('#')[0])}.wav"
        return await self._once(path, lambda: self._download(url, path))

    async def beep(self, kind: sounds.Beep = "record") -> Path:
        """Return the beep before a recording, or the chime when somebody enters or leaves a conference."""
        return await self._own(f"beep-{kind}", lambda: sounds.beep(kind))

    async def hold_music(self) -> Path:
        """Return our own music, 48 seconds that can be played over and over."""
        return await self._own("hold", sounds.hold_music)

    async def _own(self, name: str, make: Callable[[], audio.Samples]) -> Path:
        path = self._cache / f"own-{name}-{sounds.VERSION}.wav"
        if _touch(path):
            return path
        return await self._once(path, lambda: self._in_pool(lambda: self._store(path, audio.recorded(make()))))

    def _local(self, url: str) -> tuple[Path, Path]:
        """Return the file that is meant, and where its conversion belongs."""
        name = unquote(urlsplit(url).path) if url.startswith("file:///") else url
        try:
            source = Path(name).resolve()
            allowed = self._allowed is not None and source.is_relative_to(self._allowed.resolve())
            if not allowed:
                raise MediaError(11200, f"<Play>: {name} is not below {self._allowed or 'any folder for local files'}")
            status = source.stat()
        except (OSError, ValueError) as error:
            raise MediaError(11200, f"<Play>: {name} cannot be read: {getattr(error, 'strerror', error)}") from None
        if not source.is_file() or status.st_size > self._max_bytes:
            raise MediaError(11200, f"<Play>: {name} is not a file of at most {self._max_bytes} bytes")
        return source, self._cache / f"file-{_digest(str(source), str(status.st_mtime_ns), str(status.st_size))}.wav"

    def _convert(self, source: Path, path: Path) -> Path:
        try:
            content = source.read_bytes()
        except OSError as error:
            raise MediaError(11200, f"<Play>: {source} cannot be read: {error.strerror}") from None
        return self._store(path, _decoded(content, str(source), source.suffix.lower() in (".ulaw", ".ul")))

    async def _download(self, url: str, path: Path) -> Path:
        known = await self._in_pool(lambda: _validity(path))
        if known is not None and known.fresh_until > time.time():
            return path
        try:
            answer = await self._get(url, known)
        except MediaError as error:
            if known is None or not error.temporary:
                raise
            log.warning("playing an older copy: %s", error.message)
            return path
        return await self._in_pool(lambda: self._keep(url, path, answer))

    def _keep(self, url: str, path: Path, answer: _Answer | _Validity) -> Path:
        """Store a new answer, or the new validity of the one that is there."""
        validity = answer if isinstance(answer, _Validity) else answer.validity
        if isinstance(answer, _Answer):
            bare = answer.content_type in _MULAW_TYPES or urlsplit(url).path.lower().endswith((".ulaw", ".ul"))
            self._store(path, _decoded(answer.content, _shown(url), bare))
        _write(path.with_suffix(".json"), json.dumps(asdict(validity)).encode())
        return path

    async def _get(self, url: str, known: _Validity | None) -> _Answer | _Validity:
        """Ask the server; a `_Validity` means that the copy that is known is still good."""
        headers = {"User-Agent": self._user_agent, "Accept": "audio/*, application/octet-stream;q=0.5"}
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        if known is not None and known.last_modified:
            headers["If-Modified-Since"] = known.last_modified
        try:
            async with self._session.get(
                url, headers=headers, timeout=self._timeout, max_redirects=MAX_REDIRECTS + 1
            ) as response:
                if response.status == 304 and known is not None:
                    return _said(response, known)
                return await self._answer(url, response)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _fetch_error(url, error) from None

    async def _answer(self, url: str, response: aiohttp.ClientResponse) -> _Answer:
        if response.status != 200:
            text = f"<Play>: {_shown(url)} answered HTTP {response.status}"
            raise MediaError(11200, text, temporary=response.status >= 500)
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not kind.startswith("audio/") and kind not in _UNKNOWN_TYPES:
            raise MediaError(12300, f"<Play>: {_shown(url)} is {kind}, not audio")
        content = bytearray()
        async for chunk in response.content.iter_chunked(65_536):
            content += chunk
            if len(content) > self._max_bytes:
                raise MediaError(11200, f"<Play>: {_shown(url)} is larger than {self._max_bytes} bytes")
        return _Answer(bytes(content), kind, _said(response, _Validity()))

    async def _once(self, path: Path, work: Callable[[], Coroutine[Any, Any, Path]]) -> Path:
        """Await the work for `path`, started by whoever came first; a caller who gives up stops nobody else's."""
        task = self._work.get(path)
        if task is None:
            task = self._work[path] = asyncio.get_running_loop().create_task(work())
            task.add_done_callback(lambda done: self._done(path, done))
        return await asyncio.shield(task)

    def _done(self, path: Path, task: asyncio.Task[Path]) -> None:
        del self._work[path]
        if not task.cancelled():
            task.exception()  # looked at, in case that every caller has gone

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _store(self, path: Path, content: bytes) -> Path:
        _write(path, content)
        self._stores += 1
        if self._stores % STORES_PER_PRUNE == 0:
            _prune(self._cache, self._max_cache_bytes)
        return path


def _decoded(content: bytes, name: str, headerless_mulaw: bool) -> bytes:
    try:
        return audio.decode(content, headerless_mulaw)
    except audio.AudioError as error:
        raise MediaError(13420, f"<Play>: {name}: {error}") from None


def _fetch_error(url: str, error: Exception) -> MediaError:
    """Return the failure of a request with Twilio's code for it."""
    match error:
        case aiohttp.TooManyRedirects():
            return MediaError(11215, f"<Play>: {_shown(url)}: more than {MAX_REDIRECTS} redirects")
        case aiohttp.ConnectionTimeoutError():
            return MediaError(11201, f"<Play>: {_shown(url)}: no connection in time", temporary=True)
        case TimeoutError():
            return MediaError(11203, f"<Play>: {_shown(url)}: no whole answer in time", temporary=True)
        case aiohttp.ClientConnectorDNSError():
            return MediaError(11210, f"<Play>: {_shown(url)}: the host name is not found", temporary=True)
        case aiohttp.ClientConnectorCertificateError():
            return MediaError(11237, f"<Play>: {_shown(url)}: the server's certificate is not accepted")
        case aiohttp.ClientSSLError():
            return MediaError(11220, f"<Play>: {_shown(url)}: the TLS handshake failed")
        case aiohttp.ClientConnectorError(os_error=AddressDenied() as denied):
            advice = f"may not be asked: {denied.address} is {denied.why}; WEBHOOK_ALLOW_NETWORKS can allow it"
            return MediaError(BAD_URL, f"<Play>: {_shown(url)} {advice}")
        case aiohttp.ClientConnectorError():
            return MediaError(11202, f"<Play>: {_shown(url)}: connection refused", temporary=True)
        case aiohttp.RedirectClientError():
            return MediaError(11216, f"<Play>: {_shown(url)} redirects to an address that cannot be asked")
        case aiohttp.NonHttpUrlClientError() | ValueError():
            return MediaError(11100, f"<Play>: {_shown(url)} is not an http(s) address")
        case _:
            return MediaError(11200, f"<Play>: {_shown(url)}: {error}", temporary=True)


def _said(response: aiohttp.ClientResponse, known: _Validity) -> _Validity:
    """Return the validity that the headers of an answer declare; what a 304 leaves out stays as it was known."""
    control = response.headers.get("Cache-Control", "").lower()
    age = re.search(r"max-age\s*=\s*\"?([0-9]{1,9})", control)
    lasting = int(age[1]) if age and "no-cache" not in control and "no-store" not in control else 0
    return _Validity(
        etag=response.headers.get("ETag", known.etag),
        last_modified=response.headers.get("Last-Modified", known.last_modified),
        fresh_until=time.time() + lasting if lasting else 0.0,
    )


def _validity(path: Path) -> _Validity | None:
    """Return what is known of a cached answer, None if it is not there whole."""
    if not _touch(path):
        return None
    try:
        return _Validity(**json.loads(path.with_suffix(".json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _touch(path: Path) -> bool:
    """Note that a file is used, for the pruning; say whether it is there."""
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def _write(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise MediaError(12400, f"the media cache {path.parent} cannot be written: {error.strerror}") from None


def _prune(folder: Path, max_bytes: int) -> None:
    """Delete the files that were unused for longest until `max_bytes` are left, and what a crash left half-written."""
    now, kept = time.time(), 0
    entries: list[tuple[float, int, Path]] = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            entries.append((path.stat().st_mtime, path.stat().st_size, path))
    for used, size, path in sorted(entries, reverse=True):
        kept += size
        stale = path.suffix == ".part" and used < now - 3600
        if stale or (path.suffix == ".wav" and kept > max_bytes):
            for doomed in (path, path.with_suffix(".json")):
                with contextlib.suppress(OSError):
                    doomed.unlink(missing_ok=True)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]


def _shown(url: str) -> str:
    """Return an address for messages, without the credentials that it may hold."""
    try:
        return str(URL(url).with_user(None).with_fragment(None))[:200]
    except ValueError:
        return "the address"

"""Downloading a recording through the REST API: who may, in which form, and what is answered when there is none."""

from __future__ import annotations

import base64
import errno
import hashlib
import http.client
import io
import json
import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from numpy.typing import NDArray

from calls import audio, downloads, ledger, recordings, wav
from calls.models import Recording
from routing.models import Account
from tests import samples
from tests.waiting import SECONDS as LONG

pytestmark = pytest.mark.django_db

TOKEN = "0123456789abcdef0123456789abcdef"
SECONDS = 2


def sine(frequency: float) -> NDArray[np.float64]:
    return 0.3 * np.sin(2 * np.pi * frequency * np.arange(8000 * SECONDS) / 8000)


def pitch(sound: NDArray[np.float64]) -> float:
    """Return the dominant frequency in Hz of sound at 8 kHz."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(np.argmax(spectrum) * 8000 / len(sound))


def level(sound: NDArray[np.float64], frequency: float) -> float:
    """Return the amplitude of one frequency."""
    phase = np.exp(-2j * np.pi * frequency * np.arange(len(sound)) / 8000)
    return float(2 * abs(np.mean(sound * phase)))


def made(folder: Path, *channels: NDArray[np.float64], **values: Any) -> Recording:
    """Return a completed recording of these channels."""
    of = samples.call(samples.account())
    entry = samples.recording(of)
    ledger.apply([of, entry])
    path = folder / f"{entry.sid}.wav"
    soundfile.write(path, np.column_stack(channels), 8000, subtype="PCM_16")
    known = {"status": "completed", "file": path.name, "sha256": wav.checksum(path), "channels": len(channels)}
    Recording.objects.update(**{**known, **values})
    return Recording.objects.get()


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.RECORDINGS_DIR = tmp_path / "recordings"
    settings.DOWNLOAD_CACHE_DIR = tmp_path / "cache"
    settings.RECORDINGS_DIR.mkdir()
    return Path(settings.RECORDINGS_DIR)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def mono(folder: Path) -> Recording:
    return made(folder, sine(440))


@pytest.fixture
def dual(folder: Path) -> Recording:
    return made(folder, sine(440), sine(1000))


def path_of(recording: Recording, extension: str = "") -> str:
    return f"/2010-04-01/Accounts/{recording.account_id}/Recordings/{recording.sid}{extension}"


def basic(user: str, password: str = TOKEN) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def get(recording: Recording, extension: str = "", query: str = "", **headers: str) -> Any:
    sent = {**basic(recording.account_id), **{name.replace("_", "-"): value for name, value in headers.items()}}
    return whole(Client().get(path_of(recording, extension) + query, headers=sent))


def whole(response: Any) -> Any:
    """Read an answer to its end, as a server does that sends it."""
    response.body = b"".join(response.streaming_content) if response.streaming else response.content
    response.close()
    return response


def body(response: Any) -> bytes:
    content: bytes = response.body
    return content


def kept(recording: Recording, folder: Path) -> bytes:
    return (folder / recording.file).read_bytes()


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if not path.name.startswith(".lock"))


class TestForms:
    """WAV without extension or with `.wav`, MP3 with `.mp3` (Twilio: "Fetch a Recording's media file")."""

    @pytest.mark.parametrize("extension", ["", ".wav"])
    def test_the_wav_file_is_served_as_it_is_kept(self, folder: Path, dual: Recording, extension: str) -> None:
        response = get(dual, extension)
        assert (response.status_code, response["Content-Type"]) == (200, "audio/x-wav")
        assert response["ETag"] == f'"{hashlib.sha256(kept(dual, folder)).hexdigest()}"'
        assert response["Content-Disposition"] == f'inline; filename="{dual.sid}.wav"'
        assert body(response) == kept(dual, folder)

    def test_an_mp3_sounds_like_the_recording(self, dual: Recording) -> None:
        response = get(dual, ".mp3")
        content = body(response)
        assert (response.status_code, response["Content-Type"]) == (200, "audio/mpeg")
        assert response["Content-Length"] == str(len(content))
        assert response["Content-Disposition"] == f'inline; filename="{dual.sid}.mp3"'
        assert soundfile.info(io.BytesIO(content)).format == "MP3"
        sound, rate = soundfile.read(io.BytesIO(content))
        assert (rate, sound.shape[1]) == (8000, 2)
        assert len(sound) / rate == pytest.approx(SECONDS, abs=0.15)
        assert [pitch(sound[:, 0]), pitch(sound[:, 1])] == pytest.approx([440, 1000], abs=2)
        assert level(sound[4000:12000, 0], 440) == pytest.approx(0.3, rel=0.1)

    def test_an_mp3_of_a_mono_recording_is_mono(self, mono: Recording) -> None:
        sound, _ = soundfile.read(io.BytesIO(body(get(mono, ".mp3"))))
        assert sound.ndim == 1
        assert pitch(sound) == pytest.approx(440, abs=2)

    @pytest.mark.parametrize("extension", [".wav", ".mp3"])
    def test_one_channel_of_a_dual_recording_is_the_mix_of_both(self, dual: Recording, extension: str) -> None:
        sound, _ = soundfile.read(io.BytesIO(body(get(dual, extension, "?RequestedChannels=1"))))
        assert sound.ndim == 1
        for frequency in (440, 1000):
            assert level(sound[4000:12000], frequency) == pytest.approx(0.15, rel=0.1)

    @pytest.mark.parametrize(("channels", "extension"), [(1, ".wav"), (2, ".wav"), (2, ".mp3")])
    def test_the_channels_that_there_are_can_be_asked_for(self, folder: Path, channels: int, extension: str) -> None:
        recording = made(folder, *[sine(440)] * channels)
        response = get(recording, extension, f"?RequestedChannels={channels}")
        assert soundfile.info(io.BytesIO(body(response))).channels == channels

    @pytest.mark.parametrize("extension", [".wav", ".mp3"])
    def test_two_channels_of_a_mono_recording_are_refused(self, mono: Recording, extension: str) -> None:
        response = get(mono, extension, "?RequestedChannels=2")
        assert response.status_code == 400
        assert response.json()["message"] == f"Recording {mono.sid} has 1 channel, not 2."

    @pytest.mark.parametrize("channels", ["0", "3", "two", "", "1;2"])
    def test_a_number_of_channels_that_makes_no_sense_is_refused(self, dual: Recording, channels: str) -> None:
        response = get(dual, ".wav", f"?RequestedChannels={channels}")
        assert (response.status_code, response.json()["message"]) == (400, "RequestedChannels must be 1 or 2.")

    def test_the_url_that_callbacks_tell_is_the_one_that_is_served(self, settings: Any, mono: Recording) -> None:
        assert urlsplit(recordings.public_url(mono)).path == path_of(mono)
        assert reverse("api:recording-audio", args=[mono.account_id, mono.sid]) == path_of(mono)
        assert reverse("api:recording-audio", args=[mono.account_id, mono.sid, "mp3"]) == path_of(mono, ".mp3")


class TestHttp:
    """Ranges and conditions (RFC 9110 §13, §14): a player seeks, a cache asks whether there is something new."""

    def test_head_says_how_long_it_is_and_sends_nothing(self, folder: Path, mono: Recording) -> None:
        response = whole(Client().head(path_of(mono), headers=basic(mono.account_id)))
        assert (response.status_code, response["Content-Length"]) == (200, str(len(kept(mono, folder))))
        assert body(response) == b""

    @pytest.mark.parametrize("extension", ["", ".mp3"])
    def test_what_is_known_already_is_not_sent_again(self, mono: Recording, extension: str) -> None:
        etag = get(mono, extension)["ETag"]
        response = get(mono, extension, if_none_match=etag)
        assert (response.status_code, response["ETag"], response.content) == (304, etag, b"")

    def test_each_form_has_an_etag_of_its_own(self, dual: Recording) -> None:
        asked = [("", ""), (".mp3", ""), (".wav", "?RequestedChannels=1"), (".mp3", "?RequestedChannels=1")]
        assert len({get(dual, extension, query)["ETag"] for extension, query in asked}) == 4

    def test_a_range_of_an_mp3_is_served(self, mono: Recording) -> None:
        content = body(get(mono, ".mp3"))
        response = get(mono, ".mp3", range="bytes=100-199")
        assert (response.status_code, response["Content-Range"]) == (206, f"bytes 100-199/{len(content)}")
        assert body(response) == content[100:200]

    def test_a_range_goes_on_only_with_the_same_file(self, mono: Recording) -> None:
        etag = get(mono)["ETag"]
        assert get(mono, range="bytes=0-9", if_range=etag).status_code == 206
        assert get(mono, range="bytes=0-9", if_range='"other"').status_code == 200

    def test_a_range_behind_the_end_is_refused(self, folder: Path, mono: Recording) -> None:
        size = len(kept(mono, folder))
        response = get(mono, range=f"bytes={size}-")
        assert (response.status_code, response["Content-Range"]) == (416, f"bytes */{size}")

    @pytest.mark.parametrize("wanted", ["bytes=" + "9" * 5000 + "-", "bytes=٣-", "bytes=0-" + "9" * 5000])
    def test_a_range_that_nobody_can_mean_is_ignored(self, mono: Recording, wanted: str) -> None:
        assert get(mono, range=wanted).status_code == 200

    @pytest.mark.parametrize("method", ["post", "put", "delete", "patch", "options"])
    def test_nothing_else_can_be_done_with_it(self, mono: Recording, method: str) -> None:
        response = getattr(Client(), method)(path_of(mono), headers=basic(mono.account_id))
        assert (response.status_code, response.json()["code"]) == (405, 20004)
        assert response["Allow"] == "GET, HEAD"


class TestWho:
    """The account by SID and token, an operator by session, everybody by setting (Twilio: Recording, media access)."""

    def refused(self, recording: Recording, **headers: str) -> Any:
        response = Client().get(path_of(recording), headers=headers)
        assert response.status_code == 401
        assert response["WWW-Authenticate"].startswith("Basic realm=")
        assert (response.json()["code"], response.json()["status"]) == (20003, 401)
        return response

    def test_a_stranger_is_asked_for_credentials(self, mono: Recording) -> None:
        self.refused(mono)

    @pytest.mark.parametrize("token", ["", "wrong", TOKEN.upper(), TOKEN + "0", TOKEN[:-1], "ключ", "\0"])
    def test_a_wrong_token_is_refused(self, mono: Recording, token: str) -> None:
        self.refused(mono, **basic(mono.account_id, token))

    @pytest.mark.parametrize("user", ["", "AC", "AC" + "0" * 32, "\0", "admin", "ÄÖ"])
    def test_an_unknown_account_is_refused(self, mono: Recording, user: str) -> None:
        self.refused(mono, **basic(user))

    @pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Basic /w==", "Bearer x", "Digest username=x"])
    def test_what_is_no_basic_authentication_is_refused(self, mono: Recording, header: str) -> None:
        self.refused(mono, authorization=header)

    def test_an_account_whose_token_is_empty_is_no_open_door(self, mono: Recording) -> None:
        Account.objects.update(auth_token="")
        self.refused(mono, **basic(mono.account_id, ""))

    @pytest.mark.parametrize("status", ["suspended", "closed"])
    def test_an_account_that_is_not_active_is_refused(self, mono: Recording, status: str) -> None:
        Account.objects.update(status=status)
        response = Client().get(path_of(mono), headers=basic(mono.account_id))
        assert (response.status_code, response.json()["code"]) == (403, 20005)

    def test_the_word_basic_may_be_written_in_any_case(self, mono: Recording) -> None:
        header = basic(mono.account_id)["authorization"].replace("Basic", "bAsIc")
        assert whole(Client().get(path_of(mono), headers={"authorization": header})).status_code == 200

    def test_another_accounts_recording_does_not_exist(self, mono: Recording) -> None:
        other = samples.account()
        for path in (path_of(mono), path_of(mono).replace(mono.account_id, other.sid)):
            response = Client().get(path, headers=basic(other.sid))
            assert response.status_code == 404
            assert response.json() == {
                "code": 20404,
                "message": f"The requested resource {path} was not found",
                "more_info": "https://www.twilio.com/docs/errors/20404",
                "status": 404,
            }

    def test_an_operator_needs_no_token(self, mono: Recording) -> None:
        client, user = Client(), User.objects.create_user("operator", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="listen_recording"))
        client.force_login(user)
        assert whole(client.get(path_of(mono))).status_code == 200
        assert client.get(path_of(mono), headers=basic(mono.account_id, "wrong")).status_code == 401

    def test_an_operator_without_the_permission_is_refused(self, mono: Recording) -> None:
        client = Client()
        client.force_login(User.objects.create_user("clerk", is_staff=True))
        response = client.get(path_of(mono))
        assert (response.status_code, response.json()["code"]) == (403, 20403)

    def test_a_user_who_is_no_operator_is_asked_for_credentials(self, mono: Recording) -> None:
        client = Client()
        client.force_login(User.objects.create_user("user"))
        assert client.get(path_of(mono)).status_code == 401

    def test_everybody_may_if_the_setting_says_so(self, settings: Any, mono: Recording) -> None:
        settings.RECORDINGS_PUBLIC = True
        assert whole(Client().get(path_of(mono))).status_code == 200
        other = path_of(mono).replace(mono.account_id, "AC" + "0" * 32)
        assert Client().get(other).status_code == 404

    def test_a_token_that_cannot_be_decrypted_is_our_fault(
        self, settings: Any, mono: Recording, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.FIELD_ENCRYPTION_KEYS = ["WVh0qZ4ZbX9n2lq2r0rC0i3c1l2m3n4o5p6q7r8s9t0="]
        response = get(mono)
        assert (response.status_code, response.json()["code"]) == (500, 20500)
        assert "FIELD_ENCRYPTION_KEYS" in caplog.text


class TestNothingThere:
    """404 with Twilio's JSON until the recording can be had (Twilio: 404 while it is processed)."""

    @pytest.mark.parametrize(
        ("values", "why", "retry"),
        [
            ({"status": "in-progress"}, "is still being recorded", True),
            ({"status": "processing"}, "is not finished yet", True),
            ({"status": "absent", "error": "The caller hung up."}, "is absent. The caller hung up.", False),
            ({"status": "failed", "error": "Disk full."}, "could not be finished. Disk full.", False),
        ],
    )
    @pytest.mark.parametrize("extension", ["", ".mp3"])
    def test_a_recording_that_is_not_completed_says_so(
        self, mono: Recording, values: dict[str, str], why: str, retry: bool, extension: str
    ) -> None:
        Recording.objects.update(**values)
        response = get(mono, extension)
        assert (response.status_code, response.json()["code"]) == (404, 20404)
        assert why in response.json()["message"]
        assert response.has_header("Retry-After") is retry

    @pytest.mark.parametrize("name", ["gone.wav", "../../../../etc/passwd"])
    @pytest.mark.parametrize("extension", ["", ".mp3"])
    def test_a_file_that_is_lost_is_an_error_that_is_logged(
        self, mono: Recording, caplog: pytest.LogCaptureFixture, name: str, extension: str
    ) -> None:
        Recording.objects.update(file=name)
        response = get(mono, extension)
        assert (response.status_code, response.json()["code"]) == (404, 20404)
        assert "is not on this disk" in response.json()["message"]
        assert [(mono.sid in record.message, record.levelno) for record in caplog.records] == [(True, logging.ERROR)]

    def test_an_unknown_recording_is_not_found(self, mono: Recording) -> None:
        path = path_of(mono).replace(mono.sid, "RE" + "0" * 32)
        response = Client().get(path, headers=basic(mono.account_id))
        assert (response.status_code, response.json()["code"]) == (404, 20404)

    @pytest.mark.parametrize("path", ["Account", "Accounts/AC1/Recording/RE1", "x/y.mp3"])
    def test_a_path_that_the_api_does_not_have_is_json_too(self, path: str) -> None:
        response = Client().get(f"/2010-04-01/{path}")
        assert (response.status_code, response.json()["code"]) == (404, 20404)

    def test_a_damaged_file_cannot_be_converted_and_says_so(
        self, folder: Path, mono: Recording, caplog: pytest.LogCaptureFixture
    ) -> None:
        (folder / mono.file).write_bytes(b"rubbish")
        response = get(mono, ".mp3")
        assert (response.status_code, response.json()["code"]) == (500, 20500)
        assert "file is damaged" in response.json()["message"]
        assert mono.sid in caplog.text


class TestCache:
    """MP3 files are made on request and kept while there is room; the WAV file is never touched."""

    def test_it_is_made_once(self, monkeypatch: pytest.MonkeyPatch, mono: Recording) -> None:
        first = body(get(mono, ".mp3"))
        monkeypatch.setattr(audio, "convert", None)
        assert body(get(mono, ".mp3")) == first

    def test_it_is_made_once_for_many_who_ask_at_the_same_time(
        self, monkeypatch: pytest.MonkeyPatch, mono: Recording
    ) -> None:
        convert, runs, ready = audio.convert, [], threading.Barrier(4)

        def counted(*args: Any) -> None:
            runs.append(args)
            convert(*args)

        def ask() -> bytes:
            ready.wait(LONG)
            with downloads.open_audio(mono, "mp3").file as file:
                return file.read()

        monkeypatch.setattr(audio, "convert", counted)
        with ThreadPoolExecutor(4) as pool:
            answers = {future.result() for future in [pool.submit(ask) for _ in range(4)]}
        assert (len(answers), len(runs)) == (1, 1)

    def test_another_file_under_the_same_sid_is_made_anew(self, folder: Path, mono: Recording, cache: Path) -> None:
        body(get(mono, ".mp3"))
        Recording.objects.update(sha256="f" * 64)
        body(get(mono, ".mp3"))
        assert len(files(cache)) == 2

    def test_what_was_unused_for_longest_goes_when_it_is_full(
        self, settings: Any, folder: Path, cache: Path, dual: Recording
    ) -> None:
        forms = [(".mp3", ""), (".mp3", "?RequestedChannels=1"), (".wav", "?RequestedChannels=1")]
        names: list[str] = []
        for age, (extension, query) in zip((30, 20, 10), forms, strict=True):
            body(get(dual, extension, query))
            [name] = set(files(cache)) - set(names)
            names.append(name)
            then = (cache / name).stat().st_mtime - age
            os.utime(cache / name, (then, then))
        body(get(dual, *forms[0]))  # used again
        settings.DOWNLOAD_CACHE_BYTES = sum((cache / name).stat().st_size for name in (names[0], names[2])) + 10
        Recording.objects.update(sha256="f" * 64)
        body(get(dual, *forms[0]))
        assert names[1] not in files(cache)
        assert names[0] in files(cache)

    def test_one_that_is_larger_than_the_cache_is_served_all_the_same(self, settings: Any, mono: Recording) -> None:
        settings.DOWNLOAD_CACHE_BYTES = 1
        assert len(body(get(mono, ".mp3"))) > 1

    def test_one_that_goes_while_it_is_sent_is_sent_whole(self, cache: Path, mono: Recording) -> None:
        response = Client().get(path_of(mono, ".mp3"), headers=basic(mono.account_id))
        for name in files(cache):
            (cache / name).unlink()
        assert len(body(whole(response))) == int(response["Content-Length"])

    def test_what_a_crash_left_half_made_is_deleted_when_it_is_old(self, cache: Path, dual: Recording) -> None:
        cache.mkdir()
        for name, age in ((".a.part", 7200), (".b.part", 0)):
            (cache / name).write_bytes(b"half")
            then = (cache / name).stat().st_mtime - age
            os.utime(cache / name, (then, then))
        body(get(dual, ".mp3"))
        assert (".a.part" in files(cache), ".b.part" in files(cache)) == (False, True)

    def test_a_full_disk_leaves_nothing_half_made_and_is_told(
        self, monkeypatch: pytest.MonkeyPatch, cache: Path, mono: Recording, caplog: pytest.LogCaptureFixture
    ) -> None:
        def full(source: Path, out: Path, *args: Any) -> None:
            out.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(audio, "convert", full)
        response = get(mono, ".mp3")
        assert (response.status_code, response.json()["code"]) == (503, 20503)
        assert "No space left on device" in response.json()["message"]
        assert files(cache) == []
        assert mono.sid in caplog.text
        monkeypatch.undo()
        assert get(mono, ".wav").status_code == 200

    @pytest.mark.parametrize(("free", "number"), [(0, errno.ENOSPC), (10**9, errno.EIO)])
    def test_a_write_that_fails_is_an_error_of_the_system_not_of_the_recording(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path, mono: Recording, free: int, number: int
    ) -> None:
        monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=free, f_frsize=1))
        with pytest.raises(OSError) as caught:
            audio.convert(folder / mono.file, Path("/dev/full"), "wav", 1)
        assert caught.value.errno == number


class TestOverTheWire:
    """The same with a real HTTP client and a real server."""

    @pytest.fixture
    def connection(self, live_server: Any) -> Iterator[http.client.HTTPConnection]:
        address = urlsplit(live_server.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=LONG)
        yield connection
        connection.close()

    def ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection.request(method, path, headers={**basic(path.split("/")[3]), **headers})
        response = connection.getresponse()
        return response, response.read()

    @pytest.mark.django_db(transaction=True)
    def test_pieces_make_up_the_whole(
        self, connection: http.client.HTTPConnection, folder: Path, dual: Recording
    ) -> None:
        size, pieces = len(kept(dual, folder)), b""
        while len(pieces) < size:
            response, piece = self.ask(
                connection, "GET", path_of(dual, ".wav"), Range=f"bytes={len(pieces)}-{len(pieces) + 9999}"
            )
            assert response.status == 206
            pieces += piece
        assert pieces == kept(dual, folder)

    @pytest.mark.django_db(transaction=True)
    def test_head_get_and_refusals(self, connection: http.client.HTTPConnection, mono: Recording) -> None:
        head, nothing = self.ask(connection, "HEAD", path_of(mono, ".mp3"))
        whole, content = self.ask(connection, "GET", path_of(mono, ".mp3"))
        assert (head.status, whole.status, nothing) == (200, 200, b"")
        assert head.headers["Content-Length"] == str(len(content))
        refused, text = self.ask(connection, "GET", path_of(mono, ".mp3"), authorization="Basic eA==")
        assert (refused.status, json.loads(text)["code"]) == (401, 20003)
        beyond, _ = self.ask(connection, "GET", path_of(mono), Range="bytes=99999999-")
        assert beyond.status == 416

"""Listening to a recording: who may, in which ranges, and why there is nothing to hear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from calls import ledger
from calls.models import Recording
from tests import samples

pytestmark = pytest.mark.django_db

CONTENT = bytes(range(100))


@pytest.fixture
def recording(settings: Any, tmp_path: Path) -> Recording:
    settings.RECORDINGS_DIR = tmp_path
    (tmp_path / "a.wav").write_bytes(CONTENT)
    of = samples.call(samples.account())
    entry = samples.recording(of)
    ledger.apply([of, entry])
    Recording.objects.update(status="completed", file="a.wav", sha256="abc")
    return Recording.objects.get()


@pytest.fixture
def listener(client: Client) -> Client:
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="listen_recording"))
    client.force_login(user)
    return client


def body(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def test_the_whole_file_is_served(listener: Client, recording: Recording) -> None:
    response = listener.get(recording.url)
    assert (response.status_code, response["Content-Type"], response["Content-Length"]) == (200, "audio/x-wav", "100")
    assert response["Accept-Ranges"] == "bytes"
    assert response["Content-Disposition"] == f'inline; filename="{recording.sid}.wav"'
    assert body(response) == CONTENT


def test_the_file_can_be_downloaded(listener: Client, recording: Recording) -> None:
    response = listener.get(recording.url + "?download")
    assert response["Content-Disposition"].startswith("attachment;")
    assert body(response) == CONTENT


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [("bytes=0-9", 0, 10), ("bytes=90-", 90, 100), ("bytes=-5", 95, 100), ("bytes=95-500", 95, 100)],
)
def test_a_range_is_served_so_that_a_player_can_seek(
    listener: Client, recording: Recording, wanted: str, start: int, end: int
) -> None:
    response = listener.get(recording.url, headers={"range": wanted})
    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes {start}-{end - 1}/100"
    assert response["Content-Length"] == str(end - start)
    assert body(response) == CONTENT[start:end]


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=9-3"])
def test_a_range_that_makes_no_sense_is_ignored(listener: Client, recording: Recording, wanted: str) -> None:
    response = listener.get(recording.url, headers={"range": wanted})
    assert response.status_code == 200
    assert body(response) == CONTENT


@pytest.mark.parametrize("wanted", ["bytes=100-", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(listener: Client, recording: Recording, wanted: str) -> None:
    response = listener.get(recording.url, headers={"range": wanted})
    assert (response.status_code, response["Content-Range"]) == (416, "bytes */100")


def test_a_range_of_another_version_gets_the_whole_file(listener: Client, recording: Recording) -> None:
    headers = {"range": "bytes=0-9", "if-range": '"other"'}
    assert body(listener.get(recording.url, headers=headers)) == CONTENT
    response = listener.get(recording.url, headers={**headers, "if-range": '"abc"'})
    assert body(response) == CONTENT[:10]


def test_head_says_how_long_it_is(listener: Client, recording: Recording) -> None:
    response = listener.head(recording.url)
    assert (response.status_code, response["Content-Length"]) == (200, "100")
    assert body(response) == b""


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"status": "in-progress"}, "still being recorded"),
        ({"status": "processing"}, "not finished yet"),
        ({"status": "absent", "error": "The caller hung up."}, "is absent. The caller hung up."),
        ({"status": "failed", "error": "Disk full."}, "could not be finished. Disk full."),
        ({"file": "gone.wav"}, "is not on this disk"),
        ({"file": "../../../../etc/passwd"}, "is not on this disk"),
    ],
)
def test_a_missing_recording_says_why(listener: Client, recording: Recording, values: dict[str, str], why: str) -> None:
    Recording.objects.update(**values)
    response = listener.get(recording.url)
    assert response.status_code == 404
    assert why in response.content.decode()


def test_an_unknown_recording_is_not_found(listener: Client) -> None:
    assert listener.get("/recordings/RE1.wav").status_code == 404


def test_a_stranger_is_asked_to_log_in(client: Client, recording: Recording) -> None:
    response = client.get(recording.url)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_staff_without_the_permission_may_not_listen(client: Client, recording: Recording) -> None:
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    assert client.get(recording.url).status_code == 403


def test_a_user_who_is_not_staff_may_not_listen(client: Client, recording: Recording) -> None:
    client.force_login(User.objects.create_user("user"))
    assert client.get(recording.url).status_code == 302


def test_it_cannot_be_posted_to(listener: Client, recording: Recording) -> None:
    assert listener.post(recording.url).status_code == 405

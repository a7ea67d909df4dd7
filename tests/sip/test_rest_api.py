"""The whole way: the official library asks the web process, the engine calls a real phone, the worker makes the file.

Issue 4, "Shown by": create a call → it rings → `completed` → the recording is downloaded as WAV and MP3.
"""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from sipengine.measure import dominant_frequency
from tests.sip.harness import ROOT, TOKEN, Engine, Lab, TwimlServer
from tests.sip.sipp import HOST, free_port, until
from tests.sip.softphones import Softphones
from tests.sip.sound import loudest, tone_dbfs
from tests.sip.steps import RINGS
from tests.waiting import SECONDS

PHONE, OTHER = 1000, 600  # Hz: what the phone plays, and another one
HEARD, SILENT = -30, -50  # dB


@pytest.fixture(scope="module")
def account(engine: Engine) -> str:
    """The SID of the only account."""
    (row,) = engine.rows("SELECT sid FROM routing_account")
    return str(row["sid"])


@pytest.fixture(scope="module")
def web(engine: Engine) -> Iterator[str]:
    """The web process and the worker, as the runner starts them, beside the engine; the address of the API."""
    port = free_port()
    granian = ["-m", "granian", "--interface", "wsgi", "--host", HOST, "--port", str(port), "config.wsgi:application"]
    with (engine.folder / "web.log").open("ab") as output:
        started = [
            subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=engine._environment, stdout=output, stderr=output
            )
            for command in (granian, ["manage.py", "qcluster"])
        ]
    address = f"http://{HOST}:{port}"

    def answers() -> bool:
        assert all(process.poll() is None for process in started), (engine.folder / "web.log").read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=SECONDS) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    try:
        until(answers, "the web process")
        yield address
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(SECONDS)


@pytest.fixture
def client(web: str, account: str) -> Client:
    made = Client(account, TOKEN)
    made.api.base_url = web
    return made


@pytest.fixture
def download(web: str, account: str) -> Callable[[str], bytes]:
    """Return what fetches a recording in a form, such as RE….mp3."""

    def fetch(name: str) -> bytes:
        request = urllib.request.Request(f"{web}/2010-04-01/Accounts/{account}/Recordings/{name}")
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{account}:{TOKEN}".encode()).decode())
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return bytes(response.read())

    return fetch


def call_of(client: Client, sid: Any, *statuses: str) -> Any:
    """Wait until a call has one of these statuses."""

    def found() -> Any:
        call = client.calls(str(sid)).fetch()
        return call if call.status in statuses else None

    return until(found, f"call {sid} to be {statuses}")


def recording_of(client: Client, sid: Any) -> Any:
    """Wait for the file of a recording."""

    def found() -> Any:
        recording = client.recordings(str(sid)).fetch()
        return recording if recording.status == "completed" else None

    return until(found, f"recording {sid} to be completed")


def sound(content: bytes, folder: Path, name: str) -> Path:
    path = folder / name
    samples, rate = soundfile.read(io.BytesIO(content))
    soundfile.write(path, samples, rate, format="WAV", subtype="PCM_16")
    return path


class TestARecordedCall:
    """Twilio's Call resource with `Record`, and its recording's media."""

    def test_it_rings_is_completed_and_can_be_heard_as_wav_and_mp3(
        self,
        client: Client,
        download: Callable[[str], bytes],
        softphones: Softphones,
        server: TwimlServer,
        tmp_path: Path,
    ) -> None:
        phone = softphones.phone("--answer", "0.2", "--tone", str(PHONE))
        server.serve("/rest-status", b"", status=204)
        made = client.calls.create(
            to=phone.uri,
            from_="+15550100",
            twiml="<Response><Say>This is a message of some length.</Say><Pause length='2'/></Response>",
            record=True,
            recording_channels="dual",
            status_callback=f"{server.url}/rest-status",
            status_callback_event=["initiated", "ringing", "answered", "completed"],
        )
        assert made.status == "queued"
        call = call_of(client, made.sid, "completed")
        assert int(call.duration) >= 2
        assert [str(one.sid) for one in client.calls.list(to=phone.uri)] == [call.sid]

        (recording,) = client.calls(str(made.sid)).recordings.list()
        assert (recording.source, recording.channels, recording.track) == ("OutboundAPI", 2, "both")
        recording_of(client, recording.sid)
        wav = sound(download(f"{recording.sid}.wav"), tmp_path, "wav.wav")
        mp3 = sound(download(f"{recording.sid}.mp3"), tmp_path, "mp3.wav")
        for path in (wav, mp3):
            assert loudest(path, PHONE, 0) > HEARD
            assert tone_dbfs(path, PHONE, 1) < SILENT
        samples, _ = soundfile.read(wav)
        assert abs(samples[:, 1]).max() > 0.05  # what Cordboard said

        ended = server.request("/rest-status", CallSid=str(made.sid), CallStatus="completed").form
        assert ended["RecordingSid"] == recording.sid
        events = client.calls(str(made.sid)).events.list()
        assert {event.request["parameters"].get("CallStatus") for event in events if event.request} >= {
            *("initiated", "in-progress", "completed")
        }

    def test_what_is_dialled_for_it_is_recorded_as_what_it_hears(
        self, client: Client, download: Callable[[str], bytes], softphones: Softphones, tmp_path: Path
    ) -> None:
        phone = softphones.phone("--answer", "0.2", "--tone", str(PHONE))
        other = softphones.phone("--answer", "0.2", "--tone", str(OTHER))
        made = client.calls.create(
            to=phone.uri,
            from_="100",
            twiml=f'<Response><Dial timeLimit="2"><Sip>{other.uri}</Sip></Dial></Response>',
            record=True,
            recording_channels="dual",
        )
        call_of(client, made.sid, "completed")
        (recording,) = client.calls(str(made.sid)).recordings.list()
        recording_of(client, recording.sid)
        path = sound(download(f"{recording.sid}.wav"), tmp_path, "dial.wav")
        assert loudest(path, PHONE, 0) > HEARD > SILENT > tone_dbfs(path, OTHER, 0)
        assert loudest(path, OTHER, 1) > HEARD > SILENT > tone_dbfs(path, PHONE, 1)

    def test_a_pause_is_silence_in_the_recording(
        self, client: Client, download: Callable[[str], bytes], softphones: Softphones, tmp_path: Path
    ) -> None:
        phone = softphones.phone("--answer", "0.2", "--tone", str(PHONE))
        made = client.calls.create(
            to=phone.uri, from_="100", twiml="<Response><Pause length='60'/></Response>", record=False
        )
        call = client.calls(str(call_of(client, made.sid, "in-progress").sid))
        begun = call.recordings.create(trim="do-not-trim")
        assert begun.status == "in-progress"
        phone.listen(1.0)

        def shown(status: str) -> None:
            until(lambda: client.recordings(str(begun.sid)).fetch().status == status, status)

        call.recordings("Twilio.CURRENT").update(status="paused")
        shown("paused")
        heard = phone.seconds
        phone.listen(heard + 2.0)
        call.recordings("Twilio.CURRENT").update(status="in-progress")
        shown("in-progress")
        phone.listen(phone.seconds + 1.0)
        call.recordings(str(begun.sid)).update(status="stopped")
        recording_of(client, begun.sid)
        call.update(status="completed")
        call_of(client, made.sid, "completed")

        path = sound(download(f"{begun.sid}"), tmp_path, "paused.wav")
        samples, rate = soundfile.read(path)
        step = rate // 4
        levels = [abs(samples[start : start + step]).max() for start in range(0, len(samples) - step, step)]
        assert levels[0] > 0.05 < levels[-1]
        assert sum(level < 0.01 for level in levels) >= 4
        assert dominant_frequency(path) == pytest.approx(PHONE, abs=20)


class TestChangingACall:
    """Twilio: "Update a Call resource", on calls of real phones."""

    def test_one_that_rings_is_canceled(self, client: Client, lab: Lab) -> None:
        phone = lab.phone(*RINGS)
        made = client.calls.create(to=phone.uri, from_="100", url=lab.server.url)
        call_of(client, made.sid, "ringing")
        client.calls(str(made.sid)).update(status="canceled")
        assert call_of(client, made.sid, "canceled").duration == "0"
        phone.wait()
        with pytest.raises(TwilioRestException) as caught:
            client.calls(str(made.sid)).update(status="completed")
        assert caught.value.code == 21220

    def test_a_time_limit_ends_it_and_digits_are_sent_first(
        self, client: Client, softphones: Softphones, engine: Engine
    ) -> None:
        phone = softphones.phone("--answer", "0.2")
        made = client.calls.create(
            to=phone.uri,
            from_="100",
            twiml="<Response><Pause length='60'/></Response>",
            time_limit=2,
            send_digits="12",
        )
        call = call_of(client, made.sid, "completed")
        assert int(call.duration) >= 1
        assert engine.notes(str(made.sid)) == [32015]
        assert [one.error_code for one in client.calls(str(made.sid)).notifications.list()] == ["32015"]


class TestRooms:
    """Twilio's Conference, Participant, Queue and Member resources, on calls of real phones."""

    def test_a_live_conference_is_listed_changed_and_ended(self, client: Client, softphones: Softphones) -> None:
        tones = (PHONE, OTHER, 1700)
        phones = softphones.phones(*(("--answer", "0.2", "--tone", str(tone)) for tone in tones))
        *_, third = phones
        into = client.conferences("Live").participants
        calls = [str(into.create(from_="100", to=phone.uri, beep="false").call_sid) for phone in phones]

        (conference,) = until(lambda: client.conferences.list(friendly_name="Live", status="in-progress"), "it")
        room = client.conferences(str(conference.sid))

        def inside() -> set[str]:
            return {str(one.call_sid) for one in room.participants.list() if one.status == "connected"}

        until(lambda: inside() == set(calls), "all three in the conference")
        third.listen(0.5)
        until(lambda: tone_dbfs(third.heard, PHONE, last=0.5) > HEARD, "the first phone's tone")

        assert room.participants(calls[0]).update(muted=True).muted
        until(lambda: tone_dbfs(third.heard, PHONE, last=0.5) < SILENT, "no tone of one who is muted")
        assert tone_dbfs(third.heard, OTHER, last=0.5) > HEARD
        assert [one.call_sid for one in room.participants.list(muted=True)] == [calls[0]]

        room.participants(calls[1]).delete()
        call_of(client, calls[1], "completed")
        until(lambda: inside() == {calls[0], calls[2]}, "two in the conference")

        room.update(status="completed")
        for sid in calls:
            call_of(client, sid, "completed")
        ended = until(lambda: client.conferences.list(friendly_name="Live", status="completed"), "its end")[0]
        assert (ended.sid, ended.reason_conference_ended) == (conference.sid, "conference-ended-via-api")
        assert room.participants.list() == []

    def test_who_waits_in_a_queue_is_sent_on(self, client: Client, softphones: Softphones, server: TwimlServer) -> None:
        queue = client.queues.create(friendly_name="desk", max_size=1)
        phone = softphones.phone("--answer", "0.2")
        made = client.calls.create(to=phone.uri, from_="100", twiml="<Response><Enqueue>desk</Enqueue></Response>")
        members = client.queues(str(queue.sid)).members
        (member,) = until(members.list, "one who waits")
        assert (member.call_sid, member.position, member.queue_sid) == (made.sid, 1, queue.sid)
        assert client.queues(str(queue.sid)).fetch().current_size == 1

        server.serve("/onward", b"<Response><Hangup/></Response>")
        assert members("Front").update(url=f"{server.url}/onward").call_sid == made.sid
        assert call_of(client, made.sid, "completed")
        assert (members.list(), client.queues(str(queue.sid)).fetch().current_size) == ([], 0)
        assert client.queues(str(queue.sid)).delete()

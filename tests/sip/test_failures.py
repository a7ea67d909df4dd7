"""Bad input gets a clear answer and loses nothing: bad TwiML, dead servers, bad endpoints, full disks, no database."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import Database
from tests.sip.harness import Asked, Engine, Lab, TwimlServer, finish, statuses
from tests.sip.sipp import Peers, free_port, until
from tests.sip.steps import (
    ANSWERS,
    TALKS,
    ack,
    answer_bye,
    bye,
    cue,
    invite,
    pause,
    progress,
    recv,
    refused,
    refuses,
)
from tests.waiting import SECONDS

APOLOGIZED = (invite(), *progress(), recv(200), ack(), *answer_bye())
REFUSED_BY_FALLBACK = refused(486)


@pytest.fixture
def fallback(server: TwimlServer) -> Iterator[TwimlServer]:
    """The domain's fallback URL, which rejects calls as busy."""
    server.serve("/fallback", b'<Response><Reject reason="busy"/></Response>')
    yield server
    del server.documents["/fallback"]


class TestBadTwiml:
    """Conformance §1.1 and §1.12: the document as a whole cannot be run → the fallback URL is told why."""

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"<Response><Dial>", 12100),
            (b"<Response/><Response/>", 12102),
            (b"<Reply/>", 12102),
            (b"", 11770),
            (b"<Response>" + b" " * (65_537 - 21) + b"</Response>", 11750),
        ],
        ids=["not well-formed", "two roots", "another root", "empty", "64 kB + 1"],
    )
    def test_it_goes_to_the_fallback_with_its_code(
        self, lab: Lab, fallback: TwimlServer, body: bytes, code: int
    ) -> None:
        fallback.serve(f"/voice#{lab.number}", body)
        finish(lab.call(*REFUSED_BY_FALLBACK))
        sid = lab.log()["sid"]
        told = fallback.request("/fallback", CallSid=sid).form
        assert (told["ErrorCode"], told["ErrorUrl"]) == (str(code), f"{fallback.url}/voice")
        assert lab.engine.notes(sid) == [code]

    def test_64_kilobytes_are_not_too_many(self, lab: Lab) -> None:
        verb = b'<Reject reason="busy"/>'
        padding = b" " * (65_536 - 21 - len(verb))
        lab.server.serve(f"/voice#{lab.number}", b"<Response>" + padding + verb + b"</Response>")
        finish(lab.call(*refused(486)))
        assert lab.engine.notes(lab.log()["sid"]) == []

    def test_a_content_type_that_is_no_twiml_goes_to_the_fallback(self, lab: Lab, fallback: TwimlServer) -> None:
        fallback.serve(f"/voice#{lab.number}", b"{}", kind="application/json")
        finish(lab.call(*REFUSED_BY_FALLBACK))
        assert lab.engine.notes(lab.log()["sid"]) == [12300]

    def test_an_unknown_verb_is_noted_and_the_next_one_runs(self, lab: Lab) -> None:
        lab.twiml('<Sing>la</Sing><Reject reason="busy"/>')
        finish(lab.call(*refused(486)))
        assert lab.engine.notes(lab.log()["sid"]) == [12200]

    def test_a_bad_attribute_is_noted_and_its_default_used(self, lab: Lab) -> None:
        busy = lab.phone(*refuses(486))
        lab.dial(busy, answerOnBridge="true", timeout="soon", record="maybe")
        finish(lab.call(*refused(486)), busy)
        assert sorted(lab.engine.notes(lab.log()["sid"])) == [13212, 13217]

    def test_a_redirect_to_itself_comes_to_an_end(self, lab: Lab) -> None:
        lab.twiml("<Redirect>/circle</Redirect>")
        lab.server.serve("/circle", b"<Response><Redirect>/circle</Redirect></Response>")
        finish(lab.call(*refused(480)))
        assert lab.engine.notes(lab.log()["sid"]) == [11215]


class TestBadNouns:
    """Conformance §1.3: a noun that cannot be called is a failed leg, and the dial goes on."""

    @pytest.mark.parametrize(
        ("uri", "code"),
        [
            (f"sip:{'x' * 255}@127.0.0.1", 13243),
            ("sip:phone@127.0.0.1?Subject=hello", 13252),
            (f"sip:phone@127.0.0.1?x-long={'y' * 1024}", 13253),
            ("sip:phone@", 13243),
        ],
        ids=["255 characters", "a header name that is not allowed", "headers too long", "no host"],
    )
    def test_it_fails_its_leg_and_the_hunt_goes_on(self, lab: Lab, uri: str, code: int) -> None:
        busy = lab.phone(*refuses(486))
        lab.dial(uri, busy, sequential="true", answerOnBridge="true")
        finish(lab.call(*refused(486)), busy)
        call = lab.log()
        assert statuses(call) == [("failed", 0), ("busy", 486)]
        assert lab.engine.notes(call["legs"][0]["sid"]) == [code]

    def test_a_host_that_does_not_resolve_fails_at_once(self, lab: Lab) -> None:
        busy = lab.phone(*refuses(486))
        lab.dial("sip:phone@no-such-host.invalid", busy, sequential="true", answerOnBridge="true")
        caller = lab.call(*refused(486))
        finish(caller, busy)
        call = lab.log()
        assert busy.received_at("INVITE") - caller.sent_at("INVITE") < 20  # and not after the time-out of 30
        assert (call["legs"][0]["status"], call["legs"][0]["error_code"]) == ("failed", 13254)
        assert lab.engine.notes(call["legs"][0]["sid"]) == [13254]

    def test_a_dial_without_any_noun_is_noted_and_the_next_verb_runs(self, lab: Lab) -> None:
        lab.twiml('<Dial answerOnBridge="true"></Dial><Reject reason="busy"/>')
        finish(lab.call(*refused(486)))
        assert lab.engine.notes(lab.log()["sid"]) == [13215]

    def test_a_phone_that_says_nothing_is_given_up_at_the_timeout(self, lab: Lab) -> None:
        """RFC 3261 §9.1: nothing to cancel yet, and the caller does not wait for it."""
        lab.dial(f"sip:phone@127.0.0.1:{free_port()}", timeout=5, answerOnBridge="true")
        caller = lab.call(*refused(480))
        finish(caller)
        assert caller.received_at("SIP/2.0 480") - caller.sent_at("INVITE") < 20  # SIP itself gives up after 32


class TestBadServers:
    """Conformance §1.11: fallback URL with ErrorCode and ErrorUrl; without one an apology and the end."""

    @pytest.mark.parametrize(
        ("answer", "code"),
        [((500, "text/plain", b"oops"), 11200), ((404, "text/plain", b"where?"), 11200)],
        ids=["500", "404"],
    )
    def test_an_error_of_the_server_goes_to_the_fallback(
        self, lab: Lab, fallback: TwimlServer, answer: tuple[int, str, bytes], code: int
    ) -> None:
        fallback.documents[f"/voice#{lab.number}"] = lambda asked: answer
        finish(lab.call(*REFUSED_BY_FALLBACK))
        sid = lab.log()["sid"]
        told = fallback.request("/fallback", CallSid=sid).form
        assert (told["ErrorCode"], told["ErrorUrl"]) == (str(code), f"{fallback.url}/voice")
        row = lab.engine.rows("SELECT * FROM calls_notification WHERE call_id=?", sid)[0]
        assert (row["code"], row["response_status"], row["response_body"].encode()) == (code, answer[0], answer[2])

    def test_a_server_that_is_down_goes_to_the_fallback(self, lab: Lab, fallback: TwimlServer) -> None:
        dead = f"http://127.0.0.1:{free_port()}/"
        lab.twiml(f"<Redirect>{dead}</Redirect>")
        finish(lab.call(*REFUSED_BY_FALLBACK))
        sid = lab.log()["sid"]
        assert fallback.request("/fallback", CallSid=sid).form["ErrorUrl"] == dead
        assert lab.engine.notes(sid) == [11202]

    def test_a_host_that_does_not_exist_goes_to_the_fallback(self, lab: Lab, fallback: TwimlServer) -> None:
        lab.twiml("<Redirect>http://no-such-host.invalid/</Redirect>")
        finish(lab.call(*REFUSED_BY_FALLBACK))
        assert lab.engine.notes(lab.log()["sid"]) == [11210]

    def test_a_server_that_is_slow_goes_to_the_fallback_at_its_timeout(self, lab: Lab, fallback: TwimlServer) -> None:
        """Connection overrides: #tt=300 is a total of 300 ms."""
        release = threading.Event()

        def slow(asked: Asked) -> tuple[int, str, bytes]:
            release.wait(2 * SECONDS)
            return 200, "text/xml", b"<Response/>"

        fallback.documents["/slow"] = slow
        lab.twiml("<Redirect>/slow#tt=300</Redirect>")
        finish(lab.call(*REFUSED_BY_FALLBACK))
        release.set()
        assert lab.engine.notes(lab.log()["sid"]) == [11203]

    def test_the_next_request_goes_to_the_primary_again(self, lab: Lab, fallback: TwimlServer) -> None:
        broken = [(500, "text/plain", b""), (200, "text/xml", b'<Response><Reject reason="busy"/></Response>')]
        fallback.documents[f"/voice#{lab.number}"] = lambda asked: broken.pop(0)
        finish(lab.call(*REFUSED_BY_FALLBACK))
        finish(lab.call(*refused(486)))
        assert len(fallback.requests("/fallback", To=f"sip:{lab.number}@127.0.0.1")) == 1

    def test_without_a_fallback_that_helps_the_caller_hears_an_apology_and_is_hung_up(self, lab: Lab) -> None:
        lab.server.serve(f"/voice#{lab.number}", b"oops", status=500)
        caller = lab.call(*APOLOGIZED)
        finish(caller)
        call = lab.log()
        assert lab.engine.notes(call["sid"]) == [11200, 11200]
        assert caller.received_at("BYE") - caller.received_at("SIP/2.0 200") > 1  # it was spoken
        assert (call["status"], call["ended_by"]) == ("completed", "engine")

    def test_an_action_that_fails_uses_the_fallback_of_the_call(self, lab: Lab, fallback: TwimlServer) -> None:
        busy = lab.phone(*refuses(503))
        lab.dial(busy, answerOnBridge="true", action="/missing")
        finish(lab.call(*REFUSED_BY_FALLBACK), busy)
        told = fallback.request("/fallback", CallSid=lab.log()["sid"]).form
        assert (told["ErrorUrl"], told["DialCallStatus"]) == (f"{fallback.url}/missing", "failed")


def tiny_disk(folder: Path) -> tuple[str, ...]:
    """Return a command that runs another one with 64 kB of disk at `folder`, or nothing where that is not allowed."""
    folder.mkdir(parents=True)
    mount = f'mount -t tmpfs -o size=64k none "{folder}" && exec "$@"'
    command = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    allowed = shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True).returncode == 0
    return command if allowed else ()


class TestFullDisk:
    """A recording that cannot be written is worth less than its call."""

    def talk(self, engine: Engine, server: TwimlServer, peers: Peers, number: str, milliseconds: int) -> str:
        lab = Lab(engine, server, peers, number)
        phone = lab.phone(*ANSWERS)
        lab.dial(phone, record="record-from-answer-dual")
        finish(lab.call(invite(), *progress(), recv(200), ack(), cue(), pause(milliseconds), *bye()), phone)
        call = lab.log()
        assert statuses(call) == [("completed", 200)]
        return str(call["sid"])

    def test_a_call_goes_on_when_its_recording_cannot_be_begun(
        self, server: TwimlServer, database: Database, peers: Peers, tmp_path: Path, number: str
    ) -> None:
        with Engine(
            tmp_path / "engine", server, database, RECORDINGS_DIR="/proc"
        ) as engine:  # no file can be made there
            sid = self.talk(engine, server, peers, number, 300)
            assert engine.notes(sid) == [12400]
            recording = engine.recordings(sid)[0]
            assert recording["status"] == "processing"  # the worker finds no file, and tells whoever wants to know
            engine.shell(f"from calls.tasks import finish_recording\nfinish_recording('{recording['sid']}')")
            assert engine.recordings(sid)[0]["status"] == "absent"

    def test_a_call_goes_on_when_the_disk_is_full_in_the_middle(
        self, server: TwimlServer, database: Database, peers: Peers, tmp_path: Path, number: str
    ) -> None:
        folder = tmp_path / "tiny"
        prefix = tiny_disk(folder)
        with Engine(tmp_path / "engine", server, database, prefix=prefix, RECORDINGS_DIR=str(folder)) as engine:
            sid = self.talk(engine, server, peers, number, 3500)  # two channels of 16 kB/s
            assert engine.call(number)["duration"] >= 3
            assert engine.recordings(sid)[0]["status"] == "processing"  # what fitted is kept


class TestDatabaseAway:
    """A call never waits for the database; what happened meanwhile is all in the log afterwards."""

    def test_calls_go_on_while_it_takes_nothing_and_the_log_is_complete_afterwards(self, lab: Lab) -> None:
        phone = lab.phone(*ANSWERS)
        lab.dial(phone, action="/unlogged")
        lab.server.serve("/unlogged", b"<Response/>")
        with lab.engine.database.away():
            finish(lab.call(*TALKS), phone)
            until(lambda: lab.server.requests("/unlogged"))
            assert lab.engine.rows("SELECT sid FROM calls_call WHERE to_user=?", lab.number) == []
        call = lab.log()
        assert statuses(call) == [("completed", 200)]
        names = lab.engine.timeline(call["sid"])
        assert names[0] == "invite"
        assert {"leg.placed", "leg.answered", "bridged", "leg.ended", "dial.finished", "ended"} <= set(names)
        numbers = lab.engine.rows("SELECT number FROM calls_callevent WHERE call_id=? ORDER BY number", call["sid"])
        assert [row["number"] for row in numbers] == list(range(len(numbers)))

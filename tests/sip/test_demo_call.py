"""`./cordboard demo-call` as a stranger meets it: against all three processes, with real audio; and what it says when
something is not as it should be.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sip.sipp import HOST, free_port
from tests.stack import ROOT, Stack
from tests.waiting import SECONDS


class DemoStack(Stack):
    """A stack with the demo's data, whose phones have ports that are free here."""

    demo = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.phones = {name: free_port() for name in ("Alice", "Bob", "Carol")}

    @property
    def login(self) -> Path:
        return self.folder / "data" / "demo.json"

    def prepare(self) -> None:
        super().prepare()
        for name, port in self.phones.items():
            self.change(f"Endpoint.objects.filter(name={name!r}).update(uri='sip:{name.lower()}@{HOST}:{port}')")

    def call(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.manage("demo_call", *arguments, **environment)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a demo call in a process group of its own, as a terminal does."""
        return subprocess.Popen(
            [sys.executable, "manage.py", "demo_call", *arguments],
            cwd=ROOT,
            env=self.environment | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def cells(output: str, first: str) -> list[str]:
    """Return the cells of the table row that begins with this one."""
    rows = (re.split(r"  +", line.strip()) for line in output.splitlines())
    return next((row for row in rows if row[0] == first), [])


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoStack]:
    made = DemoStack(tmp_path_factory.mktemp("stack"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def shown(stack: DemoStack) -> str:
    """Return what the demo call without options prints."""
    done = stack.call()
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class TestEverybodyRings:
    def test_the_phone_that_answered_talks_and_the_others_are_canceled(self, shown: str) -> None:
        legs = {name: cells(shown, name)[2:4] for name in ("Caller", "Alice", "Bob", "Carol")}
        assert legs == {
            "Caller": ["200", "completed"],
            "Alice": ["487", "canceled"],
            "Bob": ["200", "completed"],
            "Carol": ["487", "canceled"],
        }

    def test_each_leg_has_its_times(self, shown: str) -> None:
        times = [float(cell.removesuffix(" s")) for cell in cells(shown, "Bob")[4:6]]
        assert times[0] > 1 and times[1] > 3

    def test_each_leg_has_its_reason(self, shown: str) -> None:
        assert cells(shown, "Alice")[6] == "Another phone answered first."

    def test_the_recording_has_the_caller_left_and_the_phone_right(self, shown: str) -> None:
        for side, who, hertz in (("left", "Caller", "440 Hz"), ("right", "Bob", "750 Hz")):
            frequency, _, wanted, verdict = cells(shown, f"recording, {side}")[1:]
            assert (frequency, wanted, verdict) == (hertz, f"{who} plays {hertz}", "ok")

    def test_each_hears_the_other(self, shown: str) -> None:
        heard = [cells(shown, f"what {who} heard")[1] for who in ("the caller", "Bob")]
        assert heard == ["750 Hz", "440 Hz"]

    def test_the_printed_address_is_the_page_of_the_call(self, stack: DemoStack, shown: str) -> None:
        address = shown.rpartition("The call in the admin: ")[2].strip()
        assert re.fullmatch(rf"http://{HOST}:{stack.web}/admin/calls/call/CA[0-9a-f]{{32}}/change/", address)
        with urllib.request.urlopen(address) as page:
            assert page.status == 200


class TestOnePhoneAfterTheOther:
    def test_busy_phones_are_passed_over(self, stack: DemoStack) -> None:
        done = stack.call("--number", "101", "--answer-by", "carol", "--talk", "2")
        assert done.returncode == 0, done.stdout + done.stderr
        assert [cells(done.stdout, name)[3] for name in ("Alice", "Bob", "Carol")] == ["busy", "busy", "completed"]

    def test_when_all_are_busy_that_is_as_expected(self, stack: DemoStack) -> None:
        done = stack.call("--number", "101", "--answer-by", "nobody")
        assert done.returncode == 0, done.stdout + done.stderr
        assert [cells(done.stdout, name)[3] for name in ("Alice", "Bob", "Carol")] == ["busy"] * 3

    def test_an_outcome_that_was_not_expected_is_named_and_is_a_failure(self, stack: DemoStack) -> None:
        stack.change("Endpoint.objects.filter(name='Bob').update(enabled=False)")
        try:
            done = stack.call("--number", "101", "--answer-by", "bob")
        finally:
            stack.change("Endpoint.objects.filter(name='Bob').update(enabled=True)")
        assert done.returncode == 1
        assert "Not as expected: Bob was not called (is it still a member" in done.stderr


class TestTrouble:
    def test_a_call_that_gets_no_twiml(self, stack: DemoStack) -> None:
        number = "Route.objects.filter(pattern='100')"
        stack.change(f"{number}.update(group=None, url='http://{HOST}:{free_port()}/')")
        try:
            done = stack.call()
        finally:
            stack.change(f"{number}.update(group=RingGroup.objects.get(name='Demo'), url='')")
        assert done.returncode == 1
        assert "Not as expected: no phone was called: the log above and the call's page say why." in done.stderr

    def test_no_engine(self, stack: DemoStack) -> None:
        port = free_port()
        done = stack.call(SIP_PORT=str(port))
        line = f"No engine answers at sip:{HOST}:{port}: run ./cordboard up in another terminal first."
        assert (done.returncode, done.stderr) == (1, f"CommandError: {line}\n")

    def test_no_demo(self, stack: DemoStack) -> None:
        kept = stack.login.rename(stack.login.with_suffix(".kept"))
        try:
            done = stack.call()
        finally:
            kept.rename(stack.login)
        line = f"{stack.login} is missing or cannot be read: run ./cordboard up in another terminal first."
        assert (done.returncode, done.stderr) == (1, f"CommandError: {line}\n")

    def test_a_wrong_password(self, stack: DemoStack) -> None:
        kept = stack.login.read_text()
        stack.login.write_text(json.dumps(json.loads(kept) | {"password": "wrong"}))
        try:
            done = stack.call()
        finally:
            stack.login.write_text(kept)
        assert done.returncode == 1
        assert "The call was refused: 40" in done.stderr
        assert "look at the credential and access lists of the demo's SIP domain" in done.stderr

    def test_a_taken_phone_port(self, stack: DemoStack) -> None:
        port = stack.phones["Bob"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((HOST, port))
            done = stack.call()
        assert done.returncode == 1
        assert f"CommandError: Bob's phone cannot run: SIP port {port}/udp on {HOST} cannot be opened" in done.stderr

    def test_an_endpoint_on_another_machine(self, stack: DemoStack) -> None:
        port = stack.phones["Carol"]
        stack.change("Endpoint.objects.filter(name='Carol').update(uri='sip:carol@192.0.2.1')")
        try:
            done = stack.call()
        finally:
            stack.change(f"Endpoint.objects.filter(name='Carol').update(uri='sip:carol@{HOST}:{port}')")
        assert done.returncode == 1
        assert "Endpoint Carol has left this machine (sip:carol@192.0.2.1)" in done.stderr

    def test_ctrl_c_ends_it_in_one_line(self, stack: DemoStack) -> None:
        process = stack.begin("--answer-by", "nobody")
        assert process.stdout
        assert any("is called" in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)
        errors = process.communicate(timeout=SECONDS)[1]
        assert (process.returncode, errors) == (1, "CommandError: Stopped; the phones have hung up.\n")

    @pytest.mark.parametrize("talk", ["1", "601", "long"])
    def test_a_wrong_talking_time(self, stack: DemoStack, talk: str) -> None:
        done = stack.call("--talk", talk)
        assert done.returncode == 2
        assert f"'{talk}' is not a number of seconds from 2 to 600" in done.stderr

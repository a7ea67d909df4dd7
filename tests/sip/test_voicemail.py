"""A caller of a closed group leaves a message, and somebody is told by e-mail: all processes, real SIP."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import soundfile

from sipengine.measure import dominant_frequency
from tests.sip.sipp import HOST
from tests.sip.softphones import Softphones
from tests.stack import Stack
from tests.waiting import until

TONE = 1000  # Hz: what the caller says
PREPARE = """
from routing.models import *
account = Account.objects.get()
acl = IpAccessControlList.objects.create(account=account, friendly_name="here")
IpAddress.objects.create(ip_access_control_list=acl, friendly_name="here", ip_address="127.0.0.1")
domain = SipDomain.objects.create(account=account, domain_name="calls.example.com", is_default=True)
domain.ip_access_control_lists.add(acl)
hours = Schedule.objects.create(account=account, name="Never", time_zone="Europe/Berlin")
box = Voicemail(account=account, name="Support", greeting="none", emails="desk@example.com", attach="wav")
box.save()
closed = RingGroup(account=account, name="Closed", schedule=hours, closed="voicemail", closed_voicemail=box)
closed.save()
Route.objects.create(domain=domain, pattern="100", group=closed)
BlockedCaller.objects.create(account=account, pattern="pest", answer="busy", reason="Sells solar panels")
Route.objects.create(domain=domain, pattern="*", voicemail=box)
"""
MESSAGES = """
import json
from calls.models import VoicemailMessage, Call
for one in VoicemailMessage.objects.filter(mail="sent"):
    names = {"group": str(one.call.group), "box": str(one.box)}
    print(json.dumps({"caller": one.caller, "seconds": one.duration, **names}))
"""
CALLS = """
import json
from calls.models import Call
for call in Call.objects.filter(from_user="pest").exclude(end_time=None):
    said = [event.detail for event in call.events.filter(name="twiml.response")]
    print(json.dumps({"code": call.sip_code, "status": call.status, "why": [one.get("why", "") for one in said]}))
"""


class VoicemailStack(Stack):
    """A stack whose mail goes into files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.mails = folder / "mails"
        self.environment["EMAIL_URL"] = f"filemail:///{self.mails}"

    def prepare(self) -> None:
        super().prepare()
        self.change(PREPARE.strip())

    def printed_by(self, code: str) -> list[dict[str, Any]]:
        done = self.manage("shell", "-v", "0", "-c", code)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VoicemailStack]:
    made = VoicemailStack(tmp_path_factory.mktemp("voicemail"))
    made.start()
    yield made
    made.stop()


def test_a_message_is_left_listed_and_emailed(stack: VoicemailStack, softphones: Softphones, tmp_path: Path) -> None:
    caller = softphones.caller(f"sip:100@{HOST}:{stack.sip}", "--tone", str(TONE), "--hangup", "4")
    caller.wait("exit")
    (message,) = until(lambda: stack.printed_by(MESSAGES), what="the message")
    assert message["caller"].startswith("sip:caller@")
    assert (message["group"], message["box"]) == ("Closed", "Support")
    assert 2.0 < message["seconds"] < 5.0

    (file,) = stack.mails.iterdir()
    mail = message_from_bytes(file.read_bytes().partition(b"\n" + b"-" * 79)[0], policy=policy.default)
    assert (mail["To"], mail["Subject"]) == ("desk@example.com", "Voicemail from caller for Support")
    text, sound = mail.iter_parts()
    assert f"{stack.url}/admin/calls/voicemailmessage/RE" in text.get_content()
    samples, rate = soundfile.read(io.BytesIO(sound.get_content()))
    heard = tmp_path / "heard.wav"
    soundfile.write(heard, samples, rate)
    assert dominant_frequency(heard) == pytest.approx(TONE, abs=20)


def test_a_blocked_caller_is_told_busy_and_the_call_says_why(stack: VoicemailStack, softphones: Softphones) -> None:
    softphones._start("--call", f"sip:101@{HOST}:{stack.sip}", "--from", "pest", "--once", tls=False).wait("exit")
    (call,) = until(lambda: stack.printed_by(CALLS), what="the end of the call")
    assert (call["code"], call["status"]) == (486, "busy")
    assert call["why"][0].startswith("pest is a blocked caller: Sells solar panels.")

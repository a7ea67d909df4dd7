"""The first calls of docs/api.md do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from calls.models import Call
from routing.models import Account

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()


@pytest.mark.parametrize(("language", "command"), [("python", (sys.executable, "-c")), ("sh", ("sh", "-c"))])
def test_a_first_call_is_queued(
    live_server: LiveServer, account: Account, language: str, command: tuple[str, str]
) -> None:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    program = found[1].replace("AC…", account.sid).replace("token", account.auth_token, 1)
    program = program.replace("http://127.0.0.1:8000", live_server.url)
    done = subprocess.run([*command, program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Call.objects.count() == 1, done.stdout
    call = Call.objects.get()
    assert call.sid in done.stdout and (call.to_address, call.status) == ("sip:alice@198.51.100.7", "queued")

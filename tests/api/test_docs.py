"""The first calls of docs/api.md do what they say."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from calls.models import Call
from routing.models import Account

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()


@pytest.mark.parametrize(("language", "command"), [("python", (sys.executable, "-c")), ("sh", ("sh", "-c"))])
async def test_a_first_call_is_queued(
    live_server: LiveServer, account: Account, language: str, command: tuple[str, str]
) -> None:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    program = found[1].replace("AC…", account.sid).replace("token", account.auth_token, 1)
    program = program.replace("http://127.0.0.1:8000", live_server.url)
    process = await asyncio.create_subprocess_exec(*command, program, stdout=-1, stderr=-1)
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert await Call.objects.acount() == 1, output.decode()
    call = await Call.objects.aget()
    assert call.sid in output.decode() and (call.to_address, call.status) == ("sip:alice@198.51.100.7", "queued")

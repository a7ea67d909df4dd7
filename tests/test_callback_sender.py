"""The engine's end of the pipe to the process that sends callbacks; a few lines of Python stand for that process."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from calls.entries import DeliveryEntry, to_line
from sipengine import callback_sender
from sipengine.callback_sender import SenderPipe
from tests.waiting import SECONDS, becomes

# Writes what it reads to a file; the first ones with this name may do something else before.
READER = """
import os, pathlib, sys
turn = pathlib.Path(sys.argv[1] + ".turn")
number = int(turn.read_text()) if turn.exists() else 0
turn.write_text(str(number + 1))
{before}
with open(sys.argv[1], "ab", buffering=0) as got:
    while data := os.read(0, 65536):
        got.write(data)
    got.write(b"end\\n")
"""
DIES_AT_FIRST = "if number == 0: sys.exit(3)"
DIES_IN_A_LINE = "if number == 0: os.read(0, 100); sys.exit(3)"
DOES_NOT_READ = "import time\nwhile not os.path.exists(sys.argv[1] + '.go'): time.sleep(0.01)"


def entry(number: int = 0, value: str = "completed") -> DeliveryEntry:
    return DeliveryEntry(
        sid=f"WD{number:032x}",
        message=f"WD{number:032x}",
        account_sid="AC1",
        call_sid="CA1",
        topic="status",
        event="completed",
        url="http://h.example/cb",
        method="POST",
        parameters=(("CallStatus", value),),
        time=1.0,
    )


class Sender:
    """A pipe with its process, and what has arrived there."""

    def __init__(self, folder: Path, before: str = "", limit: int = 20_000_000) -> None:
        self.file = folder / "got"
        self.pipe = SenderPipe([sys.executable, "-c", READER.format(before=before), str(self.file)], limit)
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self.pipe.run())

    @property
    def lines(self) -> list[str]:
        return self.file.read_text().split("\n")[:-1] if self.file.exists() else []

    @property
    def numbers(self) -> list[int]:
        return [int(json.loads(line)["sid"][2:], 16) for line in self.lines if line != "end"]

    async def stop(self) -> None:
        """Close the pipe and wait for the process to end."""
        await self.pipe.close()
        self.file.with_name("got.go").touch()
        assert self.task is not None
        async with asyncio.timeout(SECONDS):
            await self.task


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback_sender, "RESTART_SECONDS", 0.01)


@pytest.fixture
async def sender(tmp_path: Path) -> AsyncIterator[Sender]:
    made = Sender(tmp_path)
    made.start()
    yield made
    await made.stop()


async def test_entries_arrive_in_order_a_line_each(sender: Sender) -> None:
    for number in range(1000):
        sender.pipe.send(to_line(entry(number)))
    await becomes(lambda: len(sender.lines) == 1000)
    assert sender.numbers == list(range(1000))
    assert json.loads(sender.lines[0])["parameters"] == [["CallStatus", "completed"]]


async def test_what_is_sent_before_the_process_is_up_waits_for_it(tmp_path: Path) -> None:
    made = Sender(tmp_path)
    made.pipe.send(to_line(entry(7)))
    made.start()
    await becomes(lambda: made.numbers == [7])
    await made.stop()


async def test_text_that_was_no_utf8_or_has_line_ends_stays_one_line(sender: Sender) -> None:
    sender.pipe.send(to_line(entry(1, "a\nb\u2028c M\udcfcller")))
    sender.pipe.send(to_line(entry(2)))
    await becomes(lambda: len(sender.lines) >= 2)
    assert sender.numbers == [1, 2]


@pytest.mark.usefixtures("quick")
class TestItsEnd:
    """The process may die at any moment; what it has not been given goes to the next one."""

    async def test_another_one_is_started(self, tmp_path: Path) -> None:
        made = Sender(tmp_path, DIES_AT_FIRST)
        made.start()
        await becomes(lambda: (tmp_path / "got.turn").exists())
        await becomes(lambda: (tmp_path / "got").exists())
        made.pipe.send(to_line(entry(1)))
        await becomes(lambda: made.numbers == [1])
        await made.stop()

    async def test_a_line_that_was_given_in_part_is_given_whole_to_the_next_one(self, tmp_path: Path) -> None:
        made = Sender(tmp_path, DIES_IN_A_LINE)
        for number in range(100):
            made.pipe.send(to_line(entry(number, "x" * 100_000)))  # much more than a pipe holds
        made.start()
        await becomes(lambda: made.file.exists() and made.file.stat().st_size > 9_000_000)
        await made.stop()
        # The first one took some whole lines along (the kernel had them already), and a part of the next.
        assert made.numbers == list(range(made.numbers[0], 100))

    async def test_a_program_that_is_not_there_is_tried_again(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        pipe = SenderPipe([str(tmp_path / "nothing")])
        task = asyncio.create_task(pipe.run())
        pipe.send(to_line(entry()))
        await becomes(lambda: caplog.text.count("cannot be started") >= 2)
        await pipe.close()
        await task


class TestItsBounds:
    """Callbacks never cost the call path more than some memory."""

    async def test_what_finds_no_room_is_counted_and_left_to_the_worker(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        pipe = SenderPipe(["never started"], limit=1000)
        for number in range(10):
            pipe.send(to_line(entry(number)))
        assert pipe.dropped >= 5
        assert caplog.text.count("left to the worker") == 1

    async def test_a_process_that_does_not_read_stops_nobody(self, tmp_path: Path) -> None:
        made = Sender(tmp_path, DOES_NOT_READ, limit=300_000)
        made.start()
        await becomes(lambda: (tmp_path / "got.turn").exists())
        async with asyncio.timeout(SECONDS):
            for number in range(2000):
                made.pipe.send(to_line(entry(number)))
                await asyncio.sleep(0)
        assert made.pipe.dropped > 0
        await made.stop()

    async def test_closing_waits_no_longer_than_said(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(callback_sender, "CLOSE_SECONDS", 0.1)
        made = Sender(tmp_path, DOES_NOT_READ)
        made.start()
        await becomes(lambda: (tmp_path / "got.turn").exists())
        for number in range(2000):
            made.pipe.send(to_line(entry(number)))
        async with asyncio.timeout(SECONDS):
            await made.pipe.close()
        assert "are left to the worker" in caplog.text
        await made.stop()

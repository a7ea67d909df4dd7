"""The write-behind on a real disk: what is put is read, in order, whatever crashes, fills up or breaks in between."""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calls.entries import CallRecord, Entry, EventEntry, NoteEntry, RecordingEntry
from sipengine import journal
from sipengine.journal import Batch, Journal, JournalBusy, Reader, is_closed, lock, mark_closed, segment_path, segments
from tests.waiting import becomes

CA = "CA" + "0" * 32
AC = "AC" + "0" * 32


def event(number: int, size: int = 0) -> EventEntry:
    return EventEntry(CA, number, 1_800_000_000.25, "verb", {"fill": "x" * size})


def record(status: str = "ringing") -> CallRecord:
    return CallRecord(CA, AC, "inbound", status, "sip:carol@phone", "sip:100@pbx", 1_800_000_000.0)


async def written(made: Journal, entries: Iterable[Entry]) -> None:
    """Put these entries in one turn of the loop, and let it turn."""
    for entry in entries:
        made.put(entry)
    await asyncio.sleep(0)


def drain(reader: Reader, limit: int = 200) -> list[Entry]:
    """Read and apply everything that is there."""
    found: list[Entry] = []
    while (batch := reader.read(limit)) is not None:
        found += batch.entries
        reader.done(batch)
    return found


def numbers(entries: Iterable[Entry]) -> list[int]:
    return [entry.number for entry in entries if isinstance(entry, EventEntry)]


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 1000)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes: writes are cut there and then fail, as on a disk that is full."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


class TestWriting:
    async def test_every_kind_of_entry_is_read_as_it_was_put(self, tmp_path: Path) -> None:
        entries: list[Entry] = [
            record(),
            event(0),
            RecordingEntry("RE1", AC, CA, "DialVerb", 2, "both", 1.5, "processing", ("a.wav", "b.wav")),
            NoteEntry("NO1", AC, CA, 2.5, 11200, "error", 'Zeile 1\nZeile "2" – ü \0', response_body="<Response/>"),
        ]
        await written(Journal(tmp_path), entries)
        assert drain(Reader(tmp_path)) == entries

    async def test_nothing_is_written_before_the_turn_ends_and_then_everything_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writes: list[int] = []
        write = os.write

        def counted(descriptor: int, data: bytes) -> int:
            writes.append(descriptor)
            return write(descriptor, data)

        made = Journal(tmp_path)
        monkeypatch.setattr(os, "write", counted)
        for number in range(50):
            made.put(event(number))
        assert writes == []
        await asyncio.sleep(0)
        assert len(writes) == 1
        assert numbers(drain(Reader(tmp_path))) == list(range(50))

    async def test_a_record_that_changes_within_a_turn_is_written_once_as_it_is_at_its_end(
        self, tmp_path: Path
    ) -> None:
        one = record()
        made = Journal(tmp_path)
        made.put(one)
        one.status = "in-progress"
        await written(made, [event(0), one])
        entries = drain(Reader(tmp_path))
        assert [entry.status for entry in entries if isinstance(entry, CallRecord)] == ["in-progress"]
        assert len(entries) == 2

    async def test_a_record_is_written_again_in_every_turn_that_it_changes_in(self, tmp_path: Path) -> None:
        one = record()
        made = Journal(tmp_path)
        for one.status in ("ringing", "in-progress", "completed"):
            await written(made, [one])
        statuses = [entry.status for entry in drain(Reader(tmp_path)) if isinstance(entry, CallRecord)]
        assert statuses == ["ringing", "in-progress", "completed"]

    async def test_bytes_that_are_no_text_are_written_as_question_marks(self, tmp_path: Path) -> None:
        await written(Journal(tmp_path), [EventEntry(CA, 0, 1.0, "verb", {"name": "M\udcfcller"})])
        (entry,) = drain(Reader(tmp_path))
        assert isinstance(entry, EventEntry) and entry.detail == {"name": "M?ller"}

    @pytest.mark.parametrize("detail", [{"path": Path("/a")}, {("a", 1): 2}], ids=["value", "key"])
    async def test_an_entry_that_is_no_json_does_not_hold_up_the_others(
        self, tmp_path: Path, detail: dict[Any, Any]
    ) -> None:
        made = Journal(tmp_path)
        failed: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: failed.append(context))
        await written(made, [event(0), EventEntry(CA, 1, 1.0, "verb", detail), event(2)])
        await written(made, [event(3)])
        assert [number for number in numbers(drain(Reader(tmp_path))) if number != 1] == [0, 2, 3]
        assert failed == []

    async def test_nobody_else_may_read_what_is_written(self, tmp_path: Path) -> None:
        await written(Journal(tmp_path), [event(0)])
        assert segment_path(tmp_path, 1).stat().st_mode & 0o077 == 0

    async def test_closing_writes_what_is_left(self, tmp_path: Path) -> None:
        made = Journal(tmp_path)
        made.put(event(0))
        made.close()
        await asyncio.sleep(0)
        assert numbers(drain(Reader(tmp_path))) == [0]

    async def test_a_disk_that_cannot_sync_does_not_stop_the_engine(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(descriptor: int) -> None:
            raise OSError("I/O error")

        made = Journal(tmp_path)
        await written(made, [event(0)])
        made.sync()
        monkeypatch.setattr(os, "fdatasync", broken)
        made.sync()
        await written(made, [event(1)])
        assert numbers(drain(Reader(tmp_path))) == [0, 1]


class TestSegments:
    async def test_each_run_of_the_engine_has_its_own(self, tmp_path: Path) -> None:
        runs = [Journal(tmp_path).first_segment for _ in range(3)]
        assert runs == segments(tmp_path) == [1, 2, 3]

    @pytest.mark.usefixtures("small_segments")
    async def test_a_large_one_is_followed_by_another(self, tmp_path: Path) -> None:
        made = Journal(tmp_path)
        for number in range(10):
            await written(made, [event(number, 600)])
        assert len(segments(tmp_path)) == 5
        assert made.first_segment == 1

    @pytest.mark.usefixtures("small_segments")
    async def test_it_is_removed_when_it_has_been_applied(self, tmp_path: Path) -> None:
        made = Journal(tmp_path)
        for number in range(10):
            await written(made, [event(number, 600)])
        assert numbers(drain(Reader(tmp_path))) == list(range(10))
        assert segments(tmp_path) == [5]

    @pytest.mark.usefixtures("small_segments")
    async def test_it_stays_until_then(self, tmp_path: Path) -> None:
        made = Journal(tmp_path)
        for number in range(4):
            await written(made, [event(number, 600)])
        assert Reader(tmp_path).read() is not None
        assert segments(tmp_path) == [1, 2]

    async def test_the_present_one_stays_also_when_all_of_it_has_been_applied(self, tmp_path: Path) -> None:
        made = Journal(tmp_path)
        await written(made, [event(0)])
        reader = Reader(tmp_path)
        drain(reader)
        await written(made, [event(1)])
        assert numbers(drain(reader)) == [1]

    async def test_what_else_lies_in_the_folder_is_let_alone(self, tmp_path: Path) -> None:
        (tmp_path / "notes.jsonl").write_text("mine")
        (tmp_path / "unreadable.jsonl.kept").write_text("kept")
        await written(Journal(tmp_path), [event(0)])
        assert segments(tmp_path) == [1]
        assert numbers(drain(Reader(tmp_path))) == [0]


class TestWhenTheDiskIsFull:
    """Calls go on: what happens waits in memory and is written later, in order."""

    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal, "RETRY_SECONDS", 0.005)

    async def test_entries_wait_and_are_written_in_order_when_there_is_room(self, tmp_path: Path) -> None:
        made = Journal(tmp_path)
        with full_disk(40_000):
            for number in range(0, 60, 2):  # written in part, then not at all
                await written(made, [event(number, 1000), event(number + 1, 1000)])
            assert made.stuck is not None
            in_time = numbers(drain(Reader(tmp_path)))
            assert 0 < len(in_time) < 60
        await becomes(lambda: made.stuck is None)
        assert in_time + numbers(drain(Reader(tmp_path))) == list(range(60))

    async def test_it_says_since_when_and_that_it_is_over(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        made = Journal(tmp_path)
        with full_disk(30_000):
            await written(made, [event(0, 40_000)])
            since = made.stuck
            await becomes(lambda: made.stuck is not None)
            assert made.stuck == since is not None
        await becomes(lambda: made.stuck is None)
        told = [line.getMessage() for line in caplog.records if line.name == "sipengine.journal"]
        assert len(told) == 2
        assert "free space on" in told[0] and str(tmp_path) in told[0]
        assert "written again" in told[1]

    @pytest.mark.usefixtures("small_segments")
    async def test_a_line_is_never_torn_over_two_segments(self, tmp_path: Path) -> None:
        made = Journal(tmp_path)
        with full_disk(30_000):
            await written(made, [event(0, 20_000), event(1, 20_000)])
            await written(made, [event(2)])
        await becomes(lambda: made.stuck is None)
        await written(made, [event(3)])
        assert segments(tmp_path) == [1, 2]
        assert numbers(drain(Reader(tmp_path))) == [0, 1, 2, 3]

    @pytest.mark.usefixtures("small_segments")
    async def test_a_next_segment_that_cannot_be_made_is_no_loss(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = Journal(tmp_path)
        await written(made, [event(0, 2000)])

        def refuse(*_: object) -> int:
            raise OSError("No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "open", refuse)
            await written(made, [event(1)])
            assert made.stuck is not None
        await becomes(lambda: made.stuck is None)
        await written(made, [event(2)])
        assert numbers(drain(Reader(tmp_path))) == [0, 1, 2]

    @pytest.mark.usefixtures("small_segments")
    async def test_what_is_read_is_removed_so_that_there_is_room_again(self, tmp_path: Path) -> None:
        made = Journal(tmp_path)
        for number in range(6):
            await written(made, [event(number, 1500)])
        reader = Reader(tmp_path)
        with full_disk(0):
            assert numbers(drain(reader, 1)) == list(range(6))
        assert segments(tmp_path) == [6]

    async def test_closing_then_says_what_is_lost(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        made = Journal(tmp_path)
        with full_disk(30_000):
            await written(made, [event(number, 9_000) for number in range(5)])
            caplog.clear()
            made.close()
        assert "2 entries" in caplog.text
        assert numbers(drain(Reader(tmp_path))) == [0, 1, 2]

    async def test_nothing_is_written_after_closing(self, tmp_path: Path) -> None:
        made = Journal(tmp_path)
        made.close()
        with (tmp_path / "other").open("wb") as other:  # it gets the number of the descriptor that was closed
            await written(made, [event(0)])
            other.flush()
        assert (tmp_path / "other").read_bytes() == b""


class TestReading:
    async def test_a_batch_has_no_more_than_the_limit(self, tmp_path: Path) -> None:
        await written(Journal(tmp_path), map(event, range(5)))
        reader, sizes = Reader(tmp_path), []
        while (batch := reader.read(2)) is not None:
            sizes.append(numbers(batch.entries))
            reader.done(batch)
        assert sizes == [[0, 1], [2, 3], [4]]

    async def test_a_batch_that_was_not_applied_is_read_again(self, tmp_path: Path) -> None:
        await written(Journal(tmp_path), map(event, range(3)))
        reader = Reader(tmp_path)
        first, again = reader.read(), reader.read()
        assert first == again is not None

    async def test_the_position_survives_a_restart(self, tmp_path: Path) -> None:
        made = Journal(tmp_path)
        await written(made, map(event, range(3)))
        reader = Reader(tmp_path)
        batch = reader.read(2)
        assert batch is not None
        reader.done(batch)
        assert numbers(drain(Reader(tmp_path))) == [2]
        assert drain(Reader(tmp_path)) == []

    async def test_a_line_that_is_being_written_waits_for_its_end(self, tmp_path: Path) -> None:
        await written(Journal(tmp_path), [event(0), event(1)])
        path = segment_path(tmp_path, 1)
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        reader = Reader(tmp_path)
        assert numbers(drain(reader)) == [0]
        path.write_bytes(whole)
        assert numbers(drain(reader)) == [1]

    async def test_a_line_that_a_crash_cut_is_left_out(self, tmp_path: Path) -> None:
        await written(Journal(tmp_path), [event(0), event(1)])
        path = segment_path(tmp_path, 1)
        path.write_bytes(path.read_bytes()[:-20])
        await written(Journal(tmp_path), [event(2)])
        assert numbers(drain(Reader(tmp_path))) == [0, 2]

    async def test_an_empty_folder_has_nothing_to_read(self, tmp_path: Path) -> None:
        reader = Reader(tmp_path)
        assert reader.read() is None
        await written(Journal(tmp_path), [event(0)])
        assert numbers(drain(reader)) == [0]

    @pytest.mark.parametrize("content", [b"", b"\0\0\0\0", b"one two", b"1", b"\xff"])
    async def test_a_position_that_cannot_be_read_starts_over(self, tmp_path: Path, content: bytes) -> None:
        await written(Journal(tmp_path), [event(0)])
        drain(Reader(tmp_path))
        (tmp_path / "position").write_bytes(content)
        assert numbers(drain(Reader(tmp_path))) == [0]

    async def test_a_folder_whose_segments_were_removed_by_hand_is_read_on(self, tmp_path: Path) -> None:
        for _ in range(3):
            await written(Journal(tmp_path), [event(0)])
        drain(Reader(tmp_path))
        segment_path(tmp_path, 3).unlink()
        await written(Journal(tmp_path), [event(1)])
        assert numbers(drain(Reader(tmp_path))) == [1]

    @pytest.mark.parametrize(
        "line",
        [
            b"garbage",
            b"",
            b"[]",
            b"7",
            b"{}",
            b'{"kind": "unknown"}',
            b'{"kind": ["event"]}',
            b'{"kind": "event", "number": 1}',
            b'{"kind": "recording", "sid": "RE1"}',
            b"\xff\xfe",
            b"\0" * 40,
        ],
    )
    async def test_a_line_that_cannot_be_read_is_kept_aside(self, tmp_path: Path, line: bytes) -> None:
        made = Journal(tmp_path)
        await written(made, [event(0)])
        with segment_path(tmp_path, 1).open("ab") as file:
            file.write(line + b"\n")
        await written(made, [event(1)])
        assert numbers(drain(Reader(tmp_path))) == [0, 1]
        assert (tmp_path / "unreadable.jsonl.kept").read_bytes() == line + b"\n"

    async def test_fields_of_a_later_version_are_ignored(self, tmp_path: Path) -> None:
        await written(Journal(tmp_path), [event(0)])
        path = segment_path(tmp_path, 1)
        path.write_bytes(path.read_bytes().replace(b'{"kind"', b'{"later":[1],"kind"'))
        assert numbers(drain(Reader(tmp_path))) == [0]


class TestTheLock:
    def test_a_second_engine_of_one_name_is_refused(self, tmp_path: Path) -> None:
        held = lock(tmp_path / "e1", "engine.lock")
        with pytest.raises(JournalBusy, match="held by another process"):
            lock(tmp_path / "e1", "engine.lock")
        os.close(held)

    def test_another_name_and_the_writer_have_their_own(self, tmp_path: Path) -> None:
        held = [lock(tmp_path / "e1", "engine.lock"), lock(tmp_path / "e1", "writer.lock")]
        held.append(lock(tmp_path / "e2", "engine.lock"))
        for descriptor in held:
            os.close(descriptor)

    def test_it_goes_with_its_process(self, tmp_path: Path) -> None:
        os.close(lock(tmp_path, "engine.lock"))
        os.close(lock(tmp_path, "engine.lock"))


def test_the_calls_of_a_dead_run_are_closed_once_for_each_run(tmp_path: Path) -> None:
    assert not is_closed(tmp_path, 2)
    mark_closed(tmp_path, 2)
    assert is_closed(tmp_path, 2)
    assert not is_closed(tmp_path, 3)


# Each with a number: entries of one turn, bytes of a line that was cut, entries of a batch.
STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 6)),
    st.tuples(st.just("engine killed"), st.integers(0, 30)),
    st.tuples(
        st.sampled_from(["apply", "killed before apply", "killed after apply", "killed in done"]),
        st.integers(1, 5),
    ),
)


class Crashing:
    """An engine and a writer that are killed at any point; `applied` is what reached the database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.put = 0
        self.applied: list[int] = []
        self.journal = Journal(folder)
        self.reader = Reader(folder)

    async def step(self, name: str, amount: int) -> None:
        if name == "put":
            await written(self.journal, map(event, range(self.put, self.put + amount)))
            self.put += amount
        elif name == "engine killed":
            self.journal.close()
            with segment_path(self.folder, segments(self.folder)[-1]).open("ab") as file:
                file.write(b'{"kind":"event","call_sid":"CA0","number":1}'[:amount])  # its last write was cut
            self.journal = Journal(self.folder)
        else:
            self._apply(name, self.reader.read(amount))

    def _apply(self, name: str, batch: Batch | None) -> None:
        if batch is not None and name != "killed before apply":
            self.applied += numbers(batch.entries)
            if name == "apply":
                self.reader.done(batch)
        if name == "killed in done":
            (self.folder / "position.new").write_text("1 ")
        if name != "apply":
            self.reader = Reader(self.folder)

    def finish(self) -> None:
        self.journal.close()
        self.applied += numbers(drain(Reader(self.folder)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
def test_whatever_is_killed_when_everything_is_applied_in_order_and_at_least_once(
    steps: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 300)

    async def run(folder: Path) -> Crashing:
        made = Crashing(folder)
        for name, amount in steps:
            await made.step(name, amount)
        made.finish()
        return made

    with tempfile.TemporaryDirectory() as folder:
        made = asyncio.run(run(Path(folder)))
    assert sorted(set(made.applied)) == list(range(made.put))
    reached = -1
    for number in made.applied:
        assert number <= reached + 1, "an entry was applied before the one that came before it"
        reached = max(reached, number)

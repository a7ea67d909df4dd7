"""The files of SIP messages as the library writes them, and as a full disk or a killed process leaves them."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipengine import tracefile
from sipengine.tracefile import Damaged, Record, TraceReader, path_of, record, trim

NOW = round(time.time() * 1e6)
LATER = NOW / 1e6 + 10


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock at NOW: a file that is older than two minutes is closed, and tests may run long after this."""
    monkeypatch.setattr(tracefile, "time", SimpleNamespace(time=lambda: NOW / 1e6))


def line(
    time_: int = NOW, data: bytes = b"BYE sip:b@h SIP/2.0\r\n\r\n", direction: str = "S", host: str = "10.0.0.9"
) -> bytes:
    head = f"CBSIP1 {time_} {direction} UDP 127.0.0.1 5060 {host} 5070 {len(data)} {len(data)}\n"
    return head.encode() + data + b"\n"


def put(folder: Path, number: int, data: bytes) -> Path:
    path = path_of(folder, number)
    path.write_bytes(data)
    return path


def drain(reader: TraceReader, *, closed: bool = False) -> list[int]:
    found: list[int] = []
    while (chunk := reader.read(LATER, closed=closed)) is not None:
        found += [one.microseconds for one in chunk.records]
        reader.done(chunk)
    return found


def test_a_record_is_read_as_it_was_written() -> None:
    data = line(7, b"x\ny", "R", "fe80::1")
    assert record(data, 0) == (Record(7, False, "udp", "127.0.0.1:5060", "[fe80::1]:5070", 3, b"x\ny"), len(data))


def test_records_are_read_in_order_and_once_across_files_and_restarts(tmp_path: Path) -> None:
    old = put(tmp_path, NOW - 2, line(NOW - 2) + line(NOW - 1))
    put(tmp_path, NOW, line(NOW))
    assert drain(TraceReader(tmp_path)) == [NOW - 2, NOW - 1, NOW]
    assert not old.exists()
    with path_of(tmp_path, NOW).open("ab") as file:
        file.write(line(NOW + 1))
    assert drain(TraceReader(tmp_path)) == [NOW + 1]


def test_records_of_the_last_moment_are_left_for_later(tmp_path: Path) -> None:
    put(tmp_path, NOW, line(NOW) + line(NOW + 5_000_000))
    chunk = TraceReader(tmp_path).read(NOW / 1e6 + 1)
    assert chunk is not None
    assert [one.microseconds for one in chunk.records] == [NOW]


@pytest.mark.parametrize("kept", [3, 20, 60, len(line()) - 1])
def test_a_record_that_is_being_written_is_waited_for(tmp_path: Path, kept: int) -> None:
    path = put(tmp_path, NOW, line()[:kept])
    reader = TraceReader(tmp_path)
    assert drain(reader) == []
    path.write_bytes(line())
    assert drain(reader) == [NOW]


@pytest.mark.parametrize("kept", [3, 20, 60, len(line()) - 1])
def test_a_record_that_was_cut_short_ends_its_file(tmp_path: Path, kept: int) -> None:
    torn = put(tmp_path, NOW - 1, line(NOW - 1) + line()[:kept])
    put(tmp_path, NOW, line(NOW))
    assert drain(TraceReader(tmp_path)) == [NOW - 1, NOW]
    assert not torn.exists()


def test_when_nobody_writes_any_more_all_files_are_removed(tmp_path: Path) -> None:
    put(tmp_path, NOW, line() + line()[:30])
    assert drain(TraceReader(tmp_path), closed=True) == [NOW]
    assert not path_of(tmp_path, NOW).exists()


def test_an_old_file_is_closed(tmp_path: Path) -> None:
    number = NOW - 130_000_000
    put(tmp_path, number, line(number))
    assert drain(TraceReader(tmp_path)) == [number]
    assert not path_of(tmp_path, number).exists()


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\0" * 500, b"CBSIP1 x S UDP h 1 h 2 3 3\nabc\n", b"CBSIP1 1 S UDP h 1 h 2 3 3\nabcdefgh", b"CBSIP1 \n" * 3,
        b"CBSIP1 1 S UDP h 1 h 2 99999999 3\nabc\n", b"CBSIP1 1 S UDP h 1 h 2 -5 3\nabc\n", b"CBSIP1 " + b"x" * 500,
    ],
)  # fmt: skip
def test_rubbish_costs_the_rest_of_its_file_and_nothing_else(tmp_path: Path, rubbish: bytes) -> None:
    put(tmp_path, NOW - 1, line(NOW - 1) + rubbish)
    put(tmp_path, NOW, line(NOW))
    assert drain(TraceReader(tmp_path)) == [NOW - 1, NOW]


@given(st.binary(max_size=600))
def test_any_bytes_are_a_record_or_none_or_damaged(data: bytes) -> None:
    for start in (b"", b"CBSIP1 "):
        with contextlib.suppress(Damaged):
            record(start + data, 0)


def test_what_nobody_reads_is_trimmed_from_the_oldest_on(tmp_path: Path) -> None:
    for number in range(4):
        put(tmp_path, NOW + number, b"x" * 1000)
    assert trim(tmp_path, 2500) == 2
    assert [path.exists() for path in (path_of(tmp_path, NOW + number) for number in range(4))] == [
        False,
        False,
        True,
        True,
    ]
    assert trim(tmp_path, 0) == 1  # the newest is being written
    assert trim(tmp_path / "none", 0) == 0


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert TraceReader(tmp_path / "none").read(LATER) is None

"""PURE: the WAV files that the recorder leaves behind: how long they are, headers to repair, channels to join, silence
to cut off.

They are 16-bit PCM whose `data` chunk is the last one (pjmedia's writer makes no other). The lengths in the header are
only written when the file is closed, so a killed engine leaves zeros there: what counts is the size of the file.
"""

from __future__ import annotations

import hashlib
import operator
import struct
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

SAMPLE_BYTES = 2
SILENCE = 104
"""RMS of 16-bit samples below which a window of 20 ms is silence: -50 dB of full scale. Idle noise of a G.711 line is
20 dB below that, soft speech 10 dB above."""
MARGIN = 0.1
"""Seconds that are left of the silence on either side of the sound, so that soft beginnings are not cut."""
_WINDOWS_PER_SECOND = 50
_PCM = 1
_CHUNK = 1 << 16
_LARGEST = 0xFFFFFFFF


class WavError(ValueError):
    """The file is not a WAV of 16-bit PCM; the message names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a WAV file holds: `data_at` is the offset of the first sample, `data_bytes` what is really there."""

    channels: int
    rate: int
    data_at: int
    data_bytes: int
    declared_bytes: int

    @property
    def seconds(self) -> float:
        """Return how long it plays."""
        return self.data_bytes / (self.rate * self.channels * SAMPLE_BYTES)


def shape(path: Path) -> Shape:
    """Read the header of `path`; raise `WavError` if it is not 16-bit PCM, `OSError` if it cannot be read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        riff = file.read(12)
        if riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
            raise WavError(f"{path} is not a WAV file")
        channels = rate = 0
        while len(head := file.read(8)) == 8:
            name, length = head[:4], int.from_bytes(head[4:], "little")
            if name == b"data":
                if not channels:
                    break
                frame = channels * SAMPLE_BYTES
                held = (size - file.tell()) // frame * frame
                return Shape(channels, rate, file.tell(), held, length)
            if name == b"fmt ":
                channels, rate = _format(path, file.read(length))
            else:
                file.seek(length, 1)
            file.seek(length & 1, 1)
    raise WavError(f"{path} ends before its samples begin")


def _format(path: Path, body: bytes) -> tuple[int, int]:
    if len(body) < 16:
        raise WavError(f"{path} has a broken fmt chunk")
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
    if (tag, bits) != (_PCM, 8 * SAMPLE_BYTES) or not channels or not rate:
        raise WavError(f"{path} is not 16-bit PCM (format {tag}, {bits} bits, {channels} channels, {rate} Hz)")
    return channels, rate


def seconds(path: Path) -> float:
    """Return how long `path` plays, by the samples that are in the file; raise `WavError` or `OSError`."""
    return shape(path).seconds


def repair(path: Path) -> bool:
    """Make the lengths in the header of `path` agree with the file; say whether they had to be changed."""
    found = shape(path)
    true_size = found.data_at + found.data_bytes
    with path.open("r+b") as file:
        file.seek(4)
        riff_bytes = int.from_bytes(file.read(4), "little")
        right = (min(true_size - 8, _LARGEST), min(found.data_bytes, _LARGEST))
        if (riff_bytes, found.declared_bytes) == right and path.stat().st_size == true_size:
            return False
        file.seek(4)
        file.write(right[0].to_bytes(4, "little"))
        file.seek(found.data_at - 4)
        file.write(right[1].to_bytes(4, "little"))
        file.truncate(true_size)
    return True


def header(channels: int, rate: int, data_bytes: int) -> bytes:
    """Return the 44 bytes that go before `data_bytes` bytes of 16-bit samples."""
    frame = channels * SAMPLE_BYTES
    fmt = struct.pack("<HHIIHH", _PCM, channels, rate, rate * frame, frame, 8 * SAMPLE_BYTES)
    riff = struct.pack("<4sI4s", b"RIFF", min(36 + data_bytes, _LARGEST), b"WAVE")
    return riff + struct.pack("<4sI", b"fmt ", len(fmt)) + fmt + struct.pack("<4sI", b"data", min(data_bytes, _LARGEST))


def interleave(left: Path | None, right: Path | None, out: Path) -> None:
    """Write the mono files `left` and `right` to `out` as one stereo file, the shorter side padded with silence.

    `None` is a side that was never recorded: all silence. Raise `WavError` if a side is not mono, the rates differ,
    or there is no side at all.
    """
    sides = [shape(path) for path in (left, right) if path is not None]
    if not sides:
        raise WavError("there is no channel to join")
    if {side.channels for side in sides} != {1} or len({side.rate for side in sides}) > 1:
        raise WavError(f"{left} and {right} must be mono and of one sampling rate")
    data_bytes = 2 * max(side.data_bytes for side in sides)
    with out.open("wb") as file:
        file.write(header(2, sides[0].rate, data_bytes))
        for one, other in zip_longest(_blocks(left), _blocks(right), fillvalue=array("H")):
            joined = array("H", bytes(2 * SAMPLE_BYTES * max(len(one), len(other))))
            joined[0 : 2 * len(one) : 2] = one
            joined[1 : 1 + 2 * len(other) : 2] = other
            joined.tofile(file)


def _blocks(path: Path | None) -> Iterator[array[int]]:
    """Yield the samples of a mono file in blocks; their value is never looked at, so byte order does not matter."""
    if path is None:
        return
    found = shape(path)
    with path.open("rb") as file:
        file.seek(found.data_at)
        for at in range(0, found.data_bytes, _CHUNK):
            yield array("H", file.read(min(_CHUNK, found.data_bytes - at)))


def trim_silence(path: Path, out: Path) -> float:
    """Write `path` to `out` without the silence at both ends and return the seconds that are left.

    All silence leaves nothing: 0.0, and `out` is not written. The channels of a stereo file are cut together, where
    either of them has sound. What is silence: `SILENCE`, `MARGIN`. Raise `WavError` or `OSError`.
    """
    found = shape(path)
    frame = found.channels * SAMPLE_BYTES
    margin = int(MARGIN * found.rate) * frame
    with path.open("rb") as source:
        first = next(_loud(source, found, _stretches(found)), None)
        if first is None:
            return 0.0
        last = next(_loud(source, found, reversed(_stretches(found))))
        start, end = max(0, first[0] - margin), min(found.data_bytes, last[1] + margin)
        with out.open("wb") as file:
            file.write(header(found.channels, found.rate, end - start))
            source.seek(found.data_at + start)
            for at in range(start, end, _CHUNK):
                file.write(source.read(min(_CHUNK, end - at)))
    return (end - start) / (found.rate * frame)


Span = tuple[int, int]  # offsets in the data, end exclusive


def _window(found: Shape) -> int:
    return max(1, found.rate // _WINDOWS_PER_SECOND) * found.channels * SAMPLE_BYTES


def _stretches(found: Shape) -> list[Span]:
    """Return the data in stretches of whole windows."""
    step = max(1, _CHUNK // _window(found)) * _window(found)
    return [(at, min(at + step, found.data_bytes)) for at in range(0, found.data_bytes, step)]


def _loud(source: BinaryIO, found: Shape, stretches: Iterable[Span]) -> Iterator[Span]:
    """Yield the span of sound within each stretch that has any: from its first loud window to its last."""
    window = _window(found)
    for start, end in stretches:
        source.seek(found.data_at + start)
        samples = struct.unpack(f"<{(end - start) // SAMPLE_BYTES}h", source.read(end - start))
        if max(samples) < SILENCE and min(samples) > -SILENCE:
            continue  # no window of it can be loud: the shortcut that makes an hour of silence a matter of a second
        step = window // SAMPLE_BYTES
        loud = [at for at in range(0, len(samples), step) if _is_loud(samples[at : at + step], found.channels)]
        if loud:
            yield start + loud[0] * SAMPLE_BYTES, min(start + (loud[-1] + step) * SAMPLE_BYTES, end)


def _is_loud(window: tuple[int, ...], channels: int) -> bool:
    sides = (window[channel::channels] for channel in range(channels))
    return any(sum(map(operator.mul, side, side)) >= SILENCE * SILENCE * len(side) for side in sides if side)


def checksum(path: Path) -> str:
    """Return the SHA-256 of the file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

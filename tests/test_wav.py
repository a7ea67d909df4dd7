"""Recorded WAV files: length, repair after a kill, joining two channels into one file, cutting silence off."""

from __future__ import annotations

import hashlib
import math
import struct
import tracemalloc
import wave
from array import array
from pathlib import Path

import pytest

from calls import wav


def write(path: Path, samples: list[int], rate: int = 8000, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(array("h", samples).tobytes())
    return path


def read(path: Path) -> tuple[int, int, list[int]]:
    with wave.open(str(path), "rb") as file:
        return file.getnchannels(), file.getframerate(), list(array("h", file.readframes(file.getnframes())))


def killed(path: Path, samples: list[int], spare: bytes = b"") -> Path:
    """Write what a killed engine leaves: a header whose lengths are zero."""
    whole = bytearray(wav.header(1, 8000, 0) + array("h", samples).tobytes() + spare)
    whole[4:8] = b"\0\0\0\0"
    path.write_bytes(whole)
    return path


def test_the_length_is_that_of_the_samples(tmp_path: Path) -> None:
    assert wav.seconds(write(tmp_path / "a.wav", [0] * 4000)) == 0.5


def test_the_length_of_a_stereo_file_counts_frames(tmp_path: Path) -> None:
    assert wav.seconds(write(tmp_path / "a.wav", [0] * 16000, channels=2)) == 1.0


def test_the_length_does_not_believe_the_header_of_a_killed_recording(tmp_path: Path) -> None:
    assert wav.seconds(killed(tmp_path / "a.wav", [1] * 8000)) == 1.0


def test_repair_makes_a_killed_recording_readable(tmp_path: Path) -> None:
    path = killed(tmp_path / "a.wav", [1, 2, 3])
    assert wav.repair(path)
    assert read(path) == (1, 8000, [1, 2, 3])


def test_repair_drops_half_a_sample_at_the_end(tmp_path: Path) -> None:
    path = killed(tmp_path / "a.wav", [1, 2], spare=b"\7")
    assert wav.repair(path)
    assert read(path) == (1, 8000, [1, 2])
    assert path.stat().st_size == 48


def test_repair_leaves_a_good_file_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", [1, 2, 3])
    before = path.read_bytes()
    assert not wav.repair(path)
    assert path.read_bytes() == before


def test_repair_twice_changes_nothing_the_second_time(tmp_path: Path) -> None:
    path = killed(tmp_path / "a.wav", [5])
    assert (wav.repair(path), wav.repair(path)) == (True, False)


def test_chunks_before_the_samples_are_skipped(tmp_path: Path) -> None:
    body = wav.header(1, 8000, 4)
    extra = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    path = tmp_path / "a.wav"
    path.write_bytes(body[:36] + extra + body[36:] + b"\1\0\2\0")
    assert wav.shape(path).data_at == 44 + len(extra)
    assert wav.seconds(path) == 2 / 8000


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a WAV"),
        (b"ID3 and so on", "not a WAV"),
        (b"RIFF\0\0\0\0WAVE", "ends before"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "ends before"),
        (b"RIFF\0\0\0\0WAVEfmt \x04\0\0\0abcd", "broken fmt"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 7, 1, 8000, 8000, 1, 8), "not 16-bit PCM"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 1, 0, 8000, 0, 0, 16), "not 16-bit PCM"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 1, 1, 0, 0, 2, 16), "not 16-bit PCM"),
    ],
)
def test_a_file_that_is_no_recording_is_named(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "odd.wav"
    path.write_bytes(content)
    with pytest.raises(wav.WavError, match=complaint) as caught:
        wav.seconds(path)
    assert "odd.wav" in str(caught.value)


def test_interleave_puts_the_parent_left_and_the_child_right(tmp_path: Path) -> None:
    left, right = write(tmp_path / "l.wav", [1, 2, 3]), write(tmp_path / "r.wav", [-1, -2, -3])
    wav.interleave(left, right, tmp_path / "out.wav")
    assert read(tmp_path / "out.wav") == (2, 8000, [1, -1, 2, -2, 3, -3])


def test_interleave_pads_the_shorter_side_with_silence(tmp_path: Path) -> None:
    long, short = write(tmp_path / "l.wav", [1, 2, 3]), write(tmp_path / "r.wav", [9])
    wav.interleave(long, short, tmp_path / "a.wav")
    wav.interleave(short, long, tmp_path / "b.wav")
    assert read(tmp_path / "a.wav")[2] == [1, 9, 2, 0, 3, 0]
    assert read(tmp_path / "b.wav")[2] == [9, 1, 0, 2, 0, 3]


def test_interleave_pads_across_blocks(tmp_path: Path) -> None:
    left, right = write(tmp_path / "l.wav", [7] * 100_000), write(tmp_path / "r.wav", [8] * 40_000)
    wav.interleave(left, right, tmp_path / "out.wav")
    samples = read(tmp_path / "out.wav")[2]
    assert samples[0::2] == [7] * 100_000
    assert samples[1::2] == [8] * 40_000 + [0] * 60_000


def test_interleave_reads_the_files_of_a_killed_engine(tmp_path: Path) -> None:
    left, right = killed(tmp_path / "l.wav", [1, 2]), killed(tmp_path / "r.wav", [3])
    wav.interleave(left, right, tmp_path / "out.wav")
    assert read(tmp_path / "out.wav") == (2, 8000, [1, 3, 2, 0])


def test_a_side_that_was_never_recorded_is_silence(tmp_path: Path) -> None:
    wav.interleave(None, write(tmp_path / "r.wav", [4, 5]), tmp_path / "out.wav")
    assert read(tmp_path / "out.wav")[2] == [0, 4, 0, 5]


def test_interleave_refuses_two_rates(tmp_path: Path) -> None:
    left, right = write(tmp_path / "l.wav", [1]), write(tmp_path / "r.wav", [1], rate=16000)
    with pytest.raises(wav.WavError, match="one sampling rate"):
        wav.interleave(left, right, tmp_path / "out.wav")


def test_interleave_refuses_stereo_input(tmp_path: Path) -> None:
    left, right = write(tmp_path / "l.wav", [1, 1], channels=2), write(tmp_path / "r.wav", [1])
    with pytest.raises(wav.WavError, match="must be mono"):
        wav.interleave(left, right, tmp_path / "out.wav")


def test_interleave_refuses_to_join_nothing(tmp_path: Path) -> None:
    with pytest.raises(wav.WavError, match="no channel"):
        wav.interleave(None, None, tmp_path / "out.wav")


def test_the_checksum_is_sha256(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", [1, 2, 3])
    assert wav.checksum(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def tone(seconds: float, level: int = 8000) -> list[int]:
    """Return a sine of 440 Hz at 8 kHz."""
    return [round(level * math.sin(2 * math.pi * 440 * at / 8000)) for at in range(round(8000 * seconds))]


def quiet(seconds: float, level: int = 0) -> list[int]:
    """Return the idle noise of a line: every other sample is `level`, its neighbour minus that."""
    return [level, -level] * round(4000 * seconds)


def stereo(left: list[int], right: list[int]) -> list[int]:
    return [sample for frame in zip(left, right, strict=True) for sample in frame]


MARGIN = round(wav.MARGIN * 8000)


class TestTrimSilence:
    """`trim="trim-silence"`: leading and trailing silence is removed (Twilio: <Dial trim>, <Record trim>)."""

    def test_silence_at_both_ends_is_cut_but_for_a_tenth_of_a_second(self, tmp_path: Path) -> None:
        source = write(tmp_path / "a.wav", quiet(2) + tone(1) + quiet(3))
        assert wav.trim_silence(source, tmp_path / "b.wav") == 1 + 2 * wav.MARGIN
        assert read(tmp_path / "b.wav") == (1, 8000, quiet(wav.MARGIN) + tone(1) + quiet(wav.MARGIN))

    def test_silence_between_words_stays(self, tmp_path: Path) -> None:
        source = write(tmp_path / "a.wav", quiet(1) + tone(0.1) + quiet(5) + tone(0.1) + quiet(1))
        assert wav.trim_silence(source, tmp_path / "b.wav") == pytest.approx(5.2 + 2 * wav.MARGIN)

    def test_a_file_without_silence_stays_as_it_is(self, tmp_path: Path) -> None:
        source = write(tmp_path / "a.wav", tone(0.5))
        assert wav.trim_silence(source, tmp_path / "b.wav") == 0.5
        assert (tmp_path / "b.wav").read_bytes() == source.read_bytes()

    def test_the_idle_noise_of_a_line_is_silence(self, tmp_path: Path) -> None:
        source = write(tmp_path / "a.wav", quiet(1, level=wav.SILENCE - 1) + tone(1) + quiet(1, level=8))
        assert wav.trim_silence(source, tmp_path / "b.wav") == pytest.approx(1 + 2 * wav.MARGIN)

    def test_soft_speech_is_no_silence(self, tmp_path: Path) -> None:
        source = write(tmp_path / "a.wav", tone(1, level=300) + quiet(1))
        assert wav.trim_silence(source, tmp_path / "b.wav") == pytest.approx(1 + wav.MARGIN)

    def test_a_crackle_of_one_sample_is_silence(self, tmp_path: Path) -> None:
        crackle = [0] * 8000
        crackle[4000] = 1200
        source = write(tmp_path / "a.wav", crackle + tone(1))
        assert wav.trim_silence(source, tmp_path / "b.wav") == pytest.approx(1 + wav.MARGIN)

    @pytest.mark.parametrize("samples", [quiet(3), quiet(3, level=20), [1200, *quiet(1)], []])
    def test_all_silence_leaves_nothing(self, tmp_path: Path, samples: list[int]) -> None:
        assert wav.trim_silence(write(tmp_path / "a.wav", samples), tmp_path / "b.wav") == 0.0
        assert not (tmp_path / "b.wav").exists()

    @pytest.mark.parametrize("first", ["left", "right"])
    def test_both_channels_of_a_stereo_file_are_cut_where_either_has_sound(self, tmp_path: Path, first: str) -> None:
        one = quiet(1) + tone(1, level=200) + quiet(3)
        other = quiet(3) + tone(1, level=200) + quiet(1)
        pair = (one, other) if first == "left" else (other, one)
        source = write(tmp_path / "a.wav", stereo(*pair), channels=2)
        assert wav.trim_silence(source, tmp_path / "b.wav") == pytest.approx(3 + 2 * wav.MARGIN)
        channels, _, found = read(tmp_path / "b.wav")
        cut = slice(8000 - MARGIN, 32000 + MARGIN)
        assert (channels, found[0::2], found[1::2]) == (2, pair[0][cut], pair[1][cut])

    def test_the_file_of_a_killed_engine_is_cut_too(self, tmp_path: Path) -> None:
        source = killed(tmp_path / "a.wav", quiet(1) + tone(1))
        assert wav.trim_silence(source, tmp_path / "b.wav") == pytest.approx(1 + wav.MARGIN)

    def test_an_hour_is_cut_without_being_held_in_memory(self, tmp_path: Path) -> None:
        source = tmp_path / "a.wav"
        with source.open("wb") as file:
            file.write(wav.header(2, 8000, 3600 * 32000))
            file.seek(1800 * 32000, 1)
            file.write(array("h", stereo(tone(1), quiet(1))).tobytes())
            file.truncate(44 + 3600 * 32000)
        tracemalloc.start()
        assert wav.trim_silence(source, tmp_path / "b.wav") == pytest.approx(1 + 2 * wav.MARGIN)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2_000_000

    def test_what_is_no_wav_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").write_bytes(b"rubbish rubbish")
        with pytest.raises(wav.WavError, match="not a WAV"):
            wav.trim_silence(tmp_path / "a.wav", tmp_path / "b.wav")

"""Audio files and samples to what a call plays: WAV, 16 bit, mono, 8 kHz. Blocking; run it in a thread.

Decoding goes block by block, so that a small file that unpacks to hours of sound costs no more than the limit.
"""

from __future__ import annotations

import io
import wave

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

RATE = 8000
MAX_SECONDS = 3600
MAX_CHANNELS = 8
_MIN_SAMPLES = RATE // 10  # players refuse a file that is shorter than one packet
_BLOCK = 65_536
_CONTAINERS = (b"RIFF", b"RF64", b".snd", b"fLaC", b"OggS", b"FORM", b"caff", b"ID3")
_SPEECH_LEVEL = 0.1  # RMS; -20 dB of full scale, with room for peaks
_PEAK = 0.9

Samples = NDArray[np.float32]


class AudioError(ValueError):
    """The bytes hold no audio that can be played."""


def decode(content: bytes, headerless_mulaw: bool = False) -> bytes:
    """Return an audio file (WAV, MP3, FLAC, OGG, AU, …) as a WAV file for calls; raise `AudioError`.

    `headerless_mulaw` says that bytes without a header are 8 kHz µ-law, the `audio/basic` of RFC 2046.
    """
    file = io.BytesIO(content)
    try:
        if headerless_mulaw and not content.startswith(_CONTAINERS):
            return _decoded(soundfile.SoundFile(file, samplerate=RATE, channels=1, format="RAW", subtype="ULAW"))
        return _decoded(soundfile.SoundFile(file))
    except soundfile.LibsndfileError as error:
        raise AudioError(f"not an audio file that can be read: {error.error_string}") from None


def _decoded(source: soundfile.SoundFile) -> bytes:
    with source:
        if source.channels > MAX_CHANNELS or not 2000 <= source.samplerate <= 384_000:
            raise AudioError(f"{source.channels} channels at {source.samplerate} Hz cannot be played")
        limit = MAX_SECONDS * source.samplerate
        stream = soxr.ResampleStream(source.samplerate, RATE, 1, dtype="float32")
        parts: list[NDArray[np.int16]] = []
        taken = 0
        # Until there is no more: the length in a header may be a lie.
        while len(block := source.read(_BLOCK, dtype="float32", always_2d=True)):
            taken += len(block)
            if taken > limit:
                raise AudioError(f"longer than {MAX_SECONDS // 60} minutes")
            parts.append(_pcm(stream.resample_chunk(block.mean(axis=1))))
        if not taken:
            raise AudioError("there is no sound in the file")
        parts.append(_pcm(stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)))
    return _wav(np.concatenate(parts))


def speech(samples: NDArray[np.int16], rate: int) -> bytes:
    """Return synthesised speech as a WAV file for calls, at a level that does not depend on the voice."""
    resampled: Samples = soxr.resample(samples.astype(np.float32) / 32768, rate, RATE)
    loud = float(np.sqrt(np.mean(np.square(resampled)))) if len(resampled) else 0.0
    if loud > 0:
        resampled = resampled * min(_SPEECH_LEVEL / loud, _PEAK / float(np.abs(resampled).max()))
    return _wav(_pcm(resampled))


def recorded(samples: Samples) -> bytes:
    """Return samples at `RATE` as a WAV file for calls."""
    return _wav(_pcm(samples))


def _pcm(samples: Samples) -> NDArray[np.int16]:
    # Decoders of floating-point files may yield infinities and worse.
    finite = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    return np.asarray(np.rint(np.clip(finite, -1.0, 1.0) * 32767), dtype="<i2")


def _wav(samples: NDArray[np.int16]) -> bytes:
    padded = np.pad(samples, (0, max(0, _MIN_SAMPLES - len(samples))))
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(padded.tobytes())
    return out.getvalue()

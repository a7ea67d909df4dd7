"""ADAPTER: espeak-ng through ctypes, the voice of `<Say>`: text in, samples out.

The library is one per process and not thread-safe, so everything that calls it runs in one thread of its own.
Source: espeak-ng's `speak_lib.h`.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS
_DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: without it, missing data ends the process
_UTF8 = 1  # espeakCHARS_UTF8; neither SSML nor phonemes: the text is spoken as it stands
_RATE, _WORDS_PER_MINUTE = 1, 155  # espeakRATE; a little slower than espeak's 175, for the telephone band

thread = ThreadPoolExecutor(1, "espeak")


class EspeakError(RuntimeError):
    """espeak-ng could not be loaded, or would not speak."""


@functools.cache
def languages() -> Mapping[str, str]:
    """Return the languages that espeak-ng speaks: code in lower case → name of the voice.

    A voice file names its languages; where several name the same one, the voice that is called like it comes first.
    Voices whose dictionary is not in the package would be silent, and are left out.
    """
    found: dict[str, str] = {}
    named: dict[str, str] = {}
    for path in sorted(path for path in (_data_path() / "lang").rglob("*") if path.is_file()):
        lines = [line.split() for line in path.read_text(errors="replace").splitlines()]
        dictionary = next((words[1] for words in lines if words[:1] == ["dictionary"]), path.name.partition("-")[0])
        if not (_data_path() / f"{dictionary}_dict").exists():
            continue
        named[path.name.lower()] = path.name
        for words in lines:
            if words[:1] == ["language"]:
                found.setdefault(words[1].lower(), path.name)
    return found | named


def speak(text: str, voice: str) -> tuple[NDArray[np.int16], int]:
    """Return mono samples of the spoken text and their rate in Hz; call it in `thread` only."""
    library, rate = _library()
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise EspeakError(f"espeak-ng has no voice {voice}")
    library.espeak_SetParameter(_RATE, _WORDS_PER_MINUTE, 0)
    _chunks.clear()
    encoded = text.encode()
    status = library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, _UTF8, None, None)
    if status != 0:
        raise EspeakError(f"espeak-ng could not speak the text (status {status})")
    samples = np.frombuffer(b"".join(_chunks), dtype=np.int16)
    _chunks.clear()
    return samples, rate


_chunks: list[bytes] = []


def _collect(samples: int | None, count: int, _events: int | None) -> int:
    """Take the next samples from espeak-ng; 0 means go on."""
    if samples and count > 0:
        _chunks.append(ctypes.string_at(samples, count * 2))
    return 0


# Kept here because the library only borrows it.
_callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(_collect)


@functools.cache
def _library() -> tuple[Any, int]:
    """Load and initialise espeak-ng once; return it and its sample rate."""
    try:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
    except OSError as error:
        raise EspeakError(f"espeak-ng could not be loaded: {error}") from error
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    rate: int = library.espeak_Initialize(_SYNCHRONOUS, 500, str(_data_path()).encode(), _DONT_EXIT)
    if rate <= 0:
        raise EspeakError(f"espeak-ng found no data in {_data_path()}")
    library.espeak_SetSynthCallback(_callback)
    return library, rate


def _data_path() -> Path:
    return Path(espeakng_loader.get_data_path())

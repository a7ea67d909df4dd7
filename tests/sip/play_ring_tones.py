"""Child process of test_ring_tones: has the engine's mixer play every ring tone at once, each into a WAV file."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pjsua2 as pj

from sipengine.pjsip_audio import Mixer
from sipengine.pjsip_config import endpoint_settings
from sipengine.tones import RING_TONES

LONGEST_SECONDS = 60.0


def main(folder: Path, seconds: float) -> None:
    """Record so many seconds of each tone to `<country>.wav`; raise `TimeoutError` if they do not come."""
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    endpoint.libInit(endpoint_settings(0, None))
    endpoint.audDevManager().setNullDev()
    endpoint.libStart()
    legs: dict[int, Any] = {}
    paths = [folder / f"{country}.wav" for country in RING_TONES]
    mixer = Mixer(lambda event: None, legs.get, legs.__contains__, lambda dead: None)
    for number, (path, cadence) in enumerate(zip(paths, RING_TONES.values(), strict=True)):
        legs[number] = pj.AudioMediaRecorder()
        legs[number].createRecorder(str(path))
        mixer.tone(number, number, cadence)
    wanted, deadline = seconds * 16_000, time.monotonic() + LONGEST_SECONDS
    while min(path.stat().st_size for path in paths) < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{min(path.stat().st_size for path in paths)} bytes of {wanted:.0f}")
        endpoint.libHandleEvents(50)
    mixer.close()
    legs.clear()
    endpoint.libDestroy()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))

"""`python -m bench.sut start|stop [VOICE_URL]`: a Cordboard for the peer bench, left running in the background.

The peer bench (docs/bench.md) starts and stops what it measures by a command, finds it by the ids in a file, and has
its phones on fixed ports. `$PEERS` is its folder, `~/.cache/sip-peers` unless set.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from bench.procs import CannotMeasure, alive, descendants
from bench.stack import Ports, Stack

PORTS = Ports(
    sip=5060, web=5080, phones={"answer": 7001, "reject": 7002, "ring": 7003}, callbacks=7004, rtp_first=10_000
)
STOP_SECONDS = 20.0


def folder() -> Path:
    """Return where everything of ours is kept."""
    return Path(os.environ.get("PEERS") or Path.home() / ".cache" / "sip-peers") / "cordboard"


def start(voice_url: str) -> None:
    """Start it and write the ids of what is to be measured: all of it, or with a TwiML server elsewhere the engine.

    Children of these are found by the peer bench itself: the journal writer is one of the engine.
    """
    stop()
    folder().mkdir(parents=True)
    stack = Stack(folder(), PORTS, voice_url, tied=False)
    try:
        stack.start()
    except CannotMeasure:
        stack.stop()
        raise
    measured = [stack.engine] if voice_url else [pid for part in stack.pids.values() for pid in part]
    (folder() / "measured").write_text(" ".join(map(str, measured)))
    (folder() / "runner").write_text(str(stack.pids["runner"][0]))


def stop() -> None:
    """End what `start` has started, and remove its data."""
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        runner = int((folder() / "runner").read_text())
        family = [runner, *descendants(runner)]
        os.kill(runner, signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while any(map(alive, family)) and time.monotonic() < deadline:
            time.sleep(0.1)
    shutil.rmtree(folder(), ignore_errors=True)


def main() -> int:
    """Obey the command line."""
    match sys.argv[1:]:
        case ["start"]:
            start("")
        case ["start", voice_url]:
            start(voice_url)
        case ["stop"]:
            stop()
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotMeasure as error:
        sys.exit(f"bench.sut: {error}")

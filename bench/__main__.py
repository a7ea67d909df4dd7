"""`./cordboard bench`: measures this Cordboard with SIPp on the loopback interface and prints the figures as a table.

No figure makes it fail: it ends with 1 only if something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import api, measures
from bench.load import Load
from bench.procs import CannotMeasure
from bench.report import Figure, as_json, head, machine, table
from bench.stack import Ports, Stack

# The order counts: memory and overload take the highest rate that `rate` found.
MEASUREMENTS: dict[str, Callable[[measures.Bench], list[Figure]]] = {
    "cpu": measures.cpu,
    "callbacks": measures.callbacks,
    "latency": measures.latency,
    "media": measures.media,
    "rate": measures.rate,
    "memory": measures.memory,
    "overload": measures.overload,
}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="./cordboard bench", description="Measure what this machine carries.")
    parser.add_argument("what", nargs="?", choices=["calls", "api"], default="calls", help="calls, or the two APIs")
    parser.add_argument("--quick", action="store_true", help="about two minutes instead of ten; rougher figures")
    parser.add_argument(
        "--only", metavar="LIST", default="",
        help=f"a comma list of: {', '.join(MEASUREMENTS)}; for the APIs of: {', '.join(api.PARTS)}",
    )  # fmt: skip
    parser.add_argument(
        "--rate", type=float, default=0.0, help="highest rate for overload, where `rate` is not measured"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file too")
    found = parser.parse_args()
    choices = api.PARTS if found.what == "api" else MEASUREMENTS
    unknown = set(filter(None, found.only.split(","))) - set(choices)
    if unknown:
        parser.error(f"--only {','.join(sorted(unknown))}: choose from {', '.join(choices)}")
    return found


def measure(options: argparse.Namespace, folder: Path) -> tuple[list[Figure], bool]:
    """Start everything, measure, end everything; return the figures, and whether all could be measured."""
    wanted = [name for name in MEASUREMENTS if not options.only or name in options.only.split(",")]
    figures: list[Figure] = []
    complete = True
    stack = Stack(folder, Ports.free())
    load = None
    try:
        say("starting a Cordboard of its own ...")
        stack.start()
        load = Load(stack)
        bench = measures.Bench(stack, load, options.quick, say, options.rate)
        bench.warm_up()
        for name in wanted:
            say(f"{name} ...")
            try:
                figures += MEASUREMENTS[name](bench)
            except CannotMeasure as error:
                say(f"  NOT MEASURED: {error}")
                figures.append(Figure(name, f"not measured: {error}"))
                complete = False
            if not stack.alive():
                raise CannotMeasure(f"the stack has ended:\n{stack.log_path.read_text()[-1500:]}")
    finally:
        # Nothing may be left behind, so nothing interrupts this.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if load is not None:
            load.close()
        stack.stop()
    return figures, complete


def say(text: str) -> None:
    """Tell on stderr how far it has come."""
    print(text, file=sys.stderr, flush=True)


def interrupted(number: int, frame: object) -> None:
    """Turn a signal into the exception that ends everything in order."""
    raise KeyboardInterrupt


def main() -> int:
    """Measure and print."""
    options = arguments()
    signal.signal(signal.SIGTERM, interrupted)
    facts, began = machine(), time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="cordboard-bench-", ignore_cleanup_errors=True) as folder:
            if options.what == "api":
                figures, complete = api.measure(options.quick, Path(folder), say, options.only), True
            else:
                figures, complete = measure(options, Path(folder))
    except CannotMeasure as error:
        say(f"cordboard bench: {error}")
        return 1
    except KeyboardInterrupt:
        say("cordboard bench: stopped; nothing is left running")
        return 130
    facts["took"] = f"{time.monotonic() - began:.0f} s{', --quick' if options.quick else ''}"
    print(f"\n{head(facts)}\n\n{table(figures)}")
    if options.json:
        options.json.write_text(json.dumps(as_json(facts, figures, options.quick), indent=1, ensure_ascii=False) + "\n")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())

"""The measurements. Each takes a running stack with its load and returns the lines that it adds to the table."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench import capture
from bench.load import ONE, RECORDED, REFUSABLE, TELLING_ONE, TELLING_TEN, TEN, Load, Outcome, Scenario
from bench.procs import CannotMeasure, busy_seconds, cpu_seconds, resident_mb
from bench.report import Figure
from bench.stack import PARTS, Stack

FRAMES_A_SECOND = 50
IDLE_SECONDS = 2.0


@dataclass(slots=True)
class Spent:
    """What a stretch of time cost: CPU seconds by part of the stack, of the load, and of everything else."""

    wall: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    load: float = 0.0
    others: float = 0.0

    @property
    def other_percent(self) -> float:
        """What everything else took, in % of one core."""
        return max(0.0, 100 * self.others / max(self.wall, 0.001))


@dataclass(slots=True)
class Bench:
    """The stack, its load, how thorough to be, and what is said while it goes on."""

    stack: Stack
    load: Load
    quick: bool
    say: Callable[[str], None]
    best_rate: float = 0.0  # 0 until measured

    @contextmanager
    def spending(self) -> Iterator[Spent]:
        """Measure the CPU time of what happens inside."""
        spent = Spent()
        parts, load, busy, began = self.stack.cpu(), self._load_cpu(), busy_seconds(), time.monotonic()
        yield spent
        spent.wall = time.monotonic() - began
        spent.parts = {name: value - parts[name] for name, value in self.stack.cpu().items()}
        spent.load = self._load_cpu() - load
        spent.others = busy_seconds() - busy - sum(spent.parts.values()) - spent.load

    def _load_cpu(self) -> float:
        return self.load.cpu() + cpu_seconds([os.getpid()])

    def calls(self, scenario: Scenario, rate: float, seconds: float) -> tuple[Outcome, Spent]:
        """Make calls and wait until the log has them all; the cost is that of both."""
        with self.spending() as spent:
            outcome = self.load.run(scenario, rate, seconds)
            self.stack.settle(30)
        return outcome, spent

    def warm_up(self) -> None:
        """Have everything imported and connected."""
        self.load.audio(echo=False)
        outcome, _ = self.calls(ONE, 5, 2)
        if outcome.failed:
            raise CannotMeasure(f"{outcome.failed} of {outcome.asked} calls at 5/s failed: {outcome.errors}")


# --- CPU a call ---------------------------------------------------------------------------------------------------


def cpu(bench: Bench) -> list[Figure]:
    """CPU time a call, each process counted for itself, from the first INVITE to the last row of the call log."""
    seconds = 5 if bench.quick else 15
    figures = []
    for name, scenario, limit in (("one endpoint", ONE, 6.0), ("ten in parallel", TEN, 12.0)):
        for rate in (20, 40):
            outcome, spent = bench.calls(scenario, rate, seconds)
            good = max(outcome.callers.good, 1)
            each = {part: 1000 * spent.parts[part] / good for part in PARTS}
            rest = ", ".join(f"{part} {each[part]:.1f}" for part in PARTS[1:])
            figures.append(
                Figure(
                    f"engine CPU a call, {name}, {rate}/s",
                    f"{each['engine']:.1f} ms  ({rest}){_failures(outcome.failed)}",
                    f"≤ {limit:g} ms",
                    each["engine"] <= limit,
                    spent.other_percent,
                    {"ms": each, "calls": outcome.asked, "failed": outcome.failed, "rate": rate, "load_s": spent.load},
                )
            )
            bench.say(f"  {name} at {rate}/s: {figures[-1].seen}")
    return figures


# --- callbacks ----------------------------------------------------------------------------------------------------


def callbacks(bench: Bench) -> list[Figure]:
    """What status callbacks of all four events of every leg cost the main job: pairs of runs without and with them."""
    seconds, pairs = (4, 2) if bench.quick else (10, 3)
    figures = []
    with bench.load.receiver() as counts:
        for name, plain, telling, legs in (
            ("one endpoint", ONE, TELLING_ONE, 1),
            ("ten in parallel", TEN, TELLING_TEN, 10),
        ):
            costs: dict[bool, list[dict[str, float]]] = {False: [], True: []}
            failed, noise, calls = 0, 0.0, 0
            for _ in range(pairs):
                for told, scenario in ((False, plain), (True, telling)):
                    outcome, spent = bench.calls(scenario, 20, seconds)
                    time.sleep(1)  # the last callbacks
                    failed, noise = failed + outcome.failed, max(noise, spent.other_percent)
                    calls += outcome.callers.good if told else 0
                    good = max(outcome.callers.good, 1)
                    costs[told].append({part: 1000 * spent.parts[part] / good for part in PARTS})
            before, after = (
                {part: statistics.median(one[part] for one in costs[told]) for part in PARTS} for told in (False, True)
            )
            more = 100 * (after["engine"] / before["engine"] - 1)
            seen = counts()
            whole = seen.get("completed", 0) + seen.get("canceled", 0)
            rest = ", ".join(f"{part} {before[part]:.1f} → {after[part]:.1f}" for part in PARTS[1:5])
            figures += [
                Figure(
                    f"callbacks on, {name}, 20/s: engine CPU a call",
                    f"{before['engine']:.1f} → {after['engine']:.1f} ms, {more:+.0f} %  ({rest}){_failures(failed)}",
                    "+ 10 %",
                    more <= 10,
                    noise,
                    {"before": before, "after": after, "counts": seen},
                ),
                Figure(
                    f"callbacks on, {name}: ends told / legs / twice",
                    f"{whole} / {calls * legs} / {seen.get('twice', 0)}",
                    "each once",
                    whole == calls * legs and not seen.get("twice"),
                    noise,
                ),
            ]
            bench.say(f"  {name}: {figures[-2].seen}; {figures[-1].seen}")
    return figures


# --- rate ---------------------------------------------------------------------------------------------------------


def rate(bench: Bench) -> list[Figure]:
    """The highest rate at which no call fails: raised by a fifth until one does."""
    seconds = 5 if bench.quick else 10
    best, worst, bound, now = Outcome(0, 0), "", Spent(), 40.0
    noise = 0.0
    while now <= 400:
        outcome, spent = bench.calls(ONE, now, seconds)
        noise = max(noise, spent.other_percent)
        clean = not outcome.failed and outcome.reached >= 0.95 * now
        bench.say(f"  {now:g}/s: {outcome.failed} of {outcome.asked} failed, {outcome.reached:.0f}/s reached")
        if not clean:
            worst = f"at {now:g}/s {outcome.failed} of {outcome.asked} failed"
            break
        best, bound = outcome, spent
        now = float(round(now * (1.4 if bench.quick else 1.2)))
    _recover(bench)
    bench.best_rate = best.rate
    busiest = {part: round(100 * bound.parts.get(part, 0) / max(bound.wall, 0.1)) for part in PARTS}
    return [
        Figure(
            "highest rate without a failure",
            f"{best.rate:g} calls/s  ({worst})",
            "≥ 80 calls/s",
            best.rate >= 80,
            noise,
            {"rate": best.rate, "next": worst, "percent_of_a_core": busiest},
        )
    ]


def _recover(bench: Bench) -> None:
    bench.stack.settle(60)
    time.sleep(2)


# --- latency ------------------------------------------------------------------------------------------------------


def latency(bench: Bench) -> list[Figure]:
    """Delays at 20 calls/s, by the kernel's time stamps of the packets."""
    figures = []
    for name, scenario in (("", ONE), (", ten in parallel", TEN)):
        ports = bench.stack.ports
        with capture.Capture([ports.sip]) as packets, bench.spending() as spent:
            bench.load.run(scenario, 20, 10 if bench.quick else 20)
        seen = capture.calls(packets.packets, bench.load.caller_port, ports.sip, list(ports.phones.values()))
        first = capture.delays(seen, capture.first_invite)
        relay = capture.delays(seen, capture.relay)
        last = capture.delays(seen, capture.last_invite)
        if first is None or relay is None or last is None:
            raise CannotMeasure("no call was seen on the loopback interface")
        limited, other = scenario is ONE, spent.other_percent
        raw = {"p50": first.p50, "p99": first.p99, "max": first.longest, "calls": first.count}
        figures += [
            Figure(f"INVITE in → first INVITE out{name}, median", f"{first.p50:.1f} ms", "≤ 20 ms" if limited else "",
                   first.p50 <= 20 if limited else None, other, raw),
            Figure(f"INVITE in → first INVITE out{name}, p99", f"{first.p99:.1f} ms", "≤ 50 ms" if limited else "",
                   first.p99 <= 50 if limited else None, other, raw),
            Figure(f"phone's 200 → caller's 200{name}, median", str(relay), "≤ 2 ms" if limited else "",
                   relay.p50 <= 2 if limited else None, other, {"p50": relay.p50, "p99": relay.p99}),
        ]  # fmt: skip
        if not limited:
            figures.append(Figure(f"INVITE in → last INVITE out{name}", str(last), other=other))
        bench.say(f"  {scenario.number}: first INVITE {first}, 200 relay {relay}")
    return figures


# --- media --------------------------------------------------------------------------------------------------------


def media(bench: Bench) -> list[Figure]:
    """200 recorded conversations at once, with audio both ways."""
    count, per_second, window = 200, 25.0, 6 if bench.quick else 15
    hold = count / per_second + 4 + window + 2
    bench.load.audio(echo=True)
    outcome = Outcome(count, per_second)
    with bench.load.phones(RECORDED) as phones:
        began = time.monotonic()
        callers = bench.load.callers(RECORDED, per_second, count, int(1000 * hold))
        added = position = 0
        while time.monotonic() < began + count / per_second + 3 and callers.process.poll() is None:
            time.sleep(0.05)
            lines, position = _new_lines(callers.log, position)
            for line in lines:
                if line.startswith("PORT "):
                    bench.load.tell_audio(f"add {line.split()[1]}")
                    added += 1
        bench.load.tell_audio("mark")
        with bench.spending() as spent:
            time.sleep(window)
        heard = bench.load.ask_audio()
        bench.load.finish(callers, outcome, began, hold + 40, 1000 * hold)
        bench.load.hear_phones(phones, outcome)
    bench.load.audio(echo=False)
    bench.stack.settle(60)
    return _media_figures(bench, outcome, spent, heard, added)


def _new_lines(path: os.PathLike[str], position: int) -> tuple[list[str], int]:
    try:
        with open(path) as file:
            file.seek(position)
            text = file.read()
    except FileNotFoundError:
        return [], position
    whole = text[: text.rfind("\n") + 1]
    return whole.splitlines(), position + len(whole)


def _media_figures(bench: Bench, outcome: Outcome, spent: Spent, heard: dict[str, object], added: int) -> list[Figure]:
    counts = [side for name in ("caller", "phone") if isinstance(side := heard[name], dict)]
    packets, missing, lost = (
        sum(int(side[key]) for side in counts) for key in ("packets", "missing_packets", "lost_frames")
    )
    due = max(2 * added * FRAMES_A_SECOND * spent.wall, 1.0)
    percent = 100 * spent.parts["engine"] / spent.wall
    packet_loss = 100 * missing / max(packets + missing, 1)
    frame_loss = 100 * lost / max(packets + lost, 1)
    name, other = f"{added} recorded calls with audio", spent.other_percent
    rest = ", ".join(f"{part} {100 * spent.parts[part] / spent.wall:.0f}" for part in PARTS[1:])
    cost = f"{percent:.0f} % of a core  ({rest}){_failures(outcome.failed)}"
    raw = {"heard": heard, "due": round(due), "failed": outcome.failed, "percent": percent, "errors": outcome.errors}
    arrived = f"{packet_loss:.3f} %  ({missing} of {packets}; {100 * packets / due:.1f} % of what was due came)"
    audio = f"{frame_loss:.3f} %  ({lost} frames of 20 ms)"
    bench.say(f"  {cost}, packets lost {arrived}, audio {audio}")
    return [
        Figure(f"{name}: engine CPU", cost, "≤ 60 %", percent <= 60, other, raw),
        Figure(f"{name}: packets lost", arrived, "< 0.1 %", packet_loss < 0.1, other),
        Figure(f"{name}: audio lost end to end", audio, "< 0.1 %", frame_loss < 0.1, other),
    ]


def _failures(count: int) -> str:
    return f"  {count} FAILED" if count else ""


# --- memory -------------------------------------------------------------------------------------------------------


def memory(bench: Bench) -> list[Figure]:
    """The engine's resident memory half-way and at the end of many calls."""
    half, per_second = (600, 60.0) if bench.quick else (5000, 60.0)
    if bench.best_rate:
        per_second = min(per_second, 0.8 * bench.best_rate)
    sizes = []
    failed, noise = 0, 0.0
    for _ in range(2):
        outcome, spent = bench.calls(ONE, per_second, half / per_second)
        failed += outcome.failed
        noise = max(noise, spent.other_percent)
        sizes.append(resident_mb(bench.stack.engine))
        bench.say(f"  {sizes[-1]:.1f} MB after {half * len(sizes)} calls, {failed} failed")
    change = 100 * (sizes[1] / sizes[0] - 1)
    short = "  (10,000 calls without --quick)" if bench.quick else ""
    return [
        Figure(
            f"engine memory, call {half:,} → {2 * half:,} at {per_second:g}/s",
            f"{sizes[0]:.0f} → {sizes[1]:.0f} MB, {change:+.1f} %{_failures(failed)}{short}",
            "± 5 %",
            abs(change) <= 5,
            noise,
            {"mb": sizes, "failed": failed},
        )
    ]


# --- overload -----------------------------------------------------------------------------------------------------


def overload(bench: Bench) -> list[Figure]:
    """Ten seconds at twice the highest rate while calls are in progress; five seconds later, forty calls a second."""
    top = 2 * (bench.best_rate or 80.0)
    seconds, there = 10, 20
    ports = bench.stack.ports
    with (
        capture.Capture([bench.load.caller_port]) as packets,
        bench.spending() as spent,
        bench.load.phones(REFUSABLE) as phones,
    ):
        began = time.monotonic()
        kept, flood = Outcome(there, 10), Outcome(int(top * seconds), top)
        hold = 1000 * (seconds + 9)
        long = bench.load.callers(ONE, 10, there, hold, port=bench.load.other_caller_port)
        time.sleep(there / 10 + 1)
        callers = bench.load.callers(REFUSABLE, top, flood.asked, 1000)
        bench.load.finish(callers, flood, time.monotonic(), seconds + 45, 1000)
        ended = time.monotonic()
        bench.load.finish(long, kept, began, hold / 1000 + 40, hold)
        bench.load.hear_phones(phones, flood)
    time.sleep(max(0.0, ended + 5 - time.monotonic()))
    after, spent_after = bench.calls(ONE, 40, 10)
    seen = capture.calls(packets.packets, bench.load.caller_port, ports.sip, [])
    noise = max(spent.other_percent, spent_after.other_percent)
    name = f"overload, {top:g}/s for {seconds} s"
    return [*_flood_figures(bench, name, seen, flood, kept, noise), *_aftermath(bench, after, noise)]


def _flood_figures(
    bench: Bench, name: str, seen: list[capture.Seen], flood: Outcome, kept: Outcome, noise: float
) -> list[Figure]:
    refused = [one for one in seen if one.refusal == 503]
    polite = sum(one.retry_after for one in refused)
    quick = capture.delays(refused, capture.refusal)
    answered = sum(one.answer_out is not None for one in seen)
    wrong = flood.asked - flood.callers.good
    raw = {"answered": answered, "refused": len(refused), "else": wrong, "errors": flood.errors}
    counts, hurt = f"{answered} / {len(refused)} / {wrong}", f"{kept.failed} of {kept.asked}"
    bench.say(f"  answered / refused / neither: {counts}; {hurt} calls in progress hurt")
    return [
        Figure(f"{name}: answered / refused / neither", counts, "neither: 0", wrong == 0, noise, raw),
        Figure(f"{name}: 503 with Retry-After", f"{polite} of {len(refused)}", "all", polite == len(refused), noise),
        Figure(f"{name}: INVITE → 503", str(quick) if quick else "none refused", "at once", None, noise),
        Figure(f"{name}: calls in progress hurt", hurt, "0", kept.failed == 0, noise, {"errors": kept.errors}),
    ]


def _aftermath(bench: Bench, after: Outcome, noise: float) -> list[Figure]:
    settled = bench.stack.settle(40)
    with bench.spending() as spent:
        time.sleep(IDLE_SECONDS)
    left, idle = bench.stack.open_legs(), 100 * spent.parts["engine"] / spent.wall
    rest = f"{left}, engine idle at {idle:.1f} % of a core{'' if settled else ', journal not yet written'}"
    failed = f"{after.failed} of {after.asked}"
    bench.say(f"  5 s later {failed} failed; legs left over: {rest}")
    return [
        Figure("5 s later, 40/s for 10 s: failed", failed, "0", after.failed == 0, noise, {"errors": after.errors}),
        Figure("afterwards: legs left over", rest, "0", left == 0 and settled, noise, {"idle_percent": idle}),
    ]

"""`python -m sipengine.softphone`: one real SIP phone that does what its options say, for the demo and for tests.

A composition root of its own, without Django: `pjsip.PjsipPhone` and a script of times. The SIP library exists once in
a process, so each phone is a process. What happens is told on stdout, one JSON object a line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from routing.sipuri import SipUri, SipUriError, parse
from sipengine.certificate import self_signed
from sipengine.pjsip import PhoneConfig, PhoneError, PjsipPhone
from sipengine.ports import (
    Answered,
    Digit,
    Ended,
    Event,
    Headers,
    Held,
    Invite,
    LegId,
    NoMedia,
    Placed,
    Quiet,
    ReferDone,
    Referred,
    Ringing,
    Target,
)
from sipengine.tones import Cadence

CANNOT_START = 2  # the exit code of wrong options too
NOT_ANSWERED = 1
GOODBYE_SECONDS = 0.5  # for the far ends to confirm; the library needs another second to close
TONE_MS = 30_000  # one stretch of the tone: a repetition is a click, and the library counts in 16 bits

# Of the headers that come in, those that say something a test or a curious person asks about.
_TOLD = frozenset(
    ["call-id", "contact", "diversion", "from", "reason", "retry-after", "to", "user-agent", "user-to-user"]
)
_TOLD_PREFIXES = ("x-", "p-", "remote-party")


COMMANDS = {  # of --at: what their argument is, if they have one
    "digits": "DIGITS",
    "info": "DIGIT",
    "hold": "",
    "unhold": "",
    "refer": "SIP-URI",
    "tone": "HZ",
    "quiet": "SECONDS",
    "hangup": "",
}


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do so many seconds after the answer: a command of `COMMANDS` and its argument."""

    seconds: float
    command: str
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """What the phone does. Times in seconds; None: never.

    `answer` counts from the INVITE, `hangup` and `steps` from the answer. `record` is the file of the first call; the
    next ones get a number. `srtp` is what callers must offer: "mandatory" or "off"; None takes both.
    """

    answer: float | None = None
    reject: int | None = None
    early_media: bool = False
    hangup: float | None = None
    steps: tuple[Step, ...] = ()
    tones: tuple[int, ...] = ()
    record: Path | None = None
    srtp: str | None = None
    take_refer: bool = False
    once: bool = False
    target: Target | None = None


class Softphone:
    """The phone while it runs; everything but `PjsipPhone`'s own thread happens in the event loop."""

    def __init__(self, config: PhoneConfig, script: Script, tell: Callable[[dict[str, Any]], None]) -> None:
        self._script = script
        self._port = config.port
        self._tell_line = tell
        self._loop = asyncio.get_running_loop()
        self._phone = PjsipPhone(config, self._post, lambda: True, self._loop.call_soon)
        self._legs: set[LegId] = set()
        self._timers: dict[LegId, list[asyncio.TimerHandle]] = {}
        self._tones: dict[LegId, int] = {}
        self._stop = asyncio.Event()
        self._idle = asyncio.Event()
        self._files = itertools.count(1)
        self._placed: LegId | None = None
        self._was_answered = False

    async def run(self) -> int:
        """Open the ports, follow the script until it is over or `stop` is called; return the exit code.

        Raises `PhoneError` when a port cannot be opened.
        """
        await asyncio.to_thread(self._phone.start)
        try:
            self._tell("ready", time.time(), port=self._port)
            if self._script.target is not None:
                self._placed = self._phone.place(self._script.target)
                self._add(self._placed)
            await self._stop.wait()
            await self._say_goodbye()
        finally:
            await asyncio.to_thread(self._phone.stop)
        return NOT_ANSWERED if self._placed is not None and not self._was_answered else 0

    def stop(self) -> None:
        """End all calls and `run`."""
        self._stop.set()

    async def _say_goodbye(self) -> None:
        self._idle.clear()
        for leg in self._legs:
            self._phone.hangup(leg)
        if self._legs:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self._idle.wait()

    def _post(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._take, event)

    def _take(self, event: Event) -> None:
        match event:
            case Invite():
                self._invited(event)
            case Placed():
                self._tell("placed", event.time, event.leg, call_id=event.call_id)
            case Ringing():
                self._tell("ringing", event.time, event.leg, code=event.code, media=event.media)
            case Answered():
                self._answered(event)
            case Digit():
                self._tell("digit", event.time, event.leg, digit=event.digit)
            case Held():
                self._tell("held" if event.held else "unheld", event.time, event.leg)
            case Referred():
                self._tell("referred", event.time, event.leg, target=event.target)
            case ReferDone():
                self._tell("refer-done", event.time, event.leg, code=event.code, notify_code=event.notify_code)
            case Quiet():
                self._tell("quiet", event.time, event.leg)
            case NoMedia():
                self._tell("no-media", event.time, event.leg, seconds=event.seconds)
            case Ended():
                self._ended(event)

    def _invited(self, invite: Invite) -> None:
        leg = invite.leg
        self._tell(
            "invite",
            invite.time,
            leg,
            request_uri=invite.request_uri,
            source_ip=invite.source_ip,
            call_id=invite.call_id,
            transport=invite.transport,
            srtp=invite.srtp,
            headers=told(invite.headers),
        )
        self._add(leg)
        reject = self._script.reject
        if self._script.srtp in ("off", "mandatory") and (self._script.srtp == "mandatory") != invite.srtp:
            reject = 488
        if reject is not None:
            self._phone.refuse(leg, reject)
            return
        self._phone.ring(leg, self._script.early_media)
        if self._script.answer is not None:
            self._after(self._script.answer, leg, lambda: self._phone.answer(leg))

    def _add(self, leg: LegId) -> None:
        """Take on a leg: its tone and its recording start as soon as it has media."""
        self._legs.add(leg)
        self._play(leg, self._script.tones)
        if self._script.take_refer:
            self._phone.allow_refer(leg, True)
        if self._script.record is not None:
            number, path = next(self._files), self._script.record
            self._phone.record([[leg]], [path if number == 1 else path.with_stem(f"{path.stem}-{number}")])

    def _answered(self, event: Answered) -> None:
        leg = event.leg
        self._was_answered = self._was_answered or leg == self._placed
        self._tell("answered", event.time, leg, headers=told(event.headers))
        if self._script.hangup is not None:
            self._after(self._script.hangup, leg, lambda: self._phone.hangup(leg))
        for step in self._script.steps:
            self._after(step.seconds, leg, partial(self._do, leg, step))

    def _do(self, leg: LegId, step: Step) -> None:
        match step.command:
            case "digits":
                self._phone.send_digits(leg, step.argument)
            case "info":
                self._phone.send_info(leg, step.argument)
            case "hold" | "unhold":
                self._phone.hold(leg, step.command == "hold")
            case "refer":
                self._phone.refer(leg, parse(step.argument))
            case "tone":
                self._play(leg, (int(step.argument),))
            case "quiet":
                self._phone.watch_silence(leg, float(step.argument))
            case "hangup":
                self._phone.hangup(leg)

    def _play(self, leg: LegId, tones: tuple[int, ...]) -> None:
        """Play these tones instead of those before; 0 Hz is silence."""
        if leg in self._tones:
            self._phone.stop_playing(leg, self._tones.pop(leg))
        if any(tones):
            self._tones[leg] = self._phone.tone(leg, Cadence(tones, ((TONE_MS, 0),)))

    def _ended(self, event: Ended) -> None:
        self._tell(
            "ended",
            event.time,
            event.leg,
            code=event.code,
            reason=event.reason,
            by_peer=event.by_peer,
            error=event.error,
            headers=told(event.headers),
        )
        for timer in self._timers.pop(event.leg, ()):
            timer.cancel()
        self._tones.pop(event.leg, None)
        self._legs.discard(event.leg)
        if not self._legs:
            self._idle.set()
        if self._script.once:
            self._stop.set()

    def _after(self, seconds: float, leg: LegId, command: Callable[[], None]) -> None:
        self._timers.setdefault(leg, []).append(self._loop.call_later(seconds, command))

    def _tell(self, event: str, when: float, leg: LegId | None = None, **facts: Any) -> None:
        line: dict[str, Any] = {"time": round(when, 3), "event": event}
        if leg is not None:
            line["leg"] = leg
        try:
            self._tell_line(line | facts)
        except BrokenPipeError:
            self._stop.set()  # whoever listened is gone


def told(headers: Headers) -> dict[str, str]:
    """Return the headers worth telling; those that come more than once are joined as RFC 3261 §7.3.1 does."""
    found: dict[str, str] = {}
    for name, value in headers:
        low = name.lower()
        if low in _TOLD or low.startswith(_TOLD_PREFIXES):
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options; wrong ones end the program with exit code 2."""
    made = argparse.ArgumentParser(prog="python -m sipengine.softphone", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--bind", default="127.0.0.1", metavar="ADDRESS", help="local address (127.0.0.1)")
    made.add_argument("--port", type=_between(1, 65535), required=True, help="SIP port, UDP and TCP")
    made.add_argument("--tls-port", type=_between(1, 65535), default=0, help="SIP port for TLS, self-signed")
    made.add_argument("--rtp", type=_rtp_range, default=(40000, 100), metavar="FIRST-LAST", help="media ports")
    made.add_argument(
        "--srtp", choices=("off", "optional", "mandatory"), help="of its call (off), or what callers must offer (any)"
    )
    made.add_argument("--take-refer", action="store_true", help="accept a REFER instead of declining it")
    made.add_argument("--rtp-timeout", type=_seconds, default=0.0, metavar="SECONDS", help="tell no-media after these")
    made.add_argument("--session-timers", action="store_true", help="ask for them in its INVITE (RFC 4028)")
    made.add_argument("--codecs", default="PCMU,PCMA", metavar="NAMES", help="codecs on offer, best first")
    incoming = made.add_mutually_exclusive_group()
    incoming.add_argument("--answer", type=_seconds, metavar="SECONDS", help="ring so long, then answer (never)")
    incoming.add_argument("--reject", type=_between(300, 699), metavar="CODE", help="refuse each call with this code")
    made.add_argument("--early-media", action="store_true", help="ring with 183 and audio")
    made.add_argument("--call", type=_uri, metavar="SIP-URI", help="place a call")
    made.add_argument("--from", dest="caller", default="softphone", metavar="USER", help="user part of its From")
    made.add_argument("--username", help="for the digest challenge")
    made.add_argument("--password", help="for the digest challenge")
    made.add_argument(
        "--header", type=_header, action="append", default=[], metavar="'NAME: VALUE'", help="of its INVITE"
    )
    made.add_argument("--hangup", type=_seconds, metavar="SECONDS", help="hang up so long after the answer")
    made.add_argument(
        "--at", type=_step, action="append", default=[], metavar="SECONDS:COMMAND[:ARGUMENT]", help=_steps_help()
    )
    made.add_argument(
        "--tone", type=_between(50, 3400), action="append", default=[], metavar="HZ", help="play it; two are a chord"
    )
    made.add_argument("--record", type=Path, metavar="FILE.wav", help="record what it hears")
    made.add_argument("--once", action="store_true", help="end with its first call")
    made.add_argument("--log-level", type=_between(0, 6), default=0, help="of the SIP library, on stderr")
    return made


def _between(low: int, high: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
        return int(text)

    return whole


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 86400")
    return value


def _step(text: str) -> Step:
    when, _, rest = text.partition(":")
    command, colon, argument = rest.partition(":")
    wanted = COMMANDS.get(command)
    if wanted is None or bool(wanted) != bool(colon and argument):
        raise argparse.ArgumentTypeError(f"{text!r} is not SECONDS: and one of {_steps()}")
    match wanted:
        case "SIP-URI":
            _uri(argument)
        case "HZ":
            _between(0, 3400)(argument)
        case "SECONDS":
            _seconds(argument)
    return Step(_seconds(when), command, argument)


def _steps() -> str:
    return ", ".join(f"{name}:{argument}" if argument else name for name, argument in COMMANDS.items())


def _steps_help() -> str:
    return f"so long after the answer, do one of: {_steps()}"


def _rtp_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 1024 <= int(first) < int(last) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a range of ports such as 40000-40099")
    return int(first), int(last) - int(first)


def _uri(text: str) -> SipUri:
    try:
        return parse(text)
    except SipUriError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (colon and name.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a header such as 'X-Color: blue'")
    return name.strip(), value.strip()


def script_of(options: argparse.Namespace) -> Script:
    """Return what the options ask for."""
    target = options.call and Target(
        uri=replace(options.call, srtp=options.srtp or options.call.srtp),
        from_user=options.caller,
        username=options.username,
        password=options.password,
        headers=(*options.call.headers, *options.header),
    )
    return Script(
        answer=options.answer,
        reject=options.reject,
        early_media=options.early_media,
        hangup=options.hangup,
        steps=tuple(options.at),
        tones=tuple(options.tone),
        srtp=options.srtp,
        take_refer=options.take_refer,
        record=options.record,
        once=options.once,
        target=target,
    )


def config_of(options: argparse.Namespace, certificates: Path) -> PhoneConfig:
    """Return the addresses that the options name; a certificate for TLS is made in `certificates`."""
    certificate, key = self_signed(certificates) if options.tls_port else ("", "")
    first, count = options.rtp
    return PhoneConfig(
        bind=options.bind,
        port=options.port,
        tls_port=options.tls_port,
        tls_cert=certificate,
        tls_key=key,
        rtp_first=first,
        rtp_count=count,
        codecs=tuple(options.codecs.split(",")),
        rtp_timeout=options.rtp_timeout,
        session_timers=options.session_timers,
        log_level=options.log_level,
    )


def _own_stdout(log_level: int) -> TextIO:
    """Return stdout for ourselves: what the SIP library writes there goes to stderr, or nowhere at level 0."""
    ours = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, "wb") as nowhere:
        os.dup2(2 if log_level else nowhere.fileno(), 1)
    return ours


async def _run(config: PhoneConfig, script: Script, output: TextIO) -> int:
    phone = Softphone(config, script, lambda line: print(json.dumps(line), file=output, flush=True))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, phone.stop)
    return await phone.run()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one phone; return the exit code: 1 when the call that it placed was not answered, 2 when it cannot start."""
    options = parser().parse_args(arguments)
    if len(options.tone) > 2:
        parser().error("--tone: at most two at once")
    output = _own_stdout(options.log_level)
    with tempfile.TemporaryDirectory(prefix="softphone-") as folder:
        try:
            return asyncio.run(_run(config_of(options, Path(folder)), script_of(options), output))
        except PhoneError as error:
            # The rest of the text names settings of the engine, which are not this program's.
            print(f"softphone: {str(error).partition(': stop')[0]}", file=sys.stderr)
            return CANNOT_START


if __name__ == "__main__":
    sys.exit(main())

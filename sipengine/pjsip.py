"""ADAPTER: `ports.Phone` on pjsua2. One thread owns PJSIP: it alone calls the library, makes its objects and lets them
die (anything else aborts the process, see docs/architecture.md). Commands reach it over a queue and a one-byte kick
that wakes the poll; what happens is posted as events. Its parts are the other `pjsip_*` modules.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pjsua2 as pj

from routing.sipuri import SipUri
from sipengine.pjsip_audio import DIGIT_SECONDS, Mixer, plain
from sipengine.pjsip_call import Leg, bare_options, header, offers_srtp, options, parse_headers
from sipengine.pjsip_check import Checks
from sipengine.pjsip_config import (
    Account,
    Accounts,
    PhoneConfig,
    PhoneError,
    RegionAddress,
    choose_codecs,
    endpoint_settings,
    muted,
)
from sipengine.pjsip_watch import Clock, RtpWatches, SilenceWatches
from sipengine.ports import Ended, Event, Headers, Invite, LegId, Measured, ReferDone, Target
from sipengine.tones import Cadence

__all__ = ["PhoneConfig", "PhoneError", "PjsipPhone", "RegionAddress"]

log = logging.getLogger("sipengine.pjsip")
library = logging.getLogger("pjsip")

POLL_MS = 100
MEASURE_SECONDS = 10.0  # from one sample of a live leg's audio to the next
TRACE_VARIABLE = "CORDBOARD_SIP_TRACE"  # requirements/pjsua2.patch
COMMANDS_AT_ONCE = 32


class _Log(pj.LogWriter):  # type: ignore[misc]
    """Hands the library's lines to ours. Called in any of its threads, so it only copies and logs.

    The library refuses an INVITE that it cannot negotiate before it tells anybody; its log line is the only trace.
    """

    def __init__(self, unusable: Callable[[], None]) -> None:
        super().__init__()
        self._unusable = unusable

    def write(self, entry: Any) -> None:
        text = str(entry.msg).strip()
        if "Request verification failed" in text:
            self._unusable()
        library.log(logging.WARNING if entry.level <= 1 else logging.DEBUG, "%s", text)


class PjsipPhone:
    """The real phone behind `ports.Phone`. `post` and `admit` are called in the PJSIP thread and must not block.

    `soon` runs a function when the caller's turn ends (`loop.call_soon`), so that all commands of a turn cost one kick.

    `admit` says whether a new call may come in; a refused one is answered 503 with Retry-After at once and counted
    in `refused`. `unusable` counts INVITEs that the library answered 488 by itself: no codec in common.
    """

    def __init__(
        self,
        config: PhoneConfig,
        post: Callable[[Event], None],
        admit: Callable[[], bool],
        soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._config = config
        self._deliver = post
        self._soon = soon
        self._events: list[Event] = []
        self._admit = admit
        self._regions: Mapping[str, RegionAddress] = {"": RegionAddress()}
        self._queue: deque[tuple[float, Callable[..., None], tuple[Any, ...]]] = deque()
        self._kicked = False
        self._kick = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._numbers = itertools.count(1)
        self._calls: dict[LegId, Leg] = {}
        self._dead: list[Any] = []
        self._clock = Clock()
        self._audio = Mixer(self.post, self._media_of, self._calls.__contains__, self._dead.append)
        self._silences = SilenceWatches(self._clock, self._audio, self.post, self._calls.__contains__)
        self._rtp = RtpWatches(self._clock, self.post, self._calls.get, config.rtp_timeout)
        self._accounts: Accounts
        self._checks: Checks
        self._thread = threading.Thread(target=self._run, name="pjsip", daemon=True)
        self._ready = threading.Event()
        self._failure: str | None = None
        self._stop = False
        self.refused = 0
        self.unusable = 0
        self.library = ""

    def start(self) -> None:
        """Open the ports; raise `PhoneError` when that fails."""
        self._thread.start()
        self._ready.wait()
        if self._failure:
            raise PhoneError(self._failure)

    def stop(self) -> None:
        """Close everything; blocks about a second."""
        self._stop = True
        self._wake()
        self._thread.join(timeout=10)

    def _count_unusable(self) -> None:
        self.unusable += 1

    @property
    def legs(self) -> int:
        """The number of legs in the library's tables."""
        return len(self._calls)

    def backlog(self) -> float:
        """Return the age in seconds of the oldest command that has not been carried out."""
        try:
            return time.monotonic() - self._queue[0][0]
        except IndexError:
            return 0.0

    def set_regions(self, regions: Mapping[str, RegionAddress]) -> None:
        """Replace the table of regions; key "" is the default one."""
        self._do(self._set_regions, dict(regions))

    def _set_regions(self, regions: Mapping[str, RegionAddress]) -> None:
        self._regions = regions

    def place(self, target: Target) -> LegId:
        leg = next(self._numbers)
        self._do(self._place, leg, target)
        return leg

    def ring(self, leg: LegId, early_media: bool = False) -> None:
        self._do(self._answer, leg, 183 if early_media else 180, ())

    def answer(self, leg: LegId) -> None:
        self._do(self._answer, leg, 200, ())

    def refuse(self, leg: LegId, code: int, headers: Headers = ()) -> None:
        self._do(self._hangup, leg, headers, code)

    def hangup(self, leg: LegId, headers: Headers = ()) -> None:
        self._do(self._hangup, leg, headers)

    def bridge(self, one: LegId, other: LegId) -> None:
        self._do(self._audio.join, ((one, other), (other, one)))

    def hear(self, listener: LegId, speaker: LegId) -> None:
        self._do(self._audio.join, ((speaker, listener),))

    def unbridge(self, one: LegId, other: LegId) -> None:
        self._do(self._audio.part, ((one, other), (other, one)))

    def play(self, leg: LegId, path: Path, loop: bool = False) -> int:
        number = next(self._numbers)
        self._do(self._audio.play, leg, number, str(path), loop)
        return number

    def tone(self, leg: LegId, cadence: Cadence) -> int:
        number = next(self._numbers)
        self._do(self._audio.tone, leg, number, cadence)
        return number

    def stop_playing(self, leg: LegId, player: int) -> None:
        self._do(self._audio.stop, player)

    def record(self, sources: Sequence[Sequence[LegId]], paths: Sequence[Path]) -> int:
        number = next(self._numbers)
        self._do(self._audio.record, number, [set(group) for group in sources], [str(path) for path in paths])
        return number

    def record_also(self, recorder: int, channel: int, leg: LegId) -> None:
        self._do(self._audio.record_also, recorder, channel, leg)

    def record_without(self, recorder: int, channel: int, leg: LegId) -> None:
        self._do(self._audio.record_without, recorder, channel, leg)

    def record_heard(self, recorder: int, channel: int, leg: LegId, heard: bool = True) -> None:
        self._do(self._audio.record_heard, recorder, channel, leg, heard)

    def stop_recording(self, recorder: int) -> None:
        self._do(self._audio.stop_recording, recorder)

    def send_digits(self, leg: LegId, digits: str) -> None:
        self._do(self._with, leg, Leg.send_digits, digits)

    def send_info(self, leg: LegId, digit: str) -> None:
        """Send one digit by SIP INFO; not for calls of the engine, which does as RFC 4733 has it."""
        self._do(self._with, leg, Leg.send_info, digit)

    def allow_refer(self, leg: LegId, allowed: bool) -> None:
        self._do(self._with, leg, _allow_refer, allowed)

    def refer(self, leg: LegId, uri: SipUri) -> None:
        self._do(self._refer, leg, uri)

    def hold(self, leg: LegId, held: bool) -> None:
        self._do(self._with, leg, Leg.hold, held)

    def check(self, uri: SipUri, region: str, seconds: float) -> int:
        """Send an OPTIONS; return its number, which a `Checked` names within so many seconds."""
        number = next(self._numbers)
        self._do(self._check, number, uri, region, seconds)
        return number

    def _check(self, number: int, uri: SipUri, region: str, seconds: float) -> None:
        self._checks.send(number, self._regions.get(region) or self._regions[""], uri, seconds)

    def watch_silence(self, leg: LegId, seconds: float) -> int:
        number = next(self._numbers)
        self._do(self._silences.add, number, leg, seconds)
        return number

    def stop_watching(self, watch: int) -> None:
        self._do(self._silences.remove, watch)

    def _do(self, command: Callable[..., None], *args: Any) -> None:
        self._queue.append((time.monotonic(), command, args))
        if not self._kicked:
            self._kicked = True
            self._soon(self._wake)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._kick.send(b"\n")

    def post(self, event: Event) -> None:
        """Hand an event over when the thread's turn ends: a wake-up in its midst takes the interpreter from it."""
        if threading.get_ident() == self._thread.ident:
            self._events.append(event)
        else:
            self._deliver(event)

    def _hand_over(self) -> None:
        events, self._events = self._events, []
        for event in events:
            self._deliver(event)

    def _run(self) -> None:
        endpoint = pj.Endpoint()
        try:
            self._open(endpoint)
        except (pj.Error, OSError, PhoneError) as error:
            self._failure = plain(error)
            self._ready.set()
            with contextlib.suppress(pj.Error):
                endpoint.libDestroy()
            return
        self._ready.set()
        while not self._stop:
            endpoint.libHandleEvents(0 if self._queue else POLL_MS)
            self._drain()
            self._clock.run()
            self._hand_over()
        self._close(endpoint)
        self._hand_over()

    def _drain(self) -> None:
        """Carry out what waits; not all at once, or a busy loop would keep the library from the network."""
        self._kicked = False
        for _ in range(min(len(self._queue), COMMANDS_AT_ONCE)):
            _, command, args = self._queue[0]
            try:
                command(*args)
            except Exception:
                log.exception("a command to the SIP library failed: %s", command.__name__)
            self._queue.popleft()
        self._dead.clear()

    def _open(self, endpoint: Any) -> None:
        config = self._config
        with muted():
            endpoint.libCreate()
        writer = _Log(self._count_unusable)
        writer.__disown__()  # the library deletes it when it is destroyed
        if config.trace:
            os.environ[TRACE_VARIABLE] = config.trace
        try:
            endpoint.libInit(endpoint_settings(config.log_level, writer))
        finally:
            os.environ.pop(TRACE_VARIABLE, None)
        self.library = f"pjproject {endpoint.libVersion().full}"
        endpoint.audDevManager().setNullDev()
        choose_codecs(endpoint, config.codecs)
        self._accounts = Accounts(endpoint, config, self.incoming, self.challenged)
        self._accounts.open()
        self._checks = Checks(self._accounts, self._clock, self.post)
        # A poll waits up to POLL_MS; a byte on this transport, used for nothing else, ends the wait at once.
        kick = self._accounts.transport("udp", "127.0.0.1", 0)
        self._kick.connect(("127.0.0.1", int(endpoint.transportGetInfo(kick).localName.rsplit(":", 1)[1])))
        endpoint.libStart()
        self._accounts.prepare()
        self._audio.open(config.silence, endpoint.audDevManager().getPlaybackDevMedia())

    def _close(self, endpoint: Any) -> None:
        self._audio.close()
        with contextlib.suppress(pj.Error):
            endpoint.hangupAllCalls()
            endpoint.libHandleEvents(10)
        self._calls.clear()
        self._dead.clear()
        self._checks.close()
        self._accounts.close()
        with contextlib.suppress(pj.Error):
            endpoint.libDestroy()

    def incoming(self, account: Account, prm: Any) -> None:
        """Take a call that comes in, or answer 503 at once when the engine is full."""
        call = Leg(self, account, next(self._numbers), prm.callId)
        self._calls[call.leg] = call
        if not self._admit():
            self.refused += 1
            call.over = call.ours = True
            try:
                call.answer(options((("Retry-After", "5"),), 503))  # hangup() in this callback would lose the header
            except pj.Error as error:
                self._give_up(call, error)
            return
        try:
            message = str(prm.rdata.wholeMsg)
        except UnicodeDecodeError:
            call.over = True
            self._hangup(call.leg, (), 400)
            return
        headers = parse_headers(message)
        self.post(
            Invite(
                leg=call.leg,
                time=time.time(),
                source_ip=prm.rdata.srcAddress.rsplit(":", 1)[0].strip("[]"),
                request_uri=message.split(" ", 2)[1],
                from_uri=header(headers, "From") or header(headers, "f") or "",
                to_uri=header(headers, "To") or header(headers, "t") or "",
                call_id=header(headers, "Call-ID") or header(headers, "i") or "",
                headers=headers,
                authorization=header(headers, "Proxy-Authorization") or header(headers, "Authorization"),
                transport=account.kind,
                srtp=offers_srtp(message),
            )
        )

    def challenged(self, prm: Any) -> None:
        """Answer a 401 or 407 with the credentials of that leg, once; otherwise let the refusal stand."""
        call = pj.Call.lookup(prm.callId) if prm.callId != pj.PJSUA_INVALID_ID else None
        if not isinstance(call, Leg):
            prm.challenge.abandon()
            return
        try:
            message = str(prm.rdata.wholeMsg)
        except UnicodeDecodeError:
            message = "SIP/2.0 401 Unauthorized"
        target = call.target
        if target and target.username and target.password and call.may_answer(message):
            credentials = pj.AuthCredInfoVector()
            credentials.append(pj.AuthCredInfo("digest", "*", target.username, 0, target.password))
            prm.challenge.respond(credentials)
        else:
            call.final = int(message.split(" ", 2)[1])  # the library would call it 401 whatever it was
            prm.challenge.abandon()

    def _place(self, leg: LegId, target: Target) -> None:
        region = self._regions.get(target.region) or self._regions[""]
        try:
            account = self._accounts.get(region, target.uri.transport, target.uri.srtp)
            call = Leg(self, account, leg)
        except (pj.Error, PhoneError, KeyError) as error:
            self.post(Ended(leg, time.time(), 0, by_peer=False, error=plain(error)))
            return
        call.target = target
        self._calls[leg] = call
        param = options(target.headers)
        host = self._config.public_address or region.local_address or self._local_host(target)
        name = target.from_name.replace("\\", "").replace('"', "")
        param.txOption.localUri = (
            f'"{name}" <sip:{target.from_user}@{host}>' if name else f"<sip:{target.from_user}@{host}>"
        )
        try:
            call.makeCall(target.uri.request_uri, param)
        except pj.Error as error:
            call.error = plain(error)
            self.ended(call, 0, call.error, ())

    def _local_host(self, target: Target) -> str:
        """Return the address that the far end sees: ours, or that of the route to it when we are bound to all."""
        if self._config.bind != "0.0.0.0":
            return self._config.bind
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            if target.uri.next_hop[:1].isdigit():
                probe.connect((target.uri.next_hop, 9))  # a UDP connect sends nothing; it only asks for the route
                return str(probe.getsockname()[0])
        return socket.gethostname()

    def _answer(self, leg: LegId, code: int, headers: Headers) -> None:
        call = self._calls.get(leg)
        if call is None or call.over:
            return
        try:
            call.answer(options(headers, code) if headers else bare_options(code))
            call.accepted = call.accepted or code == 200
        except pj.Error as error:
            self._give_up(call, error)

    def _hangup(self, leg: LegId, headers: Headers, code: int = 0) -> None:
        call = self._calls.get(leg)
        if call is None:
            return
        call.ours = True
        try:
            call.hangup(options(headers, code) if headers else bare_options(code))
        except pj.Error as error:
            self._give_up(call, error)

    def _give_up(self, call: Leg, error: Any) -> None:
        """End a leg that the library does not obey any more: nothing of it may stay in the tables."""
        call.error = plain(error)
        if not call.ours:
            call.ours = True
            with contextlib.suppress(pj.Error):
                call.hangup(options((), 500))
                return
        self.ended(call, call.final, call.error, ())

    def ended(self, call: Leg, code: int, reason: str, headers: Headers) -> None:
        """Forget a leg and tell its end, once."""
        if self._calls.pop(call.leg, None) is None:
            return
        # Nothing may keep the object longer than this callback: the library gives its slot to the next INVITE, and the
        # object's destructor hangs up whatever call has that slot.
        call.media = None
        call.end_refer()
        self._audio.forget(call.leg)
        if not call.over:
            call.over = True
            if call.counts.past is not None:
                self.post(Measured(call.leg, time.time(), call.counts.past, final=True))
            self.post(
                Ended(call.leg, time.time(), code, reason, by_peer=not call.ours, headers=headers, error=call.error)
            )

    def confirmed(self, call: Leg) -> None:
        """Begin to look after the packets of a leg that has been answered."""
        self._rtp.add(call)
        self.later(MEASURE_SECONDS, call.leg, self._measure)

    def _measure(self, call: Leg) -> None:
        """Tell how a live leg's audio goes, now and again later."""
        stats = call.counts.now(call)
        if stats is not None:
            self.post(Measured(call.leg, time.time(), stats, final=False))
        self.later(MEASURE_SECONDS, call.leg, self._measure)

    def later(self, seconds: float, leg: LegId, command: Callable[..., None], *args: Any) -> None:
        """Carry out a command on a leg after so many seconds, if it still lives."""
        self._clock.after(seconds, self._with, leg, command, *args)

    def tones(self, leg: LegId, digits: str) -> None:
        """Play digits as tones to a far end that knows no telephone-event."""
        number = next(self._numbers)
        self._audio.digits(leg, number, digits)
        self._clock.after(len(digits) * DIGIT_SECONDS + 0.5, self._audio.stop, number)

    def _with(self, leg: LegId, command: Callable[..., None], *args: Any) -> None:
        call = self._calls.get(leg)
        if call is not None and not call.over:
            command(call, *args)

    def _refer(self, leg: LegId, uri: SipUri) -> None:
        call = self._calls.get(leg)
        if call is None or call.over:
            self.post(ReferDone(leg, time.time(), 0))
        else:
            call.refer(uri)

    def media_ready(self, leg: LegId) -> None:
        """Connect what waited for this leg's audio."""
        self._audio.ready(leg)

    def _media_of(self, leg: LegId) -> Any:
        call = self._calls.get(leg)
        return call.media if call is not None else None


def _allow_refer(call: Leg, allowed: bool) -> None:
    call.refer_allowed = allowed

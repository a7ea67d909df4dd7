"""ADAPTER: the only file that imports pjsua2. One thread owns PJSIP: it alone calls the library, makes its objects
and lets them die (anything else aborts the process, see docs/architecture.md). Commands reach it over a queue and a
one-byte kick that wakes the poll; callbacks copy plain values and post events, they decide nothing.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pjsua2 as pj

from sipengine.pjsip_audio import CLOCK_RATE, Mixer, plain
from sipengine.ports import (
    Answered,
    Digit,
    Ended,
    Event,
    Headers,
    Invite,
    LegId,
    Placed,
    Ringing,
    Target,
)
from sipengine.tones import Cadence

log = logging.getLogger("sipengine.pjsip")
library = logging.getLogger("pjsip")

POLL_MS = 100
COMMANDS_AT_ONCE = 32
TRANSPORTS = {
    "udp": pj.PJSIP_TRANSPORT_UDP,
    "tcp": pj.PJSIP_TRANSPORT_TCP,
    "tls": pj.PJSIP_TRANSPORT_TLS,
}
LIBRARY_LIMIT = 1024  # PJSUA_MAX_CALLS of the build (requirements/pjsua2_config_site.h)


class PhoneError(Exception):
    """The SIP side cannot start; the text says what to do."""


@dataclass(frozen=True, slots=True)
class RegionAddress:
    """From where calls of a region leave: a local address to bind, or an outbound proxy (a SIP edge elsewhere)."""

    local_address: str = ""
    outbound_proxy: str = ""


@dataclass(frozen=True, slots=True)
class PhoneConfig:
    """Addresses, ports and limits. Blank `public_address` announces the bound one."""

    bind: str
    port: int
    tls_port: int = 0
    tls_cert: str = ""
    tls_key: str = ""
    tls_verify: bool = False
    public_address: str = ""
    rtp_first: int = 20000
    rtp_count: int = 10000
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    silence: str = ""  # path of a WAV file of silence: keeps recordings in step while nobody speaks
    log_level: int = 1


def parse_headers(message: str) -> Headers:
    """Return the header fields of a SIP message as received, folded lines joined."""
    head = message.partition("\r\n\r\n")[0].split("\r\n")[1:]
    found: list[tuple[str, str]] = []
    for line in head:
        if line[:1] in (" ", "\t") and found:
            name, value = found[-1]
            found[-1] = (name, f"{value} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if colon:
            found.append((name.strip(), value.strip()))
    return tuple(found)


def header(headers: Headers, name: str) -> str | None:
    """Return the first header field of this name."""
    low = name.lower()
    return next((value for found, value in headers if found.lower() == low), None)


def _stale(headers: Headers) -> bool:
    """Say whether a challenge only wants a fresh nonce used."""
    asked = header(headers, "Proxy-Authenticate") or header(headers, "WWW-Authenticate") or ""
    return "stale=true" in asked.lower().replace(" ", "").replace('"', "")


def _received(event: Any) -> str:
    """Return the SIP message that caused a call event, or nothing."""
    try:
        if event.type == pj.PJSIP_EVENT_TSX_STATE and event.body.tsxState.type == pj.PJSIP_EVENT_RX_MSG:
            return str(event.body.tsxState.src.rdata.wholeMsg)
        if event.type == pj.PJSIP_EVENT_RX_MSG:
            return str(event.body.rxMsg.rdata.wholeMsg)
    except UnicodeDecodeError:
        log.warning("a SIP message with undecodable bytes: its headers are ignored")
    return ""


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """Drop what the library prints before its log level can be set."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _options(headers: Headers = (), code: int = 0) -> pj.CallOpParam:
    param = pj.CallOpParam(True)
    param.opt.audioCount, param.opt.videoCount, param.opt.textCount = 1, 0, 0
    if code:
        param.statusCode = code
    for name, value in headers:
        param.txOption.headers.append(_header(name, value))
    return param


@functools.lru_cache(maxsize=64)
def _bare_options(code: int) -> pj.CallOpParam:
    """Return options without headers, made once: they are wanted several times a call."""
    return _options((), code)


def _header(name: str, value: str) -> pj.SipHeader:
    made = pj.SipHeader()
    made.hName, made.hValue = name, value
    return made


class _Call(pj.Call):  # type: ignore[misc]  # pjsua2 has no types
    """One leg inside the PJSIP thread. `answered` and `over` see to it that each is told once."""

    def __init__(self, phone: PjsipPhone, account: pj.Account, leg: LegId, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(account, call_id)
        self.phone = phone
        self.leg = leg
        self.incoming = call_id != pj.PJSUA_INVALID_ID
        self.target: Target | None = None
        self.media: pj.AudioMedia | None = None
        self.announced = False
        self.challenged = False
        self.accepted = False  # a 200 of ours went out
        self.answered = False
        self.ours = False  # we ended it
        self.over = False
        self.final = 0
        self.error = ""

    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        match info.state:
            case pj.PJSIP_INV_STATE_CALLING:
                self.phone.post(Placed(self.leg, time.time(), info.callIdString))
            case pj.PJSIP_INV_STATE_EARLY if not self.incoming:
                self.phone.post(Ringing(self.leg, time.time(), info.lastStatusCode, media=False))
            case pj.PJSIP_INV_STATE_CONNECTING if not self.incoming:
                self._tell_answered(parse_headers(_received(prm.e)))
            case pj.PJSIP_INV_STATE_CONFIRMED:
                self._tell_answered(())
            case pj.PJSIP_INV_STATE_DISCONNECTED:
                self._disconnected(info, prm)

    def _tell_answered(self, headers: Headers) -> None:
        if not self.answered:
            self.answered, self.final = True, 200
            self.phone.post(Answered(self.leg, time.time(), headers))

    def _disconnected(self, info: Any, prm: Any) -> None:
        message = "" if self.ours else _received(prm.e)
        headers = parse_headers(message)
        code = self.final or info.lastStatusCode
        if self.accepted and not (self.answered or self.ours or message.startswith("BYE")):
            # RFC 3261 §13.3.1.4: the 200 was repeated until the transaction gave up.
            code, self.error = 408, "the caller never acknowledged the answer (no ACK)"
        self.phone.ended(self, code, info.lastReason, headers)

    def onCallMediaState(self, prm: Any) -> None:
        if self.over:
            return
        try:
            self.media = self.getAudioMedia(-1)
        except pj.Error:
            self.media = None
            return
        if not self.announced and not self.incoming and not self.answered:
            self.announced = True
            self.phone.post(Ringing(self.leg, time.time(), 183, media=True))
        self.phone.media_ready(self.leg)

    def may_answer(self, challenge: str) -> bool:
        """Say whether credentials may go out: the first time, and again only for a stale nonce (RFC 2617 §3.2.1).

        The library takes every new nonce for stale and would send a wrong password three times.
        """
        first, self.challenged = not self.challenged, True
        return first or _stale(parse_headers(challenge))

    def onDtmfDigit(self, prm: Any) -> None:
        self.phone.post(Digit(self.leg, time.time(), prm.digit))

    def onCallTransferRequest(self, prm: Any) -> None:
        # The library would dial the Refer-To target by itself; nobody allowed that.
        prm.statusCode = pj.PJSIP_SC_DECLINE


class _Account(pj.Account):  # type: ignore[misc]
    """A way in and out: one per region and transport."""

    def __init__(self, phone: PjsipPhone) -> None:
        super().__init__()
        self.phone = phone

    def onIncomingCall(self, prm: Any) -> None:
        self.phone.incoming(self, prm)

    def onAuthChallenge(self, prm: Any) -> None:
        self.phone.challenged(prm)


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
        self._calls: dict[LegId, _Call] = {}
        self._dead: list[Any] = []
        self._audio = Mixer(self.post, self._media_of, self._calls.__contains__, self._dead.append)
        self._accounts: dict[tuple[RegionAddress, str], _Account] = {}
        self._transports: dict[tuple[str, str], int] = {}
        self._thread = threading.Thread(target=self._run, name="pjsip", daemon=True)
        self._ready = threading.Event()
        self._failure: str | None = None
        self._stop = False
        self.refused = 0
        self.unusable = 0

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

    def stop_recording(self, recorder: int) -> None:
        self._do(self._audio.stop_recording, recorder)

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
        with _muted():
            endpoint.libCreate()
        settings = pj.EpConfig()
        settings.logConfig.level = config.log_level
        writer = _Log(self._count_unusable)
        writer.__disown__()  # the library deletes it when it is destroyed
        settings.logConfig.writer = writer
        settings.uaConfig.maxCalls = LIBRARY_LIMIT  # above our own limit, so that our 503 comes before its 486
        settings.uaConfig.threadCnt = 0
        settings.uaConfig.mainThreadOnly = True
        settings.uaConfig.userAgent = "Cordboard"
        media = settings.medConfig
        media.clockRate = media.sndClockRate = CLOCK_RATE
        media.maxMediaPorts = 4000
        media.noVad = True
        media.ecTailLen = 0
        endpoint.libInit(settings)
        endpoint.audDevManager().setNullDev()
        self._choose_codecs(endpoint)
        self._endpoint = endpoint
        for kind in self._kinds():
            port = config.tls_port if kind == "tls" else config.port
            self._transports[(kind, config.bind)] = self._transport(kind, config.bind, port)
        # A poll waits up to POLL_MS; a byte on this transport, used for nothing else, ends the wait at once.
        kick = self._transport("udp", "127.0.0.1", 0)
        self._kick.connect(("127.0.0.1", int(endpoint.transportGetInfo(kick).localName.rsplit(":", 1)[1])))
        endpoint.libStart()
        for kind in self._kinds():
            self._account(RegionAddress(), kind)
        if config.silence:
            self._audio.open(config.silence)

    def _kinds(self) -> tuple[str, ...]:
        return ("udp", "tcp", "tls") if self._config.tls_port else ("udp", "tcp")

    def _choose_codecs(self, endpoint: Any) -> None:
        wanted = [name.lower() for name in self._config.codecs]
        for codec in endpoint.codecEnum2():
            name, rate = codec.codecId.lower().split("/")[:2]
            rank = wanted.index(name) if name in wanted else -1
            useful = rank >= 0 and (name != "opus" or rate == "48000")
            endpoint.codecSetPriority(codec.codecId, 250 - rank if useful else 0)

    def _transport(self, kind: str, address: str, port: int) -> int:
        settings = pj.TransportConfig()
        settings.port = port
        settings.boundAddress = address
        if port and self._config.public_address:
            settings.publicAddress = self._config.public_address
        if kind == "tls":
            settings.tlsConfig.certFile = self._config.tls_cert
            settings.tlsConfig.privKeyFile = self._config.tls_key
            settings.tlsConfig.verifyServer = self._config.tls_verify
            settings.tlsConfig.method = pj.PJSIP_TLSV1_2_METHOD
        try:
            return int(self._endpoint.transportCreate(TRANSPORTS[kind], settings))
        except pj.Error as error:
            raise PhoneError(
                f"SIP port {port}/{kind} on {address} cannot be opened ({plain(error)}): "
                "stop what uses it, or set SIP_BIND, SIP_PORT or SIP_TLS_PORT in .env"
            ) from None

    def _account(self, region: RegionAddress, kind: str) -> _Account:
        """Return the account for this region and transport, made on first use."""
        found = self._accounts.get((region, kind))
        if found is not None:
            return found
        config = self._config
        address = region.local_address or config.bind
        transport = self._transports.get((kind, address))
        if transport is None:
            transport = self._transports[(kind, address)] = self._region_transport(kind, address)
        settings = pj.AccountConfig()
        settings.idUri = f"sip:cordboard@{config.public_address or address}"
        settings.sipConfig.transportId = transport
        if region.outbound_proxy:
            proxy = region.outbound_proxy
            settings.sipConfig.proxies.append(proxy if ";lr" in proxy else f"{proxy};lr")
        rtp = settings.mediaConfig.transportConfig
        rtp.port, rtp.portRange = config.rtp_first, config.rtp_count
        rtp.boundAddress = address
        if config.public_address:
            rtp.publicAddress = config.public_address
        # Our Contact is our own port, over TCP and TLS too: a request must reach us when that connection is gone.
        settings.natConfig.contactUseSrcPort = 0
        settings.natConfig.sipOutboundUse = 0
        settings.callConfig.timerUse = pj.PJSUA_SIP_TIMER_INACTIVE
        settings.callConfig.prackUse = pj.PJSUA_100REL_NOT_USED
        account = _Account(self)
        account.create(settings, (region, kind) == (RegionAddress(), "udp"))
        self._accounts[(region, kind)] = account
        return account

    def _region_transport(self, kind: str, address: str) -> int:
        """Open a transport on a region's own address; the main port may be held by a transport on all addresses."""
        port = self._config.tls_port if kind == "tls" else self._config.port
        try:
            return self._transport(kind, address, port)
        except PhoneError:
            return self._transport(kind, address, 0)

    def _close(self, endpoint: Any) -> None:
        self._audio.close()
        with contextlib.suppress(pj.Error):
            endpoint.hangupAllCalls()
            endpoint.libHandleEvents(10)
        self._calls.clear()
        self._dead.clear()
        self._accounts.clear()
        with contextlib.suppress(pj.Error):
            endpoint.libDestroy()

    def incoming(self, account: _Account, prm: Any) -> None:
        """Take a call that comes in, or answer 503 at once when the engine is full."""
        call = _Call(self, account, next(self._numbers), prm.callId)
        self._calls[call.leg] = call
        if not self._admit():
            self.refused += 1
            call.over = call.ours = True
            try:
                call.answer(_options((("Retry-After", "5"),), 503))  # hangup() in this callback would lose the header
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
            )
        )

    def challenged(self, prm: Any) -> None:
        """Answer a 401 or 407 with the credentials of that leg, once; otherwise let the refusal stand."""
        call = pj.Call.lookup(prm.callId) if prm.callId != pj.PJSUA_INVALID_ID else None
        if not isinstance(call, _Call):
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
            account = self._account(region, target.uri.transport)
            call = _Call(self, account, leg)
        except (pj.Error, PhoneError, KeyError) as error:
            self.post(Ended(leg, time.time(), 0, by_peer=False, error=plain(error)))
            return
        call.target = target
        self._calls[leg] = call
        param = _options(target.headers)
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
            call.answer(_options(headers, code) if headers else _bare_options(code))
            call.accepted = call.accepted or code == 200
        except pj.Error as error:
            self._give_up(call, error)

    def _hangup(self, leg: LegId, headers: Headers, code: int = 0) -> None:
        call = self._calls.get(leg)
        if call is None:
            return
        call.ours = True
        try:
            call.hangup(_options(headers, code) if headers else _bare_options(code))
        except pj.Error as error:
            self._give_up(call, error)

    def _give_up(self, call: _Call, error: Any) -> None:
        """End a leg that the library does not obey any more: nothing of it may stay in the tables."""
        call.error = plain(error)
        if not call.ours:
            call.ours = True
            with contextlib.suppress(pj.Error):
                call.hangup(_options((), 500))
                return
        self.ended(call, call.final, call.error, ())

    def ended(self, call: _Call, code: int, reason: str, headers: Headers) -> None:
        """Forget a leg and tell its end, once."""
        if self._calls.pop(call.leg, None) is None:
            return
        # Nothing may keep the object longer than this callback: the library gives its slot to the next INVITE, and the
        # object's destructor hangs up whatever call has that slot.
        call.media = None
        self._audio.forget(call.leg)
        if not call.over:
            call.over = True
            self.post(
                Ended(call.leg, time.time(), code, reason, by_peer=not call.ours, headers=headers, error=call.error)
            )

    def media_ready(self, leg: LegId) -> None:
        """Connect what waited for this leg's audio."""
        self._audio.ready(leg)

    def _media_of(self, leg: LegId) -> Any:
        call = self._calls.get(leg)
        return call.media if call is not None else None

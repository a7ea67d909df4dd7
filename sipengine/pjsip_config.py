"""ADAPTER: what PJSIP is told at its start: addresses, ports, limits, codecs, and the accounts that calls go through.

Everything here that touches the library runs in the thread that owns it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pjsua2 as pj

from sipengine.pjsip_audio import CLOCK_RATE, plain

TRANSPORTS = {
    "udp": pj.PJSIP_TRANSPORT_UDP,
    "tcp": pj.PJSIP_TRANSPORT_TCP,
    "tls": pj.PJSIP_TRANSPORT_TLS,
}
LIBRARY_LIMIT = 1024  # PJSUA_MAX_CALLS of the build (requirements/pjsua2_config_site.h)

# "in" takes calls, whatever they offer; the others place them with media that are encrypted so far.
Role = Literal["in", "off", "optional", "mandatory"]

_SRTP = {
    "in": pj.PJMEDIA_SRTP_OPTIONAL,
    "off": pj.PJMEDIA_SRTP_DISABLED,
    "optional": pj.PJMEDIA_SRTP_OPTIONAL,
    "mandatory": pj.PJMEDIA_SRTP_MANDATORY,
}
# The suite that every phone has (RFC 4568 §6.2.1), and its short-tag sister; each suite more is a line in the SDP.
_CRYPTOS = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
_OUTGOING = "sip:cordboard@outgoing.invalid"  # no request is for it: the library picks an account by the To header


class PhoneError(Exception):
    """The SIP side cannot start; the text says what to do."""


@dataclass(frozen=True, slots=True)
class RegionAddress:
    """From where calls of a region leave: a local address to bind, or an outbound proxy (a SIP edge elsewhere)."""

    local_address: str = ""
    outbound_proxy: str = ""


@dataclass(frozen=True, slots=True)
class PhoneConfig:
    """Addresses, ports and limits. Blank `public_address` announces the bound one.

    After `rtp_timeout` seconds without RTP an answered leg is told as `NoMedia`; 0 never looks. Session timers
    (RFC 4028) are honoured when a caller asks; with `session_timers` our own INVITEs ask for them too.
    """

    bind: str
    port: int
    tls_port: int = 0
    tls_cert: str = ""
    tls_key: str = ""
    tls_verify: bool = False
    public_address: str = ""
    rtp_first: int = 20000
    rtp_count: int = 10000
    rtp_timeout: float = 0.0
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    session_timers: bool = False
    trace: str = ""  # what the paths of the files with all SIP messages begin with; blank: none are written
    silence: str = ""  # path of a WAV file of silence: keeps recordings in step while nobody speaks
    log_level: int = 1

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the transports that are open."""
        return ("udp", "tcp", "tls") if self.tls_port else ("udp", "tcp")


@contextlib.contextmanager
def muted() -> Iterator[None]:
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


def endpoint_settings(log_level: int, writer: Any) -> Any:
    """Return the settings of the whole library, for one thread without a sound card."""
    settings = pj.EpConfig()
    settings.logConfig.level = log_level
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
    media.sndAutoCloseTime = -1  # the bridge's clock never stops: a leg that hears nothing is sent silence, not nothing
    return settings


def choose_codecs(endpoint: Any, codecs: tuple[str, ...]) -> None:
    """Offer these codecs in this order, and no other."""
    wanted = [name.lower() for name in codecs]
    for codec in endpoint.codecEnum2():
        name, rate = codec.codecId.lower().split("/")[:2]
        rank = wanted.index(name) if name in wanted else -1
        useful = rank >= 0 and (name != "opus" or rate == "48000")
        endpoint.codecSetPriority(codec.codecId, 250 - rank if useful else 0)


class Account(pj.Account):  # type: ignore[misc]  # pjsua2 has no types
    """A way in or out. `kind` is its transport: the library gives a call to the account of the one that it came by."""

    def __init__(self, kind: str, incoming: Callable[[Account, Any], None], challenged: Callable[[Any], None]) -> None:
        super().__init__()
        self.kind = kind
        self._incoming = incoming
        self._challenged = challenged
        self.asked: Callable[[Any], None] | None = None  # takes the end of its one request outside calls

    def onIncomingCall(self, prm: Any) -> None:
        self._incoming(self, prm)

    def onAuthChallenge(self, prm: Any) -> None:
        self._challenged(prm)

    def onSendRequest(self, prm: Any) -> None:
        asked, self.asked = self.asked, None
        if asked is not None:
            asked(prm)


class Accounts:
    """The open transports and the accounts, one per region, transport and role, made on first use."""

    def __init__(
        self,
        endpoint: Any,
        config: PhoneConfig,
        incoming: Callable[[Account, Any], None],
        challenged: Callable[[Any], None],
    ) -> None:
        self._endpoint = endpoint
        self._config = config
        self._handlers = incoming, challenged
        self._transports: dict[tuple[str, str], int] = {}
        self._accounts: dict[tuple[RegionAddress, str, Role], Account] = {}

    def open(self) -> None:
        """Open the main ports; raise `PhoneError` when that fails."""
        config = self._config
        for kind in config.kinds:
            port = config.tls_port if kind == "tls" else config.port
            self._transports[(kind, config.bind)] = self.transport(kind, config.bind, port)

    def prepare(self) -> None:
        """Make the accounts of the default region, once the library runs."""
        for kind in self._config.kinds:
            self.get(RegionAddress(), kind, "off")

    def close(self) -> None:
        """Let the accounts die."""
        self._accounts.clear()

    def get(self, region: RegionAddress, kind: str, role: Role) -> Account:
        """Return the account for calls of this kind; raise `PhoneError` or `KeyError` when there can be none."""
        found = self._accounts.get((region, kind, role))
        if found is not None:
            return found
        if role != "in":
            self.get(region, kind, "in")  # first: whoever sees our address may call it
        account = self._make(region, kind, role)
        self._accounts[(region, kind, role)] = account
        return account

    def separate(self, region: RegionAddress, kind: str) -> Account:
        """Make an account besides those of calls, for requests outside them; raise as `get` does."""
        self.get(region, kind, "off")
        return self._make(region, kind, "off")

    def _make(self, region: RegionAddress, kind: str, role: Role) -> Account:
        address = region.local_address or self._config.bind
        transport = self._transports.get((kind, address))
        if transport is None:
            transport = self._transports[(kind, address)] = self._region_transport(kind, address)
        account = Account(kind, *self._handlers)
        first = not self._accounts
        account.create(self._settings(region, address, transport, role), first)
        return account

    def transport(self, kind: str, address: str, port: int) -> int:
        """Open a transport and return its number; port 0 draws one."""
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

    def _region_transport(self, kind: str, address: str) -> int:
        """Open a transport on a region's own address; the main port may be held by a transport on all addresses."""
        port = self._config.tls_port if kind == "tls" else self._config.port
        try:
            return self.transport(kind, address, port)
        except PhoneError:
            return self.transport(kind, address, 0)

    def _settings(self, region: RegionAddress, address: str, transport: int, role: Role) -> Any:
        config = self._config
        settings = pj.AccountConfig()
        settings.idUri = f"sip:cordboard@{config.public_address or address}" if role == "in" else _OUTGOING
        settings.priority = 1 if role == "in" else 0
        settings.sipConfig.transportId = transport
        if region.outbound_proxy:
            proxy = region.outbound_proxy
            settings.sipConfig.proxies.append(proxy if ";lr" in proxy else f"{proxy};lr")
        media = settings.mediaConfig
        media.transportConfig.port, media.transportConfig.portRange = config.rtp_first, config.rtp_count
        media.transportConfig.boundAddress = address
        if config.public_address:
            media.transportConfig.publicAddress = config.public_address
        media.srtpUse = _SRTP[role]
        media.srtpSecureSignaling = 0  # who may do without TLS is the engine's decision
        media.srtpOpt.keyings = pj.IntVector([pj.PJMEDIA_SRTP_KEYING_SDES])
        media.srtpOpt.cryptos = pj.SrtpCryptoVector([_crypto(name) for name in _CRYPTOS])
        # Our Contact is our own port, over TCP and TLS too: a request must reach us when that connection is gone.
        settings.natConfig.contactUseSrcPort = 0
        settings.natConfig.sipOutboundUse = 0
        timers = role == "in" or config.session_timers
        settings.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL if timers else pj.PJSUA_SIP_TIMER_INACTIVE
        settings.callConfig.prackUse = pj.PJSUA_100REL_NOT_USED
        return settings


def _crypto(name: str) -> Any:
    crypto = pj.SrtpCrypto()
    crypto.name = name
    return crypto

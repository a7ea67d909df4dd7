"""`manage.py sipengine`: the engine's composition root. Builds the parts, joins them, and runs until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
import wave
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connection

from calls.client_settings import client_policy
from calls.entries import DeliveryEntry, to_line
from calls.guarded import open_session
from calls.status import status_table
from calls.urlguard import networks
from calls.webclient import WebClient
from routing.database_checks import check_database, in_a_line
from routing.outbound import Dialplan
from sipengine import store
from sipengine.callback_sender import SenderPipe
from sipengine.callbacks import Callbacks
from sipengine.certificate import self_signed
from sipengine.checking import Checker
from sipengine.engine import Engine, Limits
from sipengine.journal import Journal, JournalBusy, is_closed, lock
from sipengine.media import MediaLibrary
from sipengine.pjsip import PhoneConfig, PhoneError, PjsipPhone, RegionAddress
from sipengine.rooms import Rooms
from sipengine.services import DialSettings, Services
from sipengine.tracefile import trim
from sipengine.vitals import Vitals

log = logging.getLogger("sipengine")

TICK_SECONDS = 0.1
RELOAD_SECONDS = 1.0
CLAIM_SECONDS = 0.5
CLAIMS_AT_ONCE = 20
COMMAND_SECONDS = 0.1  # how long a live change may wait to be seen
REPORT_SECONDS = 2.0
TELL_SECONDS = 3.0
TRACE_BYTES = 200_000_000  # SIP messages that wait for the database; the oldest go first


class Command(BaseCommand):
    help = "Take and place SIP calls, run their TwiML and write the call log."

    def handle(self, *args: Any, **options: Any) -> None:
        # What no line shows need not be looked up for every line (Python's logging how-to, "Optimization").
        logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
        # Two threads share the interpreter (SIP and asyncio): the default of 5 ms between switches would be heard.
        sys.setswitchinterval(0.002)
        # An engine that starts before its database waits for it, and says what it waits for.
        for problem in check_database(databases=[DEFAULT_DB_ALIAS]):
            log.error("%s", in_a_line(problem))
        connection.close()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_run())
        except (PhoneError, JournalBusy, ValueError) as error:
            raise CommandError(str(error)) from None


async def _run() -> None:
    await Runtime().run()


class Runtime:
    """One run of the engine: everything that must be opened, kept going and closed again."""

    def __init__(self) -> None:
        self._name: str = settings.ENGINE_NAME
        self._folder = Path(settings.JOURNAL_DIR) / self._name
        self._stopping = asyncio.Event()
        self._at_once = asyncio.Event()
        self._writer: asyncio.subprocess.Process | None = None
        self._trace = self._folder / "trace"
        self._regions: tuple[str, ...] = ()
        self._region_names: frozenset[str] = frozenset()
        self._dialplan = Dialplan()
        self._rooms = Rooms()

    async def run(self) -> None:
        """Open, serve, drain, close."""
        lock(self._folder, "engine.lock")
        self._note_death()
        self._vitals = Vitals(
            self._folder,
            name=self._name,
            version=settings.VERSION,
            address=f"{settings.SIP_BIND}:{settings.SIP_PORT}",
            max_legs=settings.MAX_LEGS,
        )
        self._vitals.tell()
        self._journal = Journal(self._folder)
        recordings = Path(settings.RECORDINGS_DIR)
        await asyncio.to_thread(recordings.mkdir, parents=True, exist_ok=True)
        policy = client_policy()
        async with open_session(policy) as http:
            media = MediaLibrary(
                Path(settings.MEDIA_CACHE_DIR),
                http,
                default_voice=settings.SAY_VOICE,
                allowed_dir=Path(settings.MEDIA_DIR),
                user_agent=policy.user_agent,
            )
            self._sender = SenderPipe(_child("webhook_sender", self._name))
            config = _phone_config(self._trace_prefix())
            self._phone = PjsipPhone(config, self._post, self._admits, asyncio.get_running_loop().call_soon)
            services = Services(
                phone=self._phone,
                web=WebClient(http, policy),
                media=media,
                put=self._journal.put,
                own=lambda number, handler: self._engine.own(number, handler),
                callbacks=Callbacks(self._deliver, settings.PUBLIC_URL, self._name),
                rooms=self._rooms,
                dial=DialSettings(
                    timeout_buffer=settings.DIAL_TIMEOUT_BUFFER,
                    table=status_table(settings.SIP_STATUS_MAP, settings.SIP_STATUS_OVERRIDES),
                    end_without_media=settings.RTP_TIMEOUT_ENDS_CALL,
                    deny=networks(settings.SIP_DENY_NETWORKS),
                ),
                dialplan=lambda: self._dialplan,
                regions=lambda: self._region_names,
                adopt=lambda adoption: self._engine.adopt(adoption),
                recordings=recordings,
                public_url=settings.PUBLIC_URL,
                engine=self._name,
            )
            limits = Limits(
                settings.MAX_LEGS, settings.MAX_SETUPS, settings.DIGEST_ATTEMPTS, settings.MAX_LAG, settings.MAX_BACKLOG
            )
            self._engine = Engine(services, limits, settings.SECRET_KEY, self._journal.put)
            self._checker = Checker(self._phone, self._engine.own, self._journal.put, services.dial.deny)
            await asyncio.to_thread(self._phone.start)
            try:
                await self._serve()
            finally:
                await self._close()
                await media.close()

    def _post(self, event: Any) -> None:
        self._engine.post(event)

    def _deliver(self, entry: DeliveryEntry) -> None:
        try:
            line = to_line(entry)
        except (TypeError, ValueError, RecursionError) as error:  # a fault of ours, which must not stop the call
            log.error("a callback cannot be written as JSON and is lost (%s): %r", error, entry)
            return
        self._journal.put(line)
        self._sender.send(line)

    def _admits(self) -> bool:
        return self._engine.admits(self._phone.legs, self._phone.backlog())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._signalled, name)
        keep_going = [
            asyncio.create_task(_kept_going(work))
            for work in (
                self._tick,
                self._reload,
                self._claim,
                self._obey,
                self._write,
                self._sender.run,
                self._sync,
                self._report,
                self._tell,
            )
        ]
        # What lives now lives as long as the process: the collector need not walk it again in the middle of calls.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        log.info(
            "engine ready: sip:%s:%d, engine=%s, %d legs",
            settings.SIP_BIND,
            settings.SIP_PORT,
            self._name,
            settings.MAX_LEGS,
        )
        await self._stopping.wait()
        self._vitals.become("draining")
        await self._drain()
        for task in keep_going:
            task.cancel()
        await asyncio.gather(*keep_going, return_exceptions=True)

    def _signalled(self, name: signal.Signals) -> None:
        if name is signal.SIGINT or self._stopping.is_set():
            self._at_once.set()
        self._stopping.set()

    async def _drain(self) -> None:
        seconds = 0.0 if self._at_once.is_set() else settings.DRAIN_SECONDS
        draining = asyncio.create_task(self._engine.drain(seconds))
        hurried = asyncio.create_task(self._at_once.wait())
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            draining.cancel()
            await self._engine.drain(0)
        hurried.cancel()

    async def _close(self) -> None:
        await asyncio.to_thread(self._phone.stop)
        await asyncio.sleep(0)  # the last events' entries
        await self._sender.close()
        self._vitals.count(0, 0, self._phone.refused)
        self._vitals.become("stopped")
        self._journal.close()
        with contextlib.suppress(OSError):
            (self._folder / "alive").unlink()
        log.info("engine stopped")

    async def _tick(self) -> None:
        alive, beat = self._folder / "alive", 0
        while True:
            self._engine.tick()
            self._vitals.count(self._phone.legs, self._engine.calls, self._phone.refused)
            beat += 1
            if beat % 10 == 1:
                with contextlib.suppress(OSError):
                    alive.write_text(str(time.time()))
            await asyncio.sleep(TICK_SECONDS)

    async def _reload(self) -> None:
        """Keep the routing snapshot fresh; with the database away the last one stays in force."""
        version: int | None = None
        queues: tuple[object, ...] | None = None
        away = False
        while True:
            try:
                found = await asyncio.to_thread(store.routing, version)
                rows = await asyncio.to_thread(store.queues, queues)
                away = False
            except store.DatabaseError as error:
                if not away:
                    log.error("routing cannot be read (%s): the last one stays in force", error)
                found, rows, away = None, None, True
            if found is not None:
                version, directory, regions, self._dialplan = found
                self._region_names = frozenset(name for region in regions for name in (region.code, region.edge))
                self._engine.set_directory(directory)
                self._phone.set_regions(_regions(regions))
                self._regions = tuple(region.code for region in regions)
                log.info("routing loaded: %d SIP domains, %d regions", len(directory.domains), len(regions))
            if rows is not None:
                queues, known = rows
                self._rooms.configure(known)
            await asyncio.sleep(RELOAD_SECONDS)

    async def _claim(self) -> None:
        """Take queued calls out of the database and place them.

        Not before the writer has closed what the last run left: it releases that run's claims, and ours with them.
        """
        await self._last_run_is_closed()
        while True:
            regions = self._regions if self._admits() else ()  # a full or stopping engine leaves them to others
            try:
                claimed = await asyncio.to_thread(store.claim_calls, self._name, regions, CLAIMS_AT_ONCE)
                checks = await asyncio.to_thread(store.take_checks, self._name, self._regions)
            except store.DatabaseError:
                claimed, checks = [], []  # _reload tells the operator
            for queued in claimed:
                self._engine.place(queued)
            for check in checks:
                self._checker.start(check)
            await asyncio.sleep(CLAIM_SECONDS)

    async def _last_run_is_closed(self) -> None:
        while not is_closed(self._folder, self._journal.first_segment):  # noqa: ASYNC110  # another process says so
            await asyncio.sleep(0.1)

    async def _obey(self) -> None:
        """Carry out what operators ask of calls in progress."""
        await self._last_run_is_closed()
        while True:
            if self._engine.calls:
                try:
                    commands = await asyncio.to_thread(store.take_commands, self._name)
                except store.DatabaseError:
                    commands = []  # _reload tells the operator
                for command in commands:
                    self._journal.put(self._engine.obey(command))
            await asyncio.sleep(COMMAND_SECONDS)

    async def _write(self) -> None:
        """Keep the journal's writer running."""
        while True:
            command = (*_child("journal_writer", self._name), "--first", str(self._journal.first_segment))
            self._writer = await asyncio.create_subprocess_exec(*command, start_new_session=True)
            code = await self._writer.wait()
            log.error("the journal writer ended with %s: starting it again", code)
            await asyncio.sleep(1)

    async def _sync(self) -> None:
        while True:
            await asyncio.to_thread(self._journal.sync)
            await asyncio.sleep(1)

    async def _tell(self) -> None:
        """Tell how the engine is, and let the files of a trace that nobody reads not fill the disk."""
        self._vitals.entry = replace(self._vitals.entry, library=self._phone.library, state="running")
        while True:
            self._vitals.entry = replace(self._vitals.entry, regions=self._regions)
            await asyncio.to_thread(self._vitals.tell)
            if gone := await asyncio.to_thread(trim, self._trace, TRACE_BYTES):
                log.warning("%d files of SIP messages are lost: the database did not take them in time", gone)
            await asyncio.sleep(TELL_SECONDS)

    def _trace_prefix(self) -> str:
        """Return what the files of SIP messages are called; nothing if there are to be none, or nowhere to put them."""
        if not settings.SIP_TRACE:
            return ""
        try:
            self._trace.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            log.error("SIP messages are not traced: %s", error)
            return ""
        return f"{self._trace}/"

    async def _report(self) -> None:
        full = unusable = 0
        while True:
            if (now := self._phone.refused) > full:
                self._engine.report_full(now - full)
                full = now
            if (now := self._phone.unusable) > unusable:
                self._engine.report_unusable(now - unusable)
                unusable = now
            await asyncio.sleep(REPORT_SECONDS)

    def _note_death(self) -> None:
        """Keep when the engine before us was last alive, if it did not close properly."""
        with contextlib.suppress(OSError):
            (self._folder / "died").write_text((self._folder / "alive").read_text())


async def _kept_going(work: Callable[[], Awaitable[None]]) -> None:
    """Do the work for ever: a fault in one round must not end it, with nobody the wiser."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("%s failed and is started again", work.__qualname__)
            await asyncio.sleep(1)


def _child(command: str, engine: str) -> tuple[str, ...]:
    """Return the command line of a process that serves this engine and ends with it."""
    manage = str(settings.BASE_DIR / "manage.py")
    return (sys.executable, manage, command, "--engine", engine, "--parent", str(os.getpid()))


def _regions(regions: tuple[store.RegionInfo, ...]) -> dict[str, RegionAddress]:
    table = {"": RegionAddress()}
    for region in regions:
        address = RegionAddress(region.local_address, region.outbound_proxy)
        table[region.code] = address
        if region.edge:
            table[region.edge] = address
        if region.is_default:
            table[""] = address
    return table


def _phone_config(trace: str) -> PhoneConfig:
    first, _, last = settings.RTP_PORTS.partition("-")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise PhoneError(f"RTP_PORTS={settings.RTP_PORTS!r} is not a range such as 20000-29999: correct it in .env")
    certificate, key = settings.SIP_TLS_CERT, settings.SIP_TLS_KEY
    if settings.SIP_TLS_PORT and not certificate:
        certificate, key = self_signed(Path(settings.DATA_DIR) / "tls")
    silence = Path(settings.MEDIA_CACHE_DIR) / "silence.wav"
    _write_silence(silence)
    return PhoneConfig(
        bind=settings.SIP_BIND,
        port=settings.SIP_PORT,
        tls_port=settings.SIP_TLS_PORT,
        tls_cert=certificate,
        tls_key=key,
        tls_verify=settings.SIP_TLS_VERIFY,
        public_address=settings.SIP_PUBLIC_ADDRESS,
        rtp_first=int(first),
        rtp_count=int(last) - int(first),
        rtp_timeout=settings.RTP_TIMEOUT,
        session_timers=settings.SIP_SESSION_TIMERS,
        codecs=tuple(settings.SIP_CODECS),
        trace=trace,
        silence=str(silence),
    )


def _write_silence(path: Path) -> None:
    """Write a second of silence: 16-bit mono, 8 kHz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    with wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16_000))
    temporary.replace(path)

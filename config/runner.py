"""Runs web, worker and engine together on one machine: `python -m config.runner`.

Everything here is the standard library's asyncio. honcho, the usual choice, kills five seconds after it asks (the
engine needs longer to let its calls go), keeps no last lines to show and leaves processes behind when it is killed.
In production systemd does this work: see docs/operating.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import environ

BASE_DIR = Path(__file__).resolve().parent.parent
GRACE = 15.0
LAST_LINES = 15
LONGEST_LINE = 1 << 20
COLOURS = {"web": 36, "worker": 33, "engine": 32}
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


@dataclass
class Child:
    """One process of ours, in a group of its own so that whatever it started ends with it."""

    name: str
    command: Sequence[str]
    ready_text: str = ""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    process: asyncio.subprocess.Process | None = None
    output: int = -1

    async def start(self) -> None:
        """Start it; should this runner die without a word, the kernel sends the child SIGTERM."""
        # A pipe of our own: asyncio takes a process for running as long as something it started holds asyncio's.
        self.output, theirs = os.pipe()
        try:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                cwd=BASE_DIR,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
                preexec_fn=lambda: _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
            )
        finally:
            os.close(theirs)

    async def run(self) -> int:
        """Print its lines until it ends and return its exit code."""
        assert self.process
        copying = asyncio.create_task(self._copy())
        code = await self.process.wait()
        await asyncio.wait([copying], timeout=0.5)
        copying.cancel()
        return code

    async def _copy(self) -> None:
        lines = asyncio.StreamReader(limit=LONGEST_LINE)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(self.output, "rb")
        )
        while True:
            try:
                raw = await lines.readline()
            except ValueError:
                raw = b"(a line longer than 1 MB was left out)\n"
            if not raw:
                return
            line = raw.decode(errors="replace").rstrip("\n")
            self.last.append(line)
            say(self.name, line)
            if self.ready_text and self.ready_text in line:
                self.ready.set()

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Signal the process, or all that is left of its group."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(self.process.pid, number)


def say(name: str, line: str) -> None:
    """Print one line with the name of the process that it comes from."""
    label = f"{name:<7}|"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        label = f"\033[{COLOURS.get(name, 0)}m{label}\033[0m"
    print(label, line, flush=True)


async def run(children: Sequence[Child], web_url: str = "", grace: float = GRACE) -> int:
    """Run all children until a signal comes (0) or one of them ends (1); then end the others."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            end_groups(children)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    for child in children:
        await child.start()
    runs = {asyncio.create_task(child.run()): child for child in children}
    announcing = asyncio.create_task(announce(children, web_url))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([stopping, *runs], return_when=asyncio.FIRST_COMPLETED)
    announcing.cancel()
    stopping.cancel()
    dead = {task: child for task, child in runs.items() if task.done() and not stop.is_set()}
    if not dead:
        say("all", "stopping; Ctrl-C again stops at once")
    for task, child in dead.items():
        report(child, task.result())
    await finish(children, list(runs), grace)
    return 1 if dead else 0


async def finish(children: Sequence[Child], runs: Sequence[asyncio.Task[int]], grace: float) -> None:
    """Ask each process to end, wait, then kill what is left of every group."""
    for child in children:
        child.send(signal.SIGTERM)
    await asyncio.wait(runs, timeout=grace)
    end_groups(children)
    await asyncio.wait(runs)


def end_groups(children: Sequence[Child]) -> None:
    """Kill every child and all that it started."""
    for child in children:
        child.send(signal.SIGKILL, group=True)


def report(child: Child, code: int) -> None:
    """Say how a process ended that should have gone on."""
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    say("all", f"{child.name} ended with {how}, so everything stops. Its last lines:")
    for line in child.last:
        say("all", f"    {line}")


async def announce(children: Sequence[Child], web_url: str) -> None:
    """Print one line once the web answers and every child that announces itself has done so."""
    for child in children:
        if child.ready_text:
            await child.ready.wait()
    while web_url:
        if await answers(web_url):
            break
        await asyncio.sleep(0.1)
    public = os.environ.get("PUBLIC_URL", web_url)
    say("all", f"ready: {public}/admin/ and sip:{os.environ.get('SIP_BIND', '0.0.0.0')}:{port('SIP_PORT', 5060)}")


async def answers(url: str) -> bool:
    """Tell whether the web process answers there with anything but an error of its own."""
    parts = urlsplit(url)
    host = urlsplit(os.environ.get("PUBLIC_URL", url)).netloc
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except OSError:
        return False
    try:
        writer.write(f"GET /healthz HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        status = (await asyncio.wait_for(reader.readline(), 5)).split()[1:2]
        return bool(status) and status[0] < b"500"
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()


def port(name: str, default: int) -> int:
    """Read a port number from the settings."""
    value = os.environ.get(name, str(default))
    if not value.isdecimal() or int(value) > 65535:
        sys.exit(f"cordboard: {name}={value} is not a port number; correct it in .env")
    return int(value)


def web_bind() -> tuple[str, int]:
    """Read where the web process listens."""
    host, separator, number = os.environ.get("WEB_BIND", "127.0.0.1:8000").rpartition(":")
    if not separator or not number.isdecimal():
        sys.exit("cordboard: WEB_BIND must be address:port, like 127.0.0.1:8000; correct it in .env")
    return host.strip("[]"), int(number)


def check_ports() -> None:
    """End with one line that names the first port that something else uses."""
    sip_host, (web_host, web_port) = os.environ.get("SIP_BIND", "0.0.0.0"), web_bind()
    wanted = [
        ("WEB_BIND", web_host, web_port, socket.SOCK_STREAM),
        ("SIP_PORT", sip_host, port("SIP_PORT", 5060), socket.SOCK_DGRAM),
        ("SIP_PORT", sip_host, port("SIP_PORT", 5060), socket.SOCK_STREAM),
    ]
    if tls_port := port("SIP_TLS_PORT", 5061):  # 0 switches TLS off
        wanted.append(("SIP_TLS_PORT", sip_host, tls_port, socket.SOCK_STREAM))
    for setting, host, number, kind in wanted:
        if error := bind_error(host, number, kind):
            protocol = "TCP" if kind == socket.SOCK_STREAM else "UDP"
            sys.exit(f"cordboard: cannot listen on {protocol} {host}:{number} ({error}); {setting} in .env changes it")


def bind_error(host: str, number: int, kind: socket.SocketKind) -> str:
    """Return why an address cannot be listened on, or nothing."""
    try:
        family = socket.getaddrinfo(host, number, type=kind)[0][0]
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # A port whose last connection has only just closed is free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, number))
            if kind == socket.SOCK_STREAM:
                probe.listen()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def processes() -> list[Child]:
    """Name the three processes that make up Cordboard."""
    host, number = web_bind()
    manage = [sys.executable, "manage.py"]
    web = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", host, "--port", str(number), "--no-ws"]
    # granian's own default of 512 threads would be as many database connections.
    web += ["--workers", os.environ.get("WEB_WORKERS", "1"), "--blocking-threads", "4", "--no-access-log"]
    return [
        Child("web", [*web, "config.wsgi:application"]),
        Child("worker", [*manage, "qcluster"]),
        Child("engine", [*manage, "sipengine"], ready_text="engine ready"),
    ]


def reachable(host: str) -> str:
    """Turn a listening address into one that can be connected to."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"[{address}]" if ":" in address else address


def main() -> int:
    """Check the ports, then run everything; `--check` only checks."""
    environ.Env.read_env(BASE_DIR / ".env", overwrite=False)
    check_ports()
    if "--check" in sys.argv[1:]:
        return 0
    host, number = web_bind()
    return asyncio.run(run(processes(), f"http://{reachable(host)}:{number}"))


if __name__ == "__main__":
    sys.exit(main())

"""`./cordboard bench api`: how long the web process takes for requests to the two APIs and for TwiML.

On SQLite and on PostgreSQL, with a long call log. Requests are made one after the other over one connection, so that
the figures are the time that a request takes, not how many there can be at once.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

from bench.api_seed import APART, FIRST, NUMBERS, STATUSES
from bench.procs import CannotMeasure, busy_seconds, cpu_seconds, descendants, end, start, wait_for
from bench.report import Figure
from bench.stack import HOST, ROOT, free_ports

ROWS = 1_000_000
DATABASES = ("sqlite", "postgresql")
PARTS = (*DATABASES, "single", "lists")  # what --only may choose from: databases, and kinds of requests
_FORM = "application/x-www-form-urlencoded"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """One request and the status it must be answered with."""

    method: str
    path: str
    body: str = ""
    content_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Seeded:
    """What requests need to know of the rows."""

    account: str
    token: str
    group: int
    phone: int
    rows: int


class Web:
    """A web process of its own on a database of its own."""

    def __init__(self, folder: Path, database_url: str) -> None:
        [self.port] = free_ports(1)
        self.url = f"http://{HOST}:{self.port}"
        self._log_path = folder / "web.txt"
        self._env = {
            **os.environ,
            "SECRET_KEY": secrets.token_urlsafe(40),
            "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "DEBUG": "0",
            "DATA_DIR": str(folder),
            "DATABASE_URL": database_url,
            "PUBLIC_URL": self.url,
            "API_RATE": "",
            "LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONPATH": str(ROOT),
        }
        (folder / "static").mkdir()

    def prepare(self, rows: int) -> Seeded:
        """Make the tables and the rows."""
        self._run("manage.py", "migrate", "--verbosity", "0")
        return Seeded(**json.loads(self._run("-m", "bench.api_seed", str(rows))), rows=rows)

    def _run(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self._env, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise CannotMeasure(f"{' '.join(arguments[:2])} failed: {(done.stderr or done.stdout).strip()[-500:]}")
        return done.stdout

    @contextmanager
    def serving(self) -> Iterator[subprocess.Popen[str]]:
        """Run it as the runner does, until the block ends."""
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", HOST, "--port", str(self.port)]
        command += [
            "--no-ws",
            "--workers",
            "1",
            "--blocking-threads",
            "4",
            "--no-access-log",
            "config.wsgi:application",
        ]
        with self._log_path.open("w") as log:
            process = start(command, output=log, cwd=ROOT, env=self._env)
        try:
            wait_for(lambda: self._is_up(process), 60, "the web process")
            yield process
        finally:
            end(process)

    def _is_up(self, process: subprocess.Popen[str]) -> bool:
        if process.poll() is not None:
            raise CannotMeasure(f"the web process did not start:\n{self._log_path.read_text()[-1500:]}")
        try:
            return self.connection().ask(Request("GET", "/healthz")) >= 0
        except OSError:
            return False

    def connection(self) -> Connection:
        """Open a connection that is kept."""
        return Connection(http.client.HTTPConnection(HOST, self.port, timeout=60))


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection that requests are made over, one after the other."""

    http: http.client.HTTPConnection

    def ask(self, request: Request) -> float:
        """Make a request and return how many milliseconds the answer took; raise `CannotMeasure` for a wrong one."""
        headers = dict(request.headers)
        if request.content_type:
            headers["Content-Type"] = request.content_type
        began = time.perf_counter()
        self.http.request(request.method, request.path, request.body or None, headers)
        answer = self.http.getresponse()
        body = answer.read()
        took = 1000 * (time.perf_counter() - began)
        if answer.status != request.status:
            raise CannotMeasure(f"{request.method} {request.path} answered {answer.status}: {body[:300]!r}")
        return took


Maker = Callable[[int], Request]


def lists(seeded: Seeded) -> dict[str, Maker]:
    """Return the lists of 50 calls by the names of their figures; each takes other values from request to request."""
    head = {"Authorization": "Basic " + base64.b64encode(f"{seeded.account}:{seeded.token}".encode()).decode()}
    wire, own = f"/2010-04-01/Accounts/{seeded.account}/Calls.json", "/api/v1/calls"
    busy = [status for status in dict.fromkeys(STATUSES) if status != "completed"]

    def caller(number: int) -> str:
        return f"49{30000000 + 3 * (number + 1) * 7919 % NUMBERS}"

    def moment(number: int) -> datetime:
        return datetime.fromtimestamp(FIRST - APART * (number * 7919 % seeded.rows), UTC)

    def one(path: str, size: str, values: Callable[[int], dict[str, str]]) -> Maker:
        return lambda number: Request("GET", f"{path}?{urlencode({size: '50', **values(number)})}", headers=head)

    def day(number: int) -> str:
        return f"{moment(number):%Y-%m-%d}"

    kinds: dict[str, tuple[Callable[[int], dict[str, str]], Callable[[int], dict[str, str]]]] = {
        "newest": (lambda n: {}, lambda n: {}),
        "by status": (lambda n: {"Status": busy[n % len(busy)]}, lambda n: {"status": busy[n % len(busy)]}),
        "by a status of none": (lambda n: {"Status": "in-progress"}, lambda n: {"status": "in-progress"}),
        "by from": (lambda n: {"From": caller(n)}, lambda n: {"from": caller(n)}),
        "by to": (lambda n: {"To": str(100 + n % 40)}, lambda n: {"to": str(100 + n % 40)}),
        "by date": (lambda n: {"StartTime<": day(n)}, lambda n: {"started_before": day(n)}),
        "by all four": (
            lambda n: {"Status": "busy", "From": caller(n), "To": str(100 + n % 40), "StartTime<": day(n)},
            lambda n: {"status": "busy", "from": caller(n), "to": str(100 + n % 40), "started_before": day(n)},
        ),
    }
    found = {}
    for name, (twilio, ours) in kinds.items():
        found[f"50 calls {name}, /2010-04-01/"] = one(wire, "PageSize", twilio)
        found[f"50 calls {name}, /api/v1/"] = one(own, "limit", ours)
    return found


def singles(seeded: Seeded, url: str) -> dict[str, Maker]:
    """Return the other requests by the names of their figures."""
    head = {"Authorization": "Basic " + base64.b64encode(f"{seeded.account}:{seeded.token}".encode()).decode()}
    path = f"/voice/group/{seeded.group}/"
    asked = {
        "AccountSid": seeded.account,
        "CallSid": "CA" + "0" * 32,
        "CallStatus": "ringing",
        "From": "100",
        "To": "100",
    }
    signature = RequestValidator(seeded.token).compute_signature(url + path, asked)
    placed = urlencode({"To": "sip:0@198.51.100.7", "From": "100", "Url": "https://example.com/voice"})
    return {
        "ring group with its ten members": lambda n: Request(
            "GET", f"/api/v1/ring-groups/{seeded.group}", headers=head
        ),
        "TwiML of a group of ten": lambda n: Request(
            "POST", path, urlencode(asked), _FORM, {"X-Twilio-Signature": signature}
        ),
        "POST Calls": lambda n: Request(
            "POST", f"/2010-04-01/Accounts/{seeded.account}/Calls.json", placed, _FORM, head, status=201
        ),
    }


LIMITS = {  # of the issue: milliseconds, and the percentile they hold for
    "ring group with its ten members": (15, 95),
    "TwiML of a group of ten": (8, 50),
    "POST Calls": (25, 95),
}
_LISTS = (40, 95)


def measure(quick: bool, folder: Path, say: Say, only: str = "", rows: int = ROWS) -> list[Figure]:
    """Measure on each database, or what `only` chooses of `PARTS`; raise `CannotMeasure`."""
    figures: list[Figure] = []
    chosen = set(filter(None, only.split(",")))
    kinds = chosen - set(DATABASES) or {"single", "lists"}
    for database in [name for name in DATABASES if name in chosen] or DATABASES:
        place = folder / database
        place.mkdir()
        with _database(database, place) as url:
            web = Web(place, url)
            say(f"{database}: filling in {rows} calls ...")
            began = time.monotonic()
            seeded = web.prepare(rows)
            say(f"{database}: measuring, after {time.monotonic() - began:.0f} s of filling in ...")
            with web.serving() as process:
                makers = {
                    **(singles(seeded, web.url) if "single" in kinds else {}),
                    **(lists(seeded) if "lists" in kinds else {}),
                }
                figures += _figures(database, web, makers, process.pid, 60 if quick else 300)
    return figures


@contextmanager
def _database(kind: str, place: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{place / 'cordboard.sqlite3'}"
        return
    from tests.postgresql import Cluster

    try:
        cluster = Cluster()
    except RuntimeError as error:
        raise CannotMeasure(f"PostgreSQL: {error}") from None
    try:
        yield cluster.url()
    finally:
        cluster.close()


def _figures(database: str, web: Web, makers: dict[str, Maker], pid: int, number: int) -> list[Figure]:
    connection = web.connection()
    found = []
    for name, make in makers.items():
        limit, percent = LIMITS.get(name, _LISTS)
        for turn in range(10):  # what is read for the first time is another figure
            connection.ask(make(number + turn))
        web_before, own_before, busy, began = (
            _web_cpu(pid),
            cpu_seconds([os.getpid()]),
            busy_seconds(),
            time.monotonic(),
        )
        took = [connection.ask(make(turn)) for turn in range(number)]
        wall, spent = time.monotonic() - began, _web_cpu(pid) - web_before
        others = busy_seconds() - busy - spent - (cpu_seconds([os.getpid()]) - own_before)
        figure = _figure(f"{database}: {name}", took, 1000 * spent / number, limit, percent)
        found.append(replace(figure, other=100 * max(0.0, others) / max(wall, 0.001)))
    return found


def _web_cpu(pid: int) -> float:
    return cpu_seconds([pid, *descendants(pid)])


def _figure(name: str, took: list[float], cpu: float, limit: float, percent: int) -> Figure:
    half, high = statistics.median(took), statistics.quantiles(took, n=20)[-1]
    seen = high if percent == 95 else half
    raw: dict[str, Any] = {
        "p50": round(half, 2),
        "p95": round(high, 2),
        "max": round(max(took), 2),
        "cpu": round(cpu, 2),
        "requests": len(took),
    }
    words = f"{half:.1f} ms p50, {high:.1f} ms p95, {max(took):.0f} ms at most, {cpu:.1f} ms of CPU"
    return Figure(name, words, f"≤ {limit} ms p{percent}", seen <= limit, raw=raw)

"""A real engine for tests: its own process, ports, database and folder, and a web server that hands it TwiML."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape, quoteattr

from tests import databases
from tests.databases import Database
from tests.databases import epoch as epoch
from tests.sip.sipp import HOST, Peers, Sipp, free_port, until
from tests.waiting import SECONDS

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "Sup3rSecretPass"  # noqa: S105  # a test's own
TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "RES_OPTIONS", "MAX_LAG", "MAX_BACKLOG")  # of the environment
PREPARE = f"""
from routing.models import *
account = Account.objects.create(friendly_name="tests", auth_token="{TOKEN}")
acl = IpAccessControlList.objects.create(account=account, friendly_name="loopback")
acl.ip_addresses.create(friendly_name="loopback", ip_address="127.0.0.1")
elsewhere = IpAccessControlList.objects.create(account=account, friendly_name="elsewhere")
elsewhere.ip_addresses.create(friendly_name="documentation", ip_address="192.0.2.1")
people = CredentialList.objects.create(account=account, friendly_name="people")
people.credentials.create(username="alice", password="{PASSWORD}")
def domain(name, acls=(), lists=(), **more):
    made = SipDomain.objects.create(account=account, domain_name=name, voice_url=VOICE, **more)
    made.ip_access_control_lists.set(acls)
    made.credential_lists.set(lists)
domain("tests.example", [acl], is_default=True, voice_fallback_url=FALLBACK)
domain("digest.example", (), [people])
domain("both.example", [acl], [people])
domain("elsewhere.example", [elsewhere])
domain("closed.example")
domain("secure.example", [acl], secure=True)
domain("barred.example", [elsewhere], [people])
Region.objects.filter(code="de1").update(local_address="127.0.0.2")
"""


@dataclass
class Asked:
    """One request that the engine made."""

    url: str
    path: str
    method: str
    form: dict[str, str]
    headers: dict[str, str]
    time: float = field(default_factory=time.time)


@dataclass
class TwimlServer:
    """Answers every request by its path and, for `/voice`, by the dialled user; keeps what was asked."""

    documents: dict[str, Callable[[Asked], tuple[int, str, bytes]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                server._handle(self, self.rfile.read(length).decode())

            def do_GET(self) -> None:
                server._handle(self, urlsplit(self.path).query)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _handle(self, handler: BaseHTTPRequestHandler, form: str) -> None:
        path = urlsplit(handler.path).path
        fields = dict(parse_qsl(form, keep_blank_values=True))
        asked = Asked(self.url + handler.path, path, handler.command, fields, dict(handler.headers))
        self.asked.append(asked)
        user = fields.get("To", "").removeprefix("sip:").partition("@")[0]
        answer = self.documents.get(f"{path}#{user}") or self.documents.get(path)
        status, kind, body = answer(asked) if answer else (404, "text/plain", b"no such document")
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def number(self, user: str, twiml: str) -> None:
        """Let this dialled number run this TwiML (what stands inside <Response>)."""
        self.serve(f"/voice#{user}", f"<Response>{twiml}</Response>".encode())

    def serve(self, path: str, body: bytes, *, kind: str = "text/xml", status: int = 200) -> None:
        """Answer a path with these bytes."""
        self.documents[path] = lambda asked: (status, kind, body)

    def requests(self, path: str, **form: str) -> list[Asked]:
        """Return the requests for a path whose form holds these values."""
        return [one for one in self.asked if one.path == path and form.items() <= one.form.items()]

    def request(self, path: str, **form: str) -> Asked:
        """Wait for a request whose form holds these values."""
        return until(lambda: self.requests(path, **form), what=f"a request for {path} with {form}")[0]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Engine:
    """`manage.py sipengine` as users run it, with `settings` of its own; `prefix` is a command that starts it.

    It begins with a copy of `database`, or with an empty one.
    """

    def __init__(
        self,
        folder: Path,
        server: TwimlServer,
        database: Database | None = None,
        *,
        prefix: Sequence[str] = (),
        **settings: str,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.database = database.copy(folder) if database else databases.empty(folder)
        self.port, self.tls_port = free_port(), free_port()
        self.address = f"{HOST}:{self.port}"
        self.log = folder / "engine.log"
        self._prefix = prefix
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **{name: value for name, value in os.environ.items() if name in KEPT},
            "SECRET_KEY": "tests-only",
            "FIELD_ENCRYPTION_KEYS": "S3bTSVBXhtjLBpVDZrIEh9Dzxc7b8ZqWCv1jTJd1sLg=",
            "PUBLIC_URL": server.url,
            "DATA_DIR": str(folder),
            "DATABASE_URL": self.database.url,
            "SIP_BIND": HOST,
            "SIP_PORT": str(self.port),
            "SIP_TLS_PORT": str(self.tls_port),
            "RTP_PORTS": "42000-48000",
            "ENGINE_NAME": "tests",
            "DIAL_TIMEOUT_BUFFER": "0",
            "DRAIN_SECONDS": "0",
            "STATICFILES_BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage",
            **settings,
        }

    def prepare(self, server: TwimlServer) -> None:
        """Make the database with its domains, credentials and access lists."""
        names = f"VOICE = {server.url + '/voice'!r}\nFALLBACK = {server.url + '/fallback'!r}\n"
        self.manage("migrate", "-v", "0")
        self.shell(names + PREPARE)

    def manage(self, *arguments: str) -> str:
        """Run a management command against this engine's database and return what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self._environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def shell(self, code: str) -> str:
        """Run Python against this engine's database and return what it printed."""
        return self.manage("shell", "-v", "0", "-c", code)

    def change_routing(self, code: str) -> None:
        """Run Python that changes routing models, as the admin does, and wait for the running engine to know."""
        loads = self.log.read_text().count("routing loaded")
        self.shell(f"from routing.models import *\n{code}")
        until(lambda: self.log.read_text().count("routing loaded") > loads, "routing being read again")

    def change_call(self, sid: str, **change: str) -> None:
        """Ask for a change of a call in progress, as the admin and the API do."""
        until(lambda: self.rows("SELECT 1 FROM calls_call WHERE sid=?", sid), what="the call in the log")
        code = "from calls import command\nfrom calls.models import Call\n"
        self.shell(f"{code}command.request(Call.objects.get(sid={sid!r}), **{change!r})")

    def sql(self, text: str, *values: object) -> None:
        """Change the database behind everybody's back."""
        self.database.execute(text, *values)

    def start(self) -> None:
        """Start the engine and wait until it takes calls and knows its domains."""
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._prefix, sys.executable, "manage.py", "sipengine"], cwd=ROOT, env=self._environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

        def ready() -> bool:
            assert self._process is not None and self._process.poll() is None, self.log.read_text()[-3000:]
            text = self.log.read_bytes()[before:]
            return b"engine ready" in text and b"routing loaded" in text

        until(ready, "the engine's start")

    def kill(self) -> None:
        """End the engine as a crash does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the engine in good order."""
        if self._process is None:
            return
        self._process.send_signal(how)
        self.wait()

    def wait(self) -> None:
        """Wait for the engine to have ended after a signal."""
        assert self._process is not None
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the engine did not stop:\n{self.log.read_text()[-2000:]}") from None
        finally:
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- what the operator would see ---------------------------------------------------------------------------------

    def rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Read the call log with SQL."""
        return self.database.rows(sql, *values)

    def call(self, user: str) -> dict[str, Any]:
        """Wait for the end of the call to this number and of its legs in the log; return its row, with `legs`."""

        def ended() -> dict[str, Any] | None:
            rows = self.rows(
                "SELECT * FROM calls_call WHERE to_user=? AND parent_id IS NULL ORDER BY start_time DESC LIMIT 1", user
            )
            if not rows or rows[0]["end_time"] is None:
                return None
            legs = self.rows("SELECT * FROM calls_call WHERE parent_id=? ORDER BY start_time", rows[0]["sid"])
            if any(leg["end_time"] is None for leg in legs):
                return None
            return {**rows[0], "legs": legs}

        return until(ended, f"the end of the call to {user} in the log")

    def timeline(self, sid: str) -> list[str]:
        """Return the names of a call's events in order."""
        return [
            row["name"] for row in self.rows("SELECT name FROM calls_callevent WHERE call_id=? ORDER BY number", sid)
        ]

    def ends(self, sid: str) -> list[str]:
        """Return the SIDs of the legs whose end is in a call's timeline, its own included."""
        sql = "SELECT detail FROM calls_callevent WHERE call_id=? AND name IN ('leg.ended', 'ended')"
        return sorted(json.loads(row["detail"]).get("leg", sid) for row in self.rows(sql, sid))

    def notes(self, sid: str) -> list[int]:
        """Return the codes of a call's notifications, in order."""
        return [
            row["code"] for row in self.rows("SELECT code FROM calls_notification WHERE call_id=? ORDER BY time", sid)
        ]

    def strangers(self, text: str) -> list[int]:
        """Wait for notifications that belong to no call and say this; return their codes."""

        def found() -> list[int]:
            sql = "SELECT code FROM calls_notification WHERE call_id IS NULL AND message LIKE ?"
            return [row["code"] for row in self.rows(sql, f"%{text}%")]

        return until(found, what=f"a notification that says {text}")

    def recordings(self, sid: str) -> list[dict[str, Any]]:
        """Return the recordings of a call."""
        return self.rows("SELECT * FROM calls_recording WHERE call_id=?", sid)


@dataclass
class Lab:
    """One test's part of the world: an engine, a dialled number of its own, and peers."""

    engine: Engine
    server: TwimlServer
    peers: Peers
    number: str

    def phone(self, *steps: str, calls: int = 1, transport: str = "u1") -> Sipp:
        """Start a phone."""
        return self.peers.phone(*steps, calls=calls, transport=transport)

    def twiml(self, text: str) -> None:
        """Let the number run this TwiML (what stands inside <Response>)."""
        self.server.number(self.number, text)

    def dial(self, *targets: Sipp | str, after: str = "", sip: str = "", **attributes: object) -> None:
        """Let the number dial these phones, then run `after`; `sip` holds attributes of every `<Sip>`."""
        uris = [target if isinstance(target, str) else target.uri for target in targets]
        nouns = "".join(f"<Sip {sip}>{escape(uri)}</Sip>" for uri in uris)
        text = " ".join(f"{name}={quoteattr(str(value))}" for name, value in attributes.items())
        self.twiml(f"<Dial {text}>{nouns}</Dial>{after}")

    def call(self, *steps: str, transport: str = "u1", login: tuple[str, str] | None = None) -> Sipp:
        """Start a caller to the number."""
        return self.peers.caller(self.engine.address, self.number, *steps, transport=transport, login=login)

    @property
    def uri(self) -> str:
        """The address of the number."""
        return f"sip:{self.number}@{self.engine.address}"

    def sid(self) -> str:
        """Wait for the call's first request and return its CallSid."""

        def asked() -> list[str]:
            return [
                one.form["CallSid"]
                for one in self.server.requests("/voice")
                if one.form["To"].startswith(f"sip:{self.number}@")
            ]

        return until(asked, what=f"the request for the call to {self.number}")[0]

    def log(self) -> dict[str, Any]:
        """Wait for the end of the call in the log; its row, with its legs as `legs`."""
        return self.engine.call(self.number)


def finish(*peers: Sipp) -> None:
    """Wait for these peers to have gone through their scenarios; those who wait for a cue get it after all others."""
    waiting = [peer for peer in peers if peer.waits_for_cue()]
    for peer in peers:
        if peer not in waiting:
            until(peer.has_settled, what=f"{peer.folder.name} to get as far as it can")
    for peer in waiting:
        peer.cue()
    for peer in peers:
        peer.wait()


def statuses(call: dict[str, Any]) -> list[tuple[str, int]]:
    """Return status and SIP code of a call's legs, in the order in which they were started."""
    return [(leg["status"], leg["sip_code"]) for leg in call["legs"]]

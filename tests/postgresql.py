"""A throw-away PostgreSQL: its own cluster in a temporary folder, reached by a UNIX socket in it and by nothing else.

`python -m tests.postgresql` is its keeper: a process that starts the server, stops and starts it again when asked on
standard input, and ends it and removes the folder when that input closes: nothing is left of it when the tests are
interrupted or killed. Debian's binaries are used where they are; a cluster that Debian may have made is not touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
USER = "cordboard"  # the cluster's superuser
STOP_SECONDS = 30
PR_SET_PDEATHSIG = 1
# Nothing here has to survive a power cut (a crash it does: commits are written, if not to the platter).
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "jit": "off",
}

_libc = ctypes.CDLL(None)


class Cluster:
    """The server, as those see it who use it; the keeper does the work."""

    def __init__(self) -> None:
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.postgresql"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.folder = Path(self._answer())

    def url(self, database: str = "postgres") -> str:
        """Return the DATABASE_URL of one of its databases."""
        return f"postgres://{USER}@/{self.folder}/{database}"

    def ask(self, command: str) -> None:
        """Have it done: `start`, `stop` (connections end as when an operator stops the server) or `crash`."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(command + "\n")
        self._keeper.stdin.flush()
        self._answer()

    def close(self) -> None:
        """End it and remove everything."""
        assert self._keeper.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.close()
        self._keeper.wait(2 * STOP_SECONDS)
        assert self._keeper.stdout is not None
        self._keeper.stdout.close()

    def _answer(self) -> str:
        assert self._keeper.stdout is not None
        answer = self._keeper.stdout.readline().rstrip("\n")
        if not answer:
            raise RuntimeError("the tests' PostgreSQL did not start; what it said is above")
        return answer


class Server:
    """The keeper's side: folder, process and user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.binaries = find_binaries()
        self.owner = owner()
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Make the cluster; PostgreSQL refuses to run as root, so root gives the folder to an unprivileged user."""
        if self.owner:
            # Root's group may pass as well: a test may run as a root who is none for the server's user (namespaces).
            os.chown(self.folder, self.owner.pw_uid, 0)
            self.folder.chmod(0o770)
        command = ["initdb", "-D", str(self.folder / "data"), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"]
        command += ["--locale=C.UTF-8"]
        if self._version() >= 15:
            # Sorts as an operator's does who speaks English, which a test that counts on byte order does not survive.
            command += ["--locale-provider=icu", "--icu-locale=en-US"]
        self._run(command).wait()
        if not (self.folder / "data" / "PG_VERSION").exists():
            self._fail("initdb")

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self._process = self._run(["postgres", "-D", str(self.folder / "data"), "-k", str(self.folder), *settings])
        ready = [str(self.binaries / "pg_isready"), "-q", "-h", str(self.folder), "-U", USER]
        while subprocess.run(ready, check=False).returncode:
            try:
                self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            self._fail("postgres")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT ends connections first, SIGQUIT nothing; it is killed if it does neither."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _version(self) -> int:
        said = subprocess.run([self.binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
        found = re.search(r"(\d+)", said.stdout)
        return int(found[1]) if found else 0

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self.binaries / command[0], *command[1:]],
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.owner.pw_uid if self.owner else None,
                group=self.owner.pw_gid if self.owner else None,
                extra_groups=[] if self.owner else None,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def _fail(self, what: str) -> None:
        sys.exit(f"{what} failed:\n{(self.folder / 'log').read_text(errors='replace')[-2000:]}")


def die_with_parent() -> None:
    """Have the kernel send SIGINT when the process that started this one is gone."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def find_binaries() -> Path:
    """Return the folder of the newest PostgreSQL: Debian keeps one for each version, others put them on the PATH."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    if on_path := shutil.which("postgres"):
        return Path(on_path).resolve().parent
    sys.exit("there is no PostgreSQL for the tests; as root, run: apt-get install postgresql")


def owner() -> pwd.struct_passwd | None:
    """Return whom the server belongs to when root runs the tests; anybody else runs it as themselves."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    sys.exit("PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it as")


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    # Not in TMPDIR, which may be closed to the server's user; and the path of a socket has 107 bytes at most.
    path = Path(tempfile.mkdtemp(prefix="cordboard-postgresql-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def keep() -> None:
    """Keep a server until standard input closes, or a signal comes."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    with _folder() as folder:
        server = Server(folder)
        try:
            server.create()
            server.start()
            print(folder, flush=True)
            for line in sys.stdin:
                match line.strip():
                    case "start":
                        server.start()
                    case "stop":
                        server.stop()
                    case "crash":
                        server.stop(signal.SIGQUIT)
                print("done", flush=True)
        finally:
            server.stop(signal.SIGQUIT)


if __name__ == "__main__":
    keep()

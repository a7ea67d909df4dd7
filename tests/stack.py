"""Web, worker and engine as `./cordboard up` runs them, for tests that go the whole way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests import databases
from tests.sip.sipp import HOST, free_port
from tests.waiting import SECONDS, until

ROOT = Path(__file__).resolve().parents[1]


class Stack:
    """All three processes, on ports and in a folder of their own; `printed` is what the set-up said."""

    demo = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.web, self.sip = free_port(), free_port()
        self.log = folder / "stack.log"
        self.printed = ""
        self.environment = {
            **os.environ,
            "DATA_DIR": str(folder / "data"),
            "DATABASE_URL": databases.empty(folder).url,
            "PUBLIC_URL": self.url,
            "WEB_BIND": f"{HOST}:{self.web}",
            "SIP_BIND": HOST,
            "SIP_PORT": str(self.sip),
            "SIP_TLS_PORT": "0",
            "RTP_PORTS": "30000-30999",
            "ENGINE_NAME": "demo-call",
        }

    @property
    def url(self) -> str:
        """The address of the web process."""
        return f"http://{HOST}:{self.web}"

    def prepare(self) -> None:
        """Set everything up that the processes need."""
        done = self.manage("bootstrap", *["--demo"] * self.demo)
        assert done.returncode == 0, done.stdout + done.stderr
        self.printed = done.stdout

    def start(self) -> None:
        """Set up, start the processes and wait until calls can come in."""
        self.prepare()
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "config.runner"], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        until(lambda: "all    | ready" in self.log.read_text(), what="the stack")
        until(lambda: "routing loaded" in self.log.read_text(), what="the routing")

    def stop(self) -> None:
        """End the processes in good order."""
        self._process.terminate()
        assert self._process.wait(SECONDS) == 0, self.log.read_text()

    def manage(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a management command beside the processes."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def change(self, statement: str) -> None:
        """Change routing models behind the admin's back."""
        done = self.manage(
            "shell", "-v", "0", "-c", f"from routing.models import Endpoint, RingGroup, Route; {statement}"
        )
        assert done.returncode == 0, done.stderr

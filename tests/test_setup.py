"""What an operator sees of set-up and of the process runner; tiny stand-ins take the place of the real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.waiting import SECONDS, until

ROOT = Path(__file__).resolve().parent.parent

QUIET = "import time; time.sleep(600)"
TALKS_THEN_DIES = "for n in range(20): print('line', n)\nraise SystemExit(3)"
IGNORES_SIGTERM = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
HAS_A_CHILD = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print('child', child.pid, flush=True); time.sleep(600)"
)
ENGINE = "import time; print('engine ready', flush=True); time.sleep(600)"


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Runner:
    """The real runner with stand-ins for its processes, in a process of its own."""

    def __init__(self, output: Path, programs: dict[str, str], grace: float) -> None:
        self.output = output
        script = textwrap.dedent(f"""
            import asyncio, sys
            from config.runner import Child, run
            ready = {{"engine": "engine ready"}}
            children = [
                Child(name, [sys.executable, "-c", program], ready.get(name, ""))
                for name, program in {programs!r}.items()
            ]
            sys.exit(asyncio.run(run(children, grace={grace})))
        """)
        with output.open("w") as file:
            self.process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=file, stderr=file)

    def text(self) -> str:
        return self.output.read_text()

    def pid_of_grandchild(self) -> int:
        until(lambda: "child " in self.text())
        return int(self.text().partition("child ")[2].split()[0])

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Callable[..., Runner]]:
    started: list[Runner] = []

    def start(grace: float = 60.0, **programs: str) -> Runner:
        started.append(Runner(tmp_path / "output", programs, grace))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


class TestRunner:
    def test_a_dying_process_ends_the_others_and_its_last_lines_are_shown(self, runner: Callable[..., Runner]) -> None:
        run = runner(web=QUIET, engine=TALKS_THEN_DIES)
        assert run.process.wait(SECONDS) == 1
        end = run.text().partition("engine ended with exit code 3")[2]
        assert "line 19" in end
        assert "line 4" not in end

    def test_a_killed_process_is_named_with_its_signal(self, runner: Callable[..., Runner]) -> None:
        run = runner(web="import os; os.kill(os.getpid(), 9)", engine=QUIET)
        assert run.process.wait(SECONDS) == 1
        assert "web ended with signal SIGKILL" in run.text()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_stop_leaves_nothing_behind(self, runner: Callable[..., Runner], number: signal.Signals) -> None:
        run = runner(web=QUIET, worker=HAS_A_CHILD)
        grandchild = run.pid_of_grandchild()
        run.process.send_signal(number)
        assert run.process.wait(SECONDS) == 0
        until(lambda: not is_alive(grandchild))

    def test_a_process_that_does_not_stop_is_killed_after_the_grace(self, runner: Callable[..., Runner]) -> None:
        run = runner(grace=0.3, web=IGNORES_SIGTERM)
        until(lambda: "deaf" in run.text())
        run.process.terminate()
        assert run.process.wait(SECONDS) == 0

    def test_a_second_ctrl_c_does_not_wait_for_the_grace(self, runner: Callable[..., Runner]) -> None:
        run = runner(grace=600, web=IGNORES_SIGTERM)
        until(lambda: "deaf" in run.text())
        run.process.send_signal(signal.SIGINT)
        until(lambda: "stopping" in run.text())
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(SECONDS) == 0

    def test_processes_end_when_the_runner_itself_is_killed(self, runner: Callable[..., Runner]) -> None:
        run = runner(web=QUIET, engine=ENGINE)
        until(lambda: "engine ready" in run.text())
        children = run.children()
        assert len(children) == 2
        run.process.kill()
        until(lambda: not any(is_alive(child) for child in children))

    def test_one_line_says_that_everything_is_ready(self, runner: Callable[..., Runner]) -> None:
        run = runner(web=QUIET, engine=ENGINE)
        until(lambda: "ready: " in run.text())


def check_ports(**settings: str) -> subprocess.CompletedProcess[str]:
    """Run the runner's check with these settings."""
    return subprocess.run(
        [sys.executable, "-m", "config.runner", "--check"],
        cwd=ROOT,
        env={**os.environ, "WEB_BIND": "127.0.0.1:0", "SIP_BIND": "127.0.0.1", "SIP_PORT": "0", **settings},
        capture_output=True,
        text=True,
        check=False,
    )


class TestPorts:
    def test_free_ports_pass_in_silence(self) -> None:
        done = check_ports()
        assert (done.returncode, done.stdout + done.stderr) == (0, "")

    @pytest.mark.parametrize(
        ("setting", "kind", "protocol"),
        [
            ("WEB_BIND", socket.SOCK_STREAM, "TCP"),
            ("SIP_PORT", socket.SOCK_STREAM, "TCP"),
            ("SIP_PORT", socket.SOCK_DGRAM, "UDP"),
        ],
    )
    def test_a_taken_port_is_one_line_with_the_setting(
        self, setting: str, kind: socket.SocketKind, protocol: str
    ) -> None:
        with socket.socket(socket.AF_INET, kind) as other:
            other.bind(("127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                other.listen()
            number = other.getsockname()[1]
            done = check_ports(**{setting: f"127.0.0.1:{number}" if setting == "WEB_BIND" else str(number)})
        assert done.returncode == 1
        assert done.stderr == (
            f"cordboard: cannot listen on {protocol} 127.0.0.1:{number} (Address already in use); "
            f"{setting} in .env changes it\n"
        )

    @pytest.mark.parametrize("settings", [{"SIP_PORT": "sip"}, {"SIP_PORT": "70000"}, {"WEB_BIND": "8000"}])
    def test_a_wrong_setting_is_one_line(self, settings: dict[str, str]) -> None:
        done = check_ports(**settings)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert next(iter(settings)) in done.stderr


def cordboard(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of the script, so that a test never touches this checkout's .venv."""
    for name in ("cordboard", "requirements"):
        target = folder / name
        if not target.exists():
            subprocess.run(["cp", "-R", ROOT / name, target], check=True)
    return subprocess.run(
        ["bash", folder / "cordboard", *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def program(folder: Path, name: str, text: str) -> None:
    """Put a shell script in the way of the real program of that name."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


class TestScript:
    def test_help_lists_the_commands(self, tmp_path: Path) -> None:
        done = cordboard(tmp_path)
        assert done.returncode == 0
        for command in ("up", "test", "check", "demo-call", "bench", "manage", "setup"):
            assert f"./cordboard {command}" in done.stdout

    @pytest.mark.parametrize("arguments", [["fly"], ["up", "--fly"]])
    def test_an_unknown_word_is_one_line(self, tmp_path: Path, arguments: list[str]) -> None:
        done = cordboard(tmp_path, *arguments)
        assert done.returncode == 1
        assert done.stderr.endswith("see ./cordboard help\n")
        assert done.stderr.count("\n") == 1

    def test_an_old_python_is_one_line(self, tmp_path: Path) -> None:
        program(tmp_path / "bin", "old-python", "exit 1")
        done = cordboard(tmp_path, "setup", PYTHON=str(tmp_path / "bin/old-python"))
        assert done.returncode == 1
        assert done.stderr.endswith("is not Python 3.11 or newer\n")

    def test_missing_packages_without_root_give_the_line_to_run(self, tmp_path: Path) -> None:
        program(tmp_path / "bin", "dpkg-query", "exit 1")
        program(tmp_path / "bin", "sudo", "exit 1")
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        text = (ROOT / "cordboard").read_text()
        # The test may run as root: the script is told that it does not.
        (tmp_path / "cordboard").write_text(text.replace("EUID", "TEST_EUID"))
        done = cordboard(tmp_path, "setup", PATH=path, TEST_EUID="1000")
        assert done.returncode == 1
        assert done.stderr.startswith("cordboard: these packages are missing; as root, run: apt-get update && apt-get")
        assert "libsrtp2-1" in done.stderr

    def test_a_full_disk_is_one_line(self, tmp_path: Path) -> None:
        program(tmp_path / "bin", "df", "echo header; echo disk 100 90 10 90% /")
        done = cordboard(tmp_path, "setup", PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        assert done.returncode == 1
        assert done.stderr == f"cordboard: 1000 MB of disk are needed in {tmp_path}, and 10 MB are free\n"


class TestPjsua2:
    def build(self, tmp_path: Path, source: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "requirements/pjsua2.sh", "build", sys.executable],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PJPROJECT_SOURCE": str(source)},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_an_unreadable_source_is_one_line(self, tmp_path: Path) -> None:
        done = self.build(tmp_path, tmp_path / "nowhere")
        assert done.returncode == 1
        assert done.stderr == (
            f"cordboard: PJPROJECT_SOURCE={tmp_path / 'nowhere'} cannot be read; "
            "it must be a pjproject folder or tarball\n"
        )

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({}, "version.mak is missing"),
            (
                {"version.mak": "export PJ_VERSION_MAJOR  := 2\nexport PJ_VERSION_MINOR  := 15\n"},
                "pjproject 2.15 is too old, 2.17 is needed",
            ),
        ],
    )
    def test_a_wrong_source_is_named(self, tmp_path: Path, files: dict[str, str], message: str) -> None:
        source = tmp_path / "source"
        source.mkdir()
        for name, text in files.items():
            (source / name).write_text(text)
        done = self.build(tmp_path, source)
        assert done.returncode == 1
        assert message in done.stderr
        assert not list((tmp_path / "cache/cordboard/pjsua2").glob("build.??????"))

    def test_the_installed_library_is_the_one_that_this_checkout_asks_for(self) -> None:
        import pjsua2

        assert hasattr(pjsua2.Account, "onAuthChallenge")
        assert (
            subprocess.run(
                [ROOT / "requirements/pjsua2.sh", "check", sys.executable], capture_output=True, check=False
            ).returncode
            == 0
        )

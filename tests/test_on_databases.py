"""`./cordboard test` on two databases, and that nothing is left of the PostgreSQL that it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import on_databases
from tests.on_databases import Lane, Run, verdict
from tests.postgresql import ROOT, Cluster
from tests.waiting import until

# One test that needs no database, and two that do.
ONLY_SQLITE = """
import pytest
from django.contrib.auth.models import User
from django.db import connection

def test_none():
    pass

@pytest.mark.django_db
def test_any():
    assert not User.objects.exists()

@pytest.mark.django_db
def test_one():
    assert connection.vendor == "sqlite"
"""
USES_ONE = "from tests.postgresql import Cluster; c = Cluster(); print(c.folder, flush=True); input()"


def servers(folder: Path) -> list[int]:
    """Return the PostgreSQL processes of this cluster."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


class TestTheCluster:
    """The keeper ends it when whoever started it is gone, however."""

    @pytest.fixture
    def user(self) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-c", USES_ONE], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        yield process
        process.kill()
        process.communicate()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_nothing_is_left_of_it(self, user: subprocess.Popen[str], number: signal.Signals) -> None:
        assert user.stdout is not None
        folder = Path(user.stdout.readline().strip())
        assert servers(folder)
        os.killpg(user.pid, number)
        until(lambda: not folder.exists() and not servers(folder))

    def test_it_has_no_port_and_is_nobody_elses(self) -> None:
        cluster = Cluster()
        try:
            assert not (cluster.folder.stat().st_mode & 0o007)
            assert (cluster.folder / ".s.PGSQL.5432").is_socket()
            assert (cluster.folder / "data" / "postmaster.pid").read_text().splitlines()[5] == ""
        finally:
            cluster.close()
        assert not cluster.folder.exists()

    def test_its_server_does_not_run_as_root(self) -> None:
        cluster = Cluster()
        try:
            pid = int((cluster.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
            assert Path(f"/proc/{pid}").stat().st_uid == (cluster.folder / "data").stat().st_uid != 0
        finally:
            cluster.close()


def run_tests(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run what `./cordboard test` runs, as from a shell: without the marks that the tests around it have left."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "CORDBOARD_TEST_")) and name != "DATABASE_URL"
    }
    return subprocess.run(
        [sys.executable, "-m", "tests.on_databases", *arguments], cwd=ROOT, env=clean | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


class TestTheCommand:
    def test_both_are_told_together_at_the_end_and_a_failure_on_either_is_one(self, tmp_path: Path) -> None:
        (tmp_path / "test_x.py").write_text(ONLY_SQLITE)
        both = {"CORDBOARD_TEST_DATABASES": "sqlite,postgresql"}
        done = run_tests("-q", "-c", str(ROOT / "pyproject.toml"), str(tmp_path), **both)
        assert done.returncode == 1, done.stdout + done.stderr
        failed, sqlite, postgresql = done.stdout.splitlines()[-3:]
        assert failed.startswith("cordboard: failed on PostgreSQL: ")
        assert failed.endswith("test_x.py::test_one")
        assert sqlite.startswith("cordboard: SQLite: 3 passed in ")
        assert postgresql.startswith("cordboard: PostgreSQL: 1 failed, 1 passed in ")

    def test_one_alone_can_be_chosen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CORDBOARD_TEST_DATABASES", " postgresql ")
        assert on_databases.chosen() == ["postgresql"]
        monkeypatch.delenv("CORDBOARD_TEST_DATABASES")
        assert on_databases.chosen() == ["sqlite"]

    def test_a_wrong_name_is_one_line(self) -> None:
        done = run_tests(CORDBOARD_TEST_DATABASES="mysql")
        assert done.returncode == 1
        assert done.stderr == "cordboard: CORDBOARD_TEST_DATABASES=mysql is not a list of sqlite, postgresql\n"

    @pytest.mark.parametrize(
        ("codes", "code"), [([0, 0], 0), ([0, 5], 0), ([5, 5], 5), ([1, 0], 1), ([0, 1], 1), ([2], 2), ([1, 2], 1)]
    )
    def test_its_exit_code_is_that_of_the_first_trouble(self, codes: list[int], code: int) -> None:
        assert verdict(codes) == code

    @pytest.mark.parametrize(
        ("run", "line"),
        [
            (Run("sqlite", 0, 75, 12, ()), "SQLite: 12 passed in 1 min 15 s"),
            (Run("postgresql", 1, 5, 12, ("a", "b")), "PostgreSQL: 2 failed, 12 passed in 0 min 5 s"),
            (Run("sqlite", 5, 1, 0, ()), "SQLite: no tests in 0 min 1 s"),
            (Run("sqlite", 4, 1, 0, ()), "SQLite: ended with 4 in 0 min 1 s"),
            (Run("sqlite", 0, 75, 12, (), "SIP"), "SQLite, SIP: 12 passed in 1 min 15 s"),
        ],
    )
    def test_a_line_says_what_came_of_it(self, run: Run, line: str) -> None:
        assert run.line == line

    def test_each_test_is_in_one_lane_and_each_lane_shares_its_own_out(self) -> None:
        assert [lane.arguments[-2:] for lane in on_databases.EVERYTHING] == [("4", "tests/sip"), ("tests/sip", "tests")]
        assert all("-n" in lane.arguments for lane in on_databases.EVERYTHING)

    def test_what_several_lanes_say_is_told_with_their_names(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        """As if they were the only tests."""
        (tmp_path / "test_x.py").write_text(ONLY_SQLITE)
        both = ("-q", "-c", str(ROOT / "pyproject.toml"), str(tmp_path), "-k")
        monkeypatch.setattr(on_databases, "EVERYTHING", (Lane("one", (*both, "any")), Lane("two", (*both, "none"), 5)))
        monkeypatch.setenv("CORDBOARD_TEST_DATABASES", "sqlite")
        monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # the lanes are none of ours
        assert on_databases.main([]) == 0
        said = capfd.readouterr().out.splitlines()
        assert any(line.startswith("SQLite, one | 1 passed") for line in said)
        assert any(line.startswith("SQLite, two | 1 passed") for line in said)
        assert [line.partition(" in ")[0] for line in said[-2:]] == [
            "cordboard: SQLite, one: 1 passed",
            "cordboard: SQLite, two: 1 passed",
        ]

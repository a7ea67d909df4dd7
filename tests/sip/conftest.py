"""One real engine for all tests of this folder; each test brings its own peers and a number of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import Database
from tests.sip.harness import Engine, Lab, TwimlServer
from tests.sip.sipp import Peers
from tests.sip.softphones import Softphones
from tests.sip.switch import Switch

_numbers = itertools.count(1001)
# What these files look at is SIP, media and TwiML: their calls go through the same journal as those of the other files,
# so once, on SQLite, is enough. The others run on both databases.
ONE_DATABASE = frozenset(
    {
        "test_bridge", "test_capacity", "test_demo_call", "test_dialling", "test_digits", "test_dtmf",
        "test_headers", "test_hold", "test_media", "test_reason", "test_refer", "test_requests",
        "test_ring_tones", "test_screening", "test_silence", "test_srtp", "test_transport", "test_verbs",
    }
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.sip)
            if item.path.stem in ONE_DATABASE:
                item.add_marker(pytest.mark.database("sqlite"))


@pytest.fixture(scope="session")
def server() -> Iterator[TwimlServer]:
    made = TwimlServer()
    yield made
    made.close()


@pytest.fixture(scope="session")
def database(server: TwimlServer, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database with domains and credentials, for engines to begin with a copy of."""
    made = Engine(tmp_path_factory.mktemp("database"), server)
    made.prepare(server)
    return made.database


@pytest.fixture(scope="session")
def engine(server: TwimlServer, database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(tmp_path_factory.mktemp("engine"), server, database) as made:
        yield made


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Peers]:
    made = Peers(tmp_path)
    yield made
    made.end()


@pytest.fixture
def softphones(tmp_path: Path) -> Iterator[Softphones]:
    made = Softphones(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="session")
def switch() -> Iterator[Switch]:
    """The SIP adapter alone, shared by the tests that need no setting of their own."""
    made = Switch()
    yield made
    made.stop()


@pytest.fixture
def number() -> str:
    """A dialled number that no other test uses."""
    return str(next(_numbers))


@pytest.fixture
def lab(engine: Engine, server: TwimlServer, peers: Peers, number: str) -> Lab:
    return Lab(engine, server, peers, number)

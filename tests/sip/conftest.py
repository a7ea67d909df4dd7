"""One real engine for all tests of this folder; each test brings its own peers and a number of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sip.harness import Engine, TwimlServer
from tests.sip.sipp import Peers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.sip)
            item.add_marker(pytest.mark.xdist_group("sip"))


@pytest.fixture(scope="session")
def server() -> Iterator[TwimlServer]:
    made = TwimlServer()
    yield made
    made.close()


@pytest.fixture(scope="session")
def engine(server: TwimlServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    made = Engine(tmp_path_factory.mktemp("engine"), server)
    made.prepare()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Peers]:
    made = Peers(tmp_path)
    yield made
    made.end()

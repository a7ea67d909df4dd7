"""PostgreSQL is stopped, or crashes, and is started again in the midst of calls: they go on, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import databases
from tests.postgresql import Cluster
from tests.sip.harness import Engine, Lab, TwimlServer, finish, statuses
from tests.sip.sipp import Peers, until
from tests.sip.steps import ANSWERS, TALKS

pytestmark = pytest.mark.database("postgresql")

AWAY = "the database is away"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server of this file's own, since it is taken away."""
    made = Cluster()
    yield made
    made.close()


@pytest.fixture(scope="module")
def engine(server: TwimlServer, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    empty = databases.empty_of(cluster.url().rpartition("/")[0])
    made = Engine(tmp_path_factory.mktemp("engine"), server, empty)
    made.prepare(server)
    with made:
        yield made


@pytest.fixture(params=["stop", "crash"])
def how(request: pytest.FixtureRequest) -> str:
    """Stopped by an operator, connections being ended in order; or gone from one moment to the next."""
    return str(request.param)


def test_calls_that_end_or_begin_meanwhile_are_all_in_the_log(
    engine: Engine, server: TwimlServer, peers: Peers, cluster: Cluster, number: str, how: str
) -> None:
    before = Lab(engine, server, peers, f"{number}1")
    meanwhile = Lab(engine, server, peers, f"{number}2")
    phones = [lab.phone(*ANSWERS) for lab in (before, meanwhile)]
    for lab, phone in zip((before, meanwhile), phones, strict=True):
        lab.dial(phone, action="/done")
    server.serve("/done", b"<Response/>")
    away = engine.log.read_text().count(AWAY)
    first = before.call(*TALKS)
    until(lambda: engine.rows("SELECT sid FROM calls_call WHERE to_user=?", before.number), what="the call in the log")
    cluster.ask(how)
    finish(first, meanwhile.call(*TALKS), *phones)
    until(lambda: engine.log.read_text().count(AWAY) > away, what="the writer's word")
    cluster.ask("start")
    for lab in (before, meanwhile):
        call = lab.log()
        assert statuses(call) == [("completed", 200)]
        numbers = engine.rows("SELECT number FROM calls_callevent WHERE call_id=? ORDER BY number", call["sid"])
        assert [row["number"] for row in numbers] == list(range(len(numbers)))
        assert {"invite", "leg.answered", "bridged", "leg.ended", "ended"} <= set(engine.timeline(call["sid"]))


def test_what_changes_afterwards_reaches_the_engine(engine: Engine, cluster: Cluster, how: str) -> None:
    """Its connections for routing, queued calls and commands are opened anew, too."""
    cluster.ask(how)
    until(lambda: "routing cannot be read" in engine.log.read_text(), what="the engine's word")
    cluster.ask("start")
    engine.change_routing(f"SipDomain.objects.filter(domain_name='closed.example').first().save()  # {how}")

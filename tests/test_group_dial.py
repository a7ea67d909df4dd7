"""Ring groups as TwiML: the order of each strategy, times of members, who is left out, and what is left for later."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from pytest_django import DjangoAssertNumQueries

from routing import turns
from routing.callers import Caller
from routing.models import Account, Endpoint, RingGroup, RingGroupMember, RingGroupTurn
from routing.presence import Known
from routing.resolve import Destination
from routing.situation import Situation, preview
from routing.voice import Context, Served, document, follow_up
from tests import rows

pytestmark = pytest.mark.django_db
NOBODY = "This group answered nobody."
STRATEGIES = [strategy.value for strategy in RingGroup.Strategy]


@pytest.fixture
def account() -> Account:
    return rows.account()


def names(served: Served) -> list[str]:
    return [(noun.text or "").removeprefix("sip:").partition("@")[0] for noun in elements(served, "Sip")]


def elements(served: Served, tag: str) -> list[Any]:
    return list(etree.fromstring(served.xml.encode()).iter(tag))


def attribute(served: Served, name: str) -> str | None:
    value = elements(served, "Dial")[0].get(name)
    return None if value is None else str(value)


def left(served: Served) -> tuple[int, ...]:
    query = parse_qs(urlsplit(attribute(served, "action") or "").query)
    return tuple(map(int, query.get("left", [""])[0].split(","))) if "left" in query else ()


def ring(group: RingGroup, situation: Situation = Situation(), **context: Any) -> Served:  # noqa: B008 (frozen)
    return document(Destination(group, ()), Context("ringing", situation=situation, **context))


def whole_hunt(group: RingGroup, situation: Situation) -> list[list[str]]:
    """Return who rings in each Dial when nobody answers."""
    served, stages = ring(group, situation), []
    while elements(served, "Dial"):
        stages.append(names(served))
        served = follow_up(group, Context("ringing", "no-answer", left=left(served), situation=situation))
    assert [say.text for say in elements(served, "Say")] == [NOBODY]
    return stages


def team(account: Account, count: int, **fields: Any) -> RingGroup:
    phones = [rows.endpoint(account, f"p{number}") for number in range(count)]
    return rows.group(account, *phones, fallback="say", fallback_text=NOBODY, **fields)


class TestOrder:
    @pytest.mark.parametrize("strategy", STRATEGIES)
    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_each_member_rings_once_whatever_is_drawn(self, data: st.DataObject, strategy: str) -> None:
        account = rows.account()
        try:
            count = data.draw(st.sampled_from([10, 2] if strategy == "parallel" else [13, 11, 3, 0]))
            group = team(account, count, strategy=strategy)
            members = list(group.members.all())
            for member in members:
                member.ring_timeout = data.draw(st.sampled_from([None, 30, 15]))
                member.weight = data.draw(st.integers(1, 100))
            RingGroupMember.objects.bulk_update(members, ["ring_timeout", "weight"])
            # A second draw, turn or end of a conversation between two Dials must not matter.
            rand = random.Random(data.draw(st.integers(0, 99)))
            live = Situation(rand=rand.random, turn=turns.take, real=True)
            rung = [name for stage in whole_hunt(group, live) for name in stage]
            assert sorted(rung) == sorted(f"p{number}" for number in range(count))
        finally:
            RingGroup.objects.all().delete()
            Endpoint.objects.all().delete()
            account.delete()

    def test_a_random_group_rings_as_drawn(self, account: Account) -> None:
        group = team(account, 5, strategy="random")
        orders = {tuple(names(ring(group, Situation(rand=random.Random(seed).random)))) for seed in range(8)}
        assert len(orders) > 4
        assert attribute(ring(group), "sequential") == "true"

    @pytest.mark.parametrize("strategy", ["random", "sequential"])
    def test_a_preview_shows_the_members_in_their_own_order(self, account: Account, strategy: str) -> None:
        assert names(ring(team(account, 3, strategy=strategy), preview())) == ["p0", "p1", "p2"]

    def test_the_likeliest_order_of_a_weighted_group_is_shown(self, account: Account) -> None:
        group = team(account, 3, strategy="weighted")
        RingGroupMember.objects.filter(endpoint__name="p2").update(weight=100)
        assert names(ring(group, preview())) == ["p2", "p0", "p1"]

    def test_longest_idle_begins_with_who_has_not_talked_for_longest(self, account: Account) -> None:
        group = team(account, 4, strategy="longest-idle")
        first, second, third, fourth = Endpoint.objects.order_by("name")
        talked = {first.pk: datetime(2026, 11, 23, 12, tzinfo=UTC), second.pk: datetime(2026, 11, 23, 11, tzinfo=UTC)}
        known = Known(engaged={third.pk}, last_talked=talked)
        served = ring(group, Situation(presence=known))
        assert names(served) == ["p3", "p1", "p0", "p2"]


class TestTurns:
    def test_each_call_begins_with_the_next_member(self, account: Account) -> None:
        group = team(account, 3, strategy="round-robin")
        live = Situation(turn=turns.take, real=True)
        assert [names(ring(group, live))[0] for _ in range(4)] == ["p0", "p1", "p2", "p0"]

    def test_looking_takes_no_turn(self, account: Account) -> None:
        group = team(account, 3, strategy="round-robin")
        turns.take(group.pk)
        assert [names(ring(group, preview()))[0] for _ in range(3)] == ["p1"] * 3
        assert RingGroupTurn.objects.get(group=group).taken == 1

    def test_what_follows_takes_no_turn(self, account: Account) -> None:
        group = team(account, 12, strategy="round-robin")
        whole_hunt(group, Situation(turn=turns.take))
        assert RingGroupTurn.objects.get(group=group).taken == 1

    def test_a_group_can_be_deleted_with_its_turns(self, account: Account) -> None:
        group = team(account, 1, strategy="round-robin")
        turns.take(group.pk)
        group.delete()
        assert not RingGroupTurn.objects.exists()

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.database("postgresql")  # threads that share SQLite in memory are refused where a file's would wait
    def test_two_calls_at_once_never_get_the_same_turn(self) -> None:
        group = team(rows.account(), 3, strategy="round-robin")
        taken: list[int] = []

        def take() -> None:
            try:
                taken.extend(turns.take(group.pk) for _ in range(10))
            finally:
                connection.close()

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == list(range(40))


class TestTimes:
    def test_neighbours_with_one_timeout_share_a_dial(self, account: Account) -> None:
        group = team(account, 4, strategy="sequential", ring_timeout=20)
        RingGroupMember.objects.filter(endpoint__name="p2").update(ring_timeout=45)
        first = ring(group)
        assert (names(first), attribute(first, "timeout")) == (["p0", "p1"], "20")
        second = follow_up(group, Context("ringing", "no-answer", left=left(first)))
        assert (names(second), attribute(second, "timeout")) == (["p2"], "45")
        assert whole_hunt(group, Situation()) == [["p0", "p1"], ["p2"], ["p3"]]

    def test_a_timeout_that_is_the_groups_is_none_of_its_own(self, account: Account) -> None:
        group = team(account, 2, strategy="sequential", ring_timeout=20)
        RingGroupMember.objects.filter(endpoint__name="p1").update(ring_timeout=20)
        assert whole_hunt(group, Situation()) == [["p0", "p1"]]

    def test_while_all_ring_at_once_it_has_no_effect_and_that_is_said(self, account: Account) -> None:
        group = team(account, 2)
        RingGroupMember.objects.filter(endpoint__name="p1").update(ring_timeout=45)
        served = ring(group)
        assert (names(served), attribute(served, "timeout")) == (["p0", "p1"], None)
        assert any("no effect while all ring at once" in reason for reason in served.why)


class TestLeftOut:
    def test_who_is_in_a_call_is_skipped(self, account: Account) -> None:
        group = team(account, 3, skip_busy=True)
        busy = Endpoint.objects.get(name="p1")
        served = ring(group, Situation(presence=Known({busy.pk})))
        assert names(served) == ["p0", "p2"]
        assert "p1 is left out: it is in a call." in served.why

    def test_without_the_setting_the_busy_ring_too(self, account: Account) -> None:
        group = team(account, 2)
        everybody = Known(set(Endpoint.objects.values_list("pk", flat=True)))
        assert names(ring(group, Situation(presence=everybody))) == ["p0", "p1"]

    def test_when_all_are_in_a_call_nobody_answers_at_once(self, account: Account) -> None:
        group = team(account, 2, skip_busy=True)
        everybody = Known(set(Endpoint.objects.values_list("pk", flat=True)))
        served = ring(group, Situation(presence=everybody))
        assert not elements(served, "Dial")
        assert [say.text for say in elements(served, "Say")] == [NOBODY]
        assert "Everybody in group Support is in a call." in served.why
        group.fallback = "hangup"
        assert elements(ring(group, Situation(presence=everybody)), "Reject")[0].get("reason") == "busy"

    def test_who_has_begun_to_talk_meanwhile_is_skipped_in_the_next_dial(self, account: Account) -> None:
        group = team(account, 12, strategy="sequential", skip_busy=True)
        first = ring(group)
        busy = Known({Endpoint.objects.get(name="p10").pk})
        given = Context("ringing", "busy", left=left(first), situation=Situation(presence=busy))
        assert names(follow_up(group, given)) == ["p11"]

    def test_the_caller_is_not_rung(self, account: Account) -> None:
        group = team(account, 3)
        caller = Caller("sip:p1@calls.example.com", "p1", "calls.example.com")
        served = ring(group, caller=caller)
        assert names(served) == ["p0", "p2"]
        assert "p1 is left out: it is the one who calls." in served.why
        group.exclude_caller = False
        assert names(ring(group, caller=caller)) == ["p0", "p1", "p2"]

    def test_a_member_that_was_removed_meanwhile_is_not_missed(self, account: Account) -> None:
        group = team(account, 12, strategy="sequential")
        first = ring(group)
        RingGroupMember.objects.filter(endpoint__name="p10").delete()
        assert names(follow_up(group, Context("ringing", "no-answer", left=left(first)))) == ["p11"]

    def test_members_of_other_groups_are_none_that_are_left(self, account: Account) -> None:
        group = team(account, 1)
        other = rows.group(account, rows.endpoint(account, "spy"), name="Other")
        stranger = other.members.get().pk
        assert not elements(follow_up(group, Context("ringing", "no-answer", left=(stranger,))), "Dial")


class TestCallerId:
    def test_the_prefix_goes_before_the_callers_number(self, account: Account) -> None:
        group = team(account, 1, caller_id_prefix="Sales-")
        assert attribute(ring(group, caller=Caller("sip:+4930123@x.example")), "callerId") == "Sales-+4930123"

    def test_it_goes_before_the_groups_own_too(self, account: Account) -> None:
        group = team(account, 1, caller_id_prefix="Sales-", caller_id="100")
        assert attribute(ring(group, caller=Caller("+4930123")), "callerId") == "Sales-100"

    def test_an_unknown_caller_has_the_prefix_alone(self, account: Account) -> None:
        group = team(account, 1, caller_id_prefix="Sales-")
        assert attribute(ring(group, Situation(real=True)), "callerId") == "Sales-"

    def test_a_preview_says_that_the_number_is_an_example(self, account: Account) -> None:
        served = ring(team(account, 1, caller_id_prefix="Sales-"), preview())
        assert (attribute(served, "callerId") or "").startswith("Sales-49")
        assert any("is an example" in reason for reason in served.why)


class TestConfirmation:
    def test_members_are_screened_by_a_document_of_ours(self, account: Account) -> None:
        phone = rows.endpoint(account, screening_url="https://own.example/", screening_method="GET")
        group = rows.group(account, phone, confirm=True)
        (noun,) = elements(ring(group), "Sip")
        assert (noun.get("url"), noun.get("method")) == (f"/voice/screen/{group.pk}/{phone.pk}/", None)

    def test_so_is_an_endpoint_that_is_rung_when_nobody_answers(self, account: Account) -> None:
        last = rows.endpoint(account, "Last")
        group = rows.group(account, confirm=True, fallback="endpoint", fallback_endpoint=last)
        (noun,) = elements(ring(group), "Sip")
        assert noun.get("url") == f"/voice/screen/{group.pk}/{last.pk}/"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_queries_do_not_grow_with_the_members(
    account: Account, strategy: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    group = team(account, 10, strategy=strategy, skip_busy=True, confirm=True)
    with django_assert_max_num_queries(4):
        ring(group, replace(preview(), rand=random.random))

"""Ring groups through /api/v1/: members in order, ETags, what is served and ringing.

Source: docs/api.md; RFC 9110 §13 (conditional requests), RFC 6585 §3 (428).
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from calls.models import Call, CallRequest
from routing.models import Account, Endpoint, RingGroup, RingGroupMember, Schedule
from tests import rows
from tests.api.v1 import V1, Reply, by_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def v1(account: Account) -> V1:
    return by_token(account)


@pytest.fixture
def phones(account: Account) -> list[Endpoint]:
    return [rows.endpoint(account, name) for name in ("Alice", "Bob", "Carol")]


def members(answer: Reply) -> list[str]:
    return [member["name"] for member in answer["members"]]


def chosen(*phones: Endpoint) -> list[dict[str, Any]]:
    return [{"endpoint": phone.pk} for phone in phones]


class TestMaking:
    def test_a_group_is_made_with_its_members_in_order(self, v1: V1, phones: list[Endpoint], account: Account) -> None:
        alice, bob, carol = phones
        made = v1.post(
            "ring-groups", {"name": "Support", "strategy": "sequential", "members": chosen(carol, alice, bob)}
        )
        assert (made.status, members(made)) == (201, ["Carol", "Alice", "Bob"])
        group = RingGroup.objects.get(pk=made["id"])
        assert (group.account, group.strategy) == (account, "sequential")
        assert [member.endpoint.name for member in group.members.all()] == ["Carol", "Alice", "Bob"]

    def test_a_member_may_be_disabled(self, v1: V1, phones: list[Endpoint]) -> None:
        made = v1.post("ring-groups", {"name": "S", "members": [{"endpoint": phones[0].pk, "enabled": False}]})
        assert made["members"][0]["enabled"] is False

    def test_nothing_is_stored_when_a_member_is_wrong(self, v1: V1, phones: list[Endpoint]) -> None:
        foreign = rows.endpoint(rows.account("Other"), "Mallory")
        refused = v1.post("ring-groups", {"name": "S", "members": chosen(phones[0], foreign)})
        assert refused.status == 400
        assert list(refused["errors"]) == ["members[1].endpoint"]
        assert not RingGroup.objects.exists()

    def test_an_endpoint_cannot_be_in_a_group_twice(self, v1: V1, phones: list[Endpoint]) -> None:
        refused = v1.post("ring-groups", {"name": "S", "members": chosen(phones[0], phones[0])})
        assert refused["errors"]["members[1].endpoint"] == ["Alice is in the group twice: remove one of the two."]

    def test_more_than_ten_cannot_ring_at_once(self, v1: V1, account: Account) -> None:
        phones = [rows.endpoint(account, f"Phone{number}") for number in range(11)]
        refused = v1.post("ring-groups", {"name": "S", "members": chosen(*phones)})
        assert "13250" in refused["errors"]["members"][0]
        assert v1.post("ring-groups", {"name": "S", "strategy": "sequential", "members": chosen(*phones)}).status == 201

    def test_what_the_admin_refuses_is_refused_with_its_words(self, v1: V1) -> None:
        refused = v1.post("ring-groups", {"name": "S", "fallback": "say"})
        assert refused["errors"] == {
            "fallback_text": ["Fill this in, or choose something else for “if nobody answers”."]
        }

    def test_a_chain_of_fallbacks_that_leads_back_is_refused(self, v1: V1, account: Account) -> None:
        first = rows.group(account, name="First")
        second = rows.group(account, name="Second", fallback="group", fallback_group=first)
        refused = v1.patch(f"ring-groups/{first.pk}", {"fallback": "group", "fallback_group": second.pk}, If_Match="*")
        assert "First → Second → First" in refused["errors"]["fallback_group"][0]

    def test_a_chain_through_opening_hours_is_refused_too(self, v1: V1, account: Account) -> None:
        hours = Schedule.objects.create(account=account, name="Office")
        first = rows.group(account, name="First")
        second = rows.group(account, name="Second", schedule=hours, closed="group", closed_group=first)
        third = rows.group(account, name="Third", fallback="group", fallback_group=second)
        closing = {"fallback": "group", "fallback_group": third.pk}
        refused = v1.patch(f"ring-groups/{first.pk}", closing, If_Match="*")
        assert "First → Third → Second → First" in refused["errors"]["fallback_group"][0]
        second.schedule = None  # open always: nobody is sent on
        second.save()
        assert v1.patch(f"ring-groups/{first.pk}", closing, If_Match="*").status == 200

    @pytest.mark.django_db(transaction=True)
    def test_two_changes_at_once_do_not_close_a_loop(self, account: Account) -> None:
        first, second = rows.group(account, name="First"), rows.group(account, name="Second")
        start, answers = threading.Barrier(2), []

        def change(group: RingGroup, other: RingGroup) -> None:
            v1, given = by_token(account), {"fallback": "group", "fallback_group": other.pk}
            start.wait()
            try:
                while (status := v1.patch(f"ring-groups/{group.pk}", given, If_Match="*").status) == 503:
                    pass
                answers.append(status)
            finally:
                connection.close()

        threads = [threading.Thread(target=change, args=pair) for pair in ((first, second), (second, first))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [200, 400]

    def test_strategy_and_settings_of_members_are_stored(self, v1: V1, phones: list[Endpoint]) -> None:
        given = {
            "name": "S",
            "strategy": "weighted",
            "skip_busy": True,
            "exclude_caller": False,
            "confirm": True,
            "caller_id_prefix": "Sales-",
            "members": [{"endpoint": phones[0].pk, "ring_timeout": 15, "weight": 80}, {"endpoint": phones[1].pk}],
        }
        made = v1.post("ring-groups", given)
        assert {name: made[name] for name in given if name != "members"} == {
            name: value for name, value in given.items() if name != "members"
        }
        assert [(one["ring_timeout"], one["weight"]) for one in made["members"]] == [(15, 80), (None, 50)]
        assert made["summary"] == (
            "Rings Alice and Bob one after the other, in an order drawn by weight, 15 to 30 s each, then hangs up. "
            "Members in a call are skipped. Whoever answers must press 1. The caller is shown as Sales-…"
        )

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"strategy": "loudest"}, "strategy"),
            ({"caller_id_prefix": "Sal es"}, "caller_id_prefix"),
            ({"caller_id_prefix": "x" * 25}, "caller_id_prefix"),
            ({"skip_busy": "maybe"}, "skip_busy"),
            ({"schedule": 999}, "schedule"),
        ],
    )
    def test_settings_that_cannot_be_are_refused(self, v1: V1, given: dict[str, Any], field: str) -> None:
        assert list(v1.post("ring-groups", {"name": "S", **given})["errors"]) == [field]

    @pytest.mark.parametrize("given", [{"ring_timeout": 4}, {"ring_timeout": 601}, {"weight": 0}, {"weight": 101}])
    def test_settings_of_members_have_limits(self, v1: V1, phones: list[Endpoint], given: dict[str, int]) -> None:
        refused = v1.post("ring-groups", {"name": "S", "members": [{"endpoint": phones[0].pk, **given}]})
        assert list(refused["errors"]) == [f"members[0].{next(iter(given))}"]


class TestChanging:
    def test_one_request_puts_the_members_into_another_order(
        self, v1: V1, account: Account, phones: list[Endpoint]
    ) -> None:
        alice, bob, carol = phones
        group = rows.group(account, alice, bob, carol)
        kept = set(group.members.values_list("pk", flat=True))
        tag = v1.get(f"ring-groups/{group.pk}").headers["ETag"]
        changed = v1.patch(f"ring-groups/{group.pk}", {"members": chosen(carol, alice, bob)}, If_Match=tag)
        assert (changed.status, members(changed)) == (200, ["Carol", "Alice", "Bob"])
        assert set(RingGroupMember.objects.values_list("pk", flat=True)) == kept

    def test_members_that_are_not_named_leave(self, v1: V1, account: Account, phones: list[Endpoint]) -> None:
        group = rows.group(account, *phones)
        changed = v1.patch(f"ring-groups/{group.pk}", {"members": chosen(phones[1])}, If_Match="*")
        assert members(changed) == ["Bob"]
        assert group.members.count() == 1

    def test_a_patch_leaves_alone_what_it_does_not_name(self, v1: V1, account: Account, phones: list[Endpoint]) -> None:
        group = rows.group(account, *phones, ring_timeout=45)
        changed = v1.patch(f"ring-groups/{group.pk}", {"name": "Sales"}, If_Match="*")
        assert (changed["name"], changed["ring_timeout"], members(changed)) == ("Sales", 45, ["Alice", "Bob", "Carol"])

    def test_what_was_fetched_can_be_put_back(self, v1: V1, account: Account, phones: list[Endpoint]) -> None:
        group = rows.group(account, *phones)
        fetched = v1.get(f"ring-groups/{group.pk}")
        put = v1.put(f"ring-groups/{group.pk}", fetched.body, If_Match=fetched.headers["ETag"])
        assert (put.status, put.body, put.headers["ETag"]) == (200, fetched.body, fetched.headers["ETag"])

    def test_a_strategy_that_the_members_do_not_fit_is_refused(self, v1: V1, account: Account) -> None:
        phones = [rows.endpoint(account, f"Phone{number}") for number in range(11)]
        group = rows.group(account, *phones, strategy="sequential")
        refused = v1.patch(f"ring-groups/{group.pk}", {"strategy": "parallel"}, If_Match="*")
        assert (refused.status, list(refused["errors"])) == (400, ["members"])
        group.refresh_from_db()
        assert group.strategy == "sequential"

    def test_it_cannot_move_to_another_account(self, v1: V1, account: Account) -> None:
        group, other = rows.group(account), rows.account("Other")
        refused = v1.patch(f"ring-groups/{group.pk}", {"account": other.sid}, If_Match="*")
        assert "account" in refused["errors"]

    def test_a_group_that_a_route_needs_cannot_be_deleted(self, v1: V1, account: Account) -> None:
        group = rows.group(account)
        rows.route(rows.domain(account), "100", group=group)
        refused = v1.delete(f"ring-groups/{group.pk}")
        assert (refused.status, refused["code"]) == (409, "in-use")
        assert "route 100 at calls.example.com" in refused["detail"]

    def test_a_group_is_deleted(self, v1: V1, account: Account, phones: list[Endpoint]) -> None:
        group = rows.group(account, *phones)
        assert v1.delete(f"ring-groups/{group.pk}").status == 204
        assert v1.get(f"ring-groups/{group.pk}").status == 404
        assert Endpoint.objects.count() == 3


class TestTwoOperators:
    """Who changes what somebody else has changed meanwhile is told, and nothing is lost."""

    def test_the_second_to_save_gets_412(self, v1: V1, account: Account, phones: list[Endpoint]) -> None:
        group = rows.group(account, *phones)
        path = f"ring-groups/{group.pk}"
        tag = v1.get(path).headers["ETag"]
        assert v1.patch(path, {"members": chosen(phones[0])}, If_Match=tag).status == 200
        second = v1.patch(path, {"members": chosen(phones[2])}, If_Match=tag)
        assert (second.status, second["code"]) == (412, "precondition-failed")
        now = v1.get(path)
        assert members(now) == ["Alice"]
        assert second.headers["ETag"] == now.headers["ETag"]

    def test_a_change_in_the_admin_counts_too(self, v1: V1, account: Account, phones: list[Endpoint]) -> None:
        group = rows.group(account, *phones)
        tag = v1.get(f"ring-groups/{group.pk}").headers["ETag"]
        RingGroupMember.objects.filter(endpoint=phones[0]).update(enabled=False)
        assert v1.patch(f"ring-groups/{group.pk}", {"name": "X"}, If_Match=tag).status == 412

    def test_what_is_only_shown_of_an_endpoint_does_not(self, v1: V1, account: Account, phones: list[Endpoint]) -> None:
        group = rows.group(account, *phones)
        tag = v1.get(f"ring-groups/{group.pk}").headers["ETag"]
        Endpoint.objects.filter(pk=phones[0].pk).update(name="Alicia")
        assert v1.patch(f"ring-groups/{group.pk}", {"name": "X"}, If_Match=tag).status == 200

    @pytest.mark.parametrize("method", ["put", "patch"])
    def test_a_change_without_if_match_gets_428(self, v1: V1, account: Account, method: str) -> None:
        group = rows.group(account)
        refused = v1.ask(method, f"ring-groups/{group.pk}", {"name": "X"})
        assert (refused.status, refused["code"]) == (428, "precondition-required")
        group.refresh_from_db()
        assert group.name == "Support"

    @pytest.mark.parametrize("header", ['W/"x"', "nonsense", '"a", "b"', ""])
    def test_a_tag_that_is_not_that_of_the_group_gets_412(self, v1: V1, account: Account, header: str) -> None:
        group = rows.group(account)
        assert v1.patch(f"ring-groups/{group.pk}", {"name": "X"}, If_Match=header).status == 412

    def test_one_of_several_tags_is_enough(self, v1: V1, account: Account) -> None:
        group = rows.group(account)
        tag = v1.get(f"ring-groups/{group.pk}").headers["ETag"]
        assert v1.patch(f"ring-groups/{group.pk}", {"name": "X"}, If_Match=f'"a", {tag}').status == 200

    def test_a_deletion_may_have_a_condition(self, v1: V1, account: Account) -> None:
        group = rows.group(account)
        assert v1.delete(f"ring-groups/{group.pk}", If_Match='"old"').status == 412
        assert RingGroup.objects.filter(pk=group.pk).exists()

    def test_what_has_not_changed_is_not_sent_again(self, v1: V1, account: Account) -> None:
        group = rows.group(account)
        tag = v1.get(f"ring-groups/{group.pk}").headers["ETag"]
        again = v1.get(f"ring-groups/{group.pk}", If_None_Match=tag)
        assert (again.status, again.raw) == (304, b"")

    @pytest.mark.django_db(transaction=True)
    def test_of_many_at_the_same_moment_one_wins(self, account: Account) -> None:
        group = rows.group(account)
        path, start, answers = f"ring-groups/{group.pk}", threading.Barrier(6), []
        tag = by_token(account).get(path).headers["ETag"]

        def change(number: int) -> None:
            v1 = by_token(account)
            start.wait()
            try:
                # SQLite in memory refuses those who come while somebody writes, instead of letting them wait.
                while (status := v1.patch(path, {"name": f"Name {number}"}, If_Match=tag).status) == 503:
                    pass
                answers.append((status, number))
            finally:
                connection.close()

        threads = [threading.Thread(target=change, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(status for status, _ in answers) == [200, 412, 412, 412, 412, 412]
        group.refresh_from_db()
        assert group.name == f"Name {min(answers)[1]}"


class TestListing:
    @pytest.fixture(autouse=True)
    def groups(self, account: Account, phones: list[Endpoint]) -> None:
        rows.group(account, phones[0], name="Sales", strategy="sequential")
        rows.group(account, phones[1], name="Support", record="record-from-answer")
        rows.group(account, name="Billing")

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("", ["Billing", "Sales", "Support"]),
            ("order=-name", ["Support", "Sales", "Billing"]),
            ("order=id", ["Sales", "Support", "Billing"]),
            ("strategy=sequential", ["Sales"]),
            ("strategy=sequential&strategy=parallel", ["Billing", "Sales", "Support"]),
            ("record=record-from-answer", ["Support"]),
            ("name=Billing", ["Billing"]),
            ("search=ill", ["Billing"]),
            ("search=bob", ["Support"]),
            ("search=nobody", []),
        ],
    )
    def test_filters_search_and_order(self, v1: V1, query: str, names: list[str]) -> None:
        assert [row["name"] for row in v1.get(f"ring-groups?{query}")["results"]] == names

    def test_by_member(self, v1: V1, phones: list[Endpoint]) -> None:
        assert [row["name"] for row in v1.get(f"ring-groups?endpoint={phones[1].pk}")["results"]] == ["Support"]

    def test_as_many_queries_for_one_as_for_many(self, v1: V1, account: Account, phones: list[Endpoint]) -> None:
        def queries() -> int:
            with CaptureQueriesContext(
                connection,
            ) as found:
                assert v1.get("ring-groups").status == 200
            return len(found)

        before = queries()
        for number in range(20):
            rows.group(account, *phones, name=f"Group {number}")
        assert queries() == before <= 4


class TestServing:
    def test_it_tells_what_is_served_now_and_why(self, v1: V1, account: Account, phones: list[Endpoint]) -> None:
        phones[0].username, phones[0].password = "alice", "top-secret"
        phones[0].save()
        group = rows.group(account, *phones[:2])
        served = v1.get(f"ring-groups/{group.pk}/twiml")
        assert "<Sip" in served["twiml"]
        assert "top-secret" not in served["twiml"]
        assert "Group Support rings 2 members at once for 30 s." in served["why"]


class TestRinging:
    def test_a_call_to_somebodys_phone_is_queued(self, v1: V1, account: Account, phones: list[Endpoint]) -> None:
        group = rows.group(account, *phones[1:])
        rung = v1.post(f"ring-groups/{group.pk}/ring", {"endpoint": phones[0].pk, "caller_id": "4711"})
        assert (rung.status, rung["status"], rung["from"]) == (201, "queued", "4711")
        assert CallRequest.objects.get(pk=rung["sid"]).url == f"http://testserver/voice/group/{group.pk}/"

    def test_the_same_key_rings_once(self, v1: V1, account: Account, phones: list[Endpoint]) -> None:
        path = f"ring-groups/{rows.group(account, *phones).pk}/ring"
        first, second = (v1.post(path, {"endpoint": phones[0].pk}, Idempotency_Key="k1") for _ in range(2))
        assert (first.status, first.body) == (second.status, second.body)
        assert second.headers["Idempotency-Replayed"] == "true"
        assert Call.objects.count() == 1

    @pytest.mark.parametrize("given", [{}, {"endpoint": 10**9}, {"endpoint": None}, {"endpoint": "x"}, [1], "x"])
    def test_without_a_phone_nothing_rings(self, v1: V1, account: Account, given: Any) -> None:
        refused = v1.post(f"ring-groups/{rows.group(account).pk}/ring", given)
        assert (refused.status, refused["code"]) == (400, "invalid")
        assert not Call.objects.exists()

    def test_a_disabled_phone_is_not_rung(self, v1: V1, account: Account) -> None:
        phone = rows.endpoint(account, enabled=False)
        refused = v1.post(f"ring-groups/{rows.group(account).pk}/ring", {"endpoint": phone.pk})
        assert list(refused["errors"]) == ["endpoint"]

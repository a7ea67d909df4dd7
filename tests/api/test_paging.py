"""Lists in pages, through the helper library and on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from twilio.rest import Client

from routing.models import Account, Application
from tests.api.wire import Wire, error_of

LIST = "Applications.json"
START = datetime(2026, 1, 1, tzinfo=UTC)


def applications(account: Account, count: int, **fields: Any) -> list[str]:
    """Make applications a second apart; return their SIDs, newest first."""
    made = Application.objects.bulk_create(
        Application(account=account, friendly_name=f"{number}", **fields) for number in range(count)
    )
    for number, row in enumerate(made):
        Application.objects.filter(pk=row.pk).update(created=START + timedelta(seconds=number))
    return [row.sid for row in reversed(made)]


def sids(response: Any) -> list[str]:
    return [row["sid"] for row in response.json()["applications"]]


class TestEnvelope:
    """Twilio's paging envelope; conformance §1.14."""

    def test_a_page_says_where_it_stands(self, wire: Wire, account: Account) -> None:
        applications(account, 5)
        page = wire.get(LIST, PageSize=2).json()
        base = f"/2010-04-01/Accounts/{account.sid}/Applications.json?PageSize=2&Page="
        assert (page["page"], page["page_size"], page["start"], page["end"]) == (0, 2, 0, 1)
        assert (page["uri"], page["first_page_uri"], page["previous_page_uri"]) == (base + "0", base + "0", None)
        assert page["next_page_uri"].startswith(base + "1&PageToken=PAAP")

    def test_the_second_page(self, wire: Wire, account: Account) -> None:
        applications(account, 5)
        page = wire.get(wire.get(LIST, PageSize=2).json()["next_page_uri"]).json()
        assert (page["page"], page["start"], page["end"]) == (1, 2, 3)
        assert "&PageToken=PBAP" in page["previous_page_uri"]

    def test_an_empty_list(self, wire: Wire) -> None:
        page = wire.get(LIST).json()
        assert (page["applications"], page["start"], page["end"], page["next_page_uri"]) == ([], 0, 0, None)
        assert page["page_size"] == 50

    def test_its_keys_are_the_documented_ones(self, wire: Wire) -> None:
        assert list(wire.get(LIST).json()) == [
            "first_page_uri",
            "next_page_uri",
            "previous_page_uri",
            "page",
            "page_size",
            "start",
            "end",
            "uri",
            "applications",
        ]

    def test_links_repeat_the_filters(self, wire: Wire, account: Account) -> None:
        applications(account, 3)
        Application.objects.update(friendly_name="a b&c")
        page = wire.get(LIST, FriendlyName="a b&c", PageSize=1).json()
        assert "FriendlyName=a+b%26c" in page["next_page_uri"]
        assert len(sids(wire.get(page["next_page_uri"]))) == 1


class TestFollowing:
    """Following next_page_uri names each row once, newest first."""

    def test_the_helper_library_gets_all(self, client: Client, account: Account) -> None:
        made = applications(account, 7)
        assert [row.sid for row in client.applications.list(page_size=3)] == made

    def test_a_page_that_is_just_full_is_the_last(self, wire: Wire, account: Account) -> None:
        applications(account, 3)
        assert wire.get(LIST, PageSize=3).json()["next_page_uri"] is None

    def test_rows_of_the_same_moment_are_told_apart(self, client: Client, account: Account) -> None:
        made = applications(account, 6)
        Application.objects.update(created=START)
        assert [row.sid for row in client.applications.list(page_size=2)] == sorted(made, reverse=True)

    def test_rows_added_meanwhile_shift_nothing(self, wire: Wire, account: Account) -> None:
        made = applications(account, 4)
        first = wire.get(LIST, PageSize=2)
        applications(account, 3)
        Application.objects.exclude(pk__in=made).update(created=START + timedelta(days=1))
        assert sids(first) + sids(wire.get(first.json()["next_page_uri"])) == made

    def test_rows_deleted_while_they_are_listed_skip_nothing(self, client: Client, account: Account) -> None:
        applications(account, 7)
        for row in client.applications.stream(page_size=2):
            row.delete()
        assert not Application.objects.exists()

    def test_back_again(self, wire: Wire, account: Account) -> None:
        made = applications(account, 6)
        second = wire.get(wire.get(LIST, PageSize=2).json()["next_page_uri"])
        third = wire.get(second.json()["next_page_uri"])
        back = wire.get(third.json()["previous_page_uri"])
        assert sids(back) == sids(second) == made[2:4]
        assert sids(wire.get(back.json()["previous_page_uri"])) == made[:2]
        assert sids(wire.get(back.json()["next_page_uri"])) == sids(third) == made[4:]

    def test_the_first_page_from_behind_has_none_before_it(self, wire: Wire, account: Account) -> None:
        applications(account, 4)
        second = wire.get(wire.get(LIST, PageSize=2).json()["next_page_uri"])
        assert wire.get(second.json()["previous_page_uri"]).json()["previous_page_uri"] is None

    def test_a_page_by_number(self, client: Client, account: Account) -> None:
        made = applications(account, 5)
        page = client.applications.page(page_number=1, page_size=2)
        assert [row.sid for row in page] == made[2:4]
        assert [row.sid for row in page.next_page() or ()] == made[4:]

    def test_a_limit_of_the_helper_library(self, client: Client, account: Account) -> None:
        applications(account, 5)
        assert len(client.applications.list(limit=3)) == 3


class TestWrongPlaces:
    """Negative and absurd sizes, tokens that are none of ours."""

    def test_more_than_1000_are_not_given_at_once(self, wire: Wire) -> None:
        assert wire.get(LIST, PageSize=100_000).json()["page_size"] == 1000

    @pytest.mark.parametrize("size", ["-1", "0", "x", "1.5", "9" * 40, "٣", "1e3", " "])
    def test_a_size_that_is_none(self, wire: Wire, size: str) -> None:
        assert error_of(wire.get(LIST, PageSize=size)) == (400, 20001)

    @pytest.mark.parametrize("page", ["-1", "x", "9" * 40])
    def test_a_page_that_is_none(self, wire: Wire, page: str) -> None:
        assert error_of(wire.get(LIST, Page=page)) == (400, 20001)

    def test_a_page_too_far_on_to_be_counted_to(self, wire: Wire) -> None:
        assert error_of(wire.get(LIST, Page=3000)) == (400, 20001)

    @pytest.mark.parametrize(
        "token", ["x", "PA", "PAAP" + "0" * 32, "PCAP" + "0" * 32 + "1", "PAAP" + "0" * 32 + "f" * 16, "PA\0", "PA'--"]
    )
    def test_a_token_that_is_none_of_ours(self, wire: Wire, token: str) -> None:
        assert error_of(wire.get(LIST, PageToken=token)) == (400, 21481)


def test_a_page_costs_the_same_however_many_rows_it_has(
    wire: Wire, account: Account, django_assert_num_queries: Any
) -> None:
    applications(account, 20)
    with django_assert_num_queries(2):  # who asks, and the rows
        wire.get(LIST)

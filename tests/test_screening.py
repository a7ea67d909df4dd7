"""Press 1 to take the call: what a member hears who must confirm."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from routing.drafts import Served
from routing.models import Account, Endpoint, RingGroup
from routing.screening import MOST_ASKED, spoken
from routing.situation import Situation
from routing.views import serve
from tests import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return rows.account()


@pytest.fixture
def alice(account: Account) -> Endpoint:
    return rows.endpoint(account)


@pytest.fixture
def group(account: Account, alice: Endpoint) -> RingGroup:
    return rows.group(account, alice, confirm=True)


def ask(group: RingGroup, query: str = "", endpoint: int = 0, **params: str) -> Served:
    pk = endpoint or group.members.get().endpoint_id
    given = {"From": "sip:+4930123@x.example", **params}
    served = serve(group.account, f"/voice/screen/{group.pk}/{pk}/{query}", given, Situation())
    assert served is not None
    return served


def tree(served: Served) -> Any:
    return etree.fromstring(served.xml.encode())


def test_it_says_who_calls_for_whom_and_asks_for_a_key(group: RingGroup) -> None:
    root = tree(ask(group))
    assert [child.tag for child in root] == ["Gather", "Hangup"]
    gather = root[0]
    assert gather.findtext("Say") == "Call for Support, from 4 9 3 0 1 2 3. Press 1 to take it."
    assert gather.get("numDigits") == "1"
    assert gather.get("action") == f"/voice/screen/{group.pk}/{group.members.get().endpoint_id}/?asked=1"


def test_the_key_takes_the_call(group: RingGroup) -> None:
    assert len(tree(ask(group, "?asked=1", Digits="1"))) == 0


def test_an_endpoints_own_screening_follows_the_key(group: RingGroup, alice: Endpoint) -> None:
    Endpoint.objects.filter(pk=alice.pk).update(screening_url="https://own.example/", screening_method="GET")
    (redirect,) = tree(ask(group, "?asked=1", Digits="1"))
    assert (redirect.tag, redirect.text, redirect.get("method")) == ("Redirect", "https://own.example/", "GET")


def test_another_key_is_asked_again_and_then_the_call_goes_on(group: RingGroup) -> None:
    assert "asked=2" in tree(ask(group, "?asked=1", Digits="5"))[0].get("action")
    assert [child.tag for child in tree(ask(group, f"?asked={MOST_ASKED}", Digits="5"))] == ["Hangup"]


def test_a_group_that_is_gone_declines(group: RingGroup, account: Account) -> None:
    other = rows.account("Other")
    served = serve(other, f"/voice/screen/{group.pk}/1/", {}, Situation())
    assert served is not None
    assert [child.tag for child in tree(served)] == ["Hangup"]


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("+4930", "4 9 3 0"),
        ("alice", "alice"),
        ("a\x00\x07\u202eb\nc", "a   b c"),
        ("x" * 9000, "x" * 40),
        ("", ""),
        ("٣٤", "٣٤"),
    ],
)
def test_what_cannot_be_said_is_left_out(text: str, heard: str) -> None:
    assert spoken(text) == heard


def test_an_unknown_caller_is_called_so(group: RingGroup) -> None:
    assert "from an unknown caller" in ask(group, From="").xml


def test_what_is_no_url_of_ours_is_not_served(account: Account) -> None:
    assert serve(account, "/elsewhere/", {}, Situation()) is None
    assert serve(account, "/admin/", {}, Situation()) is None

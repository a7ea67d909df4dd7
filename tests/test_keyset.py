"""Pages of a log by their rows: nothing is shown twice or left out, whichever way one goes."""

from __future__ import annotations

import pytest

from calls import keyset, ledger
from calls.keyset import Place
from calls.models import Call
from tests import samples

pytestmark = pytest.mark.django_db


@pytest.fixture
def sids() -> list[str]:
    """Return calls in the order of the log, two of them at each moment."""
    account = samples.account()
    ledger.apply([samples.call(account, start_time=samples.START + number // 2) for number in range(25)])
    return list(Call.objects.order_by("-start_time", "-sid").values_list("sid", flat=True))


def walk_pages(descending: bool = True) -> tuple[list[str], keyset.Page[Call]]:
    found: list[str] = []
    page = keyset.page(Call.objects.all(), "start_time", 10, None, descending=descending)
    while True:
        found += [call.sid for call in page.rows]
        if page.next is None:
            return found, page
        query = {keyset.NEXT: str(page.next)}
        page = keyset.page(Call.objects.all(), "start_time", 10, keyset.take_place(query, Call), descending=descending)


def test_each_row_is_on_one_page(sids: list[str]) -> None:
    assert walk_pages()[0] == sids
    assert walk_pages(descending=False)[0] == sids[::-1]


def test_going_back_leads_to_the_same_pages(sids: list[str]) -> None:
    _, last = walk_pages()
    assert last.previous is not None
    place = keyset.take_place({keyset.PREVIOUS: str(last.previous)}, Call)
    before = keyset.page(Call.objects.all(), "start_time", 10, place)
    assert [call.sid for call in before.rows] == sids[10:20]
    place = keyset.take_place({keyset.PREVIOUS: str(before.previous)}, Call)
    first = keyset.page(Call.objects.all(), "start_time", 10, place)
    assert [call.sid for call in first.rows] == sids[:10]
    assert first.previous is None


def test_new_rows_do_not_shift_a_page(sids: list[str]) -> None:
    first = keyset.page(Call.objects.all(), "start_time", 10, None)
    ledger.apply([samples.call(samples.account(), start_time=samples.START + 99)])
    second = keyset.page(Call.objects.all(), "start_time", 10, first.next)
    assert [call.sid for call in second.rows] == sids[10:20]


def test_a_walk_finds_every_row_once(sids: list[str]) -> None:
    batches = list(keyset.walk(Call.objects.all(), "start_time", 7))
    assert [len(batch) for batch in batches] == [7, 7, 7, 4]
    assert [call.sid for batch in batches for call in batch] == sids


def test_an_empty_log_is_one_empty_page() -> None:
    assert keyset.page(Call.objects.all(), "start_time", 10, None) == keyset.Page([])
    assert list(keyset.walk(Call.objects.all(), "start_time", 7)) == []


@pytest.mark.parametrize("text", ["", "x", "1.", ".CA1", "٣.CA1", "9" * 79 + ".a", "9" * 40 + ".a", "1.a\0", "-5.CA1"])
def test_what_is_no_place_is_the_first_page(text: str) -> None:
    query = {keyset.NEXT: text, "q": "1"}
    assert keyset.take_place(query, Call) is None
    assert query == {"q": "1"}


def test_a_place_is_the_same_after_it_was_written_down(sids: list[str]) -> None:
    call = Call.objects.get(pk=sids[3])
    place = Place(call.start_time, call.pk)
    assert keyset.take_place({keyset.NEXT: [str(place)]}, Call) == place

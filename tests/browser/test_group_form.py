"""The form of a ring group in a real browser: summary and TwiML follow it, also a drag; errors stand at their field."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from routing.models import RingGroup
from tests import rows
from tests.browser.test_admin_drag import MEMBERS, add_member, drag, open_group

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_summary_and_twiml_follow_the_form_before_it_is_saved(page: Page, live_server: Any) -> None:
    account = rows.account()
    rows.endpoint(account, "Carol")
    group = rows.group(account, rows.endpoint(account, "Alice"), rows.endpoint(account, "Bob"))
    open_group(page, live_server, group)
    chain, twiml = page.locator("#cb-chain"), page.locator("#cb-twiml")
    expect(chain).to_have_text("Rings Alice and Bob together for 30 s, then hangs up.")

    page.select_option("#id_strategy", "sequential")
    expect(chain).to_have_text("Rings Alice, then Bob for 30 s each, then hangs up.")
    drag(page, MEMBERS, 1, 0)
    expect(chain).to_have_text("Rings Bob, then Alice for 30 s each, then hangs up.")
    add_member(page, 2, "Carol")
    expect(chain).to_have_text("Rings Bob, then Alice, then Carol for 30 s each, then hangs up.")
    expect(twiml).to_contain_text('sequential="true"')

    page.fill("#id_ring_timeout", "3")
    error = page.locator("#id_ring_timeout-live-error")
    expect(error).to_contain_text("greater than or equal to 5")
    assert page.get_attribute("#id_ring_timeout", "aria-invalid") == "true"
    page.fill("#id_ring_timeout", "12")
    expect(error).to_have_count(0)
    expect(chain).to_have_text("Rings Bob, then Alice, then Carol for 12 s each, then hangs up.")

    weights = page.locator(f"{MEMBERS} td.field-weight").first
    expect(weights).to_be_hidden()
    page.select_option("#id_strategy", "weighted")
    expect(weights).to_be_visible()
    assert list(RingGroup.objects.values_list("strategy", "ring_timeout")) == [("parallel", 30)]

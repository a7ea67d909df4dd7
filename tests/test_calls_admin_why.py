"""Why a call ended and who decided, in the first lines of its page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from calls import ledger
from calls.entries import CallRecord
from calls.models import Command
from routing.models import Account
from tests import samples

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return samples.account()


def why(client: Client, call: CallRecord) -> Any:
    return client.get(f"/admin/calls/call/{call.sid}/change/").context["why"]


@pytest.mark.parametrize(
    ("values", "events", "decided"),
    [
        ({"ended_by": "caller"}, [], "the caller"),
        ({"ended_by": "callee"}, [], "the callee"),
        ({"ended_by": "operator"}, [], "an operator"),
        ({"ended_by": "engine"}, [("engine.restarted", {})], "the engine: it was restarted"),
        ({"status": "failed", "ended_by": "engine"}, [("refused", {})], "a rule: the call was not let in"),
        ({"ended_by": "engine"}, [("verb", {"verb": "Hangup"})], "the TwiML: <Hangup>"),
        ({"status": "busy", "ended_by": "engine"}, [("verb", {"verb": "Reject"})], "the TwiML: <Reject>"),
        ({"status": "failed"}, [("twiml.failed", {})], "the web application: no usable TwiML"),
        ({"status": "failed", "error_code": 32011}, [], "the engine: error 32011"),
        ({"ended_by": "engine"}, [("verb", {"verb": "Say"})], "the TwiML: it was over"),
        ({"ended_by": "engine"}, [], "the engine"),
        ({"status": "canceled"}, [], ""),
    ],
)
def test_it_says_who_decided(
    admin_client: Client, account: Account, values: dict[str, Any], events: list[Any], decided: str
) -> None:
    call = samples.call(account, **values)
    ledger.apply([call, *(samples.event(call, number, name, **detail) for number, (name, detail) in enumerate(events))])
    assert why(admin_client, call).decided == decided


def test_an_operator_who_hung_up_is_named(admin_client: Client, account: Account) -> None:
    call = samples.call(account, ended_by="engine")
    ledger.apply([call])
    Command.objects.create(call_id=call.sid, status="completed", requested_by="ann", ok=True)
    assert why(admin_client, call).decided == "an operator (ann)"


def test_it_says_what_became_of_each_leg_when_nobody_answered(admin_client: Client, account: Account) -> None:
    call = samples.call(account, status="no-answer", answer_time=None, ended_by="engine", reason="Nobody answered.")
    start = samples.START + 1
    bob = samples.leg(call, to_address="sip:bob@a", status="busy", sip_code=486, start_time=start)
    carol = samples.leg(
        call, to_address="sip:carol@a", status="no-answer", sip_code=0, start_time=start + 1, end_time=start + 21
    )
    ledger.apply([call, bob, carol, samples.leg(call, start_time=start + 2)])
    found = why(admin_client, call)
    assert found.sentence == "Nobody answered."
    assert found.legs == "Leg 1 (bob) was busy (SIP 486), Leg 2 (carol) did not answer in 20 s."
    assert found.decided == "the phones that were rung: none answered"


def test_the_reason_names_legs_as_the_page_does(admin_client: Client, account: Account) -> None:
    alice = samples.endpoint(account)
    call = samples.call(
        account, reason=f"{alice.uri} answered and talked for 49 s. The callee hung up.", ended_by="callee"
    )
    ledger.apply([call, samples.leg(call, status="completed", answer_time=samples.START + 4)])
    found = why(admin_client, call)
    assert found.sentence == "Leg 1 (Alice) answered and talked for 49 s. The callee hung up."
    assert (found.legs, found.decided) == ("", "the callee, leg 1 (Alice)")


def test_of_a_call_in_progress_nobody_has_decided(admin_client: Client, account: Account) -> None:
    call = samples.call(account, status="ringing", answer_time=None, end_time=None)
    busy = samples.leg(call, to_address="sip:bob@a", status="busy", sip_code=486)
    ledger.apply([call, busy, *(samples.leg(call, status="ringing", end_time=None) for _ in range(2))])
    found = why(admin_client, call)
    assert found.sentence == "Ringing 3 phones; not answered yet."
    assert found.legs.endswith("was busy (SIP 486) so far.")
    assert found.decided == ""


def test_of_many_legs_a_few_are_named(admin_client: Client, account: Account) -> None:
    call = samples.call(account, status="busy", answer_time=None, ended_by="engine")
    ledger.apply([call, *(samples.leg(call, status="busy", sip_code=486) for _ in range(6))])
    assert why(admin_client, call).legs.endswith(" and 2 more.")

"""Placing calls: what is refused, what is queued, and that each queued call is claimed by one engine only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from itertools import pairwise
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from calls import claims
from calls.claims import claim
from calls.entries import CallbackSpec, QueuedCall
from calls.models import Call, CallPace, CallRequest
from calls.place import PlaceError, queue_call, ring
from routing.models import Account, Region
from tests import rows, samples

pytestmark = pytest.mark.django_db

URL = "https://example.com/voice"


@pytest.fixture(autouse=True)
def public_url(settings: Any) -> None:
    settings.PUBLIC_URL = "http://testserver"


@pytest.fixture
def account() -> Account:
    return samples.account()


def test_a_queued_call_is_in_the_log_at_once(account: Account) -> None:
    alice = samples.endpoint(account)
    call = queue_call(account, "sip:alice@127.0.0.1:5071;transport=tcp?X-Job=7", "100", url=URL)
    assert (call.status, call.direction, call.region) == ("queued", "outbound-api", "us1")
    assert (call.from_address, call.to_address) == ("100", "sip:alice@127.0.0.1:5071")
    assert call.endpoint == alice
    assert call.request.to == "sip:alice@127.0.0.1:5071;transport=tcp?X-Job=7"


def test_the_region_of_the_uri_chooses_the_engine(account: Account) -> None:
    call = queue_call(account, "sip:alice@127.0.0.1;region=ie1", "100", url=URL)
    assert call.region == "ie1"
    assert claim("e1", ["us1"], 10) == []
    assert [claimed.sid for claimed in claim("e1", ["us1", "ie1"], 10)] == [call.sid]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"to": "sip:"}, "to:"),
        ({"to": "sip:alice@127.0.0.1;region=mars"}, "there is no region mars"),
        ({"from_address": "a b"}, "from:"),
        ({"from_address": "sip:al ice@host"}, "from:"),
        ({"url": ""}, "either url or twiml"),
        ({"twiml": "<Response/>"}, "either url or twiml"),
        ({"url": "", "twiml": "x" * 70_000}, "twiml: 70000 characters"),
        ({"url": "ftp://example.com"}, "url:"),
        ({"url": "https://example.com/" + "a" * 5000}, "url: 5020 characters"),
        ({"fallback_url": "nonsense"}, "fallback_url:"),
        ({"method": "PUT"}, "method: PUT"),
        ({"timeout": 0}, "timeout: 0"),
        ({"timeout": 601}, "timeout: 601"),
        ({"username": "alice"}, "username and password"),
    ],
)
def test_a_wrong_call_is_refused_and_the_field_is_named(
    account: Account, changes: dict[str, Any], complaint: str
) -> None:
    values: dict[str, Any] = {"to": "sip:alice@127.0.0.1", "from_address": "100", "url": URL, **changes}
    with pytest.raises(PlaceError, match=complaint):
        queue_call(account, **values)
    assert not Call.objects.exists()


def test_a_suspended_account_places_no_calls(account: Account) -> None:
    account.status = Account.Status.SUSPENDED
    with pytest.raises(PlaceError, match="only an active account"):
        queue_call(account, "sip:alice@127.0.0.1", "100", url=URL)


def test_without_a_default_region_the_fix_is_named(account: Account) -> None:
    Region.objects.update(is_default=False)
    with pytest.raises(PlaceError, match="No region is the default"):
        queue_call(account, "sip:alice@127.0.0.1", "100", url=URL)


def test_a_claim_tells_the_engine_all_that_it_needs(account: Account) -> None:
    call = queue_call(
        account,
        "alice@127.0.0.1",
        "sip:100@example.com",
        url=URL,
        method="GET",
        fallback_url=URL + "/2",
        timeout=20,
        username="alice",
        password="secret",
    )
    (claimed,) = claim("e1", ["us1"], 10)
    assert claimed == QueuedCall(
        sid=call.sid,
        account_sid=account.sid,
        auth_token="0123456789abcdef0123456789abcdef",
        to="sip:alice@127.0.0.1",
        from_address="sip:100@example.com",
        region="us1",
        url=URL,
        method="GET",
        fallback_url=URL + "/2",
        twiml="",
        timeout=20,
        username="alice",
        password="secret",
        queued=call.request.created.timestamp(),
    )
    assert "secret" not in repr(claimed)
    assert claimed.auth_token not in repr(claimed)


def test_a_call_is_claimed_once_and_the_oldest_first(account: Account) -> None:
    sids = [queue_call(account, "sip:alice@127.0.0.1", "100", url=URL).sid for _ in range(3)]
    assert [call.sid for call in claim("e1", ["us1"], 2)] == sids[:2]
    assert [call.sid for call in claim("e2", ["us1"], 2)] == sids[2:]
    assert claim("e1", ["us1"], 2) == []
    assert set(CallRequest.objects.values_list("claimed_by", flat=True)) == {"e1", "e2"}


def test_a_call_that_was_canceled_while_it_waited_is_not_claimed(account: Account) -> None:
    queue_call(account, "sip:alice@127.0.0.1", "100", url=URL)
    Call.objects.update(status="canceled")
    assert claim("e1", ["us1"], 10) == []


class Meanwhile:
    """A clock that lets something happen right before a claim is written."""

    def __init__(self, happening: Callable[[], object]) -> None:
        self.happening = happening
        self.looks = 0

    def now(self) -> datetime:
        if self.looks:  # the first look is the one for what waits
            self.happening()
        self.looks += 1
        return timezone.now()


def test_a_call_that_another_engine_takes_meanwhile_is_left_to_it(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_call(account, "sip:alice@127.0.0.1", "100", url=URL)
    other = Meanwhile(lambda: CallRequest.objects.update(claimed_by="e2"))
    monkeypatch.setattr(claims, "timezone", other)
    assert claim("e1", ["us1"], 10) == []
    assert CallRequest.objects.get().claimed_by == "e2"


def test_a_call_that_is_canceled_meanwhile_is_not_placed(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    queue_call(account, "sip:alice@127.0.0.1", "100", url=URL)
    monkeypatch.setattr(claims, "timezone", Meanwhile(lambda: Call.objects.update(status="canceled")))
    assert claim("e1", ["us1"], 10) == []


def test_a_claim_is_one_update_without_a_subquery(account: Account) -> None:
    """PostgreSQL does not look at a subquery again when two engines meet at one row: both would win."""
    queue_call(account, "sip:alice@127.0.0.1", "100", url=URL)
    with CaptureQueriesContext(connection) as queries:
        claim("e1", ["us1"], 10)
    (update,) = [query["sql"] for query in queries if query["sql"].startswith('UPDATE "calls_callrequest"')]
    assert "SELECT" not in update


def test_a_call_whose_secrets_cannot_be_read_fails_with_the_reason(account: Account, settings: Any) -> None:
    call = queue_call(account, "sip:alice@127.0.0.1", "100", url=URL)
    settings.FIELD_ENCRYPTION_KEYS = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
    assert claim("e1", ["us1"], 10) == []
    call.refresh_from_db()
    assert call.status == "failed"
    assert "FIELD_ENCRYPTION_KEYS" in call.reason


def test_ringing_an_endpoint_uses_its_credentials_and_headers(account: Account) -> None:
    alice = samples.endpoint(account, username="alice", password="secret", headers="X-Job: 7", transport="tcp")
    ring(alice, "/voice/endpoint/1/", from_address="100")
    (claimed,) = claim("e1", ["us1"], 1)
    assert claimed.to == "sip:alice@127.0.0.1:5071;transport=tcp?X-Job=7"
    assert (claimed.username, claimed.password) == ("alice", "secret")
    assert claimed.url == "http://testserver/voice/endpoint/1/"


def test_ringing_an_endpoint_with_a_broken_uri_names_it(account: Account) -> None:
    with pytest.raises(PlaceError, match="Endpoint Alice"):
        ring(samples.endpoint(account, uri="sip:@"), "/", from_address="100")


def test_ringing_an_endpoint_with_broken_headers_names_it(account: Account) -> None:
    with pytest.raises(PlaceError, match="Endpoint Alice"):
        ring(samples.endpoint(account, headers="no colon"), "/", from_address="100")


def run(*args: str) -> list[str]:
    out = StringIO()
    call_command("place_call", *args, stdout=out)
    return out.getvalue().split()


def test_the_command_prints_the_sid_and_the_admin_address(account: Account) -> None:
    sid, address = run("sip:alice@127.0.0.1", "--from", "100", "--url", URL)
    assert Call.objects.get().sid == sid
    assert address == f"http://testserver/admin/calls/call/{sid}/change/"


def test_the_command_says_a_text(account: Account) -> None:
    run("sip:alice@127.0.0.1", "--say", "Fish & chips")
    assert "<Say>Fish &amp; chips</Say>" in CallRequest.objects.get().twiml


def test_the_command_connects_to_a_group(account: Account) -> None:
    support = samples.group(account)
    run("sip:alice@127.0.0.1", "--group", "support")
    assert CallRequest.objects.get().url == f"http://testserver/voice/group/{support.pk}/"


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["sip:alice@127.0.0.1", "--group", "Sales"], "no ring group is named 'Sales'; known: Support"),
        (["sip:alice@127.0.0.1", "--group", "Twins"], "several ring groups"),
        (["sip:", "--say", "hi"], "to:"),
        (["sip:alice@127.0.0.1", "--say", "hi", "--account", "AC1"], "no account AC1"),
        (["sip:alice@127.0.0.1"], "one of the arguments"),
    ],
)
def test_the_command_says_what_is_wrong(account: Account, args: list[str], complaint: str) -> None:
    samples.group(account)
    for _ in range(2):
        samples.group(account, "Twins")
    with pytest.raises(CommandError, match=complaint):
        run(*args)


def test_the_command_asks_which_of_several_accounts(account: Account) -> None:
    samples.account()
    with pytest.raises(CommandError, match="several accounts"):
        run("sip:alice@127.0.0.1", "--say", "hi")
    assert run("sip:alice@127.0.0.1", "--say", "hi", "--account", account.sid)


def test_the_command_says_that_there_is_no_account() -> None:
    with pytest.raises(CommandError, match="no active account"):
        run("sip:alice@127.0.0.1", "--say", "hi")


def test_a_callback_of_a_queued_call_is_handed_to_the_engine(account: Account) -> None:
    """Twilio: StatusCallback, StatusCallbackMethod, StatusCallbackEvent of `POST Calls`."""
    spec = CallbackSpec(URL, "GET", ("initiated", "completed"))
    queue_call(account, "sip:alice@127.0.0.1", "100", url=URL, callback=spec)
    (claimed,) = claim("e1", ["us1"], 5)
    assert claimed.callback == spec


@pytest.mark.parametrize(
    ("callback", "code", "complaint"),
    [
        (CallbackSpec("", "POST", ("completed",)), 21205, "callback: it has no URL"),
        (CallbackSpec("nowhere", "POST", ("completed",)), 21205, "callback URL: Write an absolute"),
        (CallbackSpec(URL, "PUT", ("completed",)), 21209, "callback method: PUT"),
        (CallbackSpec(URL, "POST", ()), 20001, "callback events: none"),
        (CallbackSpec(URL, "POST", ("ended",)), 20001, "callback events: ended; give some of initiated"),
    ],
)
def test_a_wrong_callback_is_refused(account: Account, callback: CallbackSpec, code: int, complaint: str) -> None:
    with pytest.raises(PlaceError, match=complaint) as caught:
        queue_call(account, "sip:alice@127.0.0.1", "100", url=URL, callback=callback)
    assert caught.value.code == code


def test_twiml_is_limited_as_twilios_is(account: Account) -> None:
    """Twilio: 32018 beyond 4,000 characters (conformance §1.1)."""
    with pytest.raises(PlaceError, match="at most 4000") as caught:
        queue_call(account, "sip:alice@127.0.0.1", "100", twiml="x" * 4001)
    assert caught.value.code == 32018


class TestPace:
    """Issue 4: calls queue per account at a settable calls per second, in order, fair between accounts."""

    def queue(self, account: Account, count: int) -> list[str]:
        return [queue_call(account, "sip:alice@127.0.0.1", "100", url=URL).sid for _ in range(count)]

    def test_calls_are_handed_out_with_the_moment_that_their_turn_is(self, settings: Any, account: Account) -> None:
        settings.CALLS_PER_SECOND = 5
        sids = self.queue(account, 10)
        claimed = claim("e1", ["us1"], 20)
        assert [call.sid for call in claimed] == sids[: len(claimed)]
        steps = [later.wait - sooner.wait for sooner, later in pairwise(claimed)]
        assert steps == pytest.approx([0.2] * len(steps), abs=0.05)
        assert 2 <= len(steps) <= 4
        assert claim("e2", ["us1"], 20) == []

    def test_an_account_may_have_a_figure_of_its_own(self, settings: Any, account: Account) -> None:
        settings.CALLS_PER_SECOND = 100
        Account.objects.update(calls_per_second=1)
        sids = self.queue(account, 3)
        assert [call.sid for call in claim("e1", ["us1"], 20)] == sids[:1]
        assert claim("e1", ["us1"], 20) == []
        assert CallRequest.objects.filter(claimed_by="").count() == 2

    def test_it_goes_on_when_the_time_has_come(self, settings: Any, account: Account) -> None:
        settings.CALLS_PER_SECOND = 1
        sids = self.queue(account, 3)
        claim("e1", ["us1"], 20)
        CallPace.objects.update(next_at=timezone.now() + timedelta(seconds=0.3))
        (second,) = claim("e2", ["us1"], 20)
        assert second.sid == sids[1]
        assert second.wait == pytest.approx(0.3, abs=0.1)

    def test_idle_time_is_not_saved_up(self, settings: Any, account: Account) -> None:
        settings.CALLS_PER_SECOND = 1
        CallPace.objects.create(account=account, next_at=timezone.now() - timedelta(hours=1))
        self.queue(account, 5)
        assert len(claim("e1", ["us1"], 20)) == 1

    def test_accounts_take_turns(self, account: Account) -> None:
        many, other = self.queue(account, 3), Account.objects.create(friendly_name="Other")
        (one,) = self.queue(other, 1)
        assert [call.sid for call in claim("e1", ["us1"], 2)] == [many[0], one]

    def test_one_account_does_not_wait_for_another_that_has_had_its_share(self, account: Account) -> None:
        Account.objects.update(calls_per_second=0.01)
        self.queue(account, 50)
        claim("e1", ["us1"], 20)
        other = Account.objects.create(friendly_name="Other")
        (one,) = self.queue(other, 1)
        assert [call.sid for call in claim("e1", ["us1"], 20)] == [one]

    def test_calls_of_an_account_that_was_suspended_meanwhile_fail(self, account: Account) -> None:
        (sid,) = self.queue(account, 1)
        Account.objects.update(status="suspended")
        assert claim("e1", ["us1"], 20) == []
        call = Call.objects.get(pk=sid)
        assert (call.status, call.reason) == ("failed", f"The call was not placed: account {account.sid} is suspended.")


class TestNumbersAndClients:
    """`To` of `POST Calls`: a number through a trunk of the account, `client:` and an endpoint's name."""

    def test_a_number_goes_to_the_region_of_the_first_trunk_that_takes_it(self, account: Account) -> None:
        rows.trunk(account, "+49", region=Region.objects.get(code="de1"))
        call = queue_call(account, "+49 (0)30 123-45", "100", url=URL)
        assert (call.to_address, call.to_user, call.request.to) == ("+493012345",) * 3
        assert call.region == "de1"

    def test_a_number_that_no_trunk_takes_is_refused(self, account: Account) -> None:
        rows.trunk(account, "+49")
        with pytest.raises(PlaceError, match=r"no trunk of this account takes \+33123"):
            queue_call(account, "+33123", "100", url=URL)

    def test_a_client_is_an_endpoint_by_its_name(self, account: Account) -> None:
        alice = samples.endpoint(account, password="Secret-Password-1", username="alice")
        call = queue_call(account, "client: ALICE", "100", url=URL)
        assert (call.to_address, call.request.to, call.endpoint) == ("client:Alice", "client:Alice", alice)

    @pytest.mark.parametrize("to", ["client:nobody", "client:"])
    def test_a_client_that_does_not_exist_is_refused(self, account: Account, to: str) -> None:
        with pytest.raises(PlaceError, match="no enabled endpoint named"):
            queue_call(account, to, "100", url=URL)

    def test_the_endpoints_of_another_account_are_not_there(self, account: Account) -> None:
        samples.endpoint(Account.objects.create(friendly_name="Other"))
        with pytest.raises(PlaceError, match="no enabled endpoint named"):
            queue_call(account, "client:Alice", "100", url=URL)

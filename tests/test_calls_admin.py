"""The call log as operators see it: what the pages say, what can be found, and what they may do."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from calls import call_page, ledger, timeline
from calls.entries import CallRecord
from calls.models import Call, CallRequest, Recording
from calls.place import queue_call
from routing.models import Account, Endpoint, RingGroup
from tests import samples

pytestmark = pytest.mark.django_db

LIST = "/admin/calls/call/"


@pytest.fixture
def account() -> Account:
    return samples.account()


@pytest.fixture
def alice(account: Account) -> Endpoint:
    return samples.endpoint(account)


@pytest.fixture
def support(account: Account) -> RingGroup:
    return samples.group(account)


@pytest.fixture
def answered(account: Account, alice: Endpoint, support: RingGroup) -> CallRecord:
    """Return a call to the group that Alice answered."""
    parent = samples.call(account, group_id=support.pk, reason="Alice answered and hung up.")
    winner = samples.leg(parent, status="completed", answer_time=samples.START + 4, end_time=samples.START + 53)
    ledger.apply([parent, winner, samples.leg(parent, to_address="sip:bob@127.0.0.1")])
    return parent


def page(of: CallRecord | Call) -> str:
    return f"{LIST}{of.sid}/change/"


def get(client: Client, path: str, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == 200, (path, response.status_code)
    return response.content.decode()


def found(client: Client, **query: str) -> set[str]:
    return {row.pk for row in client.get(LIST, query).context["cl"].result_list}


def test_the_list_shows_group_who_answered_and_how_many_legs(admin_client: Client, answered: CallRecord) -> None:
    html = get(admin_client, LIST)
    assert "Support" in html
    assert "Alice answered" in html
    assert "49.0 s" in html
    assert found(admin_client) == {answered.sid}


def test_dialled_legs_are_listed_on_demand(admin_client: Client, answered: CallRecord) -> None:
    assert len(found(admin_client, legs="all")) == 3
    assert "of a call" in get(admin_client, LIST, legs="all")


@pytest.mark.parametrize("number", [0, 20])
def test_the_list_takes_the_same_queries_for_any_number_of_calls(
    admin_client: Client, account: Account, answered: CallRecord, number: int
) -> None:
    for _ in range(number):
        parent = samples.call(account)
        ledger.apply([parent, samples.leg(parent), samples.recording(parent)])
    with CaptureQueriesContext(
        connection,
    ) as queries:
        get(admin_client, LIST)
    assert len(queries) <= 12


def test_the_list_does_not_count_the_whole_table(admin_client: Client, account: Account, answered: CallRecord) -> None:
    ledger.apply([samples.call(account) for _ in range(50)])
    with CaptureQueriesContext(connection) as queries:
        get(admin_client, LIST)
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"] and "calls_call" in query["sql"]]
    assert counts
    assert all("LIMIT 10000" in sql for sql in counts)


@pytest.mark.parametrize("term", ["200", "100", "sip.example.com", "203.0.113"])
def test_calls_are_found_by_number_and_address(admin_client: Client, answered: CallRecord, term: str) -> None:
    assert answered.sid in found(admin_client, q=term)


def test_calls_are_found_by_sid_and_call_id(admin_client: Client, account: Account) -> None:
    one = samples.call(account, sip_call_id="abc@host")
    ledger.apply([one, samples.call(account)])
    assert found(admin_client, q=one.sid) == {one.sid}
    assert found(admin_client, q="abc@host") == {one.sid}
    assert found(admin_client, q="nothing like it") == set()


def test_a_search_finds_dialled_legs_too(admin_client: Client, answered: CallRecord) -> None:
    assert found(admin_client, q="bob") == set(Call.objects.filter(to_user="bob").values_list("sid", flat=True))


def test_filters_narrow_the_list(
    admin_client: Client, account: Account, answered: CallRecord, alice: Endpoint, support: RingGroup
) -> None:
    busy = samples.call(account, status="busy", start_time=samples.START - 864_000)
    ledger.apply([busy])
    assert found(admin_client, status__exact="busy") == {busy.sid}
    assert found(admin_client, group__id__exact=str(support.pk)) == {answered.sid}
    legs = found(admin_client, endpoint__id__exact=str(alice.pk))
    assert legs == set(Call.objects.filter(endpoint=alice).values_list("sid", flat=True))


@pytest.mark.parametrize(
    ("values", "hit"),
    [
        ({"from_0": "2026-09-21"}, True),
        ({"from_0": "2026-09-22"}, False),
        ({"to_0": "2026-09-21"}, True),
        ({"to_0": "2026-09-20"}, False),
        ({"from_0": "2026-09-21", "from_1": "23:59:59"}, False),
        ({"to_0": "2026-09-21", "to_1": "00:00"}, False),
        ({"from_0": "rubbish", "from_1": "25:00"}, True),
        ({"from_0": "2026-02-31"}, True),
        ({"from_0": "2026-09-21", "from_1": "x"}, True),
    ],
)
def test_calls_are_found_by_date(admin_client: Client, answered: CallRecord, values: dict[str, str], hit: bool) -> None:
    query = {f"start_time_{name}": value for name, value in values.items()}
    assert found(admin_client, **query) == ({answered.sid} if hit else set())


def test_a_call_begins_with_why_it_went_as_it_did(admin_client: Client, answered: CallRecord) -> None:
    html = get(admin_client, page(answered))
    assert html.index("Alice answered and hung up.") < html.index("Timeline")


def test_the_page_of_a_call_shows_its_legs_with_their_endpoints(
    admin_client: Client, answered: CallRecord, alice: Endpoint
) -> None:
    html = get(admin_client, page(answered))
    assert f'href="/admin/routing/endpoint/{alice.pk}/change/"' in html
    assert "sip:bob@127.0.0.1" in html
    assert "487" in html


def test_the_page_of_a_leg_leads_back_to_its_call(admin_client: Client, answered: CallRecord) -> None:
    winner = Call.objects.get(status="completed", parent=answered.sid)
    assert f'href="{page(answered)}"' in get(admin_client, page(winner))


def test_the_timeline_tells_events_in_plain_words(admin_client: Client, answered: CallRecord) -> None:
    winner = Call.objects.get(status="completed", parent=answered.sid)
    ledger.apply(
        [
            samples.event(answered, 0, "invite", source="203.0.113.7", to="sip:100@sip.example.com"),
            samples.event(answered, 25, "leg.answered", leg=winner.sid, code=200),
            samples.event(answered, 30, "rtp.report", loss=0.5, lost=[1, 2], muted=False, note=None),
        ]
    )
    html = get(admin_client, page(answered))
    assert "A call came in from 203.0.113.7 for sip:100@sip.example.com" in html
    assert "(Alice) answered (200)" in html
    assert "+2.500 s" in html
    assert "rtp.report" in html
    assert "loss 0.5 · lost 1, 2 · muted no" in html


def test_every_wording_reads_without_details(answered: CallRecord) -> None:
    call = Call.objects.get(pk=answered.sid)
    for number, name in enumerate(timeline.WORDINGS):
        ledger.apply([samples.event(answered, number, name)])
    for line in timeline.lines(call.events.all(), call.start_time, {}):
        assert "{" not in line.text
        assert "[" not in line.text
        assert line.text == line.text.strip()


def test_a_detail_cannot_smuggle_html_into_the_page(admin_client: Client, answered: CallRecord) -> None:
    attack = "<script>alert(1)</script>"
    ledger.apply(
        [
            samples.event(answered, 0, attack, source=attack),
            samples.event(answered, 1, "twiml.response", body=attack),
            samples.note(answered, message=attack, response_body=attack),
            samples.call(samples.account(), from_address=attack, to_address=attack, reason=attack),
        ]
    )
    for path in (page(answered), LIST, "/admin/calls/notification/"):
        html = get(admin_client, path)
        assert attack not in html
        assert escape(attack) in html


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("<Response><Hangup/></Response>", "<Response>\n  <Hangup />\n</Response>"),
        ("<Response><Hangup", "<Response><Hangup"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
    ],
)
def test_received_twiml_is_shown_indented_if_it_can_be(
    admin_client: Client, answered: CallRecord, body: str, shown: str
) -> None:
    ledger.apply([samples.event(answered, 0, "twiml.response", status=200, body=body)])
    assert escape(shown) in get(admin_client, page(answered))


def test_a_problem_is_shown_with_what_to_do_about_it(admin_client: Client, answered: CallRecord) -> None:
    note = samples.note(answered, code=11202, url="http://example.com/", method="POST", response_body="oops")
    ledger.apply([note])
    for path in (page(answered), "/admin/calls/notification/", f"/admin/calls/notification/{note.sid}/change/"):
        html = get(admin_client, path)
        assert "Start the web server, or correct the port in the URL." in html
        assert "http://example.com/" in html


def test_a_recording_can_be_heard_on_the_page_of_its_call(admin_client: Client, answered: CallRecord) -> None:
    entry = samples.recording(answered)
    ledger.apply([entry])
    assert "<audio" not in get(admin_client, page(answered))
    Recording.objects.update(status="completed", duration=49.2, size=1_574_444, file="a.wav")
    player = f'src="/recordings/{entry.sid}.wav"'
    for path in (page(answered), "/admin/calls/recording/", f"/admin/calls/recording/{entry.sid}/change/"):
        assert player in get(admin_client, path)
    assert "49.2 s" in get(admin_client, page(answered))
    assert "#recordings" in get(admin_client, LIST)
    assert "1.6 MB" in get(admin_client, "/admin/calls/recording/")


def test_a_call_in_progress_keeps_its_page_up_to_date(admin_client: Client, account: Account) -> None:
    queued = queue_call(account, "sip:alice@127.0.0.1", "100", url="http://example.com/")
    html = get(admin_client, page(queued))
    assert 'data-reload="4"' in html
    assert "Waiting for an engine of region us1" in html
    assert "None" not in html


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"status": "ringing"}, "Ringing; not answered yet."),
        ({"status": "in-progress", "answer_time": samples.START}, "Answered; the call is going on."),
        ({"status": "completed"}, "The call took place; it lasted 49.0 s."),
        ({"status": "busy", "sip_code": 486}, "The call ended: busy, SIP 486."),
        ({"status": "failed", "sip_code": 0, "reason": "No route."}, "No route."),
    ],
)
def test_a_call_without_a_reason_is_still_explained(account: Account, values: dict[str, Any], expected: str) -> None:
    ledger.apply([samples.call(account, **values)])
    assert call_page.sentence(Call.objects.get(), []) == expected


def test_the_sentence_names_who_answered(answered: CallRecord) -> None:
    call = Call.objects.get(pk=answered.sid)
    call.reason = ""
    assert call_page.sentence(call, list(call.legs.all())) == "Alice answered; they talked for 49.0 s."
    call.status = "in-progress"
    assert call_page.sentence(call, list(call.legs.all())) == "Talking with Alice."
    call.status = "ringing"
    assert call_page.sentence(call, list(call.legs.all())) == "Ringing 2 phones; not answered yet."


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (0.04, "0.0 s"), (59.9, "59.9 s"), (65, "1:05"), (3661, "1:01:01")]
)
def test_lengths_of_time_are_written_as_people_do(seconds: float | None, text: str) -> None:
    assert call_page.clock(seconds) == text


def test_a_deleted_group_does_not_break_the_page(
    admin_client: Client, answered: CallRecord, support: RingGroup
) -> None:
    support.delete()
    get(admin_client, page(answered))
    Call.objects.filter(pk=answered.sid).update(group_id=98765)
    get(admin_client, page(answered))
    get(admin_client, LIST)


def test_an_unknown_call_leads_back_to_the_list(admin_client: Client) -> None:
    assert admin_client.get(f"{LIST}CA1/change/").status_code == 302


@pytest.mark.parametrize("model", ["call", "recording", "notification"])
def test_the_log_cannot_be_edited(admin_client: Client, answered: CallRecord, model: str) -> None:
    assert admin_client.get(f"/admin/calls/{model}/add/").status_code == 403
    assert admin_client.post(f"{LIST}{answered.sid}/delete/").status_code == 403
    assert admin_client.post(page(answered), {"sid": "CA1"}).status_code == 403


def operator(client: Client, *permissions: str) -> Client:
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


def test_staff_without_the_permission_do_not_see_calls(client: Client, answered: CallRecord) -> None:
    assert operator(client).get(page(answered)).status_code == 403


def test_an_endpoint_is_rung_from_its_page(admin_client: Client, alice: Endpoint) -> None:
    assert "Ring this endpoint now" in get(admin_client, f"/admin/routing/endpoint/{alice.pk}/change/")
    path = f"/admin/routing/endpoint/{alice.pk}/ring/"
    assert "sip:alice@127.0.0.1:5071 is rung" in get(admin_client, path)
    assert not Call.objects.exists()
    html = admin_client.post(path, {"caller_id": "100"}, follow=True).content.decode()
    call = Call.objects.get()
    assert f'href="{page(call)}"' in html
    assert call.request.url.endswith(f"/voice/endpoint/{alice.pk}/")
    assert (call.from_address, call.endpoint) == ("100", alice)


def test_a_group_is_rung_once_the_operators_phone_answers(
    admin_client: Client, alice: Endpoint, support: RingGroup
) -> None:
    path = f"/admin/routing/ringgroup/{support.pk}/ring/"
    assert "Alice" in get(admin_client, path)
    admin_client.post(path, {"caller_id": "100", "phone": alice.pk})
    request = CallRequest.objects.get()
    assert request.to == "sip:alice@127.0.0.1:5071"
    assert request.url.endswith(f"/voice/group/{support.pk}/")


def test_only_enabled_phones_of_the_account_can_be_the_caller(
    admin_client: Client, account: Account, support: RingGroup
) -> None:
    off = samples.endpoint(account, "Off", enabled=False)
    foreign = samples.endpoint(samples.account(), "Foreign")
    for phone in (off, foreign):
        admin_client.post(f"/admin/routing/ringgroup/{support.pk}/ring/", {"caller_id": "100", "phone": phone.pk})
    assert not CallRequest.objects.exists()


def test_what_is_wrong_with_a_call_is_said_on_the_form(admin_client: Client, account: Account, alice: Endpoint) -> None:
    Account.objects.update(status="suspended")
    path = f"/admin/routing/endpoint/{alice.pk}/ring/"
    assert "only an active account may place calls" in admin_client.post(path, {"caller_id": "1"}).content.decode()
    assert "letters, digits" in admin_client.post(path, {"caller_id": "a b"}).content.decode()


def test_one_selected_endpoint_is_rung_from_the_list(admin_client: Client, account: Account, alice: Endpoint) -> None:
    bob = samples.endpoint(account, "Bob")
    action = {"action": "ring_selected", "_selected_action": [alice.pk]}
    response = admin_client.post("/admin/routing/endpoint/", action)
    assert response["Location"] == f"/admin/routing/endpoint/{alice.pk}/ring/"
    both = {**action, "_selected_action": [alice.pk, bob.pk]}
    assert (
        "Select one endpoint only" in admin_client.post("/admin/routing/endpoint/", both, follow=True).content.decode()
    )


def test_one_selected_group_is_rung_from_the_list(admin_client: Client, support: RingGroup) -> None:
    action = {"action": "ring_selected", "_selected_action": [support.pk]}
    response = admin_client.post("/admin/routing/ringgroup/", action)
    assert response["Location"] == f"/admin/routing/ringgroup/{support.pk}/ring/"


def test_ringing_needs_the_permission_to_place_calls(client: Client, alice: Endpoint) -> None:
    path = f"/admin/routing/endpoint/{alice.pk}/ring/"
    operator(client, "view_endpoint", "change_endpoint")
    assert client.get(path).status_code == 403
    assert "Ring this endpoint now" not in get(client, f"/admin/routing/endpoint/{alice.pk}/change/")
    assert client.post(path, {"caller_id": "100"}).status_code == 403
    assert not Call.objects.exists()


@pytest.mark.parametrize("pk", ["12345", "x"])
def test_ringing_what_does_not_exist_is_not_found(admin_client: Client, pk: str) -> None:
    assert admin_client.get(f"/admin/routing/endpoint/{pk}/ring/").status_code == 404

"""The TwiML that routes, groups and endpoints mean; the documents are compared as text, as the engine gets them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from lxml import etree

from routing.models import Account, Endpoint, Region, RingGroup, RingGroupMember
from routing.resolve import Destination, External, follow
from routing.voice import MASK, Context, Served, document, follow_up, spoken_test
from sipengine.twiml import Dial, Sip, parse
from tests import rows

pytestmark = pytest.mark.django_db
HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


@pytest.fixture
def account() -> Account:
    return rows.account()


def phones(account: Account, count: int) -> list[Endpoint]:
    return [rows.endpoint(account, f"phone{number}") for number in range(count)]


def body(served: Served) -> str:
    """Return what is inside <Response>."""
    assert served.xml.startswith(f"{HEAD}<Response>")
    return served.xml.removeprefix(f"{HEAD}<Response>").removesuffix("</Response>")


def attributes(served: Served) -> dict[str, str]:
    """Return the attributes of the <Dial>."""
    dial = etree.fromstring(served.xml.encode()).find("Dial")
    assert dial is not None
    return {str(name): str(value) for name, value in dial.attrib.items()}


def dialled(served: Served) -> list[str]:
    """Return the texts of the <Sip> nouns."""
    return [noun.text or "" for noun in etree.fromstring(served.xml.encode()).iter("Sip")]


def left(served: Served) -> tuple[int, ...]:
    """Return the members that the action URL says are left."""
    found = parse_qs(urlsplit(attributes(served).get("action", "")).query).get("left", [""])[0]
    return tuple(map(int, filter(None, found.split(","))))


def ring(group: RingGroup, **context: Any) -> Served:
    return document(Destination(group, ()), Context(call_status="ringing", **context))


class TestDocument:
    def test_a_group_is_a_dial_with_a_noun_for_each_member(self, account: Account) -> None:
        group = rows.group(account, *phones(account, 2))
        assert body(ring(group)) == (
            '<Dial answerOnBridge="true"><Sip>sip:phone0@198.51.100.7</Sip><Sip>sip:phone1@198.51.100.7</Sip></Dial>'
        )

    def test_only_attributes_that_differ_from_the_defaults_are_written(self, account: Account) -> None:
        group = rows.group(account, *phones(account, 1), answer_on_bridge=False)
        assert attributes(ring(group)) == {}

    def test_what_follows_is_asked_for_only_if_something_follows(self, account: Account) -> None:
        group = rows.group(account, *phones(account, 2), fallback="say", fallback_text="Nobody is here.")
        assert attributes(ring(group))["action"] == f"/voice/dial-action/group/{group.pk}/"
        group.fallback = "hangup"
        assert "action" not in attributes(ring(group))

    def test_every_setting_of_the_group_is_written(self, account: Account) -> None:
        group = rows.group(
            account,
            *phones(account, 1),
            strategy="sequential",
            ring_timeout=20,
            time_limit=600,
            record="record-from-ringing-dual",
            caller_id="+15550100",
            hangup_on_star=True,
            ring_tone="us-old",
        )
        assert attributes(ring(group)) == {
            "answerOnBridge": "true",
            "callerId": "+15550100",
            "hangupOnStar": "true",
            "record": "record-from-ringing-dual",
            "ringTone": "us-old",
            "sequential": "true",
            "timeLimit": "600",
            "timeout": "20",
        }

    def test_the_recording_is_told_of_as_the_group_says(self, account: Account) -> None:
        group = rows.group(
            account,
            *phones(account, 1),
            record="record-from-answer",
            trim=True,
            recording_status_callback="https://r.example/",
            recording_status_callback_events="in-progress completed",
            recording_status_callback_method="GET",
        )
        assert attributes(ring(group)) == {
            "answerOnBridge": "true",
            "record": "record-from-answer",
            "trim": "trim-silence",
            "recordingStatusCallback": "https://r.example/",
            "recordingStatusCallbackEvent": "in-progress completed",
            "recordingStatusCallbackMethod": "GET",
        }

    def test_nothing_is_said_of_a_recording_that_is_not_made(self, account: Account) -> None:
        group = rows.group(account, *phones(account, 1), trim=True, recording_status_callback="https://r.example/")
        assert attributes(ring(group)) == {"answerOnBridge": "true"}

    @pytest.mark.parametrize(("srtp", "secure"), [("off", ""), ("optional", ";secure=optional")])
    def test_srtp_is_in_the_uri_of_the_noun(self, account: Account, srtp: str, secure: str) -> None:
        group = rows.group(account, rows.endpoint(account, "alice", srtp=srtp))
        assert dialled(ring(group)) == [f"sip:alice@198.51.100.7{secure}"]

    def test_the_settings_of_an_endpoint_are_on_its_noun(self, account: Account) -> None:
        phone = rows.endpoint(
            account,
            uri="sip:a@b.example",
            transport="tls",
            region=Region.objects.get(code="ie1"),
            headers="X-A: 1\nX-B: x&y",
            username="alice",
            password="s<cret",
            status_callback="https://c.example/?a=1&b=2",
            status_callback_events="ringing completed",
            status_callback_method="GET",
            screening_url="https://s.example/",
            screening_method="GET",
        )
        noun = etree.fromstring(ring(rows.group(account, phone)).xml.encode()).find("Dial/Sip")
        assert noun is not None
        assert noun.text == "sip:a@b.example;transport=tls;region=ie1?X-A=1&X-B=x%26y"
        assert dict(noun.attrib.items()) == {
            "username": "alice",
            "password": "s<cret",
            "statusCallback": "https://c.example/?a=1&b=2",
            "statusCallbackEvent": "ringing completed",
            "statusCallbackMethod": "GET",
            "url": "https://s.example/",
            "method": "GET",
        }

    def test_the_engine_reads_it_without_a_warning(self, account: Account) -> None:
        phone = rows.endpoint(
            account,
            uri="sip:a@b.example",
            transport="tls",
            srtp="mandatory",
            region=Region.objects.get(code="ie1"),
            headers="X-A: 1\nUser-to-User: 00;encoding=hex",
            username="alice",
            password='s<"c&ret',
            status_callback="https://c.example/",
            status_callback_events="initiated completed",
            screening_url="https://s.example/",
        )
        group = rows.group(
            account,
            phone,
            record="record-from-answer-dual",
            trim=True,
            recording_status_callback="https://r.example/",
            recording_status_callback_events="completed absent",
            ring_tone="de",
            caller_id="x.y",
            strategy="sequential",
        )
        read = parse(ring(group).xml.encode())
        assert read.warnings == ()
        (dial,) = read.verbs
        assert isinstance(dial, Dial)
        assert isinstance(dial.nouns[0], Sip)
        assert dial.nouns[0].addresses[0].password == 's<"c&ret'

    def test_methods_that_are_post_are_not_written(self, account: Account) -> None:
        phone = rows.endpoint(account, status_callback="https://c.example/", screening_url="https://s.example/")
        noun = etree.fromstring(ring(rows.group(account, phone)).xml.encode()).find("Dial/Sip")
        assert noun is not None
        assert set(noun.attrib) == {"statusCallback", "url"}

    def test_passwords_can_be_masked(self, account: Account) -> None:
        served = ring(rows.group(account, rows.endpoint(account, username="a", password="top")), mask_secrets=True)
        assert MASK in served.xml
        assert "top" not in served.xml

    def test_an_endpoint_is_a_dial_of_one(self, account: Account) -> None:
        phone = rows.endpoint(account)
        served = document(Destination(phone, ()))
        assert body(served) == ('<Dial answerOnBridge="true"><Sip>sip:alice@198.51.100.7</Sip></Dial>')

    @pytest.mark.parametrize(
        ("method", "expected"),
        [
            ("POST", "<Redirect>https://a.example/?a=1&amp;b=2</Redirect>"),
            ("GET", '<Redirect method="GET">https://a.example/?a=1&amp;b=2</Redirect>'),
        ],
    )
    def test_an_application_elsewhere_is_a_redirect(self, method: str, expected: str) -> None:
        assert body(document(Destination(External("https://a.example/?a=1&b=2", method), ()))) == expected

    def test_nowhere_is_a_reject(self) -> None:
        served = document(Destination(None, ("No route.",)))
        assert body(served) == "<Reject />"
        assert served.why == ("No route.", "The call is rejected: the caller gets SIP 404.")

    def test_a_disabled_endpoint_is_a_reject(self, account: Account) -> None:
        assert body(document(Destination(rows.endpoint(account, enabled=False), ()))) == "<Reject />"

    def test_the_route_goes_along_in_the_action(self, account: Account) -> None:
        group = rows.group(account, *phones(account, 1), fallback="say", fallback_text="Nobody is here.")
        route = rows.route(rows.domain(account), "100", group=group)
        served = document(follow(route))
        assert attributes(served)["action"] == f"/voice/dial-action/group/{group.pk}/?route={route.pk}"
        assert (served.route_id, served.group_id) == (route.pk, group.pk)

    def test_the_spoken_test_speaks_and_hangs_up(self) -> None:
        root = etree.fromstring(spoken_test().xml.encode())
        assert [child.tag for child in root] == ["Say", "Hangup"]

    def test_the_pretty_form_is_indented(self, account: Account) -> None:
        assert "\n    <Sip>" in ring(rows.group(account, *phones(account, 1))).pretty


class TestMembers:
    def test_they_come_in_the_order_of_their_positions(self, account: Account) -> None:
        group = rows.group(account, *phones(account, 3))
        RingGroupMember.objects.filter(group=group, endpoint__name="phone2").update(position=0)
        RingGroupMember.objects.filter(group=group, endpoint__name="phone0").update(position=2)
        assert dialled(ring(group))[0] == "sip:phone2@198.51.100.7"

    def test_disabled_ones_are_left_out_and_named(self, account: Account) -> None:
        first, second, third = phones(account, 3)
        group = rows.group(account, first, second, third)
        Endpoint.objects.filter(pk=first.pk).update(enabled=False)
        RingGroupMember.objects.filter(endpoint=second).update(enabled=False)
        served = ring(group)
        assert dialled(served) == ["sip:phone2@198.51.100.7"]
        assert "phone0 is left out: the endpoint is disabled." in served.why
        assert "phone1 is left out: this member is disabled." in served.why

    def test_one_that_cannot_be_dialled_is_left_out_and_named(self, account: Account) -> None:
        first, second = phones(account, 2)
        Endpoint.objects.filter(pk=first.pk).update(headers="Subject: x")
        served = ring(rows.group(account, first, second))
        assert dialled(served) == ["sip:phone1@198.51.100.7"]
        assert "phone0 is left out" in served.why[0]
        assert "13252" in served.why[0]

    def test_a_parallel_group_rings_ten_at_most(self, account: Account) -> None:
        served = ring(rows.group(account, *phones(account, 12)))
        assert len(dialled(served)) == 10
        assert any("2 more are left out" in reason for reason in served.why)

    def test_a_sequential_group_goes_on_in_the_next_dial(self, account: Account) -> None:
        group = rows.group(account, *phones(account, 23), strategy="sequential")
        served, seen = ring(group), []
        while "<Dial" in served.xml:
            seen.append(len(dialled(served)))
            assert ("action" in attributes(served)) is (sum(seen) < 23)
            served = follow_up(group, Context(dial_call_status="no-answer", left=left(served)))
        assert seen == [10, 10, 3]
        assert body(served) == "<Hangup />"


class TestWithoutEnhancedSip:
    """Twilio's `<Dial>` page: more than one noun needs the account's enhanced SIP features."""

    @pytest.fixture
    def account(self) -> Account:
        return rows.account(enhanced_sip=False)

    @pytest.mark.parametrize("strategy", ["parallel", "sequential"])
    def test_a_group_rings_one_member_in_each_dial(self, account: Account, strategy: str) -> None:
        group = rows.group(account, *phones(account, 3), strategy=strategy)
        served, rung = ring(group), []
        while "<Dial" in served.xml:
            rung += dialled(served)
            assert "sequential" not in attributes(served)
            served = follow_up(group, Context(dial_call_status="no-answer", left=left(served)))
        assert rung == [f"sip:phone{number}@198.51.100.7" for number in range(3)]

    def test_a_parallel_group_says_why(self, account: Account) -> None:
        served = ring(rows.group(account, *phones(account, 3)))
        assert "Group Support rings 1 member for 30 s. The next 2 follow in another Dial" in served.why[0]
        assert "They cannot ring at once: the account's enhanced SIP features are off." in served.why

    def test_what_follows_a_group_rings_one_by_one_too(self, account: Account) -> None:
        other = rows.group(account, *phones(account, 2), name="Other")
        group = rows.group(account, fallback="group", fallback_group=other)
        assert len(dialled(ring(group))) == 1

    def test_one_member_is_dialled_as_ever(self, account: Account) -> None:
        served = ring(rows.group(account, *phones(account, 1)))
        assert attributes(served) == {"answerOnBridge": "true"}
        assert not any("at once: the account" in reason for reason in served.why)


class TestFollowUp:
    @pytest.mark.parametrize("status", ["completed", "answered", "canceled"])
    def test_a_dial_that_is_over_ends_the_call(self, account: Account, status: str) -> None:
        group = rows.group(account, *phones(account, 1), fallback="say", fallback_text="Nobody is here.")
        assert body(follow_up(group, Context("in-progress", status))) == "<Hangup />"

    @pytest.mark.parametrize(
        ("call_status", "dial_status", "expected"),
        [
            ("ringing", "busy", '<Reject reason="busy" />'),
            ("ringing", "no-answer", "<Hangup />"),
            ("ringing", "failed", "<Hangup />"),
            ("in-progress", "busy", "<Hangup />"),
        ],
    )
    def test_hanging_up_tells_a_caller_that_was_not_answered_of_busy(
        self, account: Account, call_status: str, dial_status: str, expected: str
    ) -> None:
        group = rows.group(account, *phones(account, 1))
        assert body(follow_up(group, Context(call_status, dial_status))) == expected
        assert body(follow_up(None, Context(call_status, dial_status))) == expected

    def test_a_message_is_spoken(self, account: Account) -> None:
        group = rows.group(account, fallback="say", fallback_text="Bitte später – <danke> & Ende")
        assert body(follow_up(group, Context("ringing", "no-answer"))) == (
            "<Say>Bitte später – &lt;danke&gt; &amp; Ende</Say><Hangup />"
        )

    def test_another_group_is_rung_and_the_first_one_remembered(self, account: Account) -> None:
        second = rows.group(account, *phones(account, 1), name="Second", fallback="say", fallback_text="Nobody.")
        first = rows.group(account, rows.endpoint(account), fallback="group", fallback_group=second)
        served = follow_up(first, Context("ringing", "no-answer", route_id=7))
        assert attributes(served)["action"] == (f"/voice/dial-action/group/{second.pk}/?route=7&visited={first.pk}")
        assert (served.group_id, served.route_id) == (second.pk, 7)

    def test_a_group_that_was_rung_before_is_not_rung_again(self, account: Account) -> None:
        first, second = rows.group(account, *phones(account, 1)), rows.group(account, name="Second")
        RingGroup.objects.filter(pk=first.pk).update(fallback="group", fallback_group=second)
        RingGroup.objects.filter(pk=second.pk).update(fallback="group", fallback_group=first)
        second.refresh_from_db()
        served = follow_up(second, Context("ringing", "no-answer", visited=(first.pk,)))
        assert body(served) == "<Hangup />"
        assert any("rung already" in reason for reason in served.why)

    def test_an_endpoint_is_rung_with_the_groups_settings(self, account: Account) -> None:
        last = rows.endpoint(account, "Last")
        group = rows.group(
            account,
            *phones(account, 2),
            strategy="sequential",
            record="record-from-answer",
            fallback="endpoint",
            fallback_endpoint=last,
        )
        served = follow_up(group, Context("ringing", "no-answer"))
        assert attributes(served) == {
            "answerOnBridge": "true",
            "record": "record-from-answer",
        }
        assert dialled(served) == ["sip:last@198.51.100.7"]

    def test_a_fallback_endpoint_that_is_disabled_ends_the_call(self, account: Account) -> None:
        last = rows.endpoint(account, "Last", enabled=False)
        group = rows.group(account, fallback="endpoint", fallback_endpoint=last)
        assert body(follow_up(group, Context("ringing", "no-answer"))) == "<Hangup />"

    def test_a_member_that_joins_while_a_parallel_group_rings_is_not_rung(self, account: Account) -> None:
        group = rows.group(account, *phones(account, 2))
        assert body(follow_up(group, Context("ringing", "no-answer"))) == "<Hangup />"

    def test_a_group_without_members_does_at_once_what_it_falls_back_to(self, account: Account) -> None:
        group = rows.group(account, fallback="say", fallback_text="Welcome.")
        assert body(ring(group)) == "<Say>Welcome.</Say><Hangup />"

"""Opening hours, voicemail boxes with their messages, and blocked callers through /api/v1/."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from calls import ledger
from calls.models import VoicemailMessage
from routing.models import Account, BlockedCaller, Schedule, Voicemail
from tests import rows, samples
from tests.api.v1 import V1, by_key, by_session, by_token

pytestmark = pytest.mark.django_db

OFFICE = {
    "name": "Office",
    "time_zone": "Europe/Berlin",
    "hours": [{"weekdays": ["mon", "fri"], "opens": "08:00", "closes": "17:00"}],
    "exceptions": [{"name": "Christmas", "first_day": "2026-12-25", "last_day": "2026-12-26"}],
}


@pytest.fixture
def v1(account: Account) -> V1:
    return by_token(account)


class TestSchedules:
    def test_one_is_made_with_its_rows(self, v1: V1) -> None:
        made = v1.post("schedules", OFFICE)
        assert made.status == 201, made.body
        assert made["hours"] == [{"weekdays": ["mon", "fri"], "opens": "08:00:00", "closes": "17:00:00"}]
        assert made["exceptions"][0]["last_day"] == "2026-12-26"
        assert set(made["now"]) == {"open", "why", "until"}
        row = Schedule.objects.get()
        assert row.in_words == "Mon, Fri 08:00–17:00"

    def test_rows_that_are_given_replace_the_former(self, v1: V1) -> None:
        pk = v1.post("schedules", OFFICE)["id"]
        changed = v1.patch(f"schedules/{pk}", {"hours": []})
        assert (changed["hours"], len(changed["exceptions"])) == ([], 1)
        other = {"exceptions": [{"name": "x", "first_day": "2026-01-01", "opens": "09:00", "closes": "12:00"}]}
        assert v1.patch(f"schedules/{pk}", other)["exceptions"][0]["last_day"] == "2026-01-01"

    def test_it_is_switched_by_hand(self, v1: V1) -> None:
        pk = v1.post("schedules", OFFICE)["id"]
        assert v1.patch(f"schedules/{pk}", {"switch": "open"})["now"]["why"] == "Open by hand"
        assert v1.get("schedules?switch=open").ids == [pk]
        assert (
            v1.patch(f"schedules/{pk}", {"switch": "", "switch_until": "2099-01-01T00:00:00Z"})["switch_until"] is None
        )

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"time_zone": "Mars"}, "time_zone"),
            ({"time_zone": "x\0"}, "time_zone"),
            ({"hours": [{"opens": "08:00", "closes": "17:00"}]}, "hours[0].weekdays"),
            ({"hours": [{"weekdays": ["someday"], "opens": "08:00", "closes": "17:00"}]}, "hours[0].weekdays[0]"),
            ({"hours": [{"weekdays": ["mon"], "opens": "25:00", "closes": "17:00"}]}, "hours[0].opens"),
            (
                {"exceptions": [{"name": "x", "first_day": "2026-01-02", "last_day": "2026-01-01"}]},
                "exceptions[0].last_day",
            ),
            ({"exceptions": [{"name": "x", "first_day": "2026-01-02", "opens": "09:00"}]}, "exceptions[0].closes"),
            ({"exceptions": [{"name": "x", "first_day": "yesterday"}]}, "exceptions[0].first_day"),
            ({"switch": "ajar"}, "switch"),
        ],
    )
    def test_what_is_wrong_is_named(self, v1: V1, given: dict[str, Any], field: str) -> None:
        answer = v1.post("schedules", {**OFFICE, **given})
        assert (answer.status, list(answer["errors"])) == (400, [field])
        assert not Schedule.objects.exists()

    def test_one_in_use_is_not_deleted(self, v1: V1, account: Account) -> None:
        pk = v1.post("schedules", OFFICE)["id"]
        group = rows.group(account, schedule_id=pk)
        assert v1.delete(f"schedules/{pk}").status == 409
        group.delete()
        assert v1.delete(f"schedules/{pk}").status == 204

    def test_another_account_has_its_own(self, v1: V1) -> None:
        foreign = Schedule.objects.create(account=rows.account("Other"), name="x")
        assert v1.get(f"schedules/{foreign.pk}").status == 404
        assert v1.get("schedules").ids == []


class TestBoxes:
    def test_one_is_made_and_a_route_leads_to_it(self, v1: V1, account: Account) -> None:
        made = v1.post("voicemail-boxes", {"name": "Support", "emails": ["a@b.example"], "max_length": 60})
        assert (made.status, made["emails"], made["has_greeting_file"]) == (201, ["a@b.example"], False)
        domain = rows.domain(account)
        route = v1.post("routes", {"domain": domain.pk, "pattern": "101", "voicemail": made["id"]})
        assert (route.status, route["voicemail"]) == (201, made["id"])
        assert v1.delete(f"voicemail-boxes/{made['id']}").status == 409

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"emails": ["nobody"]}, "emails[0]"),
            ({"emails": "a@b.example"}, "emails"),
            ({"greeting": "file"}, "greeting_file"),
            ({"greeting": "url", "greeting_url": "ftp://x"}, "greeting_url"),
            ({"max_length": 1}, "max_length"),
        ],
    )
    def test_what_is_wrong_is_named(self, v1: V1, given: dict[str, Any], field: str) -> None:
        answer = v1.post("voicemail-boxes", {"name": "Support", **given})
        assert (answer.status, list(answer["errors"])) == (400, [field])


class TestBlockedCallers:
    def test_one_is_blocked_and_freed(self, v1: V1, account: Account) -> None:
        made = by_key(account).post("blocked-callers", {"pattern": "+49 30 123", "reason": "Spam"})
        assert (made.status, made["pattern"], made["answer"]) == (201, "+4930123", "rejected")
        assert made["created_by"].startswith("SK")
        assert v1.get("blocked-callers?search=spam").ids == [made["id"]]
        assert v1.delete(f"blocked-callers/{made['id']}").status == 204
        assert not BlockedCaller.objects.exists()

    @pytest.mark.parametrize("pattern", ["*", "", "a b", "+49\0", "x" * 256])
    def test_what_is_wrong_is_named(self, v1: V1, pattern: str) -> None:
        answer = v1.post("blocked-callers", {"pattern": pattern})
        assert (answer.status, list(answer["errors"])) == (400, ["pattern"])

    def test_one_that_is_blocked_already_is_refused(self, v1: V1) -> None:
        v1.post("blocked-callers", {"pattern": "anonymous"})
        assert list(v1.post("blocked-callers", {"pattern": "Anonymous"})["errors"]) == ["pattern"]


class TestMessages:
    @pytest.fixture
    def message(self, account: Account) -> VoicemailMessage:
        of = samples.call(account)
        entry = samples.recording(of)
        ledger.apply([of, entry])
        box = Voicemail.objects.create(account=account, name="Support")
        return VoicemailMessage.objects.create(
            recording_id=entry.sid,
            account=account,
            call_id=of.sid,
            box=box,
            caller="sip:bob@x",
            time=timezone.now(),
            duration=3.0,
        )

    def test_they_are_listed_heard_and_thrown_away(self, v1: V1, message: VoicemailMessage) -> None:
        listed = v1.get("voicemail-messages")["results"]
        assert [one["recording"] for one in listed] == [message.pk]
        assert (listed[0]["caller"], listed[0]["box"], listed[0]["wav"]) == ("sip:bob@x", message.box_id, None)
        path = f"voicemail-messages/{message.pk}"
        assert v1.post(f"{path}/heard")["heard_by"] == "auth token"
        assert v1.get("voicemail-messages?heard=false")["results"] == []
        assert len(v1.get("voicemail-messages?heard=true&search=bob")["results"]) == 1
        assert v1.post(f"{path}/unheard")["heard_at"] is None
        assert v1.delete(path).status == 204
        assert v1.get("voicemail-messages")["results"] == []
        assert len(v1.get("voicemail-messages?deleted=true")["results"]) == 1

    def test_a_user_needs_the_permission_to_change_them(self, message: VoicemailMessage) -> None:
        viewer = by_session("calls.view_voicemailmessage")
        path = f"voicemail-messages/{message.pk}"
        assert viewer.get(path).status == 200
        assert (viewer.post(f"{path}/heard").status, viewer.delete(path).status) == (403, 403)
        changer = by_session("calls.view_voicemailmessage", "calls.change_voicemailmessage")
        assert changer.post(f"{path}/heard").status == 200

    def test_another_account_has_its_own(self, message: VoicemailMessage) -> None:
        stranger = by_token(rows.account("Other"))
        assert stranger.get(f"voicemail-messages/{message.pk}").status == 404
        assert stranger.get("voicemail-messages")["results"] == []

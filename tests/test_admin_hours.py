"""The admin pages of opening hours, voicemail boxes, their messages and blocked callers."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from calls import ledger
from calls.blocking import block_url
from calls.models import Recording, VoicemailMessage
from routing.models import Account, BlockedCaller, Schedule, ScheduleException, ScheduleHours, Voicemail
from tests import rows, samples
from tests.test_closing import box, schedule

pytestmark = pytest.mark.django_db

FRIDAY = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)  # 10 o'clock in Berlin


@pytest.fixture
def account() -> Account:
    return rows.account()


@pytest.fixture
def desk(admin_client: Client) -> Client:
    return admin_client


def somebody(*permissions: str) -> Client:
    """Return the client of somebody who may do just this."""
    user = User.objects.create_user(f"user{User.objects.count()}", is_staff=True)
    for name in permissions:
        app, codename = name.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client = Client()
    client.force_login(user)
    return client


def formset(prefix: str, *forms: dict[str, Any], initial: int = 0) -> dict[str, Any]:
    found = {f"{prefix}-TOTAL_FORMS": len(forms), f"{prefix}-INITIAL_FORMS": initial}
    for number, form in enumerate(forms):
        found |= {f"{prefix}-{number}-{name}": value for name, value in form.items()}
    return found


def change(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


class TestSchedules:
    """Opening hours."""

    def test_a_week_is_entered_in_one_form(self, desk: Client, account: Account) -> None:
        data = {"name": "Office", "account": account.pk, "time_zone": "Europe/Berlin", "switch": "", "switch_until": ""}
        data |= formset(
            "hours",
            {"weekdays": ["mon", "tue"], "opens": "08:00", "closes": "17:00"},
            {"weekdays": ["fri"], "opens": "20:00", "closes": "02:00"},
        )
        data |= formset("exceptions", {"name": "Inventory", "first_day": "2026-12-30", "last_day": "", "opens": ""})
        answer = desk.post(reverse("admin:routing_schedule_add"), data)
        assert answer.status_code == 302, answer.content.decode()[:2000]
        made = Schedule.objects.get()
        assert [str(row) for row in made.hours.all()] == ["Mon, Tue 08:00–17:00", "Fri 20:00–02:00"]
        assert made.exceptions.get().last_day == date(2026, 12, 30)

    def test_what_is_wrong_is_said_beside_the_field(self, desk: Client, account: Account) -> None:
        data = {"name": "Office", "account": account.pk, "time_zone": "Mars/Olympus", "switch": ""}
        data |= formset("hours", {"weekdays": [], "opens": "25:00", "closes": "17:00"})
        data |= formset("exceptions", {"name": "x", "first_day": "2026-12-30", "last_day": "2026-12-29", "opens": ""})
        answer = desk.post(reverse("admin:routing_schedule_add"), data)
        text = answer.content.decode()
        assert answer.status_code == 200
        assert "There is no such time zone" in text
        assert "This is before the first day." in text
        assert not Schedule.objects.exists()

    @time_machine.travel(FRIDAY, tick=False)
    def test_the_page_says_how_it_is_now_and_in_the_next_days(self, desk: Client, account: Account) -> None:
        made = schedule(account)
        day = date(2026, 11, 23)
        ScheduleException.objects.create(schedule=made, name="<b>Party", first_day=day, last_day=day)
        rows.group(account, schedule=made)
        text = desk.get(change(made)).content.decode()
        assert "Now: Open until Fri 17:00" in text
        assert "(Europe/Berlin, 10:00)" in text
        assert text.count("08:00–17:00") >= 4
        assert "&lt;b&gt;Party" in text
        assert "Support" in text

    def test_the_list_is_as_quick_with_many(
        self, desk: Client, account: Account, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(20):
            rows.group(account, name=f"G{number}", schedule=schedule(account, f"S{number}"))
        with django_assert_max_num_queries(14):
            assert desk.get(reverse("admin:routing_schedule_changelist")).status_code == 200

    @time_machine.travel(FRIDAY, tick=False)
    def test_it_is_switched_by_hand_until_a_time_of_its_own_clock(self, desk: Client, account: Account) -> None:
        made = schedule(account)
        desk.post(
            reverse("admin:routing_schedule_switch", args=[made.pk]), {"switch": "closed", "until": "2026-11-20T12:00"}
        )
        made.refresh_from_db()
        assert made.switch_until == datetime(2026, 11, 20, 11, tzinfo=UTC)
        assert made.opening(timezone.now()).why == "Closed by hand until Fri 12:00"
        text = desk.get(change(made)).content.decode()
        assert 'value="2026-11-20T12:00"' in text  # the form shows the same clock
        assert "Back to the plan" in text
        desk.post(reverse("admin:routing_schedule_switch", args=[made.pk]), {"switch": "", "until": ""})
        assert Schedule.objects.filter(switch="", switch_until=None).exists()

    @pytest.mark.parametrize(
        "data", [{"switch": "x"}, {"switch": "open", "until": "soon"}, {"switch": "open", "until": "2020-01-01T00:00"}]
    )
    def test_a_switch_that_makes_no_sense_changes_nothing(
        self, desk: Client, account: Account, data: dict[str, str]
    ) -> None:
        made = schedule(account)
        answer = desk.post(reverse("admin:routing_schedule_switch", args=[made.pk]), data, follow=True)
        assert "Nothing was switched" in answer.content.decode()
        made.refresh_from_db()
        assert made.switch == ""

    @time_machine.travel(FRIDAY, tick=False)
    def test_several_are_switched_for_the_rest_of_the_day(self, desk: Client, account: Account) -> None:
        one, other = schedule(account), schedule(account, "Tokyo", time_zone="Asia/Tokyo")
        keys = [one.pk, other.pk]
        url = reverse("admin:routing_schedule_changelist")
        desk.post(url, {"action": "close_today", "_selected_action": keys})
        assert [row.switch_until for row in Schedule.objects.order_by("pk")] == [
            datetime(2026, 11, 20, 23, tzinfo=UTC),
            datetime(2026, 11, 20, 15, tzinfo=UTC),
        ]
        desk.post(url, {"action": "open_today", "_selected_action": keys})
        assert {row.switch for row in Schedule.objects.all()} == {"open"}
        desk.post(url, {"action": "by_the_plan", "_selected_action": keys})
        assert {row.switch for row in Schedule.objects.all()} == {""}

    def test_a_time_zone_that_is_gone_breaks_no_page(self, desk: Client, account: Account) -> None:
        made = schedule(account)
        Schedule.objects.update(time_zone="Mars/Olympus")
        assert "the time zone is not known" in desk.get(change(made)).content.decode()
        url = reverse("admin:routing_schedule_changelist")
        assert desk.get(url).status_code == 200
        assert desk.post(url, {"action": "close_today", "_selected_action": [made.pk]}).status_code == 302

    def test_public_holidays_are_chosen_from_a_list(self, desk: Client, account: Account) -> None:
        made = schedule(account)
        path = reverse("admin:routing_schedule_holidays", args=[made.pk])
        assert desk.get(path).status_code == 200
        asked = f"{path}?country=DE&subdivision=BE&year=2026&years=1"
        assert "Christmas Day" in desk.get(asked).content.decode()
        chosen = {"day": ["2026-12-25", "2026-03-08", "1999-01-01"]}
        desk.post(asked, chosen)
        desk.post(asked, chosen)  # what is there already is not added again
        assert [str(row) for row in made.exceptions.all()] == ["Women's Day 2026-03-08", "Christmas Day 2026-12-25"]
        assert "there already" in desk.get(asked).content.decode()

    @pytest.mark.parametrize("query", ["country=XX", "country=DE&subdivision=XX", "country=DE&year=x", "country=%00"])
    def test_holidays_of_nowhere_do_no_harm(self, desk: Client, account: Account, query: str) -> None:
        path = reverse("admin:routing_schedule_holidays", args=[schedule(account).pk])
        assert desk.get(f"{path}?{query}").status_code == 200

    def test_who_may_only_look_can_switch_nothing(self, account: Account) -> None:
        made, viewer = schedule(account), somebody("routing.view_schedule")
        assert "Switch by hand" not in viewer.get(change(made)).content.decode()
        for name in ("switch", "holidays"):
            path = reverse(f"admin:routing_schedule_{name}", args=[made.pk])
            assert viewer.post(path, {"switch": "open"}).status_code == 403
        assert ScheduleHours.objects.count() == 1


class TestBoxes:
    """Voicemail boxes."""

    def test_the_page_shows_what_callers_get(self, desk: Client, account: Account, settings: Settings) -> None:
        settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
        made = box(account, emails="a@b.example")
        rows.group(account, fallback="voicemail", fallback_voicemail=made)
        text = desk.get(change(made)).content.decode()
        assert "&lt;Record" in text
        assert "put EMAIL_URL" in text.lower() or "EMAIL_URL" in text
        assert "Support" in text
        assert desk.get(reverse("admin:routing_voicemail_changelist")).status_code == 200

    def test_one_that_a_group_leads_to_is_not_deleted(self, desk: Client, account: Account) -> None:
        made = box(account)
        rows.group(account, fallback="voicemail", fallback_voicemail=made)
        desk.post(reverse("admin:routing_voicemail_delete", args=[made.pk]), {"post": "yes"})
        assert Voicemail.objects.exists()


class TestBlockedCallers:
    """Blocked callers."""

    def test_a_link_fills_in_the_form(self, desk: Client, account: Account, admin_user: User) -> None:
        url = block_url(admin_user, account.pk, "sip:+4930123@carrier.example")
        assert parse_qs(urlsplit(url).query) == {"pattern": ["+4930123"], "account": [account.pk]}
        assert 'value="+4930123"' in desk.get(url).content.decode()
        assert desk.post(url, {"pattern": "+49 30 123", "account": account.pk, "answer": "busy"}).status_code == 302
        row = BlockedCaller.objects.get()
        assert (row.pattern, row.created_by) == ("+4930123", "admin")
        assert "+4930123" in desk.get(reverse("admin:routing_blockedcaller_changelist")).content.decode()

    def test_there_is_none_for_who_may_not_or_nobody(self, account: Account, admin_user: User) -> None:
        assert block_url(User.objects.create(username="x"), account.pk, "+4930") == ""
        assert "anonymous" in block_url(admin_user, account.pk, "sip:anonymous@anonymous.invalid")
        assert block_url(admin_user, account.pk, "a b\0c") == ""

    def test_who_is_there_twice_is_refused(self, desk: Client, account: Account) -> None:
        BlockedCaller.objects.create(account=account, pattern="+4930")
        data = {"pattern": "+49 30", "account": account.pk, "answer": "busy"}
        answer = desk.post(reverse("admin:routing_blockedcaller_add"), data)
        assert "blocked already" in answer.content.decode()


class TestMessages:
    """Voicemail messages."""

    @pytest.fixture
    def message(self, account: Account) -> VoicemailMessage:
        return self.left(account)

    def left(self, account: Account, caller: str = "sip:+4930123@carrier.example") -> VoicemailMessage:
        of = samples.call(account, from_address=caller)
        entry = samples.recording(of)
        ledger.apply([of, entry])
        Recording.objects.filter(pk=entry.sid).update(status="completed", duration=7.5, size=100)
        own = Voicemail.objects.first() or box(account)
        return VoicemailMessage.objects.create(
            recording_id=entry.sid,
            account=account,
            call_id=of.sid,
            box=own,
            caller=caller,
            time=timezone.now(),
            duration=7.5,
        )

    def do(self, client: Client, message: VoicemailMessage, what: str) -> int:
        answer = client.post(reverse("admin:calls_voicemailmessage_do", args=[message.pk]), {"do": what})
        message.refresh_from_db()
        return answer.status_code

    def test_they_are_listed_with_a_player(self, desk: Client, message: VoicemailMessage) -> None:
        text = desk.get(reverse("admin:calls_voicemailmessage_changelist")).content.decode()
        assert "+4930123" in text
        assert message.recording.url in text
        assert ">new<" in text

    def test_who_may_not_listen_gets_no_player(self, message: VoicemailMessage) -> None:
        viewer = somebody("calls.view_voicemailmessage")
        for path in (reverse("admin:calls_voicemailmessage_changelist"), change(message)):
            answer = viewer.get(path)
            assert answer.status_code == 200
            assert message.recording.url not in answer.content.decode()
        assert viewer.post(reverse("admin:calls_voicemailmessage_heard", args=[message.pk])).status_code == 403
        assert self.do(viewer, message, "throw") == 403

    def test_playing_one_marks_it_as_heard(self, desk: Client, message: VoicemailMessage) -> None:
        assert desk.post(reverse("admin:calls_voicemailmessage_heard", args=[message.pk])).status_code == 204
        message.refresh_from_db()
        assert (message.heard_by, message.heard_at is not None) == ("admin", True)
        assert desk.get(reverse("admin:calls_voicemailmessage_heard", args=[message.pk])).status_code == 405

    def test_the_sidebar_is_told_how_many_nobody_has_heard(self, desk: Client, account: Account) -> None:
        path = reverse("admin:calls_voicemailmessage_unheard")
        assert desk.get(path).json() == {"unheard": 0, "most": 100}
        message = self.left(account)
        self.left(account)
        assert desk.get(path).json()["unheard"] == 2
        self.do(desk, message, "throw")
        assert desk.get(path).json()["unheard"] == 1
        assert somebody().get(path).status_code == 403

    def test_the_buttons_do_what_they_say(self, desk: Client, message: VoicemailMessage) -> None:
        self.do(desk, message, "heard")
        assert message.heard_by == "admin"
        self.do(desk, message, "unheard")
        assert message.heard_at is None
        self.do(desk, message, "throw")
        assert message.deleted_by == "admin"
        listed = reverse("admin:calls_voicemailmessage_changelist")
        assert "+4930123" not in desk.get(listed).content.decode()
        assert "+4930123" in desk.get(listed + "?show=deleted").content.decode()
        self.do(desk, message, "back")
        assert message.deleted_at is None
        assert self.do(desk, message, "dance") == 404

    def test_the_email_is_sent_again_to_who_is_told_now(
        self, desk: Client, message: VoicemailMessage, settings: Settings
    ) -> None:
        Voicemail.objects.update(emails="new@b.example")
        self.do(desk, message, "mail")
        assert (message.mail, message.mail_to) == ("waiting", "new@b.example")
        settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
        answer = desk.post(reverse("admin:calls_voicemailmessage_do", args=[message.pk]), {"do": "mail"}, follow=True)
        assert "E-mail is not set up" in answer.content.decode()

    def test_the_actions_work_on_several(self, desk: Client, account: Account) -> None:
        keys = [self.left(account).pk for _ in range(3)]
        url = reverse("admin:calls_voicemailmessage_changelist")
        for action in ("mark_heard", "mark_unheard", "throw_away"):
            assert desk.post(url, {"action": action, "_selected_action": keys}).status_code == 302
        assert VoicemailMessage.objects.filter(deleted_at__isnull=False, heard_at=None).count() == 3
        desk.post(url + "?show=deleted", {"action": "put_back", "_selected_action": keys})
        assert VoicemailMessage.objects.filter(deleted_at=None).count() == 3

    def test_they_are_found_and_filtered(self, desk: Client, account: Account, message: VoicemailMessage) -> None:
        other = self.left(account, "sip:bob@example.com")
        url = reverse("admin:calls_voicemailmessage_changelist")

        def found(query: str) -> set[str]:
            text = desk.get(f"{url}?{query}").content.decode()
            return {one.pk for one in (message, other) if change(one) in text}

        assert found("q=bob") == {other.pk}
        assert found(f"q={message.call_id}") == {message.pk}
        assert found(f"q={message.pk}") == {message.pk}
        assert found("q=nobody") == set()
        other.hear("alice", timezone.now())
        assert found("show=unheard") == {message.pk}
        assert found("show=heard") == {other.pk}
        assert found(f"box__id__exact={message.box_id}&mail__exact=none") == {message.pk, other.pk}

    @pytest.mark.parametrize("caller", ["<script>alert(1)</script>", "\u202e" * 500, "", "💣\x07"])
    def test_hostile_callers_are_shown_harmlessly(self, desk: Client, account: Account, caller: str) -> None:
        message = self.left(account, caller)
        for path in (reverse("admin:calls_voicemailmessage_changelist"), change(message)):
            text = desk.get(path).content.decode()
            assert "<script>alert" not in text
            assert "\u202e" not in text

    def test_one_whose_box_is_gone_is_shown(self, desk: Client, message: VoicemailMessage) -> None:
        Voicemail.objects.all().delete()
        assert "a voicemail box that is gone" in desk.get(change(message)).content.decode()

    def test_what_became_of_the_email_is_shown(self, desk: Client, message: VoicemailMessage) -> None:
        later = timezone.now() + timedelta(hours=1)
        VoicemailMessage.objects.update(
            mail="waiting", mail_to="a@b.example", mail_tries=3, mail_due=later, mail_error="Connection <refused>"
        )
        text = desk.get(change(message)).content.decode()
        assert "Connection &lt;refused&gt;" in text
        assert "a@b.example" in text

    def test_the_list_is_as_quick_with_many(
        self, desk: Client, account: Account, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(20):
            self.left(account)
        with django_assert_max_num_queries(14):
            desk.get(reverse("admin:calls_voicemailmessage_changelist"))


def test_times_of_day_in_lists_are_those_of_the_clock() -> None:
    hours = ScheduleHours(weekdays="mon tue wed fri sun", opens=time(9), closes=time(12, 30))
    assert str(hours) == "Mon–Wed, Fri, Sun 09:00–12:30"


def test_a_schedule_is_told_in_words(account: Account) -> None:
    made = schedule(account)
    ScheduleHours.objects.create(schedule=made, weekdays="sat sun", opens=time(9), closes=time(0))
    assert made.in_words == "Mon–Fri 08:00–17:00; Sat, Sun 09:00–24:00"
    made.hours.all().delete()
    assert made.in_words == "never"

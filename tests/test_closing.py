"""Opening hours, voicemail boxes and blocked callers in the TwiML that is served."""

from __future__ import annotations

import io
import wave
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from routing import blocking
from routing.models import (
    Account,
    BlockedCaller,
    RingGroup,
    Schedule,
    ScheduleException,
    ScheduleHours,
    SipDomain,
    Voicemail,
)
from routing.resolve import Destination, destination
from routing.situation import Situation
from routing.voice import Context, document
from tests import rows
from tests.test_views import Caller

pytestmark = pytest.mark.django_db

MONDAY = datetime(2026, 11, 23, 10, tzinfo=UTC)
SUNDAY = datetime(2026, 11, 22, 10, tzinfo=UTC)


def schedule(of: Account, name: str = "Office", **fields: Any) -> Schedule:
    made = Schedule.objects.create(account=of, name=name, **{"time_zone": "Europe/Berlin", **fields})
    ScheduleHours.objects.create(schedule=made, weekdays="mon tue wed thu fri", opens=time(8), closes=time(17))
    return made


def box(of: Account, name: str = "Support", **fields: Any) -> Voicemail:
    return Voicemail.objects.create(account=of, name=name, **fields)


def sound(samples: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(bytes(2 * samples))
    return file.getvalue()


def verbs(xml: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(xml))


def at(moment: datetime | None) -> Context:
    return Context("ringing", situation=Situation(moment))


@pytest.fixture
def account(settings: Settings) -> Account:
    settings.PUBLIC_URL = "http://testserver"
    return rows.account()


@pytest.fixture
def group(account: Account) -> RingGroup:
    return rows.group(account, rows.endpoint(account), schedule=schedule(account))


class TestOpeningHours:
    """A group with a schedule."""

    def test_it_rings_while_it_is_open(self, group: RingGroup) -> None:
        served = document(Destination(group, ()), at(MONDAY))
        assert "<Sip>" in served.xml
        assert served.why[0] == "Opening hours Office of group Support: Open until Mon 17:00 (Europe/Berlin)."

    def test_outside_it_does_what_is_set_for_it(self, group: RingGroup) -> None:
        group.closed, group.closed_text = "say", "We are closed."
        served = document(Destination(group, ()), at(SUNDAY))
        assert "We are closed." in served.xml
        assert "<Sip>" not in served.xml
        assert served.why[:2] == (
            "Opening hours Office of group Support: Closed: Sunday, opens Mon 08:00 (Europe/Berlin).",
            "Outside opening hours: say “We are closed.” and hang up.",
        )
        assert served.group_id == group.pk

    def test_it_may_lead_to_another_group_endpoint_or_box(self, account: Account, group: RingGroup) -> None:
        bob = rows.endpoint(account, "Bob")
        night = rows.group(account, bob, name="Night")
        for closed, what in (("group", night), ("endpoint", bob)):
            setattr(group, f"closed_{closed}", what)
            group.closed = closed
            assert "bob@" in document(Destination(group, ()), at(SUNDAY)).xml
        group.closed, group.closed_voicemail = "voicemail", box(account)
        assert "<Record" in document(Destination(group, ()), at(SUNDAY)).xml

    def test_groups_that_send_each_other_their_callers_end_the_call(self, account: Account, group: RingGroup) -> None:
        other = rows.group(account, name="Night", schedule=group.schedule, closed="group", closed_group=group)
        group.closed, group.closed_group = "group", other
        served = document(Destination(group, ()), at(SUNDAY))
        assert "<Hangup" in served.xml
        assert "Group Support has been rung already in this call." in served.why

    def test_the_switch_goes_before_the_plan(self, group: RingGroup) -> None:
        assert group.schedule
        group.schedule.switch, group.schedule.switch_until = "closed", MONDAY + timedelta(hours=1)
        assert "Closed by hand until Mon 12:00" in document(Destination(group, ()), at(MONDAY)).why[0]
        assert "<Sip>" in document(Destination(group, ()), at(MONDAY + timedelta(hours=1))).xml

    def test_a_call_that_rings_already_goes_on(self, group: RingGroup) -> None:
        context = Context("ringing", "no-answer", left=(), situation=Situation(SUNDAY))
        assert not any("Opening hours" in why for why in document(Destination(group, ()), context).why)

    def test_a_time_zone_that_is_gone_leaves_the_group_open(self, group: RingGroup) -> None:
        Schedule.objects.update(time_zone="Mars/Olympus")
        group.refresh_from_db()
        served = document(Destination(group, ()), at(SUNDAY))
        assert "<Sip>" in served.xml
        assert "Open and save them" in served.why[0]

    def test_it_costs_two_queries_more(
        self, account: Account, group: RingGroup, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        assert group.schedule
        at_domain = rows.domain(account)
        rows.route(at_domain, "100", group=group)
        for day in range(30):
            ScheduleException.objects.create(
                schedule=group.schedule, name="Away", first_day=date(2027, 1, 1 + day), last_day=date(2027, 1, 1 + day)
            )
        with django_assert_num_queries(2 + 2):
            document(destination(account, "calls.example.com", "100"), at(SUNDAY))


class TestSchedules:
    """What is refused when they are saved."""

    def test_names_of_zones_and_days_are_checked(self, account: Account) -> None:
        with pytest.raises(ValidationError, match="Europe/Berlin"):
            Schedule(account=account, name="x", time_zone="Mars").full_clean()
        hours = ScheduleHours(schedule=schedule(account), opens=time(8), closes=time(9))
        for weekdays in ("", "someday", "mon someday"):
            hours.weekdays = weekdays
            with pytest.raises(ValidationError):
                hours.full_clean()
        hours.weekdays = "FRI, mon"
        hours.full_clean()
        assert hours.weekdays == "mon fri"

    def test_an_exception_is_a_day_or_a_range_closed_or_with_hours(self, account: Account) -> None:
        row = ScheduleException(schedule=schedule(account), name="Christmas", first_day=date(2026, 12, 25))
        row.full_clean()
        assert row.last_day == row.first_day
        row.last_day = date(2026, 12, 24)
        with pytest.raises(ValidationError, match="before the first"):
            row.full_clean()
        row.last_day, row.opens = date(2026, 12, 26), time(9)
        with pytest.raises(ValidationError, match="both times"):
            row.full_clean()

    def test_the_switch_forgets_its_end_with_it(self, account: Account) -> None:
        row = Schedule(account=account, name="x", time_zone="UTC", switch_until=MONDAY)
        row.full_clean()
        assert row.switch_until is None

    def test_a_schedule_or_box_of_another_account_is_refused(self, account: Account, group: RingGroup) -> None:
        other = rows.account("Other")
        group.schedule = schedule(other)
        with pytest.raises(ValidationError, match="another account"):
            group.full_clean()
        group.schedule, group.closed, group.closed_voicemail = None, "voicemail", box(other)
        with pytest.raises(ValidationError, match="another account"):
            group.full_clean()
        group.closed_voicemail = None
        with pytest.raises(ValidationError, match="Fill this in"):
            group.full_clean()


class TestVoicemail:
    """What a caller of a box hears."""

    def test_it_greets_and_records(self, account: Account) -> None:
        own = box(account, greeting_text="Speak!", language="en-GB", max_length=60)
        served = document(Destination(own, ("A route.",)), at(MONDAY))
        say, record, hangup = verbs(served.xml)
        assert (say.text, say.get("language")) == ("Speak!", "en-GB")
        assert dict(record.attrib) == {
            "action": f"/voice/voicemail/{own.pk}/done/",
            "finishOnKey": "#",
            "maxLength": "60",
            "recordingStatusCallback": f"/voice/voicemail/{own.pk}/recorded/",
        }
        assert hangup.tag == "Hangup"
        assert served.why[-1] == "The caller is asked to leave a message in voicemail box Support."

    def test_the_greeting_may_be_a_url_or_only_the_beep(self, account: Account) -> None:
        own = box(account, greeting="url", greeting_url="https://example.com/hello.mp3")
        assert verbs(document(Destination(own, ())).xml)[0].text == "https://example.com/hello.mp3"
        own.greeting = "none"
        assert verbs(document(Destination(own, ())).xml)[0].tag == "Record"

    def test_an_uploaded_greeting_is_played_to_callers(
        self, account: Account, client: Client, settings: Settings, tmp_path: Any
    ) -> None:
        settings.DATA_DIR = tmp_path
        own = box(account, greeting="file")
        own.greeting_file.save("hello.wav", ContentFile(b"RIFF"))
        played = verbs(document(Destination(own, ())).xml)[0].text
        assert played and played.startswith("/voice/voicemail/greeting/")
        answer = client.get(played)
        assert (answer.status_code, answer["Content-Type"]) == (200, "audio/wav")
        assert b"".join(answer) == b"RIFF"
        for wrong in ("../db.sqlite3", "x.wav", "0" * 32 + ".wav", "%00.wav"):
            assert client.get(f"/voice/voicemail/greeting/{wrong}").status_code == 404
        (tmp_path / "greetings" / own.greeting_file.name).unlink()
        assert client.get(played).status_code == 404

    def test_a_route_may_lead_to_it(self, account: Account) -> None:
        at_domain = rows.domain(account)
        row = rows.route(at_domain, "101", voicemail=box(account))
        row.full_clean()
        caller = Caller(account)
        assert b"<Record" in caller.post(To="sip:101@calls.example.com").content
        row.group = rows.group(account)
        with pytest.raises(ValidationError, match="exactly one"):
            row.full_clean()

    def test_a_group_may_fall_back_to_it(self, account: Account) -> None:
        lonely = rows.group(account, fallback="voicemail", fallback_voicemail=box(account))
        served = document(Destination(lonely, ()), at(MONDAY))
        assert "<Record" in served.xml
        assert "Nobody of group Support answers: voicemail box Support." in served.why

    def test_its_own_urls_answer(self, account: Account) -> None:
        caller, own = Caller(account), box(account)
        assert b"<Record" in caller.post(f"/voice/voicemail/{own.pk}/").content
        assert b"<Reject" in caller.post("/voice/voicemail/99999/").content
        assert b"<Hangup" in caller.post(f"/voice/voicemail/{own.pk}/done/", RecordingDuration="7").content
        assert b"<Hangup" in caller.post("/voice/voicemail/99999/done/").content
        assert b"<Response />" in caller.post(f"/voice/voicemail/{own.pk}/recorded/").content
        foreign = box(rows.account("Other"))
        assert b"<Reject" in caller.post(f"/voice/voicemail/{foreign.pk}/").content

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("emails", "nobody"),
            ("emails", "a@b.example\r\nBcc: c@d.example"),
            ("emails", " ".join(f"a{number}@b.example" for number in range(21))),
            ("language", "x y"),
            ("max_length", 4),
            ("greeting_text", ""),
        ],
    )
    def test_what_it_cannot_use_is_refused(self, account: Account, field: str, value: Any) -> None:
        own = Voicemail(account=account, name="x")
        own.full_clean()
        setattr(own, field, value)
        with pytest.raises(ValidationError) as refused:
            own.full_clean()
        assert list(refused.value.message_dict) == [field]

    def test_addresses_are_kept_one_on_a_line(self, account: Account) -> None:
        own = Voicemail(account=account, name="x", emails="a@b.example, c@d.example;a@b.example")
        own.full_clean()
        assert own.addresses == ["a@b.example", "c@d.example"]
        assert own.emails == "a@b.example\nc@d.example"

    def test_only_sound_files_may_be_uploaded(self, account: Account) -> None:
        own = Voicemail(account=account, name="x", greeting="file")
        own.greeting_file = ContentFile(b"x", "evil.html")
        with pytest.raises(ValidationError, match="WAV or MP3"):
            own.full_clean()
        own.greeting_file = ContentFile(b"not a sound", "hello.wav")
        with pytest.raises(ValidationError, match="cannot be played"):
            own.full_clean()
        own.greeting_file = ContentFile(sound(8000), "hello.WAV")
        own.full_clean()


class TestBlockedCallers:
    """Whose calls are rejected."""

    @pytest.fixture
    def domain(self, account: Account) -> SipDomain:
        made = rows.domain(account)
        rows.route(made, "*", endpoint=rows.endpoint(account))
        return made

    def block(self, account: Account, pattern: str, **fields: Any) -> BlockedCaller:
        made = BlockedCaller(account=account, pattern=pattern, **fields)
        made.full_clean()
        made.save()
        return made

    def test_they_are_rejected_with_the_reason(self, account: Account, domain: SipDomain) -> None:
        self.block(account, "+49 30 1234567", reason="Sells <solar> panels – again")
        answer = Caller(account).post(From="+49301234567")
        assert b"<Reject />" in answer.content
        why = unquote(answer["X-Cordboard-Why"])
        assert why.startswith("+49301234567 is a blocked caller: Sells <solar> panels – again. The call is rejected")
        assert b"<Sip>" in Caller(account).post(From="+49301234568").content

    def test_they_may_be_told_busy(self, account: Account, domain: SipDomain) -> None:
        self.block(account, "+4930*", answer="busy")
        assert b'<Reject reason="busy" />' in Caller(account).post(From="+49301234567").content

    def test_the_most_exact_entry_counts(self, account: Account, domain: SipDomain) -> None:
        self.block(account, "+4930*")
        self.block(account, "+493012*", answer="busy")
        found = blocking.blocking(account, "+49301234567", MONDAY)
        assert found and found.pattern == "+493012*"

    def test_an_entry_may_end_by_itself_or_be_for_one_domain(self, account: Account, domain: SipDomain) -> None:
        self.block(account, "+4930*", expires=MONDAY)
        self.block(account, "bob", domain=domain)
        assert blocking.blocking(account, "+4930", MONDAY - timedelta(seconds=1))
        assert not blocking.blocking(account, "+4930", MONDAY)
        assert blocking.blocking(account, "sip:bob@x", MONDAY, "CALLS.example.com")
        assert not blocking.blocking(account, "sip:bob@x", MONDAY, "other.example.com")

    def test_those_who_withhold_their_number_can_be_blocked(self, account: Account, domain: SipDomain) -> None:
        self.block(account, "anonymous")
        assert b"<Reject />" in Caller(account).post(From="sip:anonymous@anonymous.invalid").content

    def test_another_account_blocks_its_own(self, account: Account, domain: SipDomain) -> None:
        self.block(rows.account("Other"), "+4930*")
        assert not blocking.blocking(account, "+4930", MONDAY)

    @pytest.mark.parametrize("sent", ["\0", "💣" * 8000, "sip:" + "a" * 8000 + "@h", "' OR 1=1 --", "\u202e+4930", "%"])
    def test_whatever_a_caller_sends_is_answered(self, account: Account, domain: SipDomain, sent: str) -> None:
        self.block(account, "+4930*", reason="ü" * 255)
        assert Caller(account).post(From=sent).status_code == 200

    def test_what_is_there_twice_or_of_another_account_is_refused(self, account: Account, domain: SipDomain) -> None:
        self.block(account, "+4930*")
        with pytest.raises(ValidationError, match="already"):
            self.block(account, "tel:+49-30*")
        self.block(account, "+4930*", domain=domain)
        with pytest.raises(ValidationError, match="another account"):
            self.block(account, "bob", domain=rows.domain(rows.account("Other"), "other.example"))
        with pytest.raises(ValidationError, match="block everybody"):
            self.block(account, "*")

    def test_the_reason_in_the_header_stays_short(self, account: Account) -> None:
        group = rows.group(account, fallback="say", fallback_text="語" * 4096)
        rows.route(rows.domain(account), "100", group=group)
        assert len(Caller(account).post()["X-Cordboard-Why"]) <= 3000

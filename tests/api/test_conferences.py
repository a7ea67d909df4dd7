"""Conferences and participants through the official helper library. Source: Twilio's Conference and Participant."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from twilio.rest import Client

from calls import claims, command, ledger, room_ledger
from calls.delivery import sweep
from calls.entries import ConferenceEntry, ParticipantEntry, RoomChange
from calls.models import Call, CallRequest, Command, Conference, Participant, Recording
from routing.models import Account
from routing.sid import new_sid
from tests import samples
from tests.api.inside import inside_client
from tests.api.wire import Wire, error_of, refused
from tests.rows import account as make_account

pytestmark = pytest.mark.django_db

URL = "https://example.com/twiml"
KEYS = (
    "account_sid date_created date_updated api_version friendly_name region sid status uri subresource_uris "
    "reason_conference_ended call_sid_ending_conference"
)
PARTICIPANT_KEYS = (
    "account_sid call_sid label call_sid_to_coach coaching conference_sid date_created date_updated "
    "end_conference_on_exit muted hold start_conference_on_enter status queue_time uri"
)
T0 = samples.START


@pytest.fixture
def client(account: Account) -> Client:
    return inside_client(account)


def conference(account: Account, name: str = "Team", *calls: Call, **values: Any) -> Conference:
    """Return a conference as the engine tells of it, with these calls in it."""
    known: dict[str, Any] = {"status": "in-progress", "engine": "e1", "region": "us1", "created": T0, "updated": T0 + 5}
    sid = values.pop("sid", new_sid("CF"))
    ledger.apply([ConferenceEntry(sid, account.sid, name, **{**known, **values})])
    ledger.apply([entry(sid, call) for call in calls])
    return Conference.objects.get(pk=sid)


def entry(conference_sid: str, call: Call, **values: Any) -> ParticipantEntry:
    known = {"label": "", "muted": False, "hold": False, "coaching": False, "call_sid_to_coach": ""}
    more = {"start_on_enter": True, "end_on_exit": False, "joined": T0 + 1, "updated": T0 + 2}
    return ParticipantEntry(conference_sid, call.pk, call.account_id, **{**known, **more, **values})


def live(account: Account, **values: Any) -> Call:
    record = samples.call(account, status="in-progress", end_time=None, duration=None, **values)
    ledger.apply([record])
    return Call.objects.get(pk=record.sid)


def asked() -> list[tuple[str, str, RoomChange | None]]:
    """Return what the engine is asked for: action, call and change."""
    return [(one.action, one.call_sid, one.room) for one in command.take("e1")]


def test_a_nul_names_no_conference(wire: Wire) -> None:
    for path in ("Conferences/%00/Participants.json", f"Conferences/CF{'1' * 32}/Participants/%00.json"):
        assert error_of(wire.get(path)) == (404, 20404)
        assert wire.post(path).status_code == 404


class TestConferences:
    """Twilio: Conference resource."""

    def test_its_keys_are_twilios(self, wire: Wire, account: Account) -> None:
        row = conference(account)
        body = wire.get(f"Conferences/{row.sid}.json").json()
        assert list(body) == KEYS.split()
        assert (body["status"], body["region"], body["friendly_name"]) == ("in-progress", "us1", "Team")
        assert (body["reason_conference_ended"], body["call_sid_ending_conference"]) == (None, None)
        assert body["uri"] == f"/2010-04-01/Accounts/{account.sid}/Conferences/{row.sid}.json"
        assert [wire.get(path).status_code for path in body["subresource_uris"].values()] == [200, 200]

    def test_a_finished_one_tells_why(self, client: Client, account: Account) -> None:
        call = live(account)
        ended: dict[str, Any] = {"status": "completed", "reason_ended": "last-participant-left", "ended_by": call.pk}
        row = conference(account, **ended)
        found = client.conferences(row.sid).fetch()
        assert (found.status, found.reason_conference_ended) == ("completed", "last-participant-left")
        assert found.call_sid_ending_conference == call.pk
        assert found.date_created == datetime.fromtimestamp(int(T0), UTC)
        assert found.date_updated == datetime.fromtimestamp(int(T0 + 5), UTC)

    def test_what_comes_later_of_a_finished_one_changes_nothing(self, account: Account) -> None:
        row = conference(account, status="completed")
        conference(account, sid=row.sid, status="in-progress")
        assert Conference.objects.get().status == "completed"

    def test_a_list_is_narrowed_by_status_name_and_dates(self, client: Client, account: Account) -> None:
        old = datetime(2026, 3, 5, 12, tzinfo=UTC).timestamp()
        one = conference(account, "Team", created=old, updated=old + 60, status="completed")
        other = conference(account, "Support")

        def found(**filters: Any) -> list[str | None]:
            return [row.sid for row in client.conferences.list(**filters)]

        assert found() == [other.sid, one.sid]
        assert found(status="completed") == [one.sid]
        assert found(friendly_name="Support") == [other.sid]
        assert found(date_created=date(2026, 3, 5)) == [one.sid] == found(date_updated=date(2026, 3, 5))
        assert found(date_created_before=date(2026, 3, 6)) == [one.sid]
        assert found(date_updated_after=date(2026, 3, 6)) == [other.sid]
        assert found(date_created=date(2026, 3, 4)) == []

    def test_another_accounts_do_not_exist(self, client: Client, wire: Wire) -> None:
        row = conference(make_account("Other"))
        assert client.conferences.list() == []
        for ask in (
            client.conferences(row.sid).fetch,
            lambda: client.conferences(row.sid).update(status="completed"),
            lambda: client.conferences(row.sid).participants.create(from_="100", to="sip:a@198.51.100.7"),
        ):
            with refused(404, 20404):
                ask()
        for part in ("Participants", "Recordings"):
            assert error_of(wire.get(f"Conferences/{row.sid}/{part}.json")) == (404, 20404)

    @pytest.mark.parametrize(
        ("form", "code", "word"),
        [
            ({"Status": "in-progress"}, 20001, "Status"),
            ({"AnnounceUrl": "nonsense"}, 21205, "AnnounceUrl"),
            ({"AnnounceUrl": URL, "AnnounceMethod": "PUT"}, 21209, "AnnounceMethod"),
            ({"Announce": URL}, 20001, "AnnounceUrl"),
        ],
    )
    def test_a_wrong_parameter_is_named(
        self, wire: Wire, account: Account, form: dict[str, str], code: int, word: str
    ) -> None:
        row = conference(account, "Team", live(account))
        response = wire.post(f"Conferences/{row.sid}.json", **form)
        assert error_of(response) == (400, code)
        assert word in response.json()["message"] and not Command.objects.exists()

    def test_wrong_filters_are_named(self, wire: Wire) -> None:
        for name, value in (("Status", "over"), ("DateCreated", "soon"), ("Name", "x")):
            response = wire.get("Conferences.json", **{name: value})
            assert error_of(response) == (400, 20001) and name in response.json()["message"]


class TestEnding:
    """Twilio: "Update a Conference resource"."""

    def test_the_engine_is_asked_to_end_it(self, client: Client, account: Account) -> None:
        call = live(account)
        row = conference(account, "Team", call)
        assert client.conferences(row.sid).update(status="completed").status == "completed"
        assert asked() == [("conference", call.pk, RoomChange(account.sid, row.sid, end=True))]

    def test_the_engine_is_asked_to_announce(self, client: Client, account: Account) -> None:
        call = live(account)
        row = conference(account, "Team", call)
        assert client.conferences(row.sid).update(announce_url=URL, announce_method="GET").status == "in-progress"
        change = RoomChange(account.sid, row.sid, announce_url=URL, announce_method="GET")
        assert asked() == [("conference", call.pk, change)]

    def test_one_that_is_over_cannot_be_changed(self, client: Client, account: Account) -> None:
        row = conference(account, status="completed")
        for change in ({"status": "completed"}, {"announce_url": URL}):
            with refused(400, 16022, "over"):
                client.conferences(row.sid).update(**change)

    def test_with_nobody_in_it_the_calls_on_their_way_are_ended(self, client: Client, account: Account) -> None:
        made = client.conferences("Team").participants.create(from_="100", to="sip:alice@198.51.100.7")
        with refused(400, 21220, "AnnounceUrl"):
            client.conferences(made.conference_sid).update(announce_url=URL)
        client.conferences(made.conference_sid).update(status="completed")
        assert Call.objects.get().status == "canceled"
        found = client.conferences(made.conference_sid).fetch()
        assert (found.status, found.reason_conference_ended) == ("completed", "conference-ended-via-api")

    def test_an_engine_that_dies_leaves_none_open(self, client: Client, account: Account) -> None:
        call = live(account)
        row, other = conference(account, "Team", call), conference(account, "Other", live(account), engine="e2")
        room_ledger.close_dead("e1", T0 + 60)
        found = client.conferences(row.sid).fetch()
        assert (found.status, found.reason_conference_ended) == ("completed", "last-participant-left")
        assert Participant.objects.get(call=call).left == datetime.fromtimestamp(T0 + 60, UTC)
        assert client.conferences(other.sid).fetch().status == "in-progress"


class TestParticipants:
    """Twilio: Participant resource."""

    def test_its_keys_are_twilios(self, wire: Wire, account: Account) -> None:
        call = live(account)
        row = conference(account, "Team", call)
        path = f"Conferences/{row.sid}/Participants/{call.pk}.json"
        body = wire.get(path).json()
        assert list(body) == PARTICIPANT_KEYS.split()
        assert (body["muted"], body["hold"], body["coaching"], body["status"]) == (False, False, False, "connected")
        assert (body["label"], body["queue_time"], body["call_sid_to_coach"]) == (None, None, None)
        assert body["uri"] == wire.path(path) and wire.get(path.removesuffix(".json")).json() == body

    def test_the_library_reads_it(self, client: Client, account: Account) -> None:
        call = live(account)
        row = conference(account)
        ledger.apply([entry(row.sid, call, label="anna", muted=True, end_on_exit=True)])
        for name in (call.pk, "anna"):
            found = client.conferences(row.sid).participants(name).fetch()
            assert (found.call_sid, found.label, found.muted) == (call.pk, "anna", True)
            assert (found.end_conference_on_exit, found.start_conference_on_enter) == (True, True)

    def test_a_list_is_narrowed(self, client: Client, account: Account) -> None:
        one, other = live(account), live(account)
        row = conference(account)
        ledger.apply([entry(row.sid, one, muted=True), entry(row.sid, other, hold=True, joined=T0 + 3)])
        of = client.conferences(row.sid).participants
        assert [found.call_sid for found in of.list()] == [other.pk, one.pk]
        assert [found.call_sid for found in of.list(muted=True)] == [one.pk]
        assert [found.call_sid for found in of.list(hold=True, muted=False)] == [other.pk]
        assert of.list(coaching=True) == []
        assert len(of.list(page_size=1)) == 2

    def test_who_has_left_is_not_there(self, client: Client, account: Account) -> None:
        call = live(account)
        row = conference(account, "Team", call)
        ledger.apply([entry(row.sid, call, left=T0 + 9)])
        assert client.conferences(row.sid).participants.list() == []
        participant = client.conferences(row.sid).participants(call.pk)
        for ask in (participant.fetch, participant.delete, lambda: participant.update(muted=True)):
            with refused(404, 20404):
                ask()

    def test_nobody_is_in_one_that_is_over(self, client: Client, account: Account) -> None:
        call = live(account)
        row = conference(account, "Team", call, status="completed")
        assert client.conferences(row.sid).participants.list() == []
        with refused(404, 20404):
            client.conferences(row.sid).participants(call.pk).update(muted=True)

    @pytest.mark.parametrize(
        ("form", "change"),
        [
            ({"muted": True}, {"muted": True}),
            ({"muted": False}, {"muted": False}),
            ({"hold": True}, {"hold": True}),
            ({"hold": True, "hold_url": URL}, {"hold": True, "hold_url": URL, "hold_method": "GET"}),
            (
                {"hold": True, "hold_url": URL, "hold_method": "POST"},
                {"hold": True, "hold_url": URL, "hold_method": "POST"},
            ),
            ({"announce_url": URL}, {"announce_url": URL, "announce_method": "POST"}),
            ({"wait_url": "", "wait_method": "GET"}, {"wait_url": "", "wait_method": "GET"}),
            ({"beep_on_exit": False}, {"beep_on_exit": False}),
            ({"end_conference_on_exit": True}, {"end_on_exit": True}),
            ({"coaching": False}, {"coach": ""}),
        ],
    )
    def test_the_engine_is_asked_for_a_change(
        self, client: Client, account: Account, form: dict[str, Any], change: dict[str, Any]
    ) -> None:
        call = live(account)
        row = conference(account, "Team", call)
        client.conferences(row.sid).participants(call.pk).update(**form)
        assert asked() == [("participant", call.pk, RoomChange(account.sid, row.sid, **change))]

    def test_the_answer_shows_the_participant_as_it_will_be(self, client: Client, account: Account) -> None:
        call, coached = live(account), live(account)
        row = conference(account, "Team", call, coached)
        of = client.conferences(row.sid).participants
        found = of(call.pk).update(muted=True, hold=True, end_conference_on_exit=True, call_sid_to_coach=coached.pk)
        assert (found.muted, found.hold, found.end_conference_on_exit) == (True, True, True)
        assert (found.coaching, found.call_sid_to_coach) == (True, coached.pk)

    @pytest.mark.parametrize(
        ("form", "code", "word"),
        [
            ({"Muted": "maybe"}, 20001, "Muted"),
            ({"HoldUrl": URL}, 20001, "HoldUrl"),
            ({"Hold": "true", "HoldUrl": "ftp://x"}, 21205, "HoldUrl"),
            ({"AnnounceUrl": URL, "AnnounceMethod": "HEAD"}, 21209, "AnnounceMethod"),
            ({"Coaching": "true"}, 20001, "CallSidToCoach"),
            ({"CallSidToCoach": "CA" + "9" * 32}, 20001, "CallSidToCoach"),
            ({"CallSidToCoach": "anna"}, 20001, "CallSidToCoach"),
            ({"Mute": "true"}, 20001, "Muted"),
        ],
    )
    def test_a_wrong_parameter_is_named(
        self, wire: Wire, account: Account, form: dict[str, str], code: int, word: str
    ) -> None:
        call = live(account)
        row = conference(account, "Team", call)
        response = wire.post(f"Conferences/{row.sid}/Participants/{call.pk}.json", **form)
        assert error_of(response) == (400, code)
        assert word in response.json()["message"] and not Command.objects.exists()

    def test_nobody_coaches_itself(self, client: Client, account: Account) -> None:
        call = live(account)
        row = conference(account, "Team", call)
        with refused(400, 20001, "itself"):
            client.conferences(row.sid).participants(call.pk).update(call_sid_to_coach=call.pk)

    def test_the_engine_is_asked_to_kick(self, client: Client, account: Account) -> None:
        call = live(account)
        row = conference(account, "Team", call)
        assert client.conferences(row.sid).participants(call.pk).delete()
        assert asked() == [("kick", call.pk, RoomChange(account.sid, row.sid))]

    def test_a_list_costs_the_same_however_many_there_are(
        self, wire: Wire, account: Account, django_assert_max_num_queries: Any
    ) -> None:
        row = conference(account, "Team", *(live(account) for _ in range(8)))
        with django_assert_max_num_queries(4):
            assert len(wire.get(f"Conferences/{row.sid}/Participants.json").json()["participants"]) == 8


class TestCalledIn:
    """Twilio: "Create a Participant": a call that is placed into a conference."""

    TO = "sip:alice@198.51.100.7"

    def test_it_opens_a_conference_of_that_name(self, client: Client, account: Account) -> None:
        made = client.conferences("Team 7").participants.create(from_="100", to=self.TO, label="alice", muted=True)
        assert (made.status, made.label, made.muted, made.queue_time) == ("queued", "alice", True, "0")
        found = client.conferences(made.conference_sid).fetch()
        assert (found.friendly_name, found.status) == ("Team 7", "init")
        request = CallRequest.objects.get()
        assert (request.call_id, request.conference_id) == (made.call_sid, made.conference_sid)
        assert request.twiml == (
            '<Response><Dial timeLimit="86400"><Conference participantLabel="alice" muted="true">Team 7</Conference>'
            "</Dial></Response>"
        )
        of = client.conferences(made.conference_sid).participants
        assert [one.status for one in of.list()] == ["queued"]
        assert of("alice").fetch().call_sid == made.call_sid
        with refused(400, 21220, "yet"):
            of("alice").update(muted=False)

    def test_the_next_one_of_that_name_goes_into_the_same(self, client: Client, account: Account) -> None:
        made = [client.conferences("Team").participants.create(from_="100", to=self.TO) for _ in range(2)]
        assert made[0].conference_sid == made[1].conference_sid and Conference.objects.count() == 1

    def test_one_in_progress_is_joined_by_name_or_sid(self, client: Client, account: Account) -> None:
        row = conference(account, "Team", live(account))
        for name in ("Team", row.sid):
            assert client.conferences(name).participants.create(from_="100", to=self.TO).conference_sid == row.sid

    def test_one_that_is_over_is_not(self, client: Client, account: Account) -> None:
        row = conference(account, status="completed")
        with refused(400, 16022):
            client.conferences(row.sid).participants.create(from_="100", to=self.TO)
        assert client.conferences("Team").participants.create(from_="100", to=self.TO).conference_sid != row.sid

    def test_all_that_is_asked_of_the_conference_is_in_the_document(self, client: Client, account: Account) -> None:
        client.conferences("Team & Söhne").participants.create(
            from_="100",
            to=self.TO,
            caller_id="200",
            beep="onEnter",
            start_conference_on_enter=False,
            end_conference_on_exit=True,
            wait_url="",
            early_media=True,
            max_participants=5,
            conference_record="true",
            conference_trim="do-not-trim",
            conference_status_callback=URL,
            conference_status_callback_event=["start", "leave"],
            conference_recording_status_callback=URL,
            conference_recording_status_callback_event=["completed"],
            status_callback=URL,
            status_callback_event=["ringing", "completed"],
            record=True,
            recording_channels="dual",
            time_limit=600,
            timeout=20,
            call_reason="back",
        )
        request = CallRequest.objects.get()
        for part in (
            ' beep="onEnter" startConferenceOnEnter="false" endConferenceOnExit="true" waitUrl="" maxParticipants="5"',
            ' record="true" trim="do-not-trim"',
            f' statusCallback="{URL}" statusCallbackEvent="start leave"',
            f' recordingStatusCallback="{URL}" recordingStatusCallbackEvent="completed"',
            ">Team &amp; Söhne</Conference>",
        ):
            assert part in request.twiml
        assert (request.caller_id, request.timeout, request.time_limit) == ("200", 20, 600)
        assert request.callback == {"url": URL, "method": "POST", "events": ["ringing", "completed"]}
        assert request.recording is not None and request.recording["channels"] == 2

    def test_it_coaches_one_who_is_in(self, client: Client, account: Account) -> None:
        coached = live(account)
        row = conference(account, "Team", coached)
        of = client.conferences(row.sid).participants
        made = of.create(from_="100", to=self.TO, coaching=True, call_sid_to_coach=coached.pk)
        assert (made.coaching, made.call_sid_to_coach) == (True, coached.pk)
        assert f' coach="{coached.pk}"' in CallRequest.objects.get().twiml

    @pytest.mark.parametrize(
        ("form", "code", "word"),
        [
            ({"To": TO}, 21213, "From"),
            ({"From": "100"}, 21201, "To"),
            ({"From": "100", "To": "nobody"}, 21211, "To"),
            ({"From": "100", "To": TO, "Beep": "loud"}, 20001, "Beep"),
            ({"From": "100", "To": TO, "MaxParticipants": "1"}, 20001, "MaxParticipants"),
            ({"From": "100", "To": TO, "WaitUrl": "nonsense"}, 21205, "WaitUrl"),
            ({"From": "100", "To": TO, "ConferenceStatusCallbackEvent": "speaker"}, 20001, "StatusCallbackEvent"),
            ({"From": "100", "To": TO, "JitterBufferSize": "large"}, 20001, "JitterBufferSize"),
            ({"From": "100", "To": TO, "CallSidToCoach": "CA" + "9" * 32}, 20001, "CallSidToCoach"),
            ({"From": "100", "To": TO, "Timeout": "0"}, 21208, "Timeout"),
            ({"From": "100", "To": TO, "Label": "x" * 129}, 20001, "Label"),
            ({"From": "100", "To": TO, "Label": "a\0b"}, 20001, "Label"),
            ({"From": "100", "To": TO, "Labels": "a"}, 20001, "Label"),
        ],
    )
    def test_a_wrong_parameter_is_named_and_nothing_is_made(
        self, wire: Wire, form: dict[str, str], code: int, word: str
    ) -> None:
        response = wire.post("Conferences/Team/Participants.json", **form)
        assert error_of(response) == (400, code), response.json()
        assert word in response.json()["message"]
        assert not Call.objects.exists() and not Conference.objects.exists()

    @pytest.mark.parametrize("name", ["x" * 129, "a%0Ab", "%20"])
    def test_a_name_that_cannot_be_one_is_refused(self, wire: Wire, name: str) -> None:
        response = wire.post(f"Conferences/{name}/Participants.json", From="100", To=self.TO)
        assert error_of(response) == (400, 20001)

    def test_the_engine_of_the_conference_takes_the_call(self, client: Client, account: Account) -> None:
        row = conference(account, "Team", live(account))
        made = client.conferences(row.sid).participants.create(from_="100", to=self.TO)
        assert claims.claim("e2", ["us1"], 5) == []
        (queued,) = claims.claim("e1", ["us1"], 5)
        assert queued.sid == made.call_sid and queued.conference is not None
        assert (queued.conference.sid, queued.conference.name) == (row.sid, "Team")

    def test_the_first_engine_that_takes_one_has_the_conference(self, client: Client, account: Account) -> None:
        for _ in range(2):
            client.conferences("Team").participants.create(from_="100", to=self.TO)
        Conference.objects.update(engine="e1")
        assert claims.claim("e2", ["us1"], 5) == []
        Conference.objects.update(engine="")
        assert len(claims.claim("e2", ["us1"], 5)) == 2 and Conference.objects.get().engine == "e2"

    def test_a_call_into_one_that_is_over_by_then_is_not_placed(self, client: Client, account: Account) -> None:
        made = client.conferences("Team").participants.create(from_="100", to=self.TO)
        Conference.objects.update(status="completed")
        assert claims.claim("e1", ["us1"], 5) == []
        assert client.calls(made.call_sid).fetch().status == "failed"

    def test_one_still_on_its_way_is_ended_when_it_is_kicked(self, client: Client, account: Account) -> None:
        made = client.conferences("Team").participants.create(from_="100", to=self.TO)
        assert client.conferences("Team").participants(made.call_sid).delete()
        assert client.calls(made.call_sid).fetch().status == "canceled"
        assert client.conferences(made.conference_sid).participants.list() == []

    def test_one_that_nobody_is_on_the_way_to_is_ended_by_the_worker(self, client: Client, account: Account) -> None:
        made = client.conferences("Team").participants.create(from_="100", to=self.TO)
        sweep()
        assert client.conferences(made.conference_sid).fetch().status == "init"
        client.calls(made.call_sid).update(status="canceled")
        sweep()
        assert client.conferences(made.conference_sid).fetch().status == "completed"


class TestRecordings:
    """Twilio: Conference recordings."""

    def test_its_own_are_listed_changed_and_deleted(self, client: Client, wire: Wire, account: Account) -> None:
        call = live(account)
        row = conference(account, "Team", call)
        of_call = samples.call(account, sid=call.pk)
        mine = samples.recording(of_call, conference_sid=row.sid, status="in-progress", source="Conference")
        ledger.apply([mine, samples.recording(of_call, status="in-progress")])
        of = client.conferences(row.sid).recordings
        assert [one.sid for one in of.list()] == [mine.sid]
        assert of("Twilio.CURRENT").fetch().source == "Conference"
        assert of(mine.sid).update(status="paused").status == "paused"
        Recording.objects.filter(pk=mine.sid).update(status="completed")
        body = wire.get(f"Conferences/{row.sid}/Recordings/{mine.sid}.json").json()
        assert "track" not in body and len(body) == 17
        assert body["uri"].endswith(f"/Conferences/{row.sid}/Recordings/{mine.sid}.json")
        assert of.list(date_created=date(2020, 1, 1)) == []
        assert of(mine.sid).delete()
        with refused(404, 20404):
            of("Twilio.CURRENT").fetch()


def test_what_is_there_is_newest_first_and_in_pages(client: Client, account: Account) -> None:
    rows = [conference(account, str(number), created=T0 + number) for number in range(5)]
    found = [one.sid for one in client.conferences.list(page_size=2)]
    assert found == [row.sid for row in reversed(rows)]
    assert timedelta(seconds=4) == rows[4].created - rows[0].created

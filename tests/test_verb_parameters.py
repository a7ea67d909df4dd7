"""What requests about the verbs besides `<Dial>` tell, name by name and in order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from calls.verb_parameters import (
    ConferenceState,
    Participant,
    QueueState,
    RecordResult,
    amd_parameters,
    conference_parameters,
    conference_wait_parameters,
    enqueue_parameters,
    gather_parameters,
    queue_parameters,
    queue_wait_parameters,
    record_parameters,
    refer_parameters,
    transfer_parameters,
)


class TestGather:
    """Twilio's `<Gather>` page, request parameters of `action`."""

    def test_it_tells_the_digits_and_the_key_that_finished_them(self) -> None:
        assert gather_parameters("1234", "#") == [("Digits", "1234"), ("FinishedOnKey", "#")]

    def test_no_key_is_told_when_none_finished_them(self) -> None:
        assert gather_parameters("1234") == [("Digits", "1234")]

    def test_nothing_entered_is_told_as_an_empty_value(self) -> None:
        assert gather_parameters("") == [("Digits", "")]


class TestRecord:
    """Twilio's `<Record>` page, request parameters of `action`."""

    def test_it_tells_the_recording_and_how_it_ended(self) -> None:
        assert record_parameters(RecordResult("RE1", "http://h/RE1", 7, "hangup")) == [
            ("RecordingUrl", "http://h/RE1"),
            ("RecordingSid", "RE1"),
            ("RecordingDuration", "7"),
            ("Digits", "hangup"),
        ]

    def test_no_key_is_told_when_silence_or_time_ended_it(self) -> None:
        assert "Digits" not in dict(record_parameters(RecordResult("RE1", "http://h/RE1", 7)))


class TestRefer:
    """Twilio's `<Dial>` page (referUrl) and its `<Refer>` page (action)."""

    def test_the_refer_url_is_told_where_to(self) -> None:
        assert transfer_parameters("sip:carol@h.example") == [("ReferTransferTarget", "sip:carol@h.example")]

    def test_the_action_is_told_both_codes(self) -> None:
        assert refer_parameters("completed", 202, 200) == [
            ("ReferCallStatus", "completed"),
            ("ReferSipResponseCode", "202"),
            ("NotifySipResponseCode", "200"),
        ]

    def test_a_code_that_never_came_is_left_out(self) -> None:
        assert refer_parameters("failed", 405, 0) == [("ReferCallStatus", "failed"), ("ReferSipResponseCode", "405")]


class TestQueues:
    """Twilio's `<Enqueue>` and `<Queue>` pages."""

    def test_who_waits_is_told_the_state_of_the_queue(self) -> None:
        assert queue_wait_parameters(QueueState("QU1", 2, 31.6, 12.4, 5, 100)) == [
            ("QueueSid", "QU1"),
            ("QueuePosition", "2"),
            ("QueueTime", "32"),
            ("AvgQueueTime", "12"),
            ("CurrentQueueSize", "5"),
            ("MaxQueueSize", "100"),
        ]

    def test_the_action_is_told_how_the_wait_ended(self) -> None:
        assert enqueue_parameters("bridged", "QU1", 40.2) == [
            ("QueueResult", "bridged"),
            ("QueueSid", "QU1"),
            ("QueueTime", "40"),
        ]

    def test_a_full_queue_was_never_entered(self) -> None:
        assert enqueue_parameters("queue-full", "", 0) == [("QueueResult", "queue-full"), ("QueueTime", "0")]

    def test_before_the_connection_it_is_told_who_takes_the_call(self) -> None:
        assert queue_parameters("QU1", 40, "CA2") == [
            ("QueueSid", "QU1"),
            ("QueueTime", "40"),
            ("DequeingCallSid", "CA2"),
        ]


CONFERENCE = ConferenceState("CF1", "AC1", "Room 1", "participant-join", 1, 0)


class TestConferences:
    """Twilio's `<Conference>` page, statusCallback and waitUrl."""

    def test_who_waits_is_told_the_conference(self) -> None:
        assert conference_wait_parameters("CF1", "Room 1") == [("ConferenceSid", "CF1"), ("FriendlyName", "Room 1")]

    def test_a_join_tells_the_participant(self) -> None:
        alice = Participant("CA1", "alice", muted=True, end_on_exit=True)
        assert conference_parameters(replace(CONFERENCE, participant=alice)) == [
            ("ConferenceSid", "CF1"),
            ("FriendlyName", "Room 1"),
            ("AccountSid", "AC1"),
            ("SequenceNumber", "1"),
            ("Timestamp", "Thu, 01 Jan 1970 00:00:00 +0000"),
            ("StatusCallbackEvent", "participant-join"),
            ("CallSid", "CA1"),
            ("Muted", "true"),
            ("Hold", "false"),
            ("Coaching", "false"),
            ("StartConferenceOnEnter", "true"),
            ("EndConferenceOnExit", "true"),
            ("ParticipantLabel", "alice"),
        ]

    def test_a_participant_without_a_label_has_none(self) -> None:
        assert "ParticipantLabel" not in dict(
            conference_parameters(replace(CONFERENCE, participant=Participant("CA1")))
        )

    def test_a_leave_tells_why(self) -> None:
        left = replace(
            CONFERENCE, event="participant-leave", participant=Participant("CA1"), reason="participant_hung_up"
        )
        assert conference_parameters(left)[-1] == ("ReasonParticipantLeft", "participant_hung_up")

    def test_the_end_tells_who_ended_it_and_why(self) -> None:
        ended = replace(
            CONFERENCE,
            event="conference-end",
            ended_by="CA1",
            reason_ended="participant-with-end-conference-on-exit-left",
        )
        assert conference_parameters(ended)[6:] == [
            ("CallSidEndingConference", "CA1"),
            ("ReasonConferenceEnded", "participant-with-end-conference-on-exit-left"),
            ("Reason", "Participant with endConferenceOnExit left"),
        ]


class TestMachineDetection:
    """Twilio's page on answering machine detection, asyncAmdStatusCallback."""

    @pytest.mark.parametrize("found", ["human", "unknown"])
    def test_the_callback_tells_what_answered_and_how_long_it_took(self, found: str) -> None:
        assert amd_parameters("CA1", "AC1", found, 1432) == [
            ("CallSid", "CA1"),
            ("AccountSid", "AC1"),
            ("AnsweredBy", found),
            ("MachineDetectionDuration", "1432"),
        ]

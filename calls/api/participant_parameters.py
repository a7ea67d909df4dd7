"""What requests about participants may say. Source: Twilio's Participant resource."""

from __future__ import annotations

from typing import Any

from calls.api.asked import DETECTION, NO_FROM, NO_TO, NewRecording
from calls.place import (
    BAD_TIMEOUT,
    CALLBACK_EVENTS,
    LONG_LOGIN,
    LONG_PASSWORD,
    LONGEST_CALL,
    LONGEST_TIMEOUT,
    RECORDING_EVENTS,
)
from calls.room_models import NAME_LENGTH
from routing.api import parameters as of

CONFERENCE_EVENTS = ("start", "end", "join", "leave", "mute", "hold", "modify")
_ATTRIBUTES = {
    "label": "participantLabel",
    "muted": "muted",
    "beep": "beep",
    "start_on_enter": "startConferenceOnEnter",
    "end_on_exit": "endConferenceOnExit",
    "wait_url": "waitUrl",
    "wait_method": "waitMethod",
    "max_participants": "maxParticipants",
    "conference_record": "record",
    "conference_trim": "trim",
    "conference_callback": "statusCallback",
    "conference_callback_method": "statusCallbackMethod",
    "conference_events": "statusCallbackEvent",
    "conference_recording_callback": "recordingStatusCallback",
    "conference_recording_callback_method": "recordingStatusCallbackMethod",
    "conference_recording_events": "recordingStatusCallbackEvent",
    "coach": "coach",
}
"""The values of `NewParticipant` that are attributes of `<Conference>`."""


def attributes_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of `<Conference>` that the values of `NewParticipant` give."""
    return {attribute: values[name] for name, attribute in _ATTRIBUTES.items() if name in values}


class NewParticipant(NewRecording):
    """What makes a call that is placed into a conference."""

    From = of.Text(source="from_address", required=True, max_length=512, code=NO_FROM)
    To = of.Text(source="to", required=True, max_length=4096, code=NO_TO)
    CallerId = of.Text(source="caller_id", max_length=512)
    Label = of.Text(source="label", max_length=NAME_LENGTH)
    StatusCallback = of.Url(source="status_callback")
    StatusCallbackMethod = of.Method(source="status_callback_method")
    StatusCallbackEvent = of.Repeated(CALLBACK_EVENTS, source="status_events")
    Timeout = of.Number(least=1, most=LONGEST_TIMEOUT, source="timeout", code=BAD_TIMEOUT)
    TimeLimit = of.Number(least=1, most=LONGEST_CALL, source="time_limit")
    Record = of.Boolean(source="record")
    SipAuthUsername = of.Text(source="username", max_length=255, code=LONG_LOGIN)
    SipAuthPassword = of.Text(source="password", max_length=255, code=LONG_PASSWORD, trim_whitespace=False)
    CallReason = of.Text(source="call_reason", max_length=50)
    Muted = of.Boolean(source="muted")
    Beep = of.Choice(("true", "false", "onEnter", "onExit"), source="beep")
    StartConferenceOnEnter = of.Boolean(source="start_on_enter")
    EndConferenceOnExit = of.Boolean(source="end_on_exit")
    WaitUrl = of.Url(source="wait_url")
    WaitMethod = of.Method(source="wait_method")
    EarlyMedia = of.Boolean(source="early_media", help_text="Accepted; nobody hears the ringing here.")
    MaxParticipants = of.Number(least=2, most=250, source="max_participants")
    ConferenceRecord = of.Choice(("true", "false", "record-from-start", "do-not-record"), source="conference_record")
    ConferenceTrim = of.Choice(("trim-silence", "do-not-trim"), source="conference_trim")
    ConferenceStatusCallback = of.Url(source="conference_callback")
    ConferenceStatusCallbackMethod = of.Method(source="conference_callback_method")
    ConferenceStatusCallbackEvent = of.Repeated(CONFERENCE_EVENTS, source="conference_events")
    ConferenceRecordingStatusCallback = of.Url(source="conference_recording_callback")
    ConferenceRecordingStatusCallbackMethod = of.Method(source="conference_recording_callback_method")
    ConferenceRecordingStatusCallbackEvent = of.Repeated(RECORDING_EVENTS, source="conference_recording_events")
    Coaching = of.Boolean(source="coaching")
    CallSidToCoach = of.Sid("CA", source="coach")
    MachineDetection = of.Choice(("Enable", "DetectMessageEnd"), source="machine_detection", help_text=DETECTION)
    MachineDetectionTimeout = of.Number(least=3, most=59, source="amd_timeout")
    MachineDetectionSpeechThreshold = of.Number(least=1000, most=6000, source="amd_speech")
    MachineDetectionSpeechEndThreshold = of.Number(least=500, most=5000, source="amd_speech_end")
    MachineDetectionSilenceTimeout = of.Number(least=2000, most=10_000, source="amd_silence")
    AmdStatusCallback = of.Url(source="amd_callback")
    AmdStatusCallbackMethod = of.Method(source="amd_callback_method")
    CallToken = of.Text(source="call_token", max_length=4096, help_text="Accepted, and not needed here.")
    Region = of.NotHere("is not here: the engine that has the conference mixes it.")
    JitterBufferSize = of.NotHere()
    Byoc = of.NotHere("is not here: give the account a trunk.")
    Passports = of.NotHere()
    ClientNotificationUrl = of.NotHere()
    CallerDisplayName = of.NotHere()
    EmergencyCallerPosition = of.NotHere()
    EmergencyCallerLocation = of.NotHere()
    EmergencyName = of.NotHere()
    EmergencyAddress = of.NotHere()
    EmergencyZipCode = of.NotHere()
    EmergencyCity = of.NotHere()
    EmergencyState = of.NotHere()
    EmergencyCountry = of.NotHere()


class ParticipantChange(of.Parameters):
    """What is to become of one who is in a conference."""

    Muted = of.Boolean(source="muted")
    Hold = of.Boolean(source="hold")
    HoldUrl = of.Url(source="hold_url")
    HoldMethod = of.Method(source="hold_method")
    AnnounceUrl = of.Url(source="announce_url")
    AnnounceMethod = of.Method(source="announce_method")
    WaitUrl = of.Url(source="wait_url")
    WaitMethod = of.Method(source="wait_method")
    BeepOnExit = of.Boolean(source="beep_on_exit")
    EndConferenceOnExit = of.Boolean(source="end_on_exit")
    Coaching = of.Boolean(source="coaching")
    CallSidToCoach = of.Sid("CA", source="coach")


class ParticipantFilters(of.Listing):
    """What a list of participants may be narrowed by."""

    Muted = of.Boolean(source="muted")
    Hold = of.Boolean(source="hold")
    Coaching = of.Boolean(source="coaching")

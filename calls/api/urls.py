"""Paths of the resources of `calls`, below /2010-04-01/ (conformance §1.14)."""

from django.urls import path, re_path

from calls.api import (
    audio,
    calls,
    conferences,
    events,
    members,
    notifications,
    participants,
    queues,
    recordings,
)
from calls.api.rooms import named_resource
from routing.api import errors
from routing.api.paths import resource

_ACCOUNT = "Accounts/<sid:account_sid>"
_CALLS = f"{_ACCOUNT}/Calls"
_CALL = f"{_CALLS}/<sid:call_sid>"
_CONFERENCE = f"{_ACCOUNT}/Conferences/<room:conference>"
_QUEUE = f"{_ACCOUNT}/Queues/<sid:queue>"
_CURRENT = {"sid": recordings.CURRENT}

_RESOURCES = (
    (_CALLS, calls.Calls, "calls"),
    (f"{_CALLS}/<sid:sid>", calls.OneCall, "call"),
    (f"{_CALL}/Events", events.Events, "call-events"),
    (f"{_CALL}/Notifications", notifications.CallNotifications, "call-notifications"),
    (f"{_CALL}/Notifications/<sid:sid>", notifications.OneCallNotification, "call-notification"),
    (f"{_CALL}/Recordings", recordings.CallRecordings, "call-recordings"),
    (f"{_CALL}/Recordings/<sid:sid>", recordings.OneCallRecording, "call-recording"),
    (f"{_ACCOUNT}/Notifications", notifications.Notifications, "notifications"),
    (f"{_ACCOUNT}/Notifications/<sid:sid>", notifications.OneNotification, "notification"),
    (f"{_ACCOUNT}/Recordings", recordings.Recordings, "recordings"),
    (f"{_ACCOUNT}/Conferences", conferences.Conferences, "conferences"),
    (f"{_ACCOUNT}/Conferences/<sid:sid>", conferences.OneConference, "conference"),
    (f"{_CONFERENCE}/Participants", participants.Participants, "participants"),
    (f"{_CONFERENCE}/Recordings", conferences.ConferenceRecordings, "conference-recordings"),
    (f"{_CONFERENCE}/Recordings/<sid:sid>", conferences.OneConferenceRecording, "conference-recording"),
    (f"{_ACCOUNT}/Queues", queues.Queues, "queues"),
    (f"{_ACCOUNT}/Queues/<sid:sid>", queues.OneQueue, "queue"),
    (f"{_QUEUE}/Members", members.Members, "members"),
    (f"{_QUEUE}/Members/<sid:member>", members.OneMember, "member"),
)
_RECORDING = f"{_ACCOUNT}/Recordings/<sid:sid>"
_AUDIO = r"^Accounts/(?P<account_sid>[^/.]+)/Recordings/(?P<sid>[^/.]+)\.(?P<extension>wav|mp3)$"

app_name = "api"
urlpatterns = [
    path(_RECORDING, audio.audio, name="recording-audio"),
    re_path(_AUDIO, audio.audio, name="recording-audio"),
    path(f"{_RECORDING}.json", recordings.OneRecording.as_view(), name="recording"),
    path(f"{_CALL}/Recordings/{recordings.CURRENT}", recordings.OneCallRecording.as_view(), _CURRENT),
    path(f"{_CALL}/Recordings/{recordings.CURRENT}.json", recordings.OneCallRecording.as_view(), _CURRENT),
]
for current in (recordings.CURRENT, f"{recordings.CURRENT}.json"):
    urlpatterns.append(
        path(f"{_CONFERENCE}/Recordings/{current}", conferences.OneConferenceRecording.as_view(), _CURRENT)
    )
for route, view, name in _RESOURCES:
    urlpatterns += resource(route, view.as_view(), name)
urlpatterns += named_resource(
    f"{_CONFERENCE}/Participants/<room:participant>", participants.OneParticipant.as_view(), "participant"
)
urlpatterns.append(path("<path:rest>", errors.unknown))

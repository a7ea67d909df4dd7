"""Paths under /2010-04-01/, Twilio's REST API (conformance §1.14)."""

from django.urls import path, register_converter

from calls.api import converters, errors, recordings

for name, converter in converters.CONVERTERS.items():
    register_converter(converter, name)

app_name = "api"
urlpatterns = [
    path("Accounts/<AC:account>/Recordings/<RE:sid>", recordings.audio, name="recording-audio"),
    path("Accounts/<AC:account>/Recordings/<RE:sid>.<audio:extension>", recordings.audio, name="recording-audio"),
    path("<path:rest>", errors.unknown),
]

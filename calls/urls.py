"""Paths under /recordings/: what the admin's pages play and offer to download."""

from django.urls import path

from calls import views, waveform_views

urlpatterns = [
    path("<str:sid>.peaks.json", waveform_views.peaks, name="recording-peaks"),
    path("<str:sid>.wav", views.recording, {"extension": "wav"}, name="recording"),
    path("<str:sid>.mp3", views.recording, {"extension": "mp3"}, name="recording-mp3"),
]

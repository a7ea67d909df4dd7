"""Paths under /recordings/."""

from django.urls import path

from calls import views

urlpatterns = [path("<str:sid>.wav", views.recording, name="recording")]

"""The TwiML app's URLs, under `/voice/`."""

from django.urls import path

from routing import views

urlpatterns = [
    path("", views.voice, name="voice"),
    path("dial-action/group/<int:pk>/", views.dial_action_group, name="voice-dial-action-group"),
    path("group/<int:pk>/", views.group, name="voice-group"),
    path("endpoint/<int:pk>/", views.endpoint, name="voice-endpoint"),
]

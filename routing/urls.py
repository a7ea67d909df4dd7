"""The TwiML app's URLs, under `/voice/`."""

from django.urls import path

from routing import views, voicemail_views

urlpatterns = [
    path("", views.voice, name="voice"),
    path("dial-action/group/<int:pk>/", views.dial_action_group, name="voice-dial-action-group"),
    path("screen/<int:pk>/<int:endpoint>/", views.screen, name="voice-screen"),
    path("voicemail/<int:pk>/", voicemail_views.box, name="voice-voicemail"),
    path("voicemail/<int:pk>/done/", voicemail_views.done, name="voice-voicemail-done"),
    path("voicemail/<int:pk>/recorded/", voicemail_views.recorded, name="voice-voicemail-recorded"),
    path("voicemail/greeting/<str:name>", voicemail_views.greeting, name="voice-greeting"),
    path("group/<int:pk>/", views.group, name="voice-group"),
    path("endpoint/<int:pk>/", views.endpoint, name="voice-endpoint"),
]

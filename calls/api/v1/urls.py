"""Paths under /api/v1/: those of `routing`, and those that know of calls."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from calls.api.v1.log import Calls, Deliveries, Recordings
from calls.api.v1.ring import RingableGroups
from calls.api.v1.voicemail import Messages
from routing.api.v1.problems import unknown
from routing.api.v1.urls import router as routing_router

router = SimpleRouter(trailing_slash=False)
router.register("ring-groups", RingableGroups, "ring-group")
router.register("calls", Calls, "call")
router.register("recordings", Recordings, "recording")
router.register("voicemail-messages", Messages, "voicemail-message")
router.register("webhook-deliveries", Deliveries, "webhook-delivery")

app_name = "v1"
urlpatterns = [*router.urls, *routing_router.urls, path("", unknown), path("<path:rest>", unknown)]

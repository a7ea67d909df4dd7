"""Paths of the resources of `routing`, below /api/v1/; those of ring groups are in `calls.api.v1.urls`."""

from rest_framework.routers import SimpleRouter

from routing.api.v1.blocked_callers import BlockedCallers
from routing.api.v1.domains import SipDomains
from routing.api.v1.endpoints import Endpoints
from routing.api.v1.lists import CredentialLists, Credentials
from routing.api.v1.regions import Regions
from routing.api.v1.routes import Routes, Trunks
from routing.api.v1.schedules import Schedules
from routing.api.v1.voicemail_boxes import VoicemailBoxes

router = SimpleRouter(trailing_slash=False)
router.register("endpoints", Endpoints, "endpoint")
router.register("regions", Regions, "region")
router.register("credential-lists", CredentialLists, "credential-list")
router.register(r"credential-lists/(?P<list_sid>[^/.]+)/credentials", Credentials, "credential")
router.register("domains", SipDomains, "domain")
router.register("routes", Routes, "route")
router.register("trunks", Trunks, "trunk")
router.register("schedules", Schedules, "schedule")
router.register("voicemail-boxes", VoicemailBoxes, "voicemail-box")
router.register("blocked-callers", BlockedCallers, "blocked-caller")

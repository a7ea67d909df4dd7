"""What operators edit: who may call (accounts, SIP domains, lists), and where calls go.

Calls go to endpoints, through trunks, and to groups, by routes.
"""

from routing.models.access import (
    Credential,
    CredentialList,
    IpAccessControlList,
    IpAddress,
    SipDomain,
)
from routing.models.applications import Application, PhoneNumber, VoiceUrls
from routing.models.base import Account, Region, RoutingVersion
from routing.models.blocking import BlockedCaller
from routing.models.changes import Change
from routing.models.endings import Ending, EndingKind
from routing.models.groups import MAX_NOUNS, RingGroup, RingGroupMember
from routing.models.idempotency import IdempotencyKey
from routing.models.keys import ApiKey
from routing.models.retention import RetentionRule
from routing.models.schedules import Schedule, ScheduleException, ScheduleHours
from routing.models.sessions import UserSession
from routing.models.targets import Endpoint, Route
from routing.models.trunks import Trunk, TrunkRule
from routing.models.turns import RingGroupTurn
from routing.models.voicemail import Voicemail

__all__ = [
    "MAX_NOUNS",
    "Account",
    "ApiKey",
    "Application",
    "BlockedCaller",
    "Change",
    "Credential",
    "CredentialList",
    "Ending",
    "EndingKind",
    "Endpoint",
    "IdempotencyKey",
    "IpAccessControlList",
    "IpAddress",
    "PhoneNumber",
    "Region",
    "RetentionRule",
    "RingGroup",
    "RingGroupMember",
    "RingGroupTurn",
    "Route",
    "RoutingVersion",
    "Schedule",
    "ScheduleException",
    "ScheduleHours",
    "SipDomain",
    "Trunk",
    "TrunkRule",
    "UserSession",
    "VoiceUrls",
    "Voicemail",
]

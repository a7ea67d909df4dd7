"""What the roles may do: groups of Django's that every migration brings up to date, new models included.

Listening to recordings is a group of its own, which goes with any role. The groups here belong to Cordboard: who needs
another set of permissions makes a group of its own.
"""

from __future__ import annotations

from typing import Any, Final

from django.apps import apps
from django.db.models import Q

VIEWER: Final = "viewer"
OPERATOR: Final = "operator"
ADMIN: Final = "admin"
RECORDINGS: Final = "recordings"
ROLES: Final = (VIEWER, OPERATOR, ADMIN)
GROUPS: Final = (*ROLES, RECORDINGS)

_OURS = ("routing", "calls", "sipengine")
# What viewers and operators do not see: recordings, and what tells of other people's logins.
_HIDDEN = ("recording", "recordingaccess", "callrequest", "usersession", "idempotencykey", "routingversion")
# Of routing, what operators see but do not touch: who pays, what opens the REST API, what is kept.
_NOT_ROUTING = ("account", "apikey", "retentionrule", "change", *_HIDDEN)
_OF_CALLS = (
    "add_command",
    "add_callrequest",
    "add_webhookdelivery",
    *(f"{verb}_{model}" for verb in ("add", "change", "delete") for model in ("callnote", "calltag", "tag")),
    *(f"{verb}_savedview" for verb in ("add", "change", "delete")),
    "add_hold",
    "change_voicemailmessage",
)


def _may(role: str) -> Q:
    """Return which permissions a group has."""
    seen = Q(content_type__app_label__in=_OURS, codename__startswith="view_")
    seen &= ~Q(content_type__model__in=_HIDDEN)
    match role:
        case "viewer":
            return seen
        case "operator":
            routing = Q(content_type__app_label="routing") & ~Q(content_type__model__in=_NOT_ROUTING)
            return seen | routing | Q(content_type__app_label="calls", codename__in=_OF_CALLS)
        case "recordings":
            return Q(content_type__app_label="calls", codename__in=("view_recording", "listen_recording"))
        case _:
            return Q()


def bring_up_to_date(using: str = "default") -> None:
    """Give each group exactly its permissions."""
    group = apps.get_model("auth", "Group")
    permissions = apps.get_model("auth", "Permission")._default_manager.using(using)
    for name in GROUPS:
        row, _ = group._default_manager.using(using).get_or_create(name=name)
        row.permissions.set(permissions.filter(_may(name)))


def after_migrations(sender: Any, using: str = "default", **_: Any) -> None:
    """Bring the groups up to date once all apps have their permissions."""
    told = [config.name for config in apps.get_app_configs() if config.models_module]
    if sender.name == told[-1]:
        bring_up_to_date(using)


def role_of(user: Any) -> str:
    """Return the name of a user's role for people; "" for none."""
    if user.is_superuser:
        return "superuser"
    names = {group.name for group in user.groups.all()}
    return next((role for role in reversed(ROLES) if role in names), "")


def is_admin(user: Any) -> bool:
    """Say whether a user has the role admin, or may do anything anyway."""
    return bool(user.is_active and (user.is_superuser or user.groups.filter(name=ADMIN).exists()))


def assign(user: Any, role: str, listens: bool) -> None:
    """Give a user this role and no other, and the recordings or not; groups of your own stay."""
    group = apps.get_model("auth", "Group")._default_manager
    wanted = {role, RECORDINGS if listens else ""} - {""}
    user.groups.remove(*group.filter(name__in=set(GROUPS) - wanted))
    user.groups.add(*(group.get_or_create(name=name)[0] for name in sorted(wanted)))

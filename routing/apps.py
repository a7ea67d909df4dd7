"""The `routing` app: counts the changes that engines must notice, and checks the settings it depends on."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import m2m_changed, post_delete, post_migrate, post_save


def count_change(sender: type[Any], raw: bool = False, **_: Any) -> None:
    """Tell engines that what admission or dialling needs has changed."""
    from routing.models import RoutingVersion

    if not raw:
        RoutingVersion.bump()


class RoutingConfig(AppConfig):
    name = "routing"

    def ready(self) -> None:
        """Connect the signals and register the system checks."""
        from routing import checks, database_checks, history, models, roles, user_sessions  # noqa: F401 (checks register themselves)

        history.connect()
        user_sessions.connect()
        post_migrate.connect(roles.after_migrations, dispatch_uid="routing.roles")
        watched = (
            models.Account,
            models.Region,
            models.SipDomain,
            models.CredentialList,
            models.Credential,
            models.IpAccessControlList,
            models.IpAddress,
            models.Endpoint,
            models.Trunk,
            models.TrunkRule,
            models.Application,
            models.PhoneNumber,
        )
        for model in watched:
            post_save.connect(count_change, sender=model)
            post_delete.connect(count_change, sender=model)
        for relation in (models.SipDomain.credential_lists, models.SipDomain.ip_access_control_lists):
            m2m_changed.connect(count_change, sender=relation.through)

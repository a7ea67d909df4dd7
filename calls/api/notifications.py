"""What went wrong or was doubtful, of an account and of a call. Source: Twilio's Notification resource."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from calls.api.asked import NotificationFilters, narrowed_notifications
from calls.api.bodies import NotificationBody, OneNotificationBody
from calls.api.calls import OfCall
from calls.models import Notification
from routing.api.views import FetchView, ListView, Rows


class NotificationRows(Rows[Notification]):
    """The account's notifications."""

    def rows(self) -> QuerySet[Notification]:
        """Return them."""
        return Notification.objects.filter(account=self.account)


class Notifications(NotificationRows, ListView[Notification]):
    """The list."""

    body, key, filters, date = NotificationBody, "notifications", NotificationFilters, "time"

    def narrow(self, rows: QuerySet[Notification], values: dict[str, Any]) -> QuerySet[Notification]:
        """Apply the filters."""
        return narrowed_notifications(rows, values)


class OneNotification(NotificationRows, FetchView[Notification]):
    """One, with the response that it is about."""

    body = OneNotificationBody


class OfCallRows(NotificationRows, OfCall):
    """A call's notifications."""

    def rows(self) -> QuerySet[Notification]:
        """Return them."""
        return Notification.objects.filter(call=self.call())


class CallNotifications(OfCallRows, Notifications):
    """The list of a call."""


class OneCallNotification(OfCallRows, OneNotification):
    """One of a call."""

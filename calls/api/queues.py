"""Queues: made, listed, fetched, changed and deleted. Source: Twilio's Queue resource."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from calls.models import Queue, QueueMember
from calls.room_models import MAX_QUEUE_SIZE
from calls.room_sids import queue_sid
from routing.api import parameters as of
from routing.api.errors import BAD_PARAMETER, ApiError
from routing.api.paths import uri
from routing.api.rendering import Body, Computed, Date, Uri, Words
from routing.api.views import CreateView, DeleteView, FetchView, ListView, Rows, UpdateView
from routing.models import Account
from routing.sid import new_sid

NAME_LENGTH = 64


class QueueBody(Body):
    """Twilio's keys; the view has set `current_size` and `average_wait` on the row."""

    date_updated = Date(source="updated")
    current_size = Computed(lambda row: row.current_size)
    friendly_name = Words()
    uri = Uri(lambda row: uri(row.account_id, "Queues", row.sid))
    account_sid = Words(source="account_id")
    average_wait_time = Computed(lambda row: row.average_wait)
    sid = Words()
    date_created = Date(source="created")
    max_size = Computed(lambda row: row.max_size)


class QueueParameters(of.Parameters):
    """What a queue may be given."""

    FriendlyName = of.Text(source="friendly_name", required=True, max_length=NAME_LENGTH)
    MaxSize = of.Number(least=1, most=MAX_QUEUE_SIZE, source="max_size")


class QueueFilters(of.Listing):
    """Twilio narrows queues by nothing."""


class QueueRows(Rows[Queue]):
    """The account's queues."""

    body, parameters = QueueBody, QueueParameters

    def rows(self) -> QuerySet[Queue]:
        """Return them."""
        return Queue.objects.filter(account=self.account)

    def show(self, row: Queue, **context: Any) -> dict[str, Any]:
        """Return the JSON of a queue as it is now."""
        measure([row])
        return super().show(row, **context)

    def check_name(self, name: str, besides: str = "") -> None:
        """Refuse a name that another queue of the account has; the account is locked, so that none takes it now."""
        Account.objects.select_for_update(no_key=True).get(pk=self.account.pk)
        if self.rows().filter(friendly_name=name).exclude(pk=besides).exists():
            raise ApiError(BAD_PARAMETER, "FriendlyName: another queue of the account has this name: choose another.")


class Queues(QueueRows, ListView[Queue], CreateView[Queue]):
    """The list, and new ones."""

    key, filters = "queues", QueueFilters

    def show_all(self, rows: Sequence[Queue]) -> list[dict[str, Any]]:
        """Return the JSON of the queues of a page as they are now."""
        measure(rows)
        return super().show_all(rows)

    def create(self, values: dict[str, Any]) -> Queue:
        """Make a queue: a call that names it waits in it from the next second on."""
        self.check_name(values["friendly_name"])
        sid = queue_sid(self.account.pk, values["friendly_name"])
        if Queue.objects.filter(pk=sid).exists():  # one that had this name has another one now
            sid = new_sid("QU")
        row = Queue(sid=sid, account=self.account)
        of.store(row, self.parameters, values)
        return row


class OneQueue(QueueRows, FetchView[Queue], UpdateView[Queue], DeleteView[Queue]):
    """One queue."""

    def change(self, row: Queue, values: dict[str, Any]) -> None:
        """Rename it, or change how many may wait; those who wait stay."""
        if "friendly_name" in values:
            self.check_name(values["friendly_name"], row.pk)
        row.updated = timezone.now()
        of.store(row, self.parameters, values)

    def remove(self, row: Queue) -> None:
        """Delete a queue in which nobody waits."""
        if row.members.exists():
            raise ApiError(BAD_PARAMETER, f"Queue {row.pk} is not empty: only an empty queue can be deleted.")
        row.delete()


def measure(rows: Sequence[Queue]) -> None:
    """Set how many wait in these queues, and how long they have on the average, in seconds; one query."""
    since: dict[str, list[datetime]] = {row.pk: [] for row in rows}
    members = QueueMember.objects.filter(queue__in=since)
    for queue, enqueued in members.values_list("queue_id", "enqueued"):
        since[queue].append(enqueued)
    now = timezone.now()
    for row in rows:
        waits = [max(timedelta(), now - enqueued) for enqueued in since[row.pk]]
        row.current_size = len(waits)  # type: ignore[attr-defined]
        row.average_wait = round(sum(waits, timedelta()).total_seconds() / len(waits)) if waits else 0  # type: ignore[attr-defined]

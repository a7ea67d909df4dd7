"""Calls that wait in a queue: listed, fetched, and sent on. Source: Twilio's Member resource."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from calls import room_command
from calls.api.calls import asker
from calls.api.rooms import OfQueue
from calls.models import QueueMember
from routing.api import parameters as of
from routing.api.errors import ApiError, not_found
from routing.api.paths import uri
from routing.api.rendering import Body, Computed, Date, Uri, Words
from routing.api.views import FetchView, ListView, Rows, UpdateView

FRONT = "Front"


def _waited(row: QueueMember) -> int:
    return max(0, int((timezone.now() - row.enqueued).total_seconds()))


class MemberBody(Body):
    """Twilio's keys; the view has set `position` on the row."""

    call_sid = Words(source="call_id")
    date_enqueued = Date(source="enqueued")
    position = Computed(lambda row: row.position)
    uri = Uri(lambda row: uri(row.account_id, "Queues", row.queue_id, "Members", row.call_id))
    wait_time = Computed(_waited)
    queue_sid = Words(source="queue_id")


class MemberChange(of.Parameters):
    """Where a call goes on that waits no longer."""

    Url = of.Url(source="url", required=True)
    Method = of.Method(source="method")


class MemberRows(Rows[QueueMember], OfQueue):
    """Those who wait in the queue that the path names."""

    body, parameters = MemberBody, MemberChange

    def rows(self) -> QuerySet[QueueMember]:
        """Return them."""
        return QueueMember.objects.filter(queue=self.queue())

    def place(self, rows: Sequence[QueueMember]) -> None:
        """Set the positions of members that stand one behind the other."""
        if not rows:
            return
        first = rows[0]
        before = Q(enqueued__lt=first.enqueued) | Q(enqueued=first.enqueued, pk__lt=first.pk)
        ahead = QueueMember.objects.filter(before, queue=first.queue_id).count()
        for position, row in enumerate(rows, ahead + 1):
            row.position = position  # type: ignore[attr-defined]


class Members(MemberRows, ListView[QueueMember]):
    """The list, whoever has waited longest first."""

    key, date, oldest_first = "queue_members", "enqueued", True

    def show_all(self, rows: Sequence[QueueMember]) -> list[dict[str, Any]]:
        """Return the JSON of the members of a page."""
        self.place(rows)
        return super().show_all(rows)


class OneMember(MemberRows, FetchView[QueueMember], UpdateView[QueueMember]):
    """One of them; `Front` is the one who has waited longest."""

    def row(self, *, lock: bool = False) -> QueueMember:
        """Return the member that the path names; raise `ApiError` 20404. `lock` it until the transaction ends."""
        name, rows = self.kwargs["member"], self.rows()
        if lock:  # of two who want the one in front, each gets another
            rows = rows.select_for_update(of=("self",), no_key=name != FRONT, skip_locked=name == FRONT)
        found = rows.order_by("enqueued", "pk").first() if name == FRONT else rows.filter(pk=name).first()
        if found is None:
            raise not_found(self.request)
        self.place([found])
        return found

    def change(self, row: QueueMember, values: dict[str, Any]) -> None:
        """Ask the call's engine to let it go on at a URL."""
        if not values.get("url"):
            raise ApiError(of.BAD_URL, "Url: it is required: where the call is to go on.")
        room_command.dequeue(row, values["url"], values.get("method", "POST"), by=asker(self.caller))

"""Who is in a conversation, and since when the others are not, by the call log: what ring groups ask of endpoints.

The log follows the engine by a moment (the journal is applied in batches), so two calls in the same moment may both
find a phone free; the phone itself then says busy. What an engine left open that is gone is no conversation: the log
ends it only when that engine comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from calls.models import Call, Engine
from calls.status import Direction, Status
from routing.callers import Caller, is_phone
from routing.models import Endpoint

_MOST_CALLERS = 2000  # conversations that are looked through for a phone that made the call itself
GONE_AFTER = timedelta(minutes=1)  # an engine tells of itself every three seconds


class LoggedPresence:
    """Presence of endpoints as the call log has it; one query a question."""

    def busy(self, endpoints: Sequence[Endpoint]) -> set[int]:
        """Return the ids of those that are in a conversation, called or calling."""
        ids = {endpoint.pk for endpoint in endpoints}
        accounts = {endpoint.account_id for endpoint in endpoints}
        here = Q(endpoint__in=ids) | Q(direction=Direction.INBOUND, account__in=accounts)
        gone = Engine.objects.filter(seen__lt=timezone.now() - GONE_AFTER).values("pk")
        talking = Call.objects.filter(here, status=Status.IN_PROGRESS).exclude(engine__in=gone).order_by("-start_time")
        found: set[int] = set()
        callers: set[Caller] = set()
        columns = ("direction", "endpoint_id", "from_address", "sip_username", "to_address")
        for direction, endpoint_id, address, username, dialled in talking.values_list(*columns)[:_MOST_CALLERS]:
            if direction == Direction.INBOUND:
                callers.add(Caller(address, username, dialled.rpartition("@")[2].partition(";")[0]))
            else:
                found.add(endpoint_id)
        phones = [(endpoint.pk, endpoint.as_phone()) for endpoint in endpoints if callers]
        return found | {pk for pk, phone in phones if any(is_phone(caller, phone) for caller in callers)}

    def idle_since(self, endpoints: Sequence[Endpoint]) -> dict[int, datetime]:
        """Return when the last conversation of each, as the one called, ended; one that lasts is none."""
        legs = Call.objects.filter(endpoint=OuterRef("pk"), answer_time__isnull=False, end_time__isnull=False)
        last = Subquery(legs.order_by("-start_time").values("end_time")[:1])
        rows = Endpoint.objects.filter(pk__in=[one.pk for one in endpoints]).order_by().annotate(last=last)
        return {pk: moment for pk, moment in rows.values_list("pk", "last") if moment}

"""Is a far end there? An operator asks for a SIP OPTIONS, an engine of its region sends it, the row tells what came."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from calls.entries import QueuedCheck
from calls.models import EndpointCheck
from calls.values import text
from routing.models import Endpoint, Region, Trunk

TAKEN_AT_ONCE = 20
ANSWER_SECONDS = 4.0  # how long an engine waits for an answer
LOST_AFTER = timedelta(seconds=15)  # after this nobody will tell any more what came of it
KEPT = timedelta(days=1)

NOT_TAKEN = (
    "No running engine has taken the check: look whether ./cordboard up (or the engine's service) is running "
    "and reaches the database."
)
NOT_TOLD = "The engine that took the check told nothing: it was stopped, or it is very busy. Check again."


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of a check: `text` is one sentence for the operator, about the SIP URI `uri`.

    `state` is waiting (for an engine), running, answered (with `code`, whatever it is), unanswered, or failed (no
    engine did it). `milliseconds` from the request to the answer.
    """

    state: str
    text: str
    uri: str
    code: int = 0
    reason: str = ""
    server: str = ""
    milliseconds: float | None = None

    @property
    def done(self) -> bool:
        """Say whether nothing more will come."""
        return self.state not in ("waiting", "running")


def request_check(target: Endpoint | Trunk, by: str) -> int:
    """Ask for a check of an endpoint or a trunk and return its number; raise `SipUriError` for a URI that is none.

    An engine takes it within half a second and answers within four and a half.
    """
    uri = target.sip_uri()
    region = _region(uri.region)
    EndpointCheck.objects.filter(created__lt=timezone.now() - KEPT).delete()
    check = EndpointCheck.objects.create(
        uri=text(uri.text, 2048),
        endpoint=target if isinstance(target, Endpoint) else None,
        trunk=target if isinstance(target, Trunk) else None,
        region=region,
        requested_by=text(by, 255),
    )
    return check.pk


def _region(name: str) -> str:
    """Return the code of a region named by code or edge, of the default one if it is blank or unknown."""
    regions = list(Region.objects.all())
    named = next((region for region in regions if name and name in (region.code, region.edge)), None)
    default = next((region for region in regions if region.is_default), None)
    found = named or default
    return found.code if found else ""


def take(engine: str, regions: Collection[str]) -> list[QueuedCheck]:
    """Take the checks that wait for an engine of these regions; each is handed out once."""
    if not _any_waiting():
        return []
    taken = []
    recent = timezone.now() - LOST_AFTER
    waiting = EndpointCheck.objects.filter(claimed_by="", done_at=None, created__gte=recent, region__in=[*regions, ""])
    for check in waiting.order_by("pk")[:TAKEN_AT_ONCE]:
        mine = EndpointCheck.objects.filter(pk=check.pk, claimed_by="")
        if mine.update(claimed_by=engine, claimed_at=timezone.now()):
            taken.append(QueuedCheck(check.pk, check.uri, check.region))
    return taken


def _any_waiting() -> bool:
    """Look for unclaimed checks; in plain SQL, since engines ask twice a second and there are mostly none."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT 1 FROM {EndpointCheck._meta.db_table} WHERE claimed_by = '' AND done_at IS NULL LIMIT 1"
        )
        return cursor.fetchone() is not None


def result(number: int) -> CheckResult | None:
    """Return what came of a check so far; None if there is none of this number."""
    check = EndpointCheck.objects.filter(pk=number).first()
    return None if check is None else _result(check)


def latest(target: Endpoint | Trunk) -> CheckResult | None:
    """Return the newest check of an endpoint or a trunk, if there was one within a day."""
    name = "endpoint" if isinstance(target, Endpoint) else "trunk"
    check = EndpointCheck.objects.filter(**{name: target}).order_by("-pk").first()
    return None if check is None else _result(check)


def latest_of(endpoints: Collection[Endpoint]) -> dict[int, CheckResult]:
    """Return the newest check of each of these endpoints that was checked within a day, by its id; one query."""
    rows = EndpointCheck.objects.filter(endpoint__in=endpoints).order_by("pk")
    newest = {check.endpoint_id: check for check in rows if check.endpoint_id is not None}
    return {pk: _result(check) for pk, check in newest.items()}


def _result(check: EndpointCheck) -> CheckResult:
    sent = f"We sent OPTIONS to {check.uri}"
    if check.done_at is not None and check.code:
        took = f" in {check.milliseconds:.0f} ms" if check.milliseconds is not None else ""
        return CheckResult(
            "answered",
            f"{sent}: answered {check.code} {check.reason}{took}.",
            check.uri,
            check.code,
            check.reason,
            check.server,
            check.milliseconds,
        )
    if check.done_at is not None:
        return CheckResult("unanswered", f"{sent}: {check.error or 'no answer'}.", check.uri)
    if timezone.now() - check.created > LOST_AFTER:
        return CheckResult("failed", NOT_TOLD if check.claimed_by else NOT_TAKEN, check.uri)
    if check.claimed_by:
        return CheckResult("running", f"{sent} and wait for the answer.", check.uri)
    return CheckResult("waiting", f"OPTIONS to {check.uri} waits for an engine to send it.", check.uri)

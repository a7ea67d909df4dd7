"""Notes who listened to which recording: one row for each play or download, however many parts of it were fetched."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from calls.models import Recording, RecordingAccess
from routing.client_ip import client_ip

# A player asks for the beginning twice before it plays, and goes on fetching parts while it does.
_BEGINNING_AGAIN = timedelta(seconds=30)
_SAME_PLAY = timedelta(hours=1)
_PLAYERS = ("audio", "video")


def note(request: HttpRequest, recording: Recording, extension: str) -> None:
    """Write down that the recording is sent; a further part of the same play only moves its end."""
    if request.method != "GET":
        return
    now = timezone.now()
    user, who = _who(request)
    how = _how(request)
    ip = client_ip(request)
    window = _BEGINNING_AGAIN if _from_the_beginning(request) else _SAME_PLAY
    same = RecordingAccess.objects.filter(
        recording_sid=recording.pk, who=who, how=how, extension=extension, ip=ip, last__gte=now - window
    )
    last = same.order_by("-time").values_list("pk", flat=True).first()
    if last is not None and RecordingAccess.objects.filter(pk=last).update(last=now):
        return
    RecordingAccess.objects.create(
        recording_sid=recording.pk,
        call_sid=recording.call_id,
        account_sid=recording.account_id,
        user_id=user,
        who=who,
        how=how,
        extension=extension,
        ip=ip,
        user_agent=request.headers.get("User-Agent", "").replace("\0", "")[:255],
        time=now,
        last=now,
    )


def of_recording(sid: str) -> QuerySet[RecordingAccess]:
    """Return who listened to a recording, newest first."""
    return RecordingAccess.objects.filter(recording_sid=sid).order_by("-time", "-pk")


def _from_the_beginning(request: HttpRequest) -> bool:
    wanted = request.headers.get("Range", "")
    return not wanted or wanted.startswith("bytes=0-")


def _how(request: HttpRequest) -> str:
    """Tell a player from a download: by what the browser says it is for, else by the address."""
    if "download" in request.GET:
        return RecordingAccess.How.DOWNLOADED
    player = request.headers.get("Sec-Fetch-Dest", "") in _PLAYERS
    return RecordingAccess.How.PLAYED if player or "Range" in request.headers else RecordingAccess.How.DOWNLOADED


def _who(request: HttpRequest) -> tuple[int | None, str]:
    caller: Any = getattr(request, "acting_caller", None)
    if caller is not None:
        name = caller.key.friendly_name if caller.key else caller.account.friendly_name
        what = f"API key {caller.key.sid}" if caller.key else f"Account {caller.account.sid}"
        return None, f"{what} ({name})"[:255]
    user: Any = request.user
    return (user.pk, user.get_username()) if user.is_authenticated else (None, "anybody (RECORDINGS_PUBLIC)")

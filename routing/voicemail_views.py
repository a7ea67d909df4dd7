"""What the TwiML app answers for voicemail boxes, under `/voice/voicemail/`.

The message itself comes into the list another way, mostly: the worker that finishes a recording sees by its callback
URL that it belongs to a box (`calls.voicemail`), so that none is lost while no web process runs.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from django.http import FileResponse, Http404, HttpRequest
from django.views.decorators.http import require_safe

from routing.drafts import Draft, Served
from routing.models import Account, Voicemail
from routing.models.voicemail import GREETING_TYPES
from routing.resolve import Destination
from routing.sid import is_sid
from routing.situation import Situation
from routing.views import Params, context_of, signed
from routing.voice import document
from routing.voicemail import goodbye, tell_keepers

_NAME = re.compile(r"[0-9a-f]{32}\.(wav|mp3)\Z")


def _box(account: Account, pk: int) -> Voicemail | None:
    return Voicemail.objects.filter(pk=pk, account=account).first()


@signed
def box(params: Params, account: Account, query: Params, given: Situation, pk: int) -> Served:
    """Answer what a call runs that is led to a box from elsewhere."""
    found = _box(account, pk)
    why = "This call was led to the voicemail box." if found else f"There is no voicemail box {pk} in this account."
    return document(Destination(found, (why,)), context_of(params, query, given))


@signed
def done(params: Params, account: Account, query: Params, given: Situation, pk: int) -> Served:
    """Answer what follows a message."""
    draft = Draft(context_of(params, query, given), [])
    goodbye(_box(account, pk), params.get("RecordingDuration", ""), draft)
    return draft.served()


@signed
def recorded(params: Params, account: Account, query: Params, given: Situation, pk: int) -> Served:
    """Take the message; this is only asked where the call was led here by another address than PUBLIC_URL."""
    if given.real and params.get("RecordingStatus") == "completed" and is_sid(params.get("RecordingSid", ""), "RE"):
        tell_keepers(account.pk, pk, params["RecordingSid"])
    return Draft(context_of(params, query, given), []).served()


@require_safe
def greeting(request: HttpRequest, name: str) -> FileResponse:
    """Answer with an uploaded greeting: whoever knows its name, which nobody can guess, may hear it as callers do."""
    if not _NAME.match(name) or not Voicemail.objects.filter(greeting_file=name).exists():
        raise Http404
    storage = Voicemail._meta.get_field("greeting_file").storage
    try:
        file = storage.open(name)
    except OSError:
        raise Http404 from None
    response = FileResponse(file, content_type=GREETING_TYPES[PurePath(name).suffix])
    response["Cache-Control"] = "public, max-age=31536000, immutable"
    return response

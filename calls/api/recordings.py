"""The sound of recordings: GET /Accounts/AC…/Recordings/RE…, with `.wav`, `.mp3` or nothing behind it.

Source: Twilio's Recording resource, "Fetch a Recording's media file".
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from calls import downloads, files
from calls.api.auth import admit
from calls.api.errors import NOT_FOUND, ApiError, endpoint, not_found
from calls.models import Recording

_UNKNOWN_PARAMETER, _UNAVAILABLE, _INTERNAL = 20001, 20503, 20500
_RETRY_SECONDS = "5"


@endpoint("GET", "HEAD")
def audio(request: HttpRequest, account: str, sid: str, extension: str = "wav") -> HttpResponseBase:
    """Answer with the recording as WAV or MP3; `RequestedChannels` 1 mixes a dual one, 2 insists on two.

    Who may: the account and operators, or everybody if RECORDINGS_PUBLIC. 404 until the recording is completed.
    """
    if not settings.RECORDINGS_PUBLIC:
        admit(request, account, permission="calls.view_recording")
    found = Recording.objects.filter(pk=sid, account=account).first()
    if found is None:
        raise not_found(request)
    try:
        opened = downloads.open_audio(found, extension, _channels(request))
    except downloads.WrongChannels as error:
        raise ApiError(_UNKNOWN_PARAMETER, str(error)) from None
    except downloads.Unavailable as error:
        raise _refusal(error) from None
    return files.send(request, opened.file, etag=opened.etag, content_type=opened.content_type, name=opened.name)


def _channels(request: HttpRequest) -> int | None:
    text = request.GET.get("RequestedChannels")
    if text not in (None, "1", "2"):
        raise ApiError(_UNKNOWN_PARAMETER, "RequestedChannels must be 1 or 2.")
    return None if text is None else int(text)


def _refusal(error: downloads.Unavailable) -> ApiError:
    code = NOT_FOUND if not error.ours else _UNAVAILABLE if error.soon else _INTERNAL
    return ApiError(code, str(error), headers={"Retry-After": _RETRY_SECONDS} if error.soon else {})

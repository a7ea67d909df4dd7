"""The sound of recordings: GET /Accounts/AC…/Recordings/RE…, with `.wav`, `.mp3` or nothing behind it.

Source: Twilio's Recording resource, "Fetch a Recording's media file".
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from calls import access, downloads, files
from calls.models import Recording
from routing.api.authentication import CHALLENGE, account_in_path, caller_of
from routing.api.errors import (
    BAD_PARAMETER,
    FORBIDDEN,
    INTERNAL,
    NOT_FOUND,
    UNAVAILABLE,
    WRONG_CREDENTIALS,
    WRONG_METHOD,
    ApiError,
    answer,
    api_error,
    not_found,
)

_METHODS = ("GET", "HEAD")
_PERMISSION = "calls.listen_recording"
_RETRY_SECONDS = "5"


def audio(request: HttpRequest, account_sid: str, sid: str, extension: str = "wav") -> HttpResponseBase:
    """Answer with the recording as WAV or MP3; `RequestedChannels` 1 mixes a dual one, 2 insists on two.

    Who may: the account and operators, or everybody if RECORDINGS_PUBLIC. 404 until the recording is completed.
    """
    try:
        if request.method not in _METHODS:
            raise ApiError(WRONG_METHOD, headers={"Allow": ", ".join(_METHODS)})
        if not settings.RECORDINGS_PUBLIC:
            _admit(request, account_sid)
        return _found(request, account_sid, sid, extension)
    except Exception as error:
        return answer(api_error(error, request))


def _admit(request: HttpRequest, account_sid: str) -> None:
    """Let pass the account, by its token or a key of it, and an operator who is logged in and may."""
    if "Authorization" in request.headers:
        account_in_path(request, caller_of(request), account_sid)
        return
    user = request.user
    if not (user.is_authenticated and user.is_active and user.is_staff):
        challenge = {"WWW-Authenticate": CHALLENGE}
        raise ApiError(WRONG_CREDENTIALS, "Authenticate with account SID and auth token", headers=challenge)
    if not user.has_perm(_PERMISSION):
        raise ApiError(FORBIDDEN, f"Your user lacks the permission {_PERMISSION}.")


def _found(request: HttpRequest, account_sid: str, sid: str, extension: str) -> HttpResponseBase:
    found = Recording.objects.filter(pk=sid, account=account_sid).first()
    if found is None:
        raise not_found(request)
    try:
        opened = downloads.open_audio(found, extension, _channels(request))
    except downloads.WrongChannels as error:
        raise ApiError(BAD_PARAMETER, str(error)) from None
    except downloads.Unavailable as error:
        raise _refusal(error) from None
    access.note(request, found, extension)
    return files.send(request, opened.file, etag=opened.etag, content_type=opened.content_type, name=opened.name)


def _channels(request: HttpRequest) -> int | None:
    text = request.GET.get("RequestedChannels")
    if text not in (None, "1", "2"):
        raise ApiError(BAD_PARAMETER, "RequestedChannels must be 1 or 2.")
    return None if text is None else int(text)


def _refusal(error: downloads.Unavailable) -> ApiError:
    code = NOT_FOUND if not error.ours else UNAVAILABLE if error.soon else INTERNAL
    return ApiError(code, str(error), headers={"Retry-After": _RETRY_SECONDS} if error.soon else {})

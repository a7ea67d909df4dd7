"""Recordings for operators who are logged in: to listen to in the admin, and to download."""

from __future__ import annotations

from django.contrib.auth.decorators import permission_required, user_passes_test
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_safe

from calls import access, downloads, files
from calls.models import Recording


@require_safe
@user_passes_test(lambda user: user.is_active and user.is_staff, login_url="admin:login")
@permission_required("calls.listen_recording", raise_exception=True)
def recording(request: HttpRequest, sid: str, extension: str) -> HttpResponseBase:
    """Answer with the recording, or the part that the Range header asks for; 404 with the reason if there is none."""
    found = Recording.objects.filter(pk=sid).first()
    if found is None:
        return _missing(f"There is no recording {sid}.")
    try:
        audio = downloads.open_audio(found, extension)
    except downloads.Unavailable as error:
        return _missing(str(error))
    access.note(request, found, extension)
    return files.send(request, audio.file, etag=audio.etag, content_type=audio.content_type, name=audio.name)


def _missing(why: str) -> HttpResponse:
    return HttpResponse(why + "\n", status=404, content_type="text/plain; charset=utf-8")

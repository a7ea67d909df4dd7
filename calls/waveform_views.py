"""The shape of a recording, for the player of operators who may listen to it."""

from __future__ import annotations

from django.contrib.auth.decorators import permission_required, user_passes_test
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views.decorators.http import require_safe

from calls import downloads, files
from calls.models import Recording


@require_safe
@user_passes_test(lambda user: user.is_active and user.is_staff, login_url="admin:login")
@permission_required("calls.listen_recording", raise_exception=True)
def peaks(request: HttpRequest, sid: str) -> HttpResponseBase:
    """Answer with the shape of a recording as JSON; 404 with the reason, also as JSON, if there is none."""
    found = Recording.objects.filter(pk=sid).first()
    if found is None:
        return JsonResponse({"error": f"There is no recording {sid}."}, status=404)
    try:
        shape = downloads.open_audio(found, "json")
    except downloads.Unavailable as error:
        return JsonResponse({"error": str(error)}, status=404)
    return files.send(request, shape.file, etag=shape.etag, content_type=shape.content_type, name=shape.name)

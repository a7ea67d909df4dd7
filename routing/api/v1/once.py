"""Idempotency-Key: a POST that is sent again with the same key is not done again, and gets the same answer.

The key is stored in the transaction that does the work, so either both are there or neither: there is no moment in
which a request has been done and its key is not known. A request that was refused leaves nothing and may be corrected.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from routing.api.v1.access import owner_of
from routing.api.v1.problems import Problem, invalid
from routing.models import IdempotencyKey

KEPT = timedelta(hours=24)
REPLAYED = "Idempotency-Replayed"
_HEADERS = ("ETag",)
_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")


def once(request: Request, act: Callable[[], Response]) -> Response:
    """Do it in one transaction, or return the answer that the same request got before; raise `Problem` 400 or 422."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        with transaction.atomic():
            return act()
    if not _KEY.match(key):
        raise invalid({"Idempotency-Key": ["1 to 255 visible ASCII characters, such as a UUID."]})
    owner, fingerprint = owner_of(request), _fingerprint(request)
    IdempotencyKey.objects.filter(created__lt=timezone.now() - KEPT).delete()
    with transaction.atomic():
        try:
            with transaction.atomic():
                row = IdempotencyKey.objects.create(owner=owner, key=key, fingerprint=fingerprint)
        except IntegrityError:
            # A request that is still being answered holds this one up until it is done.
            return _again(IdempotencyKey.objects.get(owner=owner, key=key), fingerprint)
        response = act()
        kept = {"data": response.data, "headers": {name: response[name] for name in _HEADERS if name in response}}
        row.status, row.body = response.status_code, JSONRenderer().render(kept).decode()
        row.save(update_fields=["status", "body"])
    return response


def _again(row: IdempotencyKey, fingerprint: str) -> Response:
    if row.fingerprint != fingerprint:
        text = "This Idempotency-Key was used for another request: draw a new one for each thing that you want done."
        raise Problem(422, text)
    kept = json.loads(row.body)
    return Response(kept["data"], status=row.status, headers={**kept["headers"], REPLAYED: "true"})


def _fingerprint(request: Request) -> str:
    found = hashlib.sha256(f"{request.method} {request.get_full_path()}\0{request.content_type}\0".encode())
    found.update(request._request.body)
    return found.hexdigest()

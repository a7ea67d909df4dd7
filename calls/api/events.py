"""The exchanges of a call with web applications: requests for TwiML and callbacks, each with its response.

Source: Twilio's Call Event resource (conformance §1.14).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from calls.api.calls import OfCall
from calls.models import Call, CallEvent, WebhookDelivery
from calls.webhooks import without_secrets
from routing.api.paging import Page, envelope, place
from routing.api.parameters import Listing, query_of
from routing.api.rendering import rfc2822

_ASKED, _ANSWERED, _FAILED = "twiml.request", "twiml.response", "twiml.failed"
_TOKEN_HEAD = 36  # characters of a token before the number: PA and the call's SID

Exchange = dict[str, Any]


class Events(OfCall):
    """The list."""

    key = "events"
    filters = Listing

    def get(self, request: Request, **_: Any) -> Response:
        """Answer with a page, the oldest first."""
        Listing.read(query_of(request))
        where, call = place(request.query_params), self.call()
        start = int(where.token[_TOKEN_HEAD:], 16) if where.token else where.number * where.size
        found = exchanges(call)
        shown, end = found[start : start + where.size], start + where.size
        following = f"PA{call.pk}{end:x}" if end < len(found) else ""
        preceding = f"PB{call.pk}{max(0, start - where.size):x}" if start else ""
        page: Page[Any] = Page(where, [], following, preceding)
        return Response(envelope(page, self.key, shown, request.path, {}))


def exchanges(call: Call) -> list[Exchange]:
    """Return them, the oldest first."""
    events = CallEvent.objects.filter(call=call, name__in=(_ASKED, _ANSWERED, _FAILED)).order_by("number")
    callbacks = WebhookDelivery.objects.filter(call=call).exclude(state=WebhookDelivery.State.PENDING)
    told = [*_documents(events), *((row.sent_at or row.time, _callback(row)) for row in callbacks)]
    return [exchange for _, exchange in sorted(told, key=lambda one: one[0])]


def _documents(events: Iterable[CallEvent]) -> Iterable[tuple[Any, Exchange]]:
    """Yield the requests for TwiML, each with the answer that came next."""
    asked: CallEvent | None = None
    for event in events:
        if event.name == _ASKED:
            if asked is not None:
                yield asked.time, _document(asked, None)
            asked = event
        elif asked is not None:
            yield asked.time, _document(asked, event)
            asked = None
    if asked is not None:
        yield asked.time, _document(asked, None)


def _document(asked: CallEvent, answered: CallEvent | None) -> Exchange:
    told = answered.detail if answered else {}
    return {
        "request": {
            "method": asked.detail.get("method"),
            "url": asked.detail.get("url"),
            "parameters": dict(asked.detail.get("parameters", [])),  # calls of an older Cordboard have none
        },
        "response": {
            "response_code": told.get("status"),
            "request_duration": round(told["ms"]) if "ms" in told else None,
            "content_type": "text/xml" if "body" in told else None,
            "response_body": told.get("body", told.get("reason")),
            "date_created": rfc2822(answered.time) if answered else None,
        },
    }


def _callback(row: WebhookDelivery) -> Exchange:
    return {
        "request": {"method": row.method, "url": without_secrets(row.url), "parameters": dict(row.parameters)},
        "response": {
            "response_code": row.response_status or None,
            "request_duration": row.milliseconds,
            "content_type": row.response_type or None,
            "response_body": row.response_body or row.error or None,
            "date_created": rfc2822(row.sent_at),
        },
    }

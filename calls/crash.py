"""What web applications are told of the legs that died with their engine: the end, once for each leg."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from calls.entries import CallRecord, DeliveryEntry
from calls.ledger import GROWING
from calls.models import Recording, WebhookDelivery
from calls.recordings import public_url
from calls.retries import derived_sid
from calls.webhooks import Completion, VoiceCall, status_parameters
from routing.models import SipDomain

COMPLETED = "completed"


def completions(ended: Iterable[CallRecord]) -> Iterator[DeliveryEntry]:
    """Yield the last status callback of each of these legs that has one to come; the worker delivers them.

    The numbers go on after what was told before. The headers of the INVITE died with the engine and are left out.
    """
    for record in ended:
        if record.callback is None or COMPLETED not in record.callback.events:
            continue
        told = WebhookDelivery.objects.filter(call=record.sid, topic="status", attempt=1)
        if told.filter(event=COMPLETED).exists():
            continue
        number, when = max(record.callbacks_sent, told.count()), record.end_time or record.start_time
        sid = derived_sid("WD", record.sid, COMPLETED)
        yield DeliveryEntry(
            sid=sid,
            message=sid,
            account_sid=record.account_sid,
            call_sid=record.sid,
            topic="status",
            event=COMPLETED,
            url=record.callback.url,
            method=record.callback.method,
            parameters=tuple(status_parameters(_voice_call(record), number, when, _completion(record))),
            time=when,
        )


def _voice_call(record: CallRecord) -> VoiceCall:
    names = SipDomain.objects.filter(pk=record.domain_sid).values_list("domain_name", flat=True)
    return VoiceCall(
        call_sid=record.sid,
        account_sid=record.account_sid,
        from_address=record.from_address,
        to_address=record.to_address,
        status=record.status,
        direction=record.direction,
        parent_call_sid=record.parent_sid,
        sip_domain=names.first() or "",
        sip_domain_sid=record.domain_sid,
        sip_username=record.sip_username,
        sip_call_id=record.sip_call_id,
        sip_source_ip=record.source_ip,
    )


def _completion(record: CallRecord) -> Completion:
    """Return the end of a leg, with the recording of the `<Dial>` that had connected it."""
    end = Completion(record.duration or 0, record.sip_code)
    if not record.parent_sid or record.answer_time is None or record.end_time is None:
        return end
    growing = Recording.objects.filter(call=record.parent_sid, source="DialVerb", status__in=GROWING)
    recording = growing.first()
    if recording is None:
        return end
    seconds = max(0, round(record.end_time - recording.start_time.timestamp()))
    return Completion(end.duration, end.sip_code, recording.sid, public_url(recording), seconds)

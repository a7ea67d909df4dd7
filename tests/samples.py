"""Rows and entries that the tests of the call log share."""

from __future__ import annotations

from typing import Any

from calls import ledger
from calls.entries import CallRecord, DeliveryEntry, EventEntry, NoteEntry, RecordingEntry
from routing.models import Account, Endpoint, RingGroup
from routing.sid import new_sid

START = 1_790_000_000.0


def account() -> Account:
    return Account.objects.create(friendly_name="Main", auth_token="0123456789abcdef0123456789abcdef")


def endpoint(owner: Account, name: str = "Alice", **values: Any) -> Endpoint:
    ledger.forget_endpoints()
    return Endpoint.objects.create(account=owner, name=name, **{"uri": f"sip:{name.lower()}@127.0.0.1:5071", **values})


def group(owner: Account, name: str = "Support", **values: Any) -> RingGroup:
    return RingGroup.objects.create(account=owner, name=name, **values)


def call(owner: Account, **values: Any) -> CallRecord:
    """Return the record of an inbound call that was answered and is over."""
    defaults = {
        "sid": new_sid("CA"),
        "account_sid": owner.sid,
        "direction": "inbound",
        "status": "completed",
        "from_address": "sip:200@203.0.113.7",
        "to_address": "sip:100@sip.example.com",
        "start_time": START,
        "answer_time": START + 4,
        "end_time": START + 53,
        "duration": 49,
        "engine": "e1",
        "sip_code": 200,
    }
    return CallRecord(**{**defaults, **values})


def leg(parent: CallRecord, **values: Any) -> CallRecord:
    """Return the record of a leg that was dialled by `parent` and canceled."""
    defaults = {
        "sid": new_sid("CA"),
        "account_sid": parent.account_sid,
        "direction": "outbound-dial",
        "status": "canceled",
        "from_address": parent.from_address,
        "to_address": "sip:alice@127.0.0.1:5071",
        "start_time": START + 1,
        "end_time": START + 4,
        "engine": "e1",
        "parent_sid": parent.sid,
        "sip_code": 487,
    }
    return CallRecord(**{**defaults, **values})


def event(of: CallRecord, number: int, name: str = "invite", **detail: Any) -> EventEntry:
    return EventEntry(of.sid, number, START + number / 10, name, detail)


def recording(of: CallRecord, **values: Any) -> RecordingEntry:
    defaults = {
        "sid": new_sid("RE"),
        "account_sid": of.account_sid,
        "call_sid": of.sid,
        "source": "DialVerb",
        "channels": 2,
        "track": "both",
        "start_time": START + 4,
        "status": "processing",
        "files": ("raw/a-0.wav", "raw/a-1.wav"),
    }
    return RecordingEntry(**{**defaults, **values})


def note(of: CallRecord, **values: Any) -> NoteEntry:
    defaults = {
        "sid": new_sid("NO"),
        "account_sid": of.account_sid,
        "call_sid": of.sid,
        "time": START + 1,
        "code": 11200,
        "level": "error",
        "message": "",
    }
    return NoteEntry(**{**defaults, **values})


def delivery(of: CallRecord, **values: Any) -> DeliveryEntry:
    """Return a status callback that was delivered at the first attempt."""
    sid = values.get("sid", new_sid("WD"))
    defaults = {
        "sid": sid,
        "message": sid,
        "account_sid": of.account_sid,
        "call_sid": of.sid,
        "topic": "status",
        "event": "completed",
        "url": "https://app.example.com/status",
        "method": "POST",
        "parameters": (("CallSid", of.sid), ("CallStatus", "completed")),
        "time": START + 53,
        "state": "delivered",
        "sent_at": START + 53,
        "milliseconds": 35,
        "response_status": 204,
    }
    return DeliveryEntry(**{**defaults, **values})


def attempt(of: CallRecord, **values: Any) -> DeliveryEntry:
    """Return the first attempt at a status callback, in the worker's hands."""
    sid = new_sid("WD")
    defaults = {
        "sid": sid,
        "message": sid,
        "account_sid": of.account_sid,
        "call_sid": of.sid,
        "topic": "status",
        "event": "completed",
        "url": "http://app.example.com/cb",
        "method": "POST",
        "parameters": (("CallSid", of.sid), ("CallStatus", of.status)),
        "time": START,
    }
    return DeliveryEntry(**{**defaults, **values})

"""PURE: what the engine tells about calls, as values that go through the journal into the database;
and the two that go the other way, `QueuedCall` and `QueuedCommand`.

A `CallRecord` entry is the whole row, so that a later one replaces an earlier one and applying one twice changes
nothing; events, recordings and notes carry their own identifier for the same reason. Times are seconds since the
epoch (UTC).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class CallbackSpec:
    """Who is told of what: an absolute URL, GET or POST, and the events that are told (names of Twilio's lists)."""

    url: str
    method: str
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordingSpec:
    """How a leg is recorded: `channels` 1 or 2 (the leg itself in the first, what it hears in the second).

    `track` is inbound (what the leg says), outbound (what it hears) or both; `sid` is drawn by whoever asks.
    """

    sid: str
    source: str
    channels: int = 1
    track: str = "both"
    trim: bool = True
    callback: CallbackSpec | None = None


@dataclass(slots=True)
class CallRecord:
    """One leg as the call log keeps it (a Twilio "Call" is one leg).

    `sip_code` is the final response of the leg's INVITE, 0 when there was none. `ended_by` is one of caller, callee,
    engine, operator; `reason` is one plain sentence for the operator. `group_id` and `route_id` are what our own
    TwiML app said it used, 0 when unknown. `callback` is who is told of this leg's progress, `callbacks_sent` how many
    requests that has made so far (the next SequenceNumber).
    """

    sid: str
    account_sid: str
    direction: str
    status: str
    from_address: str
    to_address: str
    start_time: float
    engine: str = ""
    parent_sid: str = ""
    ring_time: float | None = None
    answer_time: float | None = None
    end_time: float | None = None
    duration: int | None = None
    sip_call_id: str = ""
    sip_code: int = 0
    ended_by: str = ""
    reason: str = ""
    error_code: int = 0
    domain_sid: str = ""
    sip_username: str = ""
    source_ip: str = ""
    region: str = ""
    route_id: int = 0
    group_id: int = 0
    callback: CallbackSpec | None = None
    callbacks_sent: int = 0


@dataclass(frozen=True, slots=True)
class EventEntry:
    """Something that happened to a call, for its timeline; `number` counts from 0 within the call."""

    call_sid: str
    number: int
    time: float
    name: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordingEntry:
    """A recording: `files` are the WAV files on the engine's disk, one per channel (parent first).

    `status` is `in-progress` while they grow and `processing` once they are closed; the worker makes it `completed`,
    cuts silence off both ends if `trim`, and then tells `callback`. `conference_sid` is set for a conference's one.
    """

    sid: str
    account_sid: str
    call_sid: str
    source: str
    channels: int
    track: str
    start_time: float
    status: str
    files: tuple[str, ...]
    error: str = ""
    trim: bool = False
    callback: CallbackSpec | None = None
    conference_sid: str = ""


@dataclass(frozen=True, slots=True)
class NoteEntry:
    """A Twilio Notification: something went wrong (or was doubtful) and the operator should be able to read it."""

    sid: str
    account_sid: str
    call_sid: str
    time: float
    code: int
    level: str
    message: str
    url: str = ""
    method: str = ""
    response_status: int = 0
    response_body: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryEntry:
    """One attempt to tell somebody something: a status, recording, conference, … callback, and what came of it.

    `sid` (WD…) is the attempt's own, `message` the sid of the message's first attempt; `attempt` counts from 1.
    `topic` is one of status, recording, conference, amd; `event` the event's name; `parameters` what is sent (the
    signature is made when it is sent). `state` is `pending` until the attempt has an outcome, then `delivered` or
    `failed`; `milliseconds` and `response_*` tell it. `sender` is the engine that has it in hand while it is pending.
    """

    sid: str
    message: str
    account_sid: str
    call_sid: str
    topic: str
    event: str
    url: str
    method: str
    parameters: tuple[tuple[str, str], ...]
    time: float
    state: str = "pending"
    attempt: int = 1
    sender: str = ""
    sent_at: float | None = None
    milliseconds: int | None = None
    response_status: int = 0
    response_type: str = ""
    response_body: str = ""
    error_code: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class CommandDone:
    """What became of a command: `outcome` is one plain sentence, `ok` whether it was carried out."""

    id: int
    time: float
    ok: bool
    outcome: str


@dataclass(frozen=True, slots=True)
class ConferenceEntry:
    """A conference as it is now: `status` is init, in-progress or completed, then with `reason_ended` and `ended_by`.

    `reason_ended` is one of Twilio's words (last-participant-left, …), `ended_by` the SID of the call that ended it.
    """

    sid: str
    account_sid: str
    name: str
    status: str
    engine: str
    region: str
    created: float
    updated: float
    reason_ended: str = ""
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class ParticipantEntry:
    """A call in a conference as it is now; `left` is when it went out, None while it is in."""

    conference_sid: str
    call_sid: str
    account_sid: str
    label: str
    muted: bool
    hold: bool
    coaching: bool
    call_sid_to_coach: str
    start_on_enter: bool
    end_on_exit: bool
    joined: float
    updated: float
    left: float | None = None


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """A queue that a call has named and that is not in the database: it changes nothing of one that is."""

    sid: str
    account_sid: str
    name: str
    max_size: int
    created: float


@dataclass(frozen=True, slots=True)
class MemberEntry:
    """A call that waits in a queue since `enqueued`; `waiting` is False when it waits no longer."""

    queue_sid: str
    call_sid: str
    account_sid: str
    engine: str
    enqueued: float
    waiting: bool = True


@dataclass(frozen=True, slots=True)
class RoomChange:
    """What is to become of a conference, of a participant or of one who waits; what is None stays as it is.

    `sid` is the room's, `account_sid` its account's. `hold_url`, `wait_url` None: our own music; `announce_url` is
    heard once. `coach` is the SID of the call that a participant speaks to alone, "" for everybody. `end` ends the
    conference.
    """

    account_sid: str
    sid: str
    muted: bool | None = None
    hold: bool | None = None
    hold_url: str | None = None
    hold_method: str = "GET"
    announce_url: str = ""
    announce_method: str = "POST"
    wait_url: str | None = None
    wait_method: str = "POST"
    beep_on_exit: bool | None = None
    end_on_exit: bool | None = None
    coach: str | None = None
    end: bool = False


@dataclass(frozen=True, slots=True)
class ConferenceSpec:
    """The conference that a placed call goes into: it has this SID if none of that name is in progress."""

    sid: str
    name: str


@dataclass(frozen=True, slots=True)
class QueuedCommand:
    """A change to a call in progress that somebody asked for.

    `status` is `completed` or `canceled` to end it, "" to go on with `url` (and `method`) or `twiml` instead.
    """

    id: int
    call_sid: str
    status: str = ""
    url: str = ""
    method: str = "POST"
    twiml: str = ""
    fallback_url: str = ""
    fallback_method: str = "POST"
    by: str = ""  # who asked, for the timeline
    action: str = ""  # of `Command.Action`; blank: one of the above
    recording_sid: str = ""  # which one; blank: the one that runs
    recording: RecordingSpec | None = None  # how, for record
    callback: CallbackSpec | None = None  # replaces the call's, if given
    time_limit: int | None = None  # seconds from now
    room: RoomChange | None = None  # for the actions on conferences and queues


@dataclass(frozen=True, slots=True)
class QualityEntry:
    """How a leg's audio has gone so far (`ports.MediaStats`, by the same names); `final` when the leg has ended."""

    call_sid: str
    time: float
    final: bool
    codec: str
    packets_in: int
    packets_out: int
    lost_in: int
    jitter_in: float | None = None
    jitter_in_max: float | None = None
    lost_out: int | None = None
    jitter_out: float | None = None
    round_trip: float | None = None


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """What an engine tells of itself now and then; not in the journal: only the last one counts.

    `state` is starting, running, draining or stopped; peaks and `refused` (calls, because it was full) since `started`.
    """

    name: str
    version: str
    library: str
    host: str
    pid: int
    address: str
    regions: tuple[str, ...]
    started: float
    seen: float
    state: str
    max_legs: int
    legs: int = 0
    calls: int = 0
    peak_legs: int = 0
    peak_calls: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class QueuedCheck:
    """A SIP OPTIONS that somebody wants sent: the SIP URI in full, and the region it leaves from (blank: default)."""

    id: int
    uri: str
    region: str


@dataclass(frozen=True, slots=True)
class CheckDone:
    """What came of a `QueuedCheck`: the answer's code, or 0 and the error; `seconds` from the request to the answer."""

    id: int
    time: float
    code: int
    reason: str = ""
    server: str = ""
    seconds: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class QueuedCall:
    """A call that somebody asked for: `to` is the SIP URI in full, a telephone number, or `client:name`.

    Either `url` (with `method`) or `twiml` says what it runs when it is answered; `timeout` and `time_limit` are in
    seconds, `queued` is seconds since the epoch. It is to be placed in `wait` seconds: that is how an account's calls
    per second are kept.
    """

    sid: str
    account_sid: str
    auth_token: str = field(repr=False)
    to: str
    from_address: str
    region: str
    url: str
    method: str
    fallback_url: str
    twiml: str
    timeout: int
    username: str
    password: str = field(repr=False)
    queued: float
    callback: CallbackSpec | None = None
    fallback_method: str = "POST"
    send_digits: str = ""
    time_limit: int | None = None
    recording: RecordingSpec | None = None
    machine_detection: bool = False
    amd_callback: CallbackSpec | None = None
    call_reason: str = ""
    wait: float = 0.0
    conference: ConferenceSpec | None = None


Entry = (
    CallRecord
    | EventEntry
    | RecordingEntry
    | NoteEntry
    | DeliveryEntry
    | CommandDone
    | ConferenceEntry
    | ParticipantEntry
    | QueueEntry
    | MemberEntry
    | QualityEntry
    | CheckDone
)
KINDS: dict[str, type[Any]] = {
    "call": CallRecord,
    "event": EventEntry,
    "recording": RecordingEntry,
    "note": NoteEntry,
    "delivery": DeliveryEntry,
    "command": CommandDone,
    "conference": ConferenceEntry,
    "participant": ParticipantEntry,
    "queue": QueueEntry,
    "member": MemberEntry,
    "quality": QualityEntry,
    "check": CheckDone,
}
_NAMES = {cls: name for name, cls in KINDS.items()}
_TAGS = {cls: name.encode() for name, cls in KINDS.items()}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_FIELDS = {cls: tuple(cls.__dataclass_fields__) for cls in KINDS.values()}


def to_json(entry: Entry) -> dict[str, Any]:
    """Return the entry as a JSON object whose key `kind` names its class.

    Shallow: `dataclasses.asdict` copies deeply and costs four times as much, twenty times a call.
    """
    cls = type(entry)
    data = {name: getattr(entry, name) for name in _FIELDS[cls]}
    if data.get("callback") is not None:
        spec = data["callback"]
        data["callback"] = {"url": spec.url, "method": spec.method, "events": spec.events}
    return {"kind": _NAMES[cls], **data}


def to_line(entry: Entry) -> bytes:
    """Return the entry as one line of JSON; raise `TypeError`, `ValueError` or `RecursionError` if it cannot be one."""
    try:
        return b'{"kind":"%b",%b\n' % (_TAGS[type(entry)], orjson.dumps(entry)[1:])
    except TypeError:  # a SIP header that is no UTF-8, as lone surrogates
        return _encode(to_json(entry)).encode(errors="replace") + b"\n"


def from_json(data: dict[str, Any]) -> Entry:
    """Return the entry of a JSON object made by `to_json`; keys that this version does not know are ignored."""
    cls = KINDS[data["kind"]]
    fields = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
    if cls is RecordingEntry:
        fields["files"] = tuple(fields["files"])
    if cls is DeliveryEntry:
        fields["parameters"] = tuple((name, value) for name, value in fields["parameters"])
    if fields.get("callback"):
        spec = fields["callback"]
        fields["callback"] = CallbackSpec(spec["url"], spec["method"], tuple(spec["events"]))
    entry: Entry = cls(**fields)
    return entry

"""PURE: what requests tell about the verbs besides `<Dial>`, and about what goes on beside a call: `<Gather>`,
`<Record>`, `<Refer>`, queues, conferences, machine detection.

Each function returns what comes after `webhooks.voice_parameters` in a request for TwiML, or a whole callback where its
docstring says so. Names and values are Twilio's, page by page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from calls.webhooks import Parameters, present, rfc2822

ConferenceEvent = Literal[
    "conference-start",
    "conference-end",
    "participant-join",
    "participant-leave",
    "participant-mute",
    "participant-unmute",
    "participant-hold",
    "participant-unhold",
    "participant-modify",
    "participant-speech-start",
    "participant-speech-stop",
    "announcement-end",
    "announcement-fail",
]
QueueOutcome = Literal[
    "bridged",
    "bridging-in-process",
    "error",
    "hangup",
    "leave",
    "queue-full",
    "redirected",
    "redirected-from-bridged",
    "system-error",
]


@dataclass(frozen=True, slots=True)
class RecordResult:
    """How a `<Record>` ended: `duration` in seconds; `digits` is the key that ended it, or `hangup`."""

    sid: str
    url: str
    duration: int
    digits: str = ""


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue as one who waits in it sees it; times in seconds, `position` counts from 1."""

    sid: str
    position: int
    waited: float
    average_wait: float
    size: int
    max_size: int


@dataclass(frozen=True, slots=True)
class Participant:
    """A call in a conference; `label` is what TwiML or the API named it."""

    call_sid: str
    label: str = ""
    muted: bool = False
    hold: bool = False
    coaching: bool = False
    start_on_enter: bool = True
    end_on_exit: bool = False


@dataclass(frozen=True, slots=True)
class ConferenceState:
    """An event of a conference: `sequence` counts the sent ones of a conference from 0, `time` is since the epoch.

    `participant` is the one that it happened to, None for `conference-end`; `reason` why a participant left, in words
    of Twilio's list (`participant_hung_up`, …). The last two are told with `conference-end` only.
    """

    sid: str
    account_sid: str
    friendly_name: str
    event: ConferenceEvent
    sequence: int
    time: float
    participant: Participant | None = None
    reason: str = ""
    ended_by: str = ""
    reason_ended: str = ""


def gather_parameters(digits: str, finished_on_key: str = "") -> Parameters:
    """Return what the `action` of `<Gather>` is told: the digits without the key that finished them.

    `Digits` is there also when empty, for actionOnEmptyResult. Source: Twilio's `<Gather>` page.
    """
    return [("Digits", digits), *present(("FinishedOnKey", finished_on_key))]


def record_parameters(result: RecordResult) -> Parameters:
    """Return what the `action` of `<Record>` is told; the URL has no extension. Source: Twilio's `<Record>` page."""
    return [
        ("RecordingUrl", result.url),
        ("RecordingSid", result.sid),
        ("RecordingDuration", str(result.duration)),
        *present(("Digits", result.digits)),
    ]


def transfer_parameters(target: str) -> Parameters:
    """Return what the `referUrl` of `<Dial>` is told of a REFER that came in: its Refer-To as a SIP URI or a number.

    Source: Twilio's `<Dial>` page.
    """
    return [("ReferTransferTarget", target)]


def refer_parameters(status: str, sip_code: int, notify_code: int) -> Parameters:
    """Return what the `action` of `<Refer>` is told: `status` is one of in-progress, completed, failed, no-answer.

    `sip_code` is the final response to our REFER and `notify_code` that of the last NOTIFY's sipfrag; what never came
    is 0 and left out. Source: Twilio's `<Refer>` page.
    """
    return [
        ("ReferCallStatus", status),
        *present(("ReferSipResponseCode", _code(sip_code)), ("NotifySipResponseCode", _code(notify_code))),
    ]


def queue_wait_parameters(queue: QueueState) -> Parameters:
    """Return what the `waitUrl` of `<Enqueue>` is told. Source: Twilio's `<Enqueue>` page."""
    return [
        ("QueueSid", queue.sid),
        ("QueuePosition", str(queue.position)),
        ("QueueTime", _seconds(queue.waited)),
        ("AvgQueueTime", _seconds(queue.average_wait)),
        ("CurrentQueueSize", str(queue.size)),
        ("MaxQueueSize", str(queue.max_size)),
    ]


def enqueue_parameters(result: QueueOutcome, queue_sid: str, waited: float) -> Parameters:
    """Return what the `action` of `<Enqueue>` is told; `queue_sid` is "" if the call never got into a queue.

    Source: Twilio's `<Enqueue>` page.
    """
    return [("QueueResult", result), *present(("QueueSid", queue_sid)), ("QueueTime", _seconds(waited))]


def queue_parameters(queue_sid: str, waited: float, dequeuing_call_sid: str) -> Parameters:
    """Return what the `url` of `<Queue>` is told, which runs on the call that has waited, before it is connected.

    The name of the last parameter is spelt as Twilio spells it. Source: Twilio's `<Queue>` page.
    """
    return [("QueueSid", queue_sid), ("QueueTime", _seconds(waited)), ("DequeingCallSid", dequeuing_call_sid)]


def conference_wait_parameters(sid: str, friendly_name: str) -> Parameters:
    """Return what the `waitUrl` of `<Conference>` is told. Source: Twilio's `<Conference>` page."""
    return [("ConferenceSid", sid), ("FriendlyName", friendly_name)]


def conference_parameters(conference: ConferenceState) -> Parameters:
    """Return the whole of a conference's status callback. Source: Twilio's `<Conference>` page, statusCallback."""
    return [
        ("ConferenceSid", conference.sid),
        ("FriendlyName", conference.friendly_name),
        ("AccountSid", conference.account_sid),
        ("SequenceNumber", str(conference.sequence)),
        ("Timestamp", rfc2822(conference.time)),
        ("StatusCallbackEvent", conference.event),
        *(_participant_parameters(conference.participant) if conference.participant else []),
        *present(
            ("ReasonParticipantLeft", conference.reason),
            ("CallSidEndingConference", conference.ended_by),
            ("ReasonConferenceEnded", conference.reason_ended),
            ("Reason", _REASONS.get(conference.reason_ended, "")),
        ),
    ]


def amd_parameters(call_sid: str, account_sid: str, answered_by: str, milliseconds: int) -> Parameters:
    """Return the whole of a callback on answering machine detection. Source: Twilio's page on it, asynchronous AMD."""
    return [
        ("CallSid", call_sid),
        ("AccountSid", account_sid),
        ("AnsweredBy", answered_by),
        ("MachineDetectionDuration", str(milliseconds)),
    ]


_REASONS = {
    "conference-ended-via-api": "Conference ended via API",
    "participant-with-end-conference-on-exit-left": "Participant with endConferenceOnExit left",
    "participant-with-end-conference-on-exit-kicked": "Participant with endConferenceOnExit was removed via API",
    "last-participant-kicked": "Last participant was removed via API",
    "last-participant-left": "Last participant left",
}


def _participant_parameters(one: Participant) -> Parameters:
    return [
        ("CallSid", one.call_sid),
        ("Muted", _flag(one.muted)),
        ("Hold", _flag(one.hold)),
        ("Coaching", _flag(one.coaching)),
        ("StartConferenceOnEnter", _flag(one.start_on_enter)),
        ("EndConferenceOnExit", _flag(one.end_on_exit)),
        *present(("ParticipantLabel", one.label)),
    ]


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _seconds(seconds: float) -> str:
    return str(round(seconds))


def _code(code: int) -> str:
    return str(code) if code else ""

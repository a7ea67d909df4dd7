"""The call log as tables: calls (one row is one leg), their timeline, recordings, notifications and callbacks;
calls to place and commands to calls in progress.

Rows are written by the ledger from what the engine tells. Links carry no database constraint: the record of a call that
did happen is written even if the account, group or parent that it names is gone or not there yet.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.urls import reverse
from django.utils import timezone

from calls import status
from calls.annotations import CallNote as CallNote
from calls.annotations import CallTag as CallTag
from calls.annotations import SavedView as SavedView
from calls.annotations import Tag as Tag
from calls.harmless import harmless
from calls.keeping import Hold as Hold
from calls.keeping import RecordingAccess as RecordingAccess
from calls.keeping import RetentionRun as RetentionRun
from calls.room_models import Conference as Conference
from calls.room_models import Participant as Participant
from calls.room_models import Queue as Queue
from calls.room_models import QueueMember as QueueMember
from calls.telemetry import EndpointCheck as EndpointCheck
from calls.telemetry import Engine as Engine
from calls.telemetry import LegQuality as LegQuality
from calls.telemetry import SipMessage as SipMessage
from calls.voicemail_models import VoicemailMessage as VoicemailMessage
from calls.webhooks import without_secrets
from routing.fields import SecretField

SID_LENGTH = 34
URL_LENGTH = 4096
HTTP_METHODS = [("GET", "GET"), ("POST", "POST")]


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None:
        return None
    return max(0.0, (end - start) / timedelta(seconds=1))


class Call(models.Model):
    """One leg. The leg that came in, or that an operator asked for, is the parent of those that `<Dial>` placed."""

    class Status(models.TextChoices):
        QUEUED = status.Status.QUEUED, "queued"
        INITIATED = status.Status.INITIATED, "initiated"
        RINGING = status.Status.RINGING, "ringing"
        IN_PROGRESS = status.Status.IN_PROGRESS, "in progress"
        COMPLETED = status.Status.COMPLETED, "completed"
        BUSY = status.Status.BUSY, "busy"
        FAILED = status.Status.FAILED, "failed"
        NO_ANSWER = status.Status.NO_ANSWER, "no answer"
        CANCELED = status.Status.CANCELED, "canceled"

    class Direction(models.TextChoices):
        INBOUND = status.Direction.INBOUND, "inbound"
        OUTBOUND_API = status.Direction.OUTBOUND_API, "outbound, asked for by an operator"
        OUTBOUND_DIAL = status.Direction.OUTBOUND_DIAL, "outbound, dialled by a call"

    sid = models.CharField("SID", max_length=SID_LENGTH, primary_key=True)
    account = models.ForeignKey(
        "routing.Account", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="calls"
    )
    parent = models.ForeignKey(
        "self", models.CASCADE, null=True, blank=True, db_constraint=False, db_index=False, related_name="legs"
    )
    direction = models.CharField(max_length=16, choices=Direction.choices)
    status = models.CharField(max_length=16, choices=Status.choices)
    from_address = models.CharField("from", max_length=512, help_text="The caller, as the INVITE gave it.")
    to_address = models.CharField("to", max_length=512, help_text="What was dialled.")
    from_user = models.CharField(max_length=255, blank=True, help_text="User part of the caller's address.")
    to_user = models.CharField(max_length=255, blank=True, help_text="User part of the dialled address.")
    start_time = models.DateTimeField("started")
    ring_time = models.DateTimeField("rang", null=True, blank=True)
    answer_time = models.DateTimeField("answered", null=True, blank=True)
    end_time = models.DateTimeField("ended", null=True, blank=True)
    duration = models.PositiveIntegerField(null=True, blank=True, help_text="Whole seconds from answer to end.")
    engine = models.CharField(max_length=255, blank=True, help_text="The engine that owns, or owned, this leg.")
    sip_call_id = models.CharField("SIP Call-ID", max_length=255, blank=True)
    sip_code = models.PositiveSmallIntegerField("SIP code", default=0, help_text="Final response to the INVITE.")
    ended_by = models.CharField(max_length=16, blank=True, help_text="caller, callee, engine or operator.")
    reason = models.CharField(max_length=1000, blank=True, help_text="Why the leg ended as it did, in one sentence.")
    error_code = models.PositiveIntegerField(default=0)
    callback = models.JSONField(null=True, blank=True, help_text="Who is told of its progress: URL, method, events.")
    callbacks_sent = models.PositiveSmallIntegerField(default=0, help_text="The SequenceNumber of the next one.")
    domain = models.ForeignKey(
        "routing.SipDomain",
        models.SET_NULL,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="calls",
        verbose_name="SIP domain",
    )
    sip_username = models.CharField("SIP username", max_length=255, blank=True)
    source_ip = models.CharField("source address", max_length=64, blank=True)
    region = models.CharField(max_length=32, blank=True)
    route = models.ForeignKey(
        "routing.Route",
        models.SET_NULL,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="calls",
    )
    group = models.ForeignKey(
        "routing.RingGroup",
        models.SET_NULL,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="calls",
        verbose_name="ring group",
    )
    endpoint = models.ForeignKey(
        "routing.Endpoint",
        models.SET_NULL,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="calls",
    )

    class Meta:
        ordering = ["-start_time"]
        # Explicit indexes, because the implicit ones of character keys come in pairs on PostgreSQL.
        indexes = [
            models.Index(fields=["-start_time"], name="call_newest"),
            models.Index(fields=["status", "-start_time"], name="call_status"),
            # With the account, or else SQLite, which has no statistics, goes through all calls of the account.
            models.Index(fields=["from_user", "account", "-start_time", "-sid"], name="call_from_user"),
            models.Index(fields=["to_user", "account", "-start_time", "-sid"], name="call_to_user"),
            models.Index(fields=["account", "status", "-start_time", "-sid"], name="call_account_status"),
            # Calls only: parent is null. In the order of the log; the dashboard reads nothing but the index.
            models.Index(fields=["parent", "-start_time", "-sid", "direction", "status", "group"], name="call_parent"),
            models.Index(
                fields=["parent", "answer_time"],
                name="call_member_answered",
                condition=models.Q(parent__isnull=False, answer_time__isnull=False),
            ),
            models.Index(
                fields=["endpoint", "-start_time"], name="call_endpoint_failed", condition=models.Q(status="failed")
            ),
            models.Index(fields=["sip_call_id"], name="call_sip_call_id"),
            models.Index(fields=["group", "-start_time"], name="call_group"),
            models.Index(fields=["endpoint", "-start_time"], name="call_endpoint"),
            models.Index(  # the last conversation of a phone that rings far more often than it is answered
                fields=["endpoint", "-start_time"],
                name="call_endpoint_answered",
                condition=models.Q(answer_time__isnull=False, end_time__isnull=False, endpoint__isnull=False),
            ),
            models.Index(fields=["account", "-start_time", "-sid"], name="call_account"),
        ]

    def __str__(self) -> str:
        return harmless(f"{self.from_user or self.from_address} → {self.to_user or self.to_address}")

    @property
    def ring_seconds(self) -> float | None:
        """Return how long the leg was set up and rang: until the answer, or until the end when there was none."""
        return _seconds(self.start_time, self.answer_time or self.end_time)

    @property
    def talk_seconds(self) -> float | None:
        """Return the seconds between answer and end; None for a leg that was not answered or has not ended."""
        return _seconds(self.answer_time, self.end_time)

    @property
    def admin_path(self) -> str:
        """Return the path of this call's page in the admin."""
        return reverse("admin:calls_call_change", args=[self.pk])


class CallEvent(models.Model):
    """One line of a call's timeline."""

    call = models.ForeignKey(Call, models.CASCADE, db_constraint=False, db_index=False, related_name="events")
    number = models.PositiveIntegerField()
    time = models.DateTimeField()
    name = models.CharField(max_length=64)
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["call", "number"]
        constraints = [models.UniqueConstraint(fields=["call", "number"], name="call_event_number")]

    def __str__(self) -> str:
        return f"{self.call_id} {self.number} {self.name}"


class Recording(models.Model):
    """A recording: raw parts on the engine's disk that the worker makes into one WAV file."""

    class Status(models.TextChoices):
        IN_PROGRESS = "in-progress", "in progress"
        PAUSED = "paused", "paused"
        PROCESSING = "processing", "processing"
        COMPLETED = "completed", "completed"
        ABSENT = "absent", "absent"
        FAILED = "failed", "failed"

    sid = models.CharField("SID", max_length=SID_LENGTH, primary_key=True)
    account = models.ForeignKey(
        "routing.Account", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="recordings"
    )
    call = models.ForeignKey(
        Call,
        models.PROTECT,  # the row knows where the file is; it goes first
        db_constraint=False,
        db_index=False,
        related_name="recordings",
    )
    source = models.CharField(max_length=32)
    channels = models.PositiveSmallIntegerField(default=1)
    track = models.CharField(max_length=16, blank=True)
    start_time = models.DateTimeField("started")
    status = models.CharField(max_length=16, choices=Status.choices)
    duration = models.FloatField(null=True, blank=True, help_text="Seconds.")
    files = models.JSONField(default=list, blank=True, help_text="Raw parts on the engine's disk, parent first.")
    file = models.CharField(max_length=255, blank=True, help_text="The finished WAV, relative to RECORDINGS_DIR.")
    size = models.BigIntegerField(null=True, blank=True, help_text="Bytes.")
    sha256 = models.CharField("SHA-256", max_length=64, blank=True)
    error = models.CharField(max_length=1000, blank=True)
    retryable = models.BooleanField(default=False, help_text="It failed for a reason that may pass, as a full disk.")
    trim = models.BooleanField(default=False, help_text="Silence is cut off both ends.")
    callback = models.JSONField(null=True, blank=True, help_text="Who is told of it: URL, method, events.")
    conference_sid = models.CharField("conference SID", max_length=SID_LENGTH, blank=True)
    updated = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-start_time"]
        indexes = [
            models.Index(fields=["-start_time"], name="recording_newest"),
            models.Index(fields=["call"], name="recording_call"),
            models.Index(fields=["status", "updated"], name="recording_status"),
            models.Index(fields=["account", "-start_time", "-sid"], name="recording_account"),
        ]
        permissions = [("listen_recording", "Can listen to and download recordings")]

    def __str__(self) -> str:
        return self.sid

    @property
    def url(self) -> str:
        """Return the path under which the finished file is served."""
        return reverse("recording", args=[self.pk])


class Notification(models.Model):
    """Something that went wrong, or was doubtful, in a form that the operator can act on."""

    class Level(models.TextChoices):
        ERROR = "error", "error"
        WARNING = "warning", "warning"

    sid = models.CharField("SID", max_length=SID_LENGTH, primary_key=True)
    account = models.ForeignKey(
        "routing.Account",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="notifications",
    )
    call = models.ForeignKey(
        Call,
        models.CASCADE,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="notifications",
    )
    time = models.DateTimeField()
    code = models.PositiveIntegerField()
    level = models.CharField(max_length=16, choices=Level.choices)
    message = models.CharField(max_length=2000, blank=True)
    url = models.CharField("URL", max_length=URL_LENGTH, blank=True)
    method = models.CharField(max_length=8, blank=True)
    response_status = models.PositiveSmallIntegerField(default=0)
    response_body = models.CharField(max_length=4096, blank=True)

    class Meta:
        ordering = ["-time"]
        indexes = [
            models.Index(fields=["-time"], name="notification_newest"),
            models.Index(fields=["call"], name="notification_call"),
            models.Index(fields=["code", "-time"], name="notification_code"),
            models.Index(fields=["account", "-time", "-sid"], name="notification_account"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.message}"


class CallRequest(models.Model):
    """What to do with a queued outbound call: whom to ring and which TwiML to run when it is answered."""

    call = models.OneToOneField(Call, models.CASCADE, primary_key=True, related_name="request")
    to = models.CharField(
        max_length=2048, help_text="The SIP URI in full, with region and headers; or a number, or client:name."
    )
    caller_id = models.CharField(max_length=512, help_text="Goes into the From of the INVITE.")
    url = models.CharField("URL", max_length=URL_LENGTH, blank=True)
    method = models.CharField(max_length=8, choices=HTTP_METHODS, default="POST")
    fallback_url = models.CharField("fallback URL", max_length=URL_LENGTH, blank=True)
    fallback_method = models.CharField(max_length=8, choices=HTTP_METHODS, default="POST")
    twiml = models.TextField("TwiML", blank=True)
    timeout = models.PositiveSmallIntegerField(default=60, help_text="Seconds to let it ring.")
    username = models.CharField(max_length=255, blank=True)
    password = SecretField(blank=True)
    callback = models.JSONField(null=True, blank=True, help_text="Who is told of its progress: URL, method, events.")
    send_digits = models.CharField(max_length=32, blank=True, help_text="DTMF to send when it is answered.")
    time_limit = models.PositiveIntegerField(null=True, blank=True, help_text="Seconds after which it is ended.")
    recording = models.JSONField(
        null=True, blank=True, help_text="How it is recorded: channels, track, trim, callback."
    )
    machine_detection = models.BooleanField(default=False)
    amd_callback = models.JSONField(null=True, blank=True, help_text="Who is told of what machine detection found.")
    call_reason = models.CharField(max_length=50, blank=True, help_text="Goes into the Subject of the INVITE.")
    conference = models.ForeignKey(
        Conference,
        models.CASCADE,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="requests",
        help_text="The conference that it is placed into: the engine that has it takes the call.",
    )
    created = models.DateTimeField(default=timezone.now)
    claimed_by = models.CharField(max_length=255, blank=True, help_text="The engine that has taken the call.")
    claimed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["created"], name="call_request_waiting", condition=models.Q(claimed_by="")),
        ]

    def __str__(self) -> str:
        return f"{self.call_id} to {self.to}"


class CallPace(models.Model):
    """When an account may place its next queued call: how calls per second are kept, by all engines together."""

    account = models.OneToOneField(
        "routing.Account", models.CASCADE, primary_key=True, db_constraint=False, related_name="call_pace"
    )
    next_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.account_id} from {self.next_at:%H:%M:%S.%f}"


class WebhookDelivery(models.Model):
    """One attempt to tell a web application something (a callback); a further attempt is a further row.

    The attempts of one message have the same `message`: the SID of its first.
    """

    class State(models.TextChoices):
        PENDING = "pending", "pending"
        DELIVERED = "delivered", "delivered"
        FAILED = "failed", "failed"

    sid = models.CharField("SID", max_length=SID_LENGTH, primary_key=True)
    message = models.CharField(max_length=SID_LENGTH, help_text="The SID of the first attempt.")
    account = models.ForeignKey(
        "routing.Account", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="deliveries"
    )
    call = models.ForeignKey(
        Call,
        models.CASCADE,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="deliveries",
    )
    topic = models.CharField(max_length=16, help_text="status, recording, conference or amd.")
    event = models.CharField(max_length=32)
    url = models.CharField("URL", max_length=URL_LENGTH)
    method = models.CharField(max_length=8, choices=HTTP_METHODS)
    parameters = models.JSONField(default=list, help_text="Pairs of name and value.")
    time = models.DateTimeField(help_text="When the attempt was decided on.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    attempt = models.PositiveSmallIntegerField(default=1)
    sender = models.CharField(max_length=255, blank=True, help_text="The engine that makes it; blank: the worker.")
    sent_at = models.DateTimeField(null=True, blank=True)
    milliseconds = models.PositiveIntegerField(null=True, blank=True, help_text="From request to answer or failure.")
    response_status = models.PositiveSmallIntegerField("HTTP status", default=0)
    response_type = models.CharField("content type", max_length=255, blank=True)
    response_body = models.CharField(max_length=4096, blank=True)
    error_code = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=1000, blank=True)
    due = models.DateTimeField(null=True, blank=True, help_text="When the worker makes this attempt.")
    lease = models.DateTimeField(null=True, blank=True, help_text="Until when a worker has it in hand.")
    tries = models.PositiveSmallIntegerField(default=0, help_text="How often a worker took it in hand.")

    class Meta:
        ordering = ["-time"]
        verbose_name_plural = "webhook deliveries"
        indexes = [
            models.Index(fields=["-time"], name="delivery_newest"),
            models.Index(fields=["call"], name="delivery_call"),
            models.Index(fields=["message"], name="delivery_message"),
            models.Index(fields=["error_code", "-time"], name="delivery_code", condition=~models.Q(error_code=0)),
            models.Index(fields=["due"], name="delivery_due", condition=models.Q(state="pending")),
            models.Index(fields=["-time"], name="delivery_failed", condition=models.Q(state="failed")),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.event} to {without_secrets(self.url)}"


class Command(models.Model):
    """A change to a call in progress that somebody asked for; the engine that owns the call carries it out."""

    class Status(models.TextChoices):
        COMPLETED = "completed", "completed"
        CANCELED = "canceled", "canceled"

    class Action(models.TextChoices):
        RECORD = "record", "record"
        PAUSE = "pause", "pause the recording"
        RESUME = "resume", "resume the recording"
        STOP = "stop", "stop the recording"
        CONFERENCE = "conference", "change the conference"
        PARTICIPANT = "participant", "change the participant"
        KICK = "kick", "take the participant out"
        DEQUEUE = "dequeue", "take the call out of the queue"

    call = models.ForeignKey(Call, models.CASCADE, db_constraint=False, db_index=False, related_name="commands")
    action = models.CharField(max_length=16, choices=Action.choices, blank=True, help_text="Blank: end, or redirect.")
    options = models.JSONField(default=dict, blank=True, help_text="Which recording or room, and how.")
    status = models.CharField(max_length=16, choices=Status.choices, blank=True, help_text="How to end it.")
    url = models.CharField("URL", max_length=URL_LENGTH, blank=True, help_text="TwiML to go on with.")
    method = models.CharField(max_length=8, choices=HTTP_METHODS, default="POST")
    twiml = models.TextField("TwiML", blank=True, help_text="TwiML to go on with.")
    fallback_url = models.CharField("fallback URL", max_length=URL_LENGTH, blank=True)
    fallback_method = models.CharField(max_length=8, choices=HTTP_METHODS, default="POST")
    requested_by = models.CharField(max_length=255, blank=True)
    created = models.DateTimeField(default=timezone.now)
    claimed_by = models.CharField(max_length=255, blank=True, help_text="The engine that has taken it.")
    claimed_at = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    ok = models.BooleanField(null=True, blank=True)
    outcome = models.CharField(max_length=1000, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["call"], name="command_call"),
            models.Index(fields=["created"], name="command_open", condition=models.Q(done_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.call_id} {self.action or self.status or without_secrets(self.url) or 'TwiML'}"

"""Tables of what engines tell besides the calls themselves: SIP messages, quality of media, the engines, SIP checks.

Messages are tied to legs by their SIP Call-ID and the rest without database constraints, as in `calls.models`.
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class SipMessage(models.Model):
    """One SIP message of a leg as it was on the wire, but for passwords, keys and digits, which are masked."""

    sip_call_id = models.CharField("SIP Call-ID", max_length=255)
    time = models.DateTimeField(help_text="To the microsecond.")
    sent = models.BooleanField(help_text="By the engine; else received.")
    engine = models.CharField(max_length=255)
    transport = models.CharField(max_length=8, help_text="udp, tcp or tls.")
    local = models.CharField("our address", max_length=64)
    peer = models.CharField("far end's address", max_length=64)
    start_line = models.CharField(max_length=512, help_text="INVITE sip:… SIP/2.0, or SIP/2.0 486 Busy Here.")
    method = models.CharField(max_length=32, help_text="Of the request; of a response, that of its CSeq.")
    code = models.PositiveSmallIntegerField("SIP code", default=0, help_text="Of a response; 0 for a request.")
    cseq = models.BigIntegerField("CSeq", default=0)
    size = models.PositiveIntegerField(help_text="Bytes on the wire; the text may be cut.")
    text = models.TextField(help_text="Start line, headers and body, with secrets masked.")

    class Meta:
        verbose_name = "SIP message"
        ordering = ["time", "id"]
        constraints = [
            # Finds the messages of a leg, and lets the writer write twice what it may have written before a crash.
            models.UniqueConstraint(fields=["sip_call_id", "time", "sent", "engine"], name="sip_message_once"),
        ]

    def __str__(self) -> str:
        return self.start_line


class LegQuality(models.Model):
    """How the media of a leg went, from its RTP and RTCP; null is what is not known, as without RTCP of the far end.

    "In" is what came from the far end, "out" what we sent as its RTCP tells. Losses are of RTP sequence numbers.
    """

    call = models.OneToOneField(
        "calls.Call", models.CASCADE, primary_key=True, db_constraint=False, related_name="quality"
    )
    updated = models.DateTimeField()
    final = models.BooleanField(default=False, help_text="The leg has ended; else it is a sample of a live leg.")
    codec = models.CharField(max_length=32, blank=True)
    packets_in = models.PositiveIntegerField(null=True, blank=True)
    packets_out = models.PositiveIntegerField(null=True, blank=True)
    lost_in = models.PositiveIntegerField(null=True, blank=True, help_text="Packets that did not come in.")
    lost_out = models.PositiveIntegerField(null=True, blank=True, help_text="Packets that the far end missed.")
    jitter_in_ms = models.FloatField(null=True, blank=True, help_text="Mean of RFC 3550's interarrival jitter.")
    jitter_in_max_ms = models.FloatField(null=True, blank=True)
    jitter_out_ms = models.FloatField(null=True, blank=True, help_text="As the far end's RTCP tells.")
    round_trip_ms = models.FloatField(null=True, blank=True, help_text="Mean, from RTCP.")
    mos_in = models.FloatField("MOS in", null=True, blank=True, help_text="What we heard: 1 bad to 4.5 excellent.")
    mos_out = models.FloatField("MOS out", null=True, blank=True, help_text="What the far end heard.")

    class Meta:
        verbose_name_plural = "leg qualities"

    def __str__(self) -> str:
        return f"{self.call_id} {self.codec}"


class Engine(models.Model):
    """An engine as it told of itself last; `calls.engines` says whether it is still there."""

    class State(models.TextChoices):
        STARTING = "starting", "starting"
        RUNNING = "running", "running"
        DRAINING = "draining", "draining"
        STOPPED = "stopped", "stopped"

    name = models.CharField(max_length=255, primary_key=True)
    version = models.CharField(max_length=32)
    library = models.CharField("SIP library", max_length=64, blank=True)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField("process")
    address = models.CharField("SIP address", max_length=128, blank=True, help_text="What it is bound to.")
    regions = models.JSONField(default=list, help_text="Codes of the regions that it places calls from.")
    started = models.DateTimeField()
    seen = models.DateTimeField()
    state = models.CharField(max_length=16, choices=State.choices)
    max_legs = models.PositiveIntegerField()
    legs = models.PositiveIntegerField(default=0, help_text="In its tables now.")
    calls = models.PositiveIntegerField(default=0, help_text="In progress now, each with all its legs.")
    peak_legs = models.PositiveIntegerField(default=0, help_text="Since it started.")
    peak_calls = models.PositiveIntegerField(default=0, help_text="Since it started.")
    refused = models.PositiveIntegerField(default=0, help_text="Calls refused since it started because it was full.")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class EndpointCheck(models.Model):
    """A SIP OPTIONS that somebody wants sent, and what came back."""

    uri = models.CharField("SIP URI", max_length=2048, help_text="With transport and region.")
    endpoint = models.ForeignKey(
        "routing.Endpoint", models.CASCADE, null=True, blank=True, db_constraint=False, related_name="checks"
    )
    trunk = models.ForeignKey(
        "routing.Trunk", models.CASCADE, null=True, blank=True, db_constraint=False, related_name="checks"
    )
    region = models.CharField(max_length=32, blank=True, help_text="Blank: the default one.")
    requested_by = models.CharField(max_length=255, blank=True)
    created = models.DateTimeField(default=timezone.now)
    claimed_by = models.CharField(max_length=255, blank=True, help_text="The engine that has taken it.")
    claimed_at = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    code = models.PositiveSmallIntegerField("SIP code", default=0, help_text="0: there was no answer.")
    reason = models.CharField(max_length=255, blank=True, help_text="The reason phrase of the answer.")
    server = models.CharField(max_length=255, blank=True, help_text="What the far end says it is.")
    milliseconds = models.FloatField(null=True, blank=True, help_text="From request to answer.")
    error = models.CharField(max_length=1000, blank=True, help_text="Why there was no answer.")

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["created"], name="endpoint_check_open", condition=models.Q(claimed_by="", done_at=None)
            ),
        ]

    def __str__(self) -> str:
        return f"OPTIONS {self.uri}"

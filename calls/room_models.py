"""Conferences and queues as tables: what the engine tells of them, and what the API asks of them.

Models of `calls.models`, which imports them. A conference and its participants stay when they are over; a queue stays
until it is deleted, its members only while they wait.
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone

SID_LENGTH = 34
NAME_LENGTH = 128
QUEUE_NAME_LENGTH = 128  # as a document may name it; the API gives half of it
MAX_QUEUE_SIZE = 5000


class Conference(models.Model):
    """One conference, from its first participant, or from when the API asked for one, to its end."""

    class Status(models.TextChoices):
        INIT = "init", "not begun"
        IN_PROGRESS = "in-progress", "in progress"
        COMPLETED = "completed", "completed"

    sid = models.CharField("SID", max_length=SID_LENGTH, primary_key=True)
    account = models.ForeignKey(
        "routing.Account", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="conferences"
    )
    friendly_name = models.CharField("name", max_length=NAME_LENGTH)
    status = models.CharField(max_length=16, choices=Status.choices)
    region = models.CharField(max_length=32, blank=True)
    engine = models.CharField(max_length=255, blank=True, help_text="The engine that it is in; blank: none yet.")
    reason_ended = models.CharField(max_length=64, blank=True, help_text="Why it ended, in Twilio's words.")
    ended_by = models.CharField(max_length=SID_LENGTH, blank=True, help_text="The call that ended it.")
    created = models.DateTimeField(default=timezone.now)
    updated = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created"]
        indexes = [
            models.Index(fields=["-created", "-sid"], name="conference_newest"),
            models.Index(fields=["account", "-created", "-sid"], name="conference_account"),
            models.Index(fields=["account", "friendly_name", "-created"], name="conference_name"),
            models.Index(
                fields=["account", "-created"], name="conference_open", condition=~models.Q(status="completed")
            ),
        ]

    def __str__(self) -> str:
        return self.friendly_name

    @property
    def over(self) -> bool:
        """Say whether it has ended."""
        return self.status == self.Status.COMPLETED


class Participant(models.Model):
    """A call in a conference, or on its way into one; its SID is derived from both."""

    sid = models.CharField("SID", max_length=SID_LENGTH, primary_key=True)
    conference = models.ForeignKey(
        Conference, models.CASCADE, db_constraint=False, db_index=False, related_name="participants"
    )
    call = models.ForeignKey(
        "calls.Call", models.CASCADE, db_constraint=False, db_index=False, related_name="participations"
    )
    account = models.ForeignKey(
        "routing.Account", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="participants"
    )
    label = models.CharField(max_length=NAME_LENGTH, blank=True)
    muted = models.BooleanField(default=False)
    hold = models.BooleanField("on hold", default=False)
    coaching = models.BooleanField(default=False)
    call_sid_to_coach = models.CharField("coaches", max_length=SID_LENGTH, blank=True)
    start_on_enter = models.BooleanField("starts the conference", default=True)
    end_on_exit = models.BooleanField("ends the conference", default=False)
    created = models.DateTimeField(default=timezone.now, help_text="When it came in, or was asked for.")
    updated = models.DateTimeField(default=timezone.now)
    joined = models.DateTimeField(null=True, blank=True, help_text="When it came in; blank: not yet.")
    left = models.DateTimeField(null=True, blank=True, help_text="When it went out; blank: not yet.")

    class Meta:
        ordering = ["-created"]
        indexes = [
            models.Index(fields=["conference", "-created", "-sid"], name="participant_conference"),
            models.Index(fields=["call"], name="participant_call"),
        ]

    def __str__(self) -> str:
        return self.label or self.call_id


class Queue(models.Model):
    """A queue of an account: named by a call, or made through the API."""

    sid = models.CharField("SID", max_length=SID_LENGTH, primary_key=True)
    account = models.ForeignKey(
        "routing.Account", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="queues"
    )
    friendly_name = models.CharField("name", max_length=QUEUE_NAME_LENGTH)
    max_size = models.PositiveSmallIntegerField(
        default=1000, help_text=f"Calls that may wait; at most {MAX_QUEUE_SIZE}."
    )
    created = models.DateTimeField(default=timezone.now)
    updated = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created"]
        indexes = [
            models.Index(fields=["account", "-created", "-sid"], name="queue_account"),
            models.Index(fields=["-updated"], name="queue_changed"),
        ]
        constraints = [models.UniqueConstraint(fields=["account", "friendly_name"], name="queue_name")]

    def __str__(self) -> str:
        return self.friendly_name


class QueueMember(models.Model):
    """A call that waits in a queue."""

    call = models.OneToOneField(
        "calls.Call", models.CASCADE, primary_key=True, db_constraint=False, related_name="queue_member"
    )
    queue = models.ForeignKey(Queue, models.CASCADE, db_constraint=False, db_index=False, related_name="members")
    account = models.ForeignKey(
        "routing.Account", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="queue_members"
    )
    engine = models.CharField(max_length=255, blank=True, help_text="The engine that it waits in.")
    enqueued = models.DateTimeField("waiting since")

    class Meta:
        ordering = ["enqueued", "call"]
        indexes = [models.Index(fields=["queue", "enqueued"], name="queue_member_order")]

    def __str__(self) -> str:
        return self.call_id

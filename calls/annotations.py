"""What operators write beside the log: notes and tags on calls, and lists that they keep (saved views).

Models of `calls.models`, which imports them. The ledger never writes here, so a call that is written again keeps all.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

SID_LENGTH = 34
NAME_LENGTH = 150  # of a user, as in django.contrib.auth
NOTE_LENGTH = 2000
TAG_LENGTH = 40
TAGS_OF_A_CALL = 20
NOTES_OF_A_CALL = 200
QUERY_LENGTH = 2000


class CallNote(models.Model):
    """What somebody wrote about a call."""

    call = models.ForeignKey(
        "calls.Call", models.CASCADE, db_constraint=False, db_index=False, related_name="operator_notes"
    )
    text = models.CharField(max_length=NOTE_LENGTH)
    author = models.CharField(max_length=NAME_LENGTH, help_text="The user's name, kept when the user is gone.")
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["created", "pk"]
        verbose_name = "note on a call"
        verbose_name_plural = "notes on calls"
        indexes = [models.Index(fields=["call", "created"], name="call_note_call")]

    def __str__(self) -> str:
        return self.text


class Tag(models.Model):
    """A word that an account's calls are sorted by."""

    account = models.ForeignKey(
        "routing.Account", models.CASCADE, db_constraint=False, db_index=False, related_name="call_tags"
    )
    name = models.CharField(max_length=TAG_LENGTH)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="tag_of_account")]

    def __str__(self) -> str:
        return self.name


class CallTag(models.Model):
    """A tag on a call: who put it there, and when."""

    call = models.ForeignKey("calls.Call", models.CASCADE, db_constraint=False, db_index=False, related_name="tags")
    tag = models.ForeignKey(Tag, models.CASCADE, db_index=False, related_name="calls")
    added_by = models.CharField(max_length=NAME_LENGTH)
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["tag__name"]
        verbose_name = "tag on a call"
        verbose_name_plural = "tags on calls"
        constraints = [models.UniqueConstraint(fields=["call", "tag"], name="call_tag_once")]
        indexes = [models.Index(fields=["tag", "call"], name="call_tag_calls")]

    def __str__(self) -> str:
        return str(self.tag)


class SavedView(models.Model):
    """A list with its search and filters, kept under a name."""

    class Page(models.TextChoices):
        CALLS = "call", "calls"
        RECORDINGS = "recording", "recordings"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="saved_views")
    page = models.CharField(max_length=16, choices=Page.choices)
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=QUERY_LENGTH, blank=True, help_text="The list's query string.")
    shared = models.BooleanField(default=False, help_text="Every operator sees it.")
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["owner", "page", "name"], name="saved_view_name")]
        indexes = [models.Index(fields=["page", "shared"], name="saved_view_page")]

    def __str__(self) -> str:
        return self.name

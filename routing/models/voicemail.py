"""Voicemail boxes: what a caller hears, and who is told of what was said."""

from __future__ import annotations

import secrets
from pathlib import Path, PurePath
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.storage import FileSystemStorage
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator, validate_email
from django.db import models
from django.utils.deconstruct import deconstructible

from routing.models.access import url_field
from routing.models.base import Account

MOST_ADDRESSES = 20
GREETING_TYPES = {".wav": "audio/wav", ".mp3": "audio/mpeg"}
GREETING_BYTES = 10_000_000


@deconstructible
class GreetingStorage(FileSystemStorage):
    """Keeps uploaded greetings in DATA_DIR/greetings."""

    @property
    def base_location(self) -> str:
        return str(Path(settings.DATA_DIR) / "greetings")

    @property
    def location(self) -> str:
        return self.base_location


def greeting_name(box: models.Model, filename: str) -> str:
    """Return a name that nobody can guess: whoever knows it may hear the greeting, as callers do."""
    return secrets.token_hex(16) + PurePath(filename).suffix.lower()


def validate_greeting(file: Any) -> None:
    """Refuse a greeting that cannot be one."""
    name, size = PurePath(getattr(file, "name", "") or ""), getattr(file, "size", 0)
    if name.suffix.lower() not in GREETING_TYPES:
        raise ValidationError("Upload a WAV or MP3 file: its name ends with .wav or .mp3.")
    if size > GREETING_BYTES:
        raise ValidationError(f"The file has {size / 1e6:.1f} MB; at most {GREETING_BYTES // 1_000_000} MB.")
    if getattr(file, "_committed", True):  # kept already
        return
    import soundfile  # takes a while to load, and only uploads need it

    try:
        with file.open("rb") as opened:
            soundfile.info(opened)
    except soundfile.LibsndfileError as error:
        raise ValidationError(f"This cannot be played: {error.error_string.strip()} Export it again as WAV.") from None


def normal_addresses(text: str) -> str:
    """Return the e-mail addresses, one on each line; raise for one that is none."""
    found = list(dict.fromkeys(text.replace(",", " ").replace(";", " ").split()))
    if len(found) > MOST_ADDRESSES:
        raise ValidationError(f"{len(found)} addresses, but at most {MOST_ADDRESSES}: use a mailing list.")
    for address in found:
        try:
            validate_email(address)
        except ValidationError:
            raise ValidationError(f"{address[:100]} is no e-mail address.") from None
    return "\n".join(found)


class Voicemail(models.Model):
    """A box that callers leave messages in."""

    class Greeting(models.TextChoices):
        SAY = "say", "Say a text"
        FILE = "file", "Play an uploaded file"
        URL = "url", "Play from a URL"
        NONE = "none", "Only the beep"

    class Attach(models.TextChoices):
        MP3 = "mp3", "The message as MP3"
        WAV = "wav", "The message as WAV"
        LINK = "link", "Only a link to it"

    account = models.ForeignKey(Account, models.PROTECT, related_name="voicemails")
    name = models.CharField(max_length=64, help_text="Whose box, such as Support.")
    greeting = models.CharField(max_length=4, choices=Greeting.choices, default=Greeting.SAY)
    greeting_text = models.TextField(
        "text",
        max_length=4096,
        blank=True,
        default="Nobody can take your call now. Please leave a message after the tone.",
    )
    language = models.CharField(
        max_length=16,
        blank=True,
        validators=[RegexValidator(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z", "Write a language such as de-DE.")],
        help_text="Of the text, such as de-DE. Empty: SAY_VOICE of the settings.",
    )
    greeting_file = models.FileField(
        "file",
        upload_to=greeting_name,
        storage=GreetingStorage(),
        max_length=255,
        blank=True,
        validators=[validate_greeting],
        help_text="WAV or MP3, at most 10 MB.",
    )
    greeting_url = url_field("URL", "A WAV or MP3 file.")
    max_length = models.PositiveIntegerField(
        "longest message",
        default=180,
        validators=[MinValueValidator(5), MaxValueValidator(3600)],
        help_text="Seconds, 5 to 3600. A message ends too with five seconds of silence, or the # key.",
    )
    emails = models.TextField(
        "e-mail addresses",
        blank=True,
        max_length=4096,
        help_text="Who is told of each message: one address on each line, at most 20. Empty: nobody.",
    )
    attach = models.CharField("what is sent", max_length=4, choices=Attach.choices, default=Attach.MP3)

    class Meta:
        ordering = ("name", "id")
        verbose_name = "voicemail box"
        verbose_name_plural = "voicemail boxes"

    def __str__(self) -> str:
        return self.name

    @property
    def addresses(self) -> list[str]:
        """Return who is told."""
        return self.emails.split()

    def clean(self) -> None:
        """Refuse a greeting without what it needs, and addresses that are none."""
        needed = {"say": "greeting_text", "file": "greeting_file", "url": "greeting_url"}.get(self.greeting)
        if needed and not getattr(self, needed):
            raise ValidationError({needed: "Fill this in, or choose another greeting."})
        try:
            self.emails = normal_addresses(self.emails)
        except ValidationError as error:
            raise ValidationError({"emails": error}) from error

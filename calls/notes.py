"""Notes and tags that operators put on calls."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError
from django.db import transaction

from calls.annotations import NOTE_LENGTH, NOTES_OF_A_CALL, TAG_LENGTH, TAGS_OF_A_CALL
from calls.harmless import harmless
from calls.models import Call, CallNote, CallTag, Tag

SUGGESTED = 200  # tags
_SPACES = re.compile(r"\s+")


def add_note(call: Call, text: str, by: str) -> CallNote:
    """Write a note on a call; raise `ValidationError` that says what is wrong with it."""
    text = harmless(text).strip()
    if not text:
        raise ValidationError("Note: write something, there is nothing to keep.")
    if len(text) > NOTE_LENGTH:
        raise ValidationError(f"Note: at most {NOTE_LENGTH} characters; this one has {len(text)}.")
    if CallNote.objects.filter(call=call).count() >= NOTES_OF_A_CALL:
        raise ValidationError(f"Note: a call can have {NOTES_OF_A_CALL} notes; delete one first.")
    return CallNote.objects.create(call=call, text=text, author=by[:150])


def add_tags(call: Call, text: str, by: str) -> list[str]:
    """Put tags on a call, several with commas between them; return those that it did not have yet.

    Tags are kept in small letters, so that VIP and vip are one. Raise `ValidationError`.
    """
    names = list(dict.fromkeys(filter(None, (_name(part) for part in text.split(",")))))
    if not names:
        raise ValidationError("Tag: write a word, or several with commas between them.")
    if long := next((name for name in names if len(name) > TAG_LENGTH), None):
        raise ValidationError(f"Tag: at most {TAG_LENGTH} characters; “{long[:TAG_LENGTH]}…” has {len(long)}.")
    with transaction.atomic():
        had = set(CallTag.objects.filter(call=call).values_list("tag__name", flat=True))
        new = [name for name in names if name not in had]
        if len(had) + len(new) > TAGS_OF_A_CALL:
            raise ValidationError(f"Tag: a call can have {TAGS_OF_A_CALL} tags; remove one first.")
        for name in new:
            tag, _ = Tag.objects.select_for_update().get_or_create(account_id=call.account_id, name=name)
            CallTag.objects.get_or_create(call=call, tag=tag, defaults={"added_by": by[:150]})
    return new


def remove_tag(call: Call, number: int) -> str:
    """Take a tag off a call and return its name, "" if it was not there; one that no call has any more is forgotten."""
    with transaction.atomic():
        tag = Tag.objects.select_for_update().filter(calls__call=call, calls__pk=number).first()
        if tag is None:
            return ""
        CallTag.objects.filter(call=call, pk=number).delete()
        if not tag.calls.exists():
            tag.delete()
    return tag.name


def suggestions(account_sid: str) -> list[str]:
    """Return the tags that calls of the account have, for completing what is typed."""
    return list(Tag.objects.filter(account=account_sid).order_by("name").values_list("name", flat=True)[:SUGGESTED])


def _name(part: str) -> str:
    return harmless(_SPACES.sub(" ", part).strip().lower())

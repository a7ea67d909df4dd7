"""What becomes of a call when nobody answers: a choice with its target, kept in fields that share a prefix.

A model with such a choice has the fields `x` (of `EndingKind`), `x_group`, `x_endpoint`, `x_voicemail` and `x_text`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models

if TYPE_CHECKING:
    from routing.models.groups import RingGroup
    from routing.models.schedules import Schedule
    from routing.models.targets import Endpoint
    from routing.models.voicemail import Voicemail


class EndingKind(models.TextChoices):
    HANGUP = "hangup", "Hang up"
    GROUP = "group", "Ring another group"
    ENDPOINT = "endpoint", "Ring an endpoint"
    VOICEMAIL = "voicemail", "Take a message (voicemail)"
    SAY = "say", "Say something and hang up"


NEEDED = {  # what each kind must be told, as the suffix of the field
    EndingKind.GROUP: "group",
    EndingKind.ENDPOINT: "endpoint",
    EndingKind.VOICEMAIL: "voicemail",
    EndingKind.SAY: "text",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """One choice with its target; as text, what follows “If nobody answers:”."""

    kind: str
    group: RingGroup | None = None
    endpoint: Endpoint | None = None
    voicemail: Voicemail | None = None
    text: str = ""

    def __str__(self) -> str:
        match self.kind:
            case EndingKind.GROUP:
                return f"group {self.group}"
            case EndingKind.ENDPOINT:
                return f"endpoint {self.endpoint}"
            case EndingKind.VOICEMAIL:
                return f"voicemail box {self.voicemail}"
            case EndingKind.SAY:
                return f"say “{self.text}” and hang up"
            case _:
                return "hang up"


def ending_of(row: Any, prefix: str) -> Ending:
    """Return the choice that a row keeps in the fields of this prefix."""
    return Ending(
        kind=getattr(row, prefix),
        group=getattr(row, f"{prefix}_group"),
        endpoint=getattr(row, f"{prefix}_endpoint"),
        voicemail=getattr(row, f"{prefix}_voicemail"),
        text=getattr(row, f"{prefix}_text"),
    )


def check_ending(row: Any, prefix: str) -> None:
    """Refuse a choice without its target, and a target of another account than the row's."""
    needed = NEEDED.get(getattr(row, prefix))
    if needed and not getattr(row, f"{prefix}_{needed}"):
        label = row._meta.get_field(prefix).verbose_name
        text = f"Fill this in, or choose something else for “{label}”."
        raise ValidationError({f"{prefix}_{needed}": text})
    for name in ("group", "endpoint", "voicemail"):
        check_account(row.account_id, f"{prefix}_{name}", getattr(row, f"{prefix}_{name}"))


def check_account(account_sid: str, field: str, other: Endpoint | RingGroup | Schedule | Voicemail | None) -> None:
    """Refuse something of another account."""
    if other and other.account_id != account_sid:
        raise ValidationError({field: f"{other} belongs to another account: choose one of the same account."})

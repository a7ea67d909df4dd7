"""What becomes of a call when nobody answers: a choice with its target, kept in fields that share a prefix.

A model with such a choice has the fields `x` (of `EndingKind`), `x_group`, `x_endpoint` and `x_text`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models

if TYPE_CHECKING:
    from routing.models.targets import Endpoint, RingGroup


class EndingKind(models.TextChoices):
    HANGUP = "hangup", "Hang up"
    GROUP = "group", "Ring another group"
    ENDPOINT = "endpoint", "Ring an endpoint"
    SAY = "say", "Say something and hang up"


NEEDED = {  # what each kind must be told, as the suffix of the field
    EndingKind.GROUP: "group",
    EndingKind.ENDPOINT: "endpoint",
    EndingKind.SAY: "text",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """One choice with its target; as text, what follows “If nobody answers:”."""

    kind: str
    group: RingGroup | None = None
    endpoint: Endpoint | None = None
    text: str = ""

    def __str__(self) -> str:
        match self.kind:
            case EndingKind.GROUP:
                return f"group {self.group}"
            case EndingKind.ENDPOINT:
                return f"endpoint {self.endpoint}"
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
        text=getattr(row, f"{prefix}_text"),
    )


def check_ending(row: Any, prefix: str) -> None:
    """Refuse a choice without its target, and a target of another account than the row's."""
    needed = NEEDED.get(getattr(row, prefix))
    if needed and not getattr(row, f"{prefix}_{needed}"):
        label = row._meta.get_field(prefix).verbose_name
        text = f"Fill this in, or choose something else for “{label}”."
        raise ValidationError({f"{prefix}_{needed}": text})
    for name in ("group", "endpoint"):
        check_account(row.account_id, f"{prefix}_{name}", getattr(row, f"{prefix}_{name}"))


def check_account(account_sid: str, field: str, other: Endpoint | RingGroup | None) -> None:
    """Refuse something of another account."""
    if other and other.account_id != account_sid:
        raise ValidationError({field: f"{other} belongs to another account: choose one of the same account."})

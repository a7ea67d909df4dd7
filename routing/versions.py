"""Versions of an object, told from its history, and how an older one is restored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from routing import history
from routing.acting import noting, one_batch
from routing.fields import SecretField
from routing.models import ApiKey, Change, RingGroup
from routing.models.groups import check_members

FOR_GOOD = frozenset({"revoked"})  # what no older version takes back
_NAME = "__name__"
Key = tuple[str, str]  # label of a model, and the id of a row
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One difference, for people; `of` is the part it is a difference of, "" for the object itself."""

    of: str
    label: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What one request did to one object."""

    last: Change
    action: str
    lines: tuple[Line, ...]

    @property
    def restorable(self) -> bool:
        """Say whether there is an object after this entry."""
        return self.action != Change.Action.DELETED


@dataclass(slots=True)
class Outcome:
    """What restoring did, or would do: `remarks` tell what is not as it was, `errors` why nothing is restored."""

    lines: list[Line] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class _Undo(Exception):
    """Ends a transaction of which nothing shall stay."""


def newest(model: type[models.Model], pk: Any) -> int:
    """Return the number of the last change to an object or its parts that a form could have shown; 0 if none."""
    own = Change.objects.filter(root_model=history.label_of(model), root_id=str(pk))
    return own.order_by("-id").values_list("id", flat=True).first() or 0


def since(model: type[models.Model], pk: Any, number: int) -> list[Entry]:
    """Return what was done to an object after the change of this number, newest first."""
    return entries(Change.objects.filter(root_model=history.label_of(model), root_id=str(pk), id__gt=number))


def entries(changes: Iterable[Change]) -> list[Entry]:
    """Group changes by request and object, newest first."""
    groups: dict[tuple[str, str, str], list[Change]] = {}
    for change in sorted(changes, key=lambda one: -one.pk):
        batch = change.batch or str(change.pk)
        groups.setdefault((batch, change.root_model, change.root_id), []).append(change)
    return [_entry(list(reversed(group))) for group in groups.values()]


def _entry(changes: Sequence[Change]) -> Entry:
    whole = [one for one in changes if (one.model, one.object_id) == (one.root_model, one.root_id)]
    last = whole[-1] if whole else changes[-1]
    actions = {one.action for one in whole}
    action = next((one for one in ("deleted", "created", "present") if one in actions), "changed")
    return Entry(changes[-1] if not whole else _latest(changes, last), action, tuple(_lines(changes)))


def _latest(changes: Sequence[Change], whole: Change) -> Change:
    """Return the change of the whole, numbered as the last of the entry."""
    whole.latest_id = changes[-1].pk  # type: ignore[attr-defined]
    return whole


def number_of(entry: Entry) -> int:
    """Return the number of the last change of an entry."""
    return int(getattr(entry.last, "latest_id", entry.last.pk))


def _lines(changes: Sequence[Change]) -> Iterable[Line]:
    for change in changes:
        own = (change.model, change.object_id) == (change.root_model, change.root_id)
        model = history.model_of(change.model)
        kind = str(model._meta.verbose_name) if model else change.model.partition(".")[2]
        of = "" if own else f"{kind} {change.name}"
        if not own and change.action in ("created", "deleted"):
            word = "added" if change.action == "created" else "removed"
            yield Line("", kind, *(("", change.name) if word == "added" else (change.name, "")))
            continue
        for one in change.differences:
            yield Line(of, one["label"], one["old"], one["new"])


def state_at(label: str, pk: str, number: int) -> dict[Key, Values]:
    """Return the rows of an object as they were right after the change of this number."""
    rows: dict[Key, Values] = {}
    changes = Change.objects.filter(root_model=label, root_id=pk, id__lte=number).order_by("id")
    for change in changes:
        key = (change.model, change.object_id)
        if change.action == Change.Action.DELETED:
            rows.pop(key, None)
        else:
            rows.setdefault(key, {}).update(change.values)
            rows[key][_NAME] = change.name
    return rows


def preview(label: str, pk: str, number: int) -> Outcome:
    """Return what restoring would do, and do nothing."""
    outcome = Outcome()
    try:
        with transaction.atomic():
            outcome = _restore(label, pk, number)
            raise _Undo
    except _Undo:
        return outcome


def restore(label: str, pk: str, number: int, note: str) -> Outcome:
    """Bring an object and its parts back to how they were after the change of this number; all of it or nothing."""
    try:
        with noting(note), transaction.atomic():
            outcome = _restore(label, pk, number)
            if outcome.errors:
                raise _Undo
    except _Undo:
        pass
    return outcome


def _restore(label: str, pk: str, number: int) -> Outcome:
    outcome = Outcome()
    model = history.model_of(label)
    rows = state_at(label, pk, number)
    wanted = rows.pop((label, pk), None)
    if model is None or wanted is None:
        outcome.errors.append("There was no such object at that time.")
        return outcome
    with one_batch() as batch:
        try:
            with transaction.atomic():
                whole = _restored(model, pk, wanted, outcome)
                _restore_parts(whole, rows, outcome)
                if isinstance(whole, RingGroup):
                    check_members(whole.strategy, whole.members.filter(enabled=True).count())
        except ValidationError as error:
            outcome.errors += _sentences(error)
        done = Change.objects.filter(batch=batch, root_model=label, root_id=pk).order_by("id")
        outcome.lines = list(_lines(list(done)))
    return outcome


def _restored(model: type[models.Model], pk: str, wanted: Values, outcome: Outcome) -> Any:
    """Save a row as it was; raise `ValidationError`."""
    row: Any = model._base_manager.select_for_update().filter(pk=pk).first()
    if row is None:
        if model is ApiKey:
            raise ValidationError("A deleted key cannot come back: its secret is not kept. Make a new one.")
        row = model(pk=model._meta.pk.to_python(pk))
    for one in history.fields_of(model):
        if one.name in wanted and not one.primary_key and one.name not in FOR_GOOD:
            setattr(row, one.attname, _value(one, wanted[one.name]))
    new = row._state.adding
    row.full_clean()
    row.save()
    secrets = [
        str(one.verbose_name) for one in model._meta.concrete_fields if isinstance(one, SecretField) and one.editable
    ]
    if new and secrets:
        outcome.remarks.append(f"{row}: enter the {' and the '.join(secrets)} again.")
    for related in model._meta.many_to_many:
        if related.name in wanted:
            _relate(row, related, wanted[related.name], outcome)
    return row


def _value(one: Any, value: Any) -> Any:
    """Return the value to set; raise `ValidationError` if it names a row that is gone."""
    if one.is_relation and value is not None:
        if not one.related_model._base_manager.filter(pk=value).exists():
            raise ValidationError({one.name: f"{one.related_model._meta.verbose_name} {value} is gone."})
        return value
    return one.to_python(value)


def _relate(row: Any, related: Any, wanted: Sequence[Any], outcome: Outcome) -> None:
    there = list(related.related_model._base_manager.filter(pk__in=wanted).values_list("pk", flat=True))
    for gone in set(wanted) - set(there):
        outcome.remarks.append(f"{related.verbose_name}: {gone} is gone and is left out.")
    getattr(row, related.name).set(there)


def _restore_parts(whole: Any, rows: dict[Key, Values], outcome: Outcome) -> None:
    for model, name in history.parts_of(type(whole)):
        label = history.label_of(model)
        wanted = {pk: values for (of, pk), values in rows.items() if of == label}
        for row in model._base_manager.filter(**{name: whole.pk}):
            if str(row.pk) not in wanted:
                row.delete()
        for pk, values in wanted.items():
            try:
                with transaction.atomic():
                    _restored(model, pk, {**values, name: whole.pk}, outcome)
            except ValidationError as error:
                text = " ".join(_sentences(error))
                outcome.remarks.append(f"{model._meta.verbose_name} {values[_NAME]} is left out: {text}")


def _sentences(error: ValidationError) -> list[str]:
    if hasattr(error, "error_dict"):
        return [
            f"{name}: {text}" if name != "__all__" else text
            for name, texts in error.message_dict.items()
            for text in texts
        ]
    return list(error.messages)

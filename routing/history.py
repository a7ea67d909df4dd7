"""Writes the history of what operators edit: every routing model, whoever changes it, and never a secret.

Signals see what is saved and deleted row by row. What goes to many rows at once sends none, so it goes through
`update`, `bulk_create` and `bulk_update` here. A model is tracked unless `UNTRACKED` says why not; one that is a part
of another object (a member of its group) belongs to that object's history.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from django.apps import apps
from django.db import models, transaction
from django.db.models.fields.files import FieldFile
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save

from routing.acting import Actor, actor
from routing.fields import SecretField
from routing.models import Change

UNTRACKED: Final[Mapping[str, str]] = {
    "change": "it is the history",
    "usersession": "logins are no settings; it says itself when and from where",
    "idempotencykey": "answers that the REST API remembers for a day",
    "routingversion": "a counter",
    "ringgroupturn": "a counter of the calls",
}
# The foreign key that leads to the object which a row is a part of.
PARTS: Final[Mapping[str, str]] = {
    "ringgroupmember": "group",
    "credential": "credential_list",
    "ipaddress": "ip_access_control_list",
    "trunkrule": "trunk",
    "schedulehours": "schedule",
    "scheduleexception": "schedule",
}
# Fields that change by themselves, and the hash of a secret.
UNSEEN: Final = frozenset({"created", "updated", "last_used", "secret_hash"})
SECRET_CHANGED: Final = "changed; the history does not keep it"
_LONGEST_TEXT = 500
_BEFORE = "_before_this_change"

State = dict[str, Any]
_Field = Any


def tracked() -> list[type[models.Model]]:
    """Return the models with a history."""
    return [model for model in apps.get_app_config("routing").get_models() if model._meta.model_name not in UNTRACKED]


def part_of(model: type[models.Model]) -> str:
    """Return the name of the foreign key to what a model is a part of; "" for an object of its own."""
    return PARTS.get(model._meta.model_name or "", "")


def parts_of(model: type[models.Model]) -> list[tuple[type[models.Model], str]]:
    """Return the models that are parts of this one, each with its foreign key."""
    return [
        (part, name)
        for part in tracked()
        if (name := part_of(part)) and part._meta.get_field(name).related_model is model
    ]


def label_of(model: type[models.Model]) -> str:
    """Return what a change names a model by."""
    return f"routing.{model._meta.model_name}"


def model_of(label: str) -> type[models.Model] | None:
    """Return the model of a label; None if there is none any more."""
    app, _, name = label.partition(".")
    found = next((model for model in tracked() if app == "routing" and model._meta.model_name == name), None)
    return found


def fields_of(model: type[models.Model]) -> list[_Field]:
    """Return the fields whose values a history keeps."""
    return [
        field
        for field in model._meta.concrete_fields
        if not isinstance(field, SecretField) and field.name not in UNSEEN
    ]


def state_of(row: models.Model) -> State:
    """Return the values of a row as JSON holds them, those of secrets left out."""
    return {field.name: _plain(field, getattr(row, field.attname)) for field in fields_of(type(row))}


def text_of(field: _Field, value: Any) -> str:
    """Return a value as people read it: names instead of ids and codes."""
    if value is None or value == "" or value == []:
        return ""
    if field.many_to_many:
        rows = {row.pk: str(row) for row in field.related_model._base_manager.filter(pk__in=value)}
        return ", ".join(sorted(rows.get(one, str(one)) for one in value))[:_LONGEST_TEXT]
    if field.is_relation:
        row = field.related_model._base_manager.filter(pk=value).first()
        return str(row if row is not None else value)[:_LONGEST_TEXT]
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(dict(field.flatchoices).get(value, value))[:_LONGEST_TEXT]


def connect() -> None:
    """Listen to what is saved and deleted of every tracked model."""
    for model in tracked():
        name = label_of(model)
        pre_save.connect(_before_save, sender=model, dispatch_uid=f"history.before.{name}")
        post_save.connect(_after_save, sender=model, dispatch_uid=f"history.save.{name}")
        post_delete.connect(_after_delete, sender=model, dispatch_uid=f"history.delete.{name}")
        for field in model._meta.many_to_many:
            through = getattr(model, field.name).through
            m2m_changed.connect(_after_relation, sender=through, dispatch_uid=f"history.{name}.{field.name}")


def update(rows: models.QuerySet[Any], **values: Any) -> int:
    """UPDATE many rows, which sends no signals, and keep the history; return how many there are."""
    with transaction.atomic():
        before = {row.pk: row for row in rows.select_for_update(of=("self",))}
        count: int = rows.model._base_manager.filter(pk__in=before).update(**values)
        _note_updated(rows.model, before)
    return count


def bulk_update(model: type[models.Model], rows: Iterable[models.Model], fields: Sequence[str]) -> None:
    """UPDATE each row by its own values in one statement, and keep the history."""
    given = list(rows)
    with transaction.atomic():
        before = {row.pk: row for row in model._base_manager.filter(pk__in=[row.pk for row in given])}
        model._base_manager.bulk_update(given, fields)
        _note_updated(model, before)


def bulk_create(model: type[models.Model], rows: Iterable[models.Model]) -> list[models.Model]:
    """INSERT rows in one statement, and keep the history."""
    with transaction.atomic():
        made: list[models.Model] = model._base_manager.bulk_create(list(rows))
        who = actor()
        Change.objects.bulk_create([_created(row, who) for row in made])
    return made


def _note_updated(model: type[models.Model], before: Mapping[Any, models.Model]) -> None:
    who = actor()
    after = model._base_manager.filter(pk__in=before).order_by("pk")
    found = (_changed(row, state_of(before[row.pk]), _secrets(before[row.pk]), who) for row in after)
    Change.objects.bulk_create([one for one in found if one is not None])


def _before_save(sender: type[models.Model], instance: models.Model, raw: bool = False, **_: Any) -> None:
    """Read what is stored, to compare it with what is saved."""
    if raw or instance._state.adding:
        return
    stored = sender._base_manager.filter(pk=instance.pk).first()
    if stored is not None:
        instance.__dict__[_BEFORE] = (state_of(stored), _secrets(stored))


def _after_save(
    sender: type[models.Model],
    instance: models.Model,
    created: bool,
    raw: bool = False,
    update_fields: Iterable[str] | None = None,
    **_: Any,
) -> None:
    if raw:
        return
    before = instance.__dict__.pop(_BEFORE, None)
    if created or before is None:
        _created(instance, actor()).save()
        return
    state, secrets = before
    if change := _changed(instance, state, secrets, None, update_fields):
        change.save()


def _after_delete(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    values = state_of(instance)
    gone = [
        {"field": field.name, "label": _label(field), "old": text, "new": ""}
        for field in fields_of(sender)
        if not field.primary_key and (text := text_of(field, values[field.name])) and field.name != part_of(sender)
    ]
    _change(instance, Change.Action.DELETED, values, gone, actor()).save()


def _after_relation(
    sender: Any, instance: models.Model, action: str, reverse: bool, model: Any, pk_set: Any, **_: Any
) -> None:
    """Note who was mapped to what, from either side."""
    if action == "pre_clear":
        owners = _owners_of_all(sender, instance, reverse)
        instance.__dict__["_cleared"] = owners
        return
    if action == "post_clear":
        for owner, name, before in instance.__dict__.pop("_cleared", []):
            _note_relation(owner, name, before)
        return
    if action not in ("post_add", "post_remove") or not pk_set:
        return
    owner_model = model if reverse else type(instance)
    name = _relation_name(owner_model, sender)
    for owner in model._base_manager.filter(pk__in=pk_set) if reverse else [instance]:
        moved = {instance.pk} if reverse else set(pk_set)
        after = set(getattr(owner, name).values_list("pk", flat=True))
        _note_relation(owner, name, after - moved if action == "post_add" else after | moved)


def _owners_of_all(sender: Any, instance: models.Model, reverse: bool) -> list[tuple[models.Model, str, set[Any]]]:
    if not reverse:
        name = _relation_name(type(instance), sender)
        return [(instance, name, set(getattr(instance, name).values_list("pk", flat=True)))]
    owners = []
    for owner_model in tracked():
        name = _relation_name(owner_model, sender)
        if name:
            for owner in owner_model._base_manager.filter(**{name: instance.pk}):
                owners.append((owner, name, set(getattr(owner, name).values_list("pk", flat=True))))
    return owners


def _relation_name(model: Any, through: Any) -> str:
    return next((one.name for one in model._meta.many_to_many if getattr(model, one.name).through is through), "")


def _note_relation(owner: models.Model, name: str, before: set[Any]) -> None:
    field: Any = owner._meta.get_field(name)
    after = set(getattr(owner, name).values_list("pk", flat=True))
    if before == after:
        return
    difference = {
        "field": name,
        "label": _label(field),
        "old": text_of(field, sorted(before)),
        "new": text_of(field, sorted(after)),
    }
    _change(owner, Change.Action.CHANGED, {name: sorted(after)}, [difference], actor()).save()


def _created(row: models.Model, who: Actor) -> Change:
    values = state_of(row)
    shown = [
        {"field": field.name, "label": _label(field), "old": "", "new": text}
        for field in fields_of(type(row))
        if not field.primary_key
        and values[field.name] != _plain(field, field.get_default())
        and (text := text_of(field, values[field.name]))
        and field.name != part_of(type(row))
    ]
    return _change(row, Change.Action.CREATED, values, shown, who)


def _changed(
    row: models.Model, before: State, secrets: State, who: Actor | None, only: Iterable[str] | None = None
) -> Change | None:
    """Return what changed of a row; None if nothing that is kept did."""
    after, wanted = state_of(row), None if only is None else set(only)
    if wanted is not None:
        after = {name: value if name in wanted else before.get(name) for name, value in after.items()}
    differences = [
        {
            "field": field.name,
            "label": _label(field),
            "old": text_of(field, before.get(field.name)),
            "new": text_of(field, after[field.name]),
        }
        for field in fields_of(type(row))
        if before.get(field.name) != after[field.name]
    ]
    for name, value in _secrets(row).items():
        if secrets.get(name) != value and (wanted is None or name in wanted):
            label = _label(row._meta.get_field(name))
            differences.append({"field": name, "label": label, "old": "", "new": SECRET_CHANGED, "secret": True})
    if not differences:
        return None
    return _change(row, Change.Action.CHANGED, after, differences, who or actor())


def _change(row: models.Model, action: str, values: State, differences: list[dict[str, Any]], who: Actor) -> Change:
    root = _root_of(row)
    return Change(
        batch=who.batch,
        user_id=who.user_id,
        who=who.who,
        via=who.via,
        ip=who.ip,
        note=who.note,
        action=action,
        model=label_of(type(row)),
        object_id=str(row.pk),
        name=_named(row),
        root_model=label_of(type(root)) if isinstance(root, models.Model) else root[0],
        root_id=str(root.pk) if isinstance(root, models.Model) else root[1],
        root_name=_named(root) if isinstance(root, models.Model) else "",
        values=values,
        differences=differences,
    )


def _root_of(row: models.Model) -> models.Model | tuple[str, str]:
    """Return what a row is a part of, or the row; label and id if the whole is gone already."""
    name = part_of(type(row))
    if not name:
        return row
    field: Any = row._meta.get_field(name)
    try:
        whole: models.Model = getattr(row, name)
    except models.ObjectDoesNotExist:
        return label_of(field.related_model), str(getattr(row, field.attname))
    return whole


def _named(row: models.Model) -> str:
    try:
        return str(row)[:255]
    except models.ObjectDoesNotExist:  # it names a row that went before it
        return str(row.pk)


def _secrets(row: models.Model) -> State:
    """Return the secrets in memory, to be compared and never stored; and the hash of one, which says the same."""
    names = [field.attname for field in row._meta.concrete_fields if isinstance(field, SecretField)]
    names += [field.attname for field in row._meta.concrete_fields if field.name == "secret_hash"]
    return {name: row.__dict__.get(name) for name in names}


def _label(field: Any) -> str:
    return str(getattr(field, "verbose_name", field.name))


def _plain(field: _Field, value: Any) -> Any:
    """Return a value as JSON holds it and as a form of the field takes it."""
    if isinstance(value, FieldFile):
        return value.name or ""
    if hasattr(value, "resolve_expression"):  # an F() that only the database knows
        return str(value)
    if isinstance(value, datetime.date | datetime.time | decimal.Decimal):
        return str(value)
    target = field.target_field if field.is_relation else field
    return value if value is None or isinstance(value, list | dict) else _json(target.to_python(value))


def _json(value: Any) -> Any:
    return str(value) if isinstance(value, datetime.date | datetime.time | decimal.Decimal) else value

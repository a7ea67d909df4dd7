"""Copies every row of one database into another of the same tables, as the rows are: secrets stay encrypted.

Rows go over as the backends hold them, not as models: a million calls take a minute or two instead of an hour.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.apps import apps
from django.core.management.color import no_style
from django.db import Error, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from calls.values import json_value

BATCH = 2000
Convert = Callable[[Any], Any]


class CopyError(Exception):
    """A table cannot be copied; the text names it."""


@dataclass(frozen=True)
class Table:
    """A table of ours."""

    name: str
    fields: tuple[models.Field[Any, Any], ...]

    @property
    def columns(self) -> list[str]:
        return [str(field.column) for field in self.fields]


def tables() -> list[Table]:
    """Return all tables that models are kept in, those of many-to-many relations too."""
    found = {}
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy:
            table = Table(model._meta.db_table, tuple(model._meta.local_concrete_fields))
            found[table.name] = table
    return [found[name] for name in sorted(found)]


def count(database: BaseDatabaseWrapper, table: Table) -> int:
    """Return how many rows there are."""
    with database.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {database.ops.quote_name(table.name)}")
        (rows,) = cursor.fetchone()
    return int(rows)


def copy(source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, told: Callable[[str, int], None]) -> dict[str, int]:
    """Replace what the target holds with what the source holds at one moment; return the rows of each table.

    All or nothing: raise `CopyError` with the target as it was. `told` hears of every table that is over.
    """
    copied: dict[str, int] = {}
    with _snapshot(source), transaction.atomic(using=target.alias):
        _empty(target)
        for table in tables():
            try:
                copied[table.name] = _copy_table(source, target, table)
            except (Error, ValueError, TypeError) as error:
                raise CopyError(f"{table.name}: {' '.join(str(error).split())}") from error
            if (there := count(target, table)) != copied[table.name]:
                raise CopyError(f"{table.name}: {copied[table.name]} rows were read and {there} are there")
            told(table.name, copied[table.name])
        _set_sequences(target)
    return copied


class _snapshot:  # noqa: N801  # used as a function
    """A transaction in which the source does not change: SQLite's locks out writers, PostgreSQL's does not see them."""

    def __init__(self, source: BaseDatabaseWrapper) -> None:
        self._source = source
        self._atomic = transaction.atomic(using=source.alias)

    def __enter__(self) -> None:
        self._atomic.__enter__()
        if self._source.vendor == "postgresql":
            with self._source.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def __exit__(self, *error: Any) -> None:
        self._atomic.__exit__(*error)


def _empty(target: BaseDatabaseWrapper) -> None:
    """Remove what migrations put in; foreign keys are looked at when the transaction ends."""
    with target.cursor() as cursor:
        for table in tables():
            cursor.execute(f"DELETE FROM {target.ops.quote_name(table.name)}")


def _copy_table(source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, table: Table) -> int:
    rows = _rows(source, target, table)
    return _copy_in(target, table, rows) if target.vendor == "postgresql" else _insert(target, table, rows)


def _rows(source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, table: Table) -> Iterator[tuple[Any, ...]]:
    """Read a table, each value as the target takes it."""
    columns = ", ".join(source.ops.quote_name(column) for column in table.columns)
    converters = [_converters(field, source, target) for field in table.fields]
    changed = [(position, steps) for position, steps in enumerate(converters) if steps]
    # On PostgreSQL a named cursor: an ordinary one would hold the whole table in memory.
    with source.chunked_cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {source.ops.quote_name(table.name)}")
        while batch := cursor.fetchmany(BATCH):
            for row in batch:
                values = list(row)
                for position, steps in changed:
                    for step in steps:
                        values[position] = step(values[position])
                yield tuple(values)


def _converters(
    field: models.Field[Any, Any], source: BaseDatabaseWrapper, target: BaseDatabaseWrapper
) -> list[Convert]:
    """Return the steps from a value as the source's driver gives it to one as the target's driver takes it."""
    plain = _plain(field)
    expression = plain.cached_col
    steps = [_bound(convert, expression, source) for convert in source.ops.get_db_converters(expression)]
    if isinstance(plain, models.JSONField):
        return [_clean_json if target.vendor == "postgresql" else _as_it_is]
    if isinstance(plain, models.CharField | models.TextField):
        return [*steps, _without_nul] if target.vendor == "postgresql" else steps
    if isinstance(plain, models.BinaryField):
        return [*steps, lambda value: None if value is None else bytes(value)]
    if isinstance(plain, models.BooleanField):
        return [*steps, lambda value: None if value is None else bool(value)]
    if type(plain) in _ADAPTED:
        steps.append(lambda value: plain.get_db_prep_value(value, target, prepared=True))
    return steps


def _bound(convert: Callable[..., Any], expression: Any, source: BaseDatabaseWrapper) -> Convert:
    return lambda value: convert(value, expression, source)


_ADAPTED = frozenset(
    {models.DateTimeField, models.DateField, models.TimeField, models.DecimalField, models.DurationField,
     models.UUIDField, models.GenericIPAddressField}
)  # fmt: skip


def _plain(field: models.Field[Any, Any]) -> models.Field[Any, Any]:
    """Return Django's own field of the same column: one of ours would decrypt what it reads."""
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    plain: models.Field[Any, Any] = getattr(models, field.get_internal_type())()
    plain.model, plain.column, plain.attname, plain.name = field.model, field.column, field.attname, field.name
    for name in ("max_digits", "decimal_places"):
        if hasattr(field, name):
            setattr(plain, name, getattr(field, name))
    return plain


def _as_it_is(value: Any) -> Any:
    return value


def _without_nul(value: Any) -> Any:
    """Take the NULs out, which PostgreSQL's text cannot hold."""
    return value.replace("\0", "") if isinstance(value, str) and "\0" in value else value


def _clean_json(value: Any) -> Any:
    """Take out what PostgreSQL's jsonb cannot hold: NULs, lone surrogates, NaN."""
    if not isinstance(value, str) or not any(sign in value for sign in ("\\u0000", "\\ud", "\\uD", "NaN", "Infinity")):
        return value
    return json.dumps(json_value(json.loads(value)))


def _copy_in(target: BaseDatabaseWrapper, table: Table, rows: Iterable[Sequence[Any]]) -> int:
    columns = ", ".join(target.ops.quote_name(column) for column in table.columns)
    copied = 0
    with (
        target.wrap_database_errors,
        target.cursor() as cursor,
        cursor.copy(f'COPY "{table.name}" ({columns}) FROM STDIN') as copying,
    ):
        for row in rows:
            copying.write_row(row)
            copied += 1
    return copied


def _insert(target: BaseDatabaseWrapper, table: Table, rows: Iterator[Sequence[Any]]) -> int:
    columns = ", ".join(target.ops.quote_name(column) for column in table.columns)
    marks = ", ".join(["%s"] * len(table.fields))
    sql = f"INSERT INTO {target.ops.quote_name(table.name)} ({columns}) VALUES ({marks})"
    copied = 0
    with target.cursor() as cursor:
        while batch := list(islice(rows, BATCH)):
            cursor.executemany(sql, batch)
            copied += len(batch)
    return copied


def _set_sequences(target: BaseDatabaseWrapper) -> None:
    """Let new rows have numbers after the highest one copied."""
    owners = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
    with target.cursor() as cursor:
        for statement in target.ops.sequence_reset_sql(no_style(), owners):
            cursor.execute(statement)

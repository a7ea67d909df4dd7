"""Tables of rows for spreadsheets: CSV that is read and written, and what is wrong with which row.

A cell that a spreadsheet would take for a formula is written with ' before it, which is taken off when it is read
(OWASP, "CSV Injection").
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from routing.api.v1.problems import Problem

MOST_ROWS = 2000
_MOST_ERRORS = 1000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_HEADER_ROW = 1


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file; `number` is that of the spreadsheet, or the place in the JSON list from 1."""

    number: int
    values: Mapping[str, Any]


@dataclass(slots=True)
class Errors:
    """What is wrong, row by row."""

    found: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: Row, name: str, message: str) -> None:
        """Note one."""
        self.found.append({"row": row.number, "field": name, "message": message})

    def add_all(self, row: Row, errors: Mapping[str, Sequence[str]]) -> None:
        """Note those of a row."""
        for name, messages in errors.items():
            for message in messages:
                self.add(row, name, message)

    def problem(self, total: int) -> Problem:
        """Return all of them as one problem."""
        found = sorted(self.found, key=lambda one: int(one["row"]))
        rows, first = len({one["row"] for one in found}), found[0]
        text = f"{rows} of {total} rows cannot be imported, so none was. Row {first['row']}: {first['message']}"
        return Problem(400, text, code="rows-invalid", more={"rows": found[:_MOST_ERRORS]})


def from_csv(data: bytes, columns: Sequence[str]) -> list[Row]:
    """Read a CSV file in UTF-8, with commas or semicolons, whose first row names its columns; raise `Problem`."""
    text = _decoded(data)
    head = text.partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if head.count(";") > head.count(",") else ",", strict=True
    )
    rows: list[Row] = []
    try:
        names = [name.strip() for name in next(reader, [])]
        _check_columns(names, columns)
        for number, cells in enumerate(reader, start=_HEADER_ROW + 1):
            if not any(cells):
                continue
            if len(cells) > len(names):
                raise _malformed(f"Row {number} has {len(cells)} cells, and there are {len(names)} columns.")
            rows.append(Row(number, {name: _plain(cell) for name, cell in zip(names, cells, strict=False)}))
            _check_count(len(rows))
    except csv.Error as error:
        raise _malformed(f"Line {reader.line_num} is no CSV: {error}.") from None
    return rows


def from_json(data: Any) -> list[Row]:
    """Take a list of objects; raise `Problem`."""
    if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
        raise _malformed("Send a JSON list of objects, one for each row.")
    _check_count(len(data))
    return [Row(number, values) for number, values in enumerate(data, start=1)]


def to_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return the rows as a CSV file that a spreadsheet opens without running anything in it."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_safe(_cell(row[name])) for name in columns])
    return out.getvalue()


def names_cell(names: Sequence[str]) -> str:
    """Return names in one cell, with semicolons between; a name that has one is quoted."""
    out = io.StringIO()
    csv.writer(out, delimiter=";", lineterminator="").writerow(names)
    return out.getvalue()


def names_of(cell: str) -> list[str]:
    """Return the names in a cell."""
    found = next(csv.reader([cell], delimiter=";", skipinitialspace=True), [])
    return [name.strip() for name in found if name.strip()]


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return " ".join(map(str, value))
        case _:
            return str(value)


def _safe(text: str) -> str:
    # One that begins with an apostrophe would lose it when it is read.
    return f"'{text}" if text.startswith((*_FORMULA, "'")) else text


def _plain(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:2] in (*_FORMULA, "'") and cell[1:] else cell


def _decoded(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _malformed(f"The file is not UTF-8 (byte {error.start}): save it as “CSV UTF-8”.") from None
    if "\0" in text:
        raise _malformed("The file holds NUL characters: it is no CSV.")
    return text


def _check_columns(names: Sequence[str], columns: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in columns]:
        raise _malformed(
            f"There is no column {unknown[0][:64]!r}: the first row names columns of {', '.join(columns)}."
        )
    if twice := [name for name in names if names.count(name) > 1]:
        raise _malformed(f"The column {twice[0]} is there twice.")
    if "name" not in names:
        raise _malformed("The column name is missing: rows are found by it.")


def _check_count(count: int) -> None:
    if count > MOST_ROWS:
        raise Problem(413, f"More than {MOST_ROWS} rows: split the file.")


def _malformed(text: str) -> Problem:
    return Problem(400, text, code="malformed")

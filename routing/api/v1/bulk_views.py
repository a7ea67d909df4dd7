"""Import and export of endpoints and ring groups, all or nothing; rows are found by name, so that files travel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from django.db import transaction
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from routing.api.v1 import bulk
from routing.api.v1.access import account_of
from routing.api.v1.bulk import Errors, Row
from routing.api.v1.once import once
from routing.api.v1.problems import flat, invalid
from routing.api.v1.viewing import ApiView, SafeJsonParser, action
from routing.models import Account, Endpoint, RingGroup, Schedule, Voicemail
from routing.models.groups import WEIGHT
from routing.outbound import client_key

_FORMAT = OpenApiParameter("format", str, enum=["json", "csv"], description="json unless given.")
_DRY = OpenApiParameter("dry_run", bool, description="Check everything and store nothing.")
_ACCOUNT = OpenApiParameter(
    "account", str, description="SID of the account; only for a session, which may use several."
)
_DONE = {
    "type": "object",
    "properties": {
        "created": {"type": "integer"},
        "updated": {"type": "integer"},
        "dry_run": {"type": "boolean"},
    },
}


# What the rows of ring groups name by name, and the columns of a CSV file that tell of the members.
_NAMED = (
    "fallback_group", "fallback_endpoint", "fallback_voicemail", "schedule", "closed_group", "closed_endpoint",
    "closed_voicemail",
)  # fmt: skip
_CELLS = {
    "disabled_members": "enabled: false",
    "member_timeouts": "ring_timeout",
    "member_weights": "weight",
}


class CsvParser(BaseParser):
    """CSV as it comes."""

    media_type = "text/csv"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """Return the bytes."""
        return stream.read()


class _Undo(Exception):
    """Ends a transaction of which nothing shall stay."""


class Bulk(ApiView):
    """`import` and `export` of a resource whose rows have a name."""

    columns: ClassVar[tuple[str, ...]]
    secret_columns: ClassVar[tuple[str, ...]] = ()
    file_name: ClassVar[str]

    @classmethod
    def permissions(cls, model: str) -> dict[str, tuple[str, ...]]:
        """Return what somebody of the staff needs: both to add and to change, for an import."""
        return {"imported": (f"routing.add_{model}", f"routing.change_{model}"), "export": (f"routing.view_{model}",)}

    def query_names(self) -> frozenset[str]:
        """Return what the query may say."""
        match self.action:
            case "imported":
                return frozenset(("dry_run", "account"))
            case "export":
                return frozenset((*self.filterset_class.base_filters, "format"))
            case _:
                return super().query_names()

    @extend_schema(parameters=[_FORMAT], responses={
        (200, "application/json"): {"type": "array", "items": {"type": "object"}}, (200, "text/csv"): OpenApiTypes.STR,
    })  # fmt: skip
    @action(detail=False, pagination_class=None)
    def export(self, request: Request) -> Any:
        """Return all rows, filtered or not, as JSON or CSV in the form that an import takes; never a secret."""
        wanted = request.query_params.get("format", "json")
        if wanted not in ("json", "csv"):
            raise invalid({"format": ["Choose json or csv."]})
        rows = [self.exported(row) for row in self.filter_queryset(self.get_queryset()).order_by("name", "pk")]
        if wanted == "json":
            return Response(rows)
        answer = HttpResponse(
            bulk.to_csv(map(self.flattened, rows), self.columns), content_type="text/csv; charset=utf-8"
        )
        answer["Content-Disposition"] = f'attachment; filename="{self.file_name}.csv"'
        return answer

    @extend_schema(parameters=[_DRY, _ACCOUNT], responses={200: _DONE}, request={
        "application/json": {"type": "array", "items": {"type": "object"}}, "text/csv": OpenApiTypes.STR,
    })  # fmt: skip
    @action(detail=False, methods=["post"], url_path="import", parser_classes=[SafeJsonParser, CsvParser],
            pagination_class=None, filter_backends=[])  # fmt: skip
    def imported(self, request: Request) -> Response:
        """Store all rows of a CSV or JSON file, or none; a row whose name is there already changes that one."""
        dry_run = request.query_params.get("dry_run", "false").lower()
        if dry_run not in ("true", "false"):
            raise invalid({"dry_run": ["Choose true or false."]})
        data = request.data
        known = (*self.columns, *self.secret_columns)
        rows = bulk.from_csv(data, known) if isinstance(data, bytes) else bulk.from_json(data)
        return once(request, lambda: self._import(rows, self._account(request), dry_run == "true"))

    def _account(self, request: Request) -> Account:
        owner, sid = account_of(request), request.query_params.get("account", "").replace("\0", "")
        if owner and sid not in ("", owner.pk):
            raise invalid({"account": [f"This key belongs to {owner.pk}: leave the account out."]})
        found = [owner] if owner else list(Account.objects.filter(**({"pk": sid} if sid else {}))[:2])
        if len(found) != 1:
            raise invalid({"account": ["Name the account by its SID: there is more than one, or none of this SID."]})
        return found[0]

    def _import(self, rows: Sequence[Row], account: Account, dry_run: bool) -> Response:
        created, updated = self.store(rows, account, dry_run)
        return Response({"created": created, "updated": updated, "dry_run": dry_run})

    def store(self, rows: Sequence[Row], account: Account, dry_run: bool) -> tuple[int, int]:
        """Store all rows, unless it is a dry run, and return how many are new and changed; raise `Problem`."""
        created = 0
        try:
            with transaction.atomic():
                Account.objects.select_for_update(no_key=True).get(pk=account.pk)  # one import at a time
                created = self.store_all(rows, account)
                if dry_run:
                    raise _Undo
        except _Undo:
            pass
        return created, len(rows) - created

    def store_all(self, rows: Sequence[Row], account: Account) -> int:
        """Store the rows and return how many are new; raise `Problem` with every error of every row."""
        errors = Errors()
        found = self.prepare(rows, account, errors)
        new = 0
        for row in rows:
            if row.number not in found:
                continue
            instance = found[row.number]
            new += instance is None or getattr(instance, "is_new", False)
            try:
                values = self.resolved(self._cells(row.values), account)
                serializer = self.get_serializer(instance, data=values, partial=instance is not None)
                serializer.is_valid(raise_exception=True)
                serializer.save()
            except ValidationError as error:
                errors.add_all(row, flat(error.detail))
        if errors.found:
            raise errors.problem(len(rows))
        return new

    def prepare(self, rows: Sequence[Row], account: Account, errors: Errors) -> dict[int, Any]:
        """Return what each row changes by its number, None for a new one; rows without a usable name are left out."""
        existing: dict[str, list[Any]] = {}
        for one in self.model_rows(account):
            existing.setdefault(client_key(one.name), []).append(one)
        found: dict[int, Any] = {}
        seen: dict[str, int] = {}
        for row in rows:
            name = row.values.get("name")
            if not isinstance(name, str) or not name.strip():
                errors.add(row, "name", "Every row needs a name: rows are found by it.")
                continue
            key = client_key(name.strip())
            here = existing.get(key, [])
            if key in seen:
                errors.add(row, "name", f"Row {seen[key]} has this name already: keep one of the two.")
            elif len(here) > 1:
                errors.add(
                    row, "name", f"{len(here)} are called so: rename all but one, so that it is clear which is meant."
                )
            else:
                found[row.number] = here[0] if here else None
            seen.setdefault(key, row.number)
        return found

    def _cells(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values without empty cells of what cannot be empty: they mean "as it is"."""
        fields = cast(Any, self.get_serializer()).fields
        kept = {}
        for name, value in values.items():
            one = fields.get(name)
            empty = isinstance(one, serializers.BooleanField | serializers.IntegerField) or name in self.secret_columns
            if isinstance(one, serializers.ChoiceField) and not one.allow_blank:
                empty = True
            if not (value == "" and empty):
                kept[name] = value
        return kept

    def model_rows(self, account: Account) -> Any:
        """Return the account's rows."""
        raise NotImplementedError

    def exported(self, row: Any) -> dict[str, Any]:
        """Return a row as an import takes it."""
        raise NotImplementedError

    def flattened(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return it as cells."""
        return row

    def resolved(self, values: dict[str, Any], account: Account) -> dict[str, Any]:
        """Return the values as the serializer takes them."""
        raise NotImplementedError


class EndpointBulk(Bulk):
    """Endpoints as tables."""

    columns = (
        "name", "uri", "transport", "region", "srtp", "username", "headers", "status_callback",
        "status_callback_events", "status_callback_method", "screening_url", "screening_method", "enabled",
    )  # fmt: skip
    secret_columns = ("password",)
    file_name = "endpoints"
    permission = Bulk.permissions("endpoint")

    def model_rows(self, account: Account) -> Any:
        """Return the account's endpoints."""
        return Endpoint.objects.filter(account=account)

    def exported(self, row: Any) -> dict[str, Any]:
        """Return an endpoint without ids and secrets."""
        shown = self.get_serializer(row).data
        return {name: shown[name] for name in self.columns}

    def resolved(self, values: dict[str, Any], account: Account) -> dict[str, Any]:
        """Say whose it is."""
        return {**values, "account": account.pk}


class GroupBulk(Bulk):
    """Ring groups as tables: what they name, they name by name."""

    columns = (
        "name", "strategy", "members", "disabled_members", "member_timeouts", "member_weights", "ring_timeout",
        "skip_busy", "exclude_caller", "confirm", "fallback", "fallback_group", "fallback_endpoint",
        "fallback_voicemail", "fallback_text", "schedule", "closed", "closed_group", "closed_endpoint",
        "closed_voicemail", "closed_text", "record", "trim", "recording_status_callback",
        "recording_status_callback_events", "recording_status_callback_method", "answer_on_bridge", "hangup_on_star",
        "time_limit", "caller_id", "caller_id_prefix", "ring_tone",
    )  # fmt: skip
    file_name = "ring-groups"
    permission = Bulk.permissions("ringgroup")

    def model_rows(self, account: Account) -> Any:
        """Return the account's groups."""
        return RingGroup.objects.filter(account=account)

    def prepare(self, rows: Sequence[Row], account: Account, errors: Errors) -> dict[int, Any]:
        """Make new groups first, so that rows may name each other as fallback."""
        found = super().prepare(rows, account, errors)
        for row in rows:
            name = row.values.get("name")
            if row.number in found and found[row.number] is None:
                made = RingGroup(account=account, name=str(name).strip()[:64].replace("\0", ""))
                made.save()
                made.is_new = True  # type: ignore[attr-defined]
                found[row.number] = made
        self._endpoints = {client_key(one.name): one.pk for one in Endpoint.objects.filter(account=account)}
        self._groups: dict[str, list[int]] = {}
        for one in self.model_rows(account):
            self._groups.setdefault(client_key(one.name), []).append(one.pk)
        self._boxes = {client_key(one.name): one.pk for one in Voicemail.objects.filter(account=account)}
        self._schedules = {client_key(one.name): one.pk for one in Schedule.objects.filter(account=account)}
        return found

    def exported(self, row: Any) -> dict[str, Any]:
        """Return a group with names instead of ids."""
        shown = self.get_serializer(row).data
        kept = {name: shown[name] for name in self.columns if name in shown}
        settings = ("enabled", "ring_timeout", "weight")
        kept["members"] = [
            {"endpoint": one["name"], **{name: one[name] for name in settings}} for one in shown["members"]
        ]
        for name in _NAMED:
            kept[name] = getattr(row, name).name if getattr(row, name) else None
        return kept

    def flattened(self, row: dict[str, Any]) -> dict[str, Any]:
        """Put the names of the members into one cell, and those of disabled ones into another."""
        members = row["members"]
        disabled = [one["endpoint"] for one in members if not one["enabled"]]
        names = [one["endpoint"] for one in members]
        return {
            **row,
            "members": bulk.names_cell(names),
            "disabled_members": bulk.names_cell(disabled),
            "member_timeouts": _numbers_cell(members, "ring_timeout", None),
            "member_weights": _numbers_cell(members, "weight", WEIGHT),
        }

    def resolved(self, values: dict[str, Any], account: Account) -> dict[str, Any]:
        """Find what is named; raise `ValidationError` for what is not there."""
        values = dict(values)
        problems: dict[str, list[str]] = {}
        cells = {name: values.pop(name, "") for name in _CELLS}
        if isinstance(values.get("members"), str):
            values["members"] = _members(values["members"], cells, problems)
        else:
            problems = {name: [f"In JSON, say {_CELLS[name]} of the member."] for name, cell in cells.items() if cell}
        members = values.get("members")
        if isinstance(members, list):
            values["members"] = [self._member(one, number, problems) for number, one in enumerate(members)]
        groups = {key: pks[0] for key, pks in self._groups.items() if len(pks) == 1}
        known = {"group": groups, "endpoint": self._endpoints, "voicemail": self._boxes, "schedule": self._schedules}
        for name in _NAMED:
            self._find(values, name, known[name.rpartition("_")[2]], problems)
        if problems:
            raise ValidationError(problems)
        return {**values, "account": account.pk}

    def _member(self, given: Any, number: int, problems: dict[str, list[str]]) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("endpoint"), str):
            problems[f"members[{number}]"] = ["Write an object with the endpoint's name, and enabled true or false."]
            return given
        found = self._endpoints.get(client_key(given["endpoint"]))
        if found is None:
            problems[f"members[{number}].endpoint"] = [f"There is no endpoint {given['endpoint']}: import it first."]
        return {**given, "endpoint": found}

    def _find(
        self, values: dict[str, Any], name: str, known: Mapping[str, int], problems: dict[str, list[str]]
    ) -> None:
        given = values.get(name)
        if given in (None, ""):
            if name in values:
                values[name] = None
            return
        found = known.get(client_key(given)) if isinstance(given, str) else None
        if found is None:
            problems[name] = [f"There is none that is called {given}, or more than one."]
        values[name] = found


def _members(cell: str, cells: Mapping[str, Any], problems: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Return the members that the cells of a CSV row tell; what is wrong goes to `problems`."""
    off = {client_key(name) for name in bulk.names_of(_text(cells["disabled_members"]))}
    names = bulk.names_of(cell)
    found = [{"endpoint": name, "enabled": client_key(name) not in off} for name in names]
    for column, setting in (("member_timeouts", "ring_timeout"), ("member_weights", "weight")):
        words = [word.strip() for word in _text(cells[column]).split(";")]
        if len(words) > max(1, len(names)):
            problems[column] = [f"There are {len(words)} values for {len(names)} members: one each, with ; between."]
            continue
        for member, word in zip(found, words, strict=False):
            if word:
                member[setting] = word
    return found


def _numbers_cell(members: Sequence[Mapping[str, Any]], name: str, usual: int | None) -> str:
    """Return one number for each member, nothing where it is the usual one; empty if it is for all."""
    words = ["" if one[name] == usual else str(one[name]) for one in members]
    return ";".join(words) if any(words) else ""


def _text(cell: Any) -> str:
    return cell if isinstance(cell, str) else ""

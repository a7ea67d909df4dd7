"""Reads the parameters of a request: exactly the documented names, each of its type; what is wrong is named.

A class of parameters is a REST framework serializer whose fields bear Twilio's names; `source` is the name the rest of
the code has for it. Twilio itself passes over unknown parameters: here a misspelt one is an error.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Model, Q, QuerySet
from django.utils.dateparse import parse_date, parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from routing.api.errors import BAD_PARAMETER, TOO_LARGE, ApiError
from routing.sid import is_sid
from routing.validators import validate_url

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
BAD_URL, BAD_METHOD = 21205, 21209
_WHOLE = re.compile(r"-?[0-9]{1,18}\Z")
_MAX_PARAMETERS = 500
_DRAINED = 64_000_000  # bytes of a body that is too large which are read, so that its sender gets to see the answer
_CODE_IN_TEXT = re.compile(r" \(error ([0-9]+)(?:: .*)?\)(\.?)\Z", re.DOTALL)  # as operators read it in the admin
_PAGING = ("PageSize", "Page", "PageToken")

Given = dict[str, list[Any]]


class Coded(serializers.Field[Any, Any, Any, Any]):
    """A parameter whose errors have a code of their own."""

    def __init__(self, *, code: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.code = code


class Text(Coded, serializers.CharField):
    """Text without NUL; may be empty unless `required`."""

    def __init__(self, *, required: bool = False, max_length: int = 64, **kwargs: Any) -> None:
        kwargs.setdefault("allow_blank", not required)
        super().__init__(required=required, max_length=max_length, **kwargs)


class Url(Text):
    """An absolute http(s) URL, or nothing."""

    def __init__(self, *, code: int = BAD_URL, **kwargs: Any) -> None:
        super().__init__(code=code, max_length=2000, validators=[validate_url], **kwargs)


class Choice(Coded, serializers.ChoiceField):
    """One of some words."""

    def __init__(self, choices: Sequence[str], *, required: bool = False, **kwargs: Any) -> None:
        self.words = tuple(choices)
        super().__init__(choices=self.words, required=required, **kwargs)

    def fail(self, key: str, **kwargs: Any) -> Any:
        """Say what may be chosen."""
        raise serializers.ValidationError(f"must be one of {', '.join(self.words)}.")


class Method(Choice):
    """GET or POST."""

    def __init__(self, *, code: int = BAD_METHOD, **kwargs: Any) -> None:
        super().__init__(("GET", "POST"), code=code, **kwargs)


class Boolean(Coded, serializers.BooleanField):
    """`true` or `false`, as the helper libraries write it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, **kwargs)

    def to_internal_value(self, data: Any) -> bool:
        """Return the value; nothing else than these two words, in whatever case, or JSON's own, is one."""
        match data:
            case bool():
                return data
            case str() if data.lower() in ("true", "false"):
                return data.lower() == "true"
            case _:
                raise serializers.ValidationError("must be true or false.")


class Number(Coded, serializers.IntegerField):
    """A whole number."""

    def __init__(self, *, least: int, most: int, required: bool = False, **kwargs: Any) -> None:
        super().__init__(required=required, min_value=least, max_value=most, **kwargs)

    def to_internal_value(self, data: Any) -> int:
        """Return the number; digits of other scripts, which Python reads too, are none."""
        if isinstance(data, bool) or not _WHOLE.match(str(data)):
            raise serializers.ValidationError("must be a whole number.")
        return int(data)


class Sid(Text):
    """A SID of one kind."""

    def __init__(self, prefix: str, **kwargs: Any) -> None:
        super().__init__(max_length=34, **kwargs)
        self.prefix = prefix

    def to_internal_value(self, data: Any) -> str:
        """Return the SID, or nothing where that is allowed."""
        text: str = super().to_internal_value(data)
        if text and not is_sid(text, self.prefix):
            raise serializers.ValidationError(f"must be a SID: {self.prefix} and 32 hexadecimal digits.")
        return text


class Repeated(Coded, serializers.ListField):
    """A parameter that may be given several times; its value is the tuple of words, each one of `choices`."""

    def __init__(self, choices: Sequence[str], **kwargs: Any) -> None:
        super().__init__(child=Choice(choices), required=False, **kwargs)

    def to_internal_value(self, data: Any) -> tuple[str, ...]:
        """Return the words, also of a single value that has several with spaces in between."""
        words = [word for part in data for word in (part.split() if isinstance(part, str) else [part])]
        return tuple(self.child.run_validation(word) for word in words)


@extend_schema_field(OpenApiTypes.STR)
class NotHere(Coded):
    """A parameter of Twilio that has no meaning here: only empty or false is accepted, and does nothing."""

    def __init__(self, why: str = "is not supported here: leave it out.", **kwargs: Any) -> None:
        super().__init__(required=False, **kwargs)
        self.why = why

    def to_internal_value(self, data: Any) -> Any:
        """Accept what means no."""
        if data not in ("", "false", "False", False):
            raise serializers.ValidationError(self.why)
        raise serializers.SkipField


@dataclass(frozen=True, slots=True)
class Moment:
    """A date, which stands for the whole day in UTC, or a moment."""

    at: datetime
    whole_day: bool

    @property
    def end(self) -> datetime:
        """Return when it is over."""
        return self.at + (timedelta(days=1) if self.whole_day else timedelta(seconds=1))


@extend_schema_field(OpenApiTypes.STR)
class When(Coded):
    """A date (2026-11-23) or a moment (2026-11-23T09:30:00Z), UTC unless it says otherwise."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, **kwargs)

    def to_internal_value(self, data: Any) -> Moment:
        """Return what is meant."""
        text = data.strip() if isinstance(data, str) else ""
        try:
            if day := parse_date(text):
                return Moment(datetime.combine(day, time(), UTC), whole_day=True)
            if moment := parse_datetime(text):
                return Moment(moment if moment.tzinfo else moment.replace(tzinfo=UTC), whole_day=False)
        except (ValueError, OverflowError):
            pass
        raise serializers.ValidationError("must be a date, such as 2026-11-23, or 2026-11-23T09:30:00Z.")


class Parameters(serializers.Serializer[Any]):
    """What a request may say. `code` is that of errors whose field has none of its own."""

    code: ClassVar[int] = BAD_PARAMETER

    @classmethod
    def read(cls, given: Given, *, partial: bool = False) -> dict[str, Any]:
        """Return the values by their `source`; those not given are left out. Raise `ApiError`.

        `partial`, for updates: nothing is required.
        """
        reader = cls(data={}, partial=partial)
        reader._check_names(given)
        reader.initial_data = {name: reader._one(name, values) for name, values in given.items()}
        if not reader.is_valid():
            raise reader._error()
        return dict(reader.validated_data)

    @classmethod
    def refusal(cls, error: ValidationError) -> ApiError:
        """Return what a model's validation says, under the name and with the code of the parameter it is about."""
        if not hasattr(error, "error_dict"):
            return ApiError(_code_of(error) or cls.code, _without_code(error.messages[0]))
        source, errors = next(iter(error.error_dict.items()))
        fields = cls().fields.items()
        name, field = next(((name, one) for name, one in fields if one.source == source), ("", None))
        code = _code_of(errors[0]) or getattr(field, "code", 0) or cls.code
        text = _without_code(errors[0].messages[0])
        return ApiError(code, f"{name}: {text}" if name else text)

    def _check_names(self, given: Given) -> None:
        for name in given:
            if name not in self.fields:
                raise ApiError(BAD_PARAMETER, f"There is no parameter {name[:64]!r} here{_meant(name, self.fields)}")

    def _one(self, name: str, values: list[Any]) -> Any:
        if isinstance(self.fields[name], serializers.ListField):
            return values
        if len(values) > 1:
            raise ApiError(BAD_PARAMETER, f"{name} is given {len(values)} times: give it once.")
        return values[0]

    def _error(self) -> ApiError:
        given = [name for name in self.errors if name in self.initial_data]  # before those that are missing
        name = given[0] if given else next(iter(self.errors))
        texts: Any = self.errors[name]
        while not isinstance(texts, str):  # those of a list's items are nested
            texts = next(iter(texts.values() if isinstance(texts, Mapping) else texts))
        code = getattr(self.fields[name], "code", 0) or type(self).code
        return ApiError(code, f"{name}: {_without_code(texts)}")


class Listing(Parameters):
    """What the request for a list may say: subclasses add filters."""

    @classmethod
    def read(cls, given: Given, *, partial: bool = False) -> dict[str, Any]:
        """Return the values of the filters; those of paging are read by `paging.place`."""
        return super().read({name: values for name, values in given.items() if name not in _PAGING}, partial=partial)


def query_of(request: Request) -> Given:
    """Return the parameters in the URL."""
    return {name: list(values) for name, values in request.query_params.lists()}


def body_of(request: Request) -> Given:
    """Return the parameters in the body: form-encoded, or an object of JSON. Raise `ApiError` 20001 or 20413."""
    kind = request.content_type.partition(";")[0].strip().lower()
    body = request.body
    if not body:
        return {}
    try:
        if kind == FORM:
            return _form(body)
        if kind == JSON:
            return _object(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(BAD_PARAMETER, f"The body of the request cannot be read as {kind}: {error}") from None
    raise ApiError(BAD_PARAMETER, f"The Content-Type must be {FORM} (or {JSON}), not {kind or 'absent'}.")


def check_size(request: Request) -> None:
    """Refuse a body over API_MAX_BODY before it is held in memory; raise `ApiError` 20413 (413).

    One without Content-Length, which Django would take for empty, is refused too: 20001 (411).
    """
    stream, text = request._request, request.META.get("CONTENT_LENGTH") or ""
    if not text and "Transfer-Encoding" in request.headers:
        raise ApiError(BAD_PARAMETER, "Send a Content-Length: bodies in chunks are not read.", status=411)
    length = int(text) if text.isdecimal() and len(text) < 19 else 0
    if length <= settings.API_MAX_BODY:
        return
    left = min(length, _DRAINED)
    while left > 0 and (chunk := stream.read(min(left, 65536))):
        left -= len(chunk)
    raise ApiError(TOO_LARGE, f"The body of the request is larger than {settings.API_MAX_BODY} bytes.")


def in_period(
    rows: QuerySet[Any], field: str, on: Moment | None, until: Moment | None, since: Moment | None
) -> QuerySet[Any]:
    """Narrow to what happened on a day (or in a second), until and since: Twilio's `Name`, `Name<` and `Name>`.

    Twilio: until and since a date mean its midnight, both inclusive.
    """
    wanted = Q()
    if on:
        wanted &= Q(**{f"{field}__gte": on.at, f"{field}__lt": on.end})
    if until:
        wanted &= Q(**{f"{field}__lte": until.at})
    if since:
        wanted &= Q(**{f"{field}__gte": since.at})
    return rows.filter(wanted)


def store(row: Model, parameters: type[Parameters], values: Mapping[str, Any]) -> None:
    """Set the values, validate the row and save it; raise `ApiError` for what the model refuses."""
    for name, value in values.items():
        setattr(row, name, value)
    _validate(row, parameters)
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        _validate(row, parameters)  # somebody else was first: by now the validation sees it
        raise


def _validate(row: Model, parameters: type[Parameters]) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        raise parameters.refusal(error) from error


def _form(body: bytes) -> Given:
    given: Given = {}
    pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    return given


def _object(body: bytes) -> Given:
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("an object is needed")
    return {name: value if isinstance(value, list) else [value] for name, value in found.items() if value != []}


def _meant(name: str, known: Mapping[str, Any]) -> str:
    lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower()[:64], lower, n=1, cutoff=0.75)
    return f": did you mean {lower[close[0]]}?" if close else f". Known: {', '.join(known) or 'none'}."


def _code_of(error: ValidationError) -> int:
    found = _CODE_IN_TEXT.search(error.messages[0])
    return int(found[1]) if found else 0


def _without_code(text: Any) -> str:
    return _CODE_IN_TEXT.sub(r"\2", str(text))

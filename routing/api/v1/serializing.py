"""Rows as JSON and back. Whatever is saved goes through the model's `full_clean`, so that the admin's checks hold."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any, TypeVar, cast

from django.core.exceptions import ValidationError as ModelError
from django.db.models import Field, Model
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import empty
from rest_framework.relations import PrimaryKeyRelatedField, SlugRelatedField
from rest_framework.validators import UniqueValidator

from routing.api.v1.access import account_of
from routing.api.v1.problems import of_model
from routing.fields import SecretField, is_set
from routing.models import Account
from routing.validators import EVENTS

M = TypeVar("M", bound=Model)


def refuse(errors: Mapping[str, Any]) -> ValidationError:
    """Return the error of fields that are wrong."""
    return ValidationError({name or "non_field_errors": texts for name, texts in errors.items()})


class SecretText(serializers.CharField):
    """A secret: written, never read. One that is left out stays as it is."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "write_only": True, "trim_whitespace": False, "required": False})


class Events(serializers.ListField):
    """Names of events, which the model keeps as words; a text of words is taken too."""

    def __init__(self, events: Collection[str] = EVENTS, **kwargs: Any) -> None:
        child = serializers.ChoiceField(choices=[(event, event) for event in events])
        super().__init__(child=child, required=False, max_length=20, **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        """Return the words."""
        return " ".join(super().to_internal_value(data.replace(",", " ").split() if isinstance(data, str) else data))

    def to_representation(self, value: Any) -> Any:
        """Return the list."""
        return value.split()


class Mine(PrimaryKeyRelatedField[Any]):
    """A row of the caller's account, by id; one of another account does not exist."""

    def get_queryset(self) -> Any:
        """Return the rows of the account; of all for a session, where the model's own check decides."""
        rows = cast(Any, super().get_queryset())
        account = account_of(self.context["request"])
        return rows.filter(account=account) if account else rows

    def to_internal_value(self, data: Any) -> Any:
        """Return the row."""
        if data == "":  # as a spreadsheet and a form have it
            if self.allow_null:
                return None
            self.fail("required")
        if not isinstance(data, int | str):
            self.fail("incorrect_type", data_type=type(data).__name__)
        if isinstance(data, str) and not (data.isascii() and data.isalnum()):
            self.fail("does_not_exist", pk_value=data)
        return super().to_internal_value(data)


class RegionCode(SlugRelatedField[Any]):
    """A region, by its code."""

    def __init__(self, **kwargs: Any) -> None:
        from routing.models import Region

        super().__init__(slug_field="code", queryset=Region.objects.all(), required=False, allow_null=True, **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        """Return the region; nothing for an empty text, as a spreadsheet has it."""
        if data == "":
            return None
        if not isinstance(data, str) or "\0" in data:
            self.fail("invalid")
        return super().to_internal_value(data)


class Strict(serializers.Serializer[Any]):
    """Names that are no field are errors; what can only be read may be sent back and is ignored."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the values."""
        if isinstance(data, Mapping):
            errors = {name: [_unknown(str(name), self.fields)] for name in data if name not in self.fields}
            if errors:
                raise ValidationError(errors)
        return super().to_internal_value(data)


class Nested(Strict):
    """A row inside another: it replaces a former one, so that it must be whole in a PATCH too."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the values with the defaults of those that are missing."""
        values = super().to_internal_value(data)
        errors: dict[str, Any] = {}
        for field in self._writable_fields:
            if field.field_name in values:
                continue
            if field.required:
                errors[str(field.field_name)] = [field.error_messages["required"]]
            elif field.default is not empty:
                values[field.field_name] = field.default
        if errors:
            raise ValidationError(errors)
        return values


class ResourceSerializer(Strict, serializers.ModelSerializer[M]):
    """A row. `many` names many-to-many fields; `renamed` says what the JSON calls a field of the model."""

    renamed: Mapping[str, str] = {}

    def build_standard_field(self, field_name: str, model_field: Field[Any, Any]) -> Any:
        """Hide secrets, and leave it to the model to say that a value is taken."""
        if isinstance(model_field, SecretField):
            limit = {"max_length": model_field.max_length} if model_field.max_length else {}
            return SecretText, {"allow_blank": True, "help_text": model_field.help_text, **limit}
        found, options = super().build_standard_field(field_name, model_field)
        kept = [one for one in options.get("validators", ()) if not isinstance(one, UniqueValidator)]
        if "validators" in options:
            options["validators"] = kept
        return found, options

    def get_validators(self) -> list[Any]:
        """Leave constraints of several fields to the model."""
        return []

    def create(self, validated_data: dict[str, Any]) -> M:
        """Make a row."""
        model = cast(type[M], cast(Any, self).Meta.model)
        return self.store(model(), validated_data)

    def update(self, instance: M, validated_data: dict[str, Any]) -> M:
        """Change the row."""
        return self.store(instance, validated_data)

    def store(self, row: M, values: dict[str, Any]) -> M:
        """Give the row the values, check it as the admin does, save it with what belongs to it."""
        values, later = dict(values), {}
        for name in self.kept_apart():
            if name in values:
                later[name] = values.pop(name)
        for name, value in values.items():
            setattr(row, name, value)
        self.before(row, values, later)
        secrets = [one.name for one in row._meta.fields if isinstance(one, SecretField) and one.name not in values]
        try:
            row.full_clean(exclude=secrets)
        except ModelError as error:
            raise refuse(of_model(error, self.renamed)) from None
        self.check(row, later)
        row.save()
        self.after(row, later)
        return row

    def kept_apart(self) -> Collection[str]:
        """Return the names of the fields that are stored after the row: many-to-many, nested rows."""
        return [one.name for one in cast(Any, self).Meta.model._meta.many_to_many]

    def before(self, row: M, values: dict[str, Any], later: dict[str, Any]) -> None:
        """Do what comes before the checks of the model."""

    def check(self, row: M, later: dict[str, Any]) -> None:
        """Check what takes more than the row."""

    def after(self, row: M, later: dict[str, Any]) -> None:
        """Store what belongs to the row."""
        for name, rows in later.items():
            getattr(row, name).set(rows)


class AccountField(PrimaryKeyRelatedField[Any]):
    """The account a row belongs to: a key's own; a session names it, unless there is only one. It never changes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            **{"queryset": Account.objects.all(), "required": False, "help_text": "SID of the account.", **kwargs}
        )


class OwnedSerializer(ResourceSerializer[M]):
    """A row that belongs to an account."""

    account = AccountField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Settle whose row it is."""
        owner, given = account_of(self.context["request"]), attrs.get("account")
        if self.instance is not None:
            if given and given.pk != cast(Any, self.instance).account_id:
                raise refuse({"account": ["It cannot move to another account: make a new one there."]})
            attrs.pop("account", None)
            return attrs
        if owner and given and given.pk != owner.pk:
            raise refuse({"account": [f"This key belongs to {owner.pk}: leave the account out."]})
        attrs["account"] = owner or given or _only_account()
        return attrs


class LoginSerializer(OwnedSerializer[M]):
    """An endpoint or trunk: a username and a password that is not shown. An emptied username drops the password."""

    has_password = serializers.SerializerMethodField(help_text="Whether a password is stored.")

    def get_has_password(self, row: M) -> bool:
        """Say whether there is one."""
        return is_set(row, "password")

    def before(self, row: Any, values: dict[str, Any], later: dict[str, Any]) -> None:
        """Forget the password together with its username."""
        if values.get("username") == "" and not values.get("password"):
            row.password = values["password"] = ""
        elif "password" in values and not values["password"] and "username" not in values:
            raise refuse({"password": ["Leave it out to keep it; empty the username to drop both."]})


def _only_account() -> Account:
    found = list(Account.objects.all()[:2])
    if len(found) != 1:
        raise refuse({"account": ["Name the account by its SID: there is more than one, or none."]})
    return found[0]


def _unknown(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return "There is no field of this name." + (f" Did you mean {close[0]}?" if close else "")

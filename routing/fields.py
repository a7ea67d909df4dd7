"""A model field that is encrypted at rest and read back in clear: SIP passwords and auth tokens.

Keys: `settings.FIELD_ENCRYPTION_KEYS`, newest first; older ones still decrypt. A stored value that no key opens does
not break the query that loads it: reading the attribute raises `SecretError`, saving the row keeps the stored text.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django import forms
from django.conf import settings
from django.db import models
from django.db.models.query_utils import DeferredAttribute
from django.utils.text import capfirst

PREFIX = "enc1:"

if TYPE_CHECKING:
    TextField = models.TextField[str, str]
else:
    TextField = models.TextField


class SecretError(Exception):
    """A stored secret cannot be read; the text names the field and the fix."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What a row holds instead of a secret that could not be decrypted."""

    stored: str
    why: str


@functools.lru_cache(maxsize=8)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise SecretError("FIELD_ENCRYPTION_KEYS is empty: put at least one Fernet key into .env")
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise SecretError(f"FIELD_ENCRYPTION_KEYS holds something that is not a Fernet key: {error}") from error


def _box() -> MultiFernet:
    return _fernet(tuple(settings.FIELD_ENCRYPTION_KEYS))


class SecretAttribute(DeferredAttribute):
    """Raises where a secret is read that could not be decrypted, not where its row is loaded."""

    def __get__(self, instance: models.Model | None, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if isinstance(value, Unreadable):
            raise SecretError(value.why)
        return value

    def __set__(self, instance: models.Model, value: Any) -> None:
        # Only a descriptor that can be set is asked before the instance's own dictionary.
        instance.__dict__[self.field.attname] = value


class SecretField(TextField):
    """A text that is stored encrypted; empty stays empty. It cannot be searched or compared in SQL.

    In forms it can only be written: the stored text is never sent to the browser and an empty input keeps it.
    """

    descriptor_class = SecretAttribute

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Return the value to store without raising for one that could not be read."""
        if self.attname in model_instance.__dict__:
            return model_instance.__dict__[self.attname]
        return super().pre_save(model_instance, add)

    def value_from_object(self, obj: models.Model) -> str:
        """Give forms nothing to show."""
        return ""

    def save_form_data(self, instance: models.Model, data: Any) -> None:
        """Take what was typed; nothing typed keeps what is stored."""
        if data:
            super().save_form_data(instance, data)

    def formfield(self, **kwargs: Any) -> Any:
        """Return a password input that never renders a value."""
        widget = kwargs.get("widget") or forms.PasswordInput
        attrs = {"autocomplete": "new-password"}
        return forms.CharField(
            label=capfirst(self.verbose_name),
            help_text=self.help_text,
            required=False,
            strip=False,
            widget=widget(attrs=attrs) if isinstance(widget, type) else widget,
        )

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt."""
        if isinstance(value, Unreadable):
            return value.stored
        text = super().get_prep_value(value)
        return text if text in (None, "") else PREFIX + _box().encrypt(text.encode()).decode()

    def from_db_value(self, value: str | None, *_: Any) -> str | Unreadable | None:
        """Decrypt, or say why not."""
        if value is None or value == "":
            return value
        name = f"{self.model._meta.verbose_name} {self.verbose_name}"
        if not value.startswith(PREFIX):
            return Unreadable(value, f"{name}: the stored value is not encrypted; enter it again")
        try:
            return _box().decrypt(value[len(PREFIX) :].encode()).decode()
        except InvalidToken:
            why = (
                "none of FIELD_ENCRYPTION_KEYS opens the stored value; put the old key back into .env or enter it again"
            )
            return Unreadable(value, f"{name}: {why}")
        except SecretError as error:
            return Unreadable(value, f"{name}: {error}")


def is_set(instance: models.Model, name: str) -> bool:
    """Say whether a secret is stored, readable or not."""
    return bool(instance.__dict__.get(name))

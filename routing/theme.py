"""The admin and form classes that our pages are made of: Unfold's, typed as Django's, whose interface they keep.

Secrets stay out of the pages of people who may only look: Django shows them every field as text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import ForeignKey, Model
from django.forms import ModelChoiceField
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminPasswordWidget

from routing.fields import SecretField
from routing.form_guard import Guarded
from routing.models import Account

_M = TypeVar("_M", bound=Model)
_P = TypeVar("_P", bound=Model)

if TYPE_CHECKING:
    from django import forms
    from django.contrib import admin

    class _ModelAdmin(admin.ModelAdmin[_M]): ...

    class _TabularInline(admin.TabularInline[_M, _P]): ...

    class ModelForm(forms.ModelForm[_M]): ...

    class ModelFormSet(forms.BaseModelFormSet[_M, forms.ModelForm[_M]]): ...

    class InlineFormSet(forms.BaseInlineFormSet[_M, _P, forms.ModelForm[_M]]): ...

    def display(
        *, description: str, ordering: str = "", boolean: bool = False, label: bool | dict[str, str] = False
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...

else:
    from django import forms
    from unfold import admin
    from unfold.decorators import display  # noqa: F401 (for the admin modules)
    from unfold.forms import PaginationInlineFormSet

    class _Typed:
        """Takes the type parameters that Django's stubs want."""

        def __class_getitem__(cls, _: Any) -> type:
            return cls

    class _ModelAdmin(_Typed, admin.ModelAdmin): ...

    class _TabularInline(_Typed, admin.TabularInline): ...

    class ModelForm(_Typed, forms.ModelForm): ...

    class ModelFormSet(_Typed, forms.BaseModelFormSet): ...

    class InlineFormSet(_Typed, PaginationInlineFormSet): ...


_OVERRIDES: dict[Any, Any] = {
    SecretField: {"widget": UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})}
}


def without_secrets(model: type[Model], fields: Any) -> Any:
    """Return names of fields, which may be nested for rows, without those of secrets."""
    secret = {field.name for field in model._meta.get_fields() if isinstance(field, SecretField)}
    kept = (without_secrets(model, name) if isinstance(name, (list, tuple)) else name for name in fields)
    return [name for name in kept if isinstance(name, list) or name not in secret] if secret else fields


class ModelAdmin(Guarded, _ModelAdmin[_M]):
    """A model's pages."""

    formfield_overrides = _OVERRIDES
    warn_unsaved_form = True
    list_filter_submit = True

    def get_fieldsets(self, request: HttpRequest, obj: _M | None = None) -> Any:
        """Leave secrets out for people who may not change the object."""
        fieldsets = super().get_fieldsets(request, obj)
        if self.has_change_permission(request, obj):
            return fieldsets
        return [
            (name, {**options, "fields": without_secrets(self.model, options["fields"])}) for name, options in fieldsets
        ]

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        """Fill in the account when there is only one."""
        if db_field.remote_field.model is Account:
            accounts = list(Account.objects.values_list("pk", flat=True)[:2])
            if len(accounts) == 1:
                kwargs["initial"] = accounts[0]
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class TabularInline(_TabularInline[_M, _P]):
    """Rows on another model's page."""

    formfield_overrides = _OVERRIDES
    hide_title = True
    extra = 0

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave secrets out for people who may not change the rows."""
        fields = super().get_fields(request, obj)
        return fields if self.has_change_permission(request, obj) else without_secrets(self.model, fields)

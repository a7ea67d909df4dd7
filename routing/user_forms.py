"""The page of a user: its role is chosen, not put together from permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.models import User
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldBooleanSwitchWidget

from routing import roles

if TYPE_CHECKING:
    from django.contrib.auth.forms import UserChangeForm, UserCreationForm
else:
    from unfold.forms import UserChangeForm, UserCreationForm

ROLE_CHOICES = (
    ("", "None: sees nothing"),
    (roles.VIEWER, "Viewer: sees calls and routing, no recordings, no secrets"),
    (roles.OPERATOR, "Operator: also places and changes calls, edits routing, writes notes"),
    (roles.ADMIN, "Admin: everything, users, accounts, tokens and retention too"),
)


class RoleFields(forms.Form):
    """Who the user is here."""

    role = forms.ChoiceField(choices=ROLE_CHOICES, required=False, widget=UnfoldAdminSelectWidget)
    listens = forms.BooleanField(
        label="listens to recordings",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Sees, plays and downloads recordings, whatever the role. Each play is noted.",
    )


class RoleUserForm(RoleFields, UserChangeForm):  # type: ignore[type-arg]
    """A user that exists; people cannot lock themselves out (`own`)."""

    own = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = {group.name for group in self.instance.groups.all()} if self.instance.pk else set()
        self.fields["role"].initial = next((role for role in reversed(roles.ROLES) if role in names), "")
        self.fields["listens"].initial = roles.RECORDINGS in names
        if self.own:
            for name in {"role", "is_active", "is_staff", "is_superuser"} & set(self.fields):
                self.fields[name].disabled = True


class NewUserForm(RoleFields, UserCreationForm):  # type: ignore[type-arg]
    """A user that is made: as somebody of the staff, or it could not log in here."""

    class Meta(UserCreationForm.Meta):
        model = User

    def save(self, commit: bool = True) -> User:
        """Let the user in."""
        self.instance.is_staff = True
        user: User = super().save(commit)
        return user

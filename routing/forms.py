"""Forms of the admin: order of ring-group members and routes, and checks that need more than one row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextareaWidget

from routing.fields import is_set
from routing.models import Endpoint, RingGroup, RingGroupMember, SipDomain, Trunk, TrunkRule
from routing.models.address import SipAddress
from routing.models.groups import WEIGHT, check_members
from routing.theme import InlineFormSet, ModelForm, ModelFormSet
from routing.validators import EVENTS, RECORDING_EVENTS

_M = TypeVar("_M", bound=Model)
_P = TypeVar("_P", bound=Model)
_R = TypeVar("_R", RingGroupMember, TrunkRule)
_A = TypeVar("_A", bound=SipAddress)


class RowForm(ModelForm[_M]):
    """A row that is sorted by dragging. A new one has no position until then: it comes last (Unfold puts it first)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        position = self.fields.get("position")
        if position and self.instance._state.adding:
            position.required = False
            self.initial["position"] = None

    def has_changed(self) -> bool:
        """Ignore a row that was added and dragged, but not filled in."""
        changed = set(self.changed_data)
        return bool(changed - {"position", "enabled", "weight"} if self.instance._state.adding else changed)


class RowFormSet(InlineFormSet[_R, _P]):
    """Rows that are sorted by dragging."""

    def save_new(self, form: Any, commit: bool = True) -> Any:
        """Save a new row, the last one unless it was dragged elsewhere."""
        if form.cleaned_data.get("position") is None:
            form.instance.position = 1 + max((other.instance.position or 0 for other in self.forms), default=0)
        return super().save_new(form, commit)


class MemberForm(RowForm[RingGroupMember]):
    """One row of a ring group."""

    class Meta:
        model = RingGroupMember
        fields = ("endpoint", "ring_timeout", "weight", "enabled", "position")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "endpoint" in self.fields and not self.instance._state.adding:
            # Two rows that exchange their endpoints would meet in the database; remove one and add the other instead.
            self.fields["endpoint"].disabled = True
        if "weight" in self.fields:
            self.fields["weight"].required = False

    def clean_weight(self) -> int:
        """Take the usual weight for none."""
        weight: int | None = self.cleaned_data.get("weight")
        return WEIGHT if weight is None else weight


class MemberFormSet(RowFormSet[RingGroupMember, RingGroup]):
    """The members of a ring group in order."""

    def clean(self) -> None:
        """Refuse endpoints of another account and more members than can ring at once."""
        super().clean()
        kept = [form for form in self.forms if getattr(form, "cleaned_data", None) and form not in self.deleted_forms]
        for form in kept:
            endpoint: Endpoint | None = form.cleaned_data.get("endpoint")
            if endpoint and endpoint.account_id != self.instance.account_id:
                form.add_error("endpoint", f"{endpoint} belongs to another account: choose one of the group's account.")
        enabled = sum(1 for form in kept if form.cleaned_data.get("endpoint") and form.cleaned_data.get("enabled"))
        check_members(self.instance.strategy, enabled)

    def get_unique_error_message(self, unique_check: Any) -> str:
        """Say what is there twice."""
        return "An endpoint is in this group twice: remove one of the two rows."


class RuleForm(RowForm[TrunkRule]):
    """One rule of a trunk."""

    class Meta:
        model = TrunkRule
        fields = ("prefix", "strip", "prepend", "position")


class RuleFormSet(RowFormSet[TrunkRule, Trunk]):
    """The rules of a trunk in order."""


class OrderFormSet(ModelFormSet[Any]):
    """The routes or trunks of one list page.

    Unfold numbers the visible rows from 0; here they exchange the places they had, so that the order stays right on the
    second page and in a filtered list.
    """

    def clean(self) -> None:
        """Give the rows, in their new order, the positions that they held before."""
        super().clean()
        if any(form.errors for form in self.forms):
            return
        before = {form: int(form.initial["position"]) for form in self.forms}
        after = sorted(self.forms, key=lambda form: form.cleaned_data["position"])
        for form, position in zip(after, sorted(before.values()), strict=True):
            form.cleaned_data["position"] = form.instance.position = position
            form.__dict__["changed_data"] = ["position"] if position != before[form] else []


class EventsField(forms.MultipleChoiceField):
    """Boxes to tick for what the model keeps as words."""

    def __init__(self, label: str, events: Sequence[str]) -> None:
        super().__init__(
            label=label,
            required=False,
            choices=[(event, event) for event in events],
            widget=UnfoldAdminCheckboxSelectMultipleWidget,
            help_text="None chosen: completed only.",
        )

    def prepare_value(self, value: Any) -> Any:
        """Split what the model keeps."""
        return value.split() if isinstance(value, str) else value

    def clean(self, value: Any) -> Any:
        """Return the words as the model keeps them."""
        return " ".join(super().clean(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare with what the model keeps."""
        return super().has_changed(self.prepare_value(initial), data)


class LoginForm(ModelForm[_A]):
    """An endpoint or trunk; an emptied username drops the stored password."""

    def clean(self) -> dict[str, Any] | None:
        """Forget the password together with its username."""
        data = super().clean() or self.cleaned_data
        if not data.get("username") and not data.get("password") and is_set(self.instance, "password"):
            self.instance.password = ""
        return data


class TrunkForm(LoginForm[Trunk]):
    """A trunk."""

    class Meta:
        model = Trunk
        fields = "__all__"


class RingGroupForm(ModelForm[RingGroup]):
    """A ring group."""

    recording_status_callback_events = EventsField("Recording callback events", RECORDING_EVENTS)

    class Meta:
        model = RingGroup
        fields = "__all__"


class EndpointForm(LoginForm[Endpoint]):
    """An endpoint."""

    status_callback_events = EventsField("Status callback events", EVENTS)

    class Meta:
        model = Endpoint
        fields = "__all__"
        widgets = {"headers": UnfoldAdminTextareaWidget(attrs={"rows": 4})}


class SipDomainForm(ModelForm[SipDomain]):
    """A SIP domain; lists of another account cannot be mapped."""

    class Meta:
        model = SipDomain
        fields = "__all__"

    def clean(self) -> dict[str, Any] | None:
        """Refuse lists of another account."""
        data = super().clean() or self.cleaned_data
        account = data.get("account")
        for field in ("credential_lists", "ip_access_control_lists"):
            foreign = [item for item in data.get(field) or () if account and item.account_id != account.pk]
            if foreign:
                text = f"{foreign[0]} belongs to another account: choose lists of {account}."
                self.add_error(field, ValidationError(text))
        return data

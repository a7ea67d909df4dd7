"""What the form of a ring group would do if it were saved as it is: summary, TwiML and reasons, or what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db.models import prefetch_related_objects
from django.forms import BaseForm
from django.utils import timezone

from routing.models import RingGroup, RingGroupMember
from routing.resolve import Destination
from routing.summaries import chain_of, summary_of
from routing.voice import Context, document


def reasons(group: RingGroup, now: datetime) -> tuple[str, ...]:
    """Return why the document of the opening hours is shown; outside of them what is served instead."""
    found = ["A route that leads to this group."]
    if group.schedule:
        try:
            opening = group.schedule.opening(now)
        except ValueError:
            return tuple(found)  # the document itself says so
        if not opening.open:
            found.append(f"This is what is served in the opening hours. Now: {opening.why}; {group.if_closed}.")
    return tuple(found)


def chain(group: RingGroup) -> list[dict[str, str]]:
    """Return the group and those it falls back to, each with its summary."""
    return [{"name": str(one), "summary": text} for one, text in chain_of(group)]


def members(formset: Any) -> list[RingGroupMember]:
    """Return the members as a valid formset has them, in the order in which they would be saved."""
    kept = [
        form
        for form in formset.forms
        if getattr(form, "cleaned_data", None)
        and form.cleaned_data.get("endpoint")
        and form not in formset.deleted_forms
    ]
    last = float("inf")  # a new row comes last

    def place(form: Any) -> float:
        position = form.cleaned_data.get("position")
        return last if position is None else float(position)

    rows: list[RingGroupMember] = [form.instance for form in sorted(kept, key=place)]
    prefetch_related_objects([row.endpoint for row in rows], "region")
    return rows


def shown(group: RingGroup, rows: Sequence[RingGroupMember], context: Context) -> dict[str, Any]:
    """Return what a call to the group with these members would get; the group need not be saved."""
    served = document(Destination(group, reasons(group, timezone.now())), replace(context, members=tuple(rows)))
    told = [{"name": group.name, "summary": summary_of(group, rows)}]
    if group.leads_to.get("fallback_group") and group.fallback_group:
        told += chain(group.fallback_group)
    return {"twiml": served.pretty, "why": list(served.why), "chain": told, "errors": {}, "missing": [], "rows": []}


def problems(form: BaseForm, formsets: Sequence[Any]) -> dict[str, Any]:
    """Return what is wrong: by the id of the field, and for all rows together; what is only missing by its label."""
    errors: dict[str, list[str]] = {}
    missing: list[str] = []
    rows: list[str] = []
    for one in (form, *(row for formset in formsets for row in formset.forms)):
        _sort_out(one, errors, missing, rows)
    for formset in formsets:
        rows += formset.non_form_errors()
    return {"errors": errors, "missing": missing, "rows": rows}


def _sort_out(form: Any, errors: dict[str, list[str]], missing: list[str], rows: list[str]) -> None:
    for name, found in form.errors.as_data().items():
        if name not in form.fields:
            rows += [text for error in found for text in error.messages]
        elif any(error.code == "required" for error in found):
            missing.append(str(form.fields[name].label or name))
        else:
            errors[form[name].auto_id] = [text for error in found for text in error.messages]

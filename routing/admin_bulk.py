"""Tables of endpoints and ring groups in the admin: export of the list, import of a file, by the rules of /api/v1/."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelect2Widget, UnfoldBooleanSwitchWidget

from routing.api.v1 import bulk
from routing.api.v1.problems import Problem
from routing.models import Account
from routing.theme import ModelAdmin

if TYPE_CHECKING:

    def action(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...

else:
    from unfold.decorators import action

_M = TypeVar("_M", bound=Model)


class ImportForm(forms.Form):
    """The file, and whose rows they are."""

    file = forms.FileField(
        label="CSV file",
        widget=UnfoldAdminFileFieldWidget,
        help_text="As the export writes it: UTF-8, the first row names the columns, rows are found by their name.",
    )
    account = forms.ModelChoiceField(Account.objects.all(), widget=UnfoldAdminSelect2Widget)
    dry_run = forms.BooleanField(
        label="only check",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Store nothing, show what is wrong.",
    )

    def clean_file(self) -> Any:
        """Refuse a file that is too large before it is read."""
        file = self.cleaned_data["file"]
        if file.size > settings.API_MAX_BODY:
            raise forms.ValidationError(f"The file is larger than {settings.API_MAX_BODY} bytes: split it.")
        return file


class BulkAdmin(ModelAdmin[_M]):
    """Adds “Export as CSV” and “Import a CSV file” to a list; `table` is the view of /api/v1/ that knows how."""

    table: type[Any]
    actions_list = ["export_csv", "import_csv"]

    def has_import_permission(self, request: HttpRequest) -> bool:
        """Say whether this user may both add and change rows."""
        return self.has_add_permission(request) and self.has_change_permission(request)

    def _list_path(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def _view(self, request: HttpRequest) -> Any:
        view = self.table()
        view.request, view.kwargs, view.format_kwarg, view.action = request, {}, None, "export"
        return view

    @action(description="Export as CSV", icon="download", url_path="export", permissions=["view"])
    def export_csv(self, request: HttpRequest) -> HttpResponse:
        """Send every row, without secrets, in the form that an import takes."""
        view = self._view(request)
        rows = (view.flattened(view.exported(row)) for row in view.queryset.order_by("name", "pk"))
        answer = HttpResponse(bulk.to_csv(rows, view.columns), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="{view.file_name}.csv"'
        return answer

    @action(description="Import a CSV file", icon="upload", url_path="import", permissions=["import"])
    def import_csv(self, request: HttpRequest) -> HttpResponse:
        """Ask for a file; store all of its rows, or none and say what is wrong with which."""
        form = ImportForm(request.POST or None, request.FILES or None, initial={"account": Account.objects.first()})
        errors: list[dict[str, Any]] = []
        if form.is_valid():
            try:
                self._import(request, form.cleaned_data)
                return redirect(self._list_path())
            except Problem as problem:
                form.add_error("file", str(problem))
                errors = problem.more.get("rows", [])
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Import {self.opts.verbose_name_plural}",
            "form": form,
            "back": self._list_path(),
            "rows": errors,
            "columns": ", ".join((*self.table.columns, *self.table.secret_columns)),
        }
        return render(request, "routing/import.html", context)

    def _import(self, request: HttpRequest, given: dict[str, Any]) -> None:
        view = self._view(request)
        rows = bulk.from_csv(given["file"].read(), (*view.columns, *view.secret_columns))
        created, updated = view.store(rows, given["account"], given["dry_run"])
        done = f"{created} new and {updated} changed"
        if given["dry_run"]:
            messages.info(request, f"Nothing is wrong with the file, and nothing was stored: it has {done}.")
            return
        with transaction.atomic():
            for row in view.model_rows(given["account"]).filter(name__in=[row.values["name"] for row in rows]):
                self.log_change(request, row, "Imported from a file.")
        messages.success(request, f"Imported: {done}.")

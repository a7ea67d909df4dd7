"""Every page of the admin, found through the URL resolver, with something on each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from calls import ledger
from routing import demo
from tests import rows, samples

# Pages that answer with something else than a page, or that end the session.
NO_PAGES = {"admin:logout", "admin:jsi18n", "admin:autocomplete", "admin:view_on_site"}


def something_on_each() -> None:
    """Make rows of every kind that has a page."""
    account = rows.account()
    demo.create(account, "Correct-Horse-9x")
    rows.trunk(account, "+49")
    call = samples.call(account)
    ledger.apply([
        call, samples.leg(call), samples.event(call, 1), samples.note(call), samples.delivery(call),
        samples.recording(call),
    ])  # fmt: skip


def pages(user: User) -> Iterator[str]:
    """Yield the path of each page that this user may open."""
    request = RequestFactory().get("/admin/")
    request.user = user
    for name in plain_names():
        yield reverse(name)
    for model, model_admin in admin.site._registry.items():
        yield from of_model(model, model_admin, request)


def of_model(model: Any, model_admin: Any, request: Any) -> Iterator[str]:
    """Yield the list, the empty form, and the pages of one object."""
    prefix = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    if model_admin.has_view_permission(request):
        yield reverse(f"{prefix}_changelist")
    if model_admin.has_add_permission(request):
        yield reverse(f"{prefix}_add")
    row = model._default_manager.first()
    if row is not None:
        yield reverse(f"{prefix}_change", args=[row.pk])
        yield reverse(f"{prefix}_history", args=[row.pk])
        if model_admin.has_delete_permission(request, row):
            yield reverse(f"{prefix}_delete", args=[row.pk])


def plain_names() -> list[str]:
    """Return the names of the paths under /admin/ that take no arguments and are no model's."""
    found = [name for name in _names(get_resolver(), "", "") if name not in NO_PAGES]
    models = {f"admin:{model._meta.app_label}_{model._meta.model_name}_" for model in admin.site._registry}
    return sorted(name for name in found if not name.startswith(tuple(models)))


def _names(resolver: URLResolver, path: str, space: str) -> Iterator[str]:
    for pattern in resolver.url_patterns:
        here = path + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
            if here.startswith("admin/") or "admin/".startswith(here):
                yield from _names(pattern, here, inner)
        elif isinstance(pattern, URLPattern) and pattern.name and here.startswith("admin/") and "<" not in here:
            yield space + pattern.name

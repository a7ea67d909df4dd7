"""Paths under /admin/ that belong to no model: the history of objects, which may be gone."""

from django.contrib import admin
from django.urls import path

from routing import admin_history

urlpatterns = [
    path(
        "history/<str:label>/<str:pk>/",
        admin.site.admin_view(admin_history.object_history),
        name="object-history",
    ),
    path(
        "history/<str:label>/<str:pk>/<int:number>/",
        admin.site.admin_view(admin_history.restore),
        name="restore-version",
    ),
]

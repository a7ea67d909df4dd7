"""Paths under /admin/ that belong to no model: one's own login, and the history of objects, which may be gone."""

from django.contrib import admin
from django.urls import path

from routing import admin_history, two_factor, user_sessions

urlpatterns = [
    path("two-factor/", admin.site.admin_view(two_factor.page), name="two-factor"),
    path("sessions/", admin.site.admin_view(user_sessions.page), name="sessions"),
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

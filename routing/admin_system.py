"""Registers the pages of django-q2's tasks with the theme, and those of users; without it they are half styled."""

from __future__ import annotations

from django.contrib import admin
from django_q import admin as q_admin
from django_q.models import Failure, OrmQ, Schedule, Success

from routing import admin_history as admin_history
from routing import admin_users as admin_users
from routing.theme import ModelAdmin

for model in (OrmQ, Success, Failure, Schedule):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


@admin.register(OrmQ)
class QueueAdmin(q_admin.QueueAdmin, ModelAdmin):  # type: ignore[misc,type-arg]
    pass


@admin.register(Success)
class SuccessAdmin(q_admin.TaskAdmin, ModelAdmin):  # type: ignore[misc,type-arg]
    pass


@admin.register(Failure)
class FailureAdmin(q_admin.FailAdmin, ModelAdmin):  # type: ignore[misc,type-arg]
    pass


@admin.register(Schedule)
class ScheduleAdmin(q_admin.ScheduleAdmin, ModelAdmin):  # type: ignore[misc,type-arg]
    pass

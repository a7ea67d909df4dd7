"""The pages of users and groups: roles, and logins that were lost."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import ManyToManyField, QuerySet
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm

from routing import roles, two_factor
from routing.theme import ModelAdmin, display
from routing.user_forms import NewUserForm, RoleUserForm

two_factor.hide_devices(admin.site)
for model in (User, Group):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


class RoleFilter(admin.SimpleListFilter):
    """Users of one role."""

    title = "role"
    parameter_name = "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Name the roles."""
        return [*((name, name.capitalize()) for name in roles.GROUPS), ("superuser", "Superuser")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep those who have it."""
        if self.value() == "superuser":
            return queryset.filter(is_superuser=True)
        return queryset.filter(groups__name=self.value()) if self.value() else queryset


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin[User]):  # type: ignore[type-arg]
    form = RoleUserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "name", "role", "hears", "two_factor", "last_login", "may_log_in")
    list_filter = (RoleFilter, "is_active")
    fieldsets = (
        (None, {"fields": ("username", "password", "is_active")}),
        ("Role", {"fields": ("role", "listens")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        (
            "Beyond roles",
            {"classes": ("collapse",), "fields": ("is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "password1", "password2", "role", "listens")}),)
    readonly_fields = ("last_login", "date_joined")
    actions = ["reset_two_factor"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups", "totpdevice_set")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Keep admins from making superusers."""
        beyond = () if request.user.is_superuser else ("is_superuser",)
        return (*self.readonly_fields, *beyond)

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Keep people from locking themselves out."""
        form = super().get_form(request, obj, change=change, **kwargs)
        if obj is not None and obj.pk == request.user.pk:
            return type(form.__name__, (form,), {"own": True})
        return form

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Leave superusers to superusers: who sets a password can log in with it."""
        return super().has_change_permission(request, obj) and not _above(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Let nobody delete himself, nor a superuser without being one."""
        own = obj is not None and obj.pk == request.user.pk
        return super().has_delete_permission(request, obj) and not own and not _above(request, obj)

    def formfield_for_manytomany(self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        """Offer groups of your own only: the others are the role."""
        if db_field.name == "groups":
            kwargs["queryset"] = Group.objects.exclude(name__in=roles.GROUPS)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Assign the role last: saving the groups has taken it away."""
        super().save_related(request, form, formsets, change)
        role = form.cleaned_data.get("role", "")
        roles.assign(form.instance, role, bool(form.cleaned_data.get("listens")))
        if role and not form.instance.is_staff:
            form.instance.is_staff = True
            form.instance.save(update_fields=["is_staff"])

    @display(description="Name", ordering="last_name")
    def name(self, user: User) -> str:
        return user.get_full_name() or "–"

    @display(
        description="Role",
        label={"Superuser": "danger", "Admin": "danger", "Operator": "info", "Viewer": "success", "None": "warning"},
    )
    def role(self, user: User) -> str:
        return (roles.role_of(user) or "none").capitalize()

    @display(description="Recordings", boolean=True)
    def hears(self, user: User) -> bool:
        names = {group.name for group in user.groups.all()}
        return user.is_superuser or bool(names & {roles.ADMIN, roles.RECORDINGS})

    @display(description="Two-factor", boolean=True)
    def two_factor(self, user: User) -> bool:
        return any(device.confirmed for device in user.totpdevice_set.all())  # type: ignore[attr-defined]

    @admin.action(description="Turn two-factor login off (lost phone)", permissions=["change"])
    def reset_two_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Let people in with their password alone, until they set it up again."""
        for user in queryset:
            if _above(request, user):
                messages.error(request, f"{user} is a superuser: only a superuser can turn it off.")
                continue
            two_factor.turn_off(user)
            self.log_change(request, user, "Turned two-factor login off.")
            messages.success(request, f"Turned off: {user} logs in with the password alone.")

    @display(description="May log in", boolean=True, ordering="is_active")
    def may_log_in(self, user: User) -> bool:
        return user.is_active and user.is_staff


def _above(request: HttpRequest, user: User | None) -> bool:
    return user is not None and user.is_superuser and not request.user.is_superuser


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin[Group]):
    """Groups of your own; those of the roles are made by Cordboard and only shown."""

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj and obj.name in roles.GROUPS)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and obj.name in roles.GROUPS)

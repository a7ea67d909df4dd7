"""The admin pages of trunks: the carriers that telephone numbers are dialled through."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from routing.admin_parts import RemarkingAdmin, disable, enable, keys_remark
from routing.forms import OrderFormSet, RuleForm, RuleFormSet, TrunkForm
from routing.models import Trunk, TrunkRule
from routing.models.trunks import unreached
from routing.theme import TabularInline, display


class RuleInline(TabularInline[TrunkRule, Trunk]):
    model = TrunkRule
    form = RuleForm
    formset = RuleFormSet
    fields = ("prefix", "strip", "prepend", "example", "position")
    readonly_fields = ("example",)
    ordering_field = "position"
    hide_ordering_field = True
    verbose_name_plural = "rules: which numbers go through this trunk – drag to sort, the first that matches counts"

    @display(description="example")
    def example(self, rule: TrunkRule) -> str:
        return rule.example if rule.pk else ""


@admin.register(Trunk)
class TrunkAdmin(RemarkingAdmin[Trunk]):
    form = TrunkForm
    list_display = ("name", "address", "numbers", "transport_label", "srtp_label", "region", "caller_id", "enabled")
    list_filter = ("enabled", "transport", "srtp", "region", "account")
    list_select_related = ("region",)
    list_per_page = 200
    search_fields = ("name", "uri", "username", "caller_id", "rules__prefix")
    autocomplete_fields = ("account",)
    ordering_field = "position"
    hide_ordering_field = True
    actions = [enable, disable]
    inlines = (RuleInline,)
    fieldsets = (
        (None, {"fields": ("name", "account", "uri", ("transport", "srtp"), "region", "enabled")}),
        ("What its calls carry", {"fields": (("username", "password"), "caller_id")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Trunk]:
        return super().get_queryset(request).prefetch_related("rules")

    def get_changelist_formset(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Let dragged rows exchange their places."""
        return super().get_changelist_formset(request, **{"formset": OrderFormSet, **kwargs})

    @display(description="Address", ordering="uri")
    def address(self, trunk: Trunk) -> str:
        return trunk.address

    @display(description="Numbers", label={"none": "danger"})
    def numbers(self, trunk: Trunk) -> str:
        found = [rule.prefix for rule in trunk.rules.all()]
        return ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "") or "none"

    @display(description="Transport", ordering="transport")
    def transport_label(self, trunk: Trunk) -> str:
        return (trunk.transport or "udp").upper()

    @display(description="SRTP", ordering="srtp")
    def srtp_label(self, trunk: Trunk) -> str:
        return trunk.srtp.capitalize()

    def remarks(self, trunk: Trunk) -> list[str]:
        rules = list(TrunkRule.objects.filter(trunk=trunk))  # not as they were before a save
        found = [keys_remark(trunk)] if trunk.exposes_srtp_keys else []
        if not rules:
            found.append(f"No number goes through {trunk}: add a rule to it; * takes every number.")
        for rule, above in unreached(rules):
            why = f"the rule for {above.prefix} above it takes its numbers"
            found.append(f"The rule of {trunk} for {rule.prefix} is never reached: {why}. Drag it up, or remove it.")
        return found

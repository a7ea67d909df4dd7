"""Blocked callers."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request

from routing.api.authentication import Caller
from routing.api.v1.filtering import CharFilter, Filters, MultipleChoiceFilter
from routing.api.v1.serializing import Mine, OwnedSerializer
from routing.api.v1.viewing import Writing
from routing.models import BlockedCaller, SipDomain


class BlockedCallerSerializer(OwnedSerializer[BlockedCaller]):
    """A caller, a beginning with `*`, or `anonymous`: their calls are rejected."""

    domain = Mine(
        queryset=SipDomain.objects.all(),
        required=False,
        allow_null=True,
        help_text="SID of the SIP domain whose calls it is about; null: all of the account.",
    )

    class Meta:
        model = BlockedCaller
        fields = ("id", "account", "pattern", "answer", "reason", "domain", "expires", "created", "created_by")
        read_only_fields = ("created", "created_by")

    def before(self, row: BlockedCaller, values: dict[str, Any], later: dict[str, Any]) -> None:
        """Note who blocks the caller."""
        if row._state.adding:
            row.created_by = _name_of(self.context["request"])


def _name_of(request: Request) -> str:
    user = request.user
    if isinstance(user, Caller):
        return user.key.pk if user.key else "auth token"
    return user.get_username()


class BlockedCallerFilters(Filters):
    """Which entries are listed."""

    searched = ("pattern", "reason")
    pattern = CharFilter()
    answer = MultipleChoiceFilter(choices=BlockedCaller.Answer.choices)
    domain = CharFilter("domain", label="SID of a SIP domain.")
    account = CharFilter("account")


class BlockedCallers(Writing):
    """Whose calls are rejected."""

    queryset = BlockedCaller.objects.order_by()
    serializer_class = BlockedCallerSerializer
    filterset_class = BlockedCallerFilters
    orders = {"id": "pk", "pattern": "pattern", "created": "created"}
    default_order = "pattern"

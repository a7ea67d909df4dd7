"""What the views of /api/v1/ are made of."""

from __future__ import annotations

from datetime import UTC
from typing import Any, ClassVar, cast

from django.db import transaction
from django.db.models import ForeignKey, Model, QuerySet
from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from routing.api.parameters import check_size
from routing.api.v1 import problems
from routing.api.v1.access import Authentication, MayAct, Throttle, account_of
from routing.api.v1.cursors import CursorPages, allowed
from routing.api.v1.filtering import DjangoFilterBackend, check_names
from routing.api.v1.once import once
from routing.api.v1.problems import Problem, not_found
from routing.api.v1.schema import ProblemSchema
from routing.api.views import JsonOnly

_PERMISSIONS = {"GET": "view", "HEAD": "view", "OPTIONS": "view", "POST": "add", "DELETE": "delete"}


class SafeJsonParser(JSONParser):
    """JSON, however deep somebody nests it."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """Return the value; raise `Problem` for one that is nested too deeply."""
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise Problem(400, "The JSON is nested too deeply.", code="malformed") from None


class ApiView(GenericViewSet[Any]):
    """A resource: who may, which rows, which filters. `owner` leads from the model to its account; "": no account's."""

    authentication_classes = (Authentication,)
    permission_classes = (MayAct,)
    throttle_classes = (Throttle,)
    parser_classes = (SafeJsonParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = JsonOnly
    pagination_class = CursorPages
    filter_backends = (DjangoFilterBackend,)
    filterset_class: ClassVar[Any] = None
    schema = ProblemSchema()
    lookup_value_regex = r"[^/.]+"

    owner: ClassVar[str] = "account"
    orders: ClassVar[dict[str, str]] = {"id": "pk"}
    default_order: ClassVar[str] = "id"
    permission: ClassVar[dict[str, tuple[str, ...]]] = {}  # by action, where it is not that of the model

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer, with all times in UTC."""
        with timezone.override(UTC):
            return super().dispatch(request, *args, **kwargs)

    def get_exception_handler(self) -> Any:
        """Return what answers whatever is raised."""
        return problems.handle

    def needed(self, request: Request) -> tuple[str, ...]:
        """Return the permissions that somebody of the staff needs for this request."""
        if self.action in self.permission:
            return self.permission[self.action]
        meta = cast(type[Model], cast(Any, self).queryset.model)._meta
        verb = _PERMISSIONS.get(request.method or "", "change")
        return (f"{meta.app_label}.{verb}_{meta.model_name}",)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let in who may, before anything else is looked at."""
        check_size(request)
        if request.method != "GET":
            request._request.body  # noqa: B018 (keeps it, for the fingerprint of Idempotency-Key)
        super().initial(request, *args, **kwargs)
        check_names(list(request.query_params), self.query_names())

    def query_names(self) -> frozenset[str]:
        """Return what the query may say: of a list its filters, else nothing."""
        if self.action != "list":
            return frozenset()
        return allowed(list(self.filterset_class.base_filters) if self.filterset_class else [])

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows that the caller may see."""
        rows = super().get_queryset()
        account = account_of(self.request) if self.owner else None
        return rows.filter(**{self.owner: account.pk}) if account else rows

    def get_object(self) -> Any:
        """Return the row that the path names; raise `Problem` 404."""
        return self.row(self.get_queryset())

    def row(self, rows: QuerySet[Any]) -> Any:
        """Return the row that the path names."""
        text: str = self.kwargs["pk"]
        if not _may_be_key(rows.model, text):
            raise not_found()
        found = rows.filter(pk=text).first()
        if found is None:
            raise not_found()
        return found

    def locked(self) -> Any:
        """Return the row, locked until the transaction ends."""
        return self.row(self.get_queryset().select_for_update(of=("self",)))


def _may_be_key(model: type[Model], text: str) -> bool:
    key = model._meta.pk
    while isinstance(key, ForeignKey):  # a row that is part of another one has its key
        key = key.target_field
    if key.get_internal_type() == "CharField":
        return text.isascii() and text.isalnum()
    return text.isascii() and text.isdigit() and len(text) < 19


class Reading(ApiView):
    """GET of the list and of one."""

    def list(self, request: Request, **_: Any) -> Response:
        """Answer with a page."""
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(rows, many=True).data)

    def retrieve(self, request: Request, pk: str = "", **_: Any) -> Response:
        """Answer with one."""
        return self.shown(self.get_object())

    def shown(self, row: Any, status: int = 200) -> Response:
        """Return the answer that shows a row."""
        return Response(self.get_serializer(row).data, status=status)


class Writing(Reading):
    """All of it: POST, PUT, PATCH and DELETE too; each in one transaction."""

    def create(self, request: Request, **_: Any) -> Response:
        """Make one."""

        def act() -> Response:
            serializer = self.get_serializer(data=request.data)
            serializer.is_valid(raise_exception=True)
            return self.shown(self.fresh(serializer.save().pk), 201)

        return once(request, act)

    def update(self, request: Request, pk: str = "", partial: bool = False, **_: Any) -> Response:
        """Change one; the fields that it must have must be given."""
        with transaction.atomic():
            row = self.locked()
            self.check_condition(request, row)
            serializer = self.get_serializer(row, data=request.data, partial=partial)
            serializer.is_valid(raise_exception=True)
            return self.shown(self.fresh(serializer.save().pk))

    def partial_update(self, request: Request, pk: str = "", **_: Any) -> Response:
        """Change what is given of one."""
        return self.update(request, pk, partial=True)

    def destroy(self, request: Request, pk: str = "", **_: Any) -> Response:
        """Delete one; refused while something needs it."""
        with transaction.atomic():
            row = self.locked()
            self.check_condition(request, row)
            self.remove(row)
        return Response(status=204)

    def check_condition(self, request: Request, row: Any) -> None:
        """Refuse a change to what is not as the caller knew it."""

    def remove(self, row: Any) -> None:
        """Delete a row."""
        row.delete()

    def fresh(self, pk: Any) -> Any:
        """Return a row as it is stored now, with what a list fetches together with it."""
        return self.get_queryset().get(pk=pk)


__all__ = ["ApiView", "Reading", "Writing", "action"]

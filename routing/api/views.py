"""What the views of the API are made of: lists, single resources, and how they are made, changed and deleted.

A view names its parameters (`parameters`, `filters`), its JSON (`body`) and its rows; these classes do the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar, cast

from django.db import transaction
from django.db.models import Model, QuerySet
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import FormParser, JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from routing.api import errors, paging
from routing.api.authentication import BasicAuthentication, Caller, account_in_path
from routing.api.errors import FORBIDDEN, ApiError, not_found
from routing.api.parameters import Given, Listing, Parameters, body_of, check_size, query_of
from routing.api.rendering import Body
from routing.api.schema import TwilioSchema
from routing.api.throttling import AccountThrottle
from routing.models import Account

_M = TypeVar("_M", bound=Model)


class JsonOnly(DefaultContentNegotiation):
    """Answers JSON whatever the Accept header says: Twilio's paths choose the format, not headers."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """Return the first renderer."""
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """A path below /2010-04-01/Accounts/AC…: knows the caller, and the account that the path names."""

    authentication_classes = (BasicAuthentication,)
    permission_classes = ()
    throttle_classes = (AccountThrottle,)
    parser_classes = (FormParser, JSONParser)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = JsonOnly
    http_method_names = ["get", "head", "post", "delete"]
    schema = TwilioSchema()
    by_token_only: ClassVar[bool] = False  # what API keys may not touch: it would give them more than they have
    account: Account

    @property
    def caller(self) -> Caller:
        """Return who makes the request."""
        return cast(Caller, self.request.user)

    def get_exception_handler(self) -> Any:
        """Return what answers whatever is raised."""
        return errors.handle

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let in who may, before anything else is looked at."""
        check_size(request)
        super().initial(request, *args, **kwargs)
        if self.by_token_only and self.caller.key:
            raise ApiError(FORBIDDEN, "An API key may not do this: use account SID and auth token.")
        if sid := kwargs.get("account_sid"):
            self.account = account_in_path(request, self.caller, sid)

    def given(self) -> Given:
        """Return the parameters of a POST request; the query string has none."""
        Parameters.read(query_of(self.request))
        return body_of(self.request)


class Rows(ApiView, Generic[_M]):
    """A view on rows of one kind."""

    body: ClassVar[type[Body]]
    parameters: ClassVar[type[Parameters]]  # of requests that make or change a row

    def rows(self) -> QuerySet[_M]:
        """Return the rows that the path names."""
        raise NotImplementedError

    def row(self, *, lock: bool = False) -> _M:
        """Return the row that the path names; raise `ApiError` 20404. `lock` it until the transaction ends."""
        rows = self.rows().select_for_update(of=("self",), no_key=True) if lock else self.rows()
        found = rows.filter(pk=self.kwargs["sid"]).first()
        if found is None:
            raise not_found(self.request)
        return found

    def show(self, row: _M, **context: Any) -> dict[str, Any]:
        """Return the JSON of a row."""
        return self.body.render(row, self.account.sid, **context)


class ListView(Rows[_M]):
    """GET of a list."""

    key: ClassVar[str]
    filters: ClassVar[type[Listing]] = Listing
    date: ClassVar[str] = "created"
    oldest_first: ClassVar[bool] = False

    def narrow(self, rows: QuerySet[_M], values: dict[str, Any]) -> QuerySet[_M]:
        """Apply the values of the filters: by default each is the value of a field."""
        return rows.filter(**values)

    def show_all(self, rows: Sequence[_M]) -> list[dict[str, Any]]:
        """Return the JSON of the rows of a page."""
        return self.body.render_all(rows, self.account.sid)

    def get(self, request: Request, **_: Any) -> Response:
        """Answer with a page."""
        query = query_of(request)
        values = self.filters.read(query)
        rows = self.narrow(self.rows(), values)
        page = paging.page_of(rows, paging.place(request.query_params), self.date, oldest_first=self.oldest_first)
        bodies = self.show_all(page.rows)
        names = self.filters().fields
        repeated = {name: given for name, given in query.items() if name in names}
        return Response(paging.envelope(page, self.key, bodies, request.path, repeated))


class CreateView(Rows[_M]):
    """POST to a list."""

    def create(self, values: dict[str, Any]) -> _M:
        """Make a row of the values."""
        raise NotImplementedError

    def post(self, request: Request, **_: Any) -> Response:
        """Make a row; all of it or nothing."""
        values = self.parameters.read(self.given())
        with transaction.atomic():
            row = self.create(values)
        return Response(self.show(row), status=201)


class FetchView(Rows[_M]):
    """GET of one."""

    def get(self, request: Request, **_: Any) -> Response:
        """Answer with the row."""
        Parameters.read(query_of(request))
        return Response(self.show(self.row()))


class UpdateView(Rows[_M]):
    """POST to one."""

    def change(self, row: _M, values: dict[str, Any]) -> None:
        """Change the row by the values."""
        raise NotImplementedError

    def post(self, request: Request, **_: Any) -> Response:
        """Change the row; all of it or nothing."""
        given = self.given()
        with transaction.atomic():
            row = self.row(lock=True)
            self.change(row, self.parameters.read(given, partial=True))
        return Response(self.show(row))


class DeleteView(Rows[_M]):
    """DELETE of one."""

    def remove(self, row: _M) -> None:
        """Delete the row."""
        row.delete()

    def delete(self, request: Request, **_: Any) -> Response:
        """Delete the row."""
        Parameters.read(query_of(request))
        with transaction.atomic():
            self.remove(self.row(lock=True))
        return Response(status=204)


def check_room(owner: Model, rows: QuerySet[Any], most: int, code: int) -> None:
    """Refuse to add to as many rows as the owner may have.

    The owner is locked, so that no two requests add at once; rows that refer to it can still be written (`no_key`).
    """
    type(owner)._default_manager.select_for_update(no_key=True).get(pk=owner.pk)
    if rows.count() >= most:
        raise ApiError(code)

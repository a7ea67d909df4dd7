"""Lists that are mapped to a SIP domain, in Twilio's two families of paths.

The older paths (…/CredentialListMappings) and …/Auth/Calls/… are the same mappings; those for registration are others.
A mapping has the SID of its list. Its dates are the later ones of domain and list: when it was made is not kept.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from rest_framework.request import Request

from routing.api.errors import NOT_FOUND, ApiError, not_found
from routing.api.parameters import Parameters, Sid
from routing.api.paths import uri
from routing.api.rendering import Body, Computed, Uri, Words, rfc2822
from routing.api.views import CreateView, DeleteView, FetchView, ListView, Rows
from routing.models import CredentialList, IpAccessControlList, SipDomain

ALREADY_MAPPED = 21231


class CredentialListMapping(Parameters):
    """Which list is mapped."""

    CredentialListSid = Sid("CL", source="sid", required=True)


class IpAccessControlListMapping(Parameters):
    """Which list is mapped."""

    IpAccessControlListSid = Sid("AL", source="sid", required=True)


class MappingBody(Body):
    """Twilio's keys below …/Auth/."""

    account_sid = Words(source="account_id")
    date_created = Computed(lambda row: rfc2822(row.mapped))
    date_updated = Computed(lambda row: rfc2822(row.mapped))
    friendly_name = Words()
    sid = Words()


class LegacyMappingBody(Body):
    """Twilio's keys of the older paths."""

    account_sid = Words(source="account_id")
    date_created = Computed(lambda row: rfc2822(row.mapped))
    date_updated = Computed(lambda row: rfc2822(row.mapped))
    domain_sid = Computed(lambda row: row.domain.sid)
    friendly_name = Words()
    sid = Words()
    uri = Uri(lambda row: uri(row.account_id, "SIP/Domains", row.domain.sid, row.path, row.sid))


class MappingRows(Rows[Any]):
    """The lists that are mapped to the domain in the path."""

    model: ClassVar[type[Model]]
    relation: ClassVar[str]
    path: ClassVar[str]
    domain: SipDomain

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let in who may, and find the domain."""
        super().initial(request, *args, **kwargs)
        found = SipDomain.objects.filter(account=self.account, pk=kwargs["domain_sid"]).first()
        if found is None:
            raise not_found(request)
        self.domain = found

    def rows(self) -> QuerySet[Any]:
        """Return the lists."""
        found: QuerySet[Any] = getattr(self.domain, self.relation).all()
        return found

    def show(self, row: Any, **context: Any) -> dict[str, Any]:
        """Return the JSON of a mapping."""
        return super().show(self.with_domain(row), **context)

    def with_domain(self, row: Any) -> Any:
        """Give a list what its JSON needs of the mapping."""
        row.domain, row.path, row.mapped = self.domain, self.path, max(row.created, self.domain.created)
        return row


class Mappings(MappingRows, ListView[Any], CreateView[Any]):
    """The list, and new ones."""

    key = "contents"

    def show_all(self, rows: Any) -> list[dict[str, Any]]:
        """Return the JSON of the mappings of a page."""
        return super().show_all([self.with_domain(row) for row in rows])

    def create(self, values: dict[str, Any]) -> Any:
        """Map a list of the account."""
        SipDomain.objects.select_for_update(no_key=True).get(pk=self.domain.pk)
        found = self.model._default_manager.filter(account=self.account, pk=values["sid"]).first()
        if found is None:
            name = next(iter(self.parameters().fields))
            raise ApiError(NOT_FOUND, f"{name}: the requested resource {values['sid']} was not found")
        if self.rows().filter(pk=found.pk).exists():
            raise ApiError(ALREADY_MAPPED, f"{found.pk} is mapped to {self.domain.sid} already.")
        getattr(self.domain, self.relation).add(found)
        return found


class OneMapping(MappingRows, FetchView[Any], DeleteView[Any]):
    """One of them."""

    def remove(self, row: Any) -> None:
        """Take the list from the domain; the list stays."""
        getattr(self.domain, self.relation).remove(row)


class _Credentials(MappingRows):
    body: ClassVar[type[Body]] = MappingBody
    parameters = CredentialListMapping
    model, relation, path = CredentialList, "credential_lists", "CredentialListMappings"


class _IpAccess(MappingRows):
    body: ClassVar[type[Body]] = MappingBody
    parameters = IpAccessControlListMapping
    model, relation, path = IpAccessControlList, "ip_access_control_lists", "IpAccessControlListMappings"


class _Registration(_Credentials):
    relation = "registration_credential_lists"


class CallCredentials(_Credentials, Mappings):
    """…/Auth/Calls/CredentialListMappings."""


class OneCallCredentials(_Credentials, OneMapping):
    """One of them."""


class CallIpAccess(_IpAccess, Mappings):
    """…/Auth/Calls/IpAccessControlListMappings."""


class OneCallIpAccess(_IpAccess, OneMapping):
    """One of them."""


class RegistrationCredentials(_Registration, Mappings):
    """…/Auth/Registrations/CredentialListMappings."""


class OneRegistrationCredentials(_Registration, OneMapping):
    """One of them."""


class LegacyCredentials(CallCredentials):
    """…/CredentialListMappings."""

    body, key = LegacyMappingBody, "credential_list_mappings"


class OneLegacyCredentials(OneCallCredentials):
    """One of them."""

    body = LegacyMappingBody


class LegacyIpAccess(CallIpAccess):
    """…/IpAccessControlListMappings."""

    body, key = LegacyMappingBody, "ip_access_control_list_mappings"


class OneLegacyIpAccess(OneCallIpAccess):
    """One of them."""

    body = LegacyMappingBody
